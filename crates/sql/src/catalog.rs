//! What there is to ask: relations by name, as of one moment.

use std::{collections::BTreeMap, sync::Arc};

use arrow::datatypes::SchemaRef;

use crate::{backend::SqlError, error::sqlstate, functions::Functions};

/// A relation for as long as it exists; never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelationId(pub u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RelationKind {
    Source,
    Table,
    View,
    Sink,
    /// Of a view or table: it reads that, and its key has the places there of its own columns.
    Index,
    /// Made from the node's own state when it is asked for.
    System,
}

impl RelationKind {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Table => "table",
            Self::View => "materialized view",
            Self::Sink => "sink",
            Self::Index => "index",
            Self::System => "system table",
        }
    }
}

/// A source, table, view or sink.
#[derive(Clone, Debug)]
pub struct Relation {
    pub id: RelationId,
    pub name: String,
    pub kind: RelationKind,
    /// The statement that made it, as it was written.
    pub definition: String,
    /// Of the rows that a SELECT sees. Arrow's types stand for Postgres's: Int16/32/64, Float32/64, Decimal128, Utf8,
    /// Binary, Boolean, Date32, Time64(µs), Timestamp(µs) with and without zone, Interval(MonthDayNano), lists and structs;
    /// text that holds JSON has the field metadata `postgres.type` = `jsonb`.
    pub schema: SchemaRef,
    /// Columns that no two rows share, when it is known; what point lookups go by.
    pub key: Option<Vec<usize>>,
    /// Rows only come.
    pub is_append_only: bool,
    /// The column that the watermark speaks of.
    pub time: Option<usize>,
    /// Names of the relations it reads.
    pub reads: Vec<String>,
    /// Why its statement, which another release took, cannot be planned by this one. It is there by its name alone, to be
    /// dropped.
    pub failure: Option<String>,
}

impl Relation {
    /// Nothing is known of it but what its rows are; its id is given by whoever makes it.
    #[must_use]
    pub fn new(name: &str, kind: RelationKind, schema: SchemaRef) -> Self {
        Self {
            id: RelationId(0),
            name: name.to_owned(),
            kind,
            definition: String::new(),
            schema,
            key: None,
            is_append_only: false,
            time: None,
            reads: Vec::new(),
            failure: None,
        }
    }

    /// 55000 where it has a failure.
    pub fn check(&self) -> Result<(), SqlError> {
        let Some(failure) = &self.failure else {
            return Ok(());
        };
        let message = format!("relation \"{}\" has stopped", self.name);
        Err(SqlError::new(sqlstate::NOT_IN_STATE, message)
            .with_detail(format!("Its statement cannot be planned: {failure}."))
            .with_hint("Drop it, or start the release that took it."))
    }
}

/// All relations; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    relations: BTreeMap<String, Arc<Relation>>,
    /// That know of the catalog itself; the planner looks here first.
    pub functions: Functions,
}

impl Catalog {
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Relation>> {
        self.relations.get(name)
    }

    /// Columns by which rows of a relation are found: its key, and those of its indexes.
    pub fn lookup_columns<'c>(&'c self, name: &'c str) -> impl Iterator<Item = &'c [usize]> {
        let own = self.get(name).and_then(|relation| relation.key.as_deref());
        let is_index_of = move |other: &&Arc<Relation>| {
            other.kind == RelationKind::Index && other.reads.iter().any(|read| read == name)
        };
        let indexes = self.relations().filter(is_index_of);
        own.into_iter()
            .chain(indexes.filter_map(|index| index.key.as_deref()))
            .filter(|columns| !columns.is_empty())
    }

    /// In the order of their names.
    pub fn relations(&self) -> impl Iterator<Item = &Arc<Relation>> {
        self.relations.values()
    }

    pub fn insert(&mut self, relation: Relation) {
        self.relations
            .insert(relation.name.clone(), Arc::new(relation));
    }

    pub fn remove(&mut self, name: &str) -> Option<Arc<Relation>> {
        self.relations.remove(name)
    }
}
