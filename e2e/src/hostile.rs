//! Clients that mean harm, over raw sockets, while an ordinary client keeps working.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use serde_json::json;

use crate::Stage;
use crate::client::{At, From, Target, Worker};
use crate::node::Node;
use crate::raw::{Batch, RECORD, answer_to, connect, request};
use crate::record::{Record, Seeded, base64, same};
use crate::report::Suite;
use crate::toolchain::Family;

const TOPIC: &str = "hostile";
/// Where the lies are sent.
const VICTIM: &str = "victim";
/// Well above what the node needs, well below what the attacks ask for together.
const RESIDENT_BYTES_MAX: u64 = 2 << 30;

/// What is done to the node at an address.
type Attack = fn(&str) -> Result<()>;

/// Runs each attack, and an ordinary round trip after it.
pub fn run(stage: &Stage, suite: &mut Suite) -> Result<()> {
    let Some(program) = stage.toolchain.program(Family::FranzGo) else {
        suite.skipped(
            "hostile",
            "the ordinary client is franz-go, which is not there",
        );
        return Ok(());
    };
    let mut node = stage.node("node")?;
    let mut ordinary = Ordinary {
        worker: Worker::spawn(program, &node.bootstrap())?,
        written: Vec::new(),
    };
    for topic in [TOPIC, VICTIM] {
        // The records' timestamps are long past.
        ordinary
            .worker
            .create(topic, 1, &json!({ "retention.ms": "-1" }))?;
    }
    suite.case("an ordinary round trip", ordinary.round_trip());
    let attacks: &[(&str, Attack)] = &[
        ("a length of 2 GiB", |at| {
            frames(at, &[i32::MAX.to_be_bytes().to_vec()])
        }),
        ("a negative length", |at| {
            frames(at, &[(-5i32).to_be_bytes().to_vec()])
        }),
        ("frames of zero to seven bytes", tiny_frames),
        ("HTTP on the Kafka listener", |at| {
            frames(at, &[b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()])
        }),
        ("unknown keys and versions", unknown_requests),
        (
            "five-byte bodies for every key and version",
            five_byte_bodies,
        ),
        ("counts of 2^31 - 1", huge_counts),
        ("noise", noise),
        ("batches that lie", lying_batches),
        ("decompression bombs", bombs),
    ];
    for (name, attack) in attacks {
        if stage.is_peer() && *name == "batches that lie" {
            suite.skipped(*name, "Apache Kafka believes offset deltas that jump");
            continue;
        }
        let result = attack(&node.bootstrap()).and_then(|()| unharmed(&mut node, &mut ordinary));
        suite.case(*name, result);
    }
    suite.case(
        "1,000 half-open connections",
        half_open(&mut node, &mut ordinary),
    );
    suite.case("slow-loris", slow_loris(&mut node, &mut ordinary));
    suite.case(
        "clients that do not read their answers",
        deaf(&mut node, &mut ordinary),
    );
    suite.case("no panic in the log", no_panic(&node));
    suite.case("and it stops in order", node.stop().map(drop));
    Ok(())
}

/// A client as there are many.
struct Ordinary {
    worker: Worker,
    written: Vec<Record>,
}

impl Ordinary {
    fn round_trip(&mut self) -> Result<()> {
        let begun = Instant::now();
        let value = format!("ordinary {}", self.written.len());
        let time_ms = 1_700_000_000_000;
        let record = Record {
            offset: -1,
            time_ms,
            key: None,
            value: Some(base64(value.as_bytes())),
            headers: Vec::new(),
        };
        let to = Target {
            topic: TOPIC,
            partition: 0,
            compression: "none",
            idempotent: true,
        };
        self.written.extend(self.worker.produce(&to, vec![record])?);
        let from = From {
            partition: 0,
            at: At::Offset(self.written[0].offset),
            count: self.written.len(),
        };
        let found = self.worker.read(TOPIC, &[from])?;
        same(&self.written, &found[0])?;
        ensure!(
            begun.elapsed() < Duration::from_secs(10),
            "it took {:?}",
            begun.elapsed()
        );
        Ok(())
    }
}

