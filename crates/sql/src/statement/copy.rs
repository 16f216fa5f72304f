//! COPY: what is copied, whereto, and in what form.

use datafusion_sql::sqlparser::{ast, tokenizer::Token};

use super::{StatementKind, cursor::Cursor, query_of, subscribed};
use crate::{backend::SqlError, error::sqlstate};

/// What is copied out.
#[derive(Clone, Debug)]
pub enum Copied {
    Query(Box<ast::Query>),
    /// As they happen: psql shows lines when they come, and rows only when all have.
    Changes {
        relation: String,
        with_snapshot: bool,
    },
}

/// Where rows are copied to.
#[derive(Clone, Debug)]
pub struct CopyFrom {
    pub table: String,
    /// None: all of the table's.
    pub columns: Vec<String>,
    pub format: CopyFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyKind {
    Text,
    Csv,
    Binary,
}

/// The first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyHeader {
    Absent,
    Present,
    /// It has the names of the columns.
    Matches,
}

/// How rows are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyFormat {
    pub kind: CopyKind,
    pub header: CopyHeader,
    pub delimiter: u8,
    pub null: String,
    /// Around values in CSV, and before what in them is one.
    pub quote: u8,
    pub escape: u8,
}

pub fn copy(cursor: &mut Cursor<'_>) -> Result<StatementKind, SqlError> {
    if cursor.take_token(&Token::LParen) {
        let of = match cursor.take_word("subscribe") {
            true => {
                let (relation, with_snapshot) = subscribed(cursor)?;
                Copied::Changes {
                    relation,
                    with_snapshot,
                }
            }
            false => Copied::Query(cursor.query()?),
        };
        cursor.expect_token(&Token::RParen)?;
        return copy_out(cursor, of);
    }
    let table = cursor.name()?;
    let columns = match cursor.next_is(&Token::LParen) {
        true => cursor.idents()?,
        false => Vec::new(),
    };
    if !cursor.take_word("from") {
        let of = Copied::Query(query_of(&table, &columns)?);
        return copy_out(cursor, of);
    }
    cursor.expect_word("stdin")?;
    let format = format(cursor)?;
    if cursor.take_word("where") {
        return Err(SqlError::unsupported(
            "COPY FROM with WHERE is not supported",
        ));
    }
    Ok(StatementKind::CopyFrom(CopyFrom {
        table,
        columns,
        format,
    }))
}

fn copy_out(cursor: &mut Cursor<'_>, of: Copied) -> Result<StatementKind, SqlError> {
    cursor.expect_word("to")?;
    cursor.expect_word("stdout")?;
    let format = format(cursor)?;
    if format.header == CopyHeader::Matches {
        return Err(SqlError::unsupported(
            "cannot use \"match\" with HEADER in COPY TO",
        ));
    }
    Ok(StatementKind::Copy { of, format })
}

/// `[WITH] (FORMAT csv, HEADER, …)`, or as Postgres 8 had it: `[WITH] CSV HEADER …`.
fn format(cursor: &mut Cursor<'_>) -> Result<CopyFormat, SqlError> {
    let mut options = Options::default();
    cursor.take_word("with");
    if cursor.take_token(&Token::LParen) {
        loop {
            let name = cursor.ident()?;
            let value = match cursor.take_string() {
                Some(text) => Some(text),
                None if cursor.next_is(&Token::Comma) || cursor.next_is(&Token::RParen) => None,
                // `FORCE_NULL (a, b)`: no such option is taken.
                None if cursor.next_is(&Token::LParen) => None,
                None => Some(cursor.next_or_end()?),
            };
            options.set(&name, value)?;
            if !cursor.take_token(&Token::Comma) {
                break;
            }
        }
        cursor.expect_token(&Token::RParen)?;
        return options.format();
    }
    while let Some(word) = cursor.peek_word().filter(|word| word != "where") {
        cursor.next();
        match word.as_str() {
            "csv" | "binary" => options.set("format", Some(word))?,
            "header" => options.set("header", None)?,
            "delimiter" | "delimiters" | "null" | "quote" | "escape" | "encoding" => {
                cursor.take_word("as");
                let value = cursor.take_string().ok_or_else(|| cursor.error_here())?;
                options.set(word.trim_end_matches('s'), Some(value))?;
            }
            _ => return Err(cursor.error_at_previous()),
        }
    }
    options.format()
}

/// As they are written.
#[derive(Default)]
struct Options {
    format: Option<CopyKind>,
    header: Option<CopyHeader>,
    delimiter: Option<String>,
    null: Option<String>,
    quote: Option<String>,
    escape: Option<String>,
}

