//! Window functions that look at other rows: aggregates over a frame, rows before and behind.
//!
//! A frame is a join of the numbered rows with themselves, so these are exact over deltas, as everything is; what they cost
//! grows with rows times frame. Over whole partitions it is one aggregation and a join with it.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion_common::{DFSchema, ScalarValue};
use datafusion_expr::{
    BinaryExpr, Expr, Operator as Compare, Window, WindowFrameBound, WindowFrameUnits, col,
    expr::{AggregateFunction as Call, WindowFunction, WindowFunctionDefinition},
    lit,
};
use streams::{
    ExpressionRef, NodeId, Operator,
    plan::{Aggregate, Join, JoinKind, SortKey, Ties},
};

use super::{Lowering, aggregate::Specs, sort_keys};
use crate::{backend::SqlError, planner::expression::compile};

/// Which rows of a partition belong to a row's frame, by number or by rank.
struct Frame {
    by_rank: bool,
    /// How far before the row; `None`: from the first on.
    before: Option<i64>,
    /// How far behind the row; `None`: up to the last.
    behind: Option<i64>,
}

impl Frame {
    fn of(call: &WindowFunction) -> Result<Self, SqlError> {
        let frame = &call.params.window_frame;
        let by_rank = match frame.units {
            WindowFrameUnits::Rows => false,
            WindowFrameUnits::Range => true,
            WindowFrameUnits::Groups => return Err(unsupported("frames of GROUPS")),
        };
        let distance = |bound: &WindowFrameBound| match bound {
            WindowFrameBound::CurrentRow => Ok(Some(0)),
            WindowFrameBound::Preceding(value) | WindowFrameBound::Following(value)
                if value.is_null() =>
            {
                Ok(None)
            }
            WindowFrameBound::Preceding(value) | WindowFrameBound::Following(value) => {
                let far = value.cast_to(&DataType::Int64);
                match far {
                    Ok(ScalarValue::Int64(Some(far))) if !by_rank => Ok(Some(far)),
                    _ => Err(unsupported("frames of RANGE with a distance")),
                }
            }
        };
        let sign = |bound: &WindowFrameBound, forward: bool| {
            let is_forward = matches!(bound, WindowFrameBound::Following(_));
            if is_forward == forward { 1 } else { -1 }
        };
        let before = distance(&frame.start_bound)?;
        let behind = distance(&frame.end_bound)?;
        Ok(Self {
            by_rank,
            before: before.map(|far| far * sign(&frame.start_bound, false)),
            behind: behind.map(|far| far * sign(&frame.end_bound, true)),
        })
    }

    fn is_whole(&self, call: &WindowFunction) -> bool {
        let unordered = self.by_rank && call.params.order_by.is_empty();
        unordered || (self.before.is_none() && self.behind.is_none())
    }
}

fn unsupported(what: &str) -> SqlError {
    SqlError::unsupported(format!("{what} are not supported in window functions"))
}

impl Lowering {
    /// The rows with the function's value behind their columns.
    pub fn over(
        &mut self,
        input: NodeId,
        window: &Window,
        call: &WindowFunction,
        value: Field,
    ) -> Result<NodeId, SqlError> {
        let name = call.fun.name().to_owned();
        match &call.fun {
            WindowFunctionDefinition::AggregateUDF(function) => {
                let params = &call.params;
                let order = match function.name() {
                    "array_agg" | "string_agg" if !params.distinct => params.order_by.clone(),
                    _ => Vec::new(),
                };
                let call_of_rows = Call::new_udf(
                    function.clone(),
                    params.args.clone(),
                    params.distinct,
                    params.filter.clone(),
                    order,
                    params.null_treatment,
                );
                let frame = Frame::of(call)?;
                if frame.is_whole(call) {
                    self.over_partition(input, window, call, &call_of_rows, value)
                } else {
                    self.over_frame(input, window, call, &call_of_rows, &frame, value)
                }
            }
            WindowFunctionDefinition::WindowUDF(_) => match name.as_str() {
                "ntile" | "percent_rank" | "cume_dist" => self.share(input, window, call, value),
                "lag" => self.shifted(input, window, call, 1, value),
                "lead" => self.shifted(input, window, call, -1, value),
                "first_value" | "last_value" => {
                    let function = crate::functions::aggregate(&name)
                        .ok_or_else(|| super::internal("an aggregate of ours"))?;
                    let params = &call.params;
                    let order = params.order_by.clone();
                    let args = params.args.clone();
                    let first = Call::new_udf(function, args, false, None, order, None);
                    let frame = Frame::of(call)?;
                    self.over_frame(input, window, call, &first, &frame, value)
                }
                _ => Err(SqlError::unsupported(format!(
                    "window function {name} is not supported"
                ))),
            },
        }
    }

