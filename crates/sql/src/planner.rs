//! Queries to dataflows, with the query engine's planner and optimiser.
//!
//! A query goes through: names (`names`), the engine's planner over the catalog (`context`), what Postgres means where the
//! engine differs (`semantics`), the engine's type coercion and those of its rules that hold for deltas, and `lower`, which
//! makes a `streams::Plan` of it.

mod as_of;
mod beside;
mod change;
mod context;
mod correlated;
mod definition;
mod engine;
mod equalities;
mod explain;
mod expression;
mod filters;
pub(crate) mod floats;
mod interval;
mod light;
mod lookups;
mod lower;
mod merged;
mod names;
mod node;
mod operands;
mod point;
mod properties;
mod semantics;
mod sessions;
mod sets;
mod spelling;
mod subqueries;
mod temporal;
#[cfg(test)]
mod tests;
mod top_level;
mod truth;
mod windows;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::{ParamValues, ScalarValue, metadata::ScalarAndMetadata};
use datafusion_expr::LogicalPlan;
use datafusion_sql::sqlparser::ast;
use streams::{Plan, plan::SortKey};

use crate::{backend::SqlError, catalog::Catalog, error::sqlstate};

pub(crate) use as_of::{MARK as AS_OF_MARK, SYSTEM_TIME_MARK, misplaced as as_of_misplaced};
pub use change::{
    COPIED, EXCLUDED, PlannedChange, PlannedConflict, null_violation, plan_change, plan_copy,
};
pub use definition::{define, failed};
pub(crate) use engine::FOLDING;
pub use explain::{explain, explain_with};
pub use lookups::Values;
pub(crate) use names::name_columns;
pub use point::PointQuery;
pub use properties::{Properties, properties};

/// A query that can run.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The dataflow; its last node may have columns behind `fields`, which only order the rows. Empty while there are
    /// parameters to be bound.
    pub plan: Plan,
    /// The columns that are shown.
    pub fields: Vec<FieldRef>,
    pub order: Vec<SortKey>,
    pub offset: u64,
    pub limit: Option<u64>,
    /// Types of `$1`, `$2` and so on.
    pub parameters: Vec<FieldRef>,
    /// Names of the relations it reads.
    pub reads: BTreeSet<String>,
    /// Of some of them, wherever they are read, values that rows must have to be seen at all.
    pub lookups: BTreeMap<String, Vec<Values>>,
    /// No work: see [`light`].
    pub is_light: bool,
    /// Where that is all it is.
    point: Option<Arc<PointQuery>>,
    /// What is bound to values and to the clock each time it runs.
    template: Option<Arc<Template>>,
}

#[derive(Debug)]
struct Template {
    logical: LogicalPlan,
    /// Types that parameters have in it: those of the columns that they are for, whatever the client's are.
    wanted: Vec<DataType>,
    /// The same optimized, where that can be done without the values.
    optimized: Option<LogicalPlan>,
}

/// Values of what is only known when a query runs.
#[derive(Clone, Debug, Default)]
pub struct Bindings {
    /// `$1`, `$2` and so on.
    pub parameters: Vec<ScalarValue>,
    /// Microseconds since 1970: what `now()` says.
    pub now_us: i64,
}

/// Plans a query, on a stack of [`crate::STACK_BYTES`]. `types` are those that a client has named for its parameters; the others are inferred.
pub fn plan_query(
    catalog: &Catalog,
    query: &ast::Query,
    types: &[Option<FieldRef>],
) -> Result<Planned, SqlError> {
    planned(engine::analyzed(catalog, query, types)?, types)
}

