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
//! - With Confluent's framing the number in front of a record names the schema it was written with. As long as none was
//!   added by number, the format's own schema is taken for all; afterwards a record of an unknown number is malformed, and
//!   the reason tells the number. Fields that such a schema lacks are NULL.
//! - Elements that take no bytes (an array of nulls) are refused: their count could be anything.

mod schema;

use std::{collections::BTreeMap, sync::Arc};

use arrow_schema::{DataType, Field as ColumnField, SchemaRef, TimeUnit};

use super::{
    DEPTH_MAX, Failure, FormatError, Implied, Reason,
    column::{Column, Values},
    framing::{self, Framing},
    scalar::{Read, push_name_text, push_read},
};
use schema::{Schema, Type, TypeId};

/// Schemas with numbers that a decoder holds.
const WRITERS_MAX: usize = 1024;

/// What is read of the records.
pub(super) struct Records {
    own: Written,
    by_number: BTreeMap<u32, Written>,
    framing: Framing,
    /// Path and field of each column.
    columns: Vec<(Vec<String>, Arc<ColumnField>)>,
}

/// Records of one schema.
struct Written {
    schema: Schema,
    steps: Vec<Step>,
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
        definition: (&str, &[Vec<String>], Framing),
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
            own: Written::new(text, &columns, true)?,
            by_number: BTreeMap::new(),
            framing,
            columns,
        })
    }

    /// Records with this number in front are written with that schema.
    pub fn add_schema(&mut self, number: u32, text: &str) -> Result<(), FormatError> {
        if self.by_number.len() == WRITERS_MAX {
            self.by_number.pop_first();
        }
        let written = Written::new(text, &self.columns, false)?;
        self.by_number.insert(number, written);
        Ok(())
    }

    /// Adds a value to each column, whose `rows` values are those of the records before. On failure some have more.
    pub fn decode(&self, text: &[u8], columns: &mut [Column], rows: usize) -> Result<(), Failure> {
        let (written, at) = match self.framing {
            Framing::None => (&self.own, 0),
            Framing::Confluent => {
                let (number, at) = framing::schema_number(text)?;
                let written = if self.by_number.is_empty() {
                    Some(&self.own)
                } else {
                    self.by_number.get(&number)
                };
                let unknown = Failure::new(0, Reason::UnknownSchema(number));
                (written.ok_or(unknown)?, at)
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
        for column in columns {
            if column.len() == rows {
                column.push_null();
            }
        }
        Ok(())
    }
}

impl Written {
    fn new(
        text: &str,
        columns: &[(Vec<String>, Arc<ColumnField>)],
        is_complete: bool,
    ) -> Result<Self, FormatError> {
        let schema = Schema::parse(text)?;
        let mut wanted: Vec<(usize, &[String])> = Vec::new();
        for (at, (path, field)) in columns.iter().enumerate() {
            let found = find(&schema, schema.root(), path);
            match found {
                None if is_complete => {
                    return Err(FormatError::Field {
                        column: field.name().clone(),
                        message: "the schema".to_owned(),
                    });
                }
                None => continue,
                Some(id) if fits(&schema, id, field.data_type(), 0) => wanted.push((at, path)),
                Some(_) => {
                    return Err(FormatError::FieldType {
                        column: field.name().clone(),
                        data_type: field.data_type().clone(),
                    });
                }
            }
        }
        let steps = steps(&schema, schema.root(), &wanted);
        Ok(Self { schema, steps })
    }
}

/// A record's fields, also of a union of it with null.
fn fields(schema: &Schema, id: TypeId) -> Option<&[(String, TypeId)]> {
    match schema.get(id) {
        Type::Record(fields) => Some(fields),
        Type::Union(branches) => {
            let mut others = branches.iter().filter(|id| *schema.get(**id) != Type::Null);
            match (others.next().map(|id| schema.get(*id)), others.next()) {
                (Some(Type::Record(fields)), None) => Some(fields),
                _ => None,
            }
        }
        _ => None,
    }
}

fn find(schema: &Schema, from: TypeId, path: &[String]) -> Option<TypeId> {
    let (name, rest) = path.split_first()?;
    let mut fields = fields(schema, from)?.iter();
    let (_, id) = fields.find(|(field, _)| field == name)?;
    if rest.is_empty() {
        Some(*id)
    } else {
        find(schema, *id, rest)
    }
}

fn steps(schema: &Schema, from: TypeId, wanted: &[(usize, &[String])]) -> Vec<Step> {
    let fields = fields(schema, from).unwrap_or_default().iter();
    fields
        .map(|(name, id)| {
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
        Type::Long => {
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

/// Whether each value of the type is one of the column's. Ends with the column's type, which is finite, and with unions
/// within unions.
fn fits(schema: &Schema, id: TypeId, data_type: &DataType, depth: usize) -> bool {
    if depth > DEPTH_MAX {
        return false;
    }
    match (schema.get(id), data_type) {
        (Type::Union(branches), _) => {
            let mut branches = branches.iter();
            branches.all(|branch| fits(schema, *branch, data_type, depth + 1))
        }
        (Type::Array(items), DataType::List(element)) => {
            fits(schema, *items, element.data_type(), depth + 1)
        }
        (Type::Map(values), DataType::List(entry)) => match entry.data_type() {
            DataType::Struct(columns) => match &**columns {
                [key, value] => {
                    *key.data_type() == DataType::Utf8
                        && fits(schema, *values, value.data_type(), depth + 1)
                }
                _ => false,
            },
            _ => false,
        },
        (Type::Record(fields), DataType::Struct(columns)) => columns.iter().all(|column| {
            let mut fields = fields.iter();
            let field = fields.find(|(name, _)| name == column.name());
            field.is_some_and(|(_, id)| fits(schema, *id, column.data_type(), depth + 1))
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
            Type::Long | Type::Date => Read::Integer(self.long()?),
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
                for (name, id) in from {
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
                for (_, id) in fields {
                    self.skip(*id)?;
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
pub(super) fn implied_schema(text: &str) -> Result<SchemaRef, FormatError> {
    let schema = Schema::parse(text)?;
    let fields = implied_fields(&schema, schema.root(), &mut Implied::default())?;
    Ok(Arc::new(arrow_schema::Schema::new(fields)))
}

fn implied_fields(
    schema: &Schema,
    record: TypeId,
    implied: &mut Implied,
) -> Result<Vec<ColumnField>, FormatError> {
    let fields = fields(schema, record).ok_or(FormatError::SchemaJson {
        expected: "a record",
    })?;
    let fields = fields.iter().map(|(name, id)| {
        let data_type = implied_type(schema, *id, implied)?;
        Ok(ColumnField::new(name, data_type, true))
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
