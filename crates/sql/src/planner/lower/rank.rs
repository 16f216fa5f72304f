//! Window functions: numbers of rows in their partition, with and without a bound on them.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion_common::ScalarValue;
use datafusion_expr::{
    BinaryExpr, Expr, Operator as Compare, Window,
    expr::{WindowFunction, WindowFunctionDefinition},
    utils::split_conjunction,
};
use streams::{NodeId, Operator, plan::Ties};

use super::{Lowering, schema_of, sort_keys};
use crate::backend::SqlError;

/// Which numbers are asked for, from 1, the last included.
#[derive(Clone, Copy)]
struct Numbers {
    first: u64,
    last: Option<u64>,
}

impl Lowering {
    pub fn window(&mut self, window: &Window) -> Result<NodeId, SqlError> {
        let mut node = self.node(&window.input)?;
        for expression in &window.window_expr {
            let all = Numbers {
                first: 1,
                last: None,
            };
            node = self.numbered(node, window, expression, all)?;
        }
        Ok(node)
    }

    /// A window of one rank with a condition on it: only the rows at those places are kept at all.
    pub fn ranked(
        &mut self,
        window: &Window,
        predicate: &Expr,
    ) -> Result<Option<NodeId>, SqlError> {
        let [expression] = window.window_expr.as_slice() else {
            return Ok(None);
        };
        if rank_of(expression).is_none() {
            return Ok(None);
        }
        let at = window.schema.fields().len() - 1;
        let mut numbers = Numbers {
            first: 1,
            last: None,
        };
        let mut rest = Vec::new();
        for condition in split_conjunction(predicate) {
            let bound = bound_of(condition, |column| {
                window.schema.maybe_index_of_column(column) == Some(at)
            });
            match bound {
                Some(bound) => {
                    numbers.first = numbers.first.max(bound.first);
                    numbers.last = match (numbers.last, bound.last) {
                        (Some(one), Some(other)) => Some(one.min(other)),
                        (one, other) => one.or(other),
                    };
                }
                None => rest.push(condition),
            }
        }
        let input = self.node(&window.input)?;
        let mut node = self.numbered(input, window, expression, numbers)?;
        for condition in rest {
            node = self.keep(node, condition, &window.schema)?;
        }
        Ok(Some(node))
    }

    fn numbered(
        &mut self,
        input: NodeId,
        window: &Window,
        expression: &Expr,
        numbers: Numbers,
    ) -> Result<NodeId, SqlError> {
        let Some((call, ties)) = rank_of(expression) else {
            let call = window_call(expression)
                .ok_or_else(|| super::internal("a window function was expected"))?;
            let all = schema_of(&window.schema);
            let name = expression.schema_name().to_string();
            let value = all.field(all.index_of(&name)?).clone();
            return self.over(input, window, call, value);
        };
        let params = &call.params;
        let width = self.schema(input).fields().len();
        let mut expressions = params.partition_by.clone();
        expressions.extend(params.order_by.iter().map(|key| key.expr.clone()));
        let (input, places) = self.extended(input, &expressions, window.input.schema())?;
        let (partition, keys) = places.split_at(params.partition_by.len());
        let offset = numbers.first - 1;
        let operator = Operator::Top {
            partition: partition.to_vec(),
            order: sort_keys(&params.order_by, keys),
            ties,
            offset,
            limit: numbers.last.map(|last| last.saturating_sub(offset)),
            emits_number: true,
        };
        let old = self.schema(input);
        let mut fields: Vec<Field> = old
            .fields()
            .iter()
            .map(|field| field.as_ref().clone())
            .collect();
        let all = fields.len();
        fields.push(Field::new(
            expression.schema_name().to_string(),
            DataType::Int64,
            true,
        ));
        let top = self
            .plan
            .add(operator, &[input], Arc::new(Schema::new(fields)));
        let mut wanted: Vec<usize> = (0..width).collect();
        wanted.push(all);
        Ok(self.pick(top, &wanted))
    }
}

fn rank_of(expression: &Expr) -> Option<(&WindowFunction, Ties)> {
    let call = window_call(expression)?;
    let WindowFunctionDefinition::WindowUDF(function) = &call.fun else {
        return None;
    };
    let ties = match function.name() {
        "row_number" => Ties::Numbered,
        "rank" => Ties::Ranked,
        "dense_rank" => Ties::DenselyRanked,
        _ => return None,
    };
    Some((call, ties))
}

fn window_call(expression: &Expr) -> Option<&WindowFunction> {
    match expression {
        Expr::WindowFunction(call) => Some(call),
        Expr::Alias(alias) => window_call(&alias.expr),
        _ => None,
    }
}

fn bound_of(
    condition: &Expr,
    is_number: impl Fn(&datafusion_common::Column) -> bool,
) -> Option<Numbers> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = condition else {
        return None;
    };
    let (column, op, value) = match (left.as_ref(), right.as_ref()) {
        (Expr::Column(column), Expr::Literal(value, _)) => (column, *op, value),
        (Expr::Literal(value, _), Expr::Column(column)) => (column, op.swap()?, value),
        _ => return None,
    };
    if !is_number(column) {
        return None;
    }
    let ScalarValue::Int64(Some(value)) = value.cast_to(&DataType::Int64).ok()? else {
        return None;
    };
    let at_least = |value: i64| u64::try_from(value).unwrap_or(0).max(1);
    let up_to = |value: i64| u64::try_from(value).unwrap_or(0);
    Some(match op {
        Compare::Eq => Numbers {
            first: at_least(value),
            last: Some(up_to(value)),
        },
        Compare::Lt => Numbers {
            first: 1,
            last: Some(up_to(value.saturating_sub(1))),
        },
        Compare::LtEq => Numbers {
            first: 1,
            last: Some(up_to(value)),
        },
        Compare::Gt => Numbers {
            first: at_least(value.saturating_add(1)),
            last: None,
        },
        Compare::GtEq => Numbers {
            first: at_least(value),
            last: None,
        },
        _ => return None,
    })
}
