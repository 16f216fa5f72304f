//! Topics in a consumer's embedded subscription (ConsumerProtocolSubscription, the part common to all versions).
//!
//! # Layout
//! Big-endian: version i16, then topics as array i32 of strings i16; user data and later versions' fields follow.

/// Kafka's ConsumerProtocol.PROTOCOL_TYPE.
pub(super) fn is_consumer(protocol_type: &str) -> bool {
    protocol_type == "consumer"
}

/// None when the bytes are no subscription.
pub(super) fn topics(metadata: &[u8]) -> Option<Vec<String>> {
    let (version, mut rest) = metadata.split_first_chunk::<2>()?;
    if i16::from_be_bytes(*version) < 0 {
        return None;
    }
    let (count, after) = rest.split_first_chunk::<4>()?;
    let count = usize::try_from(i32::from_be_bytes(*count)).ok()?;
    rest = after;
    let mut topics = Vec::new();
    for _ in 0..count {
        let (length, after) = rest.split_first_chunk::<2>()?;
        let length = usize::try_from(i16::from_be_bytes(*length)).ok()?;
        let (name, after) = after.split_at_checked(length)?;
        topics.push(str::from_utf8(name).ok()?.to_owned());
        rest = after;
    }
    Some(topics)
}
