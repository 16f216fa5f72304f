//! What the records add up to.
//!
//! # Invariants
//! 1. An id means one schema for ever, with what it referred to when it was registered, also when all subjects have let
//!    them go: records name it.
//! 2. `ids`, `known`, `users` and `referers` say the same; every version's id is in `ids`.
//! 3. Before a record is applied, `new_schemas` says what it adds: readers may be told of an id before it is given out.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    sync::Arc,
};

use crate::{
    answer::Refusal,
    limits::{REFERENCES_BYTES_MAX, REFERENCES_DEPTH_MAX, REFERENCES_MAX, STEP_BYTES},
    record::{self, Key, Record, VersionValue},
    schema::{Others, Parsed, Reference, Resolved, Schema, SchemaType, hash_of},
};

/// How a subject's next schema is to go with those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// The new schema reads what the old ones wrote.
    pub is_backward: bool,
    /// The old ones read what the new one writes.
    pub is_forward: bool,
    /// Not the newest alone.
    pub is_transitive: bool,
}

const LEVELS: [(&str, Level); 7] = [
    ("NONE", Level::new(false, false, false)),
    ("BACKWARD", Level::new(true, false, false)),
    ("BACKWARD_TRANSITIVE", Level::new(true, false, true)),
    ("FORWARD", Level::new(false, true, false)),
    ("FORWARD_TRANSITIVE", Level::new(false, true, true)),
    ("FULL", Level::new(true, true, false)),
    ("FULL_TRANSITIVE", Level::new(true, true, true)),
];

impl Level {
    const fn new(is_backward: bool, is_forward: bool, is_transitive: bool) -> Self {
        Self {
            is_backward,
            is_forward,
            is_transitive,
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        let mut levels = LEVELS.into_iter();
        levels.find_map(|(known, level)| known.eq_ignore_ascii_case(name).then_some(level))
    }

    pub fn name(self) -> &'static str {
        let mut levels = LEVELS.iter();
        let found = levels.find(|(_, level)| *level == self);
        found.expect("levels are made by their names").0
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    ReadWrite,
    ReadOnly,
    ReadOnlyOverride,
    Import,
}

const MODES: [(&str, Mode); 4] = [
    ("READWRITE", Mode::ReadWrite),
    ("READONLY", Mode::ReadOnly),
    ("READONLY_OVERRIDE", Mode::ReadOnlyOverride),
    ("IMPORT", Mode::Import),
];

impl Mode {
    pub fn named(name: &str) -> Option<Self> {
        let mut modes = MODES.into_iter();
        modes.find_map(|(known, mode)| known.eq_ignore_ascii_case(name).then_some(mode))
    }

    pub fn name(self) -> &'static str {
        let mut modes = MODES.iter();
        let found = modes.find(|(_, mode)| *mode == self);
        found.expect("every mode has a name").0
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    pub id: u32,
    pub is_deleted: bool,
}

/// A schema under its id.
#[derive(Clone, Debug)]
struct Kept {
    schema: Arc<Schema>,
    /// Ids of what its references named when it was registered: a subject may have another schema under that number now.
    named: Vec<Option<u32>>,
    /// Of its identity.
    hash: u64,
}

/// A schema to look for.
pub struct Wanted {
    identity: String,
    hash: u64,
}

impl Wanted {
    fn is(&self, kept: &Kept) -> bool {
        self.hash == kept.hash && self.identity == kept.schema.identity(&kept.named)
    }
}

/// See the module head.
#[derive(Debug, Default)]
pub struct Registry {
    subjects: BTreeMap<String, BTreeMap<i32, Version>>,
    ids: BTreeMap<u32, Kept>,
    /// The least id of each schema, by the hash of its identity.
    known: BTreeMap<u64, u32>,
    /// Versions that have a schema.
    users: BTreeMap<u32, BTreeSet<(String, i32)>>,
    /// Schemas that name a version, as long as their ids mean them: for ever.
    referers: BTreeMap<(String, i32), BTreeSet<u32>>,
    levels: BTreeMap<Option<String>, Level>,
    modes: BTreeMap<Option<String>, Mode>,
    schema_bytes: usize,
    version_count: usize,
}

impl Registry {
    /// One record more.
    pub fn apply(&mut self, key: &[u8], value: Option<&[u8]>) {
        // What is none of ours means nothing: Confluent's registry has others, and gets more.
        let Some(key) = Key::parse(key) else {
            return;
        };
        match (key.keytype.as_str(), key.subject, key.version) {
            ("SCHEMA", Some(subject), Some(version)) => match value {
                Some(value) => self.put(subject, version, value),
                None => self.remove(&subject, version),
            },
            ("DELETE_SUBJECT", Some(subject), _) => {
                let until = value.and_then(record::deleted_until).unwrap_or(0);
                let versions = self.subjects.get_mut(&subject).into_iter().flatten();
                for (_, version) in versions.filter(|(number, _)| **number <= until) {
                    version.is_deleted = true;
                }
            }
            ("CONFIG", subject, _) => {
                let level = value.and_then(|value| Level::named(&record::level(value)?));
                match level {
                    Some(level) => drop(self.levels.insert(subject, level)),
                    None => drop(self.levels.remove(&subject)),
                }
            }
            ("MODE", subject, _) => {
                let mode = value.and_then(|value| Mode::named(&record::mode(value)?));
                match mode {
                    Some(mode) => drop(self.modes.insert(subject, mode)),
                    None => drop(self.modes.remove(&subject)),
                }
            }
            _ => {}
        }
    }

