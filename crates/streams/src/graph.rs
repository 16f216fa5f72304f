//! A plan that runs: deltas in, deltas out, epoch by epoch.
//!
//! # Place       one shard, or one ad-hoc query; performs no I/O
//! # Invariants
//! 1. At an epoch's end the sum of all output equals the plan's answer over the sum of all input, for every plan.
//! 2. Deltas run through stateless nodes as they come. Nodes with state change it as deltas come, and emit once for each
//!    thing that the epoch touched when it ends, each node after its inputs: what goes, then what comes, and nothing when
//!    that is the same.
//! 3. The same pushes and epochs give the same output, byte for byte.
//! 4. An expression that fails for a row gives null there, or drops the row if it is a filter's; both are counted.
//! 5. A checkpoint stands between two epochs: when `work` has returned false behind `end_epoch`, before the next `push`.
//!
//! # Limits      CHUNK_ROWS rows, about, in one piece of work; the bytes of state of all nodes: beyond them it stops

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use arrow_schema::{DataType, SchemaRef};
use runtime::Instant;

use crate::{
    Delta, Fault, NodeId, Operator, Plan,
    delta::CHUNK_ROWS,
    operators::{self, End, Output, Running},
    row::{Corrupt, ROW_VERSION, Unsupported},
};

/// Why a plan cannot run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error("node {node} of the plan: {source}")]
    Unsupported { node: usize, source: Unsupported },
    #[error("node {node} of the plan: {function} of {argument} is not known to give {result}")]
    Aggregate {
        node: usize,
        function: String,
        argument: String,
        result: DataType,
    },
    #[error("node {node} of the plan is malformed: {reason}")]
    Malformed { node: usize, reason: &'static str },
}

/// Why an entry of a checkpoint does not belong to the plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    #[error("the plan has no such state: node {node}, table {table}")]
    Unknown { node: usize, table: u8 },
    #[error("state of node {node}, table {table}: {source}")]
    Corrupt {
        node: usize,
        table: u8,
        source: Corrupt,
    },
    #[error("{0}")]
    Refused(String),
    #[error("state in version {0}, which this program does not read")]
    Version(u8),
}

/// Names an entry of a graph's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StateKey<'a> {
    pub node: NodeId,
    pub table: u8,
    pub key: &'a [u8],
}

/// What decides an epoch beside its input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochEnd {
    pub epoch: u64,
    /// The epoch's clock, in microseconds since the epoch of UNIX; never falls.
    pub now: i64,
    /// Of inputs: no row comes behind that is older, but late ones. In microseconds; never falls.
    pub watermarks: BTreeMap<NodeId, i64>,
}

/// What a node has done and holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeStats {
    pub rows_in: u64,
    pub rows_out: u64,
    pub state_entries: usize,
    pub state_bytes: usize,
    /// Values that could not be computed.
    pub faults: u64,
    pub last_fault: Option<Fault>,
    /// Rows that came when they could change nothing any more.
    pub late_rows: u64,
    /// How long it was at work, as far as there was a clock.
    pub busy: Duration,
}

/// See the module head.
#[derive(Debug)]
pub struct Graph {
    nodes: Vec<NodeRun>,
    /// Rows only come out of the node, never go.
    append_only: Vec<bool>,
    /// The epoch that is ending, and the node whose turn it is.
    ending: Option<(EpochEnd, usize)>,
    output: Vec<Delta>,
    state_bytes_max: usize,
    failure: Option<Fault>,
    clock: Option<fn() -> Instant>,
}

#[derive(Debug)]
struct NodeRun {
    running: Box<dyn Running>,
    /// What waits to be handled, with the number of the input that it comes by.
    queue: VecDeque<(usize, Delta)>,
    /// Who reads its rows, and as which of its inputs.
    consumers: Vec<(usize, usize)>,
    inputs: Vec<usize>,
    schema: SchemaRef,
    /// Whether a watermark speaks of it: an input with a time, or whatever reads one.
    is_input: bool,
    has_time: bool,
    stats: NodeStats,
}

