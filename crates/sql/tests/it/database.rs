//! A database in memory: tables and what has arrived of sources as rows, views as running dataflows.

use std::{collections::BTreeMap, sync::Arc, thread};

use arrow::{
    array::{AsArray, RecordBatch, UInt64Array},
    compute::{cast, concat_batches, take_record_batch},
    datatypes::{Int64Type, SchemaRef, TimestampMicrosecondType},
    row::{RowConverter, SortField},
};
use sql::{
    backend::SqlError,
    catalog::{Catalog, RelationKind},
    execute::execute,
    planner::{Bindings, Planned, define, plan_change, plan_query},
    statement::{Statement, StatementKind, parse},
};
use streams::{
    Definition, Delta, NodeId, Plan,
    definition::Watermark,
    graph::{EpochEnd, Graph, StateKey},
};

/// 2020-01-01, for `now()` until a clock is set.
pub const NOW_US: i64 = 1_577_836_800_000_000;

/// Epochs between two that begin with a graph out of a checkpoint.
const RESTORES_EVERY: u64 = 3;

struct View {
    plan: Plan,
    graph: Graph,
    output: Vec<Delta>,
    /// What checkpoints have written.
    state: BTreeMap<(NodeId, u8, Vec<u8>), Vec<u8>>,
    watermark: Option<i64>,
}

/// How far the time among a source's rows has come, by the rule that docs/sql.md tells.
struct Arrivals {
    watermark: Option<Watermark>,
    /// Of each partition.
    times: Vec<Option<i64>>,
    said: Option<i64>,
}

impl Arrivals {
    fn see(&mut self, partitions: usize, rows: &RecordBatch, now_us: i64) {
        self.times.resize(partitions, None);
        let Some(known) = self.watermark else {
            return;
        };
        let at = rows.column(0).as_primitive::<Int64Type>();
        let times = rows
            .column(1 + known.column)
            .as_primitive::<TimestampMicrosecondType>();
        for (partition, time) in at.values().iter().zip(times) {
            let seen = &mut self.times[usize::try_from(*partition).expect("a partition")];
            let ahead = now_us.saturating_add(known.future_us_max);
            *seen = (*seen).max(time.filter(|time| *time <= ahead));
        }
        let all: Option<Vec<i64>> = self.times.iter().copied().collect();
        let least = all.and_then(|times| times.into_iter().min());
        self.said = self.said.max(least.map(|time| time - known.delay_us));
    }
}

/// See the module head.
pub struct Database {
    catalog: Catalog,
    rows: BTreeMap<String, RecordBatch>,
    sources: BTreeMap<String, Arrivals>,
    views: BTreeMap<String, View>,
    epoch: u64,
    now_us: i64,
    /// Queries that were asked since the catalog changed, by their text.
    planned: BTreeMap<String, Planned>,
}

impl Default for Database {
    fn default() -> Self {
        Self {
            catalog: Catalog::default(),
            rows: BTreeMap::new(),
            sources: BTreeMap::new(),
            views: BTreeMap::new(),
            epoch: 0,
            now_us: NOW_US,
            planned: BTreeMap::new(),
        }
    }
}

/// What a statement answers.
pub enum Answer {
    Rows(Vec<RecordBatch>),
    Done,
}

impl Database {
    pub fn run(&mut self, text: &str) -> Result<Vec<Answer>, SqlError> {
        parse(text)?
            .iter()
            .map(|statement| self.statement(statement))
            .collect()
    }

