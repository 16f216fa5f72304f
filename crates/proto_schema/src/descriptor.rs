//! Files as `FileDescriptorProto`: what compilers make of them, and what some serialisers register.
//!
//! Kept both ways is what this crate reads of a file; options, services and extensions are not.
//!
//! # Limits
//! Names, nesting, and `TEXT_BYTES_MAX` of what a descriptor is written out to; `DESCRIPTOR_BYTES_MAX` of a descriptor.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::{DEPTH_MAX, Enum, Field, Kind, Message, NAME_BYTES_MAX, SCALARS, Scalar, Schema, join};

/// Few bytes of a descriptor may be a long line: with an indent, or of a map with a long name in it.
const TEXT_BYTES_MAX: usize = 1 << 20;
/// And few of a text a long field: types are named in full.
const DESCRIPTOR_BYTES_MAX: usize = 4 << 20;

/// Why bytes are no descriptor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DescriptorError {
    #[error("the descriptor ends within a field")]
    End,
    #[error("the descriptor has a name that cannot be written")]
    Name,
    #[error("the descriptor has a field of a type that is not known")]
    Type,
    #[error("the descriptor nests its messages too deep")]
    Depth,
    #[error("the descriptor is of a file that is too long")]
    Length,
}

const TYPE_GROUP: u64 = 10;
const TYPE_MESSAGE: u64 = 11;
const TYPE_ENUM: u64 = 14;
const LABEL_OPTIONAL: u64 = 1;
const LABEL_REQUIRED: u64 = 2;
const LABEL_REPEATED: u64 = 3;

/// Scalars by their numbers in descriptors.
const TYPES: [(u64, Scalar); 15] = [
    (1, Scalar::Double),
    (2, Scalar::Float),
    (3, Scalar::Int64),
    (4, Scalar::Uint64),
    (5, Scalar::Int32),
    (6, Scalar::Fixed64),
    (7, Scalar::Fixed32),
    (8, Scalar::Bool),
    (9, Scalar::String),
    (12, Scalar::Bytes),
    (13, Scalar::Uint32),
    (15, Scalar::Sfixed32),
    (16, Scalar::Sfixed64),
    (17, Scalar::Sint32),
    (18, Scalar::Sint64),
];

/// The text of a file from its descriptor.
fn to_text(descriptor: &[u8]) -> Result<String, DescriptorError> {
    let file = Parts::read(descriptor)?;
    let syntax = file.text(12)?.unwrap_or("proto2");
    let mut out = format!("syntax = \"{syntax}\";\n");
    if file.text(14)?.is_some() || !matches!(syntax, "proto2" | "proto3") {
        // Editions keep presence unless an option says otherwise, as the second version does.
        out = "syntax = \"proto2\";\n".to_owned();
    }
    let package = file.name(2)?.unwrap_or_default();
    if !package.is_empty() {
        let _ = writeln!(out, "package {package};");
    }
    for import in file.all(3) {
        let import = std::str::from_utf8(import).map_err(|_| DescriptorError::Name)?;
        if import.contains(['"', '\\', '\n']) {
            return Err(DescriptorError::Name);
        }
        let _ = writeln!(out, "import \"{import}\";");
    }
    let is_proto3 = out.starts_with("syntax = \"proto3\"");
    for message in file.all(4) {
        write_message(&mut out, &Parts::read(message)?, is_proto3, (package, 0))?;
    }
    for declared in file.all(5) {
        write_enum(&mut out, &Parts::read(declared)?, 0)?;
    }
    Ok(out)
}

/// Each line adds little; so this is asked before one.
fn check_length(out: &str) -> Result<(), DescriptorError> {
    match out.len() > TEXT_BYTES_MAX {
        true => Err(DescriptorError::Length),
        false => Ok(()),
    }
}

/// Fields of a message on the wire, as they come.
struct Parts<'a>(Vec<(u64, Part<'a>)>);

