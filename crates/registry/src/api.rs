//! Requests: which path does what.

mod schemas;
mod settings;
mod subjects;

use serde_json::{Map, Value, json};

use crate::{
    answer::{Answer, Refusal},
    limits::{ANSWER_BYTES_MAX, BODY_BYTES_MAX, SUBJECT_BYTES_MAX},
    schema::{Reference, SchemaType},
    state::{Registry, Version},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
    Put,
    Delete,
}

/// As it came, its head aside.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub method: Method,
    /// With the signs that stand for others.
    pub path: &'a str,
    pub query: &'a str,
    pub body: &'a [u8],
}

/// What stands behind the question mark, and the body.
pub(crate) struct Asked<'a> {
    query: Vec<(String, String)>,
    body: &'a [u8],
}

impl Registry {
    /// Answers, as of all records so far.
    pub fn answer(&self, request: Request<'_>) -> Result<Answer, Refusal> {
        if request.body.len() > BODY_BYTES_MAX {
            return Err(Refusal::Malformed("the request is too large".to_owned()));
        }
        let path = request.path.trim_matches('/').split('/');
        let path = path.map(decoded).collect::<Result<Vec<_>, _>>()?;
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let asked = Asked {
            query: query(request.query)?,
            body: request.body,
        };
        use Method::{Delete, Get, Post, Put};
        match (request.method, path.as_slice()) {
            (Get, [""]) => Ok(Answer::of(json!({}))),
            (Get, ["contexts"]) => Ok(Answer::of(json!(["."]))),
            (Get, ["schemas", "types"]) => Ok(schemas::types()),
            (Get, ["schemas"]) => schemas::list(self, &asked),
            (Get, ["schemas", "ids", id]) => schemas::by_id(self, &asked, id),
            (Get, ["schemas", "ids", id, "schema"]) => schemas::text_by_id(self, &asked, id),
            (Get, ["schemas", "ids", id, "subjects"]) => schemas::subjects(self, &asked, id),
            (Get, ["schemas", "ids", id, "versions"]) => schemas::versions(self, &asked, id),
            (Get, ["subjects"]) => subjects::list(self, &asked),
            (Post, ["subjects", subject]) => subjects::find(self, &asked, name(subject)?),
            (Delete, ["subjects", subject]) => subjects::delete(self, &asked, name(subject)?),
            (Get, ["subjects", subject, "versions"]) => {
                subjects::versions(self, &asked, name(subject)?)
            }
            (Post, ["subjects", subject, "versions"]) => {
                subjects::register(self, &asked, name(subject)?)
            }
            (Get, ["subjects", subject, "versions", version]) => {
                subjects::version(self, &asked, name(subject)?, version)
            }
            (Delete, ["subjects", subject, "versions", version]) => {
                subjects::delete_version(self, &asked, name(subject)?, version)
            }
            (Get, ["subjects", subject, "versions", version, "schema"]) => {
                subjects::text(self, &asked, name(subject)?, version)
            }
            (Get, ["subjects", subject, "versions", version, "referencedby"]) => {
                subjects::referenced_by(self, name(subject)?, version)
            }
            (Post, ["compatibility", "subjects", subject, "versions"]) => {
                subjects::compatibility(self, &asked, name(subject)?, None)
            }
            (Post, ["compatibility", "subjects", subject, "versions", version]) => {
                subjects::compatibility(self, &asked, name(subject)?, Some(version))
            }
            (Get, ["config"]) => settings::level(self, &asked, None),
            (Put, ["config"]) => settings::set_level(self, &asked, None),
            (Delete, ["config"]) => settings::unset_level(self, None),
            (Get, ["config", subject]) => settings::level(self, &asked, Some(name(subject)?)),
            (Put, ["config", subject]) => settings::set_level(self, &asked, Some(name(subject)?)),
            (Delete, ["config", subject]) => settings::unset_level(self, Some(name(subject)?)),
            (Get, ["mode"]) => settings::mode(self, &asked, None),
            (Put, ["mode"]) => settings::set_mode(self, &asked, None),
            (Get, ["mode", subject]) => settings::mode(self, &asked, Some(name(subject)?)),
            (Put, ["mode", subject]) => settings::set_mode(self, &asked, Some(name(subject)?)),
            (Delete, ["mode", subject]) => settings::unset_mode(self, name(subject)?),
            (
                _,
                []
                | [
                    "" | "subjects" | "schemas" | "config" | "mode" | "compatibility",
                    ..,
                ],
            ) => Err(match request.method {
                Get => Refusal::Path,
                _ => Refusal::Method,
            }),
            _ => Err(Refusal::Path),
        }
    }

    /// The number of a version that is there.
    pub(crate) fn found_version(
        &self,
        subject: &str,
        version: &str,
        with_deleted: bool,
    ) -> Result<(i32, Version), Refusal> {
        if self.newest(subject, with_deleted).is_none() {
            return Err(Refusal::SubjectUnknown(subject.to_owned()));
        }
        let number = match version {
            "latest" | "-1" => {
                let newest = self.newest(subject, with_deleted);
                return newest.ok_or_else(|| Refusal::SubjectUnknown(subject.to_owned()));
            }
            number => number.parse::<i32>().ok().filter(|number| *number > 0),
        };
        let number = number.ok_or_else(|| Refusal::VersionInvalid(version.to_owned()))?;
        let found = self.version(subject, number);
        let found = found.filter(|found| with_deleted || !found.is_deleted);
        found
            .map(|found| (number, found))
            .ok_or(Refusal::VersionUnknown(number))
    }
}

