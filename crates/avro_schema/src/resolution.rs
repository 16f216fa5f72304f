//! Whether records that one schema wrote are read by another (specification, schema resolution).

use std::collections::{BTreeMap, BTreeSet};

use crate::{Field, Schema, Type, TypeId};

/// Pairs of types that are followed into each other; types may hold each other in rings of any length.
const DEPTH_MAX: usize = 256;
/// Pairs that are looked at, with the fields, symbols and names in them.
const STEPS_MAX: usize = 1 << 20;
/// Bytes of a place's name that are as much work as a step.
const STEP_BYTES: usize = 64;
/// Reasons that are told.
const REASONS_MAX: usize = 16;

/// Why `reader` does not read all that `writer` wrote; nothing if it does. `steps` is what may be done for that, and
/// afterwards what is left of it.
#[must_use]
pub fn unreadable(reader: &Schema, writer: &Schema, steps: &mut usize) -> Vec<String> {
    let steps_max = STEPS_MAX.min(*steps);
    let mut check = Check {
        reader,
        writer,
        known: BTreeMap::new(),
        assumed: Vec::new(),
        reasons: Vec::new(),
        depth: 0,
        steps: 0,
        steps_max,
    };
    let reads = check.reads(reader.root(), writer.root(), "");
    *steps -= check.steps.min(steps_max);
    assert_eq!(
        reads,
        check.reasons.is_empty(),
        "what is not read has a reason"
    );
    check.reasons
}

type Pair = (TypeId, TypeId);

struct Check<'a> {
    reader: &'a Schema,
    writer: &'a Schema,
    /// True also of pairs that are being looked at: a ring adds no condition.
    known: BTreeMap<Pair, bool>,
    /// Pairs that are known to be true, in the order in which they were begun: what was found after one of them may lean on
    /// it, and goes with it.
    assumed: Vec<Pair>,
    reasons: Vec<String>,
    depth: usize,
    steps: usize,
    steps_max: usize,
}

/// As it lies in a record.
pub(crate) fn plain(schema: &Schema, id: TypeId) -> Type {
    match schema.get(id) {
        Type::Date | Type::TimeMillis => Type::Int,
        Type::TimeMicros | Type::TimestampMillis | Type::TimestampMicros | Type::TimestampNanos => {
            Type::Long
        }
        Type::Decimal { bytes: None, .. } => Type::Bytes,
        Type::Decimal {
            bytes: Some(count), ..
        } => Type::Fixed(*count),
        // Enums, records and unions are looked at where they stand.
        Type::Enum(_) => Type::Enum([].into()),
        Type::Record(_) => Type::Record(Vec::new()),
        Type::Union(_) => Type::Union(Vec::new()),
        other => other.clone(),
    }
}

pub(crate) fn kind(plain: &Type) -> &'static str {
    match plain {
        Type::Null => "null",
        Type::Boolean => "boolean",
        Type::Int => "int",
        Type::Long => "long",
        Type::Float => "float",
        Type::Double => "double",
        Type::Bytes => "bytes",
        Type::Text => "string",
        Type::Fixed(_) => "fixed",
        Type::Enum(_) => "enum",
        Type::Array(_) => "array",
        Type::Map(_) => "map",
        Type::Union(_) => "union",
        _ => "record",
    }
}

