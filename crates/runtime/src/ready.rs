//! Tasks ready to run, by class, and the choice of the next one.
//!
//! # Place       one per shard
//! # Invariants  1. Within a class tasks run first in, first out (the simulator may choose otherwise, by its seed).
//!               2. Classes that stay ready get CPU time in the ratio of their shares (stride scheduling: Waldspurger
//!                  and Weihl, 1995), whatever their tasks' slices are.
//! # Limits      as many entries as tasks: a task is in the queue at most once
//! # Instead of  strict priorities: a busy class would starve the ones below for ever

use crate::{Class, task::TaskKey};
use std::collections::VecDeque;

pub(crate) const CLASSES: usize = Class::ALL.len();

/// How the next task is chosen.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pick {
    /// By shares, then in order.
    Fair,
    /// The n-th of all ready tasks, counted by class and then in order: the simulator's choice.
    Nth(usize),
}

#[derive(Default)]
struct Queue {
    tasks: VecDeque<TaskKey>,
    /// CPU time used, scaled by the inverse of the shares. The class with the least runs next.
    virtual_runtime: u64,
}

#[derive(Default)]
pub(crate) struct ReadyQueue {
    queues: [Queue; CLASSES],
    len: usize,
    /// Virtual runtime of the class that ran last: what a class that was idle starts from.
    floor: u64,
}

impl ReadyQueue {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn queued(&self, class: Class) -> usize {
        self.queues[class as usize].tasks.len()
    }

    pub(crate) fn push(&mut self, class: Class, task: TaskKey) {
        let queue = &mut self.queues[class as usize];
        if queue.tasks.is_empty() {
            // An idle class gets no credit for time it did not ask for.
            queue.virtual_runtime = queue.virtual_runtime.max(self.floor);
        }
        queue.tasks.push_back(task);
        self.len += 1;
    }

    /// The class whose task `take(Pick::Fair)` gives next.
    pub(crate) fn next_class(&self) -> Option<Class> {
        Class::ALL
            .into_iter()
            .filter(|class| !self.queues[*class as usize].tasks.is_empty())
            .min_by_key(|class| self.queues[*class as usize].virtual_runtime)
    }

    pub(crate) fn take(&mut self, pick: Pick) -> Option<TaskKey> {
        let task = match pick {
            Pick::Fair => {
                let queue = &mut self.queues[self.next_class()? as usize];
                self.floor = self.floor.max(queue.virtual_runtime);
                queue.tasks.pop_front()
            }
            Pick::Nth(mut n) => self.queues.iter_mut().find_map(|queue| {
                if n < queue.tasks.len() {
                    return queue.tasks.remove(n);
                }
                n -= queue.tasks.len();
                None
            }),
        };
        self.len -= usize::from(task.is_some());
        task
    }

    /// Books `ns` of CPU time to a class.
    pub(crate) fn charge(&mut self, class: Class, ns: u64) {
        // Shares are at most 1024, so a class of 1024 shares pays 1 per ns.
        let cost = ns * 1024 / class.shares();
        self.queues[class as usize].virtual_runtime += cost;
    }
}

#[cfg(test)]
mod tests;
