//! UpdateFeatures (key 57): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug)]
pub struct UpdateFeaturesRequest<'a> {
    /// How long to wait in milliseconds before timing out the request.
    pub timeout_ms: i32,
    /// The list of updates to finalized features.
    pub feature_updates: List<'a, FeatureUpdateKey<'a>>,
    /// True if we should validate the request, but not perform the upgrade or downgrade.
    pub validate_only: bool,
}

impl Default for UpdateFeaturesRequest<'_> {
    fn default() -> Self {
        Self {
            timeout_ms: 60000,
            feature_updates: List::default(),
            validate_only: false,
        }
    }
}

impl<'a> Wire<'a> for UpdateFeaturesRequest<'a> {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            timeout_ms: reader.i32()?,
            feature_updates: List::read(reader)?,
            validate_only: if version >= 1 { reader.bool()? } else { false },
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        writer.i32(self.timeout_ms);
        self.feature_updates.write(writer)?;
        if version >= 1 {
            writer.bool(self.validate_only);
        } else {
            writer.absent(self.validate_only, "ValidateOnly")?;
        }
        writer.no_tags();
        Ok(())
    }
}

/// The list of updates to finalized features.
#[derive(Clone, Debug)]
pub struct FeatureUpdateKey<'a> {
    /// The name of the finalized feature to be updated.
    pub feature: Str<'a>,
    /// The new maximum version level for the finalized feature. A value >= 1 is valid. A value \< 1, is special, and can be used to request the deletion of the finalized feature.
    pub max_version_level: i16,
    /// DEPRECATED in version 1 (see DowngradeType). When set to true, the finalized feature version level is allowed to be downgraded/deleted. The downgrade request will fail if the new maximum version level is a value that's not lower than the existing maximum finalized version level.
    pub allow_downgrade: bool,
    /// Determine which type of upgrade will be performed: 1 will perform an upgrade only (default), 2 is safe downgrades only (lossless), 3 is unsafe downgrades (lossy).
    pub upgrade_type: i8,
}

impl Default for FeatureUpdateKey<'_> {
    fn default() -> Self {
        Self {
            feature: Str::default(),
            max_version_level: 0,
            allow_downgrade: false,
            upgrade_type: 1,
        }
    }
}

impl<'a> Wire<'a> for FeatureUpdateKey<'a> {
    const BYTES_MIN: usize = 5;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            feature: reader.string()?,
            max_version_level: reader.i16()?,
            allow_downgrade: if version <= 0 { reader.bool()? } else { false },
            upgrade_type: if version >= 1 { reader.i8()? } else { 1 },
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        writer.string(&self.feature)?;
        writer.i16(self.max_version_level);
        if version <= 0 {
            writer.bool(self.allow_downgrade);
        } else {
            writer.absent(self.allow_downgrade, "AllowDowngrade")?;
        }
        if version >= 1 {
            writer.i8(self.upgrade_type);
        } else {
            writer.absent(self.upgrade_type != 1, "UpgradeType")?;
        }
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for UpdateFeaturesRequest<'a> {
    const API_KEY: i16 = 57;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 2;
    const FLEXIBLE_VERSION: i16 = 0;
}

#[derive(Clone, Debug)]
pub struct UpdateFeaturesResponse<'a> {
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// The top-level error code, or `0` if there was no top-level error.
    pub error_code: i16,
    /// The top-level error message, or `null` if there was no top-level error.
    pub error_message: Option<Str<'a>>,
    /// Results for each feature update.
    pub results: List<'a, UpdatableFeatureResult<'a>>,
}

impl Default for UpdateFeaturesResponse<'_> {
    fn default() -> Self {
        Self {
            throttle_time_ms: 0,
            error_code: 0,
            error_message: Some(Str::default()),
            results: List::default(),
        }
    }
}

impl<'a> Wire<'a> for UpdateFeaturesResponse<'a> {
    const BYTES_MIN: usize = 8;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            throttle_time_ms: reader.i32()?,
            error_code: reader.i16()?,
            error_message: reader.nullable_string()?,
            results: if version <= 1 {
                List::read(reader)?
            } else {
                List::default()
            },
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        writer.i32(self.throttle_time_ms);
        writer.i16(self.error_code);
        writer.nullable_string(self.error_message.as_deref())?;
        if version <= 1 {
            self.results.write(writer)?;
        }
        writer.no_tags();
        Ok(())
    }
}

/// Results for each feature update.
#[derive(Clone, Debug)]
pub struct UpdatableFeatureResult<'a> {
    /// The name of the finalized feature.
    pub feature: Str<'a>,
    /// The feature update error code or `0` if the feature update succeeded.
    pub error_code: i16,
    /// The feature update error, or `null` if the feature update succeeded.
    pub error_message: Option<Str<'a>>,
}

impl Default for UpdatableFeatureResult<'_> {
    fn default() -> Self {
        Self {
            feature: Str::default(),
            error_code: 0,
            error_message: Some(Str::default()),
        }
    }
}

impl<'a> Wire<'a> for UpdatableFeatureResult<'a> {
    const BYTES_MIN: usize = 5;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            feature: reader.string()?,
            error_code: reader.i16()?,
            error_message: reader.nullable_string()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.feature)?;
        writer.i16(self.error_code);
        writer.nullable_string(self.error_message.as_deref())?;
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for UpdateFeaturesResponse<'a> {
    const API_KEY: i16 = 57;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 2;
    const FLEXIBLE_VERSION: i16 = 0;
}
