//! Rows as bytes: compared as bytes they sort as the rows do, and they are read back into columns.
//!
//! # Place       keys of state tables in memory, and the same bytes in checkpoints
//! # Invariants
//! 1. For rows of one codec, the order of the bytes is that of the rows: by the first column, then the next. Two rows have
//!    the same bytes only if they are equal; zero is equal to minus zero, and NaN is equal to itself and greatest.
//! 2. No row is the beginning of another one, so that what follows a row does not change its place.
//! 3. What `encode` wrote `decode` reads back; of any other bytes it says that they are corrupt.
//!
//! # Layout      version 1; numbers big-endian
//! ```text
//! row      value of each column; those of a descending column with all of their bits inverted
//! value    0 null that comes first | 1 and what follows by type | 2 null that comes last
//! signed   sign bit inverted; unsigned as it is; both as wide as the type, zeros behind a null
//! float    sign bit inverted if positive, else all bits; NaN is one positive pattern
//! bytes    a zero byte as 00 FF, and 00 00 at the end
//! list     01 and a value for each element, 00 at the end; elements' nulls come last
//! struct   a value for each field
//! interval its length in nanoseconds with days of 24 hours and months of 30 days, months, days
//! ```
//! The version stands in what holds rows (`state`), not in each. See docs/formats/stream-row.md.
//!
//! # Instead of
//! `arrow-row`: its bytes may change with any release, and ours lie on disk.

mod decode;
mod fixed;

use arrow_array::{Array, ArrayRef, PrimitiveArray, cast::AsArray, types::ArrowPrimitiveType};
use arrow_schema::DataType;
use memchr::memchr;

pub use decode::Corrupt;
use fixed::{Fixed, by_bytes, by_primitive};

/// Version of the bytes that this module writes.
pub const ROW_VERSION: u8 = 1;

const NULL_FIRST: u8 = 0;
/// In front of every value.
pub(crate) const VALUE: u8 = 1;
const NULL_LAST: u8 = 2;

const END: u8 = 0;
const ELEMENT: u8 = 1;

/// Behind a zero byte: it is part of the value, or its end.
const ESCAPED: u8 = 0xFF;

/// How a column's values are sorted; by default ascending, nulls last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ColumnOrder {
    pub descending: bool,
    pub nulls_first: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no row can hold a value of type {0}")]
pub struct Unsupported(pub DataType);

/// See the module head.
#[derive(Clone, Debug, Default)]
pub struct RowCodec {
    columns: Vec<Column>,
}

#[derive(Clone, Debug)]
struct Column {
    data_type: DataType,
    order: ColumnOrder,
    /// Of a value with its first byte; none when it varies.
    width: Option<usize>,
}

/// Rows as bytes, one behind the other.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    bytes: Vec<u8>,
    /// Of the first row, and behind each; none without rows.
    offsets: Vec<usize>,
}

impl Rows {
    #[must_use]
    pub fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[must_use]
    pub fn row(&self, at: usize) -> &[u8] {
        &self.bytes[self.offsets[at]..self.offsets[at + 1]]
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.offsets
            .windows(2)
            .map(|ends| &self.bytes[ends[0]..ends[1]])
    }
}

impl RowCodec {
    /// Fails when one of the types is neither a number, text, bytes, a time, nor made of such.
    pub fn new(
        columns: impl IntoIterator<Item = (DataType, ColumnOrder)>,
    ) -> Result<Self, Unsupported> {
        let columns = columns.into_iter().map(|(data_type, order)| {
            check(&data_type)?;
            Ok(Column {
                width: fixed_width(&data_type).map(|width| width + 1),
                data_type,
                order,
            })
        });
        Ok(Self {
            columns: columns.collect::<Result<_, Unsupported>>()?,
        })
    }

    /// All columns ascending, nulls last.
    pub fn ascending<'a>(
        types: impl IntoIterator<Item = &'a DataType>,
    ) -> Result<Self, Unsupported> {
        Self::new(
            types
                .into_iter()
                .map(|data_type| (data_type.clone(), ColumnOrder::default())),
        )
    }

    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns.len()
    }

    /// Of the values of its only column, ascending, without their first byte; none when it varies, or there are others.
    #[must_use]
    pub fn width(&self) -> Option<usize> {
        match &self.columns[..] {
            [only] if only.mask() == 0 => only.width.map(|width| width - 1),
            _ => None,
        }
    }

    /// The rows of these columns, of this codec's types and `count` long.
    #[must_use]
    pub fn encode(&self, columns: &[ArrayRef], count: usize) -> Rows {
        let mut rows = Rows::default();
        self.encode_into(columns, count, &mut rows);
        rows
    }

    /// As `encode`, into memory that is encoded there.
    pub fn encode_into(&self, columns: &[ArrayRef], count: usize, rows: &mut Rows) {
        assert_eq!(
            columns.len(),
            self.columns.len(),
            "a column for each of the codec's"
        );
        let fixed: usize = self.columns.iter().filter_map(|column| column.width).sum();
        rows.offsets.clear();
        // Where each row begins stands one place further on; writing its columns moves that to where it ends.
        rows.offsets.push(0);
        rows.offsets.resize(count + 1, fixed);
        let mut nested = Vec::new();
        for (column, array) in self.columns.iter().zip(columns) {
            assert_eq!(
                &column.data_type,
                array.data_type(),
                "a column has the codec's type"
            );
            assert_eq!(array.len(), count, "a column has a value for each row");
            if column.width.is_none() {
                nested.push(add_lengths(array.as_ref(), &mut rows.offsets[1..]));
            }
        }
        let mut total = 0;
        for begin in &mut rows.offsets[1..] {
            total += std::mem::replace(begin, total);
        }
        rows.bytes.clear();
        rows.bytes.resize(total, 0);
        let mut nested = nested.into_iter();
        for (column, array) in self.columns.iter().zip(columns) {
            let encoded = if column.width.is_none() {
                nested.next().flatten()
            } else {
                None
            };
            column.write(array.as_ref(), encoded.as_ref(), rows);
        }
    }
}

