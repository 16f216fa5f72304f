//! Whether records that one schema wrote are read by another (specification, schema resolution).

use std::collections::BTreeMap;

use crate::{Field, Schema, Type, TypeId};

/// Pairs of types that are followed into each other; types may hold each other in rings of any length.
const DEPTH_MAX: usize = 256;
/// Pairs that are looked at.
const STEPS_MAX: usize = 1 << 20;
/// Reasons that are told.
const REASONS_MAX: usize = 16;

/// Why `reader` does not read all that `writer` wrote; nothing if it does.
#[must_use]
pub fn unreadable(reader: &Schema, writer: &Schema) -> Vec<String> {
    let mut check = Check {
        reader,
        writer,
        known: BTreeMap::new(),
        reasons: Vec::new(),
        depth: 0,
        steps: 0,
    };
    let reads = check.reads(reader.root(), writer.root(), "");
    if reads { Vec::new() } else { check.reasons }
}

struct Check<'a> {
    reader: &'a Schema,
    writer: &'a Schema,
    /// True also of pairs that are being looked at: a ring adds no condition.
    known: BTreeMap<(TypeId, TypeId), bool>,
    reasons: Vec<String>,
    depth: usize,
    steps: usize,
}

/// As it lies in a record.
fn plain(schema: &Schema, id: TypeId) -> Type {
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

fn kind(plain: &Type) -> &'static str {
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
        if let Some(known) = self.known.get(&(reader, writer)) {
            return *known;
        }
        self.steps += 1;
        if self.depth == DEPTH_MAX || self.steps > STEPS_MAX {
            return self.refuse(
                at,
                "TOO_LARGE",
                "the schemas are too large to compare".into(),
            );
        }
        self.known.insert((reader, writer), true);
        self.depth += 1;
        let reads = self.reads_anew(reader, writer, at);
        self.depth -= 1;
        self.known.insert((reader, writer), reads);
        reads
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
            (read, written) => {
                let (read, written) = (kind(read), kind(written));
                let what =
                    format!("reader type: {read} not compatible with writer type: {written}");
                self.refuse(at, "TYPE_MISMATCH", what)
            }
        }
    }

    /// The last part of the name counts, or any of the reader's aliases.
    fn same_name(&mut self, reader: TypeId, writer: TypeId, at: &str) -> bool {
        let (read, written) = (&self.reader.names[&reader], &self.writer.names[&writer]);
        let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
        if last(&read.name) == last(&written.name) || read.aliases.contains(&written.name) {
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
        let missing = written.iter().filter(|symbol| !read.contains(symbol));
        let missing: Vec<&str> = missing.map(String::as_str).collect();
        if missing.is_empty() || self.reader.names[&reader].default.is_some() {
            return true;
        }
        let what = format!("reader lacks symbols: {}", missing.join(", "));
        self.refuse(at, "MISSING_ENUM_SYMBOLS", what)
    }

    fn fields(&mut self, reader: TypeId, writer: TypeId, at: &str) -> bool {
        let (of_reader, of_writer) = (self.reader, self.writer);
        let (Type::Record(read), Type::Record(written)) =
            (of_reader.get(reader), of_writer.get(writer))
        else {
            return true;
        };
        let mut reads = true;
        for field in read {
            let at = format!("{at}/{}", field.name);
            reads &= match field.written_in(written) {
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

impl Field {
    /// Where a reader's field stands among those of a writer: by its name, or by one that it had.
    #[must_use]
    pub fn written_in<'w>(&self, written: &'w [Field]) -> Option<&'w Field> {
        let named = |name: &String| written.iter().find(|field| field.name == *name);
        named(&self.name).or_else(|| self.aliases.iter().find_map(named))
    }
}
