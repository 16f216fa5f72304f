//! Types of columns: Postgres's names and numbers for Arrow's types, both ways.

#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::Arc};

use arrow::datatypes::{
    DataType, Field, FieldRef, Fields, IntervalUnit, Schema, SchemaRef, TimeUnit,
};
use datafusion_sql::sqlparser::ast;

use crate::{backend::SqlError, error::sqlstate};

/// Metadata of a field whose Arrow type stands for several of Postgres's: `jsonb`, `json`, `uuid`, `varchar`, `name`, `oid`.
pub const TYPE_KEY: &str = "postgres.type";
/// Metadata: Postgres's type modifier, in decimal.
pub const TYPMOD_KEY: &str = "postgres.typmod";
/// Metadata: any value means that the column takes no nulls.
pub const NOT_NULL_KEY: &str = "postgres.not_null";

/// Metadata: the expression that an INSERT takes for a column which it leaves out.
pub const DEFAULT_KEY: &str = "postgres.default";

/// A zone is a way of printing; instants are always UTC.
pub const UTC: &str = "UTC";

/// Of a day, in the microseconds that all columns of times are of.
pub const DAY_US: i64 = 24 * 60 * 60 * 1_000_000;

/// Of a month, where intervals are compared or a part of one is written.
pub const MONTH_DAYS: i32 = 30;

/// Digits and scale of `numeric` without a modifier.
pub const NUMERIC_PRECISION: u8 = 38;
pub const NUMERIC_SCALE: i8 = 10;
/// Places behind the point of a quotient of numerics: as many as Postgres shows of most.
pub const QUOTIENT_SCALE: i8 = 16;

/// Bytes of one column of a chunk: a letter in another's place may take four times as many, and all must not pass 2 GiB.
pub const COLUMN_BYTES_MAX: usize = (i32::MAX / 4) as usize;

/// How Postgres calls the type of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresType {
    pub oid: u32,
    /// `pg_type.typname`.
    pub name: &'static str,
    /// As `format_type` writes it, without a modifier.
    pub long_name: &'static str,
    /// Bytes; -1 when it varies.
    pub length: i16,
    /// -1 for none.
    pub modifier: i32,
    /// Of an element, for arrays.
    pub element: Option<u32>,
}

struct Row(u32, &'static str, &'static str, i16, u32);

/// oid, name, long name, length, oid of the array of it.
const TYPES: &[Row] = &[
    Row(16, "bool", "boolean", 1, 1000),
    Row(17, "bytea", "bytea", -1, 1001),
    Row(18, "char", "\"char\"", 1, 1002),
    Row(19, "name", "name", 64, 1003),
    Row(20, "int8", "bigint", 8, 1016),
    Row(21, "int2", "smallint", 2, 1005),
    Row(22, "int2vector", "int2vector", -1, 1006),
    Row(23, "int4", "integer", 4, 1007),
    Row(24, "regproc", "regproc", 4, 1008),
    Row(25, "text", "text", -1, 1009),
    Row(26, "oid", "oid", 4, 1028),
    Row(30, "oidvector", "oidvector", -1, 1013),
    Row(114, "json", "json", -1, 199),
    Row(700, "float4", "real", 4, 1021),
    Row(701, "float8", "double precision", 8, 1022),
    Row(1042, "bpchar", "character", -1, 1014),
    Row(1043, "varchar", "character varying", -1, 1015),
    Row(1082, "date", "date", 4, 1182),
    Row(1083, "time", "time without time zone", 8, 1183),
    Row(1114, "timestamp", "timestamp without time zone", 8, 1115),
    Row(1184, "timestamptz", "timestamp with time zone", 8, 1185),
    Row(1186, "interval", "interval", 16, 1187),
    Row(1700, "numeric", "numeric", -1, 1231),
    Row(2205, "regclass", "regclass", 4, 2210),
    Row(2206, "regtype", "regtype", 4, 2211),
    Row(2249, "record", "record", -1, 2287),
    Row(2950, "uuid", "uuid", 16, 2951),
    Row(3802, "jsonb", "jsonb", -1, 3807),
];

