//! The range assignor: which member of a group reads which partitions.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use base::PartitionIndex;
use kafka::{
    Message,
    messages::consumer_protocol::{
        AssignmentTopicPartition, ConsumerProtocolAssignment, ConsumerProtocolSubscription,
    },
    wire::{DecodeError, EncodeError, Reader, Writer},
};

/// The name members agree on.
pub(crate) const RANGE: &str = "range";

/// Oldest version of the embedded messages: every member understands it, and `range` needs no more.
const EMBEDDED_VERSION: i16 = 0;

/// Partitions by topic.
pub(crate) type Assignment = BTreeMap<String, Vec<PartitionIndex>>;

/// A member and the topics it wants.
#[derive(Clone, Debug)]
pub(crate) struct Subscriber {
    pub member: String,
    pub instance: Option<String>,
    pub topics: Vec<String>,
}

/// Kafka's `RangeAssignor`: for each topic its subscribers in order (by instance id where there is one, before those
/// without, then by member id) get consecutive ranges; the first ones get one more when it does not divide.
pub(crate) fn assign_ranges(
    subscribers: &[Subscriber],
    partitions: &BTreeMap<String, u32>,
) -> BTreeMap<String, Assignment> {
    let mut assigned: BTreeMap<String, Assignment> = subscribers
        .iter()
        .map(|subscriber| (subscriber.member.clone(), Assignment::new()))
        .collect();
    let mut ordered: Vec<&Subscriber> = subscribers.iter().collect();
    ordered.sort_by(|a, b| {
        let rank = |s: &Subscriber| (s.instance.is_none(), s.instance.clone(), s.member.clone());
        rank(a).cmp(&rank(b))
    });
    for (topic, count) in partitions {
        let members: Vec<_> = ordered
            .iter()
            .filter(|subscriber| subscriber.topics.contains(topic))
            .collect();
        let Some(each) = count.checked_div(members.len() as u32) else {
            continue;
        };
        let extra = count % members.len() as u32;
        let mut first = 0;
        for (at, member) in members.iter().enumerate() {
            let take = each + u32::from((at as u32) < extra);
            let range = (first..first + take).map(|index| PartitionIndex(index.cast_signed()));
            first += take;
            if take > 0 {
                let own = assigned.entry(member.member.clone()).or_default();
                own.insert(topic.clone(), range.collect());
            }
        }
    }
    assigned
}

/// `version`, then the message: the embedded form of subscriptions and assignments.
fn embed<'a>(message: &impl Message<'a>) -> Result<Vec<u8>, EncodeError> {
    let mut writer = Writer::new();
    writer.i16(EMBEDDED_VERSION);
    message.encode(&mut writer, EMBEDDED_VERSION)?;
    Ok(writer.finish().to_vec())
}

fn embedded<'a, M: Message<'a>>(bytes: &'a [u8]) -> Result<M, DecodeError> {
    let mut reader = Reader::new(bytes);
    let version = reader.i16()?;
    match M::decode(&mut reader, version) {
        // A newer member's: later versions only add at the end.
        Err(DecodeError::Trailing { left }) => {
            let mut reader = Reader::new(&bytes[..bytes.len() - left]);
            let version = reader.i16()?;
            M::decode(&mut reader, version)
        }
        decoded => decoded,
    }
}

pub(crate) fn encode_subscription(topics: &[String]) -> Result<Vec<u8>, EncodeError> {
    let topics = topics.iter().map(|topic| topic.clone().into()).collect();
    embed(&ConsumerProtocolSubscription {
        topics,
        ..Default::default()
    })
}

pub(crate) fn decode_subscription(bytes: &[u8]) -> Result<Vec<String>, DecodeError> {
    let subscription: ConsumerProtocolSubscription<'_> = embedded(bytes)?;
    let topics = subscription.topics.iter();
    Ok(topics.map(std::borrow::Cow::into_owned).collect())
}

pub(crate) fn encode_assignment(assignment: &Assignment) -> Result<Vec<u8>, EncodeError> {
    let assigned_partitions = assignment
        .iter()
        .map(|(topic, partitions)| AssignmentTopicPartition {
            topic: topic.clone().into(),
            partitions: partitions.iter().map(|partition| partition.0).collect(),
        })
        .collect();
    embed(&ConsumerProtocolAssignment {
        assigned_partitions,
        user_data: None,
    })
}

/// An empty byte string is an empty assignment.
pub(crate) fn decode_assignment(bytes: &[u8]) -> Result<Assignment, DecodeError> {
    if bytes.is_empty() {
        return Ok(Assignment::new());
    }
    let assignment: ConsumerProtocolAssignment<'_> = embedded(bytes)?;
    Ok(assignment
        .assigned_partitions
        .iter()
        .map(|topic| {
            let partitions = topic.partitions.iter().map(PartitionIndex).collect();
            (topic.topic.into_owned(), partitions)
        })
        .collect())
}