impl Column {
    /// The first byte of a null, before the column's bits are inverted.
    fn null_tag(&self) -> u8 {
        if self.order.nulls_first == self.order.descending {
            NULL_LAST
        } else {
            NULL_FIRST
        }
    }

    fn mask(&self) -> u8 {
        if self.order.descending { 0xFF } else { 0 }
    }

    /// Each value behind what its row encoded has. Values of varying length but bytes come `encoded`.
    fn write(&self, array: &dyn Array, encoded: Option<&Rows>, rows: &mut Rows) {
        let tags = Tags {
            null: self.null_tag() ^ self.mask(),
            value: VALUE ^ self.mask(),
            mask: self.mask(),
        };
        if let Some(encoded) = encoded {
            return write_values(array, tags, rows, |row, out| {
                put_slice(&encoded.row(row)[1..], out)
            });
        }
        by_primitive!(array.data_type(), T => write_primitive(array.as_primitive::<T>(), tags, rows), else {
            match array.data_type() {
                DataType::Null => write_values(array, tags, rows, |_, _| 0),
                DataType::Boolean => {
                    let values = array.as_boolean();
                    write_fixed(array, tags, rows, 1, |row, out| out[0] = u8::from(values.value(row)));
                }
                DataType::FixedSizeBinary(width) => {
                    let values = array.as_fixed_size_binary();
                    write_fixed(array, tags, rows, as_count(*width), |row, out| {
                        out.copy_from_slice(values.value(row));
                    });
                }
                _ => by_bytes!(array, values => {
                    write_values(array, tags, rows, |row, out| put_bytes(bytes_of(values.value(row)), out));
                }, else { unreachable!("values of other types come encoded") }),
            }
        });
    }
}

/// What stands before the values of a column, with its inversion.
#[derive(Clone, Copy)]
struct Tags {
    null: u8,
    value: u8,
    mask: u8,
}

/// Adds the length of each value to its row's. What must be encoded to know that is returned.
fn add_lengths(array: &dyn Array, lengths: &mut [usize]) -> Option<Rows> {
    if array.data_type() == &DataType::Null {
        lengths.iter_mut().for_each(|length| *length += 1);
        return None;
    }
    by_bytes!(array, values => {
        let nulls = values.nulls();
        for (row, length) in lengths.iter_mut().enumerate() {
            *length += 1;
            if nulls.is_none_or(|nulls| nulls.is_valid(row)) {
                let value = bytes_of(values.value(row));
                *length += value.len() + zeros(value) + 2;
            }
        }
        return None;
    }, else {});
    let mut encoded = Rows {
        bytes: Vec::new(),
        offsets: vec![0],
    };
    for (row, length) in lengths.iter_mut().enumerate() {
        append(array, row, &mut encoded.bytes);
        encoded.offsets.push(encoded.bytes.len());
        *length += encoded.row(row).len();
    }
    Some(encoded)
}

/// Writes with `put` the value of each row that has one; it says how many bytes those are.
fn write_values(
    array: &dyn Array,
    tags: Tags,
    rows: &mut Rows,
    put: impl Fn(usize, &mut [u8]) -> usize,
) {
    let nulls = array.logical_nulls();
    for row in 0..array.len() {
        let at = rows.offsets[row + 1];
        let mut end = at + 1;
        rows.bytes[at] = tags.null;
        if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
            rows.bytes[at] = tags.value;
            end += put(row, &mut rows.bytes[at + 1..]);
            invert(&mut rows.bytes[at + 1..end], tags.mask);
        }
        rows.offsets[row + 1] = end;
    }
}

