//! Changes that look at other rows than those they change: UPDATE … FROM, DELETE … USING, INSERT … ON CONFLICT.
//!
//! Each is put as queries in the words of SQL, with the parts of the statement in them.

use std::sync::Arc;

use arrow::datatypes::{FieldRef, SchemaRef};
use datafusion_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder};
use datafusion_sql::sqlparser::ast;

use super::{PlannedChange, column_name, engine, of_one_row, of_statement, relation_named};
use crate::{
    backend::SqlError,
    catalog::{Catalog, Relation, RelationKind},
    column_type::canonical_schema,
    error::sqlstate,
    planner::{Planned, names::ident_name, planned, unknown_parameter},
    statement::{StatementKind, parse, quoted_part},
};

/// The rows that an INSERT proposes, to its ON CONFLICT.
pub const EXCLUDED: &str = "excluded";

/// Queries over the table and [`EXCLUDED`], no two rows of which have one key.
#[derive(Clone, Debug)]
pub struct PlannedConflict {
    /// Places of the key's columns.
    pub key: Vec<usize>,
    /// Those of the proposed rows that nothing is in the way of.
    pub inserted: Planned,
    /// Rows of the table that become others, and those; neither by DO NOTHING.
    pub updated: Option<(Planned, Planned)>,
}

/// A table as a change names it.
struct Target<'c> {
    relation: &'c Arc<Relation>,
    /// With its alias, for FROM.
    from: String,
    /// What its columns are qualified by.
    name: String,
}

impl<'c> Target<'c> {
    fn new(
        catalog: &'c Catalog,
        table: &ast::ObjectName,
        alias: Option<&ast::Ident>,
    ) -> Result<Self, SqlError> {
        let undefined = || super::undefined_table(&table.to_string());
        let relation = relation_named(catalog, table).ok_or_else(undefined)?;
        if relation.kind != RelationKind::Table {
            return Err(SqlError::new(
                sqlstate::WRONG_OBJECT_TYPE,
                format!("cannot change \"{}\": it is no table", relation.name),
            ));
        }
        Ok(Self {
            relation,
            from: match alias {
                Some(alias) => format!("{table} AS {alias}"),
                None => table.to_string(),
            },
            name: match alias {
                Some(alias) => alias.to_string(),
                None => table.to_string(),
            },
        })
    }

    fn of_factor(catalog: &'c Catalog, table: &ast::TableWithJoins) -> Result<Self, SqlError> {
        match &table.relation {
            ast::TableFactor::Table { name, alias, .. } if table.joins.is_empty() => {
                let alias = alias.as_ref().map(|alias| &alias.name);
                Self::new(catalog, name, alias)
            }
            _ => Err(SqlError::unsupported("only a table can be changed")),
        }
    }

    fn column(&self, at: usize) -> String {
        format!(
            "{}.{}",
            self.name,
            quoted_part(self.relation.schema.field(at).name())
        )
    }

    fn columns(&self) -> Vec<String> {
        let count = self.relation.schema.fields().len();
        (0..count).map(|at| self.column(at)).collect()
    }

    /// Its columns with what is assigned to some of them.
    fn assigned(&self, assignments: &[ast::Assignment]) -> Result<Vec<String>, SqlError> {
        let mut values = self.columns();
        let mut is_set = vec![false; values.len()];
        for assignment in assignments {
            let ast::AssignmentTarget::ColumnName(column) = &assignment.target else {
                return Err(SqlError::unsupported("SET (a, b) = … is not supported"));
            };
            let name = column_name(column);
            let table = &self.relation.name;
            let at = self.relation.schema.index_of(&name).map_err(|_| {
                SqlError::new(
                    sqlstate::UNDEFINED_COLUMN,
                    format!("column \"{name}\" of relation \"{table}\" does not exist"),
                )
            })?;
            if std::mem::replace(&mut is_set[at], true) {
                let message = format!("multiple assignments to same column \"{name}\"");
                return Err(SqlError::new(sqlstate::SYNTAX_ERROR, message));
            }
            values[at] = format!("({})", assignment.value);
        }
        Ok(values)
    }

