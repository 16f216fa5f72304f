//! `FULL JOIN … USING (id)`: one column of two, which neither side has in every row.
//!
//! The engine's planner takes the left side's. So where FROM has a right or full join with USING or NATURAL, its joins say ON,
//! and what names a merged column alone names it as Postgres has it: the left side's, the right side's of RIGHT, the first of
//! both that is there of FULL. `*` shows merged columns first.

use std::{collections::BTreeSet, ops::ControlFlow};

use datafusion_common::TableReference;
use datafusion_sql::sqlparser::ast::{
    self, Expr, Ident, JoinConstraint, JoinOperator, ObjectName, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, TableFactor, TableWithJoins, VisitMut, VisitorMut,
};

use super::{
    context,
    names::{ident_name, repeated},
    spelling::called,
};
use crate::{backend::SqlError, catalog::Catalog, error::sqlstate};

/// See the module head.
pub fn spell_out(catalog: &Catalog, statement: &mut ast::Statement) -> Result<(), SqlError> {
    let mut named = Named(BTreeSet::new());
    let flow = ast::Visit::visit(statement, &mut named);
    debug_assert!(flow.is_continue());
    let named = named.0;
    match statement.visit(&mut Speller { catalog, named }) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// Queries in WITH.
struct Named(BTreeSet<String>);

impl ast::Visitor for Named {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let tables = query.with.iter().flat_map(|with| &with.cte_tables);
        self.0
            .extend(tables.map(|table| ident_name(&table.alias.name)));
        ControlFlow::Continue(())
    }
}

struct Speller<'c> {
    catalog: &'c Catalog,
    /// Names that stand for queries, if not everywhere.
    named: BTreeSet<String>,
}

