//! Where a stretch of records ends, and what is counted of it.

use std::{collections::BTreeMap, time::Duration};

use arrow_schema::{DataType, Field};
use base::TimestampMs;
use kafka::batch::{BatchBuilder, Compression, assign};
use runtime::sim::{Sim, SimConfig};

use super::*;

/// A batch of these records from an offset on.
fn batch(base: i64, records: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Compression::None);
    for (key, value) in records {
        builder.push(TimestampMs(0), Some(key), Some(value), &[]);
    }
    let mut batch = builder.finish();
    assign(&mut batch, Offset(base), base::LeaderEpoch(0));
    batch
}

/// Numbers, with the records' keys as bytes and as text.
fn reader(on_malformed: OnMalformed) -> SourceReader {
    let fields = [
        ("n", DataType::Int64),
        ("key", DataType::Binary),
        ("name", DataType::Utf8),
    ];
    let fields = fields.map(|(name, of)| Field::new(name, of, true));
    let source = Source {
        topic: "in".to_owned(),
        schema: Arc::new(Schema::new(fields.to_vec())),
        format: Format::Json { paths: Vec::new() },
        metadata: BTreeMap::from([(1, Metadata::Key), (2, Metadata::Key)]),
        watermark: None,
        on_malformed,
    };
    SourceReader::of(&source, &[0, 1, 2])
}

/// On a shard, which says when to yield.
fn decode(reader: SourceReader, batches: Vec<u8>, from: i64, until: i64) -> Decoded {
    let sim = Sim::new(SimConfig::new(1));
    let node = sim.host("node", 1, std::future::pending::<()>);
    sim.run_for(Duration::from_millis(1));
    let decoded = sim.run_on(node, Duration::from_secs(60), async move {
        let decoded = reader.decode(0, &batches, Offset(from), Offset(until));
        decoded.await.expect("sound batches")
    });
    decoded.expect("it ends")
}

const GOOD: (&[u8], &[u8]) = (b"k", b"{\"n\": 1}");

#[test]
fn batches_behind_the_end_are_left_alone() {
    let batches = [
        batch(0, &[GOOD; 2]),
        batch(2, &[GOOD; 2]),
        batch(4, &[GOOD; 2]),
    ];
    let mut all = batches.concat();
    // Nobody looks into the last one: it need not be sound.
    let last = all.len() - 1;
    all[last] ^= 1;
    let decoded = decode(reader(OnMalformed::Skip), all.clone(), 0, 4);
    assert_eq!((decoded.records, decoded.next_offset), (4, Offset(4)));
    assert_eq!(decoded.bytes, (batches[0].len() + batches[1].len()) as u64);
    // A batch that goes on behind the end counts once it is read to its own.
    let first = decode(reader(OnMalformed::Skip), all.clone(), 0, 3);
    let rest = decode(reader(OnMalformed::Skip), all, 3, 4);
    assert_eq!((first.records, first.next_offset), (3, Offset(3)));
    assert_eq!((rest.records, rest.next_offset), (1, Offset(4)));
}

#[test]
fn a_stretch_in_which_nothing_is_left_ends_all_the_same() {
    let batches = batch(7, &[GOOD]);
    let decoded = decode(reader(OnMalformed::Skip), batches, 3, 5);
    assert_eq!((decoded.records, decoded.next_offset), (0, Offset(5)));
    assert_eq!(decoded.bytes, 0);
}

#[test]
fn records_without_rows_are_kept_up_to_a_limit() {
    let large = vec![b'x'; 1 << 20];
    let records: [(&[u8], &[u8]); 10] = [(b"k", &large); 10];
    let topic = "bad".to_owned();
    let policy = OnMalformed::DeadLetter { topic };
    let all = batch(0, &records);
    let mut from = 0;
    let mut stretches = Vec::new();
    while from < 10 {
        let decoded = decode(reader(policy.clone()), all.clone(), from, 10);
        assert_eq!(decoded.malformed_records[0].offset, Offset(from));
        stretches.push(decoded.malformed_records.len());
        from = decoded.next_offset.0;
    }
    assert_eq!(stretches, [4, 4, 2]);
}

/// Keys alone make rows large.
#[test]
fn rows_with_large_keys_come_in_several_chunks() {
    let large = vec![b'x'; 1 << 20];
    let records: [(&[u8], &[u8]); 10] = [(&large, b"{\"n\": 1}"); 10];
    let decoded = decode(reader(OnMalformed::Skip), batch(0, &records), 0, 10);
    let rows: Vec<usize> = decoded.deltas.iter().map(Delta::len).collect();
    assert_eq!(rows, [4, 4, 2]);
}