    fn put(&mut self, subject: String, version: i32, value: &[u8]) {
        let Some((value, schema)) = read(value) else {
            return;
        };
        let id = value.id;
        let named = self.named(&schema.references);
        self.remove(&subject, version);
        // An id means what it meant first.
        if let Entry::Vacant(entry) = self.ids.entry(id) {
            self.schema_bytes += schema.bytes();
            for reference in &schema.references {
                let to = (reference.subject.clone(), reference.version);
                self.referers.entry(to).or_default().insert(id);
            }
            let hash = hash_of(&schema.identity(&named));
            let least = self.known.entry(hash).or_insert(id);
            *least = id.min(*least);
            let schema = Arc::new(schema);
            entry.insert(Kept {
                schema,
                named,
                hash,
            });
        }
        let users = self.users.entry(id).or_default();
        users.insert((subject.clone(), version));
        let kept = Version {
            id,
            is_deleted: value.is_deleted,
        };
        let versions = self.subjects.entry(subject).or_default();
        versions.insert(version, kept);
        self.version_count += 1;
    }

    fn remove(&mut self, subject: &str, version: i32) {
        let Some(versions) = self.subjects.get_mut(subject) else {
            return;
        };
        let gone = versions.remove(&version);
        if versions.is_empty() {
            self.subjects.remove(subject);
        }
        let Some(gone) = gone else {
            return;
        };
        self.version_count -= 1;
        if let Some(users) = self.users.get_mut(&gone.id) {
            users.remove(&(subject.to_owned(), version));
        }
    }

    /// Schemas that are new with these records, which are not applied yet.
    #[must_use]
    pub fn new_schemas(&self, records: &[Record]) -> Vec<Resolved> {
        let new = records.iter().filter_map(|record| {
            let (value, schema) = read(record.value.as_deref()?.as_bytes())?;
            let is_version = Key::parse(record.key.as_bytes())?.keytype == "SCHEMA";
            if !is_version || self.ids.contains_key(&value.id) {
                return None;
            }
            self.resolve(value.id, &schema, &self.named(&schema.references))
        });
        new.collect()
    }

    /// The schema of an id, of any that ever was.
    #[must_use]
    pub fn resolved(&self, id: u32) -> Option<Resolved> {
        let kept = self.ids.get(&id)?;
        self.resolve(id, &kept.schema, &kept.named)
    }

    fn resolve(&self, id: u32, schema: &Schema, named: &[Option<u32>]) -> Option<Resolved> {
        let others = self.gathered(&schema.references, named).ok()?;
        Some(Resolved {
            id,
            kind: schema.kind,
            text: schema.text.clone(),
            others,
        })
    }

    /// The newest schema of a subject.
    #[must_use]
    pub fn latest(&self, subject: &str) -> Option<Resolved> {
        let (_, version) = self.newest(subject, false)?;
        self.resolved(version.id)
    }

