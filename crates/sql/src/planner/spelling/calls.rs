//! Calls whose arguments or names the engine's planner must be told otherwise.

use datafusion_sql::sqlparser::ast::{
    self, BinaryOperator, Expr, FunctionArg, FunctionArgExpr, Ident,
};

use super::{binary, called, named, taken, unnamed};
use crate::{
    functions::spans::{AGE, MADE},
    planner::names::ident_name,
};

/// The arguments of `make_interval`.
const PARTS: [&str; 7] = ["years", "months", "weeks", "days", "hours", "mins", "secs"];

const TYPED_TEXTS: [&str; 10] = [
    "uuid",
    "json",
    "jsonb",
    "to_json",
    "to_jsonb",
    "array_to_json",
    "json_build_object",
    "jsonb_build_object",
    "json_build_array",
    "jsonb_build_array",
];

/// See the module head.
pub fn respell(expression: &mut Expr) {
    let Expr::Function(call) = expression else {
        return;
    };
    let Some(last) = call.name.0.last().and_then(ast::ObjectNamePart::as_ident) else {
        return;
    };
    let name = ident_name(last);
    match name.as_str() {
        "count" => rows_counted(call),
        "round" | "trunc" => plain_digits(call),
        "encode" => padded(call),
        "log" => decimal_log(call),
        AGE => since_midnight(call),
        MADE => by_place(call),
        "json_agg" | "jsonb_agg" => aggregated(call, &name, "element", 1),
        "json_object_agg" | "jsonb_object_agg" => aggregated(call, &name, "member", 2),
        "mod" => {
            if let Some(operation) = modulo(call) {
                *expression = Expr::Nested(Box::new(operation));
            }
        }
        _ => {}
    }
}

/// `count(1)` as `count(*)`, which it is: the engine takes both in one SELECT for one name given twice.
fn rows_counted(call: &mut ast::Function) {
    let ast::FunctionArguments::List(list) = &mut call.args else {
        return;
    };
    if let [FunctionArg::Unnamed(argument)] = list.args.as_mut_slice()
        && list.duplicate_treatment.is_none()
        && list.clauses.is_empty()
        && let FunctionArgExpr::Expr(counted) = argument
        && is_number(counted)
    {
        *argument = FunctionArgExpr::Wildcard;
    }
}

fn is_number(expression: &Expr) -> bool {
    match expression {
        Expr::Nested(inner) | Expr::Cast { expr: inner, .. } => is_number(inner),
        Expr::Value(value) => matches!(value.value, ast::Value::Number(..)),
        _ => false,
    }
}

/// Whether it makes JSON or a UUID.
pub fn is_typed_text(call: &ast::Function) -> bool {
    let last = call.name.0.last().and_then(ast::ObjectNamePart::as_ident);
    last.is_some_and(|last| TYPED_TEXTS.contains(&ident_name(last).as_str()))
}

/// Of a call of this name, its argument, if there is one and no more.
pub fn only_argument<'c>(call: &'c ast::Function, name: &str) -> Option<&'c Expr> {
    let last = call.name.0.last().and_then(ast::ObjectNamePart::as_ident)?;
    let ast::FunctionArguments::List(list) = &call.args else {
        return None;
    };
    match list.args.as_slice() {
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(only))] if ident_name(last) == name => {
            Some(only)
        }
        _ => None,
    }
}

fn arguments_of(call: &mut ast::Function) -> Vec<&mut Expr> {
    let ast::FunctionArguments::List(list) = &mut call.args else {
        return Vec::new();
    };
    let plain = list.args.iter_mut().filter_map(|argument| match argument {
        ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(argument)) => Some(argument),
        _ => None,
    });
    plain.collect()
}

/// A whole one, in digits.
fn written_number(expression: &Expr) -> Option<String> {
    match expression {
        Expr::UnaryOp {
            op: ast::UnaryOperator::Minus,
            expr,
        } => Some(format!("-{}", written_number(expr)?)),
        Expr::Nested(inner) => written_number(inner),
        // As a whole number has become.
        Expr::Cast { expr, .. } if matches!(expr.as_ref(), Expr::Value(_)) => written_number(expr),
        Expr::Value(value) => match &value.value {
            ast::Value::Number(number, _) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(number.clone())
            }
            _ => None,
        },
        _ => None,
    }
}

