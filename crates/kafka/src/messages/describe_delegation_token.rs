//! DescribeDelegationToken (key 41): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use std::borrow::Cow;

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug)]
pub struct DescribeDelegationTokenRequest<'a> {
    /// Each owner that we want to describe delegation tokens for, or null to describe all tokens.
    pub owners: Option<List<'a, DescribeDelegationTokenOwner<'a>>>,
}

impl Default for DescribeDelegationTokenRequest<'_> {
    fn default() -> Self {
        Self {
            owners: Some(List::default()),
        }
    }
}

impl<'a> Wire<'a> for DescribeDelegationTokenRequest<'a> {
    const BYTES_MIN: usize = 2;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            owners: List::read_nullable(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.nullable_list(self.owners.as_ref())?;
        writer.no_tags();
        Ok(())
    }
}

/// Each owner that we want to describe delegation tokens for, or null to describe all tokens.
#[derive(Clone, Debug, Default)]
pub struct DescribeDelegationTokenOwner<'a> {
    /// The owner principal type.
    pub principal_type: Str<'a>,
    /// The owner principal name.
    pub principal_name: Str<'a>,
}

impl<'a> Wire<'a> for DescribeDelegationTokenOwner<'a> {
    const BYTES_MIN: usize = 3;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            principal_type: reader.string()?,
            principal_name: reader.string()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.principal_type)?;
        writer.string(&self.principal_name)?;
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for DescribeDelegationTokenRequest<'a> {
    const API_KEY: i16 = 41;
    const MIN_VERSION: i16 = 1;
    const MAX_VERSION: i16 = 3;
    const FLEXIBLE_VERSION: i16 = 2;
}

#[derive(Clone, Debug, Default)]
pub struct DescribeDelegationTokenResponse<'a> {
    /// The error code, or 0 if there was no error.
    pub error_code: i16,
    /// The tokens.
    pub tokens: List<'a, DescribedDelegationToken<'a>>,
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
}

impl<'a> Wire<'a> for DescribeDelegationTokenResponse<'a> {
    const BYTES_MIN: usize = 8;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            error_code: reader.i16()?,
            tokens: List::read(reader)?,
            throttle_time_ms: reader.i32()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i16(self.error_code);
        self.tokens.write(writer)?;
        writer.i32(self.throttle_time_ms);
        writer.no_tags();
        Ok(())
    }
}

/// The tokens.
#[derive(Clone, Debug, Default)]
pub struct DescribedDelegationToken<'a> {
    /// The token principal type.
    pub principal_type: Str<'a>,
    /// The token principal name.
    pub principal_name: Str<'a>,
    /// The principal type of the requester of the token.
    pub token_requester_principal_type: Str<'a>,
    /// The principal type of the requester of the token.
    pub token_requester_principal_name: Str<'a>,
    /// The token issue timestamp in milliseconds.
    pub issue_timestamp: i64,
    /// The token expiry timestamp in milliseconds.
    pub expiry_timestamp: i64,
    /// The token maximum timestamp length in milliseconds.
    pub max_timestamp: i64,
    /// The token ID.
    pub token_id: Str<'a>,
    /// The token HMAC.
    pub hmac: Cow<'a, [u8]>,
    /// Those who are able to renew this token before it expires.
    pub renewers: List<'a, DescribedDelegationTokenRenewer<'a>>,
}

impl<'a> Wire<'a> for DescribedDelegationToken<'a> {
    const BYTES_MIN: usize = 30;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            principal_type: reader.string()?,
            principal_name: reader.string()?,
            token_requester_principal_type: if version >= 3 {
                reader.string()?
            } else {
                Str::default()
            },
            token_requester_principal_name: if version >= 3 {
                reader.string()?
            } else {
                Str::default()
            },
            issue_timestamp: reader.i64()?,
            expiry_timestamp: reader.i64()?,
            max_timestamp: reader.i64()?,
            token_id: reader.string()?,
            hmac: reader.bytes()?,
            renewers: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        writer.string(&self.principal_type)?;
        writer.string(&self.principal_name)?;
        if version >= 3 {
            writer.string(&self.token_requester_principal_type)?;
            writer.string(&self.token_requester_principal_name)?;
        } else {
            writer.absent(
                !self.token_requester_principal_type.is_empty(),
                "TokenRequesterPrincipalType",
            )?;
            writer.absent(
                !self.token_requester_principal_name.is_empty(),
                "TokenRequesterPrincipalName",
            )?;
        }
        writer.i64(self.issue_timestamp);
        writer.i64(self.expiry_timestamp);
        writer.i64(self.max_timestamp);
        writer.string(&self.token_id)?;
        writer.bytes(&self.hmac)?;
        self.renewers.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// Those who are able to renew this token before it expires.
#[derive(Clone, Debug, Default)]
pub struct DescribedDelegationTokenRenewer<'a> {
    /// The renewer principal type.
    pub principal_type: Str<'a>,
    /// The renewer principal name.
    pub principal_name: Str<'a>,
}

impl<'a> Wire<'a> for DescribedDelegationTokenRenewer<'a> {
    const BYTES_MIN: usize = 3;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            principal_type: reader.string()?,
            principal_name: reader.string()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.principal_type)?;
        writer.string(&self.principal_name)?;
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for DescribeDelegationTokenResponse<'a> {
    const API_KEY: i16 = 41;
    const MIN_VERSION: i16 = 1;
    const MAX_VERSION: i16 = 3;
    const FLEXIBLE_VERSION: i16 = 2;
}
