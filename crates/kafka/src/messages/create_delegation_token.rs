//! CreateDelegationToken (key 38): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use std::borrow::Cow;

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug)]
pub struct CreateDelegationTokenRequest<'a> {
    /// The principal type of the owner of the token. If it's null it defaults to the token request principal.
    pub owner_principal_type: Option<Str<'a>>,
    /// The principal name of the owner of the token. If it's null it defaults to the token request principal.
    pub owner_principal_name: Option<Str<'a>>,
    /// A list of those who are allowed to renew this token before it expires.
    pub renewers: List<'a, CreatableRenewers<'a>>,
    /// The maximum lifetime of the token in milliseconds, or -1 to use the server side default.
    pub max_lifetime_ms: i64,
}

impl Default for CreateDelegationTokenRequest<'_> {
    fn default() -> Self {
        Self {
            owner_principal_type: Some(Str::default()),
            owner_principal_name: Some(Str::default()),
            renewers: List::default(),
            max_lifetime_ms: 0,
        }
    }
}

impl<'a> Wire<'a> for CreateDelegationTokenRequest<'a> {
    const BYTES_MIN: usize = 10;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            owner_principal_type: if version >= 3 {
                reader.nullable_string()?
            } else {
                Some(Str::default())
            },
            owner_principal_name: if version >= 3 {
                reader.nullable_string()?
            } else {
                Some(Str::default())
            },
            renewers: List::read(reader)?,
            max_lifetime_ms: reader.i64()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        if version >= 3 {
            writer.nullable_string(self.owner_principal_type.as_deref())?;
            writer.nullable_string(self.owner_principal_name.as_deref())?;
        } else {
            writer.absent(
                self.owner_principal_type
                    .as_ref()
                    .is_none_or(|value| !value.is_empty()),
                "OwnerPrincipalType",
            )?;
            writer.absent(
                self.owner_principal_name
                    .as_ref()
                    .is_none_or(|value| !value.is_empty()),
                "OwnerPrincipalName",
            )?;
        }
        self.renewers.write(writer)?;
        writer.i64(self.max_lifetime_ms);
        writer.no_tags();
        Ok(())
    }
}

/// A list of those who are allowed to renew this token before it expires.
#[derive(Clone, Debug, Default)]
pub struct CreatableRenewers<'a> {
    /// The type of the Kafka principal.
    pub principal_type: Str<'a>,
    /// The name of the Kafka principal.
    pub principal_name: Str<'a>,
}

impl<'a> Wire<'a> for CreatableRenewers<'a> {
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

impl<'a> Message<'a> for CreateDelegationTokenRequest<'a> {
    const API_KEY: i16 = 38;
    const MIN_VERSION: i16 = 1;
    const MAX_VERSION: i16 = 3;
    const FLEXIBLE_VERSION: i16 = 2;
}

#[derive(Clone, Debug, Default)]
pub struct CreateDelegationTokenResponse<'a> {
    /// The top-level error, or zero if there was no error.
    pub error_code: i16,
    /// The principal type of the token owner.
    pub principal_type: Str<'a>,
    /// The name of the token owner.
    pub principal_name: Str<'a>,
    /// The principal type of the requester of the token.
    pub token_requester_principal_type: Str<'a>,
    /// The principal type of the requester of the token.
    pub token_requester_principal_name: Str<'a>,
    /// When this token was generated.
    pub issue_timestamp_ms: i64,
    /// When this token expires.
    pub expiry_timestamp_ms: i64,
    /// The maximum lifetime of this token.
    pub max_timestamp_ms: i64,
    /// The token UUID.
    pub token_id: Str<'a>,
    /// HMAC of the delegation token.
    pub hmac: Cow<'a, [u8]>,
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
}

impl<'a> Wire<'a> for CreateDelegationTokenResponse<'a> {
    const BYTES_MIN: usize = 35;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            error_code: reader.i16()?,
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
            issue_timestamp_ms: reader.i64()?,
            expiry_timestamp_ms: reader.i64()?,
            max_timestamp_ms: reader.i64()?,
            token_id: reader.string()?,
            hmac: reader.bytes()?,
            throttle_time_ms: reader.i32()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        writer.i16(self.error_code);
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
        writer.i64(self.issue_timestamp_ms);
        writer.i64(self.expiry_timestamp_ms);
        writer.i64(self.max_timestamp_ms);
        writer.string(&self.token_id)?;
        writer.bytes(&self.hmac)?;
        writer.i32(self.throttle_time_ms);
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for CreateDelegationTokenResponse<'a> {
    const API_KEY: i16 = 38;
    const MIN_VERSION: i16 = 1;
    const MAX_VERSION: i16 = 3;
    const FLEXIBLE_VERSION: i16 = 2;
}
