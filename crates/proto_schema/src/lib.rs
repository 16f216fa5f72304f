//! Message types from the text of a `.proto` file.
//!
//! Read is what tells how messages lie on the wire: messages, enums, scalars, repeated fields, maps, oneofs, nested
//! types, packages. Options, services, extensions, reserved numbers are passed over. Files that it imports come beside it;
//! Google's well-known types are known without being imported. Groups are refused.
//!
//! # Limits
//! Nesting, the number of messages, maps and enums, the length of their names, and `LOOKUPS_MAX`.
//!
//! # Instead of
//! `protox` with `prost-reflect`: a compiler of the whole language and a dynamic message type, several times the code of
//! this crate to build, of which names, numbers and types of fields would be used.

mod descriptor;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

pub use descriptor::{DescriptorError, put_varint};

/// Levels that messages may be declared within each other.
const DEPTH_MAX: usize = 32;
/// Messages, and enums, of all files together.
const TYPES_MAX: usize = 4096;
/// Of a name with all that stands before it.
const NAME_BYTES_MAX: usize = 512;
/// Scopes that types of fields are looked for in: those of a file of some MiB in a deep package.
const LOOKUPS_MAX: usize = 1 << 20;
/// Field numbers end here.
const NUMBER_MAX: u32 = (1 << 29) - 1;

/// Why a text declares nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    #[error("line {line} of the schema: {expected} is expected")]
    Text { line: usize, expected: &'static str },
    #[error("line {line} of the schema: there is no type {name}")]
    Type { line: usize, name: String },
    #[error("{name} is declared twice")]
    Twice { name: String },
}

/// What a file declares, and what it imports.
#[derive(Debug, Default)]
pub struct Schema {
    /// Of the file itself, which may have none.
    pub package: String,
    pub imports: Vec<String>,
    is_proto3: bool,
    pub messages: Vec<Message>,
    pub enums: Vec<Enum>,
    /// Types by their names, when all are declared.
    names: BTreeMap<String, Kind>,
}

#[derive(Debug)]
pub struct Message {
    /// With package and the messages around it.
    pub name: String,
    pub fields: Vec<Field>,
    /// Its place among the messages of the file, and then within them, from the outermost on. None: it is a map's entry.
    pub place: Vec<i64>,
    /// Whether the file itself declares it, and no import.
    pub is_own: bool,
}

#[derive(Debug)]
pub struct Enum {
    pub name: String,
    pub values: Vec<(i32, String)>,
    /// Place of the message that it is declared in.
    pub scope: Vec<i64>,
    pub is_own: bool,
}

