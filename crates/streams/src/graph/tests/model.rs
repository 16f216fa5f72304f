//! What plans mean, as plain loops over all rows.

use std::collections::{BTreeMap, BTreeSet};

use arrow_schema::DataType;

use super::{
    generate::Case,
    value::{Row, Value},
};
use crate::{
    NodeId, Operator,
    plan::{Aggregate, AggregateFunction, Join, JoinKind, SortKey, Ties, WindowKind},
};

/// Clock and watermarks, and what must be remembered of earlier ones.
#[derive(Clone, Debug, Default)]
pub(super) struct Moment {
    pub now: i64,
    pub watermarks: BTreeMap<NodeId, i64>,
    /// By node: until when windows are closed, and what their rows are.
    closed: BTreeMap<usize, (i64, Vec<Row>)>,
}

/// The rows of the last node.
pub(super) fn answer(
    case: &Case,
    tables: &BTreeMap<NodeId, Vec<Row>>,
    moment: &mut Moment,
) -> Vec<Row> {
    let mut results: Vec<Vec<Row>> = Vec::new();
    for (at, node) in case.plan.nodes.iter().enumerate() {
        let inputs: Vec<&Vec<Row>> = node.inputs.iter().map(|input| &results[input.0]).collect();
        let functions = case.functions.get(&at);
        let rows = match &node.operator {
            Operator::Input(_) => tables[&NodeId(at)].clone(),
            Operator::Project(_) => {
                let functions = functions.expect("a projection has functions");
                let project = |row: &Row| {
                    functions
                        .iter()
                        .map(|f| f.of_row(row).unwrap_or(Value::Null))
                        .collect()
                };
                inputs[0].iter().map(project).collect()
            }
            Operator::Filter(_) => {
                let condition = &functions.expect("a filter has a condition")[0];
                let is_kept = |row: &&Row| condition.of_row(row) == Ok(Value::Bool(true));
                inputs[0].iter().filter(is_kept).cloned().collect()
            }
            Operator::Union => inputs.into_iter().flatten().cloned().collect(),
            Operator::Aggregate { keys, aggregates } => {
                let results: Vec<DataType> = node
                    .schema
                    .fields()
                    .iter()
                    .skip(keys.len())
                    .map(|field| field.data_type().clone())
                    .collect();
                aggregate(inputs[0], keys, aggregates, &results)
            }
            Operator::Distinct => counted(inputs[0], &[], |count, _| count.min(1)),
            Operator::SetDifference { all: true } => {
                counted(inputs[0], inputs[1], usize::saturating_sub)
            }
            Operator::SetDifference { all: false } => {
                counted(inputs[0], inputs[1], |_, b| usize::from(b == 0))
            }
            Operator::SetIntersection { all: true } => counted(inputs[0], inputs[1], usize::min),
            Operator::SetIntersection { all: false } => {
                counted(inputs[0], inputs[1], |_, b| b.min(1))
            }
            Operator::Top {
                partition,
                order,
                ties,
                offset,
                limit,
                emits_number,
            } => {
                let until = limit.map_or(u64::MAX, |limit| offset + limit);
                top(
                    inputs[0],
                    partition,
                    order,
                    *ties,
                    *offset..until,
                    *emits_number,
                )
            }
            Operator::Windows { time, windows } => {
                let rows = inputs[0].iter();
                rows.flat_map(|row| windowed(row, &row[*time], *windows))
                    .collect()
            }
            Operator::Sessions {
                partition,
                time,
                gap,
            } => sessions(inputs[0], partition, *time, gap.as_micros() as i64),
            Operator::Unnest { list, keeps_empty } => inputs[0]
                .iter()
                .flat_map(|row| unnested(row, *list, *keeps_empty))
                .collect(),
            Operator::Valid { from, until } => {
                let now = Value::Time(moment.now);
                let is_valid = |row: &&Row| {
                    from.is_none_or(|from| !row[from].is_null() && row[from] <= now)
                        && until.is_none_or(|until| !row[until].is_null() && row[until] > now)
                };
                inputs[0].iter().filter(is_valid).cloned().collect()
            }
            Operator::Custom(_) => unreachable!("no generated plan has one"),
            Operator::EmitOnClose { window_end } => {
                let watermark = watermark(case, at, moment);
                let (closed, emitted) = moment.closed.entry(at).or_insert((i64::MIN, Vec::new()));
                if let Some(watermark) = watermark {
                    let closes = |row: &&Row| matches!(row[*window_end], Value::Time(end) if end > *closed && end <= watermark);
                    emitted.extend(inputs[0].iter().filter(closes).cloned());
                    *closed = watermark;
                }
                emitted.clone()
            }
            Operator::Join(join) if let JoinKind::AsOf { left, right } = join.kind => {
                let width = case.plan.nodes[node.inputs[1].0].schema.fields().len();
                joined_as_of(inputs[0], inputs[1], join, (left, right), width)
            }
            Operator::Join(join) => {
                let condition = functions.and_then(|functions| functions.first());
                let holds = |pair: &Row| {
                    condition
                        .is_none_or(|condition| condition.of_row(pair) == Ok(Value::Bool(true)))
                };
                let widths = [0, 1]
                    .map(|side: usize| case.plan.nodes[node.inputs[side].0].schema.fields().len());
                joined_rows(inputs[0], inputs[1], join, widths, &holds)
            }
            other => panic!("the model does not know {other:?}"),
        };
        results.push(rows);
    }
    results.pop().expect("a plan has a result")
}

