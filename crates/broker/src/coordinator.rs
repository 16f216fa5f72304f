//! Consumer groups of the partitions of the offsets topic that this shard owns.

use std::rc::Rc;

use crate::{broker::Broker, partition::Partition};

/// Name of the internal topic that holds groups and their offsets.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// What an operator decides about groups.
#[derive(Clone, Debug, Default)]
pub struct CoordinatorSettings {}

/// A shard's groups.
#[derive(Default)]
pub struct Coordinator {}

impl Coordinator {
    #[must_use]
    pub fn new(_settings: &CoordinatorSettings) -> Self {
        Self::default()
    }

    /// A partition of the offsets topic was opened here: load its groups (spawn, do not hold up the caller).
    pub fn on_partition_opened(&self, _broker: &Rc<Broker>, _partition: &Rc<Partition>) {}

    /// A partition of the offsets topic is gone.
    pub fn on_partition_closed(&self, _partition: &Rc<Partition>) {}

    /// The node stops: answer who waits, save what makes the next start quick.
    pub async fn stop(&self) {}
}
