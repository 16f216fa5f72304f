//! Everything that is read from a data directory. Checksums are made right first, so that mutations reach what they guard;
//! the bytes as they are go in as well.

use std::collections::BTreeMap;

use base::{
    BrokerId, LeaderEpoch, LogEpoch, Offset, PartitionIndex, PartitionKey, RaftIndex, TimestampMs,
    TopicId, TopicName,
};
use broker::{
    group::record,
    partition::producers::{ProducerBatch, ProducerTable},
    raft_log::{self, Founding},
};
use cluster::{
    command::{Command, NewTopic},
    image::{HomeId, Image},
};
use iobuf::{AppendBuf, crc32c, crc32c_append};
use kafka::batch::{BatchBuilder, BatchHeader, Compression};
use raft::{Configuration, ReplicaId};
use storage::{
    Corrupt, EntryKind, LogConfig, LogId, LogStart,
    chunk::{self, BLOCK_BYTES, ChunkId, Found, Role, SectorTable},
    frame::{self, FrameHeader, FrameKind, Step},
    index,
    manifest::{
        self,
        edit::{
            Edit, JournalPoint, LogRecord, SavedState, SegmentEnd, SegmentRecord, Truncation,
            decode_edits,
        },
    },
    snapshot,
};

const STORE_ID: u64 = 0x1122_3344_5566_7788;
const LOG: LogId = LogId(0);
const GENERATION: u64 = 1;

/// A list item may be a fifth of its size in memory, and vectors double.
pub fn lists_bytes_max(input_bytes: usize) -> usize {
    16 * input_bytes + (16 << 10)
}

/// An image keeps a load count for each of up to 65,535 homes.
pub fn image_bytes_max(input_bytes: usize) -> usize {
    32 * input_bytes + (1 << 20)
}

/// The copy of a chunk's last sectors, and the manifest's lists for each of two copies.
pub fn chunks_bytes_max(input_bytes: usize) -> usize {
    16 * input_bytes + (64 << 10)
}

fn batch() -> Vec<u8> {
    let mut builder = BatchBuilder::new(Compression::None);
    for at in 0..3 {
        builder.push(TimestampMs(1000 + at), Some(b"k"), Some(b"value"), &[]);
    }
    builder.finish()
}

// ---- frames ----

fn whole_frame(follows_direct: bool) -> Vec<u8> {
    let batch = batch();
    let header = FrameHeader {
        kind: FrameKind::Entry(EntryKind::Records),
        follows_direct,
        follows_state: false,
        log_id: LOG,
        log_epoch: LogEpoch(2),
        record_count: 3,
        raft_index: RaftIndex(9),
        body_bytes: batch.len() as u32,
        base_offset: Offset(70),
        leader_epoch: LeaderEpoch(1),
    };
    [&header.encode(&batch)[..], &batch[21..]].concat()
}

/// A frame that takes no offset.
fn empty_frame(kind: FrameKind) -> Vec<u8> {
    let batch = frame::empty_batch(b"members");
    let header = FrameHeader {
        kind,
        follows_direct: false,
        follows_state: true,
        log_id: LOG,
        log_epoch: LogEpoch(2),
        record_count: 0,
        raft_index: RaftIndex(u64::from(kind != FrameKind::State)),
        body_bytes: batch.len() as u32,
        base_offset: Offset(0),
        leader_epoch: LeaderEpoch(1),
    };
    [&header.encode(&batch)[..], &batch[21..]].concat()
}

pub fn frame_seeds() -> Vec<Vec<u8>> {
    vec![
        whole_frame(false),
        whole_frame(true),
        empty_frame(FrameKind::State),
        empty_frame(FrameKind::Entry(EntryKind::TermStart)),
        frame::tail(64).to_vec(),
        [&whole_frame(false)[..], &frame::tail(4096)].concat(),
    ]
}

