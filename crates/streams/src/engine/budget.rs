//! What pipelines may hold in memory, all together.
//!
//! # Invariants
//! 1. All that lives is counted: the state of operators and the rows of views and tables, their indexes among them, also of
//!    what is being made and of what is dropped while somebody still reads it; and what is different in a view that takes
//!    another's place, while that is told.
//! 2. Whose growth does not fit any more stops, and what it held is free again; the others go on.
//!
//! # Limits      pipelines work at the same time only while one is made: then both may go beyond by one stretch of work

use std::{
    cell::RefCell,
    rc::{Rc, Weak},
};

use super::{Pipeline, Relation};

/// See the module head.
pub(super) struct Budget {
    bytes_max: usize,
    relations: RefCell<Vec<Weak<Relation>>>,
}

/// Something does not fit any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("all state and rows together need {bytes} bytes, and {bytes_max} are permitted")]
pub struct OverBudget {
    pub bytes: usize,
    pub bytes_max: usize,
}

impl Budget {
    pub fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            relations: RefCell::default(),
        }
    }

    /// From now on what it holds counts, until it is gone.
    pub fn count(&self, relation: &Rc<Relation>) {
        let mut relations = self.relations.borrow_mut();
        relations.retain(|relation| relation.strong_count() > 0);
        relations.push(Rc::downgrade(relation));
    }

    pub fn used(&self) -> usize {
        let relations = self.relations.borrow();
        let living = relations.iter().filter_map(Weak::upgrade);
        living.map(|relation| relation.bytes()).sum()
    }

    /// The operators of a pipeline may hold what everything else leaves.
    pub fn permit(&self, pipeline: &mut Pipeline) {
        let others = self.used() - pipeline.relation.state_bytes.get();
        pipeline.set_state_bytes_max(self.bytes_max.saturating_sub(others));
    }

    /// Whether what there is fits.
    pub fn check(&self) -> Result<(), OverBudget> {
        let (bytes, bytes_max) = (self.used(), self.bytes_max);
        match bytes > bytes_max {
            true => Err(OverBudget { bytes, bytes_max }),
            false => Ok(()),
        }
    }
}
