//! The metadata image: what the commands of the metadata log add up to.
//!
//! # Place
//! A cluster view. The owner of the metadata log applies each command after it is durable; every shard holds a copy and
//! applies the same commands in the same order.
//!
//! # Invariants
//! 1. The image is a function of the commands alone: same commands, same snapshot bytes (tests: snapshot equality).
//! 2. `apply` refuses exactly what `check` refuses, and then changes nothing (tests: refusals).
//! 3. A topic id is never used twice, not even after deletion (the proposer draws 122 random bits; `check` refuses a
//!    living one).
//!
//! # Limits
//! `limits::TOPIC_PARTITIONS_MAX` partitions per topic, `PARTITIONS_MAX` in all, refused with INVALID_PARTITIONS.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use base::{
    BrokerId, PartitionIndex, PartitionKey, ProducerId, TopicId, TopicName, hash::fnv1a, limits,
};

use crate::{
    codec::{DecodeError, Decoder, Encoder},
    command::{Command, NewTopic, decode_configs, decode_flag, decode_name, encode_configs},
    config::{ConfigError, check_config},
};

/// Most partitions of all topics together: each costs memory and a directory entry whether it is used or not.
pub const PARTITIONS_MAX: usize = 200_000;

/// Most sources, tables, views and sinks.
pub const RELATIONS_MAX: usize = 10_000;

/// Most bytes of a statement that makes one: a command must fit into a batch.
pub const STATEMENT_BYTES_MAX: usize = 256 << 10;

const SNAPSHOT_VERSION: u8 = 3;
/// Had no relations.
const SNAPSHOT_VERSION_BEFORE: u8 = 2;

/// One directory of journal and segments, numbered from 0; a shard hosts one or more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HomeId(pub u16);

impl fmt::Display for HomeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a partition lives. Who leads it, and in which term, is its raft group's to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionSpec {
    pub home: HomeId,
}

/// A topic of the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    pub id: TopicId,
    pub name: TopicName,
    pub internal: bool,
    /// By partition index.
    pub partitions: Vec<PartitionSpec>,
    /// Only what was set for this topic.
    pub configs: BTreeMap<String, String>,
}

impl Topic {
    /// Keys and places of its partitions from index `from` on.
    pub fn keys(&self, from: usize) -> impl Iterator<Item = (PartitionKey, PartitionSpec)> + '_ {
        let specs = self.partitions.iter().enumerate().skip(from);
        specs.map(|(index, spec)| {
            let index = i32::try_from(index).expect("partition counts are bounded");
            let partition = PartitionIndex(index);
            (
                PartitionKey {
                    topic: self.id,
                    partition,
                },
                *spec,
            )
        })
    }

    #[must_use]
    pub fn partition(&self, index: PartitionIndex) -> Option<PartitionSpec> {
        self.partitions.get(usize::try_from(index.0).ok()?).copied()
    }

    #[must_use]
    pub fn partition_count(&self) -> i32 {
        i32::try_from(self.partitions.len()).expect("partition counts are bounded")
    }
}

/// A source, table, view or sink of the stream engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// Never given twice; in the order in which they were made, so a relation reads only lower ones.
    pub id: u64,
    pub statement: String,
}

/// Why a command cannot be applied; the text is for the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("Topic '{0}' already exists.")]
    TopicExists(TopicName),
    #[error("Topic '{name}' collides with existing topic: {other}")]
    TopicCollides { name: TopicName, other: TopicName },
    #[error("This server does not host this topic ID.")]
    TopicUnknown(TopicId),
    #[error("{0}")]
    Partitions(String),
    #[error("{0}")]
    Config(#[from] ConfigError),
    #[error("home {0} does not exist")]
    HomeUnknown(HomeId),
    #[error("the metadata log has its cluster already")]
    Founded,
    #[error("homes can only be added: there are {have}, {wanted} were asked for")]
    FewerHomes { have: u16, wanted: u16 },
    #[error("producer ids are used up")]
    ProducerIds,
    #[error("relation \"{0}\" already exists")]
    RelationExists(String),
    #[error("relation \"{0}\" does not exist")]
    RelationUnknown(String),
    #[error(
        "there are at most {RELATIONS_MAX} relations, of statements of at most {STATEMENT_BYTES_MAX} bytes"
    )]
    Relations,
}

/// What a command did, for those who act on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Nothing,
    TopicCreated(TopicId),
    TopicDeleted(Topic),
    /// Partitions from index `from` on are new.
    PartitionsCreated {
        id: TopicId,
        from: usize,
    },
    ConfigsSet(TopicId),
    ProducerIds {
        first: ProducerId,
        count: u32,
    },
    RelationCreated(u64),
    RelationDropped(u64),
    RelationAltered(u64),
}

