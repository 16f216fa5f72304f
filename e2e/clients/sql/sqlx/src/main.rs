//! sqlx against a node: with-sqlx PORT PREFIX, one line for each case. Everything it sends and reads is binary.

use std::{fmt::Debug, time::Duration};

use futures_util::TryStreamExt;
use sqlx::{
    AssertSqlSafe, Column, Connection, Either, Executor, PgConnection, Row, Statement, TypeInfo,
    postgres::{PgConnectOptions, PgPoolCopyExt, PgPoolOptions},
    types::{
        Decimal, Json, Uuid,
        chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc},
    },
};

type Outcome = Result<(), Box<dyn std::error::Error>>;

struct Node {
    options: PgConnectOptions,
    table: String,
    view: String,
}

impl Node {
    async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        PgConnection::connect_with(&self.options).await
    }

    fn text(&self, text: &str) -> AssertSqlSafe<String> {
        AssertSqlSafe(text.replace("TABLE_", &self.table).replace("VIEW_", &self.view))
    }
}

fn equal<T: PartialEq + Debug>(got: T, wanted: T) -> Outcome {
    if got == wanted {
        return Ok(());
    }
    Err(format!("{got:?} instead of {wanted:?}").into())
}

fn decimal(text: &str) -> Result<Decimal, Box<dyn std::error::Error>> {
    Ok(text.parse()?)
}

async fn connects(node: &Node) -> Outcome {
    let mut c = node.connect().await?;
    c.ping().await?;
    equal(sqlx::query_scalar::<_, i32>("SELECT 1").fetch_one(&mut c).await?, 1)?;
    let pool = PgPoolOptions::new().max_connections(2).connect_with(node.options.clone()).await?;
    for _ in 0..3 {
        equal(sqlx::query_scalar::<_, i32>("SELECT 2").fetch_one(&pool).await?, 2)?;
    }
    pool.close().await;
    Ok(())
}

async fn statements(node: &Node) -> Outcome {
    let mut c = node.connect().await?;
    c.execute(node.text("CREATE TABLE TABLE_ (id INT PRIMARY KEY, owner TEXT, balance NUMERIC(12,2) NOT NULL)")).await?;
    c.execute(node.text(
        "CREATE MATERIALIZED VIEW VIEW_ AS SELECT owner, count(*) AS accounts, sum(balance) AS balance FROM TABLE_ GROUP BY owner",
    ))
    .await?;
    for at in 1..=5 {
        let insert = sqlx::query(node.text("INSERT INTO TABLE_ VALUES ($1, $2, $3)"));
        let owner = if at % 2 == 1 { "ann" } else { "bob" };
        let done = insert.bind(at).bind(owner).bind(Decimal::from(at)).execute(&mut c).await?;
        equal(done.rows_affected(), 1)?;
    }
    let update = sqlx::query(node.text("UPDATE TABLE_ SET balance = balance + $1 WHERE id = $2"));
    equal(update.bind(decimal("0.50")?).bind(1).execute(&mut c).await?.rows_affected(), 1)?;
    for _ in 0..2 {
        let sums = sqlx::query_as::<_, (String, i64, Decimal)>(
            node.text("SELECT owner, accounts, balance FROM VIEW_ WHERE accounts >= $1 ORDER BY owner"),
        );
        let wanted = vec![("ann".to_owned(), 3, decimal("9.50")?), ("bob".to_owned(), 2, decimal("6.00")?)];
        equal(sums.bind(0_i64).fetch_all(&mut c).await?, wanted)?;
    }
    let come = sqlx::query_scalar::<_, i32>(node.text("INSERT INTO TABLE_ VALUES (9, 'cid', 1) RETURNING id"));
    equal(come.fetch_one(&mut c).await?, 9)?;
    let gone = sqlx::query_scalar::<_, String>(node.text("DELETE FROM TABLE_ WHERE id = $1 RETURNING owner"));
    equal(gone.bind(9).fetch_all(&mut c).await?, vec!["cid".to_owned()])
}

async fn round<T>(c: &mut PgConnection, kind: &str, value: T) -> Outcome
where
    T: Clone + PartialEq + Debug + Send + Sync + Unpin,
    T: for<'a> sqlx::Encode<'a, sqlx::Postgres> + for<'a> sqlx::Decode<'a, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    let text = format!("SELECT $1::{kind}");
    let ask = || sqlx::query_scalar::<_, Option<T>>(AssertSqlSafe(text.clone()));
    equal(ask().bind(Some(value.clone())).fetch_one(&mut *c).await?, Some(value))?;
    equal(ask().bind(None::<T>).fetch_one(c).await?, None)
}

