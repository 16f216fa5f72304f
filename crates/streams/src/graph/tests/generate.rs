//! Random plans and random changes of their inputs.

use std::{
    any::Any,
    collections::BTreeMap,
    fmt::{self, Display, Formatter},
    sync::Arc,
    time::Duration,
};

use arrow_array::{ArrayRef, BooleanArray, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::{
    model::{Moment, answer},
    value::{Row, Value, to_column, to_row},
};
use crate::{
    Expression, Fault, NodeId, Operator, Plan,
    plan::{Aggregate, AggregateFunction, Input, Join, JoinKind, SortKey, Ties, WindowKind},
};

/// SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x2545_F491_4F6C_DD1D))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(super) fn index(&mut self, count: usize) -> usize {
        self.below(count as u64) as usize
    }

    pub(super) fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    pub(super) fn of<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.index(from.len())].clone()
    }
}

pub(super) const TIME: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

pub(super) fn list_type() -> DataType {
    DataType::List(Arc::new(Field::new("item", DataType::Int64, true)))
}

/// A function of a row, known to the model.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Function {
    Column(usize),
    /// Null if any is; fails on overflow.
    Add(usize, usize),
    /// Fails when the second is zero.
    Divide(usize, usize),
    Less(usize, usize),
    IsNull(usize),
}

impl Function {
    pub(super) fn of_row(&self, row: &[Value]) -> Result<Value, Fault> {
        let fault = Fault {
            sqlstate: *b"22012",
            message: String::from("it fails"),
        };
        let of_ints =
            |a: usize, b: usize, f: &dyn Fn(i64, i64) -> Option<Value>| match (&row[a], &row[b]) {
                (Value::Int(a), Value::Int(b)) => f(*a, *b).ok_or(fault),
                _ => Ok(Value::Null),
            };
        match self {
            Self::Column(column) => Ok(row[*column].clone()),
            Self::Add(a, b) => of_ints(*a, *b, &|a, b| a.checked_add(b).map(Value::Int)),
            Self::Divide(a, b) => of_ints(*a, *b, &|a, b| a.checked_div(b).map(Value::Int)),
            Self::Less(a, b) if row[*a].is_null() || row[*b].is_null() => Ok(Value::Null),
            Self::Less(a, b) => Ok(Value::Bool(row[*a] < row[*b])),
            Self::IsNull(column) => Ok(Value::Bool(row[*column].is_null())),
        }
    }
}

impl Expression for Function {
    fn evaluate(&self, rows: &RecordBatch) -> Result<ArrayRef, Fault> {
        let values = (0..rows.num_rows()).map(|row| self.of_row(&to_row(rows, row)));
        let values: Vec<Value> = values.collect::<Result<_, _>>()?;
        Ok(match self {
            Self::Column(column) => rows.column(*column).clone(),
            Self::Add(..) | Self::Divide(..) => to_column(&DataType::Int64, values.iter()),
            Self::Less(..) | Self::IsNull(..) => {
                let values = values.iter().map(|value| match value {
                    Value::Bool(value) => Some(*value),
                    _ => None,
                });
                Arc::new(values.collect::<BooleanArray>())
            }
        })
    }

    fn is_same(&self, other: &dyn Expression) -> bool {
        (other as &dyn Any).downcast_ref::<Self>() == Some(self)
    }
}

/// A plan, and of its nodes the functions.
#[derive(Debug)]
pub(super) struct Case {
    pub plan: Plan,
    pub functions: BTreeMap<usize, Vec<Function>>,
}

impl Display for Case {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (at, node) in self.plan.nodes.iter().enumerate() {
            let types: Vec<&DataType> = node
                .schema
                .fields()
                .iter()
                .map(|field| field.data_type())
                .collect();
            writeln!(
                f,
                "{at}: {:?} of {:?} gives {types:?}",
                node.operator, node.inputs
            )?;
        }
        Ok(())
    }
}

