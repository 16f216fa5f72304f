//! Records of `__consumer_offsets`: Kafka's OffsetCommitKey/Value and GroupMetadataKey/Value.
//!
//! # Layout
//! Big-endian. Strings are i16 length and UTF-8 (-1: null), bytes are i32 length and bytes, arrays i32 count and items.
//!
//! | record | key | value |
//! | --- | --- | --- |
//! | offset | i16 1, group, topic, partition i32 | i16 3, offset i64, leader epoch i32, metadata, committed at i64 |
//! | offset that carries its end | the same | i16 1, offset i64, metadata, committed at i64, expires at i64 |
//! | group | i16 2, group | i16 3, protocol type, generation i32, protocol?, leader?, state since i64, members |
//!
//! A member: id, instance?, client id, client host, rebalance time-out i32 (ms), session time-out i32 (ms), subscription
//! bytes, assignment bytes. No value is a tombstone. Value version 3 is what Kafka 4 writes; its formatters read both.
//!
//! # Instead of
//! The generated codec: four small messages of one frozen version each do not earn a generator's second output.

use std::{collections::BTreeMap, sync::Arc};

use base::{Offset, PartitionIndex, TimestampMs, TopicName};

use super::{
    classic::{Group, State},
    member::Member,
    offsets::CommittedOffset,
    request::{Blob, GroupId, InstanceId, KeyValue, MemberId, Protocol},
};

const OFFSET_KEY: i16 = 1;
const GROUP_KEY: i16 = 2;
const OFFSET_VALUE: i16 = 3;
/// The one version with an expiry time.
const OFFSET_VALUE_EXPIRING: i16 = 1;
const GROUP_VALUE: i16 = 3;

/// Why bytes are no record of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error("the record ends early")]
    Short,
    #[error("a length is negative or a string is no UTF-8")]
    Malformed,
    #[error("version {0} is not known")]
    Version(i16),
}

/// A key of the topic. Types that later releases add are `Other`, to be passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    Offset {
        group: GroupId,
        topic: TopicName,
        partition: PartitionIndex,
    },
    Group(GroupId),
    Other(i16),
}

/// What a group record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupValue {
    pub protocol_type: Option<Arc<str>>,
    pub generation: i32,
    pub protocol: Option<Arc<str>>,
    pub leader: Option<MemberId>,
    pub state_since: TimestampMs,
    pub members: Vec<MemberValue>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberValue {
    pub id: MemberId,
    pub instance: Option<InstanceId>,
    pub client_id: Arc<str>,
    pub client_host: Arc<str>,
    pub rebalance_timeout_ms: i32,
    pub session_timeout_ms: i32,
    pub subscription: Blob,
    pub assignment: Blob,
}

/// The group's record: with `assignments` when they are about to become its members', else with what those have. A group
/// between generations is written as empty: its members rejoin after a restart.
pub(super) fn of_group(group: &Group, assignments: Option<&BTreeMap<MemberId, Blob>>) -> KeyValue {
    let is_whole = group.state == State::Stable || assignments.is_some();
    let mut value = Fields(Vec::new());
    value.i16(GROUP_VALUE);
    value.string(group.protocol_type.as_deref().unwrap_or(""));
    value.i32(group.generation);
    value.nullable(group.protocol.as_deref().filter(|_| is_whole));
    let leader = group.leader.as_ref().map(MemberId::as_str);
    value.nullable(leader.filter(|_| is_whole));
    value.i64(group.state_since.0);
    let members = || group.members.values().filter(|_| is_whole);
    value.count(members().count());
    for member in members() {
        let assignment = match assignments {
            Some(new) => new.get(&member.id).map_or(&[][..], |blob| blob),
            None => &member.assignment,
        };
        value.string(member.id.as_str());
        value.nullable(member.instance.as_ref().map(InstanceId::as_str));
        value.string(&member.client_id);
        value.string(&member.client_host);
        value.i32(clamp_ms(member.rebalance_timeout_ms));
        value.i32(clamp_ms(member.session_timeout_ms));
        value.bytes(&member.metadata(group.protocol.as_deref()));
        value.bytes(assignment);
    }
    KeyValue {
        key: group_key(&group.id),
        value: Some(value.0),
    }
}

