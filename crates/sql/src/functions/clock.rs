//! What the time is: names only, since values are put in their place before anything runs.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion_common::DataFusionError;
use datafusion_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::{
    column_type::timestamptz,
    error::{raise, sqlstate},
};

const NAMES: &[&str] = &[
    "now",
    "current_timestamp",
    "transaction_timestamp",
    "statement_timestamp",
    "clock_timestamp",
    "localtimestamp",
    "current_date",
    "current_time",
    "localtime",
];

#[must_use]
pub fn is_clock(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Those that give a moment rather than a day or a time of day.
#[must_use]
pub fn is_instant(name: &str) -> bool {
    is_clock(name) && !matches!(name, "current_date" | "current_time" | "localtime")
}

pub fn all() -> Vec<Arc<ScalarUDF>> {
    let function = |name: &&'static str| {
        Arc::new(ScalarUDF::new_from_impl(Clock {
            name,
            signature: Signature::nullary(Volatility::Stable),
        }))
    };
    NAMES.iter().map(function).collect()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Clock {
    name: &'static str,
    signature: Signature,
}

impl ScalarUDFImpl for Clock {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(match self.name {
            "current_date" => DataType::Date32,
            "current_time" | "localtime" => DataType::Time64(TimeUnit::Microsecond),
            "localtimestamp" => DataType::Timestamp(TimeUnit::Microsecond, None),
            _ => timestamptz(),
        })
    }

    fn invoke_with_args(
        &self,
        _args: ScalarFunctionArgs,
    ) -> Result<ColumnarValue, DataFusionError> {
        Err(raise(
            sqlstate::FEATURE_NOT_SUPPORTED,
            format!("{}() has no value here", self.name),
        ))
    }
}
