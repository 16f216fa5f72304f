//! Views replaced, sources altered and tables changed by one session after the other, also through `kill -9`.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use postgres::{Client, NoTls, SimpleQueryMessage};

use crate::node::Node;
use crate::record::Seeded;
use crate::report::Suite;

const ROUNDS: u64 = 6;
const WRITERS: u64 = 4;
const UPSERTS: u64 = 40;

fn connect(port: u16) -> Result<Client> {
    let address = format!("host=127.0.0.1 port={port} user=forebay dbname=forebay");
    Client::connect(&address, NoTls).context("cannot connect")
}

/// The rows of a query, a line each.
fn ask(client: &mut Client, query: &str) -> Result<Vec<String>> {
    let answer = client
        .simple_query(query)
        .with_context(|| query.to_owned())?;
    let rows = answer.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => {
            let values = (0..row.len()).map(|at| row.get(at).unwrap_or("-"));
            Some(values.collect::<Vec<_>>().join("|"))
        }
        _ => None,
    });
    Ok(rows.collect())
}

/// The code that a statement is refused with.
fn refused(client: &mut Client, statement: &str) -> Result<String> {
    match client.batch_execute(statement) {
        Ok(()) => bail!("{statement}: it was done"),
        Err(error) => Ok(error
            .code()
            .map_or_else(|| error.to_string(), |code| code.code().to_owned())),
    }
}

pub fn run(node: &mut Node, suite: &mut Suite) {
    suite.case("views of every shape are read", shapes(node.pg_port()));
    suite.case("upserts of several sessions", upserts(node.pg_port()));
    suite.case("reads of a transaction", transactions(node.pg_port()));
    suite.case("EXPLAIN ANALYZE of a view", explained(node.pg_port()));
    suite.case("a source is altered", altered(node.pg_port()));
    suite.case("a view is replaced through kill -9", replaced(node));
}

/// Whatever its last operator is, a view has the names that its query says.
fn shapes(port: u16) -> Result<()> {
    let mut client = connect(port)?;
    client.batch_execute(
        "CREATE TABLE shaped (id INT PRIMARY KEY, g TEXT, v INT);
         INSERT INTO shaped VALUES (1, 'a', 5), (2, 'a', 7), (3, 'b', 1), (4, NULL, 9)",
    )?;
    let queries = [
        "SELECT v AS x FROM shaped WHERE v > 2",
        "SELECT g AS h, count(*) AS c FROM shaped GROUP BY g HAVING count(*) > 1",
        "SELECT max(v) AS s FROM shaped HAVING max(v) > 3",
        "SELECT g, count(*) FROM shaped GROUP BY g",
        "SELECT id, g, rn FROM (SELECT *, row_number() OVER (PARTITION BY g ORDER BY v, id) AS rn FROM shaped) AS q \
         WHERE rn < 2",
        "SELECT a.id AS i, b.id AS j FROM shaped AS a LEFT JOIN shaped AS b ON a.v = b.id WHERE b.id IS NULL OR a.v > 0",
        "SELECT DISTINCT g AS h FROM shaped WHERE g IS NOT NULL",
        "SELECT id AS i FROM shaped UNION ALL SELECT v FROM shaped",
        "SELECT v AS x, id FROM shaped ORDER BY v DESC LIMIT 2",
    ];
    for (at, query) in queries.iter().enumerate() {
        client.batch_execute(&format!("CREATE MATERIALIZED VIEW shape_{at} AS {query}"))?;
        let sorted = |mut rows: Vec<String>| {
            rows.sort();
            rows
        };
        let wanted = sorted(ask(&mut client, query)?);
        let found = sorted(ask(&mut client, &format!("SELECT * FROM shape_{at}"))?);
        ensure!(!found.is_empty() && found == wanted, "{query}: {found:?}");
    }
    let nulls =
        "SELECT attnotnull FROM pg_attribute WHERE attrelid = 'shape_3'::regclass AND attnum = 1";
    ensure!(ask(&mut client, nulls)? == ["f"], "a group may be null");
    Ok(())
}

/// Transactions take the rows of all views with their first read.
pub fn stopped(port: u16) -> Result<()> {
    let mut client = connect(port)?;
    client.batch_execute(
        "CREATE TABLE stopping_in (k INT PRIMARY KEY, t TEXT);
         CREATE SINK stopping_out INTO TOPIC stopping AS SELECT k, t FROM stopping_in FORMAT UPSERT KEY (k);
         CREATE SOURCE stopping FROM TOPIC stopping (t INT) FORMAT JSON WITH (on_malformed = 'stop');
         CREATE MATERIALIZED VIEW stops AS SELECT t FROM stopping;
         INSERT INTO stopping_in VALUES (1, 'no number')",
    )?;
    let mut tries = 0;
    while refused(&mut client, "SELECT * FROM stops").is_err() {
        tries += 1;
        ensure!(tries < 200, "it did not stop");
        thread::sleep(Duration::from_millis(50));
    }
    let counted = "BEGIN; SELECT count(*) FROM stopping_in";
    ensure!(ask(&mut client, counted)? == ["1"], "others go on");
    let code = refused(&mut client, "SELECT * FROM stops")?;
    ensure!(code == "58000", "{code}");
    client.batch_execute("ROLLBACK; DROP MATERIALIZED VIEW stops")?;
    Ok(())
}

