//! Views that take others' places while what they read, or what reads them, changes too.

use super::*;
use crate::{
    engine::{OUTBOX_TOPIC, QuestionError},
    plan::Closes,
};

fn skipping() -> Definition {
    Definition::Source(source(OnMalformed::Skip))
}

/// These columns of a view whose rows come and go.
pub fn of_view(relation: &str, columns: &[usize]) -> Definition {
    let mut plan = Plan::default();
    let types = vec![("n", DataType::Int64), ("count", DataType::Int64)];
    let schema = schema(&types).project(columns);
    let input = Input {
        relation: relation.to_owned(),
        columns: columns.to_vec(),
        is_append_only: false,
        time: None,
    };
    let schema = Arc::new(schema.expect("columns that are there"));
    plan.add(Operator::Input(input), &[], schema);
    Definition::View(View { plan, key: None })
}

async fn made(engine: &Rc<Engine>, relations: Vec<NewRelation>) {
    for new in relations {
        let made = make(engine, new.id, &new.name, new.definition).await;
        made.expect("nothing is in its way");
    }
}

async fn build_beside(
    engine: &Engine,
    name: &str,
    definition: Definition,
) -> Result<(), QuestionError> {
    engine.build_beside(new(0, name, definition)).await
}

#[test]
fn of_two_views_one_of_which_reads_the_other_one_is_replaced_at_a_time() {
    on_engine(async |_, engine| {
        let views = vec![
            new(1, "s", skipping()),
            new(2, "a", counts("s")),
            new(3, "b", counts("s")),
        ];
        made(&engine, views).await;
        let busy = Err(QuestionError::Busy("a".to_owned()));
        let built = build_beside(&engine, "b", of_view("a", &[0, 1])).await;
        assert_eq!(built, Ok(()));
        assert_eq!(build_beside(&engine, "a", counts("s")).await, busy);
        engine.abandon("b");
        assert_eq!(build_beside(&engine, "a", counts("s")).await, Ok(()));
        let built = build_beside(&engine, "b", of_view("a", &[0, 1])).await;
        assert_eq!(built, busy);
        engine.abandon("a");
        engine.prepare_drop("a").expect("nothing reads it");
        let built = build_beside(&engine, "b", of_view("a", &[0, 1])).await;
        assert_eq!(built, Err(QuestionError::Unknown("a".to_owned())));
    });
}

/// It would be told that rows go that it has put out.
#[test]
fn nothing_is_made_over_what_follows_a_view_that_is_replaced() {
    on_engine(async |log, engine| {
        log.make("out", 1);
        let views = vec![
            new(1, "s", skipping()),
            new(2, "a", counts("s")),
            new(3, "b", of_view("a", &[0, 1])),
        ];
        made(&engine, views).await;
        let over_b = new(4, "k", super::faults::sink("b"));
        assert_eq!(engine.prepare(&over_b).await, Ok(()));
        let busy = Err(QuestionError::Busy("a".to_owned()));
        assert_eq!(build_beside(&engine, "a", counts("s")).await, busy);
        engine.release("k");
        assert_eq!(build_beside(&engine, "a", counts("s")).await, Ok(()));
        assert_eq!(engine.prepare(&over_b).await, busy);
    });
}

/// All others wait within an epoch for what it reads.
#[test]
fn what_is_given_up_holds_nobody_up() {
    on_engine(async |log, engine| {
        let other = log.make("other", 1).id;
        let Definition::Source(mut from_other) = skipping() else {
            unreachable!("it is one");
        };
        from_other.topic = "other".to_owned();
        let relations = vec![
            new(1, "s", skipping()),
            new(2, "t", Definition::Source(from_other)),
            new(3, "v", counts("s")),
        ];
        made(&engine, relations).await;
        assert_eq!(build_beside(&engine, "v", counts("t")).await, Ok(()));
        log.faults.stuck.replace(Some(other));
        log.put("other", 0, &[(None, "{\"n\": 7}")]);
        runtime::sleep(Duration::from_secs(1)).await;
        log.put("in", 0, &[(None, "{\"n\": 1}")]);
        engine.abandon("v");
        assert_eq!(rows_of(&engine, "v").await, Ok(1));
        log.put("in", 0, &[(None, "{\"n\": 2}")]);
        assert_eq!(rows_of(&engine, "v").await, Ok(2));
    });
}

#[test]
fn an_index_that_is_dropped_meanwhile_is_not_there_afterwards() {
    on_engine(async |log, engine| {
        let index = Index {
            relation: "v".to_owned(),
            columns: vec![1],
        };
        let relations = vec![
            new(1, "s", skipping()),
            new(2, "v", counts("s")),
            new(3, "i", Definition::Index(index)),
        ];
        made(&engine, relations).await;
        log.put("in", 0, &[(None, "{\"n\": 1}"), (None, "{\"n\": 2}")]);
        assert_eq!(rows_of(&engine, "v").await, Ok(2));
        assert_eq!(build_beside(&engine, "v", counts("s")).await, Ok(()));
        engine.prepare_drop("i").expect("nothing reads an index");
        engine.drop_relation("i").await;
        engine.swap("v").await.expect("the engine runs");
        let none: ArrayRef = Arc::new(Int64Array::from(vec![9]));
        let other: ArrayRef = Arc::new(arrow_array::StringArray::from(vec!["9"]));
        for (columns, values, count) in [
            ([0], &none, 0),
            // There is no index any more, and the view that was asked for had another key.
            ([1], &none, 2),
            ([0], &other, 2),
            ([7], &none, 2),
        ] {
            let found = engine
                .lookup("v", &columns, std::slice::from_ref(values))
                .await;
            let found = found.expect("the view runs");
            let RowsOf::View(rows) = &found.rows["v"] else {
                panic!("a view has rows");
            };
            let batches = rows.batches();
            let rows: usize = batches.iter().map(|rows| rows.num_rows()).sum();
            assert_eq!(rows, count, "{columns:?}");
        }
    });
}

/// Each row once, until the watermark has reached its time.
fn closing() -> Definition {
    let mut plan = Plan::default();
    let (operator, schema) = input("s", &[0, 1]);
    let rows = plan.add(operator, &[], schema.clone());
    plan.add(Operator::Distinct, &[rows], schema);
    let closes = Closes {
        column: 1,
        after_us: 0,
    };
    plan.nodes[1].closes = Some(closes);
    Definition::View(View { plan, key: None })
}

#[test]
fn no_epoch_is_decided_for_what_nobody_sees() {
    on_engine(async |log, engine| {
        let relations = vec![new(1, "s", skipping()), new(2, "v", view("s", &[0, 1]))];
        made(&engine, relations).await;
        assert_eq!(build_beside(&engine, "v", closing()).await, Ok(()));
        let put = async |n: i64, second: i64| {
            let record = format!("{{\"n\": {n}, \"at\": \"1970-01-01 00:00:0{second}\"}}");
            for partition in 0..2 {
                log.put("in", partition, &[(None, &record)]);
            }
            rows_of(&engine, "v").await.expect("the view runs")
        };
        assert_eq!(put(1, 5).await, 2);
        // They are late for what is built.
        assert_eq!(put(2, 1).await, 4);
        assert!(log.topic(OUTBOX_TOPIC).is_none());
        engine.swap("v").await.expect("the engine runs");
        assert_eq!(put(3, 6).await, 2);
        assert!(log.topic(OUTBOX_TOPIC).is_some());
    });
}
