//! Who leads each partition, in which term: what every shard tells clients.
//!
//! # Place
//! One per shard. The shard that owns a partition knows its term; it tells the others when it has opened the partition.
//!
//! # Invariants
//! 1. A partition's entry never goes back to an older leader epoch.
//!
//! # Limits
//! One entry per partition of the metadata, some forty bytes.

use std::{cell::RefCell, collections::BTreeMap};

use base::{BrokerId, LeaderEpoch, PartitionIndex, PartitionKey, TopicId};
use kafka::error::ErrorCode;

/// A partition of this node and the term it is led in.
pub type Led = (PartitionKey, LeaderEpoch);

/// What clients are told of a partition's leader: an error, its node and the term; -1 for what is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leader {
    pub code: ErrorCode,
    pub id: i32,
    pub leader_epoch: i32,
}

/// See the module head.
#[derive(Default)]
pub struct LeaderTable(RefCell<BTreeMap<PartitionKey, LeaderEpoch>>);

impl LeaderTable {
    pub fn note(&self, (key, leader_epoch): Led) {
        let mut leaders = self.0.borrow_mut();
        let known = leaders.entry(key).or_insert(leader_epoch);
        *known = leader_epoch.max(*known);
    }

    /// The leader, which is this node where anybody leads, or led before the log was refused.
    #[must_use]
    pub fn leader(&self, key: PartitionKey, node: BrokerId) -> Leader {
        match self.0.borrow().get(&key) {
            Some(leader_epoch) => Leader {
                code: ErrorCode::None,
                id: node.0,
                leader_epoch: leader_epoch.0,
            },
            None => Leader {
                code: ErrorCode::LeaderNotAvailable,
                id: -1,
                leader_epoch: -1,
            },
        }
    }

    /// The topic is gone.
    pub fn forget(&self, topic: TopicId) {
        let key = |partition| PartitionKey {
            topic,
            partition: PartitionIndex(partition),
        };
        let mut leaders = self.0.borrow_mut();
        let gone = leaders.range(key(i32::MIN)..=key(i32::MAX));
        let gone: Vec<_> = gone.map(|(key, _)| *key).collect();
        for key in gone {
            leaders.remove(&key);
        }
    }
}
