//! Groups and their aggregates.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion_common::ScalarValue;
use datafusion_expr::{
    Expr, GroupingSet,
    expr::AggregateFunction as Call,
    utils::{enumerate_grouping_sets, grouping_set_to_exprlist},
};
use streams::{
    NodeId, Operator,
    plan::{Aggregate, AggregateFunction, SortKey},
};

use super::{Lowering, Same, internal, schema_of};
use crate::{backend::SqlError, error::sqlstate, planner::expression::Compiled};

/// There is an aggregation for each subset of the keys.
const CUBE_KEYS_MAX: usize = 8;

impl Lowering {
    pub fn aggregate(&mut self, logical: &datafusion_expr::Aggregate) -> Result<NodeId, SqlError> {
        let input = self.node(&logical.input)?;
        let schema = logical.input.schema();
        let keys: Vec<Expr> = grouping_set_to_exprlist(&logical.group_expr)?
            .into_iter()
            .cloned()
            .collect();
        let calls: Vec<&Call> = logical
            .aggr_expr
            .iter()
            .map(call)
            .collect::<Result<_, _>>()?;
        let specs = Specs::new(&keys, &calls)?;
        let (input, places) = self.extended(input, &specs.expressions, schema)?;
        let aggregates = specs.placed(&places);
        let out = schema_of(&logical.schema);
        let Some(sets) = grouping_sets(&logical.group_expr)? else {
            let operator = Operator::Aggregate {
                keys: places[..keys.len()].to_vec(),
                aggregates,
            };
            return Ok(self.plan.add(operator, &[input], out));
        };
        let mut parts = Vec::with_capacity(sets.len());
        for set in sets {
            let set: Vec<usize> = keys
                .iter()
                .enumerate()
                .filter_map(|(at, key)| set.contains(key).then_some(at))
                .collect();
            parts.push(self.grouping_set(input, &set, &places[..keys.len()], &aggregates, &out)?);
        }
        Ok(self.union(&parts, out))
    }

    /// Groups by some of the keys; the others are null, and which is in a number of one bit a key, 1 for null.
    fn grouping_set(
        &mut self,
        input: NodeId,
        set: &[usize],
        places: &[usize],
        aggregates: &[Aggregate],
        out: &Arc<Schema>,
    ) -> Result<NodeId, SqlError> {
        let keys = set.iter().map(|key| places[*key]).collect();
        let count = places.len();
        let mut fields: Vec<Field> = set.iter().map(|key| out.field(*key).clone()).collect();
        fields.extend(
            out.fields()[count + 1..]
                .iter()
                .map(|field| field.as_ref().clone()),
        );
        let operator = Operator::Aggregate {
            keys,
            aggregates: aggregates.to_vec(),
        };
        let grouped = self
            .plan
            .add(operator, &[input], Arc::new(Schema::new(fields)));
        let mut mask = 0_u64;
        let mut columns = Vec::with_capacity(out.fields().len());
        for key in 0..count {
            mask <<= 1;
            let data_type = out.field(key).data_type().clone();
            match set.iter().position(|found| *found == key) {
                Some(at) => columns.push(column(at, data_type)),
                None => {
                    mask |= 1;
                    columns.push(same(ScalarValue::try_from(&data_type)?, data_type));
                }
            }
        }
        let id_type = out.field(count).data_type().clone();
        columns.push(same(ScalarValue::UInt64(Some(mask)), id_type));
        for at in 0..aggregates.len() {
            let data_type = out.field(count + 1 + at).data_type().clone();
            columns.push(column(set.len() + at, data_type));
        }
        Ok(self.project(grouped, columns, out.clone()))
    }
}

/// Each set of keys that rows are grouped by, when there are several.
fn grouping_sets(groups: &[Expr]) -> Result<Option<Vec<Vec<Expr>>>, SqlError> {
    if !groups
        .iter()
        .any(|group| matches!(group, Expr::GroupingSet(_)))
    {
        return Ok(None);
    }
    let groups = enumerate_grouping_sets(groups.to_vec())?;
    let [Expr::GroupingSet(sets)] = groups.as_slice() else {
        return Err(internal("grouping sets are enumerated"));
    };
    Ok(Some(match sets {
        GroupingSet::GroupingSets(sets) => sets.clone(),
        GroupingSet::Rollup(keys) => (0..=keys.len())
            .rev()
            .map(|count| keys[..count].to_vec())
            .collect(),
        GroupingSet::Cube(keys) if keys.len() <= CUBE_KEYS_MAX => (0..1_usize << keys.len())
            .map(|mask| {
                let chosen = keys
                    .iter()
                    .enumerate()
                    .filter(|(at, _)| mask >> at & 1 == 1);
                chosen.map(|(_, key)| key.clone()).collect()
            })
            .collect(),
        GroupingSet::Cube(_) => {
            return Err(SqlError::new(
                sqlstate::STATEMENT_TOO_COMPLEX,
                format!("CUBE takes at most {CUBE_KEYS_MAX} keys"),
            ));
        }
    }))
}

fn column(at: usize, data_type: DataType) -> Compiled {
    Compiled {
        expression: Arc::new(streams::expression::Column(at)),
        data_type,
        column: Some(at),
    }
}

