//! Values of Arrow arrays in Postgres's binary formats, and back from what a client binds.
//!
//! Formats are those of the `*_send` and `*_recv` functions of PostgreSQL: numbers big-endian, times from the year 2000 on.

#[cfg(test)]
mod tests;

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{
        DataType, Date32Type, Decimal128Type, Field, Float32Type, Float64Type, Int16Type,
        Int32Type, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit,
        Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
    },
};
use datafusion_common::ScalarValue;

use crate::{
    backend::SqlError,
    column_type::{
        DAY_US, canonical, field_of_oid, postgres_type, postgres_type_of_oid, shown_decimal,
    },
};

mod oid {
    //! Numbers of types, as PostgreSQL has them.
    pub const BOOL: u32 = 16;
    pub const BYTEA: u32 = 17;
    pub const INT8: u32 = 20;
    pub const INT2: u32 = 21;
    pub const INT4: u32 = 23;
    pub const FLOAT4: u32 = 700;
    pub const FLOAT8: u32 = 701;
    pub const DATE: u32 = 1082;
    pub const TIME: u32 = 1083;
    pub const TIMESTAMP: u32 = 1114;
    pub const TIMESTAMPTZ: u32 = 1184;
    pub const INTERVAL: u32 = 1186;
    pub const NUMERIC: u32 = 1700;
    pub const UUID: u32 = 2950;
    pub const JSONB: u32 = 3802;
    /// Their values are numbers of 32 bits without sign, in columns of 64.
    pub const OIDS: [u32; 4] = [24, 26, 2205, 2206];
}

/// Days from 1970 to 2000.
const EPOCH_DAYS: i32 = 10_957;
const EPOCH_MICROS: i64 = EPOCH_DAYS as i64 * DAY_US;
/// What one group of decimal digits of a numeric counts to.
const GROUP: u128 = 10_000;
/// Lists within lists that are encoded; Postgres has six dimensions at most.
const DEPTH_MAX: usize = 6;

/// Appends the value at `row`, which is not null. The array is canonical.
pub fn encode(
    field: &Field,
    array: &dyn Array,
    row: usize,
    out: &mut Vec<u8>,
) -> Result<(), SqlError> {
    encode_within(field, array, row, out, 0)
}

fn encode_within(
    field: &Field,
    array: &dyn Array,
    row: usize,
    out: &mut Vec<u8>,
    depth: usize,
) -> Result<(), SqlError> {
    match array.data_type() {
        DataType::Boolean => out.push(array.as_boolean().value(row).into()),
        DataType::Int16 => out.extend(array.as_primitive::<Int16Type>().value(row).to_be_bytes()),
        DataType::Int32 => out.extend(array.as_primitive::<Int32Type>().value(row).to_be_bytes()),
        DataType::Int64 => integer(field, array.as_primitive::<Int64Type>().value(row), out)?,
        DataType::Float32 => {
            out.extend(array.as_primitive::<Float32Type>().value(row).to_be_bytes());
        }
        DataType::Float64 => {
            out.extend(array.as_primitive::<Float64Type>().value(row).to_be_bytes());
        }
        DataType::Decimal128(_, scale) => {
            let value = array.as_primitive::<Decimal128Type>().value(row);
            let (value, scale) = shown_decimal(field, value, *scale);
            numeric(value, scale, out);
        }
        DataType::Utf8 => string(field, array.as_string::<i32>().value(row), out)?,
        DataType::Binary => out.extend(array.as_binary::<i32>().value(row)),
        DataType::Date32 => {
            let days = array.as_primitive::<Date32Type>().value(row);
            out.extend(days.saturating_sub(EPOCH_DAYS).to_be_bytes());
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            let micros = array.as_primitive::<Time64MicrosecondType>().value(row);
            out.extend(micros.to_be_bytes());
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            out.extend(micros.saturating_sub(EPOCH_MICROS).to_be_bytes());
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let span = array.as_primitive::<IntervalMonthDayNanoType>().value(row);
            out.extend((span.nanoseconds / 1000).to_be_bytes());
            out.extend(span.days.to_be_bytes());
            out.extend(span.months.to_be_bytes());
        }
        DataType::List(element) if depth < DEPTH_MAX => {
            list(element, &array.as_list::<i32>().value(row), out, depth)?;
        }
        DataType::Struct(fields) if depth < DEPTH_MAX => {
            out.extend((fields.len() as u32).to_be_bytes());
            for (field, column) in fields.iter().zip(array.as_struct().columns()) {
                out.extend(postgres_type(field).oid.to_be_bytes());
                nullable(field, column, row, out, depth)?;
            }
        }
        other => {
            return Err(SqlError::new(
                *b"0A000",
                format!("no binary output function for {other}"),
            ));
        }
    }
    Ok(())
}

