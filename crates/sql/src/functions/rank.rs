//! Places of rows in their partitions: names and types only, since the operator for top rows numbers.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::DataFusionError;
use datafusion_expr::{
    PartitionEvaluator, Signature, Volatility, WindowUDF, WindowUDFImpl,
    function::{PartitionEvaluatorArgs, WindowUDFFieldArgs},
};

use crate::error::{raise, sqlstate};

pub fn all() -> Vec<Arc<WindowUDF>> {
    let function = |name, arguments: Vec<DataType>, answer| {
        let signature = match arguments.is_empty() {
            true => Signature::nullary(Volatility::Immutable),
            false => Signature::exact(arguments, Volatility::Immutable),
        };
        Arc::new(WindowUDF::new_from_impl(Rank {
            name,
            signature,
            answer,
        }))
    };
    vec![
        function("row_number", Vec::new(), DataType::Int64),
        function("rank", Vec::new(), DataType::Int64),
        function("dense_rank", Vec::new(), DataType::Int64),
        function("percent_rank", Vec::new(), DataType::Float64),
        function("cume_dist", Vec::new(), DataType::Float64),
        function("ntile", vec![DataType::Int64], DataType::Int32),
    ]
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Rank {
    name: &'static str,
    signature: Signature,
    answer: DataType,
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
        Ok(Arc::new(Field::new(args.name(), self.answer.clone(), true)))
    }
}
