//! A subquery's plan for all values of its domain at once.

use std::sync::Arc;

use datafusion_common::{Column, DataFusionError, ScalarValue, TableReference};
use datafusion_expr::{
    Aggregate, BinaryExpr, Distinct, Expr, ExprFunctionExt, Extension, FetchType, Filter, Join,
    JoinType, Limit, LogicalPlan, LogicalPlanBuilder, Operator, SkipType, SortExpr, Union, Window,
    WindowFunctionDefinition,
    expr::WindowFunction,
    expr_rewriter::NamePreserver,
    lit,
    utils::{conjunction, split_conjunction_owned},
    when,
};

use super::{
    THERE, Unnesting,
    domain::{self, Domain, answered, free, redirected, substituted},
    is_null,
};
use crate::{
    error::{raise, sqlstate},
    functions,
    planner::semantics::SetCount,
};

/// Rows of a subquery, each beside the values of the domain that it is the answer to.
#[derive(Clone)]
pub struct Pushed {
    /// Its columns are the subquery's and those of the domain.
    pub plan: LogicalPlan,
    /// The domain's columns, in its order.
    pub domain: Vec<Column>,
    /// The one row, by column, of members of the domain that have none in the plan.
    pub absent: Option<Vec<Expr>>,
    /// No null was asked with: rows beside nulls, if there are, answer nothing.
    is_strict: bool,
}

impl Pushed {
    /// Conditions under which rows belong together that have these values, and the domain's at these places.
    pub fn equal(&self, values: &[Expr], places: &[Expr]) -> Vec<Expr> {
        let pairs = values.iter().zip(places);
        pairs
            .map(|(value, place)| same(value.clone(), place.clone(), self.is_strict))
            .collect()
    }

    fn columns(&self) -> Vec<Expr> {
        self.domain.iter().cloned().map(Expr::Column).collect()
    }

    fn with(self, plan: LogicalPlan) -> Self {
        Self { plan, ..self }
    }
}

fn same(left: Expr, right: Expr, is_strict: bool) -> Expr {
    let operator = match is_strict {
        true => Operator::Eq,
        false => Operator::IsNotDistinctFrom,
    };
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), operator, Box::new(right)))
}

fn unsupported(what: &str) -> DataFusionError {
    let message = format!("{what} in a subquery that refers to its outer query is not supported");
    raise(sqlstate::FEATURE_NOT_SUPPORTED, message)
}

impl Unnesting {
    /// Every member of the domain has its rows in the plan.
    pub fn settled(
        &mut self,
        plan: &LogicalPlan,
        domain: &Domain,
    ) -> Result<Pushed, DataFusionError> {
        let pushed = self.push(plan, domain)?;
        let Some(absent) = pushed.absent.clone() else {
            return Ok(pushed);
        };
        let name = self.name();
        let all = domain.rows(&name)?;
        let places = domain::columns(&name, domain.asked.len());
        let there = Column::new(Some(self.name()), THERE);
        let own = plan.schema().columns();
        let mut columns: Vec<Expr> = own.iter().cloned().map(Expr::Column).collect();
        columns.extend(pushed.columns());
        columns.push(lit(true).alias_qualified(there.relation.clone(), THERE));
        let rows = LogicalPlanBuilder::from(pushed.plan.clone())
            .project(columns)?
            .build()?;
        let on = pushed.equal(&places, &pushed.columns());
        let shown = plan.schema().iter().zip(own).zip(absent);
        let mut shown = shown
            .map(|(((qualifier, field), column), absent)| {
                let absent = substituted(absent, &pushed.domain, &places)?;
                let value = Expr::Column(column);
                if is_null(&absent) {
                    return Ok(value);
                }
                let value = when(Expr::Column(there.clone()).is_null(), absent).otherwise(value)?;
                Ok(value.alias_qualified(qualifier.cloned(), field.name()))
            })
            .collect::<Result<Vec<_>, DataFusionError>>()?;
        shown.extend(places);
        let plan = LogicalPlanBuilder::from(all)
            .join_on(rows, JoinType::Left, on)?
            .project(shown)?
            .build()?;
        Ok(Pushed {
            plan,
            domain: columns_of(&name, domain),
            absent: None,
            is_strict: false,
        })
    }

