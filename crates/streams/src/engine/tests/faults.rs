//! What goes wrong around the engine: it stops in the middle of things, the disk is full, a topic is gone for a while.

use arrow_array::RecordBatch;

use super::*;
use crate::{
    definition::{Envelope, Sink, Stream, TopicInput},
    engine::PROGRAM_IDS,
    format::{Malformed, RecordView},
    source::{OwnRows, RowReader},
};

pub fn sink(relation: &str) -> Definition {
    let mut plan = Plan::default();
    let (operator, schema) = input(relation, &[0]);
    plan.add(operator, &[], schema);
    Definition::Sink(Sink {
        topic: Some("out".to_owned()),
        plan,
        format: Format::Json { paths: Vec::new() },
        envelope: Envelope::Append,
        key: Vec::new(),
    })
}

fn sound(policy: OnMalformed) -> Vec<NewRelation> {
    let from = Definition::Source(source(policy));
    vec![new(1, "s", from), new(2, "k", sink("s"))]
}

pub fn failure_of(engine: &Engine, name: &str) -> Option<String> {
    let relations = engine.relations();
    let found = relations.iter().find(|relation| relation.name == name);
    found.expect("it was made").failure()
}

const ONE: [(Option<&str>, &str); 1] = [(None, r#"{"n": 1}"#)];

type Of = fn(&Faults) -> &RefCell<Option<LogError>>;

/// Ends the engine while the fault lasts; without it another one goes on, and nothing is missing or there twice.
fn goes_on_after(policy: OnMalformed, of: Of, error: LogError) {
    on_log(async move |log| {
        log.make("out", 1);
        let engine = start(&log, "data", sound(policy.clone()), usize::MAX).await;
        if of(&log.faults).as_ptr() != log.faults.producer.as_ptr() {
            log.put("in", 0, &ONE);
            engine.flush().await.expect("nothing is wrong yet");
        }
        of(&log.faults).replace(Some(error));
        log.put("in", 1, &ONE);
        log.put("in", 1, &BAD[1..2]);
        runtime::sleep(Duration::from_secs(1)).await;
        engine.stop().await;
        let before = log.records("out").len();
        of(&log.faults).replace(None);
        let engine = start(&log, "data", sound(policy), usize::MAX).await;
        engine.flush().await.expect("it goes on");
        assert_eq!(failure_of(&engine, "k"), None);
        assert_eq!(log.records("out").len(), before + 1);
    });
}

#[test]
fn a_sink_goes_on_when_the_node_stopped_with_a_full_disk() {
    let faults: [Of; 2] = [|faults| &faults.append, |faults| &faults.producer];
    for of in faults {
        goes_on_after(OnMalformed::Skip, of, LogError::Full);
    }
    let topic = "bad".to_owned();
    let policy = OnMalformed::DeadLetter { topic };
    goes_on_after(policy, |faults| &faults.append, LogError::Full);
}

#[test]
fn a_sink_goes_on_when_the_log_stopped_before_the_engine() {
    let faults: [Of; 3] = [
        |faults| &faults.append,
        |faults| &faults.producer,
        |faults| &faults.read,
    ];
    for of in faults {
        goes_on_after(OnMalformed::Skip, of, LogError::Stopping);
    }
}

/// Nobody sees the epoch, and a restart tries it again.
#[test]
fn a_sink_goes_on_when_the_outbox_refused() {
    let error = LogError::Refused("not today".to_owned());
    goes_on_after(OnMalformed::Skip, |faults| &faults.append, error);
}

#[test]
fn dead_letters_wait_out_a_full_disk() {
    on_engine(|log, engine| async move {
        let topic = "bad".to_owned();
        let policy = OnMalformed::DeadLetter { topic };
        let made = make(&engine, 1, "s", Definition::Source(source(policy))).await;
        made.expect("a source");
        make(&engine, 2, "v", view("s", &[0]))
            .await
            .expect("a view");
        log.faults.append.replace(Some(LogError::Full));
        log.put("in", 0, &BAD);
        runtime::sleep(Duration::from_secs(40)).await;
        log.faults.append.replace(None);
        assert_eq!(rows_of(&engine, "v").await, Ok(2));
        assert_eq!(log.records("bad").len(), 1);
    });
}

/// With what is said of it a record may be larger than a batch can be.
#[test]
fn a_dead_letter_is_cut_to_what_a_batch_takes() {
    on_engine(|log, engine| async move {
        let topic = "bad".to_owned();
        let policy = OnMalformed::DeadLetter { topic };
        let made = make(&engine, 1, "s", Definition::Source(source(policy))).await;
        made.expect("a source");
        make(&engine, 2, "v", view("s", &[0]))
            .await
            .expect("a view");
        let bytes_max = base::limits::BATCH_BYTES_MAX;
        let large = "x".repeat(bytes_max - 200);
        log.put("in", 0, &[(None, "x")]);
        log.put("in", 0, &[(None, &large)]);
        assert_eq!(rows_of(&engine, "v").await, Ok(0));
        let letters = log.records("bad");
        let cut: Vec<Option<&String>> = letters
            .iter()
            .map(|(_, headers)| headers.get("forebay.cut"))
            .collect();
        assert_eq!(cut, [None, Some(&large.len().to_string())]);
        let key = PartitionKey {
            topic: log.topic("bad").expect("it was made").id,
            partition: PartitionIndex(0),
        };
        log.at(key, |(bytes, _)| {
            for batch in batches(bytes) {
                let (_, batch) = batch.expect("a sound batch");
                assert!(batch.len() <= bytes_max, "{} bytes", batch.len());
            }
        });
    });
}

#[test]
fn who_makes_a_view_is_told_that_nothing_comes() {
    on_engine(async |log, engine| {
        let skips = Definition::Source(source(OnMalformed::Skip));
        make(&engine, 1, "s", skips).await.expect("a source");
        let topic = log.topic("in").map(|topic| topic.id);
        log.faults.stuck.replace(topic);
        log.put("in", 1, &ONE);
        let made = make(&engine, 2, "v", counts("s")).await;
        let stuck = "v has stopped: what it reads cannot be read now";
        assert_eq!(made, Err(stuck.to_owned()));
    });
    // More than is read with all others.
    on_engine(async |log, engine| {
        let skips = Definition::Source(source(OnMalformed::Skip));
        make(&engine, 1, "s", skips).await.expect("a source");
        let topic = log.topic("in").map(|topic| topic.id);
        log.faults.stuck.replace(topic);
        super::budget::put_numbers(&log, 0..300);
        let made = make(&engine, 2, "v", counts("s")).await;
        let unreadable = "partition 0 of topic \"in\" cannot be read";
        assert_eq!(made, Err(unreadable.to_owned()));
    });
}

#[test]
fn what_was_never_read_begins_where_its_partition_does_by_then() {
    on_engine(async |log, engine| {
        make(
            &engine,
            1,
            "s",
            Definition::Source(source(OnMalformed::Skip)),
        )
        .await
        .expect("a source");
        let records: [(Option<&str>, &str); 3] = [(None, r#"{"n": 1}"#); 3];
        log.put("in", 0, &records);
        let key = PartitionKey {
            topic: log.topic("in").expect("it was made").id,
            partition: PartitionIndex(0),
        };
        for (start, rows) in [(1, 1), (2, 0)] {
            log.starts.borrow_mut().insert(key, Offset(start));
            log.faults.trims.borrow_mut().insert(key, Offset(start + 1));
            let name = format!("v{start}");
            make(&engine, start as u64 + 1, &name, view("s", &[0]))
                .await
                .expect("a view");
            assert_eq!(rows_of(&engine, &name).await, Ok(rows));
        }
    });
}

/// A row for each record.
#[derive(Debug)]
struct Each;

struct Offsets(Vec<i64>);

impl RowReader for Each {
    fn start(&self) -> Box<dyn OwnRows> {
        Box::new(Offsets(Vec::new()))
    }
}

impl OwnRows for Offsets {
    fn push(&mut self, record: RecordView<'_>) -> Result<(), Malformed> {
        self.0.push(record.offset);
        Ok(())
    }

    fn is_full(&self) -> bool {
        false
    }

    fn finish(&mut self) -> (RecordBatch, Option<i64>) {
        let column = Int64Array::from(std::mem::take(&mut self.0));
        let rows = RecordBatch::try_new(schema(&[("n", DataType::Int64)]), vec![Arc::new(column)]);
        (rows.expect("one column"), None)
    }
}

/// What it had seen may be gone from its topic.
#[test]
fn a_stream_that_has_stopped_does_not_begin_anew() {
    on_log(async move |log| {
        log.make("own", 1);
        let stream = || {
            let mut plan = Plan::default();
            let (operator, schema) = input("stream", &[0]);
            plan.add(operator, &[], schema.clone());
            let topic = TopicInput {
                topic: "own".to_owned(),
                reader: Arc::new(Each),
                schema,
                watermark: None,
            };
            let stream = Stream {
                plan,
                topic: Some(topic),
            };
            vec![
                new(PROGRAM_IDS, "stream", Definition::Stream(stream)),
                new(1, "v", counts("stream")),
            ]
        };
        let engine = start(&log, "data", stream(), usize::MAX).await;
        log.put("own", 0, &ONE);
        assert_eq!(rows_of(&engine, "v").await, Ok(1));
        runtime::sleep(Duration::from_secs(6)).await;
        log.faults.hidden.replace(Some("own"));
        runtime::sleep(Duration::from_secs(6)).await;
        engine.stop().await;
        log.faults.hidden.replace(None);
        let engine = start(&log, "data", stream(), usize::MAX).await;
        let why = failure_of(&engine, "stream").expect("it has stopped for good");
        assert!(why.contains("it had stopped before this start"), "{why}");
        runtime::sleep(Duration::from_secs(6)).await;
        let runs = Path::new("data/streams").join(PROGRAM_IDS.to_string());
        let runs = runtime::fs::read_dir(&runs)
            .await
            .expect("its state is kept");
        assert!(!runs.is_empty());
    });
}

/// How many runs of the relation are on the disk.
async fn runs_of(id: u64) -> usize {
    let dir = Path::new("data/streams").join(id.to_string());
    runtime::fs::read_dir(&dir).await.map_or(0, |all| all.len())
}

/// Writes a file until nothing more fits.
async fn fill_disk(path: &Path) {
    let open = runtime::fs::Open {
        write: true,
        create: true,
        ..Default::default()
    };
    let file = runtime::fs::File::open(path, open).await.expect("a file");
    let mut at = 0;
    loop {
        let data = iobuf::IoBuf::from(iobuf::Buf::copy_from_slice(&[0; 4096]));
        let written = file.write_at(base::FilePos(at), data, runtime::fs::Durability::None);
        if written.await.is_err() {
            return;
        }
        at += 4096;
    }
}

/// The checkpoint that would have named the merged run was never written: what it stands for is still there.
#[test]
fn a_disk_that_fills_behind_a_merge_keeps_what_a_restart_reads() {
    let disk = DiskFaults {
        capacity_bytes: 1 << 20,
        ..DiskFaults::none()
    };
    on_disk(disk, async move |log| {
        let made = || {
            let from = Definition::Source(source(OnMalformed::Skip));
            vec![new(1, "s", from), new(2, "v", counts("s"))]
        };
        let engine = start(&log, "data", made(), usize::MAX).await;
        let put = |n: i32| log.put("in", 0, &[(None, &format!(r#"{{"n": {n}}}"#))]);
        let mut count = 0;
        // Four runs of like size, and the one that they are merged into.
        while runs_of(2).await < 5 {
            put(count);
            count += 1;
            runtime::sleep(Duration::from_millis(100)).await;
        }
        let filler = Path::new("filler");
        fill_disk(filler).await;
        put(count);
        runtime::sleep(Duration::from_secs(12)).await;
        engine.stop().await;
        runtime::fs::remove_file(filler).await.expect("it is there");
        let engine = start(&log, "data", made(), usize::MAX).await;
        assert_eq!(rows_of(&engine, "v").await, Ok(count as usize + 1));
    });
}

/// Epochs do not wait for a checkpoint, and one that lasts long holds none of what came behind it.
#[test]
fn epochs_go_on_while_a_checkpoint_is_written() {
    let disk = DiskFaults {
        latency: (Duration::from_secs(1), Duration::from_secs(1)),
        ..DiskFaults::none()
    };
    on_disk(disk, async move |log| {
        let from = Definition::Source(source(OnMalformed::Skip));
        let made = vec![new(1, "s", from), new(2, "v", counts("s"))];
        let engine = start(&log, "data", made, usize::MAX).await;
        let mut slowest = Duration::ZERO;
        for n in 0..200 {
            log.put("in", 0, &[(None, &format!(r#"{{"n": {n}}}"#))]);
            let began = runtime::now();
            assert_eq!(rows_of(&engine, "v").await, Ok(n + 1));
            slowest = slowest.max(runtime::now().since(began));
            runtime::sleep(Duration::from_millis(100)).await;
        }
        assert!(runs_of(2).await > 0, "nothing was saved");
        assert!(slowest < Duration::from_millis(500), "{slowest:?}");
    });
}
