//! What nodes of a running graph do.

mod aggregate;
mod as_of;
mod closing;
mod counts;
mod first;
mod grouped;
mod join;
mod sessions;
mod stateless;
mod time;
mod top;
mod waiting;
mod windows;

use std::{fmt::Debug, sync::Arc};

use arrow_array::{ArrayRef, RecordBatch, new_null_array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use arrow_select::concat::concat;

use crate::{
    Delta, ExpressionRef, Fault, Operator, Plan,
    delta::column_bytes,
    graph::PlanError,
    plan::{Ages, Closes, JoinKind},
    row::{Corrupt, RowCodec, Unsupported},
};

/// Takes an entry of state: table, key, and value unless it is gone.
pub type Write<'a> = dyn FnMut(u8, &[u8], Option<&[u8]>) + 'a;

/// A node at work. Its state is its own; it says what is to be written of it.
pub trait Running: Debug + Send {
    /// Handles rows of one of its inputs, `CHUNK_ROWS` or less or not many more.
    fn take(&mut self, port: usize, delta: &Delta, out: &mut Output);

    /// One piece of what there is to do at an epoch's end, when all of its inputs are done; true while there is more.
    fn finish(&mut self, _end: &End, _out: &mut Output) -> bool {
        false
    }

    /// Gives some of what changed since the last checkpoint, or, begun with `all`, of everything: table, key and value. True
    /// while there is more, which then comes without `all`.
    fn checkpoint(&mut self, _all: bool, _write: &mut Write<'_>) -> bool {
        false
    }

    /// Makes room for so many entries of a table. Worth it where there may be millions.
    fn reserve(&mut self, _table: u8, _entries: usize) {}

    fn restore(&mut self, _table: u8, _key: &[u8], _value: &[u8]) -> Result<(), Corrupt> {
        Err(Corrupt)
    }

    /// Why it took none of what it was to be restored from, when that is known in words.
    fn refusal(&self) -> Option<String> {
        None
    }

    fn entries(&self) -> usize {
        0
    }

    fn bytes(&self) -> usize {
        0
    }
}

/// What decides a node's end of an epoch beside its input.
#[derive(Clone, Copy, Debug)]
pub struct End {
    pub now: i64,
    pub watermark: Option<i64>,
}

/// What a piece of work gave.
#[derive(Debug, Default)]
pub struct Output {
    pub deltas: Vec<Delta>,
    pub faults: u64,
    pub last_fault: Option<Fault>,
    pub late_rows: u64,
    /// Of the rows that were to be handled the last ones, which are to come again when these are handled by everybody else.
    pub rest: Option<Delta>,
}

impl Output {
    pub fn fault(&mut self, fault: Fault) {
        self.faults += 1;
        self.last_fault = Some(fault);
    }
}

/// The operator of a node, over inputs with these schemas.
pub(crate) fn make(
    at: usize,
    plan: &Plan,
    schemas: &[SchemaRef],
    append_only: &[bool],
) -> Result<Box<dyn Running>, PlanError> {
    let node = &plan.nodes[at];
    let malformed = |reason| PlanError::Malformed { node: at, reason };
    let inputs: Vec<SchemaRef> = node
        .inputs
        .iter()
        .map(|input| schemas[input.0].clone())
        .collect();
    let arity = match &node.operator {
        Operator::Input(_) | Operator::Constant(_) => Some(0),
        Operator::Union | Operator::Custom(_) => None,
        Operator::SetDifference { .. } | Operator::SetIntersection { .. } | Operator::Join(_) => {
            Some(2)
        }
        _ => Some(1),
    };
    if arity.is_some_and(|arity| arity != inputs.len()) {
        return Err(malformed("it has not as many inputs as its operator"));
    }
    let place = Place {
        at,
        schema: nullable(&node.schema),
        inputs,
        append_only: node
            .inputs
            .iter()
            .map(|input| append_only[input.0])
            .collect(),
        closes: node.closes,
        ages: node.ages,
    };
    match &node.operator {
        Operator::Input(_) | Operator::Union => stateless::pass(&place),
        Operator::Constant(rows) => stateless::constant(&place, rows),
        Operator::Project(expressions) => stateless::project(&place, expressions),
        Operator::Filter(condition) => stateless::filter(&place, condition),
        Operator::Aggregate { keys, aggregates } => aggregate::make(&place, keys, aggregates),
        Operator::Distinct | Operator::SetDifference { .. } | Operator::SetIntersection { .. } => {
            counts::make(&place, &node.operator)
        }
        Operator::Join(join) if matches!(join.kind, JoinKind::AsOf { .. }) => {
            as_of::make(&place, join)
        }
        Operator::Join(join) => join::make(&place, join),
        Operator::Top { .. } => top::make(&place, &node.operator),
        Operator::Windows { time, windows } => windows::windows(&place, *time, *windows),
        Operator::Sessions {
            partition,
            time,
            gap,
        } => sessions::make(&place, partition, *time, *gap),
        Operator::Unnest { list, keeps_empty } => windows::unnest(&place, *list, *keeps_empty),
        Operator::EmitOnClose { window_end } => time::emit_on_close(&place, *window_end),
        Operator::Valid { from, until } => time::valid(&place, *from, *until),
        Operator::Custom(custom) => Ok(custom.start()),
    }
}

/// A node and what is known of its surroundings.
#[derive(Debug)]
pub(crate) struct Place {
    pub at: usize,
    pub schema: SchemaRef,
    pub inputs: Vec<SchemaRef>,
    pub append_only: Vec<bool>,
    pub closes: Option<Closes>,
    pub ages: Option<[Ages; 2]>,
}

impl Place {
    pub(crate) fn malformed(&self, reason: &'static str) -> PlanError {
        PlanError::Malformed {
            node: self.at,
            reason,
        }
    }

    pub(crate) fn unsupported(&self, source: Unsupported) -> PlanError {
        PlanError::Unsupported {
            node: self.at,
            source,
        }
    }

    /// The type of a column of an input.
    pub(crate) fn input_type(&self, input: usize, column: usize) -> Result<&DataType, PlanError> {
        let fields = self.inputs[input].fields();
        let field = fields
            .get(column)
            .ok_or(self.malformed("it names a column that its input has not"))?;
        Ok(field.data_type())
    }

    /// The types of columns of an input.
    pub(crate) fn input_types(
        &self,
        input: usize,
        columns: &[usize],
    ) -> Result<Vec<DataType>, PlanError> {
        columns
            .iter()
            .map(|column| self.input_type(input, *column).cloned())
            .collect()
    }

    /// For columns of an input, ascending.
    pub(crate) fn codec(&self, input: usize, columns: &[usize]) -> Result<RowCodec, PlanError> {
        let types = self.input_types(input, columns)?;
        RowCodec::ascending(&types).map_err(|source| self.unsupported(source))
    }

    /// Fails unless the node's schema has these types.
    pub(crate) fn expect_types<'b>(
        &self,
        types: impl IntoIterator<Item = &'b DataType>,
    ) -> Result<(), PlanError> {
        let own = self.schema.fields().iter().map(|field| field.data_type());
        if own.eq(types) {
            Ok(())
        } else {
            Err(self.malformed("its schema is not that of its rows"))
        }
    }
}

