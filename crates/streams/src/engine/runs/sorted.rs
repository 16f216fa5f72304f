//! The entries of a piece in their order, each once.

use super::{HEAD_BYTES, Span, compare, weight};

/// So many are sorted at a stretch: half a millisecond. Put together they are nearly in order.
const SORTED_AT_ONCE: usize = 4 << 10;
/// Between two looks at the time.
const PUT_AT_ONCE: usize = 64;

/// Hands every entry out. Of several with one key the last counts; weights of rows are added up, and nothing stays of zero.
pub async fn each(entries: &[u8], has_rows: bool, first_counts: bool, mut put: impl FnMut(&[u8])) {
    let spans = in_order(entries).await;
    let same = |a: &Span, b: &Span| compare((a, entries), (b, entries)).is_eq();
    let mut row = Vec::new();
    for (count, alike) in spans.chunk_by(same).enumerate() {
        if count.is_multiple_of(PUT_AT_ONCE) {
            yield_if_due().await;
        }
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

/// Of two with one key the later one stays behind the earlier.
async fn in_order(entries: &[u8]) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut at = 0;
    while let Some(span) = Span::at(entries, at) {
        at = span.end();
        spans.push(span);
    }
    let order = |a: &Span, b: &Span| compare((a, entries), (b, entries));
    for some in spans.chunks_mut(SORTED_AT_ONCE) {
        yield_if_due().await;
        some.sort_by(order);
    }
    yield_if_due().await;
    spans.sort_by(order);
    spans
}

async fn yield_if_due() {
    if runtime::should_yield() {
        runtime::yield_now().await;
    }
}
