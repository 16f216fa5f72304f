//! Functions whose answer is as large as an argument says: refused before it is made when that is too much.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray},
    compute::cast,
    datatypes::{DataType, FieldRef, Int64Type, IntervalMonthDayNanoType, TimeUnit},
};
use datafusion_common::DataFusionError;
use datafusion_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use crate::error::{raise, sqlstate};

/// Elements of lists, or bytes of text, that one call may make over all rows of a chunk.
const ITEMS_MAX: i128 = 16 << 20;

const DAY_NS: i128 = 24 * 60 * 60 * 1_000_000_000;

/// How much a row's call makes, by the columns of its arguments; 0 where the function itself will complain.
type Count = fn(&[ArrayRef]) -> Result<Vec<i128>, DataFusionError>;

/// See the module head.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    inner: Arc<ScalarUDF>,
}

/// The function, or one that is refused what is too much.
pub fn bounded(inner: Arc<ScalarUDF>) -> Arc<ScalarUDF> {
    match count_of(inner.name()) {
        Some(_) => Arc::new(ScalarUDF::new_from_impl(Bounded { inner })),
        None => inner,
    }
}

fn count_of(name: &str) -> Option<Count> {
    match name {
        "generate_series" | "range" => Some(series),
        "repeat" => Some(|columns| {
            let times = integers(&columns[1])?;
            let texts = cast(&columns[0], &DataType::Utf8)?;
            let texts = texts.as_string::<i32>();
            let bytes = (0..texts.len()).map(|row| texts.value(row).len() as i128);
            Ok(bytes
                .zip(times)
                .map(|(bytes, times)| bytes * times)
                .collect())
        }),
        "array_repeat" | "array_resize" | "lpad" | "rpad" => Some(|columns| integers(&columns[1])),
        _ => None,
    }
}

/// Of each row; nothing where it is null.
fn integers(column: &ArrayRef) -> Result<Vec<i128>, DataFusionError> {
    let column = cast(column, &DataType::Int64)?;
    let values = column.as_primitive::<Int64Type>().iter();
    Ok(values.map(|value| i128::from(value.unwrap_or(0))).collect())
}

fn series(columns: &[ArrayRef]) -> Result<Vec<i128>, DataFusionError> {
    let is_time = !columns[0].data_type().is_integer();
    let points = |column: &ArrayRef| match is_time {
        true => integers(&cast(
            column,
            &DataType::Timestamp(TimeUnit::Nanosecond, None),
        )?),
        false => integers(column),
    };
    let steps = match columns.get(2) {
        Some(steps) if is_time => {
            let steps = steps.as_primitive_opt::<IntervalMonthDayNanoType>();
            let steps = steps.into_iter().flatten().map(|step| {
                step.map_or(0, |step| {
                    let days = i128::from(step.months) * 28 + i128::from(step.days);
                    days * DAY_NS + i128::from(step.nanoseconds)
                })
            });
            steps.collect()
        }
        Some(steps) => integers(steps)?,
        None => vec![1; columns[0].len()],
    };
    let (starts, stops) = match columns {
        [stops] => (vec![0; stops.len()], points(stops)?),
        [starts, stops, ..] => (points(starts)?, points(stops)?),
        [] => return Ok(Vec::new()),
    };
    let rows = starts.into_iter().zip(stops).zip(steps);
    let counts =
        rows.map(|((start, stop), step)| (stop - start).checked_div(step).unwrap_or(0) + 1);
    Ok(counts.collect())
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
        let is_null = |value: &ColumnarValue| value.data_type().is_null();
        if let Some(count) = count_of(self.name())
            && !arguments.args.iter().any(is_null)
        {
            let columns = ColumnarValue::values_to_arrays(&arguments.args)?;
            let items: i128 = count(&columns)?.into_iter().map(|items| items.max(0)).sum();
            if items > ITEMS_MAX {
                let name = self.name();
                let message =
                    format!("{name} would make {items} elements or bytes, more than {ITEMS_MAX}");
                return Err(raise(sqlstate::PROGRAM_LIMIT_EXCEEDED, message));
            }
        }
        self.inner.inner().invoke_with_args(arguments)
    }
}
