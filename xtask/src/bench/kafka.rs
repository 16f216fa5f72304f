//! Forebay beside Apache Kafka: the same load on the same machine, in alternation.

mod load;
mod report;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use e2e::node::{Node, Server};
use e2e::toolchain;

use crate::run;
use load::{Load, Sample};

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Variant {
    Kafka,
    Forebay,
    KafkaFlush,
}

impl Variant {
    /// The order within a run. Apache Kafka as shipped comes first, because half of its rate is what latency is
    /// measured at.
    pub const ALL: [Variant; 3] = [Variant::Kafka, Variant::Forebay, Variant::KafkaFlush];

    /// The name in flags and in the document.
    pub fn name(self) -> &'static str {
        match self {
            Variant::Kafka => "kafka",
            Variant::Forebay => "forebay",
            Variant::KafkaFlush => "kafka-flush",
        }
    }
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Row {
    Ready,
    One,
    Sixteen,
    Read,
    Latency,
    Thousand,
    Memory,
}

impl Row {
    /// In the order in which one node goes through them.
    pub const ALL: [Row; 7] = [
        Row::Ready,
        Row::One,
        Row::Sixteen,
        Row::Read,
        Row::Latency,
        Row::Thousand,
        Row::Memory,
    ];

    /// The name after `--only`.
    pub fn name(self) -> &'static str {
        match self {
            Row::Ready => "ready",
            Row::One => "1",
            Row::Sixteen => "16",
            Row::Read => "read",
            Row::Latency => "latency",
            Row::Thousand => "1000",
            Row::Memory => "memory",
        }
    }
}

/// Every sample of each row and variant, in the order of the runs.
pub type Samples = BTreeMap<(Row, Variant), Vec<Sample>>;

/// Tasks that held their shard too long, over one run.
#[derive(Default)]
pub struct Stalls {
    pub by_kind: BTreeMap<String, u64>,
    pub longest_s: f64,
}

/// What the command line asks for.
struct Wanted {
    runs: usize,
    rows: Vec<Row>,
    variants: Vec<Variant>,
    seconds: u32,
    /// A release build there is already; otherwise one is made.
    binary: Option<PathBuf>,
}

/// Runs the comparison and writes `docs/benchmarks.md`; a run of some rows or variants only prints.
pub fn run(root: &Path, args: &[String]) -> Result<()> {
    let wanted = parse(args)?;
    let load = Load {
        program: toolchain::load_generator(root)?,
        seconds: wanted.seconds,
    };
    let jars = toolchain::kafka_jars(root)?;
    let java = (jars, root.join("e2e/clients/java/log4j2.properties"));
    let binary = match (&wanted.binary, wanted.variants.contains(&Variant::Forebay)) {
        (Some(binary), _) => binary.clone(),
        (None, true) => run::build_binary(root, &["--release"])?,
        (None, false) => PathBuf::new(),
    };
    let home = toolchain::cache_dir().join(format!("bench-{}", std::process::id()));
    let mut samples = Samples::new();
    let mut half_rate = None;
    let mut stalls = Vec::new();
    for turn in 1..=wanted.runs {
        for variant in &wanted.variants {
            println!("== run {turn} of {}: {}", wanted.runs, variant.name());
            let dir = home.join(variant.name());
            let _ = std::fs::remove_dir_all(&dir);
            let server = match variant {
                Variant::Forebay => Server::Forebay {
                    binary: binary.clone(),
                },
                _ => Server::Kafka,
            };
            let mut node = Node::with_java(&server, Some(java.clone()), &dir)?;
            if *variant == Variant::KafkaFlush {
                node.settings
                    .push("log.flush.interval.messages=1".to_owned());
            }
            measure(
                &mut node,
                *variant,
                &wanted.rows,
                &load,
                &mut half_rate,
                &mut samples,
            )?;
            if *variant == Variant::Forebay {
                stalls.push(stalls_of(&node)?);
            }
            // Kafka takes its time to close a thousand logs, which nothing here measures.
            if *variant == Variant::Forebay {
                node.stop()?;
            } else {
                node.kill()?;
            }
            std::fs::remove_dir_all(&dir)?;
        }
        // After each run, so that an interrupted comparison leaves what it has measured.
        let text = report::markdown(&samples, &stalls, turn, wanted.seconds)?;
        println!("{text}");
        if wanted.rows.len() == Row::ALL.len() && wanted.variants.len() == Variant::ALL.len() {
            let path = root.join("docs/benchmarks.md");
            std::fs::write(&path, text)
                .with_context(|| format!("cannot write {}", path.display()))?;
            println!("written to {}", path.display());
        }
    }
    let _ = std::fs::remove_dir_all(&home);
    Ok(())
}

