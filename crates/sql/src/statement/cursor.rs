//! A place in the words of a statement.

use datafusion_sql::sqlparser::{
    ast,
    dialect::{Dialect as _, PostgreSqlDialect, Precedence},
    parser::{Parser, ParserError},
    tokenizer::{Location, Token, TokenWithSpan},
};

use crate::{backend::SqlError, error::sqlstate};

/// Nesting of expressions and queries; deeper ones are refused.
const NESTING_MAX: usize = 64;

const DIALECT: PostgreSqlDialect = PostgreSqlDialect {};

/// See the module head.
pub struct Cursor<'a> {
    text: &'a str,
    parser: Parser<'static>,
}

/// Characters from 1, as Postgres counts.
pub fn position_of(text: &str, location: Location) -> Option<usize> {
    if location.line == 0 {
        return None;
    }
    let before: usize = text
        .split_inclusive('\n')
        .take(usize::try_from(location.line - 1).ok()?)
        .map(|line| line.chars().count())
        .sum();
    Some(before + usize::try_from(location.column).ok()?)
}

impl<'a> Cursor<'a> {
    pub fn new(text: &'a str, words: Vec<TokenWithSpan>) -> Self {
        let parser = Parser::new(&DIALECT)
            .with_recursion_limit(NESTING_MAX)
            .with_tokens_with_locations(words);
        Self { text, parser }
    }

    /// The next word in lower case, unless it is quoted or no word.
    pub fn peek_word(&self) -> Option<String> {
        word_of(&self.parser.peek_token_ref().token)
    }

    pub fn next(&mut self) -> TokenWithSpan {
        self.parser.next_token()
    }

    /// Any next token as lower-case text; an error at the end.
    pub fn next_or_end(&mut self) -> Result<String, SqlError> {
        if self.at_end() {
            return Err(self.error_here());
        }
        Ok(self.next().token.to_string().to_lowercase())
    }

    pub fn at_end(&self) -> bool {
        self.parser.peek_token_ref().token == Token::EOF
    }

    pub fn expect_end(&self) -> Result<(), SqlError> {
        if self.at_end() {
            Ok(())
        } else {
            Err(self.error_here())
        }
    }

    pub fn take_word(&mut self, word: &str) -> bool {
        let is_it = self.peek_word().as_deref() == Some(word);
        if is_it {
            self.parser.advance_token();
        }
        is_it
    }

    /// All of them or none.
    pub fn take_words(&mut self, words: &[&str]) -> bool {
        let all = words.iter().enumerate().all(|(at, word)| {
            word_of(&self.parser.peek_nth_token_ref(at).token).as_deref() == Some(word)
        });
        if all {
            for _ in words {
                self.parser.advance_token();
            }
        }
        all
    }

    /// Whether what is left begins as a relation's name and not as a statement.
    pub fn is_name_alone(&self) -> bool {
        matches!(self.parser.peek_token_ref().token, Token::Word(_))
            && matches!(
                self.parser.peek_nth_token_ref(1).token,
                Token::EOF | Token::Period
            )
    }

    pub fn expect_word(&mut self, word: &str) -> Result<(), SqlError> {
        if self.take_word(word) {
            Ok(())
        } else {
            Err(self.error_here())
        }
    }

    pub fn take_token(&mut self, token: &Token) -> bool {
        self.parser.consume_token(token)
    }

    pub fn next_is(&self, token: &Token) -> bool {
        self.parser.peek_token_ref().token == *token
    }

    pub fn expect_token(&mut self, token: &Token) -> Result<(), SqlError> {
        if self.take_token(token) {
            Ok(())
        } else {
            Err(self.error_here())
        }
    }

    pub fn take_number(&mut self) -> Option<u64> {
        let Token::Number(digits, _) = &self.parser.peek_token_ref().token else {
            return None;
        };
        let number = digits.parse().ok()?;
        self.parser.advance_token();
        Some(number)
    }

    /// An identifier, folded to lower case unless quoted.
    pub fn ident(&mut self) -> Result<String, SqlError> {
        let found = match &self.parser.peek_token_ref().token {
            Token::Word(word) if word.quote_style.is_some() => word.value.clone(),
            Token::Word(word) => word.value.to_lowercase(),
            _ => return Err(self.error_here()),
        };
        self.parser.advance_token();
        Ok(found)
    }

    /// A relation's name; `public` is where everything is, so it is left out.
    pub fn name(&mut self) -> Result<String, SqlError> {
        let mut name = self.ident()?;
        while self.take_token(&Token::Period) {
            let part = self.ident()?;
            name = if name == "public" || name == "forebay.public" {
                part
            } else {
                format!("{name}.{part}")
            };
        }
        Ok(name)
    }

