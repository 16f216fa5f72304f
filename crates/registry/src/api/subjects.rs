//! `/subjects` and `/compatibility`: versions of subjects.

use serde_json::{Value, json};

use super::{Asked, Body, described};
use crate::{
    answer::{Answer, Refusal},
    compatibility::unreadable,
    limits::{ALL_VERSIONS_MAX, SCHEMAS_MAX, TEXT_BYTES_MAX, VERSIONS_MAX},
    record::{Record, VersionValue},
    schema::{Parsed, Reference, Schema, SchemaType},
    state::{Level, Mode, Registry, Version},
};

impl Body {
    /// The schema that is registered, looked up or compared. References to the newest are held to what it is now.
    fn schema(&self, registry: &Registry) -> Result<Schema, Refusal> {
        if self.get("metadata").is_some() || self.get("ruleSet").is_some() {
            return Err(Refusal::Unsupported("metadata and rules of schemas"));
        }
        let invalid = |why: String| Refusal::SchemaInvalid(why);
        let kind = SchemaType::named(self.text("schemaType")?);
        let kind = kind.ok_or_else(|| invalid("a type that is not known".to_owned()))?;
        let text = self.text("schema")?.filter(|text| !text.is_empty());
        let text = text.ok_or_else(|| invalid("Empty schema".to_owned()))?;
        let references = self.read("references", "a list of references", Reference::parse_all)?;
        let mut references = references.unwrap_or_default();
        for reference in references
            .iter_mut()
            .filter(|reference| reference.version == -1)
        {
            if let Some((newest, _)) = registry.newest(&reference.subject, false) {
                reference.version = newest;
            }
        }
        Schema::new(kind, text, references).map_err(invalid)
    }
}

pub fn list(registry: &Registry, asked: &Asked) -> Result<Answer, Refusal> {
    let prefix = asked.parameter("subjectPrefix").unwrap_or_default();
    let only_deleted = asked.is_set("deletedOnly") || asked.is_set("deleted_only");
    let with_deleted = asked.is_set("deleted") || only_deleted;
    let subjects = registry.subjects().filter(|(name, versions)| {
        let is_live = versions.values().any(|version| !version.is_deleted);
        name.starts_with(prefix) && (is_live || with_deleted) && !(is_live && only_deleted)
    });
    let names = subjects.map(|(name, _)| name);
    Ok(Answer::of(json!(asked.page(names))))
}

fn entry(
    registry: &Registry,
    asked: &Asked,
    subject: &str,
    (number, version): (i32, Version),
) -> Result<Value, Refusal> {
    let mut entry = described(registry, version.id, asked)?;
    entry["subject"] = json!(subject);
    entry["version"] = json!(number);
    entry["id"] = json!(version.id);
    Ok(entry)
}

/// Which version of the subject a schema is.
pub fn find(registry: &Registry, asked: &Asked, subject: &str) -> Result<Answer, Refusal> {
    let with_deleted = asked.is_set("deleted");
    if registry.newest(subject, with_deleted).is_none() {
        return Err(Refusal::SubjectUnknown(subject.to_owned()));
    }
    let wanted = asked.body()?;
    let schema = wanted.schema(registry)?;
    let id = registry.id_of(&schema).ok_or(Refusal::SchemaUnknown)?;
    let mut versions = registry.versions(subject, with_deleted).rev();
    let found = versions.find(|(_, version)| version.id == id);
    let found = found.ok_or(Refusal::SchemaUnknown)?;
    Ok(Answer::of(entry(registry, asked, subject, found)?))
}

pub fn versions(registry: &Registry, asked: &Asked, subject: &str) -> Result<Answer, Refusal> {
    let only_deleted = asked.is_set("deletedOnly") || asked.is_set("deleted_only");
    let with_deleted = asked.is_set("deleted") || only_deleted;
    if registry.newest(subject, with_deleted).is_none() {
        return Err(Refusal::SubjectUnknown(subject.to_owned()));
    }
    let versions = registry.versions(subject, with_deleted);
    let versions = versions.filter(|(_, version)| !only_deleted || version.is_deleted);
    let numbers = versions.map(|(number, _)| number);
    Ok(Answer::of(json!(asked.page(numbers))))
}

pub fn version(
    registry: &Registry,
    asked: &Asked,
    subject: &str,
    version: &str,
) -> Result<Answer, Refusal> {
    let found = registry.found_version(subject, version, asked.is_set("deleted"))?;
    Ok(Answer::of(entry(registry, asked, subject, found)?))
}

pub fn text(
    registry: &Registry,
    asked: &Asked,
    subject: &str,
    version: &str,
) -> Result<Answer, Refusal> {
    let (_, found) = registry.found_version(subject, version, asked.is_set("deleted"))?;
    let described = described(registry, found.id, asked)?;
    Ok(Answer {
        body: described["schema"].as_str().unwrap_or_default().to_owned(),
        records: Vec::new(),
    })
}

