//! The comparison as a page.

use std::fmt::Write;

use anyhow::Result;

use super::{
    Engine, Sample, Samples, Wanted,
    serving::{Served, Spread},
};

/// The page.
pub fn markdown(samples: &Samples, served: Option<&Served>, wanted: &Wanted) -> Result<String> {
    let mut text = String::new();
    write!(
        text,
        "# Nexmark beside Apache Flink

Written by `cargo xtask bench streams`: {} events (persons, auctions and bids as 1 : 3 : 46) in the log of each, read from the first
to the last by one query at a time, into a sink that keeps nothing. Forebay reads from its own topics, synced before they were
acknowledged, and what counts is the CPU of the whole node, the log's included; for Apache Flink 2.3 (parallelism 1, heap
3 GiB, mini-batches, a warm-up over a million events before a query's runs) it is the CPU of Flink's process, without that of
the Kafka it reads from. The best of {} runs. Thousands of events per CPU second; –: not run, as Flink has no query of that
number here.

| query | Forebay, JSON | Flink, RocksDB | Flink, heap | Forebay / better Flink | Forebay, Protobuf | Protobuf / JSON |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
",
        wanted.events, wanted.runs
    )?;
    for query in &wanted.queries {
        let engines = [
            Engine::ForebayJson,
            Engine::FlinkRocksdb,
            Engine::FlinkHashmap,
            Engine::ForebayProtobuf,
        ];
        let [json, rocksdb, heap, protobuf] = engines.map(|engine| best(samples, query, engine));
        let cells = engines.map(|engine| cell(samples, query, engine));
        let flink = match (rocksdb, heap) {
            (Some(one), Some(other)) => Some(one.max(other)),
            (one, other) => one.or(other),
        };
        writeln!(
            text,
            "| {query} | {} | {} | {} | {} | {} | {} |",
            cells[0],
            cells[1],
            cells[2],
            ratio(json, flink),
            cells[3],
            ratio(protobuf, json)
        )?;
    }
    if let Some(served) = served {
        write!(text, "\n{}", serving(served))?;
    }
    Ok(text)
}

fn serving(served: &Served) -> String {
    let spread = |spread: &Spread| {
        format!(
            "{:.2} | {:.2} | {:.2} | {}",
            spread.p50, spread.p99, spread.longest, spread.count
        )
    };
    format!(
        "## Reading while it runs

A view counts records by key on the node's one machine with the load and the reader. At most {:.0} records a second went in and were
visible; at half of that, {} a second:

| milliseconds | p50 | p99 | longest | times |
| --- | ---: | ---: | ---: | ---: |
| look-up of one key, prepared, on one connection | {} |
| from a record's sending to the changed row at a subscriber | {} |

After kill -9 with {:.0} MiB of state, operators' and rows ({} keys), the node was ready {:.1} s after its start and had answered {:.1} s after it.
",
        served.records_per_s,
        served.paced_per_s,
        spread(&served.look_up),
        spread(&served.visible),
        served.state_mib,
        served.keys,
        served.ready.as_secs_f64(),
        served.answered.as_secs_f64()
    )
}

fn best(samples: &Samples, query: &'static str, engine: Engine) -> Option<f64> {
    let runs = samples.get(&(query, engine))?.iter().flatten();
    runs.map(Sample::events_per_cpu_s).reduce(f64::max)
}

/// The best rate, in thousands; what failed in any run says so.
fn cell(samples: &Samples, query: &'static str, engine: Engine) -> String {
    let Some(runs) = samples.get(&(query, engine)) else {
        return "–".to_owned();
    };
    match best(samples, query, engine) {
        Some(rate) if runs.iter().all(Result::is_ok) => format!("{:.0}", rate / 1e3),
        Some(rate) => format!("{:.0} (a run failed)", rate / 1e3),
        None => "failed".to_owned(),
    }
}

fn ratio(one: Option<f64>, other: Option<f64>) -> String {
    match (one, other) {
        (Some(one), Some(other)) => format!("{:.1} ×", one / other),
        _ => "–".to_owned(),
    }
}
