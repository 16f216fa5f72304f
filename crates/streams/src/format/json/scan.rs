//! A cursor over the text of one JSON value (RFC 8259), as strict as the standard.

use crate::format::{DEPTH_MAX, Failure, Reason};

/// Bytes with the same value in each place of a word.
const fn each(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

const HIGH: u64 = each(0x80);

/// Bytes of a string looked at together: two registers of the smallest machine.
const BLOCK_BYTES: usize = 32;

/// Where to read next. What is read is JSON but for one thing: whether strings are UTF-8 is to be asked in the end.
#[derive(Clone)]
pub(super) struct Cursor<'a> {
    pub text: &'a [u8],
    pub at: usize,
    /// Arrays and objects that are open.
    pub depth: usize,
    /// All bytes of strings, one over the other: a high bit says that some were not ASCII.
    seen: u64,
}

/// What stands between the quotes of a string.
#[derive(Clone, Copy)]
pub(super) struct Quoted<'a> {
    pub text: &'a [u8],
    pub has_escapes: bool,
}

/// A number as it is written.
#[derive(Clone, Copy)]
pub(super) struct Number<'a> {
    pub text: &'a [u8],
    /// The digits as a number, when there are at most 18, and neither fraction nor exponent.
    pub integer: Option<i64>,
}

impl<'a> Cursor<'a> {
    pub fn new(text: &'a [u8]) -> Self {
        Self {
            text,
            at: 0,
            depth: 0,
            seen: 0,
        }
    }

    /// After all else was read: whether strings were UTF-8.
    #[inline]
    pub fn check_utf8(&self) -> Result<(), Failure> {
        if self.seen & HIGH == 0 {
            return Ok(());
        }
        let checked = std::str::from_utf8(self.text);
        checked
            .map(|_| ())
            .map_err(|error| Failure::new(error.valid_up_to(), Reason::Utf8))
    }

    #[inline]
    pub fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    #[cold]
    pub fn fail(&self, reason: Reason) -> Failure {
        let reason = if self.at >= self.text.len() {
            Reason::End
        } else {
            reason
        };
        Failure::new(self.at, reason)
    }

