//! Record batches: the door with every codec, and iteration.

use base::{Offset, TimestampMs};
use kafka::batch::{
    BATCH_HEADER_BYTES, BatchBuilder, BatchHeader, Compression, DoorRules, TimestampType,
    Validation, batches, for_each_record, output_bytes_max, validate_batch, without_aborted,
};

const NOW: TimestampMs = TimestampMs(1_700_000_000_000);
/// Where a batch keeps its length, its checksum, and what the checksum covers.
const LENGTH_AT: usize = 8;
const CRC_AT: usize = 17;
const ATTRIBUTES_AT: usize = 21;
/// Output bound of the iteration target.
const OUTPUT_BYTES_MAX: usize = 1 << 20;

/// What the codecs need besides the input: their windows, blocks and chunks (see `kafka::batch`'s compression module), the
/// largest being the two 4 MiB blocks that an lz4 frame may ask for.
pub fn codec_bytes_max(input_bytes: usize) -> usize {
    (9 << 20) + 32 * input_bytes
}

/// The whole output is held, in a vector that grows by doubling.
pub fn iteration_bytes_max(input_bytes: usize) -> usize {
    codec_bytes_max(input_bytes) + 3 * OUTPUT_BYTES_MAX
}

fn rules(choice: u8) -> DoorRules {
    DoorRules {
        batch_bytes_max: 1 << 20,
        timestamp_type: match choice & 1 {
            0 => TimestampType::CreateTime,
            _ => TimestampType::LogAppendTime,
        },
        now: NOW,
        timestamp_before_ms_max: if choice & 2 == 0 { i64::MAX } else { 1000 },
        timestamp_after_ms_max: 3_600_000,
        compression: match choice >> 2 {
            0 => Some(Compression::None),
            1 => Some(Compression::Zstd),
            _ => None,
        },
    }
}

fn batch(compression: Compression) -> Vec<u8> {
    let mut builder = BatchBuilder::new(compression);
    for at in 0..12i64 {
        let value = vec![b'a' + at as u8; 1 << at];
        builder.push(
            TimestampMs(NOW.0 + at),
            (at % 3 > 0).then_some(b"key".as_slice()),
            (at % 5 > 0).then_some(&value),
            &[("h", Some(b"v".as_slice())), ("n", None)][..(at % 3) as usize],
        );
    }
    builder.finish()
}

/// Makes length and checksum right, so that mutations reach what lies behind them.
fn seal(batch: &mut [u8]) {
    if batch.len() < BATCH_HEADER_BYTES {
        return;
    }
    let length = (batch.len() - LENGTH_AT - 4) as u32;
    batch[LENGTH_AT..LENGTH_AT + 4].copy_from_slice(&length.to_be_bytes());
    let crc = iobuf::crc32c(&batch[ATTRIBUTES_AT..]);
    batch[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&crc.to_be_bytes());
}

/// Whole batches as they arrive.
pub fn door_seeds() -> Vec<Vec<u8>> {
    Compression::ALL.map(batch).to_vec()
}

/// Bytes as they arrive.
pub fn door(input: &[u8]) {
    check(input, rules(8));
}

/// A choice of rules and codec, then records before compression.
pub fn records_seeds() -> Vec<Vec<u8>> {
    let records = &batch(Compression::None)[BATCH_HEADER_BYTES..];
    (0..15)
        .map(|choice| [&[choice * 17], records].concat())
        .collect()
}

/// Records that are compressed rightly, whatever they are.
pub fn door_records(input: &[u8]) {
    let Some((choice, records)) = input.split_first() else {
        return;
    };
    let compression = Compression::ALL[usize::from(choice >> 4) % 5];
    // The record count stays that of the seeds, which mutated records have by chance only, or that of the input.
    let mut sealed = batch(Compression::None)[..BATCH_HEADER_BYTES].to_vec();
    sealed[22] = compression as u8;
    sealed.extend_from_slice(&pack(compression, records));
    seal(&mut sealed);
    check(&sealed, rules(choice & 15));
}

