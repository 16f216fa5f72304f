//! Readers of sources that get columns, of which who planned that knew nothing.

use sql::catalog::RelationId;

use super::*;

const SOURCE: &str = "CREATE SOURCE s FROM TOPIC t (n BIGINT) FORMAT JSON";
const WIDER: &str = "CREATE SOURCE s FROM TOPIC t (n BIGINT, m BIGINT) FORMAT JSON";

fn with(statements: &[&str]) -> Catalog {
    let mut catalog = Catalog::default();
    for (id, statement) in (1..).zip(statements) {
        let (relation, _) = define(&catalog, statement).expect("a sound statement");
        catalog.insert(Relation {
            id: RelationId(id),
            ..relation
        });
    }
    catalog
}

fn checked(views: &[&str]) -> Result<(), String> {
    let catalog = with(&[&[SOURCE][..], views].concat());
    let (wider, _) = define(&Catalog::default(), WIDER).expect("a sound statement");
    let readers = ["v".to_owned()];
    check(&catalog, "s", wider, &readers).map_err(|error| error.message)
}

#[test]
fn a_reader_stays_the_query_that_it_is() {
    let named = "CREATE MATERIALIZED VIEW v AS SELECT n FROM s";
    assert_eq!(checked(&[named]), Ok(()));
    let all = "CREATE MATERIALIZED VIEW v AS SELECT * FROM s";
    let refused = "cannot alter s because v reads it";
    assert_eq!(checked(&[all]), Err(refused.to_owned()));
    // The engine has it, the catalog not yet.
    let busy = checked(&[]).expect_err("nobody knows what it is");
    assert!(busy.contains("is being made"), "{busy}");
}
