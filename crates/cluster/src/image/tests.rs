//! The state machine: what it refuses, where it places, and that replay and snapshot give the same image.

use std::collections::BTreeMap;

use base::{BrokerId, PartitionIndex, ProducerId, TopicId, TopicName};

use super::{Change, Image, Refusal};
use crate::{Command, HomeId, NewTopic};

fn name(text: &str) -> TopicName {
    TopicName::new(text).expect("legal")
}

fn create(image: &Image, text: &str, id: u8, partitions: i32) -> Command {
    Command::CreateTopic(NewTopic {
        id: TopicId([id; 16]),
        name: name(text),
        internal: false,
        homes: image.place(&name(text), partitions),
        configs: BTreeMap::new(),
    })
}

fn founded(homes: u16) -> Image {
    let mut image = Image::default();
    let found = Command::Found {
        cluster_id: "c".into(),
        broker: BrokerId(1),
    };
    image.apply(&found).expect("first");
    image
        .apply(&Command::SetHomes { count: homes })
        .expect("more");
    image
}

#[test]
fn replay_of_the_same_commands_gives_the_same_snapshot() {
    let mut image = Image::default();
    let mut log = Vec::new();
    let mut run = |image: &mut Image, command: Command| {
        image.apply(&command).expect("legal");
        log.push(command.encode());
    };
    run(
        &mut image,
        Command::Found {
            cluster_id: "c".into(),
            broker: BrokerId(1),
        },
    );
    run(&mut image, Command::SetHomes { count: 3 });
    for id in 1..40u8 {
        let command = create(&image, &format!("topic-{id}"), id, i32::from(id % 7) + 1);
        run(&mut image, command);
        if id % 3 == 0 {
            run(
                &mut image,
                Command::DeleteTopic {
                    id: TopicId([id - 1; 16]),
                },
            );
            let homes = image.place(&name("x"), 2);
            let topic = image.topic(TopicId([id; 16])).expect("just created");
            let have = topic.partitions.len() as u32;
            run(
                &mut image,
                Command::CreatePartitions {
                    id: TopicId([id; 16]),
                    have,
                    homes,
                },
            );
        }
        run(&mut image, Command::AllocateProducerIds { count: 10 });
        let changes = BTreeMap::from([("retention.ms".to_owned(), Some(id.to_string()))]);
        run(
            &mut image,
            Command::SetConfigs {
                id: TopicId([id; 16]),
                changes,
            },
        );
    }
    let mut replayed = Image::default();
    for bytes in &log {
        let command = Command::decode(bytes).expect("own encoding");
        replayed.apply(&command).expect("applied before");
    }
    assert_eq!(replayed, image);
    let bytes = image.encode_snapshot();
    let restored = Image::decode_snapshot(&bytes).expect("own encoding");
    assert_eq!(restored, image, "derived maps are rebuilt");
    assert_eq!(restored.encode_snapshot(), bytes);
    for end in 0..bytes.len() {
        assert!(
            Image::decode_snapshot(&bytes[..end]).is_err(),
            "cut at {end}"
        );
    }
}

#[test]
fn refusals_change_nothing() {
    let mut image = founded(2);
    let first = create(&image, "a.b", 1, 1);
    image.apply(&first).expect("new");
    let id = TopicId([1; 16]);
    let unknown = TopicId([9; 16]);
    let bad_config = BTreeMap::from([("retention.ms".to_owned(), Some("x".to_owned()))]);
    let cases = [
        (create(&image, "a.b", 2, 1), "already exists"),
        (
            create(&image, "a_b", 2, 1),
            "collides with existing topic: a.b",
        ),
        (create(&image, "c", 1, 1), "already exists"),
        (create(&image, "c", 3, 0), "larger than 0"),
        (create(&image, "c", 3, 10_001), "at most 10000 partitions"),
        (Command::DeleteTopic { id: unknown }, "does not host"),
        (
            Command::CreatePartitions {
                id,
                have: 1,
                homes: vec![],
            },
            "larger than 0",
        ),
        (
            Command::CreatePartitions {
                id,
                have: 2,
                homes: vec![HomeId(0)],
            },
            "by now",
        ),
        (
            Command::CreatePartitions {
                id,
                have: 1,
                homes: vec![HomeId(2)],
            },
            "home 2",
        ),
        (
            Command::SetConfigs {
                id,
                changes: bad_config,
            },
            "Not a number",
        ),
        (Command::SetHomes { count: 1 }, "only be added"),
        (
            Command::Found {
                cluster_id: "d".into(),
                broker: BrokerId(2),
            },
            "already",
        ),
    ];
    for (command, why) in cases {
        let before = image.clone();
        let refusal: Refusal = image.apply(&command).expect_err(why);
        assert!(refusal.to_string().contains(why), "{refusal}");
        assert_eq!(image, before);
    }
}

