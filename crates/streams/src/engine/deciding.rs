//! Epochs in which sinks put something out: decided in the outbox, then written to their topics.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use base::{Offset, PartitionIndex, PartitionKey};
use runtime::Class;

use super::{
    CheckpointError, Engine, EngineError, Pipeline, RECORDS_PER_EPOCH, Relation, Stream,
    outbox::{Assembly, Decided, OUTBOX_TOPIC, Outgoing},
    waiting::{FULL_WAIT, while_full},
};
use crate::log::LogError;

const READ_BYTES: usize = 1 << 20;

/// Kafka's word for a batch that has none.
const NO_PRODUCER: i64 = -1;

/// The outbox as the loop knows it.
pub(super) struct Outbox {
    /// Where the next record goes.
    pub end: Offset,
    partition: Option<PartitionKey>,
}

impl Outbox {
    pub fn at(end: Offset) -> Self {
        Self {
            end,
            partition: None,
        }
    }
}

impl Engine {
    /// Writes what the sinks put out in an epoch, once the epoch is decided. It is decided also when rows were late, and when
    /// windows closed: nobody may see one closed that a restart could open again. And when something came out of a join whose
    /// rows go: where a restart cut elsewhere, what was in time would be late.
    pub(super) async fn decide(
        &self,
        stream: &mut Stream,
        epoch: u64,
        now: i64,
        cuts: &BTreeMap<PartitionKey, Offset>,
        late_rows: u64,
    ) {
        let batches = self.outgoing(stream, now).await;
        if stream.is_void {
            return;
        }
        let counts = !self.planted.forget_late_rows;
        let is_late = late_rows > 0 && counts;
        let mut pipelines = stream.pipelines.iter();
        let closes = counts && pipelines.any(|p| p.drops_late() && !p.output.is_empty());
        // Functions of a program may depend on where epochs are cut, and on the watermark of the epoch before: a restart must
        // cut them there again.
        let mut streams = stream.pipelines.iter().filter(|p| p.is_stream()).peekable();
        let has_streams = streams.peek().is_some();
        let has_moved = streams.any(|pipeline| pipeline.has_moved);
        // So may what is known of schemas be another then, and more records hold rows; a view is as right with them.
        let mut writers = stream
            .pipelines
            .iter()
            .filter(|p| p.sink.is_some() || p.is_stream());
        let goes_out = has_streams || writers.next().is_some();
        let has_unknown = std::mem::take(&mut stream.has_unknown_writers) && goes_out;
        let is_decided = !batches.is_empty() || is_late || closes || has_moved || has_unknown;
        if !is_decided && !has_streams && !stream.pipelines.iter().any(Pipeline::drops_late) {
            return;
        }
        let decided = Decided {
            batches,
            ..self.record(stream, epoch, now, cuts)
        };
        if !is_decided {
            stream.previous = Some(decided);
            return;
        }
        let previous = stream.previous.take().filter(|_| is_late || has_moved);
        if self.planted.outputs_before_record {
            self.write_out(stream, decided.batches.clone()).await;
        }
        let mut appended = Ok(());
        for record in previous.iter().chain([&decided]) {
            if appended.is_ok() {
                appended = self.append_decided(stream, record).await;
            }
        }
        match appended {
            Ok(()) => {
                self.count_decided(&decided);
                self.tell_deliveries(stream.outbox.end);
                self.write_out(stream, decided.batches).await;
            }
            Err(error) => {
                // The epoch never was, so nothing of it may be in a checkpoint, nor be seen.
                stream.is_void = true;
                if !error.is_of_the_node() {
                    self.fail_sinks(stream, &format!("the outbox: {error}"));
                }
            }
        }
    }

    fn fail_sinks(&self, stream: &mut Stream, why: &str) {
        for pipeline in &stream.pipelines {
            if pipeline.sink.is_some() || pipeline.is_stream() {
                pipeline.relation.fail(why);
            }
        }
    }