/// The state machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    cluster_id: String,
    brokers: BTreeSet<BrokerId>,
    homes: u16,
    topics: BTreeMap<TopicId, Topic>,
    next_producer_id: i64,
    relations: BTreeMap<String, Relation>,
    /// Commands applied since the log began.
    applied: u64,
    // What follows is derived from `topics`.
    names: BTreeMap<TopicName, TopicId>,
    /// Topic names with `.` as `_`: Kafka refuses two topics that differ only there, their metrics would clash.
    folded_names: BTreeMap<String, TopicName>,
    /// Partitions per home.
    home_load: Vec<u32>,
    partitions: usize,
}

impl Image {
    #[must_use]
    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    pub fn brokers(&self) -> impl Iterator<Item = BrokerId> + '_ {
        self.brokers.iter().copied()
    }

    #[must_use]
    pub fn home_count(&self) -> u16 {
        self.homes
    }

    #[must_use]
    pub fn applied(&self) -> u64 {
        self.applied
    }

    #[must_use]
    pub fn partition_count(&self) -> usize {
        self.partitions
    }

    /// Topics in order of their names.
    pub fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.names.values().map(|id| &self.topics[id])
    }

    /// Topics whose name is `from` or comes after it.
    pub fn topics_from<'a>(&'a self, from: &str) -> impl Iterator<Item = &'a Topic> + use<'a> {
        let range = (std::ops::Bound::Included(from), std::ops::Bound::Unbounded);
        self.names
            .range::<str, _>(range)
            .map(|(_, id)| &self.topics[id])
    }

    #[must_use]
    pub fn topic(&self, id: TopicId) -> Option<&Topic> {
        self.topics.get(&id)
    }

    #[must_use]
    pub fn topic_named(&self, name: &str) -> Option<&Topic> {
        self.names.get(name).map(|id| &self.topics[id])
    }

    #[must_use]
    pub fn partition(&self, key: PartitionKey) -> Option<PartitionSpec> {
        self.topics.get(&key.topic)?.partition(key.partition)
    }

    /// Homes for `count` new partitions of the topic: each goes where the fewest partitions are, ties start at a place
    /// that depends on the name, so that many small topics spread as well.
    ///
    /// Empty while there are no homes.
    #[must_use]
    pub fn place(&self, name: &TopicName, count: i32) -> Vec<HomeId> {
        let homes = usize::from(self.homes);
        if homes == 0 {
            return Vec::new();
        }
        let start = usize::try_from(fnv1a(name.as_str().as_bytes()) % u64::from(self.homes))
            .expect("a remainder by a u16");
        let mut load = self.home_load.clone();
        (0..usize::try_from(count).unwrap_or(0))
            .map(|index| {
                let rotated = (0..homes).map(|step| (start + index + step) % homes);
                let home = rotated.min_by_key(|home| load[*home]);
                let home = home.expect("there is at least one home");
                load[home] += 1;
                HomeId(u16::try_from(home).expect("homes are counted in u16"))
            })
            .collect()
    }

    /// Whether `command` can be applied now.
    pub fn check(&self, command: &Command) -> Result<(), Refusal> {
        match command {
            Command::Found { .. } if !self.cluster_id.is_empty() => Err(Refusal::Founded),
            Command::Found { .. } => Ok(()),
            Command::SetHomes { count } if *count < self.homes => Err(Refusal::FewerHomes {
                have: self.homes,
                wanted: *count,
            }),
            Command::SetHomes { .. } => Ok(()),
            Command::CreateTopic(topic) => self.check_create(topic),
            Command::DeleteTopic { id } => self.known(*id).map(|_| ()),
            Command::CreatePartitions { id, have, homes } => {
                let count = self.known(*id)?.partitions.len();
                if usize::try_from(*have) != Ok(count) {
                    return Err(Refusal::Partitions(format!(
                        "The topic has {count} partition(s) by now, not {have}."
                    )));
                }
                self.check_partitions(count, homes)
            }
            Command::SetConfigs { id, changes } => {
                self.known(*id)?;
                for (name, value) in changes {
                    if let Some(value) = value {
                        check_config(name, value)?;
                    }
                }
                Ok(())
            }
            Command::AllocateProducerIds { count } => {
                let next = self.next_producer_id.checked_add(i64::from(*count));
                next.map(|_| ()).ok_or(Refusal::ProducerIds)
            }
            Command::CreateRelation { name, statement } => {
                if self.relations.contains_key(name) {
                    return Err(Refusal::RelationExists(name.clone()));
                }
                let is_full = self.relations.len() >= RELATIONS_MAX;
                match is_full || name.len() + statement.len() > STATEMENT_BYTES_MAX {
                    true => Err(Refusal::Relations),
                    false => Ok(()),
                }
            }
            Command::DropRelation { name } => match self.relations.contains_key(name) {
                true => Ok(()),
                false => Err(Refusal::RelationUnknown(name.clone())),
            },
            Command::AlterRelation {
                name,
                to,
                statement,
            } => {
                if !self.relations.contains_key(name) {
                    return Err(Refusal::RelationUnknown(name.clone()));
                }
                if name != to && self.relations.contains_key(to) {
                    return Err(Refusal::RelationExists(to.clone()));
                }
                match to.len() + statement.len() > STATEMENT_BYTES_MAX {
                    true => Err(Refusal::Relations),
                    false => Ok(()),
                }
            }
        }
    }

    fn known(&self, id: TopicId) -> Result<&Topic, Refusal> {
        self.topic(id).ok_or(Refusal::TopicUnknown(id))
    }

    fn check_create(&self, topic: &NewTopic) -> Result<(), Refusal> {
        if self.names.contains_key(&topic.name) || self.topics.contains_key(&topic.id) {
            return Err(Refusal::TopicExists(topic.name.clone()));
        }
        if let Some(other) = self.folded_names.get(&fold(&topic.name)) {
            return Err(Refusal::TopicCollides {
                name: topic.name.clone(),
                other: other.clone(),
            });
        }
        for (name, value) in &topic.configs {
            check_config(name, value)?;
        }
        self.check_partitions(0, &topic.homes)
    }

    fn check_partitions(&self, have: usize, homes: &[HomeId]) -> Result<(), Refusal> {
        if homes.is_empty() {
            return Err(Refusal::Partitions(
                "Number of partitions must be larger than 0.".to_owned(),
            ));
        }
        let topic_max = limits::TOPIC_PARTITIONS_MAX.unsigned_abs() as usize;
        if have + homes.len() > topic_max {
            return Err(Refusal::Partitions(format!(
                "A topic may have at most {topic_max} partitions."
            )));
        }
        if self.partitions + homes.len() > PARTITIONS_MAX {
            return Err(Refusal::Partitions(format!(
                "This node may have at most {PARTITIONS_MAX} partitions."
            )));
        }
        match homes.iter().find(|home| home.0 >= self.homes) {
            Some(home) => Err(Refusal::HomeUnknown(*home)),
            None => Ok(()),
        }
    }

    /// Applies a command, or refuses it and changes nothing.
    pub fn apply(&mut self, command: &Command) -> Result<Change, Refusal> {
        self.check(command)?;
        self.applied += 1;
        Ok(match command {
            Command::Found { cluster_id, broker } => {
                self.cluster_id.clone_from(cluster_id);
                self.brokers.insert(*broker);
                Change::Nothing
            }
            Command::SetHomes { count } => {
                self.homes = *count;
                self.home_load.resize(usize::from(*count), 0);
                Change::Nothing
            }
            Command::CreateTopic(new) => {
                self.insert(Topic {
                    id: new.id,
                    name: new.name.clone(),
                    internal: new.internal,
                    partitions: new.homes.iter().map(|home| spec(*home)).collect(),
                    configs: new.configs.clone(),
                });
                Change::TopicCreated(new.id)
            }
            Command::DeleteTopic { id } => Change::TopicDeleted(self.remove(*id)),
            Command::CreatePartitions { id, homes, .. } => {
                let mut topic = self.remove(*id);
                let from = topic.partitions.len();
                topic
                    .partitions
                    .extend(homes.iter().map(|home| spec(*home)));
                self.insert(topic);
                Change::PartitionsCreated { id: *id, from }
            }
            Command::SetConfigs { id, changes } => {
                let topic = self.topics.get_mut(id).expect("`check` found the topic");
                for (name, value) in changes {
                    match value {
                        Some(value) => topic.configs.insert(name.clone(), value.clone()),
                        None => topic.configs.remove(name),
                    };
                }
                Change::ConfigsSet(*id)
            }
            Command::AllocateProducerIds { count } => {
                let first = ProducerId(self.next_producer_id);
                self.next_producer_id += i64::from(*count);
                Change::ProducerIds {
                    first,
                    count: *count,
                }
            }
            Command::CreateRelation { name, statement } => {
                let relation = Relation {
                    id: self.applied,
                    statement: statement.clone(),
                };
                let id = relation.id;
                self.relations.insert(name.clone(), relation);
                Change::RelationCreated(id)
            }
            Command::DropRelation { name } => {
                let dropped = self.relations.remove(name);
                Change::RelationDropped(dropped.expect("`check` found the relation").id)
            }
            Command::AlterRelation {
                name,
                to,
                statement,
            } => {
                let old = self.relations.remove(name);
                let id = old.expect("`check` found the relation").id;
                let statement = statement.clone();
                self.relations
                    .insert(to.clone(), Relation { id, statement });
                Change::RelationAltered(id)
            }
        })
    }

    /// Sources, tables, views and sinks in the order of their names.
    pub fn relations(&self) -> impl Iterator<Item = (&str, &Relation)> {
        let relations = self.relations.iter();
        relations.map(|(name, relation)| (name.as_str(), relation))
    }

    fn insert(&mut self, topic: Topic) {
        for partition in &topic.partitions {
            self.home_load[usize::from(partition.home.0)] += 1;
        }
        self.partitions += topic.partitions.len();
        self.names.insert(topic.name.clone(), topic.id);
        self.folded_names
            .insert(fold(&topic.name), topic.name.clone());
        self.topics.insert(topic.id, topic);
    }

    fn remove(&mut self, id: TopicId) -> Topic {
        let topic = self.topics.remove(&id).expect("`check` found the topic");
        for partition in &topic.partitions {
            self.home_load[usize::from(partition.home.0)] -= 1;
        }
        self.partitions -= topic.partitions.len();
        self.names.remove(&topic.name);
        self.folded_names.remove(&fold(&topic.name));
        topic
    }

    /// The whole image; equal images give equal bytes.
    #[must_use]
    pub fn encode_snapshot(&self) -> Vec<u8> {
        let mut out = Encoder::default();
        out.u8(SNAPSHOT_VERSION);
        out.str(&self.cluster_id);
        out.u64(self.applied);
        out.u16(self.homes);
        out.i64(self.next_producer_id);
        out.count(self.brokers.len());
        for broker in &self.brokers {
            out.i32(broker.0);
        }
        out.count(self.topics.len());
        for topic in self.topics.values() {
            out.bytes(&topic.id.0);
            out.str(topic.name.as_str());
            out.u8(u8::from(topic.internal));
            out.count(topic.partitions.len());
            for partition in &topic.partitions {
                out.u16(partition.home.0);
            }
            encode_configs(&mut out, &topic.configs);
        }
        out.count(self.relations.len());
        for (name, relation) in &self.relations {
            out.str(name);
            out.u64(relation.id);
            out.str(&relation.statement);
        }
        out.finish()
    }

    pub fn decode_snapshot(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut from = Decoder::new(bytes);
        let version = from.u8()?;
        if version != SNAPSHOT_VERSION && version != SNAPSHOT_VERSION_BEFORE {
            return Err(DecodeError::Unknown {
                what: "snapshot version",
                found: u32::from(version),
                at: 0,
            });
        }
        let mut image = Self {
            cluster_id: from.str()?.to_owned(),
            applied: from.u64()?,
            homes: from.u16()?,
            next_producer_id: from.i64()?,
            ..Self::default()
        };
        image.home_load.resize(usize::from(image.homes), 0);
        for _ in 0..from.count(4)? {
            image.brokers.insert(BrokerId(from.i32()?));
        }
        for _ in 0..from.count(16)? {
            let topic = decode_topic(&mut from)?;
            if let Some(bad) = topic.partitions.iter().find(|p| p.home.0 >= image.homes) {
                let what = format!("topic {} is in home {}", topic.name, bad.home);
                return Err(DecodeError::Contradiction(what));
            }
            if image.topics.contains_key(&topic.id) || image.names.contains_key(&topic.name) {
                let what = format!("topic {} stands twice", topic.name);
                return Err(DecodeError::Contradiction(what));
            }
            image.insert(topic);
        }
        if version > SNAPSHOT_VERSION_BEFORE {
            for _ in 0..from.count(16)? {
                let name = from.str()?.to_owned();
                let relation = Relation {
                    id: from.u64()?,
                    statement: from.str()?.to_owned(),
                };
                if image.relations.insert(name.clone(), relation).is_some() {
                    let what = format!("relation {name} stands twice");
                    return Err(DecodeError::Contradiction(what));
                }
            }
        }
        from.finish()?;
        Ok(image)
    }
}

fn decode_topic(from: &mut Decoder<'_>) -> Result<Topic, DecodeError> {
    let id = TopicId(from.id()?);
    let name = decode_name(from)?;
    let internal = decode_flag(from)?;
    let count = from.count(2)?;
    let partitions = (0..count).map(|_| {
        Ok(PartitionSpec {
            home: HomeId(from.u16()?),
        })
    });
    let partitions = partitions.collect::<Result<_, _>>()?;
    Ok(Topic {
        id,
        name,
        internal,
        partitions,
        configs: decode_configs(from)?,
    })
}

fn spec(home: HomeId) -> PartitionSpec {
    PartitionSpec { home }
}

fn fold(name: &TopicName) -> String {
    name.as_str().replace('.', "_")
}

#[cfg(test)]
mod tests;
