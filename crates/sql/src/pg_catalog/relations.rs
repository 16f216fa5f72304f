//! Rows of the relations of the schema `pg_catalog`.

use super::{
    Asker, OWNER, Row, SCHEMAS, Value,
    objects::{Index, Object, indexes},
    row,
};
use crate::{
    column_type::{PostgresType, postgres_types},
    session::SETTINGS,
};

pub const DATABASE_OID: u32 = 16_383;
/// The role of a user that is not the owner.
const USER_OID: u32 = 16_382;
/// In and output functions of arrays, by which drivers know array types.
const ARRAY_FUNCTIONS: [(u32, &str); 4] = [
    (750, "array_in"),
    (751, "array_out"),
    (2400, "array_recv"),
    (2401, "array_send"),
];
const COLLATION: u32 = 100;
const HEAP: u32 = 2;
const BTREE: u32 = 403;
/// Number of the server that stands for the log's topics, in the relations of foreign tables.
const TOPICS_SERVER: u32 = 16_380;

/// None for those that are always empty here.
pub fn rows(objects: &[Object], name: &str, asker: &Asker<'_>) -> Vec<Row> {
    match name {
        "pg_class" => classes(objects),
        "pg_attribute" => attributes(objects),
        "pg_namespace" => namespaces(),
        "pg_type" => postgres_types().map(|found| type_row(&found)).collect(),
        "pg_proc" => ARRAY_FUNCTIONS
            .iter()
            .map(|(oid, name)| {
                row! { oid: *oid, proname: *name, pronamespace: 11_u32, proowner: OWNER.0, prolang: 12_u32,
                prokind: "f", provolatile: "i", proparallel: "s", pronargs: 1, prorettype: 2278_u32, prosrc: *name }
            })
            .collect(),
        "pg_attrdef" => defaults(objects),
        "pg_index" => index_rows(objects),
        "pg_constraint" => constraints(objects),
        "pg_database" => vec![row! {
            oid: DATABASE_OID, datname: asker.identity.database.as_str(), datdba: OWNER.0, encoding: 6,
            datlocprovider: "c", datallowconn: true, datconnlimit: -1, dattablespace: 1663_u32,
            datcollate: "C", datctype: "C"
        }],
        "pg_roles" | "pg_authid" | "pg_user" | "pg_shadow" => roles(asker),
        "pg_settings" => settings(asker),
        "pg_am" => vec![
            row! { oid: HEAP, amname: "heap", amtype: "t" },
            row! { oid: BTREE, amname: "btree", amtype: "i" },
        ],
        "pg_tablespace" => vec![
            row! { oid: 1663_u32, spcname: "pg_default", spcowner: OWNER.0 },
            row! { oid: 1664_u32, spcname: "pg_global", spcowner: OWNER.0 },
        ],
        "pg_collation" => [(COLLATION, "default"), (950, "C"), (951, "POSIX")]
            .iter()
            .map(|(oid, name)| {
                row! { oid: *oid, collname: *name, collnamespace: 11_u32, collowner: OWNER.0,
                collprovider: "c", collisdeterministic: true, collencoding: -1, collcollate: "C", collctype: "C" }
            })
            .collect(),
        "pg_language" => [(12_u32, "internal"), (14, "sql")]
            .iter()
            .map(|(oid, name)| row! { oid: *oid, lanname: *name, lanowner: OWNER.0, lanpltrusted: true })
            .collect(),
        "pg_tables" => of_kind(objects, 'r', |object| {
            row! { schemaname: object.schema_name(), tablename: object.name.as_str(), tableowner: OWNER.1,
            hasindexes: !object.indexes.is_empty() }
        }),
        "pg_views" => of_kind(objects, 'v', |object| {
            row! { schemaname: object.schema_name(), viewname: object.name.as_str(), viewowner: OWNER.1, definition: object.query() }
        }),
        "pg_matviews" => of_kind(objects, 'm', |object| {
            row! { schemaname: object.schema_name(), matviewname: object.name.as_str(), matviewowner: OWNER.1,
            hasindexes: !object.indexes.is_empty(), ispopulated: true, definition: object.query() }
        }),
        "pg_indexes" => indexes(objects)
            .map(|(object, index)| {
                row! { schemaname: object.schema_name(), tablename: object.name.as_str(),
                indexname: index.name.as_str(), indexdef: object.index_definition(index, false) }
            })
            .collect(),
        "pg_foreign_table" => of_kind(objects, 'f', |object| {
            row! { ftrelid: object.oid, ftserver: TOPICS_SERVER }
        }),
        "pg_foreign_server" => vec![row! {
            oid: TOPICS_SERVER, srvname: "topics", srvowner: OWNER.0, srvfdw: TOPICS_SERVER
        }],
        "pg_foreign_data_wrapper" => vec![row! {
            oid: TOPICS_SERVER, fdwname: "forebay", fdwowner: OWNER.0
        }],
        "pg_stat_activity" => vec![activity(asker)],
        "pg_timezone_names" => vec![row! { name: "UTC", abbrev: "UTC", is_dst: false }],
        "pg_stat_user_tables" | "pg_stat_all_tables" | "pg_statio_user_tables" => objects
            .iter()
            .filter(|object| !object.is_system() && object.kind == 'r')
            .map(|object| {
                row! { relid: object.oid, schemaname: object.schema_name(), relname: object.name.as_str() }
            })
            .collect(),
        "pg_stat_database" => {
            vec![row! { datid: DATABASE_OID, datname: asker.identity.database.as_str() }]
        }
        _ => Vec::new(),
    }
}

