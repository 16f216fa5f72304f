//! Tests that each rule of tidy finds what it is there for, and that the repository keeps all of them.

use std::collections::BTreeMap;

use super::source::{code_of, parts};
use super::{Finding, Tree, absences, check, crates, docs, files, words};

fn tree(list: &[(&str, &str)]) -> Tree {
    Tree {
        files: list
            .iter()
            .map(|(path, text)| ((*path).to_owned(), Some((*text).to_owned())))
            .collect::<BTreeMap<_, _>>(),
    }
}

/// Runs a rule over one file and gives the lines it complains about.
fn lines_of(rule: fn(&Tree) -> Vec<Finding>, path: &str, text: &str) -> Vec<usize> {
    rule(&tree(&[(path, text)]))
        .into_iter()
        .map(|finding| finding.line)
        .collect()
}

#[test]
fn repository_is_tidy() {
    let tree = Tree::read(&crate::run::root()).expect("git lists the repository's files");
    let findings = check(&tree);
    assert!(findings.is_empty(), "{findings:#?}");
}

#[test]
fn heads_are_noun_phrases() {
    assert_eq!(
        lines_of(
            files::heads,
            "crates/a/src/lib.rs",
            "//! A thing.\nfn x() {}\n"
        ),
        [0; 0]
    );
    assert_eq!(
        lines_of(files::heads, "crates/a/src/lib.rs", "fn x() {}\n"),
        [1]
    );
    assert_eq!(
        lines_of(files::heads, "crates/a/src/lib.rs", "\n//! A thing.\n"),
        [1]
    );
    assert_eq!(
        lines_of(files::heads, "crates/a/src/lib.rs", "//! # Place\n"),
        [1]
    );
    assert_eq!(
        lines_of(
            files::heads,
            "crates/a/src/lib.rs",
            "//! A thing.\n//!\n//! # Place       a shard\n//! # History\n"
        ),
        [4]
    );
}

#[test]
fn files_stay_small() {
    let long = "//! A thing.\n".repeat(801);
    assert_eq!(lines_of(files::sizes, "crates/a/src/lib.rs", &long), [0]);
    let listed = tree(&[("a.rs", long.as_str())]);
    assert_eq!(files::sizes_with(&listed, &[("a.rs", 801)]), []);
    assert_eq!(
        files::sizes_with(&listed, &[("a.rs", 900)]).len(),
        1,
        "an entry follows its file down"
    );
    assert_eq!(
        files::sizes_with(&tree(&[("a.rs", "//! A thing.\n")]), &[("a.rs", 801)]).len(),
        1,
        "an entry that is not needed goes"
    );
    let huge = tree(&[("a.rs", "//! A thing.\n".repeat(1501).as_str())]);
    assert_eq!(
        files::sizes_with(&huge, &[("a.rs", 2000)]).len(),
        2,
        "nothing excuses more than the hard limit"
    );
    let generated = format!("//! A thing. @generated\n{long}");
    assert_eq!(
        lines_of(files::sizes, "crates/a/src/lib.rs", &generated),
        [0; 0]
    );
}

#[test]
fn dead_files_are_found() {
    let manifest = "[package]\nname = \"base\"\n";
    let found = files::dead(&tree(&[
        ("crates/a/Cargo.toml", manifest),
        (
            "crates/a/src/lib.rs",
            "//! A.\nmod b;\n#[cfg(test)]\nmod tests;\n// mod lost;\n#[path = \"else/where.rs\"]\nmod w;\n",
        ),
        ("crates/a/src/b.rs", "//! B.\nmod c;\n"),
        ("crates/a/src/b/c.rs", "//! C.\n"),
        ("crates/a/src/tests.rs", "//! T.\n"),
        ("crates/a/src/else/where.rs", "//! W.\n"),
        ("crates/a/src/lost.rs", "//! L.\n"),
        ("crates/a/tests/it/main.rs", "//! I.\nmod deep;\n"),
        ("crates/a/tests/it/deep.rs", "//! D.\n"),
    ]));
    assert_eq!(
        found
            .iter()
            .map(|finding| finding.path.as_str())
            .collect::<Vec<_>>(),
        ["crates/a/src/lost.rs"]
    );
}

#[test]
fn banned_names_are_found() {
    assert_eq!(
        lines_of(
            words::names,
            "crates/a/src/lib.rs",
            "//! A.\nstruct TopicManager;\nstruct Metadata;\nenum FetchInfo {}\n// struct BufferUtil\n"
        ),
        [2, 4]
    );
    assert_eq!(
        lines_of(words::names, "crates/a/src/b/mod.rs", "//! A.\n"),
        [0]
    );
    assert_eq!(
        lines_of(
            words::names,
            "crates/a/src/b.rs",
            "//! A.\ntrait ForebayThing {}\n"
        ),
        [2]
    );
    assert_eq!(
        lines_of(
            words::abbreviations,
            "crates/a/src/b.rs",
            "//! The LSO.\nlet new_lso = 1;\nlet also = 2;\nstruct HwTable;\n"
        ),
        [2, 4]
    );
}

#[test]
fn unfinished_work_is_found() {
    let source = format!(
        "//! A.\nfn a() {{ {}!() }}\n// {}: later\nlet todo = \"{}!\";\n",
        "todo",
        ["FIX", "ME"].concat(),
        "dbg"
    );
    assert_eq!(
        lines_of(words::forbidden, "crates/a/src/lib.rs", &source),
        [2, 3]
    );
}

