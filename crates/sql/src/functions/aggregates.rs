//! Aggregates by name and type only: the operators of dataflows compute them.

use std::{hash::Hash, sync::Arc};

use arrow::datatypes::{DataType, FieldRef};
use datafusion_common::DataFusionError;
use datafusion_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility,
    function::{AccumulatorArgs, StateFieldsArgs},
};

use super::arithmetic::quotient_type;
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

/// `avg`, which of numerics has as many places as a quotient.
pub fn precise(function: Arc<AggregateUDF>) -> Arc<AggregateUDF> {
    match function.name() {
        "avg" => Arc::new(AggregateUDF::new_from_impl(Average { inner: function })),
        _ => function,
    }
}

fn by_operator(name: &str) -> DataFusionError {
    raise(
        sqlstate::FEATURE_NOT_SUPPORTED,
        format!("{name} is computed by an operator"),
    )
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Average {
    inner: Arc<AggregateUDF>,
}

impl AggregateUDFImpl for Average {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>, DataFusionError> {
        self.inner.coerce_types(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType, DataFusionError> {
        match types {
            [of @ DataType::Decimal128(..)] => Ok(quotient_type(of, of)),
            _ => self.inner.return_type(types),
        }
    }

    fn accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn Accumulator>, DataFusionError> {
        Err(by_operator(self.name()))
    }

    fn state_fields(&self, _args: StateFieldsArgs) -> Result<Vec<FieldRef>, DataFusionError> {
        Ok(Vec::new())
    }
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
        Err(by_operator(self.name))
    }

    fn state_fields(&self, _args: StateFieldsArgs) -> Result<Vec<FieldRef>, DataFusionError> {
        Ok(Vec::new())
    }
}
