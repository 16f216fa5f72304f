//! A storage run: one store on one simulated host, through crashes, errors and full disks, checked against its model.

use crate::{
    log_checker::{self, Recovered},
    log_model::LogModel,
    seeds::{Ran, Seed},
    storage_plan::StoragePlan,
    storage_work, trace_checker,
};
use base::{PartitionIndex, PartitionKey, TopicId};
use runtime::sim::{HostId, Sim, SimConfig};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    time::Duration,
};
use storage::{Log, OpenError, PlantedBugs, RecoveryReport, Store};

/// No recovery of stores this small takes longer, even on the slowest disk that plans draw.
const RECOVERY_LIMIT: Duration = Duration::from_secs(30);

/// Whether a partition has to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Existence {
    /// Its creation, or its deletion, began and was not confirmed.
    Creating,
    Exists,
    Deleting,
}

pub(crate) struct PartitionModel {
    pub(crate) existence: Existence,
    pub(crate) log: LogModel,
}

/// What the host's programs and the run share; it outlives the host's crashes.
pub(crate) struct Shared {
    pub(crate) plan: StoragePlan,
    pub(crate) partitions: RefCell<BTreeMap<PartitionKey, PartitionModel>>,
    pub(crate) topics_made: Cell<u64>,
    /// The store is open, and everything was read back and compared.
    pub(crate) is_verified: Cell<bool>,
    /// Errors of the disk may show.
    pub(crate) may_fail: Cell<bool>,
    pub(crate) may_be_full: Cell<bool>,
    pub(crate) is_closing: Cell<bool>,
    /// Nobody asks the store for anything.
    pub(crate) is_quiet: Cell<bool>,
    pub(crate) acknowledged: Cell<u64>,
    /// Tells what happens, for a seed that is looked at.
    pub(crate) is_verbose: bool,
}

impl Shared {
    pub(crate) fn note(&self, what: impl FnOnce() -> String) {
        if self.is_verbose {
            eprintln!("{}", what());
        }
    }

    pub(crate) fn with<R>(
        &self,
        key: PartitionKey,
        f: impl FnOnce(&mut LogModel) -> R,
    ) -> Option<R> {
        let mut partitions = self.partitions.borrow_mut();
        partitions
            .get_mut(&key)
            .map(|partition| f(&mut partition.log))
    }

    /// A partition of a topic that never was there before.
    pub(crate) fn new_key(&self) -> PartitionKey {
        let number = self.topics_made.get() + 1;
        self.topics_made.set(number);
        let mut id = [0; 16];
        id[..8].copy_from_slice(&number.to_be_bytes());
        PartitionKey {
            topic: TopicId::from_random(id),
            partition: PartitionIndex((number % 3) as i32),
        }
    }

    fn on_open_error(&self, error: &OpenError) {
        let is_excused = match error {
            OpenError::Io(_) => self.may_fail.get() || self.may_be_full.get(),
            OpenError::Version { .. } | OpenError::Corrupt(_) => false,
        };
        assert!(is_excused, "the store does not open: {error}");
    }

    fn check_recovered(&self, store: &Store, report: &RecoveryReport) {
        let refused = &report.quarantined;
        assert!(
            refused.is_empty(),
            "refused although nothing was damaged: {refused:?}"
        );
        let mut partitions = self.partitions.borrow_mut();
        let keys = store.keys();
        for key in &keys {
            assert!(partitions.contains_key(key), "{key:?} came back");
        }
        partitions.retain(|key, partition| match store.get(*key) {
            Some(log) => {
                self.note(|| format!("recovered {key:?} {:?}", recovered(&log)));
                if partition.existence != Existence::Deleting {
                    partition.existence = Existence::Exists;
                    log_checker::on_recovered(&mut partition.log, &recovered(&log));
                }
                true
            }
            None => {
                assert_ne!(partition.existence, Existence::Exists, "{key:?} is gone");
                false
            }
        });
    }
}

fn recovered(log: &Log) -> Recovered {
    Recovered {
        start: log.start(),
        next_index: log.next_index(),
        next_offset: log.next_offset(),
        durable: log.durable(),
        leader_epochs: log.leader_epochs(),
        state: log.state().map(|state| state.to_vec()),
    }
}

/// The program of the host: opens the store, checks what came back, then works.
async fn serve(shared: Rc<Shared>) {
    let (store, report) = match Store::open(shared.plan.store.clone()).await {
        Ok(opened) => opened,
        Err(error) => return shared.on_open_error(&error),
    };
    shared.check_recovered(&store, &report);
    runtime::set_local(store.clone());
    storage_work::verify(&shared, &store).await;
    storage_work::complete_partitions(&shared, &store).await;
    shared.is_verified.set(true);
    storage_work::start(&shared, &store);
}

struct Run {
    sim: Sim,
    host: HostId,
    shared: Rc<Shared>,
    crashes: u64,
}