fn pick(row: &Row, columns: &[usize]) -> Row {
    columns.iter().map(|column| row[*column].clone()).collect()
}

/// The rows by their values in some columns.
fn grouped(rows: &[Row], keys: &[usize]) -> BTreeMap<Row, Vec<Row>> {
    let mut groups: BTreeMap<Row, Vec<Row>> = BTreeMap::new();
    for row in rows {
        groups.entry(pick(row, keys)).or_default().push(row.clone());
    }
    groups
}

/// Rows of the first as often as the function of how often they are in both says.
fn counted(first: &[Row], second: &[Row], times: impl Fn(usize, usize) -> usize) -> Vec<Row> {
    let mut counts: BTreeMap<&Row, (usize, usize)> = BTreeMap::new();
    first
        .iter()
        .for_each(|row| counts.entry(row).or_default().0 += 1);
    for row in second {
        if let Some((_, count)) = counts.get_mut(row) {
            *count += 1;
        }
    }
    let rows = counts.into_iter();
    rows.flat_map(|(row, (a, b))| std::iter::repeat_n(row.clone(), times(a, b)))
        .collect()
}

/// The least of the watermarks of what the node reads.
fn watermark(case: &Case, at: usize, moment: &Moment) -> Option<i64> {
    let own = moment.watermarks.get(&NodeId(at)).copied();
    let inputs = case.plan.nodes[at]
        .inputs
        .iter()
        .filter_map(|input| watermark(case, input.0, moment));
    own.or(inputs.min())
}

fn top(
    rows: &[Row],
    partition: &[usize],
    order: &[SortKey],
    ties: Ties,
    places: std::ops::Range<u64>,
    emits_number: bool,
) -> Vec<Row> {
    let mut shown = Vec::new();
    for (key, mut rows) in grouped(rows, partition) {
        // Those that are equal in order are in that of the columns that are neither in it nor in the partition.
        let sorted: Vec<usize> = order.iter().map(|key| key.column).collect();
        let others = (0..rows[0].len())
            .filter(|column| !partition.contains(column) && !sorted.contains(column));
        let others: Vec<usize> = others.collect();
        rows.sort_by(|a, b| {
            compare(a, b, order).then_with(|| pick(a, &others).cmp(&pick(b, &others)))
        });
        assert_eq!(pick(&rows[0], partition), key);
        for (at, row) in rows.iter().enumerate() {
            let before = rows[..at]
                .iter()
                .filter(|other| compare(other, row, order).is_lt());
            let place = match ties {
                Ties::Numbered => at as u64,
                Ties::Ranked => before.count() as u64,
                Ties::DenselyRanked => {
                    let keys: BTreeSet<Row> = before.map(|row| pick(row, &sorted)).collect();
                    keys.len() as u64
                }
            };
            if places.contains(&place) {
                let mut row = row.clone();
                if emits_number {
                    row.push(Value::Int(place as i64 + 1));
                }
                shown.push(row);
            }
        }
    }
    shown
}