fn same(value: ScalarValue, data_type: DataType) -> Compiled {
    Compiled {
        expression: Arc::new(Same {
            value,
            data_type: data_type.clone(),
        }),
        data_type,
        column: None,
    }
}

fn call(expression: &Expr) -> Result<&Call, SqlError> {
    match expression {
        Expr::AggregateFunction(call) => Ok(call),
        Expr::Alias(alias) => call(&alias.expr),
        _ => Err(internal("an aggregate was expected")),
    }
}

/// Expressions over the input that an aggregation reads, each once.
struct Needed {
    expressions: Vec<Expr>,
}

impl Needed {
    fn place(&mut self, expression: &Expr) -> usize {
        if let Some(at) = self
            .expressions
            .iter()
            .position(|found| found == expression)
        {
            return at;
        }
        self.expressions.push(expression.clone());
        self.expressions.len() - 1
    }
}

/// An aggregate whose columns are places among the needed expressions.
struct Spec {
    function: AggregateFunction,
    arguments: Vec<usize>,
    distinct: bool,
    filter: Option<usize>,
    order: Vec<SortKey>,
}

impl Spec {
    fn new(call: &Call, needed: &mut Needed) -> Result<Self, SqlError> {
        let params = &call.params;
        let name = call.func.name();
        let mut arguments: Vec<Expr> = params.args.clone();
        let function = match name {
            "count" => {
                // count(*) and count(1) count rows.
                arguments.retain(|argument| !is_value(argument));
                AggregateFunction::Count
            }
            "sum" => AggregateFunction::Sum,
            "avg" => AggregateFunction::Avg,
            "min" => AggregateFunction::Min,
            "max" => AggregateFunction::Max,
            "bool_and" => AggregateFunction::BoolAnd,
            "bool_or" => AggregateFunction::BoolOr,
            "bit_and" => AggregateFunction::BitAnd,
            "bit_or" => AggregateFunction::BitOr,
            "bit_xor" => AggregateFunction::BitXor,
            "string_agg" => AggregateFunction::StringAgg,
            "array_agg" => AggregateFunction::ArrayAgg,
            "first_value" => AggregateFunction::FirstValue,
            "last_value" => AggregateFunction::LastValue,
            "var_pop" => AggregateFunction::VarPop,
            "var" | "var_samp" => AggregateFunction::VarSamp,
            "stddev_pop" => AggregateFunction::StddevPop,
            "stddev" | "stddev_samp" => AggregateFunction::StddevSamp,
            "approx_distinct" | "approx_count_distinct" => AggregateFunction::ApproxDistinct,
            "median" => AggregateFunction::Percentile {
                fraction_bits: 0.5_f64.to_bits(),
            },
            "percentile_cont" => {
                let fraction = percentile_fraction(&arguments)?;
                arguments.truncate(1);
                AggregateFunction::Percentile {
                    fraction_bits: fraction.to_bits(),
                }
            }
            _ => {
                return Err(SqlError::unsupported(format!(
                    "aggregate {name} is not supported"
                )));
            }
        };
        let is_ordered = !matches!(function, AggregateFunction::Percentile { .. });
        let mut order = Vec::new();
        for key in params.order_by.iter().filter(|_| is_ordered) {
            order.push(SortKey {
                column: needed.place(&key.expr),
                descending: !key.asc,
                nulls_first: key.nulls_first,
            });
        }
        Ok(Self {
            function,
            arguments: arguments
                .iter()
                .map(|argument| needed.place(argument))
                .collect(),
            distinct: params.distinct,
            filter: params.filter.as_ref().map(|filter| needed.place(filter)),
            order,
        })
    }

    fn placed(&self, places: &[usize]) -> Aggregate {
        Aggregate {
            function: self.function.clone(),
            arguments: self.arguments.iter().map(|at| places[*at]).collect(),
            distinct: self.distinct,
            filter: self.filter.map(|at| places[at]),
            order: self
                .order
                .iter()
                .map(|key| SortKey {
                    column: places[key.column],
                    ..*key
                })
                .collect(),
        }
    }
}

/// Aggregates and the expressions that they and the keys read, the keys first.
pub struct Specs {
    pub expressions: Vec<Expr>,
    specs: Vec<Spec>,
}

impl Specs {
    pub fn new(keys: &[Expr], calls: &[&Call]) -> Result<Self, SqlError> {
        let mut needed = Needed {
            expressions: keys.to_vec(),
        };
        let specs = calls
            .iter()
            .map(|call| Spec::new(call, &mut needed))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            expressions: needed.expressions,
            specs,
        })
    }

    /// With the expressions at these places.
    pub fn placed(&self, places: &[usize]) -> Vec<Aggregate> {
        self.specs.iter().map(|spec| spec.placed(places)).collect()
    }
}

fn is_value(expression: &Expr) -> bool {
    matches!(expression, Expr::Literal(value, _) if !value.is_null())
}

fn percentile_fraction(arguments: &[Expr]) -> Result<f64, SqlError> {
    let refused = || SqlError::unsupported("percentile_cont takes a number between 0 and 1");
    let Some(Expr::Literal(value, _)) = arguments.get(1) else {
        return Err(refused());
    };
    match value.cast_to(&DataType::Float64) {
        Ok(ScalarValue::Float64(Some(fraction))) if (0.0..=1.0).contains(&fraction) => Ok(fraction),
        _ => Err(refused()),
    }
}