    /// All ids that ever were.
    pub fn ids(&self) -> impl Iterator<Item = u32> {
        self.ids.keys().copied()
    }

    pub(crate) fn schema(&self, id: u32) -> Option<&Schema> {
        self.ids.get(&id).map(|kept| &*kept.schema)
    }

    /// Versions that have the schema, also those that are deleted softly.
    pub(crate) fn users(&self, id: u32) -> impl Iterator<Item = (&str, i32, Version)> {
        let users = self.users.get(&id).into_iter().flatten();
        users.filter_map(|(subject, version)| {
            let found = *self.subjects.get(subject)?.get(version)?;
            Some((subject.as_str(), *version, found))
        })
    }

    /// What references name now.
    fn named(&self, references: &[Reference]) -> Vec<Option<u32>> {
        let versions = references
            .iter()
            .map(|to| self.version(&to.subject, to.version));
        versions.map(|found| Some(found?.id)).collect()
    }

    pub(crate) fn wanted(&self, schema: &Schema) -> Wanted {
        let identity = schema.identity(&self.named(&schema.references));
        let hash = hash_of(&identity);
        Wanted { identity, hash }
    }

    pub(crate) fn is_same(&self, wanted: &Wanted, id: u32) -> bool {
        self.ids.get(&id).is_some_and(|kept| wanted.is(kept))
    }

    pub(crate) fn id_of(&self, wanted: &Wanted) -> Option<u32> {
        let id = *self.known.get(&wanted.hash)?;
        self.is_same(wanted, id).then_some(id)
    }

    pub(crate) fn id_max(&self) -> u32 {
        self.ids.last_key_value().map_or(0, |(id, _)| *id)
    }

    pub(crate) fn subjects(&self) -> impl Iterator<Item = (&str, &BTreeMap<i32, Version>)> {
        self.subjects
            .iter()
            .map(|(name, versions)| (name.as_str(), versions))
    }

    /// In order; none: there is no such subject.
    pub(crate) fn versions(
        &self,
        subject: &str,
        with_deleted: bool,
    ) -> impl DoubleEndedIterator<Item = (i32, Version)> {
        let versions = self.subjects.get(subject).into_iter().flatten();
        versions
            .map(|(number, version)| (*number, *version))
            .filter(move |(_, version)| with_deleted || !version.is_deleted)
    }

    pub(crate) fn newest(&self, subject: &str, with_deleted: bool) -> Option<(i32, Version)> {
        self.versions(subject, with_deleted).next_back()
    }

    pub(crate) fn version(&self, subject: &str, number: i32) -> Option<Version> {
        self.subjects.get(subject)?.get(&number).copied()
    }

    /// Schemas that name this version, of those that have a version which counts.
    pub(crate) fn referers(
        &self,
        subject: &str,
        version: i32,
        counts: impl Fn(&str, Version) -> bool,
    ) -> impl Iterator<Item = u32> {
        let named = self.referers.get(&(subject.to_owned(), version));
        let ids = named.into_iter().flatten().copied();
        ids.filter(move |id| {
            let mut users = self.users(*id);
            users.any(|(subject, _, user)| counts(subject, user))
        })
    }

    pub(crate) fn level_of(&self, subject: Option<&str>) -> Option<Level> {
        self.levels.get(&subject.map(str::to_owned)).copied()
    }

    /// The subject's own, else that of all, else Confluent's.
    pub(crate) fn level(&self, subject: &str) -> Level {
        let own = self.level_of(Some(subject));
        let all = || self.level_of(None);
        own.or_else(all).unwrap_or(Level::new(true, false, false))
    }

    pub(crate) fn mode_of(&self, subject: Option<&str>) -> Option<Mode> {
        self.modes.get(&subject.map(str::to_owned)).copied()
    }

    /// The subject's own, else that of all.
    pub(crate) fn mode(&self, subject: Option<&str>) -> Mode {
        let of_all = self.mode_of(None).unwrap_or(Mode::ReadWrite);
        match (subject, of_all) {
            // That no subject may be written whatever it says itself.
            (None, _) | (_, Mode::ReadOnlyOverride) => of_all,
            (own, _) => self.mode_of(own).unwrap_or(of_all),
        }
    }

