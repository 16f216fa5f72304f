//! INSERT, UPDATE and DELETE: rows that go and come, at once or when the transaction commits.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::RecordBatch,
    datatypes::{Field, Schema, SchemaRef},
};
use datafusion_common::ScalarValue;
use streams::Delta;

use super::{Answer, Session, Tag, query::Query};
use crate::{
    backend::SqlError,
    column_type::{field_of_oid, postgres_type},
    planner::{self, Bindings, Planned, PlannedChange},
    statement::{Statement, StatementKind},
};

impl Session {
    async fn planned_change(
        &mut self,
        statement: &Statement,
        types: &[u32],
    ) -> Result<PlannedChange, SqlError> {
        let system = self.system().await;
        let kind = statement.kind.clone();
        let types: Vec<_> = types
            .iter()
            .map(|oid| field_of_oid(*oid).map(Arc::new))
            .collect();
        self.compute(move || planner::plan_change(&system.all, &kind, &types))
            .await
    }

    /// Types of parameters, by oid, and what RETURNING gives.
    pub(super) async fn describe_change(
        &mut self,
        statement: &Statement,
        types: &[u32],
    ) -> Result<(Vec<u32>, Option<SchemaRef>), SqlError> {
        let change = self.planned_change(statement, types).await?;
        let parameters = change.parameters.iter();
        let parameters = parameters.map(|field| postgres_type(field).oid).collect();
        let columns = change.returned.map(|returned| columns(&returned));
        Ok((parameters, columns))
    }

    pub(super) async fn change(
        &mut self,
        statement: &Statement,
        values: &[ScalarValue],
    ) -> Result<Answer, SqlError> {
        if self.transaction.is_read_only || self.settings.get("transaction_read_only")? == "on" {
            let what = match statement.kind {
                StatementKind::Insert(_) => "INSERT",
                StatementKind::Update(_) => "UPDATE",
                _ => "DELETE",
            };
            let message = format!("cannot execute {what} in a read-only transaction");
            return Err(SqlError::new(*b"25006", message));
        }
        // What was bound has the type that was described.
        let types = values.iter().map(postgres_type_of).collect::<Vec<_>>();
        let change = self.planned_change(statement, &types).await?;
        let (removed, removed_at) = self.rows_of(&change.removed, values).await?;
        let (added, added_at) = self.rows_of(&change.added, values).await?;
        added.iter().try_for_each(|rows| change.check(rows))?;
        // What comes by INSERT is right whatever the table holds.
        let as_of = match statement.kind {
            StatementKind::Insert(_) => None,
            _ => removed_at.min(added_at.or(removed_at)),
        };
        let tag = match statement.kind {
            StatementKind::Insert(_) => Tag::Counted("INSERT 0", count(&added)),
            StatementKind::Update(_) => Tag::Counted("UPDATE", count(&added)),
            _ => Tag::Counted("DELETE", count(&removed)),
        };
        let answer = match &change.returned {
            None => Answer::Done(tag),
            Some(returned) => {
                let rows = match statement.kind {
                    StatementKind::Delete(_) => &removed,
                    _ => &added,
                };
                self.returned(&change, returned, rows, tag).await?
            }
        };
        if let Some(delta) = delta(&removed, &added)? {
            if self.transaction.holds() {
                self.transaction.write(change.table, delta, as_of)?;
            } else {
                self.backend.write(change.table, delta, as_of).await?;
            }
        }
        Ok(answer)
    }

    /// What RETURNING says of rows that come or go.
    async fn returned(
        &mut self,
        change: &PlannedChange,
        returned: &Planned,
        rows: &[RecordBatch],
        tag: Tag,
    ) -> Result<Answer, SqlError> {
        let bindings = Bindings {
            parameters: Vec::new(),
            now_us: self.transaction_time(),
        };
        let rows = rows.iter().cloned().map(Delta::insert).collect();
        let rows = BTreeMap::from([(change.table.clone(), rows)]);
        let (schema, planned) = (columns(returned), returned.clone());
        let batches = self.execute(planned, bindings, rows).await?;
        let rows = self.kept(schema, batches)?;
        let words = match tag {
            Tag::Counted(words, _) | Tag::Fixed(words) => words,
        };
        Ok(Answer::Rows(rows.with_tag(words)))
    }

    async fn rows_of(
        &mut self,
        planned: &Option<Planned>,
        values: &[ScalarValue],
    ) -> Result<(Vec<RecordBatch>, Option<u64>), SqlError> {
        let Some(planned) = planned else {
            return Ok((Vec::new(), None));
        };
        let query = Query::new(self.system().await, planned.clone());
        self.run_planned(&query, values).await
    }
}

fn columns(planned: &Planned) -> SchemaRef {
    Arc::new(Schema::new(planned.fields.clone()))
}

/// By oid.
fn postgres_type_of(value: &ScalarValue) -> u32 {
    postgres_type(&Field::new("", value.data_type(), true)).oid
}

fn count(batches: &[RecordBatch]) -> u64 {
    batches.iter().map(|batch| batch.num_rows() as u64).sum()
}

/// `None`: nothing changes.
fn delta(removed: &[RecordBatch], added: &[RecordBatch]) -> Result<Option<Delta>, SqlError> {
    let Some(schema) = added.iter().chain(removed).map(RecordBatch::schema).next() else {
        return Ok(None);
    };
    let rows = arrow::compute::concat_batches(&schema, removed.iter().chain(added))?;
    if rows.num_rows() == 0 {
        return Ok(None);
    }
    let gone = usize::try_from(count(removed)).unwrap_or(usize::MAX);
    let weights = (0..rows.num_rows()).map(|row| if row < gone { -1 } else { 1 });
    Ok(Some(Delta::new(rows, weights.collect())))
}
