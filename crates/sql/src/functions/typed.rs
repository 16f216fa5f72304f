//! Types by name: casts to `uuid`, `json` and `jsonb`, which keep texts as columns of these types do, and `pg_typeof`.

use std::{hash::Hash, sync::Arc};

use arrow::{
    compute::cast,
    datatypes::{DataType, Field, FieldRef},
};
use datafusion_common::DataFusionError;
use datafusion_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use super::define::{Function, on_arrays};
use crate::{
    column_type::{marked, postgres_type},
    error::{carried, raise, sqlstate},
    text,
};

/// Text that is nothing more. The engine's cast of text to text leaves it what it was.
pub const PLAIN_TEXT: &str = "plain_text";

/// Each is a function of its type's name.
pub fn all() -> Vec<Arc<ScalarUDF>> {
    let of = |name| {
        Arc::new(ScalarUDF::new_from_impl(Typed {
            name,
            signature: Signature::any(1, Volatility::Immutable),
        }))
    };
    vec![
        of("uuid"),
        of("json"),
        of("jsonb"),
        Function::exact(
            PLAIN_TEXT,
            vec![DataType::Utf8],
            |_| Ok(DataType::Utf8),
            |arrays, _| Ok(arrays[0].clone()),
        )
        .build(),
        Arc::new(ScalarUDF::new_from_impl(TypeName {
            signature: Signature::any(1, Volatility::Immutable),
        })),
    ]
}

/// `pg_typeof`.
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

#[derive(Debug, PartialEq, Eq, Hash)]
struct Typed {
    name: &'static str,
    signature: Signature,
}

impl Typed {
    fn field(&self) -> Field {
        marked(Field::new(self.name, DataType::Utf8, true), self.name)
    }
}

impl ScalarUDFImpl for Typed {
    fn name(&self) -> &'static str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(DataType::Utf8)
    }

    fn return_field_from_args(
        &self,
        arguments: ReturnFieldArgs<'_>,
    ) -> Result<FieldRef, DataFusionError> {
        let of = &arguments.arg_fields[0];
        if of.data_type().is_string() || of.data_type().is_null() {
            return Ok(Arc::new(self.field()));
        }
        let from = postgres_type(of).long_name;
        let message = format!("cannot cast type {from} to {}", self.name);
        Err(raise(sqlstate::CANNOT_COERCE, message))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let field = self.field();
        on_arrays(&args, |arrays| {
            let texts = cast(&arrays[0], &DataType::Utf8)?;
            text::stored(&field, &texts).map_err(carried)
        })
    }
}
