//! `TUMBLE`, `HOP`, `CUMULATE` and `SESSION` in FROM: each row once for each window that its time is in.

use std::{fmt, hash::Hash, sync::Arc, time::Duration};

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::{DFSchema, DFSchemaRef, DataFusionError, ScalarValue, TableReference};
use datafusion_expr::{
    Expr, Extension, LogicalPlan, LogicalPlanBuilder, UserDefinedLogicalNodeCore,
    planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning},
};
use datafusion_sql::sqlparser::ast::{self, FunctionArg, FunctionArgExpr, ObjectName, TableFactor};
use streams::plan::WindowKind;

use super::sessions::Sessioned;
use crate::{
    backend::SqlError,
    error::{carried, raise, sqlstate},
    functions::times::months_and_us,
};

pub const WINDOW_START: &str = "window_start";
pub const WINDOW_END: &str = "window_end";

/// See the module head.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Windowed {
    pub input: LogicalPlan,
    /// A column of the input.
    pub time: Expr,
    pub windows: WindowKind,
    pub schema: DFSchemaRef,
}

super::node::plan_node!(Windowed, time);

impl Windowed {
    fn new(input: LogicalPlan, time: Expr, windows: WindowKind) -> Result<Self, DataFusionError> {
        Ok(Self {
            schema: windowed_schema(&input, &time)?,
            input,
            time,
            windows,
        })
    }
}

/// The columns of the input, and behind them start and end of a window by that column.
pub fn windowed_schema(input: &LogicalPlan, time: &Expr) -> Result<DFSchemaRef, DataFusionError> {
    let Expr::Column(column) = time else {
        let hint = "For windows by when records were written, declare a column: \
                    CREATE SOURCE … (written TIMESTAMPTZ METADATA FROM 'timestamp', …).";
        return Err(carried(
            SqlError::new(
                sqlstate::INVALID_PARAMETER_VALUE,
                "the time of a window is a column",
            )
            .with_hint(hint),
        ));
    };
    let (table, field) = input.schema().qualified_field_from_column(column)?;
    let data_type = field.data_type().clone();
    if !matches!(data_type, DataType::Timestamp(..)) {
        return Err(raise(
            sqlstate::DATATYPE_MISMATCH,
            format!("column \"{}\" is no timestamp", column.name),
        ));
    }
    let table = table.cloned();
    let mut fields: Vec<(Option<TableReference>, FieldRef)> = input
        .schema()
        .iter()
        .map(|(table, field)| (table.cloned(), field.clone()))
        .collect();
    for name in [WINDOW_START, WINDOW_END] {
        let field = Field::new(name, data_type.clone(), true);
        fields.push((table.clone(), Arc::new(field)));
    }
    let schema = DFSchema::new_with_metadata(fields, input.schema().metadata().clone())?;
    Ok(Arc::new(schema))
}

impl UserDefinedLogicalNodeCore for Windowed {
    fn name(&self) -> &'static str {
        "Windows"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![self.time.clone()]
    }

    fn prevent_predicate_push_down_columns(&self) -> std::collections::HashSet<String> {
        [WINDOW_START, WINDOW_END].map(str::to_owned).into()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Windows: {:?} of {}", self.windows, self.time)
    }

    fn with_exprs_and_inputs(
        &self,
        mut expressions: Vec<Expr>,
        mut inputs: Vec<LogicalPlan>,
    ) -> Result<Self, DataFusionError> {
        let (Some(time), Some(input)) = (expressions.pop(), inputs.pop()) else {
            return Err(DataFusionError::Internal(
                "one input and its time".to_owned(),
            ));
        };
        Self::new(input, time, self.windows)
    }

    fn necessary_children_exprs(&self, columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let width = self.input.schema().fields().len();
        let mut needed: Vec<usize> = columns.iter().copied().filter(|at| *at < width).collect();
        if let Expr::Column(column) = &self.time {
            needed.push(self.input.schema().maybe_index_of_column(column)?);
        }
        needed.sort_unstable();
        needed.dedup();
        Some(vec![needed])
    }
}

