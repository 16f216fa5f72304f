//! `to_char` of numbers, by Postgres's patterns: `9`, `0`, `.`, `D`, `,`, `G`, `S`, `SG`, `MI`, `PL`, `PR`, `L`, `FM` and text.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, StringArray, StringBuilder},
    compute::cast,
    datatypes::{DataType, Decimal128Type, Float64Type},
};
use datafusion_common::DataFusionError;

use super::PATTERN_BYTES_MAX;
use crate::{
    error::{raise, sqlstate},
    functions::bounded::column_holds,
};

/// Digits that floats have for certain.
const DOUBLE_DIGITS: usize = 15;
const REAL_DIGITS: usize = 6;

/// Longer keys before their beginnings.
const KEYS: &[(&str, Key)] = &[
    ("FM", Key::Fill),
    ("SG", Key::AnySign),
    ("MI", Key::Minus),
    ("PL", Key::Plus),
    ("PR", Key::Brackets),
    ("S", Key::Sign),
    ("9", Key::Nine),
    ("0", Key::Zero),
    (".", Key::Point),
    ("D", Key::Point),
    (",", Key::Comma),
    ("G", Key::Comma),
    ("L", Key::Currency),
];
/// Known to Postgres, too.
const REFUSED: &[&str] = &["EEEE", "RN", "TH", "SP", "V", "B", "C"];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    Nine,
    Zero,
    Point,
    Comma,
    Sign,
    AnySign,
    Minus,
    Plus,
    Brackets,
    Currency,
    Fill,
}

enum Piece {
    Text(char),
    Key(Key),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Anchor {
    Before,
    Behind,
}

/// A pattern, taken apart once for all rows that have it.
#[derive(Default)]
struct Template {
    pattern: String,
    pieces: Vec<Piece>,
    /// Places before the point, and behind it.
    whole: usize,
    part: usize,
    has_point: bool,
    is_plain: bool,
    /// Where among the places the first `0` before the point stands, and how many places the last one ends.
    first_zero: Option<usize>,
    zeros_end: usize,
    anchored: Option<Anchor>,
    has_own_sign: bool,
    has_brackets: bool,
}

fn wrong(message: &str) -> DataFusionError {
    raise(sqlstate::SYNTAX_ERROR, message)
}

impl Template {
    fn new(pattern: &str) -> Result<Self, DataFusionError> {
        if pattern.len() > PATTERN_BYTES_MAX {
            let message = format!("a pattern of numbers has at most {PATTERN_BYTES_MAX} bytes");
            return Err(raise(sqlstate::PROGRAM_LIMIT_EXCEEDED, message));
        }
        let mut template = Self {
            pattern: pattern.to_owned(),
            ..Self::default()
        };
        let mut rest = pattern;
        let mut places_before_sign = 0;
        while let Some(first) = rest.chars().next() {
            let starts = |key: &str| {
                let found = rest.get(..key.len());
                found.is_some_and(|found| found.eq_ignore_ascii_case(key))
            };
            if let Some(quoted) = rest.strip_prefix('"') {
                let (text, behind) = quoted.split_once('"').unwrap_or((quoted, ""));
                template.pieces.extend(text.chars().map(Piece::Text));
                rest = behind;
                continue;
            }
            if let Some(refused) = REFUSED.iter().find(|key| starts(key)) {
                let message = format!("{refused} is not supported in patterns of numbers");
                return Err(raise(sqlstate::FEATURE_NOT_SUPPORTED, message));
            }
            let Some((written, key)) = KEYS.iter().find(|(key, _)| starts(key)) else {
                template.pieces.push(Piece::Text(first));
                rest = &rest[first.len_utf8()..];
                continue;
            };
            rest = &rest[written.len()..];
            template.take(*key, &mut places_before_sign)?;
            template.pieces.push(Piece::Key(*key));
        }
        if template.anchored == Some(Anchor::Before) && places_before_sign == template.whole {
            template.anchored = Some(Anchor::Behind);
        }
        Ok(template)
    }

