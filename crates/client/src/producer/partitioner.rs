//! Choice of a record's partition, as Kafka's own clients choose it.

#[cfg(test)]
mod tests;

use base::PartitionIndex;

/// The partition of a key: murmur2, made positive, modulo the number of partitions (Kafka's default partitioner), so
/// that a key lands where the Java client puts it.
#[must_use]
pub fn partition_for_key(key: &[u8], partitions: u32) -> PartitionIndex {
    let positive = murmur2(key) & 0x7fff_ffff;
    PartitionIndex((positive % partitions.max(1)).cast_signed())
}

/// Murmur2 with Kafka's seed (`Utils.murmur2`).
#[must_use]
pub fn murmur2(bytes: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;
    // The length is mixed in as Java's int.
    let mut hash = SEED ^ (bytes.len() as u32);
    let mut words = bytes.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        k = k.wrapping_mul(M);
        k ^= k >> R;
        k = k.wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    let rest = words.remainder();
    for (at, byte) in rest.iter().enumerate() {
        hash ^= u32::from(*byte) << (8 * at);
    }
    if !rest.is_empty() {
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

/// Records without a key stay with one partition until its batch is full, so that batches fill (KIP-480).
#[derive(Debug, Default)]
pub(crate) struct Sticky {
    current: Option<PartitionIndex>,
}

impl Sticky {
    /// The current partition; `draw` chooses the first.
    pub(crate) fn partition(
        &mut self,
        partitions: u32,
        draw: impl FnOnce() -> u64,
    ) -> PartitionIndex {
        let count = partitions.max(1);
        let valid = self
            .current
            .filter(|p| p.0 >= 0 && p.0.cast_unsigned() < count);
        *self
            .current
            .insert(valid.unwrap_or_else(|| PartitionIndex((draw() % u64::from(count)) as i32)))
    }

    /// Moves on to another partition, if there is one, when `full` is the current one.
    pub(crate) fn batch_full(
        &mut self,
        full: PartitionIndex,
        partitions: u32,
        draw: impl FnOnce() -> u64,
    ) {
        if self.current != Some(full) || partitions < 2 {
            return;
        }
        let step = 1 + draw() % u64::from(partitions - 1);
        let next = (u64::from(full.0.cast_unsigned()) + step) % u64::from(partitions);
        self.current = Some(PartitionIndex(next as i32));
    }
}
