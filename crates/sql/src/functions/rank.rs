//! `row_number`, `rank` and `dense_rank`: names and types only, since the operator for top rows numbers.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::DataFusionError;
use datafusion_expr::{
    PartitionEvaluator, Signature, Volatility, WindowUDF, WindowUDFImpl,
    function::{PartitionEvaluatorArgs, WindowUDFFieldArgs},
};

use crate::error::{raise, sqlstate};

pub fn all() -> Vec<Arc<WindowUDF>> {
    let function = |name| {
        Arc::new(WindowUDF::new_from_impl(Rank {
            name,
            signature: Signature::nullary(Volatility::Immutable),
        }))
    };
    ["row_number", "rank", "dense_rank"].map(function).to_vec()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Rank {
    name: &'static str,
    signature: Signature,
}

impl WindowUDFImpl for Rank {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn partition_evaluator(
        &self,
        _args: PartitionEvaluatorArgs,
    ) -> Result<Box<dyn PartitionEvaluator>, DataFusionError> {
        Err(raise(
            sqlstate::FEATURE_NOT_SUPPORTED,
            format!("{}() stands over no rows", self.name),
        ))
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef, DataFusionError> {
        Ok(Arc::new(Field::new(args.name(), DataType::Int64, true)))
    }
}
