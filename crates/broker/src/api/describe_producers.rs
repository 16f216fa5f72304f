//! DescribeProducers (key 61): the idempotent producers a partition remembers.

use std::{collections::BTreeSet, rc::Rc};

use base::{PartitionIndex, PartitionKey};
use kafka::{
    error::ErrorCode,
    messages::describe_producers::{
        DescribeProducersRequest, DescribeProducersResponse, PartitionResponse, ProducerState,
        TopicResponse,
    },
};
use runtime::Class;

use crate::{
    broker::Broker,
    errors::Failure,
    owners::Question,
    request::{Reply, RequestContext, RequestError},
};

type Answer = Result<Vec<ProducerState>, ErrorCode>;

pub async fn handle(context: RequestContext) -> Result<Reply, RequestError> {
    let broker = context.broker.clone();
    let request: DescribeProducersRequest<'_> = context.decode()?;
    let mut owned = Vec::new();
    let mut questions = Vec::new();
    // Each partition once, however often it stands there: a small request must not make a huge answer.
    let mut seen = BTreeSet::new();
    let mut is_first = Vec::new();
    for topic in &request.topics {
        for index in &topic.partition_indexes {
            is_first.push(seen.insert((topic.name.clone(), index)));
            if is_first.last() == Some(&false) {
                continue;
            }
            let owner = broker.owner_by_name(&topic.name, PartitionIndex(index));
            owned.push(owner.is_some());
            questions.extend(owner.map(|(to, ask)| Question { to, ask }));
        }
    }
    let task = |broker: Rc<Broker>, keys: Vec<PartitionKey>| async move {
        let mut answers = Vec::with_capacity(keys.len());
        for key in keys {
            answers.push(active(&broker, key).await.map_err(|failure| failure.code));
        }
        answers
    };
    let answers = broker
        .ask_owners(Class::Admin, "describe producers", questions, task)
        .await;
    let (mut owned, mut answers) = (owned.into_iter(), answers.into_iter());
    let mut is_first = is_first.into_iter();
    let topics = request.topics.iter().map(|topic| {
        let indexes = topic.partition_indexes.iter();
        let indexes = indexes.filter(|_| is_first.next().unwrap_or(false));
        let partitions = indexes.map(|index| {
            let is_owned = owned.next().unwrap_or(false);
            let answer: Option<Answer> = is_owned.then(|| answers.next()).flatten();
            let answer = answer.unwrap_or(Err(ErrorCode::UnknownTopicOrPartition));
            PartitionResponse {
                partition_index: index,
                error_code: answer.as_ref().err().map_or(0, |code| code.code()),
                active_producers: answer.unwrap_or_default().into(),
                ..PartitionResponse::default()
            }
        });
        TopicResponse {
            partitions: partitions.collect::<Vec<_>>().into(),
            name: topic.name,
        }
    });
    let topics: Vec<_> = topics.collect();
    context.reply(&DescribeProducersResponse {
        topics: topics.into(),
        ..DescribeProducersResponse::default()
    })
}

async fn active(broker: &Broker, key: PartitionKey) -> Result<Vec<ProducerState>, Failure> {
    let partition = broker
        .partition(key)
        .ok_or(ErrorCode::NotLeaderOrFollower)?;
    partition.load_producers().await?;
    let states = partition.with_producers(|producers| {
        let states = producers
            .active()
            .map(|(id, epoch, last_sequence, used)| ProducerState {
                producer_id: id.0,
                producer_epoch: i32::from(epoch.0),
                last_sequence,
                last_timestamp: used.0,
                coordinator_epoch: -1,
                current_txn_start_offset: -1,
            });
        states.collect()
    });
    Ok(states.unwrap_or_default())
}
