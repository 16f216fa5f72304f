//! Text to statements: PostgreSQL's dialect with the words for streams.
//!
//! Queries, expressions and types are read by the query engine's parser; what only exists here (`CREATE SOURCE`, `SUBSCRIBE`,
//! `EMIT ON WINDOW CLOSE`) is read word by word over the same tokens, so that every error knows its place.
//!
//! # Limits
//! [`STATEMENT_TOKENS_MAX`] words a statement; nesting as deep as the parser allows.

mod copy;
mod cursor;
mod definition;
mod depth;
mod place;
mod registered;
mod rewrite;
mod source_text;
#[cfg(test)]
mod tests;

use datafusion_sql::sqlparser::{
    ast,
    dialect::PostgreSqlDialect,
    tokenizer::{Location, Token, TokenWithSpan, Tokenizer, TokenizerError},
};

use crate::{backend::SqlError, error::sqlstate};
pub use copy::{Copied, CopyFormat, CopyFrom, CopyHeader, CopyKind};
use cursor::{Cursor, position_of};

/// Planning recurses over what was written; this keeps its stack bounded.
pub const STATEMENT_TOKENS_MAX: usize = 20_000;

/// So are the levels of an expression or query: a chain of operators, or of joins, is as deep as it is long.
pub const OPERATORS_MAX: usize = 250;

/// A statement, and the text it was read from.
#[derive(Clone, Debug)]
pub struct Statement {
    pub text: String,
    /// Characters before it in what it was read from.
    pub start: usize,
    /// Where its first word stands there.
    pub(crate) first: Location,
    pub kind: StatementKind,
}

