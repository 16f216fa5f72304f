//! Every family writes with each compression, idempotent or not, and reads back byte for byte, also after restarts.

use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail, ensure};
use serde_json::json;

use crate::Stage;
use crate::client::{At, From, Refusal, Target, Worker};
use crate::kcat;
use crate::node::Node;
use crate::record::{Record, Seeded, base64, same};
use crate::report::Suite;
use crate::toolchain::Family;

const COMPRESSIONS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];

/// Kafka's default `max.message.bytes`.
const MESSAGE_BYTES_MAX: usize = 1_048_588;
/// The largest value that fits alone into a batch of that size: 61 bytes of batch header, and a record of one byte each
/// for attributes, timestamp delta, offset delta, null key and header count, three for its length and the value's.
const VALUE_BYTES_MAX: usize = MESSAGE_BYTES_MAX - 61 - 11;

/// What one family wrote: one partition for each combination.
struct Written {
    family: Family,
    topic: String,
    partitions: Vec<Vec<Record>>,
}

/// Runs the matrix.
pub fn run(stage: &Stage, suite: &mut Suite) -> Result<()> {
    let mut node = stage.node("node")?;
    let bootstrap = node.bootstrap();
    let mut workers = Vec::new();
    for (family, program) in stage
        .toolchain
        .families()
        .filter(|(family, _)| *family != Family::Kcat)
    {
        workers.push((family, Worker::spawn(program, &bootstrap)?));
    }
    let suite_of_all = Mutex::new(suite);
    let written: Vec<Written> = std::thread::scope(|scope| {
        let writers: Vec<_> = workers
            .iter_mut()
            .map(|(family, worker)| scope.spawn(|| write_all(*family, worker, &suite_of_all)))
            .collect();
        writers
            .into_iter()
            .filter_map(|writer| writer.join().ok())
            .collect()
    });
    read_all("", &mut workers, &written, 0, &suite_of_all);
    by_time(&mut workers, &written, &suite_of_all);
    if let Some(program) = stage.toolchain.program(Family::Kcat) {
        kcat::run(
            program,
            &bootstrap,
            &written_by(&written, Family::FranzGo),
            &suite_of_all,
        );
    }
    again(
        "after kill -9",
        &mut node,
        Node::crash,
        &mut workers,
        &written,
        1,
        &suite_of_all,
    );
    again(
        "after SIGTERM",
        &mut node,
        Node::restart,
        &mut workers,
        &written,
        2,
        &suite_of_all,
    );
    note(
        &suite_of_all,
        "the node's log has no warning".to_owned(),
        node.is_quiet(),
    );
    Ok(())
}

fn written_by(written: &[Written], family: Family) -> Option<(String, Vec<Record>)> {
    written
        .iter()
        .find(|one| one.family == family)
        .and_then(|one| Some((one.topic.clone(), one.partitions.first()?.clone())))
}

/// The case's name with what happened to the node before.
fn label(text: &str, when: &str) -> String {
    if when.is_empty() {
        text.to_owned()
    } else {
        format!("{text} {when}")
    }
}

/// Restarts the node and reads everything again.
fn again(
    when: &str,
    node: &mut Node,
    restart: fn(&mut Node) -> Result<()>,
    workers: &mut [(Family, Worker)],
    written: &[Written],
    shift: usize,
    suite: &Mutex<&mut Suite>,
) {
    let result = restart(node);
    let failed = result.is_err();
    note(suite, format!("the node starts {when}"), result);
    if !failed {
        read_all(when, workers, written, shift, suite);
    }
}

fn note(suite: &Mutex<&mut Suite>, name: String, result: Result<()>) {
    if let Ok(mut suite) = suite.lock() {
        suite.case(name, result);
    }
}

/// Writes every combination with one family.
fn write_all(family: Family, worker: &mut Worker, suite: &Mutex<&mut Suite>) -> Written {
    let name = family.name();
    let topic = format!("matrix-{name}");
    let combinations = COMPRESSIONS
        .iter()
        .flat_map(|compression| [(*compression, false), (*compression, true)]);
    let created = worker.create(&topic, 10, &json!({ "retention.ms": "604800000" }));
    note(suite, format!("{name} creates a topic"), created);
    let mut partitions = Vec::new();
    for (partition, (compression, idempotent)) in combinations.enumerate() {
        let to = Target {
            topic: &topic,
            partition: partition as u32,
            compression,
            idempotent,
        };
        let mut records = Vec::new();
        let result = write_one(worker, &to, family, &mut records);
        let kind = if idempotent { "idempotent" } else { "plain" };
        note(suite, format!("{name} writes {compression} {kind}"), result);
        partitions.push(records);
    }
    let to = Target {
        topic: &topic,
        partition: 0,
        compression: "none",
        idempotent: false,
    };
    note(
        suite,
        format!("{name} is refused what is too large"),
        refused_too_large(worker, &to),
    );
    Written {
        family,
        topic,
        partitions,
    }
}

fn write_one(
    worker: &mut Worker,
    to: &Target,
    family: Family,
    records: &mut Vec<Record>,
) -> Result<()> {
    let mut seeded = Seeded::new(1 + to.partition as u64 + 100 * family as u64);
    for batch in batches(&mut seeded, to.compression) {
        records.extend(worker.produce(to, batch)?);
    }
    // Without idempotence a batch that is sent again may come after the next one.
    records.sort_by_key(|record| record.offset);
    let expected: Vec<i64> = (0..records.len() as i64).collect();
    let offsets: Vec<i64> = records.iter().map(|record| record.offset).collect();
    ensure!(offsets == expected, "offsets {offsets:?}");
    Ok(())
}

