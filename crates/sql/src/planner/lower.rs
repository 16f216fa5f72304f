//! The query engine's logical plan as a dataflow.
//!
//! # Invariants
//! 1. The columns of the node for a logical plan are those of the plan's schema, in their order and of their types.
//! 2. Every column of every node may be null and has a canonical type.

mod aggregate;
mod as_of;
mod join;
mod over;
mod rank;
mod share;

use std::{any::Any, sync::Arc};

use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions},
    compute::cast,
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use datafusion_common::{DFSchema, ScalarValue};
use datafusion_expr::{
    Cast, ColumnarValue, Distinct, Expr, Extension, FetchType, Limit, LogicalPlan, Projection,
    SkipType, SortExpr, TableScan, Unnest, Values,
};
use streams::{
    Expression, NodeId, Operator, Plan,
    delta::column_bytes,
    plan::{Input, SortKey, Ties},
};

use super::{
    as_of::AsOf,
    context::relation_of,
    expression::{Compiled, compile, condition, physical},
    semantics::SetCount,
    sessions::Sessioned,
    temporal::Valid,
    windows::Windowed,
};
use crate::{backend::SqlError, column_type::canonical_schema, error::sqlstate, functions::spread};

/// Of the rows of a VALUES: what is written takes no more, but a call may make much of a little.
const VALUES_BYTES_MAX: usize = 64 << 20;

/// A dataflow in the making.
#[derive(Default)]
pub struct Lowering {
    pub plan: Plan,
}

fn internal(message: &str) -> SqlError {
    SqlError::new(sqlstate::INTERNAL_ERROR, message)
}

