//! What there is, with the numbers by which PostgreSQL's relations refer to it.

use std::{collections::BTreeMap, sync::Arc};

use arrow::datatypes::SchemaRef;
use datafusion_sql::sqlparser::{dialect::PostgreSqlDialect, parser::Parser, tokenizer::Token};

use super::{FIRST_OID, INDEX_OID, SCHEMAS};
use crate::{
    catalog::{Catalog, Relation, RelationKind},
    column_type::{
        DEFAULT_KEY, NOT_NULL_KEY, PostgresType, field_of, postgres_type, postgres_types,
    },
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
    /// That of its key first.
    pub indexes: Vec<Index>,
}

/// By which rows of a relation are found.
#[derive(Clone, Debug)]
pub struct Index {
    pub oid: u32,
    pub name: String,
    /// Places of its columns in the relation.
    pub columns: Vec<usize>,
    /// No two rows share what these columns have.
    pub is_unique: bool,
    /// Of a table's PRIMARY KEY; what a view happens to be unique by is no constraint.
    pub is_primary: bool,
}

/// All but sinks, which nobody reads; indexes stand with what they are of.
pub fn all(catalog: &Catalog) -> Vec<Object> {
    let mut indexes: BTreeMap<&str, Vec<Index>> = BTreeMap::new();
    for made in catalog.relations() {
        if let (RelationKind::Index, [of], Some(columns)) = (made.kind, &made.reads[..], &made.key)
        {
            indexes.entry(of).or_default().push(Index {
                oid: user_oid(made),
                name: made.name.clone(),
                columns: columns.clone(),
                is_unique: false,
                is_primary: false,
            });
        }
    }
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
                user_oid(relation)
            };
            let made = indexes.remove(relation.name.as_str()).unwrap_or_default();
            Object {
                oid,
                namespace: namespace.map_or(2200, |(oid, _)| *oid),
                name: name.to_owned(),
                kind: match relation.kind {
                    RelationKind::Source => 'f',
                    RelationKind::View => 'm',
                    RelationKind::System if schema != "pg_catalog" => 'v',
                    _ => 'r',
                },
                relation: relation.clone(),
                indexes: key_index(relation, name, oid)
                    .into_iter()
                    .chain(made)
                    .collect(),
            }
        })
        .collect()
}

fn user_oid(relation: &Relation) -> u32 {
    FIRST_OID + (relation.id.0 % u64::from(INDEX_OID - FIRST_OID)) as u32
}

/// Of the columns that no two rows share, where there are some.
fn key_index(of: &Relation, name: &str, oid: u32) -> Option<Index> {
    let key = of.key.as_ref().filter(|key| !key.is_empty());
    let columns = key.filter(|_| of.kind != RelationKind::System)?;
    let is_primary = of.kind == RelationKind::Table;
    let end = if is_primary { "pkey" } else { "key" };
    Some(Index {
        oid: INDEX_OID + (oid - FIRST_OID),
        name: format!("{name}_{end}"),
        columns: columns.clone(),
        is_unique: true,
        is_primary,
    })
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
                let is_key = self.primary().is_some_and(|key| key.columns.contains(&at));
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

    /// Of its PRIMARY KEY.
    pub fn primary(&self) -> Option<&Index> {
        self.indexes.iter().find(|index| index.is_primary)
    }

    /// Columns of one of its indexes, in the order there.
    pub fn columns_of<'o>(
        &'o self,
        index: &'o Index,
    ) -> impl Iterator<Item = (&'o str, PostgresType)> {
        let fields = self.schema().fields();
        let fields = index.columns.iter().filter_map(|at| fields.get(*at));
        fields.map(|field| (field.name().as_str(), postgres_type(field)))
    }

    /// Names of an index's columns, as a list.
    pub fn column_list(&self, index: &Index) -> String {
        let names = self.columns_of(index).map(|(name, _)| quote_ident(name));
        names.collect::<Vec<_>>().join(", ")
    }

    /// `is_pretty`: without the schema where the relation is found without.
    pub fn index_definition(&self, index: &Index, is_pretty: bool) -> String {
        let unique = if index.is_unique { "UNIQUE " } else { "" };
        let of = match is_pretty {
            true => self.shown(),
            false => format!("{}.{}", self.schema_name(), quote_ident(&self.name)),
        };
        format!(
            "CREATE {unique}INDEX {} ON {of} USING btree ({})",
            quote_ident(&index.name),
            self.column_list(index)
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

/// All indexes, each with what it is of.
pub fn indexes(objects: &[Object]) -> impl Iterator<Item = (&Object, &Index)> {
    objects
        .iter()
        .flat_map(|object| object.indexes.iter().map(move |index| (object, index)))
}

/// A relation by the text of its name, as `regclass` reads it.
pub fn find<'o>(objects: &'o [Object], text: &str) -> Option<&'o Object> {
    let (schema, name) = qualified(text)?;
    let mut found = objects
        .iter()
        .filter(|object| object.name == name && is_within(object, schema.as_deref()));
    // What users made comes first.
    let first = found.next()?;
    Some(found.find(|object| !object.is_system()).unwrap_or(first))
}

