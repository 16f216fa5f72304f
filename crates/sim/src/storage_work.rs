//! What the programs of a storage run do: produce, read, look up, and keep house.

use crate::{
    log_checker,
    log_model::{Draft, LogModel},
    storage_run::{Existence, PartitionModel, Shared},
};
use base::{LeaderEpoch, Offset, PartitionKey, RaftIndex, TimestampMs};
use kafka::batch::{BatchBuilder, Compression};
use runtime::Class;
use std::{rc::Rc, time::Duration};
use storage::{AppendError, Entry, EntryKind, Log, LogStart, ReadError, Store, empty_batch};

fn below(bound: u64) -> u64 {
    runtime::random_u64() % bound.max(1)
}

/// Between two looks whether the clients' pause is over.
const QUIET_LOOK: Duration = Duration::from_millis(100);

async fn pause(shared: &Shared, range: (Duration, Duration)) {
    let (low, high) = (range.0.as_micros() as u64, range.1.as_micros() as u64);
    runtime::sleep(Duration::from_micros(low + below(high - low + 1))).await;
    while shared.is_quiet.get() {
        runtime::sleep(QUIET_LOOK).await;
    }
}

/// Starts the workload on a verified store.
pub(crate) fn start(shared: &Rc<Shared>, store: &Rc<Store>) {
    for (key, _) in existing(shared) {
        if let Some(log) = store.get(key) {
            watch(shared, &log);
        }
    }
    for _ in 0..shared.plan.producers {
        let (shared, store) = (shared.clone(), store.clone());
        drop(runtime::spawn(
            Class::Produce,
            "producer",
            produce(shared, store),
        ));
    }
    let (readers, reader_store) = (shared.clone(), store.clone());
    drop(runtime::spawn(
        Class::Fetch,
        "reader",
        read(readers, reader_store),
    ));
    let (shared, store) = (shared.clone(), store.clone());
    drop(runtime::spawn(
        Class::Background,
        "keeper",
        keep_house(shared, store),
    ));
}

/// Every advance of the durable position is a promise.
fn watch(shared: &Rc<Shared>, log: &Rc<Log>) {
    let (shared, key) = (shared.clone(), log.key());
    log.on_durable(Rc::new(move |durable| {
        shared.note(|| format!("{:?} {key:?} durable {durable:?}", runtime::now()));
        shared.with(key, |model| model.on_durable(durable));
    }));
}

fn existing(shared: &Shared) -> Vec<(PartitionKey, bool)> {
    let partitions = shared.partitions.borrow();
    let there = partitions
        .iter()
        .filter(|(_, partition)| partition.existence == Existence::Exists);
    there
        .map(|(key, partition)| (*key, partition.log.is_truncating))
        .collect()
}

fn pick(shared: &Shared, store: &Store) -> Option<Rc<Log>> {
    let keys = existing(shared);
    let (key, _) = keys.get(below(keys.len() as u64) as usize)?;
    store.get(*key)
}

// ---- at start ----

/// Reads everything back and compares.
pub(crate) async fn verify(shared: &Rc<Shared>, store: &Rc<Store>) {
    for (key, _) in existing(shared) {
        let Some(log) = store.get(key) else { continue };
        verify_log(shared, &log).await;
    }
}

async fn verify_log(shared: &Rc<Shared>, log: &Log) {
    let key = log.key();
    let end = log.next_offset();
    let mut at = log.log_start_offset();
    while at < end {
        let bytes_max = 1 + below(64 << 10) as usize;
        match log.read(at, end, bytes_max, true).await {
            Ok(read) => {
                shared.with(key, |model| {
                    log_checker::on_read(model, at, end, bytes_max, &read)
                });
                assert!(
                    read.next_offset > at,
                    "{key:?}: a read at {at} made no progress"
                );
                at = read.next_offset;
            }
            Err(error) => return excuse_read(shared, key, at, &error),
        }
    }
    verify_entries(shared, log).await;
    verify_snapshot(shared, log).await;
    let newest = shared.with(key, |model| log_checker::newest_timestamp(model));
    match log.max_timestamp(end).await {
        Ok(found) => assert_eq!(
            found.map(|found| found.timestamp.0),
            newest.flatten(),
            "{key:?}: largest timestamp below {end}"
        ),
        Err(error) => excuse_read(shared, key, end, &error),
    }
}

