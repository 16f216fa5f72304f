//! State as a table: which columns it has, and rows of a step as such columns.

use std::fmt;

use arrow_schema::{DataType, Field, Schema as Columns, SchemaRef};
use streams::{
    Custom, Delta, Output, Running,
    format::{Decoder, Format, FormatError, Framing, RecordView},
};

use crate::{
    event::{Event, Schema, flat},
    rows::RowsView,
    state::StateField,
};

/// The message of a state's rows.
const ROW: &str = "forebay_Row";

/// What a state looks like from outside.
#[derive(Clone)]
pub(crate) struct Table {
    pub columns: SchemaRef,
    /// The first so many are the key.
    pub key: usize,
    format: Format,
}

impl Table {
    pub fn of<K: Event>(field: &StateField) -> Result<Self, FormatError> {
        let shape = &field.shape;
        let mut schema = Schema::of::<K>();
        (shape.describe)(&mut schema);
        let mut text = schema.to_proto();
        let mut parts = vec![("key", K::name(), "key")];
        if let Some((entry, column)) = &shape.entry {
            parts.push(("entry", entry.clone(), *column));
        }
        parts.push(("value", shape.value.clone(), "value"));
        let members = parts.iter().map(|(name, message, _)| {
            let number = match *name {
                "key" => 1,
                "entry" => 2,
                _ => 3,
            };
            format!("  {} {name} = {number};\n", flat(message))
        });
        text.push_str(&format!(
            "\nmessage {ROW} {{\n{}}}\n",
            members.collect::<String>()
        ));
        let mut columns: Vec<Field> = Vec::new();
        let mut paths: Vec<Vec<String>> = Vec::new();
        let mut key = 0;
        for (part, message, only) in parts {
            if part == "value" {
                key = columns.len();
            }
            let format = protobuf(&text, &flat(&message), Vec::new());
            let implied = format.implied_schema()?;
            let fields = implied.map_or_else(Vec::new, |s| s.fields().iter().cloned().collect());
            for column in &fields {
                let is_only = fields.len() == 1 && column.name() == "value";
                let mut name = if is_only { only } else { column.name() }.to_owned();
                if columns.iter().any(|known| *known.name() == name) {
                    name = format!("{part}_{name}");
                }
                columns.push(Field::new(name, column.data_type().clone(), true));
                paths.push(vec![part.to_owned(), column.name().clone()]);
            }
        }
        Ok(Self {
            columns: std::sync::Arc::new(Columns::new(columns)),
            key,
            format: protobuf(&text, ROW, paths),
        })
    }
}

fn protobuf(text: &str, message: &str, paths: Vec<Vec<String>>) -> Format {
    Format::Protobuf {
        schema: text.into(),
        message: message.to_owned(),
        paths,
        framing: Framing::None,
    }
}

/// Rows of a step's state into columns.
pub(crate) struct ToColumns {
    pub table: Table,
    /// Of the whole state: with another one, the table is made anew.
    pub schema: String,
}

impl fmt::Debug for ToColumns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.table.columns.fields().iter();
        let columns: Vec<(&String, &DataType)> = columns
            .map(|column| (column.name(), column.data_type()))
            .collect();
        f.debug_struct("ToColumns")
            .field("columns", &columns)
            .field("schema", &self.schema)
            .finish()
    }
}

impl Custom for ToColumns {
    fn name(&self) -> &'static str {
        "state"
    }

    fn is_append_only(&self) -> bool {
        false
    }

    fn start(&self) -> Box<dyn Running> {
        let all: Vec<usize> = (0..self.table.columns.fields().len()).collect();
        let decoder = Decoder::new(&self.table.format, &self.table.columns, &all);
        Box::new(ToColumnsRun {
            decoder: decoder.expect("the columns were made of this schema"),
        })
    }
}

struct ToColumnsRun {
    decoder: Decoder,
}

impl fmt::Debug for ToColumnsRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToColumnsRun").finish_non_exhaustive()
    }
}

impl Running for ToColumnsRun {
    fn take(&mut self, _port: usize, delta: &Delta, out: &mut Output) {
        let rows = RowsView::of(delta.rows());
        let mut weights = Vec::with_capacity(delta.len());
        for row in 0..delta.len() {
            let pushed = self.decoder.push(RecordView {
                key: None,
                value: Some(rows.value.value(row)),
                timestamp_ms: 0,
                partition: 0,
                offset: 0,
            });
            match pushed {
                Ok(()) => weights.push(delta.weight(row)),
                // A number that no column holds, for instance; it goes as it came.
                Err(error) => out.fault(streams::Fault {
                    sqlstate: *b"22003",
                    message: error.to_string(),
                }),
            }
        }
        if !weights.is_empty() {
            out.deltas.push(Delta::new(self.decoder.finish(), weights));
        }
    }
}