/// Whether rows only come out of a plan, never go.
pub(crate) fn append_only(plan: &Plan) -> bool {
    let mut known = Vec::with_capacity(plan.nodes.len());
    for at in 0..plan.nodes.len() {
        known.push(is_append_only(plan, at, &known));
    }
    known.last().is_some_and(|last| *last)
}

/// Whether rows only come out of a node, never go.
pub(crate) fn is_append_only(plan: &Plan, at: usize, before: &[bool]) -> bool {
    let node = &plan.nodes[at];
    let inputs_are = node.inputs.iter().all(|input| before[input.0]);
    match &node.operator {
        Operator::Input(input) => input.is_append_only,
        Operator::Constant(_) | Operator::EmitOnClose { .. } => true,
        Operator::Project(_)
        | Operator::Filter(_)
        | Operator::Windows { .. }
        | Operator::Unnest { .. }
        | Operator::Union
        | Operator::Distinct
        | Operator::SetIntersection { .. } => inputs_are,
        Operator::Join(join) => {
            inputs_are && matches!(join.kind, JoinKind::Inner | JoinKind::LeftSemi)
        }
        Operator::Valid { until, .. } => inputs_are && until.is_none(),
        Operator::Custom(custom) => custom.is_append_only(),
        Operator::Aggregate { .. }
        | Operator::SetDifference { .. }
        | Operator::Top { .. }
        | Operator::Sessions { .. } => false,
    }
}

/// The same columns, each of which may be null: what could not be computed is.
pub(crate) fn nullable(schema: &SchemaRef) -> SchemaRef {
    let fields = schema
        .fields()
        .iter()
        .map(|field| field.as_ref().clone().with_nullable(true));
    Arc::new(Schema::new(fields.collect::<Vec<Field>>()))
}

/// One value may take no more, and no more is put out at once of what is computed row by row: offsets of all rows of a chunk
/// end at 2 GiB.
const VALUES_BYTES_MAX: usize = 512 << 20;

