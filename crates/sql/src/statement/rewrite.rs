//! Words that the query engine's parser does not know, as others that mean the same to the planner.
//!
//! - `SESSION(t, at, INTERVAL '1 minute', PARTITION BY a, b)`: the columns are further arguments.
//! - `[LEFT] JOIN b FOR SYSTEM_TIME AS OF a.t ON x`: a join on a mark with that time, and `x`.
//! - `FOR NO KEY UPDATE`, `FOR KEY SHARE`: without the words for a weaker lock, as nothing is locked.
//! - `ASOF [LEFT] JOIN b ON x` and `ASOF JOIN b MATCH_CONDITION (y) ON x`: a join on a mark, and both conditions.

use datafusion_sql::sqlparser::{
    dialect::PostgreSqlDialect,
    tokenizer::{Token, TokenWithSpan, Tokenizer},
};

use crate::planner::{AS_OF_MARK, SYSTEM_TIME_MARK};

/// See the module head.
pub fn rewritten(words: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let has = |name: &str| words.iter().any(|word| is_word(word, name));
    let words = match has("for") && has("key") {
        true => row_locks(words),
        false => words,
    };
    let has = |name: &str| words.iter().any(|word| is_word(word, name));
    let words = if has("session") && has("partition") {
        session_partitions(words)
    } else {
        words
    };
    let words = if words.iter().any(|word| is_word(word, "system_time")) {
        system_time_joins(words)
    } else {
        words
    };
    if words.iter().any(|word| is_word(word, "asof")) {
        as_of_joins(words)
    } else {
        words
    }
}

fn is_word(token: &TokenWithSpan, name: &str) -> bool {
    matches!(&token.token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(name))
}

fn is_space(token: &TokenWithSpan) -> bool {
    matches!(token.token, Token::Whitespace(_))
}

/// The next word from a place on that is no space.
fn next_word(words: &[TokenWithSpan], from: usize) -> Option<usize> {
    (from..words.len()).find(|at| !is_space(&words[*at]))
}

/// By how much a word changes the level of parentheses.
fn depth_of(token: &TokenWithSpan) -> i32 {
    match token.token {
        Token::LParen => 1,
        Token::RParen => -1,
        _ => 0,
    }
}

fn row_locks(words: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    const WEAKER: [&[&str]; 2] = [&["no", "key", "update"], &["key", "share"]];
    let real: Vec<usize> = (0..words.len())
        .filter(|at| !is_space(&words[*at]))
        .collect();
    let stand = |from: usize, names: &[&str]| {
        let mut names = names.iter().enumerate();
        names.all(|(place, name)| {
            let word = real.get(from + place);
            word.is_some_and(|at| is_word(&words[*at], name))
        })
    };
    let mut dropped = Vec::new();
    for place in (0..real.len()).filter(|place| stand(*place, &["for"])) {
        if let Some(names) = WEAKER.iter().find(|names| stand(place + 1, names)) {
            dropped.extend_from_slice(&real[place + 1..place + names.len()]);
        }
    }
    let kept = words.into_iter().enumerate();
    let kept = kept.filter(|(at, _)| !dropped.contains(at));
    kept.map(|(_, word)| word).collect()
}

fn session_partitions(words: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(words.len());
    // Levels at which the arguments of a SESSION stand.
    let mut sessions = Vec::new();
    let mut depth = 0;
    let mut at = 0;
    while at < words.len() {
        let word = &words[at];
        depth += depth_of(word);
        let last = out.iter().rfind(|token| !is_space(token));
        if word.token == Token::LParen && last.is_some_and(|last| is_word(last, "session")) {
            sessions.push(depth);
        }
        if word.token == Token::RParen && sessions.last() == Some(&(depth + 1)) {
            sessions.pop();
        }
        let by = next_word(&words, at + 1).filter(|next| is_word(&words[*next], "by"));
        if is_word(word, "partition")
            && sessions.last() == Some(&depth)
            && let Some(by) = by
        {
            if last.is_some_and(|last| last.token != Token::Comma) {
                out.push(TokenWithSpan::new(Token::Comma, word.span));
            }
            at = by + 1;
            continue;
        }
        out.push(word.clone());
        at += 1;
    }
    out
}

