//! `/subjects` and `/compatibility`: versions of subjects.

use serde_json::{Value, json};

use super::{Asked, Body, described};
use crate::{
    answer::{Answer, Refusal},
    compatibility::unreadable,
    limits::{
        ALL_VERSIONS_MAX, REFERENCE_NAME_BYTES_MAX, REFERENCES_MAX, SCHEMAS_MAX, STEPS_MAX,
        SUBJECT_BYTES_MAX, TEXT_BYTES_MAX, VERSIONS_MAX,
    },
    record::{Record, VersionValue},
    schema::{Parsed, Reference, Schema, SchemaType},
    state::{Level, Mode, Registry, Version, Wanted},
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
        let is_long = |reference: &Reference| {
            reference.name.len() > REFERENCE_NAME_BYTES_MAX
                || reference.subject.len() > SUBJECT_BYTES_MAX
        };
        if references.len() > REFERENCES_MAX || references.iter().any(is_long) {
            return Err(invalid("too many references, or too long ones".to_owned()));
        }
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

pub fn list(registry: &Registry, asked: &Asked<'_>) -> Result<Answer, Refusal> {
    let prefix = asked.parameter("subjectPrefix").unwrap_or_default();
    let only_deleted = asked.is_set("deletedOnly") || asked.is_set("deleted_only");
    let with_deleted = asked.is_set("deleted") || only_deleted;
    let subjects = registry.subjects().filter(|(name, versions)| {
        let is_live = versions.values().any(|version| !version.is_deleted);
        name.starts_with(prefix) && (is_live || with_deleted) && !(is_live && only_deleted)
    });
    let names = subjects.map(|(name, _)| name);
    Ok(Answer::of(json!(asked.page(names, |name| name.len()))))
}

pub fn entry(
    registry: &Registry,
    asked: &Asked<'_>,
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
pub fn find(registry: &Registry, asked: &Asked<'_>, subject: &str) -> Result<Answer, Refusal> {
    let with_deleted = asked.is_set("deleted");
    if registry.newest(subject, with_deleted).is_none() {
        return Err(Refusal::SubjectUnknown(subject.to_owned()));
    }
    let wanted = asked.body()?;
    let schema = wanted.schema(registry)?;
    let wanted = registry.wanted(&schema);
    let mut versions = registry.versions(subject, with_deleted).rev();
    let found = versions.find(|(_, version)| registry.is_same(&wanted, version.id));
    let found = found.ok_or(Refusal::SchemaUnknown)?;
    Ok(Answer::of(entry(registry, asked, subject, found)?))
}

pub fn versions(registry: &Registry, asked: &Asked<'_>, subject: &str) -> Result<Answer, Refusal> {
    let only_deleted = asked.is_set("deletedOnly") || asked.is_set("deleted_only");
    let with_deleted = asked.is_set("deleted") || only_deleted;
    if registry.newest(subject, with_deleted).is_none() {
        return Err(Refusal::SubjectUnknown(subject.to_owned()));
    }
    let versions = registry.versions(subject, with_deleted);
    let versions = versions.filter(|(_, version)| !only_deleted || version.is_deleted);
    let numbers = versions.map(|(number, _)| number);
    Ok(Answer::of(json!(asked.page(numbers, |_| 0))))
}

pub fn version(
    registry: &Registry,
    asked: &Asked<'_>,
    subject: &str,
    version: &str,
) -> Result<Answer, Refusal> {
    let found = registry.found_version(subject, version, asked.is_set("deleted"))?;
    Ok(Answer::of(entry(registry, asked, subject, found)?))
}

pub fn text(
    registry: &Registry,
    asked: &Asked<'_>,
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
    let ids: Vec<u32> = registry
        .referers(subject, number, |_, user| !user.is_deleted)
        .collect();
    Ok(Answer::of(json!(ids)))
}

pub fn register(registry: &Registry, asked: &Asked<'_>, subject: &str) -> Result<Answer, Refusal> {
    let body = asked.body()?;
    let given = Given::of(&body)?;
    let schema = body.schema(registry)?;
    let parsed = registry.parse(&schema)?;
    let wanted = registry.wanted(&schema);
    // Who registers what is there changes nothing: no mode refuses that.
    let mut live = registry.versions(subject, false).rev();
    let found = live.find(|(number, version)| {
        given.is(*number, version.id) && registry.is_same(&wanted, version.id)
    });
    if let Some((_, version)) = found {
        return Ok(Answer::of(json!({ "id": version.id })));
    }
    let refused = |what: &str| {
        Err(Refusal::NotPermitted(format!(
            "Subject {subject} is {what}"
        )))
    };
    match registry.mode(Some(subject)) {
        Mode::ReadOnly | Mode::ReadOnlyOverride => return refused("in read-only mode"),
        Mode::ReadWrite if given.id.is_some() => return refused("not in import mode"),
        Mode::Import if given.id.is_none() => {
            return refused("in import mode, where schemas have their ids");
        }
        Mode::Import => return import(registry, &given, subject, (schema, &wanted)),
        Mode::ReadWrite => {}
    }
    parsed.check_new().map_err(Refusal::SchemaInvalid)?;
    let reasons = reasons_against(registry, &parsed, subject, None)?;
    if !reasons.is_empty() {
        return Err(Refusal::Incompatible {
            subject: subject.to_owned(),
            reasons,
        });
    }
    let known = registry.id_of(&wanted);
    let id = known.unwrap_or(registry.id_max().saturating_add(1));
    let version = next_version(registry, subject)?;
    put(registry, subject, (version, id), schema)
}

fn next_version(registry: &Registry, subject: &str) -> Result<i32, Refusal> {
    let newest = registry.newest(subject, true);
    let next = newest.map_or(Some(1), |(newest, _)| newest.checked_add(1));
    next.ok_or(Refusal::Full("versions"))
}

/// Numbers that a request names itself; those that stand for "the next" are none.
struct Given {
    id: Option<i64>,
    version: Option<i64>,
}

impl Given {
    fn of(body: &Body) -> Result<Self, Refusal> {
        Ok(Self {
            id: body.number("id")?.filter(|id| *id >= 0),
            version: body
                .number("version")?
                .filter(|version| !(-1..=0).contains(version)),
        })
    }

    fn is(&self, number: i32, id: u32) -> bool {
        // A version alone asks for nothing: it is counted here.
        self.id.is_none_or(|given| {
            let is_version = self.version.is_none_or(|given| given == i64::from(number));
            given == i64::from(id) && is_version
        })
    }
}

/// A version as another registry had it.
fn import(
    registry: &Registry,
    given: &Given,
    subject: &str,
    (schema, wanted): (Schema, &Wanted),
) -> Result<Answer, Refusal> {
    let id = given.id.and_then(|id| u32::try_from(id).ok());
    let id = id.filter(|id| (1..=i32::MAX as u32).contains(id));
    let id = id.ok_or_else(|| Refusal::NotPermitted("an id that cannot be given".to_owned()))?;
    if registry.schema(id).is_some() && !registry.is_same(wanted, id) {
        let text = format!("Overwrite new schema with id {id} is not permitted.");
        return Err(Refusal::NotPermitted(text));
    }
    let version = match given.version {
        None => next_version(registry, subject)?,
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
        && (counts.schemas >= SCHEMAS_MAX || counts.schema_bytes + schema.bytes() > TEXT_BYTES_MAX);
    if is_full || id > i32::MAX as u32 {
        return Err(Refusal::Full("schemas"));
    }
    // Who deletes and registers again without end needs one version alone.
    let is_named = |number| {
        registry
            .referers(subject, number, |_, _| true)
            .next()
            .is_some()
    };
    let older = registry.versions(subject, true).filter(|(number, older)| {
        older.is_deleted && older.id == id && *number < version && !is_named(*number)
    });
    let mut records: Vec<Record> = older
        .map(|(number, _)| Record::no_version(subject, number))
        .collect();
    let own = registry.versions(subject, true).count() - records.len();
    if own >= VERSIONS_MAX || counts.versions - records.len() >= ALL_VERSIONS_MAX {
        return Err(Refusal::Full("versions"));
    }
    records.push(Record::version(&value_of(
        subject, version, id, &schema, false,
    )));
    Ok(Answer::of(json!({ "id": id })).with(records))
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
    let mut steps = STEPS_MAX;
    for (number, version) in against {
        let Some(old) = registry.parse_within(version.id, &mut steps)? else {
            reasons.push(format!("too much to compare before version {number}"));
            break;
        };
        let mut found = Vec::new();
        if is_backward {
            let why = unreadable(parsed, &old, &mut steps).into_iter();
            found
                .extend(why.map(|why| format!("new schema does not read version {number}: {why}")));
        }
        if is_forward {
            let why = unreadable(&old, parsed, &mut steps).into_iter();
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
    asked: &Asked<'_>,
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

/// What names a version keeps it there; for good, also if that is deleted softly.
fn check_unreferenced(
    registry: &Registry,
    (subject, version): (&str, i32),
    counts: impl Fn(&str, Version) -> bool,
) -> Result<(), Refusal> {
    match registry.referers(subject, version, counts).next() {
        Some(_) => Err(Refusal::Referenced(subject.to_owned(), version)),
        None => Ok(()),
    }
}

/// `None`: all subjects.
pub fn check_writable(registry: &Registry, subject: Option<&str>) -> Result<(), Refusal> {
    match registry.mode(subject) {
        Mode::ReadOnly | Mode::ReadOnlyOverride => {
            let of = subject.map_or("The registry".to_owned(), |name| format!("Subject {name}"));
            Err(Refusal::NotPermitted(format!("{of} is in read-only mode")))
        }
        Mode::ReadWrite | Mode::Import => Ok(()),
    }
}

/// A subject that has no version any more, has no level and mode of its own either.
fn no_settings(registry: &Registry, subject: &str) -> impl Iterator<Item = Record> {
    let level = registry.level_of(Some(subject));
    let mode = registry.mode_of(Some(subject));
    let level = level.map(|_| Record::level(Some(subject), None));
    let mode = mode.map(|_| Record::mode(Some(subject), None));
    level.into_iter().chain(mode)
}

pub fn delete(registry: &Registry, asked: &Asked<'_>, subject: &str) -> Result<Answer, Refusal> {
    check_writable(registry, Some(subject))?;
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
        // What a version of the subject names goes with it.
        let counts =
            |other: &str, user: Version| other != subject && (is_permanent || !user.is_deleted);
        check_unreferenced(registry, (subject, *number), counts)?;
    }
    let mut records = Vec::new();
    if is_permanent {
        records.extend(
            numbers
                .iter()
                .map(|number| Record::no_version(subject, *number)),
        );
        records.push(Record::deleted_subject(subject, None));
        records.extend(no_settings(registry, subject));
    } else {
        records.push(Record::deleted_subject(subject, Some(newest)));
    }
    Ok(Answer::of(json!(numbers)).with(records))
}

pub fn delete_version(
    registry: &Registry,
    asked: &Asked<'_>,
    subject: &str,
    version: &str,
) -> Result<Answer, Refusal> {
    check_writable(registry, Some(subject))?;
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
    let counts = |_: &str, user: Version| is_permanent || !user.is_deleted;
    check_unreferenced(registry, (subject, number), counts)?;
    let mut records = Vec::new();
    if is_permanent {
        records.push(Record::no_version(subject, number));
        if registry.versions(subject, true).count() == 1 {
            records.extend(no_settings(registry, subject));
        }
    } else {
        let schema = registry.schema(found.id).ok_or(Refusal::SchemaUnknown)?;
        let value = value_of(subject, number, found.id, schema, true);
        records.push(Record::version(&value));
    }
    Ok(Answer::of(json!(number)).with(records))
}
