//! Whether what was written with one schema is read with another.

mod json;
mod protobuf;
#[cfg(test)]
mod tests;

use crate::schema::Parsed;

/// Why `reader` does not read all that `writer` wrote; nothing if it does. `steps` is what may be done for that, and
/// afterwards what is left of it.
pub fn unreadable(reader: &Parsed, writer: &Parsed, steps: &mut usize) -> Vec<String> {
    match (reader, writer) {
        (Parsed::Avro(reader), Parsed::Avro(writer)) => {
            avro_schema::unreadable(reader, writer, steps)
        }
        (Parsed::Protobuf(reader), Parsed::Protobuf(writer)) => {
            protobuf::unreadable(reader, writer, steps)
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
        ) => json::unreadable((reader, of_reader), (writer, of_writer), steps),
        _ => vec!["the schemas are of different types".to_owned()],
    }
}
