//! SaslAuthenticate (key 36): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use std::borrow::Cow;

use crate::{
    Message,
    wire::{DecodeError, EncodeError, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug, Default)]
pub struct SaslAuthenticateRequest<'a> {
    /// The SASL authentication bytes from the client, as defined by the SASL mechanism.
    pub auth_bytes: Cow<'a, [u8]>,
}

impl<'a> Wire<'a> for SaslAuthenticateRequest<'a> {
    const BYTES_MIN: usize = 2;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            auth_bytes: reader.bytes()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.bytes(&self.auth_bytes)?;
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for SaslAuthenticateRequest<'a> {
    const API_KEY: i16 = 36;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 2;
    const FLEXIBLE_VERSION: i16 = 2;
}

#[derive(Clone, Debug)]
pub struct SaslAuthenticateResponse<'a> {
    /// The error code, or 0 if there was no error.
    pub error_code: i16,
    /// The error message, or null if there was no error.
    pub error_message: Option<Str<'a>>,
    /// The SASL authentication bytes from the server, as defined by the SASL mechanism.
    pub auth_bytes: Cow<'a, [u8]>,
    /// Number of milliseconds after which only re-authentication over the existing connection to create a new session can occur.
    pub session_lifetime_ms: i64,
}

impl Default for SaslAuthenticateResponse<'_> {
    fn default() -> Self {
        Self {
            error_code: 0,
            error_message: Some(Str::default()),
            auth_bytes: Cow::default(),
            session_lifetime_ms: 0,
        }
    }
}

impl<'a> Wire<'a> for SaslAuthenticateResponse<'a> {
    const BYTES_MIN: usize = 8;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            error_code: reader.i16()?,
            error_message: reader.nullable_string()?,
            auth_bytes: reader.bytes()?,
            session_lifetime_ms: if version >= 1 { reader.i64()? } else { 0 },
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        writer.i16(self.error_code);
        writer.nullable_string(self.error_message.as_deref())?;
        writer.bytes(&self.auth_bytes)?;
        if version >= 1 {
            writer.i64(self.session_lifetime_ms);
        }
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for SaslAuthenticateResponse<'a> {
    const API_KEY: i16 = 36;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 2;
    const FLEXIBLE_VERSION: i16 = 2;
}
