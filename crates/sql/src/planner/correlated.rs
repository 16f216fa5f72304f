//! Subqueries that ask for columns of the query around them, as joins: `(SELECT count(*) FROM u WHERE u.a > t.a)`.
//!
//! Such a subquery has an answer for each of the values that it is asked with. Those, `SELECT DISTINCT a FROM t`, are its
//! *domain*: they are joined in where the outer columns are asked for, and every operator above keeps them apart, so that one
//! plan gives all answers beside their values. With these the outer rows are joined then (Neumann and Kemper, "Unnesting
//! Arbitrary Queries", BTW 2015).
//!
//! # Cost
//! Where each outer column stands in an equation with the subquery's own, as in `WHERE u.a = t.a`, the other side stands for
//! the domain: neither it nor a join with it is kept. Else the domain is state by its values, and rows of the subquery by
//! what they match.
//!
//! # Instead of
//! The engine's rules for the same, which know equations only, take the nulls of other rows for the subquery's own in NOT IN,
//! and forget that an aggregate has a row where nothing matches. EXISTS, IN and lateral joins over plain conditions
//! ([`is_plain`]) need no domain: the conditions are the join's.

mod domain;
mod pushed;

use std::{collections::BTreeSet, sync::Arc};

use datafusion_common::{
    Column, DFSchema, DataFusionError, TableReference,
    tree_node::{Transformed, TreeNode},
};
use datafusion_expr::{
    Expr, Join, JoinType, LogicalPlan, LogicalPlanBuilder, Subquery,
    expr::{Exists, InSubquery},
    expr_rewriter::NamePreserver,
    lit,
    utils::{conjunction, split_conjunction_owned},
    when,
};

pub use self::domain::free;
use self::{
    domain::{Domain, asked_of},
    pushed::Pushed,
};
use crate::{
    backend::SqlError,
    error::{raise, sqlstate},
};

/// See the module head.
pub fn unnested(logical: LogicalPlan) -> Result<LogicalPlan, SqlError> {
    Ok(Unnesting { names: 0 }.plan(logical)?)
}

/// One plan's rewriting.
struct Unnesting {
    /// That were given.
    names: usize,
}

/// What columns are to be called.
type Names = Vec<(Option<TableReference>, String)>;

/// Subqueries of a node that are columns of its input by now.
type Joined = Vec<(Subquery, Expr)>;

impl Unnesting {
    fn plan(&mut self, node: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
        if let LogicalPlan::Join(join) = &node
            && let Some((subquery, alias)) = lateral_side(&join.right)
        {
            return self.lateral(join, subquery, alias);
        }
        let node = node.map_children(|input| self.plan(input).map(Transformed::yes))?;
        // Before they stand somewhere below; what asks for something has its turn when it is joined.
        let node = node.data.map_subqueries(|part| match part {
            LogicalPlan::Subquery(subquery) if free(&subquery.subquery).is_empty() => {
                let plan = self.plan(subquery.subquery.as_ref().clone())?;
                let subquery = subquery.with_plan(Arc::new(plan));
                Ok(Transformed::yes(LogicalPlan::Subquery(subquery)))
            }
            LogicalPlan::Subquery(subquery) if is_plain(&subquery.subquery) => {
                let plan = self.plain(subquery.subquery.as_ref().clone())?;
                let subquery = subquery.with_plan(Arc::new(plan));
                Ok(Transformed::yes(LogicalPlan::Subquery(subquery)))
            }
            other => Ok(Transformed::no(other)),
        })?;
        self.expressions(node.data)
    }

    /// What the plain conditions of [`is_plain`] stand over.
    fn plain(&mut self, plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
        if free(&plan).is_empty() {
            return self.plan(plan);
        }
        let done = plan.map_children(|input| self.plain(input).map(Transformed::yes))?;
        Ok(done.data)
    }

    /// A name that no statement can have.
    fn name(&mut self) -> TableReference {
        self.names += 1;
        TableReference::bare(format!("\u{1}correlated_{}", self.names))
    }

