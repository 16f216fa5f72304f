//! The query engine's passes, in the order and selection that deltas allow.
//!
//! # Instead of
//! The engine's default rules: pushing limits into scans, one aggregate for DISTINCT ON and the split of one distinct
//! aggregate into two group themselves around batch execution. Here DISTINCT, top rows and distinct aggregates are operators.

use std::{
    collections::BTreeSet,
    sync::{Arc, LazyLock},
};

use arrow::datatypes::FieldRef;
use datafusion_common::{config::ConfigOptions, tree_node::TreeNodeRecursion};
use datafusion_expr::LogicalPlan;
use datafusion_optimizer::{
    Analyzer, AnalyzerRule, Optimizer, OptimizerContext, OptimizerRule,
    analyzer::{resolve_grouping_function::ResolveGroupingFunction, type_coercion::TypeCoercion},
    decorrelate_predicate_subquery::DecorrelatePredicateSubquery,
    eliminate_cross_join::EliminateCrossJoin,
    eliminate_duplicated_expr::EliminateDuplicatedExpr,
    eliminate_filter::EliminateFilter,
    eliminate_group_by_constant::EliminateGroupByConstant,
    eliminate_join::EliminateJoin,
    eliminate_outer_join::EliminateOuterJoin,
    optimize_projections::OptimizeProjections,
    optimize_unions::OptimizeUnions,
    propagate_empty_relation::PropagateEmptyRelation,
    scalar_subquery_to_join::ScalarSubqueryToJoin,
    simplify_expressions::SimplifyExpressions,
};
use datafusion_sql::{
    planner::{NullOrdering, ParserOptions, PlannerContext, SqlToRel},
    sqlparser::ast,
};

use super::{
    beside,
    context::Context,
    correlated,
    equalities::{self, Equalities},
    filters::PushDown,
    merged, names, operands, semantics, sets, unknown_parameter,
};
use crate::{backend::SqlError, catalog::Catalog};

pub(super) static OPTIONS: LazyLock<Arc<ConfigOptions>> = LazyLock::new(|| {
    let mut options = ConfigOptions::default();
    options
        .optimizer
        .enable_physical_uncorrelated_scalar_subquery = false;
    options.optimizer.filter_null_join_keys = false;
    options.optimizer.skip_failed_rules = false;
    options.sql_parser.map_string_types_to_utf8view = false;
    options.sql_parser.parse_float_as_decimal = true;
    options.sql_parser.enable_subquery_sort_elimination = false;
    options.execution.time_zone = Some("UTC".to_owned());
    Arc::new(options)
});

/// The same for what the optimiser computes by itself, so that functions know: its values stay in the plan.
pub(crate) static FOLDING: LazyLock<Arc<ConfigOptions>> =
    LazyLock::new(|| Arc::new(OPTIONS.as_ref().clone()));

/// Planned, typed, with Postgres's meaning; parameters and the clock still stand in it.
pub fn analyzed(
    catalog: &Catalog,
    query: &ast::Query,
    types: &[Option<FieldRef>],
) -> Result<LogicalPlan, SqlError> {
    let statement = ast::Statement::Query(Box::new(query.clone()));
    let logical = planned_statement(catalog, statement, types)?;
    analyze(logical)
}

/// As the engine's planner makes it.
pub fn planned_statement(
    catalog: &Catalog,
    mut statement: ast::Statement,
    types: &[Option<FieldRef>],
) -> Result<LogicalPlan, SqlError> {
    merged::spell_out(catalog, &mut statement)?;
    names::name_columns(&mut statement);
    sets::refuse_ordinality(&statement)?;
    let types = operands::with_written_types(&statement, types);
    let context = Context::new(catalog, &OPTIONS);
    let planner = planner(&context);
    let mut planning = PlannerContext::new().with_prepare_param_data_types(types);
    Ok(planner.sql_statement_to_plan_with_context(statement, &mut planning)?)
}

pub fn planner<'a>(context: &'a Context<'a>) -> SqlToRel<'a, Context<'a>> {
    let options = ParserOptions::new()
        .with_parse_float_as_decimal(true)
        .with_collect_spans(true)
        .with_support_varchar_with_length(true)
        .with_map_string_types_to_utf8view(false)
        .with_default_null_ordering(NullOrdering::NullsMax);
    SqlToRel::new_with_options(context, options)
}

/// From a plan as the engine's planner makes it.
pub fn analyze(logical: LogicalPlan) -> Result<LogicalPlan, SqlError> {
    let logical = beside::unnested(logical)?;
    let logical = semantics::before_types(logical)?;
    let logical = correlated::unnested(logical)?;
    let rules: Vec<Arc<dyn AnalyzerRule + Send + Sync>> = vec![
        Arc::new(ResolveGroupingFunction::new()),
        Arc::new(TypeCoercion::new()),
        Arc::new(semantics::PostgresMeaning),
        Arc::new(TypeCoercion::new()),
    ];
    let analyzer = Analyzer::with_rules(rules);
    let logical = analyzer.execute_and_check(logical, &OPTIONS, |_, _| {})?;
    super::as_of::joins(logical)
}

pub fn optimized(logical: LogicalPlan) -> Result<LogicalPlan, SqlError> {
    let rules: Vec<Arc<dyn OptimizerRule + Send + Sync>> = vec![
        Arc::new(OptimizeUnions::new()),
        Arc::new(SimplifyExpressions::new()),
        Arc::new(EliminateJoin::new()),
        Arc::new(DecorrelatePredicateSubquery::new()),
        Arc::new(ScalarSubqueryToJoin::new()),
        Arc::new(Equalities::new()),
        Arc::new(EliminateDuplicatedExpr::new()),
        Arc::new(EliminateFilter::new()),
        Arc::new(EliminateCrossJoin::new()),
        Arc::new(PropagateEmptyRelation::new()),
        Arc::new(EliminateOuterJoin::new()),
        Arc::new(PushDown::new()),
        Arc::new(EliminateGroupByConstant::new()),
        Arc::new(OptimizeProjections::new()),
    ];
    let context = OptimizerContext::new_with_config_options(FOLDING.clone())
        .without_query_execution_start_time();
    let optimized = Optimizer::with_rules(rules).optimize(logical, &context, |_, _| {})?;
    Ok(equalities::with_null_keys(optimized, &context)?)
}

/// Of `$1` to the last one that occurs.
pub fn parameters(
    logical: &LogicalPlan,
    types: &[Option<FieldRef>],
) -> Result<Vec<FieldRef>, SqlError> {
    let found = logical.get_parameter_fields()?;
    let numbers = found
        .keys()
        .filter_map(|id| id.trim_start_matches('$').parse::<usize>().ok());
    let count = numbers.max().unwrap_or(0).max(types.len());
    let field = |at: usize| {
        let given = types.get(at).cloned().flatten();
        let inferred = found.get(&format!("${}", at + 1)).cloned().flatten();
        given.or(inferred).unwrap_or_else(unknown_parameter)
    };
    Ok((0..count).map(field).collect())
}

/// Relations that are read, subqueries included.
pub fn reads(logical: &LogicalPlan) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let walked = logical.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(source) = super::context::relation_of(scan)
        {
            found.insert(source.name.clone());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    walked.expect("looking at a plan does not fail");
    found
}
