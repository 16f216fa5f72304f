//! LIMITS: every bound that more than one crate must agree on, with its derivation.

/// Kafka's own bound on topic names; a directory name with a suffix still fits 255 bytes.
pub const TOPIC_NAME_BYTES_MAX: usize = 249;

/// Largest request frame, Kafka's `socket.request.max.bytes`.
pub const REQUEST_BYTES_MAX: usize = 100 << 20;

/// Default of `max.message.bytes`: Kafka's 1 MiB and the 12 bytes of a batch's offset and length.
pub const BATCH_BYTES_MAX_DEFAULT: usize = (1 << 20) + 12;

/// Largest record batch any topic may allow. One journal or segment append holds one batch whole.
pub const BATCH_BYTES_MAX: usize = 64 << 20;

/// Batches an idempotent producer may have in flight per partition (KIP-98, KAFKA-5494).
pub const PRODUCER_BATCHES_KEPT: usize = 5;

/// Most partitions one topic may have; Kafka has no bound, but one request must not exhaust a node.
pub const TOPIC_PARTITIONS_MAX: i32 = 10_000;