pub(super) fn group_tombstone(group: &GroupId) -> KeyValue {
    KeyValue {
        key: group_key(group),
        value: None,
    }
}

pub(super) fn of_offset(
    group: &GroupId,
    topic: &TopicName,
    partition: PartitionIndex,
    committed: &CommittedOffset,
) -> KeyValue {
    let mut value = Fields(Vec::with_capacity(32 + committed.metadata.len()));
    match committed.expires_at {
        None => {
            value.i16(OFFSET_VALUE);
            value.i64(committed.offset.0);
            value.i32(committed.leader_epoch);
            value.string(&committed.metadata);
            value.i64(committed.committed_at.0);
        }
        Some(expires_at) => {
            value.i16(OFFSET_VALUE_EXPIRING);
            value.i64(committed.offset.0);
            value.string(&committed.metadata);
            value.i64(committed.committed_at.0);
            value.i64(expires_at.0);
        }
    }
    KeyValue {
        key: offset_key(group, topic, partition),
        value: Some(value.0),
    }
}

pub(super) fn offset_tombstone(
    group: &GroupId,
    topic: &TopicName,
    partition: PartitionIndex,
) -> KeyValue {
    KeyValue {
        key: offset_key(group, topic, partition),
        value: None,
    }
}

fn group_key(group: &GroupId) -> Vec<u8> {
    let mut key = Fields(Vec::with_capacity(4 + group.as_str().len()));
    key.i16(GROUP_KEY);
    key.string(group.as_str());
    key.0
}

fn offset_key(group: &GroupId, topic: &TopicName, partition: PartitionIndex) -> Vec<u8> {
    let mut key = Fields(Vec::with_capacity(
        10 + group.as_str().len() + topic.as_str().len(),
    ));
    key.i16(OFFSET_KEY);
    key.string(group.as_str());
    key.string(topic.as_str());
    key.i32(partition.0);
    key.0
}

/// Reads a key.
pub fn decode_key(bytes: &[u8]) -> Result<Key, RecordError> {
    let mut fields = Cursor(bytes);
    Ok(match fields.i16()? {
        // Version 0 was the same as 1, from before Kafka 0.9.
        0 | OFFSET_KEY => Key::Offset {
            group: fields.string()?.into(),
            topic: TopicName::new(fields.string()?).map_err(|_| RecordError::Malformed)?,
            partition: PartitionIndex(fields.i32()?),
        },
        GROUP_KEY => Key::Group(fields.string()?.into()),
        other => Key::Other(other),
    })
}

/// Reads an offset's value, of any version without tagged fields.
pub fn decode_offset(bytes: &[u8]) -> Result<CommittedOffset, RecordError> {
    let mut fields = Cursor(bytes);
    let version = fields.i16()?;
    if !(0..=OFFSET_VALUE).contains(&version) {
        return Err(RecordError::Version(version));
    }
    Ok(CommittedOffset {
        offset: Offset(fields.i64()?),
        leader_epoch: if version == OFFSET_VALUE {
            fields.i32()?
        } else {
            -1
        },
        metadata: fields.string()?.into(),
        committed_at: TimestampMs(fields.i64()?),
        expires_at: if version == OFFSET_VALUE_EXPIRING {
            Some(TimestampMs(fields.i64()?)).filter(|at| at.0 >= 0)
        } else {
            None
        },
    })
}

/// Reads a group's value.
pub fn decode_group(bytes: &[u8]) -> Result<GroupValue, RecordError> {
    let mut fields = Cursor(bytes);
    let version = fields.i16()?;
    if version != GROUP_VALUE {
        return Err(RecordError::Version(version));
    }
    let protocol_type = fields.string()?;
    let mut value = GroupValue {
        protocol_type: Some(protocol_type)
            .filter(|kind| !kind.is_empty())
            .map(Arc::from),
        generation: fields.i32()?,
        protocol: fields.nullable()?.map(Arc::from),
        leader: fields.nullable()?.map(MemberId::from),
        state_since: TimestampMs(fields.i64()?),
        members: Vec::new(),
    };
    for _ in 0..fields.count()? {
        value.members.push(MemberValue {
            id: fields.string()?.into(),
            instance: fields.nullable()?.map(InstanceId::from),
            client_id: fields.string()?.into(),
            client_host: fields.string()?.into(),
            rebalance_timeout_ms: fields.i32()?,
            session_timeout_ms: fields.i32()?,
            subscription: fields.bytes()?.into(),
            assignment: fields.bytes()?.into(),
        });
    }
    Ok(value)
}

