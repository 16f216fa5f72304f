//! A chain of buffers read as one byte string.

use crate::{Buf, BufMut};
use smallvec::SmallVec;
use std::{fmt, ops::Range};

/// A chain of buffers read as one byte string: scatter/gather to sockets and files, no copy.
/// Never holds an empty chunk.
#[derive(Clone, Default)]
pub struct IoBuf {
    chunks: SmallVec<[Buf; 2]>,
    /// Chunks before this one were advanced over and are empty: advancing a long chain stays linear.
    first: usize,
    len: usize,
}

impl IoBuf {
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a chunk; an empty one is dropped.
    pub fn push(&mut self, buf: Buf) {
        if !buf.is_empty() {
            self.len += buf.len();
            self.chunks.push(buf);
        }
    }

    /// Appends all chunks of `other`.
    pub fn append(&mut self, other: IoBuf) {
        self.len += other.len;
        self.chunks
            .extend(other.chunks.into_iter().skip(other.first));
    }

    /// Bytes in all chunks.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Drops the first `bytes`. Panics when there are fewer.
    pub fn advance(&mut self, mut bytes: usize) {
        assert!(bytes <= self.len, "advance beyond the end of the chain");
        self.len -= bytes;
        while bytes > 0 {
            let chunk = &mut self.chunks[self.first];
            if bytes < chunk.len() {
                chunk.advance(bytes);
                return;
            }
            bytes -= chunk.len();
            *chunk = Buf::new();
            self.first += 1;
        }
        if self.len == 0 {
            self.chunks.clear();
            self.first = 0;
        }
    }

    /// A chain of part of this one, sharing its memory. Panics when the range is out of bounds.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> IoBuf {
        assert!(
            range.start <= range.end && range.end <= self.len,
            "slice out of bounds"
        );
        let mut part = IoBuf::new();
        let mut start = 0;
        for chunk in self.chunks() {
            let end = start + chunk.len();
            let from = range.start.max(start);
            let to = range.end.min(end);
            if from < to {
                part.push(chunk.slice(from - start..to - start));
            }
            if end >= range.end {
                break;
            }
            start = end;
        }
        part
    }

    /// The chunks in order.
    pub fn chunks(&self) -> impl ExactSizeIterator<Item = &Buf> + DoubleEndedIterator {
        self.chunks[self.first..].iter()
    }

    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len);
        for chunk in self.chunks() {
            bytes.extend_from_slice(chunk);
        }
        bytes
    }

    /// One contiguous view: free when the chain has at most one chunk, a copy otherwise.
    pub fn to_contiguous(&self) -> Buf {
        match &self.chunks[self.first..] {
            [] => Buf::new(),
            [one] => one.clone(),
            many => {
                let mut all = BufMut::with_capacity(self.len);
                for chunk in many {
                    all.extend_from_slice(chunk);
                }
                all.freeze()
            }
        }
    }
}

impl From<Buf> for IoBuf {
    fn from(buf: Buf) -> Self {
        let mut chain = Self::new();
        chain.push(buf);
        chain
    }
}

impl From<Vec<u8>> for IoBuf {
    fn from(bytes: Vec<u8>) -> Self {
        Buf::from(bytes).into()
    }
}

impl FromIterator<Buf> for IoBuf {
    fn from_iter<I: IntoIterator<Item = Buf>>(chunks: I) -> Self {
        let mut chain = Self::new();
        for chunk in chunks {
            chain.push(chunk);
        }
        chain
    }
}

impl fmt::Debug for IoBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "IoBuf({} bytes in {} chunks)",
            self.len,
            self.chunks().len()
        )
    }
}

#[cfg(test)]
mod tests;
