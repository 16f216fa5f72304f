//! Views, a table and sinks over transfers between accounts, through crashes: what they say must add up at every moment.
//!
//! # Invariants
//! 1. The balances of all accounts add up to 0 in every answer, and so does the view over the view.
//! 2. Views of one topic in one answer show the same prefix: the number of transfers that one counts is the number that the
//!    other's rows add up to.
//! 3. No answer shows less than one before it, also across crashes: no transfer, no version of a table's row, no closed
//!    window; and once all is quiet everything acknowledged is there.
//! 4. Whenever all is quiet, views and what sinks have written are what a model makes of the log (`streams_checker`).

use std::{
    rc::Rc,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use runtime::sim::{HostId, Rng, Sim, SimConfig};
use streams::engine::PlantedBugs;

use crate::{
    node_plan::{NodeBugs, NodePlan},
    seeds::{Ran, Seed},
    streams_node::{self, Phase, SINKS, Shared},
};

const START_LIMIT: Duration = Duration::from_secs(60);

/// What a crash is aimed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aim {
    Time,
    During(Phase),
    /// A file of a checkpoint has just appeared.
    Checkpoint,
    /// The metadata has a sink that the engine is about to make.
    Creation,
}

const AIMS: [Aim; 8] = [
    Aim::Time,
    Aim::During(Phase::Cut),
    Aim::During(Phase::Read),
    Aim::During(Phase::Record),
    Aim::During(Phase::Append),
    Aim::During(Phase::Trim),
    Aim::Checkpoint,
    Aim::Creation,
];

/// What the runs of a suite came upon.
#[derive(Debug, Default)]
pub struct Hits {
    /// How many crashes hit what they were aimed at, in the order of the aims.
    crashes: [AtomicU64; AIMS.len()],
    /// Rows that were written when their window had been seen closed.
    late_rows: AtomicU64,
}

impl Hits {
    /// Panics when there is an await that no crash has hit, or nothing was late.
    pub fn check(&self) {
        for (aim, hits) in AIMS.iter().zip(&self.crashes) {
            println!("crashes at {aim:?}: {}", hits.load(Ordering::Relaxed));
        }
        for (aim, hits) in AIMS.iter().zip(&self.crashes) {
            assert!(hits.load(Ordering::Relaxed) > 0, "no crash hit {aim:?}");
        }
        let late_rows = self.late_rows.load(Ordering::Relaxed);
        assert!(late_rows > 0, "no row was late");
    }
}

struct Run<'a> {
    sim: Sim,
    node: HostId,
    shared: Rc<Shared>,
    crashes: u64,
    hits: &'a Hits,
}

/// Tells the last events of a seed that is looked at.
impl Drop for Run<'_> {
    fn drop(&mut self) {
        for line in self.sim.trace_lines() {
            eprintln!("{line}");
        }
    }
}

/// Runs one seed. Panics when something promised was not kept.
pub fn run(seed: Seed, planted: PlantedBugs, hits: &Hits) -> Ran {
    let plan = NodePlan::draw(seed.seed, NodeBugs::default());
    let mut config = SimConfig::new(seed.seed);
    config.disk = plan.sound_disk();
    config.trace_lines = seed.trace_lines;
    let sim = Sim::new(config);
    let mut rng = Rng::new(seed.seed ^ 0x57e4_5eed);
    let mut shared = Shared::new(plan, planted);
    // Where few sinks write, epochs pass in which none has anything to say.
    let odds = 1 + rng.below(3);
    shared.sinks = SINKS.into_iter().filter(|_| rng.below(3) < odds).collect();
    shared.think_ms = 50 << rng.below(3);
    let shared = Rc::new(shared);
    let slot = shared.clone();
    let node = sim.host("node", shared.plan.shards, move || {
        streams_node::serve(slot.clone())
    });
    shared.ip.set(sim.ip(node));
    let mut run = Run {
        sim,
        node,
        shared,
        crashes: 0,
        hits,
    };
    for _ in 0..3 {
        run.round();
    }
    run.finish();
    Ran {
        simulated: run.sim.elapsed(),
        crashes: run.crashes,
        acknowledged: run.shared.acknowledged.get(),
        trace_hash: run.sim.trace_hash(),
    }
}