    fn expressions(&mut self, node: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
        match node {
            LogicalPlan::Filter(filter) => {
                let mut input = filter.input.as_ref().clone();
                let mut joined = Joined::new();
                let mut kept = Vec::new();
                for condition in split_conjunction_owned(filter.predicate) {
                    if let Some(matched) = self.matched(&condition, &input)? {
                        input = matched;
                    } else {
                        kept.push(self.values(condition, &mut input, &mut joined)?);
                    }
                }
                if let Some(condition) = conjunction(kept) {
                    input = LogicalPlanBuilder::from(input).filter(condition)?.build()?;
                }
                shown(input, filter.input.schema())
            }
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::Projection(_)
            | LogicalPlan::Aggregate(_)
            | LogicalPlan::Window(_)
            | LogicalPlan::Sort(_) => {
                let wanted = node.schema().clone();
                let names = NamePreserver::new(&node);
                let mut input = node.inputs()[0].clone();
                let mut joined = Joined::new();
                let expressions = node
                    .expressions()
                    .into_iter()
                    .map(|expression| {
                        let name = names.save(&expression);
                        let done = self.values(expression, &mut input, &mut joined)?;
                        Ok(name.restore(done))
                    })
                    .collect::<Result<Vec<_>, DataFusionError>>()?;
                if joined.is_empty() {
                    return Ok(node);
                }
                shown(node.with_new_exprs(expressions, vec![input])?, &wanted)
            }
            other => Ok(other),
        }
    }

    /// Conditions of ON are computed on the side whose columns they ask for.
    fn join(&mut self, join: Join) -> Result<LogicalPlan, DataFusionError> {
        let Some(filter) = join.filter.clone() else {
            return Ok(LogicalPlan::Join(join));
        };
        let mut sides = [join.left.as_ref().clone(), join.right.as_ref().clone()];
        let mut joined = Joined::new();
        let mut outside = Vec::new();
        let mut inside = Vec::new();
        for condition in split_conjunction_owned(filter) {
            let asked = asked_by(&condition);
            let side = sides
                .iter_mut()
                .find(|side| asked.iter().all(|column| side.schema().has_column(column)));
            match side {
                Some(side) => inside.push(self.columns_for(condition, side, &mut joined, true)?),
                None if join.join_type == JoinType::Inner => outside.push(condition),
                None => {
                    let message = "a subquery in ON that asks for both sides of an outer join is not supported";
                    return Err(raise(sqlstate::FEATURE_NOT_SUPPORTED, message));
                }
            }
        }
        if joined.is_empty() && outside.is_empty() {
            return Ok(LogicalPlan::Join(join));
        }
        let wanted = join.schema.clone();
        let [left, right] = sides.map(Arc::new);
        let join = Join::try_new(
            left,
            right,
            join.on,
            conjunction(inside),
            join.join_type,
            join.join_constraint,
            join.null_equality,
            join.null_aware,
        )?;
        let mut plan = LogicalPlan::Join(join);
        for condition in outside {
            let condition = self.values(condition, &mut plan, &mut joined)?;
            plan = LogicalPlanBuilder::from(plan).filter(condition)?.build()?;
        }
        shown(plan, &wanted)
    }

    /// The rows of which a condition that is nothing but EXISTS or IN is true.
    fn matched(
        &mut self,
        condition: &Expr,
        input: &LogicalPlan,
    ) -> Result<Option<LogicalPlan>, DataFusionError> {
        let (subquery, negated, compared) = match condition {
            Expr::Exists(Exists { subquery, negated }) => (subquery, *negated, None),
            Expr::InSubquery(InSubquery {
                expr,
                subquery,
                negated: false,
            }) => (subquery, false, Some(expr.as_ref().clone())),
            _ => return Ok(None),
        };
        let asked = asked_of(subquery, input.schema())?;
        if asked.is_empty() {
            return Ok(None);
        }
        let (right, mut on) = match is_plain(&subquery.subquery) {
            true => {
                let name = Some(self.name());
                let own = 0..subquery.subquery.schema().fields().len();
                let names = own.map(|at| (name.clone(), format!("value_{at}")));
                self.pulled_side(&subquery.subquery, names.collect(), &asked)?
            }
            false => {
                let domain = Domain::new(input, asked);
                let pushed = self.settled(&subquery.subquery, &domain)?;
                let name = self.name();
                let (right, places) = self.named(pushed.plan.clone(), &pushed.domain, &name)?;
                (right, pushed.equal(&domain.outer_columns(), &places))
            }
        };
        if let Some(compared) = compared {
            let value = Expr::Column(Column::from(right.schema().qualified_field(0)));
            on.push(compared.eq(value));
        }
        let kind = match negated {
            true => JoinType::LeftAnti,
            false => JoinType::LeftSemi,
        };
        LogicalPlanBuilder::from(input.clone())
            .join_on(right, kind, on)?
            .build()
            .map(Some)
    }

