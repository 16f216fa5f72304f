//! Rows per second of common plans; few rows unless FOREBAY_ROWS says how many, and then it tells what it measured.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::DataType;

use super::generate::{Random, schema};
use crate::{
    Delta, NodeId, Operator, Plan,
    delta::CHUNK_ROWS,
    graph::{EpochEnd, Graph},
    plan::{Aggregate, AggregateFunction, Input, Join, JoinKind, SortKey, Ties},
};

fn input(plan: &mut Plan, types: &[DataType]) -> NodeId {
    let input = Input {
        relation: String::from("t"),
        columns: (0..types.len()).collect(),
        is_append_only: true,
        time: None,
    };
    plan.add(Operator::Input(input), &[], schema(types))
}

fn aggregate(function: AggregateFunction, arguments: Vec<usize>) -> Aggregate {
    Aggregate {
        function,
        arguments,
        distinct: false,
        filter: None,
        order: Vec::new(),
    }
}

/// Chunks of keys below `keys` and numbers.
fn chunks(rows: usize, keys: u64, is_text: bool) -> Vec<RecordBatch> {
    let mut random = Random::new(1);
    let types = [
        if is_text {
            DataType::Utf8
        } else {
            DataType::Int64
        },
        DataType::Int64,
    ];
    let chunk = |_| {
        let ids: Vec<i64> = (0..CHUNK_ROWS).map(|_| random.below(keys) as i64).collect();
        let key: ArrayRef = if is_text {
            Arc::new(StringArray::from_iter_values(
                ids.iter().map(|id| format!("key {id}")),
            ))
        } else {
            Arc::new(Int64Array::from(ids))
        };
        let numbers =
            Int64Array::from_iter_values((0..CHUNK_ROWS).map(|_| random.below(1 << 40) as i64));
        RecordBatch::try_new(schema(&types), vec![key, Arc::new(numbers)]).expect("two columns")
    };
    (0..rows.div_ceil(CHUNK_ROWS)).map(chunk).collect()
}

/// An epoch for each hundred chunks.
fn run(name: &str, plan: &Plan, chunks: &[RecordBatch]) {
    let mut graph = Graph::new(plan).expect("a plan that runs");
    let inputs: Vec<NodeId> = plan.inputs().map(|(id, _)| id).collect();
    let begin = Instant::now();
    let mut out = 0;
    for (epoch, some) in chunks.chunks(100).enumerate() {
        for (at, chunk) in some.iter().enumerate() {
            graph.push(inputs[at % inputs.len()], Delta::insert(chunk.clone()));
            while graph.work() {}
        }
        graph.end_epoch(EpochEnd {
            epoch: epoch as u64,
            now: 0,
            watermarks: BTreeMap::new(),
        });
        while graph.work() {}
        out += graph.take_output().iter().map(Delta::len).sum::<usize>();
    }
    let rows = chunks.len() * CHUNK_ROWS;
    let seconds = begin.elapsed().as_secs_f64();
    let bytes: usize = graph.stats().iter().map(|node| node.state_bytes).sum();
    println!(
        "{name}: {:.2} million rows/s, {out} rows out, {bytes} bytes of state",
        rows as f64 / seconds / 1e6
    );
    assert!(out > 0);
}

fn rows() -> usize {
    std::env::var("FOREBAY_ROWS").map_or(10_000, |rows| rows.parse().expect("a number of rows"))
}

/// Runs a plan over keys that are few, text, and many; what is made of the types gets the input's node.
fn each_key(what: &str, inputs: usize, make: impl Fn(&mut Plan, &[NodeId], &[DataType])) {
    for (keys, is_text) in [(1000, false), (1000, true), (1_000_000, false)] {
        let chunks = chunks(rows(), keys, is_text);
        let schema = chunks[0].schema();
        let types: Vec<DataType> = schema
            .fields()
            .iter()
            .map(|field| field.data_type().clone())
            .collect();
        let mut plan = Plan::default();
        let from: Vec<NodeId> = (0..inputs).map(|_| input(&mut plan, &types)).collect();
        make(&mut plan, &from, &types);
        run(
            &format!("{what}, {keys} keys of {}", types[0]),
            &plan,
            &chunks,
        );
    }
}

#[test]
fn speed_of_aggregates() {
    use AggregateFunction::{Count, Max, Sum};
    for (what, function, arguments) in [
        ("count", Count, vec![]),
        ("sum", Sum, vec![1]),
        ("max", Max, vec![1]),
    ] {
        each_key(what, 1, |plan, from, types| {
            let aggregates = vec![aggregate(function.clone(), arguments.clone())];
            plan.add(
                Operator::Aggregate {
                    keys: vec![0],
                    aggregates,
                },
                from,
                schema(types),
            );
        });
    }
}

#[test]
fn speed_of_top() {
    for limit in [1, 10] {
        each_key(&format!("top {limit}"), 1, |plan, from, types| {
            let top = Operator::Top {
                partition: vec![0],
                order: vec![SortKey {
                    column: 1,
                    descending: true,
                    nulls_first: false,
                }],
                ties: Ties::Numbered,
                offset: 0,
                limit: Some(limit),
                emits_number: false,
            };
            plan.add(top, from, schema(types));
        });
    }
}

/// Of keys that are few each has many partners.
#[test]
fn speed_of_joins() {
    each_key("join", 2, |plan, from, types| {
        let join = Join {
            kind: JoinKind::LeftSemi,
            keys: vec![(0, 0)],
            null_equals_null: false,
            condition: None,
        };
        plan.add(Operator::Join(join.clone()), from, schema(types));
        // Of unique keys on one side, every row of the other has one partner.
        let unique = Operator::Aggregate {
            keys: vec![0],
            aggregates: vec![aggregate(AggregateFunction::Count, Vec::new())],
        };
        let unique = plan.add(unique, &from[..1], schema(types));
        let inner = Join {
            kind: JoinKind::Inner,
            ..join
        };
        plan.add(
            Operator::Join(inner),
            &[from[1], unique],
            schema(&[types, types].concat()),
        );
    });
}
