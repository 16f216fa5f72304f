//! `/schemas`: by id.

use serde_json::{Value, json};

use super::{Asked, described};
use crate::{
    answer::{Answer, Refusal},
    schema::SchemaType,
    state::{Registry, Version},
};

pub fn types() -> Answer {
    Answer::of(json!(SchemaType::ALL.map(SchemaType::name)))
}

pub fn list(registry: &Registry, asked: &Asked) -> Result<Answer, Refusal> {
    let prefix = asked.parameter("subjectPrefix").unwrap_or_default();
    let (with_deleted, latest) = (asked.is_set("deleted"), asked.is_set("latestOnly"));
    let subjects = registry
        .subjects()
        .filter(|(name, _)| name.starts_with(prefix));
    let versions = subjects.flat_map(|(name, _)| {
        let versions = registry.versions(name, with_deleted).rev();
        let count = if latest { 1 } else { usize::MAX };
        let mut versions: Vec<_> = versions.take(count).collect();
        versions.reverse();
        versions
            .into_iter()
            .map(move |(number, version)| (name, number, version))
    });
    let page = asked.page_of_large(versions).into_iter();
    let page = page.map(|(subject, number, version)| {
        let mut entry = described(registry, version.id, asked)?;
        entry["subject"] = json!(subject);
        entry["version"] = json!(number);
        entry["id"] = json!(version.id);
        Ok(entry)
    });
    Ok(Answer::of(Value::Array(page.collect::<Result<_, _>>()?)))
}

fn number(id: &str) -> Result<u32, Refusal> {
    let id = id.parse().map_err(|_| Refusal::SchemaUnknown)?;
    Ok(id)
}

/// Subject, number and version.
type User<'r> = (&'r str, i32, Version);

/// Versions that have the schema.
fn users<'r>(
    registry: &'r Registry,
    id: &str,
    with_deleted: bool,
) -> Result<(u32, Vec<User<'r>>), Refusal> {
    let id = number(id)?;
    let users: Vec<_> = registry.users(id).collect();
    if users.is_empty() {
        return Err(Refusal::IdUnknown(id));
    }
    let live = users
        .into_iter()
        .filter(|(_, _, version)| with_deleted || !version.is_deleted);
    Ok((id, live.collect()))
}

/// Readers ask for what deleted versions wrote as well.
pub fn by_id(registry: &Registry, asked: &Asked, id: &str) -> Result<Answer, Refusal> {
    let (id, users) = users(registry, id, true)?;
    let mut answer = described(registry, id, asked)?;
    if asked.is_set("fetchMaxId") {
        answer["maxId"] = json!(registry.id_max());
    }
    if let Some(subject) = asked.parameter("subject")
        && let Some((name, number, _)) = users.iter().find(|(name, _, _)| *name == subject)
    {
        answer["subject"] = json!(name);
        answer["version"] = json!(number);
    }
    Ok(Answer::of(answer))
}

pub fn text_by_id(registry: &Registry, asked: &Asked, id: &str) -> Result<Answer, Refusal> {
    let (id, _) = users(registry, id, true)?;
    let described = described(registry, id, asked)?;
    let text = described["schema"].as_str().unwrap_or_default().to_owned();
    Ok(Answer {
        body: text,
        records: Vec::new(),
    })
}

pub fn subjects(registry: &Registry, asked: &Asked, id: &str) -> Result<Answer, Refusal> {
    let (_, users) = users(registry, id, asked.is_set("deleted"))?;
    let mut names: Vec<&str> = users.into_iter().map(|(subject, _, _)| subject).collect();
    names.dedup();
    Ok(Answer::of(json!(asked.page(names.into_iter()))))
}

pub fn versions(registry: &Registry, asked: &Asked, id: &str) -> Result<Answer, Refusal> {
    let (_, users) = users(registry, id, asked.is_set("deleted"))?;
    let users = users.into_iter();
    let entries =
        users.map(|(subject, version, _)| json!({ "subject": subject, "version": version }));
    Ok(Answer::of(Value::Array(asked.page(entries))))
}
