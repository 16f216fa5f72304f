//! Errors as Postgres words them, from the planner, from Arrow and from ourselves.

use arrow::error::ArrowError;
use datafusion_common::{
    Column, DataFusionError, SchemaError, Span, utils::datafusion_strsim::levenshtein,
};
use streams::Fault;

use crate::backend::SqlError;

pub mod sqlstate {
    //! The codes of PostgreSQL's appendix A that are given here.
    pub const FEATURE_NOT_SUPPORTED: [u8; 5] = *b"0A000";
    pub const NOT_IN_STATE: [u8; 5] = *b"55000";
    pub const CARDINALITY_VIOLATION: [u8; 5] = *b"21000";
    pub const DATA_EXCEPTION: [u8; 5] = *b"22000";
    pub const STRING_TOO_LONG: [u8; 5] = *b"22001";
    pub const NUMERIC_VALUE_OUT_OF_RANGE: [u8; 5] = *b"22003";
    pub const INVALID_DATETIME_FORMAT: [u8; 5] = *b"22007";
    pub const DATETIME_FIELD_OVERFLOW: [u8; 5] = *b"22008";
    pub const DIVISION_BY_ZERO: [u8; 5] = *b"22012";
    pub const INVALID_PARAMETER_VALUE: [u8; 5] = *b"22023";
    pub const INVALID_ARGUMENT_FOR_LOG: [u8; 5] = *b"2201E";
    pub const INVALID_ARGUMENT_FOR_NTILE: [u8; 5] = *b"22014";
    pub const INVALID_ARGUMENT_FOR_POWER: [u8; 5] = *b"2201F";
    pub const INVALID_REGULAR_EXPRESSION: [u8; 5] = *b"2201B";
    pub const INVALID_TEXT_REPRESENTATION: [u8; 5] = *b"22P02";
    pub const NOT_NULL_VIOLATION: [u8; 5] = *b"23502";
    pub const UNIQUE_VIOLATION: [u8; 5] = *b"23505";
    pub const SYNTAX_ERROR: [u8; 5] = *b"42601";
    pub const DUPLICATE_COLUMN: [u8; 5] = *b"42701";
    pub const AMBIGUOUS_COLUMN: [u8; 5] = *b"42702";
    pub const UNDEFINED_COLUMN: [u8; 5] = *b"42703";
    pub const UNDEFINED_OBJECT: [u8; 5] = *b"42704";
    pub const CANNOT_COERCE: [u8; 5] = *b"42846";
    pub const DATATYPE_MISMATCH: [u8; 5] = *b"42804";
    pub const GROUPING_ERROR: [u8; 5] = *b"42803";
    pub const AMBIGUOUS_ALIAS: [u8; 5] = *b"42P09";
    pub const WINDOWING_ERROR: [u8; 5] = *b"42P20";
    pub const WRONG_OBJECT_TYPE: [u8; 5] = *b"42809";
    pub const UNDEFINED_FUNCTION: [u8; 5] = *b"42883";
    pub const INVALID_COLUMN_REFERENCE: [u8; 5] = *b"42P10";
    pub const UNDEFINED_TABLE: [u8; 5] = *b"42P01";
    pub const UNDEFINED_PARAMETER: [u8; 5] = *b"42P02";
    pub const DUPLICATE_TABLE: [u8; 5] = *b"42P07";
    pub const INVALID_DEFINITION: [u8; 5] = *b"42P17";
    pub const OUT_OF_MEMORY: [u8; 5] = *b"53200";
    pub const PROGRAM_LIMIT_EXCEEDED: [u8; 5] = *b"54000";
    pub const BAD_COPY_FILE_FORMAT: [u8; 5] = *b"22P04";
    pub const STATEMENT_TOO_COMPLEX: [u8; 5] = *b"54001";
    pub const INTERNAL_ERROR: [u8; 5] = *b"XX000";
}

