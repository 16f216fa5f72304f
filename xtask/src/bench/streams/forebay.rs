//! Nexmark on a Forebay node: each query as a sink that keeps nothing.

use std::{path::Path, time::Instant};

use anyhow::{Context, Result, ensure};
use e2e::node::Node;
use postgres::{Client, NoTls};

use super::{Engine, Sample, Samples, Wanted, events_of, prefix};

/// Rows of the small table that one query joins.
const SIDE_ROWS: usize = 10_000;

/// Takes the node through the queries.
pub fn measure(
    root: &Path,
    node: &Node,
    engine: Engine,
    format: &str,
    wanted: &Wanted,
    samples: &mut Samples,
) -> Result<()> {
    let mut sql = connect(node)?;
    let queries = root.join("bench/nexmark/queries");
    let proto = std::fs::read_to_string(root.join("bench/nexmark/events.proto"))?;
    let proto = proto.replace('\'', "''");
    let sources = std::fs::read_to_string(queries.join("sources.sql"))?;
    sql.batch_execute(&filled(&sources, format, &proto))?;
    for query in &wanted.queries {
        let text = std::fs::read_to_string(queries.join(format!("{query}.sql")))?;
        for _ in 0..wanted.runs {
            let measured = one(&mut sql, node, query, &text, wanted.events);
            let measured = measured.map_err(|error| format!("{error:#}"));
            match &measured {
                Ok(sample) => println!(
                    "forebay {format} {query}: {:.0} events per CPU second, {:.2} s of CPU, {:.2} s, {} rows, {:.0} MiB",
                    sample.events_per_cpu_s(),
                    sample.cpu_s,
                    sample.seconds,
                    sample.rows,
                    sample.resident_mib
                ),
                Err(error) => println!("forebay {format} {query}: {error}"),
            }
            let failed = measured.is_err();
            samples.entry((query, engine)).or_default().push(measured);
            if failed {
                break;
            }
        }
    }
    sql.batch_execute("DROP SOURCE person; DROP SOURCE auction; DROP SOURCE bid")?;
    Ok(())
}

/// A session.
pub fn connect(node: &Node) -> Result<Client> {
    let address = format!(
        "host=127.0.0.1 port={} user=forebay dbname=forebay",
        node.pg_port()
    );
    Client::connect(&address, NoTls).context("the Postgres listener")
}

fn filled(statement: &str, format: &str, proto: &str) -> String {
    let mut text = statement.replace("${prefix}", &prefix(format));
    for (source, message) in [("person", "Person"), ("auction", "Auction"), ("bid", "Bid")] {
        let written = match format {
            "protobuf" => {
                format!("FORMAT PROTOBUF (SCHEMA '{proto}', MESSAGE 'nexmark.{message}')")
            }
            _ => "FORMAT JSON".to_owned(),
        };
        text = text.replace(&format!("${{{source}}}"), &written);
    }
    text
}

/// Makes the small table.
pub fn side_input(node: &Node) -> Result<()> {
    let mut sql = connect(node)?;
    let rows: Vec<String> = (0..SIDE_ROWS)
        .map(|key| format!("({key}, 'value {key}')"))
        .collect();
    sql.batch_execute("CREATE TABLE side_input (key BIGINT PRIMARY KEY, value TEXT)")?;
    // A statement has a greatest length.
    for rows in rows.chunks(1_000) {
        let rows = rows.join(", ");
        sql.batch_execute(&format!("INSERT INTO side_input VALUES {rows}"))?;
    }
    Ok(())
}

/// From the statement to when the sink has taken in all there is, which is when it is answered.
fn one(sql: &mut Client, node: &Node, query: &str, text: &str, events: u64) -> Result<Sample> {
    let (began, cpu) = (Instant::now(), node.cpu_seconds()?);
    sql.batch_execute(&format!("CREATE SINK {query} INTO BLACKHOLE AS {text}"))?;
    let (seconds, cpu_s) = (began.elapsed().as_secs_f64(), node.cpu_seconds()? - cpu);
    let resident_mib = node.resident_bytes()? as f64 / 1_048_576.0;
    let counted = counts(sql, query);
    sql.batch_execute(&format!("DROP SINK {query}"))?;
    let (records, rows) = counted?;
    let events = events_of(query, events);
    ensure!(
        records as f64 >= events,
        "{records} records were read of {events}"
    );
    Ok(Sample {
        events,
        rows,
        seconds,
        cpu_s,
        resident_mib,
    })
}

/// Records read by a pipeline, and rows of its last operator.
fn counts(sql: &mut Client, query: &str) -> Result<(u64, u64)> {
    let row = sql.query_one(
        "SELECT p.records, o.rows_out FROM forebay.pipelines AS p JOIN forebay.operators AS o ON o.pipeline = p.name
         WHERE p.name = $1 ORDER BY o.node DESC LIMIT 1",
        &[&query],
    )?;
    let number = |at: usize| Ok::<_, anyhow::Error>(u64::try_from(row.get::<_, i64>(at))?);
    Ok((number(0)?, number(1)?))
}
