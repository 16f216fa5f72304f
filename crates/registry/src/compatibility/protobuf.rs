//! Protobuf: numbers and types of fields, as they lie on the wire.
//!
//! Messages are compared by their names: those of the file, and what they hold, wherever it is declared. A field that only
//! one of the two has is no hindrance, unless it is required or leaves a oneof in which others stay; what could be set
//! together may not come into one oneof. A type may change into one of the same form on the wire; what does not fit the
//! smaller one is cut off there, as the language's guide says. What a state keeps is held to more: see `flow`'s evolution,
//! which takes changes only that lose nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use proto_schema::{Enum, Field, Kind, Message, Scalar, Schema};

const REASONS_MAX: usize = 16;

/// `steps`: messages and fields that may be looked at, and afterwards what is left of them.
pub fn unreadable(reader: &Schema, writer: &Schema, steps: &mut usize) -> Vec<String> {
    let mut reasons = Vec::new();
    if reader.package != writer.package {
        reasons.push(format!(
            "PACKAGE_CHANGED: from {} to {}",
            writer.package, reader.package
        ));
        return reasons;
    }
    let fields = writer.messages.iter().map(|message| message.fields.len());
    let messages = reader.messages.len() + writer.messages.len();
    if !take(steps, messages + fields.sum::<usize>()) {
        return vec![TOO_LARGE.to_owned()];
    }
    let by_name: BTreeMap<&str, &Message> = reader
        .messages
        .iter()
        .filter(|message| !message.place.is_empty())
        .map(|message| (&*message.name, message))
        .collect();
    for at in used(writer) {
        let written = &writer.messages[at];
        match by_name.get(&*written.name) {
            // Of several that have this name each is compared.
            Some(read) if !take(steps, read.fields.len() + written.fields.len()) => {
                reasons.push(TOO_LARGE.to_owned());
                break;
            }
            Some(read) => message((reader, read), (writer, written), &mut reasons),
            None if written.is_own => reasons.push(format!("MESSAGE_REMOVED: {}", written.name)),
            // Whoever holds it has another type there, or it is gone with its field.
            None => {}
        }
        if reasons.len() > REASONS_MAX {
            break;
        }
    }
    reasons.truncate(REASONS_MAX);
    reasons
}

const TOO_LARGE: &str = "TOO_LARGE: the schemas are too large to compare";

/// Whether there are so many steps left.
fn take(steps: &mut usize, count: usize) -> bool {
    let left = steps.checked_sub(count);
    *steps = left.unwrap_or(0);
    left.is_some()
}

/// The file's own messages and what they hold, maps' entries left out.
fn used(schema: &Schema) -> BTreeSet<usize> {
    let messages = (0..).zip(&schema.messages);
    let own = messages.filter(|(_, message)| message.is_own);
    let mut next: Vec<usize> = own.map(|(at, _)| at).collect();
    let mut used = BTreeSet::new();
    while let Some(at) = next.pop() {
        if !used.insert(at) {
            continue;
        }
        let fields = schema.messages[at].fields.iter();
        next.extend(fields.filter_map(|field| match field.kind {
            Kind::Message(at) => Some(at),
            _ => None,
        }));
    }
    used.retain(|at| !schema.messages[*at].place.is_empty());
    used
}

type Of<'a, T> = (&'a Schema, &'a T);

/// Fields by their numbers.
type Fields<'a> = BTreeMap<u32, &'a Field>;

fn by_number(message: &Message) -> Fields<'_> {
    let fields = message.fields.iter();
    fields.map(|field| (field.number, field)).collect()
}

fn message(reader: Of<'_, Message>, writer: Of<'_, Message>, reasons: &mut Vec<String>) {
    let (read, written) = (by_number(reader.1), by_number(writer.1));
    let name = &reader.1.name;
    for (number, field) in &read {
        match written.get(number) {
            Some(written) => {
                if let Some(why) = field_change((reader.0, field), (writer.0, written)) {
                    reasons.push(format!("{why} of {name}, field {number}, {}", field.name));
                }
            }
            None if field.is_required => {
                reasons.push(format!("REQUIRED_FIELD_ADDED: {name}, field {number}"));
            }
            None => {}
        }
    }
    for (number, field) in &written {
        if field.is_required && !read.contains_key(number) {
            reasons.push(format!("REQUIRED_FIELD_REMOVED: {name}, field {number}"));
        }
    }
    let joined = joined(&read, &written);
    let joined = joined.map(|one_of| format!("FIELD_MOVED_TO_EXISTING_ONEOF: {name}, {one_of}"));
    reasons.extend(joined);
    let left = left(&read, &written);
    reasons.extend(left.map(|number| format!("ONEOF_FIELD_REMOVED: {name}, field {number}")));
}

/// Oneofs of a reader with fields that a writer could set together: only the last that was written would be read.
fn joined<'a>(read: &Fields<'a>, written: &Fields<'a>) -> impl Iterator<Item = &'a str> {
    // A field that is in no oneof stands for itself; one that the writer does not have was never written.
    let mut origins: BTreeMap<&str, BTreeSet<(Option<&str>, u32)>> = BTreeMap::new();
    for (number, &field) in read {
        if let (Some(one_of), Some(&before)) = (&field.one_of, written.get(number)) {
            let origin = match &before.one_of {
                Some(one_of) => (Some(&**one_of), 0),
                None => (None, *number),
            };
            origins.entry(one_of).or_default().insert(origin);
        }
    }
    let several = |(one_of, origins): (_, BTreeSet<_>)| (origins.len() > 1).then_some(one_of);
    origins.into_iter().filter_map(several)
}

/// Fields that are gone from a oneof that is still there, or of which others are.
fn left(read: &Fields<'_>, written: &Fields<'_>) -> impl Iterator<Item = u32> {
    let one_of = |field: &Field| field.one_of.clone();
    let mut there: BTreeSet<Arc<str>> = read.values().filter_map(|field| one_of(field)).collect();
    let stay = written
        .iter()
        .filter(|(number, _)| read.contains_key(number));
    there.extend(stay.filter_map(|(_, field)| one_of(field)));
    let gone = written
        .iter()
        .filter(|(number, _)| !read.contains_key(number));
    let left = gone.filter(|(_, field)| field.one_of.as_ref().is_some_and(|of| there.contains(of)));
    left.map(|(number, _)| *number)
        .collect::<Vec<_>>()
        .into_iter()
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
