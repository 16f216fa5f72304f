//! Tests of record batches.

use std::borrow::Cow;

use base::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, TimestampMs};

use super::{
    ATTRIBUTES_AT, BATCH_HEADER_BYTES, BatchBuilder, BatchError, BatchHeader, Compression,
    DoorRules, RecordFault, RecordTimes, Search, TimestampType, Validation, assemble, assign,
    batches, compress, for_each_record, seal, stamp_transactional, validate, validate_batch,
    varint::{put, size, varint, varlong},
};
use crate::error::ErrorCode;

const NOW: i64 = 1_700_000_000_000;

fn rules() -> DoorRules {
    DoorRules {
        batch_bytes_max: 32 << 20,
        timestamp_type: TimestampType::CreateTime,
        now: TimestampMs(NOW),
        timestamp_before_ms_max: i64::MAX,
        timestamp_after_ms_max: 3_600_000,
        compression: None,
    }
}

/// Records of all shapes: null and empty keys and values, headers, one longer than a chunk.
fn build(compression: Compression) -> Vec<u8> {
    let mut builder = BatchBuilder::new(compression);
    let long = vec![b'x'; 100_000];
    for at in 0..20i64 {
        let value: &[u8] = if at == 7 { &long } else { b"value" };
        builder.push(TimestampMs(NOW + at), Some(b"key"), Some(value), &[]);
    }
    builder.push(
        TimestampMs(NOW - 5),
        None,
        None,
        &[("h", Some(b"v")), ("", None)],
    );
    builder.push(TimestampMs(-1), Some(b""), Some(b""), &[]);
    builder.finish()
}

/// A batch of these raw record bytes that says it has `count` records.
fn raw(records: &[u8], count: i32, compression: Compression) -> Vec<u8> {
    let mut header = BatchHeader::decode(&build(Compression::None)).expect("a batch");
    header.record_count = count;
    header.last_offset_delta = count - 1;
    header.attributes = compression as i16;
    assemble(&header, Cow::Borrowed(records))
}

/// `edit` applied to a small valid batch, its checksum made right again.
fn edited(edit: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.push(
        TimestampMs(NOW),
        Some(b"k"),
        Some(b"v"),
        &[("h", Some(b"v"))],
    );
    builder.push(TimestampMs(NOW), None, Some(b"w"), &[]);
    let mut batch = builder.finish();
    edit(&mut batch);
    seal(&mut batch);
    batch
}

fn set(at: usize, bytes: &[u8]) -> impl FnOnce(&mut Vec<u8>) {
    move |batch| batch[at..at + bytes.len()].copy_from_slice(bytes)
}

/// The error that the door answers, if any.
fn refusal(batch: &[u8]) -> Option<BatchError> {
    validate(batch, &rules()).err()
}

