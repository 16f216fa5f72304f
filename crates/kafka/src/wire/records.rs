//! Record bytes inside messages.

use std::fmt;

use iobuf::IoBuf;

/// Record bytes: borrowed from a received frame, or a chain that is linked, not copied, into the encoded message.
#[derive(Clone, Default)]
pub enum Records<'a> {
    #[default]
    Null,
    /// Copied when encoded.
    Wire(&'a [u8]),
    /// Linked when encoded.
    Chain(IoBuf),
}

impl Records<'_> {
    /// Bytes of the records; 0 for null.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Null => 0,
            Self::Wire(bytes) => bytes.len(),
            Self::Chain(chain) => chain.len(),
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

impl<'a> Records<'a> {
    /// The received bytes; `None` for null and for chains, which are for encoding.
    #[must_use]
    pub fn as_wire(&self) -> Option<&'a [u8]> {
        match self {
            Self::Wire(bytes) => Some(bytes),
            Self::Null | Self::Chain(_) => None,
        }
    }
}

impl From<IoBuf> for Records<'_> {
    fn from(chain: IoBuf) -> Self {
        Self::Chain(chain)
    }
}

impl<'a> From<&'a [u8]> for Records<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Wire(bytes)
    }
}

impl fmt::Debug for Records<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Wire(_) | Self::Chain(_) => write!(f, "{} bytes of records", self.len()),
        }
    }
}