async fn verify_entries(shared: &Rc<Shared>, log: &Log) {
    let key = log.key();
    let (mut at, end) = (log.start().index.next(), log.next_index());
    while at < end {
        let (entries_max, bytes_max) = (1 + below(100) as usize, below(64 << 10) as usize);
        match log.read_entries(at, entries_max, bytes_max).await {
            Ok(read) => {
                shared.with(key, |model| log_checker::on_read_entries(model, at, &read));
                at = RaftIndex(at.0 + read.len() as u64);
            }
            Err(error) => return excuse_read(shared, key, log.next_offset(), &error),
        }
    }
}

async fn verify_snapshot(shared: &Rc<Shared>, log: &Log) {
    let key = log.key();
    let loaded = match log.load_snapshot().await {
        Ok(loaded) => loaded,
        Err(error) => return excuse_read(shared, key, Offset::ZERO, &error),
    };
    let start = log.log_start_offset();
    shared.with(key, |model| {
        let snapshot = &mut model.snapshot;
        let least = snapshot.confirmed.map(|at| snapshot.saves[at].0);
        if loaded.is_none() && least.is_some_and(|at| at < start) {
            // Between it and the start entries are gone.
            snapshot.confirmed = None;
        }
        snapshot.on_found(key, "snapshot", loaded.as_ref())
    });
}

fn excuse_read(shared: &Shared, key: PartitionKey, at: Offset, error: &ReadError) {
    let is_excused = match error {
        ReadError::Closed => shared.is_closing.get(),
        // A failing read is tried again by the store itself.
        ReadError::Io(_)
        | ReadError::OutOfRange { .. }
        | ReadError::IndexOutOfRange { .. }
        | ReadError::Quarantined(_) => false,
    };
    assert!(is_excused, "{key:?}: reading at {at}: {error}");
}

/// Finishes deletions that a crash interrupted and creates partitions up to the planned number.
pub(crate) async fn complete_partitions(shared: &Rc<Shared>, store: &Rc<Store>) {
    let half_deleted: Vec<PartitionKey> = {
        let partitions = shared.partitions.borrow();
        let deleting = partitions
            .iter()
            .filter(|(_, partition)| partition.existence == Existence::Deleting);
        deleting.map(|(key, _)| *key).collect()
    };
    for key in half_deleted {
        delete(shared, store, key).await;
    }
    while existing(shared).len() < shared.plan.partitions as usize {
        if !create(shared, store).await {
            return;
        }
    }
}

async fn create(shared: &Rc<Shared>, store: &Rc<Store>) -> bool {
    let key = shared.new_key();
    let partition = PartitionModel {
        existence: Existence::Creating,
        log: LogModel::new(key),
    };
    shared.partitions.borrow_mut().insert(key, partition);
    shared.note(|| format!("create {key:?}"));
    match store.create(key, shared.plan.log.clone()).await {
        Ok(log) => {
            shared.note(|| format!("created {key:?}"));
            if let Some(partition) = shared.partitions.borrow_mut().get_mut(&key) {
                partition.existence = Existence::Exists;
            }
            if shared.is_verified.get() {
                watch(shared, &log);
            }
            true
        }
        Err(error) => {
            excuse_append(shared, key, &error);
            false
        }
    }
}

async fn delete(shared: &Rc<Shared>, store: &Rc<Store>, key: PartitionKey) {
    if let Some(partition) = shared.partitions.borrow_mut().get_mut(&key) {
        partition.existence = Existence::Deleting;
    }
    shared.note(|| format!("delete {key:?}"));
    match store.delete(key).await {
        Ok(()) => drop(shared.partitions.borrow_mut().remove(&key)),
        Err(error) => excuse_append(shared, key, &error),
    }
}

fn excuse_append(shared: &Shared, key: PartitionKey, error: &AppendError) {
    let is_excused = match error {
        AppendError::Full { .. } => shared.may_be_full.get(),
        AppendError::Closed => shared.is_closing.get(),
        AppendError::Busy => true,
        AppendError::Quarantined(_) | AppendError::TooLarge { .. } => false,
    };
    assert!(is_excused, "{key:?}: {error}");
}

// ---- producing ----

