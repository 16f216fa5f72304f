//! What a request is answered with.

use serde_json::{Value, json};

use crate::record::Record;

/// An answer, and what must last before it is given.
#[derive(Debug)]
pub struct Answer {
    pub body: String,
    pub records: Vec<Record>,
}

impl Answer {
    pub(crate) fn of(body: Value) -> Self {
        Self {
            body: body.to_string(),
            records: Vec::new(),
        }
    }

    pub(crate) fn with(self, records: Vec<Record>) -> Self {
        Self { records, ..self }
    }
}

/// Why a request is refused; codes and words are Confluent's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("HTTP 404 Not Found")]
    Path,
    #[error("HTTP 405 Method Not Allowed")]
    Method,
    #[error("{0}")]
    Malformed(String),
    #[error("Subject '{0}' not found.")]
    SubjectUnknown(String),
    #[error("Version {0} not found.")]
    VersionUnknown(i32),
    #[error("Schema not found")]
    SchemaUnknown,
    #[error("Schema {0} not found")]
    IdUnknown(u32),
    #[error("Subject '{0}' was soft deleted. Set permanent=true to delete permanently")]
    SubjectDeleted(String),
    #[error("Subject '{0}' was not deleted first before being permanently deleted")]
    SubjectNotDeleted(String),
    #[error("Subject '{0}' Version {1} was soft deleted. Set permanent=true to delete permanently")]
    VersionDeleted(String, i32),
    #[error("Subject '{0}' Version {1} was not deleted first before being permanently deleted")]
    VersionNotDeleted(String, i32),
    #[error("Subject '{0}' does not have subject-level compatibility configured")]
    NoLevel(String),
    #[error("Subject '{0}' does not have subject-level mode configured")]
    NoMode(String),
    #[error(
        "Schema being registered is incompatible with an earlier schema for subject \"{subject}\", details: [{}]",
        .reasons.join(", ")
    )]
    Incompatible {
        subject: String,
        reasons: Vec<String>,
    },
    #[error("Invalid schema: {0}")]
    SchemaInvalid(String),
    #[error(
        "The specified version '{0}' is not a valid version id. Allowed values are between [1, 2^31-1] and the string \"latest\""
    )]
    VersionInvalid(String),
    #[error(
        "Invalid compatibility level. Valid values are none, backward, forward, full, backward_transitive, \
        forward_transitive, and full_transitive"
    )]
    LevelInvalid,
    #[error("Invalid mode. Valid values are READWRITE, READONLY, READONLY_OVERRIDE, and IMPORT")]
    ModeInvalid,
    #[error("{0}")]
    NotPermitted(String),
    #[error("One or more references exist to the schema of subject '{0}', version {1}")]
    Referenced(String, i32),
    #[error("The subject name '{0}' is not valid")]
    SubjectInvalid(String),
    #[error("The registry holds no more: {0}")]
    Full(&'static str),
    #[error("The registry does not do this: {0}")]
    Unsupported(&'static str),
}

impl Refusal {
    /// HTTP's status, and Confluent's code.
    #[must_use]
    pub fn code(&self) -> (u16, u32) {
        match self {
            Self::Path => (404, 404),
            Self::Method => (405, 405),
            Self::Malformed(_) => (400, 400),
            Self::SubjectUnknown(_) => (404, 40401),
            Self::VersionUnknown(_) => (404, 40402),
            Self::SchemaUnknown | Self::IdUnknown(_) => (404, 40403),
            Self::SubjectDeleted(_) => (404, 40404),
            Self::SubjectNotDeleted(_) => (404, 40405),
            Self::VersionDeleted(..) => (404, 40406),
            Self::VersionNotDeleted(..) => (404, 40407),
            Self::NoLevel(_) => (404, 40408),
            Self::NoMode(_) => (404, 40409),
            Self::Incompatible { .. } => (409, 409),
            Self::SchemaInvalid(_) => (422, 42201),
            Self::VersionInvalid(_) => (422, 42202),
            Self::LevelInvalid => (422, 42203),
            Self::ModeInvalid => (422, 42204),
            Self::NotPermitted(_) => (422, 42205),
            Self::Referenced(..) => (422, 42206),
            Self::SubjectInvalid(_) => (422, 42208),
            Self::Full(_) => (507, 50007),
            Self::Unsupported(_) => (501, 501),
        }
    }

    /// As clients read it.
    #[must_use]
    pub fn body(&self) -> String {
        json!({ "error_code": self.code().1, "message": self.to_string() }).to_string()
    }
}
