//! Rules about manifests: which crate may use which, and that each external crate has its reason written down.

use super::{Finding, Tree};

/// Each crate with the workspace crates it may use. The order is the direction: a crate uses only those above it.
const EDGES: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("iobuf", &["base"]),
    ("runtime", &["base", "iobuf"]),
    ("kafka", &["base", "iobuf"]),
    ("kafka-oracle", &["kafka", "fuzz"]),
    ("with-sqlx", &[]),
    ("client", &["base", "iobuf", "kafka", "runtime"]),
    ("raft", &["base"]),
    ("raft_sim", &["base", "raft"]),
    ("cluster", &["base"]),
    ("storage", &["base", "iobuf", "kafka", "runtime"]),
    (
        "broker",
        &[
            "base", "iobuf", "kafka", "runtime", "storage", "raft", "cluster",
        ],
    ),
    ("avro_schema", &[]),
    ("proto_schema", &[]),
    ("registry", &["avro_schema", "proto_schema"]),
    (
        "streams",
        &[
            "base",
            "iobuf",
            "kafka",
            "runtime",
            "client",
            "avro_schema",
            "proto_schema",
        ],
    ),
    ("event_derive", &["proto_schema"]),
    (
        "flow",
        &[
            "base",
            "iobuf",
            "kafka",
            "runtime",
            "client",
            "proto_schema",
            "streams",
            "event_derive",
        ],
    ),
    ("sql", &["base", "iobuf", "streams"]),
    (
        "server",
        &[
            "base", "iobuf", "kafka", "runtime", "client", "raft", "cluster", "storage", "broker",
            "registry", "streams", "flow", "sql",
        ],
    ),
    (
        "sim",
        &[
            "base", "iobuf", "kafka", "runtime", "client", "raft", "raft_sim", "cluster",
            "storage", "broker", "streams", "flow", "sql", "server",
        ],
    ),
    (
        "fuzz",
        &[
            "base", "iobuf", "kafka", "storage", "runtime", "raft", "cluster", "broker",
            "registry", "streams", "flow", "sql",
        ],
    ),
    ("e2e", &[]),
    ("nexmark", &["base", "client", "runtime"]),
    ("xtask", &["e2e"]),
];

/// External crates that only the crates beside them may name.
const QUARANTINE: &[(&str, &[&str])] = &[
    ("io-uring", &["runtime"]),
    ("libc", &["runtime", "iobuf", "server"]),
    ("redb", &["flow"]),
    ("fjall", &["flow"]),
    ("tokio", &["server", "with-sqlx"]),
    ("hyper", &["server"]),
    ("hyper-util", &["server"]),
    ("datafusion-common", &["sql"]),
    ("datafusion-expr", &["sql"]),
    ("datafusion-optimizer", &["sql"]),
    ("datafusion-physical-expr", &["sql"]),
    ("datafusion-sql", &["sql"]),
    (
        "anyhow",
        &["server", "sim", "e2e", "xtask", "fuzz", "nexmark"],
    ),
];

/// Dependencies point one way only.
pub fn edges(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree
        .texts()
        .filter(|(path, _)| path.ends_with("/Cargo.toml"))
    {
        let Some(name) = package_name(text) else {
            continue;
        };
        let Some((_, allowed)) = EDGES.iter().find(|(known, _)| *known == name) else {
            findings.push(Finding::new(
                path,
                0,
                format!("crate {name} is missing in tidy's table of edges"),
            ));
            continue;
        };
        for (line, dependency) in dependencies(text) {
            if EDGES.iter().any(|(known, _)| *known == dependency) && !allowed.contains(&dependency)
            {
                findings.push(Finding::new(
                    path,
                    line,
                    format!("{name} may not use {dependency}"),
                ));
            }
            if let Some((_, homes)) = QUARANTINE.iter().find(|(known, _)| *known == dependency)
                && !homes.contains(&name)
            {
                findings.push(Finding::new(
                    path,
                    line,
                    format!("{dependency} is only for {homes:?}"),
                ));
            }
        }
    }
    findings
}

/// Every external crate has a row in the record of dependencies.
pub fn reasons(tree: &Tree) -> Vec<Finding> {
    let rows: Vec<&str> = tree
        .texts()
        .filter(|(path, _)| {
            path.starts_with("docs/decisions/") && path.ends_with("dependencies.md")
        })
        .flat_map(|(_, text)| text.lines())
        .filter(|line| line.starts_with('|'))
        .collect();
    let mut findings = Vec::new();
    for (path, text) in tree
        .texts()
        .filter(|(path, _)| *path == "Cargo.toml" || path.ends_with("/Cargo.toml"))
    {
        for (line, dependency) in declared(text, path == "Cargo.toml") {
            let first_column = |row: &&str| {
                row.split('|').nth(1).is_some_and(|cell| {
                    cell.split([',', ' ', '('])
                        .any(|word| word.trim_matches('`') == dependency)
                })
            };
            if !EDGES.iter().any(|(known, _)| *known == dependency)
                && !rows.iter().any(first_column)
            {
                findings.push(Finding::new(
                    path,
                    line,
                    format!("{dependency} has no row in docs/decisions (dependencies)"),
                ));
            }
        }
    }
    findings
}

fn package_name(text: &str) -> Option<&str> {
    let rest = text.split_once("[package]")?.1;
    rest.lines()
        .find_map(|line| line.strip_prefix("name = "))
        .map(|name| name.trim().trim_matches('"'))
}

/// The ordinary and build dependencies with their lines. Tests may look at anything.
fn dependencies(text: &str) -> Vec<(usize, &str)> {
    section(text, |name| {
        name == "dependencies"
            || name == "build-dependencies"
            || (name.starts_with("target.") && name.ends_with(".dependencies"))
    })
}

fn declared(text: &str, workspace: bool) -> Vec<(usize, &str)> {
    section(text, |name| {
        if workspace {
            name == "workspace.dependencies"
        } else {
            name.ends_with("dependencies")
        }
    })
}

fn section(text: &str, wanted: impl Fn(&str) -> bool) -> Vec<(usize, &str)> {
    let mut inside = false;
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if let Some(name) = line
            .trim()
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            inside = wanted(name);
            // A dependency may have a table of its own: [dependencies.name].
            if let Some((table, dependency)) = name.rsplit_once('.')
                && wanted(table)
            {
                found.push((index + 1, dependency));
            }
        } else if inside && line.starts_with(|first: char| first.is_ascii_alphabetic()) {
            found.push((
                index + 1,
                line.split(['.', ' ', '=']).next().unwrap_or(line),
            ));
        }
    }
    found
}