    /// See the module head.
    pub fn push(&mut self, plan: &LogicalPlan, domain: &Domain) -> Result<Pushed, DataFusionError> {
        if free(plan).is_empty() {
            return self.crossed(plan, domain);
        }
        match plan {
            LogicalPlan::Projection(projection) => {
                let inner = self.push(&projection.input, domain)?;
                let expressions = rewritten(plan, &projection.expr, domain, &inner)?;
                let own = projection.input.schema().columns();
                let absent = inner.absent.as_ref().map(|values| {
                    let expressions = expressions.iter().cloned();
                    let expressions = expressions.map(|one| substituted(one, &own, values));
                    expressions.collect::<Result<Vec<_>, _>>()
                });
                let absent = absent.transpose()?;
                let plan = with_domain(inner.plan.clone(), expressions, &inner)?;
                Ok(Pushed {
                    absent,
                    ..inner.with(plan)
                })
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let inner = self.push(&alias.input, domain)?;
                let columns = alias.input.schema().columns().into_iter();
                let columns = columns.zip(alias.schema.iter());
                let columns = columns.map(|(column, (qualifier, field))| {
                    Expr::Column(column).alias_qualified(qualifier.cloned(), field.name())
                });
                let plan = with_domain(inner.plan.clone(), columns.collect(), &inner)?;
                Ok(inner.with(plan))
            }
            LogicalPlan::Filter(filter) => self.filter(filter, domain),
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate, domain),
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let inner = self.settled(input, domain)?;
                let plan = Distinct::All(Arc::new(inner.plan.clone()));
                Ok(inner.with(LogicalPlan::Distinct(plan)))
            }
            LogicalPlan::Window(window) => self.window(window, domain),
            // Order counts for what takes some of the rows only, which asks for it itself.
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => self.push(&sort.input, domain),
            LogicalPlan::Limit(limit) => self.limit(limit, domain),
            LogicalPlan::Join(join) => self.joined(join, domain),
            LogicalPlan::Union(union) => self.union(union, domain),
            LogicalPlan::Unnest(unnest) => {
                let inner = self.settled(&unnest.input, domain)?;
                let plan = LogicalPlanBuilder::from(inner.plan.clone())
                    .unnest_columns_with_options(
                        unnest.exec_columns.clone(),
                        unnest.options.clone(),
                    )?
                    .build()?;
                Ok(inner.with(plan))
            }
            LogicalPlan::Extension(extension) => match extension.node.as_any().downcast_ref() {
                Some(set) => self.set(set, domain),
                None => Err(unsupported("a window or join of this kind")),
            },
            // LATERAL, where nothing stands left of it.
            LogicalPlan::Subquery(first) => self.push(&first.subquery, domain),
            LogicalPlan::Values(_) => Err(unsupported("VALUES")),
            _ => Err(unsupported("this")),
        }
    }

    /// What asks for nothing is there for every member.
    fn crossed(&mut self, plan: &LogicalPlan, domain: &Domain) -> Result<Pushed, DataFusionError> {
        if domain.asked.is_empty() {
            return Ok(Pushed {
                plan: plan.clone(),
                domain: Vec::new(),
                absent: None,
                is_strict: false,
            });
        }
        let name = self.name();
        let rows = domain.rows(&name)?;
        let plan = match plan {
            LogicalPlan::EmptyRelation(one) if one.produce_one_row => rows,
            other => LogicalPlanBuilder::from(other.clone())
                .cross_join(rows)?
                .build()?,
        };
        Ok(Pushed {
            plan,
            domain: columns_of(&name, domain),
            absent: None,
            is_strict: false,
        })
    }

    fn filter(&mut self, filter: &Filter, domain: &Domain) -> Result<Pushed, DataFusionError> {
        let conditions = split_conjunction_owned(filter.predicate.clone());
        if free(&filter.input).is_empty()
            && let Some(keys) = keys_of(&conditions, domain)
        {
            return self.keyed(filter, conditions, &keys, domain);
        }
        let inner = self.settled(&filter.input, domain)?;
        let conditions = answered_all(conditions, domain, &inner.domain)?;
        let plan = filtered(inner.plan.clone(), conditions)?;
        Ok(inner.with(plan))
    }

    /// Rows have the values themselves that they answer: no domain is needed.
    fn keyed(
        &mut self,
        filter: &Filter,
        conditions: Vec<Expr>,
        keys: &[(usize, Expr)],
        domain: &Domain,
    ) -> Result<Pushed, DataFusionError> {
        let name = self.name();
        let is_key = |at: &usize| keys.iter().any(|(place, _)| place == at);
        let rest = conditions.into_iter().enumerate();
        let rest = rest.filter(|(at, _)| !is_key(at)).map(|(_, one)| one);
        let own = filter.input.schema().columns().into_iter();
        let mut columns: Vec<Expr> = own.map(Expr::Column).collect();
        let keys = keys.iter().enumerate();
        columns.extend(keys.map(|(at, (_, key))| {
            key.clone()
                .alias_qualified(Some(name.clone()), domain::name_of(at))
        }));
        let plan = LogicalPlanBuilder::from(filter.input.as_ref().clone())
            .project(columns)?
            .build()?;
        let places = columns_of(&name, domain);
        let rest = answered_all(rest.collect(), domain, &places)?;
        Ok(Pushed {
            plan: filtered(plan, rest)?,
            domain: places,
            absent: None,
            is_strict: true,
        })
    }

    fn aggregate(
        &mut self,
        aggregate: &Aggregate,
        domain: &Domain,
    ) -> Result<Pushed, DataFusionError> {
        let whole = LogicalPlan::Aggregate(aggregate.clone());
        for call in &aggregate.aggr_expr {
            if call.contains_outer() && call.column_refs().is_empty() {
                return Err(unsupported("an aggregate of the outer query's columns"));
            }
        }
        let mut groups = aggregate.group_expr.clone();
        if matches!(groups.as_slice(), [Expr::GroupingSet(_)]) {
            return Err(unsupported("GROUPING SETS"));
        }
        let inner = self.settled(&aggregate.input, domain)?;
        groups = rewritten(&whole, &groups, domain, &inner)?;
        groups.extend(inner.columns());
        let calls = rewritten(&whole, &aggregate.aggr_expr, domain, &inner)?;
        let absent = match aggregate.group_expr.is_empty() {
            true => {
                let values = aggregate.aggr_expr.iter().zip(aggregate.schema.fields());
                let values = values.map(|(call, field)| of_no_rows(call, field.data_type()));
                Some(values.collect::<Result<Vec<_>, _>>()?)
            }
            false => None,
        };
        let plan = Aggregate::try_new(Arc::new(inner.plan.clone()), groups, calls)?;
        Ok(Pushed {
            absent,
            ..inner.with(LogicalPlan::Aggregate(plan))
        })
    }

    fn window(&mut self, window: &Window, domain: &Domain) -> Result<Pushed, DataFusionError> {
        let whole = LogicalPlan::Window(window.clone());
        let inner = self.settled(&window.input, domain)?;
        let names = NamePreserver::new(&whole);
        let calls = window.window_expr.iter().map(|call| {
            let name = names.save(call);
            let done = answered(call.clone(), &domain.asked, &inner.domain)?;
            let done = apart(done, &inner.columns());
            Ok(name.restore(done))
        });
        let calls = calls.collect::<Result<Vec<_>, DataFusionError>>()?;
        let plan = Window::try_new(calls, Arc::new(inner.plan.clone()))?;
        let plan = LogicalPlan::Window(plan);
        let own = whole.schema().columns().into_iter().map(Expr::Column);
        let plan = with_domain(plan, own.collect(), &inner)?;
        Ok(inner.with(plan))
    }

    /// The first rows of each member.
    fn limit(&mut self, limit: &Limit, domain: &Domain) -> Result<Pushed, DataFusionError> {
        let below = |input: &Arc<LogicalPlan>| {
            LogicalPlan::Limit(Limit {
                input: input.clone(),
                ..limit.clone()
            })
        };
        // Each gives a row for a row.
        match limit.input.as_ref() {
            LogicalPlan::Projection(one) => {
                let input = below(&one.input);
                let plan = limit.input.with_new_exprs(one.expr.clone(), vec![input])?;
                return self.push(&plan, domain);
            }
            LogicalPlan::SubqueryAlias(one) => {
                let input = below(&one.input);
                let plan = limit.input.with_new_exprs(Vec::new(), vec![input])?;
                return self.push(&plan, domain);
            }
            _ => {}
        }
        let (SkipType::Literal(skip), FetchType::Literal(fetch)) =
            (limit.get_skip_type()?, limit.get_fetch_type()?)
        else {
            return Err(unsupported("LIMIT by an expression"));
        };
        let (order, input) = match limit.input.as_ref() {
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => (sort.expr.clone(), &sort.input),
            _ => (Vec::new(), &limit.input),
        };
        let inner = self.settled(input, domain)?;
        let order = order.into_iter().map(|key| {
            let expr = answered(key.expr, &domain.asked, &inner.domain)?;
            Ok(SortExpr { expr, ..key })
        });
        let order = order.collect::<Result<Vec<_>, DataFusionError>>()?;
        let number = functions::window("row_number").expect("it is one of ours");
        let number = WindowFunctionDefinition::WindowUDF(number);
        let mut number =
            Expr::from(WindowFunction::new(number, Vec::new())).partition_by(inner.columns());
        if !order.is_empty() {
            number = number.order_by(order);
        }
        let number = number.build()?;
        let place = Column::new_unqualified(self.name().to_string());
        let first = |count: usize| lit(i64::try_from(count).unwrap_or(i64::MAX));
        let is_behind = Expr::Column(place.clone()).gt(first(skip));
        let mut wanted = vec![is_behind];
        if let Some(fetch) = fetch {
            let last = first(skip.saturating_add(fetch));
            wanted.push(Expr::Column(place.clone()).lt_eq(last));
        }
        let plan = LogicalPlanBuilder::from(inner.plan.clone())
            .window(vec![number.alias(&place.name)])?
            .build()?;
        let plan = filtered(plan, wanted)?;
        let own = limit.input.schema().columns().into_iter().map(Expr::Column);
        let plan = with_domain(plan, own.collect(), &inner)?;
        Ok(inner.with(plan))
    }

    fn joined(&mut self, join: &Join, domain: &Domain) -> Result<Pushed, DataFusionError> {
        let left_only = matches!(
            join.join_type,
            JoinType::Inner | JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti
        );
        if let Some((subquery, _)) = super::lateral_side(&join.right) {
            let left = self.settled(&join.left, domain)?;
            // Its left side has the domain's columns now.
            let right = subquery.subquery.as_ref().clone();
            let known = join.left.schema();
            let outer: (Vec<Column>, Vec<Column>) = domain
                .asked
                .iter()
                .zip(&left.domain)
                .filter(|(column, _)| !known.has_column(column))
                .map(|(column, place)| (column.clone(), place.clone()))
                .unzip();
            let right = redirected(right, &outer.0, &outer.1)?;
            let right = LogicalPlan::Subquery(subquery.with_plan(Arc::new(right)));
            let right = match join.right.as_ref() {
                LogicalPlan::SubqueryAlias(_) => {
                    join.right.with_new_exprs(Vec::new(), vec![right])?
                }
                _ => right,
            };
            return of_sides(
                join,
                domain,
                left.clone(),
                left.plan.clone(),
                right,
                Vec::new(),
            );
        }
        if free(&join.right).is_empty() && left_only {
            let left = self.settled(&join.left, domain)?;
            let right = join.right.as_ref().clone();
            return of_sides(
                join,
                domain,
                left.clone(),
                left.plan.clone(),
                right,
                Vec::new(),
            );
        }
        let right_only = matches!(join.join_type, JoinType::Inner | JoinType::Right);
        if free(&join.left).is_empty() && right_only {
            let right = self.settled(&join.right, domain)?;
            let left = join.left.as_ref().clone();
            return of_sides(
                join,
                domain,
                right.clone(),
                left,
                right.plan.clone(),
                Vec::new(),
            );
        }
        let left = self.settled(&join.left, domain)?;
        let right = self.settled(&join.right, domain)?;
        let is_strict = left.is_strict || right.is_strict;
        let pairs = left.columns().into_iter().zip(right.columns());
        let on = pairs.map(|(left, right)| same(left, right, is_strict));
        let on: Vec<Expr> = on.collect();
        let kept = match join.join_type {
            JoinType::Inner | JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti => {
                left.clone()
            }
            JoinType::Right => right.clone(),
            _ => return Err(unsupported("FULL JOIN")),
        };
        of_sides(join, domain, kept, left.plan, right.plan, on)
    }

    fn union(&mut self, union: &Union, domain: &Domain) -> Result<Pushed, DataFusionError> {
        let inputs = union.inputs.iter();
        let inputs = inputs.map(|input| self.settled(input, domain));
        let inputs = inputs.collect::<Result<Vec<_>, DataFusionError>>()?;
        let is_strict = inputs.iter().all(|input| input.is_strict);
        let name = self.name();
        let column = |at: usize| format!("{name}_{at}");
        let sides = inputs.iter().zip(&union.inputs).map(|(inner, input)| {
            let own = input.schema().columns().into_iter().map(Expr::Column);
            let all = own.chain(inner.columns()).enumerate();
            let all = all.map(|(at, one)| one.alias(column(at)));
            // Rows beside nulls would be others' answers.
            let plan = match inner.is_strict && !is_strict {
                true => {
                    let known = inner.columns().into_iter().map(Expr::is_not_null);
                    filtered(inner.plan.clone(), known.collect())?
                }
                false => inner.plan.clone(),
            };
            LogicalPlanBuilder::from(plan)
                .project(all.collect::<Vec<_>>())?
                .build()
                .map(Arc::new)
        });
        let sides = sides.collect::<Result<Vec<_>, DataFusionError>>()?;
        let places = columns_of(&name, domain);
        let own = union.schema.iter();
        let own = own.map(|(qualifier, field)| (qualifier.cloned(), field.name().clone()));
        let asked = places.iter();
        let asked = asked.map(|place| (place.relation.clone(), place.name.clone()));
        let shown = own
            .chain(asked)
            .enumerate()
            .map(|(at, (qualifier, field))| {
                Expr::Column(Column::new_unqualified(column(at))).alias_qualified(qualifier, field)
            });
        let plan = LogicalPlan::Union(Union {
            schema: sides[0].schema().clone(),
            inputs: sides,
        });
        Ok(Pushed {
            plan: LogicalPlanBuilder::from(plan)
                .project(shown.collect::<Vec<_>>())?
                .build()?,
            domain: places,
            absent: None,
            is_strict,
        })
    }

    fn set(&mut self, set: &SetCount, domain: &Domain) -> Result<Pushed, DataFusionError> {
        let mut side = |plan: &LogicalPlan| {
            let inner = self.settled(plan, domain)?;
            let own = plan.schema().columns().into_iter().map(Expr::Column);
            let known = inner.columns().into_iter().map(Expr::is_not_null);
            let plan = with_domain(inner.plan.clone(), own.collect(), &inner)?;
            let plan = match inner.is_strict {
                true => filtered(plan, known.collect())?,
                false => plan,
            };
            Ok::<_, DataFusionError>(inner.with(plan))
        };
        let left = side(&set.left)?;
        let right = side(&set.right)?;
        let node = SetCount {
            left: left.plan.clone(),
            right: right.plan,
            is_intersection: set.is_intersection,
        };
        let plan = LogicalPlan::Extension(Extension {
            node: Arc::new(node),
        });
        Ok(left.with(plan))
    }
}

