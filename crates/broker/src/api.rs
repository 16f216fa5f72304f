//! One file per Kafka request.

pub mod api_versions;