    /// The next byte that is not white space.
    #[inline]
    pub fn next(&mut self) -> Option<u8> {
        while let Some(byte) = self.peek() {
            if byte > b' ' || !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    /// An array or object begins.
    #[inline]
    pub fn open(&mut self) -> Result<(), Failure> {
        if self.depth == DEPTH_MAX {
            return Err(self.fail(Reason::Depth));
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    #[inline]
    pub fn close(&mut self) {
        self.depth -= 1;
        self.at += 1;
    }

    /// Behind a member or element: whether there is another one. If not, the array or object is closed.
    #[inline]
    pub fn has_more(&mut self, end: u8) -> Result<bool, Failure> {
        match self.next() {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(byte) if byte == end => {
                self.close();
                Ok(false)
            }
            _ => Err(self.fail(Reason::Separator)),
        }
    }

    /// Opens an array or object; whether anything is in it. If not, it is closed again.
    #[inline]
    pub fn begin(&mut self, end: u8) -> Result<bool, Failure> {
        self.open()?;
        if self.next() == Some(end) {
            self.close();
            return Ok(false);
        }
        Ok(true)
    }

    /// A member's name and the colon behind it.
    pub fn name(&mut self) -> Result<Quoted<'a>, Failure> {
        if self.next() != Some(b'"') {
            return Err(self.fail(Reason::MemberName));
        }
        let name = self.string()?;
        if self.next() != Some(b':') {
            return Err(self.fail(Reason::Colon));
        }
        self.at += 1;
        Ok(name)
    }

    /// The cursor is at the opening quote, and then behind the closing one.
    #[inline]
    pub fn string(&mut self) -> Result<Quoted<'a>, Failure> {
        let from = self.at + 1;
        let mut at = from;
        let mut has_escapes = false;
        let mut seen = self.seen;
        loop {
            at = plain_end(self.text, at, &mut seen);
            match self.text.get(at) {
                Some(b'"') => {
                    self.seen = seen;
                    self.at = at + 1;
                    return Ok(Quoted {
                        text: &self.text[from..at],
                        has_escapes,
                    });
                }
                Some(b'\\') => {
                    has_escapes = true;
                    at = self.escape(at)?;
                }
                _ => {
                    self.at = at;
                    return Err(self.fail(Reason::Control));
                }
            }
        }
    }

    /// Where the escape at `at` ends.
    fn escape(&mut self, at: usize) -> Result<usize, Failure> {
        self.at = at;
        match self.text.get(at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
            Some(b'u') => {
                let (_, bytes) =
                    unicode_escape(&self.text[at..]).map_err(|reason| self.fail(reason))?;
                Ok(at + bytes)
            }
            Some(_) => Err(self.fail(Reason::Escape)),
            None => {
                self.at += 1;
                Err(self.fail(Reason::End))
            }
        }
    }

    #[inline]
    pub fn number(&mut self) -> Result<Number<'a>, Failure> {
        let text = self.text;
        let from = self.at;
        let is_negative = self.peek() == Some(b'-');
        let digits_from = from + usize::from(is_negative);
        let mut at = digits_from;
        let mut value = 0u64;
        while let Some(eight) = eight_digits(text, at) {
            value = value.wrapping_mul(100_000_000).wrapping_add(eight);
            at += 8;
        }
        while let Some(digit) = digit(text, at) {
            value = value.wrapping_mul(10).wrapping_add(digit);
            at += 1;
        }
        self.at = at;
        self.check_whole(digits_from)?;
        if matches!(text.get(at), Some(b'.' | b'e' | b'E')) {
            self.fraction()?;
            let text = &text[from..self.at];
            return Ok(Number {
                text,
                integer: None,
            });
        }
        let integer = (at - digits_from <= 18).then_some(value as i64);
        Ok(Number {
            text: &text[from..at],
            integer: integer.map(|value| if is_negative { -value } else { value }),
        })
    }

    /// Digits before the point: one at least, and no zero in front of others.
    #[inline]
    fn check_whole(&self, from: usize) -> Result<(), Failure> {
        match self.at - from {
            0 => Err(self.fail(Reason::Number)),
            1 => Ok(()),
            _ if self.text[from] == b'0' => Err(self.fail(Reason::Number)),
            _ => Ok(()),
        }
    }

    #[inline]
    fn skip_number(&mut self) -> Result<(), Failure> {
        self.at += usize::from(self.peek() == Some(b'-'));
        let from = self.at;
        self.skip_digits();
        self.check_whole(from)?;
        self.fraction()
    }

    #[inline]
    fn skip_digits(&mut self) {
        let mut at = self.at;
        while eight_digits(self.text, at).is_some() {
            at += 8;
        }
        while digit(self.text, at).is_some() {
            at += 1;
        }
        self.at = at;
    }

    /// What follows the digits before the point.
    #[inline]
    fn fraction(&mut self) -> Result<(), Failure> {
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    /// One or more.
    fn digits(&mut self) -> Result<(), Failure> {
        let from = self.at;
        self.skip_digits();
        if self.at == from {
            return Err(self.fail(Reason::Number));
        }
        Ok(())
    }

    #[inline]
    pub fn literal(&mut self, literal: &[u8]) -> Result<(), Failure> {
        if !self.text[self.at..].starts_with(literal) {
            return Err(self.fail(Reason::Value));
        }
        self.at += literal.len();
        Ok(())
    }

    /// Any value; the cursor is at its first byte. Its text.
    #[inline]
    pub fn skip(&mut self) -> Result<&'a [u8], Failure> {
        let from = self.at;
        match self.peek() {
            Some(b'"') => self.string().map(|_| ())?,
            Some(b'{' | b'[') => self.skip_nested()?,
            _ => self.skip_scalar()?,
        }
        Ok(&self.text[from..self.at])
    }

    #[inline]
    fn skip_scalar(&mut self) -> Result<(), Failure> {
        match self.peek() {
            Some(b'"') => self.string().map(|_| ()),
            Some(b'-' | b'0'..=b'9') => self.skip_number(),
            Some(b't') => self.literal(b"true"),
            Some(b'f') => self.literal(b"false"),
            Some(b'n') => self.literal(b"null"),
            _ => Err(self.fail(Reason::Value)),
        }
    }

    /// An array or object. Without recursion: the kinds of those that are open are bits, the innermost the lowest.
    fn skip_nested(&mut self) -> Result<(), Failure> {
        const { assert!(DEPTH_MAX <= u128::BITS as usize) };
        let outside = self.depth;
        let mut objects = 0u128;
        loop {
            match self.peek() {
                Some(open @ (b'{' | b'[')) => {
                    let is_object = open == b'{';
                    if self.begin(if is_object { b'}' } else { b']' })? {
                        objects = objects << 1 | u128::from(is_object);
                        self.go_to_value(is_object)?;
                        continue;
                    }
                }
                _ => self.skip_scalar()?,
            }
            loop {
                if self.depth == outside {
                    return Ok(());
                }
                let is_object = objects & 1 == 1;
                if self.has_more(if is_object { b'}' } else { b']' })? {
                    self.go_to_value(is_object)?;
                    break;
                }
                objects >>= 1;
            }
        }
    }

    /// Past a member's name and white space.
    fn go_to_value(&mut self, is_member: bool) -> Result<(), Failure> {
        if is_member {
            self.name()?;
        }
        self.next();
        Ok(())
    }
}

#[inline]
fn digit(text: &[u8], at: usize) -> Option<u64> {
    let digit = text.get(at)?.wrapping_sub(b'0');
    (digit < 10).then_some(digit.into())
}

/// The number that the next eight bytes are, if all of them are digits.
#[inline]
fn eight_digits(text: &[u8], at: usize) -> Option<u64> {
    let word = text.get(at..)?.first_chunk::<8>()?;
    let word = u64::from_le_bytes(*word);
    // Digits are 0x30 to 0x39: the upper half is a three, and is one still when six is added.
    let upper = word & each(0xf0) | (word.wrapping_add(each(0x06)) & each(0xf0)) >> 4;
    if upper != each(0x33) {
        return None;
    }
    // Neighbours are joined: digits to pairs, pairs to fours, fours to all eight.
    let ones = word & each(0x0f);
    let pairs = ones.wrapping_mul(10).wrapping_add(ones >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    Some(fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff)
}

/// Where the first byte at or behind `at` is that cannot stand for itself in a string: a quote, a backslash, a control
/// character; or the end. `seen` has a high bit afterwards if one of the bytes had.
#[inline]
pub(super) fn plain_end(text: &[u8], mut at: usize, seen: &mut u64) -> usize {
    // Most strings are short; what outlasts two words is looked at in blocks.
    for _ in 0..2 {
        match text.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
            Some(word) => match plain_in_word(word, seen) {
                8 => at += 8,
                plain => return at + plain,
            },
            None => return at + plain_in_tail(&text[at..], seen),
        }
    }
    let (blocks, rest) = text[at..].as_chunks::<BLOCK_BYTES>();
    for block in blocks {
        if !is_plain_ascii(block) {
            let plain = plain_in_words(block, seen);
            if plain < BLOCK_BYTES {
                return at + plain;
            }
        }
        at += BLOCK_BYTES;
    }
    at + plain_in_words(rest, seen)
}

#[inline]
fn is_plain_ascii(block: &[u8; BLOCK_BYTES]) -> bool {
    // Without branches, so that it becomes vector code. As signed numbers, what is not ASCII is below zero.
    let is_other = |byte: u8| (byte == b'"') | (byte == b'\\') | (byte.cast_signed() < 0x20);
    !block
        .iter()
        .fold(false, |other, byte| other | is_other(*byte))
}

fn plain_in_words(bytes: &[u8], seen: &mut u64) -> usize {
    let (words, tail) = bytes.as_chunks::<8>();
    for (place, word) in words.iter().enumerate() {
        let plain = plain_in_word(word, seen);
        if plain < 8 {
            return place * 8 + plain;
        }
    }
    words.len() * 8 + plain_in_tail(tail, seen)
}

/// How many of the bytes stand for themselves before one does not.
#[inline]
fn plain_in_word(word: &[u8; 8], seen: &mut u64) -> usize {
    let word = u64::from_le_bytes(*word);
    // Bytes behind the string's end count as well: at worst, UTF-8 is checked for nothing.
    *seen |= word;
    // Subtracting makes the high bit of a byte that is too small; what it borrows spoils only bytes further up. With
    // this bit turned, a quote is the only byte besides the control characters below 0x21.
    let quote_or_control = word ^ each(0x02);
    let backslash = word ^ each(b'\\');
    let small = quote_or_control.wrapping_sub(each(0x21)) & !quote_or_control;
    let zero = backslash.wrapping_sub(each(0x01)) & !backslash;
    let found = (small | zero) & HIGH;
    found.trailing_zeros() as usize / 8
}

fn plain_in_tail(bytes: &[u8], seen: &mut u64) -> usize {
    for (place, byte) in bytes.iter().enumerate() {
        if matches!(byte, b'"' | b'\\' | 0..0x20) {
            return place;
        }
        *seen |= u64::from(*byte);
    }
    bytes.len()
}

/// The character that a `\u` at the start of `text` stands for, and the bytes it takes; two of them for a pair.
fn unicode_escape(text: &[u8]) -> Result<(char, usize), Reason> {
    let first = code_unit(text)?;
    if let Some(character) = char::from_u32(first) {
        return Ok((character, 6));
    }
    let second = match text.get(6..8) {
        Some(b"\\u") => code_unit(&text[6..])?,
        _ => return Err(Reason::Surrogate),
    };
    if first >= 0xdc00 || !(0xdc00..0xe000).contains(&second) {
        return Err(Reason::Surrogate);
    }
    let character = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
    let character = char::from_u32(character).ok_or(Reason::Surrogate)?;
    Ok((character, 12))
}

fn code_unit(text: &[u8]) -> Result<u32, Reason> {
    let digits = text.get(2..6).ok_or(Reason::End)?;
    digits.iter().try_fold(0, |value, byte| {
        let digit = char::from(*byte).to_digit(16).ok_or(Reason::Escape)?;
        Ok(value << 4 | digit)
    })
}

/// Adds what a string stands for.
pub(super) fn unescape(mut text: &[u8], out: &mut Vec<u8>) {
    while let Some(at) = text.iter().position(|byte| *byte == b'\\') {
        out.extend_from_slice(&text[..at]);
        text = &text[at..];
        let (character, bytes) = match text.get(1) {
            Some(b'b') => ('\u{8}', 2),
            Some(b'f') => ('\u{c}', 2),
            Some(b'n') => ('\n', 2),
            Some(b'r') => ('\r', 2),
            Some(b't') => ('\t', 2),
            Some(b'u') => unicode_escape(text).expect("the cursor has looked at each escape"),
            itself => (
                char::from(*itself.expect("the cursor has looked at each escape")),
                2,
            ),
        };
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        text = &text[bytes..];
    }
    out.extend_from_slice(text);
}
