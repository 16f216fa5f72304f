//! Zigzag varints of records.

use super::RecordFault;

/// Longest varlong.
pub const VARLONG_BYTES_MAX: usize = 10;

/// An unsigned varint of at most `64` bits and the bytes it took.
#[inline(always)]
fn unsigned(bytes: &[u8]) -> Result<(u64, usize), RecordFault> {
    // Nearly all are of one byte, most others of two.
    match bytes {
        [a, ..] if *a < 0x80 => return Ok((u64::from(*a), 1)),
        [a, b, ..] if *b < 0x80 => return Ok((u64::from(a & 0x7f) | u64::from(*b) << 7, 2)),
        _ => {}
    }
    unsigned_long(bytes)
}

#[cold]
fn unsigned_long(bytes: &[u8]) -> Result<(u64, usize), RecordFault> {
    let mut value = 0u64;
    for (at, byte) in bytes.iter().enumerate().take(VARLONG_BYTES_MAX) {
        // The tenth byte has room for the top bit only.
        if at == VARLONG_BYTES_MAX - 1 && *byte > 1 {
            return Err(RecordFault::Varint);
        }
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok((value, at + 1));
        }
    }
    Err(RecordFault::Truncated)
}

/// Value and bytes taken.
#[inline(always)]
pub fn varlong(bytes: &[u8]) -> Result<(i64, usize), RecordFault> {
    let (value, len) = unsigned(bytes)?;
    Ok(((value >> 1) as i64 ^ -((value & 1) as i64), len))
}

/// Value and bytes taken; at most five bytes of 32 bits.
#[inline(always)]
pub fn varint(bytes: &[u8]) -> Result<(i32, usize), RecordFault> {
    let (value, len) = unsigned(bytes)?;
    let value = u32::try_from(value).map_err(|_| RecordFault::Varint)?;
    if len > 5 {
        return Err(RecordFault::Varint);
    }
    Ok(((value >> 1) as i32 ^ -((value & 1) as i32), len))
}

pub fn put(out: &mut Vec<u8>, value: i64) {
    let mut left = ((value << 1) ^ (value >> 63)) as u64;
    while left >= 0x80 {
        out.push(left as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}

/// Bytes that [`put`] writes.
pub fn size(value: i64) -> usize {
    let bits = 64 - (((value << 1) ^ (value >> 63)) as u64 | 1).leading_zeros();
    bits.div_ceil(7) as usize
}
