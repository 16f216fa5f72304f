//! The stream engine in the node: where it runs, what it reads, and how sessions reach it.

mod backend;
mod external;
mod system;
mod topics;

use std::rc::Rc;

use base::ShardId;
use broker::broker::Broker;
use streams::{
    engine::{Engine, EngineError, NewRelation, PROGRAM_IDS, PlantedBugs},
    log::TopicLog,
};

pub use backend::{NodeBackend, tables_of};
pub use external::NodeTopics;
pub use topics::BrokerTopics;

/// The shard that the engine lives on, of so many: not the one that accepts connections, where there is another.
#[must_use]
pub fn engine_shard(shards: u16) -> ShardId {
    ShardId(shards - 1)
}

/// Starts the engine; on its shard, when the node serves. `state_bytes_max`: what all pipelines together may hold.
pub async fn start_on_shard(
    relations: Vec<NewRelation>,
    state_bytes_max: usize,
) -> Result<Rc<Engine>, EngineError> {
    let broker = Broker::local();
    let data_dir = broker.settings.data_dir.clone();
    let topics = Rc::new(NodeTopics::open(broker, &data_dir).await?);
    // Whoever stops the node finds it, whatever the engine waits for.
    runtime::set_local(topics.clone());
    for topic in topics_of_programs(&relations) {
        // Whoever reads it says that it is not there.
        if let Err(error) = topics.ensure_topic(topic.clone(), 0, false).await {
            tracing::error!(topic, %error, "a program's topic cannot be made");
        }
    }
    let none = PlantedBugs::default();
    let started = Engine::start(topics.clone(), &data_dir, relations, none, state_bytes_max);
    let engine = started.await?;
    runtime::set_local(engine.clone());
    Ok(engine)
}

fn topics_of_programs(relations: &[NewRelation]) -> Vec<String> {
    let programs = relations
        .iter()
        .filter(|relation| relation.id >= PROGRAM_IDS);
    let topics = programs.filter_map(|relation| {
        let definition = &relation.definition;
        definition.topic_read().or(definition.topic_written())
    });
    topics.map(str::to_owned).collect()
}

/// Ends the engine, if it runs; from any shard, before the node stops.
pub async fn stop() {
    let shard = engine_shard(runtime::shard_count());
    runtime::invoke_on(shard, runtime::Class::Admin, "stop streams", || async {
        if let Some(topics) = runtime::local::<NodeTopics>() {
            topics.stop();
            runtime::clear_local::<NodeTopics>();
        }
        if let Some(engine) = runtime::local::<Engine>() {
            engine.stop().await;
            runtime::clear_local::<Engine>();
        }
    })
    .await;
}