fn planned(logical: LogicalPlan, types: &[Option<FieldRef>]) -> Result<Planned, SqlError> {
    let parameters = engine::parameters(&logical, types)?;
    let fields = top_level::fields(&logical);
    let reads = engine::reads(&logical);
    let is_light = light::is_light(&logical);
    if !parameters.is_empty() || semantics::reads_clock(&logical) {
        let wanted = wanted(&logical, &parameters)?;
        let optimized = is_light
            .then(|| engine::optimized(logical.clone()))
            .transpose()?;
        return Ok(Planned {
            plan: Plan::default(),
            fields,
            order: Vec::new(),
            offset: 0,
            limit: None,
            parameters,
            reads,
            lookups: BTreeMap::new(),
            is_light,
            point: optimized.as_ref().and_then(PointQuery::of).map(Arc::new),
            template: Some(Arc::new(Template {
                wanted,
                optimized,
                logical,
            })),
        });
    }
    let optimized = engine::optimized(logical)?;
    let top = top_level::lower(&optimized)?;
    Ok(Planned {
        plan: top.plan,
        fields,
        order: top.order,
        offset: top.offset,
        limit: top.limit,
        parameters,
        reads,
        lookups: lookups::of(&optimized),
        is_light,
        point: PointQuery::of(&optimized).map(Arc::new),
        template: None,
    })
}

/// See [`Template::wanted`].
fn wanted(logical: &LogicalPlan, parameters: &[FieldRef]) -> Result<Vec<DataType>, SqlError> {
    let known = logical.get_parameter_fields()?;
    let wanted = parameters.iter().enumerate().map(|(at, field)| {
        let own = known.get(&format!("${}", at + 1)).and_then(Option::as_ref);
        own.unwrap_or(field).data_type().clone()
    });
    Ok(wanted.collect())
}

impl Planned {
    /// Whether it can only run once it is bound.
    #[must_use]
    pub fn is_template(&self) -> bool {
        self.template.is_some()
    }

    /// The same query with values in the place of its parameters and of the clock.
    pub fn bind(&self, bindings: &Bindings) -> Result<Self, SqlError> {
        match &self.template {
            None => Ok(self.clone()),
            Some(template) => self.bound(template, bindings),
        }
    }

    /// What is looked up, when that is all there is to do.
    #[must_use]
    pub fn point(&self) -> Option<&PointQuery> {
        self.point.as_deref()
    }

    /// Of that, the values in these columns, when they are all that is asked of a row.
    pub fn key(
        &self,
        columns: &[usize],
        parameters: &[ScalarValue],
    ) -> Result<Option<Vec<ScalarValue>>, SqlError> {
        let values = match &self.template {
            Some(template) => self.values(template, parameters)?,
            None => Vec::new(),
        };
        let point = self.point.as_ref();
        Ok(point.and_then(|point| point.key(columns, &values)))
    }

    /// Of parameters, in the types that they have in the query.
    fn values(
        &self,
        template: &Template,
        parameters: &[ScalarValue],
    ) -> Result<Vec<ScalarAndMetadata>, SqlError> {
        let count = self.parameters.len();
        if parameters.len() != count {
            let given = parameters.len();
            return Err(SqlError::new(
                *b"08P01",
                format!(
                    "bind message supplies {given} parameters, but the statement requires {count}"
                ),
            ));
        }
        let values = parameters.iter().zip(&template.wanted);
        values
            .map(|(value, wanted)| {
                let value = point::as_type(value, wanted)?;
                Ok(ScalarAndMetadata::new(value, None))
            })
            .collect()
    }

    fn bound(&self, template: &Template, bindings: &Bindings) -> Result<Self, SqlError> {
        let values = self.values(template, &bindings.parameters)?;
        let optimized = match &template.optimized {
            Some(optimized) => light::with_values(optimized, &values)?,
            None => {
                let logical = template.logical.clone();
                let logical = match values.is_empty() {
                    true => logical,
                    false => logical.with_param_values(ParamValues::List(values))?,
                };
                engine::optimized(semantics::with_clock(logical, bindings.now_us)?)?
            }
        };
        let top = top_level::lower(&optimized)?;
        Ok(Self {
            plan: top.plan,
            fields: self.fields.clone(),
            order: top.order,
            offset: top.offset,
            limit: top.limit,
            parameters: Vec::new(),
            reads: self.reads.clone(),
            lookups: lookups::of(&optimized),
            is_light: self.is_light,
            point: None,
            template: None,
        })
    }
}

/// Of `$1` and so on: text where nothing says what it is.
fn unknown_parameter() -> FieldRef {
    Arc::new(Field::new("", DataType::Utf8, true))
}

fn undefined_table(name: &str) -> SqlError {
    SqlError::new(
        sqlstate::UNDEFINED_TABLE,
        format!("relation \"{name}\" does not exist"),
    )
}