/// Names of arrays in the order of [`TYPES`].
const ARRAY_NAMES: &[(&str, &str)] = &[
    ("_bool", "boolean[]"),
    ("_bytea", "bytea[]"),
    ("_char", "\"char\"[]"),
    ("_name", "name[]"),
    ("_int8", "bigint[]"),
    ("_int2", "smallint[]"),
    ("_int2vector", "int2vector[]"),
    ("_int4", "integer[]"),
    ("_regproc", "regproc[]"),
    ("_text", "text[]"),
    ("_oid", "oid[]"),
    ("_oidvector", "oidvector[]"),
    ("_json", "json[]"),
    ("_float4", "real[]"),
    ("_float8", "double precision[]"),
    ("_bpchar", "character[]"),
    ("_varchar", "character varying[]"),
    ("_date", "date[]"),
    ("_time", "time without time zone[]"),
    ("_timestamp", "timestamp without time zone[]"),
    ("_timestamptz", "timestamp with time zone[]"),
    ("_interval", "interval[]"),
    ("_numeric", "numeric[]"),
    ("_regclass", "regclass[]"),
    ("_regtype", "regtype[]"),
    ("_record", "record[]"),
    ("_uuid", "uuid[]"),
    ("_jsonb", "jsonb[]"),
];

/// Lists in PostgreSQL's own relations, of these elements: types of their own, written without braces.
const VECTORS: [(&str, &str); 2] = [("int2vector", "int2"), ("oidvector", "oid")];

/// Whether a list is one of these.
#[must_use]
pub fn is_vector(field: &Field) -> bool {
    let marked = field.metadata().get(TYPE_KEY);
    marked.is_some_and(|marked| VECTORS.iter().any(|(name, _)| name == marked))
}

/// All types there are, elements before their arrays.
pub fn postgres_types() -> impl Iterator<Item = PostgresType> {
    let plain = TYPES.iter().map(plain);
    let arrays = TYPES
        .iter()
        .zip(ARRAY_NAMES)
        .map(|(row, (name, long_name))| PostgresType {
            oid: row.4,
            name,
            long_name,
            length: -1,
            modifier: -1,
            element: Some(row.0),
        });
    plain.chain(arrays)
}

fn plain(Row(oid, name, long_name, length, _): &Row) -> PostgresType {
    PostgresType {
        oid: *oid,
        name,
        long_name,
        length: *length,
        modifier: -1,
        element: None,
    }
}

/// Where a type stands in [`TYPES`], found when this is compiled: each look-up asks it of each of its columns.
const fn place(name: &str) -> usize {
    let mut at = 0;
    loop {
        let (one, other) = (TYPES[at].1.as_bytes(), name.as_bytes());
        let mut same = 0;
        while same < one.len() && same < other.len() && one[same] == other[same] {
            same += 1;
        }
        if same == one.len() && same == other.len() {
            return at;
        }
        at += 1;
    }
}

/// By the oid.
#[must_use]
pub fn postgres_type_of_oid(oid: u32) -> Option<PostgresType> {
    postgres_types().find(|found| found.oid == oid)
}

/// What a column is to Postgres.
#[must_use]
pub fn postgres_type(field: &Field) -> PostgresType {
    let metadata = field.metadata();
    let marked = metadata.get(TYPE_KEY).map(String::as_str);
    let mut found = match marked.filter(|_| is_vector(field)) {
        Some(vector) => named(&DataType::Null, Some(vector)),
        None => named(field.data_type(), marked),
    };
    if let Some(modifier) = metadata.get(TYPMOD_KEY).and_then(|text| text.parse().ok()) {
        found.modifier = modifier;
    }
    found
}

