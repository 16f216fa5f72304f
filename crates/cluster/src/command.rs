//! Commands: the entries of the metadata log.
//!
//! # Layout
//! `version u8 | tag u8 | fields`, integers little-endian, strings behind a 32-bit length, an absent value as tag 0.
//! A new field means a new tag, so that an older program refuses what it would misread.

use std::collections::BTreeMap;

use base::{BrokerId, TopicId, TopicName};

use crate::{
    codec::{DecodeError, Decoder, Encoder},
    image::HomeId,
};

const VERSION: u8 = 1;

const FOUND: u8 = 1;
const SET_HOMES: u8 = 2;
const CREATE_TOPIC: u8 = 3;
const DELETE_TOPIC: u8 = 4;
const CREATE_PARTITIONS: u8 = 5;
const SET_CONFIGS: u8 = 6;
const ALLOCATE_PRODUCER_IDS: u8 = 7;
const CREATE_RELATION: u8 = 8;
const DROP_RELATION: u8 = 9;
const ALTER_RELATION: u8 = 10;

/// One change of the metadata. Ids and placements are decided by whoever proposes it; applying it decides nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// First of every metadata log: which cluster this is and which broker holds it.
    Found {
        cluster_id: String,
        broker: BrokerId,
    },
    /// The broker's homes are now `0..count`; never fewer than before.
    SetHomes {
        count: u16,
    },
    CreateTopic(NewTopic),
    DeleteTopic {
        id: TopicId,
    },
    /// Appends partitions in these homes to the `have` there are: refused when others were appended meanwhile.
    CreatePartitions {
        id: TopicId,
        have: u32,
        homes: Vec<HomeId>,
    },
    /// Sets configs, or with `None` takes them back to their default.
    SetConfigs {
        id: TopicId,
        changes: BTreeMap<String, Option<String>>,
    },
    /// Hands out the next `count` producer ids.
    AllocateProducerIds {
        count: u32,
    },
    /// A source, table, view or sink, by the statement that makes it.
    CreateRelation {
        name: String,
        statement: String,
    },
    DropRelation {
        name: String,
    },
    /// Another statement and perhaps another name for a relation, which keeps its id: with that its place among the others.
    AlterRelation {
        name: String,
        to: String,
        statement: String,
    },
}

/// A topic as it will be: partition `i` lives in `homes[i]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    pub id: TopicId,
    pub name: TopicName,
    /// Not for clients to write or delete (offsets and the like).
    pub internal: bool,
    pub homes: Vec<HomeId>,
    pub configs: BTreeMap<String, String>,
}