    /// With a column of the input for each subquery that asks for the input's columns.
    fn values(
        &mut self,
        expression: Expr,
        input: &mut LogicalPlan,
        joined: &mut Joined,
    ) -> Result<Expr, DataFusionError> {
        self.columns_for(expression, input, joined, false)
    }

    /// In ON the engine knows none of them.
    fn columns_for(
        &mut self,
        expression: Expr,
        input: &mut LogicalPlan,
        joined: &mut Joined,
        also_plain: bool,
    ) -> Result<Expr, DataFusionError> {
        let done = expression.transform_up(|part| {
            let Expr::ScalarSubquery(subquery) = &part else {
                return Ok(Transformed::no(part));
            };
            if let Some((_, value)) = joined.iter().find(|(known, _)| known == subquery) {
                return Ok(Transformed::yes(value.clone()));
            }
            let asked = asked_of(subquery, input.schema())?;
            if asked.is_empty() && !also_plain {
                return Ok(Transformed::no(part));
            }
            let value = self.value(subquery, asked, input)?;
            joined.push((subquery.clone(), value.clone()));
            Ok(Transformed::yes(value))
        })?;
        Ok(done.data)
    }

    /// The subquery has a row at most. What it computes of that one last is computed beside the outer row, so that it fails
    /// only where it is asked.
    fn value(
        &mut self,
        subquery: &Subquery,
        asked: Vec<Column>,
        input: &mut LogicalPlan,
    ) -> Result<Expr, DataFusionError> {
        let domain = Domain::new(input, asked);
        let (rows, last) = match subquery.subquery.as_ref() {
            LogicalPlan::Projection(last) if domain::subqueries_of(&last.expr[0]).is_empty() => {
                (last.input.as_ref(), last.expr[0].clone().unalias())
            }
            rows => (rows, Expr::Column(rows.schema().columns().swap_remove(0))),
        };
        let pushed = self.push(rows, &domain)?;
        let outer = domain.outer_columns();
        let name = self.name();
        let (right, places) = self.named(pushed.plan.clone(), &pushed.domain, &name)?;
        let own = rows.schema().columns();
        let is_there = Expr::Column(Column::new(Some(name), THERE));
        let values = own.iter().enumerate().map(|(at, column)| {
            let place = own_place(&pushed, column, &right)?;
            let absent = match &pushed.absent {
                Some(values) => domain::substituted(values[at].clone(), &pushed.domain, &outer)?,
                None => return Ok(place),
            };
            match is_null(&absent) {
                true => Ok(place),
                false => when(is_there.clone().is_null(), absent).otherwise(place),
            }
        });
        let values = values.collect::<Result<Vec<_>, DataFusionError>>()?;
        let mut on = pushed.equal(&outer, &places);
        if on.is_empty() {
            on.push(lit(true));
        }
        *input = LogicalPlanBuilder::from(input.clone())
            .join_on(right, JoinType::Left, on)?
            .build()?;
        let last = domain::substituted(last, &own, &values)?;
        domain::answered(last, &domain.asked, &domain.asked)
    }

    /// A subquery's rows beside their domain's values, under names of their own: the columns, a mark that they are there,
    /// the values.
    fn named(
        &mut self,
        plan: LogicalPlan,
        domain: &[Column],
        name: &TableReference,
    ) -> Result<(LogicalPlan, Vec<Expr>), DataFusionError> {
        let plan = self.plan(plan)?;
        let is_domain = |column: &Column| domain.contains(column);
        let own = plan.schema().columns().into_iter();
        let own = own.filter(|column| !is_domain(column)).enumerate();
        let mut columns: Vec<Expr> = own
            .map(|(at, column)| Expr::Column(column).alias(format!("value_{at}")))
            .collect();
        columns.push(lit(true).alias(THERE));
        let asked = domain.iter().enumerate();
        columns.extend(asked.map(|(at, column)| {
            let column = Expr::Column(column.clone());
            column.alias(domain::name_of(at))
        }));
        let plan = LogicalPlanBuilder::from(plan)
            .project(columns)?
            .alias(name.clone())?
            .build()?;
        Ok((plan, domain::columns(name, domain.len())))
    }

