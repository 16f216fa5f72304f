//! Functions whose answer may be far larger than what they are given: refused before it is made when that is too much.
//!
//! Offsets of columns end at 2 GiB, and what passes them ends the process; so do allocations that fail.

use std::{
    any::Any,
    hash::{Hash, Hasher},
    sync::Arc,
};

use arrow::{
    array::{Array, ArrayRef, AsArray},
    compute::cast,
    datatypes::{DataType, FieldRef, Int64Type, IntervalMonthDayNanoType, TimeUnit},
};
use datafusion_common::{DataFusionError, ScalarValue, config::ConfigOptions};
use datafusion_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use super::{
    define::as_inner,
    times::{months_and_us, out_of_range},
};
use crate::{
    column_type::{COLUMN_BYTES_MAX, DAY_US},
    error::{raise, sqlstate},
    planner::FOLDING,
};

/// Elements of lists, or bytes of text, that one call may make over all rows of a chunk by the size that it is told.
const ITEMS_MAX: i128 = 16 << 20;

/// Bytes of a value that the optimiser computes and keeps in the plan. A larger one is computed where it is needed, within
/// the memory of the question.
const FOLDED_BYTES_MAX: usize = 16 << 10;

/// No number is longer in an array's text.
const NUMBER_BYTES: i128 = 48;

/// What a call is given: a value for each row, or one for all of them.
struct Argument {
    column: ArrayRef,
    is_constant: bool,
    rows: usize,
}

/// How much a call makes, at most, of its arguments; there is one at least.
type Measure = fn(&[Argument]) -> Result<i128, DataFusionError>;

/// See the module head.
#[derive(Debug)]
struct Bounded {
    inner: Arc<ScalarUDF>,
    most: i128,
    measure: Measure,
}

impl PartialEq for Bounded {
    fn eq(&self, other: &Self) -> bool {
        self.inner == other.inner
    }
}

impl Eq for Bounded {}

impl Hash for Bounded {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

/// The function, or one that is refused what is too much.
pub fn bounded(inner: Arc<ScalarUDF>) -> Arc<ScalarUDF> {
    let own: &dyn Any = inner.inner().as_ref();
    match bound_of(inner.name()) {
        Some((most, measure)) if !own.is::<Bounded>() => {
            Arc::new(ScalarUDF::new_from_impl(Bounded {
                inner,
                most,
                measure,
            }))
        }
        _ => inner,
    }
}

/// A column of as many rows; a single value that is too large for all of them is refused.
pub fn spread(value: &ColumnarValue, rows: usize) -> Result<ArrayRef, DataFusionError> {
    let value = match value {
        ColumnarValue::Array(column) => return Ok(column.clone()),
        ColumnarValue::Scalar(value) => value,
    };
    spread_holds(value, rows)?;
    value.to_array_of_size(rows)
}

fn spread_holds(value: &ScalarValue, rows: usize) -> Result<(), DataFusionError> {
    let own = value.size().saturating_sub(size_of::<ScalarValue>());
    column_holds(own.saturating_mul(rows))
}

/// Refuses a column of more bytes than one may have.
pub fn column_holds(bytes: usize) -> Result<(), DataFusionError> {
    if bytes <= COLUMN_BYTES_MAX {
        return Ok(());
    }
    let message =
        format!("{bytes} bytes for one column of some rows are more than {COLUMN_BYTES_MAX}");
    Err(raise(sqlstate::PROGRAM_LIMIT_EXCEEDED, message))
}

/// The value, unless it would stay in a plan and is large.
pub fn foldable(
    value: ColumnarValue,
    options: &Arc<ConfigOptions>,
) -> Result<ColumnarValue, DataFusionError> {
    if !Arc::ptr_eq(options, &FOLDING) {
        return Ok(value);
    }
    let bytes = match &value {
        ColumnarValue::Scalar(value) => value.size(),
        ColumnarValue::Array(values) => values.get_array_memory_size(),
    };
    if bytes <= FOLDED_BYTES_MAX {
        return Ok(value);
    }
    Err(not_folded(bytes))
}

fn not_folded(bytes: impl std::fmt::Display) -> DataFusionError {
    let message = format!("{bytes} bytes are more than a plan keeps of a constant");
    raise(sqlstate::PROGRAM_LIMIT_EXCEEDED, message)
}

fn bound_of(name: &str) -> Option<(i128, Measure)> {
    let column: i128 = COLUMN_BYTES_MAX as i128;
    Some(match name {
        "generate_series" | "range" => (ITEMS_MAX, series),
        "repeat" => (ITEMS_MAX, |given| {
            let times = given[1].integers()?;
            Ok(sum(&times, |row, times| times * given[0].weight(row)))
        }),
        "array_repeat" => (ITEMS_MAX, |given| {
            let times = given[1].integers()?;
            let element = |row| given[0].weight(row).max(1);
            Ok(sum(&times, |row, times| times * element(row)))
        }),
        "array_resize" => (ITEMS_MAX, |given| {
            let sizes = given[1].integers()?;
            let value = |row| given.get(2).map_or(1, |value| value.weight(row).max(1));
            Ok(sum(&sizes, |row, size| size * value(row)))
        }),
        "lpad" | "rpad" => (ITEMS_MAX, |given| {
            Ok(sum(&given[1].integers()?, |_, size| size))
        }),
        "overlay" | "make_array" | "array_concat" | "array_append" | "array_prepend" => {
            (column, |given| Ok(given.iter().map(Argument::total).sum()))
        }
        "replace" => (column, replaced),
        "regexp_replace" => (column, replaced_by_pattern),
        "array_replace" | "array_replace_n" | "array_replace_all" => (column, |given| {
            let Some(to) = given.get(2) else {
                return Ok(0);
            };
            let made = |row| given[0].weight(row) + given[0].elements(row) * to.weight(row);
            Ok((0..given[0].rows).map(made).sum())
        }),
        "array_to_string" => (column, |given| {
            let rows = (0..given[0].rows).map(|row| {
                let between = given[1..].iter().map(|text| text.weight(row));
                let between = NUMBER_BYTES + between.sum::<i128>();
                given[0].weight(row) + given[0].elements(row) * between
            });
            Ok(rows.sum())
        }),
        _ => return None,
    })
}

impl Argument {
    fn new(value: &ColumnarValue, rows: usize) -> Result<Self, DataFusionError> {
        let (column, is_constant) = match value {
            ColumnarValue::Array(column) => (column.clone(), false),
            ColumnarValue::Scalar(value) => {
                // Most functions make a column of it.
                spread_holds(value, rows)?;
                (value.to_array_of_size(1)?, true)
            }
        };
        Ok(Self {
            column,
            is_constant,
            rows,
        })
    }

