//! Records that are Protobuf messages, straight from the wire into columns.
//!
//! What is to be done with a field is looked up by its number; fields that are not read are stepped over without a look
//! inside.
//!
//! What is read:
//! - A column is the field of its name, or what stands at its path of names. Of a field that comes several times the
//!   last counts; along a path, messages are merged as the specification says, in a struct column they are not.
//! - A field that was left out is NULL if its presence is tracked (`optional`, `oneof`, messages, proto2), else it has its
//!   type's default value. A repeated field is a list, empty if nothing is there.
//! - Enums are text, the value's name, or integers; unsigned 64-bit integers are bigint as long as they fit, or numeric;
//!   64-bit integers are timestamps in milliseconds; `google.protobuf.Timestamp` is a timestamp, the well-known wrappers
//!   are what they wrap, other messages are structs, maps are lists of structs of `key` and `value`.
//! - A string may be any type that text can be cast to.
//!
//! What is written:
//! Fields that are NULL are left out, nulls in lists become defaults. A column must fit its field whatever its values:
//! no bigint into `int32`, nothing signed into unsigned fields.

mod plan;
mod usual;
mod value;
mod write;

use std::collections::BTreeMap;

use arrow_schema::SchemaRef;
use proto_schema::{COUNTED, EIGHT_BYTES, FOUR_BYTES, Message, Schema, VARINT};

use super::{
    Failure, FormatError, Reason, SchemaText,
    column::{Column, Values},
    framing::{self, Framing},
    text,
    writers::Known,
};
use plan::{Action, Kind, Plan, Step};

pub(super) use plan::implied_schema;
pub(super) use write::Writer;

/// A declaration larger than this is refused.
const SCHEMA_BYTES_MAX: usize = 256 << 10;
/// Groups within groups, of fields that are not known.
const GROUPS_MAX: usize = 32;

/// What is read of the records.
pub(super) struct Messages {
    plan: Plan,
    /// Whether its records may be `usual`.
    is_usual: bool,
    framing: Framing,
    /// Its name in full.
    name: String,
    /// Where the message's type stands in the schema.
    place: Vec<i64>,
    writers: Known,
    /// Where it stands in schemas of others, if it does.
    places: BTreeMap<u32, Option<Vec<i64>>>,
    /// Of the schema's text.
    schema_bytes: usize,
}

/// Schemas of writers that are remembered; another is looked at anew.
const WRITERS_MAX: usize = 1024;

fn parse(schema: &SchemaText) -> Result<Schema, FormatError> {
    if schema.bytes() > SCHEMA_BYTES_MAX {
        return Err(FormatError::SchemaSize {
            bytes_max: SCHEMA_BYTES_MAX,
        });
    }
    let others = schema.texts_of_others();
    Ok(Schema::parse_with(&others, &schema.text)?)
}

fn message<'a>(schema: &'a Schema, name: &str) -> Result<&'a Message, FormatError> {
    let found = match name {
        "" => schema.own_messages().find(|message| message.place == [0]),
        name => schema.message(name),
    };
    found.ok_or_else(|| FormatError::Message {
        name: name.to_owned(),
    })
}

impl Messages {
    pub fn new(
        definition: (&SchemaText, &str, &[Vec<String>], Framing),
        source: &SchemaRef,
        columns: &[usize],
    ) -> Result<Self, FormatError> {
        let (text, name, paths, framing) = definition;
        super::check_paths(paths, source)?;
        let schema = parse(text)?;
        let message = message(&schema, name)?;
        let mut plan = Plan::default();
        for (column, at) in columns.iter().enumerate() {
            let field = source.field(*at);
            let name = [field.name().clone()];
            let path = paths.get(*at).map_or(&name[..], |path| path);
            plan.add(&schema, message, path, column, field)?;
        }
        Ok(Self {
            is_usual: usual::is_possible(&plan, columns.len()),
            plan,
            framing,
            name: message.name.clone(),
            place: message.place.clone(),
            writers: Known::default(),
            places: BTreeMap::new(),
            schema_bytes: text.bytes(),
        })
    }

    pub fn know_writers(&mut self, writers: Known) {
        self.writers = writers;
    }

    pub fn schema_bytes(&self) -> usize {
        self.schema_bytes
    }

    /// Adds a value to each column, whose `rows` values are those of the records before. On failure some have more.
    pub fn decode(
        &mut self,
        value: &[u8],
        columns: &mut [Column],
        rows: usize,
    ) -> Result<(), Failure> {
        let at = match self.framing {
            Framing::None => 0,
            Framing::Confluent => unframe(value, &self.place)?,
            Framing::Registry => {
                let (number, _) = framing::schema_number(value)?;
                unframe(value, self.place_in(number)?)?
            }
        };
        if !(self.is_usual && usual::decode(&self.plan, value, at, columns)) {
            fields(&self.plan, Input { text: value, at }, columns, rows)?;
        }
        if columns.iter().any(|column| column.len() == rows) {
            finish(&self.plan, columns, rows);
            for column in columns {
                if column.len() == rows {
                    column.push_null();
                }
            }
        }
        Ok(())
    }

