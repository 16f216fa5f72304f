//! Lists of users as they are written, and what names are answered with.

use expect_test::expect;

use super::*;

const SECRET: &str = "SCRAM-SHA-256$8192:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

fn users(text: &str) -> Users {
    Users::new(UserList::parse(text).expect("a list"), [3; KEY_BYTES])
}

#[test]
fn lists_of_pgbouncer_are_read() {
    let text = format!(
        "; who may come in\n\n\"ann\" \"{SECRET}\" \"\"\n  \"bob \"\"the\"\" b\"\t\"a \"\"b\"\"\"\n# the end\n"
    );
    let users = users(&text);
    let names: Vec<_> = users.secrets.keys().map(String::as_str).collect();
    assert_eq!(names, ["ann", "bob \"the\" b"]);
    let (ann, is_known) = users.secret("ann");
    assert_eq!((Some(ann), is_known), (Secret::parse(SECRET), true));
    let (bob, _) = users.secret("bob \"the\" b");
    let salt = users.salt("bob \"the\" b");
    assert_eq!(bob, Secret::of_password("a \"b\"", &salt, 8192));
}

#[test]
fn lists_that_are_refused() {
    let mut shown = String::new();
    for text in [
        "",
        "; nobody",
        "ann secret",
        "\"ann\"",
        "\"ann\" \"open",
        "\"\" \"secret\"",
        "\"ann\" \"\"",
        "\"ann\" \"one\"\n\"ann\" \"two\"",
        "\"ann\" \"md5900150983cd24fb0d6963f7d28e17f72\"",
        "\n\"ann\" \"SCRAM-SHA-256$4096:AAAA$BBBB\"",
    ] {
        let error = UserList::parse(text).expect_err("it is refused");
        shown.push_str(&format!("{error}\n"));
    }
    expect![[r#"
        it names nobody, so nobody could connect
        it names nobody, so nobody could connect
        line 1 is not "name" "secret"
        line 1 is not "name" "secret"
        line 1 is not "name" "secret"
        line 1 is not "name" "secret"
        line 1: "ann" has no password
        line 2: "ann" stands there twice
        line 1: the password of "ann" is an MD5 hash: write a SCRAM secret
        line 2: the SCRAM secret of "ann" is damaged
    "#]]
    .assert_eq(&shown);
    let many = |count: usize, secret: &str| -> String {
        let lines = (0..count).map(|at| format!("\"u{at}\" \"{secret}\"\n"));
        lines.collect()
    };
    let refused = |text: &str| UserList::parse(text).err();
    assert_eq!(
        refused(&many(USERS_MAX + 1, SECRET)),
        Some(UserListError::TooMany)
    );
    assert_eq!(
        refused(&many(PASSWORDS_MAX + 1, "x")),
        Some(UserListError::TooManyPasswords)
    );
    assert_eq!(refused(&many(PASSWORDS_MAX, "x")), None);
}

/// Whatever a client sees before its proof is the same whether a name has a plain password, or is in no list.
#[test]
fn names_that_are_made_up_look_like_others() {
    let with = users("\"ann\" \"secret\"\n\"bob\" \"secret\"");
    let without = users("\"bob\" \"secret\"");
    let seen = |users: &Users| {
        let (secret, _) = users.secret("ann");
        let exchange = super::super::scram::Exchange::new(secret, true, None, [1; 18]);
        let first = exchange.first("SCRAM-SHA-256", b"n,,n=,r=abc");
        first.expect("a first message").1
    };
    assert_eq!(seen(&with), seen(&without));
    assert_eq!(with.secret("ann").1, !without.secret("ann").1);
    assert_ne!(without.secret("ann").0, without.secret("eve").0);
    // With another key nothing of it is the same.
    let list = UserList::parse("\"bob\" \"secret\"").expect("a list");
    assert_ne!(
        Users::new(list, [4; KEY_BYTES]).secret("ann").0,
        without.secret("ann").0
    );
}
