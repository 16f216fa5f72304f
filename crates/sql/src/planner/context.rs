//! What the query engine's planner asks for: relations of the catalog, functions, types.

use std::{collections::BTreeMap, sync::Arc};

use arrow::datatypes::{DataType, Field, FieldRef, SchemaRef};
use datafusion_common::{DFSchema, DataFusionError, TableReference, config::ConfigOptions};
use datafusion_expr::{
    AggregateUDF, Expr, HigherOrderUDF, ScalarUDF, TableScan, TableSource, WindowUDF,
    planner::{ContextProvider, ExprPlanner, RelationPlanner, TypePlanner},
};
use datafusion_sql::{planner::PlannerContext, sqlparser::ast};

use super::{engine::planner, undefined_table, windows::WindowFunctions};
use crate::{
    backend::SqlError,
    catalog::{Catalog, Relation},
    column_type::{DEFAULT_KEY, canonical_schema, field_of},
    error::{carried, raise, sqlstate},
    functions, statement,
};

/// See the module head.
pub struct Context<'a> {
    catalog: &'a Catalog,
    options: &'a ConfigOptions,
    relation_planners: Vec<Arc<dyn RelationPlanner>>,
    expression_planners: Vec<Arc<dyn ExprPlanner>>,
    type_planner: Arc<dyn TypePlanner>,
}

impl<'a> Context<'a> {
    pub fn new(catalog: &'a Catalog, options: &'a ConfigOptions) -> Self {
        Self {
            catalog,
            options,
            relation_planners: vec![Arc::new(WindowFunctions)],
            expression_planners: functions::planners(),
            type_planner: Arc::new(PostgresTypes),
        }
    }

    /// What an INSERT takes for columns that it leaves out.
    fn defaults(&self, relation: &Relation) -> Result<BTreeMap<String, Expr>, DataFusionError> {
        let fields = relation.schema.fields().iter();
        let written = fields.filter_map(|field| Some((field, default_of(field)?)));
        let planned = written.map(|(field, written)| {
            let written = written.map_err(carried)?;
            let mut planning = PlannerContext::new();
            let planner = planner(self);
            let value = planner.sql_to_expr(written, &DFSchema::empty(), &mut planning)?;
            Ok((field.name().clone(), value))
        });
        planned.collect()
    }
}

/// The expression of a column's DEFAULT; `None`: it has none.
pub fn default_of(field: &Field) -> Option<Result<ast::Expr, SqlError>> {
    let text = field.metadata().get(DEFAULT_KEY)?;
    Some(statement::expression(text))
}

/// A relation of the catalog, for the engine's planner.
pub struct RelationSource {
    pub relation: Arc<Relation>,
    schema: SchemaRef,
    /// By column.
    defaults: BTreeMap<String, Expr>,
}

impl TableSource for RelationSource {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn get_column_default(&self, column: &str) -> Option<&Expr> {
        self.defaults.get(column)
    }
}

/// What a scan reads.
pub fn relation_of(scan: &TableScan) -> Option<&Arc<Relation>> {
    let source = scan.source.downcast_ref::<RelationSource>()?;
    Some(&source.relation)
}

/// A relation by the name in a statement: in `public`, else in `pg_catalog`.
pub fn find<'c>(catalog: &'c Catalog, name: &TableReference) -> Option<&'c Arc<Relation>> {
    match name.schema() {
        None | Some("public") => catalog
            .get(name.table())
            .or_else(|| catalog.get(&format!("pg_catalog.{}", name.table())))
            .filter(|found| name.schema().is_none() || !found.name.contains('.')),
        Some(schema) => catalog.get(&format!("{schema}.{}", name.table())),
    }
}

impl ContextProvider for Context<'_> {
    fn get_table_source(
        &self,
        name: TableReference,
    ) -> Result<Arc<dyn TableSource>, DataFusionError> {
        let Some(relation) = find(self.catalog, &name) else {
            return Err(carried(undefined_table(&name.to_string())));
        };
        relation.check().map_err(carried)?;
        Ok(Arc::new(RelationSource {
            relation: relation.clone(),
            schema: canonical_schema(&relation.schema),
            defaults: self.defaults(relation)?,
        }))
    }

    fn get_table_function_source(
        &self,
        name: &str,
        _arguments: Vec<Expr>,
    ) -> Result<Arc<dyn TableSource>, DataFusionError> {
        Err(raise(
            sqlstate::UNDEFINED_FUNCTION,
            format!("function {} does not exist", name.to_lowercase()),
        ))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.expression_planners
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        &self.relation_planners
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(self.type_planner.clone())
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        let own = self.catalog.functions.get(functions::bare(name)).cloned();
        own.or_else(|| functions::scalar(name))
    }

    fn get_higher_order_meta(&self, _name: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        functions::aggregate(name)
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        functions::window(name)
    }

    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        self.options
    }

    fn udf_names(&self) -> Vec<String> {
        functions::scalar_names()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        functions::aggregate_names()
    }

    fn udwf_names(&self) -> Vec<String> {
        functions::window_names()
    }
}

/// Types as Postgres has them, of microseconds and 38 digits.
#[derive(Debug)]
struct PostgresTypes;

impl TypePlanner for PostgresTypes {
    fn plan_type_field(
        &self,
        written: &ast::DataType,
    ) -> Result<Option<FieldRef>, DataFusionError> {
        let field = field_of("", written).map_err(carried)?;
        // Metadata on a cast's type would have to agree on both sides of every union and comparison.
        let plain = Field::new("", field.data_type().clone(), true);
        Ok(Some(Arc::new(plain)))
    }
}