async fn parameters(node: &Node) -> Outcome {
    let c = &mut node.connect().await?;
    round(c, "smallint", 3_i16).await?;
    round(c, "integer", -5_i32).await?;
    round(c, "bigint", 1_i64 << 40).await?;
    round(c, "real", 1.5_f32).await?;
    round(c, "double precision", 2.25_f64).await?;
    round(c, "numeric", decimal("1234.5678")?).await?;
    round(c, "text", "ä 'quoted'".to_owned()).await?;
    round(c, "varchar", "v".to_owned()).await?;
    round(c, "boolean", true).await?;
    round(c, "date", "2020-02-29".parse::<NaiveDate>()?).await?;
    round(c, "time", "01:02:03.000456".parse::<NaiveTime>()?).await?;
    round(c, "timestamp", "2020-01-02T03:04:05.000678".parse::<NaiveDateTime>()?).await?;
    round(c, "timestamptz", "2020-01-02T03:04:05Z".parse::<DateTime<Utc>>()?).await?;
    round(c, "bytea", vec![0_u8, 255]).await?;
    round(c, "uuid", Uuid::from_u128(7)).await?;
    round(c, "jsonb", Json(vec![Some(1), None])).await?;
    let span = sqlx::query_scalar::<_, sqlx::postgres::types::PgInterval>("SELECT $1::interval");
    let wanted = sqlx::postgres::types::PgInterval { months: 0, days: 2, microseconds: 3_000_000 };
    equal(span.bind(wanted.clone()).fetch_one(c).await?, wanted)
}

async fn arrays(node: &Node) -> Outcome {
    let c = &mut node.connect().await?;
    round(c, "int[]", vec![Some(1), None, Some(3)]).await?;
    round(c, "text[]", vec![Some("a".to_owned()), Some("b\"c".to_owned()), None]).await?;
    round(c, "float8[]", vec![0.5]).await?;
    round(c, "bigint[]", Vec::<i64>::new()).await?;
    let any = sqlx::query_scalar::<_, Vec<i32>>(node.text("SELECT array_agg(id ORDER BY id) FROM TABLE_ WHERE id = ANY($1)"));
    equal(any.bind(vec![2, 3, 77]).fetch_one(c).await?, vec![2, 3])
}

async fn transactions(node: &Node) -> Outcome {
    let (mut reader, mut writer) = (node.connect().await?, node.connect().await?);
    let count = || sqlx::query_scalar::<_, i64>(node.text("SELECT count(*) FROM TABLE_"));
    let mut pinned = reader.begin().await?;
    let before = count().fetch_one(&mut *pinned).await?;
    writer.execute(node.text("INSERT INTO TABLE_ VALUES (100, 'dan', 1)")).await?;
    equal(count().fetch_one(&mut *pinned).await?, before)?;
    pinned.commit().await?;
    equal(count().fetch_one(&mut reader).await?, before + 1)?;
    let mut changes = reader.begin().await?;
    changes.execute(node.text("DELETE FROM TABLE_ WHERE id = 100")).await?;
    let mut inner = changes.begin().await?;
    inner.execute(node.text("DELETE FROM TABLE_")).await?;
    equal(count().fetch_one(&mut *inner).await?, 0)?;
    inner.rollback().await?;
    equal(count().fetch_one(&mut *changes).await?, before)?;
    equal(count().fetch_one(&mut writer).await?, before + 1)?;
    changes.commit().await?;
    equal(count().fetch_one(&mut writer).await?, before)
}

async fn refused(c: &mut PgConnection, text: AssertSqlSafe<String>, code: &str) -> Result<String, Box<dyn std::error::Error>> {
    let shown = text.0.clone();
    let Err(sqlx::Error::Database(error)) = sqlx::query(text).fetch_all(c).await else {
        return Err(format!("{shown} is no error of the server").into());
    };
    equal((shown.as_str(), error.code().as_deref()), (shown.as_str(), Some(code)))?;
    let error = error.downcast_ref::<sqlx::postgres::PgDatabaseError>();
    Ok(format!("{:?}", error.position()))
}

async fn errors(node: &Node) -> Outcome {
    let c = &mut node.connect().await?;
    for (text, code, position) in [
        ("SELECT nope FROM TABLE_", "42703", "Some(Original(8))"),
        ("SELECT * FROM nowhere", "42P01", "Some(Original(15))"),
        ("SELECT missing(1)", "42883", "Some(Original(8))"),
        ("SELEC 1", "42601", "Some(Original(1))"),
        ("SELECT 1 / 0", "22012", "None"),
        ("INSERT INTO TABLE_ VALUES (1, 'again', 1)", "23505", "None"),
        ("INSERT INTO TABLE_ (id) VALUES (55)", "23502", "None"),
    ] {
        equal((text, refused(c, node.text(text), code).await?.as_str()), (text, position))?;
    }
    equal(sqlx::query_scalar::<_, i32>("SELECT 1").fetch_one(c).await?, 1)
}

/// The driver itself has no cancellation; what a statement may take, the server can be told.
async fn cancel(node: &Node) -> Outcome {
    let c = &mut node.connect().await?;
    c.execute("SET statement_timeout = '200ms'").await?;
    refused(c, node.text("SUBSCRIBE VIEW_"), "57014").await?;
    equal(sqlx::query_scalar::<_, i32>("SELECT 1").fetch_one(c).await?, 1)
}

