//! How deep a statement is, before anything recurses over it.

use datafusion_sql::sqlparser::tokenizer::{Token, TokenWithSpan};

/// Between a pair of parentheses or brackets, or around all of them.
#[derive(Default)]
struct Level {
    /// Operators of the expression that stands there now, and the most of one before.
    operators: usize,
    most: usize,
    /// Set operators, joins, further relations of a FROM and common tables: each makes the query itself deeper.
    relations: usize,
    is_in_from: bool,
}

impl Level {
    fn next_expression(&mut self) {
        self.most = std::mem::take(&mut self.operators).max(self.most);
    }

    fn next_relation(&mut self) {
        self.next_expression();
        self.relations += 1;
    }

    fn depth(&self) -> usize {
        self.most.max(self.operators) + self.relations
    }
}

/// No less than the levels of the deepest expression or query: commas begin new expressions, what stands in parentheses
/// adds to what it stands in, and a query is as deep as it has parts, whatever commas are in those.
pub fn depth(words: &[TokenWithSpan]) -> usize {
    let mut open = vec![Level::default()];
    // The two words before, in lower case.
    let mut before = [String::new(), String::new()];
    for word in words {
        if matches!(word.token, Token::Whitespace(_)) {
            continue;
        }
        let name = match &word.token {
            Token::Word(word) if word.quote_style.is_none() => word.value.to_ascii_lowercase(),
            Token::Comma => ",".to_owned(),
            Token::Period => ".".to_owned(),
            _ => String::new(),
        };
        let is_closing = matches!(word.token, Token::RParen | Token::RBracket | Token::RBrace);
        if is_closing && open.len() > 1 {
            let inner = open.pop().map_or(0, |level| level.depth());
            if let Some(level) = open.last_mut() {
                level.operators += inner;
            }
        } else if let Some(level) = open.last_mut() {
            match &word.token {
                Token::Comma if level.is_in_from => level.next_relation(),
                Token::Comma => level.next_expression(),
                Token::LParen | Token::LBracket | Token::LBrace => {
                    // A common table: `WITH a AS (…)`.
                    if word.token == Token::LParen && is_one_of(&before[1], &["as", "materialized"])
                    {
                        level.next_relation();
                    }
                    // `list[1][2]` is as deep as it has places.
                    level.operators += usize::from(word.token != Token::LParen);
                    open.push(Level::default());
                }
                _ if is_one_of(&name, RELATIONS) => level.next_relation(),
                _ if name == "from" => {
                    let [earlier, last] = &before;
                    let is_comparison = last == "distinct" && is_one_of(earlier, &["is", "not"]);
                    level.is_in_from |= !is_comparison;
                }
                // Unless a relation has this name.
                _ if is_one_of(&name, CLAUSES)
                    && !is_one_of(&before[1], &["as", "from", "join", ",", "."]) =>
                {
                    level.is_in_from = false;
                }
                token if is_operator(token, &name) => level.operators += 1,
                _ => {}
            }
        }
        before.swap(0, 1);
        before[1] = name;
    }
    open.iter().map(Level::depth).sum()
}

fn is_one_of(name: &str, names: &[&str]) -> bool {
    names.contains(&name)
}

/// Each goes around what stands before it.
const RELATIONS: &[&str] = &[
    "union",
    "except",
    "intersect",
    "minus",
    "join",
    "straight_join",
    "apply",
    "pivot",
    "unpivot",
    "match_recognize",
];

/// They end a FROM, as does the next SELECT behind a set operator.
const CLAUSES: &[&str] = &[
    "where", "group", "having", "window", "order", "limit", "select", "values",
];

/// Operators that are words.
const OPERATORS: &[&str] = &[
    "and", "or", "xor", "is", "isnull", "notnull", "in", "not", "like", "ilike", "rlike", "regexp",
    "match", "member", "similar", "between", "overlaps", "collate", "at", "div", "when",
];

/// Whatever makes an expression deeper without parentheses, which the parser counts itself.
fn is_operator(token: &Token, name: &str) -> bool {
    match token {
        Token::Word(_) => is_one_of(name, OPERATORS),
        Token::Period
        | Token::RParen
        | Token::RBracket
        | Token::RBrace
        | Token::SemiColon
        | Token::EOF
        | Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::EscapedStringLiteral(_)
        | Token::Placeholder(_) => false,
        _ => true,
    }
}
