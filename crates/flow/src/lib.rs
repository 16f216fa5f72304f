//! Stream programs in Rust: typed events, keyed state, timers and windows, in a node or beside a cluster.
//!
//! `examples/counting.rs` is a whole program, and the tests run it with the other examples.
//!
//! What is promised, and why it is so, stands in docs/decisions (typed API).

// What the macros write names this crate as its users do.
extern crate self as flow;

pub mod aggregate;
pub mod cluster;
pub mod event;
pub mod state;
pub mod store;

mod app;
mod evolution;
mod process;
mod rows;
mod run;
mod stage;
mod step;
mod steps;
mod stream;
mod table;
mod topic;

pub use aggregate::Aggregate;
pub use app::{App, AppError, Relations, TopicStream};
pub use event::{Event, Timestamp};
pub use event_derive::{Event, State, include_proto};
pub use process::{Clock, Context, Either, Process, Timer};
pub use run::{Cluster, Deployed, RunError, Running};
pub use stage::{Filter, FlatMap, Map, Stage, Start};
pub use state::{
    AggregateState, Keyed, ListState, MapState, OrderedKey, OrderedMapState, State, ValueState,
};
pub use steps::{Bounds, One, Window, Windowed};
pub use stream::{ConnectedStreams, KeyedStream, RecordKey, Stream, WindowedStream};
pub use topic::Record;