/// The places of the words of `FOR SYSTEM_TIME AS OF`, from a place on.
pub fn system_time(words: &[TokenWithSpan], from: usize) -> Option<(usize, usize)> {
    (from..words.len()).find_map(|at| {
        let mut end = at;
        for (place, name) in ["for", "system_time", "as", "of"].iter().enumerate() {
            if place > 0 {
                end = next_word(words, end + 1)?;
            }
            is_word(&words[end], name).then_some(())?;
        }
        Some((at, end))
    })
}

/// What it says is left where it is no column of a join with a condition.
fn system_time_joins(words: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut words = words;
    let mut from = 0;
    while let Some((at, end)) = system_time(&words, from) {
        from = end;
        let Some(first) = next_word(&words, end + 1) else {
            continue;
        };
        let mut last = first;
        while words.get(last + 1).map(|word| &word.token) == Some(&Token::Period) {
            last += 2;
        }
        let behind = words.get(last + 1).map(|word| &word.token);
        let is_column = matches!(words[first].token, Token::Word(_))
            && last < words.len()
            && behind != Some(&Token::LParen);
        let Some(on) = condition_of(&words, last).filter(|_| is_column) else {
            continue;
        };
        let mut condition = tokens(&format!(" {SYSTEM_TIME_MARK}("));
        condition.extend_from_slice(&words[first..=last]);
        condition.extend(tokens(") AND "));
        words.splice(on + 1..on + 1, condition);
        words.drain(at..=last);
        from = at;
    }
    words
}

fn as_of_joins(words: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut words = words;
    let mut from = 0;
    while let Some(at) = (from..words.len()).find(|at| is_word(&words[*at], "asof")) {
        from = at + 1;
        let on = own_join(&words, at + 1).and_then(|join| condition_of(&words, join + 1));
        let Some(on) = on else {
            continue;
        };
        let mut condition = mark();
        let is_matched = |word: &TokenWithSpan| is_word(word, "match_condition");
        let matched = at_level(&words[..on], at + 1, is_matched);
        let end = matched.and_then(|matched| {
            let open = next_word(&words, matched + 1)?;
            (words[open].token == Token::LParen).then_some(())?;
            let mut depth = 0;
            (open..on).find(|place| {
                depth += depth_of(&words[*place]);
                depth == 0
            })
        });
        if let (Some(matched), Some(end)) = (matched, end) {
            condition.extend_from_slice(&words[matched + 1..=end]);
            condition.extend(tokens(" AND "));
        }
        words.splice(on + 1..on + 1, condition);
        if let (Some(matched), Some(end)) = (matched, end) {
            words.drain(matched..=end);
        }
        words.remove(at);
    }
    words
}

/// The place of JOIN in `JOIN`, `LEFT JOIN` and the like.
fn own_join(words: &[TokenWithSpan], from: usize) -> Option<usize> {
    let mut from = from;
    for _ in 0..3 {
        let at = next_word(words, from)?;
        if is_word(&words[at], "join") {
            return Some(at);
        }
        let mut kinds = ["left", "inner", "outer"].iter();
        kinds.find(|kind| is_word(&words[at], kind))?;
        from = at + 1;
    }
    None
}

/// The ON of a join whose words go on here. One behind another join, or in another query, is that one's.
fn condition_of(words: &[TokenWithSpan], from: usize) -> Option<usize> {
    let ends = ["on", "using", "join", "select"];
    let at = at_level(words, from, |word| {
        ends.iter().any(|end| is_word(word, end)) || word.token == Token::Comma
    })?;
    is_word(&words[at], "on").then_some(at)
}

/// The next such word that no further parentheses are around.
fn at_level(
    words: &[TokenWithSpan],
    from: usize,
    is_sought: impl Fn(&TokenWithSpan) -> bool,
) -> Option<usize> {
    let mut depth = 0;
    for (at, word) in words.iter().enumerate().skip(from) {
        depth += depth_of(word);
        if depth < 0 {
            return None;
        }
        if depth == 0 && is_sought(word) {
            return Some(at);
        }
    }
    None
}

fn mark() -> Vec<TokenWithSpan> {
    tokens(&format!(" {AS_OF_MARK}() AND "))
}

/// Words that have no place.
pub fn tokens(text: &str) -> Vec<TokenWithSpan> {
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, text).tokenize();
    let tokens = tokens.expect("the text is our own").into_iter();
    tokens.map(TokenWithSpan::wrap).collect()
}