    fn statement(&mut self, statement: &Statement) -> Result<Answer, SqlError> {
        match &statement.kind {
            StatementKind::Query(query) => {
                if !self.planned.contains_key(&statement.text) {
                    let catalog = &self.catalog;
                    let planned = with_stack(|| plan_query(catalog, query, &[]))?;
                    self.planned.insert(statement.text.clone(), planned);
                }
                Ok(Answer::Rows(self.ask(&self.planned[&statement.text])?))
            }
            StatementKind::CreateTable(_)
            | StatementKind::CreateView(_)
            | StatementKind::CreateIndex(_)
            | StatementKind::CreateSource(_) => {
                self.create(statement)?;
                Ok(Answer::Done)
            }
            StatementKind::Insert(_) | StatementKind::Update(_) | StatementKind::Delete(_) => {
                let catalog = &self.catalog;
                let change = with_stack(|| plan_change(catalog, &statement.kind, &[]))?;
                let removed = self.ask_all(change.removed.as_ref())?;
                let added = self.ask_all(change.added.as_ref())?;
                let added = match added {
                    Some(added) => change.stored(vec![added])?.pop(),
                    None => None,
                };
                self.change(&change.table, removed, added)?;
                Ok(Answer::Done)
            }
            StatementKind::Drop(drop) => {
                self.planned.clear();
                for name in &drop.names {
                    if self.catalog.remove(name).is_none() {
                        let message = format!("relation \"{name}\" does not exist");
                        return Err(SqlError::new(*b"42P01", message));
                    }
                    self.rows.remove(name);
                    self.sources.remove(name);
                    self.views.remove(name);
                }
                Ok(Answer::Done)
            }
            _ => Err(SqlError::unsupported("not in this database")),
        }
    }

    /// How many columns a query gives.
    pub fn column_count(&self, text: &str) -> Result<usize, SqlError> {
        let statements = parse(text)?;
        let Some(Statement {
            kind: StatementKind::Query(query),
            ..
        }) = statements.first()
        else {
            return Err(SqlError::unsupported("a query was expected"));
        };
        Ok(plan_query(&self.catalog, query, &[])?.fields.len())
    }

    fn ask_all(&self, planned: Option<&Planned>) -> Result<Option<RecordBatch>, SqlError> {
        let Some(planned) = planned else {
            return Ok(None);
        };
        let mut batches = self.ask(planned)?;
        Ok(batches.pop())
    }

    fn ask(&self, planned: &Planned) -> Result<Vec<RecordBatch>, SqlError> {
        let bindings = Bindings {
            parameters: Vec::new(),
            now_us: self.now_us,
        };
        let mut rows = BTreeMap::new();
        for name in &planned.reads {
            rows.insert(name.clone(), vec![Delta::insert(self.contents(name)?)]);
        }
        with_stack(|| execute(planned, &bindings, &rows, 4 << 30))
    }

    /// All rows of a relation.
    pub fn contents(&self, name: &str) -> Result<RecordBatch, SqlError> {
        if let Some(view) = self.views.get(name) {
            return expanded(&view.plan.result().schema, &view.output);
        }
        Ok(self.rows[name].clone())
    }

    fn create(&mut self, statement: &Statement) -> Result<(), SqlError> {
        self.planned.clear();
        let catalog = &self.catalog;
        let (relation, definition) = with_stack(|| define(catalog, statement))?;
        let name = relation.name.clone();
        match definition {
            Definition::View(view) => {
                let graph = Graph::new(&view.plan)
                    .map_err(|error| SqlError::unsupported(error.to_string()))?;
                let mut view = View {
                    plan: view.plan,
                    graph,
                    output: Vec::new(),
                    state: BTreeMap::new(),
                    watermark: None,
                };
                let inputs: Vec<_> = view
                    .plan
                    .inputs()
                    .map(|(_, input)| input.relation.clone())
                    .collect();
                let mut deltas = BTreeMap::new();
                for input in inputs {
                    deltas.insert(input.clone(), vec![Delta::insert(self.contents(&input)?)]);
                }
                self.epoch += 1;
                let end = self.epoch_of(&view);
                step(&mut view, &deltas, end)?;
                self.views.insert(name, view);
            }
            Definition::Index(_) => {}
            other => {
                if let Definition::Source(source) = other {
                    let arrivals = Arrivals {
                        watermark: source.watermark,
                        times: Vec::new(),
                        said: None,
                    };
                    self.sources.insert(name.clone(), arrivals);
                }
                let schema = nullable(&relation.schema);
                self.rows.insert(name, RecordBatch::new_empty(schema));
            }
        }
        assert!(
            relation.kind != RelationKind::Sink,
            "there are no sinks here"
        );
        self.catalog.insert(relation);
        Ok(())
    }