async fn produce(shared: Rc<Shared>, store: Rc<Store>) {
    loop {
        pause(&shared, shared.plan.think).await;
        for _ in 0..=below(shared.plan.burst_max) {
            let Some(log) = pick(&shared, &store) else {
                break;
            };
            if !append(&shared, &log).await {
                break;
            }
        }
        if below(1000) < shared.plan.state_permille
            && let Some(log) = pick(&shared, &store)
        {
            save_state(&shared, &log);
        }
    }
}

/// What a leader appends beside records.
fn draft_empty(shared: &Shared, model: &mut LogModel) -> Draft {
    let is_large = below(100) < shared.plan.large_percent;
    let bytes = if is_large {
        shared.plan.store.direct_bytes_min as u64 + below(8 << 10)
    } else {
        below(shared.plan.record_bytes_max)
    };
    let mut payload = vec![runtime::random_u64() as u8; bytes as usize + 8];
    payload[..8].copy_from_slice(&runtime::random_u64().to_be_bytes());
    let kind = if below(2) == 0 {
        model.leader_epoch.0 += 1;
        EntryKind::TermStart
    } else {
        EntryKind::Configuration
    };
    Draft {
        kind,
        bytes: empty_batch(&payload),
        timestamps: Vec::new(),
        leader_epoch: model.leader_epoch,
    }
}

fn draft(shared: &Shared, model: &mut LogModel) -> Draft {
    if below(100) < shared.plan.empty_percent {
        return draft_empty(shared, model);
    }
    let is_large = below(100) < shared.plan.large_percent;
    let count = if is_large { 1 } else { 1 + below(4) };
    let mut builder = BatchBuilder::new(Compression::None);
    let mut timestamps = Vec::new();
    for _ in 0..count {
        let bytes = if is_large {
            shared.plan.store.direct_bytes_min as u64 + below(8 << 10)
        } else {
            below(shared.plan.record_bytes_max)
        };
        // Repeating bytes are cheap to make; the number in front tells batches apart.
        let mut value = vec![runtime::random_u64() as u8; bytes as usize + 8];
        value[..8].copy_from_slice(&runtime::random_u64().to_be_bytes());
        let timestamp = runtime::wall().0 + below(40) as i64;
        builder.push(TimestampMs(timestamp), None, Some(&value), &[]);
        timestamps.push(timestamp);
    }
    Draft {
        kind: EntryKind::Records,
        bytes: builder.finish(),
        timestamps,
        leader_epoch: model.leader_epoch,
    }
}

/// Appends one batch, waiting for room; false when it was refused.
async fn append(shared: &Rc<Shared>, log: &Rc<Log>) -> bool {
    let key = log.key();
    loop {
        let drafted = shared.with(key, |model| {
            (!model.is_truncating).then(|| draft(shared, model))
        });
        let Some(Some(draft)) = drafted else {
            return false;
        };
        let batch = draft.bytes.clone();
        let entry = Entry {
            kind: draft.kind,
            leader_epoch: draft.leader_epoch,
            batch: &batch,
            record_count: draft.timestamps.len() as u32,
            max_timestamp: draft.max_timestamp(),
        };
        match log.append(entry) {
            Ok(appended) => {
                shared.note(|| {
                    format!(
                        "{:?} {key:?} {appended:?} {} bytes",
                        runtime::now(),
                        batch.len()
                    )
                });
                let number = shared.with(key, |model| model.on_append(draft, appended));
                // Waits go by offset, so those for an entry without one say nothing of it.
                if let Some(number) = number.filter(|_| appended.next_offset > appended.base_offset)
                {
                    let (shared, log) = (shared.clone(), log.clone());
                    drop(runtime::spawn(Class::Produce, "acknowledger", async move {
                        acknowledge(&shared, &log, number, appended).await;
                    }));
                }
                return true;
            }
            Err(AppendError::Busy) => log.append_ready().await,
            Err(error) => {
                let is_deleted = !existing(shared).iter().any(|(there, _)| *there == key);
                if !(is_deleted && error == AppendError::Closed) {
                    excuse_append(shared, key, &error);
                }
                return false;
            }
        }
    }
}

