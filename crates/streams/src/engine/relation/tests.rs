//! Which dead letters a source remembers, and indexes that are not made after all.

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_schema::DataType;
use base::{PartitionIndex, TopicId};
use runtime::sim::{Sim, SimConfig};

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

/// A view of so many numbers.
async fn numbers(count: i64) -> Rc<Relation> {
    let field = Field::new("n", DataType::Int64, true);
    let schema = Arc::new(Schema::new(vec![field]));
    let mut plan = Plan::default();
    let input = crate::plan::Input {
        relation: "s".to_owned(),
        columns: vec![0],
        is_append_only: true,
        time: None,
    };
    plan.add(crate::Operator::Input(input), &[], schema.clone());
    let relation = Relation::new(NewRelation {
        id: 2,
        name: "v".to_owned(),
        definition: Definition::View(crate::definition::View { plan, key: None }),
    });
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..count));
    let rows = RecordBatch::try_new(schema, vec![column]).expect("one column");
    let mut change = relation.prepare(&Delta::insert(rows)).expect("a view");
    relation.apply(&mut change, 1).await.expect("new rows");
    relation
}

fn on_shard<F: Future<Output = ()> + 'static>(test: F) {
    let sim = Sim::new(SimConfig::new(1));
    let node = sim.host("node", 1, std::future::pending::<()>);
    sim.run_for(std::time::Duration::from_millis(1));
    let ended = sim.run_on(node, std::time::Duration::from_secs(60), test);
    assert!(ended.is_some(), "it takes too long");
}

#[test]
fn an_index_counts_while_it_is_made_and_ends_at_the_limit() {
    on_shard(async {
        let relation = numbers(100_000).await;
        let bytes = relation.bytes();
        let bytes_max = bytes + 1_000_000;
        let greatest = Cell::new(0);
        let check = || {
            greatest.set(relation.bytes().max(greatest.get()));
            match relation.bytes() > bytes_max {
                true => Err("too much"),
                false => Ok(()),
            }
        };
        assert_eq!(relation.add_index(&[0], check).await, Err("too much"));
        assert!(greatest.get() < bytes_max + 100_000, "{greatest:?}");
        assert_eq!(relation.bytes(), bytes, "it is gone");
        let made = relation.add_index(&[0], || Ok::<(), ()>(())).await;
        assert_eq!(made, Ok(()));
        assert!(relation.bytes() > bytes_max);
    });
}

#[test]
fn a_view_that_stops_meanwhile_has_no_index() {
    on_shard(async {
        let relation = numbers(10_000).await;
        let asked = Cell::new(0);
        let check = || {
            asked.set(asked.get() + 1);
            if asked.get() == 3 {
                relation.fail("it is a test");
            }
            match relation.failure() {
                Some(_) if asked.get() > 3 => Err("it has stopped"),
                _ => Ok(()),
            }
        };
        let made = relation.add_index(&[0], check).await;
        assert_eq!(made, Err("it has stopped"));
        assert_eq!(relation.bytes(), 0);
    });
}