    fn over_partition(
        &mut self,
        input: NodeId,
        window: &Window,
        call: &WindowFunction,
        aggregate: &Call,
        value: Field,
    ) -> Result<NodeId, SqlError> {
        let width = self.schema(input).fields().len();
        let schema = window.input.schema();
        let specs = Specs::new(&call.params.partition_by, &[aggregate])?;
        let (rows, places) = self.extended(input, &specs.expressions, schema)?;
        let keys = places[..call.params.partition_by.len()].to_vec();
        let grouped = self.grouped(rows, &keys, specs.placed(&places), &value);
        let pairs = keys.iter().copied().zip(0..).collect();
        let joined = self.paired(rows, grouped, JoinKind::Inner, pairs, None);
        let at = self.schema(rows).fields().len() + keys.len();
        Ok(self.with_value(joined, width, at))
    }

    fn over_frame(
        &mut self,
        input: NodeId,
        window: &Window,
        call: &WindowFunction,
        aggregate: &Call,
        frame: &Frame,
        value: Field,
    ) -> Result<NodeId, SqlError> {
        let width = self.schema(input).fields().len();
        let schema = window.input.schema();
        let partition = call.params.partition_by.len();
        let order = &call.params.order_by;
        let mut keys = call.params.partition_by.clone();
        keys.extend(order.iter().map(|key| key.expr.clone()));
        let specs = Specs::new(&keys, &[aggregate])?;
        let (rows, places) = self.extended(input, &specs.expressions, schema)?;
        let groups = places[..partition].to_vec();
        let order = sort_keys(order, &places[partition..keys.len()]);
        let rows = self.numbered_rows(rows, &groups, &order, Ties::Numbered);
        let number = self.schema(rows).fields().len() - 1;
        let (rows, by) = if frame.by_rank {
            (
                self.numbered_rows(rows, &groups, &order, Ties::Ranked),
                number + 1,
            )
        } else {
            (rows, number)
        };
        let all = self.schema(rows).fields().len();
        let pairs = groups.iter().map(|at| (*at, *at)).collect();
        let condition = self.within(rows, by, frame)?;
        let joined = self.paired(rows, rows, JoinKind::Inner, pairs, condition);
        let mut keys = groups.clone();
        keys.push(number);
        let mut aggregates = specs.placed(&places);
        aggregates
            .iter_mut()
            .for_each(|aggregate| shift(aggregate, all));
        let grouped = self.grouped(joined, &keys, aggregates, &value);
        let pairs = keys.iter().copied().zip(0..).collect();
        let kind = JoinKind::Left;
        let joined = self.paired(rows, grouped, kind, pairs, None);
        let joined = self.counted_as_zero(joined, all + keys.len(), aggregate)?;
        Ok(self.with_value(joined, width, all + keys.len()))
    }