#[test]
fn batches_of_every_compression_pass_unchanged_and_read_back() {
    let mut first = None;
    for compression in Compression::ALL {
        let batch = build(compression);
        let valid = validate_batch(&batch, &rules()).expect("valid");
        assert!(matches!(valid.bytes, Cow::Borrowed(_)), "{compression:?}");
        assert_eq!(valid.header.compression(), Ok(compression));
        assert_eq!(valid.header.record_count, 22);
        assert_eq!(valid.header.max_timestamp, TimestampMs(NOW + 19));
        let mut read = Vec::new();
        for_each_record(&batch, 1 << 20, |record| {
            read.push(format!("{record:?}"));
            true
        })
        .expect("readable");
        assert_eq!(read.len(), 22);
        assert!(read[20].contains(r#"headers: [("h", Some([118])), ("", None)]"#));
        let first = first.get_or_insert_with(|| read.clone());
        assert_eq!(*first, read);
    }
}

#[test]
fn a_flipped_bit_is_refused_or_harmless() {
    let batch = edited(|_| ());
    for at in 0..batch.len() {
        for bit in 0..8 {
            let mut flipped = batch.clone();
            flipped[at] ^= 1 << bit;
            // The leader epoch is the broker's to set.
            let harmless = (12..16).contains(&at);
            assert_eq!(validate(&flipped, &rules()).is_ok(), harmless, "byte {at}");
        }
    }
}

#[test]
fn headers_are_held_to_kafkas_rules() {
    type Check = fn(&BatchError) -> bool;
    let huge = i32::MAX.to_be_bytes();
    let cases: Vec<(&str, Vec<u8>, ErrorCode, Check)> = vec![
        ("empty", vec![], ErrorCode::InvalidRecord, |e| {
            *e == BatchError::Empty
        }),
        ("short", vec![0; 60], ErrorCode::InvalidRecord, |e| {
            matches!(e, BatchError::Truncated { .. })
        }),
        (
            "magic 1",
            edited(set(16, &[1])),
            ErrorCode::InvalidRecord,
            |e| *e == BatchError::Magic(1),
        ),
        (
            "length",
            edited(set(8, &[0, 0, 0, 48])),
            ErrorCode::CorruptMessage,
            |e| *e == BatchError::Length(48),
        ),
        (
            "negative length",
            edited(set(8, &[0xff; 4])),
            ErrorCode::CorruptMessage,
            |e| *e == BatchError::Length(-1),
        ),
        (
            "beyond the end",
            edited(set(8, &huge)),
            ErrorCode::InvalidRecord,
            |e| matches!(e, BatchError::Truncated { .. }),
        ),
        (
            "trailing",
            edited(|b| b.push(0)),
            ErrorCode::InvalidRecord,
            |e| *e == BatchError::Trailing { left: 1 },
        ),
        (
            "base offset",
            edited(set(7, &[1])),
            ErrorCode::InvalidRecord,
            |e| *e == BatchError::BaseOffset(Offset(1)),
        ),
        (
            "count above delta",
            edited(set(57, &[0, 0, 0, 3])),
            ErrorCode::InvalidRecord,
            |e| {
                matches!(
                    e,
                    BatchError::Count {
                        record_count: 3,
                        ..
                    }
                )
            },
        ),
        (
            "negative count",
            edited(set(57, &[0xff; 4])),
            ErrorCode::InvalidRecord,
            |e| {
                matches!(
                    e,
                    BatchError::Count {
                        record_count: -1,
                        ..
                    }
                )
            },
        ),
        (
            "negative delta",
            edited(set(23, &[0xff; 4])),
            ErrorCode::InvalidRecord,
            |e| matches!(e, BatchError::OffsetRange { .. }),
        ),
        (
            "offset overflow",
            edited(set(0, &i64::MAX.to_be_bytes())),
            ErrorCode::InvalidRecord,
            |e| matches!(e, BatchError::OffsetRange { .. }),
        ),
        (
            "control",
            edited(set(22, &[0x20])),
            ErrorCode::InvalidRecord,
            |e| *e == BatchError::Control,
        ),
        (
            "append time",
            edited(set(22, &[0x08])),
            ErrorCode::InvalidTimestamp,
            |e| *e == BatchError::TimestampType,
        ),
        (
            "compression 5",
            edited(set(22, &[5])),
            ErrorCode::UnsupportedCompressionType,
            |e| *e == BatchError::Compression(5),
        ),
        (
            "sequence",
            edited(set(43, &[0; 8])),
            ErrorCode::InvalidRecord,
            |e| matches!(e, BatchError::Sequence { .. }),
        ),
    ];
    for (name, batch, code, check) in cases {
        let error = validate(&batch, &rules()).expect_err(name);
        assert!(check(&error), "{name}: {error:?}");
        assert_eq!(error.error_code(), code, "{name}");
    }
    let small = DoorRules {
        batch_bytes_max: BATCH_HEADER_BYTES,
        ..rules()
    };
    let error = validate(&edited(|_| ()), &small).expect_err("too large");
    assert_eq!(error.error_code(), ErrorCode::MessageTooLarge);
    let mut batch = edited(|_| ());
    batch[20] ^= 1;
    let error = validate(&batch, &rules()).expect_err("checksum");
    assert_eq!(error.error_code(), ErrorCode::CorruptMessage);
}

/// One record out of its fields; `length` overrides the true length.
fn record(length: Option<i64>, fields: &[i64], tail: &[u8]) -> Vec<u8> {
    let mut body = vec![0];
    for field in fields {
        put(&mut body, *field);
    }
    body.extend_from_slice(tail);
    let mut out = Vec::new();
    put(&mut out, length.unwrap_or(body.len() as i64));
    out.extend_from_slice(&body);
    out
}

#[test]
fn records_are_held_to_the_format() {
    // Fields: timestamp delta, offset delta, key length, value length, header count, and what follows.
    let good = record(None, &[0, 0, -1, -1, 0], b"");
    let cases: Vec<(&str, Vec<u8>, RecordFault)> = vec![
        ("no bytes", vec![], RecordFault::Truncated),
        (
            "negative length",
            record(Some(-1), &[], b""),
            RecordFault::Negative,
        ),
        (
            "length too long",
            record(Some(7), &[0, 0, -1, -1, 0], b""),
            RecordFault::Length,
        ),
        (
            "length too short",
            record(Some(5), &[0, 0, -1, -1, 0], b""),
            RecordFault::Length,
        ),
        (
            "offset delta",
            record(None, &[0, 1, -1, -1, 0], b""),
            RecordFault::OffsetDelta,
        ),
        (
            "key length -2",
            record(None, &[0, 0, -2, -1, 0], b""),
            RecordFault::Negative,
        ),
        (
            "key beyond the record",
            record(None, &[0, 0, 9, -1, 0], b"abc"),
            RecordFault::Length,
        ),
        (
            "huge value",
            record(None, &[0, 0, -1, i64::from(i32::MAX), 0], b""),
            RecordFault::Length,
        ),
        (
            "value over 32 bits",
            record(None, &[0, 0, -1, 1 << 40, 0], b""),
            RecordFault::Varint,
        ),
        (
            "negative headers",
            record(None, &[0, 0, -1, -1, -1], b""),
            RecordFault::Negative,
        ),
        (
            "lying headers",
            record(None, &[0, 0, -1, -1, 1 << 30], b""),
            RecordFault::Length,
        ),
        (
            "header without key",
            record(None, &[0, 0, -1, -1, 1, -1, -1], b""),
            RecordFault::HeaderKey,
        ),
        (
            "header key -2",
            record(None, &[0, 0, -1, -1, 1, -2, -1], b""),
            RecordFault::Negative,
        ),
        (
            "bytes left in it",
            record(None, &[0, 0, -1, -1, 0], b"x"),
            RecordFault::Length,
        ),
        (
            "timestamp overflow",
            record(None, &[i64::MAX, 0, -1, -1, 0], b""),
            RecordFault::Timestamp,
        ),
        ("endless varint", vec![0xff; 30], RecordFault::Varint),
    ];
    for (name, bytes, fault) in cases {
        for compression in Compression::ALL {
            let records = compress(compression, &bytes);
            let error = validate(&raw(&records, 1, compression), &rules()).expect_err(name);
            let expected = BatchError::Record { index: 0, fault };
            assert_eq!(error, expected, "{name}, {compression:?}");
        }
    }
    for compression in Compression::ALL {
        let records = compress(compression, &good);
        assert!(validate(&raw(&records, 1, compression), &rules()).is_ok());
        let twice = compress(compression, &[good.clone(), good.clone()].concat());
        let error = refusal(&raw(&twice, 1, compression));
        assert_eq!(error, Some(BatchError::RecordsLeft));
        let error = refusal(&raw(&twice, 3, compression));
        assert!(matches!(error, Some(BatchError::Record { index: 1, .. })));
    }
}

#[test]
fn timestamps_are_bounded_where_producers_set_them() {
    let batch = |timestamp| {
        let mut builder = BatchBuilder::new(Compression::None);
        builder.push(TimestampMs(timestamp), None, None, &[]);
        builder.finish()
    };
    let bounded = DoorRules {
        timestamp_before_ms_max: 1000,
        timestamp_after_ms_max: 10,
        ..rules()
    };
    for (timestamp, taken) in [
        (NOW - 1000, true),
        (NOW - 1001, false),
        (NOW + 10, true),
        (NOW + 11, false),
        (-1, true),
        (-2, false),
        (i64::MAX, false),
        (i64::MIN, false),
    ] {
        let batch = batch(timestamp);
        assert_eq!(validate(&batch, &bounded).is_ok(), taken, "{timestamp}");
        let stamped = DoorRules {
            timestamp_type: TimestampType::LogAppendTime,
            ..bounded
        };
        let valid = validate_batch(&batch, &stamped).expect("the broker sets it");
        assert_eq!(valid.header.max_timestamp, TimestampMs(NOW));
        assert_eq!(valid.header.timestamp_type(), TimestampType::LogAppendTime);
        assert_eq!(BatchHeader::decode(&valid.bytes), Ok(valid.header.clone()));
        let mut crc_again = valid.bytes.to_vec();
        seal(&mut crc_again);
        assert_eq!(crc_again, *valid.bytes);
        for_each_record(&valid.bytes, 0, |record| {
            assert_eq!(record.timestamp, TimestampMs(NOW));
            true
        })
        .expect("readable");
    }
}

#[test]
fn a_wrong_maximum_timestamp_is_corrected() {
    let batch = edited(set(35, &(NOW + 7).to_be_bytes()));
    let valid = validate_batch(&batch, &rules()).expect("valid");
    assert_eq!(valid.header.max_timestamp, TimestampMs(NOW));
    assert_eq!(*valid.bytes, *edited(|_| ()));
}

#[test]
fn the_topics_compression_replaces_the_producers() {
    for from in Compression::ALL {
        for to in Compression::ALL {
            let batch = BatchBuilder::new(from).producer(ProducerId(7), ProducerEpoch(1), 3);
            let mut batch = batch.transactional();
            batch.push(TimestampMs(NOW), Some(b"k"), Some(&[b'v'; 70_000]), &[]);
            let batch = batch.finish();
            let forced = DoorRules {
                compression: Some(to),
                ..rules()
            };
            let valid = validate_batch(&batch, &forced).expect("valid");
            assert_eq!(matches!(valid.bytes, Cow::Borrowed(_)), from == to);
            assert_eq!(valid.header.compression(), Ok(to));
            assert_eq!(valid.header.base_sequence, 3);
            assert!(valid.header.is_transactional());
            let again = validate_batch(&valid.bytes, &rules()).expect("still valid");
            assert_eq!(again.header, valid.header);
            for_each_record(&valid.bytes, 1 << 20, |record| {
                assert_eq!(record.value.as_deref(), Some(&[b'v'; 70_000][..]));
                true
            })
            .expect("readable");
        }
    }
    let forced = DoorRules {
        compression: Some(Compression::None),
        batch_bytes_max: 10_000,
        ..rules()
    };
    let mut batch = BatchBuilder::new(Compression::Zstd);
    batch.push(TimestampMs(NOW), None, Some(&[0; 70_000]), &[]);
    let error = validate(&batch.finish(), &forced).expect_err("larger than allowed now");
    assert!(matches!(error, BatchError::TooLarge { .. }));
}

#[test]
fn bombs_are_defused() {
    let mut batch = BatchBuilder::new(Compression::None);
    batch.push(TimestampMs(NOW), None, Some(&vec![0; 20 << 20]), &[]);
    let plain = batch.finish();
    for compression in [Compression::Gzip, Compression::Lz4, Compression::Zstd] {
        let records = compress(compression, &plain[BATCH_HEADER_BYTES..]);
        // 20 MiB of zeroes are below the floor only where the format cannot shrink them enough.
        let error = refusal(&raw(&records, 1, compression));
        let expands = (20 << 20) > super::output_bytes_max(records.len());
        assert_eq!(
            matches!(error, Some(BatchError::Expansion { .. })),
            expands,
            "{compression:?}"
        );
        let error = for_each_record(&raw(&records, 1, compression), 1 << 20, |_| true);
        assert_eq!(error, Err(BatchError::Expansion { bytes_max: 1 << 20 }));
    }
    // A snappy block that claims 4 GiB.
    let lie = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0];
    let error = refusal(&raw(&lie, 1, Compression::Snappy));
    assert_eq!(error, Some(BatchError::Decompress(Compression::Snappy)));
}

#[test]
fn cut_and_lengthened_streams_are_refused() {
    for compression in [
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ] {
        let plain = edited(|_| ());
        let mut records = compress(compression, &plain[BATCH_HEADER_BYTES..]);
        assert!(validate(&raw(&records, 2, compression), &rules()).is_ok());
        for end in 0..records.len() {
            let cut = refusal(&raw(&records[..end], 2, compression));
            assert!(cut.is_some(), "{compression:?} cut to {end}");
        }
        records.extend_from_slice(b"more");
        assert!(refusal(&raw(&records, 2, compression)).is_some());
    }
}

#[test]
fn snappy_is_read_raw_too() {
    let plain = edited(|_| ());
    let raw_block = snap::raw::Encoder::new()
        .compress_vec(&plain[BATCH_HEADER_BYTES..])
        .expect("compresses");
    assert!(validate(&raw(&raw_block, 2, Compression::Snappy), &rules()).is_ok());
}

#[test]
fn validation_in_steps_comes_to_the_same_end() {
    for compression in Compression::ALL {
        let batch = build(compression);
        let whole = validate_batch(&batch, &rules()).expect("valid");
        for step in [1, 100, 5000] {
            let mut steps = 0;
            let mut validation = Validation::new(&batch, &rules()).expect("a batch");
            while !validation.advance(step).expect("valid") {
                steps += 1;
            }
            assert!(steps > 0 || step > batch.len());
            assert_eq!(validation.finish().expect("valid").header, whole.header);
        }
    }
}

#[test]
fn views_of_batches_stop_at_a_partial_one() {
    let batch = build(Compression::None);
    let mut bytes = [batch.clone(), batch.clone(), batch.clone()].concat();
    assert_eq!(batches(&bytes).filter(Result::is_ok).count(), 3);
    bytes.pop();
    assert_eq!(batches(&bytes).filter(Result::is_ok).count(), 2);
    bytes.truncate(2 * batch.len() + 30);
    assert_eq!(batches(&bytes).count(), 2);
    bytes[batch.len() + 16] = 0;
    let views: Vec<_> = batches(&bytes).collect();
    assert_eq!(views.len(), 2);
    assert_eq!(views[1], Err(BatchError::Magic(0)));
}

#[test]
fn the_leaders_fields_lie_outside_the_checksum() {
    let mut batch = build(Compression::Lz4);
    let before = BatchHeader::decode(&batch).expect("a batch");
    assign(&mut batch[..16], Offset(1000), LeaderEpoch(9));
    let after = BatchHeader::decode(&batch).expect("a batch");
    assert_eq!(after.base_offset, Offset(1000));
    assert_eq!(after.last_offset(), Offset(1021));
    assert_eq!(after.leader_epoch, LeaderEpoch(9));
    assert_eq!(after.crc, before.crc);
    assert_eq!(iobuf::crc32c(&batch[ATTRIBUTES_AT..]), after.crc);
}

#[test]
fn a_batch_becomes_part_of_a_transaction_and_stays_sound() {
    let mut batch = build(Compression::Lz4);
    let before = BatchHeader::decode(&batch).expect("a header");
    stamp_transactional(&mut batch, ProducerId(7), ProducerEpoch(3), 41);
    let after = validate_batch(&batch, &rules()).expect("valid").header;
    assert!(after.is_transactional() && !before.is_transactional());
    assert_eq!(
        (after.producer_id, after.producer_epoch, after.base_sequence),
        (ProducerId(7), ProducerEpoch(3), 41)
    );
    assert_eq!(after.compression(), before.compression());
    assert_eq!(after.record_count, before.record_count);
}

#[test]
fn varints_read_back_at_every_length() {
    for shift in 0..64 {
        for value in [
            1i64 << shift,
            (-1i64) << shift,
            (1i64 << shift).wrapping_sub(1),
        ] {
            let mut bytes = Vec::new();
            put(&mut bytes, value);
            assert_eq!(bytes.len(), size(value), "{value}");
            assert_eq!(varlong(&bytes), Ok((value, bytes.len())));
            let expected = i32::try_from(value).ok().map(|value| (value, bytes.len()));
            assert_eq!(varint(&bytes).ok(), expected, "{value}");
            bytes.pop();
            assert!(varlong(&bytes).is_err());
        }
    }
    assert_eq!(
        varint(&[0x80, 0x80, 0x80, 0x80, 0x80, 0]),
        Err(RecordFault::Varint)
    );
    assert!(varlong(&[0xff; 11]).is_err());
}

#[test]
fn recompression_goes_in_steps_as_the_walk_does() {
    let value: Vec<u8> = (0..1_u32 << 20)
        .map(|n| n.wrapping_mul(n).to_le_bytes()[1])
        .collect();
    for from in Compression::ALL {
        let mut builder = BatchBuilder::new(from);
        for at in 0..4 {
            builder.push(TimestampMs(NOW + at), None, Some(&value), &[]);
        }
        let batch = builder.finish();
        for to in Compression::ALL {
            let rules = DoorRules {
                compression: Some(to),
                ..rules()
            };
            let mut validation = Validation::new(&batch, &rules).expect("a batch");
            let mut steps = 0;
            while !validation.advance(64 << 10).expect("valid") {
                steps += 1;
            }
            let steps_min = if to == from { 1 } else { 64 };
            assert!(steps >= steps_min, "{steps} from {from:?} to {to:?}");
            let stored = validation.finish().expect("valid");
            assert_eq!(stored.header.compression(), Ok(to));
            let mut count = 0;
            for_each_record(&stored.bytes, 8 << 20, |record| {
                assert_eq!(record.value.as_deref(), Some(&value[..]));
                count += 1;
                true
            })
            .expect("readable");
            assert_eq!(count, 4);
        }
    }
}

#[test]
fn what_no_batch_could_hold_is_not_recompressed() {
    let mut builder = BatchBuilder::new(Compression::Snappy);
    let value = vec![0; base::limits::BATCH_BYTES_MAX];
    builder.push(TimestampMs(NOW), None, Some(&value), &[]);
    let batch = builder.finish();
    let rules = |compression| DoorRules {
        compression: Some(compression),
        ..rules()
    };
    assert!(validate_batch(&batch, &rules(Compression::Snappy)).is_ok());
    let refused = validate_batch(&batch, &rules(Compression::Lz4));
    assert!(matches!(refused, Err(BatchError::TooLarge { .. })));
}

#[test]
fn times_are_found_in_steps_inside_one_record_too() {
    for compression in Compression::ALL {
        let batch = build(compression);
        let mut expected = Vec::new();
        for_each_record(&batch, 1 << 20, |record| {
            expected.push((record.offset, record.timestamp));
            true
        })
        .expect("readable");
        let mut times = RecordTimes::new(&batch).expect("a batch");
        let (mut found, mut steps) = (Vec::new(), 0);
        loop {
            match times.advance(1_000, |_, _| true).expect("readable") {
                Search::Found(offset, timestamp) => found.push((offset, timestamp)),
                Search::Open => steps += 1,
                Search::Ended => break,
            }
        }
        assert_eq!(found, expected);
        // One of the values is 100,000 bytes long.
        assert!(steps >= 100, "{steps}");
    }
}

#[test]
fn times_are_read_from_whatever_the_door_takes() {
    // As far as a batch may expand, which is more than its size times the ratio when it is stored in fewer bytes.
    let mut builder = BatchBuilder::new(Compression::Lz4);
    let value = vec![0; 40 << 20];
    builder.push(TimestampMs(NOW), None, Some(&value), &[]);
    builder.push(TimestampMs(NOW + 1), None, Some(b"x"), &[]);
    let batch = builder.finish();
    let rules = DoorRules {
        compression: Some(Compression::Zstd),
        ..rules()
    };
    let stored = validate_batch(&batch, &rules).expect("valid");
    let mut times = RecordTimes::new(&stored.bytes).expect("a batch");
    let wanted = |_, timestamp| timestamp > TimestampMs(NOW);
    let found = times.advance(usize::MAX, wanted).expect("readable");
    assert_eq!(found, Search::Found(Offset(1), TimestampMs(NOW + 1)));
}
