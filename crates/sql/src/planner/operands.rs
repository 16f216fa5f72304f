//! Types of operands before the query engine makes them agree: parameters that are lists or whose casts say what they
//! are, text beside numbers, UUIDs and JSON.

use std::{ops::ControlFlow, sync::Arc};

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::{
    DFSchema, DataFusionError, ScalarValue,
    tree_node::{Transformed, TreeNode},
};
use datafusion_expr::{
    BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator, expr::Placeholder,
    expr_rewriter::NamePreserver, type_coercion::binary::comparison_coercion, utils::merge_schema,
};

use datafusion_sql::sqlparser::ast::{self, Visit, Visitor};

use super::semantics::is_comparison;
use crate::{
    backend::SqlError,
    column_type::{field_of, marked, postgres_type},
    error::{carried, undefined_operator},
    text,
};

/// Parameters that a statement can have: the protocol counts them in 16 bits.
const PARAMETERS_MAX: usize = 65_535;

/// Types of parameters, with those that casts to types of more than text say, where the client names none.
pub fn with_written_types(
    statement: &ast::Statement,
    types: &[Option<FieldRef>],
) -> Vec<Option<FieldRef>> {
    struct Casts(Vec<Option<FieldRef>>);
    impl Visitor for Casts {
        type Break = ();

        fn pre_visit_expr(&mut self, expression: &ast::Expr) -> ControlFlow<()> {
            if let ast::Expr::Cast {
                expr, data_type, ..
            } = expression
                && let ast::DataType::Uuid | ast::DataType::JSON | ast::DataType::JSONB = data_type
                && let Some(at) = parameter_in(expr).filter(|at| *at < PARAMETERS_MAX)
                && let Ok(field) = field_of("", data_type)
            {
                let count = self.0.len().max(at + 1);
                self.0.resize(count, None);
                self.0[at].get_or_insert(Arc::new(field));
            }
            ControlFlow::Continue(())
        }
    }
    let mut casts = Casts(types.to_vec());
    let flow = statement.visit(&mut casts);
    debug_assert!(flow.is_continue());
    casts.0
}

/// Of `$1`, from zero.
pub fn parameter_in(expression: &ast::Expr) -> Option<usize> {
    match expression {
        ast::Expr::Nested(inner) => parameter_in(inner),
        ast::Expr::Value(value) => match &value.value {
            ast::Value::Placeholder(id) => {
                let number: usize = id.strip_prefix('$')?.parse().ok()?;
                number.checked_sub(1)
            }
            _ => None,
        },
        _ => None,
    }
}

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
        Expr::BinaryExpr(mut binary) => {
            comparable(&binary, schema)?;
            let is_new = is_comparison(binary.op)
                && in_one_type([binary.left.as_mut(), binary.right.as_mut()], schema)?;
            let binary = Expr::BinaryExpr(binary);
            Ok(Transformed::new_transformed(binary, is_new))
        }
        Expr::InList(mut list) => {
            let all = [list.expr.as_mut()].into_iter().chain(&mut list.list);
            let is_new = in_one_type(all, schema)?;
            Ok(Transformed::new_transformed(Expr::InList(list), is_new))
        }
        Expr::Between(mut between) => {
            let all = [&mut between.expr, &mut between.low, &mut between.high].map(AsMut::as_mut);
            let is_new = in_one_type(all, schema)?;
            Ok(Transformed::new_transformed(Expr::Between(between), is_new))
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
    let (_, element) = value.to_field(schema)?;
    let element = element
        .as_ref()
        .clone()
        .with_name("item")
        .with_nullable(true);
    let data_type = DataType::List(Arc::new(element));
    list.field = Some(Arc::new(Field::new("", data_type, true)));
    Ok(true)
}

/// Texts that are written beside what is a `uuid` or `jsonb` are read as one.
fn in_one_type<'e>(
    compared: impl IntoIterator<Item = &'e mut Expr>,
    schema: &DFSchema,
) -> Result<bool, DataFusionError> {
    let compared: Vec<&mut Expr> = compared.into_iter().collect();
    let mut found = None;
    for one in &compared {
        if found.is_none() && !matches!(one, Expr::Literal(..) | Expr::Placeholder(_)) {
            let name = postgres_type(&one.to_field(schema)?.1).name;
            found = matches!(name, "uuid" | "jsonb").then_some(name);
        }
    }
    let Some(name) = found else {
        return Ok(false);
    };
    let field = marked(Field::new("", DataType::Utf8, true), name);
    let mut is_new = false;
    for one in compared {
        if let Expr::Literal(value @ ScalarValue::Utf8(Some(_)), None) = one {
            let kept = text::stored(&field, &value.to_array()?).map_err(carried)?;
            *value = ScalarValue::try_from_array(&kept, 0)?;
            is_new = true;
        }
    }
    Ok(is_new)
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
    let is_checked = is_comparison(binary.op)
        && !matches!(
            binary.op,
            Operator::IsDistinctFrom | Operator::IsNotDistinctFrom
        );
    if !is_checked || is_unknown(&binary.left) || is_unknown(&binary.right) {
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

#[cfg(test)]
mod tests {
    use datafusion_sql::sqlparser::{dialect::PostgreSqlDialect, parser::Parser};

    use super::*;

    #[test]
    fn casts_say_what_parameters_are() {
        let sql =
            "INSERT INTO t VALUES (($2)::jsonb, CAST($4 AS UUID), $3::int, $5::uuid, $70000::uuid)";
        let statements = Parser::parse_sql(&PostgreSqlDialect {}, sql).expect("it is SQL");
        let given = Arc::new(Field::new("", DataType::Int64, true));
        let types = [None, None, None, None, Some(given)];
        let found = with_written_types(&statements[0], &types);
        let names = found
            .iter()
            .map(|field| field.as_ref().map(|of| postgres_type(of).name));
        let wanted = [None, Some("jsonb"), None, Some("uuid"), Some("int8")];
        assert_eq!(names.collect::<Vec<_>>(), wanted);
    }
}
