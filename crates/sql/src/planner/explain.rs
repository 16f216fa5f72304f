//! A dataflow as a tree of text, with what each operator keeps.

use std::{collections::BTreeMap, fmt::Write as _};

use streams::{
    NodeId, Operator, Plan,
    plan::{JoinKind, Ties, WindowKind},
};

use super::properties::{Properties, StateClass, properties};
use crate::catalog::Catalog;

/// One line for each node, the result first.
#[must_use]
pub fn explain(plan: &Plan, catalog: &Catalog) -> Vec<String> {
    explain_with(plan, catalog, &BTreeMap::new())
}

/// The same with what is to be said of each node, by its number.
#[must_use]
pub fn explain_with(
    plan: &Plan,
    catalog: &Catalog,
    notes: &BTreeMap<usize, String>,
) -> Vec<String> {
    let known = properties(plan, catalog);
    let mut lines = Vec::new();
    if let Some(last) = plan.nodes.len().checked_sub(1) {
        describe(plan, &known, NodeId(last), 0, &mut lines);
    }
    for (at, line) in &mut lines {
        if let Some(note) = notes.get(&at.0) {
            write!(line, " ({note})").expect("writing to text");
        }
    }
    lines.into_iter().map(|(_, line)| line).collect()
}

fn describe(
    plan: &Plan,
    known: &[Properties],
    at: NodeId,
    depth: usize,
    lines: &mut Vec<(NodeId, String)>,
) {
    let node = &plan.nodes[at.0];
    let mut line = "  ".repeat(depth);
    if depth > 0 {
        line.push_str("-> ");
    }
    let names = |columns: &[usize]| {
        let input = node.inputs.first().map(|input| &plan.nodes[input.0].schema);
        let names: Vec<&str> = columns
            .iter()
            .map(|at| input.map_or("?", |schema| super::names::shown(schema.field(*at).name())))
            .collect();
        names.join(", ")
    };
    line.push_str(&title(&node.operator, &names));
    let state = match known[at.0].state {
        StateClass::None => "none",
        StateClass::ByKeys => "by keys",
        StateClass::ByRows => "by rows",
        StateClass::Bounded => "bounded by watermark",
    };
    let form = if known[at.0].is_append_only {
        ", append-only"
    } else {
        ""
    };
    write!(line, "  (node {}, state: {state}{form})", at.0).expect("writing to text");
    lines.push((at, line));
    for input in &node.inputs {
        describe(plan, known, *input, depth + 1, lines);
    }
}

fn title(operator: &Operator, names: &dyn Fn(&[usize]) -> String) -> String {
    match operator {
        Operator::Input(input) => format!("Read {}", input.relation),
        Operator::Constant(rows) => format!("Rows: {}", rows.num_rows()),
        Operator::Project(expressions) => format!("Project {expressions:?}"),
        Operator::Filter(condition) => format!("Filter {condition:?}"),
        Operator::Windows { time, windows } => {
            let kind = match windows {
                WindowKind::Tumble { .. } => "Tumble",
                WindowKind::Hop { .. } => "Hop",
                WindowKind::Cumulate { .. } => "Cumulate",
            };
            format!("{kind} by {}", names(&[*time]))
        }
        Operator::Sessions {
            partition, time, ..
        } => format!("Sessions of [{}] by {}", names(partition), names(&[*time])),
        Operator::Unnest { list, .. } => format!("Unnest {}", names(&[*list])),
        Operator::Union => "Union".to_owned(),
        Operator::Aggregate { keys, aggregates } => {
            let functions: Vec<String> = aggregates
                .iter()
                .map(|aggregate| {
                    let distinct = if aggregate.distinct { "distinct " } else { "" };
                    format!(
                        "{:?}({distinct}{})",
                        aggregate.function,
                        names(&aggregate.arguments)
                    )
                })
                .collect();
            format!("Aggregate by [{}]: {}", names(keys), functions.join(", "))
        }
        Operator::Distinct => "Distinct".to_owned(),
        Operator::SetDifference { all } => if *all { "Except all" } else { "Except" }.to_owned(),
        Operator::SetIntersection { all } => {
            if *all { "Intersect all" } else { "Intersect" }.to_owned()
        }
        Operator::Join(join) => {
            let kind = match join.kind {
                JoinKind::AsOf { .. } => "AsOf".to_owned(),
                kind => format!("{kind:?}"),
            };
            let keys: Vec<String> = join
                .keys
                .iter()
                .map(|(left, right)| format!("#{left} = #{right}"))
                .collect();
            let condition = join
                .condition
                .as_ref()
                .map(|condition| format!(" if {condition:?}"));
            format!(
                "{kind} join on [{}]{}",
                keys.join(", "),
                condition.unwrap_or_default()
            )
        }
        Operator::Top {
            partition,
            order,
            ties,
            offset,
            limit,
            ..
        } => {
            let columns: Vec<usize> = order.iter().map(|key| key.column).collect();
            let ties = match ties {
                Ties::Numbered => "row_number",
                Ties::Ranked => "rank",
                Ties::DenselyRanked => "dense_rank",
            };
            let limit = limit.map_or("all".to_owned(), |limit| limit.to_string());
            format!(
                "Top {limit} from {offset} by {ties} in [{}] order [{}]",
                names(partition),
                names(&columns)
            )
        }
        Operator::EmitOnClose { window_end } => {
            format!("Emit when {} closes", names(&[*window_end]))
        }
        Operator::Valid { .. } => "Valid now".to_owned(),
        Operator::Custom(custom) => custom.name().to_owned(),
    }
}
