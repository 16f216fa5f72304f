//! Sessions as KIP-227 has them: epochs, changes only, turns, eviction.

use base::{Offset, ShardId};
use kafka::error::ErrorCode;
use runtime::Instant;

use super::{FetchSessions, Opened, SessionRequest, Told, TopicRef, Wanted, WantedKey};

fn key(topic: &str, partition: i32) -> WantedKey {
    WantedKey {
        topic: TopicRef::Name(topic.into()),
        partition,
    }
}

fn wanted(topic: &str, partition: i32, offset: i64) -> (WantedKey, Wanted) {
    let wanted = Wanted {
        fetch_offset: offset,
        leader_epoch: -1,
        bytes_max: 100,
    };
    (key(topic, partition), wanted)
}

fn request(id: i32, epoch: i32) -> SessionRequest {
    SessionRequest {
        id,
        epoch,
        uses_ids: false,
    }
}

fn seconds(n: u64) -> Instant {
    Instant(n * 1_000_000_000)
}

fn told(high_watermark: i64, has_records: bool) -> Told {
    Told {
        high_watermark: Offset(high_watermark),
        log_start_offset: Offset(0),
        is_error: false,
        has_records,
    }
}

fn open(sessions: &mut FetchSessions, list: &[(WantedKey, Wanted)]) -> i32 {
    match sessions.open(request(0, 0), list, &[], seconds(0), 77) {
        Ok(Opened::Full { id }) => id,
        other => panic!("no session: {other:?}"),
    }
}

#[test]
fn ids_carry_the_shard() {
    let mut sessions = FetchSessions::new(ShardId(3), 10);
    let id = open(&mut sessions, &[wanted("a", 0, 0)]);
    assert_eq!(id & 1023, 3);
    assert_ne!(open(&mut sessions, &[wanted("a", 0, 0)]), id);
}

#[test]
fn epochs_count_up_and_wrong_ones_change_nothing() {
    let mut sessions = FetchSessions::new(ShardId(0), 10);
    let id = open(&mut sessions, &[wanted("a", 0, 0), wanted("a", 1, 0)]);
    let cases = [
        (request(id, 2), Err(ErrorCode::InvalidFetchSessionEpoch)),
        (
            request(id + 1024, 1),
            Err(ErrorCode::FetchSessionIdNotFound),
        ),
        (
            SessionRequest {
                uses_ids: true,
                ..request(id, 1)
            },
            Err(ErrorCode::FetchSessionTopicIdError),
        ),
        (request(id, 1), Ok(Opened::Incremental { id })),
        (request(id, 1), Err(ErrorCode::InvalidFetchSessionEpoch)),
        (request(id, 2), Ok(Opened::Incremental { id })),
        (request(id, -1), Ok(Opened::Sessionless)),
        (request(id, 3), Err(ErrorCode::FetchSessionIdNotFound)),
    ];
    for (request, expected) in cases {
        assert_eq!(
            sessions.open(request, &[], &[], seconds(0), 0),
            expected,
            "{request:?}"
        );
    }
    assert!(sessions.is_empty());
    assert_eq!(sessions.partitions, 0);
}

#[test]
fn an_incremental_request_changes_the_list() {
    let mut sessions = FetchSessions::new(ShardId(0), 10);
    let id = open(&mut sessions, &[wanted("a", 0, 0), wanted("a", 1, 0)]);
    let change = [wanted("a", 1, 50), wanted("b", 0, 7)];
    let opened = sessions.open(request(id, 1), &change, &[key("a", 0)], seconds(1), 0);
    assert_eq!(opened, Ok(Opened::Incremental { id }));
    assert_eq!(sessions.wanted(id), change);
    let opened = sessions.open(
        request(id, 2),
        &[],
        &[key("a", 1), key("b", 0)],
        seconds(1),
        0,
    );
    assert_eq!(opened, Ok(Opened::Sessionless), "nothing is left to want");
    assert!(sessions.is_empty());
}

#[test]
fn only_news_are_told() {
    let mut sessions = FetchSessions::new(ShardId(0), 10);
    let id = open(&mut sessions, &[wanted("a", 0, 0)]);
    let key = key("a", 0);
    let error = Told {
        is_error: true,
        ..told(-1, false)
    };
    let moved = Told {
        log_start_offset: Offset(3),
        ..told(5, false)
    };
    let cases = [
        ("the first time", told(5, false), true),
        ("the same", told(5, false), false),
        ("records", told(5, true), true),
        ("a higher watermark", told(6, false), true),
        ("an error", error, true),
        ("the error again", error, true),
        ("the same after an error", told(6, false), true),
        ("a new log start", moved, true),
        ("and again", moved, true),
    ];
    for (what, told, expected) in &cases[..8] {
        assert_eq!(sessions.tell(id, &key, *told), *expected, "{what}");
    }
    assert!(!sessions.tell(id, &key, moved), "told already");
}

#[test]
fn partitions_with_records_go_to_the_end() {
    let mut sessions = FetchSessions::new(ShardId(0), 10);
    let id = open(
        &mut sessions,
        &[wanted("a", 0, 0), wanted("a", 1, 0), wanted("a", 2, 0)],
    );
    sessions.tell(id, &key("a", 0), told(1, true));
    let order: Vec<_> = sessions
        .wanted(id)
        .iter()
        .map(|(key, _)| key.partition)
        .collect();
    assert_eq!(order, [1, 2, 0]);
}

#[test]
fn old_sessions_make_room_and_young_ones_do_not() {
    let mut sessions = FetchSessions::new(ShardId(0), 2);
    let first = open(&mut sessions, &[wanted("a", 0, 0)]);
    let second = open(&mut sessions, &[wanted("a", 0, 0)]);
    let full = sessions.open(request(0, 0), &[wanted("b", 0, 0)], &[], seconds(60), 5);
    assert_eq!(full, Ok(Opened::Sessionless));
    let used = sessions.open(request(first, 1), &[], &[], seconds(100), 0);
    assert_eq!(used, Ok(Opened::Incremental { id: first }));
    let third = sessions.open(request(0, 0), &[wanted("b", 0, 0)], &[], seconds(130), 5);
    assert!(matches!(third, Ok(Opened::Full { .. })));
    let gone = sessions.open(request(second, 1), &[], &[], seconds(130), 0);
    assert_eq!(gone, Err(ErrorCode::FetchSessionIdNotFound));
    assert_eq!(sessions.evicted(), 1);
}