fn reseal_frame(bytes: &mut [u8]) {
    let end = match bytes.first_chunk::<2>() {
        Some(b"Tl") => frame::TAIL_BYTES,
        _ => frame::FRAME_PREFIX_BYTES,
    };
    if bytes.len() >= end {
        let crc = crc32c_append(crc32c(&bytes[..4]), &bytes[8..end]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    }
}

/// Walks frames as replay does.
fn walk_frames(bytes: &[u8]) {
    let mut at = 0;
    while let Ok(Step::Frame(header)) = frame::decode(&bytes[at..]) {
        let end = at + header.frame_bytes();
        let is_empty = match header.kind {
            FrameKind::Entry(kind) => kind.is_empty(),
            FrameKind::State => true,
        };
        let takes = header.next_offset() > header.base_offset;
        assert!(end > at && takes != is_empty);
        let Some(whole) = bytes.get(at..end) else {
            return;
        };
        let body = &whole[frame::FRAME_HEADER_BYTES..];
        let _ = (frame::body_checksums(body), frame::max_timestamp(body));
        assert_eq!(header.encode(body)[..], whole[..frame::FRAME_PREFIX_BYTES]);
        at = end;
    }
    let _ = frame::decode_despite_one_bit(&bytes[at..]);
}

pub fn frames(input: &[u8]) {
    walk_frames(input);
    let mut input = input.to_vec();
    reseal_frame(&mut input);
    walk_frames(&input);
}

// ---- chunks ----

fn chunk_id(role: Role) -> ChunkId {
    ChunkId {
        role,
        store_id: STORE_ID,
        file: GENERATION,
        owner: 0,
        owner_epoch: 0,
        sequence: 1,
        position: BLOCK_BYTES as u64,
        previous_crc: 0,
    }
}

fn sealed(payload: &[u8], id: &ChunkId) -> Vec<u8> {
    let mut buf = AppendBuf::with_capacity(chunk::chunk_bytes_bound(payload.len()));
    buf.append(&[payload]);
    let sealed = chunk::seal(&mut buf, 0, id, SectorTable::default());
    buf.view(0..sealed.chunk_bytes).to_vec()
}

pub fn chunk_seeds() -> Vec<Vec<u8>> {
    let frames = [whole_frame(false), whole_frame(true)].concat();
    let id = chunk_id(Role::Journal);
    let later = ChunkId {
        sequence: 2,
        position: 2 * BLOCK_BYTES as u64,
        ..id
    };
    let first = sealed(&frames, &id);
    let second = sealed(&frames, &later);
    vec![
        first.clone(),
        sealed(&frames.repeat(20), &id),
        [first, second.clone()].concat(),
        [vec![0; BLOCK_BYTES], second].concat(),
    ]
}

/// Makes the table and the footer of one chunk of all the bytes right.
fn reseal_chunk(bytes: &mut Vec<u8>) {
    bytes.resize(
        bytes.len().next_multiple_of(BLOCK_BYTES).max(BLOCK_BYTES),
        0,
    );
    let sectors = bytes.len() / chunk::SECTOR_BYTES;
    let mut own = 1;
    while own * chunk::SECTOR_BYTES < chunk::FOOTER_BYTES + 4 * (sectors - own) {
        own += 1;
    }
    let covered = sectors - own;
    let footer_at = bytes.len() - chunk::FOOTER_BYTES;
    let table_at = footer_at - 4 * covered;
    for sector in 0..covered {
        let at = sector * chunk::SECTOR_BYTES;
        let crc = crc32c(&bytes[at..at + chunk::SECTOR_BYTES]);
        bytes[table_at + 4 * sector..][..4].copy_from_slice(&crc.to_le_bytes());
    }
    let end = bytes.len() - 4;
    let crc = crc32c(&bytes[covered * chunk::SECTOR_BYTES..end]);
    bytes[end..].copy_from_slice(&crc.to_le_bytes());
}

fn inspect(bytes: &[u8]) {
    for role in [Role::Journal, Role::Segment, Role::Manifest] {
        let id = chunk_id(role);
        if let Found::Whole {
            chunk_bytes,
            payload_bytes,
            damaged,
            ..
        } = chunk::inspect(bytes, &id)
        {
            assert!(payload_bytes <= chunk_bytes && chunk_bytes <= bytes.len());
            assert!(
                damaged
                    .iter()
                    .all(|s| s * chunk::SECTOR_BYTES < chunk_bytes)
            );
            walk_frames(&bytes[..payload_bytes]);
        }
        if let Some(later) = chunk::later_chunk(bytes, id.position, &id) {
            assert!(later.sequence > id.sequence && later.position >= id.position);
        }
    }
}

pub fn chunks(input: &[u8]) {
    inspect(input);
    let mut input = input.to_vec();
    reseal_chunk(&mut input);
    inspect(&input);
}

// ---- manifest ----

fn end(position: u64) -> SegmentEnd {
    SegmentEnd {
        position,
        sequence: 1,
        crc: 77,
        next_offset: Offset(8),
        next_index: RaftIndex(4),
        max_timestamp: TimestampMs(1234),
    }
}

fn edits() -> Vec<u8> {
    let record = LogRecord {
        log_id: LOG,
        key: PartitionKey {
            topic: TopicId([9; 16]),
            partition: PartitionIndex(2),
        },
        config: LogConfig::default(),
        start: LogStart {
            offset: Offset(3),
            ..LogStart::default()
        },
        log_epoch: LogEpoch(1),
        truncations: vec![Truncation {
            log_epoch: LogEpoch(1),
            next_index: RaftIndex(5),
            journal_sequence: 40,
        }],
        segments: vec![SegmentRecord {
            base_offset: Offset(0),
            base_index: RaftIndex(1),
            created_epoch: LogEpoch(0),
            sealed: false,
            end: end(8192),
        }],
        leader_epochs: vec![(LeaderEpoch(0), RaftIndex(1), Offset(0))],
        state: Some(SavedState {
            sequence: 39,
            bytes: b"vote"[..].into(),
        }),
        refused: Some(Corrupt {
            file: "segments/a".to_owned(),
            at: 4096,
            expected: "a frame".into(),
            found: "zeroes".into(),
        }),
    };
    let point = JournalPoint {
        sequence: 5,
        slot: 1,
        position: 4096,
        previous_crc: 6,
        clean: true,
        next_log_id: LogId(10),
    };
    let edits = [
        Edit::Put(record),
        Edit::Delete(LogId(9)),
        Edit::Journal(point),
    ];
    edits.iter().flat_map(Edit::encode).collect()
}

pub fn edit_seeds() -> Vec<Vec<u8>> {
    vec![edits()]
}

/// Makes each edit's length and checksum right: the last takes what is left.
fn reseal_edits(mut bytes: &mut [u8]) {
    while let Some((head, rest)) = bytes.split_at_mut_checked(8) {
        let stored = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let length = stored.min(rest.len());
        let (body, after) = rest.split_at_mut(length);
        head[..4].copy_from_slice(&(length as u32).to_le_bytes());
        head[4..].copy_from_slice(&crc32c(body).to_le_bytes());
        bytes = after;
    }
}

/// What decodes encodes to the same bytes, up to flags of other values than 0 and 1.
pub fn manifest_edits(input: &[u8]) {
    let _ = decode_edits(input);
    let mut input = input.to_vec();
    reseal_edits(&mut input);
    if let Ok(edits) = decode_edits(&input) {
        let encoded: Vec<u8> = edits.iter().flat_map(Edit::encode).collect();
        assert_eq!(encoded.len(), input.len());
        assert_eq!(decode_edits(&encoded), Ok(edits));
    }
}

fn manifest_copy(payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0; BLOCK_BYTES];
    out[..4].copy_from_slice(b"FBMF");
    out[4..8].copy_from_slice(&manifest::VERSION.to_le_bytes());
    out[8..16].copy_from_slice(&STORE_ID.to_le_bytes());
    out[16..24].copy_from_slice(&GENERATION.to_le_bytes());
    out[24..32].copy_from_slice(&(1u64 << 20).to_le_bytes());
    out[32..36].copy_from_slice(&(1u32 << 18).to_le_bytes());
    reseal_header(&mut out);
    out.extend_from_slice(&sealed(payload, &chunk_id(Role::Manifest)));
    out
}