impl Run<'_> {
    /// Some work, perhaps a look at everything, and a crash.
    fn round(&mut self) {
        if self.sim.draw(2) == 0 {
            self.wait_serving();
            self.check_everything();
            self.shared.is_paused.set(false);
        }
        let at = self.sim.draw(AIMS.len() as u64) as usize;
        if self.run_to(AIMS[at]) {
            self.hits.crashes[at].fetch_add(1, Ordering::Relaxed);
            // Not always at the first moment of it.
            let more = self.sim.draw(2) * self.sim.draw(400);
            self.sim.run_for(Duration::from_micros(more));
        }
        self.check_up();
        match self.sim.draw(3) {
            0 => self.sim.kill(self.node),
            _ => self.sim.power_cut(self.node),
        }
        self.crashes += 1;
        self.shared.on_crash();
        self.sim.restart(self.node);
    }

    /// Whether it came to that.
    fn run_to(&self, aim: Aim) -> bool {
        let shared = self.shared.clone();
        // A checkpoint is taken every few seconds: rounds are longer and shorter than that.
        let first = match aim {
            Aim::Checkpoint | Aim::During(Phase::Trim) => 4500,
            _ => self.sim.draw(6500),
        };
        self.sim.run_for(Duration::from_millis(first));
        match aim {
            Aim::Time => true,
            Aim::During(phase) => {
                // The outbox is trimmed a moment after each checkpoint.
                let limit = Duration::from_millis(1500);
                self.sim.run_until(limit, || shared.is_in(phase))
            }
            Aim::Checkpoint => {
                let known = self.checkpoint_files();
                // A look costs more than what happens in a moment.
                (0..3000).any(|_| {
                    self.sim.run_for(Duration::from_micros(500));
                    self.checkpoint_files() != known
                })
            }
            Aim::Creation => {
                shared.wants_later.set(true);
                let limit = Duration::from_millis(1500);
                let is_new = !shared.has_later.get();
                is_new && self.sim.run_until(limit, || shared.has_later.get())
            }
        }
    }

    fn checkpoint_files(&self) -> Vec<(String, u64)> {
        let mut files = self.sim.files(self.node);
        files.retain(|(path, _)| path.contains("/streams/"));
        files
    }

    fn check_up(&self) {
        if let Some(reason) = self.sim.fatal_reason(self.node) {
            panic!("the node ended itself: {reason}");
        }
    }

    fn wait_serving(&self) {
        let shared = &self.shared;
        let is_serving = self.sim.run_until(START_LIMIT, || shared.is_serving.get());
        self.check_up();
        assert!(is_serving, "the node does not serve");
    }

    /// Lets nobody write and looks at everything.
    fn check_everything(&self) {
        let shared = &self.shared;
        shared.is_paused.set(true);
        let checks = shared.checks.get();
        shared.wants_check.set(true);
        let is_checked = self
            .sim
            .run_until(START_LIMIT, || shared.checks.get() > checks);
        self.check_up();
        assert!(is_checked, "looking at everything does not end");
    }

    /// Everything acknowledged is shown, all windows are closed, and it is what the log says.
    fn finish(&mut self) {
        let shared = self.shared.clone();
        shared.wants_later.set(true);
        self.wait_serving();
        self.sim.run_for(Duration::from_millis(500));
        shared.is_paused.set(true);
        let is_quiet = || shared.writing.get() == 0;
        assert!(
            self.sim.run_until(START_LIMIT, is_quiet),
            "writers do not end"
        );
        let last = shared.clone();
        let closed = self.sim.run_on(self.node, START_LIMIT, async move {
            streams_node::close_windows(&last).await;
        });
        self.check_up();
        closed.expect("appending ends");
        self.check_everything();
        let (acknowledged, shown) = (shared.acknowledged.get(), shared.shown.get());
        assert!(
            shown >= acknowledged,
            "{acknowledged} acknowledged, {shown} shown"
        );
        assert!(shared.answers.get() > 3, "hardly anything was asked");
        let late_rows = shared.late_rows.get();
        self.hits.late_rows.fetch_add(late_rows, Ordering::Relaxed);
    }
}
