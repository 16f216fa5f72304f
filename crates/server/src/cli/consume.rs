//! `forebay consume`.

use std::{
    collections::BTreeMap,
    io::{self, BufWriter, Write},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, bail};
use base::{Offset, PartitionIndex};
use client::{
    Client, Consumer, ConsumerConfig, Fetched, Reset, Start,
    admin::OffsetSpec,
    consumer::{GroupConfig, TopicPartition},
};

use super::{
    ConsumeArgs,
    format::{self, Format},
    shard::with_client,
};
use crate::time;

/// How often the end and Ctrl-C are looked for while nothing comes.
const POLL: Duration = Duration::from_millis(200);

pub fn run(args: ConsumeArgs) -> anyhow::Result<()> {
    // Before any thread starts. Ctrl-C leaves the group and commits instead of just ending.
    runtime::signal::block_termination();
    let stop = Arc::new(AtomicBool::new(false));
    let watched = stop.clone();
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            runtime::signal::wait_for_termination();
            watched.store(true, Ordering::Relaxed);
            runtime::signal::wait_for_termination();
            std::process::exit(crate::exit::FAILED.into());
        })
        .context("a thread for signals")?;
    let start = args.offset.as_deref().map(parse_start).transpose()?;
    if args.group.is_some() && start.is_some_and(|s| !matches!(s, Start::Beginning | Start::End)) {
        bail!(
            "a group starts where it is: -o beginning or end only say where when it has no offsets. \
             `forebay group reset-offsets` moves it"
        );
    }
    if args.group.is_some() && args.partition.is_some() {
        bail!(
            "the members of a group share the partitions: --partition and --group exclude each other"
        );
    }
    let format = Format::parse(&args.format).map_err(anyhow::Error::msg)?;
    let printer = Printer {
        format: (!args.json).then_some(format),
        left: args.num,
    };
    let cluster = args.cluster.clone();
    with_client(&cluster, move |client| async move {
        consume(&client, &args, start, printer, &stop).await
    })
}

/// `beginning`, `end`, an offset, `-N` or `@TIME`.
pub fn parse_start(text: &str) -> anyhow::Result<Start> {
    let wrong = || {
        format!(
            "-o {text}: write beginning, end, an offset, -N for the last N of each partition, or @TIME"
        )
    };
    Ok(match text {
        "beginning" | "start" | "earliest" => Start::Beginning,
        "end" | "latest" => Start::End,
        _ => match (text.strip_prefix('@'), text.strip_prefix('-')) {
            (Some(at), _) => Start::Timestamp(time::parse(at).map_err(anyhow::Error::msg)?),
            (_, Some(back)) => Start::BeforeEnd(back.parse().with_context(wrong)?),
            _ => {
                let offset: u64 = text.parse().with_context(wrong)?;
                Start::At(Offset(i64::try_from(offset).with_context(wrong)?))
            }
        },
    })
}

struct Printer {
    /// `None`: JSON.
    format: Option<Format>,
    left: Option<u64>,
}

impl Printer {
    fn is_done(&self) -> bool {
        self.left == Some(0)
    }

    /// Prints; returns the offset behind the last record printed of each partition.
    fn print(
        &mut self,
        fetched: &[Fetched],
        done: &mut BTreeMap<(String, PartitionIndex), Offset>,
    ) -> anyhow::Result<()> {
        let mut out = BufWriter::new(io::stdout().lock());
        for part in fetched {
            let place = (&*part.topic, part.partition.0);
            let mut failed = None;
            part.for_each(|record| {
                if self.is_done() {
                    return false;
                }
                let written = match &self.format {
                    Some(format) => format.write(&mut out, place, &record),
                    None => writeln!(out, "{}", format::json(place, &record)),
                };
                if let Err(error) = written {
                    failed = Some(error);
                    return false;
                }
                self.left = self.left.map(|left| left - 1);
                let key = (part.topic.to_string(), part.partition);
                done.insert(key, record.offset.plus(1));
                true
            })
            .with_context(|| format!("records of {}/{}", part.topic, part.partition))?;
            if let Some(error) = failed {
                return Err(error).context("writing to standard output");
            }
        }
        out.flush().context("writing to standard output")
    }
}

async fn consume(
    client: &Client,
    args: &ConsumeArgs,
    start: Option<Start>,
    mut printer: Printer,
    stop: &AtomicBool,
) -> anyhow::Result<()> {
    let config = ConsumerConfig {
        group: args.group.as_deref().map(|group| GroupConfig {
            // With -n, what was fetched beyond must not count as read: offsets are committed as printed.
            auto_commit: None,
            ..GroupConfig::new(group)
        }),
        reset: match start {
            Some(Start::End) => Reset::Latest,
            Some(Start::At(_)) => Reset::Fail,
            _ => Reset::Earliest,
        },
        ..ConsumerConfig::default()
    };
    for topic in &args.topics {
        client.topic(topic).await?;
    }
    let consumer = Consumer::new(client, config);
    let partitions = partitions(client, args).await?;
    let ends = if args.exit {
        ends(client, &partitions).await?
    } else {
        BTreeMap::new()
    };
    if args.group.is_some() {
        consumer.subscribe(&args.topics);
    } else {
        let start = start.unwrap_or(Start::Beginning);
        let wanted: Vec<_> = partitions.iter().map(|p| (p.clone(), start)).collect();
        consumer.assign(&wanted).await?;
    }
    let mut done = BTreeMap::new();
    let mut result = Ok(());
    while !printer.is_done() && !stop.load(Ordering::Relaxed) {
        let has_partitions = args.group.is_none() || consumer.rebalances() > 0;
        if args.exit && has_partitions && is_at_end(&consumer, &ends) {
            break;
        }
        let fetched = consumer.poll(POLL).await?;
        result = printer.print(&fetched, &mut done);
        if result.is_err() {
            break;
        }
        if args.group.is_some() {
            consumer.commit_offsets(&done).await?;
            done.clear();
        }
    }
    consumer.close().await?;
    match result {
        // Whoever read our output has enough: `| head` is no failure.
        Err(error) if is_broken_pipe(&error) => Ok(()),
        result => result,
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<io::Error>());
    io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

async fn partitions(client: &Client, args: &ConsumeArgs) -> anyhow::Result<Vec<TopicPartition>> {
    let mut partitions = Vec::new();
    for name in &args.topics {
        let topic = client.topic(name).await?;
        match args.partition {
            Some(partition) => {
                let partition = PartitionIndex(partition);
                client.leader(name, partition)?;
                partitions.push((Rc::clone(&topic.name), partition));
            }
            None => {
                let all = topic.partitions.iter();
                partitions.extend(all.map(|p| (Rc::clone(&topic.name), p.index)));
            }
        }
    }
    Ok(partitions)
}

async fn ends(
    client: &Client,
    partitions: &[TopicPartition],
) -> anyhow::Result<BTreeMap<TopicPartition, Offset>> {
    let wanted: Vec<_> = partitions
        .iter()
        .map(|partition| (partition.clone(), OffsetSpec::Latest))
        .collect();
    let listed = client.admin().list_offsets(&wanted).await?;
    Ok(listed
        .into_iter()
        .filter_map(|(partition, listed)| Some((partition, listed.offset?)))
        .collect())
}

fn is_at_end(consumer: &Consumer, ends: &BTreeMap<TopicPartition, Offset>) -> bool {
    let positions = consumer.positions();
    ends.iter()
        .all(|(partition, end)| positions.get(partition).is_none_or(|at| at >= end))
}
