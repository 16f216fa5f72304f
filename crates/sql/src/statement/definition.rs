//! CREATE and DROP.

use datafusion_sql::sqlparser::{ast, tokenizer::Token};

use super::{
    Alter, AlterChange, CreateIndex, CreateSink, CreateSource, CreateTable, CreateView, Drop,
    DropKind, SourceColumn, StatementKind, TableColumn, WatermarkFor, cursor::Cursor, query_of,
};
use crate::{backend::SqlError, error::sqlstate};

pub fn create(cursor: &mut Cursor<'_>) -> Result<StatementKind, SqlError> {
    let or_replace = cursor.take_words(&["or", "replace"]);
    if cursor.take_word("source") {
        return source(cursor);
    }
    if cursor.take_word("sink") {
        return sink(cursor);
    }
    if cursor.take_words(&["materialized", "view"]) {
        return view(cursor, or_replace);
    }
    if cursor.take_word("view") {
        // There is one kind of view, kept up to date; a name for a query alone would be the same to whoever asks.
        return view(cursor, or_replace);
    }
    if cursor.take_word("table") {
        return table(cursor);
    }
    if cursor.take_words(&["unique", "index"]) {
        return Err(SqlError::unsupported("an index cannot be unique")
            .with_hint("A table's PRIMARY KEY is; so is what a view groups by."));
    }
    if cursor.take_word("index") {
        return index(cursor);
    }
    Err(cursor.error_here())
}

fn kind(cursor: &mut Cursor<'_>) -> Result<DropKind, SqlError> {
    Ok(if cursor.take_word("source") {
        DropKind::Source
    } else if cursor.take_word("table") {
        DropKind::Table
    } else if cursor.take_words(&["materialized", "view"]) || cursor.take_word("view") {
        DropKind::View
    } else if cursor.take_word("sink") {
        DropKind::Sink
    } else if cursor.take_word("index") {
        DropKind::Index
    } else {
        return Err(cursor.error_here());
    })
}

pub fn alter(cursor: &mut Cursor<'_>) -> Result<StatementKind, SqlError> {
    let kind = kind(cursor)?;
    let name = cursor.name()?;
    let change = if cursor.take_words(&["rename", "to"]) {
        AlterChange::Rename(cursor.ident()?)
    } else if kind == DropKind::Source && cursor.take_word("set") {
        let mut set = Vec::new();
        cursor.expect_token(&Token::LParen)?;
        options_until_end(cursor, Sign::Needed, &mut set)?;
        AlterChange::Set(set)
    } else if kind == DropKind::Source && cursor.peek_word().as_deref() == Some("add") {
        AlterChange::AddColumns(added_columns(cursor)?)
    } else if kind == DropKind::View {
        let mut create = view_of(cursor, name)?;
        create.or_replace = true;
        create.alters = true;
        return Ok(StatementKind::CreateView(create));
    } else {
        return Err(cursor.error_here());
    };
    Ok(StatementKind::Alter(Alter { kind, name, change }))
}

/// `ADD COLUMN a INT, ADD COLUMN IF NOT EXISTS b TEXT PATH 'x.b'`.
fn added_columns(cursor: &mut Cursor<'_>) -> Result<Vec<(SourceColumn, bool)>, SqlError> {
    let mut columns = Vec::new();
    loop {
        cursor.expect_word("add")?;
        cursor.take_word("column");
        let may_exist = cursor.take_words(&["if", "not", "exists"]);
        columns.push((source_column(cursor)?, may_exist));
        if !cursor.take_token(&Token::Comma) {
            return Ok(columns);
        }
    }
}

pub fn drop(cursor: &mut Cursor<'_>) -> Result<StatementKind, SqlError> {
    let kind = kind(cursor)?;
    let if_exists = cursor.take_words(&["if", "exists"]);
    let mut names = vec![cursor.name()?];
    while cursor.take_token(&Token::Comma) {
        names.push(cursor.name()?);
    }
    let cascade = cursor.take_word("cascade");
    if !cascade {
        cursor.take_word("restrict");
    }
    Ok(StatementKind::Drop(Drop {
        kind,
        names,
        if_exists,
        cascade,
    }))
}

