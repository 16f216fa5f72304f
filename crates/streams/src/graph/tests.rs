//! Random plans over random deltas: at each epoch's end the sum of the output is what a model computes from all input.

mod aging;
mod closing;
mod generate;
mod model;
mod value;

use std::collections::BTreeMap;

use super::{EpochEnd, Graph, StateKey};
use crate::{NodeId, Operator, Plan, plan::Node};
use generate::{Case, Random};
use model::Moment;
use value::{Row, add_delta, to_delta};

type Stored = BTreeMap<(NodeId, u8, Vec<u8>), Vec<u8>>;

/// Cases of one run of the tests.
const CASES: u64 = 6000;

#[test]
fn the_sum_of_output_is_the_answer_over_all_input() {
    let only: Option<u64> = std::env::var("FOREBAY_SEED")
        .ok()
        .map(|seed| seed.parse().expect("a seed is a number"));
    let count = std::env::var("FOREBAY_SEEDS")
        .map_or(CASES, |count| count.parse().expect("a count of seeds"));
    let seeds = only.map_or(0..count, |seed| seed..seed + 1);
    for seed in seeds {
        run(seed, only.is_some());
    }
}

#[test]
fn the_same_input_gives_the_same_output() {
    for seed in 0..CASES / 10 {
        assert_eq!(run(seed, false), run(seed, false), "seed {seed}");
    }
}

/// A millisecond passes between two looks at it.
fn ticking() -> runtime::Instant {
    thread_local! {
        static NOW: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
    }
    NOW.set(NOW.get() + 1_000_000);
    runtime::Instant(NOW.get())
}

#[test]
fn each_piece_of_work_is_measured_once() {
    let case = Case::random(&mut Random::new(7));
    let mut graph = Graph::new(&case.plan).expect("the plan is sound");
    graph.set_clock(ticking);
    let inputs: Vec<_> = case.plan.inputs().map(|(id, _)| id).collect();
    for input in &inputs {
        let schema = case.plan.nodes[input.0].schema.clone();
        graph.push(*input, crate::Delta::empty(schema));
    }
    graph.end_epoch(EpochEnd::default());
    while graph.work() {}
    let busy: Vec<u128> = graph.stats().iter().map(|s| s.busy.as_millis()).collect();
    // At an epoch's end each node has its turn, whatever came.
    assert!(busy.iter().all(|ms| *ms >= 1), "{busy:?}");
    assert_eq!(busy.iter().sum::<u128>(), case.plan.nodes.len() as u128);
}

/// What came out, in order.
fn run(seed: u64, traces: bool) -> Vec<(Row, i64)> {
    let mut random = Random::new(seed);
    let case = Case::random(&mut random);
    if traces {
        eprintln!("{case}");
    }
    // Every other plan runs as what is left of one in which each node computes its inputs for itself.
    let plan = match seed % 2 {
        0 => case.plan.clone(),
        _ => doubled(&case.plan).paned().shared(),
    };
    let mut graph =
        Graph::new(&plan).unwrap_or_else(|error| panic!("seed {seed}: {error}\n{case}"));
    let mut stored = Stored::new();
    let mut tables: BTreeMap<NodeId, Vec<Row>> =
        case.plan.inputs().map(|(id, _)| (id, Vec::new())).collect();
    let mut sum = BTreeMap::new();
    let mut all = Vec::new();
    let mut moment = Moment::default();
    for epoch in 1..=1 + random.below(6) {
        for (input, changes) in case.changes(&mut tables, &mut random) {
            let mut changes = changes.as_slice();
            while !changes.is_empty() {
                let (some, rest) = changes.split_at(1 + random.index(changes.len()));
                changes = rest;
                if traces {
                    eprintln!("epoch {epoch}: {input:?} {some:?}");
                }
                if let Some(place) = place_of(&case.plan, input, &plan) {
                    graph.push(place, to_delta(&case.plan.nodes[input.0].schema, some));
                }
                for _ in 0..random.below(4) {
                    graph.work();
                }
            }
        }
        case.advance(&mut moment, &tables, &mut random);
        graph.end_epoch(EpochEnd {
            epoch,
            now: moment.now,
            watermarks: moment
                .watermarks
                .iter()
                .filter_map(|(input, time)| Some((place_of(&case.plan, *input, &plan)?, *time)))
                .collect(),
        });
        while graph.work() {}
        for delta in graph.take_output() {
            add_delta(&mut sum, &mut all, &delta);
        }
        if traces {
            eprintln!("epoch {epoch}: now {} {:?}", moment.now, moment.watermarks);
        }
        let expected = case.answer(&tables, &mut moment);
        assert_eq!(
            sum, expected,
            "seed {seed}, epoch {epoch}, left is the graph's\n{case}"
        );
        if random.one_in(2) {
            checkpoint(&mut graph, &mut stored, random.one_in(8));
            if random.one_in(2) {
                graph = restored(&plan, &stored, seed);
            }
        }
    }
    all
}

fn checkpoint(graph: &mut Graph, stored: &mut Stored, all: bool) {
    let checks = stored.len().is_multiple_of(2);
    if all {
        stored.clear();
    }
    let mut write = |key: StateKey<'_>, value: Option<&[u8]>| {
        let at = (key.node, key.table, key.key.to_vec());
        match value {
            Some(value) => stored.insert(at, value.to_vec()),
            None => stored.remove(&at),
        };
    };
    let mut begins_with_all = all;
    while graph.checkpoint(begins_with_all, &mut write) {
        begins_with_all = false;
    }
    // What a full one writes is what all of the others have added up to.
    if checks && !all {
        let mut full = Stored::new();
        let has_more = graph.checkpoint(true, &mut |key, value| {
            let value = value.expect("a full checkpoint removes nothing");
            full.insert((key.node, key.table, key.key.to_vec()), value.to_vec());
        });
        assert!(!has_more, "a test has few entries");
        assert_eq!(&full, stored);
    }
}

/// A plan of the same result in which no node has two readers.
fn doubled(plan: &Plan) -> Plan {
    fn add(from: &Plan, node: NodeId, to: &mut Plan) -> NodeId {
        let Node {
            operator,
            inputs,
            schema,
            closes,
            ages,
        } = from.nodes[node.0].clone();
        let inputs: Vec<NodeId> = inputs.iter().map(|input| add(from, *input, to)).collect();
        let added = to.add(operator, &inputs, schema);
        to.nodes[added.0].closes = closes;
        to.nodes[added.0].ages = ages;
        added
    }
    let mut doubled = Plan::default();
    add(plan, NodeId(plan.nodes.len() - 1), &mut doubled);
    doubled
}

/// Where another plan reads the relation of an input, if it does.
fn place_of(plan: &Plan, input: NodeId, other: &Plan) -> Option<NodeId> {
    let Operator::Input(wanted) = &plan.nodes[input.0].operator else {
        return None;
    };
    let mut inputs = other.inputs();
    let found = inputs.find(|(_, input)| input.relation == wanted.relation);
    found.map(|(place, _)| place)
}

fn restored(plan: &Plan, stored: &Stored, seed: u64) -> Graph {
    let mut graph = Graph::new(plan).expect("it was made before");
    for ((node, table, key), value) in stored {
        let key = StateKey {
            node: *node,
            table: *table,
            key,
        };
        graph
            .restore(key, value)
            .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
    graph
}