#[derive(Debug)]
pub struct Field {
    pub name: String,
    pub number: u32,
    pub kind: Kind,
    pub is_repeated: bool,
    /// Whether a message tells that it was left out; if not, it has its default value then.
    pub has_presence: bool,
    pub is_required: bool,
    /// One name for all fields of it.
    pub one_of: Option<Arc<str>>,
    line: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Scalar(Scalar),
    /// By its place among the schema's enums.
    Enum(usize),
    /// By its place among the schema's messages.
    Message(usize),
    /// As long as not all types are declared.
    Named(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalar {
    Double,
    Float,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Bool,
    String,
    Bytes,
}

const SCALARS: [(&str, Scalar); 15] = [
    ("double", Scalar::Double),
    ("float", Scalar::Float),
    ("int32", Scalar::Int32),
    ("int64", Scalar::Int64),
    ("uint32", Scalar::Uint32),
    ("uint64", Scalar::Uint64),
    ("sint32", Scalar::Sint32),
    ("sint64", Scalar::Sint64),
    ("fixed32", Scalar::Fixed32),
    ("fixed64", Scalar::Fixed64),
    ("sfixed32", Scalar::Sfixed32),
    ("sfixed64", Scalar::Sfixed64),
    ("bool", Scalar::Bool),
    ("string", Scalar::String),
    ("bytes", Scalar::Bytes),
];

/// Declared everywhere, behind what the file declares.
const WELL_KNOWN: &str = r#"
    syntax = "proto3";
    package google.protobuf;
    message Timestamp { int64 seconds = 1; int32 nanos = 2; }
    message Duration { int64 seconds = 1; int32 nanos = 2; }
    message DoubleValue { double value = 1; }
    message FloatValue { float value = 1; }
    message Int64Value { int64 value = 1; }
    message UInt64Value { uint64 value = 1; }
    message Int32Value { int32 value = 1; }
    message UInt32Value { uint32 value = 1; }
    message BoolValue { bool value = 1; }
    message StringValue { string value = 1; }
    message BytesValue { bytes value = 1; }
    message Any { string type_url = 1; bytes value = 2; }
    message Empty {}
    message FieldMask { repeated string paths = 1; }
    message Struct { map<string, Value> fields = 1; }
    message ListValue { repeated Value values = 1; }
    message Value {
        oneof kind {
            NullValue null_value = 1;
            double number_value = 2;
            string string_value = 3;
            bool bool_value = 4;
            Struct struct_value = 5;
            ListValue list_value = 6;
        }
    }
    enum NullValue { NULL_VALUE = 0; }
"#;

/// Ways that a value lies on the wire.
pub const VARINT: u8 = 0;
pub const EIGHT_BYTES: u8 = 1;
pub const COUNTED: u8 = 2;
pub const FOUR_BYTES: u8 = 5;

impl Scalar {
    #[must_use]
    pub fn wire(self) -> u8 {
        match self {
            Self::Double | Self::Fixed64 | Self::Sfixed64 => EIGHT_BYTES,
            Self::Float | Self::Fixed32 | Self::Sfixed32 => FOUR_BYTES,
            Self::String | Self::Bytes => COUNTED,
            _ => VARINT,
        }
    }

    /// As a file writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        let found = SCALARS.iter().find(|(_, scalar)| *scalar == self);
        found.expect("every scalar has a name").0
    }
}

impl Schema {
    pub fn parse(text: &str) -> Result<Self, SchemaError> {
        Self::parse_with(&[], text)
    }

    /// A file that names types of others, which come in any order.
    pub fn parse_with(imported: &[&str], text: &str) -> Result<Self, SchemaError> {
        let mut schema = Self::default();
        let mut own = File::new(text, &mut schema, true);
        own.read()?;
        (schema.is_proto3, schema.package) = (own.is_proto3, own.package);
        for text in imported.iter().chain([&WELL_KNOWN]) {
            File::new(text, &mut schema, false).read()?;
        }
        schema.resolve()?;
        Ok(schema)
    }

    /// The messages that the file itself declares, maps' entries left out.
    pub fn own_messages(&self) -> impl Iterator<Item = &Message> {
        let own = |message: &&Message| message.is_own && !message.place.is_empty();
        self.messages.iter().filter(own)
    }

    /// What is asked of new files beyond what they can be read by: a name of its own for each type that they declare.
    pub fn check_new(&self) -> Result<(), SchemaError> {
        let messages = self.own_messages().map(|message| &message.name);
        let enums = self.enums.iter().filter(|declared| declared.is_own);
        let mut names = BTreeSet::new();
        for name in messages.chain(enums.map(|declared| &declared.name)) {
            if !names.insert(name) {
                let name = name.clone();
                return Err(SchemaError::Twice { name });
            }
        }
        Ok(())
    }

    /// By full name, or by the last part of it if only one message has that.
    #[must_use]
    pub fn message(&self, name: &str) -> Option<&Message> {
        let name = name.trim_start_matches('.');
        let exact = self.messages.iter().find(|message| message.name == name);
        exact.or_else(|| {
            let suffix = format!(".{name}");
            let mut found = self
                .messages
                .iter()
                .filter(|message| message.name.ends_with(&suffix));
            found.next().filter(|_| found.next().is_none())
        })
    }

