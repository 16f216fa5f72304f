//! Records in Avro's binary encoding, with the schema known beforehand.
//!
//! A record has no names and no lengths in it: every field is walked through in the schema's order, and those that are
//! not read are only stepped over.
//!
//! What is read:
//! - A column is the field of its name, or what stands at its path of names. A union with null is NULL or the value; in
//!   other unions each branch must fit the column.
//! - Enums are text, records structs, maps lists of structs of `key` and `value`, `fixed` is bytes; the logical types
//!   date, time, timestamp (of whatever unit, nanoseconds rounded down) and decimal are what they say.
//! - With Confluent's framing the schema is the same for all. With the registry's, the number in front of a record names the
//!   one that it was written with, whose fields are found by their names, or by the aliases that the own schema gives them;
//!   what it lacks is the own schema's default, or NULL, within structs always NULL. A record of an unknown number is
//!   malformed, and so is one whose schema the columns do not fit.
//! - Elements that take no bytes (an array of nulls) are refused: their count could be anything.

use std::{collections::BTreeMap, sync::Arc};

use arrow_schema::{DataType, Field as ColumnField, SchemaRef, TimeUnit};
use avro_schema::{Field, Schema, Type, TypeId, WrittenFields};
use serde_json::Value;

use super::{
    DEPTH_MAX, Failure, FormatError, Implied, Reason, SchemaText,
    column::{Column, Values},
    framing::{self, Framing},
    scalar::{Read, push_name_text, push_read},
    writers::Known,
};

/// Schemas of writers that a decoder holds; another is looked at anew.
const WRITERS_MAX: usize = 1024;

/// What is read of the records.
pub(super) struct Records {
    own: Written,
    /// Of other writers, if the columns fit them.
    by_number: BTreeMap<u32, Option<Written>>,
    /// Of the texts of all schemas that were looked at.
    schema_bytes: usize,
    writers: Known,
    framing: Framing,
    /// Path and field of each column.
    columns: Vec<(Vec<String>, Arc<ColumnField>)>,
}

/// Records of one schema.
struct Written {
    schema: Schema,
    steps: Vec<Step>,
    /// Columns that are not in it: their type in the own schema, and the bytes of their default.
    defaults: Vec<(usize, TypeId, Vec<u8>)>,
}

/// What is done with one field of a record.
enum Step {
    Skip(TypeId),
    Value {
        from: TypeId,
        columns: Vec<usize>,
    },
    /// Fields of a record, perhaps in a union with null, are columns of their own; and so is all of it, perhaps.
    Path {
        from: TypeId,
        columns: Vec<usize>,
        steps: Vec<Step>,
    },
}

impl Records {
    pub fn new(
        definition: (&SchemaText, &[Vec<String>], Framing),
        source: &SchemaRef,
        columns: &[usize],
    ) -> Result<Self, FormatError> {
        let (text, paths, framing) = definition;
        super::check_paths(paths, source)?;
        let columns = columns.iter().map(|at| {
            let field = source.fields()[*at].clone();
            let path = paths.get(*at).cloned();
            (path.unwrap_or_else(|| vec![field.name().clone()]), field)
        });
        let columns: Vec<_> = columns.collect();
        if let Some((_, field)) = columns.iter().find(|(path, _)| path.len() >= DEPTH_MAX) {
            return Err(FormatError::PathDepth {
                column: field.name().clone(),
            });
        }
        Ok(Self {
            own: Written::own(parse(text)?, &columns)?,
            by_number: BTreeMap::new(),
            schema_bytes: text.bytes(),
            writers: Known::default(),
            framing,
            columns,
        })
    }

    pub fn know_writers(&mut self, writers: Known) {
        self.writers = writers;
    }

    pub fn schema_bytes(&self) -> usize {
        self.schema_bytes
    }

    /// Looks at the schema of this number, if that was not done.
    fn learn(&mut self, number: u32) -> Result<(), Failure> {
        if self.by_number.contains_key(&number) {
            return Ok(());
        }
        let schema = self.writers.get(number);
        let schema = schema.ok_or(Failure::new(0, Reason::UnknownSchema(number)))?;
        let written = parse(schema).and_then(|schema| self.own.others(schema, &self.columns));
        if self.by_number.len() == WRITERS_MAX {
            self.by_number.pop_first();
        }
        self.schema_bytes += schema.bytes();
        self.by_number.insert(number, written.ok());
        Ok(())
    }

