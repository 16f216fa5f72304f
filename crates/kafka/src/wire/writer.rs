//! Encoder of messages: one growing buffer for fields, links for record chains.

use base::TopicId;
use iobuf::{Buf, IoBuf};

use super::{EncodeError, List, Records, Wire};

/// Collects encoded bytes; record chains become links between them, so their bytes are never copied.
///
/// The same code measures: a counting writer adds up what would be written.
#[derive(Default)]
pub struct Writer {
    fields: Vec<u8>,
    /// Chains and the position in `fields` each goes before, ascending.
    links: Vec<(usize, IoBuf)>,
    link_bytes: usize,
    /// Bytes counted instead of written, when this writer only measures.
    counted: Option<usize>,
    version: i16,
    flexible: bool,
}

impl Writer {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A writer whose first `bytes` bytes of fields need no growing.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            fields: Vec::with_capacity(bytes),
            ..Self::default()
        }
    }

    /// A writer that only measures.
    #[must_use]
    pub fn counting() -> Self {
        Self {
            counted: Some(0),
            ..Self::default()
        }
    }

    pub(crate) fn set_version(&mut self, version: i16, flexible: bool) {
        self.version = version;
        self.flexible = flexible;
    }

    #[must_use]
    pub fn version(&self) -> i16 {
        self.version
    }

    #[must_use]
    pub fn flexible(&self) -> bool {
        self.flexible
    }

    /// Bytes written (or counted) so far, linked chains included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.counted.unwrap_or(self.fields.len()) + self.link_bytes
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The whole encoded bytes; fields and chains in their order.
    #[must_use]
    pub fn finish(self) -> IoBuf {
        let fields = Buf::from(self.fields);
        if self.links.is_empty() {
            return IoBuf::from(fields);
        }
        let mut chain = IoBuf::new();
        let mut from = 0;
        for (at, link) in self.links {
            if at > from {
                chain.push(fields.slice(from..at));
            }
            chain.append(link);
            from = at;
        }
        if fields.len() > from {
            chain.push(fields.slice(from..));
        }
        chain
    }

    /// Writes the size of all that follows into the first four bytes, which were left for it.
    pub(super) fn patch_frame_size(&mut self) -> Result<(), EncodeError> {
        let bytes = self.len() - 4;
        let size = i32::try_from(bytes).map_err(|_| EncodeError::TooLong(bytes))?;
        self.fields[..4].copy_from_slice(&size.to_be_bytes());
        Ok(())
    }

    #[inline]
    pub(super) fn put(&mut self, bytes: &[u8]) {
        match &mut self.counted {
            None => self.fields.extend_from_slice(bytes),
            Some(counted) => *counted += bytes.len(),
        }
    }

    #[inline]
    pub fn bool(&mut self, value: bool) {
        self.put(&[u8::from(value)]);
    }

    #[inline]
    pub fn i8(&mut self, value: i8) {
        self.put(&value.to_be_bytes());
    }

    #[inline]
    pub fn i16(&mut self, value: i16) {
        self.put(&value.to_be_bytes());
    }

    #[inline]
    pub fn u16(&mut self, value: u16) {
        self.put(&value.to_be_bytes());
    }

    #[inline]
    pub fn i32(&mut self, value: i32) {
        self.put(&value.to_be_bytes());
    }

    #[inline]
    pub fn u32(&mut self, value: u32) {
        self.put(&value.to_be_bytes());
    }

    #[inline]
    pub fn i64(&mut self, value: i64) {
        self.put(&value.to_be_bytes());
    }

    #[inline]
    pub fn f64(&mut self, value: f64) {
        self.put(&value.to_be_bytes());
    }

    #[inline]
    pub fn uuid(&mut self, value: TopicId) {
        self.put(&value.0);
    }

    pub fn uvarint(&mut self, value: u32) {
        let (bytes, len) = uvarint(value);
        self.put(&bytes[..len]);
    }

    pub fn string(&mut self, value: &str) -> Result<(), EncodeError> {
        self.nullable_string(Some(value))
    }

    pub fn nullable_string(&mut self, value: Option<&str>) -> Result<(), EncodeError> {
        // Flexible versions could say more, but Kafka reads no string above 32,767 bytes at any version.
        let bytes = value.map_or(0, str::len);
        let length = i16::try_from(bytes).map_err(|_| EncodeError::StringTooLong(bytes))?;
        if self.flexible {
            self.count(value.map(str::len))?;
        } else {
            self.i16(if value.is_some() { length } else { -1 });
        }
        self.put(value.unwrap_or_default().as_bytes());
        Ok(())
    }

    pub fn bytes(&mut self, value: &[u8]) -> Result<(), EncodeError> {
        self.nullable_bytes(Some(value))
    }

    pub fn nullable_bytes(&mut self, value: Option<&[u8]>) -> Result<(), EncodeError> {
        self.count(value.map(<[u8]>::len))?;
        self.put(value.unwrap_or_default());
        Ok(())
    }

    pub fn records(&mut self, value: &Records<'_>) -> Result<(), EncodeError> {
        match value {
            Records::Null => self.count(None),
            Records::Wire(bytes) => self.bytes(bytes),
            Records::Chain(chain) => {
                self.count(Some(chain.len()))?;
                if self.counted.is_none() && !chain.is_empty() {
                    self.links.push((self.fields.len(), chain.clone()));
                }
                self.link_bytes += chain.len();
                Ok(())
            }
        }
    }

    /// Length of a byte string or count of an array; `None` for null.
    pub(super) fn count(&mut self, count: Option<usize>) -> Result<(), EncodeError> {
        let too_long = |_| EncodeError::TooLong(count.unwrap_or(0));
        // i32::MAX also bounds the varint of flexible versions: one more still fits 32 bits.
        let length = count.map(i32::try_from).transpose().map_err(too_long)?;
        if self.flexible {
            self.uvarint(length.map_or(0, |length| length.unsigned_abs() + 1));
        } else {
            self.i32(length.unwrap_or(-1));
        }
        Ok(())
    }

    pub fn nullable_list<'a, T: Wire<'a> + Clone>(
        &mut self,
        value: Option<&List<'a, T>>,
    ) -> Result<(), EncodeError> {
        match value {
            Some(list) => list.write(self),
            None => self.count(None),
        }
    }

    /// A struct behind its one-byte marker (KIP-893).
    pub fn nullable<'a, T: Wire<'a>>(&mut self, value: Option<&T>) -> Result<(), EncodeError> {
        self.i8(if value.is_some() { 1 } else { -1 });
        value.map_or(Ok(()), |value| value.write(self))
    }

    /// The value of a field that is nullable at other versions than this one.
    pub fn required<T>(&self, value: Option<T>) -> Result<T, EncodeError> {
        value.ok_or(EncodeError::Null {
            version: self.version,
        })
    }

    /// A field that does not exist at this version and may not be dropped silently.
    pub fn absent(&self, set: bool, field: &'static str) -> Result<(), EncodeError> {
        if set {
            return Err(EncodeError::Unsupported {
                field,
                version: self.version,
            });
        }
        Ok(())
    }

    /// The end of a struct without tagged fields.
    pub fn no_tags(&mut self) {
        if self.flexible {
            self.put(&[0]);
        }
    }

    /// The end of a struct with tagged fields; hand the result to [`Self::tag`]. Only at flexible versions.
    pub fn tags(&mut self) -> usize {
        self.put(&[0]);
        self.fields.len().saturating_sub(1)
    }

    /// Appends a tagged field, counting it in the byte at `tags_at`: a struct has far fewer than 128.
    pub fn tag(
        &mut self,
        tags_at: usize,
        tag: u32,
        field: impl FnOnce(&mut Self) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        self.uvarint(tag);
        let before = self.len();
        let field_at = self.fields.len();
        field(self)?;
        let (size, size_len) = uvarint((self.len() - before) as u32);
        match &mut self.counted {
            Some(counted) => *counted += size_len,
            None => {
                // Tagged fields are small and hold no records, so moving one up for its size is cheap and shifts no link.
                self.fields
                    .splice(field_at..field_at, size[..size_len].iter().copied());
                self.fields[tags_at] += 1;
            }
        }
        Ok(())
    }
}

fn uvarint(mut value: u32) -> ([u8; 5], usize) {
    let mut bytes = [0; 5];
    let mut len = 0;
    while value >= 0x80 {
        bytes[len] = (value & 0x7f) as u8 | 0x80;
        value >>= 7;
        len += 1;
    }
    bytes[len] = value as u8;
    (bytes, len + 1)
}
