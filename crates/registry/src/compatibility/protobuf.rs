//! Protobuf: numbers and types of fields, as they lie on the wire.
//!
//! Messages are compared by their names, and each wherever it is declared. A field that only one of the two has is no
//! hindrance, unless it is required. A type may change into one of the same form on the wire; what does not fit the
//! smaller one is cut off there, as the language's guide says. What a state keeps is held to more: see `flow`'s evolution,
//! which takes changes only that lose nothing.

use std::collections::BTreeMap;

use proto_schema::{Enum, Field, Kind, Message, Scalar, Schema};

const REASONS_MAX: usize = 16;

pub fn unreadable(reader: &Schema, writer: &Schema) -> Vec<String> {
    let mut reasons = Vec::new();
    if reader.package != writer.package {
        reasons.push(format!(
            "PACKAGE_CHANGED: from {} to {}",
            writer.package, reader.package
        ));
        return reasons;
    }
    let by_name: BTreeMap<&str, &Message> = reader
        .messages
        .iter()
        .filter(|message| !message.place.is_empty())
        .map(|message| (&*message.name, message))
        .collect();
    for written in writer.own_messages() {
        match by_name.get(&*written.name) {
            Some(read) => message((reader, read), (writer, written), &mut reasons),
            None => reasons.push(format!("MESSAGE_REMOVED: {}", written.name)),
        }
        if reasons.len() > REASONS_MAX {
            break;
        }
    }
    reasons.truncate(REASONS_MAX);
    reasons
}

type Of<'a, T> = (&'a Schema, &'a T);

fn message(reader: Of<'_, Message>, writer: Of<'_, Message>, reasons: &mut Vec<String>) {
    let fields: BTreeMap<u32, &Field> = writer
        .1
        .fields
        .iter()
        .map(|field| (field.number, field))
        .collect();
    let read: BTreeMap<u32, &Field> = reader
        .1
        .fields
        .iter()
        .map(|field| (field.number, field))
        .collect();
    let name = &reader.1.name;
    for (number, field) in &read {
        match fields.get(number) {
            Some(written) => {
                if let Some(why) = field_change((reader.0, field), (writer.0, written)) {
                    reasons.push(format!("{why} of {name}, field {number}, {}", field.name));
                }
                let joins = field.one_of.is_some() && written.one_of.is_none();
                if joins && is_with_others(reader.1, field) {
                    let of = format!("{name}, field {number}, {}", field.name);
                    reasons.push(format!("FIELD_MOVED_TO_EXISTING_ONEOF: {of}"));
                }
            }
            None if field.is_required => {
                reasons.push(format!("REQUIRED_FIELD_ADDED: {name}, field {number}"));
            }
            None => {}
        }
    }
    for (number, field) in &fields {
        if field.is_required && !read.contains_key(number) {
            reasons.push(format!("REQUIRED_FIELD_REMOVED: {name}, field {number}"));
        }
    }
}

/// Of several in a oneof only the last that was written would be read.
fn is_with_others(message: &Message, field: &Field) -> bool {
    let members = message.fields.iter();
    members.filter(|other| other.one_of == field.one_of).count() > 1
}

fn field_change(reader: Of<'_, Field>, writer: Of<'_, Field>) -> Option<&'static str> {
    let (read, written) = (reader.1, writer.1);
    let counted = |kind: &Kind| {
        matches!(
            kind,
            Kind::Scalar(Scalar::String | Scalar::Bytes) | Kind::Message(_)
        )
    };
    if read.is_repeated != written.is_repeated && !(counted(&read.kind) && counted(&written.kind)) {
        return Some("FIELD_NUMERIC_LABEL_CHANGED");
    }
    match (&read.kind, &written.kind) {
        (Kind::Scalar(read), Kind::Scalar(written)) => {
            (form(*read) != form(*written)).then_some("FIELD_SCALAR_KIND_CHANGED")
        }
        (Kind::Enum(read), Kind::Enum(written)) => {
            let (read, written) = (&reader.0.enums[*read], &writer.0.enums[*written]);
            enum_change(read, written)
        }
        // Numbers that stand for names are numbers.
        (Kind::Enum(_), Kind::Scalar(scalar)) | (Kind::Scalar(scalar), Kind::Enum(_)) => {
            (form(*scalar) != form(Scalar::Int32)).then_some("FIELD_KIND_CHANGED")
        }
        (Kind::Message(read), Kind::Message(written)) => {
            let (read, written) = (&reader.0.messages[*read], &writer.0.messages[*written]);
            match (read.place.is_empty(), written.place.is_empty()) {
                // Entries of maps have no names of their own.
                (true, true) => entry_change((reader.0, read), (writer.0, written)),
                _ => (read.name != written.name).then_some("FIELD_NAMED_TYPE_CHANGED"),
            }
        }
        _ => Some("FIELD_KIND_CHANGED"),
    }
}

fn entry_change(reader: Of<'_, Message>, writer: Of<'_, Message>) -> Option<&'static str> {
    let pairs = reader.1.fields.iter().zip(&writer.1.fields);
    let mut changes = pairs.filter_map(|(read, written)| {
        // One map within another cannot be declared, so this ends.
        field_change((reader.0, read), (writer.0, written))
    });
    changes.next()
}

fn enum_change(read: &Enum, written: &Enum) -> Option<&'static str> {
    (read.name != written.name).then_some("FIELD_NAMED_TYPE_CHANGED")
}

/// Types of equal forms read each other's values.
fn form(scalar: Scalar) -> u8 {
    match scalar {
        Scalar::Int32 | Scalar::Int64 | Scalar::Uint32 | Scalar::Uint64 | Scalar::Bool => 0,
        Scalar::Sint32 | Scalar::Sint64 => 1,
        Scalar::String | Scalar::Bytes => 2,
        Scalar::Fixed32 | Scalar::Sfixed32 => 3,
        Scalar::Fixed64 | Scalar::Sfixed64 => 4,
        Scalar::Float => 5,
        Scalar::Double => 6,
    }
}
