//! A view with another query in the place of one: built beside it, and there from one epoch on.
//!
//! # Place
//! The new view's pipeline runs with the others, but nobody hears of it, no checkpoint has it and no record of an epoch names
//! it, until it takes the old one's id, name, indexes, readers and subscribers at the beginning of an epoch. Those hear the
//! difference of the two in that epoch, and readers see it when the epoch ends.
//!
//! # Crash
//! What the metadata says is what a restart has. It changes between `build_beside` and `swap`: before, nothing of the new view
//! is on disk; behind it, a checkpoint with the old one's state is of another plan, so the view is computed anew and so is
//! what reads it. That is why no sink may read it: it could not write the same again.
//!
//! # Limits
//! It reads only what was made before the view that it replaces, for pipelines are worked off in the order of their ids. Where
//! the difference does not fit into memory any more (`budget`), it stops, in its place.

use std::{collections::BTreeMap, rc::Rc};

use arrow_array::RecordBatch;

use super::{
    Engine, NewRelation, OverBudget, QuestionError, Relation, Stream, pipeline::Pipeline, rank,
};
use crate::{Definition, Delta, definition::Index, delta::CHUNK_ROWS, operators::append_only};

/// What is to take the place of a view.
pub(super) struct Beside {
    relation: Rc<Relation>,
    stage: Stage,
}

impl Beside {
    pub fn reads(&self, name: &str) -> bool {
        let plan = self.relation.plan();
        plan.inputs().any(|(_, input)| input.relation == name)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It is not to be seen.
    Building,
    /// The metadata has it.
    Wanted,
    /// The epoch that is being worked off is its first one.
    Taking,
}

/// Of a pipeline, what only concerns replacing.
#[derive(Default)]
pub struct Swap {
    /// It is to take another's place later, or never.
    pub is_beside: bool,
    /// In its first epoch: from the rows of the one before it to its own, as those have to hear that read it.
    pub difference: Option<Vec<Delta>>,
    /// Epochs that were decided before this start speak of another plan under its id.
    pub is_of_another_plan: bool,
}

impl Engine {
    /// Builds a view beside the one of its name; returns when it has read what there was. `swap` or `abandon` follows.
    /// Where it fails, everything is as before.
    pub async fn build_beside(&self, new: NewRelation) -> Result<(), QuestionError> {
        let old = self.relation(&new.name)?;
        let name = new.name.clone();
        let relation = Relation::new(NewRelation { id: old.id, ..new });
        self.may_replace(&old, &relation)?;
        let beside = Beside {
            relation: relation.clone(),
            stage: Stage::Building,
        };
        self.beside.borrow_mut().insert(name.clone(), beside);
        let built = self.build(&relation).await;
        if built.is_err() {
            self.abandon(&name);
        }
        built
    }

    async fn build(&self, relation: &Rc<Relation>) -> Result<(), QuestionError> {
        self.budget.count(relation);
        for columns in self.indexes_of(&relation.name) {
            relation.add_index(&columns, || self.budget.check()).await?;
        }
        let pipeline = Pipeline::new(relation.clone(), &self.relations.borrow(), &*self.log);
        let mut pipeline = pipeline?;
        pipeline.swap.is_beside = true;
        let pipeline = self.catch_up(pipeline).await?;
        self.joining.borrow_mut().push(pipeline);
        self.wake.notify_one();
        self.wait_read(relation).await
    }

    fn indexes_of(&self, name: &str) -> Vec<Vec<usize>> {
        let relations = self.relations.borrow();
        let indexes = relations
            .values()
            .filter(|other| other.failure().is_none())
            .filter_map(|other| match &other.definition {
                Definition::Index(index) if index.relation == name => Some(index.columns.clone()),
                _ => None,
            });
        indexes.collect()
    }

