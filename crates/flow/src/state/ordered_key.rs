//! Keys whose bytes sort as they do.
//!
//! Integers are big-endian with the sign turned; text and bytes end with 00 00, and a zero byte in them is 00 FF, as in
//! rows of views.

use crate::event::{DecodeError, Event, Timestamp};
use streams::format::Reason;

/// A key of an ordered map: smaller keys have smaller bytes, and no key's bytes begin with another's.
pub trait OrderedKey: Event {
    fn put_ordered(&self, out: &mut Vec<u8>);

    /// Takes its bytes from the front.
    fn take_ordered(bytes: &mut &[u8]) -> Result<Self, DecodeError>;
}

const END: DecodeError = DecodeError {
    at: 0,
    reason: Reason::End,
};

fn array<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], DecodeError> {
    let (taken, rest) = bytes.split_first_chunk::<N>().ok_or(END)?;
    *bytes = rest;
    Ok(*taken)
}

macro_rules! unsigned {
    ($($type:ty),+) => {$(
        impl OrderedKey for $type {
            fn put_ordered(&self, out: &mut Vec<u8>) {
                out.extend(self.to_be_bytes());
            }

            fn take_ordered(bytes: &mut &[u8]) -> Result<Self, DecodeError> {
                Ok(Self::from_be_bytes(array(bytes)?))
            }
        }
    )+};
}

unsigned!(u32, u64);

macro_rules! signed {
    ($($type:ty),+) => {$(
        impl OrderedKey for $type {
            fn put_ordered(&self, out: &mut Vec<u8>) {
                out.extend((self ^ Self::MIN).to_be_bytes());
            }

            fn take_ordered(bytes: &mut &[u8]) -> Result<Self, DecodeError> {
                Ok(Self::from_be_bytes(array(bytes)?) ^ Self::MIN)
            }
        }
    )+};
}

signed!(i32, i64);

impl OrderedKey for Timestamp {
    fn put_ordered(&self, out: &mut Vec<u8>) {
        self.0.put_ordered(out);
    }

    fn take_ordered(bytes: &mut &[u8]) -> Result<Self, DecodeError> {
        i64::take_ordered(bytes).map(Self)
    }
}

impl OrderedKey for bool {
    fn put_ordered(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn take_ordered(bytes: &mut &[u8]) -> Result<Self, DecodeError> {
        array::<1>(bytes).map(|[byte]| byte != 0)
    }
}

fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        out.push(*byte);
        if *byte == 0 {
            out.push(0xFF);
        }
    }
    out.extend([0, 0]);
}

impl OrderedKey for Vec<u8> {
    fn put_ordered(&self, out: &mut Vec<u8>) {
        put_bytes(self, out);
    }

    fn take_ordered(bytes: &mut &[u8]) -> Result<Self, DecodeError> {
        let mut taken = Self::new();
        loop {
            match array::<1>(bytes)? {
                [0] => match array::<1>(bytes)? {
                    [0] => return Ok(taken),
                    [0xFF] => taken.push(0),
                    _ => return Err(END),
                },
                [byte] => taken.push(byte),
            }
        }
    }
}

impl OrderedKey for String {
    fn put_ordered(&self, out: &mut Vec<u8>) {
        put_bytes(self.as_bytes(), out);
    }

    fn take_ordered(bytes: &mut &[u8]) -> Result<Self, DecodeError> {
        let taken = Vec::<u8>::take_ordered(bytes)?;
        Self::from_utf8(taken).map_err(|_| DecodeError {
            at: 0,
            reason: Reason::Utf8,
        })
    }
}

impl<A, B> OrderedKey for (A, B)
where
    A: OrderedKey,
    B: OrderedKey,
    (A, B): Event,
{
    fn put_ordered(&self, out: &mut Vec<u8>) {
        self.0.put_ordered(out);
        self.1.put_ordered(out);
    }

    fn take_ordered(bytes: &mut &[u8]) -> Result<Self, DecodeError> {
        Ok((A::take_ordered(bytes)?, B::take_ordered(bytes)?))
    }
}
