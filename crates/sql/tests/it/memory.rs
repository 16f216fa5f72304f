//! A node in memory for sessions: tables and what is in them, and a client whose words are all there at once.

use std::{
    collections::BTreeMap,
    io,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use arrow::{
    array::{ArrayRef, RecordBatch},
    row::{RowConverter, SortField},
};
use sql::{
    backend::{
        Backend, BoxFuture, Changes, Permit, PermitSize, ReadAt, RegisteredSchema, Snapshot,
        SqlError, Subscription,
    },
    catalog::{Catalog, Relation, RelationId, RelationKind},
    postgres::{Access, Admission, Credentials, Peer},
};
use streams::{Definition, Delta, engine::Found};

use crate::database::with_stack;

#[derive(Default)]
struct State {
    catalog: Arc<Catalog>,
    rows: BTreeMap<String, Vec<RecordBatch>>,
    epoch: u64,
    /// Relation, columns and how many keys.
    lookups: Vec<(String, Vec<usize>, usize)>,
    /// Relations that were read whole, together.
    snapshots: Vec<Vec<String>>,
    permits: Vec<PermitSize>,
    /// How often another thread was asked to compute.
    computed: usize,
    /// Bytes of answers that wait.
    answers: Arc<AtomicUsize>,
}

/// Of all answers that wait.
const ANSWERS_BYTES_MAX: usize = 24 << 20;

struct Waiting {
    bytes: usize,
    all: Arc<AtomicUsize>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Keeps tables; whatever else is made has no rows.
#[derive(Default)]
pub struct Memory(Mutex<State>);

impl Memory {
    fn with<R>(&self, work: impl FnOnce(&mut State) -> R) -> R {
        work(&mut self.0.lock().expect("no test panics while it holds this"))
    }
}

impl Memory {
    /// What was looked up since the last call.
    pub fn take_computed(&self) -> usize {
        self.with(|state| std::mem::take(&mut state.computed))
    }

    pub fn take_lookups(&self) -> Vec<(String, Vec<usize>, usize)> {
        self.with(|state| std::mem::take(&mut state.lookups))
    }

    /// What was read whole since the last call.
    pub fn take_snapshots(&self) -> Vec<Vec<String>> {
        self.with(|state| std::mem::take(&mut state.snapshots))
    }

    /// A view of a table's rows, in its place.
    pub fn make_view(&self, table: &str) {
        self.with(|state| {
            let catalog = Arc::make_mut(&mut state.catalog);
            let found = catalog.get(table).expect("the table is there");
            let mut view = found.as_ref().clone();
            view.kind = RelationKind::View;
            catalog.insert(view);
        });
    }

    /// Permits that were asked for since the last call.
    pub fn take_permits(&self) -> Vec<PermitSize> {
        self.with(|state| std::mem::take(&mut state.permits))
    }
}

fn ready<'a, T: Send + 'a>(value: T) -> BoxFuture<'a, T> {
    Box::pin(async move { value })
}

impl Backend for Memory {
    fn catalog(&self) -> BoxFuture<'_, Arc<Catalog>> {
        ready(self.with(|state| state.catalog.clone()))
    }

    fn create(&self, relation: Relation, _: Definition) -> BoxFuture<'_, Result<(), SqlError>> {
        self.with(|state| {
            let catalog = Arc::make_mut(&mut state.catalog);
            let id = RelationId(catalog.relations().count() as u64 + 1);
            state.rows.insert(relation.name.clone(), Vec::new());
            catalog.insert(Relation { id, ..relation });
        });
        ready(Ok(()))
    }

    fn replace(
        &self,
        relation: Relation,
        definition: Definition,
    ) -> BoxFuture<'_, Result<(), SqlError>> {
        self.create(relation, definition)
    }

    fn alter(
        &self,
        name: String,
        relation: Relation,
        definition: Definition,
    ) -> BoxFuture<'_, Result<(), SqlError>> {
        self.with(|state| _ = Arc::make_mut(&mut state.catalog).remove(&name));
        self.create(relation, definition)
    }

    fn drop_relation(&self, name: String) -> BoxFuture<'_, Result<(), SqlError>> {
        self.with(|state| _ = Arc::make_mut(&mut state.catalog).remove(&name));
        ready(Ok(()))
    }

    fn snapshot(
        &self,
        mut names: Vec<String>,
        at: ReadAt,
    ) -> BoxFuture<'_, Result<Snapshot, SqlError>> {
        names.extend(at.beside);
        names.sort();
        ready(self.with(|state| {
            state.snapshots.push(names.clone());
            let rows = names.into_iter().map(|name| {
                let rows = state.rows.get(&name).cloned().unwrap_or_default();
                (name, rows.into_iter().map(Delta::insert).collect())
            });
            Ok(Snapshot {
                epoch: state.epoch,
                rows: rows.collect(),
            })
        }))
    }

    fn lookup(
        &self,
        name: String,
        columns: Vec<usize>,
        keys: RecordBatch,
    ) -> BoxFuture<'_, Result<Snapshot, SqlError>> {
        ready(self.with(|state| {
            let lookup = (name.clone(), columns.clone(), keys.num_rows());
            state.lookups.push(lookup);
            let known = state.rows.get(&name).map_or(&[][..], Vec::as_slice);
            let of = |row: &&RecordBatch, key: usize| {
                let own = row.project(&columns).expect("the columns are there");
                same(&own, &keys.slice(key, 1))
            };
            // For each key what it finds, as the node does it.
            let found = (0..keys.num_rows())
                .flat_map(|key| known.iter().filter(move |row| of(row, key)).cloned());
            Ok(Snapshot {
                epoch: state.epoch,
                rows: BTreeMap::from([(name.clone(), found.map(Delta::insert).collect())]),
            })
        }))
    }

    fn find(&self, name: &str, columns: &[usize], key: &[ArrayRef]) -> Option<Option<Found>> {
        self.with(|state| {
            state
                .lookups
                .push((name.to_owned(), columns.to_vec(), key[0].len()));
            let known = state.rows.get(name).map_or(&[][..], Vec::as_slice);
            let is_it = |row: &&RecordBatch| {
                let own = columns.iter().map(|at| row.column(*at));
                own.eq(key)
            };
            let found = known.iter().find(is_it).cloned();
            Some(found.map(|rows| Found {
                rows,
                at: 0,
                weight: 1,
            }))
        })
    }

    fn write(
        &self,
        table: String,
        delta: Delta,
        _: Option<u64>,
    ) -> BoxFuture<'_, Result<(), SqlError>> {
        self.with(|state| {
            state.epoch += 1;
            let rows = state.rows.entry(table).or_default();
            for row in 0..delta.len() {
                let one = delta.rows().slice(row, 1);
                if delta.weight(row) > 0 {
                    rows.push(one);
                } else if let Some(at) = rows.iter().position(|known| same(known, &one)) {
                    rows.remove(at);
                }
            }
        });
        ready(Ok(()))
    }

    fn subscribe(
        &self,
        relation: String,
        with_snapshot: bool,
    ) -> BoxFuture<'_, Result<Box<dyn Subscription>, SqlError>> {
        let rows = self.with(|state| state.rows.get(&relation).cloned().unwrap_or_default());
        let rows = if with_snapshot { rows } else { Vec::new() };
        ready(Ok(Box::new(Once(Some(rows))) as Box<dyn Subscription>))
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), SqlError>> {
        ready(Ok(()))
    }

    fn system(&self, _: String) -> BoxFuture<'_, Result<Vec<RecordBatch>, SqlError>> {
        ready(Ok(Vec::new()))
    }

    fn answer_permit(&self, bytes: usize) -> Option<Box<dyn Send + Sync>> {
        let all = self.with(|state| state.answers.clone());
        let before = all.fetch_add(bytes, Ordering::Relaxed);
        let waiting = Waiting { bytes, all };
        (before + bytes <= ANSWERS_BYTES_MAX).then(|| Box::new(waiting) as Box<dyn Send + Sync>)
    }

    fn permit(&self, size: PermitSize) -> BoxFuture<'_, Permit> {
        let bytes = match size {
            PermitSize::Small => 1 << 20,
            PermitSize::Large => 64 << 20,
        };
        self.with(|state| state.permits.push(size));
        ready(Permit {
            bytes,
            held: Box::new(()),
        })
    }

    /// One subject for each format.
    fn schema(&self, subject: String) -> BoxFuture<'_, Result<RegisteredSchema, SqlError>> {
        let avro = r#"{"type": "record", "name": "Order", "fields": [
            {"name": "id", "type": "long"}, {"name": "note", "type": "string", "doc": "what's on it"}]}"#;
        let proto =
            "import \"m.proto\"; message Order { int64 id = 1; M money = 2; } message Other {}";
        let money = (
            "m.proto".to_owned(),
            "message M { int64 units = 1; }".into(),
        );
        ready(match subject.as_str() {
            "orders-value" => Ok(RegisteredSchema {
                format: "AVRO",
                text: avro.into(),
                others: Vec::new(),
            }),
            "orders" => Ok(RegisteredSchema {
                format: "PROTOBUF",
                text: proto.into(),
                others: vec![money],
            }),
            other => Err(SqlError::new(*b"42704", format!("no subject {other}"))),
        })
    }

    fn compute(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'_, ()> {
        self.with(|state| state.computed += 1);
        with_stack(work);
        ready(())
    }
}

