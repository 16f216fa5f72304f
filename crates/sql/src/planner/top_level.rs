//! The outermost ORDER BY, OFFSET and LIMIT, which hold for the final rows instead of the dataflow.

use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef, Schema};
use datafusion_expr::{Limit, LogicalPlan, Projection, Sort};
use streams::{NodeId, Plan, plan::SortKey};

use super::{
    expression::Compiled,
    lower::{Lowering, compile_as, limit_counts, schema_of, sort_keys},
    names::shown,
};
use crate::backend::SqlError;

/// A dataflow and what is done with its rows.
pub struct TopLevel {
    pub plan: Plan,
    pub order: Vec<SortKey>,
    pub offset: u64,
    pub limit: Option<u64>,
}

/// The columns that a query shows.
pub fn fields(logical: &LogicalPlan) -> Vec<FieldRef> {
    let schema = schema_of(logical.schema());
    let fields = schema.fields().iter();
    fields
        .map(|field| {
            let field: Field = field.as_ref().clone().with_name(shown(field.name()));
            Arc::new(field)
        })
        .collect()
}

/// What stands above the rows: projections from the outside in, then the sort.
struct Peeled<'a> {
    limit: Option<&'a Limit>,
    projections: Vec<&'a Projection>,
    sort: Option<&'a Sort>,
    base: &'a LogicalPlan,
}

pub fn lower(logical: &LogicalPlan) -> Result<TopLevel, SqlError> {
    let peeled = peel(logical);
    let (offset, limit) = match peeled.limit {
        Some(limit) => limit_counts(limit)?,
        None => (0, None),
    };
    let mut lowering = Lowering::default();
    let mut node = lowering.node(peeled.base)?;
    let mut order = Vec::new();
    if let Some(sort) = peeled.sort {
        let expressions: Vec<_> = sort.expr.iter().map(|key| key.expr.clone()).collect();
        let (extended, mut places) = lowering.extended(node, &expressions, peeled.base.schema())?;
        node = extended;
        let mut schema = peeled.base.schema();
        for projection in peeled.projections.iter().rev() {
            node = with_order(&mut lowering, node, projection, schema, &mut places)?;
            schema = &projection.schema;
        }
        order = sort_keys(&sort.expr, &places);
    }
    ensure_last(&mut lowering, node);
    Ok(TopLevel {
        plan: lowering.plan.paned().shared(),
        order,
        offset,
        limit,
    })
}

/// The result of a plan is its last node.
pub fn ensure_last(lowering: &mut Lowering, node: NodeId) {
    if node.0 + 1 != lowering.plan.nodes.len() {
        let schema = lowering.schema(node);
        let columns = (0..schema.fields().len())
            .map(|at| Arc::new(streams::expression::Column(at)) as streams::ExpressionRef)
            .collect();
        lowering
            .plan
            .add(streams::Operator::Project(columns), &[node], schema);
    }
}

fn peel(logical: &LogicalPlan) -> Peeled<'_> {
    let mut peeled = Peeled {
        limit: None,
        projections: Vec::new(),
        sort: None,
        base: logical,
    };
    let mut at = logical;
    loop {
        match at {
            LogicalPlan::Limit(limit) if peeled.limit.is_none() => {
                peeled.limit = Some(limit);
                at = &limit.input;
                if peeled.projections.is_empty() {
                    peeled.base = at;
                }
            }
            LogicalPlan::Projection(projection) => {
                peeled.projections.push(projection);
                at = &projection.input;
            }
            LogicalPlan::Sort(sort) => {
                peeled.sort = Some(sort);
                peeled.base = &sort.input;
                return peeled;
            }
            _ => break,
        }
    }
    // No order: only a limit at the very top is for the final rows.
    let limit = match logical {
        LogicalPlan::Limit(limit) => Some(limit),
        _ => None,
    };
    Peeled {
        limit,
        projections: Vec::new(),
        sort: None,
        base: limit.map_or(logical, |limit| limit.input.as_ref()),
    }
}

/// A projection over rows that carry the values they are ordered by.
fn with_order(
    lowering: &mut Lowering,
    node: NodeId,
    projection: &Projection,
    schema: &datafusion_common::DFSchema,
    places: &mut [usize],
) -> Result<NodeId, SqlError> {
    let old = lowering.schema(node);
    let shown = schema_of(&projection.schema);
    let mut compiled = compile_as(&projection.expr, schema, &shown)?;
    let mut fields: Vec<Field> = shown
        .fields()
        .iter()
        .map(|field| field.as_ref().clone())
        .collect();
    for place in places {
        let same = compiled.iter().position(|one| one.column == Some(*place));
        if let Some(at) = same {
            *place = at;
            continue;
        }
        compiled.push(Compiled {
            expression: Arc::new(streams::expression::Column(*place)),
            data_type: old.field(*place).data_type().clone(),
            column: Some(*place),
        });
        fields.push(old.field(*place).clone());
        *place = compiled.len() - 1;
    }
    Ok(lowering.project(node, compiled, Arc::new(Schema::new(fields))))
}
