//! SaslHandshake (key 17): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug, Default)]
pub struct SaslHandshakeRequest<'a> {
    /// The SASL mechanism chosen by the client.
    pub mechanism: Str<'a>,
}

impl<'a> Wire<'a> for SaslHandshakeRequest<'a> {
    const BYTES_MIN: usize = 2;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            mechanism: reader.string()?,
        })
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.mechanism)?;
        Ok(())
    }
}

impl<'a> Message<'a> for SaslHandshakeRequest<'a> {
    const API_KEY: i16 = 17;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 1;
    const FLEXIBLE_VERSION: i16 = i16::MAX;
}

#[derive(Clone, Debug, Default)]
pub struct SaslHandshakeResponse<'a> {
    /// The error code, or 0 if there was no error.
    pub error_code: i16,
    /// The mechanisms enabled in the server.
    pub mechanisms: List<'a, Str<'a>>,
}

impl<'a> Wire<'a> for SaslHandshakeResponse<'a> {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            error_code: reader.i16()?,
            mechanisms: List::read(reader)?,
        })
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i16(self.error_code);
        self.mechanisms.write(writer)?;
        Ok(())
    }
}

impl<'a> Message<'a> for SaslHandshakeResponse<'a> {
    const API_KEY: i16 = 17;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 1;
    const FLEXIBLE_VERSION: i16 = i16::MAX;
}