impl SqlError {
    pub fn new(sqlstate: [u8; 5], message: impl Into<String>) -> Self {
        Self {
            sqlstate,
            message: message.into(),
            detail: None,
            hint: None,
            context: None,
            position: None,
            location: None,
        }
    }

    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<Box<str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<Box<str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    #[must_use]
    pub fn with_context(mut self, context: impl Into<Box<str>>) -> Self {
        self.context = Some(context.into());
        self
    }

    #[must_use]
    pub fn at(mut self, position: Option<usize>) -> Self {
        self.position = self.position.or(position);
        self
    }

    /// Without a place: what it speaks of stands in no text that a client knows.
    #[must_use]
    pub fn unplaced(mut self) -> Self {
        (self.position, self.location) = (None, None);
        self
    }

    /// What is understood but not built.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(sqlstate::FEATURE_NOT_SUPPORTED, message)
    }
}

impl From<Fault> for SqlError {
    fn from(fault: Fault) -> Self {
        Self::new(fault.sqlstate, fault.message)
    }
}

impl From<ArrowError> for SqlError {
    fn from(error: ArrowError) -> Self {
        arrow_fault(&error).into()
    }
}

impl From<DataFusionError> for SqlError {
    fn from(error: DataFusionError) -> Self {
        let mut known = planning_error(&error);
        // Of other errors the planner points at an operand, where Postgres points at the operator.
        if matches!(
            known.sqlstate,
            sqlstate::UNDEFINED_COLUMN
                | sqlstate::AMBIGUOUS_COLUMN
                | sqlstate::UNDEFINED_TABLE
                | sqlstate::GROUPING_ERROR
        ) {
            known.location = known.location.or_else(|| location(&error));
        }
        known
    }
}

/// Where the planner says that it is.
fn location(error: &DataFusionError) -> Option<(u64, u64)> {
    let span = match error {
        DataFusionError::Diagnostic(diagnostic, inner) => {
            return match diagnostic.span {
                Some(span) => place(&span),
                None => location(inner),
            };
        }
        DataFusionError::Context(_, inner) => return location(inner),
        DataFusionError::Collection(errors) => return location(errors.first()?),
        DataFusionError::SchemaError(schema, _) => match schema.as_ref() {
            SchemaError::FieldNotFound { field, .. }
            | SchemaError::AmbiguousReference { field } => field.spans.first()?,
            _ => return None,
        },
        _ => return None,
    };
    place(&span)
}

/// Words that were put in by us are nowhere.
fn place(span: &Span) -> Option<(u64, u64)> {
    (span.start.line > 0).then_some((span.start.line, span.start.column))
}

/// A [`SqlError`] on its way through the planner, which only carries its own kind of error.
#[derive(Debug)]
struct Carried(SqlError);