fn windowed(row: &Row, time: &Value, windows: WindowKind) -> Vec<Row> {
    let Value::Time(time) = time else {
        return Vec::new();
    };
    let us = |duration: std::time::Duration| duration.as_micros() as i64;
    let mut rows = Vec::new();
    for start in time - 100..=*time {
        let (size, begins, step) = match windows {
            WindowKind::Tumble { size, offset } => {
                (us(size), (start - us(offset)) % us(size) == 0, us(size))
            }
            WindowKind::Hop {
                size,
                slide,
                offset,
            } => (us(size), (start - us(offset)) % us(slide) == 0, us(size)),
            WindowKind::Cumulate { size, step, offset } => {
                (us(size), (start - us(offset)) % us(size) == 0, us(step))
            }
        };
        let mut length = 0;
        while begins && length < size {
            length = (length + step).min(size);
            if *time < start + length {
                rows.push(
                    [
                        row.clone(),
                        vec![Value::Time(start), Value::Time(start + length)],
                    ]
                    .concat(),
                );
            }
        }
    }
    // Cumulating windows of one size are one after the other.
    rows.retain(|row| matches!(&row[row.len() - 2..], [Value::Time(start), _] if start <= time));
    rows
}

fn sessions(rows: &[Row], partition: &[usize], time: usize, gap: i64) -> Vec<Row> {
    let time_of = |row: &Row| match row[time] {
        Value::Time(time) => Some(time),
        _ => None,
    };
    let mut all = Vec::new();
    for (_, rows) in grouped(rows, partition) {
        let mut times: Vec<i64> = rows.iter().filter_map(time_of).collect();
        times.sort_unstable();
        let mut windows: Vec<(i64, i64)> = Vec::new();
        for time in times {
            match windows.last_mut() {
                Some((_, end)) if time < *end => *end = time + gap,
                _ => windows.push((time, time + gap)),
            }
        }
        for row in rows {
            let Some(time) = time_of(&row) else { continue };
            let window = windows
                .iter()
                .find(|(start, end)| (*start..*end).contains(&time));
            let (start, end) = window.expect("each time is in a window");
            all.push([row.clone(), vec![Value::Time(*start), Value::Time(*end)]].concat());
        }
    }
    all
}

fn unnested(row: &Row, list: usize, keeps_empty: bool) -> Vec<Row> {
    let mut elements = match &row[list] {
        Value::List(elements) => elements.clone(),
        _ => Vec::new(),
    };
    if elements.is_empty() && keeps_empty {
        elements.push(Value::Null);
    }
    let with = |element| {
        let mut row = row.clone();
        row[list] = element;
        row
    };
    elements.into_iter().map(with).collect()
}

/// To each left row the last of the right ones that are not above it.
fn joined_as_of(
    left: &[Row],
    right: &[Row],
    join: &Join,
    columns: (usize, usize),
    width: usize,
) -> Vec<Row> {
    let with_nearest = |a: &Row| {
        let is_equal = |x: &Value, y: &Value| x == y && (!x.is_null() || join.null_equals_null);
        let matches = |b: &&Row| {
            let (x, y) = (&a[columns.0], &b[columns.1]);
            join.keys.iter().all(|(x, y)| is_equal(&a[*x], &b[*y]))
                && !x.is_null()
                && !y.is_null()
                && y <= x
        };
        let others = |b: &Row| {
            let is_other = |column: &usize| {
                *column != columns.1 && !join.keys.iter().any(|(_, key)| key == column)
            };
            let others: Vec<usize> = (0..b.len()).filter(is_other).collect();
            pick(b, &others)
        };
        let nearest = right
            .iter()
            .filter(matches)
            .max_by_key(|b| (b[columns.1].clone(), others(b)));
        let nearest = nearest.cloned().unwrap_or_else(|| vec![Value::Null; width]);
        [a.clone(), nearest].concat()
    };
    left.iter().map(with_nearest).collect()
}

