//! Whether what was written with one schema is read with another.

mod json;
mod protobuf;
#[cfg(test)]
mod tests;

use crate::schema::Parsed;

/// Why `reader` does not read all that `writer` wrote; nothing if it does.
pub fn unreadable(reader: &Parsed, writer: &Parsed) -> Vec<String> {
    match (reader, writer) {
        (Parsed::Avro(reader), Parsed::Avro(writer)) => avro_schema::unreadable(reader, writer),
        (Parsed::Protobuf(reader), Parsed::Protobuf(writer)) => {
            protobuf::unreadable(reader, writer)
        }
        (
            Parsed::Json {
                root: reader,
                others: of_reader,
            },
            Parsed::Json {
                root: writer,
                others: of_writer,
            },
        ) => json::unreadable((reader, of_reader), (writer, of_writer)),
        _ => vec!["the schemas are of different types".to_owned()],
    }
}
