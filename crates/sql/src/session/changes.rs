//! INSERT, UPDATE and DELETE: rows that go and come, at once or when the transaction commits.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use arrow::{
    array::{BooleanArray, RecordBatch},
    datatypes::{Field, Schema, SchemaRef},
    row::{RowConverter, SortField},
};
use datafusion_common::ScalarValue;
use streams::Delta;

use super::{Answer, Session, Tag, query::LOOKUPS_MAX, transaction::Key};
use crate::{
    backend::SqlError,
    column_type::{field_of_oid, postgres_type},
    error::sqlstate,
    planner::{self, Bindings, Planned, PlannedChange, PlannedConflict},
    statement::{Statement, StatementKind},
};

/// The table has changed since it was read.
const CONFLICT: [u8; 5] = *b"40001";

/// An INSERT with ON CONFLICT is computed anew so often when others change its table meanwhile.
const UPSERT_TRIES: usize = 20;

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
        let is_upsert =
            matches!(&statement.kind, StatementKind::Insert(insert) if insert.on.is_some());
        let mut tries = if is_upsert { UPSERT_TRIES } else { 1 };
        loop {
            tries -= 1;
            match self.change_once(statement, values).await {
                Err(error)
                    if error.sqlstate == CONFLICT && tries > 0 && !self.transaction.holds() => {}
                done => return done,
            }
        }
    }

    async fn change_once(
        &mut self,
        statement: &Statement,
        values: &[ScalarValue],
    ) -> Result<Answer, SqlError> {
        self.check_writable(match statement.kind {
            StatementKind::Insert(_) => "INSERT",
            StatementKind::Update(_) => "UPDATE",
            _ => "DELETE",
        })?;
        // What was bound has the type that was described.
        let types = values.iter().map(postgres_type_of).collect::<Vec<_>>();
        let change = self.planned_change(statement, &types).await?;
        let (rows, as_of) = match &change.conflict {
            Some(conflict) => self.rows_in_conflict(&change, conflict, values).await?,
            None => self.plain_rows(statement, &change, values).await?,
        };
        let Touched {
            removed,
            added,
            count,
        } = rows;
        let tag = match statement.kind {
            StatementKind::Insert(_) => Tag::Counted("INSERT 0", count),
            StatementKind::Update(_) => Tag::Counted("UPDATE", count),
            _ => Tag::Counted("DELETE", count),
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
        self.write(change.table, &removed, &added, as_of).await?;
        Ok(answer)
    }

    pub(super) fn check_writable(&self, what: &str) -> Result<(), SqlError> {
        if self.transaction.is_read_only || self.settings.get("transaction_read_only")? == "on" {
            let message = format!("cannot execute {what} in a read-only transaction");
            return Err(SqlError::new(*b"25006", message));
        }
        Ok(())
    }

    /// At once, or when the transaction commits.
    pub(super) async fn write(
        &mut self,
        table: String,
        removed: &[RecordBatch],
        added: &[RecordBatch],
        as_of: Option<u64>,
    ) -> Result<(), SqlError> {
        match delta(removed, added)? {
            None => Ok(()),
            Some(delta) if self.transaction.holds() => {
                let keys = self.new_keys(&table, &delta).await?;
                self.transaction.write(table, delta, as_of, keys)
            }
            Some(delta) => self.backend.write(table, delta, as_of).await,
        }
    }

    async fn plain_rows(
        &mut self,
        statement: &Statement,
        change: &PlannedChange,
        values: &[ScalarValue],
    ) -> Result<(Touched, Option<u64>), SqlError> {
        let (removed, added, epoch) = self.rows_of(change, values).await?;
        let added = change.stored(added)?;
        // What comes by INSERT is right whatever the table holds.
        let (as_of, count) = match statement.kind {
            StatementKind::Insert(_) => (None, count(&added)),
            StatementKind::Update(_) => (epoch, count(&added)),
            _ => (epoch, count(&removed)),
        };
        let touched = Touched {
            removed,
            added,
            count,
        };
        Ok((touched, as_of))
    }

    /// Of an INSERT with ON CONFLICT: what it comes to over the rows that its keys find.
    async fn rows_in_conflict(
        &mut self,
        change: &PlannedChange,
        conflict: &PlannedConflict,
        values: &[ScalarValue],
    ) -> Result<(Touched, Option<u64>), SqlError> {
        let (_, proposed, _) = self.rows_of(change, values).await?;
        let proposed = change.stored(proposed)?;
        let first_only = conflict.updated.is_none();
        let proposed = one_per_key(proposed, &conflict.key, first_only)?;
        let (found, epoch) = self.rows_by_key(change, conflict, &proposed).await?;
        let proposed = proposed.into_iter().map(Delta::insert).collect();
        let rows = BTreeMap::from([
            (change.table.clone(), found),
            (planner::EXCLUDED.to_owned(), proposed),
        ]);
        let bindings = Bindings {
            parameters: values.to_vec(),
            now_us: self.transaction_time(),
        };
        let mut planned = vec![conflict.inserted.clone()];
        if let Some((gone, come)) = &conflict.updated {
            planned.extend([gone.clone(), come.clone()]);
        }
        let mut answers = self.execute(planned, bindings, rows).await?.into_iter();
        let mut added = answers.next().unwrap_or_default();
        let removed = answers.next().unwrap_or_default();
        added.extend(answers.flatten());
        let added = change.stored(added)?;
        let touched = Touched {
            count: count(&added),
            removed,
            added,
        };
        Ok((touched, Some(epoch)))
    }

    /// Rows of a table that may have one of these keys, and the epoch they are of.
    async fn rows_by_key(
        &mut self,
        change: &PlannedChange,
        conflict: &PlannedConflict,
        proposed: &[RecordBatch],
    ) -> Result<(Vec<Delta>, u64), SqlError> {
        let name = change.table.clone();
        if !self.transaction.holds() {
            let mut keys = Vec::with_capacity(proposed.len());
            for batch in proposed {
                keys.push(batch.project(&conflict.key)?);
            }
            if let [keys] = &keys[..]
                && keys.num_rows() <= LOOKUPS_MAX
            {
                let key = conflict.key.clone();
                let found = self.backend.lookup(name.clone(), key, keys.clone());
                let mut found = found.await?;
                let rows = found.rows.remove(&name).unwrap_or_default();
                return Ok((rows, found.epoch));
            }
        }
        let system = self.system().await;
        let mut rows = BTreeMap::new();
        let names = vec![name.clone()];
        let epoch = self.read_relations(&system, names, &mut rows).await?;
        Ok((rows.remove(&name).unwrap_or_default(), epoch))
    }

    /// Keys of rows that a transaction is about to write, where the table has one. Fails when there is another row of one of
    /// them now: whoever commits one later fails this transaction's COMMIT.
    async fn new_keys(&mut self, table: &str, delta: &Delta) -> Result<Vec<Key>, SqlError> {
        let catalog = self.backend.catalog().await;
        let Some(key) = catalog.get(table).and_then(|found| found.key.clone()) else {
            return Ok(Vec::new());
        };
        let columns = delta.rows().project(&key)?;
        let keys = encoded(&columns)?;
        let mut rows: BTreeMap<&[u8], i64> = BTreeMap::new();
        for (row, key) in keys.iter().enumerate() {
            *rows.entry(key).or_default() += delta.weight(row);
        }
        let coming: BooleanArray = keys
            .iter()
            .map(|key| Some(rows.get(key.as_slice()).is_some_and(|count| *count > 0)))
            .collect();
        let mut there: BTreeMap<Key, i64> = BTreeMap::new();
        if (1..=LOOKUPS_MAX).contains(&coming.true_count()) {
            let wanted = arrow::compute::filter_record_batch(&columns, &coming)?;
            let name = table.to_owned();
            let found = self.backend.lookup(name, key.clone(), wanted).await?;
            for delta in found.rows.values().flatten() {
                let keys = encoded(&delta.rows().project(&key)?)?;
                for (row, key) in keys.into_iter().enumerate() {
                    *there.entry(key).or_default() += delta.weight(row);
                }
            }
        }
        let is_twice = rows.iter().any(|(key, count)| {
            let before = there.get(*key).copied().unwrap_or(0);
            *count > 0 && before + self.transaction.rows_of_key(table, key) + count > 1
        });
        if is_twice {
            let message =
                format!("duplicate key value violates unique constraint \"{table}_pkey\"");
            return Err(SqlError::new(sqlstate::UNIQUE_VIOLATION, message));
        }
        Ok(keys)
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
        let planned = vec![returned.clone()];
        let mut answers = self.execute(planned, bindings, rows).await?;
        let rows = self.kept(columns(returned), answers.pop().unwrap_or_default())?;
        let words = match tag {
            Tag::Counted(words, _) | Tag::Fixed(words) => words,
        };
        Ok(Answer::Rows(rows.with_tag(words)))
    }

    /// Rows that go and rows that come, all found in what is read once: were others committed in between, a row could go
    /// and none come for it.
    async fn rows_of(
        &mut self,
        change: &PlannedChange,
        values: &[ScalarValue],
    ) -> Result<(Vec<RecordBatch>, Vec<RecordBatch>, Option<u64>), SqlError> {
        let system = self.system().await;
        let planned = change.removed.iter().chain(&change.added).cloned();
        let planned = planned.collect();
        let (answers, epoch) = self.run_planned(&system, planned, values).await?;
        let mut answers = answers.into_iter();
        let mut of = |planned: &Option<Planned>| {
            let answer = planned.as_ref().and_then(|_| answers.next());
            answer.unwrap_or_default()
        };
        Ok((of(&change.removed), of(&change.added), epoch))
    }
}

