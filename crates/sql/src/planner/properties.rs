//! What is known of the rows of each node: their key, whether they only come, and how its state grows.

use std::time::Duration;

use streams::{
    Node, Operator, Plan,
    plan::{Ages, Closes, Join, JoinKind, Ties, WindowKind},
};

use super::interval;

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
    /// Columns of which the watermark says until when rows with their values come or go, late ones aside.
    pub times: Vec<Closes>,
    pub state: StateClass,
}

impl Properties {
    /// The column that the watermark speaks of.
    #[must_use]
    pub fn time(&self) -> Option<usize> {
        let times = self.times.iter();
        times
            .filter(|time| time.after_us <= INSTANT_US)
            .map(|time| time.column)
            .next()
    }
}

/// Rows of a moment come until the watermark is behind it.
const INSTANT_US: i64 = 1;

/// Lets nodes forget what is closed, where something that their rows have in common says when, and joins what is too old for
/// their condition.
pub fn close(plan: &mut Plan, catalog: &Catalog) {
    // What one join keeps no longer may be what another one above it needs to know.
    loop {
        let known = properties(plan, catalog);
        let of_join = |node: &Node| match &node.operator {
            Operator::Join(join)
                if node.ages.is_none() && shared_time(node, join, &known).is_none() =>
            {
                let [left, right] = [0, 1].map(|side: usize| node.inputs[side].0);
                let width = plan.nodes[left].schema.fields().len();
                interval::ages(join, &known[left].times, &known[right].times, width)
            }
            _ => None,
        };
        let found: Vec<_> = plan.nodes.iter().map(of_join).collect();
        if found.iter().all(Option::is_none) {
            break;
        }
        for (node, ages) in plan.nodes.iter_mut().zip(found) {
            node.ages = node.ages.or(ages);
        }
    }
    let known = properties(plan, catalog);
    for (node, known) in plan.nodes.iter_mut().zip(&known) {
        let own = &known.times;
        let first = |is_shared: &dyn Fn(usize) -> bool| {
            let shared = own.iter().filter(|time| is_shared(time.column));
            shared.min_by_key(|time| time.after_us).copied()
        };
        let closes = match &node.operator {
            Operator::Aggregate { keys, .. } => first(&|column| column < keys.len()),
            Operator::Top { partition, .. } => first(&|column| partition.contains(&column)),
            Operator::Distinct
            | Operator::SetDifference { .. }
            | Operator::SetIntersection { .. }
            | Operator::Sessions { .. } => first(&|_| true),
            Operator::Join(_) if node.ages.is_some() => None,
            Operator::Join(join) => shared_time_of(join, own),
            _ => None,
        };
        node.closes = closes;
    }
}

/// The time that closes a join's keys.
fn shared_time(node: &Node, join: &Join, known: &[Properties]) -> Option<Closes> {
    let [left, right] = [0, 1].map(|side: usize| node.inputs[side].0);
    let width = node.schema.fields().len();
    let times = times_of_join(join, &known[left], &known[right], false, width);
    shared_time_of(join, &times)
}

fn shared_time_of(join: &Join, times: &[Closes]) -> Option<Closes> {
    if matches!(
        join.kind,
        JoinKind::LeftAntiNullAware | JoinKind::AsOf { .. }
    ) {
        return None;
    }
    let is_key = |time: &&Closes| join.keys.iter().any(|(left, _)| *left == time.column);
    let keys = times.iter().filter(is_key);
    keys.min_by_key(|time| time.after_us).copied()
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
        let mut found = of_node(&node.operator, &inputs, &widths, width, catalog);
        if let (Some([left, right]), Operator::Join(join)) = (&node.ages, &node.operator) {
            found
                .times
                .extend(times_of_ages(join, left, right, widths[0]));
        }
        if node.closes.is_some() || node.ages.is_some() {
            found.state = StateClass::Bounded;
        }
        known.push(found);
    }
    known
}

