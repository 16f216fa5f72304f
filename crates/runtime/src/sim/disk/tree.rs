//! Directories of a simulated disk: names, and the changes of names that a power cut may undo.

use super::image::{FileImage, Page, Survival};
use crate::sim::rng::Rng;
use std::collections::{BTreeMap, BTreeSet};

/// Index of a file or directory; never reused within a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NodeId(pub(super) usize);

pub(super) const ROOT: NodeId = NodeId(0);

#[derive(Clone)]
pub(super) enum Node {
    File(FileImage),
    Dir,
}

/// Names by directory; a directory without entries has none here.
#[derive(Clone, Default)]
struct Names(BTreeMap<NodeId, BTreeMap<Box<str>, NodeId>>);

impl Names {
    fn get(&self, dir: NodeId, name: &str) -> Option<NodeId> {
        self.0.get(&dir)?.get(name).copied()
    }

    /// Gives the name a new target, or none.
    fn set(&mut self, dir: NodeId, name: &str, target: Option<NodeId>) {
        let entries = self.0.entry(dir).or_default();
        match (target, entries.get_mut(name)) {
            (Some(target), Some(entry)) => *entry = target,
            (Some(target), None) => {
                entries.insert(name.into(), target);
            }
            (None, _) => {
                entries.remove(name);
            }
        }
    }

    fn targets(&self) -> impl Iterator<Item = NodeId> {
        self.0
            .values()
            .flat_map(|entries| entries.values().copied())
    }
}

/// One atomic change of names: each name gets a new target, or none.
#[derive(Clone)]
struct NameChange {
    seq: u64,
    names: Vec<(NodeId, Box<str>, Option<NodeId>)>,
}

/// All names of a disk, as seen now and as on media.
#[derive(Clone)]
pub(super) struct Tree {
    nodes: BTreeMap<NodeId, Node>,
    node_next: usize,
    now: Names,
    durable: Names,
    pending: Vec<NameChange>,
    orphaned: u32,
}

/// Unlinks between two sweeps for files that nothing refers to any more.
const ORPHANS_PER_SWEEP: u32 = 16;

impl Tree {
    pub(super) fn new() -> Self {
        Self {
            nodes: BTreeMap::from([(ROOT, Node::Dir)]),
            node_next: 1,
            now: Names::default(),
            durable: Names::default(),
            pending: Vec::new(),
            orphaned: 0,
        }
    }

    pub(super) fn file(&self, id: NodeId) -> Option<&FileImage> {
        match self.nodes.get(&id) {
            Some(Node::File(image)) => Some(image),
            _ => None,
        }
    }

    pub(super) fn file_mut(&mut self, id: NodeId) -> Option<&mut FileImage> {
        match self.nodes.get_mut(&id) {
            Some(Node::File(image)) => Some(image),
            _ => None,
        }
    }

    pub(super) fn is_dir(&self, id: NodeId) -> bool {
        matches!(self.nodes.get(&id), Some(Node::Dir))
    }

    pub(super) fn files_mut(&mut self) -> impl Iterator<Item = &mut FileImage> {
        self.nodes.values_mut().filter_map(|node| match node {
            Node::File(image) => Some(image),
            Node::Dir => None,
        })
    }

    pub(super) fn child(&self, dir: NodeId, name: &str) -> Option<NodeId> {
        self.now.get(dir, name)
    }

    /// Entries of a directory, sorted by name.
    pub(super) fn children(&self, dir: NodeId) -> impl Iterator<Item = (&str, NodeId)> {
        let entries = self.now.0.get(&dir).into_iter().flatten();
        entries.map(|(name, id)| (&**name, *id))
    }

    pub(super) fn create(&mut self, seq: u64, dir: NodeId, name: &str, node: Node) -> NodeId {
        let id = NodeId(self.node_next);
        self.node_next += 1;
        self.nodes.insert(id, node);
        self.change(seq, vec![(dir, name.into(), Some(id))]);
        id
    }

    pub(super) fn unlink(&mut self, seq: u64, dir: NodeId, name: &str) {
        self.change(seq, vec![(dir, name.into(), None)]);
        self.orphaned += 1;
    }

