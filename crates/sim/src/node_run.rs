//! A node's run: one whole node and its clients on simulated machines, through crashes and faults of disk and network.

use crate::{
    node_plan::{NodeBugs, NodePlan, PORT},
    node_work,
    record_checker::History,
    seeds::{Ran, Seed},
    trace_checker,
};
use broker::{Broker, OpenError, open::leading_shard};
use runtime::{
    net::TcpListener,
    sim::{HostId, NetFaults, Sim, SimConfig},
};
use std::{
    cell::{Cell, RefCell},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    rc::Rc,
    time::Duration,
};

/// No node this small takes longer to serve, or to stop.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Everything sent is acknowledged or given up by then.
const DRAIN_LIMIT: Duration = Duration::from_secs(400);
const READ_LIMIT: Duration = Duration::from_secs(200);

/// What the programs of both machines and the run share; it outlives the node's crashes.
pub(crate) struct Shared {
    pub(crate) plan: NodePlan,
    pub(crate) history: RefCell<History>,
    ip: Cell<IpAddr>,
    is_serving: Cell<bool>,
    may_fail: Cell<bool>,
    may_be_full: Cell<bool>,
    /// The topic is there.
    pub(crate) has_topic: Cell<bool>,
    /// Producers send what they have and end.
    pub(crate) is_draining: Cell<bool>,
    /// Consumers and committers end.
    pub(crate) is_over: Cell<bool>,
    pub(crate) producers_done: Cell<u64>,
    pub(crate) producers_made: Cell<u64>,
    /// Tells what happens, for a seed that is looked at.
    is_verbose: bool,
}

impl Shared {
    pub(crate) fn note(&self, what: impl FnOnce() -> String) {
        if self.is_verbose {
            eprintln!("{}", what());
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::new(self.ip.get(), PORT)
    }

    fn on_open_error(&self, error: &OpenError) {
        let is_excused = self.may_fail.get() || self.may_be_full.get();
        assert!(is_excused, "the node does not open: {error}");
    }
}

/// The node's program, on each of its shards.
async fn serve(shared: Rc<Shared>) {
    let broker = match Broker::open(shared.plan.settings(shared.ip.get())).await {
        Ok((broker, report)) => {
            let refused = &report.recovery.quarantined;
            assert!(
                refused.is_empty(),
                "refused although nothing was damaged: {refused:?}"
            );
            broker
        }
        Err(error) => return shared.on_open_error(&error),
    };
    if runtime::shard() == leading_shard() {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT))).await;
        broker.serve(listener.expect("the port is free")).await;
        shared.note(|| format!("{:?} serving", runtime::now()));
        shared.is_serving.set(true);
    }
    broker.stopped().await;
}

struct Run {
    sim: Sim,
    node: HostId,
    clients: HostId,
    shared: Rc<Shared>,
    crashes: u64,
}

