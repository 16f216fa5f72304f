//! Functions whose answer may be far larger than what they are given: refused before it is made when that is too much.
//!
//! Offsets of columns end at 2 GiB, and what passes them ends the process; so do allocations that fail.

use std::{any::Any, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray},
    compute::cast,
    datatypes::{DataType, FieldRef, Int64Type, IntervalMonthDayNanoType, TimeUnit},
};
use datafusion_common::{DataFusionError, ScalarValue};
use datafusion_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use crate::error::{raise, sqlstate};

/// Elements of lists, or bytes of text, that one call may make over all rows of a chunk by the size that it is told.
const ITEMS_MAX: i128 = 16 << 20;

/// Bytes of one column of a chunk: a letter in another case may take three times as many, and must not pass 2 GiB.
const COLUMN_BYTES_MAX: usize = 512 << 20;

/// No number is longer in an array's text.
const NUMBER_BYTES: i128 = 48;

const DAY_NS: i128 = 24 * 60 * 60 * 1_000_000_000;

/// How much a call makes, at most, of these columns.
type Measure = fn(&[ArrayRef]) -> Result<i128, DataFusionError>;

/// See the module head.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    inner: Arc<ScalarUDF>,
}

/// The function, or one that is refused what is too much.
pub fn bounded(inner: Arc<ScalarUDF>) -> Arc<ScalarUDF> {
    let own: &dyn Any = inner.inner().as_ref();
    if own.is::<Bounded>() || bound_of(inner.name()).is_none() {
        return inner;
    }
    Arc::new(ScalarUDF::new_from_impl(Bounded { inner }))
}

/// A column of as many rows; a single value that is too large for all of them is refused.
pub fn spread(value: &ColumnarValue, rows: usize) -> Result<ArrayRef, DataFusionError> {
    let value = match value {
        ColumnarValue::Array(column) => return Ok(column.clone()),
        ColumnarValue::Scalar(value) => value,
    };
    let own = value.size().saturating_sub(size_of::<ScalarValue>());
    column_holds(own.saturating_mul(rows))?;
    value.to_array_of_size(rows)
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

fn bound_of(name: &str) -> Option<(i128, Measure)> {
    let column: i128 = COLUMN_BYTES_MAX as i128;
    Some(match name {
        "generate_series" | "range" => (ITEMS_MAX, series),
        "repeat" => (ITEMS_MAX, |columns| {
            let times = integers(&columns[1])?;
            Ok(sum(&times, |row, times| times * weight(&columns[0], row)))
        }),
        "array_repeat" => (ITEMS_MAX, |columns| {
            let times = integers(&columns[1])?;
            let element = |row| weight(&columns[0], row).max(1);
            Ok(sum(&times, |row, times| times * element(row)))
        }),
        "array_resize" => (ITEMS_MAX, |columns| {
            let sizes = integers(&columns[1])?;
            let value = |row| columns.get(2).map_or(1, |value| weight(value, row).max(1));
            Ok(sum(&sizes, |row, size| size * value(row)))
        }),
        "lpad" | "rpad" => (ITEMS_MAX, |columns| {
            Ok(sum(&integers(&columns[1])?, |_, size| size))
        }),
        "concat" | "overlay" | "make_array" | "array_concat" | "array_append" | "array_prepend" => {
            (column, |columns| {
                let each = columns.iter().map(|values| weights(values));
                Ok(each.sum())
            })
        }
        "concat_ws" => (column, |columns| {
            let each = columns[1..].iter();
            let each = each.map(|values| weights(values) + weights(&columns[0]));
            Ok(each.sum())
        }),
        "replace" => (column, replaced),
        "regexp_replace" => (column, replaced_by_pattern),
        "array_to_string" => (column, |columns| {
            let lists = columns[0].as_list_opt::<i32>();
            let rows = (0..columns[0].len()).map(|row| {
                let elements = lists.map_or(0, |lists| i128::from(lists.value_length(row)));
                let between = columns[1..].iter().map(|text| weight(text, row));
                weight(&columns[0], row) + elements * (NUMBER_BYTES + between.sum::<i128>())
            });
            Ok(rows.sum())
        }),
        _ => return None,
    })
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
    (0..column.len()).map(|row| weight(column, row)).sum()
}

/// Nothing is made of what is negative.
fn sum(counts: &[i128], made: impl Fn(usize, i128) -> i128) -> i128 {
    let rows = counts.iter().enumerate();
    rows.map(|(row, count)| made(row, (*count).max(0))).sum()
}

/// Of each row; nothing where it is null.
fn integers(column: &ArrayRef) -> Result<Vec<i128>, DataFusionError> {
    let column = cast(column, &DataType::Int64)?;
    let values = column.as_primitive::<Int64Type>().iter();
    Ok(values.map(|value| i128::from(value.unwrap_or(0))).collect())
}

fn replaced(columns: &[ArrayRef]) -> Result<i128, DataFusionError> {
    let [texts, from, to] = columns else {
        return Ok(0);
    };
    let (Some(whole), Some(sought)) = (texts.as_string_opt::<i32>(), from.as_string_opt::<i32>())
    else {
        return Ok(0);
    };
    let rows = (0..texts.len()).map(|row| {
        let bytes = weight(texts, row);
        let places = match weight(from, row) {
            0 => bytes + 1,
            length => bytes / length,
        };
        let most = bytes + places * weight(to, row);
        // Counting them takes longer than it is worth for what is small anyhow.
        if most <= ITEMS_MAX || texts.is_null(row) || from.is_null(row) {
            return most;
        }
        let places = whole.value(row).matches(sought.value(row)).count();
        bytes + places as i128 * weight(to, row)
    });
    Ok(rows.sum())
}

/// Matches share no letter, so each group that the new text names gives the whole text at most.
fn replaced_by_pattern(columns: &[ArrayRef]) -> Result<i128, DataFusionError> {
    let [texts, _, new, flags @ ..] = columns else {
        return Ok(0);
    };
    let Some(written) = new.as_string_opt::<i32>() else {
        return Ok(0);
    };
    let is_global = |row: usize| {
        let flags = flags.first().and_then(|flags| flags.as_string_opt::<i32>());
        flags.is_some_and(|flags| flags.is_valid(row) && flags.value(row).contains('g'))
    };
    let rows = (0..texts.len()).map(|row| {
        if new.is_null(row) {
            return 0;
        }
        let groups = written.value(row).matches(['\\', '$']).count() as i128;
        let bytes = weight(texts, row);
        let places = if is_global(row) { bytes + 1 } else { 1 };
        bytes * (1 + groups) + places * weight(new, row)
    });
    Ok(rows.sum())
}

/// Numbers, or nanoseconds.
fn points(column: &ArrayRef) -> Result<Vec<i128>, DataFusionError> {
    let unit = match column.data_type() {
        DataType::Date32 => DAY_NS,
        DataType::Timestamp(TimeUnit::Second, _) => 1_000_000_000,
        DataType::Timestamp(TimeUnit::Millisecond, _) | DataType::Date64 => 1_000_000,
        DataType::Timestamp(TimeUnit::Microsecond, _) => 1_000,
        _ => 1,
    };
    let points = integers(column)?;
    Ok(points.into_iter().map(|point| point * unit).collect())
}

/// Nanoseconds of intervals, months as short as they may be. One whose parts go both ways may never end.
fn steps(column: &ArrayRef) -> Result<Vec<i128>, DataFusionError> {
    let Some(column) = column.as_primitive_opt::<IntervalMonthDayNanoType>() else {
        return integers(column);
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
        let days = i128::from(step.months) * 28 + i128::from(step.days);
        Ok(days * DAY_NS + i128::from(step.nanoseconds))
    });
    steps.collect()
}