/// Plans the functions.
#[derive(Debug)]
pub struct WindowFunctions;

impl RelationPlanner for WindowFunctions {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning, DataFusionError> {
        let (name, arguments, alias) = match &relation {
            TableFactor::Table {
                name,
                args: Some(arguments),
                alias,
                ..
            } => (name, &arguments.args, alias),
            TableFactor::Function {
                name, args, alias, ..
            } => (name, args, alias),
            _ => return Ok(RelationPlanning::Original(Box::new(relation))),
        };
        let Some(function) = function_of(name) else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let plan = plan_windows(function, arguments, context)?;
        let planned = PlannedRelation::new(plan, alias.clone());
        Ok(RelationPlanning::Planned(Box::new(planned)))
    }
}

#[derive(Clone, Copy)]
enum Function {
    Tumble,
    Hop,
    Cumulate,
    Session,
}

fn function_of(name: &ObjectName) -> Option<Function> {
    let ident = name.0.last()?.as_ident()?;
    match ident.value.to_ascii_lowercase().as_str() {
        "tumble" => Some(Function::Tumble),
        "hop" => Some(Function::Hop),
        "cumulate" => Some(Function::Cumulate),
        "session" => Some(Function::Session),
        _ => None,
    }
}

fn plan_windows(
    function: Function,
    arguments: &[FunctionArg],
    context: &mut dyn RelationPlannerContext,
) -> Result<LogicalPlan, DataFusionError> {
    let expressions = arguments
        .iter()
        .map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => Ok(expression.clone()),
            _ => Err(usage(function)),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let [relation, time, lengths @ ..] = expressions.as_slice() else {
        return Err(usage(function));
    };
    let input = context.plan(relation_factor(relation, function)?)?;
    let time = context.sql_to_expr(processing_time(time)?, input.schema())?;
    if let Function::Session = function {
        return plan_sessions(input, time, lengths, context);
    }
    let lengths = lengths
        .iter()
        .map(|length| {
            let value = context.sql_to_expr(length.clone(), &DFSchema::empty())?;
            microseconds(&value)
        })
        .collect::<Result<Vec<_>, DataFusionError>>()?;
    let windows = windows_of(function, &lengths)?;
    // A row without a time is in no window.
    let input = LogicalPlanBuilder::from(input)
        .filter(time.clone().is_not_null())?
        .build()?;
    let node = Windowed::new(input, time, windows)?;
    Ok(LogicalPlan::Extension(Extension {
        node: Arc::new(node),
    }))
}

/// A clock cannot tell the window of a record that is read again.
fn processing_time(time: &ast::Expr) -> Result<ast::Expr, DataFusionError> {
    if let ast::Expr::Function(call) = time
        && call.name.to_string().eq_ignore_ascii_case("proctime")
    {
        let error = SqlError::unsupported(
            "proctime() is not supported: its windows would be others after a restart",
        )
        .with_hint(
            "Declare a column METADATA FROM 'timestamp' of the source, and take windows by it.",
        );
        return Err(carried(error));
    }
    Ok(time.clone())
}

