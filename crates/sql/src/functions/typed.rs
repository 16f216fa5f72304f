//! Types by name: casts to `uuid`, `json` and `jsonb`, which keep texts as columns of these types do, and `pg_typeof`.

use std::{hash::Hash, sync::Arc};

use arrow::{
    array::ArrayRef,
    compute::cast,
    datatypes::{DataType, Field},
};
use datafusion_common::DataFusionError;
use datafusion_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::define::Function;
use crate::{
    column_type::{marked, postgres_type},
    error::{carried, raise, sqlstate},
    text,
};

/// Text that is nothing more. The engine's cast of text to text leaves it what it was.
pub const PLAIN_TEXT: &str = "plain_text";

/// Casts are functions of their type's name.
pub fn all() -> Vec<Arc<ScalarUDF>> {
    let any = || Signature::any(1, Volatility::Immutable);
    vec![
        Function::new(
            "uuid",
            any(),
            |types| of_text(types, "uuid"),
            |arrays, _| kept(arrays, "uuid"),
        )
        .marked("uuid")
        .build(),
        Function::new(
            "json",
            any(),
            |types| of_text(types, "json"),
            |arrays, _| kept(arrays, "json"),
        )
        .marked("json")
        .build(),
        Function::new(
            "jsonb",
            any(),
            |types| of_text(types, "jsonb"),
            |arrays, _| kept(arrays, "jsonb"),
        )
        .marked("jsonb")
        .build(),
        Function::exact(
            PLAIN_TEXT,
            vec![DataType::Utf8],
            |_| Ok(DataType::Utf8),
            |arrays, _| Ok(arrays[0].clone()),
        )
        .build(),
        Arc::new(ScalarUDF::new_from_impl(TypeName { signature: any() })),
    ]
}

fn of_text(types: &[DataType], to: &str) -> Result<DataType, DataFusionError> {
    let of = &types[0];
    if of.is_string() || of.is_null() {
        return Ok(DataType::Utf8);
    }
    let from = postgres_type(&Field::new("", of.clone(), true)).long_name;
    let message = format!("cannot cast type {from} to {to}");
    Err(raise(sqlstate::CANNOT_COERCE, message))
}

fn kept(arrays: &[ArrayRef], to: &str) -> Result<ArrayRef, DataFusionError> {
    let field = marked(Field::new("", DataType::Utf8, true), to);
    let texts = cast(&arrays[0], &DataType::Utf8)?;
    text::stored(&field, &texts).map_err(carried)
}

/// `pg_typeof`: of an argument's field, which tells more than its type.
#[derive(Debug, PartialEq, Eq, Hash)]
struct TypeName {
    signature: Signature,
}

impl ScalarUDFImpl for TypeName {
    fn name(&self) -> &'static str {
        "pg_typeof"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let name = postgres_type(&args.arg_fields[0]).long_name;
        Ok(ColumnarValue::Scalar(name.into()))
    }
}
