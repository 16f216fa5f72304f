//! PostgreSQL's drivers and psql against the binary: each goes through the same cases in its own words.
//!
//! The programs are in `e2e/clients/sql`; each is started with the port and a prefix for its tables, and says `ok CASE` or
//! `failed CASE: why` for every one of [`CASES`].

mod changes;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::Stage;
use crate::report::Suite;
use crate::secured;
use crate::toolchain::{self, Program};

const CASES: [&str; 11] = [
    "connect",
    "statements",
    "parameters",
    "arrays",
    "transactions",
    "errors",
    "cancel",
    "copy",
    "cursors",
    "subscribe",
    "metadata",
];
const DONE_WITHIN: Duration = Duration::from_secs(120);

type Installer = fn(&Path, &Path) -> Result<Program>;

const CLIENTS: [(&str, Installer); 5] = [
    ("psycopg", |cache, sources| {
        python(cache, sources, "with_psycopg.py")
    }),
    ("asyncpg", |cache, sources| {
        python(cache, sources, "with_asyncpg.py")
    }),
    ("pgjdbc", jdbc),
    ("node-postgres", node_postgres),
    ("sqlx", sqlx),
];

/// Runs every driver that can be installed, and psql where it is.
pub fn run(stage: &Stage, suite: &mut Suite) -> Result<()> {
    if stage.is_peer() {
        suite.skipped("sql", "Apache Kafka has none");
        return Ok(());
    }
    let cache = toolchain::cache_dir().join("e2e");
    let sources = stage.options.root.join("e2e/clients/sql");
    std::fs::create_dir_all(&cache)?;
    let mut node = stage.node("node")?;
    for (name, install) in CLIENTS {
        let program = match install(&cache, &sources) {
            Ok(program) => program,
            Err(error) if stage.options.strict => {
                suite.failed(name, format!("{error:#}"));
                continue;
            }
            Err(error) => {
                suite.skipped(name, format!("{error:#}"));
                continue;
            }
        };
        let prefix = name.replace('-', "_");
        let log = stage.place.join(format!("{name}.log"));
        match cases_of(&program, node.pg_port(), &prefix, &log) {
            Ok(said) => judge(name, &CASES, &said, suite),
            Err(error) => suite.failed(name, format!("{error:#}")),
        }
    }
    // No client of the set-up: who has it sees what it shows.
    match toolchain::on_path("psql") {
        Ok(_) => suite.case("psql", psql(node.pg_port())),
        Err(error) => suite.skipped("psql", format!("{error:#}")),
    }
    changes::run(&mut node, suite);
    suite.case("the node's log has no warning", node.is_quiet());
    // It says in the log why it stopped.
    let stopped = changes::stopped(node.pg_port());
    suite.case("a stopped view keeps nobody else", stopped);
    drop(node);
    with_tls(stage, &cache, &sources, suite)?;
    secured::psql(stage, suite)
}

/// Drivers whose listener has users and TLS.
fn with_tls(stage: &Stage, cache: &Path, sources: &Path, suite: &mut Suite) -> Result<()> {
    let name = "TLS";
    let program = match python(cache, sources, "with_tls.py") {
        Ok(program) => program,
        Err(error) if stage.options.strict => {
            suite.failed(name, format!("{error:#}"));
            return Ok(());
        }
        Err(error) => {
            suite.skipped(name, format!("{error:#}"));
            return Ok(());
        }
    };
    let (node, root) = secured::node(stage, "secured", &[])?;
    let program = secured::trusting(program, &root);
    let log = stage.place.join("tls.log");
    match cases_of(&program, node.pg_port(), "tls", &log) {
        Ok(said) => judge(name, &secured::CASES, &said, suite),
        Err(error) => suite.failed(name, format!("{error:#}")),
    }
    suite.case("the log of the node with users", node.is_quiet());
    Ok(())
}