enum Part<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Parts<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, DescriptorError> {
        let mut parts = Vec::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            let tag = take_varint(&mut rest)?;
            let part = match tag & 7 {
                0 => Part::Number(take_varint(&mut rest)?),
                1 => Part::Bytes(take(&mut rest, 8)?),
                2 => {
                    let count = take_varint(&mut rest)?;
                    let count = usize::try_from(count).map_err(|_| DescriptorError::End)?;
                    Part::Bytes(take(&mut rest, count)?)
                }
                5 => Part::Bytes(take(&mut rest, 4)?),
                _ => return Err(DescriptorError::End),
            };
            parts.push((tag >> 3, part));
        }
        Ok(Self(parts))
    }

    fn all(&self, number: u64) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().filter_map(move |(at, part)| match part {
            Part::Bytes(bytes) if *at == number => Some(*bytes),
            _ => None,
        })
    }

    fn number(&self, number: u64) -> Option<u64> {
        self.0.iter().rev().find_map(|(at, part)| match part {
            Part::Number(value) if *at == number => Some(*value),
            _ => None,
        })
    }

    fn text(&self, number: u64) -> Result<Option<&'a str>, DescriptorError> {
        let last = self.all(number).last();
        let text = last.map(|bytes| std::str::from_utf8(bytes).map_err(|_| DescriptorError::Name));
        text.transpose()
    }

    /// Identifiers with dots between them, and perhaps in front.
    fn name(&self, number: u64) -> Result<Option<&'a str>, DescriptorError> {
        let text = self.text(number)?;
        let is_name = |text: &&str| {
            let parts = text.strip_prefix('.').unwrap_or(text).split('.');
            parts.into_iter().all(|part| {
                part.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
                    && part
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            })
        };
        match text {
            Some(text) if text.len() > NAME_BYTES_MAX || !is_name(&text) => {
                Err(DescriptorError::Name)
            }
            text => Ok(text),
        }
    }

    fn required_name(&self) -> Result<&'a str, DescriptorError> {
        self.name(1)?.ok_or(DescriptorError::Name)
    }
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], DescriptorError> {
    let (taken, behind) = rest.split_at_checked(count).ok_or(DescriptorError::End)?;
    *rest = behind;
    Ok(taken)
}

fn take_varint(rest: &mut &[u8]) -> Result<u64, DescriptorError> {
    let mut value = 0;
    for place in 0..10 {
        let byte = take(rest, 1)?[0];
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(DescriptorError::End)
}

/// Maps as they are written, by the full names of their entries' types.
type Entries = BTreeMap<String, String>;

fn write_message(
    out: &mut String,
    message: &Parts<'_>,
    is_proto3: bool,
    (scope, depth): (&str, usize),
) -> Result<(), DescriptorError> {
    if depth > DEPTH_MAX {
        return Err(DescriptorError::Depth);
    }
    check_length(out)?;
    let indent = "  ".repeat(depth);
    let name = message.required_name()?;
    let scope = join(scope, name);
    if scope.len() > NAME_BYTES_MAX {
        return Err(DescriptorError::Name);
    }
    let _ = writeln!(out, "{indent}message {name} {{");
    let nested = message.all(3).map(Parts::read);
    let nested = nested.collect::<Result<Vec<_>, _>>()?;
    let is_entry = |parts: &&Parts<'_>| {
        let mut options = parts.all(7).filter_map(|options| Parts::read(options).ok());
        options.any(|options| options.number(7) == Some(1))
    };
    let entries = nested.iter().filter(is_entry);
    let entries = entries.map(|entry| Ok((join(&scope, entry.required_name()?), map_of(entry)?)));
    let entries = entries.collect::<Result<Entries, DescriptorError>>()?;
    let one_ofs = message.all(8).map(Parts::read);
    let one_ofs = one_ofs.collect::<Result<Vec<_>, _>>()?;
    let fields = message.all(2).map(Parts::read);
    let fields = fields.collect::<Result<Vec<_>, _>>()?;
    let one_of = |field: &Parts<'_>| field.number(9).filter(|_| field.number(17) != Some(1));
    let mut members: BTreeMap<u64, Vec<&Parts<'_>>> = BTreeMap::new();
    for field in &fields {
        if let Some(one_of) = one_of(field) {
            members.entry(one_of).or_default().push(field);
        }
    }
    for field in &fields {
        let Some(one_of) = one_of(field) else {
            write_field(out, field, &entries, (is_proto3, true), depth + 1)?;
            continue;
        };
        // All of them stand where the first does.
        let Some(members) = members.remove(&one_of) else {
            continue;
        };
        let at = usize::try_from(one_of).ok();
        let declared = at.and_then(|at| one_ofs.get(at));
        let name = declared.ok_or(DescriptorError::Name)?.required_name()?;
        let _ = writeln!(out, "{indent}  oneof {name} {{");
        for field in members {
            write_field(out, field, &Entries::new(), (is_proto3, false), depth + 2)?;
        }
        let _ = writeln!(out, "{indent}  }}");
    }
    for message in nested.iter().filter(|parts| !is_entry(parts)) {
        write_message(out, message, is_proto3, (&scope, depth + 1))?;
    }
    for declared in message.all(4) {
        write_enum(out, &Parts::read(declared)?, depth + 1)?;
    }
    let _ = writeln!(out, "{indent}}}");
    Ok(())
}

/// A map, from the type of its entries.
fn map_of(entry: &Parts<'_>) -> Result<String, DescriptorError> {
    let fields = entry.all(2).map(Parts::read);
    let fields = fields.collect::<Result<Vec<_>, _>>()?;
    let of = |number| {
        let found = fields.iter().find(|field| field.number(3) == Some(number));
        type_name(found.ok_or(DescriptorError::Type)?)
    };
    Ok(format!("map<{}, {}>", of(1)?, of(2)?))
}

