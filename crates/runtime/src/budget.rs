//! Memory budgets and their permits: what a request may make the shard hold, accounted before it is allocated.

/// A named budget of one shard; FIFO waiters. Cheap to clone.
#[derive(Clone)]
pub struct Budget {
    _p: std::rc::Rc<()>,
}
impl Budget {
    pub fn new(name: &'static str, bytes: u64) -> Self {
        todo!()
    }
    /// Waits in line; a request above the whole budget waits for all of it (never for ever).
    pub async fn acquire(&self, bytes: u64) -> Permit {
        todo!()
    }
    pub fn try_acquire(&self, bytes: u64) -> Option<Permit> {
        todo!()
    }
    pub fn total_bytes(&self) -> u64 {
        todo!()
    }
    pub fn available_bytes(&self) -> u64 {
        todo!()
    }
    pub fn waiting(&self) -> usize {
        todo!()
    }
}
/// Gives back on drop. May wander inside its shard.
pub struct Permit {
    _p: (),
}
impl Permit {
    pub fn bytes(&self) -> u64 {
        todo!()
    }
    pub fn shrink_to(&mut self, bytes: u64) {
        todo!()
    }
    #[must_use]
    pub fn split(&mut self, bytes: u64) -> Permit {
        todo!()
    }
}
