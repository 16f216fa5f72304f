//! What the query engine's planner asks for: relations of the catalog, functions, types.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, SchemaRef};
use datafusion_common::{DataFusionError, TableReference, config::ConfigOptions};
use datafusion_expr::{
    AggregateUDF, HigherOrderUDF, ScalarUDF, TableScan, TableSource, WindowUDF,
    planner::{ContextProvider, ExprPlanner, RelationPlanner, TypePlanner},
};
use datafusion_sql::sqlparser::ast;

use super::{undefined_table, windows::WindowFunctions};
use crate::{
    catalog::{Catalog, Relation},
    column_type::{canonical_schema, field_of},
    error::{carried, raise, sqlstate},
    functions,
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
}

/// A relation of the catalog, for the engine's planner.
pub struct RelationSource {
    pub relation: Arc<Relation>,
    schema: SchemaRef,
}

impl TableSource for RelationSource {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
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
        Ok(Arc::new(RelationSource {
            relation: relation.clone(),
            schema: canonical_schema(&relation.schema),
        }))
    }

    fn get_table_function_source(
        &self,
        name: &str,
        _arguments: Vec<datafusion_expr::Expr>,
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
        let plain = arrow::datatypes::Field::new("", field.data_type().clone(), true);
        Ok(Some(Arc::new(plain)))
    }
}
