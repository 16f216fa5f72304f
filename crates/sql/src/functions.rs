//! Functions by name: the query engine's, and Postgres's where they differ or are missing.

mod aggregates;
pub mod arithmetic;
mod bounded;
pub mod cast;
pub mod clock;
mod concat;
mod date_part;
pub(crate) mod define;
mod domain;
mod format;
mod json;
mod operators;
mod placeholders;
mod rank;
mod rounding;
pub mod spans;
pub mod times;
pub mod typed;
pub mod zones;

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use arrow::datatypes::DataType;
use datafusion_expr::{
    AggregateUDF, ScalarUDF, Signature, Volatility, WindowUDF, planner::ExprPlanner,
};

use crate::planner::{AS_OF_MARK, SYSTEM_TIME_MARK, as_of_misplaced};
pub use bounded::{bounded, spread};

/// By name.
pub type Functions = BTreeMap<String, Arc<ScalarUDF>>;

/// Those of the engine that would answer differently on each call, or speak of it instead of the data.
const LEFT_OUT: &[&str] = &[
    "random",
    "uuid",
    "version",
    "input_file_name",
    "now",
    "current_date",
    "current_time",
    // Not as Postgres writes them.
    "array_dims",
];

/// Names of Postgres for functions that the engine calls otherwise.
const ALIASES: &[(&str, &str)] = &[
    ("sign", "signum"),
    ("char_length", "character_length"),
    ("random_uuid", "gen_random_uuid"),
];

static SCALARS: LazyLock<BTreeMap<String, Arc<ScalarUDF>>> = LazyLock::new(|| {
    let engine = datafusion_functions::all_default_functions()
        .into_iter()
        .chain(datafusion_functions_nested::all_default_nested_functions());
    let mut found = BTreeMap::new();
    for function in engine {
        if LEFT_OUT.contains(&function.name()) {
            continue;
        }
        let function = date_part::with_more_parts(times::by_microseconds(function));
        let function = domain::within(operators::null_if_zero(function));
        add_scalar(&mut found, bounded(function));
    }
    let own = clock::all()
        .into_iter()
        .chain(concat::all())
        .chain(json::all())
        .chain(format::all())
        .chain(times::all())
        .chain(rounding::all())
        .chain(spans::all())
        .chain(zones::all())
        .chain(operators::all())
        .chain(typed::all())
        .chain(placeholders::all())
        .chain([
            arithmetic::whole_quotient(),
            as_of_mark(AS_OF_MARK, Signature::nullary(Volatility::Volatile)),
            as_of_mark(SYSTEM_TIME_MARK, Signature::any(1, Volatility::Volatile)),
        ]);
    for function in own {
        add_scalar(&mut found, function);
    }
    for (alias, name) in ALIASES {
        if let Some(function) = found.get(*name).cloned() {
            found.insert((*alias).to_owned(), function);
        }
    }
    found
});

/// Never runs: the planner takes it out.
fn as_of_mark(name: &'static str, signature: Signature) -> Arc<ScalarUDF> {
    define::Function::new(
        name,
        signature,
        |_| Ok(DataType::Boolean),
        |_, _| Err(as_of_misplaced()),
    )
    .build()
}

fn add_scalar(to: &mut BTreeMap<String, Arc<ScalarUDF>>, function: Arc<ScalarUDF>) {
    for alias in function.aliases() {
        to.insert(alias.clone(), function.clone());
    }
    to.insert(function.name().to_owned(), function);
}

static AGGREGATES: LazyLock<BTreeMap<String, Arc<AggregateUDF>>> = LazyLock::new(|| {
    let mut found = BTreeMap::new();
    for function in datafusion_functions_aggregate::all_default_aggregate_functions() {
        let function = aggregates::precise(function);
        for alias in function.aliases() {
            found.insert(alias.clone(), function.clone());
        }
        found.insert(function.name().to_owned(), function);
    }
    for function in aggregates::all() {
        found.insert(function.name().to_owned(), function);
    }
    if let Some(variance) = found.get("var_samp").cloned() {
        found.insert("variance".to_owned(), variance);
    }
    if let Some(every) = found.get("bool_and").cloned() {
        found.insert("every".to_owned(), every);
    }
    found
});

static WINDOWS: LazyLock<BTreeMap<String, Arc<WindowUDF>>> = LazyLock::new(|| {
    let mut found = BTreeMap::new();
    for function in datafusion_functions_window::all_default_window_functions() {
        found.insert(function.name().to_owned(), function);
    }
    for function in rank::all() {
        found.insert(function.name().to_owned(), function);
    }
    found
});

/// Without the schema that some clients write.
pub fn bare(name: &str) -> &str {
    name.strip_prefix("pg_catalog.").unwrap_or(name)
}

pub fn scalar(name: &str) -> Option<Arc<ScalarUDF>> {
    SCALARS.get(bare(name)).cloned()
}

pub fn aggregate(name: &str) -> Option<Arc<AggregateUDF>> {
    AGGREGATES.get(bare(name)).cloned()
}

pub fn window(name: &str) -> Option<Arc<WindowUDF>> {
    WINDOWS.get(bare(name)).cloned()
}

pub fn scalar_names() -> Vec<String> {
    SCALARS.keys().cloned().collect()
}

pub fn aggregate_names() -> Vec<String> {
    AGGREGATES.keys().cloned().collect()
}

pub fn window_names() -> Vec<String> {
    WINDOWS.keys().cloned().collect()
}

/// What makes expressions of syntax: `EXTRACT`, `SUBSTRING`, `[1, 2]`.
pub fn planners() -> Vec<Arc<dyn ExprPlanner>> {
    vec![
        Arc::new(json::JsonOperators),
        Arc::new(operators::DateOperators),
        Arc::new(operators::ListElements),
        Arc::new(datafusion_functions_aggregate::planner::AggregateFunctionPlanner),
        Arc::new(datafusion_functions_window::planner::WindowFunctionPlanner),
        Arc::new(datafusion_functions_nested::planner::NestedFunctionPlanner),
        Arc::new(datafusion_functions_nested::planner::FieldAccessPlanner),
        Arc::new(datafusion_functions::datetime::planner::DatetimeFunctionPlanner),
        Arc::new(datafusion_functions::unicode::planner::UnicodeFunctionPlanner),
        Arc::new(datafusion_functions::core::planner::CoreFunctionPlanner {}),
    ]
}