/// Rows that go and come, and how many of them the client is told.
struct Touched {
    removed: Vec<RecordBatch>,
    added: Vec<RecordBatch>,
    count: u64,
}

/// The first row of each key; where only one may be there, a second one is refused.
fn one_per_key(
    rows: Vec<RecordBatch>,
    key: &[usize],
    first_only: bool,
) -> Result<Vec<RecordBatch>, SqlError> {
    let Some(schema) = rows.first().map(RecordBatch::schema) else {
        return Ok(rows);
    };
    let rows = arrow::compute::concat_batches(&schema, &rows)?;
    let mut seen = BTreeSet::new();
    let keep: BooleanArray = encoded(&rows.project(key)?)?
        .into_iter()
        .map(|key| Some(seen.insert(key)))
        .collect();
    if !first_only && keep.true_count() < rows.num_rows() {
        let message = "ON CONFLICT DO UPDATE command cannot affect row a second time";
        let hint = "Ensure that no rows proposed for insertion within the same command have duplicate constrained values.";
        return Err(SqlError::new(*b"21000", message).with_hint(hint));
    }
    Ok(vec![arrow::compute::filter_record_batch(&rows, &keep)?])
}

/// Each row's values as bytes that are equal when they are.
fn encoded(columns: &RecordBatch) -> Result<Vec<Key>, SqlError> {
    let fields = columns.columns().iter();
    let fields = fields.map(|column| SortField::new(column.data_type().clone()));
    let converter = RowConverter::new(fields.collect())?;
    let rows = converter.convert_columns(columns.columns())?;
    Ok(rows.iter().map(|row| row.as_ref().to_vec()).collect())
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
