//! Records of the topic, in the form that Confluent's registry writes.

use serde_json::{Map, Value, json};

use crate::schema::Reference;

/// One record; no value: what its key names is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub key: String,
    pub value: Option<String>,
}

/// What a key names. Keys of other types mean nothing here.
pub struct Key {
    pub keytype: String,
    pub subject: Option<String>,
    pub version: Option<i32>,
}

/// A version of a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionValue {
    pub subject: String,
    pub version: i32,
    pub id: u32,
    pub schema_type: Option<String>,
    pub references: Vec<Reference>,
    pub schema: String,
    pub is_deleted: bool,
}

fn object(bytes: &[u8]) -> Option<Map<String, Value>> {
    match serde_json::from_slice(bytes).ok()? {
        Value::Object(members) => Some(members),
        _ => None,
    }
}

fn text(members: &Map<String, Value>, name: &str) -> Option<String> {
    members.get(name)?.as_str().map(str::to_owned)
}

fn number<N: TryFrom<i64>>(members: &Map<String, Value>, name: &str) -> Option<N> {
    N::try_from(members.get(name)?.as_i64()?).ok()
}

impl Key {
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let members = object(bytes)?;
        Some(Self {
            keytype: text(&members, "keytype")?,
            subject: text(&members, "subject"),
            version: number(&members, "version"),
        })
    }
}

impl VersionValue {
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let members = object(bytes)?;
        let references = match members.get("references") {
            None | Some(Value::Null) => Vec::new(),
            Some(references) => Reference::parse_all(references)?,
        };
        Some(Self {
            subject: text(&members, "subject")?,
            version: number(&members, "version")?,
            id: number(&members, "id")?,
            schema_type: text(&members, "schemaType"),
            references,
            schema: text(&members, "schema")?,
            is_deleted: members.get("deleted") == Some(&Value::Bool(true)),
        })
    }

    fn to_json(&self) -> String {
        let mut value = json!({
            "subject": self.subject,
            "version": self.version,
            "id": self.id,
            "schema": self.schema,
            "deleted": self.is_deleted,
        });
        if let Some(kind) = &self.schema_type {
            value["schemaType"] = json!(kind);
        }
        if !self.references.is_empty() {
            value["references"] = Reference::to_json(&self.references);
        }
        value.to_string()
    }
}

/// Up to which version a subject's are deleted.
pub fn deleted_until(value: &[u8]) -> Option<i32> {
    number(&object(value)?, "version")
}

/// What a level's record says.
pub fn level(value: &[u8]) -> Option<String> {
    text(&object(value)?, "compatibilityLevel")
}

/// What a mode's record says.
pub fn mode(value: &[u8]) -> Option<String> {
    text(&object(value)?, "mode")
}

// The order of members is Confluent's: equal keys are equal bytes.
fn version_key(subject: &str, version: i32) -> String {
    let subject = json!(subject);
    format!("{{\"keytype\":\"SCHEMA\",\"subject\":{subject},\"version\":{version},\"magic\":1}}")
}

fn subject_key(keytype: &str, subject: Option<&str>) -> String {
    let subject = json!(subject);
    format!("{{\"keytype\":\"{keytype}\",\"subject\":{subject},\"magic\":0}}")
}

/// A member, and the subject unless it is that of all.
fn setting(subject: Option<&str>, name: &str, value: &str) -> String {
    let mut setting = json!({ name: value });
    if let Some(subject) = subject {
        setting["subject"] = json!(subject);
    }
    setting.to_string()
}

impl Record {
    pub fn version(value: &VersionValue) -> Self {
        Self {
            key: version_key(&value.subject, value.version),
            value: Some(value.to_json()),
        }
    }

    pub fn no_version(subject: &str, version: i32) -> Self {
        Self {
            key: version_key(subject, version),
            value: None,
        }
    }

    /// All versions up to this one are deleted; `None`: no word of that any more.
    pub fn deleted_subject(subject: &str, version: Option<i32>) -> Self {
        let value = |version: i32| json!({ "subject": subject, "version": version }).to_string();
        Self {
            key: subject_key("DELETE_SUBJECT", Some(subject)),
            value: version.map(value),
        }
    }

    pub fn level(subject: Option<&str>, level: Option<&str>) -> Self {
        Self {
            key: subject_key("CONFIG", subject),
            value: level.map(|level| setting(subject, "compatibilityLevel", level)),
        }
    }

    pub fn mode(subject: Option<&str>, mode: Option<&str>) -> Self {
        Self {
            key: subject_key("MODE", subject),
            value: mode.map(|mode| setting(subject, "mode", mode)),
        }
    }
}
