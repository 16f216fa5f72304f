//! SHOW and DESCRIBE.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};

use super::{
    Answer, Rows, Session,
    query::{table_batch, text_field},
    text_columns,
};
use crate::{
    backend::SqlError,
    catalog::RelationKind,
    column_type::{NOT_NULL_KEY, postgres_type},
};

/// What lists relations.
fn listed(words: &[String]) -> Option<&'static [RelationKind]> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Some(match words[..] {
        ["sources"] => &[RelationKind::Source],
        ["tables"] => &[RelationKind::Table],
        ["views"] | ["materialized", "views"] => &[RelationKind::View],
        ["sinks"] => &[RelationKind::Sink],
        ["indexes"] => &[RelationKind::Index],
        ["relations"] => &[
            RelationKind::Source,
            RelationKind::Table,
            RelationKind::View,
            RelationKind::Sink,
            RelationKind::Index,
        ],
        _ => return None,
    })
}

/// The setting that `SHOW TIME ZONE` and the like mean.
fn setting_name(words: &[String]) -> String {
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["time", "zone"] => "TimeZone".to_owned(),
        ["transaction", "isolation", "level"] => "transaction_isolation".to_owned(),
        ["session", "authorization"] => "session_authorization".to_owned(),
        _ => words.concat(),
    }
}

/// The relation of `SHOW COLUMNS FROM name` and `SHOW CREATE … name`.
fn target(words: &[String]) -> Option<(&str, String)> {
    let first = words.first()?.as_str();
    let skipped = match (first, words.get(1)?.as_str()) {
        ("columns", "from" | "in") => 2,
        ("create", "materialized") => 3,
        ("create", _) => 2,
        _ => return None,
    };
    Some((first, words.get(skipped..)?.concat()))
}

pub fn columns(words: &[String]) -> SchemaRef {
    if listed(words).is_some() {
        return text_columns(&["name", "kind"]);
    }
    match target(words) {
        Some(("columns", _)) => describe_columns(),
        Some(_) => text_columns(&["name", "definition"]),
        None if words.first().is_some_and(|word| word == "all") => {
            text_columns(&["name", "setting", "description"])
        }
        None => {
            let name = setting_name(words);
            let known = super::SETTINGS
                .iter()
                .find(|found| found.name.eq_ignore_ascii_case(&name));
            let name = known.map_or(name.as_str(), |found| found.name);
            Arc::new(Schema::new(vec![text_field(name)]))
        }
    }
}

pub fn describe_columns() -> SchemaRef {
    text_columns(&["column", "type", "nullable", "key"])
}

impl Session {
    pub(super) async fn show(&mut self, words: &[String]) -> Result<Answer, SqlError> {
        let schema = columns(words);
        let some = |text: &str| Some(text.to_owned());
        let columns = if let Some(kinds) = listed(words) {
            let catalog = self.backend.catalog().await;
            let found = catalog
                .relations()
                .filter(|relation| kinds.contains(&relation.kind));
            found
                .map(|relation| vec![some(&relation.name), some(relation.kind.name())])
                .collect()
        } else if let Some((what, name)) = target(words) {
            if what == "columns" {
                return self.describe_relation(&name).await;
            }
            let relation = self.relation(&name).await?;
            vec![vec![some(&relation.name), some(&relation.definition)]]
        } else if words.first().is_some_and(|word| word == "all") {
            let all = self.settings.all();
            all.map(|(name, value, description)| vec![some(name), some(value), some(description)])
                .collect()
        } else {
            vec![vec![some(self.settings.get(&setting_name(words))?)]]
        };
        answer(schema, columns, "SHOW")
    }

    pub(super) async fn describe_relation(&mut self, name: &str) -> Result<Answer, SqlError> {
        let relation = self.relation(name).await?;
        let fields = relation.schema.fields().iter().enumerate();
        let rows = fields.map(|(at, field)| {
            let key = relation
                .key
                .as_ref()
                .and_then(|key| key.iter().position(|column| *column == at));
            let is_null = key.is_none() && !field.metadata().contains_key(NOT_NULL_KEY);
            vec![
                Some(field.name().clone()),
                Some(postgres_type(field).long_name.to_owned()),
                Some(if is_null { "yes" } else { "no" }.to_owned()),
                key.map(|place| (place + 1).to_string()),
            ]
        });
        answer(describe_columns(), rows.collect(), "DESCRIBE")
    }
}

fn answer(
    schema: SchemaRef,
    rows: Vec<Vec<Option<String>>>,
    tag: &'static str,
) -> Result<Answer, SqlError> {
    let mut columns = vec![Vec::new(); schema.fields().len()];
    for row in rows {
        columns
            .iter_mut()
            .zip(row)
            .for_each(|(column, value)| column.push(value));
    }
    let batch = table_batch(schema.clone(), columns)?;
    Ok(Answer::Rows(Rows::new(schema, vec![batch]).uncounted(tag)))
}
