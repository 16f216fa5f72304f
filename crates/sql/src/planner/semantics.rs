//! What Postgres means where the query engine does something else.
//!
//! Integer arithmetic fails on overflow and any division by zero does; casts round; types are one for each of Postgres's;
//! EXCEPT ALL and INTERSECT ALL count rows; a subquery for a value has at most one row; `now()` is the epoch's.

use std::{fmt, hash::Hash, sync::Arc};

use arrow::datatypes::{DataType, TimeUnit};
use datafusion_common::{
    Column, DFSchema, DFSchemaRef, DataFusionError, NullEquality, ScalarValue,
    config::ConfigOptions,
    tree_node::{Transformed, TreeNode, TreeNodeRecursion},
};
use datafusion_expr::{
    BinaryExpr, Case, Cast, Distinct, DistinctOn, Expr, ExprFunctionExt, ExprSchemable, Extension,
    JoinType, Like, LogicalPlan, LogicalPlanBuilder, Operator, Union, UserDefinedLogicalNodeCore,
    WindowFunctionDefinition,
    expr::{ScalarFunction, WindowFunction},
    expr_rewriter::NamePreserver,
    lit,
    utils::merge_schema,
};
use datafusion_optimizer::AnalyzerRule;

use super::{operands, subqueries};
use crate::{
    backend::SqlError,
    column_type::{UTC, canonical, postgres_type},
    error::{raise, sqlstate},
    functions::{self, arithmetic::Checked},
};

/// EXCEPT ALL or INTERSECT ALL: by counts of equal rows.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SetCount {
    pub left: LogicalPlan,
    pub right: LogicalPlan,
    pub is_intersection: bool,
}

super::node::plan_node!(SetCount, is_intersection);

impl UserDefinedLogicalNodeCore for SetCount {
    fn name(&self) -> &'static str {
        "SetCount"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.left, &self.right]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.left.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_intersection {
            "IntersectAll"
        } else {
            "ExceptAll"
        })
    }

    fn with_exprs_and_inputs(
        &self,
        _expressions: Vec<Expr>,
        mut inputs: Vec<LogicalPlan>,
    ) -> Result<Self, DataFusionError> {
        let right = inputs.pop();
        let left = inputs.pop();
        let (Some(left), Some(right)) = (left, right) else {
            return Err(DataFusionError::Internal("two inputs".to_owned()));
        };
        Ok(Self {
            left,
            right,
            is_intersection: self.is_intersection,
        })
    }
}

/// The planner says EXCEPT ALL as an anti join in which nulls are equal, which no user can write.
pub fn before_types(logical: LogicalPlan) -> Result<LogicalPlan, SqlError> {
    let logical = constants(logical)?;
    let logical = operands::checked(logical)?;
    let logical = subqueries::with_three_values(logical)?;
    let logical = subqueries::single_values(logical)?;
    let done = logical.transform_up_with_subqueries(|node| {
        if let LogicalPlan::Distinct(Distinct::On(on)) = &node {
            return Ok(Transformed::yes(first_rows(on)?));
        }
        let LogicalPlan::Join(join) = &node else {
            return Ok(Transformed::no(node));
        };
        let is_set = join.null_equality == NullEquality::NullEqualsNull
            && matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti)
            && !matches!(join.left.as_ref(), LogicalPlan::Distinct(_));
        if !is_set {
            return Ok(Transformed::no(node));
        }
        let node = set_count(join)?;
        Ok(Transformed::yes(LogicalPlan::Extension(Extension {
            node: Arc::new(node),
        })))
    })?;
    windows_by_span(done.data)
}

/// Windows that are ordered by intervals are so by their length: no frame is of the others' type.
fn windows_by_span(logical: LogicalPlan) -> Result<LogicalPlan, SqlError> {
    let done = logical.transform_up_with_subqueries(|node| {
        let LogicalPlan::Window(window) = &node else {
            return Ok(Transformed::no(node));
        };
        let schema = window.input.schema().clone();
        let is_interval = |expression: &Expr| {
            let found = expression.get_type(&schema);
            matches!(found, Ok(DataType::Interval(_) | DataType::Duration(_)))
        };
        let names = NamePreserver::new(&node);
        node.map_expressions(|expression| {
            let name = names.save(&expression);
            let ordered = expression.transform_up(|inner| {
                let Expr::WindowFunction(mut call) = inner else {
                    return Ok(Transformed::no(inner));
                };
                let order = call.params.order_by.iter_mut().map(|key| &mut key.expr);
                by_span(order.filter(|key| is_interval(key)));
                Ok(Transformed::yes(Expr::WindowFunction(call)))
            })?;
            Ok(ordered.update_data(|inner| name.restore(inner)))
        })
    })?;
    Ok(done.data)
}

