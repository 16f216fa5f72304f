//! Produce: round trips, order, idempotence, refusals.

use kafka::{
    error::ErrorCode,
    messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse},
};

use base::ProducerId;

use crate::harness::{Caller, Produced, World, batch, idempotent, produce_request};

#[test]
fn what_was_produced_is_fetched_byte_for_byte() {
    let world = World::new(1);
    let mut client = world.client();
    client.create_topic("t", 4, &[]);
    for partition in 0..4 {
        let value = format!("hello {partition}");
        let sent = batch(&[&value, "again"]);
        let produced = client.produce("t", partition, &sent);
        assert_eq!((produced.error, produced.base_offset), (ErrorCode::None, 0));
        let second = client.produce("t", partition, &batch(&["third"]));
        assert_eq!(second.base_offset, 2);
        let fetched = client.fetch("t", partition, 0, 0);
        assert_eq!(fetched.values(), [value.as_str(), "again", "third"]);
        assert_eq!(fetched.high_watermark, 3);
        // Base offset 0 and leader epoch 0 are what the first batch came with; the rest is under the checksum.
        assert_eq!(fetched.records[16..sent.len()], sent[16..]);
        assert_eq!(
            client.fetch("t", partition, 3, 0).values(),
            Vec::<String>::new()
        );
    }
}

#[test]
fn pipelined_requests_are_sequenced_and_answered_in_order() {
    let world = World::new(1);
    let mut client = world.client();
    client.create_topic("t", 2, &[]);
    let ids: Vec<_> = (0..200)
        .map(|n| {
            let value = n.to_string();
            client.send(9, &produce_request("t", n % 2, &batch(&[&value]), -1))
        })
        .collect();
    for (n, id) in (0..).zip(ids) {
        let produced = Produced::of(&client.receive(0, 9, id));
        assert_eq!(
            (produced.error, produced.base_offset),
            (ErrorCode::None, n / 2)
        );
    }
    let odd: Vec<_> = (0..100).map(|n| (2 * n + 1).to_string()).collect();
    assert_eq!(client.fetch("t", 1, 0, 0).values(), odd);
}

#[test]
fn unacknowledged_batches_arrive_and_their_failure_closes_the_connection() {
    let world = World::new(1);
    let mut client = world.client();
    client.create_topic("t", 1, &[]);
    client.send(9, &produce_request("t", 0, &batch(&["quiet"]), 0));
    assert_eq!(client.produce("t", 0, &batch(&["loud"])).base_offset, 1);
    assert_eq!(client.fetch("t", 0, 0, 0).values(), ["quiet", "loud"]);
    client.send(9, &produce_request("t", 7, &batch(&["nowhere"]), 0));
    assert!(client.read_frame().is_none(), "closing is the only answer");
}

fn init(transactional_id: Option<&str>) -> InitProducerIdRequest<'_> {
    InitProducerIdRequest {
        transactional_id: transactional_id.map(Into::into),
        producer_id: -1,
        producer_epoch: -1,
        ..InitProducerIdRequest::default()
    }
}

#[test]
fn transactions_are_refused() {
    let world = World::new(1);
    let mut client = world.client();
    let cases = [
        ("", ErrorCode::InvalidRequest),
        ("t", ErrorCode::UnsupportedVersion),
    ];
    for (transactional_id, expected) in cases {
        let frame = client.call(5, &init(Some(transactional_id)));
        let response: InitProducerIdResponse = frame.decode();
        let found = (response.error_code, response.producer_id);
        assert_eq!(found, (expected.code(), -1));
    }
}

fn new_producer(client: &mut Caller<'_>) -> ProducerId {
    let frame = client.call(5, &init(None));
    let response: InitProducerIdResponse = frame.decode();
    assert_eq!((response.error_code, response.producer_epoch), (0, 0));
    ProducerId(response.producer_id)
}

#[test]
fn idempotent_producers_are_held_to_their_sequence_also_after_a_restart() {
    let world = World::new(1);
    let mut client = world.client();
    client.create_topic("t", 3, &[]);
    let producer = new_producer(&mut client);
    assert_ne!(new_producer(&mut world.client()), producer);
    let send = |client: &mut Caller<'_>, epoch, sequence, values: &[&str]| {
        let produced = client.produce("t", 2, &idempotent(producer, epoch, sequence, values));
        (produced.error, produced.base_offset)
    };
    let check = |client: &mut Caller<'_>| {
        let cases = [
            ("a duplicate", 0, &["a", "b"][..], (ErrorCode::None, 0)),
            ("another duplicate", 2, &["c"], (ErrorCode::None, 2)),
            (
                "a gap",
                9,
                &["z"],
                (ErrorCode::OutOfOrderSequenceNumber, -1),
            ),
        ];
        for (what, sequence, values, expected) in cases {
            assert_eq!(send(client, 0, sequence, values), expected, "{what}");
        }
    };
    assert_eq!(send(&mut client, 0, 0, &["a", "b"]), (ErrorCode::None, 0));
    assert_eq!(send(&mut client, 0, 2, &["c"]), (ErrorCode::None, 2));
    check(&mut client);
    world.kill();
    let mut client = world.client();
    check(&mut client);
    assert_eq!(send(&mut client, 0, 3, &["d"]), (ErrorCode::None, 3));
    assert_eq!(send(&mut client, 1, 0, &["e"]), (ErrorCode::None, 4));
    assert_eq!(
        send(&mut client, 0, 4, &["f"]),
        (ErrorCode::InvalidProducerEpoch, -1)
    );
    assert_eq!(client.values("t", 2, 0), ["a", "b", "c", "d", "e"]);
    let newer = new_producer(&mut client);
    assert!(newer > producer, "ids are not used twice");
}

#[test]
fn refusals_say_why() {
    let world = World::new(1);
    let mut client = world.client();
    client.create_topic("t", 1, &[("max.message.bytes", "100")]);
    client.create_topic("careful", 1, &[("min.insync.replicas", "2")]);
    let good = batch(&["x"]);
    let mut damaged = good.clone();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    let large = batch(&["x".repeat(100).as_str()]);
    let cases = [
        ("t", 0, &large, ErrorCode::MessageTooLarge),
        ("t", 0, &damaged, ErrorCode::CorruptMessage),
        ("t", 1, &good, ErrorCode::UnknownTopicOrPartition),
        ("t", -1, &good, ErrorCode::UnknownTopicOrPartition),
        ("nothing", 0, &good, ErrorCode::UnknownTopicOrPartition),
        ("careful", 0, &good, ErrorCode::NotEnoughReplicas),
        ("t", 0, &good, ErrorCode::None),
    ];
    for (topic, partition, batch, expected) in cases {
        let produced = client.produce(topic, partition, batch);
        assert_eq!(
            produced.error, expected,
            "{topic}-{partition}: {:?}",
            produced.message
        );
    }
    let wrong_acks = Produced::of(&client.call(9, &produce_request("t", 0, &good, 2)));
    assert_eq!(wrong_acks.error, ErrorCode::InvalidRequiredAcks);
}
