//! The place in a statement that an error speaks of.
//!
//! # Instead of   the planner's own spans: it has them for few errors, and loses them in what it rewrites. The words of an
//! error say what was looked for; the first word of the statement that can be it is where Postgres points too.

use datafusion_sql::sqlparser::{
    dialect::PostgreSqlDialect,
    tokenizer::{Token, TokenWithSpan, Tokenizer},
};

use super::cursor::position_of;
use crate::{backend::SqlError, error::sqlstate};

/// What an error looked for in vain.
#[derive(Debug, PartialEq, Eq)]
enum Sought<'e> {
    /// By its parts, `t.a`.
    Column(Vec<&'e str>),
    Relation(&'e str),
    Function(&'e str),
    Type(&'e str),
    Operator(&'e str),
    Literal(&'e str),
    /// The first word behind this one.
    Behind(&'e str),
}

/// In characters from 1.
pub fn of(error: &SqlError, text: &str) -> Option<usize> {
    let sought = sought(error)?;
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, text)
        .tokenize_with_location()
        .ok()?;
    let words: Vec<&TokenWithSpan> = tokens
        .iter()
        .filter(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF))
        .collect();
    let found = words.get(find(&words, &sought)?)?;
    position_of(text, found.span.start)
}

fn sought(error: &SqlError) -> Option<Sought<'_>> {
    let message = error.message.as_str();
    Some(match error.sqlstate {
        sqlstate::UNDEFINED_COLUMN
        | sqlstate::AMBIGUOUS_COLUMN
        | sqlstate::DUPLICATE_COLUMN
        | sqlstate::GROUPING_ERROR => {
            let rest = message
                .strip_prefix("column reference ")
                .or_else(|| message.strip_prefix("column "))?;
            match quoted(rest) {
                // Only the error of grouping names the relation inside of the quotes.
                Some(name) if error.sqlstate == sqlstate::GROUPING_ERROR => {
                    Sought::Column(name.split('.').collect())
                }
                Some(name) => Sought::Column(vec![name]),
                None => Sought::Column(rest.split(' ').next()?.split('.').collect()),
            }
        }
        sqlstate::UNDEFINED_TABLE | sqlstate::WRONG_OBJECT_TYPE => {
            let name = quoted_anywhere(message)?;
            Sought::Relation(name.rsplit('.').next()?)
        }
        sqlstate::UNDEFINED_FUNCTION => match message.strip_prefix("operator does not exist: ") {
            Some(operands) => Sought::Operator(operator(operands)?),
            None => {
                let rest = message.strip_prefix("function ")?;
                Sought::Function(rest.split(['(', ' ']).next()?)
            }
        },
        sqlstate::UNDEFINED_OBJECT => Sought::Type(quoted_anywhere(message)?),
        sqlstate::DATATYPE_MISMATCH => {
            let clause = message.strip_prefix("argument of ")?;
            Sought::Behind(clause.split(' ').next()?)
        }
        sqlstate::INVALID_TEXT_REPRESENTATION
        | sqlstate::INVALID_DATETIME_FORMAT
        | sqlstate::DATETIME_FIELD_OVERFLOW
        | sqlstate::NUMERIC_VALUE_OUT_OF_RANGE => Sought::Literal(quoted_anywhere(message)?),
        _ => return None,
    })
}

fn quoted(text: &str) -> Option<&str> {
    let rest = text.strip_prefix('"')?;
    rest.split_once('"').map(|(name, _)| name)
}

fn quoted_anywhere(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once('"')?;
    rest.rsplit_once('"').map(|(name, _)| name)
}

/// Of `integer + boolean`; names of types are of letters and parentheses.
fn operator(operands: &str) -> Option<&str> {
    let is_sign = |word: &&str| word.bytes().all(|byte| b"+-*/%<>=!|~&#".contains(&byte));
    operands.split(' ').find(is_sign)
}

fn is(token: &TokenWithSpan, name: &str) -> bool {
    match &token.token {
        Token::Word(word) if word.quote_style.is_some() => word.value == name,
        Token::Word(word) => word.value.to_lowercase() == name.to_lowercase(),
        _ => false,
    }
}

fn find(words: &[&TokenWithSpan], sought: &Sought<'_>) -> Option<usize> {
    let any = |wanted: &dyn Fn(usize) -> bool| (0..words.len()).find(|at| wanted(*at));
    let token = |at: usize| words.get(at).map(|word| &word.token);
    let before = |at: usize| at.checked_sub(1).and_then(token);
    let is_call = |at: usize| token(at + 1) == Some(&Token::LParen);
    match sought {
        Sought::Column(parts) => {
            let stands = |at: usize, parts: &[&str]| {
                let mut place = at;
                parts.iter().enumerate().all(|(part, name)| {
                    place += usize::from(part > 0);
                    let dot = part == 0 || token(place) == Some(&Token::Period);
                    place += usize::from(part > 0);
                    dot && words.get(place).is_some_and(|word| is(word, name))
                })
            };
            let is_alias =
                |at: usize| at > 0 && words.get(at - 1).is_some_and(|word| is(word, "as"));
            let last = &parts[parts.len() - 1..];
            let whole = any(&|at| stands(at, parts) && before(at) != Some(&Token::Period));
            // Without the relation, where the statement leaves it out.
            whole
                .or_else(|| any(&|at| stands(at, last) && !is_call(at) && !is_alias(at)))
                .map(|at| qualified_from(words, at))
        }
        Sought::Relation(name) => {
            let introduces = |at: usize| match before(at) {
                Some(Token::Comma | Token::Period) => true,
                Some(Token::Word(word)) => matches!(
                    word.value.to_lowercase().as_str(),
                    "from" | "join" | "into" | "update" | "table" | "on" | "to" | "subscribe"
                ),
                _ => false,
            };
            let found = any(&|at| introduces(at) && is(words[at], name))
                .or_else(|| any(&|at| is(words[at], name)));
            found.map(|at| qualified_from(words, at))
        }
        Sought::Function(name) => {
            any(&|at| is(words[at], name) && is_call(at)).map(|at| qualified_from(words, at))
        }
        Sought::Type(name) => any(&|at| is(words[at], name)),
        Sought::Operator(sign) => any(&|at| words[at].token.to_string() == *sign),
        Sought::Literal(text) => any(&|at| match &words[at].token {
            Token::SingleQuotedString(literal) | Token::EscapedStringLiteral(literal) => {
                literal == text
            }
            _ => false,
        }),
        Sought::Behind(word) => any(&|at| is(words[at], word)).map(|at| at + 1),
    }
}

/// Where a name with dots begins.
fn qualified_from(words: &[&TokenWithSpan], mut at: usize) -> usize {
    while at >= 2
        && words[at - 1].token == Token::Period
        && matches!(words[at - 2].token, Token::Word(_))
    {
        at -= 2;
    }
    at
}
