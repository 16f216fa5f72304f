//! The stream engine in the node: where it runs, what it reads, and how sessions reach it.

mod backend;
mod system;
mod topics;

use std::rc::Rc;

use base::ShardId;
use broker::broker::Broker;
use streams::engine::{Engine, EngineError, NewRelation, PlantedBugs};

pub use backend::{NodeBackend, StartError};
pub use topics::BrokerTopics;

/// The shard that the engine lives on, of so many: not the one that accepts connections, where there is another.
#[must_use]
pub fn engine_shard(shards: u16) -> ShardId {
    ShardId(shards - 1)
}

/// Starts the engine; on its shard, when the node serves.
pub async fn start_on_shard(relations: Vec<NewRelation>) -> Result<Rc<Engine>, EngineError> {
    let broker = Broker::local();
    let data_dir = broker.settings.data_dir.clone();
    let topics = Rc::new(BrokerTopics::new(broker));
    let engine = Engine::start(topics, &data_dir, relations, PlantedBugs::default()).await?;
    runtime::set_local(engine.clone());
    Ok(engine)
}

/// Ends the engine, if it runs; from any shard, before the node stops.
pub async fn stop() {
    let shard = engine_shard(runtime::shard_count());
    runtime::invoke_on(shard, runtime::Class::Admin, "stop streams", || async {
        if let Some(engine) = runtime::local::<Engine>() {
            engine.stop().await;
            runtime::clear_local::<Engine>();
        }
    })
    .await;
}