impl Asked<'_> {
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let mut query = self.query.iter();
        query.find_map(|(known, value)| (known == name).then_some(value.as_str()))
    }

    pub fn is_set(&self, name: &str) -> bool {
        let value = self.parameter(name);
        value.is_some_and(|value| value.is_empty() || value.eq_ignore_ascii_case("true"))
    }

    pub fn body(&self) -> Result<Body, Refusal> {
        let value = serde_json::from_slice(self.body);
        match value.map_err(|error| Refusal::Malformed(error.to_string()))? {
            Value::Object(members) => Ok(Body(members)),
            _ => Err(Refusal::Malformed("an object is expected".to_owned())),
        }
    }

    /// The part of a list that is wanted.
    pub fn part<T>(&self, entries: impl Iterator<Item = T>) -> impl Iterator<Item = T> {
        let number = |name: &str| self.parameter(name)?.parse::<i64>().ok();
        let offset = number("offset").and_then(|offset| usize::try_from(offset).ok());
        // Clients say -1 for all.
        let limit = number("limit").and_then(|limit| usize::try_from(limit).ok());
        let limit = limit.unwrap_or(usize::MAX);
        entries.skip(offset.unwrap_or(0)).take(limit)
    }

    /// Of that what one answer holds.
    pub fn page<T>(&self, entries: impl Iterator<Item = T>, bytes: impl Fn(&T) -> usize) -> Vec<T> {
        within_answer(self.part(entries), bytes).collect()
    }
}

/// What one answer holds; the entry that fills it is the last.
pub(crate) fn within_answer<T>(
    entries: impl Iterator<Item = T>,
    bytes: impl Fn(&T) -> usize,
) -> impl Iterator<Item = T> {
    let mut left = Some(ANSWER_BYTES_MAX);
    entries.take_while(move |entry| {
        let has_room = left.is_some();
        left = left.and_then(|left| left.checked_sub(bytes(entry)));
        has_room
    })
}

/// The members of a request's body.
pub(crate) struct Body(Map<String, Value>);

impl Body {
    /// What `null` stands for is not there.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    pub fn text(&self, name: &str) -> Result<Option<&str>, Refusal> {
        self.read(name, "a string", Value::as_str)
    }

    pub fn number(&self, name: &str) -> Result<Option<i64>, Refusal> {
        self.read(name, "a whole number", Value::as_i64)
    }

    pub fn read<'b, T>(
        &'b self,
        name: &str,
        expected: &str,
        read: impl FnOnce(&'b Value) -> Option<T>,
    ) -> Result<Option<T>, Refusal> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let malformed = || Refusal::Malformed(format!("{name}: {expected} is expected"));
        read(value).map(Some).ok_or_else(malformed)
    }

    /// The first member that is none of these.
    pub fn other(&self, known: &[&str]) -> Option<&str> {
        let mut names = self.0.keys().map(String::as_str);
        names.find(|name| !known.contains(name) && self.get(name).is_some())
    }
}

fn name(subject: &str) -> Result<&str, Refusal> {
    let is_reserved = subject.is_empty() || subject.starts_with("__GLOBAL") || subject == "__EMPTY";
    if is_reserved || subject.len() > SUBJECT_BYTES_MAX || subject.chars().any(char::is_control) {
        return Err(Refusal::SubjectInvalid(subject.to_owned()));
    }
    if subject.starts_with(":.") {
        return Err(Refusal::Unsupported("contexts"));
    }
    Ok(subject)
}

fn query(text: &str) -> Result<Vec<(String, String)>, Refusal> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decoded(name)?, decoded(&value.replace('+', " "))?))
        })
        .collect()
}

/// `%41` is `A`.
fn decoded(text: &str) -> Result<String, Refusal> {
    let malformed = || Refusal::Malformed("a path that cannot be read".to_owned());
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || {
            let digit = bytes
                .next()
                .and_then(|digit| char::from(digit).to_digit(16));
            digit.ok_or_else(malformed)
        };
        let (high, low) = (digit()?, digit()?);
        out.push((high << 4 | low) as u8);
    }
    String::from_utf8(out).map_err(|_| malformed())
}

/// What Confluent leaves out: the type of Avro, and references where there are none.
pub(crate) fn described(registry: &Registry, id: u32, asked: &Asked<'_>) -> Result<Value, Refusal> {
    let schema = registry.schema(id).ok_or(Refusal::IdUnknown(id))?;
    let mut text = schema.text.to_string();
    if asked.parameter("format") == Some("serialized") {
        let others = registry.others(id)?;
        text = schema.descriptor(&others).unwrap_or(text);
    }
    let mut described = json!({ "schema": text });
    if schema.kind != SchemaType::Avro {
        described["schemaType"] = json!(schema.kind.name());
    }
    if !schema.references.is_empty() {
        described["references"] = Reference::to_json(&schema.references);
    }
    Ok(described)
}
