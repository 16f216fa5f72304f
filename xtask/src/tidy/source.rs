//! A Rust source with its comments and literals blanked out, so that words can be searched in code alone.

/// Replaces every comment, string and character literal by spaces; newlines stay, so lines and columns keep.
pub fn code_of(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes.get(at + 1) == Some(&b'/') => line_end(bytes, at),
            b'/' if bytes.get(at + 1) == Some(&b'*') => block_comment_end(bytes, at),
            b'"' => string_end(bytes, at),
            b'r' if !continues_word(&out) => match raw_string_end(bytes, at) {
                Some(end) => end,
                None => {
                    out.push(b'r');
                    at += 1;
                    continue;
                }
            },
            b'\'' => char_end(bytes, at),
            other => {
                out.push(other);
                at += 1;
                continue;
            }
        };
        out.extend(
            bytes[at..end]
                .iter()
                .map(|&byte| if byte == b'\n' { b'\n' } else { b' ' }),
        );
        at = end;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Whether what was written last ends in a letter, so that an `r` here is part of a name. `br"..."` is a raw
/// string too.
fn continues_word(out: &[u8]) -> bool {
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    match out {
        [.., before, b'b'] => word(before),
        [b'b'] => false,
        [.., last] => word(last),
        [] => false,
    }
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..]
        .iter()
        .position(|&byte| byte == b'\n')
        .map_or(bytes.len(), |length| at + length)
}

fn block_comment_end(bytes: &[u8], at: usize) -> usize {
    let mut depth = 0;
    let mut here = at;
    while here + 1 < bytes.len() {
        match &bytes[here..here + 2] {
            b"/*" => {
                depth += 1;
                here += 2;
            }
            b"*/" => {
                depth -= 1;
                here += 2;
                if depth == 0 {
                    return here;
                }
            }
            _ => here += 1,
        }
    }
    bytes.len()
}

fn string_end(bytes: &[u8], at: usize) -> usize {
    let mut here = at + 1;
    while here < bytes.len() {
        match bytes[here] {
            b'\\' => here += 2,
            b'"' => return here + 1,
            _ => here += 1,
        }
    }
    bytes.len()
}

fn raw_string_end(bytes: &[u8], at: usize) -> Option<usize> {
    let hashes = bytes[at + 1..]
        .iter()
        .take_while(|&&byte| byte == b'#')
        .count();
    if bytes.get(at + 1 + hashes) != Some(&b'"') {
        return None;
    }
    let mut close = vec![b'"'];
    close.resize(hashes + 1, b'#');
    let body = at + 2 + hashes;
    let length = bytes[body..]
        .windows(close.len())
        .position(|window| window == close);
    Some(length.map_or(bytes.len(), |length| body + length + close.len()))
}

/// The end of a character literal; a lifetime is one byte long here, its name stays in the code.
fn char_end(bytes: &[u8], at: usize) -> usize {
    if bytes.get(at + 1) == Some(&b'\\') {
        let close = bytes
            .get(at + 3..)
            .and_then(|rest| rest.iter().position(|&byte| byte == b'\''));
        return close.map_or(bytes.len(), |length| at + 4 + length);
    }
    // One character of at most four bytes, then the quote.
    let close = bytes[at + 1..]
        .iter()
        .take(5)
        .skip(1)
        .position(|&byte| byte == b'\'');
    let single = |length: usize| {
        std::str::from_utf8(&bytes[at + 1..at + 2 + length])
            .is_ok_and(|text| text.chars().count() == 1)
    };
    match close {
        Some(length) if single(length) => at + 3 + length,
        _ => at + 1,
    }
}

/// The words (letters, digits, `_`) of a line of code with the byte column each starts at.
pub fn words(line: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + line[at..].find(is_word)?;
        let end = line[start..]
            .find(|character| !is_word(character))
            .map_or(line.len(), |length| start + length);
        at = end;
        Some((start, &line[start..end]))
    })
}

/// The parts of a CamelCase or snake_case name: `FetchSessionTable` gives Fetch, Session, Table.
pub fn parts(name: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    for piece in name.split('_').filter(|piece| !piece.is_empty()) {
        let bytes = piece.as_bytes();
        let mut start = 0;
        for at in 1..bytes.len() {
            let upper = bytes[at].is_ascii_uppercase();
            let before = bytes[at - 1].is_ascii_lowercase() || bytes[at - 1].is_ascii_digit();
            if upper && before {
                parts.push(&piece[start..at]);
                start = at;
            }
        }
        parts.push(&piece[start..]);
    }
    parts
}
