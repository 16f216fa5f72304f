//! Sources whose schema is that of a subject of the registry.
//!
//! The schema is taken once, when the source is created, and stands in the statement that is kept: what its columns are
//! depends on nothing else afterwards.

use super::{CreateSource, Statement, StatementKind, parse, source_text::literal};
use crate::{
    backend::{RegisteredSchema, SqlError},
    error::sqlstate,
};

/// Of a topic's values, as Confluent's serialisers name it.
const VALUES: &str = "-value";

impl Statement {
    fn registered(&self) -> Option<&CreateSource> {
        match &self.kind {
            StatementKind::CreateSource(create) if create.registry.is_some() => Some(create),
            _ => None,
        }
    }

    /// The subject whose schema it asks for.
    #[must_use]
    pub fn subject(&self) -> Option<String> {
        let create = self.registered()?;
        let named = option(create, "subject").map(str::to_owned);
        Some(named.unwrap_or_else(|| format!("{}{VALUES}", create.topic)))
    }

    /// The same with the schema in it.
    pub fn with_schema(&self, found: &RegisteredSchema) -> Result<Self, SqlError> {
        let (Some(create), Some(subject)) = (self.registered(), self.subject()) else {
            return Ok(self.clone());
        };
        if found.format != create.format {
            return Err(SqlError::new(
                sqlstate::INVALID_DEFINITION,
                format!(
                    "subject \"{subject}\" has a schema of type {}, not {}",
                    found.format, create.format
                ),
            ));
        }
        if option(create, "schema").is_some() || option(create, "framing").is_some() {
            return Err(SqlError::new(
                sqlstate::INVALID_DEFINITION,
                "schema and framing come from the schema registry",
            ));
        }
        let mut written = vec![
            format!("SUBJECT {}", literal(&subject)),
            "FRAMING REGISTRY".to_owned(),
            format!("SCHEMA {}", literal(&found.text)),
        ];
        if !found.others.is_empty() {
            let others = found.others.iter().map(|(name, text)| [&**name, &**text]);
            let others = serde_json::json!(others.collect::<Vec<_>>()).to_string();
            written.push(format!("REFERENCES {}", literal(&others)));
        }
        if let Some(message) = option(create, "message") {
            written.push(format!("MESSAGE {}", literal(message)));
        }
        let words = create.registry.clone().unwrap_or_default();
        let (from, until) = (
            words.start.saturating_sub(self.start),
            words.end.saturating_sub(self.start),
        );
        let before: String = self.text.chars().take(from).collect();
        let behind: String = self.text.chars().skip(until).collect();
        let text = format!("{before}({}){behind}", written.join(", "));
        let mut statements = parse(&text)?;
        match (statements.pop(), statements.is_empty()) {
            (Some(statement), true) => Ok(statement),
            _ => Err(SqlError::new(
                sqlstate::INTERNAL_ERROR,
                "one statement has become several",
            )),
        }
    }
}

fn option<'c>(create: &'c CreateSource, name: &str) -> Option<&'c str> {
    let mut options = create.options.iter();
    options.find_map(|(known, value)| (known == name).then_some(value.as_str()))
}
