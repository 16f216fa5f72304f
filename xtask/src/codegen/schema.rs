//! Kafka's message descriptors, resolved: every field with the versions it really has.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

/// Versions from `first` to `last`, both inclusive; empty when `first > last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    pub first: i16,
    pub last: i16,
}

impl Versions {
    pub const NONE: Self = Self { first: 0, last: -1 };

    fn parse(text: &str) -> Result<Self> {
        if text == "none" {
            return Ok(Self::NONE);
        }
        let (first, last) = match (text.strip_suffix('+'), text.split_once('-')) {
            (Some(first), _) => (first.parse()?, i16::MAX),
            (None, Some((first, last))) => (first.parse()?, last.parse()?),
            (None, None) => (text.parse()?, text.parse()?),
        };
        Ok(Self { first, last })
    }

    pub fn and(self, other: Self) -> Self {
        Self {
            first: self.first.max(other.first),
            last: self.last.min(other.last),
        }
    }

    pub fn is_empty(self) -> bool {
        self.first > self.last
    }

    pub fn contains(self, version: i16) -> bool {
        (self.first..=self.last).contains(&version)
    }

    pub fn covers(self, other: Self) -> bool {
        other.is_empty() || (self.first <= other.first && other.last <= self.last)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// Name of the reader's and writer's method, which for numbers is the Rust type too.
    Scalar(&'static str),
    Uuid,
    Str,
    Bytes,
    Records,
    Struct(String),
    Array(Box<Type>),
}

#[derive(Clone, Debug)]
pub struct Field {
    pub name: String,
    pub about: String,
    pub ty: Type,
    /// Already cut to the versions of the struct around it.
    pub versions: Versions,
    pub nullable: Versions,
    pub tag: Option<u32>,
    pub default: Option<String>,
    pub ignorable: bool,
}

#[derive(Clone, Debug)]
pub struct Struct {
    pub name: String,
    pub about: String,
    pub versions: Versions,
    pub fields: Vec<Field>,
}

#[derive(Clone, Debug)]
pub struct Message {
    pub api_key: Option<i16>,
    pub versions: Versions,
    /// `i16::MAX` when no version is flexible.
    pub flexible_version: i16,
    /// The message itself first.
    pub structs: Vec<Struct>,
}

/// Reads one descriptor; versions above `version_max` are left out.
pub fn load(path: &Path, version_max: i16) -> Result<Message> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    // Descriptors are JSON with comment lines.
    let json: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n");
    let json: Value = serde_json::from_str(&json).with_context(|| path.display().to_string())?;
    parse(&json, version_max).with_context(|| path.display().to_string())
}

fn parse(json: &Value, version_max: i16) -> Result<Message> {
    let mut versions = Versions::parse(text(json, "validVersions")?)?;
    versions.last = versions.last.min(version_max);
    let flexible = Versions::parse(text(json, "flexibleVersions")?)?;
    let mut message = Message {
        api_key: json["apiKey"].as_i64().map(i16::try_from).transpose()?,
        versions,
        flexible_version: if flexible.is_empty() {
            i16::MAX
        } else {
            flexible.first
        },
        structs: Vec::new(),
    };
    let name = text(json, "name")?;
    parse_struct(name, "", json, versions, &mut message.structs)?;
    for common in json["commonStructs"].as_array().into_iter().flatten() {
        let own = Versions::parse(text(common, "versions")?)?.and(versions);
        if !own.is_empty() {
            let about = common["about"].as_str().unwrap_or_default();
            parse_struct(
                text(common, "name")?,
                about,
                common,
                own,
                &mut message.structs,
            )?;
        }
    }
    let mut seen = BTreeMap::new();
    for item in &message.structs {
        ensure!(
            seen.insert(item.name.clone(), ()).is_none(),
            "{} twice",
            item.name
        );
    }
    Ok(message)
}

fn parse_struct(
    name: &str,
    about: &str,
    json: &Value,
    versions: Versions,
    out: &mut Vec<Struct>,
) -> Result<()> {
    let at = out.len();
    out.push(Struct {
        name: name.to_owned(),
        about: about.to_owned(),
        versions,
        fields: Vec::new(),
    });
    let mut fields = Vec::new();
    for field in json["fields"].as_array().context("fields")? {
        let name = text(field, "name")?;
        let field = parse_field(name, field, versions, out).with_context(|| name.to_owned())?;
        fields.extend(field);
    }
    out[at].fields = fields;
    Ok(())
}

/// `None` when no supported version has the field.
fn parse_field(
    name: &str,
    json: &Value,
    around: Versions,
    out: &mut Vec<Struct>,
) -> Result<Option<Field>> {
    let versions = Versions::parse(text(json, "versions")?)?.and(around);
    if versions.is_empty() {
        return Ok(None);
    }
    let optional_versions = |key: &str| match json[key].as_str() {
        Some(text) => Versions::parse(text),
        None => Ok(Versions::NONE),
    };
    let tag = json["tag"].as_u64().map(u32::try_from).transpose()?;
    if tag.is_some() {
        let tagged = optional_versions("taggedVersions")?;
        ensure!(tagged.covers(versions), "tagged at some versions only");
    }
    let ty = parse_type(text(json, "type")?)?;
    let about = json["about"].as_str().unwrap_or_default();
    if json["fields"].is_array() {
        let inner = match &ty {
            Type::Struct(inner) => inner,
            Type::Array(item) => match &**item {
                Type::Struct(inner) => inner,
                _ => bail!("fields in an array of scalars"),
            },
            _ => bail!("fields in a scalar"),
        };
        parse_struct(inner, about, json, versions, out)?;
    }
    ensure!(
        json["flexibleVersions"].is_null(),
        "a field with flexible versions of its own"
    );
    let default = match &json["default"] {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    Ok(Some(Field {
        name: name.to_owned(),
        about: about.to_owned(),
        nullable: optional_versions("nullableVersions")?.and(versions),
        versions,
        ty,
        tag,
        default,
        ignorable: json["ignorable"].as_bool().unwrap_or(false),
    }))
}

fn parse_type(text: &str) -> Result<Type> {
    if let Some(item) = text.strip_prefix("[]") {
        return Ok(Type::Array(Box::new(parse_type(item)?)));
    }
    Ok(match text {
        "bool" => Type::Scalar("bool"),
        "int8" => Type::Scalar("i8"),
        "int16" => Type::Scalar("i16"),
        "uint16" => Type::Scalar("u16"),
        "int32" => Type::Scalar("i32"),
        "uint32" => Type::Scalar("u32"),
        "int64" => Type::Scalar("i64"),
        "float64" => Type::Scalar("f64"),
        "uuid" => Type::Uuid,
        "string" => Type::Str,
        "bytes" => Type::Bytes,
        "records" => Type::Records,
        name => {
            ensure!(name.starts_with(|c: char| c.is_ascii_uppercase()), "{name}");
            Type::Struct(name.to_owned())
        }
    })
}

fn text<'j>(json: &'j Value, key: &str) -> Result<&'j str> {
    json[key].as_str().with_context(|| key.to_owned())
}

