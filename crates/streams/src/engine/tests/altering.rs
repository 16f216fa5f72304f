//! Sources that are altered while others are made, dropped and renamed.

use super::*;
use crate::engine::QuestionError;

fn skipping() -> Definition {
    Definition::Source(source(OnMalformed::Skip))
}

#[test]
fn what_is_about_to_be_altered_keeps_its_names() {
    on_engine(async |_, engine| {
        make(&engine, 1, "s", skipping()).await.expect("a source");
        let busy = Err(QuestionError::Busy("s".to_owned()));
        let exists = Err(QuestionError::Exists("r".to_owned()));
        let renamed = || new(0, "r", skipping());
        let nobody = Ok(Vec::new());
        assert_eq!(engine.prepare_alter("s", &renamed()).await, nobody);
        assert_eq!(engine.prepare(&new(2, "v", counts("s"))).await, busy);
        assert_eq!(engine.prepare(&new(2, "r", skipping())).await, exists);
        assert_eq!(engine.prepare_drop("s"), busy);
        let again = engine.prepare_alter("s", &renamed()).await;
        assert_eq!(again.map(drop), busy);
        // The metadata would not have it.
        engine.keep_relation("s");
        assert_eq!(engine.prepare(&new(2, "r", skipping())).await, Ok(()));
        let taken = engine.prepare_alter("s", &renamed()).await;
        assert_eq!(taken.map(drop), exists);
        engine.release("r");
        assert_eq!(engine.prepare_alter("s", &renamed()).await, nobody);
        let altered = engine.alter("s", renamed()).await;
        altered.expect("it was found good");
        make(&engine, 3, "v", counts("r")).await.expect("a view");
        make(&engine, 4, "s", skipping()).await.expect("a source");
    });
}

#[test]
fn who_reads_a_source_keeps_its_name_and_is_known() {
    on_engine(async |_, engine| {
        make(&engine, 1, "s", skipping()).await.expect("a source");
        make(&engine, 2, "v", counts("s")).await.expect("a view");
        let renamed = engine.prepare_alter("s", &new(0, "r", skipping())).await;
        let refused = QuestionError::CannotRename {
            name: "s".to_owned(),
            by: "v".to_owned(),
        };
        assert_eq!(renamed, Err(refused));
        let altered = engine.prepare_alter("s", &new(0, "s", skipping())).await;
        assert_eq!(altered, Ok(vec!["v".to_owned()]));
        let beside = engine.build_beside(new(0, "v", counts("s"))).await;
        assert_eq!(beside, Err(QuestionError::Busy("s".to_owned())));
    });
}
