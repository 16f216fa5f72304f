//! Windows that close: what is let go is missed by nobody, and nothing of it is left.

use std::{collections::BTreeMap, time::Duration};

use arrow_schema::DataType;

use super::{
    super::{EpochEnd, Graph, StateKey},
    Stored,
    generate::{Random, TIME, list_type, schema, some_order},
    value::{Row, Value, add_delta, to_delta},
};
use crate::{
    NodeId, Operator, Plan,
    plan::{Aggregate, AggregateFunction, Closes, Input, Join, JoinKind, Ties, WindowKind},
};

const CASES: u64 = 200;

/// Columns of the input, and where the window's end stands behind them.
const KEY: usize = 0;
const VALUE: usize = 1;
const AT: usize = 2;
const END: usize = 4;

fn windowed(plan: &mut Plan, is_session: bool) -> NodeId {
    let types = [DataType::Int64, DataType::Int64, TIME];
    let input = Input {
        relation: String::from("t"),
        columns: vec![0, 1, 2],
        is_append_only: true,
        time: Some(AT),
    };
    let input = plan.add(Operator::Input(input), &[], schema(&types));
    let operator = if is_session {
        Operator::Sessions {
            partition: vec![KEY],
            time: AT,
            gap: Duration::from_micros(4),
        }
    } else {
        let windows = WindowKind::Hop {
            size: Duration::from_micros(8),
            slide: Duration::from_micros(4),
            offset: Duration::ZERO,
        };
        Operator::Windows { time: AT, windows }
    };
    let types = [&types[..], &[TIME, TIME]].concat();
    plan.add(operator, &[input], schema(&types))
}

fn aggregated(plan: &mut Plan, input: NodeId) {
    use AggregateFunction::{ArrayAgg, Count, Max, Sum};
    let aggregate = |function: AggregateFunction, distinct: bool| Aggregate {
        arguments: if function == Count {
            vec![]
        } else {
            vec![VALUE]
        },
        function,
        distinct,
        filter: None,
        order: Vec::new(),
    };
    let aggregates = vec![
        aggregate(Count, false),
        aggregate(Sum, true),
        aggregate(Max, false),
        aggregate(ArrayAgg, false),
    ];
    let types = [
        TIME,
        DataType::Int64,
        DataType::Int64,
        DataType::Int64,
        DataType::Int64,
        list_type(),
    ];
    let keys = vec![END, KEY];
    plan.add(
        Operator::Aggregate { keys, aggregates },
        &[input],
        schema(&types),
    );
}

/// A plan, and the place of the window's end in its result.
fn plan(random: &mut Random) -> (Plan, usize) {
    let mut plan = Plan::default();
    let is_session = random.one_in(2);
    let node = windowed(&mut plan, is_session);
    let types = [DataType::Int64, DataType::Int64, TIME, TIME, TIME];
    match random.below(4) {
        0 => {
            aggregated(&mut plan, node);
            return (plan, 0);
        }
        1 => {
            let order = vec![some_order(VALUE, random)];
            let operator = Operator::Top {
                partition: vec![END],
                order,
                ties: random.of(&[Ties::Numbered, Ties::Ranked]),
                offset: 0,
                limit: Some(2),
                emits_number: false,
            };
            plan.add(operator, &[node], schema(&types));
        }
        2 => {
            plan.add(Operator::Distinct, &[node], schema(&types));
        }
        _ => {
            let other = windowed(&mut plan, is_session);
            let join = Join {
                kind: random.of(&[JoinKind::Inner, JoinKind::Left, JoinKind::Full]),
                keys: vec![(KEY, KEY), (END, END)],
                null_equals_null: false,
                condition: None,
            };
            let types = [types.clone(), types].concat();
            plan.add(Operator::Join(join), &[node, other], schema(&types));
        }
    }
    (plan, END)
}

/// The same plan whose state goes.
fn closing(plan: &Plan, end: usize) -> Plan {
    let mut plan = plan.clone();
    for node in &mut plan.nodes {
        let column = match &node.operator {
            Operator::Input(_) | Operator::Windows { .. } => continue,
            Operator::Sessions { .. } => END,
            _ => end,
        };
        node.closes = Some(Closes {
            column,
            after_us: 0,
        });
    }
    plan
}

pub(super) struct Run {
    plan: Plan,
    graph: Graph,
    pub(super) stored: Stored,
    pub(super) sum: BTreeMap<Row, i64>,
    pub(super) late: u64,
}

