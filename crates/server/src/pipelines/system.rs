//! The `forebay` schema: what the engine says of itself, as tables.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use sql::catalog::{Relation, RelationId, RelationKind};
use streams::engine::Report;

/// A table: its name, and its columns with what they hold of a report.
struct SystemTable {
    name: &'static str,
    columns: &'static [(&'static str, Kind)],
    rows: fn(&Report) -> Vec<Vec<Value>>,
}

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Integer,
    Bigint,
    Time,
}

enum Value {
    Text(Option<String>),
    Number(Option<i64>),
}

const TABLES: [SystemTable; 5] = [
    SystemTable {
        name: "forebay.pipelines",
        columns: &[
            ("name", Kind::Text),
            ("kind", Kind::Text),
            ("state", Kind::Text),
            ("failure", Kind::Text),
            ("rows", Kind::Bigint),
            ("rows_bytes", Kind::Bigint),
            ("state_entries", Kind::Bigint),
            ("state_bytes", Kind::Bigint),
            ("lag", Kind::Bigint),
            ("watermark", Kind::Time),
            ("late_rows", Kind::Bigint),
            ("records", Kind::Bigint),
            ("bytes", Kind::Bigint),
            ("malformed", Kind::Bigint),
            ("malformed_last", Kind::Text),
            ("dead_letters", Kind::Bigint),
        ],
        rows: pipelines,
    },
    SystemTable {
        name: "forebay.operators",
        columns: &[
            ("pipeline", Kind::Text),
            ("node", Kind::Integer),
            ("operator", Kind::Text),
            ("rows_in", Kind::Bigint),
            ("rows_out", Kind::Bigint),
            ("state_entries", Kind::Bigint),
            ("state_bytes", Kind::Bigint),
            ("faults", Kind::Bigint),
            ("last_fault", Kind::Text),
            ("late_rows", Kind::Bigint),
            ("busy_ns", Kind::Bigint),
        ],
        rows: operators,
    },
    SystemTable {
        name: "forebay.positions",
        columns: &[
            ("pipeline", Kind::Text),
            ("topic", Kind::Text),
            ("partition", Kind::Integer),
            ("next_offset", Kind::Bigint),
            ("high_watermark", Kind::Bigint),
            ("lag", Kind::Bigint),
            ("trouble", Kind::Text),
        ],
        rows: positions,
    },
    SystemTable {
        name: "forebay.sinks",
        columns: &[
            ("name", Kind::Text),
            ("topic", Kind::Text),
            ("state", Kind::Text),
            ("trouble", Kind::Text),
            ("written_epoch", Kind::Bigint),
            ("waiting_epochs", Kind::Bigint),
            ("waiting_bytes", Kind::Bigint),
        ],
        rows: sinks,
    },
    SystemTable {
        name: "forebay.epochs",
        columns: &[("epoch", Kind::Bigint), ("clock", Kind::Time)],
        rows: |report| vec![vec![count(report.epoch), Value::Number(Some(report.now))]],
    },
];

/// The tables, for the catalog.
pub fn relations() -> impl Iterator<Item = Relation> {
    (0..).zip(&TABLES).map(|(number, table)| Relation {
        // From the top: relations of users count from the bottom.
        id: RelationId(u64::MAX - number),
        ..Relation::new(table.name, RelationKind::System, schema(table))
    })
}

/// The rows of a table; `None` where there is no such.
pub fn rows(name: &str, report: &Report) -> Option<RecordBatch> {
    let table = TABLES.iter().find(|table| table.name == name)?;
    let mut columns: Vec<Vec<Value>> = table.columns.iter().map(|_| Vec::new()).collect();
    for row in (table.rows)(report) {
        for (column, value) in columns.iter_mut().zip(row) {
            column.push(value);
        }
    }
    let arrays = table.columns.iter().zip(columns);
    let arrays = arrays.map(|((_, kind), values)| array(*kind, values));
    RecordBatch::try_new(schema(table), arrays.collect()).ok()
}