fn source(cursor: &mut Cursor<'_>) -> Result<StatementKind, SqlError> {
    let if_not_exists = cursor.take_words(&["if", "not", "exists"]);
    let name = cursor.name()?;
    cursor.expect_word("from")?;
    cursor.expect_word("topic")?;
    let topic = cursor.topic()?;
    let mut columns = Vec::new();
    let mut watermark = None;
    // Without columns it has those of its schema.
    if cursor.peek_word().as_deref() != Some("format") {
        cursor.expect_token(&Token::LParen)?;
        loop {
            if cursor.take_words(&["watermark", "for"]) {
                watermark = Some(watermark_for(cursor)?);
            } else {
                columns.push(source_column(cursor)?);
            }
            if !cursor.take_token(&Token::Comma) {
                break;
            }
        }
        cursor.expect_token(&Token::RParen)?;
    }
    let mut format = "JSON".to_owned();
    let mut written = Vec::new();
    let mut registry = None;
    if cursor.take_word("format") {
        format = cursor.ident()?.to_uppercase();
        let start = cursor.start_of_next();
        if cursor.take_word("using") {
            cursor.take_word("confluent");
            cursor.expect_word("schema")?;
            cursor.expect_word("registry")?;
            if cursor.take_token(&Token::LParen) {
                options_until_end(cursor, Sign::Optional, &mut written)?;
                written.iter().try_for_each(registry_option)?;
            }
            registry = Some(start..cursor.end_of_previous());
        } else if cursor.take_token(&Token::LParen) {
            options_until_end(cursor, Sign::Optional, &mut written)?;
        }
    }
    written.extend(options(cursor)?);
    let options = written;
    Ok(StatementKind::CreateSource(CreateSource {
        name,
        if_not_exists,
        topic,
        columns,
        watermark,
        format,
        registry,
        options,
    }))
}

/// The schema takes the place of these, so nothing else may stand among them.
fn registry_option((name, _): &(String, String)) -> Result<(), SqlError> {
    // Those of the schema itself are refused by who knows why.
    if matches!(name.as_str(), "subject" | "message" | "schema" | "framing") {
        return Ok(());
    }
    let message = format!("USING SCHEMA REGISTRY has no option \"{name}\"");
    Err(SqlError::new(sqlstate::INVALID_PARAMETER_VALUE, message)
        .with_hint("It takes SUBJECT and MESSAGE; other options stand in WITH (…)."))
}

fn source_column(cursor: &mut Cursor<'_>) -> Result<SourceColumn, SqlError> {
    let name = cursor.ident()?;
    let data_type = cursor.data_type()?;
    let mut path = None;
    if cursor.take_word("path") {
        let Some(text) = cursor.take_string() else {
            return Err(cursor.error_here());
        };
        path = Some(path_of(&text)?);
    }
    let mut metadata = None;
    if path.is_none() && cursor.take_word("metadata") {
        metadata = Some(if cursor.take_word("from") {
            cursor.take_string().ok_or_else(|| cursor.error_here())?
        } else {
            name.clone()
        });
    }
    Ok(SourceColumn {
        name,
        data_type,
        path,
        metadata,
    })
}

/// `a.b.0`, `$.a.b[0]`, `a."b.c"`: names of members and places of elements.
fn path_of(text: &str) -> Result<Vec<String>, SqlError> {
    let refused = || {
        SqlError::new(
            sqlstate::INVALID_PARAMETER_VALUE,
            format!("\"{text}\" is no path"),
        )
        .with_hint("A path is names with dots between them: payload.user.id, items[0].price.")
    };
    let mut path = Vec::new();
    let bare = text.strip_prefix('$').unwrap_or(text);
    let mut rest = bare.strip_prefix('.').unwrap_or(bare);
    while !rest.is_empty() {
        let (part, behind) = if let Some(quoted) = rest.strip_prefix('"') {
            quoted.split_once('"').ok_or_else(refused)?
        } else if let Some(place) = rest.strip_prefix('[') {
            let (place, behind) = place.split_once(']').ok_or_else(refused)?;
            place.parse::<u32>().map_err(|_| refused())?;
            (place, behind)
        } else {
            rest.split_at(rest.find(['.', '[']).unwrap_or(rest.len()))
        };
        if part.is_empty() {
            return Err(refused());
        }
        path.push(part.to_owned());
        rest = match behind.strip_prefix('.') {
            Some("") => return Err(refused()),
            Some(more) => more,
            None if behind.is_empty() || behind.starts_with('[') => behind,
            None => return Err(refused()),
        };
    }
    if path.is_empty() {
        return Err(refused());
    }
    Ok(path)
}