impl VisitorMut for Speller<'_> {
    type Break = SqlError;

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
        let spelled = match query.body.as_mut() {
            SetExpr::Select(select) => self.select(select, query.order_by.as_mut()),
            body => self.body(body),
        };
        match spelled {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

impl Speller<'_> {
    fn body(&self, body: &mut SetExpr) -> Result<(), SqlError> {
        match body {
            SetExpr::Select(select) => self.select(select, None),
            SetExpr::SetOperation { left, right, .. } => {
                self.body(left)?;
                self.body(right)
            }
            _ => Ok(()),
        }
    }

    fn select(
        &self,
        select: &mut Select,
        order: Option<&mut ast::OrderBy>,
    ) -> Result<(), SqlError> {
        let shows_all = select
            .projection
            .iter()
            .any(|item| matches!(item, SelectItem::Wildcard(_)));
        if !select.from.iter().any(|from| has_merged(from, shows_all)) {
            return Ok(());
        }
        let scopes = select.from.iter_mut().map(|from| self.scope(from));
        let scopes = scopes.collect::<Result<Vec<_>, _>>()?;
        let shown: Vec<SelectItem> = scopes
            .iter()
            .flat_map(|scope| scope.shown(&scopes))
            .collect();
        let mut all = Scope::default();
        for scope in scopes {
            all.merged.extend(scope.merged);
            all.relations.extend(scope.relations);
        }
        let mut items = Vec::new();
        for item in std::mem::take(&mut select.projection) {
            match item {
                SelectItem::Wildcard(options) if options.opt_exclude.is_none() => {
                    items.extend(shown.iter().cloned());
                }
                SelectItem::UnnamedExpr(Expr::Identifier(name)) if all.has(&name) => {
                    let expr = all.column(&name).unwrap_or(Expr::Identifier(name.clone()));
                    items.push(SelectItem::ExprWithAlias { expr, alias: name });
                }
                mut other => {
                    all.replace(&mut other);
                    items.push(other);
                }
            }
        }
        select.projection = items;
        all.replace(&mut select.selection);
        all.replace(&mut select.group_by);
        all.replace(&mut select.having);
        if let Some(order) = order {
            // Columns of the answer come first there.
            let shown = select.projection.iter().filter_map(|item| match item {
                SelectItem::ExprWithAlias { alias, .. } => Some(ident_name(alias)),
                _ => None,
            });
            let shown: Vec<String> = shown.collect();
            all.merged.retain(|merged| !shown.contains(&merged.name));
            all.replace(order);
        }
        Ok(())
    }

    fn scope(&self, from: &mut TableWithJoins) -> Result<Scope, SqlError> {
        let mut scope = Scope::default();
        scope.relations.push(self.relation(&from.relation)?);
        for join in &mut from.joins {
            let right = self.relation(&join.relation)?;
            let kind = side_of(&join.join_operator);
            let Some(constraint) = constraint_of(&mut join.join_operator) else {
                scope.relations.push(right);
                continue;
            };
            let names = match constraint {
                JoinConstraint::Using(names) => names
                    .iter()
                    .filter_map(|name| name.0.last().and_then(ast::ObjectNamePart::as_ident))
                    .map(ident_name)
                    .collect(),
                JoinConstraint::Natural => scope.common(&right)?,
                JoinConstraint::On(condition) => {
                    scope.replace(condition);
                    scope.relations.push(right);
                    continue;
                }
                JoinConstraint::None => {
                    scope.relations.push(right);
                    continue;
                }
            };
            let mut right = right;
            let mut conditions = Vec::new();
            let mut merged = Vec::new();
            for name in names {
                let left = scope.taken(&name)?;
                let own = right.column(&name);
                right.merged.push(name.clone());
                conditions.push(Expr::BinaryOp {
                    left: Box::new(left.clone()),
                    op: ast::BinaryOperator::Eq,
                    right: Box::new(own.clone()),
                });
                let value = match kind {
                    Side::Left => left,
                    Side::Right => own,
                    Side::Both => first_of(left, own),
                };
                merged.push(Merged { name, value });
            }
            let condition = conditions.into_iter().reduce(|left, right| Expr::BinaryOp {
                left: Box::new(left),
                op: ast::BinaryOperator::And,
                right: Box::new(right),
            });
            let always = || Expr::value(ast::Value::Boolean(true));
            *constraint = JoinConstraint::On(condition.unwrap_or_else(always));
            scope.relations.push(right);
            merged.append(&mut scope.merged);
            scope.merged = merged;
        }
        Ok(scope)
    }

    fn relation(&self, factor: &TableFactor) -> Result<Relation, SqlError> {
        let (alias, name) = match factor {
            TableFactor::Table { alias, name, .. } => (alias.as_ref(), Some(name)),
            TableFactor::Derived { alias, .. } | TableFactor::UNNEST { alias, .. } => {
                (alias.as_ref(), None)
            }
            _ => (None, None),
        };
        let last = name.and_then(|name| name.0.last());
        let last = last.and_then(ast::ObjectNamePart::as_ident);
        let called = alias.map(|alias| &alias.name).or(last).cloned();
        let called = called.ok_or_else(|| {
            SqlError::unsupported("USING beside a relation without a name is not supported")
        })?;
        let mut columns = name.and_then(|name| self.columns(name));
        if let Some(alias) = alias.filter(|alias| !alias.columns.is_empty()) {
            let named = alias.columns.iter().map(|column| ident_name(&column.name));
            let rest = columns.into_iter().flatten().skip(alias.columns.len());
            columns = Some(named.chain(rest).collect());
        }
        Ok(Relation {
            called,
            columns,
            merged: Vec::new(),
        })
    }

    /// Unknown of queries in WITH.
    fn columns(&self, name: &ObjectName) -> Option<Vec<String>> {
        let parts = name.0.iter().filter_map(ast::ObjectNamePart::as_ident);
        let parts: Vec<String> = parts.map(ident_name).collect();
        let reference = match parts.as_slice() {
            [table] if self.named.contains(table) => return None,
            [table] => TableReference::bare(table.as_str()),
            [schema, table] => TableReference::partial(schema.as_str(), table.as_str()),
            _ => return None,
        };
        let relation = context::find(self.catalog, &reference)?;
        let fields = relation.schema.fields().iter();
        Some(fields.map(|field| field.name().clone()).collect())
    }
}

/// What FROM has so far.
#[derive(Default)]
struct Scope {
    /// The newest join's first.
    merged: Vec<Merged>,
    relations: Vec<Relation>,
}

struct Merged {
    name: String,
    value: Expr,
}

struct Relation {
    called: Ident,
    /// Where they are known.
    columns: Option<Vec<String>>,
    /// Those of its columns that are merged with others'.
    merged: Vec<String>,
}

impl Relation {
    fn column(&self, name: &str) -> Expr {
        Expr::CompoundIdentifier(vec![self.called.clone(), Ident::with_quote('"', name)])
    }

    fn shown(&self) -> Option<SelectItem> {
        let is_left = |column: &String| !self.merged.contains(column);
        if let Some(columns) = &self.columns
            && !columns.iter().any(is_left)
        {
            return None;
        }
        let names = self.merged.iter();
        let names = names.map(|name| ObjectName::from(vec![Ident::with_quote('"', name)]));
        let names: Vec<ObjectName> = names.collect();
        let options = ast::WildcardAdditionalOptions {
            opt_exclude: (!names.is_empty()).then_some(ast::ExcludeSelectItem::Multiple(names)),
            ..Default::default()
        };
        let kind = SelectItemQualifiedWildcardKind::ObjectName(self.called.clone().into());
        Some(SelectItem::QualifiedWildcard(kind, options))
    }
}

impl Scope {
    fn has(&self, name: &Ident) -> bool {
        self.column(name).is_some()
    }