impl Message {
    pub fn name(&self) -> &str {
        &self.structs[0].name
    }

    pub fn get(&self, name: &str) -> &Struct {
        self.structs
            .iter()
            .find(|item| item.name == name)
            .expect("a descriptor names only its own structs")
    }

    /// Structs that share a name with one of `other` get the prefix `Response` (`Assignment` for that message).
    pub fn rename_apart_from(&mut self, other: &Message) {
        let prefix = if self.api_key.is_some() {
            "Response"
        } else {
            "Assignment"
        };
        let taken: Vec<String> = self
            .structs
            .iter()
            .map(|item| item.name.clone())
            .filter(|name| other.structs.iter().any(|item| item.name == *name))
            .collect();
        let rename = |name: &mut String| {
            if taken.contains(name) {
                *name = format!("{prefix}{name}");
            }
        };
        for item in &mut self.structs {
            rename(&mut item.name);
            for field in &mut item.fields {
                match &mut field.ty {
                    Type::Struct(name) => rename(name),
                    Type::Array(inner) => {
                        if let Type::Struct(name) = &mut **inner {
                            rename(name);
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    /// Whether the struct borrows from the frame.
    pub fn borrows(&self, name: &str) -> bool {
        self.get(name).fields.iter().any(|field| match &field.ty {
            Type::Scalar(_) | Type::Uuid => false,
            Type::Struct(inner) => self.borrows(inner),
            Type::Str | Type::Bytes | Type::Records | Type::Array(_) => true,
        })
    }

    /// Structs whose values are compared with their default: those in tagged fields or absent at some versions.
    pub fn compared(&self) -> Vec<String> {
        let mut compared = Vec::new();
        for item in &self.structs {
            for field in &item.fields {
                let absent = !field.ignorable && !field.versions.covers(item.versions);
                if (field.tag.is_some() || absent) && field.nullable.is_empty() {
                    self.compare(&field.ty, &mut compared);
                }
            }
        }
        compared
    }

    fn compare(&self, ty: &Type, compared: &mut Vec<String>) {
        match ty {
            // Arrays compare by length; inside a compared struct `compare_all` reaches their items.
            Type::Struct(name) if !compared.contains(name) => {
                compared.push(name.clone());
                for field in &self.get(name).fields {
                    self.compare_all(&field.ty, compared);
                }
            }
            _ => {}
        }
    }

    fn compare_all(&self, ty: &Type, compared: &mut Vec<String>) {
        match ty {
            Type::Array(item) => self.compare_all(item, compared),
            _ => self.compare(ty, compared),
        }
    }

    /// Fewest bytes of the struct over the versions it has.
    pub fn bytes_min(&self, item: &Struct) -> usize {
        (item.versions.first..=item.versions.last)
            .map(|version| self.bytes_min_at(item, version))
            .min()
            .unwrap_or(1)
            .max(1)
    }

    fn bytes_min_at(&self, item: &Struct, version: i16) -> usize {
        let flexible = version >= self.flexible_version;
        let fields: usize = item
            .fields
            .iter()
            .filter(|field| field.tag.is_none() && field.versions.contains(version))
            .map(|field| match &field.ty {
                Type::Scalar("bool" | "i8") => 1,
                Type::Scalar("i16" | "u16") => 2,
                Type::Scalar("i32" | "u32") => 4,
                Type::Scalar(_) => 8,
                Type::Uuid => 16,
                Type::Struct(_) if field.nullable.contains(version) => 1,
                Type::Struct(inner) => self.bytes_min_at(self.get(inner), version),
                _ if flexible => 1,
                Type::Str => 2,
                Type::Bytes | Type::Records | Type::Array(_) => 4,
            })
            .sum();
        fields + usize::from(flexible)
    }
}