impl Command {
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::default();
        out.u8(VERSION);
        match self {
            Self::Found { cluster_id, broker } => {
                out.u8(FOUND);
                out.str(cluster_id);
                out.i32(broker.0);
            }
            Self::SetHomes { count } => {
                out.u8(SET_HOMES);
                out.u16(*count);
            }
            Self::CreateTopic(topic) => {
                out.u8(CREATE_TOPIC);
                out.bytes(&topic.id.0);
                out.str(topic.name.as_str());
                out.u8(u8::from(topic.internal));
                encode_homes(&mut out, &topic.homes);
                encode_configs(&mut out, &topic.configs);
            }
            Self::DeleteTopic { id } => {
                out.u8(DELETE_TOPIC);
                out.bytes(&id.0);
            }
            Self::CreatePartitions { id, have, homes } => {
                out.u8(CREATE_PARTITIONS);
                out.bytes(&id.0);
                out.u32(*have);
                encode_homes(&mut out, homes);
            }
            Self::SetConfigs { id, changes } => {
                out.u8(SET_CONFIGS);
                out.bytes(&id.0);
                out.count(changes.len());
                for (name, value) in changes {
                    out.str(name);
                    out.u8(u8::from(value.is_some()));
                    out.str(value.as_deref().unwrap_or_default());
                }
            }
            Self::AllocateProducerIds { count } => {
                out.u8(ALLOCATE_PRODUCER_IDS);
                out.u32(*count);
            }
            Self::CreateRelation { name, statement } => {
                out.u8(CREATE_RELATION);
                out.str(name);
                out.str(statement);
            }
            Self::DropRelation { name } => {
                out.u8(DROP_RELATION);
                out.str(name);
            }
            Self::AlterRelation {
                name,
                to,
                statement,
            } => {
                out.u8(ALTER_RELATION);
                out.str(name);
                out.str(to);
                out.str(statement);
            }
        }
        out.finish()
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut from = Decoder::new(bytes);
        let version = from.u8()?;
        if version != VERSION {
            return Err(DecodeError::Unknown {
                what: "command version",
                found: u32::from(version),
                at: 0,
            });
        }
        let command = match from.u8()? {
            FOUND => Self::Found {
                cluster_id: from.str()?.to_owned(),
                broker: BrokerId(from.i32()?),
            },
            SET_HOMES => Self::SetHomes { count: from.u16()? },
            CREATE_TOPIC => Self::CreateTopic(NewTopic {
                id: TopicId(from.id()?),
                name: decode_name(&mut from)?,
                internal: decode_flag(&mut from)?,
                homes: decode_homes(&mut from)?,
                configs: decode_configs(&mut from)?,
            }),
            DELETE_TOPIC => Self::DeleteTopic {
                id: TopicId(from.id()?),
            },
            CREATE_PARTITIONS => Self::CreatePartitions {
                id: TopicId(from.id()?),
                have: from.u32()?,
                homes: decode_homes(&mut from)?,
            },
            SET_CONFIGS => Self::SetConfigs {
                id: TopicId(from.id()?),
                changes: decode_changes(&mut from)?,
            },
            ALLOCATE_PRODUCER_IDS => Self::AllocateProducerIds { count: from.u32()? },
            CREATE_RELATION => Self::CreateRelation {
                name: from.str()?.to_owned(),
                statement: from.str()?.to_owned(),
            },
            DROP_RELATION => Self::DropRelation {
                name: from.str()?.to_owned(),
            },
            ALTER_RELATION => Self::AlterRelation {
                name: from.str()?.to_owned(),
                to: from.str()?.to_owned(),
                statement: from.str()?.to_owned(),
            },
            found => {
                return Err(DecodeError::Unknown {
                    what: "command tag",
                    found: u32::from(found),
                    at: 1,
                });
            }
        };
        from.finish()?;
        Ok(command)
    }
}

fn encode_homes(out: &mut Encoder, homes: &[HomeId]) {
    out.count(homes.len());
    for home in homes {
        out.u16(home.0);
    }
}

fn decode_homes(from: &mut Decoder<'_>) -> Result<Vec<HomeId>, DecodeError> {
    let count = from.count(2)?;
    (0..count).map(|_| Ok(HomeId(from.u16()?))).collect()
}

pub(crate) fn encode_configs(out: &mut Encoder, configs: &BTreeMap<String, String>) {
    out.count(configs.len());
    for (name, value) in configs {
        out.str(name);
        out.str(value);
    }
}

pub(crate) fn decode_configs(
    from: &mut Decoder<'_>,
) -> Result<BTreeMap<String, String>, DecodeError> {
    let count = from.count(8)?;
    (0..count)
        .map(|_| Ok((from.str()?.to_owned(), from.str()?.to_owned())))
        .collect()
}

fn decode_changes(from: &mut Decoder<'_>) -> Result<BTreeMap<String, Option<String>>, DecodeError> {
    let count = from.count(9)?;
    (0..count)
        .map(|_| {
            let name = from.str()?.to_owned();
            let is_set = decode_flag(from)?;
            let value = from.str()?;
            Ok((name, is_set.then(|| value.to_owned())))
        })
        .collect()
}

pub(crate) fn decode_flag(from: &mut Decoder<'_>) -> Result<bool, DecodeError> {
    let at = from.at();
    match from.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        found => Err(DecodeError::Unknown {
            what: "flag",
            found: u32::from(found),
            at,
        }),
    }
}

pub(crate) fn decode_name(from: &mut Decoder<'_>) -> Result<TopicName, DecodeError> {
    let name = from.str()?;
    TopicName::new(name).map_err(|_| DecodeError::Name { at: from.at() })
}

#[cfg(test)]
mod tests;