    fn column(&self, name: &Ident) -> Option<Expr> {
        let name = ident_name(name);
        let found = self.merged.iter().find(|merged| merged.name == name)?;
        Some(found.value.clone())
    }

    /// The one column of that name, which is to be merged with another.
    fn taken(&mut self, name: &str) -> Result<Expr, SqlError> {
        if let Some(at) = self.merged.iter().position(|merged| merged.name == name) {
            return Ok(self.merged.remove(at).value);
        }
        let may_have = |relation: &&mut Relation| {
            let columns = relation.columns.as_ref();
            columns.is_none_or(|columns| columns.iter().any(|column| column == name))
        };
        let mut found = self.relations.iter_mut().filter(may_have);
        match (found.next(), found.next()) {
            (Some(relation), None) => {
                relation.merged.push(name.to_owned());
                Ok(relation.column(name))
            }
            (None, _) => {
                let message = format!(
                    "column \"{name}\" specified in USING clause does not exist in left table"
                );
                Err(SqlError::new(sqlstate::UNDEFINED_COLUMN, message))
            }
            (Some(_), Some(_)) => {
                let message =
                    format!("common column name \"{name}\" appears more than once in left table");
                Err(SqlError::new(sqlstate::AMBIGUOUS_COLUMN, message))
            }
        }
    }

    /// What NATURAL joins by.
    fn common(&self, right: &Relation) -> Result<Vec<String>, SqlError> {
        let mut left: Vec<String> = self.merged.iter().map(|one| one.name.clone()).collect();
        for relation in &self.relations {
            let own = relation.columns.as_ref().ok_or_else(unknown)?;
            let own = own.iter().filter(|name| !relation.merged.contains(name));
            left.extend(own.cloned());
        }
        let own = right.columns.as_ref().ok_or_else(unknown)?;
        left.retain(|name| own.contains(name));
        Ok(left)
    }

    /// What `*` is of it, beside others.
    fn shown(&self, all: &[Self]) -> Vec<SelectItem> {
        let merged = self.merged.iter().map(|merged| {
            let mut relations = all.iter().flat_map(|scope| &scope.relations);
            let is_repeated = relations.any(|relation| {
                let has = |columns: &Vec<String>| columns.contains(&merged.name);
                !relation.merged.contains(&merged.name)
                    && relation.columns.as_ref().is_some_and(has)
            });
            let name = match is_repeated {
                true => repeated(&merged.name),
                false => merged.name.clone(),
            };
            SelectItem::ExprWithAlias {
                expr: merged.value.clone(),
                alias: Ident::with_quote('"', name),
            }
        });
        let rest = self.relations.iter().filter_map(Relation::shown);
        merged.chain(rest).collect()
    }

    fn replace(&self, part: &mut impl VisitMut) {
        let flow = part.visit(&mut Replacer {
            scope: self,
            queries: 0,
        });
        debug_assert!(flow.is_continue());
    }
}

fn unknown() -> SqlError {
    SqlError::unsupported("NATURAL beside a query is not supported where a join is RIGHT or FULL")
        .with_hint("Name the columns by USING (…).")
}

/// Puts values in the place of names; queries within have names of their own.
struct Replacer<'s> {
    scope: &'s Scope,
    queries: usize,
}

impl VisitorMut for Replacer<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<()> {
        if self.queries == 0
            && let Expr::Identifier(name) = expression
            && let Some(value) = self.scope.column(name)
        {
            *expression = value;
        }
        ControlFlow::Continue(())
    }
}

enum Side {
    Left,
    Right,
    Both,
}

fn side_of(operator: &JoinOperator) -> Side {
    match operator {
        JoinOperator::Right(_) | JoinOperator::RightOuter(_) => Side::Right,
        JoinOperator::FullOuter(_) => Side::Both,
        _ => Side::Left,
    }
}

/// Whether the engine would give other columns than Postgres, or show them in another order.
fn has_merged(from: &TableWithJoins, shows_all: bool) -> bool {
    from.joins.iter().any(|join| match &join.join_operator {
        JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint) => {
            matches!(
                constraint,
                JoinConstraint::Using(_) | JoinConstraint::Natural
            )
        }
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint) => {
            shows_all && matches!(constraint, JoinConstraint::Using(_))
        }
        _ => false,
    })
}

fn constraint_of(operator: &mut JoinOperator) -> Option<&mut JoinConstraint> {
    match operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint) => Some(constraint),
        _ => None,
    }
}

fn first_of(left: Expr, right: Expr) -> Expr {
    let arguments = [left, right];
    let arguments = arguments.map(|one| ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(one)));
    let name = ObjectName::from(vec![Ident::new("coalesce")]);
    Expr::Function(called(name, arguments.to_vec()))
}