/// `WATERMARK FOR at AS at - INTERVAL '5 minutes'`, or `AS at` for no delay.
fn watermark_for(cursor: &mut Cursor<'_>) -> Result<WatermarkFor, SqlError> {
    let column = cursor.ident()?;
    cursor.expect_word("as")?;
    let refused = || {
        SqlError::new(
            sqlstate::SYNTAX_ERROR,
            "a watermark is its column minus an interval",
        )
        .with_hint(format!(
            "WATERMARK FOR {column} AS {column} - INTERVAL '5 minutes'"
        ))
    };
    let delay = match cursor.expression()? {
        ast::Expr::BinaryOp {
            left,
            op: ast::BinaryOperator::Minus,
            right,
        } if is_column(&left, &column) => *right,
        expression if is_column(&expression, &column) => {
            ast::Expr::value(ast::Value::Number("0".to_owned(), false))
        }
        _ => return Err(refused()),
    };
    Ok(WatermarkFor { column, delay })
}

fn is_column(expression: &ast::Expr, name: &str) -> bool {
    matches!(expression, ast::Expr::Identifier(ident) if ident_name(ident) == name)
}

fn ident_name(ident: &ast::Ident) -> String {
    if ident.quote_style.is_some() {
        ident.value.clone()
    } else {
        ident.value.to_lowercase()
    }
}

/// `WITH (name = 'value', …)`, or nothing.
fn options(cursor: &mut Cursor<'_>) -> Result<Vec<(String, String)>, SqlError> {
    let mut options = Vec::new();
    if !cursor.take_word("with") {
        return Ok(options);
    }
    cursor.expect_token(&Token::LParen)?;
    options_until_end(cursor, Sign::Needed, &mut options)?;
    Ok(options)
}

/// The one between an option's name and its value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sign {
    Needed,
    /// Behind FORMAT.
    Optional,
}

/// `name = 'value', …)`
fn options_until_end(
    cursor: &mut Cursor<'_>,
    sign: Sign,
    options: &mut Vec<(String, String)>,
) -> Result<(), SqlError> {
    loop {
        let name = cursor.setting_name()?;
        if !cursor.take_token(&Token::Eq) && sign == Sign::Needed {
            return Err(cursor.error_here());
        }
        let value = match cursor.take_string() {
            Some(text) => text,
            None => match cursor.take_number() {
                Some(number) => number.to_string(),
                None => cursor.ident()?,
            },
        };
        options.push((name, value));
        if !cursor.take_token(&Token::Comma) {
            break;
        }
    }
    cursor.expect_token(&Token::RParen)
}

/// What comes behind the query of a sink. A column may have any of these names, so each stands with what follows it.
const SINK_FORMS: [&[&str]; 8] = [
    &["format", "append"],
    &["format", "upsert"],
    &["format", "debezium"],
    &["format", "json"],
    &["format", "avro"],
    &["format", "protobuf"],
    &["key", "("],
    &["with", "("],
];

fn sink(cursor: &mut Cursor<'_>) -> Result<StatementKind, SqlError> {
    let if_not_exists = cursor.take_words(&["if", "not", "exists"]);
    let name = cursor.name()?;
    cursor.expect_word("into")?;
    let topic = match cursor.take_word("blackhole") {
        true => None,
        false => {
            cursor.expect_word("topic")?;
            Some(cursor.topic()?)
        }
    };
    let mut written = options(cursor)?;
    let query = if cursor.take_word("from") {
        query_of(&cursor.name()?, &[])?
    } else {
        cursor.expect_word("as")?;
        cursor.query_before(&SINK_FORMS)?
    };
    let mut envelope = "APPEND".to_owned();
    if cursor.take_word("format") {
        envelope = cursor.ident()?.to_uppercase();
    }
    let mut key = Vec::new();
    if cursor.take_word("key") {
        key = cursor.idents()?;
    }
    let is_promised = !key.is_empty() && cursor.take_words(&["not", "enforced"]);
    written.extend(options(cursor)?);
    let options = written;
    Ok(StatementKind::CreateSink(CreateSink {
        name,
        if_not_exists,
        topic,
        query,
        envelope,
        key,
        is_promised,
        options,
    }))
}