    fn resolve(&mut self) -> Result<(), SchemaError> {
        let messages = (0..).zip(&self.messages);
        let messages = messages.map(|(at, message)| (&message.name, Kind::Message(at)));
        let enums = (0..).zip(&self.enums);
        let enums = enums.map(|(at, declared)| (&declared.name, Kind::Enum(at)));
        let mut names = BTreeMap::new();
        for (name, kind) in messages.chain(enums) {
            // The file's own come first: what they declare is not declared anew by what stands behind.
            names.entry(name.clone()).or_insert(kind);
        }
        self.names = names;
        let mut lookups = 0;
        for at in 0..self.messages.len() {
            for field in 0..self.messages[at].fields.len() {
                let message = &self.messages[at];
                let declared = &message.fields[field];
                let Kind::Named(name) = &declared.kind else {
                    continue;
                };
                let line = declared.line;
                let kind = self.find(&message.name, name, &mut lookups);
                if lookups > LOOKUPS_MAX {
                    let expected = "fewer types to look for";
                    return Err(SchemaError::Text { line, expected });
                }
                let kind = kind.ok_or_else(|| {
                    let name = name.clone();
                    SchemaError::Type { line, name }
                })?;
                let field = &mut self.messages[at].fields[field];
                field.has_presence |= matches!(kind, Kind::Message(_)) && !field.is_repeated;
                field.kind = kind;
            }
        }
        Ok(())
    }