fn schema(table: &SystemTable) -> SchemaRef {
    let fields = table.columns.iter().map(|(name, kind)| {
        let data_type = match kind {
            Kind::Text => DataType::Utf8,
            Kind::Integer => DataType::Int32,
            Kind::Bigint => DataType::Int64,
            Kind::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())),
        };
        Field::new(*name, data_type, true)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn array(kind: Kind, values: Vec<Value>) -> ArrayRef {
    let numbers = || {
        values.iter().map(|value| match value {
            Value::Number(number) => *number,
            Value::Text(_) => None,
        })
    };
    match kind {
        Kind::Text => Arc::new(StringArray::from_iter(values.iter().map(
            |value| match value {
                Value::Text(text) => text.as_deref(),
                Value::Number(_) => None,
            },
        ))),
        Kind::Integer => {
            let narrow = |number: i64| i32::try_from(number).ok();
            Arc::new(Int32Array::from_iter(numbers().map(|n| n.and_then(narrow))))
        }
        Kind::Bigint => Arc::new(Int64Array::from_iter(numbers())),
        Kind::Time => {
            let times = TimestampMicrosecondArray::from_iter(numbers());
            Arc::new(times.with_timezone("+00:00"))
        }
    }
}

fn text(text: &str) -> Value {
    Value::Text(Some(text.to_owned()))
}

fn count(number: u64) -> Value {
    Value::Number(i64::try_from(number).ok())
}

fn pipelines(report: &Report) -> Vec<Vec<Value>> {
    let rows = report.pipelines.iter().map(|pipeline| {
        let operators = &pipeline.operators;
        let entries: usize = operators
            .iter()
            .map(|operator| operator.stats.state_entries)
            .sum();
        let bytes: usize = operators
            .iter()
            .map(|operator| operator.stats.state_bytes)
            .sum();
        let late: u64 = operators
            .iter()
            .map(|operator| operator.stats.late_rows)
            .sum();
        let lag: i64 = pipeline
            .positions
            .iter()
            .map(|position| position.high_watermark.0 - position.next_offset.0)
            .sum();
        let state = if pipeline.failure.is_some() {
            "stopped"
        } else {
            "running"
        };
        vec![
            text(&pipeline.name),
            text(pipeline.kind),
            text(state),
            Value::Text(pipeline.failure.clone()),
            Value::Number(pipeline.rows.and_then(|rows| i64::try_from(rows).ok())),
            count(pipeline.bytes),
            count(entries as u64),
            count(bytes as u64),
            Value::Number(Some(lag)),
            Value::Number(pipeline.watermark),
            count(late),
            count(pipeline.counts.records),
            count(pipeline.counts.bytes),
            count(pipeline.counts.malformed),
            Value::Text(pipeline.counts.malformed_last.clone()),
            count(pipeline.counts.dead_letters),
        ]
    });
    rows.collect()
}

fn operators(report: &Report) -> Vec<Vec<Value>> {
    let mut rows = Vec::new();
    for pipeline in &report.pipelines {
        for (node, operator) in (0..).zip(&pipeline.operators) {
            let stats = &operator.stats;
            rows.push(vec![
                text(&pipeline.name),
                count(node),
                text(&operator.name),
                count(stats.rows_in),
                count(stats.rows_out),
                count(stats.state_entries as u64),
                count(stats.state_bytes as u64),
                count(stats.faults),
                Value::Text(stats.last_fault.as_ref().map(|fault| fault.message.clone())),
                count(stats.late_rows),
                count(u64::try_from(stats.busy.as_nanos()).unwrap_or(u64::MAX)),
            ]);
        }
    }
    rows
}

fn positions(report: &Report) -> Vec<Vec<Value>> {
    let mut rows = Vec::new();
    for pipeline in &report.pipelines {
        for position in &pipeline.positions {
            let (next, end) = (position.next_offset.0, position.high_watermark.0);
            rows.push(vec![
                text(&pipeline.name),
                text(&position.topic),
                Value::Number(Some(i64::from(position.partition.partition.0))),
                Value::Number(Some(next)),
                Value::Number(Some(end)),
                Value::Number(Some(end - next)),
                Value::Text(position.trouble.clone()),
            ]);
        }
    }
    rows
}

/// Those into external clusters: others have written what is decided.
fn sinks(report: &Report) -> Vec<Vec<Value>> {
    let with = report
        .pipelines
        .iter()
        .filter_map(|pipeline| Some((pipeline, pipeline.delivery.as_ref()?)));
    let rows = with.map(|(pipeline, delivery)| {
        let state = match (&pipeline.failure, &delivery.trouble) {
            (Some(_), _) => "stopped",
            _ if delivery.holds_back => "holding back",
            (None, Some(_)) => "waiting",
            (None, None) => "running",
        };
        let trouble = pipeline.failure.clone().or(delivery.trouble.clone());
        vec![
            text(&pipeline.name),
            text(&delivery.topic),
            text(state),
            Value::Text(trouble),
            delivery.epoch.map_or(Value::Number(None), count),
            count(delivery.backlog_epochs),
            count(delivery.backlog_bytes),
        ]
    });
    rows.collect()
}