    fn place(&self, row: usize) -> usize {
        if self.is_constant { 0 } else { row }
    }

    fn weight(&self, row: usize) -> i128 {
        weight(&self.column, self.place(row))
    }

    /// Of all rows.
    fn total(&self) -> i128 {
        match self.is_constant {
            true => weight(&self.column, 0) * self.rows as i128,
            false => weights(&self.column),
        }
    }

    /// Of a list.
    fn elements(&self, row: usize) -> i128 {
        let place = self.place(row);
        match self.column.as_list_opt::<i32>() {
            Some(lists) if lists.is_valid(place) => i128::from(lists.value_length(place)),
            _ => 0,
        }
    }

    fn text(&self, row: usize) -> Option<&str> {
        let (texts, place) = (self.column.as_string_opt::<i32>()?, self.place(row));
        texts.is_valid(place).then(|| texts.value(place))
    }

    /// Of each row; nothing where it is null.
    fn integers(&self) -> Result<Vec<i128>, DataFusionError> {
        let column = cast(&self.column, &DataType::Int64)?;
        let values = column.as_primitive::<Int64Type>().iter();
        let values = values.map(|value| i128::from(value.unwrap_or(0)));
        Ok(self.of_rows(values.collect()))
    }

    fn of_rows(&self, values: Vec<i128>) -> Vec<i128> {
        match self.is_constant {
            true => values.repeat(self.rows),
            false => values,
        }
    }
}

/// Bytes of a text, elements of a list and the bytes in them; 1 for anything else.
fn weight(column: &dyn Array, row: usize) -> i128 {
    if column.is_null(row) {
        return 0;
    }
    match column.data_type() {
        DataType::Null => 0,
        DataType::Utf8 => i128::from(column.as_string::<i32>().value_length(row)),
        DataType::Binary => i128::from(column.as_binary::<i32>().value_length(row)),
        DataType::List(_) => {
            let elements = column.as_list::<i32>().value(row);
            match elements.data_type().is_primitive() {
                true => elements.len() as i128,
                false => elements.len() as i128 + weights(&elements),
            }
        }
        _ => 1,
    }
}

fn weights(column: &dyn Array) -> i128 {
    let offsets = match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().value_offsets(),
        DataType::Binary => column.as_binary::<i32>().value_offsets(),
        _ => return (0..column.len()).map(|row| weight(column, row)).sum(),
    };
    i128::from(offsets[offsets.len() - 1] - offsets[0])
}

/// Nothing is made of what is negative.
fn sum(counts: &[i128], made: impl Fn(usize, i128) -> i128) -> i128 {
    let rows = counts.iter().enumerate();
    rows.map(|(row, count)| made(row, (*count).max(0))).sum()
}

fn replaced(given: &[Argument]) -> Result<i128, DataFusionError> {
    let [texts, from, to] = given else {
        return Ok(0);
    };
    let rows = (0..texts.rows).map(|row| {
        let bytes = texts.weight(row);
        let places = match from.weight(row) {
            0 => bytes + 1,
            length => bytes / length,
        };
        let most = bytes + places * to.weight(row);
        // Counting them takes longer than it is worth for what is small anyhow.
        match (texts.text(row), from.text(row)) {
            (Some(whole), Some(sought)) if most > ITEMS_MAX => {
                bytes + whole.matches(sought).count() as i128 * to.weight(row)
            }
            _ => most,
        }
    });
    Ok(rows.sum())
}

