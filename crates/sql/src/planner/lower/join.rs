//! Joins of a logical plan, as nodes of a dataflow.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use datafusion_common::{DFSchema, NullEquality, TableReference};
use datafusion_expr::{Expr, JoinType, LogicalPlan};
use streams::{
    ExpressionRef, NodeId, Operator,
    plan::{Join, JoinKind},
};

use super::{Lowering, schema_of};
use crate::{backend::SqlError, planner::expression};

/// A side: its rows with the keys behind them where those are no columns.
struct Side<'a> {
    node: NodeId,
    keys: Vec<usize>,
    logical: &'a LogicalPlan,
    /// Columns of the logical plan.
    width: usize,
}

impl Lowering {
    pub fn join(&mut self, join: &datafusion_expr::Join) -> Result<NodeId, SqlError> {
        let (left_keys, right_keys): (Vec<Expr>, Vec<Expr>) = join.on.iter().cloned().unzip();
        let left = self.side(&join.left, &left_keys)?;
        let right = self.side(&join.right, &right_keys)?;
        let (left, right, kind) = match join.join_type {
            JoinType::Inner => (left, right, JoinKind::Inner),
            JoinType::Left => (left, right, JoinKind::Left),
            JoinType::Right => (left, right, JoinKind::Right),
            JoinType::Full => (left, right, JoinKind::Full),
            JoinType::LeftSemi => (left, right, JoinKind::LeftSemi),
            JoinType::LeftAnti if join.null_aware => (left, right, JoinKind::LeftAntiNullAware),
            JoinType::LeftAnti => (left, right, JoinKind::LeftAnti),
            JoinType::LeftMark => (left, right, JoinKind::LeftMark),
            JoinType::RightSemi => (right, left, JoinKind::LeftSemi),
            JoinType::RightAnti => (right, left, JoinKind::LeftAnti),
            JoinType::RightMark => (right, left, JoinKind::LeftMark),
        };
        let condition = match &join.filter {
            Some(filter) => Some(self.condition(filter, &left, &right)?),
            None => None,
        };
        let operator = Operator::Join(Join {
            kind,
            keys: left
                .keys
                .iter()
                .copied()
                .zip(right.keys.iter().copied())
                .collect(),
            null_equals_null: join.null_equality == NullEquality::NullEqualsNull,
            condition,
        });
        let out = schema_of(&join.schema);
        Ok(self.joined(operator, &left, &right, kind, out))
    }

    fn side<'a>(&mut self, logical: &'a LogicalPlan, keys: &[Expr]) -> Result<Side<'a>, SqlError> {
        let node = self.node(logical)?;
        let width = self.schema(node).fields().len();
        let (node, keys) = self.extended(node, keys, logical.schema())?;
        Ok(Side {
            node,
            keys,
            logical,
            width,
        })
    }

    /// Over all columns of both sides, those of the keys too.
    fn condition(
        &self,
        filter: &Expr,
        left: &Side<'_>,
        right: &Side<'_>,
    ) -> Result<ExpressionRef, SqlError> {
        let mut fields = Vec::new();
        for side in [left, right] {
            let schema = side.logical.schema();
            fields.extend(
                schema
                    .iter()
                    .map(|(table, field)| (table.cloned(), field.clone())),
            );
            let all = self.schema(side.node);
            for at in side.width..all.fields().len() {
                let name = format!("${}${at}", fields.len());
                let field = Field::new(name, all.field(at).data_type().clone(), true);
                fields.push((None::<TableReference>, Arc::new(field)));
            }
        }
        let metadata = std::collections::HashMap::new();
        let schema = DFSchema::new_with_metadata(fields, metadata)?;
        expression::condition(filter, &schema)
    }

    fn joined(
        &mut self,
        operator: Operator,
        left: &Side<'_>,
        right: &Side<'_>,
        kind: JoinKind,
        out: Arc<Schema>,
    ) -> NodeId {
        let left_all = self.schema(left.node);
        let right_all = self.schema(right.node);
        let mut fields: Vec<Field> = Vec::new();
        fields.extend(left_all.fields().iter().map(|field| field.as_ref().clone()));
        let mut wanted: Vec<usize> = (0..left.width).collect();
        let only_left = matches!(
            kind,
            JoinKind::LeftSemi
                | JoinKind::LeftAnti
                | JoinKind::LeftAntiNullAware
                | JoinKind::LeftMark
        );
        if !only_left {
            wanted.extend((0..right.width).map(|at| fields.len() + at));
            fields.extend(
                right_all
                    .fields()
                    .iter()
                    .map(|field| field.as_ref().clone()),
            );
        }
        if kind == JoinKind::LeftMark {
            wanted.push(fields.len());
            fields.push(out.field(out.fields().len() - 1).clone());
        }
        let whole = Arc::new(Schema::new(fields));
        let node = self.plan.add(operator, &[left.node, right.node], whole);
        self.pick(node, &wanted)
    }
}
