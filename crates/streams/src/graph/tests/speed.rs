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

#[test]
fn speed() {
    use AggregateFunction::{Count, Max, Min, Sum};
    let rows: usize = std::env::var("FOREBAY_ROWS")
        .map_or(10_000, |rows| rows.parse().expect("a number of rows"));
    for (keys, is_text) in [(1000, false), (1000, true), (1_000_000, false)] {
        let chunks = chunks(rows, keys, is_text);
        let types: Vec<DataType> = chunks[0]
            .schema()
            .fields()
            .iter()
            .map(|field| field.data_type().clone())
            .collect();
        let name = |what: &str| format!("{what}, {keys} keys of {}", types[0]);
        for (what, function) in [("count", Count), ("sum", Sum), ("max", Max), ("min", Min)] {
            let mut plan = Plan::default();
            let from = input(&mut plan, &types);
            let arguments = if function == Count { vec![] } else { vec![1] };
            let aggregates = vec![aggregate(function, arguments)];
            plan.add(
                Operator::Aggregate {
                    keys: vec![0],
                    aggregates,
                },
                &[from],
                schema(&types),
            );
            run(&name(what), &plan, &chunks);
        }
        let mut plan = Plan::default();
        let from = input(&mut plan, &types);
        let top = Operator::Top {
            partition: vec![0],
            order: vec![SortKey {
                column: 1,
                descending: true,
                nulls_first: false,
            }],
            ties: Ties::Numbered,
            offset: 0,
            limit: Some(10),
            emits_number: false,
        };
        plan.add(top, &[from], schema(&types));
        run(&name("top 10"), &plan, &chunks);
        if keys < 1_000_000 {
            continue;
        }
        let mut plan = Plan::default();
        let (left, right) = (input(&mut plan, &types), input(&mut plan, &types));
        let join = Join {
            kind: JoinKind::Inner,
            keys: vec![(0, 0)],
            null_equals_null: false,
            condition: None,
        };
        plan.add(
            Operator::Join(join),
            &[left, right],
            schema(&[types.clone(), types.clone()].concat()),
        );
        run(&name("join"), &plan, &chunks);
    }
}