fn reseal_header(bytes: &mut [u8]) {
    if bytes.len() >= 64 {
        let crc = crc32c(&bytes[..60]);
        bytes[60..64].copy_from_slice(&crc.to_le_bytes());
    }
}

pub fn manifest_seeds() -> Vec<Vec<u8>> {
    let seed = manifest_copy(&edits());
    assert!(manifest::readable(&seed, &[], GENERATION));
    vec![seed, manifest_copy(&edits().repeat(30))]
}

/// Both copies the same, one missing, and one as a torn writer leaves it.
pub fn manifests(input: &[u8]) {
    let mut resealed = input.to_vec();
    reseal_header(&mut resealed);
    if resealed.len() > BLOCK_BYTES {
        let mut chunk = resealed.split_off(BLOCK_BYTES);
        reseal_edits(&mut chunk);
        reseal_chunk(&mut chunk);
        resealed.extend_from_slice(&chunk);
    }
    let _ = manifest::readable(input, &resealed, GENERATION);
    let _ = manifest::readable(&resealed, &[], GENERATION);
    let _ = manifest::readable(&resealed[..resealed.len() / 2], input, GENERATION);
}

// ---- files under one checksum ----

/// Makes the checksum at the end right.
fn reseal_file(input: &[u8]) -> Vec<u8> {
    let front = &input[..input.len().saturating_sub(4)];
    [front, &crc32c(front).to_le_bytes()].concat()
}