/// The name of the number that DISTINCT ON goes by.
const ON_NUMBER: &str = "$distinct_on";

/// DISTINCT ON as the first row of each partition: passes move conditions below DISTINCT ON as if it were DISTINCT, where
/// another row would be the first.
fn first_rows(on: &DistinctOn) -> Result<LogicalPlan, DataFusionError> {
    let number = functions::window("row_number").expect("it is one of ours");
    let number = WindowFunctionDefinition::WindowUDF(number);
    let number = Expr::from(WindowFunction::new(number, Vec::new()))
        .partition_by(on.on_expr.clone())
        .order_by(on.sort_expr.clone().unwrap_or_default())
        .build()?;
    let first = LogicalPlanBuilder::from(on.input.as_ref().clone())
        .window(vec![number.alias(ON_NUMBER)])?
        .filter(Expr::Column(Column::new_unqualified(ON_NUMBER)).eq(lit(1_i64)))?;
    // Its ORDER BY is that of the query, too: nothing else stands for it in the plan.
    let first = match &on.sort_expr {
        Some(order) => first.sort(order.clone())?,
        None => first,
    };
    first.project(on.select_expr.clone())?.build()
}

/// Types of functions may depend on constants, so those are ones before types are looked at.
fn constants(logical: LogicalPlan) -> Result<LogicalPlan, SqlError> {
    let done = logical.transform_up_with_subqueries(|node| {
        let names = NamePreserver::new(&node);
        node.map_expressions(|expression| {
            let name = names.save(&expression);
            let folded = expression.transform_up(|inner| match &inner {
                Expr::Cast(cast) => match cast.expr.as_ref() {
                    Expr::Literal(value @ ScalarValue::Int64(_), _) => {
                        match value.cast_to(cast.field.data_type()) {
                            Ok(value) => Ok(Transformed::yes(Expr::Literal(value, None))),
                            Err(_) => Ok(Transformed::no(inner)),
                        }
                    }
                    _ => Ok(Transformed::no(inner)),
                },
                _ => Ok(Transformed::no(inner)),
            })?;
            Ok(folded.update_data(|inner| name.restore(inner)))
        })
    })?;
    Ok(done.data)
}

/// Both sides in the types that they have in common.
fn set_count(join: &datafusion_expr::Join) -> Result<SetCount, DataFusionError> {
    let both = datafusion_expr::LogicalPlanBuilder::from(join.left.as_ref().clone())
        .union(join.right.as_ref().clone())?
        .build()?;
    // The union coerces its inputs; they are what is needed here.
    let coerced = datafusion_optimizer::analyzer::type_coercion::TypeCoercion::new()
        .analyze(both, &super::engine::OPTIONS)?;
    let inputs = coerced.inputs();
    let [left, right] = inputs.as_slice() else {
        return Err(DataFusionError::Internal("a union of two".to_owned()));
    };
    Ok(SetCount {
        left: (*left).clone(),
        right: (*right).clone(),
        is_intersection: join.join_type == JoinType::LeftSemi,
    })
}

/// Rewrites typed expressions.
#[derive(Debug)]
pub struct PostgresMeaning;

impl AnalyzerRule for PostgresMeaning {
    fn analyze(
        &self,
        plan: LogicalPlan,
        _config: &ConfigOptions,
    ) -> Result<LogicalPlan, DataFusionError> {
        let done = plan.transform_up_with_subqueries(|node| {
            let schema = merge_schema(&node.inputs());
            let names = NamePreserver::new(&node);
            let is_order = matches!(node, LogicalPlan::Sort(_));
            node.map_expressions(|expression| {
                let name = names.save(&expression);
                let mut rewritten = expression.transform_up(|inner| rewrite(inner, &schema))?;
                if is_order && has_span(&rewritten.data, &schema)? {
                    rewritten = Transformed::yes(span(rewritten.data));
                }
                Ok(rewritten.update_data(|inner| name.restore(inner)))
            })?
            .map_data(LogicalPlan::recompute_schema)?
            .map_data(canonical_union)
        })?;
        Ok(done.data)
    }