/// The length and the value, or -1 for null.
fn nullable(
    field: &Field,
    array: &ArrayRef,
    row: usize,
    out: &mut Vec<u8>,
    depth: usize,
) -> Result<(), SqlError> {
    if array.is_null(row) {
        out.extend((-1_i32).to_be_bytes());
        return Ok(());
    }
    let at = out.len();
    out.extend([0; 4]);
    encode_within(field, array.as_ref(), row, out, depth + 1)?;
    let length = i32::try_from(out.len() - at - 4)
        .map_err(|_| SqlError::new(*b"54000", "a value of the result is too large"))?;
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

/// Object identifiers are of 32 bits, without sign, in columns of 64.
fn integer(field: &Field, value: i64, out: &mut Vec<u8>) -> Result<(), SqlError> {
    if !oid::OIDS.contains(&postgres_type(field).oid) {
        out.extend(value.to_be_bytes());
        return Ok(());
    }
    let oid = u32::try_from(value).map_err(|_| SqlError::new(*b"22003", "OID out of range"))?;
    out.extend(oid.to_be_bytes());
    Ok(())
}

fn string(field: &Field, value: &str, out: &mut Vec<u8>) -> Result<(), SqlError> {
    match postgres_type(field).oid {
        oid::JSONB => out.push(1),
        oid::UUID => {
            let digits: String = value.chars().filter(|c| *c != '-').collect();
            let number = u128::from_str_radix(&digits, 16).ok();
            let number = number.filter(|_| digits.len() == 32);
            let wrong = || SqlError::new(*b"22P02", "invalid input syntax for type uuid");
            out.extend(number.ok_or_else(wrong)?.to_be_bytes());
            return Ok(());
        }
        _ => {}
    }
    out.extend(value.as_bytes());
    Ok(())
}

/// Groups of four digits, the first counting 10,000 to the power of the weight.
fn numeric(value: i128, scale: i8, out: &mut Vec<u8>) {
    let places = u32::from(scale.max(0).unsigned_abs());
    // So that the groups meet at the point: the fraction is filled up to a whole number of them.
    let fill = (4 - places % 4) % 4;
    let mut magnitude = value.unsigned_abs();
    if scale < 0 {
        // As many zeros before the point: a form of Arrow's decimals that no numeric has.
        let zeros = u32::from(scale.unsigned_abs());
        magnitude = magnitude.saturating_mul(10_u128.saturating_pow(zeros));
    }
    let mut groups = Vec::new();
    if fill > 0 {
        // The last group holds fewer digits than the others.
        let kept = 10_u128.pow(4 - fill);
        groups.push(((magnitude % kept) * 10_u128.pow(fill)) as u16);
        magnitude /= kept;
    }
    while magnitude > 0 {
        groups.push((magnitude % GROUP) as u16);
        magnitude /= GROUP;
    }
    // From the most significant on, without zeros at either end.
    while groups.last() == Some(&0) {
        groups.pop();
    }
    let weight = match groups.len() as i32 {
        0 => 0,
        count => count - places.div_ceil(4) as i32 - 1,
    };
    let zeros = groups.iter().take_while(|group| **group == 0).count();
    groups.drain(..zeros);
    out.extend((groups.len() as u16).to_be_bytes());
    out.extend((weight as i16).to_be_bytes());
    let sign: u16 = if value < 0 { 0x4000 } else { 0 };
    out.extend(sign.to_be_bytes());
    out.extend((places as u16).to_be_bytes());
    groups
        .iter()
        .rev()
        .for_each(|group| out.extend(group.to_be_bytes()));
}

/// Dimensions and elements. Lists of lists are told as one dimension of arrays as text would be refused by drivers, so
/// only rectangular ones are told as several dimensions.
fn list(
    element: &Field,
    values: &ArrayRef,
    out: &mut Vec<u8>,
    depth: usize,
) -> Result<(), SqlError> {
    let mut dimensions = vec![values.len()];
    let mut element = element.clone();
    let mut values = values.clone();
    while let DataType::List(inner) = values.data_type().clone() {
        let lists = values.as_list::<i32>();
        let count = if lists.is_empty() {
            0
        } else {
            lists.value_length(0)
        };
        let rectangular =
            (0..lists.len()).all(|at| lists.is_valid(at) && lists.value_length(at) == count);
        if !rectangular || dimensions.len() == DEPTH_MAX {
            return Err(SqlError::new(
                *b"2202E",
                "multidimensional arrays must have sub-arrays with matching dimensions",
            ));
        }
        dimensions.push(usize::try_from(count).expect("lengths are not negative"));
        let parts: Vec<ArrayRef> = (0..lists.len()).map(|at| lists.value(at)).collect();
        let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
        values = if parts.is_empty() {
            arrow::array::new_empty_array(inner.data_type())
        } else {
            arrow::compute::concat(&parts)?
        };
        element = inner.as_ref().clone();
    }
    let shown = if values.is_empty() {
        &[][..]
    } else {
        &dimensions[..]
    };
    out.extend((shown.len() as u32).to_be_bytes());
    out.extend(u32::from(values.null_count() > 0).to_be_bytes());
    out.extend(postgres_type(&element).oid.to_be_bytes());
    for count in shown {
        out.extend((*count as u32).to_be_bytes());
        out.extend(1_u32.to_be_bytes());
    }
    (0..values.len()).try_for_each(|at| nullable(&element, &values, at, out, depth))
}

/// The array with one of the types that the encoders know, the same values.
pub fn canonical_array(array: &ArrayRef) -> Result<ArrayRef, SqlError> {
    let to = match array.data_type() {
        DataType::Int64 | DataType::Int32 | DataType::Utf8 | DataType::Float64 => {
            return Ok(array.clone());
        }
        DataType::Null => DataType::Utf8,
        other => canonical(other),
    };
    if to == *array.data_type() {
        return Ok(array.clone());
    }
    Ok(arrow::compute::cast(array, &to)?)
}

/// A value that a client bound in binary, for a parameter of this type.
pub fn decode(type_oid: u32, bytes: &[u8]) -> Result<ScalarValue, SqlError> {
    let mut input = Input(bytes);
    let value = decode_value(type_oid, &mut input)?;
    if input.0.is_empty() {
        Ok(value)
    } else {
        Err(incorrect())
    }
}

fn incorrect() -> SqlError {
    SqlError::new(*b"22P03", "incorrect binary data format in bind parameter")
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], SqlError> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or_else(incorrect)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}

