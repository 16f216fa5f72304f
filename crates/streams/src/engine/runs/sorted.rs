//! The entries of a piece in their order, each once.

use super::{HEAD_BYTES, Span, compare, weight};

/// Hands every entry out. Of several with one key the last counts; weights of rows are added up, and nothing stays of zero.
pub fn each(entries: &[u8], has_rows: bool, first_counts: bool, mut put: impl FnMut(&[u8])) {
    let mut spans = Vec::new();
    let mut at = 0;
    while let Some(span) = Span::at(entries, at) {
        at = span.end();
        spans.push(span);
    }
    // Stable: of two with one key the later one stays behind the earlier.
    spans.sort_by(|a, b| compare((a, entries), (b, entries)));
    let same = |a: &Span, b: &Span| compare((a, entries), (b, entries)).is_eq();
    let mut row = Vec::new();
    for alike in spans.chunk_by(same) {
        let (first, last) = (alike[0], alike[alike.len() - 1]);
        if !has_rows {
            let counts = if first_counts { first } else { last };
            put(&entries[counts.at..counts.end()]);
            continue;
        }
        let weights = alike.iter().filter_map(|span| weight(span.value(entries)));
        let sum = weights.fold(0_i64, i64::wrapping_add);
        if sum != 0 {
            row.clear();
            row.extend_from_slice(&entries[first.at..first.at + HEAD_BYTES + first.key_bytes]);
            row.extend(sum.to_le_bytes());
            put(&row);
        }
    }
}
