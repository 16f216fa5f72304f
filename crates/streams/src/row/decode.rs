//! Rows read back into columns.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, FixedSizeBinaryArray, FixedSizeListArray, GenericBinaryArray,
    GenericListArray, GenericStringArray, NullArray, OffsetSizeTrait, PrimitiveArray, StructArray,
    builder::{BinaryViewBuilder, StringViewBuilder},
    types::ArrowPrimitiveType,
};
use arrow_buffer::{BooleanBufferBuilder, NullBuffer, NullBufferBuilder, OffsetBuffer};
use arrow_schema::{DataType, FieldRef, Fields};
use memchr::memchr;

use super::{
    Column, ELEMENT, END, ESCAPED, NULL_FIRST, NULL_LAST, RowCodec, VALUE, as_count,
    fixed::{Fixed, by_primitive},
    fixed_width,
};

/// Bytes that no row of the codec has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bytes that should be a row hold none")]
pub struct Corrupt;

impl RowCodec {
    /// The columns of these rows.
    pub fn decode<'a>(
        &self,
        rows: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Vec<ArrayRef>, Corrupt> {
        let mut rest: Vec<Rest<'a>> = rows
            .into_iter()
            .map(|bytes| Rest { bytes, mask: 0 })
            .collect();
        let columns = self.decode_some(&mut rest)?;
        if rest.iter().any(|row| !row.bytes.is_empty()) {
            return Err(Corrupt);
        }
        Ok(columns)
    }

    /// As `decode`, of bytes that the rows only begin; how long each row is comes with the columns.
    pub fn decode_front<'a>(
        &self,
        rows: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<(Vec<ArrayRef>, Vec<&'a [u8]>), Corrupt> {
        let mut rest: Vec<Rest<'a>> = rows
            .into_iter()
            .map(|bytes| Rest { bytes, mask: 0 })
            .collect();
        let columns = self.decode_some(&mut rest)?;
        Ok((columns, rest.into_iter().map(|row| row.bytes).collect()))
    }

    /// Whether `decode` takes this row; of the usual types without making columns of it.
    pub fn check(&self, row: &[u8]) -> Result<(), Corrupt> {
        let is_usual = |column: &Column| {
            column.mask() == 0
                && match &column.data_type {
                    DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
                    DataType::Boolean => false,
                    other => fixed_width(other).is_some(),
                }
        };
        if !self.columns.iter().all(is_usual) {
            return self.decode([row]).map(drop);
        }
        let mut rest = Rest {
            bytes: row,
            mask: 0,
        };
        for column in &self.columns {
            let value = rest;
            rest.skip(&column.data_type)?;
            if fixed_width(&column.data_type).is_none() {
                let value = &value.bytes[1..value.bytes.len() - rest.bytes.len()];
                // A null has nothing more, a text its end.
                let text = &value[..value.len().saturating_sub(2)];
                if memchr(0, text).is_some() || str::from_utf8(text).is_err() {
                    return self.decode([row]).map(drop);
                }
            }
        }
        match rest.bytes {
            [] => Ok(()),
            _ => Err(Corrupt),
        }
    }