fn decode_value(type_oid: u32, input: &mut Input<'_>) -> Result<ScalarValue, SqlError> {
    Ok(match type_oid {
        oid::BOOL => ScalarValue::Boolean(Some(u8::from_be_bytes(input.take()?) != 0)),
        oid::INT2 => ScalarValue::Int16(Some(i16::from_be_bytes(input.take()?))),
        oid::INT4 => ScalarValue::Int32(Some(i32::from_be_bytes(input.take()?))),
        oid::INT8 => ScalarValue::Int64(Some(i64::from_be_bytes(input.take()?))),
        of if oid::OIDS.contains(&of) => {
            ScalarValue::Int64(Some(u32::from_be_bytes(input.take()?).into()))
        }
        oid::FLOAT4 => ScalarValue::Float32(Some(f32::from_be_bytes(input.take()?))),
        oid::FLOAT8 => ScalarValue::Float64(Some(f64::from_be_bytes(input.take()?))),
        oid::NUMERIC => decode_numeric(input)?,
        oid::BYTEA => ScalarValue::Binary(Some(input.rest().to_vec())),
        oid::DATE => {
            let days = i32::from_be_bytes(input.take()?);
            ScalarValue::Date32(Some(days.saturating_add(EPOCH_DAYS)))
        }
        oid::TIME => ScalarValue::Time64Microsecond(Some(i64::from_be_bytes(input.take()?))),
        oid::TIMESTAMP | oid::TIMESTAMPTZ => {
            let micros = i64::from_be_bytes(input.take()?).saturating_add(EPOCH_MICROS);
            let zone = (type_oid == oid::TIMESTAMPTZ).then(|| "UTC".into());
            ScalarValue::TimestampMicrosecond(Some(micros), zone)
        }
        oid::INTERVAL => {
            let micros = i64::from_be_bytes(input.take()?);
            let days = i32::from_be_bytes(input.take()?);
            let months = i32::from_be_bytes(input.take()?);
            let nanos = micros
                .checked_mul(1000)
                .ok_or_else(|| SqlError::new(*b"22008", "interval out of range"))?;
            let span = IntervalMonthDayNano::new(months, days, nanos);
            ScalarValue::IntervalMonthDayNano(Some(span))
        }
        oid::UUID => {
            let digits = format!("{:032x}", u128::from_be_bytes(input.take()?));
            let parts = [
                &digits[..8],
                &digits[8..12],
                &digits[12..16],
                &digits[16..20],
                &digits[20..],
            ];
            ScalarValue::Utf8(Some(parts.join("-")))
        }
        oid::JSONB => match input.take()? {
            [1] => text(input.rest())?,
            _ => return Err(incorrect()),
        },
        _ => match postgres_type_of_oid(type_oid).and_then(|found| found.element) {
            Some(element) => decode_list(element, input)?,
            None => text(input.rest())?,
        },
    })
}