    /// In the table's types, whatever the query gives.
    fn cast(&self, logical: LogicalPlan) -> Result<LogicalPlan, SqlError> {
        let wanted = canonical_schema(&self.relation.schema);
        let columns = logical.schema().iter().zip(wanted.fields());
        let columns = columns.map(|(column, wanted)| {
            let value = Expr::Column(column.into());
            let value = value.cast_to(wanted.data_type(), logical.schema())?;
            Ok(value.alias(wanted.name()))
        });
        let columns = columns.collect::<Result<Vec<_>, SqlError>>()?;
        Ok(LogicalPlanBuilder::from(logical.clone())
            .project(columns)?
            .build()?)
    }
}

fn list<T: ToString>(parts: &[T]) -> String {
    let parts: Vec<String> = parts.iter().map(ToString::to_string).collect();
    parts.join(", ")
}

fn condition(selection: Option<&ast::Expr>) -> String {
    selection.map_or_else(|| "true".to_owned(), |selection| format!("({selection})"))
}

fn logical(
    catalog: &Catalog,
    text: &str,
    types: &[Option<FieldRef>],
) -> Result<LogicalPlan, SqlError> {
    match parse(text)?.pop().map(|statement| statement.kind) {
        Some(StatementKind::Query(query)) => {
            let planned = engine::planned_statement(catalog, ast::Statement::Query(query), types);
            planned.map_err(SqlError::unplaced)
        }
        _ => Err(SqlError::new(sqlstate::INTERNAL_ERROR, "a query was made")),
    }
}

/// What all of the queries together know of their parameters.
fn parameters(
    logicals: &[&LogicalPlan],
    types: &[Option<FieldRef>],
) -> Result<Vec<FieldRef>, SqlError> {
    let mut known = types.to_vec();
    for logical in logicals {
        let analyzed = engine::analyze((*logical).clone())?;
        for (name, field) in analyzed.get_parameter_fields()? {
            let number = name.trim_start_matches('$').parse::<usize>().unwrap_or(0);
            let Some(at) = number.checked_sub(1) else {
                continue;
            };
            if known.len() <= at {
                known.resize(at + 1, None);
            }
            known[at] = known[at].take().or(field);
        }
    }
    let fields = known.into_iter();
    Ok(fields
        .map(|field| field.unwrap_or_else(unknown_parameter))
        .collect())
}

fn all_of(parameters: &[FieldRef]) -> Vec<Option<FieldRef>> {
    parameters.iter().cloned().map(Some).collect()
}

/// Each row of the table that matches goes once, whatever it matches with; the row that comes for it is of one of the matches.
pub fn update(
    catalog: &Catalog,
    update: &ast::Update,
    types: &[Option<FieldRef>],
) -> Result<PlannedChange, SqlError> {
    let Some(ast::UpdateTableFromKind::AfterSet(from)) = &update.from else {
        return Err(SqlError::unsupported("FROM stands behind SET"));
    };
    let target = Target::of_factor(catalog, &update.table)?;
    let Some(key) = target.relation.key.clone() else {
        return Err(SqlError::unsupported(
            "UPDATE … FROM needs a table with a PRIMARY KEY",
        ));
    };
    let (table, from) = (&target.from, list(from));
    let matches = condition(update.selection.as_ref());
    let keys: Vec<String> = key.iter().map(|at| target.column(*at)).collect();
    let values = target.assigned(&update.assignments)?;
    let removed = format!(
        "SELECT {} FROM {table} WHERE EXISTS (SELECT 1 FROM {from} WHERE {matches})",
        list(&target.columns())
    );
    // Of several matches the one with the least values, so that the answer is always the same.
    let mut order = keys.clone();
    order.extend((keys.len() + 1..=keys.len() + values.len()).map(|at| at.to_string()));
    let shown: Vec<String> = keys.iter().chain(&values).cloned().collect();
    let names = (0..shown.len()).map(|at| format!("c{at}"));
    let shown = shown
        .iter()
        .zip(names.clone())
        .map(|(value, name)| format!("{value} AS {name}"));
    let added = format!(
        "SELECT {} FROM (SELECT DISTINCT ON ({}) {} FROM {table}, {from} WHERE {matches} ORDER BY {}) AS matched",
        list(&names.skip(keys.len()).collect::<Vec<_>>()),
        list(&keys),
        list(&shown.collect::<Vec<_>>()),
        list(&order)
    );
    let (removed, added) = (
        logical(catalog, &removed, types)?,
        logical(catalog, &added, types)?,
    );
    change(&target, Some(removed), Some(added), types)
}

