//! Rows as Protobuf messages.

use arrow_array::{
    Array, RecordBatch,
    cast::AsArray,
    types::{
        Date32Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
        TimestampMicrosecondType,
    },
};
use arrow_schema::{DataType, Field as ColumnField, SchemaRef};
use proto_schema::{self as schema, COUNTED, Field, Message, Scalar, Schema, VARINT};

use super::plan;
use crate::format::{
    FormatError, SchemaText, column::Column, framing::write_varint, text,
    timestamp::MICROS_PER_SECOND,
};

/// Fields of a message and the columns that they are.
pub(in crate::format) struct Writer {
    members: Vec<Member>,
}

struct Member {
    column: usize,
    number: u32,
    kind: Kind,
    is_repeated: bool,
}

enum Kind {
    Scalar(Scalar),
    Timestamp,
    Struct(Vec<Member>),
}

impl Writer {
    pub fn new(
        definition: (&SchemaText, &str, &[Vec<String>]),
        rows: &SchemaRef,
        columns: &[usize],
    ) -> Result<Self, FormatError> {
        let (text, name, paths) = definition;
        crate::format::check_paths(paths, rows)?;
        let schema = super::parse(text)?;
        let message = super::message(&schema, name)?;
        let members = columns.iter().map(|at| {
            let column = rows.field(*at);
            Column::new(column)?;
            match paths.get(*at).map(Vec::as_slice) {
                None => member(&schema, message, column.name(), *at, column),
                Some([name]) => member(&schema, message, name, *at, column),
                Some(_) => Err(FormatError::NestedPath {
                    column: column.name().clone(),
                }),
            }
        });
        Ok(Self {
            members: members.collect::<Result<_, _>>()?,
        })
    }

    pub fn write(&self, rows: &RecordBatch, row: usize, out: &mut Vec<u8>) {
        for member in &self.members {
            write_member(member, rows.column(member.column), row, out);
        }
    }
}

fn member(
    schema: &Schema,
    message: &Message,
    name: &str,
    at: usize,
    column: &ColumnField,
) -> Result<Member, FormatError> {
    let found = message.fields.iter().find(|field| field.name == *name);
    let field = found.ok_or_else(|| FormatError::Field {
        column: column.name().clone(),
        message: message.name.clone(),
    })?;
    let value = match column.data_type() {
        DataType::List(element) if field.is_repeated => element,
        _ if field.is_repeated => return Err(plan::mismatch(column)),
        _ => column,
    };
    Ok(Member {
        column: at,
        number: field.number,
        kind: kind(schema, field, value)?,
        is_repeated: field.is_repeated,
    })
}

fn kind(schema: &Schema, field: &Field, column: &ColumnField) -> Result<Kind, FormatError> {
    let data_type = column.data_type();
    match field.kind {
        schema::Kind::Scalar(scalar) if holds(scalar, data_type) => Ok(Kind::Scalar(scalar)),
        schema::Kind::Enum(_) if holds(Scalar::Int32, data_type) => Ok(Kind::Scalar(Scalar::Int32)),
        schema::Kind::Message(at) => {
            let message = &schema.messages[at];
            match data_type {
                DataType::Timestamp(..) if plan::is_timestamp(message) => Ok(Kind::Timestamp),
                DataType::Struct(columns) => {
                    let members = columns
                        .iter()
                        .enumerate()
                        .map(|(at, column)| member(schema, message, column.name(), at, column));
                    Ok(Kind::Struct(members.collect::<Result<_, _>>()?))
                }
                _ => Err(plan::mismatch(column)),
            }
        }
        _ => Err(plan::mismatch(column)),
    }
}

/// Whether a field can be each value of the type. Unsigned fields cannot be negative.
fn holds(scalar: Scalar, data_type: &DataType) -> bool {
    use DataType::{
        Binary, Boolean, Date32, Float32, Float64, Int16, Int32, Int64, List, Struct, Timestamp,
        Utf8,
    };
    match scalar {
        Scalar::Double => matches!(data_type, Float64 | Float32),
        Scalar::Float => matches!(data_type, Float32),
        Scalar::Int32 | Scalar::Sint32 | Scalar::Sfixed32 => {
            matches!(data_type, Int16 | Int32 | Date32)
        }
        Scalar::Int64 | Scalar::Sint64 | Scalar::Sfixed64 => {
            matches!(data_type, Int16 | Int32 | Int64 | Timestamp(..))
        }
        Scalar::Uint32 | Scalar::Uint64 | Scalar::Fixed32 | Scalar::Fixed64 => false,
        Scalar::Bool => matches!(data_type, Boolean),
        Scalar::String => !matches!(data_type, List(_) | Struct(_)),
        Scalar::Bytes => matches!(data_type, Binary | Utf8),
    }
}

