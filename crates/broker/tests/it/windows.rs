//! Idempotent producers: their windows of batches, epochs, expiry, crashes (KIP-98, KIP-360).

use std::time::Duration;

use base::ProducerId;
use kafka::error::ErrorCode;
use runtime::sim::SimConfig;

use crate::harness::{Caller, World, batch, idempotent};

const PRODUCER: ProducerId = ProducerId(77);

fn send(client: &mut Caller<'_>, epoch: i16, sequence: i32, values: &[&str]) -> (ErrorCode, i64) {
    let produced = client.produce("t", 0, &idempotent(PRODUCER, epoch, sequence, values));
    (produced.error, produced.base_offset)
}

/// Seven batches of two records, then each of them again.
fn check_window(client: &mut Caller<'_>) {
    for n in 0..7 {
        let expected = match n {
            // Only the last five are remembered.
            0 | 1 => (ErrorCode::OutOfOrderSequenceNumber, -1),
            _ => (ErrorCode::None, i64::from(n) * 2),
        };
        assert_eq!(send(client, 0, n * 2, &["a", "b"]), expected, "batch {n}");
    }
    // The same first sequence with another count is no duplicate.
    let cut = send(client, 0, 12, &["a"]);
    assert_eq!(cut, (ErrorCode::OutOfOrderSequenceNumber, -1));
    let gap = send(client, 0, 15, &["a"]);
    assert_eq!(gap, (ErrorCode::OutOfOrderSequenceNumber, -1));
}

#[test]
fn the_last_five_batches_are_known_also_after_a_crash() {
    let world = World::new(1);
    let mut client = world.client();
    client.create_topic("t", 1, &[]);
    for n in 0..7 {
        let sent = send(&mut client, 0, n * 2, &["a", "b"]);
        assert_eq!(sent, (ErrorCode::None, i64::from(n) * 2));
    }
    check_window(&mut client);
    world.kill();
    check_window(&mut world.client());
    world.power_cut();
    check_window(&mut world.client());
    world.stop();
    let mut client = world.client();
    check_window(&mut client);
    assert_eq!(send(&mut client, 0, 14, &["c"]), (ErrorCode::None, 14));
    assert_eq!(client.values("t", 0, 0).len(), 15);
}

#[test]
fn epochs_only_grow_and_begin_at_sequence_zero() {
    let world = World::new(1);
    let mut client = world.client();
    client.create_topic("t", 1, &[]);
    let out_of_order = (ErrorCode::OutOfOrderSequenceNumber, -1);
    let old = (ErrorCode::InvalidProducerEpoch, -1);
    let cases = [
        (
            "an unknown producer may begin anywhere (KIP-360)",
            3,
            40,
            (ErrorCode::None, 0),
        ),
        ("a later epoch begins at 0", 4, 41, out_of_order),
        ("and then it does", 4, 0, (ErrorCode::None, 1)),
        ("the old epoch is fenced", 3, 41, old),
        ("also its duplicates", 3, 40, old),
        ("the new one goes on", 4, 1, (ErrorCode::None, 2)),
        (
            "its own first batch is a duplicate",
            4,
            0,
            (ErrorCode::None, 1),
        ),
        (
            "a sequence below 0 is none",
            4,
            -1,
            (ErrorCode::InvalidRecord, -1),
        ),
    ];
    for (what, epoch, sequence, expected) in cases {
        assert_eq!(
            send(&mut client, epoch, sequence, &["x"]),
            expected,
            "{what}"
        );
    }
}

#[test]
fn after_the_largest_sequence_comes_zero() {
    let world = World::new(1);
    let mut client = world.client();
    client.create_topic("t", 1, &[]);
    let last = i32::MAX;
    assert_eq!(
        send(&mut client, 0, last - 1, &["a", "b", "c"]),
        (ErrorCode::None, 0)
    );
    assert_eq!(send(&mut client, 0, 1, &["d"]), (ErrorCode::None, 3));
    assert_eq!(
        send(&mut client, 0, last - 1, &["a", "b", "c"]),
        (ErrorCode::None, 0)
    );
    world.kill();
    let mut client = world.client();
    assert_eq!(
        send(&mut client, 0, last - 1, &["a", "b", "c"]),
        (ErrorCode::None, 0)
    );
    assert_eq!(send(&mut client, 0, 2, &["e"]), (ErrorCode::None, 4));
}

#[test]
fn silent_producers_are_forgotten() {
    let world = World::with(SimConfig::new(1), 2, |settings| {
        settings.producer_expiry = Duration::from_secs(60);
        settings.retention_interval = Duration::from_secs(10);
    });
    let mut client = world.client();
    client.create_topic("t", 1, &[]);
    assert_eq!(send(&mut client, 0, 0, &["a"]), (ErrorCode::None, 0));
    world.sleep(Duration::from_secs(30));
    let gap = send(&mut client, 0, 9, &["b"]);
    assert_eq!(
        gap,
        (ErrorCode::OutOfOrderSequenceNumber, -1),
        "it is remembered"
    );
    world.sleep(Duration::from_secs(60));
    assert_eq!(
        send(&mut client, 0, 9, &["b"]),
        (ErrorCode::None, 1),
        "it is forgotten"
    );
}

/// What was sent before the node went is sent again when it is back, however long that took.
#[test]
fn producers_are_not_forgotten_for_a_silence_of_the_nodes_own() {
    let world = World::with(SimConfig::new(1), 2, |settings| {
        settings.producer_expiry = Duration::from_secs(60);
        settings.retention_interval = Duration::from_secs(10);
    });
    let mut client = world.client();
    client.create_topic("t", 1, &[]);
    assert_eq!(send(&mut client, 0, 0, &["a"]), (ErrorCode::None, 0));
    world.sleep(Duration::from_secs(59));
    world.kill();
    world.sleep(Duration::from_secs(30));
    let mut client = world.client();
    let again = send(&mut client, 0, 0, &["a"]);
    assert_eq!(again, (ErrorCode::None, 0), "it is a duplicate");
}

#[test]
fn duplicates_are_told_only_when_the_original_is_durable() {
    for seed in 0..50 {
        let world = World::new(seed);
        let mut client = world.client();
        client.create_topic("t", 1, &[]);
        // Both in flight at once, on two connections; then the power goes at any time.
        let bytes = idempotent(PRODUCER, 0, 0, &["a"]);
        let request = crate::harness::produce_request("t", 0, &bytes, -1);
        let mut other = world.client();
        client.send(9, &request);
        let id = other.send(9, &request);
        let answer =
            other.try_receive_within(Duration::from_micros(world.sim.draw(2_000)), 0, 9, id);
        world.power_cut();
        if answer.is_some() {
            assert_eq!(world.client().values("t", 0, 0), ["a"], "seed {seed}");
        }
    }
}

#[test]
fn batches_without_a_producer_are_never_duplicates() {
    let world = World::new(1);
    let mut client = world.client();
    client.create_topic("t", 1, &[]);
    let same = batch(&["x"]);
    for offset in 0..3 {
        assert_eq!(client.produce("t", 0, &same).base_offset, offset);
    }
}