    pub(crate) fn settings_count(&self) -> usize {
        self.levels.len() + self.modes.len()
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            schemas: self.ids.len(),
            versions: self.version_count,
            schema_bytes: self.schema_bytes,
        }
    }

    /// A schema that is new: what it names is to be there.
    pub(crate) fn parse(&self, schema: &Schema) -> Result<Parsed, Refusal> {
        for to in &schema.references {
            let found = self.version(&to.subject, to.version);
            if found.is_none_or(|found| found.is_deleted) {
                return Err(unknown(to));
            }
        }
        let others = self.gathered(&schema.references, &self.named(&schema.references))?;
        schema.parse(&others).map_err(Refusal::SchemaInvalid)
    }

    /// The schema of an id; `None`: there are fewer steps left than it takes.
    pub(crate) fn parse_within(
        &self,
        id: u32,
        steps: &mut usize,
    ) -> Result<Option<Parsed>, Refusal> {
        let schema = self.schema(id).ok_or(Refusal::IdUnknown(id))?;
        let others = self.others(id)?;
        let texts = others.iter().map(|(_, text)| text.len());
        let bytes = schema.text.len() + texts.sum::<usize>();
        let Some(left) = steps.checked_sub(bytes / STEP_BYTES) else {
            return Ok(None);
        };
        *steps = left;
        let parsed = schema.parse(&others).map_err(Refusal::SchemaInvalid)?;
        Ok(Some(parsed))
    }

    /// What the schema of an id names, each behind what it names itself.
    pub(crate) fn others(&self, id: u32) -> Result<Others, Refusal> {
        let kept = self.ids.get(&id).ok_or(Refusal::IdUnknown(id))?;
        self.gathered(&kept.schema.references, &kept.named)
    }

    fn gathered(&self, references: &[Reference], named: &[Option<u32>]) -> Result<Others, Refusal> {
        let mut found = Gathered {
            registry: self,
            seen: BTreeSet::new(),
            texts: Vec::new(),
            bytes: 0,
        };
        found.add(references, named, 0)?;
        Ok(found.texts)
    }
}

/// How much there is.
pub struct Counts {
    pub schemas: usize,
    pub versions: usize,
    pub schema_bytes: usize,
}

/// A version's record.
fn read(value: &[u8]) -> Option<(VersionValue, Schema)> {
    let mut value = VersionValue::parse(value)?;
    let schema = Schema {
        kind: SchemaType::named(value.schema_type.as_deref())?,
        text: std::mem::take(&mut value.schema).into(),
        references: std::mem::take(&mut value.references),
    };
    Some((value, schema))
}

fn unknown(to: &Reference) -> Refusal {
    let Reference {
        subject, version, ..
    } = to;
    Refusal::SchemaInvalid(format!(
        "No schema reference found for subject \"{subject}\" and version {version}"
    ))
}

struct Gathered<'a> {
    registry: &'a Registry,
    /// With what it is called where that counts.
    seen: BTreeSet<(u32, String)>,
    texts: Others,
    bytes: usize,
}

impl Gathered<'_> {
    fn add(
        &mut self,
        references: &[Reference],
        named: &[Option<u32>],
        depth: usize,
    ) -> Result<(), Refusal> {
        let too_many = || Refusal::SchemaInvalid("too many references".to_owned());
        if depth > REFERENCES_DEPTH_MAX {
            return Err(too_many());
        }
        for (reference, id) in references.iter().zip(named) {
            let id = id.ok_or_else(|| unknown(reference))?;
            let registry = self.registry;
            let kept = registry.ids.get(&id);
            let Kept { schema, named, .. } = kept.ok_or_else(|| unknown(reference))?;
            let called = match schema.kind {
                SchemaType::Json => reference.name.clone(),
                SchemaType::Avro | SchemaType::Protobuf => String::new(),
            };
            if !self.seen.insert((id, called)) {
                continue;
            }
            self.add(&schema.references, named, depth + 1)?;
            self.bytes += schema.text.len();
            if self.texts.len() == REFERENCES_MAX || self.bytes > REFERENCES_BYTES_MAX {
                return Err(too_many());
            }
            self.texts
                .push((reference.name.clone(), schema.text.clone()));
        }
        Ok(())
    }
}
