//! DeleteRecords (key 21): moving a partition's log start.

use std::rc::Rc;

use base::{Offset, PartitionIndex, PartitionKey};
use kafka::{
    error::ErrorCode,
    messages::delete_records::{
        DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsResponse,
        DeleteRecordsTopicResult,
    },
};
use runtime::Class;

use crate::{
    api::fetch::check_leader_epoch,
    broker::Broker,
    errors::Failure,
    owners::Question,
    request::{Reply, RequestContext, RequestError},
};

/// "Up to the high watermark."
const HIGH_WATERMARK: i64 = -1;

pub async fn handle(context: RequestContext) -> Result<Reply, RequestError> {
    let broker = context.broker.clone();
    let request: DeleteRecordsRequest<'_> = context.decode()?;
    let mut owned = Vec::new();
    let mut questions = Vec::new();
    for topic in &request.topics {
        for partition in &topic.partitions {
            let index = PartitionIndex(partition.partition_index);
            let owner = broker.owner_by_name(&topic.name, index);
            owned.push(owner.is_some());
            questions.extend(owner.map(|(to, key)| Question {
                to,
                ask: (key, partition.offset),
            }));
        }
    }
    let task = |broker: Rc<Broker>, asks: Vec<(PartitionKey, i64)>| async move {
        let mut answers = Vec::with_capacity(asks.len());
        for (key, offset) in asks {
            answers.push(
                trim(&broker, key, offset)
                    .await
                    .map_err(|failure| failure.code),
            );
        }
        answers
    };
    let answers = broker
        .ask_owners(Class::Admin, "delete records", questions, task)
        .await;
    let (mut owned, mut answers) = (owned.into_iter(), answers.into_iter());
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            let is_owned = owned.next().unwrap_or(false);
            let answer = is_owned.then(|| answers.next()).flatten();
            let answer = answer.unwrap_or(Err(ErrorCode::UnknownTopicOrPartition));
            DeleteRecordsPartitionResult {
                partition_index: partition.partition_index,
                low_watermark: answer.map_or(-1, |start| start.0),
                error_code: answer.err().map_or(0, ErrorCode::code),
            }
        });
        DeleteRecordsTopicResult {
            partitions: partitions.collect::<Vec<_>>().into(),
            name: topic.name,
        }
    });
    let topics: Vec<_> = topics.collect();
    context.reply(&DeleteRecordsResponse {
        topics: topics.into(),
        ..DeleteRecordsResponse::default()
    })
}

/// Returns the log start that holds afterwards.
async fn trim(broker: &Broker, key: PartitionKey, offset: i64) -> Result<Offset, Failure> {
    let partition = broker
        .partition(key)
        .ok_or(ErrorCode::NotLeaderOrFollower)?;
    if partition.is_internal() {
        let text = "records of internal topics are not for clients to delete";
        return Err(Failure::new(ErrorCode::InvalidTopicException, text));
    }
    check_leader_epoch(&partition, -1)?;
    let high_watermark = partition.high_watermark();
    let until = match offset {
        HIGH_WATERMARK => high_watermark,
        offset => Offset(offset),
    };
    if until.0 < 0 || until > high_watermark {
        return Err(ErrorCode::OffsetOutOfRange.into());
    }
    let log = partition.log();
    if until <= log.log_start_offset() {
        return Ok(log.log_start_offset());
    }
    Ok(partition.raft().trim(until).await?)
}