/// The join with one side or both beside their domain, of which one is kept.
fn of_sides(
    join: &Join,
    domain: &Domain,
    kept: Pushed,
    left: LogicalPlan,
    right: LogicalPlan,
    mut on: Vec<Expr>,
) -> Result<Pushed, DataFusionError> {
    let conditions = join.filter.clone().map(split_conjunction_owned);
    let conditions = conditions.unwrap_or_default();
    on.extend(answered_all(conditions, domain, &kept.domain)?);
    let keys = join.on.iter().map(|(left, right)| {
        let left = answered(left.clone(), &domain.asked, &kept.domain)?;
        let right = answered(right.clone(), &domain.asked, &kept.domain)?;
        Ok((left, right))
    });
    let keys = keys.collect::<Result<Vec<_>, DataFusionError>>()?;
    let plan = Join::try_new(
        Arc::new(left),
        Arc::new(right),
        keys,
        conjunction(on),
        join.join_type,
        join.join_constraint,
        join.null_equality,
        join.null_aware,
    )?;
    let own = join.schema.columns().into_iter().map(Expr::Column);
    let plan = with_domain(LogicalPlan::Join(plan), own.collect(), &kept)?;
    Ok(Pushed {
        absent: None,
        ..kept.with(plan)
    })
}

fn columns_of(name: &TableReference, domain: &Domain) -> Vec<Column> {
    let places = 0..domain.asked.len();
    places
        .map(|at| Column::new(Some(name.clone()), domain::name_of(at)))
        .collect()
}