/// Small records of every shape, then the largest that fits, then one more.
fn batches(seeded: &mut Seeded, compression: &str) -> [Vec<Record>; 3] {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_millis() as i64);
    let begin = now - 3_600_000;
    let record = |at: i64, key: Option<&[u8]>, value: Option<&[u8]>, headers: &[(&str, &[u8])]| {
        let mut headers: Vec<_> = headers
            .iter()
            .map(|(name, data)| ((*name).to_owned(), Some(base64(data))))
            .collect();
        headers.sort();
        Record {
            offset: -1,
            time_ms: begin + at * 1000,
            key: key.map(base64),
            value: value.map(base64),
            headers,
        }
    };
    let binary = seeded.noise(16);
    let mut small = vec![
        record(0, None, Some(b"x"), &[]),
        record(1, Some(b""), Some(b""), &[]),
        record(2, Some(b"key"), None, &[]),
        record(3, Some(b"k"), Some(&seeded.text(10)), &[("a", b"1")]),
        record(
            4,
            Some(&binary),
            Some(&seeded.noise(100)),
            &[("empty", b""), ("größe", &binary), ("z", b"last")],
        ),
    ];
    for (at, length) in [(5, 1_000), (6, 10_000), (7, 100_000)] {
        let value = if at == 6 {
            seeded.noise(length)
        } else {
            seeded.text(length)
        };
        small.push(record(at, Some(&seeded.noise(8)), Some(&value), &[]));
    }
    // Compressed batches of this size count compressed, so what cannot be compressed goes uncompressed only.
    let large = if compression == "none" {
        seeded.noise(VALUE_BYTES_MAX)
    } else {
        seeded.text(VALUE_BYTES_MAX)
    };
    [
        small,
        vec![record(8, None, Some(&large), &[])],
        vec![record(9, Some(b"end"), Some(b"end"), &[])],
    ]
}

fn refused_too_large(worker: &mut Worker, to: &Target) -> Result<()> {
    let value = base64(&Seeded::new(7).noise(MESSAGE_BYTES_MAX + 1000));
    let record = Record {
        offset: -1,
        time_ms: 1,
        key: None,
        value: Some(value),
        headers: Vec::new(),
    };
    match worker.produce(to, vec![record]) {
        Ok(_) => bail!("it was accepted"),
        Err(error) => {
            let refusal = error.downcast::<Refusal>()?;
            let text = refusal.text.to_lowercase().replace(['_', ' '], "");
            let expected = [
                "toolarge",
                "larger",
                "sizeexceeds",
                "maxmessagesize",
                "toobig",
            ];
            ensure!(
                expected.iter().any(|word| text.contains(word)),
                "refused with {}",
                refusal.text
            );
            Ok(())
        }
    }
}

/// Each family reads what it wrote, or, when shifted, what another wrote; and that of one neighbour besides.
fn read_all(
    when: &str,
    workers: &mut [(Family, Worker)],
    written: &[Written],
    shift: usize,
    suite: &Mutex<&mut Suite>,
) {
    let count = written.len().max(1);
    std::thread::scope(|scope| {
        for (index, (family, worker)) in workers.iter_mut().enumerate() {
            scope.spawn(move || {
                for of in [
                    &written[index % count],
                    &written[(index + 1 + shift) % count],
                ] {
                    let name = label(
                        &format!("{} reads {}'s", family.name(), of.family.name()),
                        when,
                    );
                    note(suite, name, read_back(worker, of, 0));
                }
            });
        }
    });
}

/// Reads every partition of a topic from one offset to its end.
fn read_back(worker: &mut Worker, of: &Written, offset: usize) -> Result<()> {
    let from: Vec<From> = (0u32..)
        .zip(&of.partitions)
        .map(|(partition, records)| From {
            partition,
            at: At::Offset(offset as i64),
            count: records.len() - offset,
        })
        .collect();
    let found = worker.read(&of.topic, &from)?;
    for (partition, (expected, found)) in of.partitions.iter().zip(&found).enumerate() {
        ensure!(
            expected.len() > offset,
            "nothing was written to partition {partition}"
        );
        same(&expected[offset..], found)
            .map_err(|error| error.context(format!("partition {partition}")))?;
    }
    Ok(())
}

/// Reads from the middle: by offset, by a timestamp that is there, and by one between two records.
fn by_time(workers: &mut [(Family, Worker)], written: &[Written], suite: &Mutex<&mut Suite>) {
    std::thread::scope(|scope| {
        for (index, (family, worker)) in workers.iter_mut().enumerate() {
            scope.spawn(move || {
                let of = &written[index];
                let name = family.name();
                note(
                    suite,
                    format!("{name} reads from an offset in the middle"),
                    read_back(worker, of, 4),
                );
                for (what, past, first) in [("exact", 0, 5), ("between", 1, 6)] {
                    let result = (|| {
                        let records = &of.partitions[3];
                        ensure!(records.len() > 6, "nothing was written");
                        let at = At::Time(records[5].time_ms + past);
                        let found = worker.read(
                            &of.topic,
                            &[From {
                                partition: 3,
                                at,
                                count: records.len() - first,
                            }],
                        )?;
                        same(&records[first..], &found[0])
                    })();
                    note(
                        suite,
                        format!("{name} reads from a timestamp ({what})"),
                        result,
                    );
                }
            });
        }
    });
}
