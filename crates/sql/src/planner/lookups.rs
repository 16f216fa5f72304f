//! Which rows of a relation a query can see at all: those that have given values in some columns.

use std::collections::{BTreeMap, btree_map::Entry};

use arrow::datatypes::DataType;
use datafusion_common::ScalarValue;
use datafusion_expr::{
    BinaryExpr, Expr, LogicalPlan, Operator, TableScan, utils::split_conjunction,
};

use super::context::relation_of;

/// By column, the values it may have.
pub type Values = BTreeMap<usize, Vec<ScalarValue>>;

/// By relation: of each place where it is read, what its rows must have. Relations that are read without such a condition are
/// not among them.
#[must_use]
pub fn of(logical: &LogicalPlan) -> BTreeMap<String, Vec<Values>> {
    let mut found = BTreeMap::new();
    collect(logical, None, &mut found);
    found
        .into_iter()
        .filter_map(|(name, all): (String, Option<Vec<Values>>)| Some((name, all?)))
        .collect()
}

fn collect(
    logical: &LogicalPlan,
    above: Option<&Expr>,
    found: &mut BTreeMap<String, Option<Vec<Values>>>,
) {
    if let LogicalPlan::TableScan(scan) = logical {
        let Some(relation) = relation_of(scan) else {
            return;
        };
        let known = found
            .entry(relation.name.clone())
            .or_insert_with(|| Some(Vec::new()));
        let values = above.map(|predicate| values_of(predicate, scan));
        match (values.filter(|values| !values.is_empty()), known.as_mut()) {
            (Some(values), Some(all)) => all.push(values),
            _ => *known = None,
        }
        return;
    }
    let predicate = match logical {
        LogicalPlan::Filter(filter) => Some(&filter.predicate),
        _ => None,
    };
    for input in logical.inputs() {
        collect(input, predicate, found);
    }
}

fn values_of(predicate: &Expr, scan: &TableScan) -> Values {
    let mut values = Values::new();
    for condition in split_conjunction(predicate) {
        if let Some((column, one_of)) = values_in(condition, scan) {
            match values.entry(column) {
                Entry::Vacant(none) => _ = none.insert(one_of),
                Entry::Occupied(mut known) if one_of.len() < known.get().len() => {
                    known.insert(one_of);
                }
                Entry::Occupied(_) => {}
            }
        }
    }
    values
}

fn values_in(condition: &Expr, scan: &TableScan) -> Option<(usize, Vec<ScalarValue>)> {
    match condition {
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::Eq,
            right,
        }) => {
            let pair = (left.as_ref(), right.as_ref());
            let (column, value) = match pair {
                (Expr::Column(_), Expr::Literal(..)) => pair,
                (Expr::Literal(..), Expr::Column(_)) => (pair.1, pair.0),
                _ => return None,
            };
            Some((
                column_of(column, scan)?,
                vec![literal(column, value, scan)?],
            ))
        }
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::Or,
            right,
        }) => {
            let (column, mut values) = values_in(left, scan)?;
            let (other, more) = values_in(right, scan)?;
            values.extend(more);
            (column == other).then_some((column, values))
        }
        Expr::InList(list) if !list.negated => {
            let column = column_of(&list.expr, scan)?;
            let values = list.list.iter();
            let values = values.map(|value| literal(&list.expr, value, scan));
            Some((column, values.collect::<Option<_>>()?))
        }
        _ => None,
    }
}

/// Its place among all columns of the relation.
fn column_of(expression: &Expr, scan: &TableScan) -> Option<usize> {
    let Expr::Column(column) = expression else {
        return None;
    };
    let at = scan.projected_schema.maybe_index_of_column(column)?;
    match &scan.projection {
        Some(projection) => projection.get(at).copied(),
        None => Some(at),
    }
}

/// A value of the column's own type, of one in which what is equal has equal bytes.
fn literal(column: &Expr, value: &Expr, scan: &TableScan) -> Option<ScalarValue> {
    let (Expr::Column(column), Expr::Literal(value, _)) = (column, value) else {
        return None;
    };
    let at = scan.projected_schema.maybe_index_of_column(column)?;
    let wanted = scan.projected_schema.field(at).data_type();
    let fits = is_exact(wanted) && value.data_type() == *wanted && !value.is_null();
    fits.then(|| value.clone())
}

/// Whether values of this type are equal only where their bytes are.
pub fn is_exact(wanted: &DataType) -> bool {
    matches!(
        wanted,
        DataType::Boolean
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::Utf8
            | DataType::Binary
            | DataType::Date32
            | DataType::Timestamp(..)
            | DataType::Decimal128(..)
    )
}