impl Lowering {
    /// Adds the nodes of a plan; the answer is the last of them.
    pub fn node(&mut self, logical: &LogicalPlan) -> Result<NodeId, SqlError> {
        match logical {
            LogicalPlan::Projection(projection) => self.projection(projection),
            LogicalPlan::Filter(filter) => self.filter(filter),
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::TableScan(scan) => self.scan(scan),
            LogicalPlan::SubqueryAlias(alias) => self.node(&alias.input),
            LogicalPlan::Union(union) => {
                let inputs = union.inputs.iter().map(|input| self.node(input));
                let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
                Ok(self.union(&inputs, schema_of(&union.schema)))
            }
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let node = self.node(input)?;
                Ok(self.distinct(node))
            }
            LogicalPlan::Sort(sort) => match sort.fetch {
                // Rows of a dataflow have no order.
                None => self.node(&sort.input),
                Some(fetch) => self.top(&sort.input, &sort.expr, 0, Some(fetch as u64)),
            },
            LogicalPlan::Limit(limit) => self.limit(limit),
            LogicalPlan::Window(window) => self.window(window),
            LogicalPlan::Values(values) => self.values(values),
            LogicalPlan::EmptyRelation(empty) => {
                let rows = usize::from(empty.produce_one_row);
                self.constant(schema_of(&empty.schema), rows)
            }
            LogicalPlan::Unnest(unnest) => self.unnest(unnest),
            LogicalPlan::Extension(extension) => self.extension(extension),
            LogicalPlan::Subquery(_) => Err(SqlError::unsupported(
                "this subquery refers to its outer query in a way that is not supported",
            )),
            LogicalPlan::RecursiveQuery(_) => {
                Err(SqlError::unsupported("WITH RECURSIVE is not supported"))
            }
            other => Err(SqlError::unsupported(format!(
                "{} is not supported in a query",
                other
                    .display()
                    .to_string()
                    .split_whitespace()
                    .next()
                    .unwrap_or("this")
            ))),
        }
    }

    pub fn schema(&self, node: NodeId) -> SchemaRef {
        self.plan.nodes[node.0].schema.clone()
    }

    fn union(&mut self, inputs: &[NodeId], schema: SchemaRef) -> NodeId {
        self.plan.add(Operator::Union, inputs, schema)
    }

    fn distinct(&mut self, input: NodeId) -> NodeId {
        let schema = self.schema(input);
        self.plan.add(Operator::Distinct, &[input], schema)
    }

    fn scan(&mut self, scan: &TableScan) -> Result<NodeId, SqlError> {
        let relation = relation_of(scan).ok_or_else(|| internal("a scan of no relation"))?;
        let all = (0..relation.schema.fields().len()).collect();
        let wanted = scan.projection.clone().unwrap_or(all);
        // Rows without columns still count, but the records they come from have to be read as something.
        let columns = if wanted.is_empty() {
            vec![0]
        } else {
            wanted.clone()
        };
        let stored = canonical_schema(&relation.schema);
        let schema = stored.project(&columns).map_err(SqlError::from)?;
        let time = relation.time;
        let input = Input {
            relation: relation.name.clone(),
            time: time.and_then(|time| columns.iter().position(|column| *column == time)),
            columns,
            is_append_only: relation.is_append_only,
        };
        let mut node = self.plan.add(Operator::Input(input), &[], Arc::new(schema));
        if wanted.is_empty() {
            node = self.plan.add(
                Operator::Project(Vec::new()),
                &[node],
                Arc::new(Schema::empty()),
            );
        }
        for filter in &scan.filters {
            node = self.keep(node, filter, &scan.projected_schema)?;
        }
        Ok(node)
    }

    fn projection(&mut self, projection: &Projection) -> Result<NodeId, SqlError> {
        let input = self.node(&projection.input)?;
        let out = schema_of(&projection.schema);
        let compiled = compile_as(&projection.expr, projection.input.schema(), &out)?;
        Ok(self.project(input, compiled, out))
    }

    /// Leaves out what would change nothing.
    pub fn project(&mut self, input: NodeId, compiled: Vec<Compiled>, schema: SchemaRef) -> NodeId {
        let width = self.schema(input).fields().len();
        let is_identity = compiled.len() == width
            && compiled
                .iter()
                .enumerate()
                .all(|(at, one)| one.column == Some(at));
        if is_identity {
            return input;
        }
        let expressions = compiled.into_iter().map(|one| one.expression).collect();
        self.plan
            .add(Operator::Project(expressions), &[input], schema)
    }

    /// Some of its columns.
    pub fn pick(&mut self, input: NodeId, columns: &[usize]) -> NodeId {
        let old = self.schema(input);
        let fields: Vec<Field> = columns.iter().map(|at| old.field(*at).clone()).collect();
        let compiled = columns
            .iter()
            .map(|at| Compiled {
                expression: Arc::new(streams::expression::Column(*at)),
                data_type: old.field(*at).data_type().clone(),
                column: Some(*at),
            })
            .collect();
        self.project(input, compiled, Arc::new(Schema::new(fields)))
    }

    fn filter(&mut self, filter: &datafusion_expr::Filter) -> Result<NodeId, SqlError> {
        if let LogicalPlan::Window(window) = filter.input.as_ref()
            && let Some(node) = self.ranked(window, &filter.predicate)?
        {
            return Ok(node);
        }
        let input = self.node(&filter.input)?;
        self.keep(input, &filter.predicate, filter.input.schema())
    }

    pub fn keep(
        &mut self,
        input: NodeId,
        predicate: &Expr,
        schema: &DFSchema,
    ) -> Result<NodeId, SqlError> {
        let condition = condition(predicate, schema)?;
        let schema = self.schema(input);
        Ok(self.plan.add(Operator::Filter(condition), &[input], schema))
    }

    /// The node with further columns behind its own; their places, plain columns where they already are.
    pub fn extended(
        &mut self,
        input: NodeId,
        expressions: &[Expr],
        schema: &DFSchema,
    ) -> Result<(NodeId, Vec<usize>), SqlError> {
        let old = self.schema(input);
        let mut all: Vec<Compiled> = (0..old.fields().len())
            .map(|at| Compiled {
                expression: Arc::new(streams::expression::Column(at)),
                data_type: old.field(at).data_type().clone(),
                column: Some(at),
            })
            .collect();
        let mut fields: Vec<Field> = old
            .fields()
            .iter()
            .map(|field| field.as_ref().clone())
            .collect();
        let mut places = Vec::with_capacity(expressions.len());
        for expression in expressions {
            let compiled = compile(expression, schema)?;
            if let Some(column) = compiled.column {
                places.push(column);
                continue;
            }
            places.push(all.len());
            fields.push(Field::new(
                format!("${}", all.len()),
                compiled.data_type.clone(),
                true,
            ));
            all.push(compiled);
        }
        Ok((
            self.project(input, all, Arc::new(Schema::new(fields))),
            places,
        ))
    }

    fn limit(&mut self, limit: &Limit) -> Result<NodeId, SqlError> {
        let (offset, count) = limit_counts(limit)?;
        match limit.input.as_ref() {
            LogicalPlan::Sort(sort) => {
                let fetch = sort.fetch.map(|fetch| fetch as u64);
                let count = match (count, fetch.map(|fetch| fetch.saturating_sub(offset))) {
                    (Some(one), Some(other)) => Some(one.min(other)),
                    (one, other) => one.or(other),
                };
                self.top(&sort.input, &sort.expr, offset, count)
            }
            LogicalPlan::Projection(projection)
                if matches!(projection.input.as_ref(), LogicalPlan::Sort(_)) =>
            {
                let LogicalPlan::Sort(sort) = projection.input.as_ref() else {
                    return Err(internal("a sort was there"));
                };
                let top = self.top(&sort.input, &sort.expr, offset, count)?;
                let out = schema_of(&projection.schema);
                let compiled = compile_as(&projection.expr, sort.input.schema(), &out)?;
                Ok(self.project(top, compiled, out))
            }
            other => self.top(other, &[], offset, count),
        }
    }

    fn top(
        &mut self,
        input: &LogicalPlan,
        order: &[SortExpr],
        offset: u64,
        limit: Option<u64>,
    ) -> Result<NodeId, SqlError> {
        let node = self.node(input)?;
        let width = self.schema(node).fields().len();
        let expressions: Vec<Expr> = order.iter().map(|key| key.expr.clone()).collect();
        let (node, places) = self.extended(node, &expressions, input.schema())?;
        let operator = Operator::Top {
            partition: Vec::new(),
            order: sort_keys(order, &places),
            ties: Ties::Numbered,
            offset,
            limit,
            emits_number: false,
        };
        let schema = self.schema(node);
        let top = self.plan.add(operator, &[node], schema);
        let shown: Vec<usize> = (0..width).collect();
        Ok(self.pick(top, &shown))
    }

    fn values(&mut self, values: &Values) -> Result<NodeId, SqlError> {
        let schema = schema_of(&values.schema);
        let empty = DFSchema::empty();
        let one = one_row();
        let mut columns: Vec<Vec<ScalarValue>> = vec![Vec::new(); schema.fields().len()];
        let mut bytes = 0_usize;
        for row in &values.values {
            for (at, expression) in row.iter().enumerate() {
                let physical = physical(expression, &empty)?;
                let value = physical
                    .evaluate(&one)
                    .and_then(|value| value.into_array(1));
                let array = value.map_err(|error| crate::error::evaluation_fault(&error))?;
                let array = cast(&array, schema.field(at).data_type())?;
                bytes = bytes.saturating_add(column_bytes(&array));
                if bytes > VALUES_BYTES_MAX {
                    let message = format!("VALUES make more than {VALUES_BYTES_MAX} bytes");
                    return Err(SqlError::new(sqlstate::PROGRAM_LIMIT_EXCEEDED, message));
                }
                columns[at].push(ScalarValue::try_from_array(&array, 0)?);
            }
        }
        let arrays = columns
            .into_iter()
            .map(|column| ScalarValue::iter_to_array(column).map_err(SqlError::from))
            .collect::<Result<Vec<ArrayRef>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(values.values.len()));
        let rows = RecordBatch::try_new_with_options(schema.clone(), arrays, &options)?;
        Ok(self.plan.add(Operator::Constant(rows), &[], schema))
    }

    fn constant(&mut self, schema: SchemaRef, rows: usize) -> Result<NodeId, SqlError> {
        let arrays = schema
            .fields()
            .iter()
            .map(|field| arrow::array::new_null_array(field.data_type(), rows))
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let rows = RecordBatch::try_new_with_options(schema.clone(), arrays, &options)?;
        Ok(self.plan.add(Operator::Constant(rows), &[], schema))
    }

    fn unnest(&mut self, unnest: &Unnest) -> Result<NodeId, SqlError> {
        let input = self.node(&unnest.input)?;
        let [(list, how)] = unnest.list_type_columns.as_slice() else {
            return Err(SqlError::unsupported("one array at a time can be unnested"));
        };
        if how.depth != 1 || !unnest.struct_type_columns.is_empty() {
            return Err(SqlError::unsupported(
                "only arrays can be unnested, one level at a time",
            ));
        }
        let schema = schema_of(&unnest.schema);
        let operator = Operator::Unnest {
            list: *list,
            keeps_empty: false,
        };
        Ok(self.plan.add(operator, &[input], schema))
    }

    fn extension(&mut self, extension: &Extension) -> Result<NodeId, SqlError> {
        let node = extension.node.as_any();
        if let Some(windowed) = node.downcast_ref::<Windowed>() {
            let input = self.node(&windowed.input)?;
            let time = compile(&windowed.time, windowed.input.schema())?;
            let time = time
                .column
                .ok_or_else(|| internal("the time is a column"))?;
            let operator = Operator::Windows {
                time,
                windows: windowed.windows,
            };
            return Ok(self
                .plan
                .add(operator, &[input], schema_of(&windowed.schema)));
        }
        if let Some(sessioned) = node.downcast_ref::<Sessioned>() {
            return self.sessions(sessioned);
        }
        if let Some(as_of) = node.downcast_ref::<AsOf>() {
            return self.as_of(as_of);
        }
        if let Some(valid) = node.downcast_ref::<Valid>() {
            return self.valid(valid);
        }
        if let Some(count) = node.downcast_ref::<SetCount>() {
            let left = self.node(&count.left)?;
            let right = self.node(&count.right)?;
            let schema = self.schema(left);
            let operator = if count.is_intersection {
                Operator::SetIntersection { all: true }
            } else {
                Operator::SetDifference { all: true }
            };
            return Ok(self.plan.add(operator, &[left, right], schema));
        }
        Err(internal("an operator that is not ours"))
    }
}