pub(super) fn schema(types: &[DataType]) -> SchemaRef {
    let fields = types.iter().enumerate();
    let fields =
        fields.map(|(at, data_type)| Field::new(format!("c{at}"), data_type.clone(), at % 2 == 0));
    Arc::new(Schema::new(
        fields
            .map(|field| field.with_nullable(true))
            .collect::<Vec<_>>(),
    ))
}

impl Case {
    pub(super) fn random(random: &mut Random) -> Self {
        let mut case = Self {
            plan: Plan::default(),
            functions: BTreeMap::new(),
        };
        for _ in 0..1 + random.below(2) {
            case.add_input(random);
        }
        let wanted = case.plan.nodes.len() + 1 + random.index(4);
        while case.plan.nodes.len() < wanted {
            case.add_node(random, wanted);
        }
        case
    }

    pub(super) fn answer(
        &self,
        tables: &BTreeMap<NodeId, Vec<Row>>,
        moment: &mut Moment,
    ) -> BTreeMap<Row, i64> {
        let mut counts = BTreeMap::new();
        for row in answer(self, tables, moment) {
            *counts.entry(row).or_default() += 1;
        }
        counts
    }

    fn types(&self, node: NodeId) -> Vec<DataType> {
        self.plan.nodes[node.0]
            .schema
            .fields()
            .iter()
            .map(|field| field.data_type().clone())
            .collect()
    }

    fn add_input(&mut self, random: &mut Random) -> NodeId {
        let types = [
            DataType::Int64,
            DataType::Int64,
            DataType::Utf8,
            DataType::Float64,
            TIME,
            DataType::Boolean,
            DataType::Decimal128(10, 2),
            list_type(),
        ];
        let input = Input {
            relation: format!("t{}", self.plan.nodes.len()),
            columns: (0..types.len()).collect(),
            is_append_only: random.one_in(3),
            time: Some(4),
        };
        self.plan.add(Operator::Input(input), &[], schema(&types))
    }

    /// The last node, or sometimes any other.
    fn some_node(&self, random: &mut Random) -> NodeId {
        let count = self.plan.nodes.len();
        NodeId(if random.one_in(3) {
            random.index(count)
        } else {
            count - 1
        })
    }

    /// A column of one of these types.
    fn column_of(
        &self,
        node: NodeId,
        random: &mut Random,
        is_wanted: impl Fn(&DataType) -> bool,
    ) -> Option<usize> {
        let types = self.types(node);
        let columns: Vec<usize> = (0..types.len())
            .filter(|column| is_wanted(&types[*column]))
            .collect();
        (!columns.is_empty()).then(|| random.of(&columns))
    }

    fn some_columns(&self, node: NodeId, random: &mut Random, most: usize) -> Vec<usize> {
        let count = self.types(node).len();
        (0..random.index(most + 1))
            .map(|_| random.index(count))
            .collect()
    }

    fn add_node(&mut self, random: &mut Random, wanted: usize) {
        let node = self.some_node(random);
        if self.types(node).is_empty() {
            return;
        }
        let is_last = self.plan.nodes.len() + 1 == wanted;
        match random.below(14) {
            0 => self.add_project(node, random),
            1 => self.add_filter(node, random),
            2 | 3 => {
                let other = self.some_node(random);
                if self.types(node) == self.types(other) {
                    let all = random.one_in(2);
                    let operators = [
                        Operator::Union,
                        Operator::SetDifference { all },
                        Operator::SetIntersection { all },
                    ];
                    self.plan.add(
                        random.of(&operators),
                        &[node, other],
                        schema(&self.types(node)),
                    );
                }
            }
            4 => {
                self.plan
                    .add(Operator::Distinct, &[node], schema(&self.types(node)));
            }
            5 | 6 => self.add_join(node, random),
            7 | 8 => self.add_top(node, random),
            9 if random.one_in(3) => self.add_sessions(node, random),
            9 => self.add_windows(node, random),
            10 => self.add_unnest(node, random),
            11 => self.add_time(node, random),
            _ => self.add_aggregate(node, random, is_last),
        }
    }