fn parse(args: &[String]) -> Result<Wanted> {
    let mut wanted = Wanted {
        runs: 3,
        rows: Vec::new(),
        variants: Variant::ALL.to_vec(),
        seconds: 10,
        binary: None,
    };
    let mut args = args.iter();
    while let Some(flag) = args.next() {
        let value = args
            .next()
            .with_context(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--runs" => wanted.runs = value.parse()?,
            "--binary" => wanted.binary = Some(PathBuf::from(value)),
            "--seconds" => wanted.seconds = value.parse()?,
            "--only" => {
                let row = Row::ALL.into_iter().find(|row| row.name() == value);
                wanted.rows.push(
                    row.with_context(|| {
                        format!("no row {value:?}: {:?}", Row::ALL.map(Row::name))
                    })?,
                );
            }
            "--skip" => wanted.variants.retain(|variant| variant.name() != value),
            other => bail!(
                "no flag {other:?}: [--runs N] [--only ROW]... [--skip VARIANT]... [--seconds N] [--binary FOREBAY]"
            ),
        }
    }
    if wanted.rows.is_empty() {
        wanted.rows = Row::ALL.to_vec();
    }
    Ok(wanted)
}

/// Takes one node through the rows.
fn measure(
    node: &mut Node,
    variant: Variant,
    rows: &[Row],
    load: &Load,
    half_rate: &mut Option<u64>,
    samples: &mut Samples,
) -> Result<()> {
    let ready = node.start()?;
    let mut note = |row: Row, sample: Sample| {
        println!("{} {}: {}", variant.name(), row.name(), sample.line());
        samples.entry((row, variant)).or_default().push(sample);
    };
    // A moment in which nobody asks for anything.
    std::thread::sleep(std::time::Duration::from_secs(2));
    let idle = node.resident_bytes()?;
    if rows
        .iter()
        .any(|row| !matches!(row, Row::Ready | Row::Memory))
    {
        load.warm_up(node)?;
    }
    let mut own_rate = None;
    for row in rows {
        let sample = match row {
            Row::Ready => Sample {
                ready_ms: Some(ready.as_secs_f64() * 1000.0),
                ..Sample::default()
            },
            Row::One => load.produce(node, "one", 1, None)?,
            Row::Sixteen => load.produce(node, "sixteen", 16, None)?,
            Row::Thousand => load.one_record_batches(node)?,
            Row::Read => load.read(node, "one")?,
            Row::Memory => Sample {
                idle_mib: Some(idle as f64 / 1048576.0),
                after_mib: Some(node.resident_bytes()? as f64 / 1048576.0),
                ..Sample::default()
            },
            Row::Latency => {
                let own = match own_rate {
                    Some(rate) => rate,
                    None => rate_of(&load.produce(node, "sixteen", 16, None)?),
                };
                let half = *half_rate.get_or_insert(own / 2);
                if own < half {
                    println!(
                        "{}: {own} records/s at most, below the {half} of the latency row",
                        variant.name()
                    );
                    Sample {
                        too_slow: true,
                        rate: Some(half as f64),
                        ..Sample::default()
                    }
                } else {
                    let sample = load.produce(node, "latency", 16, Some(half))?;
                    Sample {
                        rate: Some(half as f64),
                        ..sample
                    }
                }
            }
        };
        if *row == Row::Sixteen {
            own_rate = Some(rate_of(&sample));
        }
        note(*row, sample);
    }
    Ok(())
}

fn rate_of(sample: &Sample) -> u64 {
    sample.records_per_s.unwrap_or(0.0) as u64
}

/// What the node's own metrics say of stalls.
fn stalls_of(node: &Node) -> Result<Stalls> {
    let metrics = node.http_get("/metrics")?;
    let mut stalls = Stalls::default();
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let Some((name, value)) = line.rsplit_once(' ') else {
            continue;
        };
        if name.starts_with("forebay_task_stalls_total") {
            let kind = name.split('"').nth(3).context("a stall without its kind")?;
            *stalls.by_kind.entry(kind.to_owned()).or_default() += value.parse::<u64>()?;
        } else if name.starts_with("forebay_shard_longest_stall_seconds") {
            stalls.longest_s = stalls.longest_s.max(value.parse()?);
        }
    }
    Ok(stalls)
}