impl Lowering {
    fn sessions(&mut self, sessioned: &Sessioned) -> Result<NodeId, SqlError> {
        let input = self.node(&sessioned.input)?;
        let place = |key: &Expr| {
            let column = compile(key, sessioned.input.schema())?.column;
            column.ok_or_else(|| internal("keys of sessions are columns"))
        };
        let operator = Operator::Sessions {
            partition: sessioned
                .partition
                .iter()
                .map(place)
                .collect::<Result<_, _>>()?,
            time: place(&sessioned.time)?,
            gap: sessioned.gap,
        };
        let schema = schema_of(&sessioned.schema);
        Ok(self.plan.add(operator, &[input], schema))
    }

    fn valid(&mut self, valid: &Valid) -> Result<NodeId, SqlError> {
        let node = self.node(&valid.input)?;
        let width = self.schema(node).fields().len();
        let bounds: Vec<Expr> = valid.from.iter().chain(&valid.until).cloned().collect();
        let (node, places) = self.extended(node, &bounds, valid.input.schema())?;
        let mut places = places.into_iter();
        let operator = Operator::Valid {
            from: valid.from.as_ref().and_then(|_| places.next()),
            until: valid.until.as_ref().and_then(|_| places.next()),
        };
        let schema = self.schema(node);
        let node = self.plan.add(operator, &[node], schema);
        let own: Vec<usize> = (0..width).collect();
        Ok(self.pick(node, &own))
    }
}

