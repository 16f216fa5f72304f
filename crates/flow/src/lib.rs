//! Stream programs in Rust: typed events, keyed state, timers and windows, in a node or beside any Kafka-API cluster.
//!
//! ```no_run
//! use flow::{App, Cluster, Event};
//!
//! #[derive(Clone, Event)]
//! struct Visit { #[event(1)] page: String }
//!
//! #[derive(Clone, Event)]
//! struct Visits { #[event(1)] page: String, #[event(2)] count: u64 }
//!
//! fn main() -> Result<(), flow::RunError> {
//!     let app = App::new("visits");
//!     app.topic::<Visit>("visits")
//!         .key_by(|visit| visit.page.clone())
//!         .count("visits_by_page")
//!         .map(|(page, count)| Visits { page, count })
//!         .to_topic_by("visits_by_page", |visits| visits.page.clone());
//!     app.run(Cluster::new("127.0.0.1:9092", "data/visits"))
//! }
//! ```
//!
//! What is promised, and why it is so, stands in docs/decisions (typed API).

// What the macros write names this crate as its users do.
extern crate self as flow;

pub mod aggregate;
pub mod cluster;
pub mod event;
pub mod state;

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
