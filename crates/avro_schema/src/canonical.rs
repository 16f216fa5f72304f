//! One form for all texts of a schema that differ in how they are written alone.
//!
//! # Limits
//! `NAMES_BYTES_MAX` of names that are written in full; those behind stay as they are.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::{full_name, primitive};

/// A text may name a type in each of its few bytes, and its name may be hundreds.
const NAMES_BYTES_MAX: usize = 4 << 20;

/// Gives the schema full names and takes what says nothing: `{"type": "string"}` is `"string"`, a namespace stands in its
/// name. Attributes that are not part of the specification stay as they are, and so do documentation and defaults.
pub fn canonical(json: &mut Value) {
    Names::default().schema(json, "");
}

#[derive(Default)]
struct Names {
    /// Full names that are declared so far.
    declared: BTreeSet<String>,
    /// Of those that are written.
    bytes: usize,
}

impl Names {
    fn full(&mut self, name: &str, space: &str) -> Option<String> {
        let full = full_name(name, space)?;
        self.bytes += full.len();
        (self.bytes <= NAMES_BYTES_MAX).then_some(full)
    }

    fn schema(&mut self, json: &mut Value, space: &str) {
        match json {
            Value::String(name) if primitive(name).is_none() => {
                // One of a schema that this one refers to may be in no namespace: then it stays as it is.
                if let Some(full) = self.full(name, space)
                    && self.declared.contains(&full)
                {
                    *name = full;
                }
            }
            Value::Array(branches) => {
                for branch in branches {
                    self.schema(branch, space);
                }
            }
            Value::Object(members) => {
                self.members(members, space);
                if members.len() == 1
                    && let Some(alone) = members.remove("type")
                {
                    *json = alone;
                }
            }
            _ => {}
        }
    }

    fn members(&mut self, members: &mut Map<String, Value>, space: &str) {
        let inner = match members.get("type").and_then(Value::as_str) {
            Some("record" | "error" | "enum" | "fixed") => return self.named(members, space),
            Some("array") => "items",
            Some("map") => "values",
            _ => "type",
        };
        if let Some(inner) = members.get_mut(inner) {
            self.schema(inner, space);
        }
    }

    /// A record, an enum or a fixed.
    fn named(&mut self, members: &mut Map<String, Value>, space: &str) {
        let own = members.get("namespace").and_then(Value::as_str);
        let name = members.get("name").and_then(Value::as_str);
        let Some(name) = name.and_then(|name| self.full(name, own.unwrap_or(space))) else {
            return;
        };
        members.remove("namespace");
        members.insert("name".to_owned(), Value::String(name.clone()));
        self.declared.insert(name.clone());
        let space = name.rsplit_once('.').map_or("", |(space, _)| space);
        let space = space.to_owned();
        let Some(Value::Array(fields)) = members.get_mut("fields") else {
            return;
        };
        for field in fields {
            if let Value::Object(field) = field {
                if let Some(declared) = field.get_mut("type") {
                    self.schema(declared, &space);
                }
                if field.get("order").and_then(Value::as_str) == Some("ascending") {
                    field.remove("order");
                }
            }
        }
    }
}