#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "one statement at a time")]
pub enum StatementKind {
    /// SELECT, VALUES, TABLE, WITH.
    Query(Box<ast::Query>),
    CreateSource(CreateSource),
    CreateTable(CreateTable),
    CreateView(CreateView),
    CreateSink(CreateSink),
    CreateIndex(CreateIndex),
    Drop(Drop),
    Alter(Alter),
    /// `SHOW`, with the words behind it in lower case: `sources`, `columns from t`, `all`, `timezone`.
    Show(Vec<String>),
    Describe {
        relation: String,
    },
    Explain {
        analyze: bool,
        statement: Box<Statement>,
    },
    /// `EXPLAIN [ANALYZE] view`: of what is at work.
    ExplainRelation {
        analyze: bool,
        relation: String,
    },
    Subscribe {
        relation: String,
        with_snapshot: bool,
    },
    Flush,
    Set {
        name: String,
        values: Vec<String>,
        is_local: bool,
    },
    /// `None`: all.
    Reset {
        name: Option<String>,
    },
    Begin {
        is_read_only: bool,
    },
    Commit,
    Rollback,
    Savepoint {
        name: String,
    },
    ReleaseSavepoint {
        name: String,
    },
    RollbackTo {
        name: String,
    },
    Prepare {
        name: String,
        types: Vec<ast::DataType>,
        statement: Box<Statement>,
    },
    Execute {
        name: String,
        arguments: Vec<ast::Expr>,
    },
    /// `None`: all.
    Deallocate {
        name: Option<String>,
    },
    Discard,
    /// Drivers say it before they give a connection to somebody else; there is no LISTEN.
    Unlisten,
    Copy {
        of: Copied,
        format: CopyFormat,
    },
    CopyFrom(CopyFrom),
    Insert(Box<ast::Insert>),
    Update(Box<ast::Update>),
    Delete(Box<ast::Delete>),
    Declare {
        name: String,
        query: Box<ast::Query>,
    },
    Fetch {
        cursor: String,
        count: FetchCount,
    },
    /// `None`: all.
    Close {
        cursor: Option<String>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchCount {
    Rows(u64),
    All,
}

#[derive(Clone, Debug)]
pub struct CreateSource {
    pub name: String,
    pub if_not_exists: bool,
    pub topic: String,
    pub columns: Vec<SourceColumn>,
    pub watermark: Option<WatermarkFor>,
    /// In upper case.
    pub format: String,
    /// `USING SCHEMA REGISTRY`: the characters of the text that say so, from 0. Whoever creates the source puts the schema
    /// in their place.
    pub registry: Option<std::ops::Range<usize>>,
    /// Names in lower case.
    pub options: Vec<(String, String)>,
}

#[derive(Clone, Debug)]
pub struct SourceColumn {
    pub name: String,
    pub data_type: ast::DataType,
    /// Where its value stands in a record, when not at its own name.
    pub path: Option<Vec<String>>,
    /// It says something of the record itself: `timestamp`, `partition`, `offset` or `key`.
    pub metadata: Option<String>,
}

#[derive(Clone, Debug)]
pub struct WatermarkFor {
    pub column: String,
    pub delay: ast::Expr,
}

#[derive(Clone, Debug)]
pub struct CreateTable {
    pub name: String,
    pub if_not_exists: bool,
    pub columns: Vec<TableColumn>,
    pub key: Vec<String>,
    /// `CREATE TABLE … AS`.
    pub query: Option<Box<ast::Query>>,
}

#[derive(Clone, Debug)]
pub struct TableColumn {
    pub name: String,
    pub data_type: ast::DataType,
    pub not_null: bool,
    pub default: Option<ast::Expr>,
}

#[derive(Clone, Debug)]
pub struct CreateView {
    pub name: String,
    pub if_not_exists: bool,
    pub or_replace: bool,
    /// By ALTER: there must be one.
    pub alters: bool,
    pub columns: Vec<String>,
    pub query: Box<ast::Query>,
    pub emit_on_window_close: bool,
    /// Names in lower case.
    pub options: Vec<(String, String)>,
}

#[derive(Clone, Debug)]
pub struct CreateSink {
    pub name: String,
    pub if_not_exists: bool,
    /// `None`: into the black hole.
    pub topic: Option<String>,
    pub query: Box<ast::Query>,
    /// APPEND, UPSERT or DEBEZIUM.
    pub envelope: String,
    pub key: Vec<String>,
    /// Whoever wrote it knows that no two rows share the key.
    pub is_promised: bool,
    /// Names in lower case.
    pub options: Vec<(String, String)>,
}

#[derive(Clone, Debug)]
pub struct CreateIndex {
    pub name: Option<String>,
    pub if_not_exists: bool,
    pub relation: String,
    pub columns: Vec<String>,
}

impl CreateIndex {
    /// As Postgres names what is not named.
    #[must_use]
    pub fn index_name(&self) -> String {
        let own = || format!("{}_{}_idx", self.relation, self.columns.join("_"));
        self.name.clone().unwrap_or_else(own)
    }
}

#[derive(Clone, Debug)]
pub struct Drop {
    pub kind: DropKind,
    pub names: Vec<String>,
    pub if_exists: bool,
    pub cascade: bool,
}

#[derive(Clone, Debug)]
pub struct Alter {
    pub kind: DropKind,
    pub name: String,
    pub change: AlterChange,
}

#[derive(Clone, Debug)]
pub enum AlterChange {
    Rename(String),
    /// Of a source. Each with whether it may be there already.
    AddColumns(Vec<(SourceColumn, bool)>),
    /// Of a source: what stands behind WITH. Names in lower case.
    Set(Vec<(String, String)>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropKind {
    Source,
    Table,
    View,
    Sink,
    Index,
}

impl Statement {
    /// The error with its place, where its words say what is meant.
    #[must_use]
    pub fn placed(&self, error: SqlError) -> SqlError {
        placed(error, &self.text, self.start, self.first)
    }
}

/// The error with its place in a statement's text, and in what that begins in, where its first word is at `first`.
pub(crate) fn placed(error: SqlError, text: &str, start: usize, first: Location) -> SqlError {
    let place = match (error.position, error.location) {
        (Some(_), _) => None,
        (None, Some(location)) => place_in(text, first, location),
        (None, None) => place::of(&error, text),
    };
    error.at(place.map(|place| start + place))
}

/// In characters of a statement's own text, from 1.
fn place_in(text: &str, first: Location, (line, column): (u64, u64)) -> Option<usize> {
    let line = line.checked_sub(first.line)? + 1;
    let before = if line == 1 {
        first.column.saturating_sub(1)
    } else {
        0
    };
    let column = column.checked_sub(before)?;
    position_of(text, Location { line, column })
}

/// The statements of a text, in order; empty ones are left out.
pub fn parse(text: &str) -> Result<Vec<Statement>, SqlError> {
    let dialect = PostgreSqlDialect {};
    let tokens = Tokenizer::new(&dialect, text)
        .tokenize_with_location()
        .map_err(|error| tokenizer_error(text, &error))?;
    let mut statements = Vec::new();
    for words in tokens.split(|token| token.token == Token::SemiColon) {
        if words
            .iter()
            .all(|token| matches!(token.token, Token::Whitespace(_) | Token::EOF))
        {
            continue;
        }
        if words.len() > STATEMENT_TOKENS_MAX {
            return Err(SqlError::new(
                sqlstate::STATEMENT_TOO_COMPLEX,
                format!("a statement has at most {STATEMENT_TOKENS_MAX} words"),
            ));
        }
        if depth::depth(words) > OPERATORS_MAX {
            return Err(SqlError::new(
                sqlstate::STATEMENT_TOO_COMPLEX,
                format!(
                    "an expression has at most {OPERATORS_MAX} operators, a query as many parts"
                ),
            )
            .with_hint("IN (…) takes any number of values."));
        }
        let (start, own) = statement_text(text, words);
        let first = first_place(words);
        let words = rewrite::rewritten(words.to_vec());
        refuse_system_time(text, &words)?;
        let mut cursor = Cursor::new(text, words);
        let kind = statement(&mut cursor)?;
        cursor.expect_end()?;
        statements.push(Statement {
            text: own,
            start,
            first,
            kind,
        });
    }
    Ok(statements)
}

/// The parser would stumble over it without saying what to write instead.
fn refuse_system_time(text: &str, words: &[TokenWithSpan]) -> Result<(), SqlError> {
    let Some((at, _)) = rewrite::system_time(words, 0) else {
        return Ok(());
    };
    let message = "FOR SYSTEM_TIME AS OF wants a column of the other side, and a join with ON";
    Err(SqlError::unsupported(message)
        .with_hint("… a JOIN b FOR SYSTEM_TIME AS OF a.time AS b ON a.key = b.key")
        .at(position_of(text, words[at].span.start)))
}

/// `SELECT`, to be filled.
pub(crate) fn select_nothing() -> Option<ast::Query> {
    match parse("SELECT 1").ok()?.pop()?.kind {
        StatementKind::Query(query) => Some(*query),
        _ => None,
    }
}

/// An expression that stands in no statement.
pub(crate) fn expression(text: &str) -> Result<ast::Expr, SqlError> {
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, text).tokenize_with_location();
    let tokens = tokens.map_err(|error| tokenizer_error(text, &error).unplaced())?;
    let mut cursor = Cursor::new(text, tokens);
    let found = cursor.expression().map_err(SqlError::unplaced)?;
    cursor.expect_end().map_err(SqlError::unplaced)?;
    Ok(found)
}

fn tokenizer_error(text: &str, error: &TokenizerError) -> SqlError {
    let position = position_of(text, error.location);
    let message = error.message.trim_end_matches('.').to_lowercase();
    SqlError::new(sqlstate::SYNTAX_ERROR, message).at(position)
}

/// Of the first word.
fn first_place(words: &[TokenWithSpan]) -> Location {
    let mut real = words
        .iter()
        .filter(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF));
    let first = real.next().map(|token| token.span.start);
    first.unwrap_or(Location { line: 1, column: 1 })
}

fn statement_text(text: &str, words: &[TokenWithSpan]) -> (usize, String) {
    let real: Vec<_> = words
        .iter()
        .filter(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF))
        .collect();
    let (Some(first), Some(last)) = (real.first(), real.last()) else {
        return (0, String::new());
    };
    let from = position_of(text, first.span.start).unwrap_or(1) - 1;
    let until = position_of(text, last.span.end).map_or(usize::MAX, |at| at - 1);
    let length = until.saturating_sub(from);
    (from, text.chars().skip(from).take(length).collect())
}

fn statement(cursor: &mut Cursor<'_>) -> Result<StatementKind, SqlError> {
    let Some(word) = cursor.peek_word() else {
        // VALUES in parentheses and the like.
        return Ok(StatementKind::Query(cursor.query()?));
    };
    match word.as_str() {
        "select" | "with" | "values" | "table" => {
            return Ok(StatementKind::Query(cursor.query()?));
        }
        "insert" | "update" | "delete" => return change(cursor),
        _ => {}
    }
    cursor.next();
    Ok(match word.as_str() {
        "create" => definition::create(cursor)?,
        "drop" => definition::drop(cursor)?,
        "alter" => definition::alter(cursor)?,
        "show" => StatementKind::Show(cursor.rest_of_words()?),
        "describe" | "desc" => StatementKind::Describe {
            relation: cursor.name()?,
        },
        "explain" => explain(cursor)?,
        "subscribe" => {
            let (relation, with_snapshot) = subscribed(cursor)?;
            StatementKind::Subscribe {
                relation,
                with_snapshot,
            }
        }
        "flush" => StatementKind::Flush,
        "set" => set(cursor)?,
        "reset" => {
            let name = cursor.setting_name()?;
            StatementKind::Reset {
                name: (name != "all").then_some(name),
            }
        }
        "begin" | "start" => {
            let words = cursor.rest_of_words()?;
            let is_read_only = words
                .windows(2)
                .any(|two| two[0] == "read" && two[1] == "only");
            StatementKind::Begin { is_read_only }
        }
        "commit" | "end" => {
            cursor.rest_of_words()?;
            StatementKind::Commit
        }
        "rollback" | "abort" => rollback(cursor)?,
        "savepoint" => StatementKind::Savepoint {
            name: cursor.name()?,
        },
        "release" => {
            cursor.take_word("savepoint");
            StatementKind::ReleaseSavepoint {
                name: cursor.name()?,
            }
        }
        "prepare" => prepare(cursor)?,
        "execute" => {
            let name = cursor.name()?;
            let arguments = cursor.arguments()?;
            StatementKind::Execute { name, arguments }
        }
        "deallocate" => {
            cursor.take_word("prepare");
            let name = cursor.name()?;
            StatementKind::Deallocate {
                name: (name != "all").then_some(name),
            }
        }
        "unlisten" => {
            cursor.next();
            StatementKind::Unlisten
        }
        "discard" => {
            cursor.rest_of_words()?;
            StatementKind::Discard
        }
        "copy" => copy::copy(cursor)?,
        "declare" => declare(cursor)?,
        "fetch" => fetch(cursor)?,
        "close" => {
            let name = cursor.name()?;
            StatementKind::Close {
                cursor: (name != "all").then_some(name),
            }
        }
        _ => return Err(cursor.error_at_previous()),
    })
}

fn change(cursor: &mut Cursor<'_>) -> Result<StatementKind, SqlError> {
    match cursor.engine_statement()? {
        ast::Statement::Insert(insert) => Ok(StatementKind::Insert(Box::new(insert))),
        ast::Statement::Update(update) => Ok(StatementKind::Update(Box::new(update))),
        ast::Statement::Delete(delete) => Ok(StatementKind::Delete(Box::new(delete))),
        ast::Statement::Query(query) => Ok(StatementKind::Query(query)),
        _ => Err(cursor.error_at_previous()),
    }
}

fn explain(cursor: &mut Cursor<'_>) -> Result<StatementKind, SqlError> {
    let mut analyze = cursor.take_word("analyze");
    cursor.take_word("verbose");
    if cursor.take_token(&Token::LParen) {
        while !cursor.take_token(&Token::RParen) {
            let is_analyze = cursor.take_word("analyze");
            let next = cursor.next_or_end()?;
            if is_analyze {
                analyze = !matches!(next.as_str(), "false" | "off" | "0");
                if next == ")" {
                    break;
                }
            }
        }
    }
    let has_kind = cursor.take_words(&["materialized", "view"])
        || cursor.take_word("view")
        || cursor.take_word("sink");
    if has_kind || cursor.is_name_alone() {
        let relation = cursor.name()?;
        return Ok(StatementKind::ExplainRelation { analyze, relation });
    }
    Ok(StatementKind::Explain {
        analyze,
        statement: Box::new(inner(cursor)?),
    })
}

fn set(cursor: &mut Cursor<'_>) -> Result<StatementKind, SqlError> {
    let is_local = cursor.take_word("local");
    if !is_local {
        cursor.take_word("session");
    }
    if cursor.take_word("time") {
        cursor.expect_word("zone")?;
        let values = match cursor.take_word("interval") {
            true => vec![zone_interval(cursor)?],
            false => cursor.setting_values()?,
        };
        let is_default = |value: &String| value.eq_ignore_ascii_case("local");
        let values = match values.iter().any(is_default) {
            true => vec!["default".to_owned()],
            false => values,
        };
        return Ok(StatementKind::Set {
            name: "timezone".to_owned(),
            values,
            is_local,
        });
    }
    let name = cursor.setting_name()?;
    if name == "transaction" || name == "characteristics" {
        let values = cursor.rest_of_words()?;
        return Ok(StatementKind::Set {
            name: "transaction".to_owned(),
            values,
            is_local,
        });
    }
    if !cursor.take_token(&Token::Eq) && name != "names" {
        cursor.expect_word("to")?;
    }
    let values = cursor.setting_values()?;
    Ok(StatementKind::Set {
        name,
        values,
        is_local,
    })
}

/// `INTERVAL '+02:00' HOUR TO MINUTE`, as a value of the setting.
fn zone_interval(cursor: &mut Cursor<'_>) -> Result<String, SqlError> {
    let text = cursor.take_string().ok_or_else(|| cursor.error_here())?;
    let is_number = text.trim().parse::<f64>().is_ok();
    if cursor.take_word("hour") && cursor.take_word("to") {
        cursor.expect_word("minute")?;
        // A number alone is of the last unit.
        return Ok(match is_number {
            true => format!("INTERVAL '{text} minutes'"),
            false => format!("INTERVAL '{text}'"),
        });
    }
    Ok(match is_number {
        true => format!("INTERVAL '{text} hours'"),
        false => format!("INTERVAL '{text}'"),
    })
}

fn rollback(cursor: &mut Cursor<'_>) -> Result<StatementKind, SqlError> {
    if !cursor.take_word("work") {
        cursor.take_word("transaction");
    }
    if cursor.take_word("to") {
        cursor.take_word("savepoint");
        return Ok(StatementKind::RollbackTo {
            name: cursor.name()?,
        });
    }
    Ok(StatementKind::Rollback)
}

fn prepare(cursor: &mut Cursor<'_>) -> Result<StatementKind, SqlError> {
    let name = cursor.name()?;
    let mut types = Vec::new();
    if cursor.take_token(&Token::LParen) {
        loop {
            types.push(cursor.data_type()?);
            if !cursor.take_token(&Token::Comma) {
                break;
            }
        }
        cursor.expect_token(&Token::RParen)?;
    }
    cursor.expect_word("as")?;
    // What runs another one, as EXECUTE does, could run itself.
    match cursor.peek_word().as_deref() {
        None => {}
        Some(word) if PREPARED.contains(&word) => {}
        Some(_) => return Err(cursor.error_here()),
    }
    Ok(StatementKind::Prepare {
        name,
        types,
        statement: Box::new(inner(cursor)?),
    })
}

/// What PREPARE takes begins with one of these, or with a parenthesis.
const PREPARED: &[&str] = &[
    "select", "with", "values", "table", "insert", "update", "delete",
];

/// The statement that another one is about; that goes one level deep.
fn inner(cursor: &mut Cursor<'_>) -> Result<Statement, SqlError> {
    if matches!(cursor.peek_word().as_deref(), Some("explain" | "prepare")) {
        return Err(cursor.error_here());
    }
    let (start, first) = (cursor.start_of_next(), cursor.here());
    let kind = statement(cursor)?;
    let text = cursor.text_since(start);
    Ok(Statement {
        text,
        start,
        first,
        kind,
    })
}

/// Behind `SUBSCRIBE`: of what, and whether all its rows come first.
fn subscribed(cursor: &mut Cursor<'_>) -> Result<(String, bool), SqlError> {
    cursor.take_word("to");
    let relation = cursor.name()?;
    let with_snapshot = cursor.take_word("with");
    if with_snapshot {
        cursor.expect_word("snapshot")?;
    }
    Ok((relation, with_snapshot))
}

fn declare(cursor: &mut Cursor<'_>) -> Result<StatementKind, SqlError> {
    let name = cursor.name()?;
    while !cursor.take_word("for") {
        let word = cursor.next_or_end()?;
        if !matches!(
            word.as_str(),
            "binary"
                | "insensitive"
                | "asensitive"
                | "no"
                | "scroll"
                | "cursor"
                | "with"
                | "without"
                | "hold"
        ) {
            return Err(cursor.error_at_previous());
        }
    }
    let query = cursor.query()?;
    Ok(StatementKind::Declare { name, query })
}

fn fetch(cursor: &mut Cursor<'_>) -> Result<StatementKind, SqlError> {
    let mut count = FetchCount::Rows(1);
    if cursor.take_word("all") {
        count = FetchCount::All;
    } else if let Some(rows) = cursor.take_number() {
        count = FetchCount::Rows(rows);
    } else if cursor.take_word("next") {
    } else if cursor.take_word("forward") {
        if cursor.take_word("all") {
            count = FetchCount::All;
        } else if let Some(rows) = cursor.take_number() {
            count = FetchCount::Rows(rows);
        }
    }
    if !cursor.take_word("from") {
        cursor.take_word("in");
    }
    let name = cursor.name()?;
    Ok(StatementKind::Fetch {
        cursor: name,
        count,
    })
}

/// All rows and columns of a relation.
pub(crate) fn query_of(relation: &str, columns: &[String]) -> Result<Box<ast::Query>, SqlError> {
    let columns: Vec<String> = columns.iter().map(|column| quoted_part(column)).collect();
    let shown = match columns.is_empty() {
        true => "*".to_owned(),
        false => columns.join(", "),
    };
    let text = format!("SELECT {shown} FROM {}", quoted(relation));
    // Its words stand nowhere in what the client has written.
    let mut cursor = Cursor::new(&text, rewrite::tokens(&text));
    cursor.query().map_err(SqlError::unplaced)
}

/// As it is written where it must not be folded to lower case; the parts of `schema.name` one by one.
#[must_use]
pub fn quoted(name: &str) -> String {
    let parts: Vec<String> = name.split('.').map(quoted_part).collect();
    parts.join(".")
}

/// The same of a name that has no parts.
pub(crate) fn quoted_part(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