    /// From the innermost scope outwards; each counts.
    fn find(&self, scope: &str, name: &str, lookups: &mut usize) -> Option<Kind> {
        if let Some(name) = name.strip_prefix('.') {
            return self.names.get(name).cloned();
        }
        if name.len() > NAME_BYTES_MAX {
            return None;
        }
        let mut scope = scope;
        while *lookups <= LOOKUPS_MAX {
            *lookups += 1;
            if let Some(kind) = self.names.get(&join(scope, name)) {
                return Some(kind.clone());
            }
            if scope.is_empty() {
                break;
            }
            scope = scope.rsplit_once('.').map_or("", |(outer, _)| outer);
        }
        None
    }
}

fn join(scope: &str, name: &str) -> String {
    if scope.is_empty() {
        name.to_owned()
    } else {
        format!("{scope}.{name}")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    /// Names with dots in and before them, and numbers.
    Word(&'a str),
    Text(&'a str),
    Symbol(u8),
    End,
}

/// A file while it is read: one token ahead.
struct File<'a, 's> {
    rest: &'a str,
    line: usize,
    token: Token<'a>,
    schema: &'s mut Schema,
    package: String,
    /// Fields without a label have no presence; before and after, they have.
    is_proto3: bool,
    is_own: bool,
}

impl<'a, 's> File<'a, 's> {
    fn new(text: &'a str, schema: &'s mut Schema, is_own: bool) -> Self {
        Self {
            rest: text,
            line: 1,
            token: Token::End,
            schema,
            package: String::new(),
            is_proto3: false,
            is_own,
        }
    }

    fn expected<T>(&self, expected: &'static str) -> Result<T, SchemaError> {
        Err(SchemaError::Text {
            line: self.line,
            expected,
        })
    }

    fn skip_space(&mut self) -> Result<(), SchemaError> {
        loop {
            let trimmed = self.rest.trim_start();
            let space = &self.rest[..self.rest.len() - trimmed.len()];
            self.line += space.matches('\n').count();
            self.rest = trimmed;
            let end = if self.rest.starts_with("//") {
                Some(self.rest.find('\n').unwrap_or(self.rest.len()))
            } else if self.rest.starts_with("/*") {
                let Some(end) = self.rest.find("*/") else {
                    return self.expected("the end of a comment");
                };
                Some(end + 2)
            } else {
                None
            };
            let Some(end) = end else {
                return Ok(());
            };
            self.line += self.rest[..end].matches('\n').count();
            self.rest = &self.rest[end..];
        }
    }

    fn advance(&mut self) -> Result<Token<'a>, SchemaError> {
        let before = self.token;
        self.skip_space()?;
        let rest = self.rest;
        let bytes = match rest.bytes().next() {
            None => {
                self.token = Token::End;
                return Ok(before);
            }
            Some(quote @ (b'"' | b'\'')) => {
                let Some(end) = text_end(rest.as_bytes(), quote) else {
                    return self.expected("the end of a string");
                };
                self.token = Token::Text(&rest[1..end]);
                end + 1
            }
            Some(byte) if is_word(byte) => {
                let end = rest
                    .bytes()
                    .position(|byte| !is_word(byte))
                    .unwrap_or(rest.len());
                self.token = Token::Word(&rest[..end]);
                end
            }
            Some(byte) if byte.is_ascii_graphic() => {
                self.token = Token::Symbol(byte);
                1
            }
            Some(_) => return self.expected("a character of the language"),
        };
        self.rest = &rest[bytes..];
        Ok(before)
    }

    fn accept(&mut self, token: Token<'_>) -> Result<bool, SchemaError> {
        let is_next = self.token == token;
        if is_next {
            self.advance()?;
        }
        Ok(is_next)
    }

    fn symbol(&mut self, symbol: u8, expected: &'static str) -> Result<(), SchemaError> {
        if self.accept(Token::Symbol(symbol))? {
            return Ok(());
        }
        self.expected(expected)
    }

    fn word(&mut self, expected: &'static str) -> Result<&'a str, SchemaError> {
        match self.token {
            Token::Word(word) => {
                self.advance()?;
                Ok(word)
            }
            _ => self.expected(expected),
        }
    }

    /// To the end of a statement: its semicolon or its block.
    fn skip_statement(&mut self) -> Result<(), SchemaError> {
        let mut depth = 0usize;
        loop {
            match self.advance()? {
                Token::Symbol(b'{' | b'[') => depth += 1,
                Token::Symbol(b'}') if depth == 1 => {
                    self.accept(Token::Symbol(b';'))?;
                    return Ok(());
                }
                Token::Symbol(b'}' | b']') if depth > 0 => depth -= 1,
                Token::Symbol(b';') if depth == 0 => return Ok(()),
                Token::End => return self.expected("the end of a statement"),
                _ => {}
            }
        }
    }

    fn read(&mut self) -> Result<(), SchemaError> {
        self.advance()?;
        let mut messages = 0;
        while self.token != Token::End {
            if self.accept(Token::Symbol(b';'))? {
                continue;
            }
            match self.token {
                Token::Word("syntax") => {
                    self.advance()?;
                    self.symbol(b'=', "=")?;
                    self.is_proto3 = self.token == Token::Text("proto3");
                    self.skip_statement()?;
                }
                Token::Word("package") => {
                    self.advance()?;
                    self.package = self.word("a package's name")?.to_owned();
                    self.skip_statement()?;
                }
                Token::Word("message") => {
                    let scope = self.package.clone();
                    self.message(&scope, vec![messages])?;
                    messages += 1;
                }
                Token::Word("enum") => {
                    let scope = self.package.clone();
                    self.enumeration(&scope, &[])?;
                }
                Token::Word("import") => {
                    self.advance()?;
                    if matches!(self.token, Token::Word("public" | "weak")) {
                        self.advance()?;
                    }
                    if let (Token::Text(name), true) = (self.token, self.is_own) {
                        self.schema.imports.push(name.to_owned());
                    }
                    self.skip_statement()?;
                }
                Token::Word("option" | "service" | "extend" | "edition") => {
                    self.skip_statement()?;
                }
                _ => return self.expected("a declaration"),
            }
        }
        Ok(())
    }

    fn message(&mut self, scope: &str, place: Vec<i64>) -> Result<(), SchemaError> {
        self.advance()?;
        let name = join(scope, self.word("a message's name")?);
        self.check_declared(&name, self.schema.messages.len())?;
        if place.len() > DEPTH_MAX {
            return self.expected("less nesting");
        }
        self.symbol(b'{', "{")?;
        let mut fields = Vec::new();
        let mut messages = 0;
        while !self.accept(Token::Symbol(b'}'))? {
            match self.token {
                Token::Symbol(b';') => {
                    self.advance()?;
                }
                Token::Word("message") => {
                    let place = place.iter().copied().chain([messages]).collect();
                    self.message(&name, place)?;
                    messages += 1;
                }
                Token::Word("enum") => self.enumeration(&name, &place)?,
                Token::Word("option" | "reserved" | "extensions" | "extend") => {
                    self.skip_statement()?;
                }
                Token::Word("oneof") => self.one_of(&mut fields)?,
                Token::Word("map") => {
                    let field = self.map(&name)?;
                    fields.push(field);
                }
                _ => {
                    let field = self.field(None)?;
                    fields.push(field);
                }
            }
        }
        let names: BTreeSet<&str> = fields.iter().map(|field| &*field.name).collect();
        let numbers: BTreeSet<u32> = fields.iter().map(|field| field.number).collect();
        if names.len() < fields.len() || numbers.len() < fields.len() {
            return self.expected("a name and a number of its own for each field");
        }
        self.schema.messages.push(Message {
            name,
            fields,
            place,
            is_own: self.is_own,
        });
        Ok(())
    }

    fn check_declared(&self, name: &str, count: usize) -> Result<(), SchemaError> {
        if name.len() > NAME_BYTES_MAX {
            return self.expected("a shorter name");
        }
        if count >= TYPES_MAX {
            return self.expected("fewer types");
        }
        Ok(())
    }

    fn one_of(&mut self, fields: &mut Vec<Field>) -> Result<(), SchemaError> {
        self.advance()?;
        let name: Arc<str> = self.word("a name")?.into();
        self.symbol(b'{', "{")?;
        while !self.accept(Token::Symbol(b'}'))? {
            if self.token == Token::Word("option") {
                self.skip_statement()?;
            } else if !self.accept(Token::Symbol(b';'))? {
                let field = self.field(Some(&name))?;
                fields.push(field);
            }
        }
        Ok(())
    }

    fn field(&mut self, one_of: Option<&Arc<str>>) -> Result<Field, SchemaError> {
        let mut is_repeated = false;
        let mut is_required = false;
        let mut has_presence = one_of.is_some() || !self.is_proto3;
        let mut first = self.word("a field")?;
        if let (None, "repeated" | "optional" | "required", Token::Word(next)) =
            (one_of, first, self.token)
        {
            is_repeated = first == "repeated";
            is_required = first == "required";
            has_presence = !is_repeated;
            self.advance()?;
            first = next;
        }
        if first == "group" {
            return self.expected("a field that is no group");
        }
        let kind = kind(first);
        let field = self.numbered(kind, is_repeated, has_presence)?;
        Ok(Field {
            is_required,
            one_of: one_of.cloned(),
            ..field
        })
    }

    /// Name, number and options.
    fn numbered(
        &mut self,
        kind: Kind,
        is_repeated: bool,
        has_presence: bool,
    ) -> Result<Field, SchemaError> {
        let line = self.line;
        let name = self.word("a field's name")?.to_owned();
        self.symbol(b'=', "=")?;
        let number = integer(self.word("a field's number")?);
        let number = number.and_then(|number| u32::try_from(number).ok());
        let Some(number) = number.filter(|number| (1..=NUMBER_MAX).contains(number)) else {
            return self.expected("a field's number");
        };
        self.skip_statement()?;
        Ok(Field {
            name,
            number,
            kind,
            is_repeated,
            has_presence: has_presence && !is_repeated,
            is_required: false,
            one_of: None,
            line,
        })
    }

    /// On the wire a list of messages with key and value.
    fn map(&mut self, scope: &str) -> Result<Field, SchemaError> {
        self.advance()?;
        self.symbol(b'<', "<")?;
        let key = kind(self.word("a type")?);
        self.symbol(b',', "a comma")?;
        let value = kind(self.word("a type")?);
        self.symbol(b'>', ">")?;
        let line = self.line;
        // No name that can be written is that of an entry's type.
        let entry = format!("{scope}.{}<>", self.schema.messages.len());
        self.check_declared(&entry, self.schema.messages.len())?;
        let of_entry = |name: &str, number, kind| Field {
            name: name.to_owned(),
            number,
            kind,
            is_repeated: false,
            has_presence: false,
            is_required: false,
            one_of: None,
            line,
        };
        self.schema.messages.push(Message {
            name: entry.clone(),
            fields: vec![of_entry("key", 1, key), of_entry("value", 2, value)],
            place: Vec::new(),
            is_own: self.is_own,
        });
        self.numbered(Kind::Named(format!(".{entry}")), true, false)
    }

    fn enumeration(&mut self, scope: &str, place: &[i64]) -> Result<(), SchemaError> {
        self.advance()?;
        let name = join(scope, self.word("an enum's name")?);
        self.check_declared(&name, self.schema.enums.len())?;
        self.symbol(b'{', "{")?;
        let mut values = Vec::new();
        while !self.accept(Token::Symbol(b'}'))? {
            if matches!(self.token, Token::Word("option" | "reserved")) {
                self.skip_statement()?;
                continue;
            }
            if self.accept(Token::Symbol(b';'))? {
                continue;
            }
            let value = self.word("a value's name")?.to_owned();
            self.symbol(b'=', "=")?;
            let is_negative = self.accept(Token::Symbol(b'-'))?;
            let number = integer(self.word("a number")?);
            let number = number.map(|number| if is_negative { -number } else { number });
            match number.and_then(|number| i32::try_from(number).ok()) {
                Some(number) => values.push((number, value)),
                None => return self.expected("a number"),
            }
            self.skip_statement()?;
        }
        self.schema.enums.push(Enum {
            name,
            values,
            scope: place.to_vec(),
            is_own: self.is_own,
        });
        Ok(())
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.')
}

/// Where the closing quote is.
fn text_end(text: &[u8], quote: u8) -> Option<usize> {
    let mut at = 1;
    loop {
        match *text.get(at)? {
            b'\\' => at += 2,
            byte if byte == quote => return Some(at),
            b'\n' => return None,
            _ => at += 1,
        }
    }
}

fn kind(name: &str) -> Kind {
    let scalar = SCALARS.iter().find(|(scalar, _)| *scalar == name);
    scalar.map_or_else(
        || Kind::Named(name.to_owned()),
        |(_, scalar)| Kind::Scalar(*scalar),
    )
}

/// Decimal, hexadecimal or octal.
fn integer(text: &str) -> Option<i64> {
    if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return i64::from_str_radix(digits, 16).ok();
    }
    match text.strip_prefix('0') {
        Some(digits) if !digits.is_empty() => i64::from_str_radix(digits, 8).ok(),
        _ => text.parse().ok(),
    }
}

/// The words of a file with one space between them: equal for files that differ in space and comments only.
pub fn words(text: &str) -> Result<String, SchemaError> {
    let mut schema = Schema::default();
    let mut file = File::new(text, &mut schema, true);
    file.advance()?;
    let mut out = String::with_capacity(text.len());
    while file.token != Token::End {
        match file.advance()? {
            Token::Word(word) => out.push_str(word),
            Token::Text(text) => {
                out.push('"');
                out.push_str(text);
                out.push('"');
            }
            Token::Symbol(symbol) => out.push(char::from(symbol)),
            Token::End => {}
        }
        out.push(' ');
    }
    Ok(out)
}
