//! As-of joins of a logical plan, as nodes of a dataflow.

use std::{any::Any, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, BooleanArray, RecordBatch},
    datatypes::{Field, Schema},
};
use streams::{
    Expression, Fault, NodeId, Operator,
    plan::{Join, JoinKind},
};

use super::Lowering;
use crate::{backend::SqlError, planner::as_of::AsOf};

/// Whether a column has a value.
#[derive(Debug, PartialEq)]
struct Present(usize);

impl Expression for Present {
    fn evaluate(&self, rows: &RecordBatch) -> Result<ArrayRef, Fault> {
        let column = rows.column(self.0);
        let present = (0..column.len()).map(|row| Some(column.is_valid(row)));
        Ok(Arc::new(present.collect::<BooleanArray>()))
    }

    fn is_same(&self, other: &dyn Expression) -> bool {
        (other as &dyn Any).downcast_ref::<Self>() == Some(self)
    }
}

impl Lowering {
    pub fn as_of(&mut self, as_of: &AsOf) -> Result<NodeId, SqlError> {
        let pairs = as_of.keys.iter().chain([&as_of.times]);
        let (left_values, right_values): (Vec<_>, Vec<_>) = pairs.cloned().unzip();
        let left = self.node(&as_of.left)?;
        let left_width = self.schema(left).fields().len();
        let (left, left_places) = self.extended(left, &left_values, as_of.left.schema())?;
        let right = self.node(&as_of.right)?;
        let right_width = self.schema(right).fields().len();
        let (right, right_places) = self.extended(right, &right_values, as_of.right.schema())?;
        let mut keys: Vec<(usize, usize)> = left_places.into_iter().zip(right_places).collect();
        let Some((left_time, right_time)) = keys.pop() else {
            return Err(super::internal("an as-of join has its times"));
        };
        let operator = Operator::Join(Join {
            kind: JoinKind::AsOf {
                left: left_time,
                right: right_time,
            },
            keys,
            null_equals_null: false,
            condition: None,
        });
        let all_left = self.schema(left);
        let all_right = self.schema(right);
        let fields = all_left.fields().iter().chain(all_right.fields());
        let fields: Vec<Field> = fields.map(|field| field.as_ref().clone()).collect();
        let shift = all_left.fields().len();
        let whole = Arc::new(Schema::new(fields));
        let mut node = self.plan.add(operator, &[left, right], whole.clone());
        if !as_of.keeps_left {
            let matched = Operator::Filter(Arc::new(Present(shift + right_time)));
            node = self.plan.add(matched, &[node], whole);
        }
        let shown = (0..left_width).chain(shift..shift + right_width);
        Ok(self.pick(node, &shown.collect::<Vec<_>>()))
    }
}
