//! Kafka's wire protocol: generated message codec, record batches, compression. Pure: no I/O.
#![allow(clippy::todo, unused_variables, missing_docs, dead_code)]

pub mod batch;
pub mod wire;
// pub mod messages;  // generated: one module per message, e.g. messages::produce::{ProduceRequest, ProduceResponse}
// pub mod error;     // ErrorCode, every code of Kafka 4.x, with name, message, retriable

/// A decoded message of one version. One struct serves decoding (borrowed, no allocation) and encoding.
/// Generated field types: integers raw; `Str<'a> = Cow<'a, str>`, nullable ones in Option; uuid as base::TopicId;
/// bytes `Cow<'a, [u8]>`; arrays `List<'a, T>` (nullable in Option); records `Records<'a>`.
/// Fields absent at a version decode to Kafka's default; encoding a non-default value of a field that is neither
/// present nor ignorable at that version is `EncodeError::Unsupported`. Unknown tagged fields are skipped.
pub trait Message<'a>: Sized + Default {
    const API_KEY: i16;
    const MIN_VERSION: i16;
    const MAX_VERSION: i16;
    fn decode(reader: &mut wire::Reader<'a>, version: i16) -> Result<Self, wire::DecodeError>;
    fn encode(&self, out: &mut wire::Writer, version: i16) -> Result<(), wire::EncodeError>;
    fn encoded_len(&self, version: i16) -> Result<usize, wire::EncodeError>;
}