    fn decode_some(&self, rest: &mut [Rest<'_>]) -> Result<Vec<ArrayRef>, Corrupt> {
        let decode = |column: &Column| {
            rest.iter_mut().for_each(|row| row.mask = column.mask());
            read(&column.data_type, rest)
        };
        self.columns.iter().map(decode).collect()
    }
}

/// What of a row is still to be read, and how its column inverts it.
#[derive(Clone, Copy)]
struct Rest<'a> {
    bytes: &'a [u8],
    mask: u8,
}

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Corrupt> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or(Corrupt)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Corrupt> {
        Ok(self.take(1)?[0] ^ self.mask)
    }

    /// Whether a value follows, or else a null.
    fn is_value(&mut self) -> Result<bool, Corrupt> {
        match self.byte()? {
            VALUE => Ok(true),
            NULL_FIRST | NULL_LAST => Ok(false),
            _ => Err(Corrupt),
        }
    }

    /// Whether an element of a list follows, or else its end.
    fn is_element(&mut self) -> Result<bool, Corrupt> {
        match self.byte()? {
            ELEMENT => Ok(true),
            END => Ok(false),
            _ => Err(Corrupt),
        }
    }

    /// Appends what stands before the end, without escapes.
    fn append_bytes(&mut self, out: &mut Vec<u8>) -> Result<(), Corrupt> {
        loop {
            let zero = memchr(self.mask, self.bytes);
            let piece = self.take(zero.ok_or(Corrupt)?)?;
            if self.mask == 0 {
                out.extend_from_slice(piece);
            } else {
                out.extend(piece.iter().map(|byte| byte ^ self.mask));
            }
            self.byte()?;
            match self.byte()? {
                END => return Ok(()),
                ESCAPED => out.push(0),
                _ => return Err(Corrupt),
            }
        }
    }

    /// Goes behind a value with its first byte.
    fn skip(&mut self, data_type: &DataType) -> Result<(), Corrupt> {
        let is_value = self.is_value()?;
        if let Some(width) = fixed_width(data_type) {
            return self.take(width).map(drop);
        }
        if !is_value {
            return Ok(());
        }
        match data_type {
            DataType::Null => Ok(()),
            DataType::List(field)
            | DataType::LargeList(field)
            | DataType::FixedSizeList(field, _) => {
                while self.is_element()? {
                    self.skip(field.data_type())?;
                }
                Ok(())
            }
            DataType::Struct(fields) => fields
                .iter()
                .try_for_each(|field| self.skip(field.data_type())),
            _ => loop {
                let zero = memchr(self.mask, self.bytes);
                self.take(zero.ok_or(Corrupt)? + 1)?;
                if self.byte()? == END {
                    return Ok(());
                }
            },
        }
    }
}

