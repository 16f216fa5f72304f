//! Field readers and writers that the generated messages share.
use iobuf::{Buf, IoBuf};
use std::borrow::Cow;

pub type Str<'a> = Cow<'a, str>;
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("placeholder")]
    P,
}
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    #[error("placeholder")]
    P,
}

/// Array: over the wire bytes (validated when the message was decoded, items decoded again while iterating: no
/// allocation), or owned for encoding.
#[derive(Clone, Debug)]
pub struct List<'a, T> {
    _p: std::marker::PhantomData<&'a T>,
}
impl<'a, T: Clone> List<'a, T> {
    pub fn len(&self) -> usize {
        todo!()
    }
    pub fn is_empty(&self) -> bool {
        todo!()
    }
    /// Items by value: decoded from the wire, or cloned from the owned vector.
    pub fn iter(&self) -> impl Iterator<Item = T> + '_ {
        std::iter::empty()
    }
}
impl<T> Default for List<'_, T> {
    fn default() -> Self {
        todo!()
    }
}
impl<T> From<Vec<T>> for List<'_, T> {
    fn from(v: Vec<T>) -> Self {
        todo!()
    }
}
impl<T> FromIterator<T> for List<'_, T> {
    fn from_iter<I: IntoIterator<Item = T>>(i: I) -> Self {
        todo!()
    }
}

/// Record bytes: borrowed from a received frame, or a chain that is linked, not copied, into the encoded message.
#[derive(Clone, Debug, Default)]
pub enum Records<'a> {
    #[default]
    Null,
    Wire(&'a [u8]),
    Chain(ChainRecords),
}
#[derive(Clone, Debug, Default)]
pub struct ChainRecords(pub std::marker::PhantomData<()>); // holds an IoBuf
impl From<IoBuf> for Records<'_> {
    fn from(c: IoBuf) -> Self {
        todo!()
    }
}

pub struct Reader<'a> {
    _p: &'a [u8],
}
impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        todo!()
    }
    pub fn remaining(&self) -> usize {
        todo!()
    }
    pub fn position(&self) -> usize {
        todo!()
    }
}
/// Collects encoded bytes; record chains become links.
pub struct Writer {
    _p: (),
}
impl Writer {
    pub fn new() -> Self {
        todo!()
    }
    pub fn finish(self) -> IoBuf {
        todo!()
    }
}
impl Default for Writer {
    fn default() -> Self {
        Self::new()
    }
}

/// Header of a request (v0 to v2 as the key and version demand, KIP-482/KIP-511).
#[derive(Clone, Debug)]
pub struct RequestHeader<'a> {
    pub api_key: i16,
    pub api_version: i16,
    pub correlation_id: i32,
    pub client_id: Option<&'a str>,
}
impl<'a> RequestHeader<'a> {
    pub fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        todo!()
    }
}
/// Whole frame with its 4-byte length: header and body.
pub fn encode_request<'a, M: crate::Message<'a>>(
    header: &RequestHeader<'_>,
    body: &M,
) -> Result<IoBuf, EncodeError> {
    todo!()
}
pub fn encode_response<'a, M: crate::Message<'a>>(
    correlation_id: i32,
    version: i16,
    body: &M,
) -> Result<IoBuf, EncodeError> {
    todo!()
}
/// Reader positioned behind the response header; the frame is without its length.
pub fn decode_response_header(
    frame: &[u8],
    api_key: i16,
    version: i16,
) -> Result<(i32, Reader<'_>), DecodeError> {
    todo!()
}
pub fn unused(_: Buf) {}
