//! What a step's state was made of, and whether it may be what it is now.
//!
//! # Layout
//! Text, a line for each thing, in front of a step's entries in every run of its checkpoints:
//! ```text
//! key MESSAGE
//! state NUMBER KIND ENTRY VALUE NAME      of a state; ENTRY is - where a key has one value
//! field MESSAGE NUMBER LABEL KIND NAME    of a message; LABEL is - where there is none
//! enum ENUM NUMBER NAME                   a value of an enum
//! was …                                   as above, of what is gone
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::{
    event::{Event, Schema},
    state::{State, StateField},
};

/// The schema of a step's state; sorted, so that equal ones are equal as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StepSchema {
    key: String,
    /// Number to kind, entry, value, name.
    states: BTreeMap<u8, [String; 4]>,
    /// Message and number to label, kind, name.
    fields: BTreeMap<(String, u32), [String; 3]>,
    /// Enum and number to name.
    enums: BTreeMap<(String, i32), String>,
    gone_states: BTreeMap<u8, [String; 4]>,
    gone_fields: BTreeMap<(String, u32), [String; 3]>,
    gone_enums: BTreeMap<(String, i32), String>,
}

const NONE: &str = "-";
const ORDERED: &str = "ordered-map";

impl StepSchema {
    pub fn of<K: Event, S: State>() -> Self {
        let mut schema = Self {
            key: K::name(),
            ..Self::default()
        };
        let mut types = Schema::of::<K>();
        for StateField {
            number,
            name,
            shape,
        } in S::fields()
        {
            let entry = shape.entry.map_or(NONE.to_owned(), |(entry, _)| entry);
            let kind = shape.kind.replace(' ', "-");
            schema
                .states
                .insert(number, [kind, entry, shape.value, name.to_owned()]);
            (shape.describe)(&mut types);
        }
        schema.add(&types);
        schema
    }

    fn add(&mut self, schema: &Schema) {
        for (message, fields) in schema.messages() {
            for (number, field) in fields {
                let label = match field.label.is_empty() {
                    true => NONE.to_owned(),
                    false => field.label.clone(),
                };
                let field = [label, field.kind.clone(), field.name.clone()];
                self.fields.insert((message.clone(), *number), field);
            }
        }
        for (name, values) in schema.enums() {
            for (value, number) in values {
                self.enums.insert((name.clone(), *number), value.clone());
            }
        }
    }

    pub fn to_text(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(out, "key {}", self.key);
        for (was, states) in [("", &self.states), ("was ", &self.gone_states)] {
            for (number, parts) in states {
                let _ = writeln!(out, "{was}state {number} {}", parts.join(" "));
            }
        }
        for (was, fields) in [("", &self.fields), ("was ", &self.gone_fields)] {
            for ((message, number), parts) in fields {
                let _ = writeln!(out, "{was}field {message} {number} {}", parts.join(" "));
            }
        }
        for (was, values) in [("", &self.enums), ("was ", &self.gone_enums)] {
            for ((name, number), value) in values {
                let _ = writeln!(out, "{was}enum {name} {number} {value}");
            }
        }
        out
    }

    pub fn from_text(text: &str) -> Option<Self> {
        let mut schema = Self::default();
        for line in text.lines() {
            let (is_gone, line) = match line.strip_prefix("was ") {
                Some(line) => (true, line),
                None => (false, line),
            };
            let words: Vec<&str> = line.split(' ').collect();
            let owned = |at: usize| words[at].to_owned();
            match words.as_slice() {
                ["key", key] => schema.key = (*key).to_owned(),
                ["state", number, _, _, _, _] => {
                    let states = match is_gone {
                        true => &mut schema.gone_states,
                        false => &mut schema.states,
                    };
                    states.insert(
                        number.parse().ok()?,
                        [owned(2), owned(3), owned(4), owned(5)],
                    );
                }
                ["field", message, number, _, _, _] => {
                    let fields = match is_gone {
                        true => &mut schema.gone_fields,
                        false => &mut schema.fields,
                    };
                    let at = ((*message).to_owned(), number.parse().ok()?);
                    fields.insert(at, [owned(3), owned(4), owned(5)]);
                }
                ["enum", name, number, value] => {
                    let values = match is_gone {
                        true => &mut schema.gone_enums,
                        false => &mut schema.enums,
                    };
                    let at = ((*name).to_owned(), number.parse().ok()?);
                    values.insert(at, (*value).to_owned());
                }
                _ => return None,
            }
        }
        Some(schema)
    }