fn write_field(
    out: &mut String,
    field: &Parts<'_>,
    entries: &Entries,
    (is_proto3, is_labelled): (bool, bool),
    depth: usize,
) -> Result<(), DescriptorError> {
    check_length(out)?;
    let indent = "  ".repeat(depth);
    let name = field.required_name()?;
    let number = field.number(3).unwrap_or_default();
    let kind = type_name(field)?;
    // Compilers name types in full, with a dot in front.
    let entry = kind.strip_prefix('.').and_then(|name| entries.get(name));
    if let Some(map) = entry {
        let _ = writeln!(out, "{indent}{map} {name} = {number};");
        return Ok(());
    }
    let label = match field.number(4).unwrap_or(LABEL_OPTIONAL) {
        _ if !is_labelled => "",
        LABEL_REPEATED => "repeated ",
        LABEL_REQUIRED => "required ",
        _ if is_proto3 && field.number(17) != Some(1) => "",
        _ => "optional ",
    };
    let _ = writeln!(out, "{indent}{label}{kind} {name} = {number};");
    Ok(())
}

fn type_name(field: &Parts<'_>) -> Result<String, DescriptorError> {
    match field.number(5) {
        Some(TYPE_GROUP) => Err(DescriptorError::Type),
        Some(TYPE_MESSAGE | TYPE_ENUM) | None => {
            let name = field.name(6)?.ok_or(DescriptorError::Type)?;
            Ok(name.to_owned())
        }
        Some(number) => {
            let found = TYPES.iter().find(|(known, _)| *known == number);
            Ok(found.ok_or(DescriptorError::Type)?.1.name().to_owned())
        }
    }
}

fn write_enum(out: &mut String, declared: &Parts<'_>, depth: usize) -> Result<(), DescriptorError> {
    check_length(out)?;
    let indent = "  ".repeat(depth);
    let _ = writeln!(out, "{indent}enum {} {{", declared.required_name()?);
    for value in declared.all(2) {
        check_length(out)?;
        let value = Parts::read(value)?;
        let number = value.number(2).unwrap_or_default() as i32;
        let _ = writeln!(out, "{indent}  {} = {number};", value.required_name()?);
    }
    let _ = writeln!(out, "{indent}}}");
    Ok(())
}

impl Schema {
    /// The file's text, of its descriptor.
    pub fn text_of_descriptor(descriptor: &[u8]) -> Result<String, DescriptorError> {
        to_text(descriptor)
    }

    /// The file as a descriptor.
    pub fn to_descriptor(&self, name: &str) -> Result<Vec<u8>, DescriptorError> {
        let mut out = Vec::new();
        put_bytes(&mut out, 1, name.as_bytes());
        if !self.package.is_empty() {
            put_bytes(&mut out, 2, self.package.as_bytes());
        }
        for import in &self.imports {
            put_bytes(&mut out, 3, import.as_bytes());
        }
        for message in self.children(&[]) {
            put_part(&mut out, 4, &self.message_descriptor(message)?)?;
        }
        for declared in self.enums_in(&[]) {
            put_part(&mut out, 5, &enum_descriptor(declared))?;
        }
        if self.is_proto3 {
            put_bytes(&mut out, 12, b"proto3");
        }
        Ok(out)
    }

