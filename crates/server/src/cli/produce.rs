//! `forebay produce`: lines of standard input become records.

use std::{
    io::{self, BufRead, Write},
    rc::Rc,
};

use anyhow::{Context, anyhow};
use base::PartitionIndex;
use client::{Client, Delivery, Producer, ProducerConfig, ProducerRecord};
use kafka::batch::Compression;

use super::{
    Acks, Codec, ProduceArgs,
    format::grouped,
    shard::{CommandShard, client_config},
};

/// Lines handed to the shard at once.
const CHUNK_LINES: usize = 1024;
const CHUNK_BYTES: usize = 1 << 20;
/// A longer line is refused: it could not be a record.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// The producer, kept on the shard between chunks.
struct Session {
    args: ProduceArgs,
    producer: Producer,
}

pub fn run(args: ProduceArgs) -> anyhow::Result<()> {
    if args.key_delimiter.as_deref() == Some("") {
        return Err(anyhow!(
            "--key-delimiter is empty: name the text between key and value"
        ));
    }
    let shard = CommandShard::start()?;
    let topic = args.topic.clone();
    let setup = args.clone();
    shard.run(move || async move { open(setup).await })?;
    let sent = send_all(&shard);
    // After a line that is wrong, too: those before it are on their way.
    let closed = shard.run(|| async { close().await });
    let records = match &closed {
        Ok((records, _)) => *records,
        Err(_) => 0,
    };
    let noun = if records == 1 { "record" } else { "records" };
    note!("{} {noun} written to {topic}", grouped(records));
    let flushed = closed.and_then(|(_, flushed)| flushed);
    // What the broker refused is the cause of what could not be sent after it.
    flushed.and(sent)
}

fn send_all(shard: &CommandShard) -> anyhow::Result<()> {
    let mut stdin = io::stdin().lock();
    loop {
        let (chunk, ended) = read_chunk(&mut stdin)?;
        if !chunk.is_empty() {
            shard.run(move || async move { send(chunk).await })?;
        }
        if ended {
            return Ok(());
        }
    }
}

fn read_chunk(input: &mut impl BufRead) -> anyhow::Result<(Vec<Vec<u8>>, bool)> {
    let mut lines = Vec::new();
    let mut bytes = 0;
    while lines.len() < CHUNK_LINES && bytes < CHUNK_BYTES {
        let mut line = Vec::new();
        let mut limited = io::Read::take(&mut *input, LINE_BYTES_MAX);
        let read = limited
            .read_until(b'\n', &mut line)
            .context("reading standard input")?;
        if read == 0 {
            return Ok((lines, true));
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if read as u64 == LINE_BYTES_MAX {
            return Err(anyhow!("a line is longer than {LINE_BYTES_MAX} bytes"));
        }
        bytes += line.len();
        lines.push(line);
        // What is typed goes out line by line.
        if input.fill_buf().is_ok_and(<[u8]>::is_empty) || is_terminal() {
            break;
        }
    }
    Ok((lines, false))
}

fn is_terminal() -> bool {
    io::IsTerminal::is_terminal(&io::stdin())
}

async fn open(args: ProduceArgs) -> anyhow::Result<()> {
    let mut config = client_config(&args.cluster);
    config.create_topics = true;
    let timeout = config.api_timeout;
    let client = Client::connect(config).await?;
    client.topic(&args.topic).await?;
    let producer = Producer::new(
        &client,
        ProducerConfig {
            acks: match args.acks {
                Acks::None => client::Acks::None,
                Acks::Leader => client::Acks::Leader,
                Acks::All => client::Acks::All,
            },
            compression: match args.compression {
                Codec::None => Compression::None,
                Codec::Gzip => Compression::Gzip,
                Codec::Snappy => Compression::Snappy,
                Codec::Lz4 => Compression::Lz4,
                Codec::Zstd => Compression::Zstd,
            },
            delivery_timeout: timeout,
            request_bytes_max: 64 << 20,
            ..ProducerConfig::default()
        },
    );
    runtime::set_local(Rc::new(Session { args, producer }));
    Ok(())
}

async fn send(lines: Vec<Vec<u8>>) -> anyhow::Result<()> {
    let session = runtime::local::<Session>().context("the producer is open")?;
    let args = &session.args;
    let headers: Vec<(&str, Option<&[u8]>)> = args
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), Some(value.as_bytes())))
        .collect();
    let mut deliveries: Vec<Delivery> = Vec::new();
    for line in &lines {
        let (key, value) = split(line, args.key_delimiter.as_deref())?;
        let null = |bytes: &[u8]| args.null_empty && bytes.is_empty();
        let record = ProducerRecord {
            topic: &args.topic,
            partition: args.partition.map(PartitionIndex),
            key: key.filter(|key| !null(key)),
            value: Some(value).filter(|value| !null(value)),
            headers: &headers,
            timestamp: None,
        };
        let delivery = session.producer.send(record).await?;
        if args.verbose {
            deliveries.push(delivery);
        }
    }
    for delivery in deliveries {
        let ack = delivery.ack().await?;
        let offset = ack.offset.map_or("unknown".into(), |at| at.to_string());
        // Not `outln!`: a reader that has enough must not end the command before everything is acknowledged.
        let line = format!("partition {} offset {offset}\n", ack.partition);
        let written = io::stdout().write_all(line.as_bytes());
        written.context("writing to standard output")?;
    }
    Ok(())
}

/// Key and value of a line.
fn split<'l>(
    line: &'l [u8],
    delimiter: Option<&str>,
) -> anyhow::Result<(Option<&'l [u8]>, &'l [u8])> {
    let Some(delimiter) = delimiter else {
        return Ok((None, line));
    };
    let at = line
        .windows(delimiter.len())
        .position(|window| window == delimiter.as_bytes());
    let at = at.ok_or_else(|| {
        let start = String::from_utf8_lossy(&line[..line.len().min(60)]).into_owned();
        anyhow!("a line has no '{delimiter}' between key and value: {start}")
    })?;
    Ok((Some(&line[..at]), &line[at + delimiter.len()..]))
}

/// Sends what is left; how many records were acknowledged, and why not the others.
async fn close() -> anyhow::Result<(u64, anyhow::Result<()>)> {
    let session = runtime::local::<Session>().context("the producer is open")?;
    runtime::clear_local::<Session>();
    let flushed = session.producer.clone().close().await;
    let acknowledged = session.producer.stats().records_acknowledged;
    Ok((acknowledged, flushed.map_err(Into::into)))
}
