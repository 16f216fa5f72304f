//! The query engine's expressions as those of dataflows.

use std::{any::Any, fmt, sync::Arc};

use arrow::{
    array::{ArrayRef, RecordBatch},
    compute::cast,
    datatypes::DataType,
};
use datafusion_common::DFSchema;
use datafusion_expr::{
    Expr, ExprSchemable, execution_props::ExecutionProps,
    physical_planning_context::PhysicalPlanningContext,
};
use datafusion_physical_expr::{PhysicalExpr, create_physical_expr};
use streams::{Expression, ExpressionRef, Fault, expression::Column};

use super::{engine::OPTIONS, floats, truth};
use crate::{backend::SqlError, error::evaluation_fault, functions::spread};

/// An expression over rows, and the type of what it gives.
#[derive(Clone)]
pub struct Compiled {
    pub expression: ExpressionRef,
    pub data_type: DataType,
    /// It is the column at this place.
    pub column: Option<usize>,
}

/// For rows of this schema.
pub fn compile(expression: &Expr, schema: &DFSchema) -> Result<Compiled, SqlError> {
    if let Some(column) = column_of(expression, schema) {
        return Ok(Compiled {
            expression: Arc::new(Column(column)),
            data_type: schema.field(column).data_type().clone(),
            column: Some(column),
        });
    }
    let data_type = expression.get_type(schema)?;
    let physical = physical(expression, schema)?;
    Ok(Compiled {
        expression: Arc::new(Engine {
            physical,
            data_type: data_type.clone(),
            is_condition: false,
        }),
        data_type,
        column: None,
    })
}

/// The same of a condition, of which only counts whether it is true.
pub fn condition(expression: &Expr, schema: &DFSchema) -> Result<ExpressionRef, SqlError> {
    if column_of(expression, schema).is_some() {
        return Ok(compile(expression, schema)?.expression);
    }
    Ok(Arc::new(Engine {
        physical: physical(expression, schema)?,
        data_type: DataType::Boolean,
        is_condition: true,
    }))
}

pub fn physical(expression: &Expr, schema: &DFSchema) -> Result<Arc<dyn PhysicalExpr>, SqlError> {
    let mut props = ExecutionProps::new();
    props.config_options = Some(OPTIONS.clone());
    let context = PhysicalPlanningContext::default();
    let expression = floats::compared(expression.clone(), schema)?;
    let physical = create_physical_expr(&expression, schema, &props, &context)?;
    Ok(truth::placed(physical)?)
}

/// The query engine's own, where it is one.
pub fn engine_expression(expression: &ExpressionRef) -> Option<&Arc<dyn PhysicalExpr>> {
    let any: &dyn Any = &**expression;
    any.downcast_ref::<Engine>().map(|engine| &engine.physical)
}

fn column_of(expression: &Expr, schema: &DFSchema) -> Option<usize> {
    match expression {
        Expr::Column(column) => schema.maybe_index_of_column(column),
        Expr::Alias(alias) => column_of(&alias.expr, schema),
        _ => None,
    }
}

struct Engine {
    physical: Arc<dyn PhysicalExpr>,
    data_type: DataType,
    is_condition: bool,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.physical)
    }
}

/// Whether it may give another value when it is asked again.
fn is_volatile(expression: &Arc<dyn PhysicalExpr>) -> bool {
    expression.is_volatile_node() || expression.children().into_iter().any(is_volatile)
}

impl Expression for Engine {
    fn evaluate(&self, rows: &RecordBatch) -> Result<ArrayRef, Fault> {
        let value = match self.is_condition {
            true => truth::evaluate(&self.physical, rows),
            false => self.physical.evaluate(rows),
        };
        let array = value.and_then(|value| spread(&value, rows.num_rows()));
        let array = array.map_err(|error| evaluation_fault(&error))?;
        if *array.data_type() == self.data_type {
            return Ok(array);
        }
        // Some functions answer in another width than their signature says.
        cast(&array, &self.data_type).map_err(|error| evaluation_fault(&error.into()))
    }

    fn is_same(&self, other: &dyn Expression) -> bool {
        let other = (other as &dyn Any).downcast_ref::<Self>();
        other.is_some_and(|other| {
            self.data_type == other.data_type
                && self.is_condition == other.is_condition
                && *self.physical == *other.physical
                && !is_volatile(&self.physical)
        })
    }
}