/// As `write_values`, of one width for all values and with as many zeros for nulls.
fn write_fixed(
    array: &dyn Array,
    tags: Tags,
    rows: &mut Rows,
    width: usize,
    put: impl Fn(usize, &mut [u8]),
) {
    let nulls = array.logical_nulls();
    for row in 0..array.len() {
        let at = rows.offsets[row + 1];
        let end = at + 1 + width;
        let is_valid = nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
        rows.bytes[at] = if is_valid { tags.value } else { tags.null };
        let out = &mut rows.bytes[at + 1..end];
        if is_valid {
            put(row, out);
        }
        invert(out, tags.mask);
        rows.offsets[row + 1] = end;
    }
}

fn write_primitive<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>, tags: Tags, rows: &mut Rows)
where
    T::Native: Fixed,
{
    let values = array.values();
    write_fixed(array, tags, rows, T::Native::WIDTH, |row, out| {
        values[row].write(out)
    });
}

fn invert(bytes: &mut [u8], mask: u8) {
    if mask != 0 {
        bytes.iter_mut().for_each(|byte| *byte ^= mask);
    }
}

fn put_slice(value: &[u8], out: &mut [u8]) -> usize {
    out[..value.len()].copy_from_slice(value);
    value.len()
}

/// The bytes, escaped, and their end.
fn put_bytes(value: &[u8], out: &mut [u8]) -> usize {
    let (mut at, mut left) = (0, value);
    while let Some(zero) = memchr(0, left) {
        at += put_slice(&left[..zero], &mut out[at..]);
        at += put_slice(&[0, ESCAPED], &mut out[at..]);
        left = &left[zero + 1..];
    }
    at += put_slice(left, &mut out[at..]);
    at + put_slice(&[0, END], &mut out[at..])
}

fn bytes_of<T: AsRef<[u8]> + ?Sized>(value: &T) -> &[u8] {
    value.as_ref()
}

fn zeros(value: &[u8]) -> usize {
    match memchr(0, value) {
        // Nearly always.
        None => 0,
        Some(first) => value[first..].iter().filter(|byte| **byte == 0).count(),
    }
}

/// One value with its first byte, ascending and nulls last; for lists, structs and what they are made of.
fn append(array: &dyn Array, row: usize, out: &mut Vec<u8>) {
    let width = fixed_width(array.data_type()).unwrap_or(0);
    if array.is_null(row) || array.data_type() == &DataType::Null {
        out.push(NULL_LAST);
        out.resize(out.len() + width, 0);
        return;
    }
    out.push(VALUE);
    match array.data_type() {
        DataType::List(_) => append_elements(array.as_list::<i32>().value(row).as_ref(), out),
        DataType::LargeList(_) => append_elements(array.as_list::<i64>().value(row).as_ref(), out),
        DataType::FixedSizeList(..) => {
            append_elements(array.as_fixed_size_list().value(row).as_ref(), out);
        }
        DataType::Struct(_) => {
            let fields = array.as_struct().columns();
            fields
                .iter()
                .for_each(|field| append(field.as_ref(), row, out));
        }
        _ => append_scalar(array, row, width, out),
    }
}

fn append_elements(elements: &dyn Array, out: &mut Vec<u8>) {
    for element in 0..elements.len() {
        out.push(ELEMENT);
        append(elements, element, out);
    }
    out.push(END);
}

fn append_scalar(array: &dyn Array, row: usize, width: usize, out: &mut Vec<u8>) {
    let at = out.len();
    by_bytes!(array, values => {
        let value = bytes_of(values.value(row));
        out.resize(at + value.len() + zeros(value) + 2, 0);
        put_bytes(value, &mut out[at..]);
        return;
    }, else {});
    out.resize(at + width, 0);
    let out = &mut out[at..];
    by_primitive!(array.data_type(), T => array.as_primitive::<T>().value(row).write(out), else {
        match array.data_type() {
            DataType::Boolean => out[0] = u8::from(array.as_boolean().value(row)),
            _ => out.copy_from_slice(array.as_fixed_size_binary().value(row)),
        }
    });
}

/// Of a value without its first byte; none when it varies.
fn fixed_width(data_type: &DataType) -> Option<usize> {
    by_primitive!(data_type, T => return Some(<T as ArrowPrimitiveType>::Native::WIDTH), else {});
    match data_type {
        DataType::Boolean => Some(1),
        DataType::FixedSizeBinary(width) => Some(as_count(*width)),
        _ => None,
    }
}

fn as_count(width: i32) -> usize {
    usize::try_from(width).expect("a width is never negative")
}

fn check(data_type: &DataType) -> Result<(), Unsupported> {
    use DataType::{
        Binary, BinaryView, FixedSizeList, LargeBinary, LargeList, LargeUtf8, List, Null, Struct,
        Utf8, Utf8View,
    };
    match data_type {
        Null | Utf8 | LargeUtf8 | Utf8View | Binary | LargeBinary | BinaryView => Ok(()),
        List(field) | LargeList(field) | FixedSizeList(field, _) => check(field.data_type()),
        Struct(fields) => fields.iter().try_for_each(|field| check(field.data_type())),
        _ if fixed_width(data_type).is_some() => Ok(()),
        _ => Err(Unsupported(data_type.clone())),
    }
}

#[cfg(test)]
mod tests;
