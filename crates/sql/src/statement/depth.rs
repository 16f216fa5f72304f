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
    // The words before, the last one last.
    let mut before: [Word; 4] = Default::default();
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
        let last = &before[3];
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
                    if word.token == Token::LParen && is_one_of(&last.name, &["as", "materialized"])
                    {
                        level.next_relation();
                    }
                    // `list[1][2]` is as deep as it has places.
                    level.operators += usize::from(word.token != Token::LParen);
                    open.push(Level::default());
                }
                _ if is_one_of(&name, RELATIONS) => level.next_relation(),
                _ if name == "from" => level.is_in_from |= !is_comparison(&before),
                // Unless a relation has this name.
                _ if is_one_of(&name, CLAUSES)
                    && !is_one_of(&last.name, &["as", "from", "join", ",", "."]) =>
                {
                    level.is_in_from = false;
                }
                // The next query of a set; elsewhere a relation has this name.
                _ if is_one_of(&name, &["select", "values"]) && is_set(&before) => {
                    level.is_in_from = false;
                }
                token if is_operator(token, &name) => level.operators += 1,
                _ => {}
            }
        }
        before.rotate_left(1);
        before[3] = Word {
            is_operand: ends_operand(&word.token, &name),
            name,
        };
    }
    open.iter().map(Level::depth).sum()
}

/// One of those before: in lower case, empty for what is none and needs no name.
#[derive(Default)]
struct Word {
    name: String,
    /// An operator may follow.
    is_operand: bool,
}

/// `a IS [NOT] DISTINCT`; with something else before it, IS or DISTINCT is a name, and a FROM follows.
fn is_comparison([first, second, third, fourth]: &[Word; 4]) -> bool {
    let operand = match (second.name.as_str(), third.name.as_str()) {
        ("is", "not") => first,
        (_, "is") => second,
        _ => return false,
    };
    fourth.name == "distinct" && operand.is_operand
}

fn is_set([.., third, fourth]: &[Word; 4]) -> bool {
    let operator = match is_one_of(&fourth.name, &["all", "distinct"]) {
        true => third,
        false => fourth,
    };
    is_one_of(&operator.name, SETS)
}

fn ends_operand(token: &Token, name: &str) -> bool {
    match token {
        Token::Word(_) => !is_one_of(name, OPERATORS) && !is_one_of(name, NO_OPERANDS),
        Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::EscapedStringLiteral(_)
        | Token::Placeholder(_)
        | Token::RParen
        | Token::RBracket
        | Token::RBrace => true,
        _ => false,
    }
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

const SETS: &[&str] = &["union", "except", "intersect", "minus"];

/// They end a FROM, and the parser takes none of them for the alias of a relation.
const CLAUSES: &[&str] = &[
    "where",
    "group",
    "having",
    "window",
    "order",
    "limit",
    "returning",
    "set",
];

/// Words behind which an operand begins.
const NO_OPERANDS: &[&str] = &[
    "select",
    "distinct",
    "all",
    "where",
    "having",
    "by",
    "on",
    "then",
    "else",
    "case",
    "returning",
    "set",
    "values",
    "from",
    "join",
    "using",
    "union",
    "except",
    "intersect",
    "minus",
    "limit",
];

/// Operators that are words.
const OPERATORS: &[&str] = &[
    "and", "or", "xor", "is", "isnull", "notnull", "in", "not", "like", "ilike", "rlike", "regexp",
    "match", "member", "similar", "between", "overlaps", "collate", "at", "div", "when",
    "interval",
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
