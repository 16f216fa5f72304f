//! Epochs in which sinks put something out: decided in the outbox, then written to their topics.

use std::{collections::BTreeMap, time::Duration};

use base::{Offset, PartitionIndex, PartitionKey};

use super::{
    CheckpointError, Engine, EngineError, Stream,
    outbox::{Assembly, Decided, OUTBOX_TOPIC, Outgoing},
};
use crate::{Definition, log::LogError};

/// Between two tries while the disk is full.
const FULL_WAIT: Duration = Duration::from_millis(100);

const READ_BYTES: usize = 1 << 20;

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
    /// Writes what the sinks put out in an epoch, once the epoch is decided.
    pub(super) async fn decide(
        &self,
        stream: &mut Stream,
        epoch: u64,
        now: i64,
        cuts: &BTreeMap<PartitionKey, Offset>,
    ) {
        let batches = self.outgoing(stream, now).await;
        // Functions of a program may depend on where epochs are cut: a restart must cut them there again.
        let has_moved = stream.pipelines.iter().any(|pipeline| {
            let is_stream = matches!(pipeline.relation.definition, Definition::Stream(_));
            is_stream && pipeline.has_moved
        });
        if batches.is_empty() && !has_moved {
            return;
        }
        let decided = Decided {
            epoch,
            now,
            cuts: cuts.clone(),
            batches,
        };
        match self.append_decided(stream, &decided).await {
            Ok(()) => self.write_out(stream, decided.batches).await,
            // The epoch never was, so nothing of it may be in a checkpoint.
            Err(LogError::Stopping) => stream.is_void = true,
            Err(error) => {
                for pipeline in &stream.pipelines {
                    let is_stream = matches!(pipeline.relation.definition, Definition::Stream(_));
                    if pipeline.sink.is_some() || is_stream {
                        pipeline.relation.fail(&format!("the outbox: {error}"));
                    }
                }
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
                Some(producer) => producer,
                None => match self.log.producer_id().await {
                    Ok(producer) => producer,
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
        let topic = self
            .log
            .ensure_topic(OUTBOX_TOPIC.to_owned(), 1, true)
            .await?;
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
            stream.outbox.end = loop {
                match self.log.append(partition, part.clone()).await {
                    Err(LogError::Full) if !self.stopping.get() => runtime::sleep(FULL_WAIT).await,
                    appended => break appended?,
                }
            };
        }
        Ok(())
    }

    /// Appends decided batches to their topics; those that are there already are recognised by their sequences.
    async fn write_out(&self, stream: &Stream, batches: Vec<Outgoing>) {
        for outgoing in batches {
            let of = |relation: u64| {
                let mut pipelines = stream.pipelines.iter();
                pipelines.find(move |pipeline| pipeline.relation.id == relation)
            };
            let Some(pipeline) = of(outgoing.relation) else {
                continue;
            };
            let written = loop {
                let batch = outgoing.batch.clone();
                match self.log.produce(outgoing.partition, batch).await {
                    Err(LogError::Full) if !self.stopping.get() => runtime::sleep(FULL_WAIT).await,
                    written => break written,
                }
            };
            match written {
                Ok(()) | Err(LogError::Stopping | LogError::Full) => {}
                Err(error) => pipeline.relation.fail(&error.to_string()),
            }
        }
    }

    /// Goes through the epochs that were decided behind the checkpoint.
    pub(super) async fn replay_outbox(&self, stream: &mut Stream) -> Result<(), EngineError> {
        let Some(topic) = self.log.topic(OUTBOX_TOPIC) else {
            return Ok(());
        };
        let partition = PartitionKey {
            topic: topic.id,
            partition: PartitionIndex(0),
        };
        stream.outbox.partition = Some(partition);
        // Those that were never read begin where their partitions do.
        self.cut(&mut stream.pipelines).await;
        let mut assembly = Assembly::default();
        loop {
            let from = stream.outbox.end;
            let read = self.log.batches(partition, from, READ_BYTES).await;
            let (from, bytes) = read.map_err(|error| CheckpointError::Io {
                path: OUTBOX_TOPIC.to_owned(),
                error: error.to_string(),
            })?;
            if bytes.is_empty() {
                stream.outbox.end = stream.outbox.end.max(from);
                return Ok(());
            }
            stream.outbox.end = assembly.read(&bytes, from)?;
            for decided in std::mem::take(&mut assembly.epochs) {
                self.replay(stream, decided).await;
            }
        }
    }

    async fn replay(&self, stream: &mut Stream, decided: Decided) {
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
                let next = outgoing.next_sequence();
                sink.follow(outgoing.producer, outgoing.partition.partition, next);
            }
        }
        self.work_off(stream, &decided.cuts, decided.now, false)
            .await;
        for pipeline in &mut stream.pipelines {
            if pipeline.sink.is_some() {
                pipeline.output.clear();
            }
        }
        self.write_out(stream, decided.batches).await;
    }

    /// What stands before the checkpoint is not gone through again.
    pub(super) async fn trim_outbox(&self, stream: &Stream) {
        if let Some(partition) = stream.outbox.partition {
            // What is left is only longer.
            if let Err(error) = self.log.trim(partition, stream.saved.outbox).await {
                tracing::debug!(%error, "the outbox was not trimmed");
            }
        }
    }
}