/// What a program says, line by line.
fn cases_of(program: &Program, port: u16, prefix: &str, log: &Path) -> Result<String> {
    let out = log.with_extension("out");
    let mut child = program
        .command(&[&port.to_string(), prefix])
        .stdin(Stdio::null())
        .stdout(std::fs::File::create(&out)?)
        .stderr(std::fs::File::create(log)?)
        .spawn()
        .with_context(|| format!("cannot start {}", program.path.display()))?;
    let begun = Instant::now();
    let ended = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if begun.elapsed() > DONE_WITHIN {
            child.kill()?;
            child.wait()?;
            break None;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let mut said = std::fs::read_to_string(&out)?;
    match ended {
        Some(status) if status.success() => {}
        Some(status) => said.push_str(&format!("failed end: {status}, see {}\n", log.display())),
        None => said.push_str("failed end: it did not come to an end\n"),
    }
    Ok(said)
}

/// Every case has its line.
fn judge(client: &str, cases: &[&str], said: &str, suite: &mut Suite) {
    for case in cases {
        let name = format!("{client}: {case}");
        let failed = format!("failed {case}: ");
        match said.lines().find_map(|line| line.strip_prefix(&failed)) {
            Some(why) => suite.failed(name, why),
            None if said.lines().any(|line| line == format!("ok {case}")) => suite.passed(name),
            None => suite.failed(name, "it says nothing"),
        }
    }
    if let Some(why) = said
        .lines()
        .find_map(|line| line.strip_prefix("failed end: "))
    {
        suite.failed(format!("{client}: end"), why);
    }
}

fn python(cache: &Path, sources: &Path, script: &str) -> Result<Program> {
    toolchain::on_path("python3")?;
    let home = cache.join("sql-python");
    toolchain::virtual_environment(&home, &sources.join("requirements.txt"))?;
    Ok(Program {
        path: home.join("bin/python"),
        args: vec![sources.join(script).display().to_string()],
        env: Vec::new(),
    })
}

fn node_postgres(cache: &Path, sources: &Path) -> Result<Program> {
    let home = cache.join("sql-node");
    let modules = toolchain::node_modules(&home, &sources.join("package.json"))?;
    Ok(Program {
        path: "node".into(),
        args: vec![sources.join("with_pg.js").display().to_string()],
        env: vec![("NODE_PATH".to_owned(), modules)],
    })
}

fn jdbc(cache: &Path, sources: &Path) -> Result<Program> {
    let jars = toolchain::maven_jars(&cache.join("sql-java"), &sources.join("pom.xml"))?;
    let classes = cache.join("sql-java-client");
    let source = sources.join("Jdbc.java");
    toolchain::java_classes(&classes, &source, &jars)?;
    let args = [
        "-Xmx256m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-Duser.timezone=UTC",
        "-cp",
        &format!("{}:{jars}/*", classes.display()),
        "Jdbc",
    ];
    Ok(Program {
        path: "java".into(),
        args: args.map(str::to_owned).to_vec(),
        env: Vec::new(),
    })
}

fn sqlx(cache: &Path, sources: &Path) -> Result<Program> {
    let target = cache.join("sql-sqlx");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // Cargo's own cache knows whether there is anything to build.
    toolchain::run(
        Command::new(cargo)
            .args(["build", "--quiet", "--locked", "--manifest-path"])
            .arg(sources.join("sqlx/Cargo.toml"))
            .env("CARGO_TARGET_DIR", &target),
    )?;
    Ok(Program {
        path: target.join("debug/with-sqlx"),
        args: Vec::new(),
        env: Vec::new(),
    })
}

/// What README shows of it.
fn psql(port: u16) -> Result<()> {
    let ask = |commands: &[&str]| -> Result<String> {
        let mut command = Command::new("psql");
        command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1"]);
        command.arg(format!(
            "host=127.0.0.1 port={port} user=forebay dbname=forebay"
        ));
        for one in commands {
            command.args(["-c", one]);
        }
        let output = command.stdin(Stdio::null()).output()?;
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            bail!(
                "{commands:?}: {out} {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(out)
    };
    ask(&[
        "CREATE TABLE psql_t (id INT PRIMARY KEY, name VARCHAR(10))",
        "CREATE MATERIALIZED VIEW psql_v AS SELECT name, count(*) AS n FROM psql_t GROUP BY name",
        "INSERT INTO psql_t VALUES (1, 'a'), (2, 'a')",
    ])?;
    for (commands, wanted) in [
        (&["\\d"][..], "psql_v"),
        (&["\\d psql_t"], "psql_t_pkey"),
        (&["\\d+ psql_v"], "SELECT name"),
        (&["\\dt"], "psql_t"),
        (&["\\l"], "forebay"),
        (&["\\dn"], "public"),
        (&["\\du"], "forebay"),
        (
            &["SELECT * FROM psql_v JOIN psql_t USING (name) ORDER BY id"],
            "(2 rows)",
        ),
        (
            &["\\copy (SELECT id, name FROM psql_t ORDER BY id) TO STDOUT CSV"],
            "2,a",
        ),
        (
            &[
                "\\copy psql_t FROM PROGRAM 'echo 3,copied' CSV",
                "SELECT name FROM psql_t WHERE id = 3",
            ],
            "copied",
        ),
    ] {
        let out = ask(commands)?;
        ensure!(out.contains(wanted), "{commands:?}: no {wanted:?} in {out}");
    }
    let error = ask(&["SELECT nam FROM psql_t"]).err().context("no error")?;
    let error = error.to_string();
    for wanted in [
        "column \"nam\" does not exist",
        "LINE 1: SELECT nam FROM",
        "Perhaps you meant to reference the column \"psql_t.name\".",
    ] {
        ensure!(error.contains(wanted), "no {wanted:?} in {error}");
    }
    Ok(())
}