async fn acknowledge(shared: &Rc<Shared>, log: &Rc<Log>, number: u64, appended: storage::Appended) {
    let next = appended.next_offset;
    let is_durable = log.wait_durable(appended.log_epoch, next).await;
    let is_ending =
        shared.is_closing.get() || !existing(shared).iter().any(|(key, _)| *key == log.key());
    shared.with(log.key(), |model| {
        if is_durable {
            model.on_acknowledged(number, appended.log_epoch, log.durable());
        } else {
            // A truncation ends all waits of its log epoch, also for what it leaves in place.
            assert!(
                is_ending || model.is_truncating || log.log_epoch() > appended.log_epoch,
                "{:?}: the wait for {appended:?} was given up",
                log.key()
            );
        }
    });
    if is_durable {
        shared.acknowledged.set(shared.acknowledged.get() + 1);
    }
}

/// One append to each partition, acknowledged.
pub(crate) async fn append_everywhere(shared: &Rc<Shared>, store: &Rc<Store>) {
    for (key, _) in existing(shared) {
        let Some(log) = store.get(key) else { continue };
        while !append(shared, &log).await {
            runtime::sleep(Duration::from_millis(1)).await;
            if store.get(key).is_none() {
                break;
            }
        }
        let (epoch, next) = (log.log_epoch(), log.next_offset());
        let is_durable = log.wait_durable(epoch, next).await;
        assert!(
            is_durable || log.log_epoch() != epoch || store.get(key).is_none(),
            "{key:?}: not acknowledged"
        );
    }
}

// ---- reading ----

async fn read(shared: Rc<Shared>, store: Rc<Store>) {
    let (_, high) = shared.plan.think;
    loop {
        let longest = high * 2 + Duration::from_millis(1);
        pause(&shared, (Duration::from_millis(1), longest)).await;
        let Some(log) = pick(&shared, &store) else {
            continue;
        };
        match below(5) {
            0 => look_up_time(&shared, &log).await,
            1 => read_entries(&shared, &log).await,
            _ => read_once(&shared, &log).await,
        }
    }
}

/// What changes while a read waits: a check that began before is void.
fn version(shared: &Shared, key: PartitionKey) -> Option<(LogStart, u64)> {
    let partitions = shared.partitions.borrow();
    let partition = partitions.get(&key)?;
    let model = &partition.log;
    let is_stable = partition.existence == Existence::Exists
        && !model.is_truncating
        && model.start_wanted == model.start.offset;
    is_stable.then_some((model.start, model.cuts))
}

async fn read_once(shared: &Rc<Shared>, log: &Rc<Log>) {
    let key = log.key();
    let Some(before) = version(shared, key) else {
        return;
    };
    let (start, until) = (log.log_start_offset(), log.durable().next_offset);
    let from = Offset(start.0 + below((until.0 - start.0).max(1) as u64) as i64);
    let bytes_max = below(32 << 10) as usize;
    let cached = log.read_cached(from, until, bytes_max, true);
    if let Some(Ok(read)) = &cached {
        shared.with(key, |model| {
            log_checker::on_read(model, from, until, bytes_max, read)
        });
    }
    let read = log.read(from, until, bytes_max, true).await;
    if version(shared, key) != Some(before) {
        return;
    }
    match read {
        Ok(read) => {
            shared.with(key, |model| {
                log_checker::on_read(model, from, until, bytes_max, &read)
            });
        }
        Err(error) => excuse_read(shared, key, from, &error),
    }
}

async fn read_entries(shared: &Rc<Shared>, log: &Rc<Log>) {
    let key = log.key();
    let Some(before) = version(shared, key) else {
        return;
    };
    let (start, end) = (log.start().index.next(), log.next_index());
    let from = RaftIndex(start.0 + below(end.0 - start.0 + 1));
    let (entries_max, bytes_max) = (1 + below(20) as usize, below(32 << 10) as usize);
    let read = log.read_entries(from, entries_max, bytes_max).await;
    if version(shared, key) != Some(before) {
        return;
    }
    match read {
        Ok(read) => {
            shared.with(key, |model| {
                // At the log's end nothing was there to read; by now something may be.
                if from < end {
                    log_checker::on_read_entries(model, from, &read);
                }
            });
        }
        Err(error) => excuse_read(shared, key, log.next_offset(), &error),
    }
}

