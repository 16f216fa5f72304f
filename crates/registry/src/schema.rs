//! A schema's text, and what it is parsed to.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use base64::Engine as _;
use serde_json::{Value, json};

/// What language it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SchemaType {
    Avro,
    Json,
    Protobuf,
}

impl SchemaType {
    pub const ALL: [Self; 3] = [Self::Json, Self::Protobuf, Self::Avro];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Avro => "AVRO",
            Self::Json => "JSON",
            Self::Protobuf => "PROTOBUF",
        }
    }

    /// Without a name it is the oldest.
    #[must_use]
    pub fn named(name: Option<&str>) -> Option<Self> {
        match name {
            None => Some(Self::Avro),
            Some(name) => Self::ALL.into_iter().find(|kind| kind.name() == name),
        }
    }
}

/// What a reference or a version is kept in beside its names.
const ENTRY_BYTES: usize = 64;

/// Another schema, and what this one calls it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    pub name: String,
    pub subject: String,
    pub version: i32,
}

impl Reference {
    /// `None`: the value is no list of references.
    pub fn parse_all(value: &Value) -> Option<Vec<Self>> {
        let text = |reference: &Value, name: &str| reference.get(name)?.as_str().map(str::to_owned);
        let references = value.as_array()?.iter().map(|reference| {
            Some(Self {
                name: text(reference, "name")?,
                subject: text(reference, "subject")?,
                version: i32::try_from(reference.get("version")?.as_i64()?).ok()?,
            })
        });
        references.collect()
    }

    pub fn to_json(references: &[Self]) -> Value {
        let references = references.iter().map(|reference| {
            json!({
                "name": reference.name,
                "subject": reference.subject,
                "version": reference.version,
            })
        });
        Value::Array(references.collect())
    }
}

/// As it is kept: each under its id, whatever subjects have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    pub kind: SchemaType,
    pub text: Arc<str>,
    pub references: Vec<Reference>,
}

/// What others are called, and their texts; each behind what it names itself.
pub type Others = Vec<(String, Arc<str>)>;

/// A schema with the texts of those that it names, each behind what it names itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    pub id: u32,
    pub kind: SchemaType,
    pub text: Arc<str>,
    pub others: Others,
}

/// What it means.
#[derive(Debug)]
pub enum Parsed {
    Avro(avro_schema::Schema),
    Json {
        root: Value,
        others: Vec<(String, Value)>,
    },
    Protobuf(proto_schema::Schema),
}

impl Schema {
    /// Of a text as it was sent: without space that means nothing, and of a descriptor the file that it describes.
    pub fn new(kind: SchemaType, text: &str, references: Vec<Reference>) -> Result<Self, String> {
        let text = match kind {
            // A type's name alone may come without its quotes.
            SchemaType::Avro if is_word(text.trim()) => format!("\"{}\"", text.trim()),
            SchemaType::Avro | SchemaType::Json => {
                // First of all: without the space between them, two words may be one.
                if let Err(error) = serde_json::from_str::<Value>(text) {
                    return Err(format!("JSON is expected: {error}"));
                }
                without_space(text)
            }
            SchemaType::Protobuf => match descriptor(text) {
                Some(bytes) => proto_schema::Schema::text_of_descriptor(&bytes)
                    .map_err(|error| error.to_string())?,
                None => text.to_owned(),
            },
        };
        Ok(Self {
            kind,
            text: text.into(),
            references,
        })
    }