    pub(super) fn rename(&mut self, seq: u64, from: (NodeId, &str), to: (NodeId, &str)) {
        let moved = self.child(from.0, from.1);
        self.change(
            seq,
            vec![(from.0, from.1.into(), None), (to.0, to.1.into(), moved)],
        );
        self.orphaned += 1;
    }

    fn change(&mut self, seq: u64, names: Vec<(NodeId, Box<str>, Option<NodeId>)>) {
        let change = NameChange { seq, names };
        change.apply(&mut self.now);
        self.pending.push(change);
    }

    /// Makes the entries of `dir` durable as of `seq`, with whatever those changes build on.
    pub(super) fn sync_dir(&mut self, seq: u64, dir: NodeId) {
        let mut names: BTreeSet<(NodeId, Box<str>)> = BTreeSet::new();
        let mut chosen = vec![false; self.pending.len()];
        for (at, change) in self.pending.iter().enumerate().rev() {
            let touched = change.seq <= seq && change.names.iter().any(|(of, ..)| *of == dir);
            if touched || change.touches(&names) {
                chosen[at] = true;
                names.extend(change.names.iter().map(|(of, name, _)| (*of, name.clone())));
            }
        }
        let mut at = 0;
        let durable = &mut self.durable;
        self.pending.retain(|change| {
            let chosen = chosen[at];
            at += 1;
            if chosen {
                change.apply(durable);
            }
            !chosen
        });
    }

    /// What is left of names and files after a power cut.
    pub(super) fn cut(&mut self, how: Survival, rng: &mut Rng, sector: usize, zero: &Page) {
        // Later changes of a name never survive an earlier one of it that was lost.
        let mut lost: BTreeSet<(NodeId, Box<str>)> = BTreeSet::new();
        for change in std::mem::take(&mut self.pending) {
            let survives = match how {
                Survival::None => false,
                Survival::All => true,
                Survival::Prefix { seq } => change.seq < seq,
                Survival::Writes { chance } | Survival::Sectors { chance } => rng.chance(chance),
            };
            if survives && !change.touches(&lost) {
                change.apply(&mut self.durable);
            } else {
                lost.extend(change.names.into_iter().map(|(of, name, _)| (of, name)));
            }
        }
        for file in self.files_mut() {
            file.cut(how, rng, sector, zero);
        }
        self.now = self.durable.clone();
        let mut nodes_before = usize::MAX;
        while self.nodes.len() < nodes_before {
            nodes_before = self.nodes.len();
            self.sweep(&[]);
        }
    }

    /// Frees files that no name, no pending change and none of `open` refers to, when there may be enough of them.
    pub(super) fn sweep_sometimes(&mut self, open: &[NodeId]) -> bool {
        if self.orphaned < ORPHANS_PER_SWEEP {
            return false;
        }
        self.sweep(open);
        true
    }

    pub(super) fn has_pending_names(&self) -> bool {
        !self.pending.is_empty()
    }

    pub(super) fn sweep(&mut self, open: &[NodeId]) {
        self.orphaned = 0;
        let mut is_alive = vec![false; self.node_next];
        let pending = self.pending.iter().flat_map(|change| &change.names);
        let all = pending
            .filter_map(|(.., target)| *target)
            .chain(self.now.targets())
            .chain(self.durable.targets())
            .chain(open.iter().copied())
            .chain([ROOT]);
        all.for_each(|id| is_alive[id.0] = true);
        self.nodes.retain(|id, _| is_alive[id.0]);
        // Names inside a directory that was lost go with it.
        let nodes = &self.nodes;
        self.now.0.retain(|dir, _| nodes.contains_key(dir));
        self.durable.0.retain(|dir, _| nodes.contains_key(dir));
    }

    pub(super) fn pages_allocated(&self) -> u64 {
        self.nodes
            .values()
            .map(|node| match node {
                Node::File(image) => image.now.pages_allocated(),
                Node::Dir => 0,
            })
            .sum()
    }
}

impl NameChange {
    fn touches(&self, names: &BTreeSet<(NodeId, Box<str>)>) -> bool {
        !names.is_empty()
            && self
                .names
                .iter()
                .any(|(of, name, _)| names.contains(&(*of, name.clone())))
    }

    fn apply(&self, to: &mut Names) {
        for (dir, name, target) in &self.names {
            to.set(*dir, name, *target);
        }
    }
}