/// What others commit meanwhile, and what of it a transaction is told.
fn transactions(port: u16) -> Result<()> {
    let mut client = connect(port)?;
    let mut other = connect(port)?;
    client.batch_execute("CREATE TABLE pinned (k INT PRIMARY KEY)")?;
    let count = "SELECT count(*) FROM pinned";
    for (read, wanted) in [("epoch", ["0", "0"]), ("live", ["1", "2"])] {
        client.batch_execute(&format!("SET forebay.read = {read}; BEGIN"))?;
        let before = ask(&mut client, count)?;
        let insert = format!("INSERT INTO pinned SELECT count(*) FROM pinned; {count}");
        other.batch_execute(&insert)?;
        let after = ask(&mut client, count)?;
        client.batch_execute("COMMIT")?;
        ensure!(
            [&before[0], &after[0]] == wanted,
            "{read}: {before:?}, {after:?}"
        );
    }
    client.batch_execute("BEGIN")?;
    let code = refused(&mut client, "INSERT INTO pinned VALUES (0)")?;
    ensure!(code == "23505", "of another transaction: {code}");
    client.batch_execute("ROLLBACK; BEGIN; INSERT INTO pinned VALUES (7)")?;
    let code = refused(&mut client, "INSERT INTO pinned VALUES (7)")?;
    ensure!(code == "23505", "of its own: {code}");
    client.batch_execute("ROLLBACK; BEGIN; DELETE FROM pinned WHERE k = 1")?;
    client.batch_execute("INSERT INTO pinned VALUES (1); COMMIT")?;
    Ok(())
}