fn of_kind(objects: &[Object], kind: char, row: impl Fn(&Object) -> Row) -> Vec<Row> {
    objects
        .iter()
        .filter(|object| object.kind == kind)
        .map(row)
        .collect()
}

fn namespaces() -> Vec<Row> {
    let rows = SCHEMAS.iter();
    rows.map(|(oid, name)| row! { oid: *oid, nspname: *name, nspowner: OWNER.0 })
        .collect()
}

fn classes(objects: &[Object]) -> Vec<Row> {
    let relations = objects.iter().map(|object| {
        row! {
            oid: object.oid, relname: object.name.as_str(), relnamespace: object.namespace, relowner: OWNER.0,
            relam: if matches!(object.kind, 'r' | 'm') { HEAP } else { 0 },
            relfilenode: object.oid, reltuples: -1, relhasindex: !object.indexes.is_empty(), relpersistence: "p",
            relkind: object.kind.to_string(), relnatts: object.schema().fields().len(), relispopulated: true,
            relreplident: if object.is_system() { "n" } else { "d" },
        }
    });
    let of_indexes = indexes(objects).map(|(object, index)| {
        row! {
            oid: index.oid, relname: index.name.as_str(), relnamespace: object.namespace, relowner: OWNER.0,
            relam: BTREE, relfilenode: index.oid, reltuples: -1, relpersistence: "p", relkind: "i",
            relnatts: index.columns.len(), relispopulated: true, relreplident: "n",
        }
    });
    relations.chain(of_indexes).collect()
}

fn attributes(objects: &[Object]) -> Vec<Row> {
    let of_relations = objects.iter().flat_map(|object| {
        object.columns().map(|(number, name, found, not_null)| {
            let mut row = attribute(object.oid, (number, name), &found, not_null);
            let has_default = object.defaults().any(|(of, _)| of == number);
            row.insert("atthasdef", Value::from(has_default));
            row
        })
    });
    let of_indexes = indexes(objects).flat_map(|(object, index)| {
        let columns = object.columns_of(index).zip(1..);
        columns.map(|((name, found), number)| attribute(index.oid, (number, name), &found, false))
    });
    of_relations.chain(of_indexes).collect()
}

fn attribute(
    relation: u32,
    (number, name): (usize, &str),
    found: &PostgresType,
    not_null: bool,
) -> Row {
    row! {
        attrelid: relation, attname: name, atttypid: found.oid, attlen: i32::from(found.length), attnum: number,
        attndims: i32::from(found.element.is_some()), attcacheoff: -1, atttypmod: found.modifier,
        attbyval: (1..=8).contains(&found.length), attalign: "i", attstorage: "p", attcompression: "",
        attnotnull: not_null, attidentity: "", attgenerated: "", attislocal: true,
        attcollation: collation(found), attstattarget: -1,
    }
}

fn defaults(objects: &[Object]) -> Vec<Row> {
    let all = objects.iter().flat_map(|object| {
        let own = object.defaults();
        own.map(move |(number, text)| (object.oid, number, text))
    });
    // They have no numbers of their own, and nothing refers to them.
    all.zip(1..)
        .map(|((relation, number, text), oid)| {
            row! { oid: oid, adrelid: relation, adnum: number, adbin: text }
        })
        .collect()
}

fn collation(found: &PostgresType) -> u32 {
    match found.name {
        "text" | "varchar" | "bpchar" => COLLATION,
        "name" => 950,
        _ => 0,
    }
}

