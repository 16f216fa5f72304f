//! What a dataflow computes, as data: nodes, each after its inputs; the last is the result.
//!
//! The SQL planner and the typed API both make these; `graph` runs them. Columns are named by their place. A node's
//! schema is that of the rows it emits. Nulls are equal to each other as keys of groups, partitions and distinct rows.

mod panes;
mod share;

use std::{
    fmt::{self, Debug},
    sync::Arc,
    time::Duration,
};

use arrow_schema::SchemaRef;

use crate::{ExpressionRef, operators::Running};

/// A node by its place in the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub usize);

/// See the module head.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub nodes: Vec<Node>,
}

#[derive(Clone, PartialEq)]
pub struct Node {
    pub operator: Operator,
    /// As many as the operator says, all of lower numbers.
    pub inputs: Vec<NodeId>,
    pub schema: SchemaRef,
    /// Its state may go where this closes, and what comes later is left out and counted; none: it never does.
    pub closes: Option<Closes>,
    /// Of a join: when its rows go.
    pub ages: Option<[Ages; 2]>,
}

/// What makes the fingerprint of a plan, so it names only what is there.
impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut node = f.debug_struct("Node");
        node.field("operator", &self.operator)
            .field("inputs", &self.inputs)
            .field("schema", &self.schema)
            .field("closes", &self.closes);
        if let Some(ages) = &self.ages {
            node.field("ages", ages);
        }
        node.finish()
    }
}

/// Of one side of a join whose condition only holds of rows with times near each other. A row goes once the watermark has let go
/// of all that it can be joined with; rows that come behind their own time are left out and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ages {
    /// Of the input: the time.
    pub column: usize,
    /// Rows of a time come or go until the watermark is so far behind it.
    pub late_us: i64,
    /// They are looked for until then.
    pub kept_us: i64,
}

/// A column that says until when rows with its value come: once the watermark has reached value and `after_us` together, in
/// microseconds, no more do. A node that has such a column keeps no state for what is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closes {
    /// Of the node's own rows, and shared by whatever it keeps together: a key, a partition.
    pub column: usize,
    pub after_us: i64,
}

/// What a node does with its inputs.
#[derive(Clone, Debug, PartialEq)]
pub enum Operator {
    /// Rows from outside: a source, a table or another view. No inputs.
    Input(Input),
    /// One row that never changes, or none or several (VALUES, SELECT without FROM). No inputs.
    Constant(arrow_array::RecordBatch),
    /// One input: one column for each expression.
    Project(Vec<ExpressionRef>),
    /// One input: the rows for which it is true.
    Filter(ExpressionRef),
    /// One input: the row's columns, and for each window that its time is in, the window's start and end behind them.
    Windows {
        time: usize,
        windows: WindowKind,
    },
    /// One input: the row's columns, and behind them start and end of its session: of the rows with the same values in
    /// `partition`, those that follow each other in less than `gap` are one. It ends `gap` behind its last row.
    Sessions {
        partition: Vec<usize>,
        time: usize,
        gap: Duration,
    },
    /// One input: the row's columns but with a list column replaced by one of its elements, a row for each of them.
    Unnest {
        list: usize,
        keeps_empty: bool,
    },
    /// Two inputs or more of one schema: all of their rows.
    Union,
    /// One input: a row for each group, its key columns and then the aggregates. Without keys, always one row.
    Aggregate {
        keys: Vec<usize>,
        aggregates: Vec<Aggregate>,
    },
    /// One input: each row once.
    Distinct,
    /// Two inputs of one schema: by counts of equal rows (EXCEPT ALL, INTERSECT ALL), or of each row at most one.
    SetDifference {
        all: bool,
    },
    SetIntersection {
        all: bool,
    },
    /// Two inputs. Left columns and then right ones, those of a missing side null; semi, anti and mark: left ones only
    /// (and the mark).
    Join(Join),
    /// One input: of each partition the rows at places `offset..offset + limit` of its order.
    Top {
        partition: Vec<usize>,
        order: Vec<SortKey>,
        ties: Ties,
        offset: u64,
        limit: Option<u64>,
        /// Behind the row's columns: its number, from 1.
        emits_number: bool,
    },
    /// One input with the columns of `Windows` or a key: rows come out once their window is closed, and never change.
    EmitOnClose {
        window_end: usize,
    },
    /// One input: rows while the epoch's clock is in `from..until` (either may be missing), which are timestamps.
    Valid {
        from: Option<usize>,
        until: Option<usize>,
    },
    /// One input or more: what a program brings itself.
    Custom(Arc<dyn Custom>),
}

/// An operator from outside. How it is told (`Debug`) names it for as long as its state is kept: a plan that is told
/// differently is another one.
pub trait Custom: Debug + Send + Sync {
    fn name(&self) -> &'static str;

    /// Rows only come out, never go.
    fn is_append_only(&self) -> bool;

    fn start(&self) -> Box<dyn Running>;
}

/// What a program brings is the same as itself only.
impl PartialEq for dyn Custom {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::addr_eq(self, other)
    }
}

/// Where an input's rows come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Name of the relation.
    pub relation: String,
    /// Which of its columns are read, in this order.
    pub columns: Vec<usize>,
    /// Rows only come, never go.
    pub is_append_only: bool,
    /// The column that its watermark speaks of, among those that are read.
    pub time: Option<usize>,
}