    /// Adds a value to each column, whose `rows` values are those of the records before. On failure some have more.
    pub fn decode(
        &mut self,
        text: &[u8],
        columns: &mut [Column],
        rows: usize,
    ) -> Result<(), Failure> {
        let (written, at) = match self.framing {
            Framing::None => (&self.own, 0),
            Framing::Confluent => (&self.own, framing::schema_number(text)?.1),
            Framing::Registry => {
                let (number, at) = framing::schema_number(text)?;
                self.learn(number)?;
                let written = self.by_number.get(&number).and_then(Option::as_ref);
                let other = Failure::new(0, Reason::OtherSchema(number));
                (written.ok_or(other)?, at)
            }
        };
        let mut walk = Walk {
            schema: &written.schema,
            text,
            at,
            depth: 0,
        };
        walk.steps(&written.steps, columns)?;
        if walk.at < text.len() {
            return Err(walk.fail(Reason::Trailing));
        }
        for (column, id, bytes) in &written.defaults {
            let mut walk = Walk {
                schema: &self.own.schema,
                text: bytes,
                at: 0,
                depth: 0,
            };
            walk.value(*id, &mut columns[*column])
                .map_err(|failure| failure.of(*column))?;
        }
        for column in columns {
            if column.len() == rows {
                column.push_null();
            }
        }
        Ok(())
    }
}

/// Texts of schemas that are longer are refused.
const SCHEMA_BYTES_MAX: usize = 256 << 10;

fn parse(schema: &SchemaText) -> Result<Schema, FormatError> {
    if schema.bytes() > SCHEMA_BYTES_MAX {
        return Err(FormatError::SchemaSize {
            bytes_max: SCHEMA_BYTES_MAX,
        });
    }
    Ok(Schema::parse_with(&schema.texts_of_others(), &schema.text)?)
}

impl Written {
    /// Of the schema that tells which columns there may be.
    fn own(
        schema: Schema,
        columns: &[(Vec<String>, Arc<ColumnField>)],
    ) -> Result<Self, FormatError> {
        let mut wanted = Vec::new();
        for (at, (path, field)) in columns.iter().enumerate() {
            let id = find(&schema, path).ok_or_else(|| FormatError::Field {
                column: field.name().clone(),
                message: "the schema".to_owned(),
            })?;
            if !fits(&schema, id, field.data_type(), true, 0) {
                return Err(other_type(field));
            }
            wanted.push((at, path.as_slice()));
        }
        let steps = steps(&schema, schema.root(), &wanted);
        Ok(Self {
            schema,
            steps,
            defaults: Vec::new(),
        })
    }

    /// Of one that somebody wrote records with, when this one is the own.
    fn others(
        &self,
        schema: Schema,
        columns: &[(Vec<String>, Arc<ColumnField>)],
    ) -> Result<Self, FormatError> {
        let mut paths = Vec::new();
        let mut defaults = Vec::new();
        let mut own_defaults = self.schema.defaults();
        for (at, (path, field)) in columns.iter().enumerate() {
            match resolve(&self.schema, &schema, path) {
                Resolved::There(path, id) => {
                    if !fits(&schema, id, field.data_type(), false, 0) {
                        return Err(other_type(field));
                    }
                    paths.push((at, path));
                }
                Resolved::Default(id, value) => {
                    let bytes = own_defaults.encode(id, &value)?;
                    defaults.push((at, id, bytes));
                }
                Resolved::Missing => {}
            }
        }
        let wanted = paths.iter().map(|(at, path)| (*at, path.as_slice()));
        let wanted: Vec<_> = wanted.collect();
        let steps = steps(&schema, schema.root(), &wanted);
        Ok(Self {
            schema,
            steps,
            defaults,
        })
    }
}

fn other_type(field: &ColumnField) -> FormatError {
    FormatError::FieldType {
        column: field.name().clone(),
        data_type: field.data_type().clone(),
    }
}

fn find(schema: &Schema, path: &[String]) -> Option<TypeId> {
    let mut at = schema.root();
    for name in path {
        let mut fields = schema.fields(at)?.iter();
        at = fields.find(|field| field.name == *name)?.id;
    }
    Some(at)
}

/// Where a writer has what the own schema has at a path.
enum Resolved {
    There(Vec<String>, TypeId),
    /// Nowhere, but the own schema says what is taken then.
    Default(TypeId, Value),
    Missing,
}