impl MemberValue {
    /// The member as it was when its generation became stable.
    pub(super) fn into_member(self, protocol: Option<&Arc<str>>) -> Member {
        let session_timeout_ms = u64::try_from(self.session_timeout_ms).unwrap_or(0);
        let protocols: Vec<Protocol> = protocol
            .map(|name| Protocol {
                name: name.clone(),
                metadata: self.subscription,
            })
            .into_iter()
            .collect();
        Member {
            id: self.id,
            instance: self.instance,
            client_id: self.client_id,
            client_host: self.client_host,
            session_timeout_ms,
            rebalance_timeout_ms: u64::try_from(self.rebalance_timeout_ms)
                .unwrap_or(session_timeout_ms),
            protocols_bytes: protocols.iter().map(Protocol::size_bytes).sum(),
            protocols,
            assignment: self.assignment,
            join: None,
            sync: None,
            is_new: false,
            session_deadline_ms: None,
        }
    }
}

fn clamp_ms(ms: u64) -> i32 {
    i32::try_from(ms).unwrap_or(i32::MAX)
}

struct Fields(Vec<u8>);

impl Fields {
    fn i16(&mut self, v: i16) {
        self.0.extend_from_slice(&v.to_be_bytes());
    }
    fn i32(&mut self, v: i32) {
        self.0.extend_from_slice(&v.to_be_bytes());
    }
    fn i64(&mut self, v: i64) {
        self.0.extend_from_slice(&v.to_be_bytes());
    }
    fn count(&mut self, v: usize) {
        self.i32(i32::try_from(v).expect("members and blobs are bounded far below 2 GiB"));
    }
    fn string(&mut self, v: &str) {
        self.i16(i16::try_from(v.len()).expect("the API bounds strings to 32,767 bytes"));
        self.0.extend_from_slice(v.as_bytes());
    }
    fn nullable(&mut self, v: Option<&str>) {
        match v {
            Some(v) => self.string(v),
            None => self.i16(-1),
        }
    }
    fn bytes(&mut self, v: &[u8]) {
        self.count(v.len());
        self.0.extend_from_slice(v);
    }
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(RecordError::Short)?;
        self.0 = rest;
        Ok(*head)
    }
    fn i16(&mut self) -> Result<i16, RecordError> {
        self.chunk().map(i16::from_be_bytes)
    }
    fn i32(&mut self) -> Result<i32, RecordError> {
        self.chunk().map(i32::from_be_bytes)
    }
    fn i64(&mut self) -> Result<i64, RecordError> {
        self.chunk().map(i64::from_be_bytes)
    }
    fn count(&mut self) -> Result<usize, RecordError> {
        usize::try_from(self.i32()?).map_err(|_| RecordError::Malformed)
    }
    fn take(&mut self, length: usize) -> Result<&'a [u8], RecordError> {
        let (head, rest) = self.0.split_at_checked(length).ok_or(RecordError::Short)?;
        self.0 = rest;
        Ok(head)
    }
    fn bytes(&mut self) -> Result<&'a [u8], RecordError> {
        let length = self.count()?;
        self.take(length)
    }
    fn nullable(&mut self) -> Result<Option<&'a str>, RecordError> {
        let length = self.i16()?;
        if length == -1 {
            return Ok(None);
        }
        let length = usize::try_from(length).map_err(|_| RecordError::Malformed)?;
        let text = str::from_utf8(self.take(length)?).map_err(|_| RecordError::Malformed)?;
        Ok(Some(text))
    }
    fn string(&mut self) -> Result<&'a str, RecordError> {
        self.nullable()?.ok_or(RecordError::Malformed)
    }
}