    fn add_project(&mut self, node: NodeId, random: &mut Random) {
        let types = self.types(node);
        let mut functions = Vec::new();
        let mut results = Vec::new();
        for _ in 0..1 + random.index(4) {
            let (function, result) = self.some_function(node, random).unwrap_or_else(|| {
                let column = random.index(types.len());
                (Function::Column(column), types[column].clone())
            });
            functions.push(function);
            results.push(result);
        }
        let expressions = functions
            .iter()
            .map(|function| Arc::new(function.clone()) as _)
            .collect();
        let id = self
            .plan
            .add(Operator::Project(expressions), &[node], schema(&results));
        self.functions.insert(id.0, functions);
    }

    fn some_function(&self, node: NodeId, random: &mut Random) -> Option<(Function, DataType)> {
        let int = |random: &mut Random| {
            self.column_of(node, random, |data_type| data_type == &DataType::Int64)
        };
        match random.below(4) {
            0 => Some((Function::Add(int(random)?, int(random)?), DataType::Int64)),
            1 => Some((
                Function::Divide(int(random)?, int(random)?),
                DataType::Int64,
            )),
            _ => None,
        }
    }

    fn add_filter(&mut self, node: NodeId, random: &mut Random) {
        let types = self.types(node);
        let condition = some_condition(&types, random);
        let id = self.plan.add(
            Operator::Filter(Arc::new(condition.clone())),
            &[node],
            schema(&types),
        );
        self.functions.insert(id.0, vec![condition]);
    }

    fn add_top(&mut self, node: NodeId, random: &mut Random) {
        let order = self.some_columns(node, random, 2);
        let emits_number = random.one_in(2);
        let mut types = self.types(node);
        let (ties, offset, limit) = match random.below(4) {
            // The first of each, which takes less where rows never go.
            0 => (Ties::Numbered, 0, Some(1)),
            1 => (some_ties(random), random.below(3), None),
            _ => (some_ties(random), random.below(3), Some(random.below(4))),
        };
        let top = Operator::Top {
            partition: self.some_columns(node, random, 2),
            order: order
                .into_iter()
                .map(|column| some_order(column, random))
                .collect(),
            ties,
            offset,
            limit,
            emits_number,
        };
        if emits_number {
            types.push(DataType::Int64);
        }
        self.plan.add(top, &[node], schema(&types));
    }

    fn add_windows(&mut self, node: NodeId, random: &mut Random) {
        let Some(time) = self.column_of(node, random, |data_type| data_type == &TIME) else {
            return;
        };
        let us = Duration::from_micros;
        let size = us(1 + random.below(20));
        let offset = us(random.below(5));
        let kinds = [
            WindowKind::Tumble { size, offset },
            WindowKind::Hop {
                size,
                slide: us(1 + random.below(12)),
                offset,
            },
            WindowKind::Cumulate {
                size,
                step: us(1 + random.below(12)),
                offset,
            },
        ];
        let windows = random.of(&kinds);
        let types = [self.types(node), vec![TIME, TIME]].concat();
        let id = self
            .plan
            .add(Operator::Windows { time, windows }, &[node], schema(&types));
        if random.one_in(2) {
            self.add_window_aggregate(id, random);
        }
    }