impl Graph {
    /// Fails when the plan contradicts itself, or has types or functions that no operator knows.
    pub fn new(plan: &Plan) -> Result<Self, PlanError> {
        let mut nodes: Vec<NodeRun> = Vec::with_capacity(plan.nodes.len());
        let mut append_only = Vec::with_capacity(plan.nodes.len());
        if plan.nodes.is_empty() {
            return Err(PlanError::Malformed {
                node: 0,
                reason: "there is none",
            });
        }
        for (at, node) in plan.nodes.iter().enumerate() {
            let inputs: Vec<usize> = node.inputs.iter().map(|input| input.0).collect();
            if inputs.iter().any(|input| *input >= at) {
                return Err(PlanError::Malformed {
                    node: at,
                    reason: "an input does not come first",
                });
            }
            let running = operators::make(at, plan, &nodes_schemas(&nodes), &append_only)?;
            append_only.push(operators::is_append_only(plan, at, &append_only));
            for (port, input) in inputs.iter().enumerate() {
                nodes[*input].consumers.push((at, port));
            }
            let has_time = match &node.operator {
                Operator::Input(input) => input.time.is_some(),
                _ => inputs.iter().any(|input| nodes[*input].has_time),
            };
            nodes.push(NodeRun {
                running,
                queue: VecDeque::new(),
                consumers: Vec::new(),
                inputs,
                schema: operators::nullable(&node.schema),
                is_input: matches!(node.operator, Operator::Input(_)),
                has_time,
                stats: NodeStats::default(),
            });
        }
        Ok(Self {
            nodes,
            append_only,
            ending: None,
            output: Vec::new(),
            state_bytes_max: usize::MAX,
            failure: None,
            clock: None,
        })
    }

    /// From here on it stops, with a failure, when its state is greater at the end of a piece of work.
    pub fn set_state_bytes_max(&mut self, bytes: usize) {
        self.state_bytes_max = bytes;
    }

    /// From here on it measures how long each node is at work: two looks at the clock for each piece of work, which is of
    /// many rows wherever there are many.
    pub fn set_clock(&mut self, clock: fn() -> Instant) {
        self.clock = Some(clock);
    }

    /// Why it has stopped; nothing that it gives from then on means anything.
    #[must_use]
    pub fn failure(&self) -> Option<&Fault> {
        self.failure.as_ref()
    }

