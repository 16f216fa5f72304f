//! What is known of the rows of each node: their key, whether they only come, and how its state grows.

use streams::{
    Operator, Plan,
    plan::{Join, JoinKind, Ties, WindowKind},
};

use crate::catalog::Catalog;

/// How much a node keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateClass {
    None,
    /// An entry for each key that is there.
    ByKeys,
    /// As many entries as rows.
    ByRows,
    /// What is older than the watermark is let go.
    Bounded,
}

/// See the module head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Properties {
    /// Columns that no two rows share.
    pub key: Option<Vec<usize>>,
    pub is_append_only: bool,
    /// Columns that are times of which the watermark says that no earlier ones come.
    pub times: Vec<usize>,
    pub state: StateClass,
}

/// For each node.
#[must_use]
pub fn properties(plan: &Plan, catalog: &Catalog) -> Vec<Properties> {
    let mut known: Vec<Properties> = Vec::with_capacity(plan.nodes.len());
    for node in &plan.nodes {
        let inputs: Vec<&Properties> = node.inputs.iter().map(|input| &known[input.0]).collect();
        let widths: Vec<usize> = node
            .inputs
            .iter()
            .map(|input| plan.nodes[input.0].schema.fields().len())
            .collect();
        let width = node.schema.fields().len();
        let found = of_node(&node.operator, &inputs, &widths, width, catalog);
        known.push(found);
    }
    known
}

fn stateless(key: Option<Vec<usize>>, is_append_only: bool, times: Vec<usize>) -> Properties {
    Properties {
        key,
        is_append_only,
        times,
        state: StateClass::None,
    }
}

fn of_node(
    operator: &Operator,
    inputs: &[&Properties],
    widths: &[usize],
    width: usize,
    catalog: &Catalog,
) -> Properties {
    match operator {
        Operator::Input(input) => {
            let key = catalog
                .get(&input.relation)
                .and_then(|relation| relation.key.as_ref())
                .and_then(|key| mapped(key, &input.columns));
            stateless(key, input.is_append_only, input.time.into_iter().collect())
        }
        Operator::Constant(rows) => {
            stateless((rows.num_rows() <= 1).then(Vec::new), true, Vec::new())
        }
        Operator::Project(expressions) => {
            let columns: Vec<usize> = expressions
                .iter()
                .map(|expression| expression.column().unwrap_or(usize::MAX))
                .collect();
            let key = inputs[0].key.as_ref().and_then(|key| mapped(key, &columns));
            let times = places(&inputs[0].times, &columns);
            stateless(key, inputs[0].is_append_only, times)
        }
        Operator::Filter(_) => stateless(
            inputs[0].key.clone(),
            inputs[0].is_append_only,
            inputs[0].times.clone(),
        ),
        Operator::Windows { time, windows } => {
            let mut times = inputs[0].times.clone();
            if times.contains(time) {
                times.extend([widths[0], widths[0] + 1]);
            }
            let is_one = matches!(windows, WindowKind::Tumble { .. });
            let key = inputs[0].key.clone().map(|mut key| {
                if !is_one {
                    key.push(widths[0] + 1);
                }
                key
            });
            stateless(key, inputs[0].is_append_only, times)
        }
        Operator::Unnest { list, .. } => {
            let times = inputs[0]
                .times
                .iter()
                .copied()
                .filter(|at| at != list)
                .collect();
            stateless(None, inputs[0].is_append_only, times)
        }
        Operator::Union => {
            let all = inputs.iter().all(|input| input.is_append_only);
            let times = inputs[0].times.iter().copied();
            let times = times
                .filter(|time| inputs.iter().all(|input| input.times.contains(time)))
                .collect();
            stateless(None, all, times)
        }
        Operator::Aggregate { keys, .. } => {
            let times = places(&inputs[0].times, keys);
            let state = if !times.is_empty() && inputs[0].is_append_only {
                StateClass::Bounded
            } else {
                StateClass::ByKeys
            };
            Properties {
                key: Some((0..keys.len()).collect()),
                is_append_only: false,
                times,
                state,
            }
        }
        Operator::Distinct => Properties {
            key: Some((0..width).collect()),
            state: if inputs[0].times.is_empty() {
                StateClass::ByRows
            } else {
                StateClass::Bounded
            },
            ..inputs[0].clone()
        },
        Operator::SetDifference { all } | Operator::SetIntersection { all } => Properties {
            key: (!all).then(|| (0..width).collect()),
            is_append_only: false,
            times: Vec::new(),
            state: StateClass::ByRows,
        },
        Operator::Join(join) => of_join(join, inputs, widths),
        Operator::Top {
            partition,
            ties,
            limit,
            emits_number,
            ..
        } => Properties {
            key: if *limit == Some(1) && *ties == Ties::Numbered {
                Some(partition.clone())
            } else {
                inputs[0].key.clone()
            },
            is_append_only: inputs[0].is_append_only && limit.is_none() && !emits_number,
            times: inputs[0].times.clone(),
            state: if limit.is_some() && inputs[0].is_append_only {
                StateClass::ByKeys
            } else {
                StateClass::ByRows
            },
        },
        Operator::EmitOnClose { .. } => Properties {
            is_append_only: true,
            state: StateClass::Bounded,
            ..inputs[0].clone()
        },
        Operator::Custom(custom) => Properties {
            key: None,
            is_append_only: custom.is_append_only(),
            times: Vec::new(),
            state: StateClass::ByRows,
        },
        Operator::Valid { from, until } => Properties {
            is_append_only: inputs[0].is_append_only && until.is_none(),
            state: if until.is_none() && from.is_none() {
                StateClass::None
            } else {
                StateClass::ByRows
            },
            ..inputs[0].clone()
        },
    }
}

