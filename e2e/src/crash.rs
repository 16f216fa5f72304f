//! `kill -9` under load: no acknowledged record lost, none twice, order and offsets as they were.
//!
//! Four idempotent producers keep running while the node is killed and started again, so what they had in flight is
//! sent again to a node that has recovered its idea of them from disk.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use crate::Stage;
use crate::client::{Reporter, Worker};
use crate::record::Seeded;
use crate::report::Suite;
use crate::toolchain::Family;

const TOPIC: &str = "crash";
const PARTITIONS: u32 = 8;
const RATE: u32 = 1500;

/// Runs the rounds.
pub fn run(stage: &Stage, suite: &mut Suite) -> Result<()> {
    let Some(program) = stage.toolchain.program(Family::FranzGo) else {
        suite.skipped("crash", "the load comes from franz-go, which is not there");
        return Ok(());
    };
    let mut node = stage.node("node")?;
    let bootstrap = node.bootstrap();
    let mut reader = Worker::spawn(program, &bootstrap)?;
    reader.create(TOPIC, PARTITIONS, &json!({}))?;
    // Three of one family and, when it is there, one of another.
    let other = stage
        .toolchain
        .program(Family::Confluent)
        .unwrap_or(program);
    let (sender, events) = channel();
    let mut loaders = Vec::new();
    for (name, program) in [
        ("p0", program),
        ("p1", program),
        ("p2", program),
        ("p3", other),
    ] {
        let args = [
            "load",
            bootstrap.as_str(),
            TOPIC,
            &PARTITIONS.to_string(),
            name,
            &RATE.to_string(),
        ];
        loaders.push(Reporter::spawn(program, &args, name, sender.clone())?);
    }
    let mut truth = Truth {
        events,
        acked: BTreeMap::new(),
        values: BTreeSet::new(),
        last_read: Vec::new(),
        done: 0,
    };
    let mut seeded = Seeded::new(stage.options.crash_rounds.into());
    for round in 1..=stage.options.crash_rounds {
        let result = (|| {
            truth.listen(Duration::from_millis(700 + seeded.below(1300)))?;
            let before = truth.acked.len();
            node.crash()?;
            truth.wait_for_more_than(before)?;
            // Reading everything in each of many rounds would cost the square of their number; what a round loses is
            // missing in the next reading as well.
            if round % (stage.options.crash_rounds / 10 + 1) != 0 {
                return Ok(());
            }
            let read = stage.place.join("read");
            dump(&mut reader, &read)?;
            truth.drain()?;
            truth.compare(&read, false)
        })();
        let failed = result.is_err();
        suite.case(format!("round {round}"), result);
        if failed {
            return Ok(());
        }
    }
    suite.case("the producers finish", truth.finish(&mut loaders));
    let read = stage.place.join("read");
    suite.case(
        "everything acknowledged is there once",
        dump(&mut reader, &read).and_then(|()| truth.compare(&read, true)),
    );
    println!("crash: {} acknowledged records", truth.acked.len());
    let restarted = node
        .restart()
        .and_then(|()| dump(&mut reader, &read))
        .and_then(|()| truth.compare(&read, true));
    suite.case("and after SIGTERM", restarted);
    suite.case("the node's log has no warning", node.is_quiet());
    Ok(())
}

fn dump(reader: &mut Worker, file: &Path) -> Result<()> {
    reader
        .call(&json!({ "op": "dump", "topic": TOPIC, "file": file, "timeout_ms": 60_000 }))
        .map(drop)
}

/// What the producers were told.
struct Truth {
    events: Receiver<(&'static str, String)>,
    /// Value by (partition, offset), as acknowledged.
    acked: BTreeMap<(u32, i64), String>,
    values: BTreeSet<String>,
    /// What the last comparison read, which every later one must find again.
    last_read: Vec<((u32, i64), String)>,
    done: usize,
}

impl Truth {
    fn listen(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        while let Ok((name, line)) = self
            .events
            .recv_timeout(end.saturating_duration_since(Instant::now()))
        {
            self.on_line(name, &line)?;
        }
        Ok(())
    }

    fn drain(&mut self) -> Result<()> {
        while let Ok((name, line)) = self.events.try_recv() {
            self.on_line(name, &line)?;
        }
        Ok(())
    }

