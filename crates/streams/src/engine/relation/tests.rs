//! Which dead letters a source remembers.

use base::{PartitionIndex, TopicId};

use super::*;

/// Not those with the lowest offsets: another partition's may be all newer.
#[test]
fn the_oldest_dead_letters_are_forgotten() {
    let relation = Relation::new(NewRelation {
        id: 1,
        name: "s".to_owned(),
        definition: Definition::Index(crate::definition::Index {
            relation: String::new(),
            columns: Vec::new(),
        }),
    });
    let key = |partition| PartitionKey {
        topic: TopicId::ZERO,
        partition: PartitionIndex(partition),
    };
    let most = DEAD_LETTERS_REMEMBERED as i64;
    for offset in 0..most {
        assert!(relation.is_first_dead_letter(key(1), Offset(offset)));
    }
    assert!(!relation.is_first_dead_letter(key(1), Offset(0)));
    assert!(relation.is_first_dead_letter(key(0), Offset(0)));
    assert!(
        !relation.is_first_dead_letter(key(0), Offset(0)),
        "it is the newest"
    );
    assert!(
        relation.is_first_dead_letter(key(1), Offset(0)),
        "it was the oldest"
    );
    relation.forget_dead_letters(key(0), &[Offset(0)]);
    assert!(relation.is_first_dead_letter(key(0), Offset(0)));
}