    /// Where the message stands in the schema of this number.
    fn place_in(&mut self, number: u32) -> Result<&[i64], Failure> {
        if !self.places.contains_key(&number) {
            let schema = self.writers.get(number);
            let schema = schema.ok_or(Failure::new(0, Reason::UnknownSchema(number)))?;
            let place = parse(schema).ok().and_then(|schema| {
                let mut own = schema.own_messages();
                let found = own.find(|message| message.name == self.name)?;
                Some(found.place.clone())
            });
            if self.places.len() == WRITERS_MAX {
                self.places.pop_first();
            }
            self.places.insert(number, place);
        }
        let place = self.places.get(&number).and_then(Option::as_deref);
        place.ok_or(Failure::new(0, Reason::OtherSchema(number)))
    }
}

/// Where the message begins, which is of the type at this place.
fn unframe(value: &[u8], own: &[i64]) -> Result<usize, Failure> {
    let (_, mut at) = framing::schema_number(value)?;
    let failure = Failure::new(at, Reason::Framing);
    let count = framing::zigzag(value, &mut at).ok_or(failure)?;
    let is_ours = if count == 0 {
        own == [0]
    } else {
        let mut is_ours = usize::try_from(count) == Ok(own.len());
        for place in own {
            is_ours = is_ours && framing::zigzag(value, &mut at) == Some(*place);
        }
        is_ours
    };
    if is_ours {
        Ok(at)
    } else {
        Err(Failure::new(at, Reason::OtherMessage))
    }
}

/// A message while it is read; nothing behind it is seen.
#[derive(Clone)]
struct Input<'a> {
    text: &'a [u8],
    at: usize,
}

const GROUP: u8 = 3;
const GROUP_END: u8 = 4;

impl<'a> Input<'a> {
    #[cold]
    fn fail(&self, reason: Reason) -> Failure {
        Failure::new(self.at, reason)
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Failure> {
        framing::varint(self.text, &mut self.at).ok_or_else(|| self.fail(Reason::Varint))
    }

    /// Number and wire type.
    #[inline]
    fn tag(&mut self) -> Result<(u32, u8), Failure> {
        let tag = self.varint()?;
        match u32::try_from(tag >> 3) {
            Ok(number) if number > 0 => Ok((number, (tag & 7) as u8)),
            _ => Err(self.fail(Reason::WireType)),
        }
    }

    #[inline]
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], Failure> {
        let rest = &self.text[self.at..];
        match rest.get(..count) {
            Some(bytes) => {
                self.at += count;
                Ok(bytes)
            }
            None => Err(self.fail(Reason::End)),
        }
    }

    /// Bytes with their count in front.
    #[inline]
    fn counted(&mut self) -> Result<&'a [u8], Failure> {
        let count = self.varint()?;
        let count = usize::try_from(count).map_err(|_| self.fail(Reason::End))?;
        self.bytes(count)
    }

    /// The same as an input: positions stay those of the record.
    #[inline]
    fn within(&mut self) -> Result<Input<'a>, Failure> {
        let count = self.counted()?.len();
        Ok(Input {
            text: &self.text[..self.at],
            at: self.at - count,
        })
    }

    #[inline]
    fn skip(&mut self, wire: u8) -> Result<(), Failure> {
        match wire {
            VARINT => self.varint().map(|_| ()),
            EIGHT_BYTES => self.bytes(8).map(|_| ()),
            COUNTED => self.counted().map(|_| ()),
            FOUR_BYTES => self.bytes(4).map(|_| ()),
            GROUP => self.skip_group(),
            _ => Err(self.fail(Reason::WireType)),
        }
    }

    #[cold]
    fn skip_group(&mut self) -> Result<(), Failure> {
        let mut open = 1;
        while open > 0 {
            match self.tag()?.1 {
                GROUP if open == GROUPS_MAX => return Err(self.fail(Reason::Depth)),
                GROUP => open += 1,
                GROUP_END => open -= 1,
                wire => self.skip(wire)?,
            }
        }
        Ok(())
    }
}

