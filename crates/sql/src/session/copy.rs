//! COPY FROM: rows that come from the client, all of them as one INSERT.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use streams::Delta;

use super::{Answer, Session, Tag};
use crate::{
    backend::SqlError,
    catalog::RelationKind,
    error::sqlstate,
    planner::{self, Bindings},
    statement::{CopyFormat, CopyFrom},
};

/// What a client is asked for.
#[derive(Debug)]
pub struct CopyTarget {
    pub table: String,
    /// The table's columns that come, as they come.
    pub schema: SchemaRef,
    pub format: CopyFormat,
}

impl Session {
    pub(super) async fn copy_from(&mut self, from: &CopyFrom) -> Result<Answer, SqlError> {
        self.check_writable("COPY FROM")?;
        let relation = self.relation(&from.table).await?;
        relation.check()?;
        let table = relation.name.clone();
        if relation.kind != RelationKind::Table {
            let message = format!("cannot copy to \"{table}\": it is no table");
            return Err(SqlError::new(sqlstate::WRONG_OBJECT_TYPE, message));
        }
        let mut schema = relation.schema.clone();
        if !from.columns.is_empty() {
            let mut places = Vec::with_capacity(from.columns.len());
            for name in &from.columns {
                let undefined = format!("column \"{name}\" of relation \"{table}\" does not exist");
                let undefined = |_| SqlError::new(sqlstate::UNDEFINED_COLUMN, undefined);
                let place = schema.index_of(name).map_err(undefined)?;
                if places.contains(&place) {
                    let message = format!("column \"{name}\" specified more than once");
                    return Err(SqlError::new(sqlstate::DUPLICATE_COLUMN, message));
                }
                places.push(place);
            }
            schema = Arc::new(schema.project(&places)?);
        }
        Ok(Answer::CopyFrom(Arc::new(CopyTarget {
            table,
            schema,
            format: from.format.clone(),
        })))
    }

    /// Memory for rows that a client copies in.
    pub fn hold(&self, bytes: usize) -> Result<Option<Box<dyn Send + Sync>>, SqlError> {
        if bytes == 0 {
            return Ok(None);
        }
        let held = self.backend.answer_permit(bytes).ok_or_else(|| {
            let message = "rows that clients copy in fill the memory for them";
            SqlError::new(sqlstate::OUT_OF_MEMORY, message)
        })?;
        Ok(Some(held))
    }

    /// All rows have come.
    pub async fn copied(
        &mut self,
        target: &CopyTarget,
        rows: Vec<RecordBatch>,
    ) -> Result<Tag, SqlError> {
        let system = self.system().await;
        let (table, schema) = (target.table.clone(), target.schema.clone());
        let change = self
            .compute(move || planner::plan_copy(&system.all, &table, &schema))
            .await?;
        let rows = rows.into_iter().map(Delta::insert).collect();
        let rows = BTreeMap::from([(planner::COPIED.to_owned(), rows)]);
        let bindings = Bindings {
            parameters: Vec::new(),
            now_us: self.transaction_time(),
        };
        let planned = change.added.iter().cloned().collect();
        let answers = self.execute(planned, bindings, rows).await?;
        let added = change.stored(answers.into_iter().flatten().collect())?;
        let count = added.iter().map(|rows| rows.num_rows() as u64).sum();
        self.write(change.table, &[], &added, None).await?;
        Ok(Tag::Counted("COPY", count))
    }
}