fn same(left: &RecordBatch, right: &RecordBatch) -> bool {
    let fields = left
        .schema()
        .fields()
        .iter()
        .map(|field| SortField::new(field.data_type().clone()))
        .collect();
    let converter = RowConverter::new(fields).expect("types of tables can be compared");
    let rows = |batch: &RecordBatch| converter.convert_columns(batch.columns());
    match (rows(left), rows(right)) {
        (Ok(left), Ok(right)) => left.row(0) == right.row(0),
        _ => false,
    }
}

/// What is there; then the relation is gone.
struct Once(Option<Vec<RecordBatch>>);

impl Subscription for Once {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Changes, SqlError>>> {
        let rows = self.0.take();
        ready(rows.map(|rows| {
            Ok(Changes {
                epoch: 1,
                deltas: rows.into_iter().map(Delta::insert).collect(),
            })
        }))
    }
}

/// Says all it has to say, hears all it is told, and goes.
struct Scripted {
    says: Vec<u8>,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Peer for Scripted {
    fn read<'a>(&'a mut self, into: &'a mut Vec<u8>) -> BoxFuture<'a, io::Result<usize>> {
        let bytes = self.says.len();
        into.append(&mut self.says);
        ready(Ok(bytes))
    }

    fn write<'a>(&'a mut self, bytes: &'a [u8]) -> BoxFuture<'a, io::Result<()>> {
        self.heard
            .lock()
            .expect("no test panics while it holds this")
            .extend(bytes);
        ready(Ok(()))
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

/// Nothing here ever waits for anything.
pub fn finish<T>(work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    match work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("something waits"),
    }
}

/// What a client hears that says this, after its start.
pub fn conversation(backend: &Arc<Memory>, says: &[u8]) -> Vec<u8> {
    let access = Access::new(
        backend.clone(),
        || super::database::NOW_US,
        Admission::default(),
    );
    let heard = Arc::new(Mutex::new(Vec::new()));
    let peer = Scripted {
        says: says.to_vec(),
        heard: heard.clone(),
    };
    let credentials = Credentials {
        process: 7,
        secret: vec![9; 32],
        nonce: [1; 18],
        address: None,
    };
    finish(async {
        let begun = access
            .begin(Box::new(peer), credentials)
            .await
            .expect("nothing fails here");
        if let Some(begun) = begun {
            access.run(begun).await.expect("nothing fails here");
        }
    });
    let heard = heard.lock().expect("no test panics while it holds this");
    heard.clone()
}
