//! Batches of transactions that were aborted.

use base::Offset;
use kafka::batch;

/// Attributes of a batch: bit 5 says that it holds no records for clients.
const ATTRIBUTES_LOW: usize = 22;
const CONTROL: u8 = 1 << 5;

/// Whole batches, those of aborted transactions marked so that nobody looks into them.
#[must_use]
pub fn without_aborted(bytes: &[u8], mut aborted: Vec<(Offset, i64)>) -> Vec<u8> {
    aborted.sort_unstable();
    let mut aborted = aborted.into_iter().peekable();
    let mut open: Vec<i64> = Vec::new();
    let mut out = Vec::with_capacity(bytes.len());
    for item in batch::batches(bytes) {
        // What cannot be read fails where it is decoded.
        let Ok((header, bytes)) = item else { break };
        while let Some((_, producer)) = aborted.next_if(|(first, _)| *first <= header.last_offset())
        {
            open.push(producer);
        }
        let at = out.len();
        out.extend_from_slice(bytes);
        if header.is_control() {
            open.retain(|producer| *producer != header.producer_id.0);
        } else if header.is_transactional() && open.contains(&header.producer_id.0) {
            out[at + ATTRIBUTES_LOW] |= CONTROL;
        }
    }
    out
}

#[cfg(test)]
mod tests;