    /// The rows that plain conditions stand over, and these conditions on them and on the rows left of them.
    fn pulled_side(
        &mut self,
        subquery: &LogicalPlan,
        names: Names,
        asked: &[Column],
    ) -> Result<(LogicalPlan, Vec<Expr>), DataFusionError> {
        let rows = self.plain(subquery.clone())?;
        let (rows, conditions) = self.pulled(&rows)?;
        let name = self.name();
        let all = rows.schema().columns();
        let behind = all.iter().skip(names.len()).enumerate();
        let behind = behind.map(|(at, column)| {
            let column = Expr::Column(column.clone());
            column.alias_qualified(Some(name.clone()), domain::name_of(at))
        });
        let behind: Vec<Expr> = behind.collect();
        let right = renamed(rows, names, &behind)?;
        let places = right.schema().columns().into_iter().map(Expr::Column);
        let places: Vec<Expr> = places.collect();
        let conditions = conditions.into_iter().map(|condition| {
            let condition = domain::substituted(condition, &all, &places)?;
            domain::answered(condition, asked, asked)
        });
        let conditions = conditions.collect::<Result<Vec<_>, DataFusionError>>()?;
        Ok((right, conditions))
    }

    /// A plain subquery without its conditions that ask for something: behind its columns those that they need besides.
    fn pulled(&mut self, plan: &LogicalPlan) -> Result<(LogicalPlan, Vec<Expr>), DataFusionError> {
        match plan {
            LogicalPlan::Filter(filter) => {
                let (input, mut conditions) = self.pulled(&filter.input)?;
                let all = split_conjunction_owned(filter.predicate.clone());
                let (asking, own) = all.into_iter().partition(Expr::contains_outer);
                conditions.extend::<Vec<Expr>>(asking);
                Ok((pushed::filtered(input, own)?, conditions))
            }
            LogicalPlan::Projection(projection) => {
                let (input, conditions) = self.pulled(&projection.input)?;
                let needed = conditions.iter().flat_map(Expr::column_refs).cloned();
                let needed: Vec<Column> = needed.collect::<BTreeSet<_>>().into_iter().collect();
                let name = self.name();
                let hidden = domain::columns(&name, needed.len());
                let mut columns = projection.expr.clone();
                columns.extend(needed.iter().enumerate().map(|(at, column)| {
                    let column = Expr::Column(column.clone());
                    column.alias_qualified(Some(name.clone()), domain::name_of(at))
                }));
                let plan = LogicalPlanBuilder::from(input).project(columns)?.build()?;
                let conditions = conditions.into_iter();
                let conditions = conditions.map(|one| domain::substituted(one, &needed, &hidden));
                Ok((plan, conditions.collect::<Result<_, _>>()?))
            }
            other => Ok((other.clone(), Vec::new())),
        }
    }

    fn lateral(
        &mut self,
        join: &Join,
        subquery: &Subquery,
        alias: Option<&TableReference>,
    ) -> Result<LogicalPlan, DataFusionError> {
        let left = self.plan(join.left.as_ref().clone())?;
        let asked = asked_of(subquery, left.schema())?;
        if asked.is_empty() {
            let right = LogicalPlanBuilder::from(subquery.subquery.as_ref().clone());
            let right = match alias {
                Some(alias) => right.alias(alias.clone())?.build()?,
                None => right.build()?,
            };
            let right = self.plan(right)?;
            return self.join(with_sides(join, left, right)?);
        }
        let names = join.right.schema().iter();
        let names = names.map(|(qualifier, field)| (qualifier.cloned(), field.name().clone()));
        let names = names.collect();
        let (right, mut on) = match is_plain(&subquery.subquery) {
            true => self.pulled_side(&subquery.subquery, names, &asked)?,
            false => {
                let domain = Domain::new(&left, asked);
                let pushed = self.settled(&subquery.subquery, &domain)?;
                let name = self.name();
                let (right, places) = self.named(pushed.plan.clone(), &pushed.domain, &name)?;
                let right = renamed(right, names, &places)?;
                (right, pushed.equal(&domain.outer_columns(), &places))
            }
        };
        let keys = join.on.iter().cloned();
        on.extend(keys.map(|(left, right)| left.eq(right)));
        on.extend(join.filter.clone());
        let joined = LogicalPlanBuilder::from(left)
            .join_on(right, join.join_type, on)?
            .build()?;
        let joined = self.expressions(joined)?;
        shown(joined, &join.schema)
    }
}

