//! Decoders between two reads: the schemas that they know are not parsed again for each.
//!
//! # Place       one list on each shard, in its slot (`runtime::local`)
//! # Limits      `DECODERS_MAX`, and those of `SCHEMA_BYTES_MAX` of text; that used longest ago goes first

use std::{
    cell::RefCell,
    rc::Rc,
    sync::{Arc, Weak},
};

use super::{SourceReader, metadata::RowDecoder};

const DECODERS_MAX: usize = 64;

/// What is made of a schema's text takes some times as much.
const SCHEMA_BYTES_MAX: usize = 4 << 20;

/// See the module head.
#[derive(Default)]
pub(super) struct IdleDecoders(RefCell<Vec<Idle>>);

struct Idle {
    of: Weak<SourceReader>,
    rows: Box<RowDecoder>,
}

impl IdleDecoders {
    pub fn here() -> Rc<Self> {
        runtime::local().unwrap_or_else(|| {
            let none = Rc::new(Self::default());
            runtime::set_local(none.clone());
            none
        })
    }

    pub fn take(&self, reader: &Arc<SourceReader>) -> Option<Box<RowDecoder>> {
        let mut idle = self.0.borrow_mut();
        let mut known = idle.iter();
        let at = known.position(|idle| idle.of.as_ptr() == Arc::as_ptr(reader))?;
        Some(idle.remove(at).rows)
    }

    /// One without rows. Where it knows no schema, another is made as fast.
    pub fn keep(&self, reader: &Arc<SourceReader>, mut rows: Box<RowDecoder>) {
        if rows.schema_bytes() == 0 {
            return;
        }
        rows.shrink();
        let mut idle = self.0.borrow_mut();
        idle.retain(|idle| idle.of.strong_count() > 0);
        idle.push(Idle {
            of: Arc::downgrade(reader),
            rows,
        });
        let mut bytes: usize = idle.iter().map(|idle| idle.rows.schema_bytes()).sum();
        while idle.len() > DECODERS_MAX || bytes > SCHEMA_BYTES_MAX {
            bytes -= idle.remove(0).rows.schema_bytes();
        }
    }
}
