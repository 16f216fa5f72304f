//! Types of operands before the query engine makes them agree: parameters that are lists or whose casts say what they
//! are, text beside numbers, UUIDs and JSON.

use std::{collections::BTreeSet, ops::ControlFlow, sync::Arc};

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::{
    DFSchema, DataFusionError, ScalarValue,
    tree_node::{Transformed, TreeNode},
};
use datafusion_expr::{
    BinaryExpr, Case, Expr, ExprSchemable, Like, LogicalPlan, Operator, expr::Placeholder,
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
pub const PARAMETERS_MAX: usize = 65_535;

/// Types of parameters, with those that casts, LIMIT and OFFSET say, where the client names none: what stands first around a
/// parameter says its type. The engine finds them in queries only, and there not all.
pub fn with_written_types(
    statement: &ast::Statement,
    types: &[Option<FieldRef>],
) -> Vec<Option<FieldRef>> {
    struct Written {
        types: Vec<Option<FieldRef>>,
        seen: BTreeSet<usize>,
    }
    impl Written {
        fn say(&mut self, parameter: &ast::Expr, field: Field) {
            let at = parameter_in(parameter).filter(|at| *at < PARAMETERS_MAX);
            if let Some(at) = at.filter(|at| self.seen.insert(*at)) {
                let count = self.types.len().max(at + 1);
                self.types.resize(count, None);
                self.types[at].get_or_insert(Arc::new(field));
            }
        }
    }
    impl Visitor for Written {
        type Break = ();

        fn pre_visit_query(&mut self, query: &ast::Query) -> ControlFlow<()> {
            let counts = match &query.limit_clause {
                Some(ast::LimitClause::LimitOffset { limit, offset, .. }) => {
                    [limit.as_ref(), offset.as_ref().map(|offset| &offset.value)]
                }
                _ => [None, None],
            };
            for count in counts.into_iter().flatten() {
                self.say(count, Field::new("", DataType::Int64, true));
            }
            ControlFlow::Continue(())
        }

        fn pre_visit_expr(&mut self, expression: &ast::Expr) -> ControlFlow<()> {
            if let ast::Expr::Cast {
                expr, data_type, ..
            } = expression
                && parameter_in(expr).is_some()
                && let Ok(field) = field_of("", data_type)
            {
                self.say(expr, field);
            }
            if let ast::Expr::Value(_) = expression
                && let Some(at) = parameter_in(expression)
            {
                self.seen.insert(at);
            }
            ControlFlow::Continue(())
        }
    }
    let mut written = Written {
        types: types.to_vec(),
        seen: BTreeSet::new(),
    };
    let flow = statement.visit(&mut written);
    debug_assert!(flow.is_continue());
    written.types
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
        Expr::ScalarFunction(mut call) => {
            let known = COUNTS.iter().find(|(name, _)| *name == call.name());
            let first = known.map_or(call.args.len(), |(_, first)| *first);
            let mut is_new = false;
            for argument in call.args.iter_mut().skip(first) {
                is_new |= is_of(argument, &Field::new("", DataType::Int32, true));
            }
            let call = Expr::ScalarFunction(call);
            Ok(Transformed::new_transformed(call, is_new))
        }
        Expr::Case(mut case) => {
            let is_new = typed_case(&mut case, schema)?;
            Ok(Transformed::new_transformed(Expr::Case(case), is_new))
        }
        Expr::Like(mut like) => {
            let is_new = escaped_by_backslash(&mut like);
            Ok(Transformed::new_transformed(Expr::Like(like), is_new))
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

/// Functions whose arguments from a place on are counts.
const COUNTS: &[(&str, usize)] = &[
    ("left", 1),
    ("right", 1),
    ("repeat", 1),
    ("round", 1),
    ("trunc", 1),
    ("substr", 1),
    ("split_part", 2),
];

/// Says what a parameter is that nothing has said of yet.
fn is_of(expression: &mut Expr, field: &Field) -> bool {
    match expression {
        Expr::Placeholder(parameter) if parameter.field.is_none() => {
            parameter.field = Some(Arc::new(field.clone()));
            true
        }
        _ => false,
    }
}

/// Conditions are booleans, and answers of the type of the first that has one.
fn typed_case(case: &mut Case, schema: &DFSchema) -> Result<bool, DataFusionError> {
    let mut is_new = false;
    if case.expr.is_none() {
        let boolean = Field::new("", DataType::Boolean, true);
        for (when, _) in &mut case.when_then_expr {
            is_new |= is_of(when, &boolean);
        }
    }
    let answers = case
        .when_then_expr
        .iter_mut()
        .map(|(_, then)| then.as_mut());
    let mut answers: Vec<&mut Expr> = answers.chain(case.else_expr.as_deref_mut()).collect();
    let mut typed = answers.iter().filter(|answer| !is_unknown(answer));
    let field = match typed.next() {
        Some(answer) => Some(answer.to_field(schema)?.1),
        None => answers.iter().find_map(|answer| match answer {
            // Text in quotes may be anything.
            Expr::Literal(value, _) if !value.is_null() && !is_text(&value.data_type()) => {
                Some(Arc::new(Field::new("", value.data_type(), true)))
            }
            _ => None,
        }),
    };
    if let Some(field) = field {
        for answer in &mut answers {
            is_new |= is_of(answer, &field);
        }
    }
    Ok(is_new)
}

/// The only escape that the engine has.
fn escaped_by_backslash(like: &mut Like) -> bool {
    let (Some(escape), Expr::Literal(ScalarValue::Utf8(Some(pattern)), _)) =
        (like.escape_char, like.pattern.as_mut())
    else {
        return false;
    };
    let mut escaped = String::with_capacity(pattern.len());
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match character {
            // A pattern that ends with it is refused as one that ends with a backslash.
            own if own == escape => {
                escaped.push('\\');
                escaped.extend(characters.next());
            }
            '\\' => escaped.push_str("\\\\"),
            other => escaped.push(other),
        }
    }
    *pattern = escaped;
    like.escape_char = None;
    true
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
        let sql = "INSERT INTO t SELECT ($2)::jsonb, CAST($4 AS UUID), $3::int[], $5::uuid, $70000::uuid, $6::text FROM u \
            WHERE a = $7 OR $7::text IS NULL LIMIT $8 OFFSET $9";
        let statements = Parser::parse_sql(&PostgreSqlDialect {}, sql).expect("it is SQL");
        let given = Arc::new(Field::new("", DataType::Int64, true));
        let types = [None, None, None, None, Some(given)];
        let found = with_written_types(&statements[0], &types);
        let names = found
            .iter()
            .map(|field| field.as_ref().map(|of| postgres_type(of).name));
        let wanted = [
            None,
            Some("jsonb"),
            Some("_int4"),
            Some("uuid"),
            Some("int8"),
            Some("text"),
            None,
            Some("int8"),
            Some("int8"),
        ];
        assert_eq!(names.collect::<Vec<_>>(), wanted);
    }
}