/// The expression's values for all rows: for a row that it fails for, null, and counted. Of values that may be large
/// (`evaluate_some`) not all rows' fit together.
pub(crate) fn evaluate(
    expression: &ExpressionRef,
    rows: &RecordBatch,
    data_type: &DataType,
    out: &mut Output,
) -> ArrayRef {
    if rows.num_rows() > 1
        && let Ok(values) = checked(expression, rows, data_type)
    {
        return values;
    }
    let rows = (0..rows.num_rows()).map(|row| rows.slice(row, 1));
    let values = rows.map(|row| {
        let value = checked(expression, &row, data_type);
        value.unwrap_or_else(|fault| null(fault, data_type, out))
    });
    let values: Vec<ArrayRef> = values.collect();
    together(&values, data_type)
}

fn null(fault: Fault, data_type: &DataType, out: &mut Output) -> ArrayRef {
    out.fault(fault);
    new_null_array(data_type, 1)
}

fn together(values: &[ArrayRef], data_type: &DataType) -> ArrayRef {
    let all: Vec<&dyn arrow_array::Array> = values.iter().map(AsRef::as_ref).collect();
    match all.is_empty() {
        true => new_null_array(data_type, 0),
        false => concat(&all).expect("all are of one type, and small enough"),
    }
}

/// The expressions' values for the first rows, as many as fit together and at least one. Whether a row has a value depends on
/// the row alone: what comes may go again in other company.
pub(crate) fn evaluate_some(
    expressions: &[(ExpressionRef, DataType)],
    rows: &RecordBatch,
    bytes_max: usize,
    out: &mut Output,
) -> (usize, Vec<ArrayRef>) {
    let mut all_bytes = 0_usize;
    let at_once = expressions.iter().map(|(expression, data_type)| {
        let values =
            (all_bytes <= bytes_max).then(|| checked(expression, rows, data_type).ok())??;
        all_bytes = all_bytes.saturating_add(bytes_of(&values));
        (all_bytes <= bytes_max).then_some(values)
    });
    let at_once: Vec<Option<ArrayRef>> = at_once.collect();
    if at_once.iter().all(Option::is_some) {
        return (rows.num_rows(), at_once.into_iter().flatten().collect());
    }
    let mut one_by_one: Vec<Vec<ArrayRef>> = vec![Vec::new(); expressions.len()];
    let (mut count, mut bytes) = (0, 0_usize);
    while count < rows.num_rows() {
        let row = rows.slice(count, 1);
        let mut its_own = Output::default();
        // Of the values of one row those are none that are too much with those before them.
        let mut left = bytes_max;
        let values = expressions.iter().zip(&at_once);
        let values = values.map(|((expression, data_type), known)| {
            if let Some(known) = known {
                left = left.saturating_sub(bytes_of(&known.slice(count, 1)));
                return None;
            }
            let value = checked(expression, &row, data_type);
            let value = value.and_then(|value| small(value, left, bytes_max));
            let value = value.unwrap_or_else(|fault| null(fault, data_type, &mut its_own));
            left = left.saturating_sub(bytes_of(&value));
            Some(value)
        });
        let values: Vec<Option<ArrayRef>> = values.collect();
        let more: usize = values.iter().flatten().map(bytes_of).sum();
        bytes = bytes.saturating_add(more);
        if count > 0 && bytes > bytes_max {
            break;
        }
        count += 1;
        out.faults += its_own.faults;
        out.last_fault = its_own.last_fault.or(out.last_fault.take());
        for (all, value) in one_by_one.iter_mut().zip(values) {
            all.extend(value);
        }
    }
    let types = expressions.iter().map(|(_, data_type)| data_type);
    let columns = at_once.into_iter().zip(one_by_one).zip(types);
    let columns = columns.map(|((known, values), data_type)| match known {
        Some(known) => known.slice(0, count),
        None => together(&values, data_type),
    });
    (count, columns.collect())
}

/// Values of a fixed width count for nothing: a chunk of them is small.
fn bytes_of(values: &ArrayRef) -> usize {
    let data_type = values.data_type();
    let is_small = data_type.is_primitive() || *data_type == DataType::Boolean;
    if is_small { 0 } else { column_bytes(values) }
}

fn small(value: ArrayRef, left: usize, bytes_max: usize) -> Result<ArrayRef, Fault> {
    match bytes_of(&value) > left {
        false => Ok(value),
        true => Err(Fault {
            sqlstate: *b"54000",
            message: format!("the values of a row take more than {bytes_max} bytes"),
        }),
    }
}

fn checked(
    expression: &ExpressionRef,
    rows: &RecordBatch,
    data_type: &DataType,
) -> Result<ArrayRef, Fault> {
    let values = expression.evaluate(rows)?;
    if values.data_type() == data_type && values.len() == rows.num_rows() {
        return Ok(values);
    }
    Err(Fault {
        sqlstate: *b"XX000",
        message: format!(
            "a value of type {} where the plan says {data_type}",
            values.data_type()
        ),
    })
}
