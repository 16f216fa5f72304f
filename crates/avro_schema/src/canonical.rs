//! One form for all texts of a schema that differ in how they are written alone.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::{full_name, primitive};

/// Gives the schema full names and takes what says nothing: `{"type": "string"}` is `"string"`, a namespace stands in its
/// name. Attributes that are not part of the specification stay as they are, and so do documentation and defaults.
pub fn canonical(json: &mut Value) {
    Names::default().schema(json, "");
}

/// Full names that are declared so far.
#[derive(Default)]
struct Names(BTreeSet<String>);

impl Names {
    fn schema(&mut self, json: &mut Value, space: &str) {
        match json {
            Value::String(name) if primitive(name).is_none() => {
                let full = full_name(name, space);
                // One of a schema that this one refers to may be in no namespace: then it stays as it is.
                if self.0.contains(&full) {
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
        let own = members.remove("namespace");
        let space = own.as_ref().and_then(Value::as_str).unwrap_or(space);
        let Some(Value::String(name)) = members.get_mut("name") else {
            return;
        };
        *name = full_name(name, space);
        self.0.insert(name.clone());
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