pub fn delete(
    catalog: &Catalog,
    delete: &ast::Delete,
    types: &[Option<FieldRef>],
) -> Result<PlannedChange, SqlError> {
    let (ast::FromTable::WithFromKeyword(tables) | ast::FromTable::WithoutKeyword(tables)) =
        &delete.from;
    let [table] = tables.as_slice() else {
        return Err(SqlError::unsupported("DELETE is from one table"));
    };
    let target = Target::of_factor(catalog, table)?;
    let matches = condition(delete.selection.as_ref());
    let Some(using) = &delete.using else {
        let columns = list(&target.columns());
        let removed = format!("SELECT {columns} FROM {} WHERE {matches}", target.from);
        let removed = logical(catalog, &removed, types)?;
        return change(&target, Some(removed), None, types);
    };
    let (table, using) = (&target.from, list(using));
    // In the subquery below a name that both have would be that of USING, and then each row goes.
    let both = format!("SELECT 1 FROM {table}, {using} WHERE {matches}");
    logical(catalog, &both, types)?;
    let removed = format!(
        "SELECT {} FROM {table} WHERE EXISTS (SELECT 1 FROM {using} WHERE {matches})",
        list(&target.columns())
    );
    let removed = logical(catalog, &removed, types)?;
    change(&target, Some(removed), None, types)
}

fn change(
    target: &Target<'_>,
    removed: Option<LogicalPlan>,
    added: Option<LogicalPlan>,
    types: &[Option<FieldRef>],
) -> Result<PlannedChange, SqlError> {
    let both: Vec<&LogicalPlan> = removed.iter().chain(&added).collect();
    let parameters = parameters(&both, types)?;
    let all = all_of(&parameters);
    let plan = |logical: Option<LogicalPlan>| -> Result<Option<Planned>, SqlError> {
        let Some(logical) = logical else {
            return Ok(None);
        };
        let logical = target.cast(engine::analyze(logical)?)?;
        planned(engine::analyze(logical)?, &all).map(Some)
    };
    Ok(PlannedChange {
        table: target.relation.name.clone(),
        schema: target.relation.schema.clone(),
        removed: plan(removed)?,
        added: plan(added)?,
        returned: None,
        conflict: None,
        parameters,
    })
}