    /// What most queries do with windows.
    fn add_window_aggregate(&mut self, node: NodeId, random: &mut Random) {
        use AggregateFunction::{Count, Max, Min, Sum};
        let types = self.types(node);
        let start = types.len() - 2;
        let keys = [
            vec![start, start + 1],
            vec![random.index(start), start + 1],
            vec![start + 1, random.index(types.len()), start],
        ];
        let keys = random.of(&keys);
        let mut results: Vec<DataType> = keys.iter().map(|key| types[*key].clone()).collect();
        let mut aggregates = Vec::new();
        for _ in 0..1 + random.index(3) {
            let argument = random.index(types.len());
            let filter = self.column_of(node, random, |data_type| data_type == &DataType::Boolean);
            let is_integer = types[argument] == DataType::Int64;
            let functions = [Count, Min, Max, if is_integer { Sum } else { Count }];
            let function = random.of(&functions);
            results.push(match function {
                Count => DataType::Int64,
                Sum => DataType::Decimal128(38, 0),
                _ => types[argument].clone(),
            });
            aggregates.push(Aggregate {
                function,
                arguments: vec![argument],
                distinct: random.one_in(8),
                filter: random.one_in(2).then_some(filter).flatten(),
                order: Vec::new(),
            });
        }
        let operator = Operator::Aggregate { keys, aggregates };
        self.plan.add(operator, &[node], schema(&results));
    }

    fn add_sessions(&mut self, node: NodeId, random: &mut Random) {
        let Some(time) = self.column_of(node, random, |data_type| data_type == &TIME) else {
            return;
        };
        let mut partition = self.some_columns(node, random, 2);
        partition.sort_unstable();
        partition.dedup();
        let sessions = Operator::Sessions {
            partition,
            time,
            gap: Duration::from_micros(1 + random.below(12)),
        };
        let types = [self.types(node), vec![TIME, TIME]].concat();
        self.plan.add(sessions, &[node], schema(&types));
    }

    fn add_unnest(&mut self, node: NodeId, random: &mut Random) {
        let Some(list) = self.column_of(node, random, |data_type| data_type == &list_type()) else {
            return;
        };
        let mut types = self.types(node);
        types[list] = DataType::Int64;
        let keeps_empty = random.one_in(2);
        self.plan.add(
            Operator::Unnest { list, keeps_empty },
            &[node],
            schema(&types),
        );
    }

    fn add_time(&mut self, node: NodeId, random: &mut Random) {
        let mut time = || self.column_of(node, random, |data_type| data_type == &TIME);
        let (Some(from), Some(until)) = (time(), time()) else {
            return;
        };
        let valid = |from, until| Operator::Valid { from, until };
        let operators = [
            Operator::EmitOnClose { window_end: from },
            valid(Some(from), None),
            valid(None, Some(until)),
            valid(Some(from), Some(until)),
        ];
        self.plan
            .add(random.of(&operators), &[node], schema(&self.types(node)));
    }

    fn add_join(&mut self, node: NodeId, random: &mut Random) {
        use JoinKind::{Full, Inner, Left, LeftAnti, LeftAntiNullAware, LeftMark, LeftSemi, Right};
        let kinds = [
            Inner,
            Left,
            Right,
            Full,
            LeftSemi,
            LeftAnti,
            LeftAntiNullAware,
            LeftMark,
        ];
        let mut kind = random.of(&kinds);
        let other = self.some_node(random);
        let (left, right) = (self.types(node), self.types(other));
        if right.is_empty() || left.len() + right.len() > 20 {
            return;
        }
        let mut keys = Vec::new();
        for _ in 0..random.index(3) {
            let a = random.index(left.len());
            if let Some(b) = self.column_of(other, random, |data_type| data_type == &left[a]) {
                keys.push((a, b));
            }
        }
        let both = [left.clone(), right].concat();
        let mut condition = random.one_in(2).then(|| some_condition(&both, random));
        let compared = random.index(left.len());
        if random.one_in(6)
            && let Some(right) =
                self.column_of(other, random, |data_type| data_type == &left[compared])
        {
            kind = JoinKind::AsOf {
                left: compared,
                right,
            };
            condition = None;
        }
        let results = match kind {
            LeftSemi | LeftAnti | LeftAntiNullAware => left,
            LeftMark => [left, vec![DataType::Boolean]].concat(),
            _ => both,
        };
        let join = Join {
            kind,
            keys,
            null_equals_null: random.one_in(3),
            condition: condition.clone().map(|condition| Arc::new(condition) as _),
        };
        let id = self
            .plan
            .add(Operator::Join(join), &[node, other], schema(&results));
        self.functions.insert(id.0, condition.into_iter().collect());
    }