fn view(cursor: &mut Cursor<'_>, or_replace: bool) -> Result<StatementKind, SqlError> {
    let if_not_exists = cursor.take_words(&["if", "not", "exists"]);
    let name = cursor.name()?;
    let create = view_of(cursor, name)?;
    Ok(StatementKind::CreateView(CreateView {
        if_not_exists,
        or_replace,
        ..create
    }))
}

/// What stands behind the name.
fn view_of(cursor: &mut Cursor<'_>, name: String) -> Result<CreateView, SqlError> {
    let mut columns = Vec::new();
    let mut options = Vec::new();
    if !cursor.take_word("as") {
        if cursor.peek_word().as_deref() != Some("with") {
            columns = cursor.idents()?;
        }
        options = self::options(cursor)?;
        cursor.expect_word("as")?;
    }
    let query = cursor.query_before(&[&["emit", "on"]])?;
    let emit_on_window_close = cursor.take_words(&["emit", "on"]);
    if emit_on_window_close {
        cursor.expect_word("window")?;
        cursor.expect_word("close")?;
    }
    Ok(CreateView {
        name,
        if_not_exists: false,
        or_replace: false,
        alters: false,
        columns,
        query,
        emit_on_window_close,
        options,
    })
}

fn table(cursor: &mut Cursor<'_>) -> Result<StatementKind, SqlError> {
    let if_not_exists = cursor.take_words(&["if", "not", "exists"]);
    let name = cursor.name()?;
    let mut columns = Vec::new();
    let mut key = Vec::new();
    if cursor.take_token(&Token::LParen) {
        loop {
            if cursor.take_word("constraint") {
                cursor.ident()?;
            }
            if cursor.take_words(&["primary", "key"]) {
                key = cursor.idents()?;
            } else {
                table_column(cursor, &mut columns, &mut key)?;
            }
            if !cursor.take_token(&Token::Comma) {
                break;
            }
        }
        cursor.expect_token(&Token::RParen)?;
    }
    let mut query = None;
    if cursor.take_word("as") {
        query = Some(cursor.query()?);
    } else if columns.is_empty() {
        return Err(cursor.error_here());
    }
    Ok(StatementKind::CreateTable(CreateTable {
        name,
        if_not_exists,
        columns,
        key,
        query,
    }))
}

fn table_column(
    cursor: &mut Cursor<'_>,
    columns: &mut Vec<TableColumn>,
    key: &mut Vec<String>,
) -> Result<(), SqlError> {
    let name = cursor.ident()?;
    let data_type = cursor.data_type()?;
    let mut not_null = false;
    let mut default = None;
    loop {
        if cursor.take_words(&["not", "null"]) {
            not_null = true;
        } else if cursor.take_word("default") {
            default = Some(cursor.default_expression()?);
        } else if cursor.take_words(&["primary", "key"]) {
            if !key.is_empty() {
                return Err(SqlError::new(
                    sqlstate::INVALID_DEFINITION,
                    "multiple primary keys for one table are not allowed",
                ));
            }
            key.push(name.clone());
        } else if !cursor.take_word("null") {
            break;
        }
    }
    columns.push(TableColumn {
        name,
        data_type,
        not_null,
        default,
    });
    Ok(())
}

fn index(cursor: &mut Cursor<'_>) -> Result<StatementKind, SqlError> {
    let if_not_exists = cursor.take_words(&["if", "not", "exists"]);
    let mut name = None;
    if !cursor.take_word("on") {
        name = Some(cursor.name()?);
        cursor.expect_word("on")?;
    }
    let relation = cursor.name()?;
    if cursor.take_word("using") {
        cursor.ident()?;
    }
    let columns = cursor.idents()?;
    Ok(StatementKind::CreateIndex(CreateIndex {
        name,
        if_not_exists,
        relation,
        columns,
    }))
}
