//! Rows of the relations of the SQL standard's schema of schemas.

use super::{
    Asker, OWNER, Row, SCHEMAS,
    objects::{Index, Object, indexes},
    row,
};
use crate::{
    catalog::RelationKind,
    column_type::{PostgresType, postgres_types},
};

/// None for those that are always empty here.
pub fn rows(objects: &[Object], name: &str, asker: &Asker<'_>) -> Vec<Row> {
    let database = asker.identity.database.as_str();
    match name {
        "tables" => objects.iter().map(|object| table(object, database)).collect(),
        "columns" => objects.iter().flat_map(|object| columns(object, database)).collect(),
        "schemata" => SCHEMAS
            .iter()
            .map(|(_, name)| {
                row! { catalog_name: database, schema_name: *name, schema_owner: OWNER.1 }
            })
            .collect(),
        // Views that are kept up to date are no views to the standard, nor to PostgreSQL.
        "views" => objects
            .iter()
            .filter(|object| object.kind == 'v')
            .map(|object| {
                row! { table_catalog: database, table_schema: object.schema_name(), table_name: object.name.as_str(),
                view_definition: object.query(), check_option: "NONE", is_updatable: "NO",
                is_insertable_into: "NO", is_trigger_updatable: "NO", is_trigger_deletable: "NO",
                is_trigger_insertable_into: "NO" }
            })
            .collect(),
        "table_constraints" => primary(objects)
            .map(|(object, key)| {
                row! { constraint_catalog: database, constraint_schema: object.schema_name(),
                constraint_name: key.name.as_str(), table_catalog: database, table_schema: object.schema_name(),
                table_name: object.name.as_str(), constraint_type: "PRIMARY KEY", is_deferrable: "NO",
                initially_deferred: "NO", enforced: "YES", nulls_distinct: "YES" }
            })
            .collect(),
        "key_column_usage" | "constraint_column_usage" => {
            primary(objects).flat_map(|(object, key)| key_columns(object, key, database)).collect()
        }
        "character_sets" => vec![row! {
            character_set_name: "UTF8", character_repertoire: "UCS", form_of_use: "UTF8",
            default_collate_catalog: database, default_collate_schema: "pg_catalog", default_collate_name: "C"
        }],
        "enabled_roles" => vec![row! { role_name: OWNER.1 }],
        "table_privileges" | "role_table_grants" => objects
            .iter()
            .filter(|object| !object.is_system())
            .map(|object| {
                row! { grantor: OWNER.1, grantee: asker.identity.user.as_str(), table_catalog: database,
                table_schema: object.schema_name(), table_name: object.name.as_str(), privilege_type: "SELECT",
                is_grantable: "YES", with_hierarchy: "YES" }
            })
            .collect(),
        _ => Vec::new(),
    }
}

fn primary(objects: &[Object]) -> impl Iterator<Item = (&Object, &Index)> {
    indexes(objects).filter(|(_, index)| index.is_primary)
}

fn table(object: &Object, database: &str) -> Row {
    let kind = match object.kind {
        'f' => "FOREIGN",
        // PostgreSQL's tools find views that are kept up to date elsewhere; those that only know the standard, here.
        'm' | 'v' => "VIEW",
        _ => "BASE TABLE",
    };
    let is_table = object.kind == 'r' && !object.is_system();
    row! {
        table_catalog: database, table_schema: object.schema_name(), table_name: object.name.as_str(), table_type: kind,
        is_insertable_into: if is_table { "YES" } else { "NO" }, is_typed: "NO",
    }
}

/// Digits and their base, and places.
fn precision(found: &PostgresType) -> (Option<i32>, Option<i32>, Option<i32>) {
    match found.name {
        "int2" => (Some(16), Some(2), Some(0)),
        "int4" => (Some(32), Some(2), Some(0)),
        "int8" => (Some(64), Some(2), Some(0)),
        "float4" => (Some(24), Some(2), None),
        "float8" => (Some(53), Some(2), None),
        "numeric" if found.modifier >= 4 => {
            let modifier = found.modifier - 4;
            (Some(modifier >> 16), Some(10), Some(modifier & 0x7ff))
        }
        "numeric" => (None, Some(10), None),
        _ => (None, None, None),
    }
}

fn columns<'a>(object: &'a Object, database: &'a str) -> impl Iterator<Item = Row> + 'a {
    object.columns().map(move |(number, name, found, not_null)| {
        let (digits, base, places) = precision(&found);
        let is_time = matches!(found.name, "time" | "timestamp" | "timestamptz" | "interval");
        let of_array = found.element.and_then(|oid| postgres_types().find(|other| other.oid == oid));
        let default = object.defaults().find(|(of, _)| *of == number);
        let length = matches!(found.name, "varchar" | "bpchar").then(|| found.modifier - 4);
        row! {
            table_catalog: database, table_schema: object.schema_name(), table_name: object.name.as_str(),
            column_name: name, ordinal_position: number, column_default: default.map(|(_, text)| text), is_nullable: if not_null { "NO" } else { "YES" },
            data_type: if of_array.is_some() { "ARRAY" } else { found.long_name },
            character_maximum_length: length.filter(|length| *length > 0),
            numeric_precision: digits, numeric_precision_radix: base, numeric_scale: places,
            datetime_precision: if found.name == "date" { Some(0) } else { is_time.then_some(6) },
            udt_catalog: database, udt_schema: "pg_catalog", udt_name: found.name,
            dtd_identifier: number.to_string(), is_self_referencing: "NO", is_identity: "NO",
            identity_cycle: "NO", is_generated: "NEVER",
            is_updatable: if object.relation.kind == RelationKind::Table { "YES" } else { "NO" },
        }
    })
}

fn key_columns<'a>(
    object: &'a Object,
    key: &'a Index,
    database: &'a str,
) -> impl Iterator<Item = Row> + 'a {
    object.columns_of(key).zip(1..).map(move |((column, _), number)| {
        row! {
            constraint_catalog: database, constraint_schema: object.schema_name(),
            constraint_name: key.name.as_str(), table_catalog: database, table_schema: object.schema_name(),
            table_name: object.name.as_str(), column_name: column, ordinal_position: number,
        }
    })
}