    /// What is to take a view's place has no index that the view has no more.
    pub(super) fn remove_index_beside(&self, index: &Index) {
        if let Some(beside) = self.beside.borrow().get(&index.relation) {
            beside.relation.remove_index(&index.columns);
        }
    }

    fn may_replace(&self, old: &Rc<Relation>, new: &Relation) -> Result<(), QuestionError> {
        let name = &old.name;
        let (Definition::View(was), Definition::View(will)) = (&old.definition, &new.definition)
        else {
            return Err(QuestionError::NotView(name.clone()));
        };
        let readers = self.readers(name);
        let mut touched = readers.iter().map(|reader| &reader.name);
        if self.is_busy(name) || touched.any(|reader| self.is_busy(reader)) {
            return Err(QuestionError::Busy(name.clone()));
        }
        self.may_be_read(&will.plan.relations())?;
        let relations = self.relations.borrow();
        for (_, input) in will.plan.inputs() {
            let read = relations.get(&input.relation);
            let read = read.ok_or_else(|| QuestionError::Unknown(input.relation.clone()))?;
            if rank(read.id) >= rank(old.id) {
                return Err(QuestionError::ReadsNewer {
                    name: name.clone(),
                    newer: input.relation.clone(),
                });
            }
        }
        drop(relations);
        let refused = |reader: &Relation, why| {
            Err(QuestionError::CannotReplace {
                name: name.clone(),
                by: reader.name.clone(),
                why,
            })
        };
        for reader in &readers {
            let plan = reader.plan();
            match &reader.definition {
                Definition::Index(_) | Definition::View(_) => {}
                _ => return refused(reader, "it cannot take back what it has put out"),
            }
            if plan.drops_late() {
                return refused(reader, "it drops rows that come late");
            }
            let as_growing = |(_, input): (_, &crate::plan::Input)| {
                input.relation == *name && (input.is_append_only || input.time.is_some())
            };
            if plan.inputs().any(as_growing) {
                return refused(reader, "it counts on rows that only come");
            }
        }
        let has_plans = readers.iter().any(|reader| reader.has_pipeline());
        let is_other = was.key != will.key || append_only(&was.plan) != append_only(&will.plan);
        match readers.first() {
            Some(reader) if !old.has_columns_of(new) => {
                refused(reader, "the columns are other ones")
            }
            Some(reader) if has_plans && is_other => {
                refused(reader, "the key, or whether rows only come, is another one")
            }
            _ => Ok(()),
        }
    }

    /// Everything that reads a relation, or what reads that.
    pub(super) fn readers(&self, name: &str) -> Vec<Rc<Relation>> {
        let relations = self.relations.borrow();
        let mut names = vec![name.to_owned()];
        let mut found: Vec<Rc<Relation>> = Vec::new();
        while let Some(read) = names.pop() {
            for other in relations.values() {
                let reads = match &other.definition {
                    Definition::Index(index) => index.relation == read,
                    _ => other
                        .plan()
                        .inputs()
                        .any(|(_, input)| input.relation == read),
                };
                let is_known = found.iter().any(|known| Rc::ptr_eq(known, other));
                if reads && other.name != read && !is_known {
                    names.push(other.name.clone());
                    found.push(other.clone());
                }
            }
        }
        found
    }

    /// Whether something is being built to take its place.
    pub(super) fn is_replaced(&self, name: &str) -> bool {
        self.beside.borrow().contains_key(name)
    }

    /// Gives up what `build_beside` has built.
    pub fn abandon(&self, name: &str) {
        self.beside.borrow_mut().remove(name);
        self.left.notify_all();
        self.wake.notify_one();
    }

    /// Whether a relation, which has another's name and id, is still to take its place.
    pub(super) fn is_beside(&self, relation: &Rc<Relation>) -> bool {
        let beside = self.beside.borrow();
        let mut kept = beside.values();
        kept.any(|beside| Rc::ptr_eq(&beside.relation, relation))
    }

