//! Sources whose schema comes from the schema registry.

use std::sync::Arc;

use crate::{memory::Memory, wire::rows};

fn shown(backend: &Arc<Memory>, text: &str) -> String {
    match rows(backend, text) {
        Ok(rows) => {
            let rows = rows.iter().map(|row| {
                let fields = row.iter().map(|field| field.as_deref().unwrap_or("-"));
                fields.collect::<Vec<_>>().join(" ")
            });
            rows.collect::<Vec<_>>().join("\n")
        }
        Err(error) => error,
    }
}

const COLUMNS: &str = "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 's' ORDER BY 1";

#[test]
fn columns_are_those_of_the_schema() {
    let cases = [
        (
            "CREATE SOURCE s FROM TOPIC orders FORMAT AVRO USING SCHEMA REGISTRY",
            "id bigint\nnote text",
        ),
        (
            "CREATE SOURCE s FROM TOPIC orders (note TEXT) FORMAT AVRO USING SCHEMA REGISTRY WITH (on_malformed = 'stop')",
            "note text",
        ),
        (
            "CREATE SOURCE s FROM TOPIC orders (id BIGINT, units BIGINT PATH 'money.units')
             FORMAT PROTOBUF USING SCHEMA REGISTRY (SUBJECT 'orders')",
            "id bigint\nunits bigint",
        ),
        (
            "CREATE SOURCE s FROM TOPIC orders FORMAT RAW WITH (framing = 'registry')",
            "",
        ),
    ];
    for (create, columns) in cases {
        let backend = Arc::new(Memory::default());
        let created = shown(&backend, create);
        assert_eq!(
            created.is_empty(),
            !columns.is_empty(),
            "{create}: {created}"
        );
        assert_eq!(shown(&backend, COLUMNS), columns, "{create}");
    }
}

#[test]
fn what_the_registry_has_not_is_refused() {
    let cases = [
        (
            "CREATE SOURCE s FROM TOPIC none FORMAT AVRO USING SCHEMA REGISTRY",
            "no subject none-value",
        ),
        (
            "CREATE SOURCE s FROM TOPIC orders FORMAT PROTOBUF USING SCHEMA REGISTRY",
            "subject \"orders-value\" has a schema of type AVRO, not PROTOBUF",
        ),
        (
            "CREATE SOURCE s FROM TOPIC orders (nope TEXT) FORMAT AVRO USING SCHEMA REGISTRY",
            "column nope: the schema has no such field",
        ),
        (
            "CREATE SOURCE s FROM TOPIC orders FORMAT AVRO USING SCHEMA REGISTRY (SCHEMA '\"int\"')",
            "schema and framing come from the schema registry",
        ),
        (
            "CREATE SOURCE s FROM TOPIC orders FORMAT JSON",
            "FORMAT JSON needs columns",
        ),
        (
            "CREATE SOURCE s FROM TOPIC orders FORMAT AVRO USING REGISTRY",
            "syntax error at or near \"REGISTRY\"",
        ),
    ];
    for (create, error) in cases {
        let backend = Arc::new(Memory::default());
        let said = shown(&backend, create);
        assert!(said.contains(error), "{create}: {said}");
        assert_eq!(shown(&backend, COLUMNS), "", "{create}");
    }
}