    fn add_aggregate(&mut self, node: NodeId, random: &mut Random, is_last: bool) {
        let keys = self.some_columns(node, random, 2);
        let types = self.types(node);
        let mut results: Vec<DataType> = keys.iter().map(|key| types[*key].clone()).collect();
        let mut aggregates = Vec::new();
        for _ in 0..random.index(4) {
            let Some((aggregate, result)) = self.some_aggregate(node, random, is_last) else {
                continue;
            };
            aggregates.push(aggregate);
            results.push(result);
        }
        self.plan.add(
            Operator::Aggregate { keys, aggregates },
            &[node],
            schema(&results),
        );
    }

    fn some_aggregate(
        &self,
        node: NodeId,
        random: &mut Random,
        is_last: bool,
    ) -> Option<(Aggregate, DataType)> {
        use AggregateFunction as F;
        let types = self.types(node);
        let int = |data_type: &DataType| data_type == &DataType::Int64;
        let float = |data_type: &DataType| data_type == &DataType::Float64;
        let truth = |data_type: &DataType| data_type == &DataType::Boolean;
        let text = |data_type: &DataType| data_type == &DataType::Utf8;
        let any = |_: &DataType| true;
        let mut column =
            |is_wanted: &dyn Fn(&DataType) -> bool| self.column_of(node, random, is_wanted);
        let all = [column(&any)?];
        let (ints, floats, truths, texts) =
            (column(&int), column(&float), column(&truth), column(&text));
        let decimals = column(&|data_type| matches!(data_type, DataType::Decimal128(10, 2)));
        let same = |column: usize| types[column].clone();
        let moments = [F::VarPop, F::VarSamp, F::StddevPop, F::StddevSamp];
        let (function, arguments, result) = match random.below(17) {
            0 => (F::Count, vec![], DataType::Int64),
            1 => (F::Count, all.to_vec(), DataType::Int64),
            2 => (
                F::Sum,
                vec![ints?],
                random.of(&[DataType::Int64, DataType::Decimal128(30, 0)]),
            ),
            3 => (F::Sum, vec![floats?], DataType::Float64),
            4 => (F::Avg, vec![ints?], DataType::Float64),
            5 => (F::Sum, vec![decimals?], DataType::Decimal128(20, 2)),
            6 => (F::Avg, vec![decimals?], DataType::Decimal128(14, 6)),
            7 => (F::Min, all.to_vec(), same(all[0])),
            8 => (F::Max, all.to_vec(), same(all[0])),
            9 => (
                random.of(&[F::BoolAnd, F::BoolOr]),
                vec![truths?],
                DataType::Boolean,
            ),
            10 => (
                random.of(&[F::BitAnd, F::BitOr, F::BitXor]),
                vec![ints?],
                DataType::Int64,
            ),
            11 => (F::StringAgg, vec![texts?, texts?], DataType::Utf8),
            12 => (F::ArrayAgg, vec![ints?], list_type()),
            13 => (
                random.of(&[F::FirstValue, F::LastValue]),
                all.to_vec(),
                same(all[0]),
            ),
            14 if is_last => (random.of(&moments), vec![floats?], DataType::Float64),
            15 => (
                F::Percentile {
                    fraction_bits: 0.5_f64.to_bits(),
                },
                vec![floats?],
                DataType::Float64,
            ),
            _ => (F::ApproxDistinct, all.to_vec(), DataType::Int64),
        };
        let is_sorted = matches!(
            function,
            F::StringAgg | F::ArrayAgg | F::FirstValue | F::LastValue
        );
        // Which of several equal arguments' rows stands for them nobody says.
        let is_edge = matches!(function, F::FirstValue | F::LastValue);
        let distinct = !arguments.is_empty() && random.one_in(3);
        let mut order = Vec::new();
        if is_sorted && !distinct {
            for column in self.some_columns(node, random, 2) {
                order.push(some_order(column, random));
            }
        }
        let filter = if random.one_in(4) { truths } else { None };
        let aggregate = Aggregate {
            function,
            arguments,
            distinct: distinct && !(is_sorted && order.is_empty() && is_edge),
            filter,
            order,
        };
        Some((aggregate, result))
    }

