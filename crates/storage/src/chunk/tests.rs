//! Chunks: sizes, the footer's layout, and telling tears from flipped bits.
use iobuf::AppendBuf;

use super::*;
use crate::{EntryKind, LogId, frame::FrameHeader, testing::batch};
use base::{LeaderEpoch, LogEpoch, Offset, RaftIndex};

fn id() -> ChunkId {
    ChunkId {
        role: Role::Journal,
        store_id: 0x1122_3344_5566_7788,
        file: 2,
        owner: 0,
        owner_epoch: 0,
        sequence: 41,
        position: 8192,
        previous_crc: 0xabcd,
    }
}

fn chunk(id: &ChunkId, frames: usize, value: usize) -> Vec<u8> {
    let mut buf = AppendBuf::with_capacity(1 << 20);
    for at in 0..frames {
        let body = batch(1, at as i64, &vec![at as u8; value]);
        let header = FrameHeader {
            kind: frame::FrameKind::Entry(EntryKind::Records),
            follows_direct: false,
            follows_state: false,
            log_id: LogId(1),
            log_epoch: LogEpoch(0),
            record_count: 1,
            raft_index: RaftIndex(at as u64),
            body_bytes: body.len() as u32,
            base_offset: Offset(at as i64),
            leader_epoch: LeaderEpoch(0),
        };
        buf.append(&[&header.encode(&body), &body[frame::BATCH_PREFIX_BYTES..]]);
    }
    let bound = chunk_bytes_bound(buf.len());
    let sealed = seal(&mut buf, 0, id, SectorTable::default());
    assert!(sealed.chunk_bytes <= bound);
    buf.view(0..buf.len()).to_vec()
}

#[test]
fn sizes_are_pinned() {
    for (payload, bytes, covered) in [
        (1, 4096, 7),
        (3900, 4096, 7),
        (4005, 8192, 15),
        (1 << 20, 1_060_864, 2055),
    ] {
        let layout = ChunkLayout::of_payload(payload);
        assert_eq!(
            (layout.chunk_bytes, layout.covered_sectors),
            (bytes, covered)
        );
        assert!(layout.table_at >= payload);
    }
    for payload in 0..70_000 {
        let layout = ChunkLayout::of_payload(payload + frame::TAIL_BYTES);
        assert!(layout.chunk_bytes <= chunk_bytes_bound(payload));
        assert!(layout.covered_sectors * SECTOR_BYTES <= layout.table_at);
    }
}

#[test]
fn a_whole_chunk_is_recognised_and_no_other() {
    let bytes = chunk(&id(), 5, 900);
    let mut window = bytes.clone();
    window.resize(bytes.len() + 8192, 0);
    assert!(
        matches!(inspect(&window, &id()), Found::Whole { chunk_bytes, .. } if chunk_bytes == bytes.len())
    );
    for other in [
        ChunkId {
            sequence: 46,
            ..id()
        },
        ChunkId {
            position: 0,
            ..id()
        },
        ChunkId {
            store_id: 3,
            ..id()
        },
        ChunkId {
            previous_crc: 3,
            ..id()
        },
        ChunkId { owner: 3, ..id() },
    ] {
        assert_eq!(inspect(&window, &other), Found::Absent);
    }
    assert_eq!(inspect(&[0; 8192], &id()), Found::Absent);
}

#[test]
fn each_flipped_bit_leaves_a_chunk_recognised() {
    let bytes = chunk(&id(), 3, 300);
    let mut window = bytes.clone();
    window.resize(bytes.len() + 4096, 0);
    for bit in 0..bytes.len() * 8 {
        window[bit / 8] ^= 1 << (bit % 8);
        match inspect(&window, &id()) {
            Found::Whole { chunk_bytes, .. } => assert_eq!(chunk_bytes, bytes.len(), "bit {bit}"),
            other => panic!("bit {bit}: {other:?}"),
        }
        window[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn a_lost_sector_is_a_tear() {
    let bytes = chunk(&id(), 9, 1500);
    let stale = chunk(
        &ChunkId {
            sequence: 7,
            ..id()
        },
        20,
        700,
    );
    for old in [vec![0; bytes.len()], stale[..bytes.len()].to_vec()] {
        for sector in 0..bytes.len() / SECTOR_BYTES {
            let range = sector * SECTOR_BYTES..(sector + 1) * SECTOR_BYTES;
            let mut window = bytes.clone();
            window[range.clone()].copy_from_slice(&old[range.clone()]);
            if window == bytes {
                continue;
            }
            let found = inspect(&window, &id());
            assert!(
                matches!(found, Found::Torn | Found::Absent),
                "{sector}: {found:?}"
            );
        }
    }
}

#[test]
fn the_successor_vouches_for_a_chunk() {
    let first = chunk(&id(), 2, 100);
    let next = ChunkId {
        sequence: 42,
        position: 8192 + first.len() as u64,
        ..id()
    };
    let mut window = first.clone();
    window.extend(chunk(&next, 2, 100));
    let later = later_chunk(&window, 8192, &id());
    assert_eq!(
        later.map(|l| (l.sequence, l.position)),
        Some((42, next.position))
    );
    // The footer alone vouches: a torn successor was begun after this one lasted.
    window[first.len() + 10] ^= 0xff;
    assert_eq!(later_chunk(&window, 8192, &id()), later);
    assert_eq!(later_chunk(&first, 8192, &id()), None);
}