    /// A frame may be empty, and the count of no rows is zero.
    fn counted_as_zero(
        &mut self,
        node: NodeId,
        at: usize,
        aggregate: &Call,
    ) -> Result<NodeId, SqlError> {
        if aggregate.func.name() != "count" {
            return Ok(node);
        }
        let schema = self.schema(node);
        let numbered = numbered_schema(&schema)?;
        let mut compiled = Vec::with_capacity(schema.fields().len());
        for place in 0..schema.fields().len() {
            let column = col(format!("c{place}"));
            let expression = if place == at {
                datafusion_expr::when(column.clone().is_null(), lit(0_i64)).otherwise(column)?
            } else {
                column
            };
            compiled.push(compile(&expression, &numbered)?);
        }
        Ok(self.project(node, compiled, schema))
    }

    /// `lag` looks at the row so many places before, `lead` behind.
    fn shifted(
        &mut self,
        input: NodeId,
        window: &Window,
        call: &WindowFunction,
        direction: i64,
        value: Field,
    ) -> Result<NodeId, SqlError> {
        let width = self.schema(input).fields().len();
        let schema = window.input.schema();
        let params = &call.params;
        let far = match params.args.get(1) {
            None => 1,
            Some(Expr::Literal(far, _)) => match far.cast_to(&DataType::Int64) {
                Ok(ScalarValue::Int64(Some(far))) => far,
                _ => return Err(unsupported("distances that are no numbers")),
            },
            Some(_) => return Err(unsupported("distances that are no constants")),
        };
        let subject = params
            .args
            .first()
            .cloned()
            .unwrap_or_else(|| lit(ScalarValue::Null));
        let mut needed = params.partition_by.clone();
        needed.extend(params.order_by.iter().map(|key| key.expr.clone()));
        needed.push(subject);
        needed.extend(params.args.get(2).cloned());
        let (rows, places) = self.extended(input, &needed, schema)?;
        let groups = places[..params.partition_by.len()].to_vec();
        let order = &places[groups.len()..groups.len() + params.order_by.len()];
        let order = sort_keys(&params.order_by, order);
        let subject = places[groups.len() + order.len()];
        let default = places.get(groups.len() + order.len() + 1).copied();
        let rows = self.numbered_rows(rows, &groups, &order, Ties::Numbered);
        let all = self.schema(rows).fields().len();
        let number = all - 1;
        let moved = self.moved(rows, number, far * direction)?;
        let mut pairs: Vec<(usize, usize)> = groups.iter().map(|at| (*at, *at)).collect();
        pairs.push((number, all));
        let joined = self.paired(rows, moved, JoinKind::Left, pairs, None);
        let schema = self.schema(joined);
        let numbered = numbered_schema(&schema)?;
        let found = col(format!("c{}", all + subject));
        let answer = match default {
            None => found,
            Some(default) => {
                let is_missing = col(format!("c{}", all + number)).is_null();
                let default = col(format!("c{default}"));
                datafusion_expr::when(is_missing, default).otherwise(found)?
            }
        };
        let mut compiled = Vec::with_capacity(width + 1);
        for at in 0..width {
            compiled.push(compile(&col(format!("c{at}")), &numbered)?);
        }
        let answer = datafusion_expr::cast(answer, value.data_type().clone());
        compiled.push(compile(&answer, &numbered)?);
        let mut fields: Vec<Field> = fields_of(&schema)[..width].to_vec();
        fields.push(value);
        Ok(self.project(joined, compiled, Arc::new(Schema::new(fields))))
    }

    /// With a further column: the number of the row that looks at this one.
    fn moved(&mut self, rows: NodeId, number: usize, by: i64) -> Result<NodeId, SqlError> {
        let schema = self.schema(rows);
        let numbered = numbered_schema(&schema)?;
        let mut compiled = Vec::with_capacity(schema.fields().len() + 1);
        for at in 0..schema.fields().len() {
            compiled.push(compile(&col(format!("c{at}")), &numbered)?);
        }
        let moved = col(format!("c{number}")) + lit(by);
        compiled.push(compile(&moved, &numbered)?);
        let mut fields = fields_of(&schema);
        fields.push(Field::new("moved", DataType::Int64, true));
        Ok(self.project(rows, compiled, Arc::new(Schema::new(fields))))
    }

