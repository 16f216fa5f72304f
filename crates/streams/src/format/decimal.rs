//! Decimal numbers as written, exactly.

use super::Reason;

/// What to do with digits behind the last place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// Half away from zero, as PostgreSQL does.
    Round,
    /// They must be zeros.
    Refuse,
}

/// `10^scale` times the number that `text` is: sign, digits, point, exponent, as in JSON or CSV. `None` when it is no
/// number; the inner error when it does not fit.
pub fn scaled(text: &[u8], scale: i32, rest: Rest) -> Option<Result<i128, Reason>> {
    let (is_negative, text) = match text {
        [b'-', text @ ..] => (true, text),
        [b'+', text @ ..] => (false, text),
        text => (false, text),
    };
    let exponent_at = text.iter().position(|byte| matches!(byte, b'e' | b'E'));
    let (digits, exponent) = match exponent_at {
        Some(at) => (&text[..at], exponent(&text[at + 1..])?),
        None => (text, 0),
    };
    let mut parts = digits.splitn(2, |byte| *byte == b'.');
    let whole = parts.next().unwrap_or_default();
    let fraction = parts.next().unwrap_or_default();
    let mut all = whole.iter().chain(fraction);
    if whole.is_empty() && fraction.is_empty() || !all.all(u8::is_ascii_digit) {
        return None;
    }
    let kept = (whole.len() as i64)
        .saturating_add(exponent)
        .saturating_add(scale.into());
    let magnitude = magnitude(whole, fraction, kept, rest);
    Some(magnitude.map(|value| if is_negative { -value } else { value }))
}

/// Saturates: a number so far out of range is zero or fits nowhere.
fn exponent(text: &[u8]) -> Option<i64> {
    let (is_negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0i64, |value, digit| {
        value
            .saturating_mul(10)
            .saturating_add(i64::from(digit - b'0'))
    });
    Some(if is_negative { -value } else { value })
}

/// The first `kept` digits as a number, zeros behind them if there are fewer.
fn magnitude(whole: &[u8], fraction: &[u8], kept: i64, rest: Rest) -> Result<i128, Reason> {
    let too_large = Reason::Range("numeric");
    let mut value = 0i128;
    for (at, digit) in (0i64..).zip(whole.iter().chain(fraction)) {
        let digit = i128::from(digit - b'0');
        if at < kept {
            let next = value
                .checked_mul(10)
                .and_then(|value| value.checked_add(digit));
            value = next.ok_or(too_large)?;
        } else if rest == Rest::Refuse && digit != 0 {
            return Err(Reason::Fraction);
        } else if at == kept && digit >= 5 {
            value = value.checked_add(1).ok_or(too_large)?;
        }
    }
    let missing = kept.saturating_sub((whole.len() + fraction.len()) as i64);
    if missing <= 0 || value == 0 {
        return Ok(value);
    }
    let power = u32::try_from(missing)
        .ok()
        .and_then(|missing| 10i128.checked_pow(missing));
    power
        .and_then(|power| value.checked_mul(power))
        .ok_or(too_large)
}

/// `value / 10^from` as a multiple of `10^-to`, rounded half away from zero. `None`: it is too large.
#[must_use]
pub fn rescale(value: i128, from: i32, to: i32) -> Option<i128> {
    let places = to - from;
    let power = 10i128.checked_pow(places.unsigned_abs());
    if places >= 0 {
        return if value == 0 {
            Some(0)
        } else {
            value.checked_mul(power?)
        };
    }
    let Some(power) = power else {
        return Some(0);
    };
    let (whole, rest) = (value / power, value % power);
    let rounds = rest.unsigned_abs() >= power.unsigned_abs().div_ceil(2);
    Some(whole + i128::from(rounds) * value.signum())
}

/// The number `value / 10^scale`, all places written.
pub fn write(value: i128, scale: i8, out: &mut Vec<u8>) {
    let digits = value.unsigned_abs().to_string();
    if value < 0 {
        out.push(b'-');
    }
    let places = usize::try_from(scale).unwrap_or(0);
    if digits.len() > places {
        let (whole, fraction) = digits.split_at(digits.len() - places);
        out.extend_from_slice(whole.as_bytes());
        if !fraction.is_empty() {
            out.push(b'.');
            out.extend_from_slice(fraction.as_bytes());
        }
    } else {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + places - digits.len(), b'0');
        out.extend_from_slice(digits.as_bytes());
    }
    if scale < 0 && value != 0 {
        out.resize(out.len() + usize::from(scale.unsigned_abs()), b'0');
    }
}