/// The same of an index.
pub fn find_index<'o>(objects: &'o [Object], text: &str) -> Option<&'o Index> {
    let (schema, name) = qualified(text)?;
    let mut all = indexes(objects);
    let found = all.find(|(of, index)| index.name == name && is_within(of, schema.as_deref()));
    found.map(|(_, index)| index)
}

fn is_within(object: &Object, schema: Option<&str>) -> bool {
    match schema {
        Some(schema) => object.schema_name() == schema,
        None => object.is_visible(),
    }
}

/// The schema, where one is written, and the name in it.
fn qualified(text: &str) -> Option<(Option<String>, String)> {
    let mut parts = identifiers(text)?.into_iter().rev();
    let (name, schema) = (parts.next()?, parts.next());
    // A database may stand before both.
    parts.nth(1).is_none().then_some((schema, name))
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

/// Of a type's name that is read, in bytes: brackets nest in what is made of it.
const TYPE_NAME_MAX: usize = 256;

/// A type by the text of its name, as `regtype` reads it: the name that the catalog has, or SQL's words.
pub fn find_type(text: &str) -> Option<PostgresType> {
    let text = Some(text.trim()).filter(|text| text.len() <= TYPE_NAME_MAX)?;
    let name = match &identifiers(text)?[..] {
        // A word of SQL for another type, unless it stands in quotes.
        [name] if name == "char" && !text.starts_with('"') => None,
        [name] => Some(name.clone()),
        [schema, name] if schema == "pg_catalog" => Some(name.clone()),
        _ => return None,
    };
    let by_name = |name| postgres_types().find(|found| found.name == name);
    if let Some(found) = name.and_then(by_name) {
        return Some(found);
    }
    let dialect = PostgreSqlDialect {};
    let mut parser = Parser::new(&dialect).try_with_sql(text).ok()?;
    let written = parser.parse_data_type().ok()?;
    if parser.peek_token_ref().token != Token::EOF {
        return None;
    }
    let field = field_of("", &written).ok()?;
    Some(postgres_type(&field))
}

/// As `format_type` writes it; without a modifier where none is asked for.
pub fn format_type(oid: u32, modifier: Option<i32>) -> String {
    let found = postgres_types().find(|found| found.oid == oid);
    let Some(found) = found else {
        return if oid == 0 { "-" } else { "???" }.to_owned();
    };
    if let Some(element) = found.element {
        return format!("{}[]", format_type(element, modifier));
    }
    let name = found.long_name;
    match (found.name, modifier) {
        // The word alone is a type of one character.
        ("bpchar", Some(..4)) => found.name.to_owned(),
        ("numeric", Some(both @ 4..)) => {
            format!("numeric({},{})", (both - 4) >> 16, (both - 4) & 0x7ff)
        }
        ("varchar" | "bpchar", Some(length @ 4..)) => format!("{name}({})", length - 4),
        ("time" | "timestamp" | "timestamptz", Some(digits @ 0..)) => {
            let (word, zone) = name.split_once(' ').unwrap_or((name, ""));
            format!("{word}({digits}) {zone}")
        }
        _ => name.to_owned(),
    }
}