fn resolve(own: &Schema, written: &Schema, path: &[String]) -> Resolved {
    let (mut own_at, mut written_at) = (own.root(), written.root());
    let mut found = Vec::new();
    for (depth, name) in path.iter().enumerate() {
        let mut own_fields = own.fields(own_at).unwrap_or_default().iter();
        let Some(own_field) = own_fields.find(|field| field.name == *name) else {
            return Resolved::Missing;
        };
        let Some(fields) = written.fields(written_at) else {
            return Resolved::Missing;
        };
        let Some(field) = WrittenFields::new(fields).of(own_field) else {
            let value = own_field.default.clone();
            return default_within(own, own_field.id, value, &path[depth + 1..]);
        };
        found.push(field.name.clone());
        (own_at, written_at) = (own_field.id, field.id);
    }
    Resolved::There(found, written_at)
}

/// What stands at a path within a default.
fn default_within(own: &Schema, id: TypeId, value: Option<Value>, path: &[String]) -> Resolved {
    let (mut id, mut value) = (id, value);
    for name in path {
        let mut fields = own.fields(id).unwrap_or_default().iter();
        let Some(field) = fields.find(|field| field.name == *name) else {
            return Resolved::Missing;
        };
        value = match value {
            Some(Value::Object(mut members)) => {
                members.remove(name).or_else(|| field.default.clone())
            }
            _ => None,
        };
        id = field.id;
    }
    match value {
        Some(value) => Resolved::Default(id, value),
        None => Resolved::Missing,
    }
}

fn steps(schema: &Schema, from: TypeId, wanted: &[(usize, &[String])]) -> Vec<Step> {
    let fields = schema.fields(from).unwrap_or_default().iter();
    fields
        .map(|field| {
            let (name, id) = (&field.name, &field.id);
            let mut columns = Vec::new();
            let mut within = Vec::new();
            for (column, path) in wanted {
                match path {
                    [first] if first == name => columns.push(*column),
                    [first, rest @ ..] if first == name => within.push((*column, rest)),
                    _ => {}
                }
            }
            match (columns.is_empty(), within.is_empty()) {
                (true, true) => Step::Skip(*id),
                (false, true) => Step::Value { from: *id, columns },
                (_, false) => {
                    let steps = steps(schema, *id, &within);
                    Step::Path {
                        from: *id,
                        columns,
                        steps,
                    }
                }
            }
        })
        .collect()
}

fn is_column(data_type: &DataType, from: &Type) -> bool {
    use DataType::{
        Binary, Boolean, Date32, Decimal128, Float32, Float64, Int16, Int32, Int64, List, Struct,
        Time64, Timestamp, Utf8,
    };
    match from {
        Type::Null => true,
        Type::Boolean => matches!(data_type, Boolean),
        Type::Int | Type::Long => {
            matches!(
                data_type,
                Int16 | Int32 | Int64 | Decimal128(..) | Timestamp(..) | Float64
            )
        }
        Type::Float => matches!(data_type, Float32 | Float64),
        Type::Double => matches!(data_type, Float64),
        Type::Bytes | Type::Fixed(_) => matches!(data_type, Binary),
        Type::Text => !matches!(data_type, List(_) | Struct(_)),
        Type::Enum(_) => matches!(data_type, Utf8),
        Type::Date => matches!(data_type, Date32 | Int32 | Int64),
        Type::TimeMillis | Type::TimeMicros => matches!(data_type, Time64(_)),
        Type::TimestampMillis | Type::TimestampMicros | Type::TimestampNanos => {
            matches!(data_type, Timestamp(..))
        }
        Type::Decimal { .. } => matches!(data_type, Decimal128(..)),
        Type::Array(_) | Type::Map(_) | Type::Union(_) | Type::Record(_) => false,
    }
}

