//! Splitting of a byte stream into frames.

use base::limits::REQUEST_BYTES_MAX;
use kafka::wire::{Reader, RequestHeader, frame_bytes};

/// Streams of whole and partial frames with request headers.
pub fn seeds() -> Vec<Vec<u8>> {
    let header = [0, 3, 0, 1, 0, 0, 0, 7, 0, 1, b'c'];
    let mut frame = (header.len() as u32).to_be_bytes().to_vec();
    frame.extend_from_slice(&header);
    vec![
        frame.clone(),
        [&frame[..], &frame[..]].concat(),
        frame[..6].to_vec(),
        vec![0; 4],
        vec![0, 0, 0, 1, 0],
    ]
}

/// Walks the frames of a stream as a connection does.
pub fn split(mut input: &[u8]) {
    while let Some((size, after)) = input.split_first_chunk::<4>() {
        let Ok(bytes) = frame_bytes(*size, REQUEST_BYTES_MAX) else {
            return;
        };
        assert!(bytes <= REQUEST_BYTES_MAX);
        let Some((frame, rest)) = after.split_at_checked(bytes) else {
            return;
        };
        let mut reader = Reader::new(frame);
        if RequestHeader::decode(&mut reader).is_ok() {
            assert!(reader.position() <= frame.len());
            assert_eq!(reader.position() + reader.remaining(), frame.len());
        }
        input = rest;
    }
}
