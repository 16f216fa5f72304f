//! Frames round trip, their layout is pinned, and no flipped bit passes.
use super::*;
use crate::testing::batch;

fn header(body: &[u8]) -> FrameHeader {
    FrameHeader {
        kind: FrameKind::Entry(EntryKind::Records),
        follows_direct: false,
        follows_state: false,
        log_id: LogId(7),
        log_epoch: LogEpoch(3),
        record_count: 2,
        raft_index: RaftIndex(11),
        body_bytes: body.len() as u32,
        base_offset: Offset(100),
        leader_epoch: LeaderEpoch(5),
    }
}

#[test]
fn layout_is_pinned() {
    let body = batch(2, 9, b"value");
    let bytes = header(&body).encode(&body);
    assert_eq!(FRAME_HEADER_BYTES, 32);
    assert_eq!(FRAME_PREFIX_BYTES, 53);
    assert_eq!(&bytes[0..4], b"Fr\x02\x01");
    assert_eq!(bytes[12..16], [7, 0, 0, 0]);
    assert_eq!(bytes[16..20], [3, 0, 0, 0]);
    assert_eq!(bytes[20..24], [2, 0, 0, 0]);
    assert_eq!(bytes[24..32], [11, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bytes[32..40], [0, 0, 0, 0, 0, 0, 0, 100]);
    assert_eq!(bytes[44..48], [0, 0, 0, 5]);
}

#[test]
fn round_trip_and_every_bit_matters() {
    let body = batch(2, 9, b"value");
    let header = header(&body);
    let mut frame = header.encode(&body).to_vec();
    frame.extend_from_slice(&body[BATCH_PREFIX_BYTES..]);
    assert_eq!(decode(&frame), Ok(Step::Frame(header)));
    let stored = body_checksums(&frame[FRAME_HEADER_BYTES..]);
    assert_eq!(stored.0, stored.1);
    for bit in 0..frame.len() * 8 {
        frame[bit / 8] ^= 1 << (bit % 8);
        let header_ok = decode(&frame) == Ok(Step::Frame(header));
        let (stored, computed) = body_checksums(&frame[FRAME_HEADER_BYTES..]);
        assert!(!header_ok || stored != computed, "bit {bit} passed");
        if bit < FRAME_PREFIX_BYTES * 8 {
            assert_eq!(decode_despite_one_bit(&frame), Some(Step::Frame(header)));
        }
        frame[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn tail_mark() {
    let mut bytes = tail(4000);
    assert_eq!(decode(&bytes), Ok(Step::Tail { skip_bytes: 4000 }));
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(decode(&bytes).is_err());
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn arbitrary_bytes_are_refused() {
    assert_eq!(decode(&[0; 10]), Err(FrameError::Short));
    assert!(matches!(decode(&[0; 64]), Err(FrameError::Magic { .. })));
    assert!(matches!(
        decode(b"Fr\x01\x01aaaabbbbccccddddeeeeffffgggghhhhiiiijjjjkkkkllllm"),
        Err(FrameError::Checksum { .. })
    ));
}

/// Readers skip entries that take no offset; whether one does, its kind alone says.
#[test]
fn a_kind_takes_offsets_always_or_never() {
    let body = batch(2, 9, b"value");
    for (kind, record_count, is_sound) in [
        (EntryKind::Records, 2, true),
        (EntryKind::Records, 0, false),
        (EntryKind::Control, 0, false),
        (EntryKind::TermStart, 0, true),
        (EntryKind::TermStart, 2, false),
        (EntryKind::Configuration, 1, false),
    ] {
        let header = FrameHeader {
            kind: FrameKind::Entry(kind),
            record_count,
            ..header(&body)
        };
        let decoded = decode(&header.encode(&body));
        let expected = if is_sound {
            Ok(Step::Frame(header))
        } else {
            Err(FrameError::Fields)
        };
        assert_eq!(decoded, expected);
    }
}