fn named(data_type: &DataType, marked: Option<&str>) -> PostgresType {
    if let DataType::List(element) = data_type {
        let marked = marked.or(element.metadata().get(TYPE_KEY).map(String::as_str));
        let element = named(element.data_type(), marked);
        // However many dimensions it has.
        let element = element.element.unwrap_or(element.oid);
        let array = postgres_types().find(|found| found.element == Some(element));
        return array.expect("every plain type has an array");
    }
    let marked = marked.and_then(|name| TYPES.iter().position(|row| row.1 == name));
    let at = marked.unwrap_or(match data_type {
        DataType::Boolean => const { place("bool") },
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => const { place("int2") },
        DataType::Int32 | DataType::UInt16 => const { place("int4") },
        DataType::Int64 | DataType::UInt32 | DataType::UInt64 => const { place("int8") },
        DataType::Float16 | DataType::Float32 => const { place("float4") },
        DataType::Float64 => const { place("float8") },
        DataType::Decimal128(..) | DataType::Decimal256(..) => const { place("numeric") },
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => const { place("bytea") },
        DataType::Date32 | DataType::Date64 => const { place("date") },
        DataType::Time32(_) | DataType::Time64(_) => const { place("time") },
        DataType::Timestamp(_, None) => const { place("timestamp") },
        DataType::Timestamp(_, Some(_)) => const { place("timestamptz") },
        DataType::Interval(_) | DataType::Duration(_) => const { place("interval") },
        DataType::Struct(_) => const { place("record") },
        _ => const { place("text") },
    });
    plain(&TYPES[at])
}

/// The Arrow type of a parameter or column by its oid.
#[must_use]
pub fn field_of_oid(oid: u32) -> Option<Field> {
    let found = postgres_type_of_oid(oid)?;
    if let Some(element) = found.element {
        let element = field_of_oid(element)?;
        let list = DataType::List(Arc::new(element.with_name("item")));
        return Some(Field::new("", list, true));
    }
    if let Some((name, element)) = VECTORS.iter().find(|(name, _)| *name == found.name) {
        let element = custom_type("item", element).ok()?;
        let list = DataType::List(Arc::new(element));
        return Some(marked(Field::new("", list, true), name));
    }
    let data_type = match found.name {
        "bool" => DataType::Boolean,
        "bytea" => DataType::Binary,
        "int2" => DataType::Int16,
        "int4" => DataType::Int32,
        "int8" | "oid" | "regproc" | "regclass" | "regtype" => DataType::Int64,
        "float4" => DataType::Float32,
        "float8" => DataType::Float64,
        "date" => DataType::Date32,
        "time" => DataType::Time64(TimeUnit::Microsecond),
        "timestamp" => DataType::Timestamp(TimeUnit::Microsecond, None),
        "timestamptz" => timestamptz(),
        "interval" => DataType::Interval(IntervalUnit::MonthDayNano),
        "numeric" => DataType::Decimal128(NUMERIC_PRECISION, NUMERIC_SCALE),
        _ => DataType::Utf8,
    };
    let field = Field::new("", data_type, true);
    Some(match found.name {
        "json" | "jsonb" | "uuid" | "varchar" | "bpchar" | "name" | "oid" | "regproc"
        | "regclass" | "regtype" | "char" => marked(field, found.name),
        _ => field,
    })
}

/// Digits of a decimal and how many of them stand behind the point: a numeric without a scale of its own shows no zeros at
/// its end.
#[must_use]
pub fn shown_decimal(field: &Field, mut value: i128, mut scale: i8) -> (i128, i8) {
    let is_plain = matches!(
        field.data_type(),
        DataType::Decimal128(NUMERIC_PRECISION, NUMERIC_SCALE)
    ) && !field.metadata().contains_key(TYPMOD_KEY);
    while is_plain && scale > 0 && value % 10 == 0 {
        value /= 10;
        scale -= 1;
    }
    (value, scale)
}

#[must_use]
pub fn timestamptz() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into()))
}