    /// The batches of all sinks, with their sequences.
    async fn outgoing(&self, stream: &mut Stream, now: i64) -> Vec<Outgoing> {
        let mut batches = Vec::new();
        for pipeline in &mut stream.pipelines {
            let Some(sink) = &mut pipeline.sink else {
                continue;
            };
            let output = std::mem::take(&mut pipeline.output);
            if output.is_empty() {
                continue;
            }
            let producer = match sink.producer {
                // Who that is, the other cluster says when it is written.
                _ if pipeline.relation.writes_elsewhere() => NO_PRODUCER,
                Some(producer) => producer,
                None => match while_full(&self.stopping, || self.log.producer_id()).await {
                    Ok(producer) => producer,
                    Err(error) if error.is_of_the_node() => {
                        stream.is_void = true;
                        return batches;
                    }
                    Err(error) => {
                        pipeline.relation.fail(&error.to_string());
                        continue;
                    }
                },
            };
            sink.producer = Some(producer);
            match sink.batches(producer, &output, now) {
                Ok(made) => batches.extend(made),
                Err(error) => pipeline.relation.fail(&error.to_string()),
            }
        }
        batches
    }

    async fn outbox(&self, stream: &mut Stream) -> Result<PartitionKey, LogError> {
        if let Some(partition) = stream.outbox.partition {
            return Ok(partition);
        }
        let make = || self.log.ensure_topic(OUTBOX_TOPIC.to_owned(), 1, true);
        let topic = while_full(&self.stopping, make).await?;
        let partition = PartitionKey {
            topic: topic.id,
            partition: PartitionIndex(0),
        };
        stream.outbox.partition = Some(partition);
        Ok(partition)
    }

    async fn append_decided(&self, stream: &mut Stream, decided: &Decided) -> Result<(), LogError> {
        let partition = self.outbox(stream).await?;
        for part in decided.encode() {
            let append = || self.log.append(partition, part.clone());
            stream.outbox.end = while_full(&self.stopping, append).await?;
        }
        Ok(())
    }

    /// Appends decided batches to their topics; those that are there already are recognised by their sequences. Also those
    /// of a sink that has stopped: they were decided. Those of one that is dropped go with it.
    async fn write_out(&self, stream: &mut Stream, batches: Vec<Outgoing>) {
        for outgoing in batches {
            let Some(relation) = self.relation_of(outgoing.relation) else {
                continue;
            };
            if relation.writes_elsewhere() {
                continue;
            }
            if self.planted.count_unwritten {
                self.write_later(outgoing);
                continue;
            }
            match self.write_batch(&outgoing).await {
                Ok(()) => {}
                // It is decided and not there: a restart writes it, unless a checkpoint says that it was.
                Err(error) if error.is_of_the_node() => stream.is_void = true,
                Err(error) if relation.failure().is_none() => relation.fail(&error.to_string()),
                Err(_) => {}
            }
        }
    }

    async fn write_batch(&self, outgoing: &Outgoing) -> Result<(), LogError> {
        let produce = || self.log.produce(outgoing.partition, outgoing.batch.clone());
        while_full(&self.stopping, produce).await
    }

    /// The planted bug: nobody waits.
    fn write_later(&self, outgoing: Outgoing) {
        let log = self.log.clone();
        runtime::spawn(Class::Streams, "planted", async move {
            runtime::sleep(FULL_WAIT).await;
            // The bug is that this is not looked at.
            drop(log.produce(outgoing.partition, outgoing.batch).await);
        });
    }

    fn relation_of(&self, id: u64) -> Option<Rc<Relation>> {
        let relations = self.relations.borrow();
        relations
            .values()
            .find(|relation| relation.id == id)
            .cloned()
    }

    /// Goes through what was decided before this start; then sinks may deliver it.
    pub(super) async fn take_up_decided(self: &Rc<Self>, stream: &mut Stream) {
        match self.replay_outbox(stream).await {
            Ok(()) if stream.is_void => {}
            Ok(()) => self.start_deliveries(stream.outbox.end),
            Err(error) => {
                tracing::error!(%error, "the stream engine does not start");
                stream.is_void = true;
                self.failure.replace(Some(error));
            }
        }
        self.has_taken_up.set(true);
        self.progressed.notify_all();
    }

