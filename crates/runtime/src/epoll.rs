//! The epoll driver, where io_uring is refused.

use crate::{
    ops::{Completion, Op, OpKey, Wait},
    remote::Remote,
};
use std::{io, sync::Arc};

pub(crate) struct Epoll;

impl Epoll {
    pub(crate) fn new(_remote: Arc<Remote>) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }
    pub(crate) fn start(&mut self, _key: OpKey, _op: Op) {}
    pub(crate) fn cancel(&mut self, _key: OpKey) {}
    pub(crate) fn enter(&mut self, _wait: Wait, _out: &mut Vec<Completion>) {}
}
