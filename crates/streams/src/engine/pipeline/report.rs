//! What a pipeline says of itself.

use base::{Offset, PartitionKey};

use super::{Feed, Pipeline};
use crate::{
    engine::report::{OperatorReport, PositionReport},
    log::TopicLog,
};

impl Pipeline {
    /// What each node does and holds.
    pub fn operators(&self) -> Vec<OperatorReport> {
        let plan = self.relation.plan();
        let nodes = plan.nodes.iter().zip(self.graph.stats());
        let nodes = nodes.map(|(node, stats)| OperatorReport {
            name: node.operator.name().to_owned(),
            stats,
        });
        nodes.collect()
    }

    /// How far each partition is read, of how much.
    pub fn places(
        &self,
        seen: &[(PartitionKey, Offset)],
        log: &dyn TopicLog,
    ) -> Vec<PositionReport> {
        let mut places = Vec::new();
        for feed in self.feeds.values() {
            let Feed::Topic {
                topic, positions, ..
            } = feed
            else {
                continue;
            };
            for position in positions {
                let end = seen.iter().find(|(key, _)| *key == position.key);
                places.push(PositionReport {
                    topic: topic.clone(),
                    partition: position.key,
                    next_offset: position.next_offset,
                    high_watermark: end.map_or(position.next_offset, |(_, end)| *end),
                    trouble: log.trouble(topic),
                });
            }
        }
        places
    }
}
