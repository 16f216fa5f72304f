//! Aggregates by name and type only: the operators of dataflows compute them.

use std::{hash::Hash, sync::Arc};

use arrow::datatypes::DataType;
use datafusion_common::DataFusionError;
use datafusion_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility,
    function::{AccumulatorArgs, StateFieldsArgs},
};

use crate::error::{raise, sqlstate};

pub fn all() -> Vec<Arc<AggregateUDF>> {
    let texts = vec![DataType::Utf8, DataType::Utf8];
    let of = |name, signature, answer| {
        Arc::new(AggregateUDF::new_from_impl(Named {
            name,
            signature,
            answer,
        }))
    };
    vec![
        of(
            "string_agg",
            Signature::exact(texts, Volatility::Immutable),
            DataType::Utf8,
        ),
        of(
            "approx_distinct",
            Signature::any(1, Volatility::Immutable),
            DataType::Int64,
        ),
        of(
            "approx_count_distinct",
            Signature::any(1, Volatility::Immutable),
            DataType::Int64,
        ),
    ]
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Named {
    name: &'static str,
    signature: Signature,
    answer: DataType,
}

impl AggregateUDFImpl for Named {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(self.answer.clone())
    }

    fn accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn Accumulator>, DataFusionError> {
        Err(raise(
            sqlstate::FEATURE_NOT_SUPPORTED,
            format!("{} is computed by an operator", self.name),
        ))
    }

    fn state_fields(
        &self,
        _args: StateFieldsArgs,
    ) -> Result<Vec<arrow::datatypes::FieldRef>, DataFusionError> {
        Ok(Vec::new())
    }
}
