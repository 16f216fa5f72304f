//! What there is, with the numbers by which PostgreSQL's relations refer to it.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use super::{FIRST_OID, INDEX_OID, SCHEMAS};
use crate::{
    catalog::{Catalog, Relation, RelationKind},
    column_type::{DEFAULT_KEY, NOT_NULL_KEY, PostgresType, postgres_type, postgres_types},
    statement::{self, StatementKind},
};

/// Numbers of relations of which clients know them by heart.
const WELL_KNOWN: &[(&str, u32)] = &[
    ("pg_type", 1247),
    ("pg_attribute", 1249),
    ("pg_proc", 1255),
    ("pg_class", 1259),
    ("pg_authid", 1260),
    ("pg_database", 1262),
    ("pg_constraint", 2606),
    ("pg_index", 2610),
    ("pg_namespace", 2615),
];
const SYSTEM_OID: u32 = 12_000;

/// A relation.
#[derive(Clone, Debug)]
pub struct Object {
    pub oid: u32,
    pub namespace: u32,
    /// Without its schema.
    pub name: String,
    /// `r`, `m`, `f`: a table, a view that is kept up to date, a source.
    pub kind: char,
    pub relation: Arc<Relation>,
}

/// All but sinks and indexes, which nobody reads.
pub fn all(catalog: &Catalog) -> Vec<Object> {
    let mut system = SYSTEM_OID;
    let relations = catalog
        .relations()
        .filter(|relation| !matches!(relation.kind, RelationKind::Sink | RelationKind::Index));
    relations
        .map(|relation| {
            let (schema, name) = relation
                .name
                .split_once('.')
                .unwrap_or(("public", &relation.name));
            let namespace = SCHEMAS.iter().find(|(_, known)| *known == schema);
            let is_system = relation.kind == RelationKind::System;
            let oid = if is_system {
                system += 1;
                let known = WELL_KNOWN.iter().find(|(known, _)| *known == name);
                known.map_or(system, |(_, oid)| *oid)
            } else {
                FIRST_OID + (relation.id.0 % u64::from(INDEX_OID - FIRST_OID)) as u32
            };
            Object {
                oid,
                namespace: namespace.map_or(2200, |(oid, _)| *oid),
                name: name.to_owned(),
                kind: match relation.kind {
                    RelationKind::Source => 'f',
                    RelationKind::View => 'm',
                    RelationKind::System if schema != "pg_catalog" => 'v',
                    RelationKind::Index => 'i',
                    RelationKind::Table | RelationKind::System | RelationKind::Sink => 'r',
                },
                relation: relation.clone(),
            }
        })
        .collect()
}

impl Object {
    pub fn schema_name(&self) -> &'static str {
        let found = SCHEMAS.iter().find(|(oid, _)| *oid == self.namespace);
        found.map_or("public", |(_, name)| name)
    }

    pub fn is_system(&self) -> bool {
        self.relation.kind == RelationKind::System
    }

    pub fn schema(&self) -> &SchemaRef {
        &self.relation.schema
    }

    /// Columns, from number 1.
    pub fn columns(&self) -> impl Iterator<Item = (usize, &str, PostgresType, bool)> {
        self.schema()
            .fields()
            .iter()
            .enumerate()
            .map(|(at, field)| {
                // Those of a view may be null: they are what it groups by.
                let is_key = self.relation.kind == RelationKind::Table
                    && self.key().is_some_and(|key| key.contains(&at));
                let not_null =
                    !self.is_system() && (is_key || field.metadata().contains_key(NOT_NULL_KEY));
                (
                    at + 1,
                    field.name().as_str(),
                    postgres_type(field),
                    not_null,
                )
            })
    }

    /// Numbers of columns that have a DEFAULT, and those.
    pub fn defaults(&self) -> impl Iterator<Item = (usize, &str)> {
        let is_table = self.relation.kind == RelationKind::Table;
        let fields = self.schema().fields().iter().enumerate();
        fields.filter_map(move |(at, field)| {
            let default = field.metadata().get(DEFAULT_KEY).filter(|_| is_table)?;
            Some((at + 1, default.as_str()))
        })
    }

    /// Places of its key's columns.
    pub fn key(&self) -> Option<&[usize]> {
        self.relation
            .key
            .as_deref()
            .filter(|key| !key.is_empty() && !self.is_system())
    }

    /// Of tables; what a view happens to be unique by is an index, and no constraint.
    pub fn is_key_declared(&self) -> bool {
        self.relation.kind == RelationKind::Table
    }

    pub fn index_oid(&self) -> u32 {
        INDEX_OID + (self.oid - FIRST_OID.min(self.oid))
    }

    pub fn index_name(&self) -> String {
        let end = if self.is_key_declared() {
            "pkey"
        } else {
            "key"
        };
        format!("{}_{end}", self.name)
    }

    /// Names of the key's columns, as a list.
    pub fn key_list(&self) -> String {
        let fields = self.schema().fields();
        let key = self.key().unwrap_or_default().iter();
        let names = key
            .filter_map(|at| fields.get(*at))
            .map(|field| quote_ident(field.name()));
        names.collect::<Vec<_>>().join(", ")
    }

    pub fn index_definition(&self) -> String {
        format!(
            "CREATE UNIQUE INDEX {} ON {}.{} USING btree ({})",
            quote_ident(&self.index_name()),
            self.schema_name(),
            quote_ident(&self.name),
            self.key_list()
        )
    }

    /// The query of a view.
    pub fn query(&self) -> Option<String> {
        let parsed = statement::parse(&self.relation.definition).ok()?.pop()?;
        match parsed.kind {
            StatementKind::CreateView(view) => Some(view.query.to_string()),
            _ => None,
        }
    }

    /// A name without a schema finds it.
    pub fn is_visible(&self) -> bool {
        matches!(self.schema_name(), "public" | "pg_catalog")
    }

    /// As `regclass` shows it: with the schema where it is not found without.
    pub fn shown(&self) -> String {
        if self.is_visible() {
            quote_ident(&self.name)
        } else {
            format!("{}.{}", self.schema_name(), quote_ident(&self.name))
        }
    }
}

