//! What `@>` compares: documents without their order, numbers by their value.

use std::collections::{BTreeMap, BTreeSet};

use datafusion_common::DataFusionError;
use serde_json::value::RawValue;

use crate::{
    error::{raise, sqlstate},
    text::json,
};

/// Elements of one array times those of another that are looked at.
const COMPARED_MAX: usize = 16 << 20;

pub enum Tree {
    /// As `jsonb` writes it, numbers without zeros at their end.
    Plain(String),
    Array {
        plain: BTreeSet<String>,
        nested: Vec<Tree>,
    },
    Object(BTreeMap<String, Tree>),
}

impl Tree {
    /// `None` where a string is no text. Its depth is bounded where documents are read.
    pub fn of(part: &RawValue) -> Option<Self> {
        Some(match json::kind(part) {
            "array" => {
                let (mut plain, mut nested) = (BTreeSet::new(), Vec::new());
                for element in json::elements(part)? {
                    match Self::of(element)? {
                        Self::Plain(text) => drop(plain.insert(text)),
                        tree => nested.push(tree),
                    }
                }
                Self::Array { plain, nested }
            }
            "object" => {
                let members = json::members(part)?.into_iter();
                let members = members.map(|(name, value)| Some((name, Self::of(value)?)));
                Self::Object(members.collect::<Option<_>>()?)
            }
            "number" => {
                let mut text = json::jsonb(part)?;
                if text.contains('.') && !text.contains(['e', 'E']) {
                    let short = text.trim_end_matches('0').trim_end_matches('.').len();
                    text.truncate(short);
                }
                Self::Plain(text)
            }
            _ => Self::Plain(json::jsonb(part)?),
        })
    }

    /// Whether all that is in `part` is at the same places; an array is a set, and the outermost one may have a single value for
    /// an array of it.
    pub fn contains(&self, part: &Self) -> Result<bool, DataFusionError> {
        match (self, part) {
            (Self::Array { plain, .. }, Self::Plain(wanted)) => Ok(plain.contains(wanted)),
            _ => {
                let mut left = COMPARED_MAX;
                self.holds(part, &mut left)
            }
        }
    }

    fn holds(&self, part: &Self, left: &mut usize) -> Result<bool, DataFusionError> {
        let refused = || {
            let message = "these documents have too many parts to be compared";
            raise(sqlstate::PROGRAM_LIMIT_EXCEEDED, message)
        };
        *left = left.checked_sub(1).ok_or_else(refused)?;
        match (self, part) {
            (Self::Plain(one), Self::Plain(other)) => Ok(one == other),
            (
                Self::Array { plain, nested },
                Self::Array {
                    plain: wanted,
                    nested: parts,
                },
            ) => {
                if !wanted.is_subset(plain) {
                    return Ok(false);
                }
                for part in parts {
                    let mut is_there = false;
                    for element in nested {
                        is_there = is_there || element.holds(part, left)?;
                    }
                    if !is_there {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            (Self::Object(members), Self::Object(wanted)) => {
                for (name, part) in wanted {
                    let is_there = match members.get(name) {
                        Some(member) => member.holds(part, left)?,
                        None => false,
                    };
                    if !is_there {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}