/// All fields of a message.
fn fields(
    plan: &Plan,
    mut input: Input<'_>,
    columns: &mut [Column],
    rows: usize,
) -> Result<(), Failure> {
    while let Some(first) = input.text.get(input.at) {
        match plan.step(*first) {
            Step::SkipVarint => {
                input.at += 1;
                input.varint()?;
            }
            Step::SkipCounted => {
                input.at += 1;
                input.counted()?;
            }
            Step::Bigint(at) => {
                input.at += 1;
                integer(&mut input, &mut columns[usize::from(at)], rows, 1)
                    .map_err(|failure| failure.of(at.into()))?;
            }
            Step::Timestamp(at) => {
                input.at += 1;
                integer(&mut input, &mut columns[usize::from(at)], rows, 1000)
                    .map_err(|failure| failure.of(at.into()))?;
            }
            Step::Text(at) => {
                input.at += 1;
                text(&mut input, &mut columns[usize::from(at)], rows)
                    .map_err(|failure| failure.of(at.into()))?;
            }
            Step::Any => {
                let (number, wire) = input.tag()?;
                match plan.action(number) {
                    None => input.skip(wire)?,
                    Some(action) => act(action, wire, &mut input, columns, rows)?,
                }
            }
        }
    }
    Ok(())
}

/// What `value::push` does with an `int64` for a column of integers, or of times in so many parts of what it counts.
#[inline]
fn integer(
    input: &mut Input<'_>,
    column: &mut Column,
    rows: usize,
    parts: i64,
) -> Result<(), Failure> {
    let at = input.at;
    let value = (input.varint()? as i64).checked_mul(parts);
    let value = value.ok_or_else(|| Failure::new(at, Reason::Range(column.type_name())))?;
    if column.len() > rows {
        column.truncate(rows);
    }
    if let Values::Int64(values) | Values::Timestamp { values, .. } = &mut column.values {
        values.push(value);
        column.end_value();
    }
    Ok(())
}

/// The same with a `string` for a column of text.
#[inline]
fn text(input: &mut Input<'_>, column: &mut Column, rows: usize) -> Result<(), Failure> {
    let at = input.at;
    let bytes = input.counted()?;
    text::check(bytes).map_err(|reason| Failure::new(at, reason))?;
    if column.len() > rows {
        column.truncate(rows);
    }
    if let Values::Text(slices) = &mut column.values {
        slices.push(bytes);
        column.end_value();
    }
    Ok(())
}

#[inline]
fn act(
    action: &Action,
    wire: u8,
    input: &mut Input<'_>,
    columns: &mut [Column],
    rows: usize,
) -> Result<(), Failure> {
    match action {
        Action::Value { column: at, kind } => {
            let column = &mut columns[*at];
            if column.len() > rows {
                column.truncate(rows);
            }
            value::push(kind, wire, input, column).map_err(|failure| failure.of(*at))
        }
        Action::List { column: at, kind } => {
            elements(kind, wire, input, &mut columns[*at], rows).map_err(|failure| failure.of(*at))
        }
        Action::Path(plan) => {
            if wire != COUNTED {
                return Err(input.fail(Reason::WireType));
            }
            fields(plan, input.within()?, columns, rows)?;
            finish(plan, columns, rows);
            Ok(())
        }
        Action::Several(actions) => {
            let start = input.clone();
            for action in actions {
                *input = start.clone();
                act(action, wire, input, columns, rows)?;
            }
            Ok(())
        }
    }
}

/// One element more, or as many as are packed.
fn elements(
    kind: &Kind,
    wire: u8,
    input: &mut Input<'_>,
    column: &mut Column,
    rows: usize,
) -> Result<(), Failure> {
    if column.len() > rows {
        column.reopen_list();
    }
    let Values::List { elements, .. } = &mut column.values else {
        return Err(input.fail(Reason::NotA(column.type_name())));
    };
    match kind.packed_wire() {
        Some(packed) if wire == COUNTED => {
            let mut within = input.within()?;
            while within.at < within.text.len() {
                value::push(kind, packed, &mut within, elements)?;
            }
            Ok(())
        }
        _ => value::push(kind, wire, input, elements),
    }
}

/// What no field has filled, of what is not NULL then.
fn finish(plan: &Plan, columns: &mut [Column], rows: usize) {
    for (at, kind) in &plan.defaults {
        let column = &mut columns[*at];
        if column.len() == rows {
            match kind {
                None => column.end_list(),
                Some(kind) => value::push_default(kind, column),
            }
        }
    }
}

/// One struct: the message's fields, the rest of them NULL.
fn structure(plan: &Plan, input: Input<'_>, column: &mut Column) -> Result<(), Failure> {
    let rows = column.len();
    let Values::Struct { columns, .. } = &mut column.values else {
        return Err(input.fail(Reason::NotA(column.type_name())));
    };
    fields(plan, input, columns, rows)?;
    finish(plan, columns, rows);
    for column in columns {
        if column.len() == rows {
            column.push_null();
        }
    }
    column.end_value();
    Ok(())
}

#[cfg(test)]
mod tests;