/// Whether each value of the type is one of the column's; fields of structs may be missing unless they all must be there.
/// Ends with the column's type, which is finite, and with unions within unions.
fn fits(
    schema: &Schema,
    id: TypeId,
    data_type: &DataType,
    is_complete: bool,
    depth: usize,
) -> bool {
    if depth > DEPTH_MAX {
        return false;
    }
    match (schema.get(id), data_type) {
        (Type::Union(branches), _) => {
            let mut branches = branches.iter();
            branches.all(|branch| fits(schema, *branch, data_type, is_complete, depth + 1))
        }
        (Type::Array(items), DataType::List(element)) => {
            fits(schema, *items, element.data_type(), is_complete, depth + 1)
        }
        (Type::Map(values), DataType::List(entry)) => match entry.data_type() {
            DataType::Struct(columns) => match &**columns {
                [key, value] => {
                    *key.data_type() == DataType::Utf8
                        && fits(schema, *values, value.data_type(), is_complete, depth + 1)
                }
                _ => false,
            },
            _ => false,
        },
        (Type::Record(fields), DataType::Struct(columns)) => columns.iter().all(|column| {
            let mut fields = fields.iter();
            match fields.find(|field| field.name == *column.name()) {
                Some(field) => fits(schema, field.id, column.data_type(), is_complete, depth + 1),
                None => !is_complete,
            }
        }),
        (from, data_type) => is_column(data_type, from),
    }
}

/// A record while it is read.
struct Walk<'a> {
    schema: &'a Schema,
    text: &'a [u8],
    at: usize,
    depth: usize,
}

impl<'a> Walk<'a> {
    #[cold]
    fn fail(&self, reason: Reason) -> Failure {
        Failure::new(self.at, reason)
    }

    #[inline]
    fn long(&mut self) -> Result<i64, Failure> {
        framing::zigzag(self.text, &mut self.at).ok_or_else(|| self.fail(Reason::Varint))
    }