fn joined_rows(
    left: &[Row],
    right: &[Row],
    join: &Join,
    widths: [usize; 2],
    holds: &dyn Fn(&Row) -> bool,
) -> Vec<Row> {
    let is_null_aware = join.kind == JoinKind::LeftAntiNullAware;
    let matches = |a: &Row, b: &Row| {
        let pairs = join.keys.iter().map(|(x, y)| (&a[*x], &b[*y]));
        let mut keys = pairs.map(|(x, y)| match (x.is_null(), y.is_null()) {
            (false, false) => x == y,
            _ if is_null_aware => true,
            (x, y) => x && y && join.null_equals_null,
        });
        keys.all(|is_equal| is_equal) && holds(&[a.clone(), b.clone()].concat())
    };
    let mut rows = Vec::new();
    let shows_pairs = matches!(
        join.kind,
        JoinKind::Inner | JoinKind::Left | JoinKind::Right | JoinKind::Full
    );
    let mut is_matched = vec![false; right.len()];
    for a in left {
        let mut has_match = false;
        for (at, b) in right.iter().enumerate() {
            if matches(a, b) {
                has_match = true;
                is_matched[at] = true;
                if shows_pairs {
                    rows.push([a.clone(), b.clone()].concat());
                }
            }
        }
        match join.kind {
            JoinKind::Left | JoinKind::Full if !has_match => {
                rows.push([a.clone(), vec![Value::Null; widths[1]]].concat());
            }
            JoinKind::LeftSemi if has_match => rows.push(a.clone()),
            JoinKind::LeftAnti | JoinKind::LeftAntiNullAware if !has_match => rows.push(a.clone()),
            JoinKind::LeftMark => rows.push([a.clone(), vec![Value::Bool(has_match)]].concat()),
            _ => {}
        }
    }
    if matches!(join.kind, JoinKind::Right | JoinKind::Full) {
        let unmatched = right
            .iter()
            .zip(is_matched)
            .filter(|(_, is_matched)| !is_matched);
        rows.extend(unmatched.map(|(b, _)| [vec![Value::Null; widths[0]], b.clone()].concat()));
    }
    rows
}

fn aggregate(
    rows: &[Row],
    keys: &[usize],
    aggregates: &[Aggregate],
    results: &[DataType],
) -> Vec<Row> {
    let mut groups = grouped(rows, keys);
    if keys.is_empty() {
        groups.entry(Vec::new()).or_default();
    }
    let of_group = |(mut key, rows): (Row, Vec<Row>)| {
        key.extend(
            aggregates
                .iter()
                .zip(results)
                .map(|(aggregate, result)| one(&rows, aggregate, result)),
        );
        key
    };
    groups.into_iter().map(of_group).collect()
}

pub(super) fn compare(a: &Row, b: &Row, order: &[SortKey]) -> std::cmp::Ordering {
    for key in order {
        let (a, b) = (&a[key.column], &b[key.column]);
        let by_value = match (a.is_null(), b.is_null()) {
            (false, false) if key.descending => b.cmp(a),
            (false, false) => a.cmp(b),
            (a, b) if key.nulls_first => b.cmp(&a),
            (a, b) => a.cmp(&b),
        };
        if by_value.is_ne() {
            return by_value;
        }
    }
    std::cmp::Ordering::Equal
}

fn one(rows: &[Row], aggregate: &Aggregate, result: &DataType) -> Value {
    use AggregateFunction as F;
    let mut rows: Vec<Row> = rows.to_vec();
    if let Some(filter) = aggregate.filter {
        rows.retain(|row| row[filter] == Value::Bool(true));
    }
    if aggregate.arguments.is_empty() {
        return Value::Int(rows.len() as i64);
    }
    if aggregate.distinct || aggregate.function == F::ApproxDistinct {
        let mut seen = BTreeSet::new();
        rows.retain(|row| seen.insert(pick(row, &aggregate.arguments)));
    }
    let is_edge = matches!(aggregate.function, F::FirstValue | F::LastValue);
    rows.sort_by(|a, b| {
        let by_row = if is_edge && aggregate.order.is_empty() {
            a.cmp(b)
        } else {
            std::cmp::Ordering::Equal
        };
        let by_arguments = || pick(a, &aggregate.arguments).cmp(&pick(b, &aggregate.arguments));
        compare(a, b, &aggregate.order)
            .then(by_row)
            .then_with(by_arguments)
    });
    let argument = aggregate.arguments[0];
    let with_nulls: Vec<Value> = rows.iter().map(|row| row[argument].clone()).collect();
    let values: Vec<Value> = with_nulls
        .iter()
        .filter(|value| !value.is_null())
        .cloned()
        .collect();
    let or_null = |value: Option<&Value>| value.cloned().unwrap_or(Value::Null);
    match aggregate.function {
        F::Count | F::ApproxDistinct => Value::Int(values.len() as i64),
        _ if with_nulls.is_empty() => Value::Null,
        F::FirstValue => or_null(with_nulls.first()),
        F::LastValue => or_null(with_nulls.last()),
        F::ArrayAgg => Value::List(with_nulls),
        _ if values.is_empty() => Value::Null,
        F::Min => or_null(values.iter().min()),
        F::Max => or_null(values.iter().max()),
        F::Sum | F::Avg => sum(&values, result, aggregate.function == F::Avg),
        F::BoolAnd => Value::Bool(!values.contains(&Value::Bool(false))),
        F::BoolOr => Value::Bool(values.contains(&Value::Bool(true))),
        F::BitAnd => bits(&values, |a, b| a & b),
        F::BitOr => bits(&values, |a, b| a | b),
        F::BitXor => bits(&values, |a, b| a ^ b),
        F::StringAgg => joined(&rows, &aggregate.arguments),
        F::Percentile { fraction_bits } => percentile(values, f64::from_bits(fraction_bits)),
        F::VarPop | F::VarSamp | F::StddevPop | F::StddevSamp => {
            moment(&values, &aggregate.function)
        }
    }
}