    /// What an epoch does to each input, in any order; tables are what they are behind it.
    pub(super) fn changes(
        &self,
        tables: &mut BTreeMap<NodeId, Vec<Row>>,
        random: &mut Random,
    ) -> Vec<(NodeId, Vec<(Row, i64)>)> {
        let mut all = Vec::new();
        for (id, input) in self.plan.inputs() {
            let table = tables.get_mut(&id).expect("all inputs have one");
            let mut changes = Vec::new();
            for _ in 0..random.index(12) {
                if !table.is_empty() && !input.is_append_only && random.one_in(3) {
                    let gone = table.swap_remove(random.index(table.len()));
                    changes.push((gone, -1));
                } else {
                    let row = some_row(&self.types(id), random);
                    let times = if random.one_in(8) { 2 } else { 1 };
                    table.extend(std::iter::repeat_n(row.clone(), times as usize));
                    changes.push((row, times));
                }
            }
            for at in (1..changes.len()).rev() {
                changes.swap(at, random.index(at + 1));
            }
            all.push((id, changes));
        }
        all
    }

    /// Lets the clock and the watermarks go on.
    pub(super) fn advance(
        &self,
        moment: &mut Moment,
        _tables: &BTreeMap<NodeId, Vec<Row>>,
        random: &mut Random,
    ) {
        moment.now += random.below(10) as i64;
        for (id, _) in self.plan.inputs() {
            *moment.watermarks.entry(id).or_insert(0) += random.below(8) as i64;
        }
    }
}

fn some_condition(types: &[DataType], random: &mut Random) -> Function {
    let column = random.index(types.len());
    let others: Vec<usize> = (0..types.len())
        .filter(|other| types[*other] == types[column])
        .collect();
    if random.one_in(3) {
        Function::IsNull(column)
    } else {
        Function::Less(column, random.of(&others))
    }
}

fn some_ties(random: &mut Random) -> Ties {
    random.of(&[Ties::Numbered, Ties::Ranked, Ties::DenselyRanked])
}

pub(super) fn some_order(column: usize, random: &mut Random) -> SortKey {
    SortKey {
        column,
        descending: random.one_in(2),
        nulls_first: random.one_in(2),
    }
}

fn some_row(types: &[DataType], random: &mut Random) -> Row {
    types
        .iter()
        .map(|data_type| some_value(data_type, random))
        .collect()
}

fn some_value(data_type: &DataType, random: &mut Random) -> Value {
    if random.one_in(6) {
        return Value::Null;
    }
    match data_type {
        DataType::Int64 if random.one_in(40) => Value::Int(random.of(&[i64::MAX, i64::MIN])),
        DataType::Int64 => Value::Int(random.below(5) as i64 - 1),
        DataType::Utf8 => Value::Text(
            random
                .of(&["", "a", "b", "a\0b", "long enough not to be inline"])
                .to_owned(),
        ),
        // Quarters add up without error in any order.
        DataType::Float64 => Value::Float(random.below(9) as f64 / 4.0 - 1.0),
        DataType::Boolean => Value::Bool(random.one_in(2)),
        DataType::Decimal128(..) => Value::Decimal(i128::from(random.below(300)) - 100),
        DataType::List(_) => Value::List(
            (0..random.below(3))
                .map(|_| some_value(&DataType::Int64, random))
                .collect(),
        ),
        _ => Value::Time(random.below(60) as i64),
    }
}