    /// Equal for schemas that are the same: neither space nor, in JSON, the order of members counts, nor in Avro how names
    /// and primitive types are written, nor comments in Protobuf. `named`: ids of what the references name.
    pub fn identity(&self, named: &[Option<u32>]) -> String {
        let text = match self.kind {
            SchemaType::Avro | SchemaType::Json => match serde_json::from_str(&self.text) {
                Ok(mut value) => {
                    if self.kind == SchemaType::Avro {
                        avro_schema::canonical(&mut value);
                    }
                    value.to_string()
                }
                Err(_) => self.text.to_string(),
            },
            SchemaType::Protobuf => {
                proto_schema::words(&self.text).unwrap_or_else(|_| self.text.to_string())
            }
        };
        let mut references: Vec<_> = self.references.iter().zip(named).collect();
        references.sort();
        let (references, named): (Vec<Reference>, Vec<Option<u32>>) = references
            .into_iter()
            .map(|(reference, id)| (reference.clone(), *id))
            .unzip();
        let references = Reference::to_json(&references);
        format!("{} {references} {named:?} {text}", self.kind.name())
    }

    /// What it takes to keep it.
    pub fn bytes(&self) -> usize {
        let references = self.references.iter();
        let bytes = references.map(|to| ENTRY_BYTES + to.name.len() + to.subject.len());
        self.text.len() + bytes.sum::<usize>()
    }

    pub fn parse(&self, others: &[(String, Arc<str>)]) -> Result<Parsed, String> {
        let texts = || others.iter().map(|(_, text)| &**text).collect::<Vec<_>>();
        match self.kind {
            SchemaType::Avro => {
                let parsed = avro_schema::Schema::parse_with(&texts(), &self.text);
                let parsed = parsed.map_err(|error| error.to_string())?;
                Ok(Parsed::Avro(parsed))
            }
            SchemaType::Protobuf => {
                let parsed = proto_schema::Schema::parse_with(&texts(), &self.text);
                Ok(Parsed::Protobuf(parsed.map_err(|error| error.to_string())?))
            }
            SchemaType::Json => {
                let value = |text: &str| {
                    let value: Value =
                        serde_json::from_str(text).map_err(|error| error.to_string())?;
                    match value {
                        Value::Object(_) | Value::Bool(_) => Ok(value),
                        _ => Err("an object or a truth value is expected".to_owned()),
                    }
                };
                let others = others
                    .iter()
                    .map(|(name, text)| value(text).map(|parsed| (name.clone(), parsed)));
                Ok(Parsed::Json {
                    root: value(&self.text)?,
                    others: others.collect::<Result<_, String>>()?,
                })
            }
        }
    }

    /// As `?format=serialized` wants it, of a Protobuf file unless it is too long.
    pub fn descriptor(&self, others: &[(String, Arc<str>)]) -> Option<String> {
        match self.parse(others).ok()? {
            Parsed::Protobuf(schema) => {
                let bytes = schema.to_descriptor("default").ok()?;
                Some(base64::engine::general_purpose::STANDARD.encode(bytes))
            }
            _ => None,
        }
    }
}

impl Parsed {
    /// What is checked of new schemas alone: older ones are taken as they are.
    pub fn check_new(&self) -> Result<(), String> {
        match self {
            Self::Avro(schema) => schema.check_new().map_err(|error| error.to_string()),
            Self::Protobuf(schema) => schema.check_new().map_err(|error| error.to_string()),
            Self::Json { .. } => Ok(()),
        }
    }
}

/// Where to look for a schema; what is found there is compared.
pub fn hash_of(identity: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    identity.hash(&mut hasher);
    hasher.finish()
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase())
}

/// Serialisers that have no text send the compiled file.
fn descriptor(text: &str) -> Option<Vec<u8>> {
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    let text = text.trim();
    // Every file has a word with a space or a sign behind it.
    if text.is_empty() || !text.bytes().all(is_base64) {
        return None;
    }
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}

/// JSON without what stands between its values.
fn without_space(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let (mut is_string, mut is_escaped) = (false, false);
    for character in json.chars() {
        if is_string {
            is_string = is_escaped || character != '"';
            is_escaped = !is_escaped && character == '\\';
        } else if character == '"' {
            is_string = true;
        } else if character.is_ascii_whitespace() {
            continue;
        }
        out.push(character);
    }
    out
}