fn text(bytes: &[u8]) -> Result<ScalarValue, SqlError> {
    let text = std::str::from_utf8(bytes)
        .ok()
        .filter(|text| !text.contains('\0'))
        .ok_or_else(|| SqlError::new(*b"22021", "invalid byte sequence for encoding \"UTF8\""))?;
    Ok(ScalarValue::Utf8(Some(text.to_owned())))
}

fn decode_numeric(input: &mut Input<'_>) -> Result<ScalarValue, SqlError> {
    let groups = u16::from_be_bytes(input.take()?);
    let weight = i32::from(i16::from_be_bytes(input.take()?));
    let sign = u16::from_be_bytes(input.take()?);
    let scale = u16::from_be_bytes(input.take()?);
    let range = || {
        SqlError::new(
            *b"22003",
            "value is beyond what numeric holds here: 38 digits",
        )
    };
    if sign != 0 && sign != 0x4000 {
        return Err(SqlError::new(
            *b"0A000",
            "numeric NaN and infinity are not supported",
        ));
    }
    let scale = u8::try_from(scale)
        .ok()
        .filter(|scale| *scale <= 38)
        .ok_or_else(range)?;
    let mut value = 0_i128;
    for at in 0..i32::from(groups) {
        let digits = i128::from(u16::from_be_bytes(input.take()?));
        // What the last digit of this group counts, as a power of ten, in units of the scale.
        let power = (weight - at) * 4 + i32::from(scale);
        let part = if power >= 0 {
            let factor = 10_i128
                .checked_pow(power.unsigned_abs())
                .ok_or_else(range)?;
            digits.checked_mul(factor).ok_or_else(range)?
        } else {
            digits
                / 10_i128
                    .checked_pow(power.unsigned_abs())
                    .unwrap_or(i128::MAX)
        };
        value = value.checked_add(part).ok_or_else(range)?;
    }
    if value >= 10_i128.pow(38) {
        return Err(range());
    }
    let value = if sign == 0 { value } else { -value };
    Ok(ScalarValue::Decimal128(
        Some(value),
        38,
        scale.cast_signed(),
    ))
}

/// Of one dimension; several are flattened as `unnest` would.
fn decode_list(element: u32, input: &mut Input<'_>) -> Result<ScalarValue, SqlError> {
    let dimensions = u32::from_be_bytes(input.take()?);
    let _has_nulls: [u8; 4] = input.take()?;
    let _element: [u8; 4] = input.take()?;
    if dimensions as usize > DEPTH_MAX {
        return Err(incorrect());
    }
    let mut count = u64::from(dimensions > 0);
    for _ in 0..dimensions {
        count = count.saturating_mul(u32::from_be_bytes(input.take()?).into());
        let _lower: [u8; 4] = input.take()?;
    }
    if count.saturating_mul(4) > input.0.len() as u64 {
        return Err(incorrect());
    }
    let of = field_of_oid(element).map_or(DataType::Utf8, |field| field.data_type().clone());
    let values = (0..count)
        .map(|_| match i32::from_be_bytes(input.take()?) {
            -1 => Ok(ScalarValue::try_from(&of)?),
            length => {
                let length = usize::try_from(length).map_err(|_| incorrect())?;
                let (value, rest) = input.0.split_at_checked(length).ok_or_else(incorrect)?;
                input.0 = rest;
                decode(element, value)
            }
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(ScalarValue::List(ScalarValue::new_list_nullable(
        &values, &of,
    )))
}