fn unharmed(node: &mut Node, ordinary: &mut Ordinary) -> Result<()> {
    ensure!(
        node.is_alive(),
        "the node is gone: {}",
        node.log_of_this_start()
            .lines()
            .next_back()
            .unwrap_or_default()
    );
    let resident = node.resident_bytes()?;
    ensure!(
        resident < RESIDENT_BYTES_MAX + (1 << 30),
        "{} MiB resident",
        resident >> 20
    );
    ordinary.round_trip()
}

fn no_panic(node: &Node) -> Result<()> {
    let log = node.log();
    match log
        .lines()
        .find(|line| line.contains("panicked at") || line.contains("forebay: bug"))
    {
        Some(line) => bail!("{line}"),
        None => Ok(()),
    }
}

/// Sends raw bytes, each on a connection of its own, and takes whatever comes back within a moment.
fn frames(at: &str, list: &[Vec<u8>]) -> Result<()> {
    for bytes in list {
        let mut stream = connect(at)?;
        // The server may have closed already; that is a fine answer.
        let _ = stream.write_all(bytes);
        stream.set_read_timeout(Some(Duration::from_millis(50)))?;
        let _ = stream.read(&mut [0u8; 4096]);
    }
    Ok(())
}

fn tiny_frames(at: &str) -> Result<()> {
    let list: Vec<Vec<u8>> = (0..8)
        .map(|length| [(length as i32).to_be_bytes().to_vec(), vec![0xff; length]].concat())
        .collect();
    frames(at, &list)
}

fn unknown_requests(at: &str) -> Result<()> {
    let pairs = [
        (0, 99),
        (1, -1),
        (3, 12_345),
        (18, 99),
        (500, 0),
        (-1, -1),
        (i16::MAX, i16::MAX),
    ];
    frames(
        at,
        &pairs.map(|(key, version)| request(key, version, &[0; 16])),
    )
}

fn five_byte_bodies(at: &str) -> Result<()> {
    let mut list = Vec::new();
    for key in 0..=92 {
        for version in 0..=18 {
            list.push(request(key, version, &[0x00, 0x7f, 0xff, 0xff, 0xff]));
        }
    }
    pipelined(at, &list)
}

fn huge_counts(at: &str) -> Result<()> {
    let mut list = Vec::new();
    for key in 0..=76 {
        for version in [0, 1, 4, 7, 9, 12, 13, 17] {
            for body in [
                [0x7f, 0xff, 0xff, 0xff].as_slice(),
                &[0xff, 0xff, 0xff, 0xff, 0x0f],
                &[0x00, 0xff, 0xff, 0xff, 0xff, 0x0f],
            ] {
                // Plain counts are four bytes, compact ones five of a varint; a few bytes before shift them.
                for shift in [0, 1, 2, 4, 6, 8, 10, 14] {
                    list.push(request(
                        key,
                        version,
                        &[vec![0; shift], body.to_vec(), vec![0; 3]].concat(),
                    ));
                }
            }
        }
    }
    pipelined(at, &list)
}

fn noise(at: &str) -> Result<()> {
    let mut seeded = Seeded::new(99);
    let list: Vec<Vec<u8>> = (0..3000)
        .map(|_| {
            let length = seeded.below(400) as usize;
            request(
                seeded.below(80) as i16,
                seeded.below(18) as i16,
                &seeded.noise(length),
            )
        })
        .collect();
    pipelined(at, &list)
}

/// Sends frames one after the other, on a new connection whenever the server has closed the last one.
fn pipelined(at: &str, list: &[Vec<u8>]) -> Result<()> {
    let mut stream = connect(at)?;
    for (index, frame) in list.iter().enumerate() {
        stream.set_read_timeout(Some(Duration::from_millis(1)))?;
        let closed =
            stream.write_all(frame).is_err() || matches!(stream.read(&mut [0u8; 65_536]), Ok(0));
        if closed || index % 64 == 63 {
            stream = connect(at)?;
        }
    }
    Ok(())
}