impl Options {
    fn set(&mut self, name: &str, value: Option<String>) -> Result<(), SqlError> {
        let invalid = |message: String| SqlError::new(sqlstate::INVALID_PARAMETER_VALUE, message);
        let text = || {
            let message = format!("{name} requires a parameter");
            value
                .clone()
                .ok_or_else(|| SqlError::new(sqlstate::SYNTAX_ERROR, message))
        };
        match name {
            "format" => {
                self.format = Some(match text()?.as_str() {
                    "text" => CopyKind::Text,
                    "csv" => CopyKind::Csv,
                    "binary" => CopyKind::Binary,
                    other => {
                        return Err(invalid(format!("COPY format \"{other}\" not recognized")));
                    }
                });
            }
            "header" => {
                let value = value.as_deref().map(str::to_ascii_lowercase);
                self.header = Some(match value.as_deref() {
                    None | Some("true" | "on" | "1") => CopyHeader::Present,
                    Some("false" | "off" | "0") => CopyHeader::Absent,
                    Some("match") => CopyHeader::Matches,
                    Some(_) => {
                        let message = "header requires a Boolean value or \"match\"";
                        return Err(SqlError::new(sqlstate::SYNTAX_ERROR, message));
                    }
                });
            }
            "delimiter" => self.delimiter = Some(text()?),
            "null" => self.null = Some(text()?),
            "quote" => self.quote = Some(text()?),
            "escape" => self.escape = Some(text()?),
            "encoding" => {
                let encoding = text()?.replace(['-', '_'], "");
                if !encoding.eq_ignore_ascii_case("utf8") {
                    return Err(SqlError::unsupported("COPY has no encoding but UTF8"));
                }
            }
            // All rows are seen at once in any case.
            "freeze" => {}
            "force_quote" | "force_null" | "force_not_null" => {
                let name = name.to_uppercase();
                return Err(SqlError::unsupported(format!(
                    "COPY {name} is not supported"
                )));
            }
            other => {
                let message = format!("option \"{other}\" not recognized");
                return Err(SqlError::new(sqlstate::SYNTAX_ERROR, message));
            }
        }
        Ok(())
    }

    fn format(self) -> Result<CopyFormat, SqlError> {
        let kind = self.format.unwrap_or(CopyKind::Text);
        let is_csv = kind == CopyKind::Csv;
        let syntax = |message: &str| SqlError::new(sqlstate::SYNTAX_ERROR, message);
        if kind == CopyKind::Binary
            && (self.delimiter.is_some() || self.null.is_some() || self.header.is_some())
        {
            return Err(syntax(
                "cannot specify DELIMITER, NULL or HEADER in BINARY mode",
            ));
        }
        if !is_csv && (self.quote.is_some() || self.escape.is_some()) {
            return Err(SqlError::unsupported(
                "COPY quote and escape available only in CSV mode",
            ));
        }
        let delimiter = byte(
            "delimiter",
            self.delimiter,
            if is_csv { b',' } else { b'\t' },
        )?;
        let quote = byte("quote", self.quote, b'"')?;
        let escape = byte("escape", self.escape, quote)?;
        let null = self
            .null
            .unwrap_or_else(|| if is_csv { "" } else { "\\N" }.to_owned());
        let invalid = |message: &str| SqlError::new(sqlstate::INVALID_PARAMETER_VALUE, message);
        // What stands behind a backslash in text has a meaning of its own.
        if matches!(delimiter, b'\n' | b'\r')
            || !is_csv && (delimiter.is_ascii_alphanumeric() || b"\\.".contains(&delimiter))
        {
            let message = format!("COPY delimiter cannot be \"{}\"", char::from(delimiter));
            return Err(invalid(&message));
        }
        if null.contains(['\n', '\r']) {
            return Err(invalid(
                "COPY null representation cannot use newline or carriage return",
            ));
        }
        if is_csv && delimiter == quote {
            return Err(invalid("COPY delimiter and quote must be different"));
        }
        if null.as_bytes().contains(&delimiter) || is_csv && null.as_bytes().contains(&quote) {
            return Err(invalid(
                "COPY delimiter and quote must not appear in the NULL specification",
            ));
        }
        Ok(CopyFormat {
            kind,
            header: self.header.unwrap_or(CopyHeader::Absent),
            delimiter,
            null,
            quote,
            escape,
        })
    }
}

fn byte(name: &str, written: Option<String>, otherwise: u8) -> Result<u8, SqlError> {
    match written.as_deref().map(str::as_bytes) {
        None => Ok(otherwise),
        Some([byte]) => Ok(*byte),
        Some(_) => {
            let message = format!("COPY {name} must be a single one-byte character");
            Err(SqlError::unsupported(message))
        }
    }
}
