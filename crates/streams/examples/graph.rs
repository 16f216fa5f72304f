//! Rows per second of common plans: `cargo run --release -p streams --example graph -- 4000000 [part of a name]`.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use streams::{
    Delta, NodeId, Operator, Plan,
    delta::CHUNK_ROWS,
    graph::{EpochEnd, Graph},
    plan::{Aggregate, AggregateFunction, Input, Join, JoinKind, SortKey, Ties},
};

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> i64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % bound).cast_signed()
    }
}

fn schema(types: &[DataType]) -> SchemaRef {
    let fields = types.iter().enumerate();
    let fields =
        fields.map(|(at, data_type)| Field::new(format!("c{at}"), data_type.clone(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

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
    let mut random = Random(1);
    let types = [
        if is_text {
            DataType::Utf8
        } else {
            DataType::Int64
        },
        DataType::Int64,
    ];
    let chunk = |_| {
        let ids: Vec<i64> = (0..CHUNK_ROWS).map(|_| random.below(keys)).collect();
        let key: ArrayRef = if is_text {
            Arc::new(StringArray::from_iter_values(
                ids.iter().map(|id| format!("key {id}")),
            ))
        } else {
            Arc::new(Int64Array::from(ids))
        };
        let numbers = Int64Array::from_iter_values((0..CHUNK_ROWS).map(|_| random.below(1 << 40)));
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

const ALL_KEYS: [u64; 2] = [1000, 1_000_000];

/// Runs a plan over keys that are few, text, and many; what is made of the types gets the input's node.
fn each_key(
    asked: &Asked,
    what: &str,
    keys: &[u64],
    inputs: usize,
    make: impl Fn(&mut Plan, &[NodeId], &[DataType]),
) {
    for (keys, is_text) in keys.iter().flat_map(|keys| [(*keys, false), (*keys, true)]) {
        if !what.contains(&asked.name) {
            return;
        }
        let chunks = chunks(asked.rows, keys, is_text);
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

fn aggregates(asked: &Asked) {
    use AggregateFunction::{Count, Max, Sum};
    for (what, function, arguments) in [
        ("count", Count, vec![]),
        ("sum", Sum, vec![1]),
        ("max", Max, vec![1]),
    ] {
        each_key(asked, what, &ALL_KEYS, 1, |plan, from, types| {
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

fn top(asked: &Asked) {
    for limit in [1, 10] {
        each_key(
            asked,
            &format!("top {limit}"),
            &ALL_KEYS,
            1,
            |plan, from, types| {
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
            },
        );
    }
}

/// Of many keys each row has a few partners.
fn streams_joined(asked: &Asked) {
    each_key(
        asked,
        "streams joined",
        &[1_000_000],
        2,
        |plan, from, types| {
            let join = Join {
                kind: JoinKind::Inner,
                keys: vec![(0, 0)],
                null_equals_null: false,
                condition: None,
            };
            plan.add(Operator::Join(join), from, schema(&[types, types].concat()));
        },
    );
}

/// Of keys that are few each has many partners.
fn joins(asked: &Asked) {
    each_key(
        asked,
        "joined with groups",
        &ALL_KEYS,
        2,
        |plan, from, types| {
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
        },
    );
}

/// What the command line says.
struct Asked {
    rows: usize,
    name: String,
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let asked = Asked {
        rows: arguments
            .next()
            .map_or(100_000, |rows| rows.parse().expect("a number of rows")),
        name: arguments.next().unwrap_or_default(),
    };
    aggregates(&asked);
    top(&asked);
    joins(&asked);
    streams_joined(&asked);
}
