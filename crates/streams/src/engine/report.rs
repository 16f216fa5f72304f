//! What the engine says of itself: pipelines, their operators, and how far they have read.

use std::rc::Rc;

use base::{Offset, PartitionKey};

use super::{DeliveryReport, Engine, QuestionError, Stream, relation::ReadCounts};
use crate::{Definition, graph::NodeStats};

/// All of it, as of the end of one epoch.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub epoch: u64,
    /// The epoch's clock, in microseconds since 1970.
    pub now: i64,
    pub pipelines: Vec<PipelineReport>,
}

/// A table, view or sink.
#[derive(Clone, Debug)]
pub struct PipelineReport {
    pub name: String,
    pub kind: &'static str,
    /// Why it has stopped, if it has.
    pub failure: Option<String>,
    pub counts: ReadCounts,
    /// Rows that are there; none are kept for a sink.
    pub rows: Option<u64>,
    pub bytes: u64,
    pub watermark: Option<i64>,
    pub operators: Vec<OperatorReport>,
    pub positions: Vec<PositionReport>,
    /// Of a sink into another cluster.
    pub delivery: Option<DeliveryReport>,
}

#[derive(Clone, Debug)]
pub struct OperatorReport {
    pub name: String,
    pub stats: NodeStats,
}

#[derive(Clone, Debug)]
pub struct PositionReport {
    pub topic: String,
    pub partition: PartitionKey,
    pub next_offset: Offset,
    pub high_watermark: Offset,
    /// Why nothing more comes, if something is wrong.
    pub trouble: Option<String>,
}

impl PipelineReport {
    /// Of one that has done nothing.
    #[must_use]
    pub fn new(name: &str, kind: &'static str) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            failure: None,
            counts: ReadCounts::default(),
            rows: None,
            bytes: 0,
            watermark: None,
            operators: Vec::new(),
            positions: Vec::new(),
            delivery: None,
        }
    }
}

impl Engine {
    /// As of the end of the next epoch.
    pub async fn report(&self) -> Result<Report, QuestionError> {
        self.report.take();
        self.report_wanted.set(true);
        self.wake.notify_one();
        self.wait_until(|| self.report.borrow().is_some()).await?;
        let report = self.report.borrow().clone();
        Ok(report.unwrap_or_default())
    }

    /// At the end of an epoch, for whoever has asked.
    pub(super) fn make_report(&self, stream: &Stream, seen: &[(PartitionKey, Offset)]) {
        if !self.report_wanted.replace(false) {
            return;
        }
        let relations = self.relations();
        let with_pipeline = relations.iter().filter(|relation| relation.has_pipeline());
        let pipelines = with_pipeline.map(|relation| {
            let mut running = stream.pipelines.iter();
            let running = running.find(|pipeline| Rc::ptr_eq(&pipeline.relation, relation));
            let (rows, bytes) = relation
                .with_arrangement(|rows| (Some(rows.row_count()), rows.bytes() as u64))
                .unwrap_or((None, 0));
            let kind = match relation.definition {
                Definition::Table(_) => "table",
                Definition::Stream(_) => "stream",
                Definition::Sink(_) => "sink",
                Definition::View(_) | Definition::Source(_) | Definition::Index(_) => {
                    "materialized view"
                }
            };
            PipelineReport {
                failure: relation.failure(),
                counts: relation.counts(),
                rows,
                bytes,
                watermark: relation.watermark.get(),
                operators: running.map_or_else(Vec::new, |running| running.operators()),
                positions: running
                    .map_or_else(Vec::new, |running| running.places(seen, &*self.log)),
                delivery: self.delivery_report(relation.id),
                ..PipelineReport::new(&relation.name, kind)
            }
        });
        self.report.replace(Some(Report {
            epoch: self.epoch.get(),
            now: self.now.get(),
            pipelines: pipelines.collect(),
        }));
    }
}