fn lying_batches(at: &str) -> Result<()> {
    let honest = || Batch {
        attributes: 0,
        last_offset_delta: 0,
        count: 1,
        records: RECORD.to_vec(),
    };
    let mut flipped = honest().bytes();
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    let mut long = honest().bytes();
    long[8..12].copy_from_slice(&i32::MAX.to_be_bytes());
    let mut old = honest().bytes();
    old[16] = 1;
    let lies: Vec<(&str, Vec<u8>)> = vec![
        ("a bad checksum", flipped),
        ("a length past the end", long),
        ("an old format", old),
        (
            "more offsets than records",
            Batch {
                last_offset_delta: 1000,
                ..honest()
            }
            .bytes(),
        ),
        (
            "a negative last offset delta",
            Batch {
                last_offset_delta: -1,
                ..honest()
            }
            .bytes(),
        ),
        (
            "more records than bytes",
            Batch {
                last_offset_delta: i32::MAX - 1,
                count: i32::MAX,
                ..honest()
            }
            .bytes(),
        ),
        (
            "no records",
            Batch {
                count: 0,
                last_offset_delta: -1,
                records: Vec::new(),
                ..honest()
            }
            .bytes(),
        ),
        (
            "a negative count",
            Batch {
                count: -1,
                ..honest()
            }
            .bytes(),
        ),
        (
            "a codec that does not exist",
            Batch {
                attributes: 7,
                ..honest()
            }
            .bytes(),
        ),
        (
            "a control batch",
            Batch {
                attributes: 0x20,
                ..honest()
            }
            .bytes(),
        ),
        (
            "a record longer than the batch",
            Batch {
                records: vec![0xfe, 0x7f, 0, 0, 0, 1, 2, b'x'],
                ..honest()
            }
            .bytes(),
        ),
        (
            "bytes after the records",
            Batch {
                records: [RECORD.as_slice(), &RECORD].concat(),
                ..honest()
            }
            .bytes(),
        ),
        (
            "offset deltas that jump",
            Batch {
                records: vec![14, 0, 0, 10, 1, 2, b'x', 0],
                ..honest()
            }
            .bytes(),
        ),
        ("a header only", honest().bytes()[..61].to_vec()),
        ("nothing", Vec::new()),
    ];
    ensure!(
        answer_to(at, VICTIM, &honest().bytes())? == Some(0),
        "an honest batch was refused"
    );
    for (lie, batch) in lies {
        // Apache Kafka takes an empty batch list as nothing to do; every other lie has an error.
        if answer_to(at, VICTIM, &batch)? == Some(0) && lie != "nothing" {
            bail!("{lie} was accepted");
        }
    }
    Ok(())
}

/// Compressed batches that say they hold one small record and unpack to a gibibyte.
fn bombs(at: &str) -> Result<()> {
    for (codec, packed) in [
        (1, gzip_bomb()),
        (2, snappy_bomb()),
        (3, lz4_bomb()),
        (4, zstd_bomb()),
    ] {
        let batch = Batch {
            attributes: codec,
            last_offset_delta: 0,
            count: 1,
            records: packed,
        }
        .bytes();
        ensure!(
            answer_to(at, VICTIM, &batch)? != Some(0),
            "the bomb in codec {codec} was accepted"
        );
    }
    Ok(())
}

/// A gzip stream of one fixed-Huffman block that repeats a zero byte: each 258 of them cost 13 bits.
fn gzip_bomb() -> Vec<u8> {
    let mut bits = Bits::default();
    bits.put(0b011, 3);
    // The literal 0x00 is 00110000 in the fixed code, most significant bit first.
    bits.put_reversed(0b0011_0000, 8);
    for _ in 0..500_000 {
        // Length 258 is symbol 285, code 11000101; distance 1 is code 00000.
        bits.put_reversed(0b1100_0101, 8);
        bits.put(0, 5);
    }
    bits.put(0, 7);
    let mut bytes = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    bytes.extend(bits.done());
    bytes.extend_from_slice(&[0; 8]);
    bytes
}

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    held: u32,
    count: u32,
}

