//! The comparison as a page.

use std::fmt::Write;

use anyhow::Result;

use super::{Engine, Sample, Samples, Wanted};

/// The page.
pub fn markdown(samples: &Samples, wanted: &Wanted) -> Result<String> {
    let mut text = String::new();
    write!(
        text,
        "# Nexmark beside Apache Flink

Written by `cargo xtask bench streams`: {} events (persons, auctions and bids as 1 : 3 : 46) in the log of each, read from the first
to the last by one query at a time, into a sink that keeps nothing. Forebay reads from its own topics, synced before they were
acknowledged, and what counts is the CPU of the whole node, the log's included; for Apache Flink 2.3 (parallelism 1, heap
3 GiB, mini-batches, a warm-up of a million events before each measurement) it is the CPU of Flink's process, without that of
the Kafka it reads from. The best of {} runs. Thousands of events per CPU second.

| query | Forebay, JSON | Flink, RocksDB | Flink, heap | Forebay / better Flink | Forebay, Protobuf | Protobuf / JSON |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
",
        wanted.events, wanted.runs
    )?;
    for query in &wanted.queries {
        let best = |engine| best(samples, query, engine);
        let rates = [
            Engine::ForebayJson,
            Engine::FlinkRocksdb,
            Engine::FlinkHashmap,
            Engine::ForebayProtobuf,
        ]
        .map(best);
        let [json, rocksdb, heap, protobuf] = rates;
        let flink = match (rocksdb, heap) {
            (Some(one), Some(other)) => Some(one.max(other)),
            (one, other) => one.or(other),
        };
        writeln!(
            text,
            "| {query} | {} | {} | {} | {} | {} | {} |",
            thousands(json),
            thousands(rocksdb),
            thousands(heap),
            ratio(json, flink),
            thousands(protobuf),
            ratio(protobuf, json)
        )?;
    }
    Ok(text)
}

fn best(samples: &Samples, query: &'static str, engine: Engine) -> Option<f64> {
    let runs = samples.get(&(query, engine))?.iter().flatten();
    runs.map(Sample::events_per_cpu_s).reduce(f64::max)
}

fn thousands(rate: Option<f64>) -> String {
    rate.map_or_else(|| "–".to_owned(), |rate| format!("{:.0}", rate / 1e3))
}

fn ratio(one: Option<f64>, other: Option<f64>) -> String {
    match (one, other) {
        (Some(one), Some(other)) => format!("{:.1} ×", one / other),
        _ => "–".to_owned(),
    }
}
