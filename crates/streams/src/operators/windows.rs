//! Rows in the windows that their times are in, and lists as rows.

use std::{sync::Arc, time::Duration};

use arrow_array::{
    Array, ArrayRef, NullArray, PrimitiveArray, UInt32Array,
    cast::AsArray,
    types::{
        Date32Type, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
        TimestampSecondType,
    },
};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow_select::take::take;

use super::{Output, Place, Running};
use crate::{Delta, Fault, delta::CHUNK_ROWS, graph::PlanError, plan::WindowKind};

/// Windows that one time may be in.
const WINDOWS_MAX: i64 = 10_000;

const DAY_US: i64 = 24 * 60 * 60 * 1_000_000;

/// In microseconds; a window is `size` long and one begins every `slide`, or grows by `step` up to `size`.
#[derive(Clone, Copy, Debug)]
struct Assigner {
    size: i64,
    slide: i64,
    offset: i64,
    step: Option<i64>,
}

#[derive(Debug)]
struct Windows {
    schema: SchemaRef,
    time: usize,
    assigner: Assigner,
}

pub(super) fn windows(
    place: &Place,
    time: usize,
    kind: WindowKind,
) -> Result<Box<dyn Running>, PlanError> {
    let us = |duration: Duration| i64::try_from(duration.as_micros());
    let durations = match kind {
        WindowKind::Tumble { size, offset } => (us(size), us(size), us(offset), None),
        WindowKind::Hop {
            size,
            slide,
            offset,
        } => (us(size), us(slide), us(offset), None),
        WindowKind::Cumulate { size, step, offset } => {
            (us(size), us(size), us(offset), Some(us(step)))
        }
    };
    let (Ok(size), Ok(slide), Ok(offset), Ok(step)) = (
        durations.0,
        durations.1,
        durations.2,
        durations.3.transpose(),
    ) else {
        return Err(place.malformed("windows are longer than time"));
    };
    let shift = step.unwrap_or(slide);
    if size <= 0 || shift <= 0 || size / shift > WINDOWS_MAX {
        return Err(place.malformed("a time is in no window, or in too many"));
    }
    let input = place.inputs[0]
        .fields()
        .iter()
        .map(|field| field.data_type());
    let bounds: Vec<&DataType> = place
        .schema
        .fields()
        .iter()
        .skip(input.len())
        .map(|field| field.data_type())
        .collect();
    if bounds.len() != 2
        || !bounds
            .iter()
            .all(|bound| matches!(bound, DataType::Timestamp(..)))
    {
        return Err(place.malformed("behind its columns a row has its window's start and end"));
    }
    place.expect_types(input.chain(bounds))?;
    if !is_time(place.input_type(0, time)?) {
        return Err(place.malformed("the time is no timestamp"));
    }
    Ok(Box::new(Windows {
        schema: place.schema.clone(),
        time,
        assigner: Assigner {
            size,
            slide,
            offset,
            step,
        },
    }))
}

impl Assigner {
    /// Starts and ends of the windows that a time is in; none when they are beyond what a time can be.
    fn windows(self, time: i64) -> impl Iterator<Item = (i64, i64)> {
        let time = i128::from(time) - i128::from(self.offset);
        let (size, slide) = (i128::from(self.size), i128::from(self.slide));
        let offset = i128::from(self.offset);
        let last = time.div_euclid(slide) * slide;
        let step = self.step.map(i128::from);
        // Cumulating ones begin together and end after the time; the others of the same size begin before it.
        let count = match step {
            Some(step) => (size + step - 1) / step,
            None => (size + slide - 1) / slide,
        };
        let windows = (0..count).filter_map(move |at| {
            let (start, end) = match step {
                Some(step) => (last, last + ((at + 1) * step).min(size)),
                None => (
                    last - (count - 1 - at) * slide,
                    last - (count - 1 - at) * slide + size,
                ),
            };
            let contains = start <= time && time < end;
            contains.then_some((start + offset, end + offset))
        });
        windows
            .filter_map(|(start, end)| Some((i64::try_from(start).ok()?, i64::try_from(end).ok()?)))
    }
}

impl Running for Windows {
    fn take(&mut self, _port: usize, delta: &Delta, out: &mut Output) {
        let times = to_us(delta.column(self.time).as_ref(), Rounding::Down);
        let mut rows = Vec::with_capacity(delta.len());
        let mut starts = Vec::with_capacity(delta.len());
        let mut ends = Vec::with_capacity(delta.len());
        for (row, time) in times.into_iter().enumerate() {
            let Some(time) = time else {
                out.fault(Fault {
                    sqlstate: *b"22004",
                    message: String::from("a row without a time is in no window"),
                });
                continue;
            };
            for (start, end) in self.assigner.windows(time) {
                rows.push(row as u32);
                starts.push(start);
                ends.push(end);
            }
        }
        for from in (0..rows.len()).step_by(CHUNK_ROWS) {
            let until = (from + CHUNK_ROWS).min(rows.len());
            let some = delta.take(&UInt32Array::from(rows[from..until].to_vec()));
            let mut columns = some.rows().columns().to_vec();
            for (bounds, field) in [&starts, &ends]
                .into_iter()
                .zip(&self.schema.fields()[columns.len()..])
            {
                columns.push(from_us(&bounds[from..until], field.data_type()));
            }
            out.deltas
                .push(some.with_columns(self.schema.clone(), columns));
        }
    }
}

pub(super) fn is_time(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(..) | DataType::Date32)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rounding {
    Down,
    Up,
}