    /// Puts what `build_beside` has built into its place; returns when readers see it. By now the metadata must have it.
    pub async fn swap(&self, name: &str) -> Result<(), QuestionError> {
        if let Some(beside) = self.beside.borrow_mut().get_mut(name) {
            beside.stage = Stage::Wanted;
        }
        self.wake.notify_one();
        self.wait_until(|| !self.is_replaced(name)).await
    }

    /// Whether it is about to change, or to be read.
    pub(super) fn is_busy(&self, name: &str) -> bool {
        let reserved = self.reserved.borrow();
        let mut read = reserved.values().flatten();
        self.is_replaced(name)
            || self.is_altered(name)
            || self.dropping.borrow().contains(name)
            || read.any(|read| read == name)
            || self.beside.borrow().values().any(|by| by.reads(name))
    }

    /// Whether what is to be made may read these: nothing that it would read, directly or not, is about to go or to be
    /// another, of which it would not hear.
    pub(super) fn may_be_read(&self, names: &[String]) -> Result<(), QuestionError> {
        let is_going = |name: &&String| self.dropping.borrow().contains(*name);
        if let Some(gone) = names.iter().find(is_going) {
            return Err(QuestionError::Unknown(gone.clone()));
        }
        if let Some(altered) = names.iter().find(|name| self.is_altered(name)) {
            return Err(QuestionError::Busy(altered.clone()));
        }
        for replaced in self.beside.borrow().keys() {
            let follow = self.readers(replaced);
            let mut follow = follow.iter().map(|reader| &reader.name);
            if names.contains(replaced) || follow.any(|reader| names.contains(reader)) {
                return Err(QuestionError::Busy(replaced.clone()));
            }
        }
        Ok(())
    }

    /// At the beginning of an epoch; whether it is the first one of a view.
    pub(super) async fn begin_swaps(&self, stream: &mut Stream) -> bool {
        let stays = |p: &Pipeline| !p.swap.is_beside || self.is_beside(&p.relation);
        stream.pipelines.retain(stays);
        let mut wanted = Vec::new();
        for beside in self.beside.borrow_mut().values_mut() {
            if beside.stage == Stage::Wanted {
                beside.stage = Stage::Taking;
                wanted.push(beside.relation.clone());
            }
        }
        for new in &wanted {
            if let Ok(old) = self.relation(&new.name) {
                self.begin_swap(stream, &old, new).await;
            }
        }
        !wanted.is_empty()
    }

    async fn begin_swap(&self, stream: &mut Stream, old: &Rc<Relation>, new: &Rc<Relation>) {
        let is_read = self
            .readers(&old.name)
            .iter()
            .any(|reader| reader.has_pipeline());
        let pipelines = &mut stream.pipelines;
        pipelines.retain(|pipeline| !Rc::ptr_eq(&pipeline.relation, old));
        let mut running = pipelines.iter_mut();
        // Not there where it has failed meanwhile.
        if let Some(pipeline) = running.find(|p| Rc::ptr_eq(&p.relation, new)) {
            pipeline.unsaved.clear();
            pipeline.swap.is_beside = false;
            if is_read {
                self.tell_difference(pipeline, old).await;
            }
        }
        for pipeline in pipelines {
            let is_old = |known: &Relation| std::ptr::eq(known, &**old);
            pipeline.repoint(&|known| is_old(known).then(|| new.clone()));
        }
        // Of what it was nothing is part of what it is.
        stream.saves_all_of.insert(new.id);
        stream.changed = true;
    }