/// The mark's name.
const THERE: &str = "there";

fn with_sides(join: &Join, left: LogicalPlan, right: LogicalPlan) -> Result<Join, DataFusionError> {
    Join::try_new(
        Arc::new(left),
        Arc::new(right),
        join.on.clone(),
        join.filter.clone(),
        join.join_type,
        join.join_constraint,
        join.null_equality,
        join.null_aware,
    )
}

/// The columns of a schema only, which the plan has among others.
fn shown(plan: LogicalPlan, wanted: &DFSchema) -> Result<LogicalPlan, DataFusionError> {
    let columns = wanted.columns();
    if plan.schema().columns() == columns {
        return Ok(plan);
    }
    let columns = columns.into_iter().map(Expr::Column);
    LogicalPlanBuilder::from(plan)
        .project(columns.collect::<Vec<_>>())?
        .build()
}

/// The first columns under other names, and more behind them.
fn renamed(
    plan: LogicalPlan,
    names: Names,
    behind: &[Expr],
) -> Result<LogicalPlan, DataFusionError> {
    let shown = names.into_iter().zip(plan.schema().columns());
    let shown = shown
        .map(|((qualifier, name), column)| Expr::Column(column).alias_qualified(qualifier, name));
    let all: Vec<Expr> = shown.chain(behind.iter().cloned()).collect();
    LogicalPlanBuilder::from(plan).project(all)?.build()
}

/// What stands right of a lateral join, and the name it is given.
fn lateral_side(right: &LogicalPlan) -> Option<(&Subquery, Option<&TableReference>)> {
    match right {
        LogicalPlan::Subquery(subquery) => Some((subquery, None)),
        LogicalPlan::SubqueryAlias(named) => match named.input.as_ref() {
            LogicalPlan::Subquery(subquery) => Some((subquery, Some(&named.alias))),
            _ => None,
        },
        _ => None,
    }
}

/// Where a column of a subquery stands among those that [`Unnesting::named`] gives.
fn own_place(
    pushed: &Pushed,
    column: &Column,
    named: &LogicalPlan,
) -> Result<Expr, DataFusionError> {
    let all = pushed.plan.schema().columns();
    let mut own = all.iter().filter(|one| !pushed.domain.contains(one));
    let at = own.position(|one| one == column);
    let at = at.ok_or_else(|| DataFusionError::Internal(format!("{column} is not there")))?;
    Ok(Expr::Column(Column::from(
        named.schema().qualified_field(at),
    )))
}

/// Conditions on rows that ask for nothing: they are the join's.
fn is_plain(plan: &LogicalPlan) -> bool {
    if free(plan).is_empty() {
        return true;
    }
    let is_own = plan
        .expressions()
        .iter()
        .all(|expression| domain::subqueries_of(expression).is_empty());
    match plan {
        LogicalPlan::Projection(projection) => {
            let asks = projection.expr.iter().any(Expr::contains_outer);
            is_own && !asks && is_plain(&projection.input)
        }
        LogicalPlan::Filter(filter) => is_own && is_plain(&filter.input),
        _ => false,
    }
}

/// What the subqueries of a condition ask for.
fn asked_by(condition: &Expr) -> Vec<Column> {
    let subqueries = domain::subqueries_of(condition);
    let mut asked = Vec::new();
    for subquery in &subqueries {
        asked.extend(free(&subquery.subquery));
    }
    asked
}

fn is_null(value: &Expr) -> bool {
    match value {
        Expr::Literal(value, _) => value.is_null(),
        Expr::Alias(alias) => is_null(&alias.expr),
        _ => false,
    }
}
