//! Bytes of a message while they are read.

use std::cell::Cell;

use proto_schema::{COUNTED, EIGHT_BYTES, FOUR_BYTES, VARINT, put_varint};
use streams::format::{Malformed, Reason};

/// Messages within messages.
const DEPTH_MAX: u32 = 100;

const GROUP: u8 = 3;
const GROUP_END: u8 = 4;

/// Of the elements of lists and maps in a message: so many bytes of memory, and so many times its own.
const MEMORY_BYTES: usize = 64 << 10;
const MEMORY_RATIO: usize = 64;

/// Why bytes are no such message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {at}: {reason}")]
pub struct DecodeError {
    pub at: usize,
    pub reason: Reason,
}

impl From<DecodeError> for Malformed {
    fn from(error: DecodeError) -> Self {
        Self::Record {
            at: error.at,
            reason: error.reason,
        }
    }
}

/// What a message with all that is in it may still take of memory.
#[derive(Debug)]
pub struct Allowance(Cell<usize>);

impl Allowance {
    #[must_use]
    pub fn for_message(bytes: &[u8]) -> Self {
        let allowed = bytes.len().saturating_mul(MEMORY_RATIO);
        Self(Cell::new(allowed.saturating_add(MEMORY_BYTES)))
    }
}

/// See the module head. Nothing behind the message is seen.
#[derive(Clone, Debug)]
pub struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: u32,
    allowance: &'a Allowance,
}

impl<'a> Input<'a> {
    #[must_use]
    pub fn new(bytes: &'a [u8], allowance: &'a Allowance) -> Self {
        Self {
            bytes,
            at: 0,
            depth: 0,
            allowance,
        }
    }

    /// An element of a list is about to be made. Two bytes may say that there is one, whatever it takes.
    pub(super) fn allow(&self, bytes: usize) -> Result<(), DecodeError> {
        match self.allowance.0.get().checked_sub(bytes) {
            Some(left) => {
                self.allowance.0.set(left);
                Ok(())
            }
            None => self.fail(Reason::TooLarge),
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    #[cold]
    pub(super) fn fail<T>(&self, reason: Reason) -> Result<T, DecodeError> {
        Err(DecodeError {
            at: self.at,
            reason,
        })
    }

    /// Number and wire type of the next field; `None` at the end.
    pub fn tag(&mut self) -> Result<Option<(u32, u8)>, DecodeError> {
        if self.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        match u32::try_from(tag >> 3) {
            Ok(number) if number > 0 => Ok(Some((number, (tag & 7) as u8))),
            _ => self.fail(Reason::WireType),
        }
    }

    pub(super) fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let Some(byte) = self.bytes.get(self.at) else {
                return self.fail(Reason::End);
            };
            self.at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        self.fail(Reason::Varint)
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let rest = &self.bytes[self.at..];
        match rest.get(..count) {
            Some(taken) => {
                self.at += count;
                Ok(taken)
            }
            None => self.fail(Reason::End),
        }
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let taken = self.take(N)?;
        Ok(taken.try_into().expect("so many were taken"))
    }

    pub(super) fn counted(&mut self) -> Result<&'a [u8], DecodeError> {
        let count = self.varint()?;
        match usize::try_from(count) {
            Ok(count) => self.take(count),
            Err(_) => self.fail(Reason::End),
        }
    }

    /// The message that stands here, with its length in front.
    pub(super) fn within(&mut self) -> Result<Self, DecodeError> {
        if self.depth >= DEPTH_MAX {
            return self.fail(Reason::Depth);
        }
        let depth = self.depth + 1;
        Ok(Self {
            depth,
            ..self.packed()?
        })
    }

    /// Values without tags, with their length in front.
    pub(super) fn packed(&mut self) -> Result<Self, DecodeError> {
        Ok(Self {
            bytes: self.counted()?,
            at: 0,
            depth: self.depth,
            allowance: self.allowance,
        })
    }

    /// Steps over a field that nobody knows.
    pub fn skip(&mut self, wire: u8) -> Result<(), DecodeError> {
        match wire {
            VARINT => self.varint().map(drop),
            EIGHT_BYTES => self.take(8).map(drop),
            COUNTED => self.counted().map(drop),
            FOUR_BYTES => self.take(4).map(drop),
            GROUP => {
                if self.depth >= DEPTH_MAX {
                    return self.fail(Reason::Depth);
                }
                self.depth += 1;
                loop {
                    match self.tag()? {
                        Some((_, GROUP_END)) => break,
                        Some((_, wire)) => self.skip(wire)?,
                        None => return self.fail(Reason::End),
                    }
                }
                self.depth -= 1;
                Ok(())
            }
            _ => self.fail(Reason::WireType),
        }
    }
}

pub(super) fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// A field that is bytes, or a message as such.
pub(crate) fn put_counted(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    put_tag(number, COUNTED, out);
    put_bytes(bytes, out);
}

/// Bytes with their length in front, and those behind them.
pub(crate) fn counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let allowance = Allowance::for_message(&[]);
    let mut input = Input::new(bytes, &allowance);
    let length = usize::try_from(input.varint().ok()?).ok()?;
    bytes[input.at..].split_at_checked(length)
}

pub(super) fn put_tag(number: u32, wire: u8, out: &mut Vec<u8>) {
    put_varint(u64::from(number) << 3 | u64::from(wire), out);
}