/// As PostgreSQL sorts its types into categories.
fn category(found: &PostgresType) -> &'static str {
    if found.element.is_some() {
        return "A";
    }
    match found.name {
        "bool" => "B",
        "text" | "varchar" | "bpchar" | "name" => "S",
        "int2" | "int4" | "int8" | "oid" | "float4" | "float8" | "numeric" | "regproc"
        | "regclass" | "regtype" => "N",
        "date" | "time" | "timestamp" | "timestamptz" => "D",
        "interval" => "T",
        "record" => "P",
        "char" => "Z",
        _ => "U",
    }
}

fn type_row(found: &PostgresType) -> Row {
    let array = postgres_types().find(|other| other.element == Some(found.oid));
    let is_array = found.element.is_some();
    let function = |at: usize| if is_array { ARRAY_FUNCTIONS[at].0 } else { 0 };
    row! {
        oid: found.oid, typname: found.name, typnamespace: 11_u32, typowner: OWNER.0,
        typlen: i32::from(found.length), typbyval: (1..=8).contains(&found.length),
        typtype: if found.name == "record" { "p" } else { "b" }, typcategory: category(found),
        typispreferred: matches!(found.name, "bool" | "text" | "float8" | "oid" | "timestamptz" | "interval"),
        typisdefined: true, typdelim: ",", typelem: found.element.unwrap_or(0),
        typarray: array.map_or(0, |array| array.oid), typinput: function(0), typoutput: function(1),
        typreceive: function(2), typsend: function(3), typalign: "i", typstorage: "p",
        typtypmod: -1, typcollation: collation(found),
    }
}

/// Of an index's columns, in what it is of.
fn numbers(index: &Index) -> Value {
    Value::Ints(index.columns.iter().map(|at| *at as i64 + 1).collect())
}

fn index_rows(objects: &[Object]) -> Vec<Row> {
    indexes(objects)
        .map(|(object, index)| {
            let count = index.columns.len();
            let of_columns = object.columns_of(index);
            let collations = of_columns.map(|(_, found)| collation(&found).into());
            let mut row = row! {
                indexrelid: index.oid, indrelid: object.oid, indnatts: count, indnkeyatts: count,
                indisunique: index.is_unique, indisprimary: index.is_primary, indimmediate: true,
                indisvalid: true, indisready: true, indislive: true,
            };
            row.insert("indkey", numbers(index));
            row.insert("indoption", Value::Ints(vec![0; count]));
            row.insert("indclass", Value::Ints(vec![0; count]));
            row.insert("indcollation", Value::Ints(collations.collect()));
            row
        })
        .collect()
}

fn constraints(objects: &[Object]) -> Vec<Row> {
    let primary = indexes(objects).filter(|(_, index)| index.is_primary);
    primary
        .map(|(object, index)| {
            let mut row = row! {
                // A constraint may have the number of its index: they stand in different relations.
                oid: index.oid, conname: index.name.as_str(), connamespace: object.namespace,
                contype: "p", convalidated: true, conrelid: object.oid, conindid: index.oid,
                confupdtype: " ", confdeltype: " ", confmatchtype: " ", conislocal: true, connoinherit: true,
            };
            row.insert("conkey", numbers(index));
            row
        })
        .collect()
}

fn roles(asker: &Asker<'_>) -> Vec<Row> {
    let user = asker.identity.user.as_str();
    let mut names = vec![OWNER];
    if user != OWNER.1 {
        names.push((USER_OID, user));
    }
    names
        .iter()
        .map(|(oid, name)| {
            row! {
                oid: *oid, rolname: *name, rolsuper: true, rolinherit: true, rolcreaterole: false, rolcreatedb: false,
                rolcanlogin: true, rolconnlimit: -1, rolbypassrls: true,
                usename: *name, usesysid: *oid, usesuper: true, usecreatedb: false, userepl: false, usebypassrls: true,
            }
        })
        .collect()
}

fn settings(asker: &Asker<'_>) -> Vec<Row> {
    asker
        .settings
        .all()
        .zip(SETTINGS)
        .map(|((name, value, description), setting)| {
            row! {
                name: name, setting: value, category: "Forebay", short_desc: description, context: "user",
                vartype: "string", source: "session", boot_val: setting.default, reset_val: setting.default,
            }
        })
        .collect()
}

fn activity(asker: &Asker<'_>) -> Row {
    let address = asker.identity.address;
    row! {
        datid: DATABASE_OID, datname: asker.identity.database.as_str(), pid: asker.identity.process,
        usesysid: OWNER.0, usename: asker.identity.user.as_str(), state: "active",
        application_name: asker.settings.get("application_name").unwrap_or_default(),
        client_addr: address.map(|address| address.ip().to_string()),
        client_port: address.map(|address| u32::from(address.port())), backend_type: "client backend",
    }
}