fn float(value: &Value) -> f64 {
    let Value::Float(value) = value else {
        panic!("{value:?} is no float")
    };
    *value
}

fn sum(values: &[Value], result: &DataType, is_average: bool) -> Value {
    let count = values.len() as i128;
    let exact: i128 = values
        .iter()
        .map(|value| match value {
            Value::Int(value) => i128::from(*value),
            Value::Decimal(value) => *value,
            _ => 0,
        })
        .sum();
    match result {
        DataType::Int64 => i64::try_from(exact).map_or(Value::Null, Value::Int),
        DataType::Decimal128(_, 6) => {
            let scaled = exact * 10_000;
            let away = if scaled < 0 { -1 } else { 1 };
            let rest = (scaled % count).abs();
            Value::Decimal(scaled / count + if 2 * rest >= count { away } else { 0 })
        }
        DataType::Decimal128(..) => Value::Decimal(exact),
        _ if is_average => Value::Float(exact as f64 / count as f64),
        _ => Value::Float(values.iter().map(float).sum()),
    }
}

fn bits(values: &[Value], f: impl Fn(i64, i64) -> i64) -> Value {
    let ints = values.iter().map(|value| match value {
        Value::Int(value) => *value,
        _ => 0,
    });
    ints.reduce(f).map_or(Value::Null, Value::Int)
}

fn joined(rows: &[Row], arguments: &[usize]) -> Value {
    let mut joined: Option<String> = None;
    for row in rows {
        let Value::Text(value) = &row[arguments[0]] else {
            continue;
        };
        if let (Some(text), Value::Text(delimiter)) = (&mut joined, &row[arguments[1]]) {
            text.push_str(delimiter);
        }
        joined.get_or_insert_default().push_str(value);
    }
    joined.map_or(Value::Null, Value::Text)
}

fn percentile(values: Vec<Value>, fraction: f64) -> Value {
    let mut values: Vec<f64> = values.iter().map(float).collect();
    values.sort_by(f64::total_cmp);
    let place = fraction * (values.len() - 1) as f64;
    let (lower, upper) = (
        values[place.floor() as usize],
        values[place.ceil() as usize],
    );
    Value::Float(lower + (upper - lower) * place.fract())
}

/// Of quarters, whose squares add up without error.
fn moment(values: &[Value], function: &AggregateFunction) -> Value {
    use AggregateFunction::{StddevPop, StddevSamp, VarSamp};
    let values: Vec<f64> = values.iter().map(float).collect();
    let count = values.len() as f64;
    let is_sample = matches!(function, VarSamp | StddevSamp);
    if is_sample && values.len() < 2 {
        return Value::Null;
    }
    let sum: f64 = values.iter().sum();
    let squares: f64 = values.iter().map(|value| value * value).sum();
    let deviations = (squares * count - sum * sum) / count;
    let variance = deviations / if is_sample { count - 1.0 } else { count };
    Value::Float(if matches!(function, StddevPop | StddevSamp) {
        variance.sqrt()
    } else {
        variance
    })
}