fn pack(compression: Compression, records: &[u8]) -> Vec<u8> {
    kafka::batch::compress(compression, records)
}

/// A choice of rules, then a batch whose records are mutated as they are compressed.
pub fn packed_seeds(compression: Compression) -> Vec<Vec<u8>> {
    let batch = batch(compression);
    (0..9)
        .map(|choice| [&[choice], &batch[..]].concat())
        .collect()
}

pub fn door_packed(input: &[u8]) {
    let Some((choice, batch)) = input.split_first() else {
        return;
    };
    let mut batch = batch.to_vec();
    seal(&mut batch);
    check(&batch, rules(choice & 15));
}

/// What the door lets in can be read: all of it, by the log's readers and by clients; in steps as at once.
fn check(bytes: &[u8], rules: DoorRules) {
    let whole = validate_batch(bytes, &rules);
    match Validation::new(bytes, &rules) {
        Err(error) => assert_eq!(whole.as_ref().err(), Some(&error)),
        Ok(mut validation) => loop {
            match validation.advance(50) {
                Ok(false) => {}
                Ok(true) => {
                    let stepped = validation.finish().map(|valid| valid.header);
                    assert_eq!(stepped, whole.clone().map(|valid| valid.header));
                    break;
                }
                Err(error) => {
                    assert_eq!(whole.as_ref().err(), Some(&error));
                    break;
                }
            }
        },
    }
    let Ok(valid) = whole else {
        return;
    };
    assert_eq!(
        BatchHeader::decode(&valid.bytes).as_ref(),
        Ok(&valid.header)
    );
    assert_eq!(valid.header.size_bytes(), valid.bytes.len());
    let mut next = 0;
    let mut newest = TimestampMs(-1);
    let output = output_bytes_max(valid.bytes.len());
    let read = for_each_record(&valid.bytes, output, |record| {
        assert_eq!(record.offset.0, next);
        newest = newest.max(record.timestamp);
        next += 1;
        true
    });
    assert_eq!(read, Ok(()));
    assert_eq!(next, i64::from(valid.header.record_count));
    assert_eq!(newest, valid.header.max_timestamp);
    // Passing the door again changes nothing, but that the broker's own timestamps are not for producers to set.
    let again = DoorRules {
        timestamp_type: TimestampType::CreateTime,
        timestamp_before_ms_max: i64::MAX,
        timestamp_after_ms_max: i64::MAX,
        ..rules
    };
    if rules.timestamp_type == TimestampType::CreateTime {
        let twice = validate_batch(&valid.bytes, &again).expect("valid once is valid twice");
        assert_eq!(twice.header, valid.header);
        assert_eq!(twice.bytes, valid.bytes);
    }
}

/// Batches of a log or a fetch response, read without any check at a door.
pub fn iterate(input: &[u8]) {
    for view in batches(input).flatten() {
        let (header, batch) = view;
        assert_eq!(header.size_bytes(), batch.len());
        let mut records = 0;
        let read = for_each_record(batch, OUTPUT_BYTES_MAX, |record| {
            assert!(record.offset <= header.last_offset());
            records += 1;
            true
        });
        assert!(read.is_err() || records == header.record_count.max(0));
    }
}

/// Every batch is still there, and only the mark of one is another.
pub fn aborted(input: &[u8]) {
    let transactions = [(Offset(0), 1), (Offset(i64::from(input.len() as u32)), -1)];
    let marked = without_aborted(input, transactions.to_vec());
    assert_eq!(marked.len(), input.len());
    let attributes = |bytes: &[u8]| -> Vec<i16> {
        let headers = batches(bytes).map_while(Result::ok);
        headers
            .map(|(header, _)| header.attributes & !0x20)
            .collect()
    };
    assert_eq!(attributes(&marked), attributes(input));
}