    /// A topic's name: an identifier, or text in quotes, with dots and dashes in it.
    pub fn topic(&mut self) -> Result<String, SqlError> {
        if let Some(text) = self.take_string() {
            return Ok(text);
        }
        let mut topic = self.ident_as_written()?;
        loop {
            let glue = if self.take_token(&Token::Period) {
                '.'
            } else if self.take_token(&Token::Minus) {
                '-'
            } else {
                return Ok(topic);
            };
            topic.push(glue);
            topic.push_str(&self.ident_as_written()?);
        }
    }

    /// Topics are case-sensitive.
    fn ident_as_written(&mut self) -> Result<String, SqlError> {
        let found = match &self.parser.peek_token_ref().token {
            Token::Word(word) => word.value.clone(),
            Token::Number(digits, _) => digits.clone(),
            _ => return Err(self.error_here()),
        };
        self.parser.advance_token();
        Ok(found)
    }

    pub fn take_string(&mut self) -> Option<String> {
        let (Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text)) =
            &self.parser.peek_token_ref().token
        else {
            return None;
        };
        let text = text.clone();
        self.parser.advance_token();
        Some(text)
    }

    /// `(a, b, c)`.
    pub fn idents(&mut self) -> Result<Vec<String>, SqlError> {
        self.expect_token(&Token::LParen)?;
        let mut names = vec![self.ident()?];
        while self.take_token(&Token::Comma) {
            names.push(self.ident()?);
        }
        self.expect_token(&Token::RParen)?;
        Ok(names)
    }

    /// `datestyle`, `forebay.after`.
    pub fn setting_name(&mut self) -> Result<String, SqlError> {
        let mut name = self.ident()?.to_lowercase();
        while self.take_token(&Token::Period) {
            name = format!("{name}.{}", self.ident()?.to_lowercase());
        }
        Ok(name)
    }

    pub fn setting_values(&mut self) -> Result<Vec<String>, SqlError> {
        let mut values = Vec::new();
        let mut value = String::new();
        while !self.at_end() {
            if self.take_token(&Token::Comma) {
                values.push(std::mem::take(&mut value));
                continue;
            }
            let part = match self.take_string() {
                Some(text) => text,
                None => match self.next().token {
                    Token::Word(word) => word.value,
                    other => other.to_string(),
                },
            };
            value.push_str(&part);
        }
        if value.is_empty() && values.is_empty() {
            return Err(self.error_here());
        }
        values.push(value);
        Ok(values)
    }

    /// What is left, as lower-case words; text in quotes as it is.
    pub fn rest_of_words(&mut self) -> Result<Vec<String>, SqlError> {
        let mut words = Vec::new();
        while !self.at_end() {
            match self.take_string() {
                Some(text) => words.push(text),
                None => match self.next().token {
                    Token::Word(word) if word.quote_style.is_some() => words.push(word.value),
                    other => words.push(other.to_string().to_lowercase()),
                },
            }
        }
        Ok(words)
    }

    /// Where the next word stands.
    pub fn here(&self) -> Location {
        self.parser.peek_token_ref().span.start
    }

    /// From this place, in characters from 0, to the token just read.
    pub fn text_since(&self, start: usize) -> String {
        let length = self.end_of_previous().saturating_sub(start);
        let text: String = self.text.chars().skip(start).take(length).collect();
        text.trim_end().to_owned()
    }

    /// Reads a query from what comes before one of these words, or symbols, outside of parentheses.
    pub fn query_before(&mut self, stops: &[&[&str]]) -> Result<Box<ast::Query>, SqlError> {
        let mut words: Vec<TokenWithSpan> = Vec::new();
        let mut depth = 0_usize;
        while !self.at_end() {
            // Behind a dot it is a column's name.
            let may_end =
                depth == 0 && words.last().is_some_and(|word| word.token != Token::Period);
            if may_end && stops.iter().any(|stop| self.stands_here(stop)) {
                break;
            }
            let token = self.next();
            match token.token {
                Token::LParen => depth += 1,
                Token::RParen => depth = depth.saturating_sub(1),
                _ => {}
            }
            words.push(token);
        }
        let end = self.parser.peek_token_ref().clone();
        let mut inner = Cursor::new(self.text, words);
        if inner.at_end() {
            return Err(self.unexpected(&end));
        }
        let query = inner.query()?;
        inner.expect_end()?;
        Ok(query)
    }

    fn stands_here(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(at, word)| {
            let token = &self.parser.peek_nth_token_ref(at).token;
            match word_of(token) {
                Some(found) => found == *word,
                None => token.to_string() == *word,
            }
        })
    }

    pub fn query(&mut self) -> Result<Box<ast::Query>, SqlError> {
        let parsed = self.parser.parse_query();
        parsed.map_err(|error| self.parser_error(&error))
    }

    pub fn expression(&mut self) -> Result<ast::Expr, SqlError> {
        let parsed = self.parser.parse_expr();
        parsed.map_err(|error| self.parser_error(&error))
    }

    /// As a DEFAULT has it, where NOT NULL may follow: without AND, OR, NOT and IS but in parentheses.
    pub fn default_expression(&mut self) -> Result<ast::Expr, SqlError> {
        let precedence = DIALECT.prec_value(Precedence::Is);
        let parsed = self.parser.parse_subexpr(precedence);
        parsed.map_err(|error| self.parser_error(&error))
    }

    pub fn data_type(&mut self) -> Result<ast::DataType, SqlError> {
        let parsed = self.parser.parse_data_type();
        parsed.map_err(|error| self.parser_error(&error))
    }

    pub fn engine_statement(&mut self) -> Result<ast::Statement, SqlError> {
        let parsed = self.parser.parse_statement();
        parsed.map_err(|error| self.parser_error(&error))
    }

    /// `(1, 'a')`, or nothing.
    pub fn arguments(&mut self) -> Result<Vec<ast::Expr>, SqlError> {
        let mut arguments = Vec::new();
        if !self.take_token(&Token::LParen) || self.take_token(&Token::RParen) {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.expression()?);
            if !self.take_token(&Token::Comma) {
                break;
            }
        }
        self.expect_token(&Token::RParen)?;
        Ok(arguments)
    }

    /// Where the next token begins, in characters from 0.
    pub fn start_of_next(&self) -> usize {
        let next = self.parser.peek_token_ref().span.start;
        position_of(self.text, next).map_or(0, |at| at - 1)
    }

    /// Where the token just read ends.
    pub fn end_of_previous(&self) -> usize {
        let previous = self.parser.get_current_token().span.end;
        position_of(self.text, previous).map_or(0, |at| at - 1)
    }

    /// The next token does not belong here.
    pub fn error_here(&self) -> SqlError {
        self.unexpected(self.parser.peek_token_ref())
    }

    /// The token just read does not belong there.
    pub fn error_at_previous(&self) -> SqlError {
        self.unexpected(self.parser.get_current_token())
    }

    fn unexpected(&self, found: &TokenWithSpan) -> SqlError {
        if found.token == Token::EOF {
            let end = self.text.chars().count() + 1;
            return SqlError::new(sqlstate::SYNTAX_ERROR, "syntax error at end of input")
                .at(Some(end));
        }
        let message = format!("syntax error at or near \"{}\"", found.token);
        SqlError::new(sqlstate::SYNTAX_ERROR, message).at(position_of(self.text, found.span.start))
    }

    /// The parser's sentence is `Expected: x, found: y at Line: 1, Column: 2`.
    fn parser_error(&self, error: &ParserError) -> SqlError {
        let message = match error {
            ParserError::RecursionLimitExceeded => {
                return SqlError::new(
                    sqlstate::STATEMENT_TOO_COMPLEX,
                    "the statement is nested too deeply",
                );
            }
            ParserError::ParserError(message) | ParserError::TokenizerError(message) => message,
        };
        let Some((expected, found)) = message.split_once(", found: ") else {
            let (message, place) = split_place(message);
            let position = place.and_then(|location| position_of(self.text, location));
            let position = position.or_else(|| self.error_at_previous().position);
            return SqlError::new(sqlstate::SYNTAX_ERROR, message.to_lowercase()).at(position);
        };
        let (token, place) = split_place(found);
        let position = place.and_then(|location| position_of(self.text, location));
        let hint = expected.trim_start_matches("Expected: ");
        let error = if token == "EOF" {
            let end = self.text.chars().count() + 1;
            SqlError::new(sqlstate::SYNTAX_ERROR, "syntax error at end of input").at(Some(end))
        } else {
            let message = format!("syntax error at or near \"{token}\"");
            SqlError::new(sqlstate::SYNTAX_ERROR, message).at(position)
        };
        error.with_hint(format!("Expected {hint}."))
    }
}

fn split_place(message: &str) -> (&str, Option<Location>) {
    let Some((before, place)) = message.rsplit_once(" at Line: ") else {
        return (message, None);
    };
    let location = place.split_once(", Column: ").and_then(|(line, column)| {
        Some(Location {
            line: line.trim().parse().ok()?,
            column: column.trim().parse().ok()?,
        })
    });
    (before, location)
}

fn word_of(token: &Token) -> Option<String> {
    match token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.value.to_lowercase()),
        _ => None,
    }
}