pub fn referenced_by(registry: &Registry, subject: &str, version: &str) -> Result<Answer, Refusal> {
    let (number, _) = registry.found_version(subject, version, false)?;
    let mut ids: Vec<u32> = registry
        .referers(subject, number)
        .map(|found| found.id)
        .collect();
    ids.sort_unstable();
    ids.dedup();
    Ok(Answer::of(json!(ids)))
}

pub fn register(registry: &Registry, asked: &Asked, subject: &str) -> Result<Answer, Refusal> {
    let wanted = asked.body()?;
    let mode = registry.mode(subject);
    let refused = |what: &str| {
        Err(Refusal::NotPermitted(format!(
            "Subject {subject} is {what}"
        )))
    };
    let is_given = wanted.number("id")?.is_some_and(|id| id >= 0);
    match mode {
        Mode::ReadOnly | Mode::ReadOnlyOverride => return refused("in read-only mode"),
        Mode::ReadWrite if is_given => return refused("not in import mode"),
        Mode::Import if !is_given => {
            return refused("in import mode, where schemas have their ids");
        }
        Mode::Import | Mode::ReadWrite => {}
    }
    let schema = wanted.schema(registry)?;
    let parsed = registry.parse(&schema)?;
    let known = registry.id_of(&schema);
    if mode == Mode::Import {
        return import(registry, &wanted, subject, schema);
    }
    let mut live = registry.versions(subject, false);
    if let Some(id) = known
        && live.any(|(_, version)| version.id == id)
    {
        return Ok(Answer::of(json!({ "id": id })));
    }
    parsed.check_new().map_err(Refusal::SchemaInvalid)?;
    let reasons = reasons_against(registry, &parsed, subject, None)?;
    if !reasons.is_empty() {
        return Err(Refusal::Incompatible {
            subject: subject.to_owned(),
            reasons,
        });
    }
    let id = known.unwrap_or(registry.id_max().saturating_add(1));
    let version = registry
        .newest(subject, true)
        .map_or(1, |(newest, _)| newest.saturating_add(1));
    put(registry, subject, (version, id), schema)
}

/// A version as another registry had it.
fn import(
    registry: &Registry,
    wanted: &Body,
    subject: &str,
    schema: Schema,
) -> Result<Answer, Refusal> {
    let id = wanted.number("id")?.and_then(|id| u32::try_from(id).ok());
    let id = id.filter(|id| (1..=i32::MAX as u32).contains(id));
    let id = id.ok_or_else(|| Refusal::NotPermitted("an id that cannot be given".to_owned()))?;
    if registry
        .schema(id)
        .is_some_and(|known| known.identity() != schema.identity())
    {
        let text = format!("Overwrite new schema with id {id} is not permitted.");
        return Err(Refusal::NotPermitted(text));
    }
    let next = registry
        .newest(subject, true)
        .map_or(1, |(newest, _)| newest.saturating_add(1));
    let version = match wanted.number("version")? {
        None | Some(-1..=0) => next,
        Some(version) => i32::try_from(version)
            .ok()
            .filter(|version| *version > 0)
            .ok_or_else(|| Refusal::VersionInvalid(version.to_string()))?,
    };
    put(registry, subject, (version, id), schema)
}

fn put(
    registry: &Registry,
    subject: &str,
    (version, id): (i32, u32),
    schema: Schema,
) -> Result<Answer, Refusal> {
    let counts = registry.counts();
    let is_full = registry.schema(id).is_none()
        && (counts.schemas >= SCHEMAS_MAX
            || counts.text_bytes + schema.text.len() > TEXT_BYTES_MAX);
    if is_full || id > i32::MAX as u32 {
        return Err(Refusal::Full("schemas"));
    }
    let own = registry.versions(subject, true).count();
    if own >= VERSIONS_MAX || counts.versions >= ALL_VERSIONS_MAX {
        return Err(Refusal::Full("versions"));
    }
    let record = Record::version(&value_of(subject, version, id, &schema, false));
    Ok(Answer::of(json!({ "id": id })).with(vec![record]))
}

fn value_of(
    subject: &str,
    version: i32,
    id: u32,
    schema: &Schema,
    is_deleted: bool,
) -> VersionValue {
    let is_default = schema.kind == SchemaType::Avro;
    VersionValue {
        subject: subject.to_owned(),
        version,
        id,
        schema_type: (!is_default).then(|| schema.kind.name().to_owned()),
        references: schema.references.clone(),
        schema: schema.text.to_string(),
        is_deleted,
    }
}

