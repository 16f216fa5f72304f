//! A key's bytes; short ones without memory of their own.

/// As many as make a `Key` three words.
const INLINE_BYTES: usize = 22;

/// See the module head.
#[derive(Clone, Debug)]
pub enum Key {
    Inline {
        count: u8,
        bytes: [u8; INLINE_BYTES],
    },
    Heap(Box<[u8]>),
}

impl Default for Key {
    fn default() -> Self {
        Self::new(&[])
    }
}

impl Key {
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        if key.len() > INLINE_BYTES {
            return Self::Heap(key.into());
        }
        let mut bytes = [0; INLINE_BYTES];
        bytes[..key.len()].copy_from_slice(key);
        Self::Inline {
            // Truncation: at most `INLINE_BYTES`.
            count: key.len() as u8,
            bytes,
        }
    }

    #[must_use]
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Inline { count, bytes } => &bytes[..usize::from(*count)],
            Self::Heap(bytes) => bytes,
        }
    }

    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        match self {
            Self::Inline { .. } => 0,
            Self::Heap(bytes) => bytes.len(),
        }
    }
}