    pub(super) fn numbered_rows(
        &mut self,
        input: NodeId,
        partition: &[usize],
        order: &[SortKey],
        ties: Ties,
    ) -> NodeId {
        let mut fields = fields_of(&self.schema(input));
        fields.push(Field::new("number", DataType::Int64, true));
        let operator = Operator::Top {
            partition: partition.to_vec(),
            order: order.to_vec(),
            ties,
            offset: 0,
            limit: None,
            emits_number: true,
        };
        self.plan
            .add(operator, &[input], Arc::new(Schema::new(fields)))
    }

    fn within(
        &self,
        rows: NodeId,
        by: usize,
        frame: &Frame,
    ) -> Result<Option<ExpressionRef>, SqlError> {
        let schema = self.schema(rows);
        let width = schema.fields().len();
        let mut fields = fields_of(&schema);
        fields.extend(fields_of(&schema));
        let both = numbered_schema(&Schema::new(fields))?;
        let own = || col(format!("c{by}"));
        let other = || col(format!("c{}", width + by));
        let mut conditions = Vec::new();
        if let Some(before) = frame.before {
            let from = binary(own(), Compare::Minus, lit(before));
            conditions.push(binary(other(), Compare::GtEq, from));
        }
        if let Some(behind) = frame.behind {
            let until = binary(own(), Compare::Plus, lit(behind));
            conditions.push(binary(other(), Compare::LtEq, until));
        }
        let all = conditions.into_iter().reduce(Expr::and);
        all.map(|all| compile(&all, &both).map(|compiled| compiled.expression))
            .transpose()
    }

    pub(super) fn grouped(
        &mut self,
        input: NodeId,
        keys: &[usize],
        aggregates: Vec<Aggregate>,
        value: &Field,
    ) -> NodeId {
        let schema = self.schema(input);
        let mut fields: Vec<Field> = keys.iter().map(|at| schema.field(*at).clone()).collect();
        fields.push(value.clone());
        let operator = Operator::Aggregate {
            keys: keys.to_vec(),
            aggregates,
        };
        self.plan
            .add(operator, &[input], Arc::new(Schema::new(fields)))
    }

    pub(super) fn paired(
        &mut self,
        left: NodeId,
        right: NodeId,
        kind: JoinKind,
        keys: Vec<(usize, usize)>,
        condition: Option<ExpressionRef>,
    ) -> NodeId {
        let mut fields = fields_of(&self.schema(left));
        fields.extend(fields_of(&self.schema(right)));
        let join = Join {
            kind,
            keys,
            null_equals_null: true,
            condition,
        };
        self.plan.add(
            Operator::Join(join),
            &[left, right],
            Arc::new(Schema::new(fields)),
        )
    }

    fn with_value(&mut self, node: NodeId, width: usize, at: usize) -> NodeId {
        let mut wanted: Vec<usize> = (0..width).collect();
        wanted.push(at);
        self.pick(node, &wanted)
    }
}

fn binary(left: Expr, op: Compare, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
}

pub(super) fn fields_of(schema: &Schema) -> Vec<Field> {
    schema
        .fields()
        .iter()
        .map(|field| field.as_ref().clone())
        .collect()
}

/// Columns called `c0`, `c1` and so on.
pub(super) fn numbered_schema(schema: &Schema) -> Result<DFSchema, SqlError> {
    let numbered = schema.fields().iter().enumerate();
    let fields: Vec<Field> = numbered
        .map(|(at, field)| Field::new(format!("c{at}"), field.data_type().clone(), true))
        .collect();
    Ok(DFSchema::try_from(Schema::new(fields))?)
}

/// Of the right side of a join of a width.
fn shift(aggregate: &mut Aggregate, width: usize) {
    aggregate.arguments.iter_mut().for_each(|at| *at += width);
    aggregate.filter.iter_mut().for_each(|at| *at += width);
    aggregate
        .order
        .iter_mut()
        .for_each(|key| key.column += width);
}
