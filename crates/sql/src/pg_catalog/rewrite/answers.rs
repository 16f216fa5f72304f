//! Functions whose answer is one here, for every row of a query.

use datafusion_sql::sqlparser::ast::{Expr, Value};

use super::{literal, literal_text, null, parsed};
use crate::{
    backend::SqlError,
    pg_catalog::{Asker, OWNER},
    session::SERVER_VERSION,
};

/// Numbers of functions of PostgreSQL's that drivers compare with.
const FUNCTIONS: [(&str, u32); 4] = [
    ("array_in", 750),
    ("array_out", 751),
    ("array_recv", 2400),
    ("array_send", 2401),
];

/// Of a function by its name; 0: there is none.
pub fn function_oid(text: &str) -> Expr {
    let bare = text.strip_prefix("pg_catalog.").unwrap_or(text);
    let found = FUNCTIONS.iter().find(|(name, _)| *name == bare);
    let oid = found.map_or(0, |(_, oid)| *oid);
    Expr::value(Value::Number(oid.to_string(), false))
}

/// Words whose answers are texts.
fn text(name: &str, asker: &Asker<'_>) -> Option<String> {
    let address = asker.identity.address;
    Some(match name {
        "version" => format!("PostgreSQL {SERVER_VERSION}"),
        "current_user" | "session_user" | "user" | "current_role" => asker.identity.user.clone(),
        "current_database" | "current_catalog" => asker.identity.database.clone(),
        "current_schema" => "public".to_owned(),
        "pg_encoding_to_char" | "pg_client_encoding" | "getdatabaseencoding" => "UTF8".to_owned(),
        "pg_get_userbyid" => OWNER.1.to_owned(),
        "inet_client_addr" => address?.ip().to_string(),
        "pg_size_pretty" => "0 bytes".to_owned(),
        "pg_current_wal_lsn" | "pg_last_wal_receive_lsn" => "0/0".to_owned(),
        _ => return None,
    })
}

/// Words for what is not here, whose answer is null.
const NULLS: &[&str] = &[
    "col_description",
    "inet_client_addr",
    "inet_server_addr",
    "inet_server_port",
    "obj_description",
    "pg_advisory_lock",
    "pg_advisory_unlock",
    "pg_advisory_unlock_all",
    "pg_get_function_arguments",
    "pg_get_function_identity_arguments",
    "pg_get_function_result",
    "pg_get_functiondef",
    "pg_get_partkeydef",
    "pg_get_partition_constraintdef",
    "pg_get_ruledef",
    "pg_get_serial_sequence",
    "pg_get_statisticsobjdef_columns",
    "pg_get_triggerdef",
    "pg_last_xact_replay_timestamp",
    "pg_notify",
    "pg_stat_get_last_autovacuum_time",
    "pg_tablespace_location",
    "shobj_description",
];

const TRUES: &[&str] = &[
    "has_any_column_privilege",
    "has_column_privilege",
    "has_database_privilege",
    "has_foreign_data_wrapper_privilege",
    "has_function_privilege",
    "has_language_privilege",
    "has_schema_privilege",
    "has_sequence_privilege",
    "has_server_privilege",
    "has_table_privilege",
    "has_tablespace_privilege",
    "has_type_privilege",
    "pg_cancel_backend",
    "pg_collation_is_visible",
    "pg_conversion_is_visible",
    "pg_function_is_visible",
    "pg_has_role",
    "pg_opclass_is_visible",
    "pg_operator_is_visible",
    "pg_opfamily_is_visible",
    "pg_statistics_obj_is_visible",
    "pg_try_advisory_lock",
    "pg_ts_config_is_visible",
    "pg_ts_dict_is_visible",
    "pg_type_is_visible",
];

const FALSES: &[&str] = &[
    "pg_is_in_recovery",
    "pg_is_wal_replay_paused",
    "pg_is_other_temp_schema",
    "pg_relation_is_publishable",
    "row_security_active",
];

const ZEROS: &[&str] = &[
    "pg_column_size",
    "pg_database_size",
    "pg_indexes_size",
    "pg_my_temp_schema",
    "pg_relation_filenode",
    "pg_relation_size",
    "pg_stat_get_live_tuples",
    "pg_stat_get_numscans",
    "pg_table_size",
    "pg_total_relation_size",
];

/// `None`: it is no such function.
pub fn constant(
    name: &str,
    arguments: &[&Expr],
    asker: &Asker<'_>,
) -> Result<Option<Expr>, SqlError> {
    if let Some(answer) = text(name, asker) {
        return Ok(Some(literal(&answer)));
    }
    let number = |value: i64| parsed(&value.to_string()).map(Some);
    let has = |names: &[&str]| names.contains(&name);
    if has(NULLS) {
        return null().map(Some);
    }
    if has(TRUES) || has(FALSES) {
        return Ok(Some(Expr::value(Value::Boolean(has(TRUES)))));
    }
    if has(ZEROS) {
        return parsed("CAST(0 AS bigint)").map(Some);
    }
    match name {
        "pg_backend_pid" => number(asker.identity.process.into()),
        "inet_client_port" => number(asker.identity.address.map_or(0, |a| a.port().into())),
        "txid_current" | "pg_current_xact_id" => number(1),
        "pg_char_to_encoding" => number(6),
        "pg_postmaster_start_time" | "pg_conf_load_time" => parsed("now()").map(Some),
        // Lists begin with their first element here.
        "array_lower" => number(1),
        "array_upper" => match arguments {
            [list, dimension] => parsed(&format!("array_length({list}, {dimension})")).map(Some),
            _ => Ok(None),
        },
        "current_schemas" => {
            let with_system = arguments.first().and_then(|flag| literal_text(flag)) == Some("true");
            let list = if with_system {
                "ARRAY['pg_catalog', 'public']"
            } else {
                "ARRAY['public']"
            };
            parsed(list).map(Some)
        }
        "current_setting" => setting(arguments, asker).map(Some),
        _ => Ok(None),
    }
}

fn setting(arguments: &[&Expr], asker: &Asker<'_>) -> Result<Expr, SqlError> {
    let name = arguments.first().and_then(|name| literal_text(name));
    let Some(name) = name else {
        return null();
    };
    let may_miss = arguments.get(1).and_then(|flag| literal_text(flag)) == Some("true");
    match asker.settings.get(name) {
        Ok(value) => Ok(literal(value)),
        Err(_) if may_miss => null(),
        Err(error) => Err(error),
    }
}