/// Matches share no letter, so each group that the new text names gives the whole text at most.
fn replaced_by_pattern(given: &[Argument]) -> Result<i128, DataFusionError> {
    let [texts, _, new, flags @ ..] = given else {
        return Ok(0);
    };
    let is_global = |row: usize| {
        let flags = flags.first().and_then(|flags| flags.text(row));
        flags.is_some_and(|flags| flags.contains('g'))
    };
    let rows = (0..texts.rows).map(|row| {
        let Some(written) = new.text(row) else {
            return 0;
        };
        let groups = written.matches(['\\', '$']).count() as i128;
        let bytes = texts.weight(row);
        let places = if is_global(row) { bytes + 1 } else { 1 };
        bytes * (1 + groups) + places * new.weight(row)
    });
    Ok(rows.sum())
}

/// Numbers, or microseconds.
fn points(given: &Argument) -> Result<Vec<i128>, DataFusionError> {
    let in_us: fn(i128) -> i128 = match given.column.data_type() {
        DataType::Date32 => |days| days * i128::from(DAY_US),
        DataType::Timestamp(TimeUnit::Second, _) => |seconds| seconds * 1_000_000,
        DataType::Timestamp(TimeUnit::Millisecond, _) | DataType::Date64 => |ms| ms * 1_000,
        DataType::Timestamp(TimeUnit::Nanosecond, _) => |ns| ns.div_euclid(1_000),
        _ => |point| point,
    };
    let points = given.integers()?;
    Ok(points.into_iter().map(in_us).collect())
}

/// Microseconds of intervals, months as short as they may be. One whose parts go both ways may never end.
fn steps(given: &Argument) -> Result<Vec<i128>, DataFusionError> {
    let column = given.column.as_primitive_opt::<IntervalMonthDayNanoType>();
    let Some(column) = column else {
        return given.integers();
    };
    let steps = column.iter().map(|step| {
        let Some(step) = step else {
            return Ok(0);
        };
        let signs = [
            i64::from(step.months).signum(),
            i64::from(step.days).signum(),
            step.nanoseconds.signum(),
        ];
        if signs.contains(&1) && signs.contains(&-1) {
            let message = "the months, days and times of a step must have one sign";
            return Err(raise(sqlstate::INVALID_PARAMETER_VALUE, message));
        }
        let (months, us) = months_and_us(step).ok_or_else(out_of_range)?;
        Ok(i128::from(months) * 28 * i128::from(DAY_US) + i128::from(us))
    });
    let steps = steps.collect::<Result<Vec<_>, DataFusionError>>()?;
    Ok(given.of_rows(steps))
}

fn series(given: &[Argument]) -> Result<i128, DataFusionError> {
    let (starts, stops) = match given {
        [] => return Ok(0),
        [stops] => (vec![0; stops.rows], points(stops)?),
        [starts, stops, ..] => (points(starts)?, points(stops)?),
    };
    let steps = match given.get(2) {
        Some(given) => steps(given)?,
        None => vec![1; stops.len()],
    };
    let rows = starts.into_iter().zip(stops).zip(steps);
    let counts =
        rows.map(|((start, stop), step)| (stop - start).checked_div(step).unwrap_or(0) + 1);
    Ok(counts.map(|count| count.max(0)).sum())
}

impl ScalarUDFImpl for Bounded {
    as_inner!();

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType, DataFusionError> {
        self.inner.inner().return_type(arguments)
    }

    fn return_field_from_args(
        &self,
        arguments: ReturnFieldArgs<'_>,
    ) -> Result<FieldRef, DataFusionError> {
        self.inner.inner().return_field_from_args(arguments)
    }

    fn invoke_with_args(
        &self,
        arguments: ScalarFunctionArgs,
    ) -> Result<ColumnarValue, DataFusionError> {
        let is_scalar = |value: &ColumnarValue| matches!(value, ColumnarValue::Scalar(_));
        let rows = match arguments.args.iter().all(is_scalar) {
            true => 1,
            false => arguments.number_rows,
        };
        let given = arguments
            .args
            .iter()
            .map(|value| Argument::new(value, rows));
        let given = given.collect::<Result<Vec<_>, _>>()?;
        let items = match given.is_empty() {
            true => 0,
            false => (self.measure)(&given)?,
        };
        if items > self.most {
            let (name, most) = (self.name(), self.most);
            let message = format!("{name} would make {items} elements or bytes, more than {most}");
            return Err(raise(sqlstate::PROGRAM_LIMIT_EXCEEDED, message));
        }
        let options = arguments.config_options.clone();
        // Not even computed there.
        if Arc::ptr_eq(&options, &FOLDING) && items > FOLDED_BYTES_MAX as i128 {
            return Err(not_folded(items));
        }
        foldable(self.inner.inner().invoke_with_args(arguments)?, &options)
    }
}
