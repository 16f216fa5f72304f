//! Consumer groups of every family: three members, one killed, one added, restarts of the node, resumption.
//!
//! All families go through the scenario at the same time, because it consists of waiting for session timeouts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::Stage;
use crate::client::{Reporter, Target, Worker};
use crate::record::{Record, base64};
use crate::report::Suite;
use crate::toolchain::{Family, Program};

const PARTITIONS: u32 = 6;
/// A dead member is noticed after its session timeout of 6 s, and slow machines take their time to start programs.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);

/// Runs the scenario for each family that is there.
pub fn run(stage: &Stage, suite: &mut Suite) -> Result<()> {
    let Some(program) = stage.toolchain.program(Family::FranzGo) else {
        suite.skipped(
            "groups",
            "the records come from franz-go, which is not there",
        );
        return Ok(());
    };
    let mut node = stage.node("node")?;
    let bootstrap = node.bootstrap();
    let mut feeder = Worker::spawn(program, &bootstrap)?;
    let mut groups = Vec::new();
    for (family, program) in stage
        .toolchain
        .families()
        .filter(|(family, _)| *family != Family::Kcat)
    {
        let group = Group::new(family, program, &bootstrap);
        feeder.create(&group.topic, PARTITIONS, &json!({}))?;
        groups.push(group);
    }
    // Each step is for all groups, and a group that failed a step takes no further part.
    let mut step = |what: &str, act: &mut dyn FnMut(&mut Group, &mut Worker) -> Result<()>| {
        for group in groups.iter_mut().filter(|group| !group.failed) {
            let result = act(group, &mut feeder);
            group.failed = result.is_err();
            suite.case(format!("{}: {what}", group.family.name()), result);
        }
    };
    step("three members start", &mut |group, _| {
        for name in ["a", "b", "c"] {
            group.start(name)?;
        }
        Ok(())
    });
    step("records are written", &mut |group, feeder| {
        group.feed(feeder, 40)
    });
    step("three members share the partitions", &mut |group, _| {
        group.settle(3)
    });
    step("every record arrives", &mut |group, _| group.catch_up());
    step("one is killed, one is added", &mut |group, feeder| {
        group.kill("b")?;
        group.start("d")?;
        group.feed(feeder, 40)
    });
    step("the other three share the partitions", &mut |group, _| {
        group.settle(3)
    });
    step("every record arrives after the change", &mut |group, _| {
        group.catch_up()
    });
    node.crash()?;
    step("records are written after kill -9", &mut |group, feeder| {
        group.feed(feeder, 40)
    });
    step("every record arrives after kill -9", &mut |group, _| {
        group.catch_up()
    });
    step("the members leave", &mut |group, _| group.leave());
    node.restart()?;
    step(
        "commits are still there after SIGTERM",
        &mut |group, feeder| group.committed(feeder),
    );
    step(
        "a new member takes up where they left",
        &mut |group, feeder| {
            group.feed(feeder, 5)?;
            group.resume()
        },
    );
    let mut groups = Vec::new();
    for (family, program) in stage
        .toolchain
        .families()
        // kafkajs has no static members.
        .filter(|(family, _)| !matches!(family, Family::Kcat | Family::Kafkajs))
    {
        let group = Group::of_static_members(family, program, &bootstrap);
        feeder.create(&group.topic, PARTITIONS, &json!({}))?;
        groups.push(group);
    }
    // All at once: it is waiting for programs to start.
    let suite_of_all = Mutex::new(&mut *suite);
    let feeder = Mutex::new(feeder);
    std::thread::scope(|scope| {
        for mut group in groups {
            let (suite, feeder) = (&suite_of_all, &feeder);
            scope.spawn(move || {
                let result = group.replace_static(feeder);
                if let Ok(mut suite) = suite.lock() {
                    let name = group.family.name();
                    suite.case(
                        format!("{name}: a static member comes back to its share"),
                        result,
                    );
                }
            });
        }
    });
    suite.case("the node's log has no warning", node.is_quiet());
    Ok(())
}

/// One family's group, and what is known of it.
struct Group<'a> {
    family: Family,
    program: &'a Program,
    bootstrap: String,
    topic: String,
    id: String,
    members: BTreeMap<String, Reporter>,
    sender: Sender<(String, String)>,
    events: Receiver<(String, String)>,
    /// The partitions each living member last said it has.
    assigned: BTreeMap<String, BTreeSet<u32>>,
    /// How many records each partition has been fed, which is where its next offset is.
    fed: BTreeMap<u32, i64>,
    seen: BTreeSet<(u32, i64)>,
    /// The highest position whose commit a member said had been acknowledged.
    commits: BTreeMap<u32, i64>,
    /// How often each member was told of a change.
    told: BTreeMap<String, usize>,
    /// Members have an instance id, their name (KIP-345).
    is_static: bool,
    failed: bool,
}