/// A seed without its fields' meaning: header, segment end, count and entries as `docs/formats` has them.
pub fn index_seeds() -> Vec<Vec<u8>> {
    let mut out = b"FBIX".to_vec();
    out.extend_from_slice(&2u32.to_le_bytes());
    out.extend_from_slice(&STORE_ID.to_le_bytes());
    // Log id, epoch of creation, base index, then the segment's end.
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&1u64.to_le_bytes());
    out.extend_from_slice(&[1; 44]);
    out.extend_from_slice(&4096u64.to_le_bytes());
    out.extend_from_slice(&2u32.to_le_bytes());
    out.extend_from_slice(&[2; 64 + 4]);
    let seed = reseal_file(&out);
    assert_eq!(index::entries_in(&seed, STORE_ID), Some(2));
    vec![seed]
}

pub fn indexes(input: &[u8]) {
    let _ = index::entries_in(input, STORE_ID);
    if let Some(count) = index::entries_in(&reseal_file(input), STORE_ID) {
        assert!(count * 32 <= input.len());
    }
}

fn producers() -> Vec<u8> {
    let mut table = ProducerTable::default();
    for producer in 0..4 {
        let mut builder = BatchBuilder::new(Compression::None).producer(
            base::ProducerId(producer),
            base::ProducerEpoch(0),
            0,
        );
        builder.push(TimestampMs(5), None, Some(b"v"), &[]);
        let bytes = builder.finish();
        let header = BatchHeader::decode(&bytes).expect("just built");
        let batch = ProducerBatch::new(&header, Offset(producer), TimestampMs(5));
        table.apply(&batch.expect("a producer"));
    }
    table.encode()
}

pub fn snapshot_seeds() -> Vec<Vec<u8>> {
    let state = producers();
    let mut out = b"FBSN".to_vec();
    out.extend_from_slice(&1u32.to_le_bytes());
    out.extend_from_slice(&STORE_ID.to_le_bytes());
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&7u64.to_le_bytes());
    out.extend_from_slice(&(state.len() as u64).to_le_bytes());
    out.extend_from_slice(&state);
    out.extend_from_slice(&[0; 4]);
    let seed = reseal_file(&out);
    assert!(snapshot::decode(&seed, STORE_ID, LOG).is_some());
    vec![seed]
}

/// The file, and the producers' windows that it holds.
pub fn snapshots(input: &[u8]) {
    let _ = snapshot::decode(input, STORE_ID, LOG);
    if let Some((_, state)) = snapshot::decode(&reseal_file(input), STORE_ID, LOG) {
        windows(&state);
    }
}

pub fn producer_seeds() -> Vec<Vec<u8>> {
    vec![producers(), ProducerTable::default().encode()]
}

pub fn windows(input: &[u8]) {
    if let Ok(table) = ProducerTable::decode(input) {
        let encoded = table.encode();
        let again = ProducerTable::decode(&encoded).expect("what was written is readable");
        assert_eq!(again.encode(), encoded);
    }
}