impl Run {
    pub(super) fn new(plan: Plan) -> Self {
        Self {
            graph: Graph::new(&plan).expect("the plan holds"),
            plan,
            stored: Stored::new(),
            sum: BTreeMap::new(),
            late: 0,
        }
    }

    pub(super) fn epoch(&mut self, epoch: u64, rows: &BTreeMap<NodeId, Vec<Row>>, watermark: i64) {
        for (input, rows) in rows {
            let rows: Vec<(Row, i64)> = rows.iter().map(|row| (row.clone(), 1)).collect();
            if !rows.is_empty() {
                let schema = &self.plan.nodes[input.0].schema;
                self.graph.push(*input, to_delta(schema, &rows));
            }
        }
        self.graph.end_epoch(EpochEnd {
            epoch,
            now: 0,
            watermarks: rows.keys().map(|input| (*input, watermark)).collect(),
        });
        while self.graph.work() {}
        for delta in self.graph.take_output() {
            add_delta(&mut self.sum, &mut Vec::new(), &delta);
        }
    }

    pub(super) fn restore(&mut self) {
        let stored = &mut self.stored;
        let mut write = |key: StateKey<'_>, value: Option<&[u8]>| {
            let at = (key.node, key.table, key.key.to_vec());
            match value {
                Some(value) => stored.insert(at, value.to_vec()),
                None => stored.remove(&at),
            };
        };
        while self.graph.checkpoint(false, &mut write) {}
        self.late += self.late_rows();
        self.graph = Graph::new(&self.plan).expect("it was made before");
        for ((node, table, key), value) in &self.stored {
            let (node, table) = (*node, *table);
            let restored = self.graph.restore(StateKey { node, table, key }, value);
            restored.expect("the state is its own");
        }
    }

    pub(super) fn late_rows(&self) -> u64 {
        self.graph.stats().iter().map(|stats| stats.late_rows).sum()
    }

    pub(super) fn entries(&self) -> usize {
        self.graph
            .stats()
            .iter()
            .map(|stats| stats.state_entries)
            .sum()
    }
}

pub(super) fn some_rows(random: &mut Random, from: i64) -> Vec<Row> {
    let count = random.below(6);
    let row = |random: &mut Random| {
        let at = from + random.below(30) as i64;
        let value = Value::Int(random.below(4) as i64);
        vec![Value::Int(random.below(3) as i64), value, Value::Time(at)]
    };
    (0..count).map(|_| row(random)).collect()
}

#[test]
fn what_is_closed_is_missed_by_nobody() {
    for seed in 0..CASES {
        let mut random = Random::new(seed);
        let (plan, end) = plan(&mut random);
        let inputs: Vec<NodeId> = plan.inputs().map(|(input, _)| input).collect();
        let mut keeping = Run::new(plan.clone());
        let mut closing = Run::new(closing(&plan, end));
        let mut watermark = 0;
        let mut epoch = 0;
        for _ in 0..8 {
            epoch += 1;
            let rows = inputs
                .iter()
                .map(|input| (*input, some_rows(&mut random, watermark)));
            let rows: BTreeMap<NodeId, Vec<Row>> = rows.collect();
            watermark += random.below(12) as i64;
            keeping.epoch(epoch, &rows, watermark);
            closing.epoch(epoch, &rows, watermark);
            assert_eq!(
                keeping.sum, closing.sum,
                "seed {seed}, epoch {epoch}: {plan:?}"
            );
            if random.one_in(3) {
                closing.restore();
            }
        }
        assert_eq!(closing.late + closing.late_rows(), 0, "seed {seed}");
        let none: BTreeMap<NodeId, Vec<Row>> =
            inputs.iter().map(|input| (*input, Vec::new())).collect();
        closing.epoch(epoch + 1, &none, 1000);
        assert_eq!(closing.entries(), 0, "seed {seed}: {plan:?}");
        // Without an entry the clock is all that a checkpoint holds.
        closing.restore();
        assert!(
            closing.stored.keys().all(|(_, table, _)| *table == u8::MAX),
            "seed {seed}"
        );
        // Now all of them are late.
        let before = closing.sum.clone();
        let late = vec![vec![Value::Int(1), Value::Int(1), Value::Time(7)]];
        let late: BTreeMap<NodeId, Vec<Row>> =
            inputs.iter().map(|input| (*input, late.clone())).collect();
        closing.epoch(epoch + 2, &late, 1000);
        assert_eq!(closing.sum, before, "seed {seed}: {plan:?}");
        assert!(closing.late_rows() > 0, "seed {seed}: {plan:?}");
    }
}

