//! ApiVersions (key 18): which requests this node answers, at which versions.
//!
//! Produce and JoinGroup are advertised from 0, as Kafka does: librdkafka tells from their lowest versions whether to
//! compress and whether there are groups (KAFKA-18659).

use kafka::{
    error::ErrorCode,
    messages::api_versions::{ApiVersion, ApiVersionsRequest, ApiVersionsResponse},
    wire::List,
};

use crate::{
    dispatch::APIS,
    request::{Reply, RequestContext, RequestError},
};

pub async fn handle(context: RequestContext) -> Result<Reply, RequestError> {
    let request: ApiVersionsRequest<'_> = context.decode()?;
    let is_legal = context.version < 3
        || (is_software_text(&request.client_software_name)
            && is_software_text(&request.client_software_version));
    if !is_legal {
        return context.reply(&ApiVersionsResponse {
            error_code: ErrorCode::InvalidRequest.code(),
            ..ApiVersionsResponse::default()
        });
    }
    context.reply(&ApiVersionsResponse {
        api_keys: advertised(),
        // -1 says that no features are finalized: transactions of version 2 in particular.
        finalized_features_epoch: -1,
        ..ApiVersionsResponse::default()
    })
}

/// The table of requests as clients see it.
#[must_use]
pub fn advertised() -> List<'static, ApiVersion> {
    let rows = APIS.iter().map(|api| ApiVersion {
        api_key: api.key,
        min_version: api.version_min,
        max_version: api.version_max,
    });
    rows.collect()
}

/// KIP-511: letters, digits, `.` and `-`, beginning and ending with a letter or digit.
fn is_software_text(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_inner = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
        return false;
    };
    first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() && bytes.iter().all(is_inner)
}