/// For each asked column the condition, by its place, and the other side of an equation with it.
fn keys_of(conditions: &[Expr], domain: &Domain) -> Option<Vec<(usize, Expr)>> {
    let key_of = |column: &Column| {
        let mut found = conditions.iter().enumerate();
        found.find_map(|(at, condition)| {
            let Expr::BinaryExpr(BinaryExpr { left, op, right }) = condition else {
                return None;
            };
            let is_asked =
                |side: &Expr| matches!(side, Expr::OuterReferenceColumn(_, of) if of == column);
            let key = match (left.as_ref(), right.as_ref()) {
                _ if *op != Operator::Eq => return None,
                (outer, key) if is_asked(outer) => key,
                (key, outer) if is_asked(outer) => key,
                _ => return None,
            };
            let is_own = !key.contains_outer() && domain::subqueries_of(key).is_empty();
            is_own.then(|| (at, key.clone()))
        })
    };
    domain.asked.iter().map(key_of).collect()
}

fn answered_all(
    expressions: Vec<Expr>,
    domain: &Domain,
    places: &[Column],
) -> Result<Vec<Expr>, DataFusionError> {
    let expressions = expressions.into_iter();
    expressions
        .map(|one| answered(one, &domain.asked, places))
        .collect()
}

/// Expressions of a node under their old names.
fn rewritten(
    node: &LogicalPlan,
    expressions: &[Expr],
    domain: &Domain,
    inner: &Pushed,
) -> Result<Vec<Expr>, DataFusionError> {
    let names = NamePreserver::new(node);
    let expressions = expressions.iter().map(|expression| {
        let name = names.save(expression);
        let done = answered(expression.clone(), &domain.asked, &inner.domain)?;
        Ok(name.restore(done))
    });
    expressions.collect()
}