fn plan_sessions(
    input: LogicalPlan,
    time: Expr,
    arguments: &[ast::Expr],
    context: &mut dyn RelationPlannerContext,
) -> Result<LogicalPlan, DataFusionError> {
    let [gap, partition @ ..] = arguments else {
        return Err(usage(Function::Session));
    };
    let gap = microseconds(&context.sql_to_expr(gap.clone(), &DFSchema::empty())?)?;
    let mut keys: Vec<Expr> = Vec::with_capacity(partition.len());
    for key in partition {
        let key = context.sql_to_expr(key.clone(), input.schema())?;
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let input = LogicalPlanBuilder::from(input)
        .filter(time.clone().is_not_null())?
        .build()?;
    let node = Sessioned::new(input, keys, time, positive(gap)?)?;
    Ok(LogicalPlan::Extension(Extension {
        node: Arc::new(node),
    }))
}

fn positive(length: i64) -> Result<Duration, DataFusionError> {
    let length = u64::try_from(length).ok().filter(|length| *length > 0);
    length.map(Duration::from_micros).ok_or_else(|| {
        raise(
            sqlstate::INVALID_PARAMETER_VALUE,
            "a window's length is above zero",
        )
    })
}

fn usage(function: Function) -> DataFusionError {
    let shape = match function {
        Function::Tumble => "TUMBLE(relation, time, size [, offset])",
        Function::Hop => "HOP(relation, time, slide, size [, offset])",
        Function::Cumulate => "CUMULATE(relation, time, step, size [, offset])",
        Function::Session => "SESSION(relation, time, gap [, PARTITION BY column, …])",
    };
    raise(
        sqlstate::INVALID_PARAMETER_VALUE,
        format!("a window function is {shape}"),
    )
}

/// The first argument as what could stand in FROM.
fn relation_factor(
    relation: &ast::Expr,
    function: Function,
) -> Result<TableFactor, DataFusionError> {
    let idents = match relation {
        ast::Expr::Identifier(ident) => vec![ident.clone()],
        ast::Expr::CompoundIdentifier(idents) => idents.clone(),
        ast::Expr::Subquery(query) => {
            return Ok(TableFactor::Derived {
                lateral: false,
                subquery: query.clone(),
                alias: None,
                sample: None,
            });
        }
        _ => return Err(usage(function)),
    };
    Ok(TableFactor::Table {
        name: ObjectName::from(idents),
        alias: None,
        args: None,
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    })
}

fn windows_of(function: Function, lengths: &[i64]) -> Result<WindowKind, DataFusionError> {
    // A window that begins earlier by its size begins at the same places.
    let shift = |offset: Option<&i64>, period: Duration| {
        let period = i64::try_from(period.as_micros()).unwrap_or(i64::MAX);
        let offset = offset.copied().unwrap_or(0).rem_euclid(period);
        Duration::from_micros(offset.unsigned_abs())
    };
    match (function, lengths) {
        (Function::Tumble, [size, rest @ ..]) if rest.len() <= 1 => {
            let size = positive(*size)?;
            Ok(WindowKind::Tumble {
                size,
                offset: shift(rest.first(), size),
            })
        }
        (Function::Hop, [slide, size, rest @ ..]) if rest.len() <= 1 => {
            let (slide, size) = (positive(*slide)?, positive(*size)?);
            if size.as_micros() % slide.as_micros() != 0 {
                return Err(raise(
                    sqlstate::INVALID_PARAMETER_VALUE,
                    "a window's size is a multiple of its slide",
                ));
            }
            Ok(WindowKind::Hop {
                size,
                slide,
                offset: shift(rest.first(), slide),
            })
        }
        (Function::Cumulate, [step, size, rest @ ..]) if rest.len() <= 1 => {
            let (step, size) = (positive(*step)?, positive(*size)?);
            if size.as_micros() % step.as_micros() != 0 {
                return Err(raise(
                    sqlstate::INVALID_PARAMETER_VALUE,
                    "a window's size is a multiple of its step",
                ));
            }
            Ok(WindowKind::Cumulate {
                size,
                step,
                offset: shift(rest.first(), size),
            })
        }
        _ => Err(usage(function)),
    }
}

/// Of an interval without months.
pub fn microseconds(value: &Expr) -> Result<i64, DataFusionError> {
    let refused = || {
        raise(
            sqlstate::INVALID_PARAMETER_VALUE,
            "an interval of days, hours, minutes or seconds was expected",
        )
    };
    let Expr::Literal(value, _) = value else {
        return Err(refused());
    };
    let ScalarValue::IntervalMonthDayNano(Some(interval)) = value else {
        return Err(refused());
    };
    match months_and_us(*interval) {
        Some((0, us)) => Ok(us),
        _ => Err(refused()),
    }
}
