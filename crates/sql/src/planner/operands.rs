//! Types of operands before the query engine makes them agree: parameters that are lists, text beside numbers.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion_common::{
    DFSchema, DataFusionError,
    tree_node::{Transformed, TreeNode},
};
use datafusion_expr::{
    BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator, expr::Placeholder,
    expr_rewriter::NamePreserver, type_coercion::binary::comparison_coercion, utils::merge_schema,
};

use crate::{
    backend::SqlError,
    column_type::postgres_type,
    error::{carried, undefined_operator},
};

/// Says what `$1` is in `a = ANY($1)`, and refuses what Postgres has no operator for.
pub fn checked(logical: LogicalPlan) -> Result<LogicalPlan, SqlError> {
    let done = logical.transform_up_with_subqueries(|node| {
        let schema = match &node {
            LogicalPlan::TableScan(scan) => scan.projected_schema.as_ref().clone(),
            other => merge_schema(&other.inputs()),
        };
        let names = NamePreserver::new(&node);
        node.map_expressions(|expression| {
            let name = names.save(&expression);
            let checked = expression.transform_up(|inner| operand(inner, &schema))?;
            Ok(checked.update_data(|inner| name.restore(inner)))
        })
    })?;
    Ok(done.data)
}

fn operand(expression: Expr, schema: &DFSchema) -> Result<Transformed<Expr>, DataFusionError> {
    match expression {
        Expr::ScalarFunction(mut call) if call.name() == "array_has" => {
            let is_new = match call.args.as_mut_slice() {
                [Expr::Placeholder(list), value] => list_of(list, value, schema)?,
                [list, value] => comparable_elements(list, value, schema)?,
                _ => false,
            };
            let call = Expr::ScalarFunction(call);
            Ok(if is_new {
                Transformed::yes(call)
            } else {
                Transformed::no(call)
            })
        }
        Expr::BinaryExpr(binary) => {
            comparable(&binary, schema)?;
            Ok(Transformed::no(Expr::BinaryExpr(binary)))
        }
        other => Ok(Transformed::no(other)),
    }
}

fn list_of(
    list: &mut Placeholder,
    value: &Expr,
    schema: &DFSchema,
) -> Result<bool, DataFusionError> {
    if list.field.is_some() {
        return Ok(false);
    }
    let element = value.get_type(schema)?;
    let data_type = DataType::List(Arc::new(Field::new("item", element, true)));
    list.field = Some(Arc::new(Field::new("", data_type, true)));
    Ok(true)
}

/// Numbers of two types are compared in one.
fn comparable_elements(
    list: &mut Expr,
    value: &mut Expr,
    schema: &DFSchema,
) -> Result<bool, DataFusionError> {
    let (DataType::List(element), own) = (list.get_type(schema)?, value.get_type(schema)?) else {
        return Ok(false);
    };
    let element = element.data_type();
    if *element == own || !element.is_numeric() || !own.is_numeric() {
        return Ok(false);
    }
    let Some(common) = comparison_coercion(element, &own) else {
        return Ok(false);
    };
    let lists = DataType::new_list(common.clone(), true);
    *list = std::mem::take(list).cast_to(&lists, schema)?;
    *value = std::mem::take(value).cast_to(&common, schema)?;
    Ok(true)
}

/// The engine reads text as a number beside numbers. Postgres does that with literals only.
fn comparable(binary: &BinaryExpr, schema: &DFSchema) -> Result<(), DataFusionError> {
    let is_comparison = matches!(
        binary.op,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
    );
    if !is_comparison || is_unknown(&binary.left) || is_unknown(&binary.right) {
        return Ok(());
    }
    let (left, right) = (
        binary.left.get_type(schema)?,
        binary.right.get_type(schema)?,
    );
    let is_other = |data_type: &DataType| data_type.is_numeric() || *data_type == DataType::Boolean;
    if (is_text(&left) && is_other(&right)) || (is_other(&left) && is_text(&right)) {
        let name = |data_type: &DataType| {
            let found = postgres_type(&Field::new("", data_type.clone(), true));
            found.long_name
        };
        let error = undefined_operator(name(&left), &binary.op.to_string(), name(&right));
        return Err(carried(error));
    }
    Ok(())
}

fn is_text(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    )
}

/// Takes whatever type the other side has.
fn is_unknown(expression: &Expr) -> bool {
    match expression {
        Expr::Literal(..) | Expr::Placeholder(_) => true,
        Expr::Alias(alias) => is_unknown(&alias.expr),
        _ => false,
    }
}