    #[inline]
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], Failure> {
        let bytes = self.text.get(self.at..).and_then(|rest| rest.get(..count));
        let bytes = bytes.ok_or_else(|| self.fail(Reason::End))?;
        self.at += count;
        Ok(bytes)
    }

    #[inline]
    fn counted(&mut self) -> Result<&'a [u8], Failure> {
        let count = usize::try_from(self.long()?).map_err(|_| self.fail(Reason::End))?;
        self.bytes(count)
    }

    fn boolean(&mut self) -> Result<bool, Failure> {
        match self.bytes(1)? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(self.fail(Reason::NotA("boolean"))),
        }
    }

    fn branch(&mut self, branches: &[TypeId]) -> Result<TypeId, Failure> {
        let branch = usize::try_from(self.long()?).ok();
        let branch = branch.and_then(|branch| branches.get(branch));
        branch.copied().ok_or_else(|| self.fail(Reason::Branch))
    }

    fn deeper(&mut self) -> Result<(), Failure> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.fail(Reason::Depth));
        }
        Ok(())
    }

    fn steps(&mut self, steps: &[Step], columns: &mut [Column]) -> Result<(), Failure> {
        for step in steps {
            match step {
                Step::Skip(from) => self.skip(*from)?,
                Step::Value { from, columns: to } => self.values(*from, to, columns)?,
                Step::Path {
                    from,
                    columns: to,
                    steps,
                } => {
                    let start = self.at;
                    if !to.is_empty() {
                        self.values(*from, to, columns)?;
                        self.at = start;
                    }
                    self.deeper()?;
                    match self.schema.get(*from) {
                        Type::Union(branches) => {
                            let branch = self.branch(branches)?;
                            if *self.schema.get(branch) != Type::Null {
                                self.steps(steps, columns)?;
                            }
                        }
                        _ => self.steps(steps, columns)?,
                    }
                    self.depth -= 1;
                }
            }
        }
        Ok(())
    }

    #[inline]
    fn values(
        &mut self,
        from: TypeId,
        to: &[usize],
        columns: &mut [Column],
    ) -> Result<(), Failure> {
        let start = self.at;
        for at in to {
            self.at = start;
            self.value(from, &mut columns[*at])
                .map_err(|failure| failure.of(*at))?;
        }
        Ok(())
    }

    /// Reads a value. On failure the column may be half-written.
    fn value(&mut self, from: TypeId, column: &mut Column) -> Result<(), Failure> {
        let at = self.at;
        let read = match self.schema.get(from) {
            Type::Null => {
                column.push_null();
                return Ok(());
            }
            Type::Union(branches) => {
                let branch = self.branch(branches)?;
                self.deeper()?;
                self.value(branch, column)?;
                self.depth -= 1;
                return Ok(());
            }
            Type::Array(_) | Type::Map(_) | Type::Record(_) => {
                self.deeper()?;
                self.nested(from, column)?;
                self.depth -= 1;
                return Ok(());
            }
            Type::Enum(symbols) => {
                let symbol = usize::try_from(self.long()?).ok();
                let symbol = symbol.and_then(|symbol| symbols.get(symbol));
                let symbol = symbol.ok_or_else(|| self.fail(Reason::Branch))?;
                return push_name_text(symbol, column).map_err(|reason| Failure::new(at, reason));
            }
            from => self.scalar(from)?,
        };
        push_read(read, column).map_err(|reason| Failure::new(at, reason))
    }

    fn scalar(&mut self, from: &Type) -> Result<Read<'a>, Failure> {
        Ok(match from {
            Type::Boolean => Read::Boolean(self.boolean()?),
            Type::Int | Type::Long | Type::Date => Read::Integer(self.long()?),
            Type::Float => {
                let bytes = self.bytes(4)?.first_chunk().copied().unwrap_or_default();
                Read::Single(f32::from_le_bytes(bytes))
            }
            Type::Double => {
                let bytes = self.bytes(8)?.first_chunk().copied().unwrap_or_default();
                Read::Double(f64::from_le_bytes(bytes))
            }
            Type::Bytes | Type::Text => Read::Bytes(self.counted()?),
            Type::Fixed(count) => Read::Bytes(self.bytes(*count)?),
            Type::TimeMicros | Type::TimestampMicros => Read::Micros(self.long()?),
            Type::TimestampNanos => Read::Micros(self.long()?.div_euclid(1000)),
            Type::TimeMillis | Type::TimestampMillis => {
                let micros = self.long()?.checked_mul(1000);
                Read::Micros(micros.ok_or_else(|| self.fail(Reason::Range("timestamp")))?)
            }
            Type::Decimal { scale, bytes } => {
                let digits = match bytes {
                    Some(count) => self.bytes(*count)?,
                    None => self.counted()?,
                };
                let value = signed(digits);
                Read::Decimal(
                    value.ok_or_else(|| self.fail(Reason::Range("numeric")))?,
                    *scale,
                )
            }
            _ => return Err(self.fail(Reason::Branch)),
        })
    }

    fn nested(&mut self, from: TypeId, column: &mut Column) -> Result<(), Failure> {
        let schema = self.schema;
        let rows = column.len();
        match (schema.get(from), &mut column.values) {
            (Type::Array(items), Values::List { elements, .. }) => {
                self.blocks(|walk| walk.value(*items, elements))?;
                column.end_list();
            }
            (Type::Map(values), Values::List { elements, .. }) => {
                self.blocks(|walk| walk.entry(*values, elements))?;
                column.end_list();
            }
            (Type::Record(from), Values::Struct { fields, columns }) => {
                for Field { name, id, .. } in from {
                    match fields.iter().position(|field| field.name() == name) {
                        Some(place) if columns[place].len() == rows => {
                            self.value(*id, &mut columns[place])?;
                        }
                        _ => self.skip(*id)?,
                    }
                }
                for column in columns {
                    if column.len() == rows {
                        column.push_null();
                    }
                }
                column.end_value();
            }
            _ => return Err(self.fail(Reason::NotA(column.type_name()))),
        }
        Ok(())
    }

    fn entry(&mut self, value: TypeId, column: &mut Column) -> Result<(), Failure> {
        let Values::Struct { columns, .. } = &mut column.values else {
            return Err(self.fail(Reason::NotA(column.type_name())));
        };
        let [key, to] = columns.as_mut_slice() else {
            return Err(self.fail(Reason::Branch));
        };
        let at = self.at;
        let name = Read::Bytes(self.counted()?);
        push_read(name, key).map_err(|reason| Failure::new(at, reason))?;
        self.value(value, to)?;
        column.end_value();
        Ok(())
    }

    /// Elements in blocks, each with its count in front; behind a negative one stand the block's bytes.
    fn blocks(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        loop {
            let count = self.long()?;
            if count == 0 {
                return Ok(());
            }
            if count < 0 {
                self.long()?;
            }
            for _ in 0..count.unsigned_abs() {
                let before = self.at;
                element(self)?;
                if self.at == before {
                    return Err(self.fail(Reason::NoSize));
                }
            }
        }
    }

    fn skip(&mut self, from: TypeId) -> Result<(), Failure> {
        let schema = self.schema;
        match schema.get(from) {
            Type::Null => Ok(()),
            Type::Enum(_) => self.long().map(|_| ()),
            Type::Array(items) => {
                self.deeper()?;
                self.blocks(|walk| walk.skip(*items))?;
                self.depth -= 1;
                Ok(())
            }
            Type::Map(values) => {
                self.deeper()?;
                self.blocks(|walk| {
                    walk.counted()?;
                    walk.skip(*values)
                })?;
                self.depth -= 1;
                Ok(())
            }
            Type::Union(branches) => {
                let branch = self.branch(branches)?;
                self.deeper()?;
                self.skip(branch)?;
                self.depth -= 1;
                Ok(())
            }
            Type::Record(fields) => {
                self.deeper()?;
                for field in fields {
                    self.skip(field.id)?;
                }
                self.depth -= 1;
                Ok(())
            }
            Type::Decimal { bytes: None, .. } => self.counted().map(|_| ()),
            Type::Decimal {
                bytes: Some(count), ..
            } => self.bytes(*count).map(|_| ()),
            Type::TimeMillis | Type::TimestampMillis => self.long().map(|_| ()),
            scalar => self.scalar(scalar).map(|_| ()),
        }
    }
}

