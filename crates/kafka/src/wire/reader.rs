//! Bounds-checked cursor over the bytes of one message.

use std::borrow::Cow;

use base::TopicId;

use super::{DecodeError, Records, Str, Wire};

/// Longest string on the wire, at any version.
const STRING_BYTES_MAX: usize = i16::MAX as usize;

/// Reads fields front to back; knows the message's version and whether it is flexible (KIP-482).
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    left: &'a [u8],
    bytes_total: usize,
    version: i16,
    flexible: bool,
}

impl<'a> Reader<'a> {
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            left: bytes,
            bytes_total: bytes.len(),
            version: 0,
            flexible: false,
        }
    }

    /// The same bytes, read as a message of `version`.
    pub(crate) fn set_version(&mut self, version: i16, flexible: bool) {
        self.version = version;
        self.flexible = flexible;
    }

    /// Keeps only the first `bytes` of what is left.
    pub(super) fn truncate(&mut self, bytes: usize) {
        self.left = &self.left[..bytes];
        self.bytes_total = bytes;
    }

    #[must_use]
    pub fn version(&self) -> i16 {
        self.version
    }

    #[must_use]
    pub fn flexible(&self) -> bool {
        self.flexible
    }

    /// Bytes not read yet.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.left.len()
    }

    /// Bytes read so far.
    #[must_use]
    pub fn position(&self) -> usize {
        self.bytes_total - self.left.len()
    }

    /// All bytes not read yet.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.left
    }

    /// The next `bytes` bytes.
    #[inline]
    pub fn take(&mut self, bytes: usize) -> Result<&'a [u8], DecodeError> {
        let Some((taken, left)) = self.left.split_at_checked(bytes) else {
            return Err(self.truncated(bytes));
        };
        self.left = left;
        Ok(taken)
    }

    #[cold]
    fn truncated(&self, needed: usize) -> DecodeError {
        DecodeError::Truncated {
            needed,
            left: self.left.len(),
        }
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let Some((taken, left)) = self.left.split_first_chunk::<N>() else {
            return Err(self.truncated(N));
        };
        self.left = left;
        Ok(*taken)
    }

    #[inline]
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        Ok(self.array::<1>()? != [0])
    }

    #[inline]
    pub fn i8(&mut self) -> Result<i8, DecodeError> {
        self.array().map(i8::from_be_bytes)
    }

    #[inline]
    pub fn i16(&mut self) -> Result<i16, DecodeError> {
        self.array().map(i16::from_be_bytes)
    }

    #[inline]
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    #[inline]
    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        self.array().map(i32::from_be_bytes)
    }

    #[inline]
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    #[inline]
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        self.array().map(i64::from_be_bytes)
    }

    #[inline]
    pub fn f64(&mut self) -> Result<f64, DecodeError> {
        self.array().map(f64::from_be_bytes)
    }

    #[inline]
    pub fn uuid(&mut self) -> Result<TopicId, DecodeError> {
        self.array().map(TopicId)
    }

    /// An unsigned varint of at most five bytes that fits 32 bits.
    pub fn uvarint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0u32;
        for (at, byte) in self.left.iter().enumerate().take(5) {
            // The fifth byte has room for the top four bits only.
            if at == 4 && *byte > 0x0f {
                return Err(DecodeError::Varint);
            }
            value |= u32::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                self.left = &self.left[at + 1..];
                return Ok(value);
            }
        }
        Err(self.truncated(self.left.len() + 1))
    }

    /// Length of a string (`short`: an i16 when not flexible), a byte string or an array: `None` for null.
    #[inline]
    fn length(&mut self, short: bool) -> Result<Option<usize>, DecodeError> {
        if self.flexible {
            return Ok((self.uvarint()? as usize).checked_sub(1));
        }
        let length = if short {
            i32::from(self.i16()?)
        } else {
            self.i32()?
        };
        match length {
            -1 => Ok(None),
            _ => usize::try_from(length)
                .map(Some)
                .map_err(|_| DecodeError::NegativeLength(length.into())),
        }
    }

    /// Count of an array whose items take at least `item_bytes_min` each; `None` for null.
    pub(super) fn count(&mut self, item_bytes_min: usize) -> Result<Option<u32>, DecodeError> {
        let Some(count) = self.length(false)? else {
            return Ok(None);
        };
        if count > self.left.len() / item_bytes_min {
            return Err(DecodeError::Count {
                count: count as i64,
                left: self.left.len(),
            });
        }
        // A flexible or i32 length fits 32 bits.
        Ok(Some(count as u32))
    }

    pub fn nullable_string(&mut self) -> Result<Option<Str<'a>>, DecodeError> {
        Ok(self.nullable_str()?.map(Cow::Borrowed))
    }

    pub(super) fn nullable_str(&mut self) -> Result<Option<&'a str>, DecodeError> {
        let Some(bytes) = self.length(true)? else {
            return Ok(None);
        };
        // Flexible lengths could say more. Kafka refuses it at every version, and what is kept of a longer string could
        // never be sent again.
        if bytes > STRING_BYTES_MAX {
            return Err(DecodeError::StringTooLong(bytes));
        }
        let text = std::str::from_utf8(self.take(bytes)?).map_err(|_| DecodeError::Utf8)?;
        Ok(Some(text))
    }

    pub fn string(&mut self) -> Result<Str<'a>, DecodeError> {
        self.nullable_string()?.ok_or(DecodeError::Null)
    }

    pub fn nullable_bytes(&mut self) -> Result<Option<Cow<'a, [u8]>>, DecodeError> {
        let Some(bytes) = self.length(false)? else {
            return Ok(None);
        };
        self.take(bytes).map(|taken| Some(Cow::Borrowed(taken)))
    }

    pub fn bytes(&mut self) -> Result<Cow<'a, [u8]>, DecodeError> {
        self.nullable_bytes()?.ok_or(DecodeError::Null)
    }

    pub fn records(&mut self) -> Result<Records<'a>, DecodeError> {
        let Some(bytes) = self.length(false)? else {
            return Ok(Records::Null);
        };
        self.take(bytes).map(Records::Wire)
    }

    /// A struct behind the one-byte marker of nullable structs: -1 is null, anything else present (KIP-893).
    pub fn nullable<T: Wire<'a>>(&mut self) -> Result<Option<T>, DecodeError> {
        if self.i8()? < 0 {
            return Ok(None);
        }
        T::read(self).map(Some)
    }

    /// Number of tagged fields that follow; 0 when the version has none.
    pub fn tag_count(&mut self) -> Result<u32, DecodeError> {
        if !self.flexible {
            return Ok(0);
        }
        let count = self.uvarint()?;
        // Tag and size take a byte each.
        if count as usize > self.left.len() / 2 {
            return Err(DecodeError::Count {
                count: count.into(),
                left: self.left.len(),
            });
        }
        Ok(count)
    }

    /// The next tagged field: its tag and a reader over exactly its bytes.
    pub fn tag(&mut self) -> Result<(u32, Reader<'a>), DecodeError> {
        let tag = self.uvarint()?;
        let bytes = self.uvarint()? as usize;
        let field = self.take(bytes)?;
        let mut reader = Reader::new(field);
        reader.set_version(self.version, self.flexible);
        Ok((tag, reader))
    }

    /// After a known tagged field was read: nothing may be left of it.
    pub fn tag_end(&self, tag: u32) -> Result<(), DecodeError> {
        match self.left.len() {
            0 => Ok(()),
            left => Err(DecodeError::TagTrailing { tag, left }),
        }
    }

    /// Skips all tagged fields of a struct that knows none.
    pub fn skip_tags(&mut self) -> Result<(), DecodeError> {
        for _ in 0..self.tag_count()? {
            self.tag()?;
        }
        Ok(())
    }

    /// The end of a message: nothing may be left.
    pub fn end(&self) -> Result<(), DecodeError> {
        match self.left.len() {
            0 => Ok(()),
            left => Err(DecodeError::Trailing { left }),
        }
    }
}