/// Which windows a time is in; times and durations in microseconds, windows aligned to the epoch of UNIX plus `offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WindowKind {
    Tumble {
        size: Duration,
        offset: Duration,
    },
    Hop {
        size: Duration,
        slide: Duration,
        offset: Duration,
    },
    /// From the start of `size` on, growing by `step`.
    Cumulate {
        size: Duration,
        step: Duration,
        offset: Duration,
    },
}

/// One column of an aggregation.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    pub function: AggregateFunction,
    /// Columns of the input; none for `count(*)`.
    pub arguments: Vec<usize>,
    pub distinct: bool,
    /// A boolean column: only rows for which it is true count.
    pub filter: Option<usize>,
    /// Order among the rows of a group, for those functions to which it matters.
    pub order: Vec<SortKey>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum AggregateFunction {
    /// Rows, or rows whose argument is not null.
    Count,
    Sum,
    Avg,
    Min,
    Max,
    BoolAnd,
    BoolOr,
    BitAnd,
    BitOr,
    BitXor,
    /// The second argument stands between the values of the first.
    StringAgg,
    ArrayAgg,
    /// By `order`, or else by the rows' own order.
    FirstValue,
    LastValue,
    /// Population or sample variance and standard deviation.
    VarPop,
    VarSamp,
    StddevPop,
    StddevSamp,
    /// Interpolated between the two nearest values, as `percentile_cont` says.
    Percentile {
        fraction_bits: u64,
    },
    ApproxDistinct,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Join {
    pub kind: JoinKind,
    /// Pairs of columns, left and right, of one type, that must be equal.
    pub keys: Vec<(usize, usize)>,
    /// Null keys match each other (IS NOT DISTINCT FROM).
    pub null_equals_null: bool,
    /// What else must be true, over the left columns and then the right ones.
    pub condition: Option<ExpressionRef>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinKind {
    Inner,
    Left,
    Right,
    Full,
    LeftSemi,
    LeftAnti,
    /// NOT IN: no row when the right side has a null key, and none for a left null unless the right side is empty.
    LeftAntiNullAware,
    /// All left rows, and behind their columns whether there is a match.
    LeftMark,
    /// For each left row one right one: that of the greatest right column not above the left one; nulls if there is none.
    AsOf {
        left: usize,
        right: usize,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SortKey {
    pub column: usize,
    pub descending: bool,
    pub nulls_first: bool,
}

/// How equal rows are numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ties {
    /// ROW_NUMBER: in any order, the same on every run.
    Numbered,
    /// RANK: the same number, and a gap behind.
    Ranked,
    /// DENSE_RANK: the same number, no gap.
    DenselyRanked,
}

impl Operator {
    /// As EXPLAIN and the system tables call it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Input(_) => "input",
            Self::Constant(_) => "constant",
            Self::Project(_) => "project",
            Self::Filter(_) => "filter",
            Self::Windows { .. } => "windows",
            Self::Sessions { .. } => "sessions",
            Self::Unnest { .. } => "unnest",
            Self::Union => "union",
            Self::Aggregate { .. } => "aggregate",
            Self::Distinct => "distinct",
            Self::SetDifference { .. } => "except",
            Self::SetIntersection { .. } => "intersect",
            Self::Join(_) => "join",
            Self::Top { .. } => "top",
            Self::EmitOnClose { .. } => "emit on close",
            Self::Valid { .. } => "valid",
            Self::Custom(custom) => custom.name(),
        }
    }
}

impl Plan {
    /// The last node. Panics on a plan without nodes.
    #[must_use]
    pub fn result(&self) -> &Node {
        self.nodes.last().expect("a plan has a result")
    }

    /// Adds a node behind its inputs.
    pub fn add(&mut self, operator: Operator, inputs: &[NodeId], schema: SchemaRef) -> NodeId {
        let id = NodeId(self.nodes.len());
        assert!(inputs.iter().all(|input| *input < id), "inputs come first");
        self.nodes.push(Node {
            operator,
            inputs: inputs.to_vec(),
            schema,
            closes: None,
            ages: None,
        });
        id
    }

    /// The relations it reads, with the nodes that do.
    pub fn inputs(&self) -> impl Iterator<Item = (NodeId, &Input)> {
        let numbered = self.nodes.iter().enumerate();
        numbered.filter_map(|(at, node)| match &node.operator {
            Operator::Input(input) => Some((NodeId(at), input)),
            _ => None,
        })
    }

    /// Whether rows are lost to it that come when what they belong to is closed, or what they could be joined with is gone:
    /// then where epochs end decides what it puts out.
    pub(crate) fn drops_late(&self) -> bool {
        let drops_late = |node: &Node| {
            node.closes.is_some()
                || node.ages.is_some()
                || matches!(node.operator, Operator::EmitOnClose { .. })
        };
        self.nodes.iter().any(drops_late)
    }

    /// Names of the relations that it reads.
    pub(crate) fn relations(&self) -> Vec<String> {
        let inputs = self.inputs();
        inputs.map(|(_, input)| input.relation.clone()).collect()
    }
}
