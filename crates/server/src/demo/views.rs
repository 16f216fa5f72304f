//! What the demo computes while the flights come in: a source, views and a sink, in the SQL that a user would type, through
//! the node's Postgres listener.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, bail, ensure};

use crate::demo::Style;

/// As they are shown.
pub const STATEMENTS: [&str; 4] = [
    "CREATE SOURCE flights FROM TOPIC flights (
    origin TEXT, destination TEXT, delay INT, distance INT, at TIMESTAMP,
    WATERMARK FOR at AS at - INTERVAL '5 minutes') FORMAT JSON",
    "CREATE MATERIALIZED VIEW delays AS
    SELECT window_start, origin, count(*) AS flights, avg(delay) AS delay
    FROM TUMBLE(flights, at, INTERVAL '1 hour') GROUP BY window_start, origin",
    "CREATE MATERIALIZED VIEW ranking AS
    SELECT origin, sum(flights) AS flights, round(max(delay)) AS worst_hour
    FROM delays WHERE flights >= 5 GROUP BY origin ORDER BY worst_hour DESC, origin LIMIT 10",
    "CREATE SINK worst INTO TOPIC worst AS
    SELECT window_start, origin, delay FROM delays WHERE delay > 120 AND flights >= 5
    FORMAT UPSERT KEY (window_start, origin)",
];

/// The table that is shown while it changes.
pub const RANKING: &str =
    "SELECT origin, flights, worst_hour FROM ranking ORDER BY worst_hour DESC, origin LIMIT 5";

/// Until the load has been seen by every view.
pub const FLUSH: &str = "FLUSH";

/// No answer of the demo's is larger.
const MESSAGE_BYTES_MAX: usize = 16 << 20;
const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);

/// A Postgres session of the simplest kind: one statement at a time, values as text.
pub struct SqlClient {
    stream: TcpStream,
}

/// Names of the columns, and the rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

impl SqlClient {
    pub fn connect(addr: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(addr).context("the Postgres listener does not answer")?;
        stream.set_read_timeout(Some(ANSWER_TIME_MAX))?;
        stream.set_nodelay(true)?;
        let mut client = Self { stream };
        let parameters = b"\0\x03\0\0user\0forebay\0database\0forebay\0application_name\0demo\0\0";
        let length = parameters.len() as u32 + 4;
        client.stream.write_all(&length.to_be_bytes())?;
        client.stream.write_all(parameters)?;
        client.answer()?;
        Ok(client)
    }

    /// The answer to one statement.
    pub fn run(&mut self, statement: &str) -> anyhow::Result<Table> {
        let mut message = vec![b'Q'];
        message.extend((statement.len() as u32 + 5).to_be_bytes());
        message.extend(statement.as_bytes());
        message.push(0);
        self.stream.write_all(&message)?;
        let answer = self.answer();
        answer.with_context(|| format!("in answer to {statement}"))
    }

    /// Everything up to the node being ready for the next statement.
    fn answer(&mut self) -> anyhow::Result<Table> {
        let mut table = Table::default();
        let mut failure = None;
        loop {
            let mut head = [0; 5];
            self.stream.read_exact(&mut head)?;
            let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
            ensure!(
                (4..MESSAGE_BYTES_MAX).contains(&length),
                "a message of {length} bytes"
            );
            let mut body = vec![0; length - 4];
            self.stream.read_exact(&mut body)?;
            match head[0] {
                b'T' => table.columns = columns(&body)?,
                b'D' => table.rows.push(values(&body)?),
                b'E' => failure = Some(error_text(&body)),
                b'Z' => break,
                _ => {}
            }
        }
        match failure {
            Some(text) => bail!("{text}"),
            None => Ok(table),
        }
    }
}

fn take<'a>(body: &mut &'a [u8], count: usize) -> anyhow::Result<&'a [u8]> {
    let (taken, left) = body
        .split_at_checked(count)
        .context("a message ends early")?;
    *body = left;
    Ok(taken)
}

fn count(body: &mut &[u8]) -> anyhow::Result<usize> {
    let bytes = take(body, 2)?;
    Ok(usize::from(u16::from_be_bytes([bytes[0], bytes[1]])))
}

/// Of a RowDescription.
fn columns(mut body: &[u8]) -> anyhow::Result<Vec<String>> {
    let body = &mut body;
    let mut names = Vec::new();
    for _ in 0..count(body)? {
        let end = body.iter().position(|byte| *byte == 0);
        let name = take(body, end.context("a name without its end")?)?;
        names.push(String::from_utf8_lossy(name).into_owned());
        // The zero behind the name, and what describes the type.
        take(body, 19)?;
    }
    Ok(names)
}

/// Of a DataRow; nulls as nothing.
fn values(mut body: &[u8]) -> anyhow::Result<Vec<String>> {
    let body = &mut body;
    let mut row = Vec::new();
    for _ in 0..count(body)? {
        let bytes = take(body, 4)?;
        let length = i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let value = take(body, usize::try_from(length).unwrap_or(0))?;
        row.push(String::from_utf8_lossy(value).into_owned());
    }
    Ok(row)
}

/// The message of an ErrorResponse.
fn error_text(body: &[u8]) -> String {
    let fields = body.split(|byte| *byte == 0);
    let mut message = fields.filter(|field| field.first() == Some(&b'M'));
    let message = message.next().map_or(&b""[..], |field| &field[1..]);
    String::from_utf8_lossy(message).into_owned()
}

impl Table {
    /// In columns, as psql shows it, a few spaces in.
    pub fn text(&self, style: &Style) -> String {
        let mut widths: Vec<usize> = self
            .columns
            .iter()
            .map(|name| name.chars().count())
            .collect();
        for row in &self.rows {
            for (width, value) in widths.iter_mut().zip(row) {
                *width = value.chars().count().max(*width);
            }
        }
        let line = |values: &[String]| {
            let cells =
                values
                    .iter()
                    .zip(&widths)
                    .enumerate()
                    .map(|(at, (value, width))| match at {
                        0 => format!("{value:<width$}"),
                        _ => format!("{value:>width$}"),
                    });
            cells.collect::<Vec<_>>().join("   ")
        };
        let mut text = format!("    {}\n", style.dim(&line(&self.columns)));
        for row in &self.rows {
            text.push_str(&format!("    {}\n", line(row)));
        }
        text
    }
}