    fn change(
        &mut self,
        table: &str,
        removed: Option<RecordBatch>,
        added: Option<RecordBatch>,
    ) -> Result<(), SqlError> {
        let schema = self.rows[table].schema();
        let mut deltas = Vec::new();
        for (batch, weight) in [(removed, -1), (added, 1)] {
            let Some(batch) = batch.filter(|batch| batch.num_rows() > 0) else {
                continue;
            };
            let batch = RecordBatch::try_new(schema.clone(), batch.columns().to_vec())?;
            let weights = vec![weight; batch.num_rows()];
            deltas.push(Delta::new(batch, weights));
        }
        let mut all = vec![Delta::insert(self.rows[table].clone())];
        all.extend(deltas.iter().cloned());
        let now = expanded(&schema, &all)?;
        self.rows.insert(
            table.to_owned(),
            RecordBatch::try_new(schema, now.columns().to_vec())?,
        );
        self.end_epoch(BTreeMap::from([(table.to_owned(), deltas)]))
    }

    fn end_epoch(&mut self, mut changed: BTreeMap<String, Vec<Delta>>) -> Result<(), SqlError> {
        self.epoch += 1;
        for name in self.in_order() {
            let end = self.epoch_of(&self.views[&name]);
            let view = self.views.get_mut(&name).expect("it is there");
            let out = step(view, &changed, end)?;
            changed.insert(name, out);
        }
        Ok(())
    }

    /// A view's watermark is in the epoch in which that of what it reads is.
    fn epoch_of(&self, view: &View) -> EpochEnd {
        let of = |relation: &String| match self.sources.get(relation) {
            Some(source) => source.said,
            None => self.views.get(relation).and_then(|view| view.watermark),
        };
        let known = view.plan.inputs();
        let known = known.filter_map(|(node, input)| Some((node, of(&input.relation)?)));
        EpochEnd {
            epoch: self.epoch,
            now: self.now_us,
            watermarks: known.collect(),
        }
    }

    /// An epoch in which rows come to a source: in front of their columns stands the partition.
    pub fn arrive(
        &mut self,
        source: &str,
        partitions: usize,
        values: &str,
    ) -> Result<(), SqlError> {
        let Some(Answer::Rows(batches)) = self.run(values)?.pop() else {
            return Err(SqlError::unsupported("rows were expected"));
        };
        let rows = one(&batches);
        let schema = self.rows[source].schema();
        let mut columns = vec![cast(rows.column(0), &arrow::datatypes::DataType::Int64)?];
        for (field, column) in schema.fields().iter().zip(&rows.columns()[1..]) {
            columns.push(cast(column, field.data_type())?);
        }
        let wide = RecordBatch::try_from_iter_with_nullable(
            columns
                .iter()
                .enumerate()
                .map(|(at, column)| (format!("c{at}"), column.clone(), true)),
        )?;
        let known = self.sources.get_mut(source).expect("a source");
        known.see(partitions, &wide, self.now_us);
        let added = RecordBatch::try_new(schema, columns.split_off(1))?;
        self.change(source, None, Some(added))
    }

    /// An epoch in which only time goes on.
    pub fn set_clock(&mut self, now: &str) -> Result<(), SqlError> {
        let Some(Answer::Rows(batches)) = self.run(now)?.pop() else {
            return Err(SqlError::unsupported("a timestamp was expected"));
        };
        let now = one(&batches);
        self.now_us = now
            .column(0)
            .as_primitive::<TimestampMicrosecondType>()
            .value(0);
        self.end_epoch(BTreeMap::new())
    }

    /// Views behind the views they read: by the order of creation, which is not kept, so by what they need.
    fn in_order(&self) -> Vec<String> {
        let mut done: Vec<String> = Vec::new();
        while done.len() < self.views.len() {
            let before = done.len();
            for (name, view) in &self.views {
                let is_ready = view.plan.inputs().all(|(_, input)| {
                    !self.views.contains_key(&input.relation) || done.contains(&input.relation)
                });
                if is_ready && !done.contains(name) {
                    done.push(name.clone());
                }
            }
            assert!(done.len() > before, "views read each other in no circle");
        }
        done
    }
}