impl std::fmt::Display for Carried {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Carried {}

/// Lets ours pass through the planner unchanged.
#[must_use]
pub fn carried(error: SqlError) -> DataFusionError {
    DataFusionError::External(Box::new(Carried(error)))
}

/// Shorthand for an own error inside the planner or a function.
#[must_use]
pub fn raise(sqlstate: [u8; 5], message: impl Into<String>) -> DataFusionError {
    carried(SqlError::new(sqlstate, message))
}

fn planning_error(error: &DataFusionError) -> SqlError {
    match error.find_root() {
        DataFusionError::External(inner) => match inner.downcast_ref::<Carried>() {
            Some(Carried(own)) => own.clone(),
            None => SqlError::new(sqlstate::INTERNAL_ERROR, inner.to_string()),
        },
        DataFusionError::SchemaError(schema, _) => schema_error(schema),
        DataFusionError::ArrowError(arrow, _) => arrow_fault(arrow).into(),
        DataFusionError::NotImplemented(message) => {
            SqlError::unsupported(message.trim_end_matches('.'))
        }
        DataFusionError::Plan(message) => plan_message(message),
        DataFusionError::Diagnostic(_, inner) => planning_error(inner),
        DataFusionError::Execution(message) => execution_fault(message).into(),
        DataFusionError::Collection(errors) if !errors.is_empty() => planning_error(&errors[0]),
        other => SqlError::new(sqlstate::INTERNAL_ERROR, other.strip_backtrace()),
    }
}

fn schema_error(error: &SchemaError) -> SqlError {
    match error {
        SchemaError::FieldNotFound {
            field,
            valid_fields,
        } => field_not_found(field, valid_fields),
        SchemaError::AmbiguousReference { field } => SqlError::new(
            sqlstate::AMBIGUOUS_COLUMN,
            format!("column reference \"{}\" is ambiguous", field.name),
        ),
        SchemaError::DuplicateQualifiedField { name, .. }
        | SchemaError::DuplicateUnqualifiedField { name } => SqlError::new(
            sqlstate::DUPLICATE_COLUMN,
            format!("column \"{name}\" specified more than once"),
        ),
    }
}

fn field_not_found(field: &Column, known: &[Column]) -> SqlError {
    let name = &field.name;
    let Some(relation) = &field.relation else {
        let error = SqlError::new(
            sqlstate::UNDEFINED_COLUMN,
            format!("column \"{name}\" does not exist"),
        );
        return with_nearest(error, name, known);
    };
    let table = relation.table();
    let is_there = |column: &Column| {
        let relation = column.relation.as_ref();
        relation.is_some_and(|relation| relation.table() == table)
    };
    if !known.is_empty() && !known.iter().any(is_there) {
        return SqlError::new(
            sqlstate::UNDEFINED_TABLE,
            format!("missing FROM-clause entry for table \"{table}\""),
        );
    }
    let error = SqlError::new(
        sqlstate::UNDEFINED_COLUMN,
        format!("column {table}.{name} does not exist"),
    );
    with_nearest(error, name, known)
}

/// Postgres names a column that is written much like the missing one.
fn with_nearest(error: SqlError, name: &str, known: &[Column]) -> SqlError {
    let near = known.iter().map(|column| {
        let distance = levenshtein(name, &column.name);
        (distance, column)
    });
    let nearest = near
        .filter(|(distance, _)| *distance <= 3 && distance * 2 <= name.chars().count())
        .min_by_key(|(distance, _)| *distance);
    match nearest {
        Some((_, column)) => error.with_hint(format!(
            "Perhaps you meant to reference the column \"{}\".",
            column.flat_name()
        )),
        None => error,
    }
}

const CASTS: &str = "You might need to add explicit type casts.";

/// Postgres's name of a type that the planner writes in its own way.
fn type_name(written: &str) -> &str {
    let word = written.trim().split(['(', ' ']).next().unwrap_or(written);
    match word {
        "Boolean" => "boolean",
        "Int8" | "Int16" | "UInt8" => "smallint",
        "Int32" | "UInt16" => "integer",
        "Int64" | "UInt32" | "UInt64" => "bigint",
        "Float32" => "real",
        "Float64" => "double precision",
        "Decimal128" | "Decimal256" => "numeric",
        "Utf8" | "LargeUtf8" | "Utf8View" => "text",
        "Binary" => "bytea",
        "Date32" => "date",
        "Time64" => "time without time zone",
        "Timestamp" if written.contains("UTC") => "timestamp with time zone",
        "Timestamp" => "timestamp without time zone",
        "Interval" => "interval",
        "List" => "anyarray",
        "Null" => "unknown",
        _ => word,
    }
}

/// Commas outside of parentheses part them.
fn type_names(written: &str) -> String {
    let mut depth = 0_usize;
    let parts = written.split(|letter| {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        letter == ',' && depth == 0
    });
    let names: Vec<&str> = parts
        .filter(|part| !part.trim().is_empty())
        .map(type_name)
        .collect();
    names.join(", ")
}

#[must_use]
pub fn undefined_operator(left: &str, sign: &str, right: &str) -> SqlError {
    SqlError::new(
        sqlstate::UNDEFINED_FUNCTION,
        format!("operator does not exist: {left} {sign} {right}"),
    )
    .with_hint(format!(
        "No operator matches the given name and argument types. {CASTS}"
    ))
}

/// `Cannot coerce arithmetic expression Int32 + Boolean to valid types` and the like.
fn operator_message(message: &str) -> Option<SqlError> {
    let operands = [
        "arithmetic expression ",
        "comparison operation ",
        "logical expression ",
    ];
    let (_, rest) = operands
        .iter()
        .find_map(|words| message.split_once(words))?;
    let rest = rest.split(" to valid types").next()?;
    let rest = rest.lines().next()?;
    let signs = [
        " <= ", " >= ", " != ", " <> ", " = ", " < ", " > ", " + ", " - ", " * ", " / ", " % ",
        " || ",
    ];
    let sign = signs.iter().find(|sign| rest.contains(**sign))?;
    let (left, right) = rest.split_once(sign)?;
    let sign = if sign.trim() == "!=" {
        "<>"
    } else {
        sign.trim()
    };
    Some(undefined_operator(type_name(left), sign, type_name(right)))
}

/// `No function matches the given name and argument types 'upper(Int32)'.`
fn function_message(message: &str) -> Option<SqlError> {
    let (_, rest) = message.split_once("given name and argument types '")?;
    let (call, _) = rest.split_once('\'')?;
    let (name, arguments) = call.split_once('(')?;
    let arguments = type_names(arguments.strip_suffix(')')?);
    let error = SqlError::new(
        sqlstate::UNDEFINED_FUNCTION,
        format!("function {name}({arguments}) does not exist"),
    );
    Some(error.with_hint(format!(
        "No function matches the given name and argument types. {CASTS}"
    )))
}

/// What the planner says of conditions and places, as Postgres does.
fn clause_message(message: &str) -> Option<SqlError> {
    if let Some((_, rest)) = message.split_once("non-boolean predicate") {
        let (_, data_type) = rest.rsplit_once(" returning ")?;
        let message = format!(
            "argument of WHERE must be type boolean, not type {}",
            type_name(data_type)
        );
        return Some(SqlError::new(sqlstate::DATATYPE_MISMATCH, message));
    }
    if let Some((_, rest)) = message.split_once("Order by column out of bounds, specified: ") {
        let place = rest.split(',').next()?;
        let message = format!("ORDER BY position {place} is not in select list");
        return Some(SqlError::new(sqlstate::INVALID_COLUMN_REFERENCE, message));
    }
    if let Some((_, rest)) = message.split_once("Cannot find column with position ") {
        let place = rest.split(' ').next()?;
        let message = format!("GROUP BY position {place} is not in select list");
        return Some(SqlError::new(sqlstate::INVALID_COLUMN_REFERENCE, message));
    }
    None
}

/// Sentences of the planner, in Postgres's classes.
fn plan_message(message: &str) -> SqlError {
    let message = message.trim();
    let known = [operator_message, function_message, clause_message];
    if let Some(error) = known.iter().find_map(|known| known(message)) {
        return error;
    }
    let class = [
        ("Invalid function", sqlstate::UNDEFINED_FUNCTION),
        ("must appear in the GROUP BY", sqlstate::GROUPING_ERROR),
        ("GROUP BY", sqlstate::GROUPING_ERROR),
        ("No function matches", sqlstate::UNDEFINED_FUNCTION),
        ("does not support", sqlstate::UNDEFINED_FUNCTION),
        ("Failed to coerce arguments", sqlstate::UNDEFINED_FUNCTION),
        ("cannot be coerced", sqlstate::DATATYPE_MISMATCH),
        (
            "annot infer common argument type",
            sqlstate::UNDEFINED_FUNCTION,
        ),
        ("annot coerce", sqlstate::UNDEFINED_FUNCTION),
        ("expressions require unique", sqlstate::DUPLICATE_COLUMN),
        ("same number of columns", sqlstate::SYNTAX_ERROR),
        ("must be a boolean", sqlstate::DATATYPE_MISMATCH),
    ];
    let found = class.iter().find(|(words, _)| message.contains(words));
    let sqlstate = found.map_or(sqlstate::SYNTAX_ERROR, |(_, code)| *code);
    let first = message.lines().next().unwrap_or(message);
    if sqlstate == sqlstate::UNDEFINED_FUNCTION
        && let Some(name) = message.strip_prefix("Invalid function '")
        && let Some((name, rest)) = name.split_once('\'')
    {
        let mut error = SqlError::new(sqlstate, format!("function {name} does not exist"));
        if let Some((_, meant)) = rest.split_once("Did you mean ") {
            let meant = meant.trim_matches(['\'', '?', '.', '\n']);
            error = error.with_hint(format!("Perhaps you meant the function {meant}."));
        }
        return error;
    }
    if sqlstate == sqlstate::GROUPING_ERROR
        && let Some((_, rest)) = message.split_once("column \"")
        && let Some((column, _)) = rest.split_once('"')
    {
        let column = column.rsplit("public.").next().unwrap_or(column);
        let message = format!(
            "column \"{column}\" must appear in the GROUP BY clause or be used in an aggregate function"
        );
        return SqlError::new(sqlstate, message);
    }
    SqlError::new(sqlstate, first.trim_end_matches('.'))
}

/// Why an expression has no value.
#[must_use]
pub fn evaluation_fault(error: &DataFusionError) -> Fault {
    match error.find_root() {
        DataFusionError::External(inner) => match inner.downcast_ref::<Carried>() {
            Some(Carried(own)) => Fault {
                sqlstate: own.sqlstate,
                message: own.message.clone(),
            },
            None => execution_fault(&inner.to_string()),
        },
        DataFusionError::ArrowError(arrow, _) => arrow_fault(arrow),
        DataFusionError::Execution(message) => execution_fault(message),
        other => execution_fault(&other.strip_backtrace()),
    }
}

fn arrow_fault(error: &ArrowError) -> Fault {
    match error {
        ArrowError::DivideByZero => Fault {
            sqlstate: sqlstate::DIVISION_BY_ZERO,
            message: "division by zero".to_owned(),
        },
        ArrowError::ArithmeticOverflow(_) => Fault {
            sqlstate: sqlstate::NUMERIC_VALUE_OUT_OF_RANGE,
            message: "value out of range".to_owned(),
        },
        ArrowError::CastError(message)
        | ArrowError::ParseError(message)
        | ArrowError::ComputeError(message)
        | ArrowError::InvalidArgumentError(message) => execution_fault(message),
        ArrowError::ExternalError(inner) => match inner.downcast_ref::<DataFusionError>() {
            Some(inner) => evaluation_fault(inner),
            None => execution_fault(&inner.to_string()),
        },
        other => execution_fault(&other.to_string()),
    }
}

fn execution_fault(message: &str) -> Fault {
    let overflows = [
        ("Int16Array overflow", "smallint out of range"),
        ("Int32Array overflow", "integer out of range"),
        ("Int64Array overflow", "bigint out of range"),
        ("Cannot cast to Decimal128(", "numeric field overflow"),
    ];
    if let Some((_, said)) = overflows.iter().find(|(own, _)| message.contains(own)) {
        return Fault {
            sqlstate: sqlstate::NUMERIC_VALUE_OUT_OF_RANGE,
            message: (*said).to_owned(),
        };
    }
    let lower = message.to_ascii_lowercase();
    let sqlstate = if lower.contains("divide by zero") || lower.contains("division by zero") {
        return arrow_fault(&ArrowError::DivideByZero);
    } else if lower.contains("overflow")
        || lower.contains("out of range")
        || lower.contains("too large")
        || lower.contains("too small")
        || lower.contains("can't cast value")
    {
        sqlstate::NUMERIC_VALUE_OUT_OF_RANGE
    } else if lower.contains("cannot cast string")
        || lower.contains("error parsing")
        || lower.contains("parser error")
        || lower.contains("invalid")
    {
        sqlstate::INVALID_TEXT_REPRESENTATION
    } else {
        sqlstate::DATA_EXCEPTION
    };
    let message = message.lines().next().unwrap_or(message);
    Fault {
        sqlstate,
        message: message.to_owned(),
    }
}