#[test]
fn the_seam_is_kept() {
    let source = "//! A.\nuse std::time::Duration;\nuse std::time::{Duration, Instant};\nuse std::{fs, io};\nuse std::net::SocketAddr;\nlet map = std::collections::HashMap::new();\nuse std::collections::{BTreeMap, HashSet};\n";
    assert_eq!(
        lines_of(words::outside_the_seam, "crates/storage/src/lib.rs", source),
        [3, 4, 6, 7]
    );
    assert_eq!(
        lines_of(words::outside_the_seam, "crates/runtime/src/lib.rs", source),
        [0; 0]
    );
}

#[test]
fn unsafe_stays_where_it_is_listed() {
    let source = "//! A.\n// unsafe in a comment\nunsafe { x() }\n";
    let files = tree(&[
        ("crates/a/src/lib.rs", source),
        ("crates/b/src/lib.rs", "//! B.\n"),
    ]);
    assert_eq!(words::unsafe_files_with(&files, &[]).len(), 1);
    assert_eq!(
        words::unsafe_files_with(&files, &["crates/a/src/lib.rs"]),
        []
    );
    assert_eq!(
        words::unsafe_files_with(&files, &["crates/a/src/lib.rs", "crates/b/src/lib.rs"]).len(),
        1
    );
}

#[test]
fn hidden_lints_and_globs_are_found() {
    assert_eq!(
        lines_of(
            words::hidden_lints,
            "a.rs",
            "#![allow(dead_code, clippy::too_many_arguments)]\n#[allow(clippy::large_enum_variant)]\nfn allow(all: u8) {}\n"
        ),
        [1]
    );
    assert_eq!(
        lines_of(
            words::glob_exports,
            "a.rs",
            "pub use a::*;\nuse b::*;\npub(crate) use c::*;\npub use d::e;\n"
        ),
        [1, 3]
    );
}

#[test]
fn edges_point_one_way() {
    let upward = tree(&[(
        "crates/kafka/Cargo.toml",
        "[package]\nname = \"kafka\"\n[dependencies]\nbase.workspace = true\nstorage.workspace = true\n[dev-dependencies]\nbroker.workspace = true\n",
    )]);
    assert_eq!(
        crates::edges(&upward)
            .iter()
            .map(|finding| finding.line)
            .collect::<Vec<_>>(),
        [5]
    );
    let vendor = tree(&[(
        "crates/kafka/Cargo.toml",
        "[package]\nname = \"kafka\"\n[dependencies]\ntokio = \"1\"\n",
    )]);
    assert_eq!(crates::edges(&vendor).len(), 1);
    let unknown = tree(&[("crates/zoo/Cargo.toml", "[package]\nname = \"zoo\"\n")]);
    assert_eq!(crates::edges(&unknown).len(), 1);
}

#[test]
fn dependencies_have_reasons() {
    let manifest = "[workspace.dependencies]\nbase = { path = \"crates/base\" }\nlibc = \"0.2\"\nzstd = \"0.14\"\n";
    let record = "| crate | why |\n| --- | --- |\n| libc, other | system calls |\n";
    let found = crates::reasons(&tree(&[
        ("Cargo.toml", manifest),
        ("docs/decisions/2026-11-21-dependencies.md", record),
    ]));
    assert_eq!(
        found.iter().map(|finding| finding.line).collect::<Vec<_>>(),
        [4]
    );
}

#[test]
fn links_lead_somewhere() {
    let page = "# A page\n[ok](b.md) [ok](b.md#two-words) [ok](https://example.org/x) [bad](c.md)\n`[code](d.md)`\n[bad](b.md#three)\n```\n[code](e.md)\n```\n[dir](docs/)\n";
    let found = docs::links(&tree(&[
        ("README.md", page),
        ("b.md", "# Two words\n"),
        ("docs/x.md", "# X\n"),
    ]));
    assert_eq!(
        found.iter().map(|finding| finding.line).collect::<Vec<_>>(),
        [2, 4]
    );
}

#[test]
fn machine_paths_are_found() {
    let page = format!(
        "see {}someone/x\nhttps://example.org{}x\n",
        ["/ho", "me/"].concat(),
        ["/ho", "me/"].concat()
    );
    assert_eq!(lines_of(docs::machine_paths, "README.md", &page), [1]);
}

#[test]
fn literals_and_comments_are_blank() {
    let cases = [
        ("a \"b // c\" d", "a          d"),
        ("a // b\nc", "a     \nc"),
        ("a /* b /* c */ d */ e", "a                   e"),
        ("r#\"x\"y\"# z", "         z"),
        ("for r in r\"\\\" {}", "for r in      {}"),
        ("'a' 'b: '\\n' '\\u{41}' c", "     b:               c"),
    ];
    for (source, code) in cases {
        assert_eq!(code_of(source).trim_end(), code.trim_end(), "{source}");
    }
    assert_eq!(parts("FetchSessionTable"), ["Fetch", "Session", "Table"]);
    assert_eq!(parts("log_end_offset"), ["log", "end", "offset"]);
}

#[test]
fn raft_stays_pure() {
    let page = format!("# Architecture\n\n## `raft`\n\n{}\n", absences::RAFT_LINE);
    let found = |source: &str, page: &str| {
        let files = [
            ("crates/raft/src/lib.rs", source),
            ("ARCHITECTURE.md", page),
        ];
        absences::raft(&tree(&files)).len()
    };
    assert_eq!(found("//! A core.\nfn f() {}\n", &page), 0);
    assert_eq!(found("//! A core.\nuse std::time::Instant;\n", &page), 2);
    assert_eq!(found("//! A core.\nasync fn f() {}\n", &page), 1);
    assert_eq!(
        found(
            "//! A core.\n",
            "# Architecture\n\n## `raft`\n\nIt is pure.\n"
        ),
        1
    );
    assert_eq!(absences::raft(&tree(&[])).len(), 0);
}
