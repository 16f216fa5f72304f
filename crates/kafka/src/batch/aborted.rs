//! Batches of aborted transactions, for a reader of committed ones.

use base::Offset;

use super::{ATTRIBUTES_AT, CONTROL, batches};

/// What was fetched, batches of aborted transactions marked as such without records. `aborted` are the first offsets of those
/// transactions with their producers, as a fetch response has them. Checksums of marked batches are not made right.
#[must_use]
pub fn without_aborted(bytes: &[u8], mut aborted: Vec<(Offset, i64)>) -> Vec<u8> {
    let mut out = bytes.to_vec();
    if aborted.is_empty() {
        return out;
    }
    aborted.sort_unstable();
    let mut aborted = aborted.into_iter().peekable();
    let mut open: Vec<i64> = Vec::new();
    let mut at = 0;
    let [_, control] = CONTROL.to_be_bytes();
    // What cannot be read stays as it is, and fails where it is decoded.
    for (header, batch) in batches(bytes).map_while(Result::ok) {
        while let Some((_, producer)) = aborted.next_if(|(first, _)| *first <= header.last_offset())
        {
            open.push(producer);
        }
        if header.is_control() {
            open.retain(|producer| *producer != header.producer_id.0);
        } else if header.is_transactional() && open.contains(&header.producer_id.0) {
            out[at + ATTRIBUTES_AT + 1] |= control;
        }
        at += batch.len();
    }
    out
}

#[cfg(test)]
mod tests;