async fn look_up_time(shared: &Rc<Shared>, log: &Rc<Log>) {
    let key = log.key();
    let Some(before) = version(shared, key) else {
        return;
    };
    let until = log.durable().next_offset;
    let at = TimestampMs(runtime::wall().0 - below(1000) as i64);
    let found = log.offset_for_timestamp(at, until).await;
    if version(shared, key) != Some(before) {
        return;
    }
    match found {
        Ok(found) => {
            shared.with(key, |model| {
                log_checker::on_time_lookup(model, at, until, found)
            });
        }
        Err(error) => excuse_read(shared, key, until, &error),
    }
}

// ---- house-keeping ----

async fn keep_house(shared: Rc<Shared>, store: Rc<Store>) {
    let chances = shared.plan.maintenance;
    loop {
        pause(
            &shared,
            (Duration::from_millis(1), Duration::from_millis(20)),
        )
        .await;
        if shared.is_closing.get() {
            return;
        }
        let Some(log) = pick(&shared, &store) else {
            continue;
        };
        if below(1000) < chances.trim {
            trim(&shared, &log).await;
        }
        if below(1000) < chances.retain {
            retain(&shared, &log).await;
        }
        if below(1000) < chances.snapshot {
            save_snapshot(&shared, &log).await;
        }
        if below(1000) < chances.truncate {
            truncate(&shared, &log).await;
        }
        if below(1000) < shared.plan.reset_permille {
            reset(&shared, &log).await;
        }
        if below(1000) < chances.recreate {
            delete(&shared, &store, log.key()).await;
            create(&shared, &store).await;
        }
    }
}

/// What lasts counts as committed, as in a group of one.
fn commit(shared: &Rc<Shared>, log: &Rc<Log>) {
    let durable = log.durable();
    let next_index = durable.next_index;
    log.set_committed(next_index);
    shared.with(log.key(), |model| {
        model.committed = model.committed.max(next_index)
    });
}

async fn trim(shared: &Rc<Shared>, log: &Rc<Log>) {
    let key = log.key();
    commit(shared, log);
    let (start, end) = (log.log_start_offset(), log.durable().next_offset);
    let to = Offset(start.0 + below((end.0 - start.0 + 1) as u64) as i64);
    shared.with(key, |model| model.start_wanted = model.start_wanted.max(to));
    shared.note(|| format!("trim {key:?} to {to}"));
    match log.trim(to).await {
        Ok(start) => {
            assert_eq!(start, to, "{key:?}: trimmed");
            shared.with(key, |model| model.on_start_moved(log.start()));
        }
        Err(error) => excuse_append(shared, key, &error),
    }
}

async fn retain(shared: &Rc<Shared>, log: &Rc<Log>) {
    let key = log.key();
    commit(shared, log);
    shared.with(key, |model| {
        model.start_wanted = model.durable_next().1.max(model.start_wanted)
    });
    shared.note(|| format!("retain {key:?}"));
    match log.apply_retention(runtime::wall()).await {
        Ok(_) => {
            let start = log.start();
            shared.with(key, |model| {
                assert!(
                    start.offset <= model.durable_next().1.max(model.start.offset),
                    "{key:?}: retention removed what was not durable"
                );
                model.on_start_moved(start);
                model.start_wanted = start.offset;
            });
        }
        Err(error) => excuse_append(shared, key, &error),
    }
}

async fn save_snapshot(shared: &Rc<Shared>, log: &Rc<Log>) {
    let key = log.key();
    let at = log.durable().next_offset;
    let state = runtime::random_u64()
        .to_be_bytes()
        .repeat(1 + below(200) as usize);
    let saved = shared.with(key, |model| {
        let is_newer = model
            .snapshot
            .saves
            .last()
            .is_none_or(|(last, _)| *last < at);
        is_newer.then(|| model.snapshot.saves.push((at, state.clone())))
    });
    if !matches!(saved, Some(Some(()))) {
        return;
    }
    match log.save_snapshot(at, state).await {
        Ok(()) => {
            shared.with(key, |model| {
                let at = model.snapshot.saves.len() - 1;
                model.snapshot.on_saved(at);
            });
        }
        Err(error) => excuse_append(shared, key, &error),
    }
}

