//! DescribeTopicPartitions (key 75, KIP-966): topics in pages of partitions.

use base::BrokerId;
use cluster::Topic;
use kafka::{
    error::ErrorCode,
    messages::describe_topic_partitions::{
        DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
        DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
        ResponseCursor,
    },
    wire::List,
};

use crate::{
    api::metadata::TOPIC_OPERATIONS,
    leaders::LeaderTable,
    request::{Reply, RequestContext, RequestError},
};

/// Kafka's `max.request.partition.size.limit`.
const PAGE_PARTITIONS_MAX: usize = 2000;

/// Where a page begins.
struct From {
    topic: String,
    partition: usize,
}

/// A page that is being filled.
struct Page {
    topics: Vec<DescribeTopicPartitionsResponseTopic<'static>>,
    room: usize,
    next: Option<ResponseCursor<'static>>,
}

pub async fn handle(context: RequestContext) -> Result<Reply, RequestError> {
    let broker = context.broker.clone();
    let request: DescribeTopicPartitionsRequest<'_> = context.decode()?;
    let from = request.cursor.as_ref().map(|cursor| From {
        topic: cursor.topic_name.to_string(),
        partition: usize::try_from(cursor.partition_index).unwrap_or(0),
    });
    let limit = usize::try_from(request.response_partition_limit).unwrap_or(0);
    let mut page = Page {
        topics: Vec::new(),
        room: limit.clamp(1, PAGE_PARTITIONS_MAX),
        next: None,
    };
    let node = broker.settings.broker;
    let leaders = &broker.leaders;
    broker.with_metadata(|image| {
        let start = from.as_ref().map_or("", |from| &from.topic);
        if request.topics.is_empty() {
            for topic in image.topics_from(start) {
                page.add(topic, &from, node, leaders);
                if page.next.is_some() {
                    break;
                }
            }
            return;
        }
        let mut names: Vec<String> = request.topics.iter().map(|t| t.name.to_string()).collect();
        names.sort();
        names.dedup();
        for name in names.iter().filter(|name| name.as_str() >= start) {
            match image.topic_named(name) {
                Some(topic) => page.add(topic, &from, node, leaders),
                None => page.topics.push(unknown(name)),
            }
            if page.next.is_some() {
                break;
            }
        }
    });
    context.reply(&DescribeTopicPartitionsResponse {
        topics: page.topics.into(),
        next_cursor: page.next,
        ..DescribeTopicPartitionsResponse::default()
    })
}

impl Page {
    fn add(&mut self, topic: &Topic, from: &Option<From>, node: BrokerId, leaders: &LeaderTable) {
        let name = topic.name.as_str();
        let first = match from {
            Some(from) if from.topic == name => from.partition,
            _ => 0,
        };
        if self.room == 0 {
            self.next = Some(cursor(name, 0));
            return;
        }
        let partitions = topic.keys(first).take(self.room).map(|(key, _)| {
            let leader = leaders.leader(key, node);
            DescribeTopicPartitionsResponsePartition {
                error_code: leader.code.code(),
                partition_index: key.partition.0,
                leader_id: leader.id,
                leader_epoch: leader.leader_epoch,
                replica_nodes: List::from(vec![node.0]),
                isr_nodes: List::from(vec![node.0]),
                eligible_leader_replicas: Some(List::default()),
                last_known_elr: Some(List::default()),
                ..DescribeTopicPartitionsResponsePartition::default()
            }
        });
        let partitions: Vec<_> = partitions.collect();
        self.room -= partitions.len();
        let end = first + partitions.len();
        if end < topic.partitions.len() {
            self.next = Some(cursor(name, end));
        }
        self.topics.push(DescribeTopicPartitionsResponseTopic {
            name: Some(name.to_owned().into()),
            topic_id: topic.id,
            is_internal: topic.internal,
            partitions: partitions.into(),
            topic_authorized_operations: TOPIC_OPERATIONS,
            ..DescribeTopicPartitionsResponseTopic::default()
        });
    }
}

fn cursor(topic: &str, partition: usize) -> ResponseCursor<'static> {
    ResponseCursor {
        topic_name: topic.to_owned().into(),
        partition_index: i32::try_from(partition).unwrap_or(i32::MAX),
    }
}

fn unknown(name: &str) -> DescribeTopicPartitionsResponseTopic<'static> {
    let code = match base::TopicName::new(name) {
        Ok(_) => ErrorCode::UnknownTopicOrPartition,
        Err(_) => ErrorCode::InvalidTopicException,
    };
    DescribeTopicPartitionsResponseTopic {
        error_code: code.code(),
        name: Some(name.to_owned().into()),
        ..DescribeTopicPartitionsResponseTopic::default()
    }
}