    /// Goes through the epochs that were decided behind the checkpoint.
    async fn replay_outbox(&self, stream: &mut Stream) -> Result<(), EngineError> {
        let Some(topic) = self.log.topic(OUTBOX_TOPIC) else {
            return Ok(());
        };
        let partition = PartitionKey {
            topic: topic.id,
            partition: PartitionIndex(0),
        };
        stream.outbox.partition = Some(partition);
        self.count_undelivered(partition, stream).await?;
        // Those that were never read begin where their partitions do.
        self.cut(&mut stream.pipelines, RECORDS_PER_EPOCH).await;
        let mut assembly = Assembly::default();
        loop {
            let from = stream.outbox.end;
            let read = self.log.batches(partition, from, READ_BYTES).await;
            let (from, bytes) = read.map_err(unreadable)?;
            if bytes.is_empty() {
                stream.outbox.end = stream.outbox.end.max(from);
                return Ok(());
            }
            stream.outbox.end = assembly.read(&bytes, from)?;
            for decided in std::mem::take(&mut assembly.epochs) {
                self.replay(stream, decided).await;
                if stream.is_void {
                    return Ok(());
                }
            }
        }
    }

    /// What of before the checkpoint waits for other clusters.
    async fn count_undelivered(
        &self,
        partition: PartitionKey,
        stream: &Stream,
    ) -> Result<(), EngineError> {
        let relations: BTreeSet<u64> = self.deliveries.all.borrow().keys().copied().collect();
        if relations.is_empty() {
            return Ok(());
        }
        let mut assembly = Assembly::of(relations);
        let mut next = Offset::ZERO;
        while next < stream.outbox.end {
            let read = self.log.batches(partition, next, READ_BYTES).await;
            let (from, bytes) = read.map_err(unreadable)?;
            if bytes.is_empty() {
                break;
            }
            next = assembly.read(&bytes, from)?;
            let epochs = std::mem::take(&mut assembly.epochs);
            // Those behind it are counted when they are gone through.
            let before = epochs.iter().filter(|e| e.epoch <= stream.saved.epoch);
            before.for_each(|decided| self.count_decided(decided));
        }
        Ok(())
    }

    async fn replay(&self, stream: &mut Stream, decided: Decided) {
        // Written for the one behind it, while the checkpoint of this very epoch was on its way.
        if decided.epoch <= stream.saved.epoch {
            return;
        }
        self.count_decided(&decided);
        for pipeline in &mut stream.pipelines {
            let relation = pipeline.relation.id;
            let Some(sink) = &mut pipeline.sink else {
                continue;
            };
            for outgoing in decided
                .batches
                .iter()
                .filter(|batch| batch.relation == relation)
            {
                let next = match self.planted.reset_sequences {
                    true => 0,
                    false => outgoing.next_sequence(),
                };
                sink.follow(outgoing.producer, outgoing.partition.partition, next);
            }
        }
        stream.has_unknown_writers = false;
        let number = decided.epoch.max(self.epoch.get() + 1);
        let (now, cuts) = (decided.now, &decided.cuts);
        self.work_off(stream, number, now, cuts, Some(&decided))
            .await;
        if stream.is_void {
            return;
        }
        for pipeline in &mut stream.pipelines {
            if pipeline.sink.is_some() {
                pipeline.output.clear();
            }
        }
        self.show(stream, number, now).await;
        self.tidy(&stream.pipelines).await;
        self.write_out(stream, decided.batches).await;
    }

    /// What stands before the checkpoint is not gone through again.
    pub(super) async fn trim_outbox(&self, stream: &Stream) {
        if let Some(partition) = stream.outbox.partition {
            // What is left is only longer.
            let mut until = stream.saved.outbox;
            if !self.planted.trim_undelivered {
                until = until.min(self.undelivered_from());
            }
            if let Err(error) = self.log.trim(partition, until).await {
                tracing::debug!(%error, "the outbox was not trimmed");
            }
        }
    }
}

fn unreadable(error: LogError) -> CheckpointError {
    CheckpointError::Io {
        path: OUTBOX_TOPIC.to_owned(),
        error: error.to_string(),
    }
}
