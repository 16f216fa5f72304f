//! Types by their names and numbers.

use arrow::datatypes::DataType;

use super::{canonical, field_of_oid, postgres_type, postgres_types, timestamptz};

#[test]
fn a_type_of_a_column_is_the_type_it_was_made_of() {
    for found in postgres_types() {
        let Some(field) = field_of_oid(found.oid) else {
            panic!("{} has no Arrow type", found.name);
        };
        let again = postgres_type(&field);
        let stands_for_text = ["text", "name", "record"].contains(&found.name);
        if !stands_for_text && found.element.is_none_or(|element| element != 2249) {
            assert_eq!(again.oid, found.oid, "{}", found.name);
        }
        assert_eq!(
            canonical(field.data_type()),
            *field.data_type(),
            "{}",
            found.name
        );
    }
}

#[test]
fn canonical_types_are_their_own() {
    let types = [
        DataType::Utf8View,
        DataType::UInt64,
        timestamptz(),
        DataType::LargeBinary,
    ];
    for data_type in types {
        let once = canonical(&data_type);
        assert_eq!(canonical(&once), once);
    }
}