/// Of a type that shares its Arrow type with another.
pub fn marked(field: Field, name: &str) -> Field {
    let mut metadata = field.metadata().clone();
    metadata.insert(TYPE_KEY.to_owned(), name.to_owned());
    field.with_metadata(metadata)
}

/// A column of the type that was written.
pub fn field_of(name: &str, written: &ast::DataType) -> Result<Field, SqlError> {
    let plain = |data_type| Ok(Field::new(name, data_type, true));
    let text = |called: &str, length: &Option<ast::CharacterLength>| {
        let mut field = marked(Field::new(name, DataType::Utf8, true), called);
        if let Some(ast::CharacterLength::IntegerLength { length, .. }) = length {
            let mut metadata = field.metadata().clone();
            metadata.insert(TYPMOD_KEY.to_owned(), (length + 4).to_string());
            field = field.with_metadata(metadata);
        }
        Ok(field)
    };
    match written {
        ast::DataType::Bool | ast::DataType::Boolean => plain(DataType::Boolean),
        ast::DataType::Int2(_) | ast::DataType::SmallInt(_) | ast::DataType::TinyInt(_) => {
            plain(DataType::Int16)
        }
        ast::DataType::Int(_) | ast::DataType::Int4(_) | ast::DataType::Integer(_) => {
            plain(DataType::Int32)
        }
        ast::DataType::Int8(_) | ast::DataType::BigInt(_) => plain(DataType::Int64),
        ast::DataType::Real | ast::DataType::Float4 => plain(DataType::Float32),
        ast::DataType::Float(ast::ExactNumberInfo::Precision(bits)) if *bits < 25 => {
            plain(DataType::Float32)
        }
        ast::DataType::Float(_)
        | ast::DataType::Float8
        | ast::DataType::Double(_)
        | ast::DataType::DoublePrecision => plain(DataType::Float64),
        ast::DataType::Numeric(info) | ast::DataType::Decimal(info) | ast::DataType::Dec(info) => {
            numeric(name, info)
        }
        ast::DataType::Text | ast::DataType::String(_) => plain(DataType::Utf8),
        ast::DataType::Varchar(length)
        | ast::DataType::CharacterVarying(length)
        | ast::DataType::CharVarying(length) => text("varchar", length),
        ast::DataType::Char(length) | ast::DataType::Character(length) => text("bpchar", length),
        ast::DataType::Bytea => plain(DataType::Binary),
        ast::DataType::Date => plain(DataType::Date32),
        ast::DataType::Time(_, ast::TimezoneInfo::None | ast::TimezoneInfo::WithoutTimeZone) => {
            plain(DataType::Time64(TimeUnit::Microsecond))
        }
        ast::DataType::Timestamp(
            _,
            ast::TimezoneInfo::None | ast::TimezoneInfo::WithoutTimeZone,
        ) => plain(DataType::Timestamp(TimeUnit::Microsecond, None)),
        ast::DataType::Timestamp(..) => plain(timestamptz()),
        ast::DataType::Interval { .. } => plain(DataType::Interval(IntervalUnit::MonthDayNano)),
        ast::DataType::JSON => Ok(marked(Field::new(name, DataType::Utf8, true), "json")),
        ast::DataType::JSONB => Ok(marked(Field::new(name, DataType::Utf8, true), "jsonb")),
        ast::DataType::Uuid => Ok(marked(Field::new(name, DataType::Utf8, true), "uuid")),
        ast::DataType::Regclass => Ok(marked(Field::new(name, DataType::Int64, true), "regclass")),
        ast::DataType::Array(
            ast::ArrayElemTypeDef::SquareBracket(element, _)
            | ast::ArrayElemTypeDef::AngleBracket(element)
            | ast::ArrayElemTypeDef::Parenthesis(element),
        ) => {
            let element = field_of("item", element)?;
            plain(DataType::List(Arc::new(element)))
        }
        ast::DataType::Custom(custom, _) => custom_type(name, &custom.to_string()),
        other => Err(unknown(&other.to_string())),
    }
}