/// Why a schema may not follow what the subject has, or one version of it.
fn reasons_against(
    registry: &Registry,
    parsed: &Parsed,
    subject: &str,
    only: Option<(i32, Version)>,
) -> Result<Vec<String>, Refusal> {
    let level = registry.level(subject);
    let Level {
        is_backward,
        is_forward,
        is_transitive,
    } = level;
    if !is_backward && !is_forward {
        return Ok(Vec::new());
    }
    let against: Vec<(i32, Version)> = match only {
        Some(version) => vec![version],
        None => {
            let count = if is_transitive { usize::MAX } else { 1 };
            registry
                .versions(subject, false)
                .rev()
                .take(count)
                .collect()
        }
    };
    let mut reasons = Vec::new();
    for (number, version) in against {
        let Some(schema) = registry.schema(version.id) else {
            continue;
        };
        let old = registry.parse(schema)?;
        let mut found = Vec::new();
        if is_backward {
            let why = unreadable(parsed, &old).into_iter();
            found
                .extend(why.map(|why| format!("new schema does not read version {number}: {why}")));
        }
        if is_forward {
            let why = unreadable(&old, parsed).into_iter();
            found
                .extend(why.map(|why| format!("version {number} does not read new schema: {why}")));
        }
        if !found.is_empty() {
            reasons = found;
            reasons.push(format!("compatibility: {}", level.name()));
            break;
        }
    }
    Ok(reasons)
}

pub fn compatibility(
    registry: &Registry,
    asked: &Asked,
    subject: &str,
    version: Option<&str>,
) -> Result<Answer, Refusal> {
    let wanted = asked.body()?;
    let schema = wanted.schema(registry)?;
    let parsed = registry.parse(&schema)?;
    let only = match version {
        // A subject without any takes what comes.
        Some("latest" | "-1") if registry.newest(subject, false).is_none() => None,
        Some(version) => Some(registry.found_version(subject, version, false)?),
        None => None,
    };
    let reasons = reasons_against(registry, &parsed, subject, only)?;
    let mut answer = json!({ "is_compatible": reasons.is_empty() });
    if asked.is_set("verbose") {
        answer["messages"] = json!(reasons);
    }
    Ok(Answer::of(answer))
}

/// What names a version keeps it there.
fn check_unreferenced(registry: &Registry, subject: &str, version: i32) -> Result<(), Refusal> {
    match registry.referers(subject, version).next() {
        Some(_) => Err(Refusal::Referenced(subject.to_owned(), version)),
        None => Ok(()),
    }
}

fn check_writable(registry: &Registry, subject: &str) -> Result<(), Refusal> {
    match registry.mode(subject) {
        Mode::ReadOnly | Mode::ReadOnlyOverride => Err(Refusal::NotPermitted(format!(
            "Subject {subject} is in read-only mode"
        ))),
        Mode::ReadWrite | Mode::Import => Ok(()),
    }
}

pub fn delete(registry: &Registry, asked: &Asked, subject: &str) -> Result<Answer, Refusal> {
    check_writable(registry, subject)?;
    let is_permanent = asked.is_set("permanent");
    let Some((newest, _)) = registry.newest(subject, true) else {
        return Err(Refusal::SubjectUnknown(subject.to_owned()));
    };
    let is_live = registry.newest(subject, false).is_some();
    match (is_permanent, is_live) {
        (false, false) => return Err(Refusal::SubjectDeleted(subject.to_owned())),
        (true, true) => return Err(Refusal::SubjectNotDeleted(subject.to_owned())),
        _ => {}
    }
    let numbers: Vec<i32> = registry
        .versions(subject, is_permanent)
        .map(|(n, _)| n)
        .collect();
    for number in &numbers {
        check_unreferenced(registry, subject, *number)?;
    }
    let mut records = Vec::new();
    if is_permanent {
        records.extend(
            numbers
                .iter()
                .map(|number| Record::no_version(subject, *number)),
        );
        records.push(Record::deleted_subject(subject, None));
    } else {
        records.push(Record::deleted_subject(subject, Some(newest)));
        if registry.level_of(Some(subject)).is_some() {
            records.push(Record::level(Some(subject), None));
        }
        if registry.mode_of(Some(subject)).is_some() {
            records.push(Record::mode(Some(subject), None));
        }
    }
    Ok(Answer::of(json!(numbers)).with(records))
}

pub fn delete_version(
    registry: &Registry,
    asked: &Asked,
    subject: &str,
    version: &str,
) -> Result<Answer, Refusal> {
    check_writable(registry, subject)?;
    let is_permanent = asked.is_set("permanent");
    if registry.newest(subject, true).is_none() {
        return Err(Refusal::SubjectUnknown(subject.to_owned()));
    }
    // The newest is the newest that is there.
    let is_newest = matches!(version, "latest" | "-1");
    let (number, found) = registry.found_version(subject, version, !is_newest)?;
    let at = || (subject.to_owned(), number);
    let refusal = match (is_permanent, found.is_deleted) {
        (false, true) => Some(Refusal::VersionDeleted(at().0, at().1)),
        (true, false) => Some(Refusal::VersionNotDeleted(at().0, at().1)),
        _ => None,
    };
    if let Some(refusal) = refusal {
        return Err(refusal);
    }
    check_unreferenced(registry, subject, number)?;
    let record = if is_permanent {
        Record::no_version(subject, number)
    } else {
        let schema = registry.schema(found.id).ok_or(Refusal::SchemaUnknown)?;
        Record::version(&value_of(subject, number, found.id, schema, true))
    };
    Ok(Answer::of(json!(number)).with(vec![record]))
}
