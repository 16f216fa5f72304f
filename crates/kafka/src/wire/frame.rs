//! Request and response frames: size, header, body.

use iobuf::IoBuf;

use super::{DecodeError, EncodeError, Reader, Writer};
use crate::{Message, messages};

/// Most clients' whole Fetch request or response head fits; more makes the buffer grow.
const FRAME_CAPACITY_BYTES: usize = 512;

/// Header of a request (v1 or v2 as the key and version demand, KIP-482/KIP-511).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHeader<'a> {
    pub api_key: i16,
    pub api_version: i16,
    pub correlation_id: i32,
    pub client_id: Option<&'a str>,
}

impl<'a> RequestHeader<'a> {
    /// Reads the header and leaves the reader at the body. A key or version that is not known here is no error: the
    /// caller must be able to answer it.
    pub fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.set_version(0, false);
        let api_key = reader.i16()?;
        let api_version = reader.i16()?;
        let correlation_id = reader.i32()?;
        let client_id = reader.nullable_str()?;
        reader.set_version(0, messages::is_flexible(api_key, api_version));
        reader.skip_tags()?;
        Ok(Self {
            api_key,
            api_version,
            correlation_id,
            client_id,
        })
    }
}

/// Whole frame with its 4-byte size: header and body. The header names the version the body is written at.
pub fn encode_request<'a, M: Message<'a>>(
    header: &RequestHeader<'_>,
    body: &M,
) -> Result<IoBuf, EncodeError> {
    let mut writer = Writer::with_capacity(FRAME_CAPACITY_BYTES);
    writer.i32(0);
    writer.i16(header.api_key);
    writer.i16(header.api_version);
    writer.i32(header.correlation_id);
    writer.nullable_string(header.client_id)?;
    writer.set_version(0, M::is_flexible(header.api_version));
    writer.no_tags();
    body.encode(&mut writer, header.api_version)?;
    writer.patch_frame_size()?;
    Ok(writer.finish())
}

/// Whole frame with its 4-byte size: header and body.
pub fn encode_response<'a, M: Message<'a>>(
    correlation_id: i32,
    version: i16,
    body: &M,
) -> Result<IoBuf, EncodeError> {
    let mut writer = Writer::with_capacity(FRAME_CAPACITY_BYTES);
    writer.i32(0);
    writer.i32(correlation_id);
    writer.set_version(0, response_header_flexible(M::API_KEY, version));
    writer.no_tags();
    body.encode(&mut writer, version)?;
    writer.patch_frame_size()?;
    Ok(writer.finish())
}

/// Correlation id, and a reader positioned behind the response header; the frame is without its size.
pub fn decode_response_header(
    frame: &[u8],
    api_key: i16,
    version: i16,
) -> Result<(i32, Reader<'_>), DecodeError> {
    let mut reader = Reader::new(frame);
    let correlation_id = reader.i32()?;
    reader.set_version(0, response_header_flexible(api_key, version));
    reader.skip_tags()?;
    Ok((correlation_id, reader))
}

fn response_header_flexible(api_key: i16, version: i16) -> bool {
    api_key != messages::ApiKey::ApiVersions as i16 && messages::is_flexible(api_key, version)
}

/// Bytes of the frame behind a received 4-byte size; refuses negative ones and those above `bytes_max`.
pub fn frame_bytes(size: [u8; 4], bytes_max: usize) -> Result<usize, DecodeError> {
    let size = i32::from_be_bytes(size);
    usize::try_from(size)
        .ok()
        .filter(|bytes| *bytes <= bytes_max)
        .ok_or(DecodeError::FrameSize {
            bytes: size.into(),
            bytes_max,
        })
}
