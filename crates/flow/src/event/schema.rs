//! What messages are made of: as a `.proto` file, and compared with what they were.

use std::{any::TypeId, collections::BTreeMap, fmt::Write as _};

use super::{Enumeration, Event};

const WELL_KNOWN: &str = "google.protobuf.";

/// A field as it is declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldSchema {
    pub name: String,
    /// `optional`, `repeated` or nothing.
    pub label: String,
    /// As a `.proto` file names it.
    pub kind: String,
}

/// Messages and enums by name.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    messages: BTreeMap<String, BTreeMap<u32, FieldSchema>>,
    enums: BTreeMap<String, Vec<(String, i32)>>,
    types: BTreeMap<String, TypeId>,
    /// Names that two types have.
    clashes: Vec<String>,
}

/// A message that is being described.
pub struct Message<'a> {
    schema: &'a mut Schema,
    name: String,
}

impl Message<'_> {
    pub fn schema(&mut self) -> &mut Schema {
        self.schema
    }

    pub(super) fn field(&mut self, number: u32, label: &str, kind: &str, name: &str) {
        let field = FieldSchema {
            name: name.to_owned(),
            label: label.to_owned(),
            kind: kind.to_owned(),
        };
        let message = self.schema.messages.get_mut(&self.name);
        let message = message.expect("it was put there before it was described");
        message.insert(number, field);
    }
}

impl Schema {
    /// All that an event is made of.
    #[must_use]
    pub fn of<T: Event>() -> Self {
        let mut schema = Self::default();
        T::describe(&mut schema);
        schema
    }

    fn is_new<T: 'static>(&mut self, name: &str) -> bool {
        match self.types.get(name) {
            Some(known) => {
                if *known != TypeId::of::<T>() && !self.clashes.iter().any(|clash| clash == name) {
                    self.clashes.push(name.to_owned());
                }
                false
            }
            None => {
                self.types.insert(name.to_owned(), TypeId::of::<T>());
                true
            }
        }
    }

    /// Adds a message, once.
    pub fn message<T: Event>(&mut self, describe: impl FnOnce(&mut Message<'_>)) {
        let name = T::name();
        if !self.is_new::<T>(&name) {
            return;
        }
        self.messages.insert(name.clone(), BTreeMap::new());
        describe(&mut Message { schema: self, name });
    }

    /// Adds an enum, once; its name.
    pub fn enumeration<T: Enumeration>(&mut self) -> String {
        let name = T::name();
        if self.is_new::<T>(&name) {
            let values = T::values().iter();
            let values = values.map(|(name, number)| ((*name).to_owned(), *number));
            self.enums.insert(name.clone(), values.collect());
        }
        name
    }

    /// Names that two types have: their rows could not be told apart.
    #[must_use]
    pub fn clashes(&self) -> &[String] {
        &self.clashes
    }

    pub(crate) fn messages(&self) -> &BTreeMap<String, BTreeMap<u32, FieldSchema>> {
        &self.messages
    }

    pub(crate) fn enums(&self) -> &BTreeMap<String, Vec<(String, i32)>> {
        &self.enums
    }

    /// As a `.proto` file.
    #[must_use]
    pub fn to_proto(&self) -> String {
        let mut out = String::from("syntax = \"proto3\";\n");
        for (name, values) in &self.enums {
            let _ = writeln!(out, "\nenum {} {{", flat(name));
            for (value, number) in values {
                // Values of all enums of a file share one scope.
                let _ = writeln!(out, "  {}_{value} = {number};", flat(name).to_uppercase());
            }
            out.push_str("}\n");
        }
        let own = self.messages.iter();
        for (name, fields) in own.filter(|(name, _)| !name.starts_with(WELL_KNOWN)) {
            let _ = writeln!(out, "\nmessage {} {{", flat(name));
            for (number, field) in fields {
                let label = match field.label.is_empty() {
                    true => String::new(),
                    false => format!("{} ", field.label),
                };
                let kind = reference(&field.kind);
                let _ = writeln!(out, "  {label}{kind} {} = {number};", field.name);
            }
            out.push_str("}\n");
        }
        out
    }
}

/// A name without a package: what is written stands in none.
pub(crate) fn flat(name: &str) -> String {
    match name.starts_with(WELL_KNOWN) {
        true => format!(".{name}"),
        false => name.replace('.', "_"),
    }
}

fn reference(kind: &str) -> String {
    match kind.strip_prefix("map<").and_then(|k| k.strip_suffix('>')) {
        Some(both) => {
            let (key, value) = both.split_once(',').unwrap_or((both, ""));
            format!("map<{}, {}>", flat(key), flat(value))
        }
        None => flat(kind),
    }
}