/// Runs one seed. Panics when something promised was not kept.
pub fn run(seed: Seed, planted: PlantedBugs) -> Ran {
    trace_checker::listen(seed.trace_lines > 0);
    let plan = StoragePlan::draw(seed.seed, planted);
    let mut config = SimConfig::new(seed.seed);
    config.disk = plan.no_faults();
    config.trace_lines = seed.trace_lines;
    let sim = Sim::new(config);
    let shared = Rc::new(Shared {
        partitions: RefCell::default(),
        topics_made: Cell::new(0),
        is_verified: Cell::new(false),
        may_fail: Cell::new(false),
        may_be_full: Cell::new(false),
        is_closing: Cell::new(false),
        is_quiet: Cell::new(false),
        acknowledged: Cell::new(0),
        is_verbose: seed.trace_lines > 0,
        plan,
    });
    let slot = shared.clone();
    let host = sim.host("store", 1, move || serve(slot.clone()));
    let mut run = Run {
        sim,
        host,
        shared,
        crashes: 0,
    };
    for round in 0..run.shared.plan.rounds {
        run.round(round);
    }
    run.last_round();
    Ran {
        simulated: run.sim.elapsed(),
        crashes: run.crashes,
        acknowledged: run.shared.acknowledged.get(),
        trace_hash: run.sim.trace_hash(),
    }
}

/// Tells the last events of a seed that is looked at.
impl Drop for Run {
    fn drop(&mut self) {
        for line in self.sim.trace_lines() {
            eprintln!("{line}");
        }
    }
}

impl Run {
    fn draw_time(&self, range: (Duration, Duration)) -> Duration {
        let (low, high) = (range.0.as_micros() as u64, range.1.as_micros() as u64);
        Duration::from_micros(low + self.sim.draw(high - low + 1))
    }

    /// Some work, perhaps under faults, and a crash or a clean stop.
    fn round(&mut self, round: u64) {
        if round > 0 {
            self.draw_faults();
            self.restart();
        }
        // A short time hits the middle of recovery.
        let time = match self.sim.draw(5) {
            0 => self.draw_time((Duration::ZERO, Duration::from_millis(3))),
            _ => self.draw_time(self.shared.plan.round_time),
        };
        self.run_for(time);
        if self.sim.draw(2) == 0 {
            // What the store does of itself each second comes due.
            self.shared.is_quiet.set(true);
            self.run_for(self.draw_time(self.shared.plan.quiet_time));
            self.shared.is_quiet.set(false);
            self.run_for(time / 4);
        }
        let host = self.host;
        if self.sim.is_up(host) && self.shared.is_verified.get() && self.sim.draw(5) == 0 {
            self.close();
        }
        let is_kill = self.sim.draw(3) == 0;
        let at = self.sim.elapsed();
        self.shared
            .note(|| format!("{at:?} crash, kill: {is_kill}"));
        if is_kill {
            self.sim.kill(host);
        } else {
            self.sim.power_cut(host);
        }
        self.crashes += 1;
    }

    /// To the end of the time or of the host.
    fn run_for(&self, time: Duration) {
        let host = self.host;
        self.sim.run_until(time, || !self.sim.is_up(host));
        self.check_fatal();
    }

    fn restart(&self) {
        self.shared.is_verified.set(false);
        self.shared.is_closing.set(false);
        self.sim.restart(self.host);
    }

    fn draw_faults(&self) {
        let plan = &self.shared.plan;
        let faulty = self.sim.draw(2) == 0;
        self.shared.may_fail.set(plan.may_fail && faulty);
        self.shared.may_be_full.set(plan.may_be_full && faulty);
        let faults = if faulty {
            plan.faults.clone()
        } else {
            plan.no_faults()
        };
        self.sim.set_disk_faults(self.host, faults);
    }

    fn check_fatal(&self) {
        if let Some(reason) = self.sim.fatal_reason(self.host) {
            assert!(
                self.shared.may_fail.get(),
                "the host ended itself without a fault: {reason}"
            );
        }
        trace_checker::check(self.shared.may_be_full.get());
    }

    fn close(&self) {
        self.shared.is_closing.set(true);
        let closed = self.sim.run_on(self.host, RECOVERY_LIMIT, async {
            let store = runtime::local::<Store>().expect("the store is open");
            store.close().await;
        });
        let is_excused = self.shared.may_fail.get();
        assert!(closed.is_some() || is_excused, "closing does not end");
        self.check_fatal();
    }

    /// Without faults everything must come back, work, close, and come back once more.
    fn last_round(&mut self) {
        self.shared.may_fail.set(false);
        self.shared.may_be_full.set(false);
        self.sim
            .set_disk_faults(self.host, self.shared.plan.no_faults());
        for is_last in [false, true] {
            self.restart();
            let shared = self.shared.clone();
            let host = self.host;
            let is_over = || shared.is_verified.get() || !self.sim.is_up(host);
            let verified = self.sim.run_until(RECOVERY_LIMIT, is_over);
            self.check_fatal();
            assert!(verified, "recovery does not end");
            if !is_last {
                self.check_alive();
                self.close();
                self.sim.power_cut(self.host);
            }
        }
    }

    fn check_alive(&self) {
        let shared = self.shared.clone();
        let alive = self.sim.run_on(self.host, RECOVERY_LIMIT, async move {
            let store = runtime::local::<Store>().expect("the store is open");
            storage_work::append_everywhere(&shared, &store).await;
        });
        self.check_fatal();
        assert!(alive.is_some(), "appends are not acknowledged any more");
    }
}
