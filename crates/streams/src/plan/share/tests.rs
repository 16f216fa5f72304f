//! Reads of one relation become one, and nodes that are alike.

use arrow_schema::{DataType, Field};

use super::*;
use crate::plan::{Aggregate, AggregateFunction, Join, JoinKind};

fn schema(names: &[&str]) -> SchemaRef {
    let fields = names
        .iter()
        .map(|name| Field::new(*name, DataType::Int64, true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn read(plan: &mut Plan, columns: &[usize]) -> NodeId {
    let input = Input {
        relation: String::from("bids"),
        columns: columns.to_vec(),
        is_append_only: true,
        time: None,
    };
    let names: Vec<&str> = columns
        .iter()
        .map(|column| ["a", "b", "c"][*column])
        .collect();
    plan.add(Operator::Input(input), &[], schema(&names))
}

fn count(plan: &mut Plan, of: NodeId) -> NodeId {
    let aggregates = vec![Aggregate {
        function: AggregateFunction::Count,
        arguments: Vec::new(),
        distinct: false,
        filter: None,
        order: Vec::new(),
    }];
    let operator = Operator::Aggregate {
        keys: vec![0],
        aggregates,
    };
    plan.add(operator, &[of], schema(&["a", "count"]))
}

fn join(plan: &mut Plan, left: NodeId, right: NodeId) -> NodeId {
    let operator = Operator::Join(Join {
        kind: JoinKind::LeftSemi,
        keys: vec![(0, 0)],
        null_equals_null: false,
        condition: None,
    });
    let rows = plan.nodes[left.0].schema.clone();
    plan.add(operator, &[left, right], rows)
}

#[test]
fn equal_branches_are_one() {
    let mut plan = Plan::default();
    let [one, other] = [0, 0].map(|_| {
        let rows = read(&mut plan, &[0, 1]);
        count(&mut plan, rows)
    });
    join(&mut plan, one, other);
    let shared = plan.shared();
    assert_eq!(shared.nodes.len(), 3);
    assert_eq!(shared.nodes[2].inputs, [NodeId(1), NodeId(1)]);
}

#[test]
fn a_relation_is_read_once_for_all_columns() {
    let mut plan = Plan::default();
    let one = read(&mut plan, &[2, 0]);
    let other = read(&mut plan, &[1]);
    join(&mut plan, one, other);
    let shared = plan.shared();
    let inputs: Vec<_> = shared
        .inputs()
        .map(|(_, input)| input.columns.clone())
        .collect();
    assert_eq!(inputs, [[0, 1, 2]]);
    let projected: Vec<Vec<usize>> = shared.nodes[1..3]
        .iter()
        .map(|node| match &node.operator {
            Operator::Project(columns) => columns.iter().filter_map(|c| c.column()).collect(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(projected, [vec![2, 0], vec![1]]);
}

#[test]
fn what_nobody_needs_goes_and_the_result_stays_last() {
    let mut plan = Plan::default();
    let rows = read(&mut plan, &[0, 1]);
    let wanted = count(&mut plan, rows);
    join(&mut plan, wanted, wanted);
    let again = read(&mut plan, &[0, 1]);
    count(&mut plan, again);
    let shared = plan.shared();
    assert_eq!(shared.nodes.len(), 2);
    assert_eq!(shared.result().operator.name(), "aggregate");
}
