//! What a session asks of the node it runs in.
//!
//! The front thread implements it by messages to the shards; nothing here blocks or knows of threads.

use std::{collections::BTreeMap, future::Future, pin::Pin, sync::Arc};

use arrow::array::{ArrayRef, RecordBatch};
use streams::{Definition, Delta, engine::Found};

use crate::catalog::{Catalog, Relation};

pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// An error as Postgres reports it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SqlError {
    /// `42P01` and so on (PostgreSQL, appendix A).
    pub sqlstate: [u8; 5],
    pub message: String,
    pub detail: Option<Box<str>>,
    pub hint: Option<Box<str>>,
    /// Where in what was copied in.
    pub context: Option<Box<str>>,
    /// Place in the statement, in characters from 1.
    pub position: Option<usize>,
    /// Line and column of the place, from 1, in the text that the statement was read from: where the planner knows it.
    pub location: Option<(u64, u64)>,
}

/// A schema that the registry has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredSchema {
    /// `AVRO`, `PROTOBUF` or `JSON`.
    pub format: &'static str,
    pub text: Arc<str>,
    /// Those that it names types of: what it calls them, and their texts, each behind what it names itself.
    pub others: Vec<(String, Arc<str>)>,
}

/// Rows of several relations as of one epoch.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub epoch: u64,
    /// By relation; as changes of an empty table.
    pub rows: BTreeMap<String, Vec<Delta>>,
}

/// At what moment a question is answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadAt {
    /// At this epoch, which a transaction has pinned.
    pub epoch: Option<u64>,
    /// Not before these records were read: topic, partition, offset.
    pub after: Vec<(String, i32, i64)>,
    /// Views and tables that are taken at the same moment, but for those that are gone or have stopped.
    pub beside: Vec<String>,
}

/// What a subscriber gets for one epoch in which something changed; the first holds what was there.
#[derive(Clone, Debug)]
pub struct Changes {
    pub epoch: u64,
    pub deltas: Vec<Delta>,
}

/// Ends the subscription when dropped.
pub trait Subscription: Send + Sync {
    /// `None` when the relation is gone.
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Changes, SqlError>>>;
}

/// How much memory a question takes: most need little, and are not to wait for those that need much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PermitSize {
    Small,
    Large,
}

/// Memory of one question; another one may have it once this is dropped.
pub struct Permit {
    pub bytes: usize,
    pub held: Box<dyn Send>,
}

/// See the module head.
pub trait Backend: Send + Sync {
    fn catalog(&self) -> BoxFuture<'_, Arc<Catalog>>;

    /// Makes a relation; returns when it answers, so after its view has read what there was.
    fn create(
        &self,
        relation: Relation,
        definition: Definition,
    ) -> BoxFuture<'_, Result<(), SqlError>>;

    /// Puts another view in the place of the one of its name, in one epoch; the old one answers until then, and stays when
    /// the new one fails.
    fn replace(
        &self,
        relation: Relation,
        definition: Definition,
    ) -> BoxFuture<'_, Result<(), SqlError>>;

    /// Gives a source another definition, and perhaps another name, that leaves what reads it as it is.
    fn alter(
        &self,
        name: String,
        relation: Relation,
        definition: Definition,
    ) -> BoxFuture<'_, Result<(), SqlError>>;

    /// Drops a relation that nothing else reads.
    fn drop_relation(&self, name: String) -> BoxFuture<'_, Result<(), SqlError>>;

    fn snapshot(
        &self,
        relations: Vec<String>,
        at: ReadAt,
    ) -> BoxFuture<'_, Result<Snapshot, SqlError>>;

    /// Rows of a relation by some of its columns, which are its key or an index's; one combination a row of `keys`. As of the
    /// newest epoch.
    fn lookup(
        &self,
        relation: String,
        columns: Vec<usize>,
        keys: RecordBatch,
    ) -> BoxFuture<'_, Result<Snapshot, SqlError>>;

    /// The row with this key, one value for each of its columns, where that is known on the spot; `None`: look it up. As of the
    /// newest epoch. Who has the row keeps all that it lies among, which is not for long.
    fn find(&self, relation: &str, columns: &[usize], key: &[ArrayRef]) -> Option<Option<Found>>;

    /// Changes a table; returns when reads see it. `as_of`: the epoch that the change was computed from; it is refused with
    /// 40001 when the table has changed since.
    fn write(
        &self,
        table: String,
        delta: Delta,
        as_of: Option<u64>,
    ) -> BoxFuture<'_, Result<(), SqlError>>;

    fn subscribe(
        &self,
        relation: String,
        with_snapshot: bool,
    ) -> BoxFuture<'_, Result<Box<dyn Subscription>, SqlError>>;

    /// Returns when all that was acknowledged before is in what reads see.
    fn flush(&self) -> BoxFuture<'_, Result<(), SqlError>>;

    /// Rows of a system table of the node: pipelines, operators, watermarks, lag, state sizes, epochs, late rows.
    fn system(&self, table: String) -> BoxFuture<'_, Result<Vec<RecordBatch>, SqlError>>;

    /// Memory of an answer that waits for its client, or of rows that come from it, until it is dropped; `None`: there is not
    /// so much of it.
    fn answer_permit(&self, bytes: usize) -> Option<Box<dyn Send + Sync>>;

    /// Returns when there is memory for one more question.
    fn permit(&self, size: PermitSize) -> BoxFuture<'_, Permit>;

    /// The newest schema of a subject of the registry.
    fn schema(&self, subject: String) -> BoxFuture<'_, Result<RegisteredSchema, SqlError>>;

    /// Runs what computes for long where it disturbs nobody, on a stack of [`crate::STACK_BYTES`].
    fn compute(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'_, ()>;
}