/// The difference of two times may be more than a time holds.
#[test]
fn sessions_as_far_apart_as_times_can_be_are_two() {
    let mut plan = Plan::default();
    windowed(&mut plan, true);
    let mut run = Run::new(closing(&plan, END));
    let row = |at| vec![Value::Int(1), Value::Int(1), Value::Time(at)];
    let input = plan.inputs().map(|(input, _)| input).next();
    let input = input.expect("there is one");
    let rows = vec![row(i64::MIN + 10), row(i64::MAX - 10)];
    run.epoch(1, &BTreeMap::from([(input, rows)]), i64::MIN + 1);
    run.restore();
    let none = BTreeMap::from([(input, Vec::new())]);
    run.epoch(2, &none, 0);
    assert_eq!(run.sum.len(), 2);
    assert_eq!(run.entries(), 1);
}

/// A value that goes and comes while its group lives takes no more room each time.
#[test]
fn distinct_values_that_come_again_take_no_more_room() {
    let mut plan = Plan::default();
    let node = windowed(&mut plan, false);
    aggregated(&mut plan, node);
    if let Operator::Input(input) = &mut plan.nodes[0].operator {
        input.is_append_only = false;
    }
    let mut run = Run::new(closing(&plan, 0));
    let row = |value| vec![Value::Int(1), Value::Int(value), Value::Time(0)];
    let (schema, none) = (plan.nodes[0].schema.clone(), BTreeMap::new());
    run.graph.push(NodeId(0), to_delta(&schema, &[(row(1), 1)]));
    let mut bytes = Vec::new();
    for epoch in 0..2000 {
        let weight = if epoch % 2 == 0 { 1 } else { -1 };
        run.graph
            .push(NodeId(0), to_delta(&schema, &[(row(2), weight)]));
        run.epoch(epoch + 1, &none, 0);
        run.graph.checkpoint(false, &mut |_, _| {});
        bytes.push(run.graph.state_bytes());
    }
    assert_eq!(bytes[100], bytes[1998]);
}

/// Making panes of windows takes nothing away.
#[test]
fn what_closes_still_does_in_panes() {
    let mut random = Random::new(1);
    for _ in 0..50 {
        let (plan, end) = plan(&mut random);
        let closing = closing(&plan, end);
        assert_eq!(closing.clone().paned().nodes, closing.nodes);
    }
}

/// A session of many rows is looked at piece by piece when one comes, and goes piece by piece.
#[test]
fn a_long_session_is_no_work_at_a_stretch() {
    let mut plan = Plan::default();
    windowed(&mut plan, true);
    let mut run = Run::new(closing(&plan, END));
    let row = |at| vec![Value::Int(1), Value::Int(1), Value::Time(at)];
    let none = BTreeMap::new();
    let schema = plan.nodes[0].schema.clone();
    let all: Vec<(Row, i64)> = (0..20_000).map(|at| (row(at), 1)).collect();
    run.graph.push(NodeId(0), to_delta(&schema, &all));
    run.epoch(1, &none, 0);
    run.restore();
    run.graph
        .push(NodeId(0), to_delta(&schema, &[(row(20_001), 1)]));
    run.graph.end_epoch(EpochEnd {
        epoch: 2,
        now: 0,
        watermarks: BTreeMap::new(),
    });
    let mut pieces = 0;
    while run.graph.work() {
        pieces += 1;
    }
    assert!(pieces > 20, "{pieces} pieces of work");
    run.epoch(3, &none, 0);
    let windows: BTreeMap<Vec<Value>, usize> =
        run.sum.keys().fold(BTreeMap::new(), |mut all, row| {
            *all.entry(row[3..].to_vec()).or_default() += 1;
            all
        });
    let window = vec![Value::Time(0), Value::Time(20_005)];
    assert_eq!(windows, BTreeMap::from([(window, 20_001)]));
    let end = BTreeMap::from([(NodeId(0), Vec::new())]);
    run.epoch(4, &end, 30_000);
    assert_eq!(run.entries(), 0);
    assert_eq!(run.sum.len(), 20_001);
}