    /// Of the rows that `take_output` gives; every column may be null.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.nodes.last().expect("a plan has a result").schema
    }

    /// Whether its output only ever grows.
    #[must_use]
    pub fn is_append_only(&self) -> bool {
        *self.append_only.last().expect("a plan has a result")
    }

    /// Rows for one of the plan's inputs, whose columns they have. Panics when they do not, or while an epoch is ending.
    pub fn push(&mut self, input: NodeId, delta: Delta) {
        assert!(
            self.ending.is_none(),
            "an epoch's end comes behind all of its rows"
        );
        let node = &mut self.nodes[input.0];
        assert!(node.is_input, "rows from outside come by an input");
        let delta = delta.with_columns(node.schema.clone(), delta.rows().columns().to_vec());
        for from in (0..delta.len()).step_by(CHUNK_ROWS) {
            let count = CHUNK_ROWS.min(delta.len() - from);
            let piece = if count == delta.len() {
                delta.clone()
            } else {
                delta.slice(from, count)
            };
            node.queue.push_back((0, piece));
        }
    }

    /// Ends the epoch: `work` gives the rest of its output. Panics while the one before is ending.
    pub fn end_epoch(&mut self, end: EpochEnd) {
        assert!(self.ending.is_none(), "one epoch ends at a time");
        self.ending = Some((end, 0));
    }

    /// Does one piece of work; false when nothing is left to do before the next push or epoch's end.
    pub fn work(&mut self) -> bool {
        if self.failure.is_some() {
            return false;
        }
        // The last first: what is nearest to the output frees most.
        let waiting = self.nodes.iter().rposition(|node| !node.queue.is_empty());
        if let Some(at) = waiting {
            let (port, delta) = self.nodes[at].queue.pop_front().expect("it is not empty");
            let mut rest = None;
            self.run(at, |running, out| {
                running.take(port, &delta, out);
                rest = out.rest.take();
                false
            });
            let left = rest.as_ref().map_or(0, Delta::len);
            let node = &mut self.nodes[at];
            if let Some(rest) = rest {
                node.queue.push_front((port, rest));
            }
            node.stats.rows_in += (delta.len() - left) as u64;
            return true;
        }
        let Some((end, at)) = self.ending.take() else {
            return false;
        };
        let context = End {
            now: end.now,
            watermark: self.watermark(at, &end),
        };
        let has_more = self.run(at, |running, out| running.finish(&context, out));
        let next = if has_more { at } else { at + 1 };
        if next < self.nodes.len() {
            self.ending = Some((end, next));
        }
        // What the last node emitted is output already; what another did waits in queues, and that node's turn is to come.
        self.ending.is_some()
    }

    /// The result's deltas since the last call. Those of an epoch are complete once `work` has returned false.
    pub fn take_output(&mut self) -> Vec<Delta> {
        std::mem::take(&mut self.output)
    }

    /// Writes some of the entries of state that changed since the last checkpoint, or, begun with `all`, of all there are, for
    /// a checkpoint that needs none before it. True while there are more, which then come without `all`. Those with `None`
    /// are gone, and a gone one may come again behind it. Panics unless between two epochs.
    pub fn checkpoint(
        &mut self,
        all: bool,
        write: &mut dyn FnMut(StateKey<'_>, Option<&[u8]>),
    ) -> bool {
        let is_at_rest =
            self.ending.is_none() && self.nodes.iter().all(|node| node.queue.is_empty());
        assert!(is_at_rest, "a checkpoint stands between two epochs");
        let mut has_more = false;
        let mut versioned = Vec::new();
        for (at, node) in self.nodes.iter_mut().enumerate() {
            has_more |= node.running.checkpoint(all, &mut |table, key, value| {
                let key = StateKey {
                    node: NodeId(at),
                    table,
                    key,
                };
                let Some(value) = value else {
                    return write(key, None);
                };
                versioned.clear();
                versioned.push(ROW_VERSION);
                versioned.extend_from_slice(value);
                write(key, Some(&versioned));
            });
        }
        has_more
    }

    /// Makes room for so many entries that `restore` will bring.
    pub fn reserve(&mut self, node: NodeId, table: u8, entries: usize) {
        if let Some(node) = self.nodes.get_mut(node.0) {
            node.running.reserve(table, entries);
        }
    }

    /// Puts back an entry that a checkpoint wrote, into a graph of the same plan that has not worked yet: the entries of
    /// each run in its order, the runs in any.
    pub fn restore(&mut self, key: StateKey<'_>, value: &[u8]) -> Result<(), RestoreError> {
        let StateKey { node, table, key } = key;
        let node = node.0;
        let (version, value) = value.split_first().ok_or(RestoreError::Version(0))?;
        if *version != ROW_VERSION {
            return Err(RestoreError::Version(*version));
        }
        let run = self
            .nodes
            .get_mut(node)
            .ok_or(RestoreError::Unknown { node, table })?;
        let restored = run.running.restore(table, key, value);
        restored.map_err(|source| match run.running.refusal() {
            Some(why) => RestoreError::Refused(why),
            None => RestoreError::Corrupt {
                node,
                table,
                source,
            },
        })
    }

    /// Memory of all nodes' state, about.
    #[must_use]
    pub fn state_bytes(&self) -> usize {
        self.nodes.iter().map(|node| node.running.bytes()).sum()
    }

    /// How many rows were dropped for being late.
    #[must_use]
    pub fn late_rows(&self) -> u64 {
        self.nodes.iter().map(|node| node.stats.late_rows).sum()
    }

    /// By node.
    #[must_use]
    pub fn stats(&self) -> Vec<NodeStats> {
        let with_state = |node: &NodeRun| NodeStats {
            state_entries: node.running.entries(),
            state_bytes: node.running.bytes(),
            ..node.stats.clone()
        };
        self.nodes.iter().map(with_state).collect()
    }

    fn run(&mut self, at: usize, work: impl FnOnce(&mut dyn Running, &mut Output) -> bool) -> bool {
        let node = &mut self.nodes[at];
        let mut out = Output::default();
        let began = self.clock.map(|clock| clock());
        let has_more = work(node.running.as_mut(), &mut out);
        if let Some((clock, began)) = self.clock.zip(began) {
            node.stats.busy += clock().since(began);
        }
        node.stats.faults += out.faults;
        node.stats.late_rows += out.late_rows;
        if out.last_fault.is_some() {
            node.stats.last_fault = out.last_fault;
        }
        node.stats.state_bytes = node.running.bytes();
        for delta in out.deltas {
            if !delta.is_empty() {
                self.emit(at, delta);
            }
        }
        let bytes: usize = self.nodes.iter().map(|node| node.stats.state_bytes).sum();
        if bytes > self.state_bytes_max {
            self.failure = Some(Fault {
                sqlstate: *b"53200",
                message: format!(
                    "the state needs {bytes} bytes, and {} are permitted",
                    self.state_bytes_max
                ),
            });
        }
        has_more
    }

    fn emit(&mut self, at: usize, delta: Delta) {
        self.nodes[at].stats.rows_out += delta.len() as u64;
        for consumer in 0..self.nodes[at].consumers.len() {
            let (to, port) = self.nodes[at].consumers[consumer];
            self.nodes[to].queue.push_back((port, delta.clone()));
        }
        if at + 1 == self.nodes.len() {
            self.output.push(delta);
        }
    }

    /// Of the rows that come out of the node: the least of what its inputs say; `None` when none speaks of them.
    fn watermark(&self, at: usize, end: &EpochEnd) -> Option<i64> {
        let mut least = vec![None; at + 1];
        for node in 0..=at {
            least[node] = if self.nodes[node].is_input {
                let said = end.watermarks.get(&NodeId(node)).copied();
                said.or(self.nodes[node].has_time.then_some(i64::MIN))
            } else {
                self.nodes[node]
                    .inputs
                    .iter()
                    .filter_map(|input| least[*input])
                    .min()
            };
        }
        least[at]
    }
}

fn nodes_schemas(nodes: &[NodeRun]) -> Vec<SchemaRef> {
    nodes.iter().map(|node| node.schema.clone()).collect()
}

#[cfg(test)]
mod tests;
