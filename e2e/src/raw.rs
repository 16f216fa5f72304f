//! Requests made by hand over a plain socket, where a client library would stand in the way.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result};

/// A connection that gives up after a while.
pub fn connect(at: &str) -> Result<TcpStream> {
    let stream = TcpStream::connect(at).context("cannot connect")?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.set_write_timeout(Some(Duration::from_secs(5)))?;
    Ok(stream)
}

/// A request frame: length, header in the form without tagged fields, body.
pub fn request(key: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(body.len() + 16);
    frame.extend_from_slice(&key.to_be_bytes());
    frame.extend_from_slice(&version.to_be_bytes());
    frame.extend_from_slice(&7i32.to_be_bytes());
    // A client id of one letter.
    frame.extend_from_slice(&[0, 1, b'h']);
    frame.extend_from_slice(body);
    let mut framed = (frame.len() as i32).to_be_bytes().to_vec();
    framed.extend_from_slice(&frame);
    framed
}

/// A Produce request of version 7 with one batch for partition 0.
pub fn produce(topic: &str, batch: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend_from_slice(&(-1i16).to_be_bytes());
    body.extend_from_slice(&(-1i16).to_be_bytes());
    body.extend_from_slice(&10_000i32.to_be_bytes());
    body.extend_from_slice(&1i32.to_be_bytes());
    body.extend_from_slice(&(topic.len() as i16).to_be_bytes());
    body.extend_from_slice(topic.as_bytes());
    body.extend_from_slice(&1i32.to_be_bytes());
    body.extend_from_slice(&0i32.to_be_bytes());
    body.extend_from_slice(&(batch.len() as i32).to_be_bytes());
    body.extend_from_slice(batch);
    request(0, 7, &body)
}

/// A record batch whose header fields are the caller's and whose checksum is right.
pub struct Batch {
    pub attributes: i16,
    pub last_offset_delta: i32,
    pub count: i32,
    pub records: Vec<u8>,
}

impl Batch {
    /// The batch as it goes on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let mut tail = Vec::new();
        tail.extend_from_slice(&self.attributes.to_be_bytes());
        tail.extend_from_slice(&self.last_offset_delta.to_be_bytes());
        tail.extend_from_slice(&1_700_000_000_000i64.to_be_bytes());
        tail.extend_from_slice(&1_700_000_000_000i64.to_be_bytes());
        // No producer id, epoch or sequence.
        tail.extend_from_slice(&[0xff; 14]);
        tail.extend_from_slice(&self.count.to_be_bytes());
        tail.extend_from_slice(&self.records);
        let mut batch = 0i64.to_be_bytes().to_vec();
        batch.extend_from_slice(&((4 + 1 + 4 + tail.len()) as i32).to_be_bytes());
        batch.extend_from_slice(&(-1i32).to_be_bytes());
        batch.push(2);
        batch.extend_from_slice(&crc32c(&tail).to_be_bytes());
        batch.extend_from_slice(&tail);
        batch
    }
}

/// CRC-32C, bit by bit: the tests need it for a few small batches.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| {
        if crc & 1 == 1 {
            crc >> 1 ^ 0x82f6_3b78
        } else {
            crc >> 1
        }
    };
    !bytes
        .iter()
        .fold(!0u32, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

/// One record with a null key and the value "x".
pub const RECORD: [u8; 8] = [14, 0, 0, 0, 1, 2, b'x', 0];

/// The error code the broker gives a produced batch; none when it closed the connection instead.
pub fn answer_to(at: &str, topic: &str, batch: &[u8]) -> Result<Option<i16>> {
    let mut stream = connect(at)?;
    stream.write_all(&produce(topic, batch))?;
    let mut answer = vec![0u8; 4];
    if stream.read_exact(&mut answer).is_err() {
        return Ok(None);
    }
    let length = i32::from_be_bytes([answer[0], answer[1], answer[2], answer[3]]);
    answer.resize(length as usize, 0);
    stream.read_exact(&mut answer).context("half an answer")?;
    // Correlation id, one topic with its name, one partition with its index, then the code.
    let place = 4 + 4 + 2 + topic.len() + 4 + 4;
    let code = answer
        .get(place..place + 2)
        .context("an answer too short")?;
    Ok(Some(i16::from_be_bytes([code[0], code[1]])))
}

/// A batch of one record with a null key and `value`.
pub fn batch_of(value: &[u8]) -> Vec<u8> {
    // Attributes, timestamp delta, offset delta, null key.
    let mut record = vec![0, 0, 0, 1];
    record.extend(varint(value.len()));
    record.extend_from_slice(value);
    record.push(0);
    let records = [varint(record.len()), record].concat();
    Batch {
        attributes: 0,
        last_offset_delta: 0,
        count: 1,
        records,
    }
    .bytes()
}

/// A zigzag varint of a number that is not negative.
fn varint(number: usize) -> Vec<u8> {
    let mut left = (number as u64) << 1;
    let mut bytes = Vec::new();
    while left >= 0x80 {
        bytes.push(left as u8 | 0x80);
        left >>= 7;
    }
    bytes.push(left as u8);
    bytes
}