/// The type of `round(a, 2)` says how many digits there are. The number is written as text, which nothing becomes that is
/// computed: the type must be known from the start.
fn plain_digits(call: &mut ast::Function) {
    if let [_, digits] = arguments_of(call).as_mut_slice()
        && let Some(text) = written_number(digits)
    {
        **digits = Expr::value(ast::Value::SingleQuotedString(text));
    }
}

/// Base64 as Postgres writes it.
fn padded(call: &mut ast::Function) {
    if let [_, Expr::Value(format)] = arguments_of(call).as_mut_slice()
        && let ast::Value::SingleQuotedString(format) = &mut format.value
        && format.eq_ignore_ascii_case("base64")
    {
        "base64pad".clone_into(format);
    }
}

/// `log(a)` is that to base 10, by the function that is exact for powers of it.
fn decimal_log(call: &mut ast::Function) {
    if arguments_of(call).len() == 1 {
        call.name = named("log10");
    }
}

/// `mod(a, b)` as `a % b`.
fn modulo(call: &mut ast::Function) -> Option<Expr> {
    let [left, right] = &mut arguments_of(call)[..] else {
        return None;
    };
    let nested = |side: &mut Expr| Expr::Nested(Box::new(taken(side)));
    Some(binary(nested(left), BinaryOperator::Modulo, nested(right)))
}

/// `age(at)` as `age(current_date, at)`.
fn since_midnight(call: &mut ast::Function) {
    if let ast::FunctionArguments::List(list) = &mut call.args
        && list.args.len() == 1
    {
        let mut today = called(named("current_date"), Vec::new());
        today.args = ast::FunctionArguments::None;
        list.args.insert(0, unnamed(Expr::Function(today)));
    }
}

/// `make_interval(days => 10)` with all its arguments.
fn by_place(call: &mut ast::Function) {
    let ast::FunctionArguments::List(list) = &mut call.args else {
        return;
    };
    let place_of = |name: &Ident| {
        let name = ident_name(name);
        PARTS.iter().position(|part| *part == name)
    };
    let zero = || Expr::value(ast::Value::Number("0".to_owned(), false));
    let mut parts: Vec<Expr> = PARTS.iter().map(|_| zero()).collect();
    for (at, argument) in list.args.iter().enumerate() {
        let (place, value) = match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => (Some(at), value),
            FunctionArg::Named {
                name,
                arg: FunctionArgExpr::Expr(value),
                ..
            } => (place_of(name), value),
            FunctionArg::ExprNamed {
                name: Expr::Identifier(name),
                arg: FunctionArgExpr::Expr(value),
                ..
            } => (place_of(name), value),
            _ => return,
        };
        let Some(part) = place.and_then(|place| parts.get_mut(place)) else {
            return;
        };
        *part = value.clone();
    }
    list.args = parts.into_iter().map(unnamed).collect();
}

/// `json_agg(a ORDER BY b)` as `json_elements(string_agg(json_element(a), ', ' ORDER BY b))`.
fn aggregated(call: &mut ast::Function, name: &str, part: &str, count: usize) {
    let kind = name.split('_').next().unwrap_or("json");
    let ast::FunctionArguments::List(list) = &mut call.args else {
        return;
    };
    let is_plain =
        |argument: &FunctionArg| matches!(argument, FunctionArg::Unnamed(FunctionArgExpr::Expr(_)));
    if list.args.len() != count || !list.args.iter().all(is_plain) {
        return;
    }
    let text = called(
        named(&format!("{kind}_{part}")),
        std::mem::take(&mut list.args),
    );
    let comma = Expr::value(ast::Value::SingleQuotedString(", ".to_owned()));
    list.args = vec![unnamed(Expr::Function(text)), unnamed(comma)];
    call.name = named("string_agg");
    let whole = called(named(&format!("{kind}_{part}s")), Vec::new());
    let texts = std::mem::replace(call, whole);
    if let ast::FunctionArguments::List(list) = &mut call.args {
        list.args = vec![unnamed(Expr::Function(texts))];
    }
}
