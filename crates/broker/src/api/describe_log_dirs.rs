//! DescribeLogDirs (key 35): the data directory and the sizes of the partitions in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use base::{PartitionIndex, PartitionKey};
use kafka::messages::describe_log_dirs::{
    DescribeLogDirsPartition, DescribeLogDirsRequest, DescribeLogDirsResponse,
    DescribeLogDirsResult, DescribeLogDirsTopic,
};
use runtime::{Class, fs};

use crate::{
    broker::Broker,
    owners::Question,
    request::{Reply, RequestContext, RequestError},
};

pub async fn handle(context: RequestContext) -> Result<Reply, RequestError> {
    let broker = context.broker.clone();
    let request: DescribeLogDirsRequest<'_> = context.decode()?;
    let mut wanted: Vec<(String, PartitionKey)> = Vec::new();
    broker.with_metadata(|image| match &request.topics {
        None => {
            for topic in image.topics() {
                wanted.extend(topic.keys(0).map(|(key, _)| (topic.name.to_string(), key)));
            }
        }
        Some(asked) => {
            // Each partition once, however often it stands there.
            let mut seen = BTreeSet::new();
            for asked in asked {
                let Some(topic) = image.topic_named(&asked.topic) else {
                    continue;
                };
                for index in &asked.partitions {
                    let key = PartitionKey {
                        topic: topic.id,
                        partition: PartitionIndex(index),
                    };
                    if topic.partition(key.partition).is_some() && seen.insert(key) {
                        wanted.push((topic.name.to_string(), key));
                    }
                }
            }
        }
    });
    let questions = wanted.iter().filter_map(|(_, key)| {
        let to = broker.owner(*key)?;
        Some(Question { to, ask: *key })
    });
    let questions: Vec<_> = questions.collect();
    let task = |broker: Rc<Broker>, keys: Vec<PartitionKey>| async move {
        let size = |key| {
            broker
                .partition(key)
                .map(|partition| partition.log().size_bytes())
        };
        keys.into_iter().map(size).collect()
    };
    let sizes: Vec<Option<u64>> = broker
        .ask_owners(Class::Admin, "log dirs", questions, task)
        .await;
    let mut topics: BTreeMap<String, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
    for ((name, key), size) in wanted.into_iter().zip(sizes) {
        if let Some(size) = size {
            topics
                .entry(name)
                .or_default()
                .push(DescribeLogDirsPartition {
                    partition_index: key.partition.0,
                    partition_size: i64::try_from(size).unwrap_or(i64::MAX),
                    ..DescribeLogDirsPartition::default()
                });
        }
    }
    let space = fs::space(&broker.settings.data_dir).await.ok();
    let bytes =
        |bytes: Option<u64>| bytes.map_or(-1, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
    let topics = topics
        .into_iter()
        .map(|(name, partitions)| DescribeLogDirsTopic {
            name: name.into(),
            partitions: partitions.into(),
        });
    let result = DescribeLogDirsResult {
        log_dir: broker.settings.data_dir.display().to_string().into(),
        topics: topics.collect::<Vec<_>>().into(),
        total_bytes: bytes(space.map(|space| space.total_bytes)),
        usable_bytes: bytes(space.map(|space| space.available_bytes)),
        ..DescribeLogDirsResult::default()
    };
    context.reply(&DescribeLogDirsResponse {
        results: vec![result].into(),
        ..DescribeLogDirsResponse::default()
    })
}
