//! Commands survive their encoding, and damaged bytes are refused.

use std::collections::BTreeMap;

use base::{BrokerId, TopicId, TopicName};

use crate::{Command, HomeId, NewTopic};

fn every_command() -> Vec<Command> {
    let id = TopicId([7; 16]);
    let configs = BTreeMap::from([("retention.ms".to_owned(), "1".to_owned())]);
    vec![
        Command::Found {
            cluster_id: "abc".into(),
            broker: BrokerId(1),
        },
        Command::SetHomes { count: 3 },
        Command::CreateTopic(NewTopic {
            id,
            name: TopicName::new("a.b").expect("legal"),
            internal: true,
            homes: vec![HomeId(0), HomeId(2)],
            configs,
        }),
        Command::DeleteTopic { id },
        Command::CreatePartitions {
            id,
            have: 2,
            homes: vec![HomeId(1)],
        },
        Command::SetConfigs {
            id,
            changes: BTreeMap::from([
                ("a".to_owned(), None),
                ("b".to_owned(), Some(String::new())),
            ]),
        },
        Command::AllocateProducerIds { count: 1000 },
        Command::CreateRelation {
            name: "v".into(),
            statement: "CREATE VIEW v AS SELECT 1".into(),
        },
        Command::DropRelation { name: "v".into() },
        Command::AlterRelation {
            name: "v".into(),
            to: "w".into(),
            statement: "CREATE VIEW w AS SELECT 2".into(),
        },
    ]
}

#[test]
fn round_trips() {
    for command in every_command() {
        assert_eq!(Command::decode(&command.encode()), Ok(command));
    }
}

#[test]
fn refuses_every_cut_and_every_addition() {
    for command in every_command() {
        let bytes = command.encode();
        for end in 0..bytes.len() {
            assert!(
                Command::decode(&bytes[..end]).is_err(),
                "{command:?} cut at {end}"
            );
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(
            Command::decode(&longer).is_err(),
            "{command:?} with a byte more"
        );
    }
}

#[test]
fn never_panics_on_a_changed_byte() {
    for command in every_command() {
        let bytes = command.encode();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                if let Ok(other) = Command::decode(&damaged) {
                    assert_eq!(Command::decode(&other.encode()), Ok(other));
                }
            }
        }
    }
}