    fn name(&self) -> &'static str {
        "postgres_meaning"
    }
}

/// A union keeps the types that its inputs were first made to agree on, and would have them cast to those again.
fn canonical_union(plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
    let LogicalPlan::Union(union) = plan else {
        return Ok(plan);
    };
    let fields = union.schema.iter().map(|(qualifier, field)| {
        let data_type = canonical(field.data_type());
        let field = field.as_ref().clone().with_data_type(data_type);
        (qualifier.cloned(), Arc::new(field))
    });
    let metadata = union.schema.metadata().clone();
    let schema = DFSchema::new_with_metadata(fields.collect(), metadata)?;
    Ok(LogicalPlan::Union(Union {
        inputs: union.inputs,
        schema: Arc::new(schema),
    }))
}

fn rewrite(expression: Expr, schema: &DFSchema) -> Result<Transformed<Expr>, DataFusionError> {
    match expression {
        Expr::BinaryExpr(binary) => arithmetic(binary, schema),
        Expr::Between(mut between) if has_span(&between.expr, schema)? => {
            by_span([&mut between.expr, &mut between.low, &mut between.high].map(AsMut::as_mut));
            Ok(Transformed::yes(Expr::Between(between)))
        }
        Expr::InList(mut list) if has_span(&list.expr, schema)? => {
            by_span([list.expr.as_mut()].into_iter().chain(&mut list.list));
            Ok(Transformed::yes(Expr::InList(list)))
        }
        Expr::Case(case) => case_of_spans(case, schema),
        Expr::Negative(inner) => negative(*inner, schema),
        Expr::SimilarTo(like) => similar(like),
        Expr::Cast(cast) => {
            let to = canonical(cast.field.data_type());
            let (_, from) = cast.expr.to_field(schema)?;
            let is_more = matches!(postgres_type(&from).name, "uuid" | "json" | "jsonb");
            // Of a parameter the cast has said what it is.
            let is_parameter = matches!(cast.expr.as_ref(), Expr::Placeholder(_));
            if to == DataType::Utf8 && is_more && !is_parameter {
                let text = call(functions::typed::PLAIN_TEXT, vec![*cast.expr]);
                return Ok(Transformed::yes(text));
            }
            let cast = functions::cast::explicit(*cast.expr, from.data_type(), &to)?;
            Ok(Transformed::yes(cast))
        }
        Expr::TryCast(cast) => {
            let to = canonical(cast.field.data_type());
            let from = cast.expr.get_type(schema)?;
            let cast = functions::cast::lenient(*cast.expr, &from, &to);
            Ok(Transformed::yes(cast))
        }
        Expr::Literal(value, metadata) => {
            let to = canonical(&value.data_type());
            if to == value.data_type() {
                return Ok(Transformed::no(Expr::Literal(value, metadata)));
            }
            Ok(Transformed::yes(Expr::Literal(
                value.cast_to(&to)?,
                metadata,
            )))
        }
        Expr::ScalarFunction(mut call) => {
            // Calls that the engine's planner makes of syntax are bounded like those by name, before anything folds them.
            call.func = functions::bounded(call.func);
            let call = in_canonical_type(Expr::ScalarFunction(call), schema)?;
            Ok(Transformed::yes(call.data))
        }
        // Of a column whose own type becomes another.
        Expr::OuterReferenceColumn(field, column) => {
            let to = canonical(field.data_type());
            let field = Arc::new(field.as_ref().clone().with_data_type(to));
            Ok(Transformed::yes(Expr::OuterReferenceColumn(field, column)))
        }
        Expr::ScalarVariable(..) => in_canonical_type(expression, schema),
        other => Ok(Transformed::no(other)),
    }
}

