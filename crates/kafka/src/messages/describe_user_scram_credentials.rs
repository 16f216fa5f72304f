//! DescribeUserScramCredentials (key 50): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug)]
pub struct DescribeUserScramCredentialsRequest<'a> {
    /// The users to describe, or null/empty to describe all users.
    pub users: Option<List<'a, UserName<'a>>>,
}

impl Default for DescribeUserScramCredentialsRequest<'_> {
    fn default() -> Self {
        Self {
            users: Some(List::default()),
        }
    }
}

impl<'a> Wire<'a> for DescribeUserScramCredentialsRequest<'a> {
    const BYTES_MIN: usize = 2;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            users: List::read_nullable(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.nullable_list(self.users.as_ref())?;
        writer.no_tags();
        Ok(())
    }
}

/// The users to describe, or null/empty to describe all users.
#[derive(Clone, Debug, Default)]
pub struct UserName<'a> {
    /// The user name.
    pub name: Str<'a>,
}

impl<'a> Wire<'a> for UserName<'a> {
    const BYTES_MIN: usize = 2;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            name: reader.string()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.name)?;
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for DescribeUserScramCredentialsRequest<'a> {
    const API_KEY: i16 = 50;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 0;
    const FLEXIBLE_VERSION: i16 = 0;
}

#[derive(Clone, Debug)]
pub struct DescribeUserScramCredentialsResponse<'a> {
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// The message-level error code, 0 except for user authorization or infrastructure issues.
    pub error_code: i16,
    /// The message-level error message, if any.
    pub error_message: Option<Str<'a>>,
    /// The results for descriptions, one per user.
    pub results: List<'a, DescribeUserScramCredentialsResult<'a>>,
}

impl Default for DescribeUserScramCredentialsResponse<'_> {
    fn default() -> Self {
        Self {
            throttle_time_ms: 0,
            error_code: 0,
            error_message: Some(Str::default()),
            results: List::default(),
        }
    }
}

impl<'a> Wire<'a> for DescribeUserScramCredentialsResponse<'a> {
    const BYTES_MIN: usize = 9;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            throttle_time_ms: reader.i32()?,
            error_code: reader.i16()?,
            error_message: reader.nullable_string()?,
            results: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.throttle_time_ms);
        writer.i16(self.error_code);
        writer.nullable_string(self.error_message.as_deref())?;
        self.results.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The results for descriptions, one per user.
#[derive(Clone, Debug)]
pub struct DescribeUserScramCredentialsResult<'a> {
    /// The user name.
    pub user: Str<'a>,
    /// The user-level error code.
    pub error_code: i16,
    /// The user-level error message, if any.
    pub error_message: Option<Str<'a>>,
    /// The mechanism and related information associated with the user's SCRAM credentials.
    pub credential_infos: List<'a, CredentialInfo>,
}

impl Default for DescribeUserScramCredentialsResult<'_> {
    fn default() -> Self {
        Self {
            user: Str::default(),
            error_code: 0,
            error_message: Some(Str::default()),
            credential_infos: List::default(),
        }
    }
}

impl<'a> Wire<'a> for DescribeUserScramCredentialsResult<'a> {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            user: reader.string()?,
            error_code: reader.i16()?,
            error_message: reader.nullable_string()?,
            credential_infos: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.user)?;
        writer.i16(self.error_code);
        writer.nullable_string(self.error_message.as_deref())?;
        self.credential_infos.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The mechanism and related information associated with the user's SCRAM credentials.
#[derive(Clone, Debug, Default)]
pub struct CredentialInfo {
    /// The SCRAM mechanism.
    pub mechanism: i8,
    /// The number of iterations used in the SCRAM credential.
    pub iterations: i32,
}

impl<'a> Wire<'a> for CredentialInfo {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            mechanism: reader.i8()?,
            iterations: reader.i32()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i8(self.mechanism);
        writer.i32(self.iterations);
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for DescribeUserScramCredentialsResponse<'a> {
    const API_KEY: i16 = 50;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 0;
    const FLEXIBLE_VERSION: i16 = 0;
}
