//! Rows as JSON objects.

use std::io::Write;

use arrow_array::{
    Array, RecordBatch, StructArray,
    cast::AsArray,
    types::{Float32Type, Float64Type},
};
use arrow_schema::{DataType, Field, Fields, SchemaRef};

use super::scan;
use crate::format::{
    FormatError,
    column::{self, Column},
    text,
};

/// Names and kinds of what is written.
pub(in crate::format) struct Writer {
    members: Vec<Member>,
}

struct Member {
    column: usize,
    /// Name and colon.
    name: Vec<u8>,
    kind: Kind,
}

/// What the array's own type does not tell.
enum Kind {
    Scalar,
    /// Text that is JSON already.
    Json,
    List(Box<Kind>),
    Struct(Vec<(Vec<u8>, Kind)>),
}

impl Writer {
    pub fn new(
        paths: &[Vec<String>],
        schema: &SchemaRef,
        columns: &[usize],
    ) -> Result<Self, FormatError> {
        crate::format::check_paths(paths, schema)?;
        let members = columns.iter().map(|at| {
            let field = schema.field(*at);
            // The same types as are read.
            Column::new(field)?;
            let name = match paths.get(*at).map(Vec::as_slice) {
                None => field.name(),
                Some([name]) => name,
                Some(_) => {
                    return Err(FormatError::NestedPath {
                        column: field.name().clone(),
                    });
                }
            };
            Ok(Member {
                column: *at,
                name: member_name(name),
                kind: kind(field),
            })
        });
        Ok(Self {
            members: members.collect::<Result<_, _>>()?,
        })
    }

    pub fn write(&self, rows: &RecordBatch, row: usize, out: &mut Vec<u8>) {
        out.push(b'{');
        for (place, member) in self.members.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            out.extend_from_slice(&member.name);
            write_value(rows.column(member.column), &member.kind, row, out);
        }
        out.push(b'}');
    }
}

fn member_name(name: &str) -> Vec<u8> {
    let mut written = Vec::new();
    write_string(name, &mut written);
    written.push(b':');
    written
}

fn kind(field: &Field) -> Kind {
    match field.data_type() {
        DataType::Utf8 if column::is_json(field) => Kind::Json,
        DataType::List(element) => Kind::List(Box::new(kind(element))),
        DataType::Struct(fields) => Kind::Struct(members(fields)),
        _ => Kind::Scalar,
    }
}

fn members(fields: &Fields) -> Vec<(Vec<u8>, Kind)> {
    let members = fields.iter();
    members
        .map(|field| (member_name(field.name()), kind(field)))
        .collect()
}

fn write_value(array: &dyn Array, kind: &Kind, row: usize, out: &mut Vec<u8>) {
    if array.is_null(row) {
        out.extend_from_slice(b"null");
        return;
    }
    match kind {
        Kind::Scalar => write_scalar(array, row, out),
        Kind::Json => out.extend_from_slice(array.as_string::<i32>().value(row).as_bytes()),
        Kind::List(kind) => {
            let elements = array.as_list::<i32>().value(row);
            out.push(b'[');
            for at in 0..elements.len() {
                if at > 0 {
                    out.push(b',');
                }
                write_value(&elements, kind, at, out);
            }
            out.push(b']');
        }
        Kind::Struct(members) => write_struct(array.as_struct(), members, row, out),
    }
}

fn write_struct(array: &StructArray, members: &[(Vec<u8>, Kind)], row: usize, out: &mut Vec<u8>) {
    out.push(b'{');
    for (place, (name, kind)) in members.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        out.extend_from_slice(name);
        write_value(array.column(place), kind, row, out);
    }
    out.push(b'}');
}

fn write_scalar(array: &dyn Array, row: usize, out: &mut Vec<u8>) {
    let is_bare = match array.data_type() {
        DataType::Utf8 => return write_string(array.as_string::<i32>().value(row), out),
        DataType::Boolean | DataType::Int16 | DataType::Int32 | DataType::Int64 => true,
        DataType::Decimal128(..) => true,
        DataType::Float32 => array.as_primitive::<Float32Type>().value(row).is_finite(),
        DataType::Float64 => array.as_primitive::<Float64Type>().value(row).is_finite(),
        _ => false,
    };
    if is_bare {
        text::write(array, row, out);
    } else {
        quoted(out, |out| text::write(array, row, out));
    }
}

fn quoted(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'"');
    write(out);
    out.push(b'"');
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    quoted(out, |out| {
        let text = text.as_bytes();
        let mut from = 0;
        loop {
            let at = scan::plain_end(text, from, &mut 0);
            out.extend_from_slice(&text[from..at]);
            match text.get(at) {
                None => return,
                Some(b'\n') => out.extend_from_slice(b"\\n"),
                Some(b'\r') => out.extend_from_slice(b"\\r"),
                Some(b'\t') => out.extend_from_slice(b"\\t"),
                Some(byte @ (b'"' | b'\\')) => out.extend_from_slice(&[b'\\', *byte]),
                Some(control) => {
                    write!(out, "\\u{control:04x}").expect("a vector takes all bytes");
                }
            }
            from = at + 1;
        }
    });
}