async fn copy(node: &Node) -> Outcome {
    let pool = PgPoolOptions::new().max_connections(1).connect_with(node.options.clone()).await?;
    let text = node.text("COPY (SELECT id, owner FROM TABLE_ WHERE id < 3 ORDER BY id) TO STDOUT").0;
    let parts = pool.copy_out_raw(&text).await?;
    let all: Vec<u8> = parts.try_fold(Vec::new(), |mut all, part| async move {
        all.extend_from_slice(&part);
        Ok(all)
    })
    .await?;
    equal(String::from_utf8_lossy(&all).as_ref(), "1\tann\n2\tbob\n")
}

async fn cursors(node: &Node) -> Outcome {
    let c = &mut node.connect().await?;
    let rows = sqlx::query_scalar::<_, i32>(node.text("SELECT id FROM TABLE_ WHERE id < $1 ORDER BY id"));
    let rows: Vec<i32> = rows.bind(6).fetch(&mut *c).try_collect().await?;
    equal(rows, vec![1, 2, 3, 4, 5])?;
    let mut transaction = c.begin().await?;
    transaction.execute("DECLARE some CURSOR FOR SELECT generate_series(1, 5)").await?;
    let two = sqlx::query("FETCH 2 FROM some").fetch_all(&mut *transaction).await?;
    equal(two.len(), 2)?;
    transaction.rollback().await?;
    Ok(())
}

async fn subscribe(node: &Node) -> Outcome {
    let (mut c, mut writer) = (node.connect().await?, node.connect().await?);
    let mut changes = sqlx::query_as::<_, (i64, i64, String, i64, Decimal)>(node.text("SUBSCRIBE VIEW_ WITH SNAPSHOT")).fetch(&mut c);
    let mut found = Vec::new();
    for at in 0..4 {
        if at == 2 {
            found.sort();
            writer.execute(node.text("INSERT INTO TABLE_ VALUES (50, 'bob', 4)")).await?;
        }
        let change = changes.try_next().await?.ok_or("SUBSCRIBE ended")?;
        found.push((change.1, change.2, change.3, change.4.to_string()));
    }
    found[2..].sort();
    let row = |weight: i64, owner: &str, accounts: i64, balance: &str| (weight, owner.to_owned(), accounts, balance.to_owned());
    let wanted = vec![
        row(1, "ann", 3, "9.50"),
        row(1, "bob", 2, "6.00"),
        row(-1, "bob", 2, "6.00"),
        row(1, "bob", 3, "10.00"),
    ];
    equal(found, wanted)
}

/// What is known of a statement before it runs.
async fn metadata(node: &Node) -> Outcome {
    let c = &mut node.connect().await?;
    let text = node.text("SELECT id, owner, balance FROM TABLE_ WHERE id > $1");
    let prepared = c.prepare(sqlx::SqlStr::from_static("SELECT $1::int4[]")).await?;
    equal(prepared.columns()[0].type_info().name().to_owned(), "INT4[]".to_owned())?;
    let described = c.prepare(sqlx::SqlSafeStr::into_sql_str(text)).await?;
    let names: Vec<String> = described.columns().iter().map(|column| format!("{} {}", column.name(), column.type_info().name())).collect();
    equal(names, ["id INT4", "owner TEXT", "balance NUMERIC"].map(str::to_owned).to_vec())?;
    let Some(Either::Left(parameters)) = described.parameters() else {
        return Err("no types of parameters".into());
    };
    equal(parameters[0].name(), "INT4")?;
    let row = sqlx::query("SELECT current_schema()").fetch_one(c).await?;
    equal(row.get::<String, _>(0), "public".to_owned())
}

macro_rules! check {
    ($name:literal, $case:ident, $node:expr) => {
        let outcome = tokio::time::timeout(Duration::from_secs(60), $case($node)).await;
        match outcome.unwrap_or_else(|_| Err("no answer".into())) {
            Ok(()) => println!("ok {}", $name),
            Err(error) => println!("failed {}: {}", $name, error.to_string().replace('\n', " ")),
        }
    };
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut args = std::env::args().skip(1);
    let port = args.next().and_then(|port| port.parse().ok()).expect("a port");
    let prefix = args.next().expect("a prefix");
    let options = PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(port).username("forebay").database("forebay");
    let node = Node { options, table: format!("{prefix}_accounts"), view: format!("{prefix}_sums") };
    let node = &node;
    check!("connect", connects, node);
    check!("statements", statements, node);
    check!("parameters", parameters, node);
    check!("arrays", arrays, node);
    check!("transactions", transactions, node);
    check!("errors", errors, node);
    check!("cancel", cancel, node);
    check!("copy", copy, node);
    check!("cursors", cursors, node);
    check!("subscribe", subscribe, node);
    check!("metadata", metadata, node);
}