    fn take(&mut self, key: Key, places_before_sign: &mut usize) -> Result<(), DataFusionError> {
        let is_signed = self.has_own_sign || self.has_brackets;
        match key {
            Key::Nine | Key::Zero if self.has_brackets => {
                return Err(wrong("digits must be ahead of \"PR\""));
            }
            Key::Nine | Key::Zero => {
                if key == Key::Zero && !self.has_point && self.first_zero.is_none() {
                    self.first_zero = Some(self.whole);
                }
                match self.has_point {
                    true => self.part += 1,
                    false => self.whole += 1,
                }
                if key == Key::Zero {
                    self.zeros_end = self.whole + self.part;
                }
            }
            Key::Point if self.has_point => return Err(wrong("multiple decimal points")),
            Key::Point => self.has_point = true,
            Key::Sign if self.anchored.is_some() => return Err(wrong("cannot use \"S\" twice")),
            Key::Sign if is_signed => {
                let message = "cannot use \"S\" and \"PL\"/\"MI\"/\"SG\"/\"PR\" together";
                return Err(wrong(message));
            }
            Key::Sign if self.has_point => self.anchored = Some(Anchor::Behind),
            Key::Sign => {
                self.anchored = Some(Anchor::Before);
                *places_before_sign = self.whole;
            }
            Key::AnySign | Key::Minus | Key::Plus | Key::Brackets if self.anchored.is_some() => {
                let message = "cannot use \"S\" and \"PL\"/\"MI\"/\"SG\"/\"PR\" together";
                return Err(wrong(message));
            }
            Key::AnySign | Key::Minus | Key::Plus => self.has_own_sign = true,
            Key::Brackets if is_signed => {
                return Err(wrong(
                    "cannot use \"PR\" and \"S\"/\"PL\"/\"MI\"/\"SG\" together",
                ));
            }
            Key::Brackets => self.has_brackets = true,
            Key::Fill => self.is_plain = true,
            Key::Comma | Key::Currency => {}
        }
        Ok(())
    }
}

/// A number in digits with as many behind the point as the pattern has, and its sign.
struct Digits {
    is_negative: bool,
    text: String,
}

pub fn formatted(arrays: &[ArrayRef]) -> Result<ArrayRef, DataFusionError> {
    let float_digits = match arrays[0].data_type() {
        DataType::Float32 => REAL_DIGITS,
        _ => DOUBLE_DIGITS,
    };
    let numbers = match arrays[0].data_type() {
        DataType::Float64 | DataType::Decimal128(..) => arrays[0].clone(),
        of if of.is_integer() => cast(&arrays[0], &DataType::Decimal128(19, 0))?,
        _ => cast(&arrays[0], &DataType::Float64)?,
    };
    let patterns: &StringArray = arrays[1].as_string();
    let mut builder = StringBuilder::new();
    let mut template = Template::default();
    for row in 0..numbers.len() {
        if numbers.is_null(row) || patterns.is_null(row) {
            builder.append_null();
            continue;
        }
        let pattern = patterns.value(row);
        if template.pattern != pattern {
            template = Template::new(pattern)?;
        }
        let digits = match numbers.data_type() {
            DataType::Decimal128(_, scale) => {
                let value = numbers.as_primitive::<Decimal128Type>().value(row);
                of_decimal(value, (*scale).max(0).unsigned_abs().into(), template.part)
            }
            _ => {
                let value = numbers.as_primitive::<Float64Type>().value(row);
                of_float(value, float_digits, &template)
            }
        };
        let text = written(&template, &digits);
        column_holds(builder.values_slice().len() + text.len())?;
        builder.append_value(&text);
    }
    Ok(Arc::new(builder.finish()))
}

fn of_decimal(value: i128, scale: usize, places: usize) -> Digits {
    let mut value_of_places = value.unsigned_abs();
    let kept = places.min(scale);
    let unit = 10_u128.pow(u32::try_from(scale - kept).unwrap_or(0));
    value_of_places =
        value_of_places / unit + u128::from(value_of_places % unit * 2 >= unit && unit > 1);
    let unit = 10_u128.pow(u32::try_from(kept).unwrap_or(0));
    let (whole, part) = (value_of_places / unit, value_of_places % unit);
    let mut text = whole.to_string();
    if places > 0 {
        text.push('.');
        if kept > 0 {
            text.push_str(&format!("{part:0kept$}"));
        }
        text.extend(std::iter::repeat_n('0', places - kept));
    }
    Digits {
        is_negative: value < 0 && value_of_places > 0,
        text,
    }
}

fn of_float(value: f64, digits: usize, template: &Template) -> Digits {
    let places = template.part;
    if !value.is_finite() {
        let text = if value.is_nan() { "NaN" } else { "Infinity" };
        let text = text.to_owned();
        return Digits {
            is_negative: value < 0.0,
            text,
        };
    }
    let whole = format!("{:.0}", value.abs()).len();
    let places = places.min(digits.saturating_sub(whole));
    Digits {
        is_negative: value.is_sign_negative(),
        text: format!("{:.places$}", value.abs()),
    }
}

/// What is being written.
struct Writer<'a> {
    template: &'a Template,
    digits: Vec<u8>,
    is_negative: bool,
    out: String,
    /// Places before the number's first digit.
    blanks: usize,
    /// The next digit, and the last one that counts where no zeros at the end are wanted.
    at: usize,
    last: Option<usize>,
    place: usize,
    places: usize,
    has_sign: bool,
    has_digits: bool,
    has_brackets: bool,
}

