//! EXPLAIN: of a query what it would do, of a view or sink what it does.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{Int32Type, Int64Type};
use streams::{Definition, Plan};

use super::{Answer, Rows, Session, text_columns};
use crate::{
    backend::SqlError,
    catalog::{Catalog, Relation, RelationKind},
    planner::{self, Bindings},
    statement::{Statement, StatementKind, parse},
};

impl Session {
    pub(super) async fn explain(
        &mut self,
        analyze: bool,
        statement: &Statement,
    ) -> Result<Answer, SqlError> {
        let system = self.system().await;
        let mut lines = match &statement.kind {
            StatementKind::Query(query) => {
                let planned = self.plan(query, &[]).await?;
                let bindings = Bindings {
                    parameters: Vec::new(),
                    now_us: (self.now)(),
                };
                let planned = planned.planned.clone();
                let bound = self.compute(move || planned.bind(&bindings)).await?;
                planner::explain(&bound.plan, &system.all)
            }
            StatementKind::CreateView(_) | StatementKind::CreateSink(_) => {
                let (over, own) = (system.clone(), statement.clone());
                let define = move || planner::define(&over.all, &own);
                let (_, definition) = self.compute(define).await?;
                match definition {
                    streams::Definition::View(view) => planner::explain(&view.plan, &system.all),
                    streams::Definition::Sink(sink) => planner::explain(&sink.plan, &system.all),
                    _ => Vec::new(),
                }
            }
            _ => {
                return Err(SqlError::unsupported(
                    "EXPLAIN takes a query, or CREATE MATERIALIZED VIEW or SINK",
                ));
            }
        };
        if analyze && let StatementKind::Query(query) = &statement.kind {
            let began = (self.now)();
            let rows = self.query(query, &[]).await?;
            let spent = (self.now)() - began;
            let count = rows.count();
            lines.push(format!("Rows: {count}"));
            lines.push(format!("Execution time: {:.3} ms", spent as f64 / 1000.0));
        }
        answer(lines)
    }

    /// The dataflow of what is there; by ANALYZE with what its operators have done.
    pub(super) async fn explain_relation(
        &mut self,
        analyze: bool,
        name: &str,
    ) -> Result<Answer, SqlError> {
        let relation = self.relation(name).await?;
        relation.check()?;
        if matches!(
            relation.kind,
            RelationKind::Source | RelationKind::Index | RelationKind::System
        ) {
            let message = format!("\"{}\" has no operators of its own", relation.name);
            return Err(SqlError::new(*b"42809", message)
                .with_hint("EXPLAIN takes a query, a materialized view, a table or a sink."));
        }
        let system = self.system().await;
        let mut work = Vec::new();
        if analyze {
            for batch in self.backend.system("operators".to_owned()).await? {
                work.extend(work_of(&batch, &relation.name));
            }
        }
        let over = system.clone();
        let made = relation.clone();
        let plan = self.compute(move || Ok(plan_of(&over.all, &made))).await?;
        let mut lines = match plan {
            Some(plan) => {
                let notes = work.iter().map(|work| (work.node, work.to_string()));
                let notes: BTreeMap<_, _> = notes.collect();
                planner::explain_with(&plan, &system.all, &notes)
            }
            // A table's, and those of programs, which no statement has made.
            None if analyze => {
                let lines = work.iter().rev();
                lines
                    .map(|work| format!("{}  (node {}) ({work})", work.operator, work.node))
                    .collect()
            }
            None => vec![format!("{} is no query", relation.name)],
        };
        if analyze && work.is_empty() {
            lines.push("It has stopped: no operator is at work.".to_owned());
        } else if analyze {
            let busy: Duration = work.iter().map(|work| work.busy).sum();
            let bytes: i64 = work.iter().map(|work| work.state_bytes).sum();
            lines.push(format!("Busy: {} ms since it was started", ms(busy)));
            lines.push(format!("State: {bytes} bytes"));
        }
        answer(lines)
    }
}

fn answer(lines: Vec<String>) -> Result<Answer, SqlError> {
    let lines: ArrayRef = Arc::new(StringArray::from(lines));
    let schema = text_columns(&["QUERY PLAN"]);
    let batch = RecordBatch::try_new(schema.clone(), vec![lines])?;
    Ok(Answer::Rows(
        Rows::new(schema, vec![batch]).uncounted("EXPLAIN"),
    ))
}

/// As it was planned when it was made: what it reads has not changed since.
fn plan_of(catalog: &Catalog, relation: &Relation) -> Option<Plan> {
    let statement = parse(&relation.definition).ok()?.pop()?;
    let (_, definition) = planner::define(catalog, &statement).ok()?;
    match definition {
        Definition::View(view) => Some(view.plan),
        Definition::Sink(sink) => Some(sink.plan),
        _ => None,
    }
}

/// What an operator has done, of `forebay.operators`.
struct Work {
    node: usize,
    operator: String,
    rows_in: i64,
    rows_out: i64,
    busy: Duration,
    state_entries: i64,
    state_bytes: i64,
    faults: i64,
    late_rows: i64,
}

impl std::fmt::Display for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "rows in {}, out {}, busy {} ms",
            self.rows_in,
            self.rows_out,
            ms(self.busy)
        )?;
        if self.state_entries > 0 || self.state_bytes > 0 {
            let (entries, bytes) = (self.state_entries, self.state_bytes);
            write!(f, ", state {entries} entries in {bytes} bytes")?;
        }
        if self.faults > 0 {
            write!(f, ", faults {}", self.faults)?;
        }
        if self.late_rows > 0 {
            write!(f, ", late rows {}", self.late_rows)?;
        }
        Ok(())
    }
}

fn ms(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64() * 1000.0)
}

fn work_of(batch: &RecordBatch, pipeline: &str) -> Vec<Work> {
    let number = |name: &str, row: usize| {
        let column = batch.column_by_name(name)?;
        let wide = column.as_primitive_opt::<Int64Type>();
        let narrow = column.as_primitive_opt::<Int32Type>();
        let wide = wide.map(|column| column.value(row));
        wide.or_else(|| narrow.map(|column| i64::from(column.value(row))))
    };
    let text = |name: &str, row: usize| {
        let column = batch.column_by_name(name)?.as_string_opt::<i32>()?;
        column.is_valid(row).then(|| column.value(row).to_owned())
    };
    let own =
        (0..batch.num_rows()).filter(|row| text("pipeline", *row).as_deref() == Some(pipeline));
    let work = own.map(|row| {
        let number = |name: &str| number(name, row).unwrap_or_default();
        Work {
            node: usize::try_from(number("node")).unwrap_or_default(),
            operator: text("operator", row).unwrap_or_default(),
            rows_in: number("rows_in"),
            rows_out: number("rows_out"),
            busy: Duration::from_nanos(u64::try_from(number("busy_ns")).unwrap_or_default()),
            state_entries: number("state_entries"),
            state_bytes: number("state_bytes"),
            faults: number("faults"),
            late_rows: number("late_rows"),
        }
    });
    work.collect()
}
