//! The bytes of commands and snapshots: little-endian integers, strings behind a 32-bit length.
//!
//! # Invariants
//! 1. Equal values give equal bytes: maps are written in key order and nothing else is chosen (tests: round trips and
//!    snapshot equality).
//! 2. A decoder never allocates more than the bytes it was given: each count is checked against what is left.

/// Writes values back to back.
#[derive(Default)]
pub(crate) struct Encoder {
    out: Vec<u8>,
}

impl Encoder {
    pub(crate) fn u8(&mut self, value: u8) {
        self.out.push(value);
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn i32(&mut self, value: i32) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn i64(&mut self, value: i64) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) {
        self.out.extend_from_slice(value);
    }

    pub(crate) fn count(&mut self, value: usize) {
        self.u32(u32::try_from(value).expect("counts of metadata stay below 2^32"));
    }

    pub(crate) fn str(&mut self, value: &str) {
        self.count(value.len());
        self.bytes(value.as_bytes());
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.out
    }
}

/// Why bytes are no command or snapshot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("the bytes end at {at} inside a value")]
    Short { at: usize },
    #[error("{what} {found} at byte {at} is unknown")]
    Unknown {
        what: &'static str,
        found: u32,
        at: usize,
    },
    #[error("the text that ends at byte {at} is not UTF-8")]
    Text { at: usize },
    #[error("the topic name that ends at byte {at} is not legal")]
    Name { at: usize },
    #[error("{left} bytes follow the value")]
    Trailing { left: usize },
    #[error("the snapshot contradicts itself: {0}")]
    Contradiction(String),
}

/// Reads values back to back.
pub(crate) struct Decoder<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Decoder<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let end = self.at.checked_add(count);
        let part = end.and_then(|end| self.bytes.get(self.at..end));
        let part = part.ok_or(DecodeError::Short { at: self.at })?;
        self.at += count;
        Ok(part)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let part = self.take(N)?;
        Ok(part.try_into().expect("`take` gave N bytes"))
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn i32(&mut self) -> Result<i32, DecodeError> {
        Ok(i32::from_le_bytes(self.array()?))
    }

    pub(crate) fn i64(&mut self) -> Result<i64, DecodeError> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(crate) fn id(&mut self) -> Result<[u8; 16], DecodeError> {
        self.array()
    }

    /// A count of items that take at least `item_bytes` each.
    pub(crate) fn count(&mut self, item_bytes: usize) -> Result<usize, DecodeError> {
        let at = self.at;
        let count = self.u32()? as usize;
        if count.saturating_mul(item_bytes) > self.bytes.len() - self.at {
            return Err(DecodeError::Short { at });
        }
        Ok(count)
    }

    pub(crate) fn str(&mut self) -> Result<&'a str, DecodeError> {
        let count = self.count(1)?;
        let part = self.take(count)?;
        std::str::from_utf8(part).map_err(|_| DecodeError::Text { at: self.at })
    }

    pub(crate) fn finish(self) -> Result<(), DecodeError> {
        let left = self.bytes.len() - self.at;
        if left > 0 {
            return Err(DecodeError::Trailing { left });
        }
        Ok(())
    }
}