fn written(template: &Template, number: &Digits) -> String {
    let whole = number.text.find('.').unwrap_or(number.text.len());
    let (digits, blanks) = if whole > template.whole {
        let part = number.text.len().saturating_sub(whole + 1);
        let mut digits = vec![b'#'; template.whole + 1 + part];
        digits[template.whole] = b'.';
        (digits, 0)
    } else {
        (number.text.clone().into_bytes(), template.whole - whole)
    };
    let mut last = None;
    if template.is_plain && template.has_point {
        last = digits.iter().position(|digit| *digit == b'.');
        if let Some(point) = last {
            let behind = digits[point..].iter().rposition(|digit| *digit != b'0');
            let mut counts = point + behind.unwrap_or(0);
            if template.zeros_end > blanks {
                counts = counts.max((digits.len() - 1).min(template.zeros_end - blanks));
            }
            last = Some(counts);
        }
    }
    let needs_none = match template.has_own_sign {
        true => {
            let has = |key| {
                template
                    .pieces
                    .iter()
                    .any(|piece| matches!(piece, Piece::Key(found) if *found == key))
            };
            !has(Key::Plus) || has(Key::Minus) || has(Key::AnySign)
        }
        false => !number.is_negative && template.is_plain && template.anchored.is_none(),
    };
    let is_unbracketed = !number.is_negative && template.is_plain;
    let mut places = (template.whole + template.part).saturating_sub(1);
    if !needs_none && blanks == 0 {
        places += 1;
    }
    let mut writer = Writer {
        template,
        digits,
        is_negative: number.is_negative,
        out: String::new(),
        blanks,
        at: 0,
        last,
        place: 0,
        places: places + usize::from(blanks > 0) + usize::from(template.has_point),
        has_sign: needs_none,
        has_digits: false,
        has_brackets: template.has_brackets && !is_unbracketed,
    };
    for piece in &template.pieces {
        match piece {
            Piece::Text(text) => writer.out.push(*text),
            Piece::Key(key) => writer.key(*key),
        }
    }
    writer.out
}

impl Writer<'_> {
    fn blank(&mut self) {
        if !self.template.is_plain {
            self.out.push(' ');
        }
    }

    fn key(&mut self, key: Key) {
        match key {
            Key::Nine | Key::Zero | Key::Point => self.digit(key == Key::Zero),
            Key::Comma if self.has_digits => self.out.push(','),
            Key::Comma => self.blank(),
            Key::Currency => self.out.push(' '),
            Key::Minus if self.is_negative => self.out.push('-'),
            Key::Plus if !self.is_negative => self.out.push('+'),
            Key::Minus | Key::Plus => self.blank(),
            Key::AnySign => self.out.push(self.sign()),
            Key::Sign | Key::Brackets | Key::Fill => {}
        }
    }

    fn sign(&self) -> char {
        match self.is_negative {
            true => '-',
            false => '+',
        }
    }

    /// A single zero before the point, which no `0` of the pattern asks for.
    fn is_hidden_zero(&self) -> bool {
        let is_zero = self.at == 0 && self.digits.first() == Some(&b'0');
        self.template.first_zero.is_none() && is_zero && self.template.part > 0
    }

    fn ends_at_point(&self) -> bool {
        let last = self.last.and_then(|last| self.digits.get(last));
        last == Some(&b'.')
    }

    fn digit(&mut self, is_zero: bool) {
        self.has_digits = false;
        let is_zeros = self
            .template
            .first_zero
            .is_some_and(|first| first <= self.place);
        let is_before = self.place < self.blanks;
        let starts_here = !is_before || self.template.first_zero == Some(self.place);
        if !self.has_sign && starts_here && (!self.is_hidden_zero() || self.ends_at_point()) {
            self.first_sign();
        }
        if is_before && is_zeros {
            self.out.push('0');
            self.has_digits = true;
        } else if is_before {
            self.blank();
        } else {
            self.own_digit(is_zero);
        }
        let end = match self.last {
            Some(last) if last == self.at => self.place,
            _ => self.places,
        };
        if self.place + 1 == end {
            if self.has_sign && self.has_brackets {
                self.out.push(if self.is_negative { '>' } else { ' ' });
            } else if self.template.anchored == Some(Anchor::Behind) {
                self.out.push(self.sign());
            }
        }
        self.place += 1;
    }

    fn first_sign(&mut self) {
        match self.template.anchored {
            Some(Anchor::Behind) => return,
            Some(Anchor::Before) => self.out.push(self.sign()),
            None if self.has_brackets => self.out.push(if self.is_negative { '<' } else { ' ' }),
            None if self.is_negative => self.out.push('-'),
            None => self.blank(),
        }
        self.has_sign = true;
    }

    fn own_digit(&mut self, is_zero: bool) {
        let digit = self.digits.get(self.at).copied();
        if digit == Some(b'.') {
            if !self.ends_at_point() || self.template.is_plain {
                self.out.push('.');
            }
        } else if self.last.is_some_and(|last| self.at > last) && !is_zero {
            // A zero at the end.
        } else if self.is_hidden_zero() {
            if !self.template.is_plain {
                self.out.push(' ');
            } else if self.ends_at_point() {
                self.out.push('0');
            }
        } else if let Some(digit) = digit {
            self.out.push(char::from(digit));
            self.has_digits = true;
        }
        if digit.is_some() {
            self.at += 1;
        }
    }
}