/// The next value of each row.
fn read(data_type: &DataType, rows: &mut [Rest<'_>]) -> Result<ArrayRef, Corrupt> {
    by_primitive!(data_type, T => return read_primitive::<T>(data_type, rows), else {});
    match data_type {
        DataType::Null => {
            for row in &mut *rows {
                row.is_value()?;
            }
            Ok(Arc::new(NullArray::new(rows.len())))
        }
        DataType::Boolean => read_bool(rows),
        DataType::Utf8 => read_text::<i32>(rows),
        DataType::LargeUtf8 => read_text::<i64>(rows),
        DataType::Binary => read_binary::<i32>(rows),
        DataType::LargeBinary => read_binary::<i64>(rows),
        DataType::Utf8View | DataType::BinaryView => read_view(data_type, rows),
        DataType::FixedSizeBinary(width) => read_fixed_binary(*width, rows),
        DataType::List(field) => read_list::<i32>(field, rows),
        DataType::LargeList(field) => read_list::<i64>(field, rows),
        DataType::FixedSizeList(field, count) => read_fixed_list(field, *count, rows),
        DataType::Struct(fields) => read_struct(fields, rows),
        _ => unreachable!("a codec is only made for types that it knows"),
    }
}

fn read_primitive<T: ArrowPrimitiveType>(
    data_type: &DataType,
    rows: &mut [Rest<'_>],
) -> Result<ArrayRef, Corrupt>
where
    T::Native: Fixed,
{
    let mut values = Vec::with_capacity(rows.len());
    let mut nulls = NullBufferBuilder::new(rows.len());
    let mut inverted = [0; 32];
    for row in rows {
        let is_value = row.is_value()?;
        let bytes = row.take(T::Native::WIDTH)?;
        nulls.append(is_value);
        values.push(if !is_value {
            T::Native::default()
        } else if row.mask == 0 {
            T::Native::read(bytes)
        } else {
            let out = &mut inverted[..bytes.len()];
            out.iter_mut()
                .zip(bytes)
                .for_each(|(out, byte)| *out = byte ^ row.mask);
            T::Native::read(out)
        });
    }
    let array = PrimitiveArray::<T>::new(values.into(), nulls.finish());
    Ok(Arc::new(array.with_data_type(data_type.clone())))
}

fn read_bool(rows: &mut [Rest<'_>]) -> Result<ArrayRef, Corrupt> {
    let mut values = BooleanBufferBuilder::new(rows.len());
    let mut nulls = NullBufferBuilder::new(rows.len());
    for row in rows {
        let is_value = row.is_value()?;
        nulls.append(is_value);
        match row.byte()? {
            value @ (0 | 1) => values.append(is_value && value == 1),
            _ => return Err(Corrupt),
        }
    }
    Ok(Arc::new(BooleanArray::new(values.finish(), nulls.finish())))
}

/// Bytes of all values, where each of them ends, and which are null.
struct Strings {
    bytes: Vec<u8>,
    lengths: Vec<usize>,
    nulls: Option<NullBuffer>,
}

impl Strings {
    fn read(rows: &mut [Rest<'_>]) -> Result<Self, Corrupt> {
        let mut bytes = Vec::new();
        let mut lengths = Vec::with_capacity(rows.len());
        let mut nulls = NullBufferBuilder::new(rows.len());
        for row in rows {
            let is_value = row.is_value()?;
            nulls.append(is_value);
            let before = bytes.len();
            if is_value {
                row.append_bytes(&mut bytes)?;
            }
            lengths.push(bytes.len() - before);
        }
        Ok(Self {
            bytes,
            lengths,
            nulls: nulls.finish(),
        })
    }

    fn offsets<O: OffsetSizeTrait>(&self) -> Result<OffsetBuffer<O>, Corrupt> {
        O::from_usize(self.bytes.len()).ok_or(Corrupt)?;
        Ok(OffsetBuffer::from_lengths(self.lengths.iter().copied()))
    }
}

fn read_text<O: OffsetSizeTrait>(rows: &mut [Rest<'_>]) -> Result<ArrayRef, Corrupt> {
    let strings = Strings::read(rows)?;
    let offsets = strings.offsets::<O>()?;
    let text = GenericStringArray::<O>::try_new(offsets, strings.bytes.into(), strings.nulls);
    text.map_or(Err(Corrupt), |text| Ok(Arc::new(text)))
}

fn read_binary<O: OffsetSizeTrait>(rows: &mut [Rest<'_>]) -> Result<ArrayRef, Corrupt> {
    let strings = Strings::read(rows)?;
    let offsets = strings.offsets::<O>()?;
    Ok(Arc::new(GenericBinaryArray::<O>::new(
        offsets,
        strings.bytes.into(),
        strings.nulls,
    )))
}

fn read_view(data_type: &DataType, rows: &mut [Rest<'_>]) -> Result<ArrayRef, Corrupt> {
    let mut text = StringViewBuilder::new();
    let mut binary = BinaryViewBuilder::new();
    let mut value = Vec::new();
    for row in rows {
        let is_value = row.is_value()?;
        value.clear();
        if is_value {
            row.append_bytes(&mut value)?;
        }
        if data_type == &DataType::BinaryView {
            binary.append_option(is_value.then_some(&value));
        } else {
            let value = str::from_utf8(&value).map_err(|_| Corrupt)?;
            text.append_option(is_value.then_some(value));
        }
    }
    Ok(if data_type == &DataType::BinaryView {
        Arc::new(binary.finish())
    } else {
        Arc::new(text.finish())
    })
}

fn read_fixed_binary(width: i32, rows: &mut [Rest<'_>]) -> Result<ArrayRef, Corrupt> {
    let mut values = Vec::new();
    let mut nulls = NullBufferBuilder::new(rows.len());
    for row in &mut *rows {
        nulls.append(row.is_value()?);
        let mask = row.mask;
        values.extend(row.take(as_count(width))?.iter().map(|byte| byte ^ mask));
    }
    let array = FixedSizeBinaryArray::try_new(width, values.into(), nulls.finish());
    array.map_or(Err(Corrupt), |array| Ok(Arc::new(array)))
}

/// The elements of each row's list: how many, and all of them as one column.
fn read_elements(
    field: &FieldRef,
    rows: &mut [Rest<'_>],
) -> Result<(Vec<usize>, ArrayRef, Option<NullBuffer>), Corrupt> {
    let mut elements = Vec::new();
    let mut lengths = Vec::with_capacity(rows.len());
    let mut nulls = NullBufferBuilder::new(rows.len());
    for row in rows {
        let is_value = row.is_value()?;
        nulls.append(is_value);
        let before = elements.len();
        while is_value && row.is_element()? {
            elements.push(*row);
            row.skip(field.data_type())?;
        }
        lengths.push(elements.len() - before);
    }
    let values = read(field.data_type(), &mut elements)?;
    Ok((lengths, values, nulls.finish()))
}

fn read_list<O: OffsetSizeTrait>(
    field: &FieldRef,
    rows: &mut [Rest<'_>],
) -> Result<ArrayRef, Corrupt> {
    let (lengths, values, nulls) = read_elements(field, rows)?;
    O::from_usize(values.len()).ok_or(Corrupt)?;
    let list = GenericListArray::<O>::try_new(
        field.clone(),
        OffsetBuffer::from_lengths(lengths),
        values,
        nulls,
    );
    list.map_or(Err(Corrupt), |list| Ok(Arc::new(list)))
}

fn read_fixed_list(
    field: &FieldRef,
    count: i32,
    rows: &mut [Rest<'_>],
) -> Result<ArrayRef, Corrupt> {
    let (lengths, values, nulls) = read_elements(field, rows)?;
    // A null has no elements in a row's bytes, but must in the column.
    let mut places = Vec::with_capacity(lengths.len() * as_count(count));
    let mut next = 0;
    for (row, length) in lengths.iter().enumerate() {
        let is_null = nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
        if !is_null && *length != as_count(count) {
            return Err(Corrupt);
        }
        let end = next + u32::try_from(*length).map_err(|_| Corrupt)?;
        places.extend((next..end).map(Some));
        next = end;
        if is_null {
            places.resize(places.len() + as_count(count), None);
        }
    }
    let places = arrow_array::UInt32Array::from(places);
    let values = arrow_select::take::take(&values, &places, None).map_err(|_| Corrupt)?;
    let list = FixedSizeListArray::try_new(field.clone(), count, values, nulls);
    list.map_or(Err(Corrupt), |list| Ok(Arc::new(list)))
}

fn read_struct(fields: &Fields, rows: &mut [Rest<'_>]) -> Result<ArrayRef, Corrupt> {
    let mut nulls = NullBufferBuilder::new(rows.len());
    let mut places = Vec::with_capacity(rows.len());
    let mut values = Vec::new();
    for (at, row) in rows.iter_mut().enumerate() {
        let is_value = row.is_value()?;
        nulls.append(is_value);
        places.push(is_value.then_some(u32::try_from(values.len()).map_err(|_| Corrupt)?));
        if is_value {
            values.push((at, *row));
        }
    }
    let (ats, mut values): (Vec<usize>, Vec<Rest<'_>>) = values.into_iter().unzip();
    let places = arrow_array::UInt32Array::from(places);
    let mut columns = Vec::with_capacity(fields.len());
    for field in fields {
        let column = read(field.data_type(), &mut values)?;
        columns.push(arrow_select::take::take(&column, &places, None).map_err(|_| Corrupt)?);
    }
    for (at, value) in ats.into_iter().zip(values) {
        rows[at] = value;
    }
    if fields.is_empty() {
        return Ok(Arc::new(StructArray::new_empty_fields(
            rows.len(),
            nulls.finish(),
        )));
    }
    let array = StructArray::try_new(fields.clone(), columns, nulls.finish());
    array.map_or(Err(Corrupt), |array| Ok(Arc::new(array)))
}
