//! What a plan does twice, done once: reads of one relation, and nodes that are alike over the same inputs.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

use arrow_schema::{FieldRef, Schema, SchemaRef};

use super::{Input, Node, NodeId, Operator, Plan};
use crate::{ExpressionRef, expression::Column};

/// Reads that can be one: of the same relation, with the same to say of time.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Read<'p> {
    relation: &'p str,
    is_append_only: bool,
    /// The relation's column.
    time: Option<usize>,
}

impl Plan {
    /// A plan of the same result in which nothing is read or computed twice or for nobody.
    #[must_use]
    pub fn shared(self) -> Self {
        let reads = reads(&self);
        let mut shared = Self::default();
        let mut places: Vec<NodeId> = Vec::with_capacity(self.nodes.len());
        let needed = needed(&self);
        for (node, needed) in self.nodes.iter().zip(needed) {
            if !needed {
                // Nobody looks it up.
                places.push(NodeId(0));
                continue;
            }
            let inputs = node.inputs.iter().map(|input| places[input.0]);
            let inputs: Vec<NodeId> = inputs.collect();
            let place = match &node.operator {
                Operator::Input(input) => shared.read(input, &node.schema, &reads),
                _ => shared.once(Node {
                    inputs,
                    ..node.clone()
                }),
            };
            places.push(place);
        }
        // The result is the last node, whatever else it is.
        if let Some(result) = places.last()
            && result.0 + 1 < shared.nodes.len()
        {
            let schema = shared.nodes[result.0].schema.clone();
            shared.add(
                Operator::Project(columns(0..schema.fields().len())),
                &[*result],
                schema,
            );
        }
        shared
    }

    /// The columns of an input, out of the one read that there is of its relation.
    fn read(
        &mut self,
        input: &Input,
        schema: &SchemaRef,
        reads: &BTreeMap<Read<'_>, BTreeMap<usize, FieldRef>>,
    ) -> NodeId {
        let Some(fields) = reads.get(&key(input)) else {
            return self.once(node(
                Operator::Input(input.clone()),
                Vec::new(),
                schema.clone(),
            ));
        };
        let place = |column: &usize| fields.keys().position(|other| other == column);
        let all = Input {
            relation: input.relation.clone(),
            columns: fields.keys().copied().collect(),
            is_append_only: input.is_append_only,
            time: input.time.and_then(|time| place(&input.columns[time])),
        };
        let rows = Arc::new(Schema::new(fields.values().cloned().collect::<Vec<_>>()));
        let is_all = all.columns == input.columns;
        let read = self.once(node(Operator::Input(all), Vec::new(), rows));
        if is_all {
            return read;
        }
        let places = input.columns.iter().filter_map(place);
        self.once(node(
            Operator::Project(columns(places)),
            vec![read],
            schema.clone(),
        ))
    }

    /// The node that is this one, a new one if there is none.
    fn once(&mut self, node: Node) -> NodeId {
        let found = self.nodes.iter().position(|other| *other == node);
        NodeId(found.unwrap_or_else(|| {
            self.nodes.push(node);
            self.nodes.len() - 1
        }))
    }
}

fn node(operator: Operator, inputs: Vec<NodeId>, schema: SchemaRef) -> Node {
    Node {
        operator,
        inputs,
        schema,
        closes: None,
        ages: None,
    }
}

/// Which nodes the result is made of.
fn needed(plan: &Plan) -> Vec<bool> {
    let mut needed = vec![false; plan.nodes.len()];
    if let Some(result) = needed.last_mut() {
        *result = true;
    }
    for at in (0..plan.nodes.len()).rev() {
        if needed[at] {
            for input in &plan.nodes[at].inputs {
                needed[input.0] = true;
            }
        }
    }
    needed
}

/// The columns that are read of each relation, by their place in it.
fn reads(plan: &Plan) -> BTreeMap<Read<'_>, BTreeMap<usize, FieldRef>> {
    let mut reads: BTreeMap<Read<'_>, BTreeMap<usize, FieldRef>> = BTreeMap::new();
    for (node, input) in plan.inputs() {
        let fields = plan.nodes[node.0].schema.fields();
        let read = reads.entry(key(input)).or_default();
        read.extend(input.columns.iter().copied().zip(fields.iter().cloned()));
    }
    reads
}

fn key(input: &Input) -> Read<'_> {
    Read {
        relation: &input.relation,
        is_append_only: input.is_append_only,
        time: input.time.and_then(|time| input.columns.get(time).copied()),
    }
}

/// Columns as they are.
pub(super) fn columns(places: impl IntoIterator<Item = usize>) -> Vec<ExpressionRef> {
    let places = places.into_iter();
    places
        .map(|place| Arc::new(Column(place)) as ExpressionRef)
        .collect()
}
