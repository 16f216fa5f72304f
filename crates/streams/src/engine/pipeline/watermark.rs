//! How far time has come in a topic, as its partitions say.

use std::{collections::BTreeMap, time::Duration};

use base::{Offset, PartitionKey};

use super::Position;
use crate::definition::Watermark;

/// A partition that has been read to its end says nothing about time any more once it is silent for so long.
const IDLE_AFTER: Duration = Duration::from_secs(10);

/// The least of what the partitions say, those aside that have been read to the end and are silent.
pub fn watermark_of(
    watermark: Option<Watermark>,
    positions: &[Position],
    cuts: &BTreeMap<PartitionKey, Offset>,
) -> Option<i64> {
    let delay = watermark?.delay_us;
    let now = runtime::now();
    let is_idle = |position: &&Position| {
        let is_at_end = cuts
            .get(&position.key)
            .is_none_or(|cut| position.next_offset >= *cut);
        is_at_end && now.since(position.heard_at) >= IDLE_AFTER
    };
    let mut speaking = positions
        .iter()
        .filter(|position| !is_idle(position))
        .peekable();
    let times: Option<Vec<i64>> = match speaking.peek() {
        Some(_) => speaking.map(|position| position.time_max).collect(),
        None => Some(positions.iter().filter_map(|p| p.time_max).collect()),
    };
    let lowest = match positions.iter().all(|position| is_idle(&position)) {
        true => times?.into_iter().max(),
        false => times?.into_iter().min(),
    };
    lowest.map(|time| time.saturating_sub(delay))
}
