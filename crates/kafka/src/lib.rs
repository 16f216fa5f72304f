//! Kafka's wire protocol: generated message codec, record batches, compression. Pure: no I/O.

pub mod batch;
pub mod error;
pub mod messages;
pub mod wire;

use wire::{DecodeError, EncodeError, Reader, Wire, Writer};

/// A decoded message of one version. One struct serves decoding (borrowed, no allocation) and encoding.
///
/// Fields absent at a version decode to Kafka's default; encoding a non-default value of a field that is neither
/// present nor ignorable at that version is [`EncodeError::Unsupported`]. Unknown tagged fields are skipped.
pub trait Message<'a>: Wire<'a> + Default {
    const API_KEY: i16;
    const MIN_VERSION: i16;
    const MAX_VERSION: i16;
    /// First version in the compact encoding with tagged fields (KIP-482); above `MAX_VERSION` when there is none.
    const FLEXIBLE_VERSION: i16;

    #[must_use]
    fn is_flexible(version: i16) -> bool {
        version >= Self::FLEXIBLE_VERSION
    }

    /// Reads a whole message; bytes behind it are an error.
    fn decode(reader: &mut Reader<'a>, version: i16) -> Result<Self, DecodeError> {
        if !(Self::MIN_VERSION..=Self::MAX_VERSION).contains(&version) {
            return Err(DecodeError::UnsupportedVersion {
                api_key: Self::API_KEY,
                version,
            });
        }
        reader.set_version(version, Self::is_flexible(version));
        let message = Self::read(reader)?;
        reader.end()?;
        Ok(message)
    }

    fn encode(&self, out: &mut Writer, version: i16) -> Result<(), EncodeError> {
        if !(Self::MIN_VERSION..=Self::MAX_VERSION).contains(&version) {
            return Err(EncodeError::UnsupportedVersion {
                api_key: Self::API_KEY,
                version,
            });
        }
        out.set_version(version, Self::is_flexible(version));
        self.write(out)
    }

    /// Exact bytes that [`Self::encode`] writes or links.
    fn encoded_len(&self, version: i16) -> Result<usize, EncodeError> {
        let mut writer = Writer::counting();
        self.encode(&mut writer, version)?;
        Ok(writer.len())
    }
}