impl<'a> Group<'a> {
    fn new(family: Family, program: &'a Program, bootstrap: &str) -> Group<'a> {
        let (sender, events) = channel();
        let name = family.name();
        Group {
            family,
            program,
            bootstrap: bootstrap.to_owned(),
            topic: format!("groups-{name}"),
            id: format!("group-{name}"),
            members: BTreeMap::new(),
            sender,
            events,
            assigned: BTreeMap::new(),
            fed: (0..PARTITIONS).map(|partition| (partition, 0)).collect(),
            seen: BTreeSet::new(),
            commits: BTreeMap::new(),
            told: BTreeMap::new(),
            is_static: false,
            failed: false,
        }
    }

    fn of_static_members(family: Family, program: &'a Program, bootstrap: &str) -> Group<'a> {
        let mut group = Group::new(family, program, bootstrap);
        group.topic.push_str("-static");
        group.id.push_str("-static");
        group.is_static = true;
        group
    }

    fn start(&mut self, name: &str) -> Result<()> {
        let mut args = vec!["member", self.bootstrap.as_str(), &self.topic, &self.id];
        if self.is_static {
            // What comes after a member that was killed has a name of its own and the same instance id.
            args.push(name.trim_end_matches('2'));
        }
        let member = Reporter::spawn(self.program, &args, name.to_owned(), self.sender.clone())?;
        self.members.insert(name.to_owned(), member);
        Ok(())
    }

    fn kill(&mut self, name: &str) -> Result<()> {
        self.members
            .remove(name)
            .context("no such member")?
            .kill()?;
        self.drain()?;
        self.assigned.remove(name);
        Ok(())
    }

    /// Writes `count` records to each partition; a value says where it must be found.
    fn feed(&mut self, feeder: &mut Worker, count: i64) -> Result<()> {
        for (partition, next) in &mut self.fed {
            let record = |offset: i64| Record {
                offset: -1,
                time_ms: 0,
                key: None,
                value: Some(base64(format!("{partition}/{offset}").as_bytes())),
                headers: Vec::new(),
            };
            let to = Target {
                topic: &self.topic,
                partition: *partition,
                compression: "none",
                idempotent: true,
            };
            let written = feeder.produce(&to, (*next..*next + count).map(record).collect())?;
            ensure!(
                written[0].offset == *next,
                "partition {partition}: offset {} instead of {next}",
                written[0].offset
            );
            *next += count;
        }
        Ok(())
    }

    /// Waits until `count` members have every partition once.
    fn settle(&mut self, count: usize) -> Result<()> {
        self.wait("the partitions to be shared", |group| {
            let shares: Vec<_> = group
                .assigned
                .values()
                .filter(|share| !share.is_empty())
                .collect();
            let all: BTreeSet<u32> = shares
                .iter()
                .flat_map(|share| share.iter().copied())
                .collect();
            shares.len() == count
                && all.len() == PARTITIONS as usize
                && shares.iter().map(|share| share.len()).sum::<usize>() == all.len()
        })
    }

    /// Waits until every record fed so far has been seen and committed.
    fn catch_up(&mut self) -> Result<()> {
        self.wait("every record and its commit", |group| {
            let total: i64 = group.fed.values().sum();
            group.seen.len() as i64 == total
                && group
                    .fed
                    .iter()
                    .all(|(partition, next)| group.commits.get(partition) == Some(next))
        })
    }

    fn leave(&mut self) -> Result<()> {
        for member in self.members.values_mut() {
            member.finish();
        }
        let deadline = Instant::now() + SETTLED_WITHIN;
        let mut left = BTreeSet::new();
        while left.len() < self.members.len() {
            let Ok((name, line)) = self
                .events
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            else {
                bail!("only {left:?} left");
            };
            match line.contains("\"left\"") {
                true => drop(left.insert(name)),
                false if !line.is_empty() => self.on_event(&name, &line)?,
                false => {}
            }
        }
        self.members.clear();
        self.assigned.clear();
        Ok(())
    }

    /// The broker's own idea of the commits is where the topic ends.
    fn committed(&mut self, feeder: &mut Worker) -> Result<()> {
        let answer =
            feeder.call(&json!({ "op": "committed", "topic": self.topic, "group": self.id }))?;
        for (partition, next) in &self.fed {
            let found = answer["offsets"][partition.to_string()].as_i64();
            ensure!(
                found == Some(*next),
                "partition {partition}: committed {found:?}, expected {next}"
            );
        }
        Ok(())
    }

    /// A new member sees what was written since the commits, and nothing that was committed.
    fn resume(&mut self) -> Result<()> {
        let before = self.seen.clone();
        self.start("e")?;
        self.catch_up()?;
        let first_new = self.seen.difference(&before).count();
        ensure!(
            first_new as u32 == PARTITIONS * 5,
            "{first_new} new records"
        );
        self.leave()
    }

    /// A static member that dies and is started again within its session gets its share back, and the other two hear
    /// nothing of it.
    fn replace_static(&mut self, feeder: &Mutex<Worker>) -> Result<()> {
        for name in ["a", "b", "c"] {
            self.start(name)?;
        }
        self.settle(3)?;
        let feed = |group: &mut Self| match feeder.lock() {
            Ok(mut feeder) => group.feed(&mut feeder, 10),
            Err(_) => bail!("the feeder has gone"),
        };
        feed(self)?;
        self.catch_up()?;
        let (shares, told) = (self.assigned.clone(), self.told.clone());
        self.kill("b")?;
        feed(self)?;
        self.start("b2")?;
        self.wait("the member's share", |group| {
            group.assigned.get("b2") == shares.get("b")
        })?;
        self.catch_up()?;
        for name in ["a", "c"] {
            ensure!(
                self.told.get(name) == told.get(name)
                    && self.assigned.get(name) == shares.get(name),
                "{name} had {:?}, was told something, and has {:?}",
                shares.get(name),
                self.assigned.get(name)
            );
        }
        self.leave()
    }

    fn wait(&mut self, what: &str, reached: impl Fn(&Group) -> bool) -> Result<()> {
        let deadline = Instant::now() + SETTLED_WITHIN;
        self.drain()?;
        while !reached(self) {
            let Ok((name, line)) = self
                .events
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            else {
                bail!(
                    "waited {SETTLED_WITHIN:?} for {what}: assigned {:?}, {} of {} records seen, commits {:?} of {:?}",
                    self.assigned,
                    self.seen.len(),
                    self.fed.values().sum::<i64>(),
                    self.commits,
                    self.fed,
                );
            };
            self.on_event(&name, &line)?;
        }
        Ok(())
    }

    fn drain(&mut self) -> Result<()> {
        while let Ok((name, line)) = self.events.try_recv() {
            self.on_event(&name, &line)?;
        }
        Ok(())
    }

    fn on_event(&mut self, name: &str, line: &str) -> Result<()> {
        if !self.members.contains_key(name) {
            // The last words of a member that was killed; its records still count.
            if !line.contains("\"rec\"") {
                return Ok(());
            }
        } else if line.is_empty() {
            bail!("member {name} ended by itself");
        }
        let Ok(event) = serde_json::from_str::<Value>(line) else {
            return Ok(());
        };
        let number = |key: &str| {
            event[key]
                .as_i64()
                .with_context(|| format!("{key} in {line}"))
        };
        match event["e"].as_str() {
            Some("assigned") => {
                let share = event["p"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_u64)
                    .map(|p| p as u32);
                self.assigned.insert(name.to_owned(), share.collect());
                *self.told.entry(name.to_owned()).or_default() += 1;
            }
            Some("rec") => {
                let (partition, offset) = (number("p")? as u32, number("o")?);
                let expected = format!("{partition}/{offset}");
                ensure!(
                    event["v"].as_str() == Some(&expected),
                    "{name} read {} at {expected}",
                    event["v"]
                );
                let commit = self.commits.get(&partition).copied().unwrap_or(0);
                ensure!(
                    offset >= commit,
                    "{name} read {expected} again, though {commit} had been committed"
                );
                self.seen.insert((partition, offset));
            }
            Some("committed") => {
                let (partition, next) = (number("p")? as u32, number("o")?);
                let commit = self.commits.entry(partition).or_default();
                *commit = next.max(*commit);
            }
            // A commit may fail while the group rebalances or the node is away; the records come again.
            _ => {}
        }
        Ok(())
    }
}
