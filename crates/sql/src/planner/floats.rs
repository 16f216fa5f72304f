//! Comparisons of floating point as Postgres has them: zero is minus zero, and NaN is itself and greater than all else.
//!
//! The query engine compares in total order, where signs of zeros and of NaN count. What stands on either side of a comparison
//! loses them here; values that are shown or stored keep them.

use std::sync::{Arc, LazyLock};

use arrow::{
    array::{Array, ArrayRef, AsArray, PrimitiveArray},
    datatypes::{ArrowPrimitiveType, DataType, Float32Type, Float64Type},
};
use datafusion_common::{
    DFSchema, DataFusionError,
    tree_node::{Transformed, TreeNode},
};
use datafusion_expr::{
    Expr, ExprSchemable, ScalarUDF, Signature, Volatility, expr::ScalarFunction,
};

use super::semantics::is_comparison;
use crate::functions::define::Function;

static NORMALIZE: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    let any = Signature::any(1, Volatility::Immutable);
    let body = |arrays: &[ArrayRef], _: &DataType| Ok(normalized(&arrays[0]));
    Function::new(
        "normalize_nan_and_zero",
        any,
        |types| Ok(types[0].clone()),
        body,
    )
    .build()
});

/// The same with what it compares as the module head says.
pub fn compared(expression: Expr, schema: &DFSchema) -> Result<Expr, DataFusionError> {
    let done = expression.transform_up(|mut part| {
        let sides: Vec<&mut Expr> = match &mut part {
            Expr::BinaryExpr(binary) if is_comparison(binary.op) => {
                vec![&mut binary.left, &mut binary.right]
            }
            Expr::Between(between) => {
                vec![&mut between.expr, &mut between.low, &mut between.high]
            }
            Expr::InList(list) => [&mut *list.expr]
                .into_iter()
                .chain(&mut list.list)
                .collect(),
            Expr::Case(case) => match &mut case.expr {
                Some(of) => {
                    let values = case.when_then_expr.iter_mut();
                    let values = values.map(|(value, _)| &mut **value);
                    [&mut **of].into_iter().chain(values).collect()
                }
                None => Vec::new(),
            },
            Expr::ScalarFunction(call)
                if matches!(call.name(), "nullif" | "greatest" | "least") =>
            {
                call.args.iter_mut().collect()
            }
            _ => Vec::new(),
        };
        let mut has_changed = false;
        for side in sides {
            if side.get_type(schema)?.is_floating() {
                let inner = std::mem::take(side);
                let call = ScalarFunction::new_udf(NORMALIZE.clone(), vec![inner]);
                *side = Expr::ScalarFunction(call);
                has_changed = true;
            }
        }
        Ok(match has_changed {
            true => Transformed::yes(part),
            false => Transformed::no(part),
        })
    })?;
    Ok(done.data)
}

/// The same values, of which those that are equal have the same bits, and NaN is the last.
#[must_use]
pub fn normalized(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Float64 => normalized_as::<Float64Type>(array, f64::NAN, 0.0),
        DataType::Float32 => normalized_as::<Float32Type>(array, f32::NAN, 0.0),
        _ => array.clone(),
    }
}

fn normalized_as<T: ArrowPrimitiveType>(
    array: &ArrayRef,
    nan: T::Native,
    zero: T::Native,
) -> ArrayRef
where
    T::Native: std::ops::Add<Output = T::Native>,
{
    let values = array.as_primitive::<T>();
    // Zeros are few, and of those that are there most can be added to at no loss.
    let is_plain = |value: &T::Native| *value != zero && value.partial_cmp(value).is_some();
    if values.values().iter().all(is_plain) {
        return array.clone();
    }
    let normalized: PrimitiveArray<T> = values.unary(|value| match value.partial_cmp(&value) {
        Some(_) => value + zero,
        None => nan,
    });
    Arc::new(normalized)
}