impl Check<'_> {
    fn refuse(&mut self, at: &str, why: &str, what: String) -> bool {
        if self.reasons.len() < REASONS_MAX {
            let at = if at.is_empty() { "/" } else { at };
            self.reasons.push(format!("{why} at {at}: {what}"));
        }
        false
    }

    fn reads(&mut self, reader: TypeId, writer: TypeId, at: &str) -> bool {
        let pair = (reader, writer);
        // Also of what is known: the unions of many fields may have the same branches.
        self.steps += 1 + at.len() / STEP_BYTES;
        let is_too_long = self.steps > self.steps_max;
        match self.known.get(&pair).filter(|_| !is_too_long) {
            Some(true) => return true,
            // Its reasons were told where it was met first, and may have been taken back with a union's branch.
            Some(false) => return self.mismatch(reader, writer, at),
            None => {}
        }
        if self.depth == DEPTH_MAX || is_too_long {
            return self.refuse(
                at,
                "TOO_LARGE",
                "the schemas are too large to compare".into(),
            );
        }
        let begun = self.assumed.len();
        self.assumed.push(pair);
        self.known.insert(pair, true);
        self.depth += 1;
        let reads = self.reads_anew(reader, writer, at);
        self.depth -= 1;
        if !reads {
            for leaning in self.assumed.drain(begun..) {
                self.known.remove(&leaning);
            }
            self.known.insert(pair, false);
        }
        reads
    }

    fn mismatch(&mut self, reader: TypeId, writer: TypeId, at: &str) -> bool {
        let (read, written) = (plain(self.reader, reader), plain(self.writer, writer));
        let (read, written) = (kind(&read), kind(&written));
        let what = format!("reader type: {read} not compatible with writer type: {written}");
        self.refuse(at, "TYPE_MISMATCH", what)
    }

    fn reads_anew(&mut self, reader: TypeId, writer: TypeId, at: &str) -> bool {
        let (of_reader, of_writer) = (self.reader, self.writer);
        if let Type::Union(branches) = of_writer.get(writer) {
            // All are looked at, for all reasons.
            let mut reads = true;
            for branch in branches {
                reads &= self.reads(reader, *branch, at);
            }
            return reads;
        }
        if let Type::Union(branches) = of_reader.get(reader) {
            let told = self.reasons.len();
            if branches
                .iter()
                .any(|branch| self.reads(*branch, writer, at))
            {
                self.reasons.truncate(told);
                return true;
            }
            self.reasons.truncate(told);
            let lacking = kind(&plain(of_writer, writer));
            let what = format!("reader union lacking writer type: {lacking}");
            return self.refuse(at, "MISSING_UNION_BRANCH", what);
        }
        let (read, written) = (plain(of_reader, reader), plain(of_writer, writer));
        match (&read, &written) {
            (Type::Array(read), Type::Array(written)) => {
                self.reads(*read, *written, &format!("{at}/items"))
            }
            (Type::Map(read), Type::Map(written)) => {
                self.reads(*read, *written, &format!("{at}/values"))
            }
            (Type::Fixed(read), Type::Fixed(written)) => {
                if read != written {
                    let what = format!("expected: {written}, found: {read}");
                    return self.refuse(at, "FIXED_SIZE_MISMATCH", what);
                }
                self.same_name(reader, writer, at)
            }
            (Type::Enum(_), Type::Enum(_)) => {
                self.same_name(reader, writer, at) && self.symbols(reader, writer, at)
            }
            (Type::Record(_), Type::Record(_)) => {
                self.same_name(reader, writer, at) && self.fields(reader, writer, at)
            }
            (read, written) if read == written => true,
            (Type::Long, Type::Int)
            | (Type::Float, Type::Int | Type::Long)
            | (Type::Double, Type::Int | Type::Long | Type::Float)
            | (Type::Bytes, Type::Text)
            | (Type::Text, Type::Bytes) => true,
            _ => self.mismatch(reader, writer, at),
        }
    }

    /// The last part of the name counts, or any of the reader's aliases.
    fn same_name(&mut self, reader: TypeId, writer: TypeId, at: &str) -> bool {
        let (read, written) = (&self.reader.names[&reader], &self.writer.names[&writer]);
        self.steps += read.aliases.len();
        let last = |name: &str| name.rfind('.').map_or(0, |dot| dot + 1);
        if read.name[last(&read.name)..] == written.name[last(&written.name)..]
            || read.aliases.contains(&written.name)
        {
            return true;
        }
        let what = format!("expected: {}, found: {}", written.name, read.name);
        self.refuse(at, "NAME_MISMATCH", what)
    }

    fn symbols(&mut self, reader: TypeId, writer: TypeId, at: &str) -> bool {
        let (Type::Enum(read), Type::Enum(written)) =
            (self.reader.get(reader), self.writer.get(writer))
        else {
            return true;
        };
        self.steps += read.len() + written.len();
        let read: BTreeSet<&str> = read.iter().map(String::as_str).collect();
        let written = written.iter().map(String::as_str);
        let missing: Vec<&str> = written.filter(|symbol| !read.contains(symbol)).collect();
        if missing.is_empty() || self.reader.names[&reader].default.is_some() {
            return true;
        }
        let told = missing.len().min(REASONS_MAX);
        let what = format!("reader lacks symbols: {}", missing[..told].join(", "));
        self.refuse(at, "MISSING_ENUM_SYMBOLS", what)
    }

    fn fields(&mut self, reader: TypeId, writer: TypeId, at: &str) -> bool {
        let (of_reader, of_writer) = (self.reader, self.writer);
        let (Type::Record(read), Type::Record(written)) =
            (of_reader.get(reader), of_writer.get(writer))
        else {
            return true;
        };
        self.steps += read.len() + written.len();
        let written = WrittenFields::new(written);
        let mut reads = true;
        for field in read {
            let at = format!("{at}/{}", field.name);
            reads &= match written.of(field) {
                Some(found) => self.reads(field.id, found.id, &at),
                None if field.default.is_some() => true,
                None => self.refuse(
                    &at,
                    "READER_FIELD_MISSING_DEFAULT_VALUE",
                    format!("the writer has no field {}", field.name),
                ),
            };
        }
        reads
    }
}

/// A writer's fields by their names.
pub struct WrittenFields<'a>(BTreeMap<&'a str, &'a Field>);

impl<'a> WrittenFields<'a> {
    #[must_use]
    pub fn new(fields: &'a [Field]) -> Self {
        let fields = fields.iter().map(|field| (field.name.as_str(), field));
        Self(fields.collect())
    }

    /// Where a reader's field stands among them: by its name, or by one that it had.
    #[must_use]
    pub fn of(&self, field: &Field) -> Option<&'a Field> {
        let names = [&field.name].into_iter().chain(&field.aliases);
        let mut found = names.filter_map(|name| self.0.get(name.as_str()).copied());
        found.next()
    }
}
