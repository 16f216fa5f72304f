//! What a pipeline reads, after that was replaced.

use std::{collections::BTreeMap, rc::Rc, sync::Arc};

use super::{Feed, Pipeline, Relation};
use crate::{Definition, Delta, NodeId, source::SourceReader};

impl Pipeline {
    /// Reads the relations that `newest` gives for those it knows, from the next epoch on. They have the same columns.
    pub fn repoint(&mut self, newest: &dyn Fn(&Relation) -> Option<Rc<Relation>>) {
        let plan = self.relation.plan();
        let columns: BTreeMap<NodeId, Vec<usize>> = plan
            .inputs()
            .map(|(node, input)| (node, input.columns.clone()))
            .collect();
        for (node, feed) in &mut self.feeds {
            match feed {
                Feed::Relation { relation, .. } => {
                    if let Some(newest) = newest(relation) {
                        *relation = newest;
                    }
                }
                Feed::Topic { source, reader, .. } => {
                    let Some(newest) = source.as_deref().and_then(newest) else {
                        continue;
                    };
                    if let Definition::Source(definition) = &newest.definition {
                        *reader = Arc::new(SourceReader::of(definition, &columns[node]));
                    }
                    *source = Some(newest);
                }
            }
        }
    }

    /// Everybody has heard of it.
    pub fn forget_difference(&mut self) {
        self.swap.difference = None;
        self.relation.difference_bytes.set(0);
    }

    /// What those hear of its epoch that read it.
    pub fn told(&self) -> Vec<Delta> {
        if self.swap.is_beside {
            return Vec::new();
        }
        let all = self.swap.difference.iter().flatten().chain(&self.output);
        all.cloned().collect()
    }
}