impl Bits {
    fn put(&mut self, value: u32, width: u32) {
        self.held |= value << self.count;
        self.count += width;
        while self.count >= 8 {
            self.bytes.push(self.held as u8);
            self.held >>= 8;
            self.count -= 8;
        }
    }

    fn put_reversed(&mut self, value: u32, width: u32) {
        for place in (0..width).rev() {
            self.put(value >> place & 1, 1);
        }
    }

    fn done(mut self) -> Vec<u8> {
        self.put(0, 7);
        self.bytes
    }
}

/// Raw Snappy that claims four gigabytes and copies one byte over and over.
fn snappy_bomb() -> Vec<u8> {
    let mut bytes = vec![0xff, 0xff, 0xff, 0xff, 0x0f, 0x00, 0x00];
    for _ in 0..200_000 {
        // A copy of 64 bytes from one byte back.
        bytes.extend_from_slice(&[0xfe, 0x01, 0x00]);
    }
    bytes
}

/// An LZ4 frame with one block whose match runs on: each 0xff adds 255 bytes.
fn lz4_bomb() -> Vec<u8> {
    let mut block = vec![0x1f, 0x00, 0x01, 0x00];
    block.extend(std::iter::repeat_n(0xff, 900_000));
    block.extend_from_slice(&[0x00, 0x50, 0, 0, 0, 0, 0]);
    // Version 1, independent blocks, 4 MiB blocks; the header checksum may be looked at, the bomb may not go off.
    let mut bytes = vec![0x04, 0x22, 0x4d, 0x18, 0x60, 0x70, 0x73];
    bytes.extend_from_slice(&(block.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&block);
    bytes.extend_from_slice(&[0; 4]);
    bytes
}

/// Zstandard frames of run-length blocks: four bytes each for 128 KiB.
fn zstd_bomb() -> Vec<u8> {
    // No content size, a window of 128 KiB.
    let mut bytes = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38];
    for block in 0..8192u32 {
        let last = u32::from(block == 8191);
        let header = last | 1 << 1 | 131_072 << 3;
        bytes.extend_from_slice(&header.to_le_bytes()[..3]);
        bytes.push(0);
    }
    bytes
}

fn half_open(node: &mut Node, ordinary: &mut Ordinary) -> Result<()> {
    let mut held = Vec::new();
    for index in 0..1000 {
        let Ok(mut stream) = connect(&node.bootstrap()) else {
            continue;
        };
        if index % 2 == 0 {
            let _ = stream.write_all(&[0, 0]);
        }
        held.push(stream);
    }
    ensure!(
        held.len() >= 100,
        "only {} connections were let in",
        held.len()
    );
    unharmed(node, ordinary)
}

/// Frames that are announced at full size and sent a byte at a time.
fn slow_loris(node: &mut Node, ordinary: &mut Ordinary) -> Result<()> {
    let mut held: Vec<TcpStream> = (0..200)
        .filter_map(|_| connect(&node.bootstrap()).ok())
        .collect();
    for stream in &mut held {
        let _ = stream.write_all(&(1i32 << 20).to_be_bytes());
    }
    for _ in 0..20 {
        for stream in &mut held {
            let _ = stream.write_all(&[0]);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    unharmed(node, ordinary)
}

/// Requests without end from clients that never read.
fn deaf(node: &mut Node, ordinary: &mut Ordinary) -> Result<()> {
    let mut held: Vec<TcpStream> = (0..50)
        .filter_map(|_| connect(&node.bootstrap()).ok())
        .collect();
    // Metadata of version 1 for all topics.
    let frame = request(3, 1, &(-1i32).to_be_bytes()).repeat(50);
    let end = Instant::now() + Duration::from_secs(3);
    for stream in &held {
        stream.set_write_timeout(Some(Duration::from_millis(5)))?;
    }
    while Instant::now() < end {
        for stream in &mut held {
            let _ = stream.write(&frame);
        }
    }
    unharmed(node, ordinary)
}