/// Runs one seed. Panics when something promised was not kept.
pub fn run(seed: Seed, bugs: NodeBugs) -> Ran {
    let mut run = Run::new(seed, bugs);
    for _ in 0..run.shared.plan.rounds {
        run.round();
    }
    run.finish();
    Ran {
        simulated: run.sim.elapsed(),
        crashes: run.crashes,
        acknowledged: run.shared.history.borrow().acknowledged(),
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
    fn new(seed: Seed, bugs: NodeBugs) -> Self {
        trace_checker::listen(seed.trace_lines > 0);
        let plan = NodePlan::draw(seed.seed, bugs);
        let mut config = SimConfig::new(seed.seed);
        config.disk = plan.sound_disk();
        config.trace_lines = seed.trace_lines;
        let sim = Sim::new(config);
        let shared = Rc::new(Shared {
            history: RefCell::default(),
            ip: Cell::new(Ipv4Addr::UNSPECIFIED.into()),
            is_serving: Cell::new(false),
            may_fail: Cell::new(false),
            may_be_full: Cell::new(false),
            has_topic: Cell::new(false),
            is_draining: Cell::new(false),
            is_over: Cell::new(false),
            producers_done: Cell::new(0),
            producers_made: Cell::new(0),
            is_verbose: seed.trace_lines > 0,
            plan,
        });
        let slot = shared.clone();
        let node = sim.host("node", shared.plan.shards, move || serve(slot.clone()));
        shared.ip.set(sim.ip(node));
        let clients = sim.host("clients", 1, || async {});
        let slot = shared.clone();
        sim.spawn_on(clients, "workload", async move { node_work::start(&slot) });
        Self {
            sim,
            node,
            clients,
            shared,
            crashes: 0,
        }
    }

    fn draw_time(&self, range: (Duration, Duration)) -> Duration {
        let (low, high) = (range.0.as_micros() as u64, range.1.as_micros() as u64);
        Duration::from_micros(low + self.sim.draw(high - low + 1))
    }

    /// Some work, perhaps under faults, and a crash or a clean stop.
    fn round(&mut self) {
        self.draw_faults();
        // A short time hits the middle of a start.
        let time = match self.sim.draw(5) {
            0 => self.draw_time((Duration::ZERO, Duration::from_millis(50))),
            _ => self.draw_time(self.shared.plan.round_time),
        };
        if self.sim.draw(4) == 0 {
            self.run_for(time / 2);
            self.sim.split(self.node, self.clients);
            let split = self.draw_time((Duration::ZERO, Duration::from_secs(3)));
            self.run_for(split);
            self.sim.heal();
            self.run_for(time / 2);
        } else {
            self.run_for(time);
        }
        if self.sim.is_up(self.node) && self.shared.is_serving.get() && self.sim.draw(5) == 0 {
            self.stop();
        }
        self.crash();
        let down = self.draw_time(self.shared.plan.down_time);
        self.sim.run_for(down);
        self.shared.is_serving.set(false);
        self.sim.restart(self.node);
    }

    /// Runs on, starting the node again when its disk ended it.
    fn run_for(&mut self, time: Duration) {
        let end = self.sim.elapsed() + time;
        while self.sim.elapsed() < end {
            let node = self.node;
            let left = end - self.sim.elapsed();
            if !self.sim.run_until(left, || !self.sim.is_up(node)) {
                return;
            }
            self.check_fatal();
            self.crashes += 1;
            self.shared.is_serving.set(false);
            self.sim.restart(node);
        }
    }

    fn crash(&mut self) {
        self.check_fatal();
        let is_kill = self.sim.draw(3) == 0;
        let at = self.sim.elapsed();
        self.shared
            .note(|| format!("{at:?} crash, kill: {is_kill}"));
        if is_kill {
            self.sim.kill(self.node);
        } else {
            self.sim.power_cut(self.node);
        }
        self.crashes += 1;
    }

    fn draw_faults(&self) {
        let plan = &self.shared.plan;
        let is_faulty = self.sim.draw(2) == 0;
        self.shared.may_fail.set(plan.may_fail && is_faulty);
        self.shared.may_be_full.set(plan.may_be_full && is_faulty);
        let disk = if is_faulty {
            plan.disk.clone()
        } else {
            plan.sound_disk()
        };
        self.sim.set_disk_faults(self.node, disk);
        let is_faulty = self.sim.draw(2) == 0;
        self.sim.set_net_faults(if is_faulty {
            plan.net.clone()
        } else {
            NetFaults::none()
        });
    }

    fn check_fatal(&self) {
        if let Some(reason) = self.sim.fatal_reason(self.node) {
            assert!(
                self.shared.may_fail.get(),
                "the node ended itself without a fault: {reason}"
            );
        }
        trace_checker::check(self.shared.may_fail.get() || self.shared.may_be_full.get());
    }

    fn stop(&self) {
        let at = self.sim.elapsed();
        self.shared.note(|| format!("{at:?} stop"));
        let stopped = self.sim.run_on(self.node, START_LIMIT, async {
            // None: another stop came first, which only a bug could do.
            let broker = runtime::local::<Broker>().expect("the node serves");
            broker.stop().await;
        });
        self.check_fatal();
        assert!(
            stopped.is_some() || self.shared.may_fail.get(),
            "stopping does not end"
        );
    }

    /// Without faults everything must come back and be served: once after a crash, once after a clean stop.
    fn finish(&mut self) {
        self.shared.may_fail.set(false);
        self.shared.may_be_full.set(false);
        self.sim
            .set_disk_faults(self.node, self.shared.plan.sound_disk());
        self.sim.set_net_faults(NetFaults::none());
        self.sim.heal();
        self.sim.restart(self.node);
        self.wait_serving();
        self.shared.is_draining.set(true);
        let shared = self.shared.clone();
        let all = self.shared.plan.producers;
        let is_drained = || shared.producers_done.get() == all;
        let is_drained = self.sim.run_until(DRAIN_LIMIT, is_drained);
        self.check_fatal();
        assert!(is_drained, "what was sent is never acknowledged");
        self.read_all();
        if self.shared.plan.consumers > 0 {
            let caught_up = node_work::groups_catch_up(self.shared.clone());
            let caught_up = self.sim.run_on(self.clients, READ_LIMIT, caught_up);
            assert!(caught_up.is_some(), "the group does not reach the end");
        }
        self.shared.is_over.set(true);
        self.stop();
        self.crash();
        self.shared.is_serving.set(false);
        self.sim.restart(self.node);
        self.wait_serving();
        self.read_all();
    }

    fn wait_serving(&self) {
        let node = self.node;
        let is_over = || self.shared.is_serving.get() || !self.sim.is_up(node);
        let is_serving = self.sim.run_until(START_LIMIT, is_over);
        self.check_fatal();
        assert!(is_serving, "the node does not serve");
    }

    fn read_all(&self) {
        let read = node_work::read_all(self.shared.clone());
        let read = self.sim.run_on(self.clients, READ_LIMIT, read);
        self.check_fatal();
        assert!(read.is_some(), "reading everything does not end");
    }
}