fn write_member(member: &Member, array: &dyn Array, row: usize, out: &mut Vec<u8>) {
    if array.is_null(row) {
        return;
    }
    if member.is_repeated {
        let elements = array.as_list::<i32>().value(row);
        for at in 0..elements.len() {
            write_value(member.number, &member.kind, &elements, at, out);
        }
    } else {
        write_value(member.number, &member.kind, array, row, out);
    }
}

fn write_tag(number: u32, wire: u8, out: &mut Vec<u8>) {
    write_varint(u64::from(number) << 3 | u64::from(wire), out);
}

/// A null, which can only be an element, becomes the default of its type.
fn write_value(number: u32, kind: &Kind, array: &dyn Array, row: usize, out: &mut Vec<u8>) {
    match kind {
        Kind::Scalar(scalar) => {
            write_tag(number, scalar.wire(), out);
            write_scalar(*scalar, array, row, out);
        }
        Kind::Timestamp => counted(number, out, |out| {
            let us = array.as_primitive::<TimestampMicrosecondType>().value(row);
            write_tag(1, VARINT, out);
            write_varint(us.div_euclid(MICROS_PER_SECOND) as u64, out);
            write_tag(2, VARINT, out);
            write_varint(us.rem_euclid(MICROS_PER_SECOND) as u64 * 1000, out);
        }),
        Kind::Struct(members) => counted(number, out, |out| {
            for member in members.iter().filter(|_| array.is_valid(row)) {
                let column = array.as_struct().column(member.column);
                write_member(member, column, row, out);
            }
        }),
    }
}

/// Bytes with their count in front, which is known only when they are written.
fn counted(number: u32, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    write_tag(number, COUNTED, out);
    counted_bytes(out, write);
}

fn counted_bytes(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let from = out.len();
    write(out);
    let mut count = Vec::new();
    write_varint((out.len() - from) as u64, &mut count);
    out.splice(from..from, count);
}

fn write_scalar(scalar: Scalar, array: &dyn Array, row: usize, out: &mut Vec<u8>) {
    match scalar {
        Scalar::Double => {
            let value = match array.as_primitive_opt::<Float64Type>() {
                Some(values) => values.value(row),
                None => array.as_primitive::<Float32Type>().value(row).into(),
            };
            out.extend_from_slice(&value.to_le_bytes());
        }
        Scalar::Float => {
            let value = array.as_primitive::<Float32Type>().value(row);
            out.extend_from_slice(&value.to_le_bytes());
        }
        Scalar::Bool => out.push(array.as_boolean().value(row).into()),
        Scalar::String | Scalar::Bytes => match array.as_binary_opt::<i32>() {
            Some(bytes) if scalar == Scalar::Bytes => {
                let bytes = bytes.value(row);
                write_varint(bytes.len() as u64, out);
                out.extend_from_slice(bytes);
            }
            _ => match array.as_string_opt::<i32>() {
                Some(text) => {
                    let text = text.value(row);
                    write_varint(text.len() as u64, out);
                    out.extend_from_slice(text.as_bytes());
                }
                None => counted_bytes(out, |out| text::write(array, row, out)),
            },
        },
        Scalar::Sfixed32 => out.extend_from_slice(&(integer(array, row) as i32).to_le_bytes()),
        Scalar::Sfixed64 => out.extend_from_slice(&integer(array, row).to_le_bytes()),
        Scalar::Sint32 | Scalar::Sint64 => {
            let value = integer(array, row);
            write_varint((value << 1 ^ value >> 63) as u64, out);
        }
        _ => write_varint(integer(array, row) as u64, out),
    }
}

fn integer(array: &dyn Array, row: usize) -> i64 {
    match array.data_type() {
        DataType::Int16 => array.as_primitive::<Int16Type>().value(row).into(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).into(),
        DataType::Date32 => array.as_primitive::<Date32Type>().value(row).into(),
        DataType::Timestamp(..) => {
            let us = array.as_primitive::<TimestampMicrosecondType>().value(row);
            us.div_euclid(1000)
        }
        _ => array.as_primitive::<Int64Type>().value(row),
    }
}