/// Two's complement, big-endian; any length, as long as the value fits.
fn signed(digits: &[u8]) -> Option<i128> {
    let is_negative = digits.first().is_some_and(|first| *first >= 0x80);
    let fill = if is_negative { 0xff } else { 0 };
    let start = digits.len().saturating_sub(16);
    let (extension, digits) = digits.split_at(start);
    let mut all = [fill; 16];
    all[16 - digits.len()..].copy_from_slice(digits);
    let value = i128::from_be_bytes(all);
    let is_whole = extension.iter().all(|byte| *byte == fill) && (value < 0) == is_negative;
    is_whole.then_some(value)
}

/// Columns for all fields of a record.
pub(super) fn implied_schema(text: &SchemaText) -> Result<SchemaRef, FormatError> {
    let schema = parse(text)?;
    let fields = implied_fields(&schema, schema.root(), &mut Implied::default())?;
    Ok(Arc::new(arrow_schema::Schema::new(fields)))
}

fn implied_fields(
    schema: &Schema,
    record: TypeId,
    implied: &mut Implied,
) -> Result<Vec<ColumnField>, FormatError> {
    let fields = schema.fields(record).ok_or(FormatError::SchemaJson {
        expected: "a record",
    })?;
    let fields = fields.iter().map(|field| {
        let data_type = implied_type(schema, field.id, implied)?;
        Ok(ColumnField::new(&field.name, data_type, true))
    });
    fields.collect()
}

fn implied_type(
    schema: &Schema,
    id: TypeId,
    implied: &mut Implied,
) -> Result<DataType, FormatError> {
    implied.enter("the record")?;
    let list = |data_type| DataType::List(Arc::new(ColumnField::new_list_field(data_type, true)));
    let data_type = match schema.get(id) {
        Type::Null | Type::Text | Type::Enum(_) => DataType::Utf8,
        Type::Boolean => DataType::Boolean,
        Type::Int => DataType::Int32,
        Type::Long => DataType::Int64,
        Type::Float => DataType::Float32,
        Type::Double => DataType::Float64,
        Type::Bytes | Type::Fixed(_) => DataType::Binary,
        Type::Date => DataType::Date32,
        Type::TimeMillis | Type::TimeMicros => DataType::Time64(TimeUnit::Microsecond),
        Type::TimestampMillis | Type::TimestampMicros | Type::TimestampNanos => {
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
        }
        Type::Decimal { scale, .. } => DataType::Decimal128(38, *scale as i8),
        Type::Array(items) => list(implied_type(schema, *items, implied)?),
        Type::Map(values) => {
            let value = implied_type(schema, *values, implied)?;
            let key = ColumnField::new("key", DataType::Utf8, true);
            let entry = vec![key, ColumnField::new("value", value, true)];
            list(DataType::Struct(entry.into()))
        }
        Type::Union(branches) => {
            let mut others = branches.iter().filter(|id| *schema.get(**id) != Type::Null);
            match (others.next(), others.next()) {
                (Some(only), None) => implied_type(schema, *only, implied)?,
                _ => {
                    return Err(FormatError::SchemaJson {
                        expected: "a union of null and one other type",
                    });
                }
            }
        }
        Type::Record(_) => DataType::Struct(implied_fields(schema, id, implied)?.into()),
    };
    implied.leave();
    Ok(data_type)
}

#[cfg(test)]
mod tests;