#[test]
fn a_name_is_free_again_after_deletion() {
    let mut image = founded(1);
    let command = create(&image, "a.b", 1, 2);
    image.apply(&command).expect("new");
    let deleted = image.apply(&Command::DeleteTopic {
        id: TopicId([1; 16]),
    });
    assert!(matches!(deleted, Ok(Change::TopicDeleted(topic)) if topic.partitions.len() == 2));
    assert_eq!(image.partition_count(), 0);
    let command = create(&image, "a_b", 2, 1);
    image.apply(&command).expect("the name's fold is free too");
    assert_eq!(
        image.topic_named("a_b").map(|t| t.id),
        Some(TopicId([2; 16]))
    );
}

#[test]
fn placement_fills_the_emptiest_homes() {
    let mut image = founded(2);
    let command = create(&image, "big", 1, 7);
    image.apply(&command).expect("new");
    image.apply(&Command::SetHomes { count: 4 }).expect("more");
    let homes = image.place(&name("next"), 6);
    let on_new = homes.iter().filter(|home| home.0 >= 2).count();
    assert_eq!(on_new, 6, "the new homes are empty: {homes:?}");
    let many: Vec<_> = (0..64)
        .map(|n| founded(4).place(&name(&format!("t{n}")), 1)[0])
        .collect();
    for home in 0..4 {
        assert!(
            many.contains(&HomeId(home)),
            "single partitions spread over all homes"
        );
    }
}

#[test]
fn producer_ids_are_handed_out_once() {
    let mut image = founded(1);
    let command = Command::AllocateProducerIds { count: 5 };
    let first = |n| {
        Ok(Change::ProducerIds {
            first: ProducerId(n),
            count: 5,
        })
    };
    assert_eq!(image.apply(&command), first(0));
    assert_eq!(image.apply(&command), first(5));
}

#[test]
fn lookups() {
    let mut image = founded(1);
    for (at, text) in ["b", "a", "c"].iter().enumerate() {
        let command = create(&image, text, u8::try_from(at).expect("few") + 1, 1);
        image.apply(&command).expect("new");
    }
    let names = |topics: Vec<&super::Topic>| -> Vec<String> {
        topics.iter().map(|t| t.name.to_string()).collect()
    };
    assert_eq!(names(image.topics().collect()), ["a", "b", "c"]);
    assert_eq!(names(image.topics_from("b").collect()), ["b", "c"]);
    let topic = image.topic_named("a").expect("created");
    assert!(topic.partition(PartitionIndex(0)).is_some());
    assert!(topic.partition(PartitionIndex(1)).is_none());
    assert!(topic.partition(PartitionIndex(-1)).is_none());
}

#[test]
fn an_altered_relation_keeps_its_id() {
    let mut image = founded(1);
    let mut create = |name: &str| {
        let command = Command::CreateRelation {
            name: name.into(),
            statement: format!("make {name}"),
        };
        image.apply(&command).expect("new")
    };
    let Change::RelationCreated(id) = create("v") else {
        panic!("a relation was created");
    };
    create("w");
    let alter = |name: &str, to: &str| Command::AlterRelation {
        name: name.into(),
        to: to.into(),
        statement: format!("make {to} anew"),
    };
    assert_eq!(
        image.apply(&alter("v", "w")),
        Err(Refusal::RelationExists("w".into()))
    );
    assert_eq!(
        image.apply(&alter("x", "y")),
        Err(Refusal::RelationUnknown("x".into()))
    );
    for (name, to) in [("v", "v"), ("v", "u")] {
        assert_eq!(
            image.apply(&alter(name, to)),
            Ok(Change::RelationAltered(id))
        );
    }
    let relations: Vec<_> = image
        .relations()
        .map(|(name, relation)| (name, relation.statement.as_str()))
        .collect();
    assert_eq!(relations, [("u", "make u anew"), ("w", "make w")]);
}