    /// Messages right within one, in order.
    fn children<'s>(&'s self, place: &[i64]) -> Vec<&'s Message> {
        let own = self.own_messages();
        let inner = own.filter(|message| {
            message.place.len() == place.len() + 1 && message.place.starts_with(place)
        });
        let mut inner: Vec<_> = inner.collect();
        inner.sort_by_key(|message| message.place.last().copied());
        inner
    }

    fn enums_in<'s>(&'s self, place: &[i64]) -> impl Iterator<Item = &'s Enum> {
        let within = move |declared: &&Enum| declared.is_own && declared.scope == place;
        self.enums.iter().filter(within)
    }

    fn message_descriptor(&self, message: &Message) -> Result<Vec<u8>, DescriptorError> {
        let mut out = Vec::new();
        put_bytes(&mut out, 1, last(&message.name).as_bytes());
        let mut one_ofs: Vec<String> = Vec::new();
        let mut places: BTreeMap<&str, usize> = BTreeMap::new();
        for name in message
            .fields
            .iter()
            .filter_map(|field| field.one_of.as_deref())
        {
            places.entry(name).or_insert_with(|| {
                one_ofs.push(name.to_owned());
                one_ofs.len() - 1
            });
        }
        for field in &message.fields {
            let is_optional = self.is_proto3
                && field.has_presence
                && field.one_of.is_none()
                && !matches!(field.kind, Kind::Message(_));
            let place = match &field.one_of {
                Some(name) => places.get(&**name).copied(),
                None if is_optional => {
                    one_ofs.push(format!("_{}", field.name));
                    Some(one_ofs.len() - 1)
                }
                None => None,
            };
            let mut described = self.field_descriptor(message, field);
            if let Some(place) = place {
                put_number(&mut described, 9, place as u64);
            }
            if is_optional {
                put_number(&mut described, 17, 1);
            }
            put_part(&mut out, 2, &described)?;
        }
        for inner in self.children(&message.place) {
            put_part(&mut out, 3, &self.message_descriptor(inner)?)?;
        }
        for field in &message.fields {
            if let Some(entry) = self.entry(field) {
                let mut described = Vec::new();
                put_bytes(&mut described, 1, entry_name(&field.name).as_bytes());
                for of in &entry.fields {
                    put_bytes(&mut described, 2, &self.field_descriptor(entry, of));
                }
                let mut options = Vec::new();
                put_number(&mut options, 7, 1);
                put_bytes(&mut described, 7, &options);
                put_part(&mut out, 3, &described)?;
            }
        }
        for declared in self.enums_in(&message.place) {
            put_part(&mut out, 4, &enum_descriptor(declared))?;
        }
        for one_of in one_ofs {
            let mut described = Vec::new();
            put_bytes(&mut described, 1, one_of.as_bytes());
            put_part(&mut out, 8, &described)?;
        }
        Ok(out)
    }

    /// The type of a map's entries.
    fn entry(&self, field: &Field) -> Option<&Message> {
        let Kind::Message(at) = field.kind else {
            return None;
        };
        let message = &self.messages[at];
        message.place.is_empty().then_some(message)
    }

    fn field_descriptor(&self, message: &Message, field: &Field) -> Vec<u8> {
        let mut out = Vec::new();
        put_bytes(&mut out, 1, field.name.as_bytes());
        put_number(&mut out, 3, field.number.into());
        let label = match (field.is_repeated, field.is_required) {
            (true, _) => LABEL_REPEATED,
            (_, true) => LABEL_REQUIRED,
            _ => LABEL_OPTIONAL,
        };
        put_number(&mut out, 4, label);
        let (number, name) = match &field.kind {
            Kind::Scalar(scalar) => {
                let found = TYPES.iter().find(|(_, known)| known == scalar);
                (found.expect("every scalar has a number").0, None)
            }
            Kind::Enum(at) => (TYPE_ENUM, Some(self.enums[*at].name.clone())),
            Kind::Message(at) => {
                let name = match self.entry(field) {
                    Some(_) => format!("{}.{}", message.name, entry_name(&field.name)),
                    None => self.messages[*at].name.clone(),
                };
                (TYPE_MESSAGE, Some(name))
            }
            Kind::Named(name) => (TYPE_MESSAGE, Some(name.clone())),
        };
        put_number(&mut out, 5, number);
        if let Some(name) = name {
            put_bytes(&mut out, 6, format!(".{name}").as_bytes());
        }
        out
    }
}

fn enum_descriptor(declared: &Enum) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(&mut out, 1, last(&declared.name).as_bytes());
    let mut numbers = BTreeSet::new();
    let mut has_aliases = false;
    for (number, name) in &declared.values {
        has_aliases |= !numbers.insert(*number);
        let mut value = Vec::new();
        put_bytes(&mut value, 1, name.as_bytes());
        put_number(&mut value, 2, i64::from(*number).cast_unsigned());
        put_bytes(&mut out, 2, &value);
    }
    if has_aliases {
        let mut options = Vec::new();
        put_number(&mut options, 2, 1);
        put_bytes(&mut out, 3, &options);
    }
    out
}

fn last(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// As compilers call the entries of a map.
fn entry_name(field: &str) -> String {
    let parts = field.split('_').map(|part| {
        let mut rest = part.chars();
        let first = rest.next().map(|first| first.to_ascii_uppercase());
        first.into_iter().chain(rest).collect::<String>()
    });
    parts.collect::<String>() + "Entry"
}

/// A number as Protobuf writes it, seven bits a byte.
pub fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_number(out: &mut Vec<u8>, field: u64, value: u64) {
    put_varint(field << 3, out);
    put_varint(value, out);
}

pub(super) fn put_bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    put_varint(field << 3 | 2, out);
    put_varint(bytes.len() as u64, out);
    out.extend(bytes);
}

/// As `put_bytes`, as long as the descriptor does not become too long.
fn put_part(out: &mut Vec<u8>, field: u64, part: &[u8]) -> Result<(), DescriptorError> {
    if out.len() + part.len() > DESCRIPTOR_BYTES_MAX {
        return Err(DescriptorError::Length);
    }
    put_bytes(out, field, part);
    Ok(())
}

/// Each scalar has a number here and a name there.
const _: () = assert!(TYPES.len() == SCALARS.len());
