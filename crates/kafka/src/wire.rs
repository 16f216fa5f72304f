//! Field readers and writers that the generated messages share, and the frames around messages.
//!
//! # Invariants
//! 1. Decoding allocates nothing: strings, bytes and arrays borrow the frame (`tests/it` and `fuzz` count allocations).
//! 2. Every length and count is checked against the bytes left before it is believed, so decoding a frame of n bytes
//!    takes O(n) per level of nesting, whatever the frame claims.
//! 3. A decoded [`List`] was read once in full, so iterating it cannot fail.
//!
//! # Layout
//! ```text
//! frame    = size:i32 header body                        size counts header and body; big-endian throughout
//! request  = api_key:i16 api_version:i16 correlation_id:i32 client_id:nullable-string [tags] body
//! response = correlation_id:i32 [tags] body              tags only at flexible versions (KIP-482)
//! tags     = count:uvarint (tag:uvarint size:uvarint field)*
//! ```
//! ApiVersions answers with the header without tags at every version, so that any client can read it (KIP-511).
//!
//! # Instead of
//! One type per message and version, or a visitor per message: a borrowed struct that serves all versions reads like
//! Kafka's own descriptors, and its arrays, decoded again on each walk, still cost less than a `Vec`.

mod error;
mod frame;
mod list;
mod reader;
mod records;
mod writer;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use base::TopicId;

pub use error::{DecodeError, EncodeError};
pub use frame::{
    RequestHeader, decode_response_header, encode_request, encode_response, frame_bytes,
};
pub use list::{List, ListIter};
pub use reader::Reader;
pub use records::Records;
pub use writer::Writer;

/// A string of a message: borrowed when decoded, borrowed or owned to encode.
pub type Str<'a> = Cow<'a, str>;

/// What can stand as a field or array item: the reader and the writer know version and flexibility.
pub trait Wire<'a>: Sized {
    /// Fewest bytes one value takes at any version; bounds array counts. At least 1.
    const BYTES_MIN: usize;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError>;
    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError>;
}

macro_rules! scalar {
    ($($type:ty: $call:ident),*) => {$(
        impl<'a> Wire<'a> for $type {
            const BYTES_MIN: usize = size_of::<$type>();

            fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
                reader.$call()
            }
            fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
                writer.$call(*self);
                Ok(())
            }
        }
    )*};
}
scalar!(i8: i8, i16: i16, i32: i32, i64: i64, TopicId: uuid);

impl<'a> Wire<'a> for Str<'a> {
    const BYTES_MIN: usize = 1;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.string()
    }
    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(self)
    }
}