    /// Waits until the producers get on again.
    fn wait_for_more_than(&mut self, count: usize) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(60);
        while self.acked.len() <= count + 1000 {
            let Ok((name, line)) = self
                .events
                .recv_timeout(end.saturating_duration_since(Instant::now()))
            else {
                bail!(
                    "{} acknowledgements a minute after the start",
                    self.acked.len() - count
                );
            };
            self.on_line(name, &line)?;
        }
        Ok(())
    }

    fn finish(&mut self, loaders: &mut [Reporter]) -> Result<()> {
        for loader in loaders.iter_mut() {
            loader.finish();
        }
        let end = Instant::now() + Duration::from_secs(90);
        while self.done < loaders.len() {
            let Ok((name, line)) = self
                .events
                .recv_timeout(end.saturating_duration_since(Instant::now()))
            else {
                bail!("{} of {} producers finished", self.done, loaders.len());
            };
            self.on_line(name, &line)?;
        }
        Ok(())
    }

    fn on_line(&mut self, name: &str, line: &str) -> Result<()> {
        let mut words = line.split(' ');
        match words.next() {
            Some("ack") => {
                let mut word = || {
                    words
                        .next()
                        .with_context(|| format!("{name} said {line:?}"))
                };
                let place = (word()?.parse()?, word()?.parse()?);
                let value = word()?.to_owned();
                ensure!(
                    place.1 >= 0,
                    "{name}: acknowledged without an offset: {line}"
                );
                if let Some(other) = self.acked.insert(place, value.clone()) {
                    bail!(
                        "partition {} offset {} was given to {other} and to {value}",
                        place.0,
                        place.1
                    );
                }
                ensure!(
                    self.values.insert(value.clone()),
                    "{value} was acknowledged twice"
                );
            }
            Some("error") => bail!("{name}: {line}"),
            Some("done") => self.done += 1,
            _ => ensure!(self.done > 0, "{name} ended by itself"),
        }
        Ok(())
    }

    /// Compares what was read with what was acknowledged. When the producers have finished, what they know and what is
    /// there must be the same; before that, the log may hold records whose acknowledgement was lost on the way.
    fn compare(&mut self, file: &Path, finished: bool) -> Result<()> {
        let mut found = BTreeMap::new();
        let mut values = BTreeSet::new();
        let mut last: BTreeMap<(u32, String), u64> = BTreeMap::new();
        let mut next: BTreeMap<u32, i64> = BTreeMap::new();
        for line in BufReader::new(File::open(file)?).lines() {
            let line = line?;
            let mut words = line.split(' ');
            let mut word = || words.next().with_context(|| format!("line {line:?}"));
            let (partition, offset): (u32, i64) = (word()?.parse()?, word()?.parse()?);
            let value = word()?.to_owned();
            let expected = next.entry(partition).or_default();
            ensure!(
                offset == *expected,
                "partition {partition}: offset {offset} follows {expected}"
            );
            *expected += 1;
            let (producer, sequence) = value
                .split_once('-')
                .with_context(|| format!("value {value:?}"))?;
            let sequence: u64 = sequence.parse()?;
            let before = last.insert((partition, producer.to_owned()), sequence);
            ensure!(
                before.is_none_or(|before| before < sequence),
                "partition {partition}: {value} after {before:?}"
            );
            ensure!(values.insert(value.clone()), "{value} is there twice");
            found.insert((partition, offset), value);
        }
        for (place, value) in &self.acked {
            // What was acknowledged after the reader had looked for the end is not in its file.
            let read_to = next.get(&place.0).copied().unwrap_or(0);
            if !finished && place.1 >= read_to {
                continue;
            }
            ensure!(
                found.get(place) == Some(value),
                "{value} acknowledged at {place:?}, found {:?}",
                found.get(place)
            );
        }
        for (place, value) in &self.last_read {
            ensure!(
                found.get(place) == Some(value),
                "{value} was read at {place:?}, now {:?}",
                found.get(place)
            );
        }
        if finished {
            ensure!(
                found.len() == self.acked.len(),
                "{} acknowledged, {} there",
                self.acked.len(),
                found.len()
            );
        }
        self.last_read = found.into_iter().collect();
        Ok(())
    }
}