    /// At the end of that epoch, while nobody looks; what it changes is not in the rows yet.
    pub(super) async fn end_swaps(&self, pipelines: &mut [Pipeline]) {
        let taking: Vec<_> = {
            let mut beside = self.beside.borrow_mut();
            let taking = beside.extract_if(.., |_, beside| beside.stage == Stage::Taking);
            taking.map(|(_, beside)| beside.relation).collect()
        };
        if !taking.is_empty() {
            self.views.close();
        }
        for new in taking {
            let name = new.name.clone();
            if let Some(rows) = &new.arrangement {
                self.views.put(&name, rows);
            }
            let Some(old) = self.relations.borrow_mut().insert(name, new.clone()) else {
                continue;
            };
            let mut running = pipelines.iter_mut();
            if let Some(pipeline) = running.find(|p| Rc::ptr_eq(&p.relation, &new))
                && pipeline.swap.difference.is_none()
                && old.has_subscribers()
            {
                self.tell_difference(pipeline, &old).await;
            }
            new.take_subscribers(&old);
            for (relation, _) in self.subscriptions.borrow_mut().values_mut() {
                if Rc::ptr_eq(relation, &old) {
                    *relation = new.clone();
                }
            }
        }
    }

    async fn tell_difference(&self, pipeline: &mut Pipeline, old: &Relation) {
        let new = pipeline.relation.clone();
        match self.difference(old, &new).await {
            Ok(difference) => pipeline.swap.difference = Some(difference),
            Err(error) => new.fail(&error.to_string()),
        }
    }

    /// From the rows of one view to those of another with the same columns; nothing where they have others.
    async fn difference(&self, old: &Relation, new: &Relation) -> Result<Vec<Delta>, OverBudget> {
        let (Some(gone), Some(come)) = (old.rows(), new.rows()) else {
            return Ok(Vec::new());
        };
        let schema = new.with_arrangement(|rows| rows.schema().clone());
        let Some(schema) = schema.filter(|_| old.has_columns_of(new)) else {
            return Ok(Vec::new());
        };
        let codec = Relation::codec(&schema);
        let mut sums = Sums::default();
        for (deltas, sign) in [(gone.deltas(), -1), (come.deltas(), 1)] {
            for delta in deltas {
                let rows = codec.encode(delta.rows().columns(), delta.len());
                for (at, row) in rows.iter().enumerate() {
                    sums.add(row, sign * delta.weight(at));
                }
                new.difference_bytes.set(sums.bytes);
                self.budget.check()?;
                if runtime::should_yield() {
                    runtime::yield_now().await;
                }
            }
        }
        let sums = &sums.weights;
        let changed = |sign: i64| sums.iter().filter(move |(_, weight)| **weight * sign > 0);
        // What goes is first, so that no key is there twice.
        let rows: Vec<(&[u8], i64)> = changed(-1)
            .chain(changed(1))
            .map(|(row, weight)| (row.as_slice(), *weight))
            .collect();
        let mut deltas = Vec::new();
        for chunk in rows.chunks(CHUNK_ROWS) {
            let columns = codec.decode(chunk.iter().map(|(row, _)| *row));
            let columns = columns.expect("the rows were encoded a moment ago");
            let batch = RecordBatch::try_new(schema.clone(), columns);
            let weights = chunk.iter().map(|(_, weight)| *weight).collect();
            deltas.push(Delta::new(batch.expect("columns of the schema"), weights));
            if runtime::should_yield() {
                runtime::yield_now().await;
            }
        }
        Ok(deltas)
    }
}

/// Rows by their bytes, with the sums of their weights where those are not zero.
#[derive(Default)]
struct Sums {
    weights: BTreeMap<Vec<u8>, i64>,
    /// What they take, with what is made of them.
    bytes: usize,
}

impl Sums {
    fn add(&mut self, row: &[u8], weight: i64) {
        // Here, in the list of what has changed, and as a row again.
        let bytes = 3 * size_of::<(Vec<u8>, i64)>() + 2 * row.len();
        match self.weights.get_mut(row) {
            Some(sum) if *sum + weight == 0 => {
                self.weights.remove(row);
                self.bytes -= bytes;
            }
            Some(sum) => *sum += weight,
            None => {
                self.weights.insert(row.to_vec(), weight);
                self.bytes += bytes;
            }
        }
    }
}