fn of_join(join: &Join, inputs: &[&Properties], widths: &[usize]) -> Properties {
    let (left, right) = (inputs[0], inputs[1]);
    let only_left = matches!(
        join.kind,
        JoinKind::LeftSemi | JoinKind::LeftAnti | JoinKind::LeftAntiNullAware | JoinKind::LeftMark
    );
    let both_append = left.is_append_only && right.is_append_only;
    let covers = |key: &Option<Vec<usize>>, columns: &[usize]| {
        key.as_ref()
            .is_some_and(|key| key.iter().all(|at| columns.contains(at)))
    };
    let left_columns: Vec<usize> = join.keys.iter().map(|(left, _)| *left).collect();
    let right_columns: Vec<usize> = join.keys.iter().map(|(_, right)| *right).collect();
    let one_right = covers(&right.key, &right_columns);
    let one_left = covers(&left.key, &left_columns);
    let shifted = right
        .key
        .as_ref()
        .map(|key| key.iter().map(|at| at + widths[0]).collect::<Vec<_>>());
    let key = match join.kind {
        _ if only_left => left.key.clone(),
        JoinKind::Inner | JoinKind::Left | JoinKind::AsOf { .. } if one_right => left.key.clone(),
        JoinKind::Inner | JoinKind::Right if one_left => shifted,
        JoinKind::Inner => left.key.clone().zip(shifted).map(|(mut left, right)| {
            left.extend(right);
            left
        }),
        // A side that is null tells no two rows apart, but the other's key with it does.
        JoinKind::Left | JoinKind::Right | JoinKind::Full => {
            left.key.clone().zip(shifted).map(|(mut left, right)| {
                left.extend(right);
                left
            })
        }
        _ => None,
    };
    let mut times = left.times.clone();
    if !only_left {
        times.extend(right.times.iter().map(|at| at + widths[0]));
    }
    Properties {
        key,
        is_append_only: both_append && matches!(join.kind, JoinKind::Inner | JoinKind::LeftSemi),
        times,
        state: StateClass::ByRows,
    }
}

/// The columns' new places, if all of them are still there.
fn mapped(key: &[usize], columns: &[usize]) -> Option<Vec<usize>> {
    key.iter()
        .map(|at| columns.iter().position(|column| column == at))
        .collect()
}

fn places(of: &[usize], columns: &[usize]) -> Vec<usize> {
    let numbered = columns.iter().enumerate();
    numbered
        .filter(|(_, column)| of.contains(column))
        .map(|(at, _)| at)
        .collect()
}