/// How many are skipped, and how many come then.
pub fn limit_counts(limit: &Limit) -> Result<(u64, Option<u64>), SqlError> {
    let refused = || SqlError::unsupported("LIMIT and OFFSET take a number");
    let SkipType::Literal(skip) = limit.get_skip_type()? else {
        return Err(refused());
    };
    let FetchType::Literal(fetch) = limit.get_fetch_type()? else {
        return Err(refused());
    };
    Ok((skip as u64, fetch.map(|fetch| fetch as u64)))
}

pub fn sort_keys(order: &[SortExpr], places: &[usize]) -> Vec<SortKey> {
    let keys = order.iter().zip(places);
    keys.map(|(key, column)| SortKey {
        column: *column,
        descending: !key.asc,
        nulls_first: key.nulls_first,
    })
    .collect()
}

/// In the types of these columns: a function's type may depend on constants that the optimiser has found since.
pub fn compile_as(
    expressions: &[Expr],
    schema: &DFSchema,
    out: &Schema,
) -> Result<Vec<Compiled>, SqlError> {
    let both = expressions.iter().zip(out.fields());
    both.map(|(one, field)| {
        let compiled = compile(one, schema)?;
        if compiled.data_type == *field.data_type() {
            return Ok(compiled);
        }
        let cast = Cast::new(Box::new(one.clone()), field.data_type().clone());
        compile(&Expr::Cast(cast), schema)
    })
    .collect()
}

/// Invariant 2.
pub fn schema_of(schema: &DFSchema) -> SchemaRef {
    canonical_schema(schema.as_arrow())
}

pub fn one_row() -> RecordBatch {
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options)
        .expect("one row of no columns")
}

/// A column of one value.
#[derive(Debug, PartialEq)]
pub struct Same {
    pub value: ScalarValue,
    pub data_type: DataType,
}

impl Expression for Same {
    fn evaluate(&self, rows: &RecordBatch) -> Result<ArrayRef, streams::Fault> {
        let value = ColumnarValue::Scalar(self.value.clone());
        let array = spread(&value, rows.num_rows());
        let array = array.map_err(|error| crate::error::evaluation_fault(&error))?;
        cast(&array, &self.data_type).map_err(|error| crate::error::evaluation_fault(&error.into()))
    }

    fn is_same(&self, other: &dyn Expression) -> bool {
        (other as &dyn Any).downcast_ref::<Self>() == Some(self)
    }
}
