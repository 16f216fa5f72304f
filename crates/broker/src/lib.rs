//! A shard's work: its partitions, the requests of its connections, and the metadata all shards share.

pub mod api;
pub mod broker;
pub mod broker_configs;
pub mod connection;
pub mod coordinator;
pub mod dispatch;
pub mod errors;
pub mod fetch_session;
pub mod fetch_wait;
pub mod group;
pub mod leaders;
pub mod metadata_log;
pub mod metrics;
pub mod open;
pub mod owners;
pub mod partition;
pub mod raft_log;
pub mod request;
pub mod retention;
pub mod serve;
pub mod settings;
pub mod topics;

pub use broker::Broker;
pub use metrics::MetricsSnapshot;
pub use open::OpenError;
pub use partition::Partition;
pub use request::{Reply, RequestContext, RequestError};
pub use settings::Settings;
