//! PostgreSQL's system relations and functions, as its tools ask for them, over the catalog of this node.
//!
//! They are relations like any others to the planner; their rows are made when a query reads them.
//!
//! # Place   one per session and version of the catalog
//! # Instead of   answers prepared for known queries: every tool asks in its own words, and changes them

mod functions;
mod information_schema;
mod objects;
mod relations;
mod rewrite;
mod table;

use std::{collections::BTreeMap, sync::Arc};

use arrow::array::RecordBatch;

pub use objects::{quote_ident, quote_literal};
pub use rewrite::rewrite;

use crate::{
    backend::SqlError,
    catalog::{Catalog, Relation, RelationId, RelationKind},
    session::{Identity, Settings},
};
use objects::Object;
use table::TABLES;

/// Schemas, with the numbers that PostgreSQL gives the first two.
pub const SCHEMAS: [(u32, &str); 4] = [
    (11, "pg_catalog"),
    (2200, "public"),
    (13_000, "information_schema"),
    (13_001, "forebay"),
];

/// The role that owns all there is.
pub const OWNER: (u32, &str) = (10, "forebay");
/// Of relations of users; their numbers follow.
const FIRST_OID: u32 = 16_384;
/// Numbers of relations are in use up to here, those of their keys' indexes follow.
const INDEX_OID: u32 = 1 << 31;

/// The catalog as a session's queries see it.
#[derive(Debug)]
pub struct SystemCatalog {
    /// Of the node.
    of: Arc<Catalog>,
    /// That, and the system relations.
    pub all: Arc<Catalog>,
    objects: Arc<Vec<Object>>,
}

/// Who asks, and with which settings.
#[derive(Clone, Copy)]
pub struct Asker<'a> {
    pub identity: &'a Identity,
    pub settings: &'a Settings,
}

impl SystemCatalog {
    #[must_use]
    pub fn new(of: Arc<Catalog>) -> Self {
        let mut all = of.as_ref().clone();
        for (at, table) in TABLES.iter().enumerate() {
            let schema = table.schema.clone();
            all.insert(Relation {
                id: RelationId(u64::MAX - at as u64),
                ..Relation::new(&table.full_name, RelationKind::System, schema)
            });
        }
        let objects = Arc::new(objects::all(&all));
        all.functions = functions::all(&objects);
        Self {
            of,
            all: Arc::new(all),
            objects,
        }
    }

    /// Made of this version of the catalog.
    #[must_use]
    pub fn is_of(&self, catalog: &Arc<Catalog>) -> bool {
        Arc::ptr_eq(&self.of, catalog)
    }

    /// Rows of a system relation; `None`: it is none of those that are made here.
    pub fn rows(&self, name: &str, asker: &Asker<'_>) -> Option<Result<RecordBatch, SqlError>> {
        let table = TABLES.iter().find(|table| table.full_name == name)?;
        let rows = match table.schema_name() {
            "information_schema" => information_schema::rows(&self.objects, table.name(), asker),
            _ => relations::rows(&self.objects, table.name(), asker),
        };
        Some(table.batch(rows))
    }

    /// Has no rows, ever, in this system.
    #[must_use]
    pub fn is_always_empty(name: &str) -> bool {
        let bare = name.rsplit('.').next().unwrap_or(name);
        ALWAYS_EMPTY.binary_search(&bare).is_ok()
    }
}

/// Things that do not exist here, so that queries about them need no planning. In order.
const ALWAYS_EMPTY: &[&str] = &[
    "pg_aggregate",
    "pg_amop",
    "pg_auth_members",
    "pg_available_extensions",
    "pg_cast",
    "pg_collation",
    "pg_conversion",
    "pg_db_role_setting",
    "pg_default_acl",
    "pg_depend",
    "pg_description",
    "pg_enum",
    "pg_event_trigger",
    "pg_extension",
    "pg_inherits",
    "pg_init_privs",
    "pg_largeobject_metadata",
    "pg_operator",
    "pg_options_to_table",
    "pg_partitioned_table",
    "pg_policies",
    "pg_policy",
    "pg_prepared_xacts",
    "pg_publication",
    "pg_publication_namespace",
    "pg_publication_rel",
    "pg_replication_slots",
    "pg_rewrite",
    "pg_rules",
    "pg_seclabel",
    "pg_sequence",
    "pg_sequences",
    "pg_shdepend",
    "pg_shdescription",
    "pg_statistic_ext",
    "pg_subscription",
    "pg_transform",
    "pg_trigger",
    "pg_ts_config",
    "pg_ts_dict",
    "pg_user_mapping",
    "unnest",
];

/// One value of a system relation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Ints(Vec<i64>),
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Int(value.into())
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::Int(value.into())
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Self::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// The columns that say something; the others have their type's empty value.
pub(crate) type Row = BTreeMap<&'static str, Value>;

/// A [`Row`] of columns and values.
macro_rules! row {
    ($($column:ident: $value:expr),* $(,)?) => {
        $crate::pg_catalog::Row::from([$((stringify!($column), $crate::pg_catalog::Value::from($value))),*])
    };
}
pub(crate) use row;