pub fn insert(
    catalog: &Catalog,
    mut insert: ast::Insert,
    on: &ast::OnInsert,
    types: &[Option<FieldRef>],
) -> Result<PlannedChange, SqlError> {
    let ast::OnInsert::OnConflict(on) = on else {
        return Err(SqlError::unsupported("ON DUPLICATE KEY is not supported")
            .with_hint("ON CONFLICT (…) DO UPDATE SET …"));
    };
    let ast::TableObject::TableName(name) = insert.table.clone() else {
        return Err(SqlError::unsupported("rows are inserted into a table"));
    };
    // Only what is done in conflict can name the table by it.
    let alias = insert.table_alias.take().map(|alias| alias.alias);
    let target = Target::new(catalog, &name, alias.as_ref())?;
    let is_excluded = |alias: &ast::Ident| ident_name(alias) == EXCLUDED;
    if target.relation.name == EXCLUDED || alias.as_ref().is_some_and(is_excluded) {
        let message = format!("table reference \"{EXCLUDED}\" is ambiguous");
        return Err(SqlError::new(sqlstate::AMBIGUOUS_ALIAS, message)
            .with_hint("ON CONFLICT calls the row by this name that was proposed."));
    }
    let updates = match &on.action {
        ast::OnConflictAction::DoNothing => None,
        ast::OnConflictAction::DoUpdate(update) => {
            of_one_row(update, "ON CONFLICT DO UPDATE")?;
            Some(update)
        }
    };
    let key = conflict_key(&target, on.conflict_target.as_ref(), updates.is_some())?;
    let base = of_statement(catalog, ast::Statement::Insert(insert.clone()), types)?;
    let Some(key) = key else {
        return Ok(base);
    };
    let with_excluded = with_relation(catalog, EXCLUDED, &target.relation.schema);
    let excluded = |at: &usize| {
        let name = target.relation.schema.field(*at).name();
        format!("{EXCLUDED}.{}", quoted_part(name))
    };
    let same: Vec<String> = key
        .iter()
        .map(|at| format!("{} = {}", target.column(*at), excluded(at)))
        .collect();
    let same = same.join(" AND ");
    let all: Vec<usize> = (0..target.relation.schema.fields().len()).collect();
    let proposed: Vec<String> = all.iter().map(excluded).collect();
    let table = &target.from;
    let inserted = format!(
        "SELECT {} FROM {EXCLUDED} WHERE NOT EXISTS (SELECT 1 FROM {table} WHERE {same})",
        list(&proposed)
    );
    let mut logicals = vec![logical(&with_excluded, &inserted, types)?];
    if let Some(update) = updates {
        let matches = condition(update.selection.as_ref());
        for columns in [target.columns(), target.assigned(&update.assignments)?] {
            let named = columns.iter().enumerate();
            let named: Vec<String> = named
                .map(|(at, value)| format!("{value} AS c{at}"))
                .collect();
            let text = format!(
                "SELECT {} FROM {table} JOIN {EXCLUDED} ON {same} WHERE {matches}",
                list(&named)
            );
            logicals.push(logical(&with_excluded, &text, types)?);
        }
    }
    let known: Vec<Option<FieldRef>> = all_of(&base.parameters);
    let parameters = parameters(&logicals.iter().collect::<Vec<_>>(), &known)?;
    let types = all_of(&parameters);
    let plans = logicals.into_iter().map(|logical| {
        let logical = target.cast(engine::analyze(logical)?)?;
        planned(engine::analyze(logical)?, &types)
    });
    let mut plans = plans.collect::<Result<Vec<_>, SqlError>>()?.into_iter();
    let no_query = || SqlError::new(sqlstate::INTERNAL_ERROR, "there is a query");
    let inserted = plans.next().ok_or_else(no_query)?;
    let base = of_statement(catalog, ast::Statement::Insert(insert), &types)?;
    Ok(PlannedChange {
        conflict: Some(PlannedConflict {
            key,
            inserted,
            updated: plans.next().zip(plans.next()),
        }),
        parameters,
        ..base
    })
}

/// The columns by which a proposed row is told to be there already; `None`: no row ever is.
fn conflict_key(
    target: &Target<'_>,
    named: Option<&ast::ConflictTarget>,
    updates: bool,
) -> Result<Option<Vec<usize>>, SqlError> {
    let key = target.relation.key.clone();
    let schema = &target.relation.schema;
    let is_key = match named {
        None if updates => {
            return Err(SqlError::new(
                sqlstate::SYNTAX_ERROR,
                "ON CONFLICT DO UPDATE requires inference specification or constraint name",
            )
            .with_hint("For example, ON CONFLICT (column_name)."));
        }
        None => true,
        Some(ast::ConflictTarget::Columns(columns)) => {
            let mut places = Vec::with_capacity(columns.len());
            for column in columns {
                let name = ident_name(column);
                places.push(schema.index_of(&name).map_err(|_| {
                    let message = format!("column \"{name}\" does not exist");
                    SqlError::new(sqlstate::UNDEFINED_COLUMN, message)
                })?);
            }
            places.sort_unstable();
            let mut own = key.clone().unwrap_or_default();
            own.sort_unstable();
            !own.is_empty() && own == places
        }
        Some(ast::ConflictTarget::OnConstraint(name)) => {
            key.is_some() && column_name(name) == format!("{}_pkey", target.relation.name)
        }
    };
    if is_key {
        return Ok(key);
    }
    Err(SqlError::new(
        *b"42P10",
        "there is no unique or exclusion constraint matching the ON CONFLICT specification",
    ))
}

/// The catalog with rows of a statement as a table.
pub fn with_relation(catalog: &Catalog, name: &str, schema: &SchemaRef) -> Catalog {
    let mut catalog = catalog.clone();
    catalog.insert(Relation::new(name, RelationKind::Table, schema.clone()));
    catalog
}
