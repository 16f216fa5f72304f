//! Batches and settings for tests.

use crate::LogConfig;

fn varint(out: &mut Vec<u8>, value: i64) {
    let mut raw = ((value << 1) ^ (value >> 63)) as u64;
    while raw >= 0x80 {
        out.push((raw & 0x7f) as u8 | 0x80);
        raw >>= 7;
    }
    out.push(raw as u8);
}

/// A valid uncompressed batch of `count` records that carry `value`, timestamps ascending from `timestamp`.
pub(crate) fn batch(count: u32, timestamp: i64, value: &[u8]) -> Vec<u8> {
    let mut records = Vec::new();
    for at in 0..count {
        let mut record = vec![0];
        varint(&mut record, i64::from(at));
        varint(&mut record, i64::from(at));
        varint(&mut record, -1);
        varint(&mut record, value.len() as i64);
        record.extend_from_slice(value);
        varint(&mut record, 0);
        varint(&mut records, record.len() as i64);
        records.extend(record);
    }
    let mut out = Vec::new();
    out.extend(0i64.to_be_bytes());
    out.extend((49 + records.len() as i32).to_be_bytes());
    out.extend((-1i32).to_be_bytes());
    out.push(2);
    out.extend([0; 4]);
    out.extend(0i16.to_be_bytes());
    out.extend((count as i32 - 1).to_be_bytes());
    out.extend(timestamp.to_be_bytes());
    out.extend((timestamp + i64::from(count) - 1).to_be_bytes());
    out.extend((-1i64).to_be_bytes());
    out.extend((-1i16).to_be_bytes());
    out.extend((-1i32).to_be_bytes());
    out.extend((count as i32).to_be_bytes());
    out.extend(records);
    let crc = iobuf::crc32c(&out[21..]);
    out[17..21].copy_from_slice(&crc.to_be_bytes());
    out
}

pub(crate) fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 1 << 30,
        segment_ms: 7 * 24 * 3_600_000,
        retention_bytes: -1,
        retention_ms: -1,
        index_interval_bytes: 4096,
        delete_old: true,
    }
}