    /// Only what there is now.
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.key, &self.states) == (&other.key, &other.states)
            && (&self.fields, &self.enums) == (&other.fields, &other.enums)
    }

    /// This schema with what is gone of the one before it; or why it may not follow that.
    pub fn after(mut self, before: &Self) -> Result<Self, String> {
        if self.key != before.key {
            return Err(format!(
                "its key was {}, it is {} now",
                before.key, self.key
            ));
        }
        self.states_after(before)?;
        self.fields_after(before)?;
        self.enums_after(before)?;
        Ok(self)
    }

    /// Messages whose bytes are compared, each with whether their order counts too: those that keys are made of, and what
    /// tells entries of one key apart.
    fn key_messages(&self) -> BTreeMap<&str, bool> {
        let mut found = BTreeMap::new();
        let entries = self.states.values().filter(|state| state[1] != NONE);
        let entries = entries.map(|state| (state[1].as_str(), state[0] == ORDERED));
        let mut open: Vec<(&str, bool)> = entries.chain([(self.key.as_str(), false)]).collect();
        while let Some((message, is_ordered)) = open.pop() {
            let known = found.get(message).copied();
            if known.is_some_and(|known| known || !is_ordered) {
                continue;
            }
            found.insert(message, is_ordered);
            let fields = self.fields.iter().filter(|((of, _), _)| of == message);
            for (_, [_, kind, _]) in fields {
                let value = kind
                    .strip_prefix("map<")
                    .and_then(|both| both.split_once(','));
                let kind = value.map_or(kind.as_str(), |(_, value)| value.trim_end_matches('>'));
                open.push((kind, is_ordered));
            }
        }
        found
    }

    fn states_after(&mut self, before: &Self) -> Result<(), String> {
        for number in before.gone_states.keys() {
            if self.states.contains_key(number) {
                return Err(format!(
                    "number {number} was that of another state once: take one that was never used"
                ));
            }
        }
        self.gone_states = before.gone_states.clone();
        for (number, was) in &before.states {
            let [kind, entry, value, name] = was;
            match self.states.get(number) {
                Some(is) if is[..3] == was[..3] => {}
                Some(is) => {
                    return Err(format!(
                        "state {number}, {name}, was {}, it is {} now",
                        described(kind, entry, value),
                        described(&is[0], &is[1], &is[2]),
                    ));
                }
                None => {
                    self.gone_states.insert(*number, was.clone());
                    let moved = self.states.iter().find(|(_, is)| is[3] == *name);
                    if let Some((to, _)) = moved {
                        return Err(format!("state {name} had number {number}, it has {to} now"));
                    }
                }
            }
        }
        Ok(())
    }

    fn fields_after(&mut self, before: &Self) -> Result<(), String> {
        let keys = before.key_messages();
        self.ordered_after(before, &keys)?;
        let known = before.gone_fields.iter().chain(&before.fields);
        for ((message, number), was) in known {
            let at = (message.clone(), *number);
            let key = keys.get(message.as_str()).copied();
            match self.fields.get(&at) {
                Some(is) if key.is_some() && !may_become_in_key(was, is, key == Some(true)) => {
                    return Err(format!(
                        "field {number} of {message}, {}, was {}, it is {} now: the bytes of keys with it would be others",
                        was[2],
                        typed(was),
                        typed(is)
                    ));
                }
                Some(is) if may_become(was, is) => {}
                Some(is) => {
                    return Err(format!(
                        "field {number} of {message}, {}, was {}, it is {} now",
                        was[2],
                        typed(was),
                        typed(is)
                    ));
                }
                None => {
                    let mut fields = self.fields.iter();
                    let is_current = before.fields.contains_key(&at);
                    let moved = fields.find(|((other, _), is)| other == message && is[2] == was[2]);
                    if let (true, Some(((_, to), _))) = (is_current, moved) {
                        return Err(format!(
                            "field {} of {message} had number {number}, it has {to} now",
                            was[2]
                        ));
                    }
                    if let (true, Some(_)) = (is_current, key) {
                        return Err(format!(
                            "field {number} of {message}, {}, is part of a key: it cannot go",
                            was[2]
                        ));
                    }
                    self.gone_fields.insert(at, was.clone());
                }
            }
        }
        Ok(())
    }

    /// Keys of ordered maps are written by the program: a field more would make others of them.
    fn ordered_after(&self, before: &Self, keys: &BTreeMap<&str, bool>) -> Result<(), String> {
        let is_ordered = |message: &str| keys.get(message) == Some(&true);
        let mut added = self
            .fields
            .iter()
            .filter(|(at, _)| is_ordered(&at.0) && !before.fields.contains_key(*at));
        match added.next() {
            Some(((message, number), is)) => Err(format!(
                "field {number} of {message}, {}, is new, and that is a key of an ordered map",
                is[2]
            )),
            None => Ok(()),
        }
    }

    fn enums_after(&mut self, before: &Self) -> Result<(), String> {
        for (at, value) in before.gone_enums.iter().chain(&before.enums) {
            if self.enums.contains_key(at) {
                continue;
            }
            let (name, number) = at;
            if self.enums.keys().any(|(other, _)| other == name) {
                return Err(format!(
                    "{name} had the value {value}, {number}: it may have another name, but it cannot go"
                ));
            }
            self.gone_enums.insert(at.clone(), value.clone());
        }
        Ok(())
    }
}

fn described(kind: &str, entry: &str, value: &str) -> String {
    match entry {
        NONE => format!("a {kind} of {value}"),
        entry => format!("a {kind} of {value} by {entry}"),
    }
}

fn typed(field: &[String; 3]) -> String {
    match field[0].as_str() {
        NONE => field[1].clone(),
        label => format!("{label} {}", field[1]),
    }
}

/// Whether equal values of both have equal bytes.
fn may_become_in_key(was: &[String; 3], is: &[String; 3], is_ordered: bool) -> bool {
    was[..2] == is[..2] || (!is_ordered && was[0] == is[0] && may_become(was, is))
}

/// Whether bytes written as one are read as the other without loss.
fn may_become(was: &[String; 3], is: &[String; 3]) -> bool {
    let is_single = |label: &str| matches!(label, NONE | "optional");
    let labels_fit = was[0] == is[0] || (is_single(&was[0]) && is_single(&is[0]));
    let widens = matches!(
        (was[1].as_str(), is[1].as_str()),
        ("int32", "int64")
            | ("uint32", "uint64" | "int64")
            | ("sint32", "sint64")
            | ("bool", "int32" | "int64" | "uint32" | "uint64")
            | ("string", "bytes")
    );
    labels_fit && (was[1] == is[1] || widens)
}

#[cfg(test)]
mod tests;
