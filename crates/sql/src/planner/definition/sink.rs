//! CREATE SINK.

use arrow::datatypes::Schema;
use streams::{
    Definition,
    definition::{Envelope, Sink},
    format::Format,
};

use super::{Late, brokers, place_of, relation, standing, topic_at, unknown_option};
use crate::{
    backend::SqlError,
    catalog::{Catalog, Relation, RelationKind},
    error::sqlstate,
    statement::CreateSink,
};

pub fn sink(
    catalog: &Catalog,
    create: &CreateSink,
    text: &str,
) -> Result<(Relation, Definition), SqlError> {
    let standing = standing(catalog, &create.query, &[], Late::Corrects)?;
    let mut at = None;
    for (name, value) in &create.options {
        match name.as_str() {
            "bootstrap_servers" if create.topic.is_some() => at = Some(brokers(value)?),
            _ => return Err(unknown_option(name)),
        }
    }
    let envelope = match create.envelope.as_str() {
        "APPEND" => Envelope::Append,
        "UPSERT" => Envelope::Upsert,
        "DEBEZIUM" => Envelope::Debezium,
        other => {
            return Err(
                SqlError::unsupported(format!("sink format {other} is not supported"))
                    .with_hint("Formats of sinks are APPEND, UPSERT and DEBEZIUM."),
            );
        }
    };
    let named = create
        .key
        .iter()
        .map(|name| place_of(&standing.schema, name))
        .collect::<Result<Vec<_>, _>>()?;
    let known = &standing.properties;
    let is_told = create.topic.is_some();
    if is_told && envelope == Envelope::Append && !known.is_append_only {
        return Err(SqlError::new(
            sqlstate::INVALID_DEFINITION,
            "rows of this query change, and an append sink cannot take them back",
        )
        .with_hint("Use FORMAT UPSERT KEY (…) or FORMAT DEBEZIUM."));
    }
    let key = if named.is_empty() {
        known.key.clone().unwrap_or_default()
    } else {
        named
    };
    let is_keyed = envelope != Envelope::Append && !known.is_append_only;
    if key.is_empty() && (envelope == Envelope::Upsert || (is_told && is_keyed)) {
        return Err(SqlError::new(
            sqlstate::INVALID_DEFINITION,
            "this sink needs KEY (…): the query has no key of its own",
        ));
    }
    if is_told && is_keyed && !create.is_promised {
        is_unique(&key, known.key.as_deref(), &standing.schema)?;
    }
    let paths = standing
        .schema
        .fields()
        .iter()
        .map(|field| vec![field.name().clone()]);
    let format = Format::Json {
        paths: paths.collect(),
    };
    let mut made = relation(&create.name, RelationKind::Sink, text, standing.schema);
    made.key = (!key.is_empty()).then(|| key.clone());
    made.is_append_only = known.is_append_only;
    made.reads = standing.reads;
    let topic = create.topic.as_deref();
    let sink = Sink {
        topic: topic
            .map(|topic| topic_at(topic, at.as_deref()))
            .transpose()?,
        plan: standing.plan,
        format,
        envelope,
        key,
    };
    Ok((made, Definition::Sink(sink)))
}

/// Refuses a key that several rows may share: where one of them goes, the topic's readers would forget all.
fn is_unique(key: &[usize], known: Option<&[usize]>, schema: &Schema) -> Result<(), SqlError> {
    let names = |places: &[usize]| {
        let names = places.iter().map(|at| schema.field(*at).name().as_str());
        names.collect::<Vec<_>>().join(", ")
    };
    let Some(own) = known else {
        let message = format!(
            "several rows of this query may have the same ({})",
            names(key)
        );
        let hint =
            "Group by the columns of KEY, or say KEY (…) NOT ENFORCED where you know better.";
        return Err(SqlError::new(sqlstate::INVALID_DEFINITION, message).with_hint(hint));
    };
    if own.iter().all(|at| key.contains(at)) {
        return Ok(());
    }
    let message = format!(
        "several rows of this query may have the same ({})",
        names(key)
    );
    let hint = format!("What its rows differ in is KEY ({}).", names(own));
    Err(SqlError::new(sqlstate::INVALID_DEFINITION, message).with_hint(hint))
}
