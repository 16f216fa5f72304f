//! Costs of the core: memory of an idle group, ticks, CPU per committed batch, allocations.

use std::time::Instant;

use raft::{AwakeSet, Effects, Payload, Replica, Settings};
use raft_sim::group::Group;

const PAYLOAD: Payload = Payload {
    bytes: 168,
    checksum: 1,
};

/// Proposes `rounds` times `batch` single entries, each turn's all at once, and waits for their commit.
fn commit(group: &mut Group, rounds: usize, batch: usize) {
    for _ in 0..rounds {
        for _ in 0..batch {
            group.with(0, |replica, out| {
                replica
                    .propose(&[PAYLOAD], out)
                    .expect("it leads and is not full");
            });
        }
        group.settle();
    }
}

/// Least time in nanoseconds per committed entry, of so many short repetitions that some had the CPU to themselves.
fn nanos_per_entry(group: &mut Group, rounds: usize, batch: usize) -> f64 {
    commit(group, rounds, batch);
    let once = |_| {
        let began = Instant::now();
        commit(group, rounds, batch);
        began.elapsed().as_secs_f64() * 1e9 / (rounds * batch) as f64
    };
    (0..100).map(once).fold(f64::MAX, f64::min)
}

#[test]
fn a_committed_batch_is_cheap() {
    let mut three = Group::new(3, 1, Settings::default());
    three.elect();
    let many = nanos_per_entry(&mut three, 20, 64);
    let single = nanos_per_entry(&mut three, 1000, 1);
    assert_eq!(three.committed[0], three.replicas[0].last().index);
    let mut one = Group::new(1, 1, Settings::default());
    let alone = nanos_per_entry(&mut one, 1000, 1);
    eprintln!("ns per entry: {many:.0} at 64 a turn, {single:.0} one at a time, {alone:.0} alone");
    assert!(many < 500.0, "{many} ns at 64 proposals a turn");
    assert!(single < 1500.0, "{single} ns one at a time");
}

#[test]
fn the_steady_state_allocates_nothing() {
    for (count, batch) in [(1, 1), (3, 1), (3, 64), (5, 7)] {
        let mut group = Group::new(count, 1, Settings::default());
        group.elect();
        // Until the queues, the leader's tail among them, have their size.
        let settled = Settings::default().tail_entries_max as usize / batch;
        commit(&mut group, 200 + settled, batch);
        let counted = allocation_counter::measure(|| commit(&mut group, 1000, batch));
        assert_eq!(counted.count_total, 0, "{count} replicas, {batch} a turn");
    }
}

#[test]
fn an_idle_group_is_small() {
    let mut bytes = 0;
    let mut kept = Vec::new();
    let counted = allocation_counter::measure(|| {
        let mut group = Group::new(3, 1, Settings::default());
        group.elect();
        commit(&mut group, 100, 10);
        sleep(&mut group);
        // What a node keeps of it.
        bytes = group.replicas.len() * size_of::<Replica>();
        kept = group.replicas.split_off(0);
    });
    let each = counted.bytes_current as usize / 3;
    eprintln!(
        "{each} bytes per idle replica, {} of them in place",
        bytes / 3
    );
    assert!(kept.iter().all(|replica| !replica.is_awake()));
    assert!(each <= 2560, "{each} bytes per idle replica");
}

fn sleep(group: &mut Group) {
    for _ in 0..200 {
        for at in 0..group.replicas.len() {
            group.with(at, |replica, out| replica.tick(out));
        }
        group.settle();
    }
    assert!(group.replicas.iter().all(|replica| !replica.is_awake()));
}

#[test]
fn ticks_of_sleeping_groups_cost_nothing() {
    let mut group = Group::new(3, 1, Settings::default());
    group.elect();
    sleep(&mut group);
    let mut replicas: Vec<Replica> = (0..10_000).map(|_| group.replicas[1].clone()).collect();
    let mut awake = AwakeSet::default();
    for (at, replica) in replicas.iter().enumerate() {
        awake.set(at, true);
        awake.set(at, replica.is_awake());
    }
    let mut out = Effects::default();
    let mut least = f64::MAX;
    for _ in 0..200 {
        let began = Instant::now();
        let mut at = 0;
        while let Some(next) = awake.next(at) {
            replicas[next].tick(&mut out);
            at = next + 1;
        }
        least = least.min(began.elapsed().as_secs_f64() * 1e6);
    }
    eprintln!("{least:.2} us per tick of 10,000 groups asleep");
    assert!(out.is_empty() && awake.count() == 0);
    assert!(least < 10.0, "{least} us");
}