/// Cuts off a few entries of the end, durable or not, as Raft would after an election.
async fn truncate(shared: &Rc<Shared>, log: &Rc<Log>) {
    let key = log.key();
    let chosen = shared.with(key, |model| {
        let least = model
            .snapshot
            .saves
            .last()
            .map_or(model.start_wanted, |(at, _)| *at);
        let keep = model.entries.len().saturating_sub(1 + below(4) as usize);
        let entry = model.entries.get(keep)?;
        let (from, to) = (entry.index, entry.base_offset);
        if from < model.committed || to < least || to < model.start_wanted {
            return None;
        }
        model.on_truncate_begin(from);
        Some((from, to))
    });
    let Some(Some((from, to))) = chosen else {
        return;
    };
    let before = log.log_epoch();
    shared.note(|| format!("truncate {key:?} from {from} to {to}"));
    match log.truncate(from).await {
        Ok(epoch) => {
            shared.note(|| format!("truncated {key:?} to {to}: {epoch:?}"));
            assert!(epoch > before, "{key:?}: a truncation raises the log epoch");
            assert_eq!(log.next_offset(), to, "{key:?}: truncated");
            shared.with(key, |model| {
                model.on_truncate_end(from);
                log_checker::on_leader_epochs(model, &log.leader_epochs());
            });
        }
        Err(error) => excuse_append(shared, key, &error),
    }
}

/// Replaces the log by a start that is not below what is committed, as a follower does that installs a snapshot.
async fn reset(shared: &Rc<Shared>, log: &Rc<Log>) {
    let key = log.key();
    let chosen = shared.with(key, |model| {
        let saves = &model.snapshot.saves;
        let least = saves.last().map_or(model.start_wanted, |(at, _)| *at);
        let least = least.max(model.start_wanted);
        let offsets = (model.next_offset.0 - least.0).max(0) as u64;
        let offset = least.plus(below(offsets + 50) as i64);
        let committed = model.committed.0 - 1;
        let entries = model.next_index.0 - committed;
        let at = LogStart {
            leader_epoch: LeaderEpoch(model.leader_epoch.0 + 1),
            index: RaftIndex(committed + below(entries + 20)),
            offset,
            next_offset: offset,
        };
        model.on_reset_begin(at);
        at
    });
    let Some(at) = chosen else {
        return;
    };
    let before = log.log_epoch();
    shared.note(|| format!("reset {key:?} to {at:?}"));
    match log.reset(at).await {
        Ok(epoch) => {
            shared.note(|| format!("reset {key:?}: {epoch:?}"));
            assert!(epoch > before, "{key:?}: a reset raises the log epoch");
            assert_eq!((log.start(), log.next_index()), (at, at.index.next()));
            shared.with(key, |model| model.on_reset_end(at));
        }
        Err(error) => excuse_append(shared, key, &error),
    }
}

/// Saves a state of the log's owner; the answer may take its time.
fn save_state(shared: &Rc<Shared>, log: &Rc<Log>) {
    let key = log.key();
    let mut state = vec![runtime::random_u64() as u8; 8 + below(600) as usize];
    state[..8].copy_from_slice(&runtime::random_u64().to_be_bytes());
    let saved = shared.with(key, |model| {
        model.state.saves.push(state.clone());
        model.state.saves.len() - 1
    });
    let Some(number) = saved else { return };
    shared.note(|| format!("{:?} {key:?} state {number}", runtime::now()));
    let asked = log.save_state(&state);
    let (shared, log) = (shared.clone(), log.clone());
    drop(runtime::spawn(Class::Produce, "state saver", async move {
        match asked.await {
            Ok(()) => {
                shared.note(|| format!("{:?} {key:?} state {number} lasts", runtime::now()));
                shared.with(key, |model| {
                    model.state.on_saved(number);
                    let found = log.state().map(|state| state.to_vec());
                    let found = found.as_ref();
                    let at = model
                        .state
                        .saves
                        .iter()
                        .position(|save| Some(save) == found);
                    assert!(at >= Some(number), "{key:?}: state {number}, found {at:?}");
                });
            }
            Err(error) => {
                let is_deleted = !existing(&shared).iter().any(|(there, _)| *there == key);
                if !(is_deleted && error == AppendError::Closed) {
                    excuse_append(&shared, key, &error);
                }
            }
        }
    }));
}