/// Some columns, and the domain's behind them.
fn with_domain(
    plan: LogicalPlan,
    mut columns: Vec<Expr>,
    inner: &Pushed,
) -> Result<LogicalPlan, DataFusionError> {
    columns.extend(inner.columns());
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}

pub fn filtered(plan: LogicalPlan, conditions: Vec<Expr>) -> Result<LogicalPlan, DataFusionError> {
    match conjunction(conditions) {
        Some(condition) => LogicalPlanBuilder::from(plan).filter(condition)?.build(),
        None => Ok(plan),
    }
}

/// A window function whose partitions are those of single members.
fn apart(call: Expr, domain: &[Expr]) -> Expr {
    match call {
        Expr::Alias(mut alias) => {
            *alias.expr = apart(*alias.expr, domain);
            Expr::Alias(alias)
        }
        Expr::WindowFunction(mut call) => {
            call.params.partition_by.extend(domain.iter().cloned());
            Expr::WindowFunction(call)
        }
        other => other,
    }
}

/// What an aggregate gives where nothing matches.
fn of_no_rows(
    call: &Expr,
    data_type: &arrow::datatypes::DataType,
) -> Result<Expr, DataFusionError> {
    match call {
        Expr::Alias(alias) => of_no_rows(&alias.expr, data_type),
        Expr::AggregateFunction(call) => {
            let value = call.func.default_value(data_type)?;
            Ok(Expr::Literal(value, None))
        }
        _ => Ok(Expr::Literal(ScalarValue::try_from(data_type)?, None)),
    }
}