pub fn raft_state_seeds() -> Vec<Vec<u8>> {
    let ids = [1, 2, 3].map(ReplicaId);
    let three = Configuration::new(&ids, &[ReplicaId(9)]).expect("a few members");
    let mut state = raft_log::SavedState::founding(&Founding {
        replica: ReplicaId(2),
        configuration: three,
    });
    let alone = raft_log::SavedState::founding(&Founding::alone()).encode();
    state.hard.vote = Some(ReplicaId(3));
    vec![alone, state.encode()]
}

pub fn raft_state(input: &[u8]) {
    if let Ok(state) = raft_log::SavedState::decode(input) {
        let encoded = state.encode();
        let again = raft_log::SavedState::decode(&encoded).expect("what was written is readable");
        assert_eq!(again, state);
    }
}

// ---- metadata and groups ----

fn topic() -> Command {
    Command::CreateTopic(NewTopic {
        id: TopicId([3; 16]),
        name: TopicName::new("flights").expect("a legal name"),
        internal: false,
        homes: vec![HomeId(0), HomeId(1)],
        configs: BTreeMap::from([("retention.ms".to_owned(), "5".to_owned())]),
    })
}

fn commands() -> Vec<Command> {
    vec![
        Command::Found {
            cluster_id: "cluster".to_owned(),
            broker: BrokerId(1),
        },
        Command::SetHomes { count: 2 },
        topic(),
        Command::SetConfigs {
            id: TopicId([3; 16]),
            changes: BTreeMap::from([("segment.bytes".to_owned(), None)]),
        },
        Command::CreatePartitions {
            id: TopicId([3; 16]),
            have: 2,
            homes: vec![HomeId(1)],
        },
        Command::AllocateProducerIds { count: 1000 },
        Command::DeleteTopic {
            id: TopicId([3; 16]),
        },
    ]
}

pub fn command_seeds() -> Vec<Vec<u8>> {
    commands().iter().map(Command::encode).collect()
}

/// Whatever decodes may be applied or is refused.
pub fn command(input: &[u8]) {
    let Ok(command) = Command::decode(input) else {
        return;
    };
    let again = Command::decode(&command.encode());
    assert_eq!(again.as_ref(), Ok(&command));
    let mut image = Image::default();
    for before in &commands()[..3] {
        image.apply(before).expect("the seeds fit each other");
    }
    let _ = image.apply(&command);
}

pub fn image_seeds() -> Vec<Vec<u8>> {
    let mut image = Image::default();
    let mut seeds = vec![image.encode_snapshot()];
    for command in &commands()[..6] {
        image.apply(command).expect("the seeds fit each other");
        seeds.push(image.encode_snapshot());
    }
    seeds
}

pub fn image(input: &[u8]) {
    if let Ok(image) = Image::decode_snapshot(input) {
        let encoded = image.encode_snapshot();
        let again = Image::decode_snapshot(&encoded).expect("what was written is readable");
        assert_eq!(again.encode_snapshot(), encoded);
    }
}

/// Keys, offsets and groups of `__consumer_offsets`, written by hand.
pub fn group_seeds() -> Vec<Vec<u8>> {
    let string = |text: &str| {
        let mut out = (text.len() as u16).to_be_bytes().to_vec();
        out.extend_from_slice(text.as_bytes());
        out
    };
    let blob = [0, 0, 0, 2, 1, 2];
    let member = [
        &string("member")[..],
        &string("instance"),
        &string("client"),
        &string("/127.0.0.1"),
        &[0, 0, 1, 0, 0, 0, 1, 0],
        &blob,
        &blob,
    ]
    .concat();
    let group = [
        &[0, 3][..],
        &string("consumer"),
        &[0, 0, 0, 5],
        &string("range"),
        &string("member"),
        &[0; 8],
        &[0, 0, 0, 1],
        &member,
    ]
    .concat();
    assert!(record::decode_group(&group).is_ok());
    vec![
        [&[0, 1][..], &string("group"), &string("topic"), &[0; 4]].concat(),
        [&[0, 2][..], &string("group")].concat(),
        [&[0, 3][..], &[0; 12], &string("metadata"), &[0; 8]].concat(),
        [&[0, 1][..], &[0; 8], &string("metadata"), &[0; 16]].concat(),
        group,
    ]
}

pub fn group_record(input: &[u8]) {
    let _ = record::decode_key(input);
    let _ = record::decode_offset(input);
    let _ = record::decode_group(input);
}
