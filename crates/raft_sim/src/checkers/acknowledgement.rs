//! Acknowledgements: a replica claims only what it holds, what lasts, and what the leader's log has too.

use base::RaftIndex;
use raft::{Body, Message};

use super::Verdict;
use crate::disk::Disk;

/// To be asked of each message with its sender's disk and, if that replica lives, the disk of the leader of its term.
pub fn on_sent(message: &Message, disk: &Disk, leader: Option<&Disk>) -> Verdict {
    let Body::Ack {
        durable, received, ..
    } = message.body
    else {
        return Ok(());
    };
    let from = message.from;
    if disk.staged.last() < received {
        return Err(format!(
            "acknowledgement: {from} says it received {received} and has not staged it"
        ));
    }
    if disk.durable.last() < durable {
        return Err(format!(
            "acknowledgement: {from} says {durable} lasts and it does not"
        ));
    }
    if message.term > disk.hard.term && durable > RaftIndex::ZERO {
        return Err(format!(
            "acknowledgement: {from} answers in a term that does not last"
        ));
    }
    for (index, image) in [(durable, &disk.durable), (received, &disk.staged)] {
        let Some(entry) = image.get(index) else {
            continue;
        };
        if leader.is_some_and(|leader| !leader.staged.holds(index, entry.term)) {
            return Err(format!(
                "acknowledgement: {from} claims {index}, which the leader has not"
            ));
        }
    }
    Ok(())
}
