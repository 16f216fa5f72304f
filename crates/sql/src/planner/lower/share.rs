//! Window functions that a row's place and the count of its partition make: `ntile`, `percent_rank` and `cume_dist`.
//!
//! Each costs what numbering does, and one aggregation with a join.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion_expr::{Expr, Window, cast, col, expr::WindowFunction, lit, when};
use streams::{
    NodeId,
    plan::{Aggregate, AggregateFunction, JoinKind, Ties},
};

use super::{
    Lowering,
    over::{fields_of, numbered_schema},
    sort_keys,
};
use crate::{backend::SqlError, error::sqlstate, planner::expression::compile};

impl Lowering {
    /// The rows with the function's value behind their columns.
    pub fn share(
        &mut self,
        input: NodeId,
        window: &Window,
        call: &WindowFunction,
        value: Field,
    ) -> Result<NodeId, SqlError> {
        let name = call.fun.name();
        let width = self.schema(input).fields().len();
        let params = &call.params;
        let partition = params.partition_by.len();
        let mut needed = params.partition_by.clone();
        needed.extend(params.order_by.iter().map(|key| key.expr.clone()));
        let (rows, places) = self.extended(input, &needed, window.input.schema())?;
        let groups = &places[..partition];
        let mut order = sort_keys(&params.order_by, &places[partition..]);
        if name == "cume_dist" {
            // Rows at or before one are those that are not before it from the other end.
            for key in &mut order {
                key.descending = !key.descending;
                key.nulls_first = !key.nulls_first;
            }
        }
        let ties = match name {
            "ntile" => Ties::Numbered,
            _ => Ties::Ranked,
        };
        let rows = self.numbered_rows(rows, groups, &order, ties);
        let all = self.schema(rows).fields().len();
        let count = Aggregate {
            function: AggregateFunction::Count,
            arguments: Vec::new(),
            distinct: false,
            filter: None,
            order: Vec::new(),
        };
        let counted = Field::new("count", DataType::Int64, true);
        let counts = self.grouped(rows, groups, vec![count], &counted);
        let pairs = groups.iter().copied().zip(0..).collect();
        let joined = self.paired(rows, counts, JoinKind::Inner, pairs, None);
        // From 0.
        let place = col(format!("c{}", all - 1)) - lit(1_i64);
        let count = col(format!("c{}", all + partition));
        let answer = match name {
            "ntile" => tile(&place, &count, parts(call)?)?,
            "percent_rank" => {
                let others = double(count - lit(1_i64));
                let is_only = others.clone().eq(lit(0.0));
                when(is_only, lit(0.0)).otherwise(double(place) / others)?
            }
            _ => double(count.clone() - place) / double(count),
        };
        let schema = self.schema(joined);
        let numbered = numbered_schema(&schema)?;
        let columns = (0..width).map(|at| col(format!("c{at}")));
        let answer = cast(answer, value.data_type().clone());
        let compiled = columns
            .chain([answer])
            .map(|column| compile(&column, &numbered))
            .collect::<Result<Vec<_>, _>>()?;
        let mut fields = fields_of(&schema)[..width].to_vec();
        fields.push(value);
        Ok(self.project(joined, compiled, Arc::new(Schema::new(fields))))
    }
}

fn double(number: Expr) -> Expr {
    cast(number, DataType::Float64)
}

/// How many parts `ntile` makes.
fn parts(call: &WindowFunction) -> Result<i64, SqlError> {
    let parts = match call.params.args.as_slice() {
        [Expr::Literal(parts, _)] => i64::try_from(parts.cast_to(&DataType::Int64)?).ok(),
        _ => None,
    };
    match parts {
        Some(parts) if parts > 0 => Ok(parts),
        Some(_) => Err(SqlError::new(
            sqlstate::INVALID_ARGUMENT_FOR_NTILE,
            "argument of ntile must be greater than zero",
        )),
        None => Err(SqlError::unsupported("ntile takes a constant number")),
    }
}

/// The first parts have one row more where they cannot all have as many.
fn tile(place: &Expr, count: &Expr, parts: i64) -> Result<Expr, SqlError> {
    let size = count.clone() / lit(parts);
    let longer = count.clone() % lit(parts);
    let in_longer = longer.clone() * (size.clone() + lit(1_i64));
    let first = place.clone() / (size.clone() + lit(1_i64));
    // Shorter parts without rows hold no row that asks.
    let size = when(size.clone().eq(lit(0_i64)), lit(1_i64)).otherwise(size)?;
    let second = longer + (place.clone() - in_longer.clone()) / size;
    let tile = when(place.clone().lt(in_longer), first).otherwise(second)?;
    Ok(tile + lit(1_i64))
}
