//! ApiVersions (key 18): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug, Default)]
pub struct ApiVersionsRequest<'a> {
    /// The name of the client.
    pub client_software_name: Str<'a>,
    /// The version of the client.
    pub client_software_version: Str<'a>,
}

impl<'a> Wire<'a> for ApiVersionsRequest<'a> {
    const BYTES_MIN: usize = 1;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            client_software_name: if version >= 3 {
                reader.string()?
            } else {
                Str::default()
            },
            client_software_version: if version >= 3 {
                reader.string()?
            } else {
                Str::default()
            },
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        if version >= 3 {
            writer.string(&self.client_software_name)?;
            writer.string(&self.client_software_version)?;
        }
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for ApiVersionsRequest<'a> {
    const API_KEY: i16 = 18;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 4;
    const FLEXIBLE_VERSION: i16 = 3;
}

#[derive(Clone, Debug)]
pub struct ApiVersionsResponse<'a> {
    /// The top-level error code.
    pub error_code: i16,
    /// The APIs supported by the broker.
    pub api_keys: List<'a, ApiVersion>,
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// Features supported by the broker. Note: in v0-v3, features with MinSupportedVersion = 0 are omitted.
    pub supported_features: List<'a, SupportedFeatureKey<'a>>,
    /// The monotonically increasing epoch for the finalized features information. Valid values are >= 0. A value of -1 is special and represents unknown epoch.
    pub finalized_features_epoch: i64,
    /// List of cluster-wide finalized features. The information is valid only if FinalizedFeaturesEpoch >= 0.
    pub finalized_features: List<'a, FinalizedFeatureKey<'a>>,
    /// Set by a KRaft controller if the required configurations for ZK migration are present.
    pub zk_migration_ready: bool,
}

impl Default for ApiVersionsResponse<'_> {
    fn default() -> Self {
        Self {
            error_code: 0,
            api_keys: List::default(),
            throttle_time_ms: 0,
            supported_features: List::default(),
            finalized_features_epoch: -1,
            finalized_features: List::default(),
            zk_migration_ready: false,
        }
    }
}

impl<'a> Wire<'a> for ApiVersionsResponse<'a> {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let mut item = Self {
            error_code: reader.i16()?,
            api_keys: List::read(reader)?,
            throttle_time_ms: if version >= 1 { reader.i32()? } else { 0 },
            supported_features: List::default(),
            finalized_features_epoch: -1,
            finalized_features: List::default(),
            zk_migration_ready: false,
        };
        for _ in 0..reader.tag_count()? {
            let (tag, mut field) = reader.tag()?;
            match tag {
                0 => item.supported_features = List::read(&mut field)?,
                1 => item.finalized_features_epoch = field.i64()?,
                2 => item.finalized_features = List::read(&mut field)?,
                3 => item.zk_migration_ready = field.bool()?,
                _ => continue,
            }
            field.tag_end(tag)?;
        }
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        writer.i16(self.error_code);
        self.api_keys.write(writer)?;
        if version >= 1 {
            writer.i32(self.throttle_time_ms);
        }
        if version >= 3 {
            let tags = writer.tags();
            if !self.supported_features.is_empty() {
                writer.tag(tags, 0, |writer| self.supported_features.write(writer))?;
            }
            if self.finalized_features_epoch != -1 {
                writer.tag(tags, 1, |writer| {
                    writer.i64(self.finalized_features_epoch);
                    Ok(())
                })?;
            }
            if !self.finalized_features.is_empty() {
                writer.tag(tags, 2, |writer| self.finalized_features.write(writer))?;
            }
            if self.zk_migration_ready {
                writer.tag(tags, 3, |writer| {
                    writer.bool(self.zk_migration_ready);
                    Ok(())
                })?;
            }
        }
        Ok(())
    }
}

/// The APIs supported by the broker.
#[derive(Clone, Debug, Default)]
pub struct ApiVersion {
    /// The API index.
    pub api_key: i16,
    /// The minimum supported version, inclusive.
    pub min_version: i16,
    /// The maximum supported version, inclusive.
    pub max_version: i16,
}

impl<'a> Wire<'a> for ApiVersion {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            api_key: reader.i16()?,
            min_version: reader.i16()?,
            max_version: reader.i16()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i16(self.api_key);
        writer.i16(self.min_version);
        writer.i16(self.max_version);
        writer.no_tags();
        Ok(())
    }
}

/// Features supported by the broker. Note: in v0-v3, features with MinSupportedVersion = 0 are omitted.
#[derive(Clone, Debug, Default)]
pub struct SupportedFeatureKey<'a> {
    /// The name of the feature.
    pub name: Str<'a>,
    /// The minimum supported version for the feature.
    pub min_version: i16,
    /// The maximum supported version for the feature.
    pub max_version: i16,
}

impl<'a> Wire<'a> for SupportedFeatureKey<'a> {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            name: reader.string()?,
            min_version: reader.i16()?,
            max_version: reader.i16()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.name)?;
        writer.i16(self.min_version);
        writer.i16(self.max_version);
        writer.no_tags();
        Ok(())
    }
}

/// List of cluster-wide finalized features. The information is valid only if FinalizedFeaturesEpoch >= 0.
#[derive(Clone, Debug, Default)]
pub struct FinalizedFeatureKey<'a> {
    /// The name of the feature.
    pub name: Str<'a>,
    /// The cluster-wide finalized max version level for the feature.
    pub max_version_level: i16,
    /// The cluster-wide finalized min version level for the feature.
    pub min_version_level: i16,
}

impl<'a> Wire<'a> for FinalizedFeatureKey<'a> {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            name: reader.string()?,
            max_version_level: reader.i16()?,
            min_version_level: reader.i16()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.name)?;
        writer.i16(self.max_version_level);
        writer.i16(self.min_version_level);
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for ApiVersionsResponse<'a> {
    const API_KEY: i16 = 18;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 4;
    const FLEXIBLE_VERSION: i16 = 3;
}
