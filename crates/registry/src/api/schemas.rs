//! `/schemas`: by id.

use serde_json::{Value, json};

use super::{Asked, described, subjects::entry, within_answer};
use crate::{
    answer::{Answer, Refusal},
    limits::ANSWER_SCHEMAS_MAX,
    schema::SchemaType,
    state::{Registry, Version},
};

/// What a version's number takes in an answer with the words around it.
const VERSION_BYTES: usize = 40;

pub fn types() -> Answer {
    Answer::of(json!(SchemaType::ALL.map(SchemaType::name)))
}

pub fn list(registry: &Registry, asked: &Asked<'_>) -> Result<Answer, Refusal> {
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
    let is_serialized = asked.parameter("format") == Some("serialized");
    // What is compiled is read with what it refers to, and may be longer than its text.
    let bytes = |version: Version, described: &Value| {
        let made = described["schema"].as_str().map_or(0, str::len);
        let Some(schema) = registry.schema(version.id) else {
            return made;
        };
        let others = match is_serialized {
            true => registry.others(version.id).unwrap_or_default(),
            false => Vec::new(),
        };
        let others = others.iter().map(|(_, text)| text.len());
        made.max(schema.bytes() + others.sum::<usize>())
    };
    let entries = asked.part(versions).take(ANSWER_SCHEMAS_MAX);
    // Each is made when it is known that there is room for it.
    let entries = entries.map(|(subject, number, version)| {
        let made = entry(registry, asked, subject, (number, version))?;
        Ok::<_, Refusal>((subject.len() + bytes(version, &made), made))
    });
    let page = within_answer(entries, |made| made.as_ref().map_or(0, |(bytes, _)| *bytes));
    let page = page.map(|made| made.map(|(_, made)| made));
    Ok(Answer::of(Value::Array(
        page.collect::<Result<_, Refusal>>()?,
    )))
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
pub fn by_id(registry: &Registry, asked: &Asked<'_>, id: &str) -> Result<Answer, Refusal> {
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

pub fn text_by_id(registry: &Registry, asked: &Asked<'_>, id: &str) -> Result<Answer, Refusal> {
    let (id, _) = users(registry, id, true)?;
    let described = described(registry, id, asked)?;
    let text = described["schema"].as_str().unwrap_or_default().to_owned();
    Ok(Answer {
        body: text,
        records: Vec::new(),
    })
}

pub fn subjects(registry: &Registry, asked: &Asked<'_>, id: &str) -> Result<Answer, Refusal> {
    let (_, users) = users(registry, id, asked.is_set("deleted"))?;
    let mut names: Vec<&str> = users.into_iter().map(|(subject, _, _)| subject).collect();
    names.dedup();
    Ok(Answer::of(json!(
        asked.page(names.into_iter(), |name| name.len())
    )))
}

pub fn versions(registry: &Registry, asked: &Asked<'_>, id: &str) -> Result<Answer, Refusal> {
    let (_, users) = users(registry, id, asked.is_set("deleted"))?;
    let page = asked.page(users.into_iter(), |(subject, _, _)| {
        VERSION_BYTES + subject.len()
    });
    let entries = page
        .into_iter()
        .map(|(subject, version, _)| json!({ "subject": subject, "version": version }));
    Ok(Answer::of(Value::Array(entries.collect())))
}