fn stateless(key: Option<Vec<usize>>, is_append_only: bool, times: Vec<Closes>) -> Properties {
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
            let times = input.time.map(|column| Closes {
                column,
                after_us: INSTANT_US,
            });
            stateless(key, input.is_append_only, times.into_iter().collect())
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
            let of_time = times.iter().find(|known| known.column == *time);
            if let Some(of_time) = of_time.copied() {
                let late_us = of_time.after_us - INSTANT_US;
                let size_us = i64::try_from(size_of(*windows).as_micros()).unwrap_or(i64::MAX);
                for (column, after_us) in [(1, late_us), (0, late_us.saturating_add(size_us))] {
                    times.push(Closes {
                        column: widths[0] + column,
                        after_us,
                    });
                }
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
        Operator::Sessions { time, .. } => {
            // A session may begin long before it ends, and its rows come out again until then.
            let times = inputs[0].times.iter().filter(|known| known.column == *time);
            let times = times.map(|known| Closes {
                column: widths[0] + 1,
                after_us: known.after_us - INSTANT_US,
            });
            Properties {
                key: inputs[0].key.clone(),
                is_append_only: false,
                times: times.collect(),
                state: StateClass::ByRows,
            }
        }
        Operator::Unnest { list, .. } => {
            let times = inputs[0].times.iter().copied();
            let times = times.filter(|time| time.column != *list).collect();
            stateless(None, inputs[0].is_append_only, times)
        }
        Operator::Union => {
            let all = inputs.iter().all(|input| input.is_append_only);
            stateless(None, all, common(inputs))
        }
        Operator::Aggregate { keys, .. } => Properties {
            key: Some((0..keys.len()).collect()),
            is_append_only: false,
            times: places(&inputs[0].times, keys),
            state: StateClass::ByKeys,
        },
        Operator::Distinct => Properties {
            key: Some((0..width).collect()),
            state: StateClass::ByRows,
            ..inputs[0].clone()
        },
        Operator::SetDifference { all } | Operator::SetIntersection { all } => Properties {
            key: (!all).then(|| (0..width).collect()),
            is_append_only: false,
            times: common(inputs),
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
            // A row may come out again, or go, for another one of its partition.
            times: inputs[0]
                .times
                .iter()
                .copied()
                .filter(|time| partition.contains(&time.column))
                .collect(),
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
        // Rows come and go by the clock, long after the watermark has passed them.
        Operator::Valid { from, until } => Properties {
            times: Vec::new(),
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
        JoinKind::AsOf { .. } => left.key.clone(),
        JoinKind::Inner | JoinKind::Left if one_right => left.key.clone(),
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
    let times = times_of_join(join, left, right, only_left, widths[0]);
    Properties {
        key,
        is_append_only: both_append && matches!(join.kind, JoinKind::Inner | JoinKind::LeftSemi),
        times,
        state: StateClass::ByRows,
    }
}

/// A pair comes or goes for as long as either of its rows may find others.
fn times_of_ages(join: &Join, left: &Ages, right: &Ages, left_width: usize) -> Vec<Closes> {
    let closes = |column, ages: &Ages| Closes {
        column,
        after_us: ages.kept_us,
    };
    let (left, right) = (
        closes(left.column, left),
        closes(left_width + right.column, right),
    );
    // Where a side may be missing its columns are null, and close never.
    match join.kind {
        JoinKind::Inner => vec![left, right],
        JoinKind::Left | JoinKind::LeftSemi | JoinKind::LeftAnti | JoinKind::LeftMark => vec![left],
        JoinKind::Right => vec![right],
        _ => Vec::new(),
    }
}

/// A pair comes or goes with either of its rows, so only what both say holds for it.
fn times_of_join(
    join: &Join,
    left: &Properties,
    right: &Properties,
    only_left: bool,
    left_width: usize,
) -> Vec<Closes> {
    let of = |times: &[Closes], column: usize| {
        let found = times.iter().find(|time| time.column == column);
        found.map(|time| time.after_us)
    };
    let mut times = Vec::new();
    if join.kind == JoinKind::LeftAntiNullAware {
        // A null on the right takes all rows away, whatever their times.
        return times;
    }
    let mut pairs = join.keys.clone();
    let is_as_of = if let JoinKind::AsOf { left, right } = join.kind {
        pairs.push((left, right));
        true
    } else {
        false
    };
    for (left_key, right_key) in pairs {
        let (Some(one), Some(other)) = (of(&left.times, left_key), of(&right.times, right_key))
        else {
            continue;
        };
        let after_us = one.max(other);
        // Where one side may be missing its columns are null, and close never.
        if !matches!(join.kind, JoinKind::Right | JoinKind::Full) {
            times.push(Closes {
                column: left_key,
                after_us,
            });
        }
        let shows_right = !only_left && !is_as_of;
        if shows_right && !matches!(join.kind, JoinKind::Left | JoinKind::Full) {
            times.push(Closes {
                column: left_width + right_key,
                after_us,
            });
        }
    }
    times
}

/// Columns of the same rows in several inputs, of which each says until when.
fn common(inputs: &[&Properties]) -> Vec<Closes> {
    let in_all = |time: &Closes| {
        let found = inputs.iter().map(|input| {
            let mut times = input.times.iter();
            times.find(|other| other.column == time.column)
        });
        let after_us = found.map(|other| Some(other?.after_us));
        Some(Closes {
            column: time.column,
            after_us: after_us.collect::<Option<Vec<i64>>>()?.into_iter().max()?,
        })
    };
    inputs[0].times.iter().filter_map(in_all).collect()
}

fn size_of(windows: WindowKind) -> Duration {
    match windows {
        WindowKind::Tumble { size, .. }
        | WindowKind::Hop { size, .. }
        | WindowKind::Cumulate { size, .. } => size,
    }
}

/// The columns' new places, if all of them are still there.
fn mapped(key: &[usize], columns: &[usize]) -> Option<Vec<usize>> {
    key.iter()
        .map(|at| columns.iter().position(|column| column == at))
        .collect()
}

fn places(of: &[Closes], columns: &[usize]) -> Vec<Closes> {
    let numbered = columns.iter().enumerate();
    numbered
        .filter_map(|(at, column)| {
            let known = of.iter().find(|time| time.column == *column)?;
            Some(Closes {
                column: at,
                after_us: known.after_us,
            })
        })
        .collect()
}
