//! The driver of a simulated shard: hands its operations to the world.

use super::{HostId, world::World};
use crate::ops::{Op, OpKey};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

/// One per shard and start of its host.
pub(crate) struct SimDriver {
    world: Rc<RefCell<World>>,
    host: HostId,
    shard: u16,
    /// Cleared when the host stops: what tasks still ask for while they are dropped never reaches the kernel.
    is_alive: Rc<Cell<bool>>,
    /// The world's number of the operation in each slot.
    numbers: Vec<u32>,
}

impl SimDriver {
    pub(super) fn new(
        world: Rc<RefCell<World>>,
        host: HostId,
        shard: u16,
        is_alive: Rc<Cell<bool>>,
    ) -> Self {
        Self {
            world,
            host,
            shard,
            is_alive,
            numbers: Vec::new(),
        }
    }

    /// From now on nothing of this host reaches its kernel.
    pub(super) fn halt(&self) {
        self.is_alive.set(false);
    }

    pub(super) fn permit_shortage(&self) -> Option<Duration> {
        self.world.borrow_mut().permit_shortage()
    }

    pub(crate) fn submit(&mut self, key: OpKey, op: Op) {
        if !self.is_alive.get() {
            return;
        }
        let number = self
            .world
            .borrow_mut()
            .submit(self.host, self.shard, key, op);
        let slot = key.index as usize;
        if self.numbers.len() <= slot {
            self.numbers.resize(slot + 1, u32::MAX);
        }
        self.numbers[slot] = number;
    }

    pub(crate) fn cancel(&mut self, key: OpKey) {
        if !self.is_alive.get() {
            return;
        }
        let number = self.numbers[key.index as usize];
        self.world
            .borrow_mut()
            .cancel(self.host, self.shard, number, key);
    }
}
