//! Where a stretch of records ends, and what is counted of it.

use std::{collections::BTreeMap, future::Future, rc::Rc, time::Duration};

use arrow_schema::{DataType, Field};
use base::TimestampMs;
use kafka::batch::{BatchBuilder, Compression, assign};
use runtime::sim::{Sim, SimConfig};

use super::*;
use crate::format::Framing;

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

fn on_shard<T: 'static>(work: impl Future<Output = T> + 'static) -> T {
    let sim = Sim::new(SimConfig::new(1));
    let node = sim.host("node", 1, std::future::pending::<()>);
    sim.run_for(Duration::from_millis(1));
    let done = sim.run_on(node, Duration::from_secs(60), work);
    done.expect("it ends")
}

/// On a shard, which says when to yield.
fn decode(reader: SourceReader, batches: Vec<u8>, from: i64, until: i64) -> Decoded {
    on_shard(async move {
        let reader = Arc::new(reader);
        let decoded = reader.decode(0, &batches, Offset(from), Offset(until));
        decoded.await.expect("sound batches")
    })
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

#[test]
fn schemas_are_not_looked_at_again_for_the_next_read() {
    let schema = r#"{"type": "record", "name": "r", "fields": [{"name": "n", "type": "long"}]}"#;
    let source = || Source {
        topic: "in".to_owned(),
        schema: Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)])),
        format: Format::Avro {
            schema: schema.into(),
            paths: Vec::new(),
            framing: Framing::Registry,
        },
        metadata: BTreeMap::new(),
        watermark: None,
        on_malformed: OnMalformed::Skip,
    };
    on_shard(async move {
        let writers = WriterSchemas::default();
        writers.add(7, Arc::new(schema.into()));
        runtime::set_local(Rc::new(writers));
        let [reader, other] = [0, 1].map(|_| Arc::new(SourceReader::of(&source(), &[0])));
        let batches = batch(0, &[(b"k", &[0, 0, 0, 0, 7, 2])]);
        for _ in 0..2 {
            let decoded = reader.decode(0, &batches, Offset(0), Offset(1)).await;
            let decoded = decoded.expect("sound batches");
            let rows: usize = decoded.deltas.iter().map(Delta::len).sum();
            assert_eq!(rows, 1);
        }
        let idle = IdleDecoders::here();
        assert!(idle.take(&other).is_none());
        let kept = idle.take(&reader).expect("it is kept");
        assert_eq!(kept.schema_bytes(), 2 * schema.len());
        assert!(idle.take(&reader).is_none(), "there was but one");
        idle.keep(&reader, kept);
        let mut readers = Vec::new();
        let large = " ".repeat(200 << 10) + schema;
        for n in 0..40 {
            let mut source = source();
            if let Format::Avro { schema, .. } = &mut source.format {
                *schema = large.as_str().into();
            }
            let reader = Arc::new(SourceReader::of(&source, &[0]));
            let batches = batch(n, &[(b"k", &[0, 0, 0, 0, 7, 2])]);
            let decoded = reader.decode(0, &batches, Offset(n), Offset(n + 1)).await;
            decoded.expect("sound batches");
            readers.push(reader);
        }
        assert!(idle.take(&reader).is_none(), "those used longest ago go");
        let kept = readers.iter().filter(|reader| idle.take(reader).is_some());
        assert_eq!(kept.count(), 20);
    });
}