fn unknown(name: &str) -> SqlError {
    SqlError::new(
        sqlstate::UNDEFINED_OBJECT,
        format!("type \"{}\" does not exist", name.to_lowercase()),
    )
}

fn custom_type(name: &str, written: &str) -> Result<Field, SqlError> {
    let bare = written.to_lowercase().replace('"', "");
    let bare = bare.strip_prefix("pg_catalog.").unwrap_or(&bare);
    let bare = match bare {
        "cardinal_number" => "int4",
        "sql_identifier" => "name",
        "character_data" => "varchar",
        "yes_or_no" => "varchar",
        other => other,
    };
    let found = postgres_types().find(|found| found.name == bare || found.long_name == bare);
    let field = found.and_then(|found| field_of_oid(found.oid));
    field
        .map(|field| field.with_name(name))
        .ok_or_else(|| unknown(bare))
}

fn numeric(name: &str, info: &ast::ExactNumberInfo) -> Result<Field, SqlError> {
    let (precision, scale) = match info {
        ast::ExactNumberInfo::None => {
            let field = Field::new(
                name,
                DataType::Decimal128(NUMERIC_PRECISION, NUMERIC_SCALE),
                true,
            );
            return Ok(field);
        }
        ast::ExactNumberInfo::Precision(precision) => (*precision, 0),
        ast::ExactNumberInfo::PrecisionAndScale(precision, scale) => (*precision, *scale),
    };
    let fits = u8::try_from(precision).ok().zip(i8::try_from(scale).ok());
    let Some((digits, places)) = fits.filter(|(digits, places)| {
        (1..=NUMERIC_PRECISION).contains(digits) && *places >= 0 && places.unsigned_abs() <= *digits
    }) else {
        return Err(SqlError::new(
            sqlstate::INVALID_PARAMETER_VALUE,
            format!("NUMERIC precision {precision} must be between 1 and {NUMERIC_PRECISION}"),
        ));
    };
    let modifier = ((i32::from(digits) << 16) | i32::from(places)) + 4;
    let metadata = HashMap::from([(TYPMOD_KEY.to_owned(), modifier.to_string())]);
    let field = Field::new(name, DataType::Decimal128(digits, places), true);
    Ok(field.with_metadata(metadata))
}

/// The type that stands for this one in rows: one for texts, one for each width of integers, microseconds for times.
#[must_use]
pub fn canonical(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary | DataType::FixedSizeBinary(_) => {
            DataType::Binary
        }
        DataType::Int8 | DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::Float16 => DataType::Float32,
        DataType::Date64 => DataType::Date32,
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
        DataType::Timestamp(_, None) => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Timestamp(_, Some(_)) => timestamptz(),
        DataType::Interval(_) | DataType::Duration(_) => {
            DataType::Interval(IntervalUnit::MonthDayNano)
        }
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::Decimal256(_, scale) => DataType::Decimal128(NUMERIC_PRECISION, *scale),
        DataType::Dictionary(_, value) => canonical(value),
        DataType::List(element)
        | DataType::LargeList(element)
        | DataType::FixedSizeList(element, _)
        | DataType::ListView(element) => DataType::List(Arc::new(canonical_field(element, "item"))),
        DataType::Struct(fields) => {
            let fields: Fields = fields
                .iter()
                .map(|field| canonical_field(field, field.name()))
                .collect();
            DataType::Struct(fields)
        }
        other => other.clone(),
    }
}

fn canonical_field(field: &FieldRef, name: &str) -> Field {
    Field::new(name, canonical(field.data_type()), true).with_metadata(field.metadata().clone())
}

/// The same columns in canonical types, any of them null.
#[must_use]
pub fn canonical_schema(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter();
    let fields: Fields = fields
        .map(|field| canonical_field(field, field.name()))
        .collect();
    Arc::new(Schema::new(fields))
}