/// A relation by the text of its name, as `regclass` reads it.
pub fn find<'o>(objects: &'o [Object], text: &str) -> Option<&'o Object> {
    let parts = identifiers(text)?;
    let (schema, name) = match &parts[..] {
        [name] => (None, name),
        [schema, name] => (Some(schema.as_str()), name),
        [_, schema, name] => (Some(schema.as_str()), name),
        _ => return None,
    };
    let visible = |object: &&Object| match schema {
        Some(schema) => object.schema_name() == schema,
        None => object.is_visible(),
    };
    let mut found = objects
        .iter()
        .filter(|object| object.name == *name)
        .filter(visible);
    // What users made comes first.
    let first = found.next()?;
    Some(found.find(|object| !object.is_system()).unwrap_or(first))
}

/// Parts of a name with dots, quoted or folded to lower case.
pub fn identifiers(text: &str) -> Option<Vec<String>> {
    let mut parts = vec![String::new()];
    let mut characters = text.trim().chars().peekable();
    while let Some(character) = characters.next() {
        let last = parts.last_mut()?;
        match character {
            '.' => parts.push(String::new()),
            '"' => loop {
                match characters.next()? {
                    '"' if characters.peek() == Some(&'"') => {
                        characters.next();
                        last.push('"');
                    }
                    '"' => break,
                    other => last.push(other),
                }
            },
            other => last.extend(other.to_lowercase()),
        }
    }
    Some(parts)
}

/// A name as it must be written.
pub fn quote_ident(name: &str) -> String {
    let plain = |c: char| c == '_' || c.is_ascii_lowercase() || c.is_ascii_digit();
    let begins = name.starts_with(|c: char| c == '_' || c.is_ascii_lowercase());
    if begins && name.chars().all(plain) && !RESERVED.split(' ').any(|word| word == name) {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

/// Words of Postgres that are no bare names of columns and relations everywhere: `pg_get_keywords()` says of them that they
/// are not "unreserved".
const RESERVED: &str = "all analyse analyze and any array as asc asymmetric authorization between bigint binary bit boolean both case \
    cast char character check coalesce collate collation column concurrently constraint create cross \
    current_catalog current_date current_role current_schema current_time current_timestamp current_user dec \
    decimal default deferrable desc distinct do else end except exists extract false fetch float for foreign \
    freeze from full grant greatest group grouping having ilike in initially inner inout int integer intersect \
    interval into is isnull join json json_array json_arrayagg json_exists json_object json_objectagg json_query \
    json_scalar json_serialize json_table json_value lateral leading least left like limit localtime \
    localtimestamp merge_action national natural nchar none normalize not notnull null nullif numeric offset on \
    only or order out outer overlaps overlay placing position precision primary real references returning right \
    row select session_user setof similar smallint some substring symmetric system_user table tablesample then \
    time timestamp to trailing treat trim true union unique user using values varchar variadic verbose when where \
    window with xmlattributes xmlconcat xmlelement xmlexists xmlforest xmlnamespaces xmlparse xmlpi xmlroot \
    xmlserialize xmltable";

/// A text as it must be written.
pub fn quote_literal(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    match doubled.contains('\\') {
        true => format!("E'{}'", doubled.replace('\\', "\\\\")),
        false => format!("'{doubled}'"),
    }
}

/// A type by the text of its name, as `regtype` reads it.
pub fn find_type(text: &str) -> Option<PostgresType> {
    let text = text.trim();
    let bare = text.strip_prefix("pg_catalog.").unwrap_or(text);
    let lower = bare.trim_matches('"').to_lowercase();
    let alias = match lower.as_str() {
        "int" => "int4",
        "decimal" => "numeric",
        "char" if !bare.starts_with('"') => "bpchar",
        "float" => "float8",
        other => other,
    };
    postgres_types().find(|found| found.name == alias || found.long_name == alias)
}

/// As `format_type` writes it.
pub fn format_type(oid: u32, modifier: Option<i32>) -> String {
    let found = postgres_types().find(|found| found.oid == oid);
    let Some(found) = found else {
        return if oid == 0 { "-" } else { "???" }.to_owned();
    };
    let modifier = modifier
        .filter(|modifier| *modifier >= 4)
        .map(|modifier| modifier - 4);
    match (found.name, modifier) {
        ("numeric", Some(modifier)) => {
            format!("numeric({},{})", modifier >> 16, modifier & 0x7ff)
        }
        ("varchar" | "bpchar", Some(modifier)) => format!("{}({modifier})", found.long_name),
        _ => found.long_name.to_owned(),
    }
}