fn in_canonical_type(
    expression: Expr,
    schema: &DFSchema,
) -> Result<Transformed<Expr>, DataFusionError> {
    let from = expression.get_type(schema)?;
    let to = canonical(&from);
    if from == to {
        return Ok(Transformed::no(expression));
    }
    Ok(Transformed::yes(Expr::Cast(Cast::new(
        Box::new(expression),
        to,
    ))))
}

fn arithmetic(binary: BinaryExpr, schema: &DFSchema) -> Result<Transformed<Expr>, DataFusionError> {
    let is_arithmetic = matches!(
        binary.op,
        Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide | Operator::Modulo
    );
    if binary.op == Operator::StringConcat {
        return joined(binary, schema);
    }
    if is_comparison(binary.op) && has_span(&binary.left, schema)? {
        let [left, right] = [*binary.left, *binary.right].map(span);
        let compared = BinaryExpr::new(Box::new(left), binary.op, Box::new(right));
        return Ok(Transformed::yes(Expr::BinaryExpr(compared)));
    }
    if !is_arithmetic {
        return in_canonical_type(Expr::BinaryExpr(binary), schema);
    }
    let left = binary.left.get_type(schema)?;
    let right = binary.right.get_type(schema)?;
    let is_time = |of: &DataType| matches!(of, DataType::Timestamp(..));
    if binary.op == Operator::Minus && is_time(&left) && is_time(&right) {
        let sides = vec![*binary.left, *binary.right];
        return Ok(Transformed::yes(call(functions::times::BETWEEN, sides)));
    }
    if !left.is_numeric() || !right.is_numeric() {
        return in_canonical_type(Expr::BinaryExpr(binary), schema);
    }
    let function = Checked::function(binary.op);
    Ok(Transformed::yes(Expr::ScalarFunction(
        ScalarFunction::new_udf(function, vec![*binary.left, *binary.right]),
    )))
}

/// Intervals are compared by how long they are: as they lie in memory, a day is more than any number of hours.
fn has_span(expression: &Expr, schema: &DFSchema) -> Result<bool, DataFusionError> {
    Ok(matches!(
        expression.get_type(schema)?,
        DataType::Interval(_)
    ))
}

pub(super) fn is_comparison(operator: Operator) -> bool {
    matches!(
        operator,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom
    )
}

fn span(interval: Expr) -> Expr {
    call(functions::times::SPAN, vec![interval])
}

fn by_span<'e>(compared: impl IntoIterator<Item = &'e mut Expr>) {
    for one in compared {
        *one = span(std::mem::take(one));
    }
}

/// `CASE a WHEN b` compares.
fn case_of_spans(mut case: Case, schema: &DFSchema) -> Result<Transformed<Expr>, DataFusionError> {
    let Some(of) = &mut case.expr else {
        return Ok(Transformed::no(Expr::Case(case)));
    };
    if !has_span(of, schema)? {
        return Ok(Transformed::no(Expr::Case(case)));
    }
    let values = case.when_then_expr.iter_mut().map(|(value, _)| value);
    by_span([of].into_iter().chain(values).map(AsMut::as_mut));
    Ok(Transformed::yes(Expr::Case(case)))
}

/// Of a function of ours.
fn call(name: &str, arguments: Vec<Expr>) -> Expr {
    let function = functions::scalar(name).expect("it is one of ours");
    Expr::ScalarFunction(ScalarFunction::new_udf(function, arguments))
}

/// Texts and bytes by a function that knows when there is no room.
fn joined(binary: BinaryExpr, schema: &DFSchema) -> Result<Transformed<Expr>, DataFusionError> {
    let sides = [
        binary.left.get_type(schema)?,
        binary.right.get_type(schema)?,
    ];
    let is_plain =
        sides == [DataType::Utf8, DataType::Utf8] || sides == [DataType::Binary, DataType::Binary];
    match functions::scalar("textcat") {
        Some(function) if is_plain => Ok(Transformed::yes(Expr::ScalarFunction(
            ScalarFunction::new_udf(function, vec![*binary.left, *binary.right]),
        ))),
        _ => in_canonical_type(Expr::BinaryExpr(binary), schema),
    }
}