fn series(columns: &[ArrayRef]) -> Result<i128, DataFusionError> {
    let (starts, stops) = match columns {
        [] => return Ok(0),
        [stops] => (vec![0; stops.len()], points(stops)?),
        [starts, stops, ..] => (points(starts)?, points(stops)?),
    };
    let steps = match columns.get(2) {
        Some(column) => steps(column)?,
        None => vec![1; stops.len()],
    };
    let rows = starts.into_iter().zip(stops).zip(steps);
    let counts =
        rows.map(|((start, stop), step)| (stop - start).checked_div(step).unwrap_or(0) + 1);
    Ok(counts.map(|count| count.max(0)).sum())
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType, DataFusionError> {
        self.inner.inner().return_type(arguments)
    }

    fn return_field_from_args(
        &self,
        arguments: ReturnFieldArgs<'_>,
    ) -> Result<FieldRef, DataFusionError> {
        self.inner.inner().return_field_from_args(arguments)
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>, DataFusionError> {
        self.inner.inner().coerce_types(arguments)
    }

    fn invoke_with_args(
        &self,
        arguments: ScalarFunctionArgs,
    ) -> Result<ColumnarValue, DataFusionError> {
        if let Some((most, measure)) = bound_of(self.name()) {
            let is_scalar = |value: &ColumnarValue| matches!(value, ColumnarValue::Scalar(_));
            let rows = match arguments.args.iter().all(is_scalar) {
                true => 1,
                false => arguments.number_rows,
            };
            let columns = arguments.args.iter().map(|value| spread(value, rows));
            let items = measure(&columns.collect::<Result<Vec<_>, _>>()?)?;
            if items > most {
                let name = self.name();
                let message =
                    format!("{name} would make {items} elements or bytes, more than {most}");
                return Err(raise(sqlstate::PROGRAM_LIMIT_EXCEEDED, message));
            }
        }
        self.inner.inner().invoke_with_args(arguments)
    }
}
