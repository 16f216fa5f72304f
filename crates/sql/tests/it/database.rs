//! A database in memory: tables as rows, views as running dataflows.

use std::{collections::BTreeMap, sync::Arc, thread};

use arrow::{array::RecordBatch, compute::concat_batches, datatypes::SchemaRef};
use sql::{
    backend::SqlError,
    catalog::{Catalog, RelationKind},
    execute::{execute, expanded},
    planner::{Bindings, Planned, define, plan_change, plan_query},
    statement::{Statement, StatementKind, parse},
};
use streams::{
    Definition, Delta, Plan,
    graph::{EpochEnd, Graph},
};

/// 2020-01-01, for `now()`.
pub const NOW_US: i64 = 1_577_836_800_000_000;

struct View {
    plan: Plan,
    graph: Graph,
    output: Vec<Delta>,
}

/// See the module head.
#[derive(Default)]
pub struct Database {
    catalog: Catalog,
    rows: BTreeMap<String, RecordBatch>,
    views: BTreeMap<String, View>,
    epoch: u64,
    /// Queries that were asked since the catalog changed, by their text.
    planned: BTreeMap<String, Planned>,
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
            | StatementKind::CreateSource(_) => {
                self.create(statement)?;
                Ok(Answer::Done)
            }
            StatementKind::Insert(_) | StatementKind::Update(_) | StatementKind::Delete(_) => {
                let catalog = &self.catalog;
                let change = with_stack(|| plan_change(catalog, &statement.kind, &[]))?;
                let removed = self.ask_all(change.removed.as_ref())?;
                let added = self.ask_all(change.added.as_ref())?;
                if let Some(added) = &added {
                    change.check(added)?;
                }
                self.change(&change.table, removed, added)?;
                Ok(Answer::Done)
            }
            StatementKind::Drop(drop) => {
                self.planned.clear();
                for name in &drop.names {
                    self.catalog.remove(name);
                    self.rows.remove(name);
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
            now_us: NOW_US,
        };
        let mut rows = BTreeMap::new();
        for name in &planned.reads {
            rows.insert(name.clone(), vec![self.contents(name)?]);
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
                step(&mut view, &deltas, self.epoch)?;
                self.views.insert(name, view);
            }
            _ => {
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
        self.epoch += 1;
        let mut changed: BTreeMap<String, Vec<Delta>> = BTreeMap::new();
        changed.insert(table.to_owned(), deltas);
        let names: Vec<String> = self.in_order();
        for name in names {
            let view = self.views.get_mut(&name).expect("it is there");
            let out = step(view, &changed, self.epoch)?;
            changed.insert(name, out);
        }
        Ok(())
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
fn with_stack<T: Send>(work: impl FnOnce() -> T + Send) -> T {
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
    epoch: u64,
) -> Result<Vec<Delta>, SqlError> {
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
    view.graph.end_epoch(EpochEnd {
        epoch,
        now: NOW_US,
        watermarks: BTreeMap::new(),
    });
    while view.graph.work() {}
    view.graph.checkpoint(&mut |_, _| {});
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

/// Several batches as one.
pub fn one(batches: &[RecordBatch]) -> RecordBatch {
    let schema = batches[0].schema();
    if schema.fields().is_empty() {
        return batches[0].clone();
    }
    concat_batches(&Arc::clone(&schema), batches).expect("batches of one schema")
}
