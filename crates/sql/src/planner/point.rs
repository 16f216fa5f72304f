//! Point queries: columns of the row with a given key, for which no dataflow is made.
//!
//! # Cost
//! One search of the relation's rows, whose columns are passed on with the place of the one that is found. Of a statement that
//! is prepared nothing is bound, lowered or run, which took several times as long.

use std::collections::BTreeMap;

use arrow::datatypes::DataType;
use datafusion_common::{Column, DataFusionError, ScalarValue, metadata::ScalarAndMetadata};
use datafusion_expr::{BinaryExpr, Cast, Expr, LogicalPlan, Operator, utils::split_conjunction};

use super::{context::relation_of, light::parameter_place, lookups::is_exact, lower::limit_counts};

/// See the module head.
#[derive(Clone, Debug, PartialEq)]
pub struct PointQuery {
    pub relation: String,
    /// By column of the relation, what it must be; nothing else is asked of a row.
    given: BTreeMap<usize, Given>,
    /// Columns of the relation, as they are shown.
    pub columns: Vec<usize>,
    /// Rows may have been left out already: nothing more may be asked of them.
    is_limited: bool,
}

#[derive(Clone, Debug, PartialEq)]
struct Given {
    value: Value,
    /// What the value is cast to, one after the other.
    casts: Vec<DataType>,
    /// The column's type.
    wanted: DataType,
}

#[derive(Clone, Debug, PartialEq)]
enum Value {
    Literal(ScalarValue),
    /// From zero.
    Parameter(usize),
}

impl PointQuery {
    /// `None`: it asks for more than columns of rows that have given values in some columns.
    pub fn of(optimized: &LogicalPlan) -> Option<Self> {
        match optimized {
            // Of one row at most, for nothing is asked above.
            LogicalPlan::Limit(limit) => match limit_counts(limit).ok()? {
                (0, Some(1..)) => Some(Self {
                    is_limited: true,
                    ..Self::of(&limit.input)?
                }),
                _ => None,
            },
            LogicalPlan::Sort(sort) => {
                let mut keys = sort.expr.iter();
                let is_plain =
                    sort.fetch.is_none() && keys.all(|key| column_of(&key.expr).is_some());
                Self::of(&sort.input).filter(|_| is_plain)
            }
            LogicalPlan::SubqueryAlias(alias) => Self::of(&alias.input),
            LogicalPlan::Projection(projection) => {
                let below = Self::of(&projection.input)?;
                let schema = projection.input.schema();
                let shown = |expression: &Expr| {
                    let column = column_of(expression)?;
                    Some(below.columns[schema.maybe_index_of_column(column)?])
                };
                let columns: Option<_> = projection.expr.iter().map(shown).collect();
                Some(Self {
                    columns: columns?,
                    ..below
                })
            }
            LogicalPlan::Filter(filter) => {
                let mut below = Self::of(&filter.input).filter(|below| !below.is_limited)?;
                let schema = filter.input.schema();
                for condition in split_conjunction(&filter.predicate) {
                    let (column, value, casts) = equality(condition)?;
                    let at = schema.maybe_index_of_column(column)?;
                    let wanted = schema.field(at).data_type().clone();
                    let given = Given {
                        value,
                        casts,
                        wanted,
                    };
                    let is_new = below.given.insert(below.columns[at], given).is_none();
                    is_new.then_some(())?;
                }
                Some(below)
            }
            LogicalPlan::TableScan(scan) => {
                let relation = relation_of(scan)?;
                let is_plain = scan.filters.is_empty() && scan.fetch.is_none();
                let all = (0..relation.schema.fields().len()).collect();
                is_plain.then(|| Self {
                    relation: relation.name.clone(),
                    given: BTreeMap::new(),
                    columns: scan.projection.clone().unwrap_or(all),
                    is_limited: false,
                })
            }
            _ => None,
        }
    }

    /// The values that a row has in these columns, when they are all that is asked of it; `None` also where one of them is
    /// null, or of a type that what is equal need not look equal in.
    pub fn key(
        &self,
        columns: &[usize],
        parameters: &[ScalarAndMetadata],
    ) -> Option<Vec<ScalarValue>> {
        if columns.len() != self.given.len() {
            return None;
        }
        let values = columns.iter().map(|column| {
            let given = self.given.get(column)?;
            let mut value = match &given.value {
                Value::Literal(value) => value.clone(),
                Value::Parameter(at) => parameters.get(*at)?.value.clone(),
            };
            for to in &given.casts {
                value = as_type(&value, to).ok()?;
            }
            let is_exact = is_exact(&given.wanted) && value.data_type() == given.wanted;
            (is_exact && !value.is_null()).then_some(value)
        });
        values.collect()
    }
}

/// The value in a type. Drivers send whole numbers in the narrowest they fit; to widen one takes no cast of columns.
pub fn as_type(value: &ScalarValue, to: &DataType) -> Result<ScalarValue, DataFusionError> {
    let number = match value {
        ScalarValue::Int16(Some(number)) => Some(i64::from(*number)),
        ScalarValue::Int32(Some(number)) => Some(i64::from(*number)),
        _ => None,
    };
    match (number, to) {
        (Some(number), DataType::Int64) => Ok(ScalarValue::Int64(Some(number))),
        _ if value.data_type() == *to => Ok(value.clone()),
        _ => value.cast_to(to),
    }
}

fn column_of(expression: &Expr) -> Option<&Column> {
    match expression {
        Expr::Column(column) => Some(column),
        Expr::Alias(alias) => column_of(&alias.expr),
        _ => None,
    }
}

/// A column that is to be equal to a value.
fn equality(condition: &Expr) -> Option<(&Column, Value, Vec<DataType>)> {
    let Expr::BinaryExpr(BinaryExpr {
        left,
        op: Operator::Eq,
        right,
    }) = condition
    else {
        return None;
    };
    let (column, value) = match (left.as_ref(), right.as_ref()) {
        (Expr::Column(column), value) | (value, Expr::Column(column)) => (column, value),
        _ => return None,
    };
    let (value, casts) = value_of(value)?;
    Some((column, value, casts))
}

fn value_of(expression: &Expr) -> Option<(Value, Vec<DataType>)> {
    match expression {
        Expr::Literal(value, _) => Some((Value::Literal(value.clone()), Vec::new())),
        Expr::Placeholder(placeholder) => {
            let at = parameter_place(placeholder)?;
            Some((Value::Parameter(at), Vec::new()))
        }
        Expr::Cast(Cast { expr, field }) => {
            let (value, mut casts) = value_of(expr)?;
            casts.push(field.data_type().clone());
            Some((value, casts))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