fn upserts(port: u16) -> Result<()> {
    let mut client = connect(port)?;
    client.batch_execute("CREATE TABLE counted (k TEXT PRIMARY KEY, n BIGINT)")?;
    let writers = (0..WRITERS).map(|_| {
        thread::spawn(move || -> Result<()> {
            let mut client = connect(port)?;
            for at in 0..UPSERTS {
                let key = if at % 2 == 0 { "even" } else { "odd" };
                let upsert = "INSERT INTO counted VALUES ($1, 1) ON CONFLICT (k) DO UPDATE SET n = counted.n + excluded.n";
                client.execute(upsert, &[&key])?;
            }
            Ok(())
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        let done = writer.join();
        done.map_err(|_| anyhow::anyhow!("a writer panicked"))??;
    }
    let found = ask(&mut client, "SELECT k, n FROM counted ORDER BY k")?;
    let each = WRITERS * UPSERTS / 2;
    let wanted = vec![format!("even|{each}"), format!("odd|{each}")];
    ensure!(found == wanted, "{found:?} and not {wanted:?}");
    client.batch_execute(
        "BEGIN; INSERT INTO counted VALUES ('odd2', 1); UPDATE counted SET n = n + 4 WHERE k = 'odd2'; COMMIT;
         DELETE FROM counted WHERE k = 'odd2' AND n = 5",
    )?;
    client.batch_execute(
        "CREATE TABLE named (k TEXT, name TEXT); INSERT INTO named VALUES ('odd', 'o'), ('none', 'x');
         UPDATE counted SET n = 0 FROM named WHERE counted.k = named.k;
         DELETE FROM named USING counted WHERE counted.k = named.k",
    )?;
    let found = ask(
        &mut client,
        "SELECT n, (SELECT name FROM named) FROM counted ORDER BY k",
    )?;
    let wanted = vec![format!("{each}|x"), "0|x".to_owned()];
    ensure!(found == wanted, "{found:?} and not {wanted:?}");
    Ok(())
}

fn explained(port: u16) -> Result<()> {
    let mut client = connect(port)?;
    client.batch_execute(
        "CREATE MATERIALIZED VIEW of_counted AS SELECT count(*) AS n, sum(n) AS total FROM counted",
    )?;
    let lines = ask(&mut client, "EXPLAIN ANALYZE of_counted")?;
    let whole = lines.join("\n");
    ensure!(
        lines[0].contains("rows in ") && lines[0].contains("busy "),
        "{whole}"
    );
    ensure!(
        whole.contains("Busy: ") && whole.contains("State: "),
        "{whole}"
    );
    let busy = "SELECT sum(busy_ns) > 0, sum(rows_in) > 0 FROM forebay.operators WHERE pipeline = 'of_counted'";
    let found = ask(&mut client, busy)?;
    ensure!(found == ["t|t"], "{found:?}");
    Ok(())
}

fn altered(port: u16) -> Result<()> {
    let mut client = connect(port)?;
    for statement in [
        "CREATE TABLE altered_in (a BIGINT PRIMARY KEY, b TEXT)",
        "CREATE SINK altered_out INTO TOPIC altered AS SELECT a, b FROM altered_in FORMAT DEBEZIUM KEY (a)",
        "CREATE SOURCE altered FROM TOPIC altered (a BIGINT PATH 'after.a') FORMAT JSON",
        "CREATE MATERIALIZED VIEW altered_a AS SELECT a FROM altered",
        "ALTER SOURCE altered ADD COLUMN b TEXT PATH 'after.b'",
        "CREATE MATERIALIZED VIEW altered_b AS SELECT b, a FROM altered",
        "INSERT INTO altered_in VALUES (1, 'x'), (2, 'y')",
        "ALTER SOURCE altered SET (on_malformed = 'dead_letter')",
        "FLUSH",
    ] {
        client
            .batch_execute(statement)
            .with_context(|| statement.to_owned())?;
    }
    let found = wait_for(
        &mut client,
        "SELECT f.a, s.b FROM altered_a AS f JOIN altered_b AS s ON f.a = s.a ORDER BY 1",
        2,
    )?;
    ensure!(found == ["1|x", "2|y"], "{found:?}");
    let code = refused(&mut client, "ALTER SOURCE altered RENAME TO other")?;
    ensure!(code == "2BP01", "{code}");
    Ok(())
}

/// What a sink writes is read a moment later.
fn wait_for(client: &mut Client, query: &str, rows: usize) -> Result<Vec<String>> {
    for _ in 0..200 {
        let found = ask(client, query)?;
        if found.len() >= rows {
            return Ok(found);
        }
        thread::sleep(Duration::from_millis(50));
    }
    bail!("{query}: never as many as {rows} rows")
}

/// Whatever moment the node is killed at, the view is of one of the two queries, and what reads it is, too.
fn replaced(node: &mut Node) -> Result<()> {
    let mut client = connect(node.pg_port())?;
    client.batch_execute(
        "CREATE TABLE numbers (n BIGINT PRIMARY KEY);
         INSERT INTO numbers SELECT * FROM generate_series(1, 2000);
         CREATE MATERIALIZED VIEW replaced AS SELECT n * 0 AS version, n FROM numbers;
         CREATE MATERIALIZED VIEW over_replaced AS SELECT version, count(*) AS c, sum(n) AS total FROM replaced GROUP BY version",
    )?;
    let mut seeded = Seeded::new(17);
    let mut version = 0;
    for round in 1..=ROUNDS {
        let port = node.pg_port();
        let statement = format!(
            "CREATE OR REPLACE MATERIALIZED VIEW replaced AS SELECT n * 0 + {round} AS version, n FROM numbers"
        );
        let replacing = thread::spawn(move || -> Result<bool> {
            let mut client = connect(port)?;
            Ok(client.batch_execute(&statement).is_ok())
        });
        // The last one comes to its end.
        if round < ROUNDS {
            thread::sleep(Duration::from_millis(seeded.below(60)));
            node.crash()?;
        }
        let is_done = replacing.join();
        let is_done = is_done.map_err(|_| anyhow::anyhow!("the session panicked"))?;
        let mut client = connect(node.pg_port())?;
        let both = "SELECT r.version, r.c, v.c, v.total FROM (SELECT version, count(*) AS c FROM replaced GROUP BY version) AS r \
                    FULL JOIN over_replaced AS v ON r.version = v.version";
        let found = ask(&mut client, both)?;
        let row = |version: u64| vec![format!("{version}|2000|2000|2001000")];
        let is_new = found == row(round);
        ensure!(is_new || found == row(version), "round {round}: {found:?}");
        let is_done = is_done.unwrap_or(false);
        ensure!(
            is_new || !is_done,
            "round {round}: it was done, and is not there"
        );
        if is_new {
            version = round;
        }
    }
    ensure!(version == ROUNDS, "nobody stopped the last one");
    let mut client = connect(node.pg_port())?;
    let code = refused(
        &mut client,
        "CREATE OR REPLACE MATERIALIZED VIEW replaced AS SELECT n FROM numbers",
    )?;
    ensure!(code == "2BP01", "{code}");
    let code = refused(
        &mut client,
        "CREATE OR REPLACE MATERIALIZED VIEW replaced AS SELECT version, n FROM replaced",
    )?;
    ensure!(code == "42P17", "{code}");
    let said = ask(&mut client, "SHOW CREATE MATERIALIZED VIEW replaced")?.join("");
    ensure!(said.contains(&format!("+ {ROUNDS} AS version")), "{said}");
    Ok(())
}