fn negative(inner: Expr, schema: &DFSchema) -> Result<Transformed<Expr>, DataFusionError> {
    let data_type = inner.get_type(schema)?;
    if !data_type.is_integer() {
        return Ok(Transformed::no(Expr::Negative(Box::new(inner))));
    }
    let zero = ScalarValue::new_zero(&data_type)?;
    let function = Checked::function(Operator::Minus);
    let arguments = vec![Expr::Literal(zero, None), inner];
    Ok(Transformed::yes(Expr::ScalarFunction(
        ScalarFunction::new_udf(function, arguments),
    )))
}

/// The engine takes the pattern for a regular expression as it stands.
fn similar(like: Like) -> Result<Transformed<Expr>, DataFusionError> {
    let Expr::Literal(pattern, _) = like.pattern.as_ref() else {
        let message = "SIMILAR TO takes a constant pattern";
        return Err(raise(sqlstate::FEATURE_NOT_SUPPORTED, message));
    };
    let escape = like.escape_char.unwrap_or('\\');
    let pattern = pattern
        .try_as_str()
        .flatten()
        .map(|text| regular(text, escape));
    let pattern = Expr::Literal(ScalarValue::Utf8(pattern), None);
    let operator = match like.negated {
        true => Operator::RegexNotMatch,
        false => Operator::RegexMatch,
    };
    let matched = BinaryExpr::new(like.expr, operator, Box::new(pattern));
    Ok(Transformed::yes(Expr::BinaryExpr(matched)))
}

/// A pattern of SIMILAR TO as a regular expression.
fn regular(pattern: &str, escape: char) -> String {
    let mut out = String::from("^(?s:");
    let mut characters = pattern.chars();
    let mut is_class = false;
    while let Some(character) = characters.next() {
        match character {
            _ if character == escape => {
                if let Some(next) = characters.next() {
                    out.push_str(&escaped(next));
                }
            }
            ']' => {
                is_class = false;
                out.push(character);
            }
            _ if is_class => out.push(character),
            '[' => {
                is_class = true;
                out.push(character);
            }
            '%' => out.push_str(".*"),
            '_' => out.push('.'),
            '|' | '*' | '+' | '?' | '{' | '}' | '(' | ')' => out.push(character),
            other => out.push_str(&escaped(other)),
        }
    }
    out.push_str(")$");
    out
}

fn escaped(character: char) -> String {
    match character.is_ascii_punctuation() {
        true => format!("\\{character}"),
        false => character.to_string(),
    }
}

pub fn is_clock(expression: &Expr) -> bool {
    matches!(expression, Expr::ScalarFunction(call) if functions::clock::is_clock(call.name()))
}

/// Whether it depends on when it runs.
#[must_use]
pub fn reads_clock(logical: &LogicalPlan) -> bool {
    let mut found = false;
    let walked = logical.apply_with_subqueries(|node| {
        node.apply_expressions(|expression| {
            found |= expression.exists(|inner| Ok(is_clock(inner)))?;
            Ok(TreeNodeRecursion::Continue)
        })
    });
    walked.expect("looking at a plan does not fail");
    found
}

/// With a time in the place of `now()`.
pub fn with_clock(logical: LogicalPlan, now_us: i64) -> Result<LogicalPlan, SqlError> {
    let done = logical.transform_up_with_subqueries(|node| {
        let names = NamePreserver::new(&node);
        node.map_expressions(|expression| {
            let name = names.save(&expression);
            let set = expression.transform_up(|inner| {
                if !is_clock(&inner) {
                    return Ok(Transformed::no(inner));
                }
                let now = ScalarValue::TimestampMicrosecond(Some(now_us), Some(UTC.into()));
                let Expr::ScalarFunction(call) = &inner else {
                    return Ok(Transformed::no(inner));
                };
                let to = match call.name() {
                    "current_date" => DataType::Date32,
                    "current_time" | "localtime" => DataType::Time64(TimeUnit::Microsecond),
                    "localtimestamp" => DataType::Timestamp(TimeUnit::Microsecond, None),
                    _ => now.data_type(),
                };
                Ok(Transformed::yes(Expr::Literal(now.cast_to(&to)?, None)))
            })?;
            Ok(set.update_data(|inner| name.restore(inner)))
        })
    })?;
    Ok(done.data)
}