/// As the node does it.
pub fn with_stack<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(sql::STACK_BYTES);
        let thread = thread.spawn_scoped(scope, work);
        let done = thread.expect("a thread starts").join();
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn step(
    view: &mut View,
    changed: &BTreeMap<String, Vec<Delta>>,
    end: EpochEnd,
) -> Result<Vec<Delta>, SqlError> {
    if end.epoch.is_multiple_of(RESTORES_EVERY) {
        let refused = |error: String| SqlError::unsupported(error);
        view.graph = Graph::new(&view.plan).map_err(|error| refused(error.to_string()))?;
        for ((node, table, key), value) in &view.state {
            let (node, table) = (*node, *table);
            let key = StateKey { node, table, key };
            let restored = view.graph.restore(key, value);
            restored.map_err(|error| refused(error.to_string()))?;
        }
    }
    let timed = view.plan.inputs().filter(|(_, input)| input.time.is_some());
    let timed = timed.map(|(node, _)| end.watermarks.get(&node).copied());
    view.watermark = view.watermark.max(timed.min().flatten());
    let inputs: Vec<_> = view
        .plan
        .inputs()
        .map(|(node, input)| (node, input.clone()))
        .collect();
    for (node, input) in inputs {
        let schema = view.plan.nodes[node.0].schema.clone();
        for delta in changed.get(&input.relation).into_iter().flatten() {
            let columns = input
                .columns
                .iter()
                .map(|at| delta.column(*at).clone())
                .collect();
            view.graph
                .push(node, delta.with_columns(nullable(&schema), columns));
        }
    }
    view.graph.end_epoch(end);
    while view.graph.work() {}
    let state = &mut view.state;
    let mut write = |key: StateKey<'_>, value: Option<&[u8]>| {
        let place = (key.node, key.table, key.key.to_vec());
        match value {
            Some(value) => state.insert(place, value.to_vec()),
            None => state.remove(&place),
        };
    };
    while view.graph.checkpoint(false, &mut write) {}
    let fault = view
        .graph
        .stats()
        .into_iter()
        .find_map(|stats| stats.last_fault);
    if let Some(fault) = fault {
        return Err(fault.into());
    }
    let out = view.graph.take_output();
    view.output.extend(out.iter().cloned());
    Ok(out)
}

fn nullable(schema: &SchemaRef) -> SchemaRef {
    sql::column_type::canonical_schema(schema)
}

/// Each row as often as its weights say.
fn expanded(schema: &SchemaRef, deltas: &[Delta]) -> Result<RecordBatch, SqlError> {
    let schema = nullable(schema);
    let batches = deltas
        .iter()
        .map(|delta| RecordBatch::try_new(schema.clone(), delta.rows().columns().to_vec()));
    let all = concat_batches(&schema, &batches.collect::<Result<Vec<_>, _>>()?)?;
    let types = schema.fields().iter();
    let types = types.map(|field| SortField::new(field.data_type().clone()));
    let rows = RowConverter::new(types.collect())?.convert_columns(all.columns())?;
    let weights = deltas
        .iter()
        .flat_map(|delta| (0..delta.len()).map(|row| delta.weight(row)));
    let weights: Vec<i64> = weights.collect();
    let has_gone = weights.iter().any(|weight| *weight < 0);
    // Of equal rows some of which go, those that stay are where the first was.
    let mut first = BTreeMap::new();
    let mut counts = vec![0; weights.len()];
    for (at, weight) in weights.iter().enumerate() {
        let place = match has_gone {
            true => *first.entry(rows.row(at)).or_insert(at),
            false => at,
        };
        counts[place] += weight;
    }
    let places = counts.iter().enumerate().flat_map(|(at, count)| {
        let count = usize::try_from(*count).expect("no more rows go than came");
        std::iter::repeat_n(at as u64, count)
    });
    let places = UInt64Array::from_iter_values(places);
    Ok(take_record_batch(&all, &places)?)
}

/// Several batches as one.
pub fn one(batches: &[RecordBatch]) -> RecordBatch {
    let schema = batches[0].schema();
    if schema.fields().is_empty() {
        return batches[0].clone();
    }
    concat_batches(&Arc::clone(&schema), batches).expect("batches of one schema")
}
