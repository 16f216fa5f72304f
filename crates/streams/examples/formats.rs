//! What decoding and encoding records costs on this machine: Nexmark's bids in each format.
//!
//! Run with `cargo run --release -p streams --example formats`.

use std::{hint::black_box, sync::Arc};

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use runtime::{Backend, Config};
use streams::format::{Decoder, Encoder, Format, Framing, RecordView};

/// Different bids: more than the caches close to the core hold.
const BIDS: usize = 20_480;
/// Bids decoded at a stretch: short, so that few stretches are interrupted and the median is not.
const STRETCH: usize = 1024;
const ROUNDS: usize = 20;

const BID: &str = r#"
    syntax = "proto3";
    message Bid {
        int64 auction = 1;
        int64 bidder = 2;
        int64 price = 3;
        string channel = 4;
        string url = 5;
        int64 dateTime = 6;
        string extra = 7;
    }
"#;

fn schema() -> SchemaRef {
    let timestamp = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let columns = [
        ("auction", DataType::Int64),
        ("bidder", DataType::Int64),
        ("price", DataType::Int64),
        ("channel", DataType::Utf8),
        ("url", DataType::Utf8),
        ("dateTime", timestamp),
        ("extra", DataType::Utf8),
    ];
    let fields = columns.map(|(name, data_type)| Field::new(name, data_type, true));
    Arc::new(Schema::new(fields.to_vec()))
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn letters(&mut self, count: usize) -> String {
        let letters = (0..count).map(|_| char::from(b'a' + (self.draw() % 26) as u8));
        letters.collect()
    }
}

/// As long as Nexmark's own generator makes them.
fn bid(at: usize, random: &mut Random) -> String {
    let auction = 1000 + at * 3 / 46 + (random.draw() % 100) as usize;
    let bidder = 1000 + at / 46 + (random.draw() % 1000) as usize;
    let price = 10u64.pow((random.draw() % 7) as u32 + 2) + random.draw() % 100;
    let channel = ["Google", "Facebook", "Baidu", "Apple"][(random.draw() % 4) as usize];
    let number = random.draw() as u32 >> 1;
    let path = [(); 3].map(|()| random.letters(5)).join("/");
    let time = 1_436_918_400_000 + at;
    let extra = 61 + (random.draw() % 40) as usize;
    let extra = random.letters(extra);
    format!(
        "{{\"auction\":{auction},\"bidder\":{bidder},\"price\":{price},\"channel\":\"{channel}\",\
         \"url\":\"https://www.nexmark.com/{path}/item.htm?query=1&channel_id={number}\",\
         \"dateTime\":{time},\"extra\":\"{extra}\"}}"
    )
}

fn view(value: &[u8]) -> RecordView<'_> {
    RecordView {
        key: None,
        value: Some(value),
        timestamp_ms: 0,
        partition: 0,
        offset: 0,
    }
}

/// All records as chunks.
fn decode(decoder: &mut Decoder, records: &[Vec<u8>]) -> Vec<RecordBatch> {
    let chunks = records.chunks(STRETCH).map(|records| {
        for record in records {
            decoder.push(view(record)).expect("a bid");
        }
        decoder.finish()
    });
    chunks.collect()
}

/// Seconds that `work` takes for one of `stretches`, the median.
fn median<T>(stretches: &[T], mut work: impl FnMut(&T)) -> f64 {
    let mut seconds = Vec::new();
    for _ in 0..ROUNDS {
        for stretch in stretches {
            let started = runtime::now();
            work(stretch);
            seconds.push(runtime::now().since(started).as_secs_f64());
        }
    }
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

fn measure(name: &str, format: &Format, columns: &[usize], records: &[Vec<u8>]) {
    let mut decoder = Decoder::new(format, &schema(), columns).expect("a format for bids");
    let stretches: Vec<&[Vec<u8>]> = records.chunks(STRETCH).collect();
    let seconds = median(&stretches, |records| {
        black_box(decode(&mut decoder, records));
    });
    let bytes: usize = records.iter().map(Vec::len).sum();
    let bytes = bytes / records.len();
    report(name, seconds);
    println!(
        "{:>10.0} MB/s of {bytes} bytes",
        (STRETCH * bytes) as f64 / seconds / 1e6
    );
}

fn report(name: &str, seconds: f64) {
    let rate = STRETCH as f64 / seconds;
    print!(
        "{name:<28} {:>6.2} M records/s {:>6.0} ns each",
        rate / 1e6,
        1e9 / rate
    );
}

fn encode(format: &Format, chunk: &RecordBatch) -> Vec<Vec<u8>> {
    let encoder = Encoder::new(format, &schema(), &[0, 1, 2, 3, 4, 5, 6]).expect("bids");
    let rows = (0..chunk.num_rows()).map(|row| {
        let mut record = Vec::with_capacity(512);
        encoder.encode(chunk, row, &mut record);
        record
    });
    rows.collect()
}

fn run() {
    let mut random = Random(7);
    let bids = (0..BIDS).map(|at| bid(at, &mut random).into_bytes());
    let bids: Vec<Vec<u8>> = bids.collect();
    let all: Vec<usize> = (0..7).collect();
    let json = Format::Json { paths: Vec::new() };
    let csv = Format::Csv { delimiter: b',' };
    measure("JSON, 7 of 7 columns", &json, &all, &bids);
    measure("JSON, 3 of 7 columns", &json, &[0, 2, 5], &bids);
    measure("JSON, 1 of 7 columns", &json, &[0], &bids);

    let mut decoder = Decoder::new(&json, &schema(), &all).expect("a format for bids");
    let chunks = decode(&mut decoder, &bids);
    let lines: Vec<Vec<u8>> = chunks
        .iter()
        .flat_map(|chunk| encode(&csv, chunk))
        .collect();
    measure("CSV, 7 of 7 columns", &csv, &all, &lines);
    measure("CSV, 3 of 7 columns", &csv, &[0, 2, 5], &lines);

    let protobuf = Format::Protobuf {
        schema: BID.into(),
        message: "Bid".to_owned(),
        paths: Vec::new(),
        framing: Framing::None,
    };
    let messages: Vec<Vec<u8>> = chunks
        .iter()
        .flat_map(|chunk| encode(&protobuf, chunk))
        .collect();
    measure("Protobuf, 7 of 7 columns", &protobuf, &all, &messages);
    measure("Protobuf, 3 of 7 columns", &protobuf, &[0, 2, 5], &messages);
    measure("Protobuf, 1 of 7 columns", &protobuf, &[0], &messages);

    for (name, format) in [
        ("JSON, encoded", &json),
        ("CSV, encoded", &csv),
        ("Protobuf, encoded", &protobuf),
    ] {
        let seconds = median(&chunks, |chunk| {
            black_box(encode(format, chunk));
        });
        report(name, seconds);
        println!();
    }
}

fn main() {
    let config = Config {
        shards: 1,
        backend: Backend::Epoll,
        ..Config::default()
    };
    let running = runtime::start(config, || async { run() }).expect("the shard starts");
    running.join().expect("the shard ends");
}
