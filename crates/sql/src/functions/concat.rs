//! `concat` and `concat_ws`: values as they are printed, one behind the other. The engine's print them in its own way.

use std::{hash::Hash, sync::Arc};

use arrow::{
    array::{Array, StringBuilder},
    datatypes::DataType,
};
use datafusion_common::DataFusionError;
use datafusion_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::{bounded::column_holds, define::on_arrays};
use crate::{
    error::carried,
    text::{self, Style},
};

pub fn all() -> Vec<Arc<ScalarUDF>> {
    let of = |name| {
        Arc::new(ScalarUDF::new_from_impl(Concat {
            name,
            signature: Signature::variadic_any(Volatility::Immutable),
        }))
    };
    vec![of("concat"), of("concat_ws")]
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Concat {
    name: &'static str,
    signature: Signature,
}

impl ScalarUDFImpl for Concat {
    fn name(&self) -> &'static str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let fields = args.arg_fields.clone();
        // The first of `concat_ws` stands between the others.
        let first = usize::from(self.name == "concat_ws");
        on_arrays(&args, |arrays| {
            let mut builder = StringBuilder::new();
            let (mut out, mut between) = (Vec::new(), Vec::new());
            for row in 0..arrays[0].len() {
                let is_null = |at: usize| {
                    arrays[at].is_null(row) || *arrays[at].data_type() == DataType::Null
                };
                let before = builder.values_slice().len();
                let print = |at: usize, out: &mut Vec<u8>| {
                    let (array, style) = (arrays[at].as_ref(), Style::default());
                    text::write(&fields[at], array, row, &style, out).map_err(carried)?;
                    column_holds(before + out.len())
                };
                if first == 1 && is_null(0) {
                    builder.append_null();
                    continue;
                }
                out.clear();
                between.clear();
                if first == 1 {
                    print(0, &mut between)?;
                }
                let mut is_first = true;
                for at in (first..arrays.len()).filter(|at| !is_null(*at)) {
                    if !is_first {
                        column_holds(before + out.len() + between.len())?;
                        out.extend_from_slice(&between);
                    }
                    is_first = false;
                    print(at, &mut out)?;
                }
                builder.append_value(String::from_utf8_lossy(&out));
            }
            Ok(Arc::new(builder.finish()))
        })
    }
}
