//! Joins of rows with times near each other: what ages is missed by nobody, and nothing of it is left.

use std::{any::Any, collections::BTreeMap, sync::Arc};

use arrow_array::{
    Array, ArrayRef, BooleanArray, RecordBatch, cast::AsArray, types::TimestampMicrosecondType,
};
use arrow_schema::DataType;

use super::{
    super::{EpochEnd, Graph},
    closing::{Run, some_rows},
    generate::{Random, TIME, schema},
    value::{Row, Value, to_delta},
};
use crate::{
    Expression, Fault, NodeId, Operator, Plan,
    plan::{Ages, Input, Join, JoinKind},
};

const CASES: u64 = 300;
const AT: usize = 2;

/// The left time less the right one is one of these.
#[derive(Debug, PartialEq)]
struct Near {
    least: i64,
    most: i64,
}

impl Expression for Near {
    fn evaluate(&self, rows: &RecordBatch) -> Result<ArrayRef, Fault> {
        let time = |column: usize| {
            rows.column(column)
                .as_primitive::<TimestampMicrosecondType>()
        };
        let (left, right) = (time(AT), time(AT + 3));
        let holds = (0..rows.num_rows()).map(|row| {
            let is_there = left.is_valid(row) && right.is_valid(row);
            let apart = is_there.then(|| left.value(row) - right.value(row))?;
            Some((self.least..=self.most).contains(&apart))
        });
        Ok(Arc::new(holds.collect::<BooleanArray>()))
    }

    fn is_same(&self, other: &dyn Expression) -> bool {
        (other as &dyn Any).downcast_ref::<Self>() == Some(self)
    }
}

fn plan(random: &mut Random) -> Plan {
    let are_append_only = [random.one_in(2), random.one_in(2)];
    let kind = random.of(&[
        JoinKind::Inner,
        JoinKind::Left,
        JoinKind::Right,
        JoinKind::Full,
        JoinKind::LeftSemi,
        JoinKind::LeftAnti,
    ]);
    let least = random.below(12) as i64 - 8;
    let most = least + random.below(9) as i64;
    let join = Join {
        kind,
        keys: if random.one_in(4) {
            vec![]
        } else {
            vec![(0, 0)]
        },
        null_equals_null: false,
        condition: Some(Arc::new(Near { least, most })),
    };
    joined(are_append_only, join)
}

fn joined(are_append_only: [bool; 2], join: Join) -> Plan {
    let types = [DataType::Int64, DataType::Int64, TIME];
    let mut plan = Plan::default();
    let mut input = |name: &str, is_append_only: bool| {
        let input = Input {
            relation: name.to_owned(),
            columns: vec![0, 1, 2],
            is_append_only,
            time: Some(AT),
        };
        plan.add(Operator::Input(input), &[], schema(&types))
    };
    let inputs = [
        input("t", are_append_only[0]),
        input("u", are_append_only[1]),
    ];
    let shown = match join.kind {
        JoinKind::LeftSemi | JoinKind::LeftAnti => types.to_vec(),
        _ => [&types[..], &types[..]].concat(),
    };
    plan.add(Operator::Join(join), &inputs, schema(&shown));
    plan
}

/// The same plan whose rows go.
fn aging(plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    for node in &mut plan.nodes {
        let Operator::Join(Join {
            condition: Some(condition),
            ..
        }) = &node.operator
        else {
            continue;
        };
        let condition: &dyn Any = &**condition;
        let near = condition.downcast_ref::<Near>().expect("it is this one");
        let ages = |until: i64| Ages {
            column: AT,
            late_us: 1,
            kept_us: until.max(0) + 1,
        };
        node.ages = Some([ages(-near.least), ages(near.most)]);
    }
    plan
}

fn none(inputs: &[NodeId]) -> BTreeMap<NodeId, Vec<Row>> {
    inputs.iter().map(|input| (*input, Vec::new())).collect()
}

#[test]
fn what_ages_is_missed_by_nobody() {
    for seed in 0..CASES {
        let mut random = Random::new(seed);
        let plan = plan(&mut random);
        let inputs: Vec<NodeId> = plan.inputs().map(|(input, _)| input).collect();
        let mut keeping = Run::new(plan.clone());
        let mut going = Run::new(aging(&plan));
        let mut watermark = 0;
        for epoch in 1..10 {
            let mut rows = none(&inputs);
            for rows in rows.values_mut() {
                *rows = some_rows(&mut random, watermark);
            }
            watermark += random.below(12) as i64;
            keeping.epoch(epoch, &rows, watermark);
            going.epoch(epoch, &rows, watermark);
            assert_eq!(
                keeping.sum, going.sum,
                "seed {seed}, epoch {epoch}: {plan:?}"
            );
            if random.one_in(3) {
                going.restore();
            }
        }
        assert_eq!(going.late + going.late_rows(), 0, "seed {seed}");
        going.epoch(11, &none(&inputs), 1000);
        assert_eq!(going.entries(), 0, "seed {seed}: {plan:?}");
        // The clock is all that a checkpoint holds.
        going.restore();
        let mut tables = going.stored.keys().map(|(_, table, _)| *table);
        assert!(tables.all(|table| table == u8::MAX), "seed {seed}");
        let before = going.sum.clone();
        let late = vec![vec![Value::Int(1), Value::Int(1), Value::Time(999)]];
        let late = inputs.iter().map(|input| (*input, late.clone())).collect();
        going.epoch(12, &late, 1000);
        assert_eq!(going.sum, before, "seed {seed}: {plan:?}");
        assert_eq!(going.late_rows(), 2, "seed {seed}: {plan:?}");
    }
}

/// Each row takes the slot of the one before the last, and waits for a time of its own.
#[test]
fn rows_that_are_replaced_count_until_their_time_has_come() {
    const EPOCHS: u64 = 3000;
    let join = Join {
        kind: JoinKind::Inner,
        keys: vec![(0, 0)],
        null_equals_null: false,
        condition: Some(Arc::new(Near { least: 0, most: 0 })),
    };
    let plan = aging(&joined([false; 2], join));
    let mut graph = Graph::new(&plan).expect("the plan holds");
    let row = |at: u64| {
        let at = 100 + (at % 3) as i64;
        vec![Value::Int(1), Value::Int(1), Value::Time(at)]
    };
    let mut bytes = Vec::new();
    for epoch in 1..=EPOCHS {
        let mut rows = vec![(row(epoch), 1)];
        if epoch > 1 {
            rows.push((row(epoch - 1), -1));
        }
        graph.push(NodeId(0), to_delta(&plan.nodes[0].schema, &rows));
        let watermark = if epoch < EPOCHS { 1 } else { 1000 };
        graph.end_epoch(EpochEnd {
            epoch,
            now: 0,
            watermarks: BTreeMap::from([(NodeId(0), watermark), (NodeId(1), watermark)]),
        });
        while graph.work() {}
        bytes.push(graph.state_bytes());
    }
    let [.., full, empty] = bytes[..] else {
        panic!("there were several epochs");
    };
    let waiting = EPOCHS as usize * size_of::<u32>();
    assert!(full > empty + waiting, "{full} and {empty} bytes");
}