/// Times in microseconds; those too great for that are null.
pub(super) fn to_us(times: &dyn Array, rounding: Rounding) -> Vec<Option<i64>> {
    match times.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => {
            scaled(times.as_primitive::<TimestampSecondType>(), |time| {
                time.checked_mul(1_000_000)
            })
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            scaled(times.as_primitive::<TimestampMillisecondType>(), |time| {
                time.checked_mul(1_000)
            })
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            scaled(times.as_primitive::<TimestampMicrosecondType>(), Some)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            scaled(times.as_primitive::<TimestampNanosecondType>(), |time| {
                let down = time.div_euclid(1_000);
                let is_exact = time.rem_euclid(1_000) == 0;
                Some(if is_exact || rounding == Rounding::Down {
                    down
                } else {
                    down + 1
                })
            })
        }
        _ => {
            let days = times.as_primitive::<Date32Type>();
            days.iter()
                .map(|day| i64::from(day?).checked_mul(DAY_US))
                .collect()
        }
    }
}

fn scaled<T: arrow_array::types::ArrowPrimitiveType<Native = i64>>(
    times: &PrimitiveArray<T>,
    scale: impl Fn(i64) -> Option<i64>,
) -> Vec<Option<i64>> {
    times.iter().map(|time| time.and_then(&scale)).collect()
}

/// Timestamps of that type; null where it cannot hold them.
pub(super) fn from_us(times: &[i64], data_type: &DataType) -> ArrayRef {
    let times = times.iter();
    macro_rules! timestamps {
        ($t:ty, $scale:expr) => {{
            let array: PrimitiveArray<$t> = times.map(|time| $scale(*time)).collect();
            Arc::new(array.with_data_type(data_type.clone()))
        }};
    }
    match data_type {
        DataType::Timestamp(TimeUnit::Second, _) => {
            timestamps!(TimestampSecondType, |time: i64| Some(
                time.div_euclid(1_000_000)
            ))
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            timestamps!(TimestampMillisecondType, |time: i64| Some(
                time.div_euclid(1_000)
            ))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            timestamps!(TimestampNanosecondType, |time: i64| time.checked_mul(1_000))
        }
        _ => timestamps!(TimestampMicrosecondType, Some),
    }
}

/// A row for each element of a list.
#[derive(Debug)]
struct Unnest {
    schema: SchemaRef,
    list: usize,
    keeps_empty: bool,
}

pub(super) fn unnest(
    place: &Place,
    list: usize,
    keeps_empty: bool,
) -> Result<Box<dyn Running>, PlanError> {
    let element = match place.input_type(0, list)? {
        DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _) => {
            field.data_type().clone()
        }
        _ => return Err(place.malformed("the column is no list")),
    };
    let columns = place.inputs[0].fields().iter().enumerate();
    let types = columns.map(|(at, field)| {
        if at == list {
            &element
        } else {
            field.data_type()
        }
    });
    place.expect_types(types)?;
    Ok(Box::new(Unnest {
        schema: place.schema.clone(),
        list,
        keeps_empty,
    }))
}

impl Running for Unnest {
    fn take(&mut self, _port: usize, delta: &Delta, out: &mut Output) {
        let lists = delta.column(self.list);
        let (values, ranges) = elements(lists.as_ref());
        let mut rows = Vec::new();
        let mut places = Vec::new();
        for (row, range) in ranges.into_iter().enumerate() {
            let range = if lists.is_null(row) { 0..0 } else { range };
            if range.is_empty() && self.keeps_empty {
                rows.push(row as u32);
                places.push(None);
            }
            for place in range {
                rows.push(row as u32);
                places.push(Some(
                    u32::try_from(place).expect("a chunk of lists has fewer elements"),
                ));
            }
        }
        let others = self.without_lists(delta);
        for (rows, places) in rows.chunks(CHUNK_ROWS).zip(places.chunks(CHUNK_ROWS)) {
            let some = others.take(&UInt32Array::from(rows.to_vec()));
            let mut columns = some.rows().columns().to_vec();
            let places = UInt32Array::from(places.to_vec());
            columns[self.list] = take(&values, &places, None).expect("places lie in the lists");
            out.deltas
                .push(some.with_columns(self.schema.clone(), columns));
        }
    }
}

impl Unnest {
    /// With nothing in the place of the lists: each would be copied once for each of its elements.
    fn without_lists(&self, delta: &Delta) -> Delta {
        let mut columns = delta.rows().columns().to_vec();
        columns[self.list] = Arc::new(NullArray::new(delta.len()));
        let fields = delta.rows().schema();
        let fields = fields.fields().iter().enumerate();
        let fields = fields.map(|(at, field)| match at == self.list {
            true => Arc::new(Field::new(field.name(), DataType::Null, true)),
            false => field.clone(),
        });
        let schema = Schema::new(fields.collect::<Vec<_>>());
        delta.with_columns(Arc::new(schema), columns)
    }
}

/// All elements of a column of lists, and which of them are each row's.
fn elements(lists: &dyn Array) -> (ArrayRef, Vec<std::ops::Range<usize>>) {
    match lists.data_type() {
        DataType::List(_) => {
            let lists = lists.as_list::<i32>();
            let offsets = lists.offsets().windows(2);
            (
                lists.values().clone(),
                offsets
                    .map(|ends| ends[0] as usize..ends[1] as usize)
                    .collect(),
            )
        }
        DataType::LargeList(_) => {
            let lists = lists.as_list::<i64>();
            let offsets = lists.offsets().windows(2);
            (
                lists.values().clone(),
                offsets
                    .map(|ends| ends[0] as usize..ends[1] as usize)
                    .collect(),
            )
        }
        _ => {
            let lists = lists.as_fixed_size_list();
            let length = lists.value_length() as usize;
            (
                lists.values().clone(),
                (0..lists.len())
                    .map(|row| row * length..(row + 1) * length)
                    .collect(),
            )
        }
    }
}
