//! Makes a correlated subquery a plain relation (Neumann and Kemper, "Unnesting Arbitrary Queries", 2015).
//!
//! The *domain* is the distinct values of the outer columns that a subquery refers to. A plan that is unnested gives
//! its rows for every member of the domain at once, with the member's columns behind its own, so that whoever wanted
//! the subquery's rows joins by them:
//! ```text
//!   subquery(outer.a)   ──▶   rows of subquery(a), a      for every a in the domain
//! ```
//! An operator that does not look outside is joined with the whole domain. Mostly that is not needed: under a filter
//! `outer.a = inner.b` the column b is what a would be, so the domain is not even read.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, DFSchema, DataFusionError, Result as DataFusionResult};
use datafusion::functions_window::row_number::row_number;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Distinct, Expr, ExprFunctionExt, ExprSchemable, Extension, FetchType, Filter, Join,
    JoinType, Limit, LogicalPlan, LogicalPlanBuilder, Operator, Projection, SkipType, Union, Window, lit, when,
};

use super::domain::{Domain, same};
use super::names::{Names, columns, named_as};
use super::repeat::Repeat;
use super::series::Series;
use crate::types::Error;

/// A plan without outer references: the columns that it had, then the domain's.
pub struct Unnested {
    pub plan: LogicalPlan,
    /// Whether the domain's columns come from equalities, so that none of them is NULL.
    pub by_equality: bool,
    /// For the rows of an aggregation without GROUP BY: members of the domain without any input have no row in
    /// `plan`, and their row would be this one.
    pub missing: Option<Vec<Expr>>,
}

fn unsupported(what: &str) -> DataFusionError {
    Error::unsupported(format!("{what} that refers to an outer query is not supported"))
        .with_hint("Write the subquery as a join.")
        .into()
}

/// Gives the plan's rows for all members of the domain; members whose row is [`Unnested::missing`] may be absent.
pub fn unnest(plan: LogicalPlan, domain: &Domain) -> DataFusionResult<Unnested> {
    if !domain.reaches(&plan)? {
        let whole = LogicalPlanBuilder::from(plan);
        let plan = if domain.is_empty() { whole } else { whole.cross_join(domain.members()?)? };
        return Ok(Unnested::complete(plan.build()?));
    }
    match plan {
        LogicalPlan::Projection(projection) => project(projection, domain),
        LogicalPlan::Filter(filter) => self::filter(filter, domain),
        LogicalPlan::Aggregate(aggregate) => self::aggregate(aggregate, domain),
        LogicalPlan::Join(join) => self::join(join, domain).map(Unnested::complete),
        LogicalPlan::SubqueryAlias(alias) => {
            let original = columns(&alias.schema);
            let below = unnest(Arc::unwrap_or_clone(alias.input), domain)?;
            let qualify = |name: &Column| Expr::Column(Column::new(Some(alias.alias.clone()), &name.name));
            let back = domain.names.iter().map(|name| qualify(name).alias(&name.name));
            let aliased = LogicalPlanBuilder::from(below.plan).alias(alias.alias.clone())?;
            let plan = aliased.project(original.into_iter().chain(back))?.build()?;
            Ok(Unnested { plan, ..below })
        }
        LogicalPlan::Distinct(Distinct::All(input)) => {
            let below = unnest_completely(Arc::unwrap_or_clone(input), domain)?;
            let plan = LogicalPlanBuilder::from(below.plan).distinct()?.build()?;
            Ok(Unnested { plan, ..below })
        }
        LogicalPlan::Sort(sort) => {
            // Without a limit the order of a subquery means nothing.
            unnest(Arc::unwrap_or_clone(sort.input), domain)
        }
        LogicalPlan::Limit(limit) => self::limit(limit, domain),
        LogicalPlan::Window(window) => self::window(window, domain),
        LogicalPlan::Union(union) => {
            let inputs = union.inputs.into_iter().map(|input| {
                let below = unnest_completely(Arc::unwrap_or_clone(input), domain)?;
                Ok(Arc::new(below.plan))
            });
            let inputs = inputs.collect::<DataFusionResult<_>>()?;
            Ok(Unnested::complete(LogicalPlan::Union(Union::try_new(inputs)?)))
        }
        LogicalPlan::Subquery(subquery) => unnest(Arc::unwrap_or_clone(subquery.subquery), domain),
        LogicalPlan::Extension(extension) => own_node(&extension, domain),
        LogicalPlan::Values(_) => Err(unsupported("VALUES")),
        LogicalPlan::Unnest(_) => Err(unsupported("unnest()")),
        LogicalPlan::RecursiveQuery(_) => Err(unsupported("WITH RECURSIVE")),
        other => Err(unsupported(&other.display().to_string())),
    }
}

/// [`unnest`], with a row for every member of the domain that the subquery has a row for.
pub fn unnest_completely(plan: LogicalPlan, domain: &Domain) -> DataFusionResult<Unnested> {
    fill_missing(unnest(plan, domain)?, domain)
}

/// Joins the domain, so that members whose row is missing get it.
fn fill_missing(unnested: Unnested, domain: &Domain) -> DataFusionResult<Unnested> {
    let Some(missing) = unnested.missing else {
        return Ok(unnested);
    };
    let found = Names::default();
    let inner: Vec<Column> = domain.names.iter().map(|_| Column::new_unqualified(found.next("found"))).collect();
    let values = columns(unnested.plan.schema()).into_iter().take(missing.len()).collect::<Vec<_>>();
    let renamed = domain.names.iter().zip(&inner).map(|(name, new)| Expr::Column(name.clone()).alias(&new.name));
    let marked = values.iter().cloned().chain(renamed).chain([lit(true).alias(FOUND)]);
    let plan = LogicalPlanBuilder::from(unnested.plan).project(marked)?.build()?;
    let on = domain.expressions().zip(&inner);
    let on = on.map(|(name, new)| same(name, Expr::Column(new.clone()), unnested.by_equality));
    let joined = LogicalPlanBuilder::from(domain.members()?).join_on(plan, JoinType::Left, on.collect::<Vec<_>>())?;
    let filled = values.into_iter().zip(missing).map(|(value, missing)| {
        let found = Expr::Column(Column::new_unqualified(FOUND));
        filled(value, missing, found)
    });
    let filled = filled.collect::<DataFusionResult<Vec<_>>>()?;
    Ok(Unnested::complete(joined.project(filled.into_iter().chain(domain.expressions()))?.build()?))
}

const FOUND: &str = "__found";

/// The column, or `missing` where `found` is NULL, because an outer join found no row. The name stays.
pub fn filled(column: Expr, missing: Expr, found: Expr) -> DataFusionResult<Expr> {
    if matches!(&missing, Expr::Literal(value, _) if value.is_null()) {
        return Ok(column);
    }
    let name = NamePreserver::new_for_projection().save(&column);
    Ok(name.restore(when(found.is_null(), missing).otherwise(column)?))
}

impl Unnested {
    fn complete(plan: LogicalPlan) -> Self {
        Unnested { plan, by_equality: false, missing: None }
    }
}

/// Nodes that take their last columns: the domain's come before them.
fn own_node(extension: &Extension, domain: &Domain) -> DataFusionResult<Unnested> {
    let node = extension.node.as_any();
    let before_last = |input: &LogicalPlan, taken: usize| {
        let mut original = columns(input.schema());
        let last = original.split_off(original.len() - taken);
        let below = unnest_completely(input.clone(), domain)?;
        let ordered = original.into_iter().chain(domain.expressions()).chain(last);
        LogicalPlanBuilder::from(below.plan).project(ordered)?.build()
    };
    if let Some(repeat) = node.downcast_ref::<Repeat>() {
        let node = Arc::new(Repeat::try_new(before_last(&repeat.input, 1)?)?);
        return Ok(Unnested::complete(LogicalPlan::Extension(Extension { node })));
    }
    let Some(series) = node.downcast_ref::<Series>() else {
        return Err(unsupported(extension.node.name()));
    };
    let original = columns(extension.node.schema());
    let taken = series.input.schema().fields().len() - series.kept();
    let node = Arc::new(series.over(before_last(&series.input, taken)?)?);
    let behind = original.into_iter().chain(domain.expressions());
    let plan = LogicalPlanBuilder::from(LogicalPlan::Extension(Extension { node })).project(behind)?.build()?;
    Ok(Unnested::complete(plan))
}

fn project(projection: Projection, domain: &Domain) -> DataFusionResult<Unnested> {
    let input_columns = projection.input.schema().columns();
    let below = unnest(Arc::unwrap_or_clone(projection.input), domain)?;
    let bound = projection.expr.into_iter().map(|expression| domain.bind_named(expression));
    let bound = bound.collect::<DataFusionResult<Vec<_>>>()?;
    // Where an outer reference stands beside an aggregate, the missing row would need the member's own columns.
    let self_contained = bound.iter().all(|e| !e.column_refs().iter().any(|c| domain.names.contains(c)));
    let below = match below.missing.is_some() && !self_contained {
        true => fill_missing(below, domain)?,
        false => below,
    };
    let missing = below.missing.as_ref().map(|missing| {
        let value = |column: &Column| input_columns.iter().position(|known| known == column).map(|at| &missing[at]);
        let rewritten = bound.iter().cloned().map(|expression| {
            let replaced = expression.unalias().transform(|part| match &part {
                Expr::Column(column) => {
                    Ok(value(column).map_or(Transformed::no(part.clone()), |value| Transformed::yes(value.clone())))
                }
                _ => Ok(Transformed::no(part)),
            });
            replaced.data()
        });
        rewritten.collect::<DataFusionResult<Vec<_>>>()
    });
    let missing = missing.transpose()?;
    let plan = LogicalPlanBuilder::from(below.plan).project(bound.into_iter().chain(domain.expressions()))?.build()?;
    Ok(Unnested { plan, by_equality: below.by_equality, missing })
}

fn filter(filter: Filter, domain: &Domain) -> DataFusionResult<Unnested> {
    let Filter { predicate, input, .. } = filter;
    if !domain.reaches(&input)?
        && let Some(unnested) = by_equalities(&predicate, &input, domain)?
    {
        return Ok(unnested);
    }
    let below = unnest_completely(Arc::unwrap_or_clone(input), domain)?;
    let plan = LogicalPlanBuilder::from(below.plan).filter(domain.bind(predicate)?)?.build()?;
    Ok(Unnested { plan, ..below })
}

/// The filtered rows with the inner sides of `outer = inner` as the domain's columns, if each of those has one.
fn by_equalities(predicate: &Expr, input: &LogicalPlan, domain: &Domain) -> DataFusionResult<Option<Unnested>> {
    let mut inner: Vec<Option<Expr>> = vec![None; domain.columns.len()];
    let mut rest = vec![];
    for conjunct in split_conjunction_owned(predicate.clone()) {
        match equality(&conjunct, domain)? {
            Some((position, expression)) if inner[position].is_none() => inner[position] = Some(expression),
            _ => rest.push(conjunct),
        }
    }
    let Some(inner) = inner.into_iter().collect::<Option<Vec<Expr>>>() else {
        return Ok(None);
    };
    let not_null = inner.iter().filter(|key| key.nullable(input.schema()).unwrap_or(true));
    let not_null: Vec<Expr> = not_null.map(|key| key.clone().is_not_null()).collect();
    // The other conditions may speak of outer columns too; those are inner columns now.
    let replace = |expression: Expr| {
        let replaced = expression.transform(|part| match &part {
            Expr::OuterReferenceColumn(_, column) => {
                let position = domain.columns.iter().position(|known| known == column);
                Ok(position.map_or(Transformed::no(part.clone()), |at| Transformed::yes(inner[at].clone())))
            }
            _ => Ok(Transformed::no(part)),
        });
        replaced.data()
    };
    let rest = rest.into_iter().map(replace).collect::<DataFusionResult<Vec<_>>>()?;
    let mut plan = LogicalPlanBuilder::from(input.clone());
    if let Some(predicate) = conjunction(not_null.into_iter().chain(rest)) {
        plan = plan.filter(predicate)?;
    }
    let keys = inner.into_iter().zip(&domain.names).map(|(key, name)| named_as(key, name));
    let plan = plan.project(columns(input.schema()).into_iter().chain(keys))?.build()?;
    Ok(Some(Unnested { plan, by_equality: true, missing: None }))
}

/// `outer = inner`: the outer column's position in the domain, and the inner expression.
fn equality(conjunct: &Expr, domain: &Domain) -> DataFusionResult<Option<(usize, Expr)>> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = conjunct else {
        return Ok(None);
    };
    for (outer, inner) in [(left, right), (right, left)] {
        if let Expr::OuterReferenceColumn(_, column) = outer.as_ref()
            && let Some(position) = domain.columns.iter().position(|known| known == column)
            && !inner.contains_outer()
            && inner.any_column_refs()
        {
            return Ok(Some((position, inner.as_ref().clone())));
        }
    }
    Ok(None)
}

fn aggregate(aggregate: Aggregate, domain: &Domain) -> DataFusionResult<Unnested> {
    let Aggregate { input, group_expr, aggr_expr, schema, .. } = aggregate;
    let below = unnest_completely(Arc::unwrap_or_clone(input), domain)?;
    let bind = |expressions: Vec<Expr>| {
        expressions.into_iter().map(|expression| domain.bind_named(expression)).collect::<DataFusionResult<Vec<_>>>()
    };
    let missing = match group_expr.is_empty() {
        true => Some(aggr_expr.iter().map(|each| value_of_nothing(each, &schema)).collect::<DataFusionResult<_>>()?),
        false => None,
    };
    let groups = bind(group_expr)?.into_iter().chain(domain.expressions());
    let grouped = LogicalPlanBuilder::from(below.plan).aggregate(groups, bind(aggr_expr)?)?;
    let plan = grouped.project(columns(&schema).into_iter().chain(domain.expressions()))?.build()?;
    Ok(Unnested { plan, by_equality: below.by_equality, missing })
}

/// What an aggregate gives without any row.
fn value_of_nothing(aggregate: &Expr, schema: &DFSchema) -> DataFusionResult<Expr> {
    let (relation, name) = aggregate.qualified_name();
    let data_type = schema.field_with_name(relation.as_ref(), &name)?.data_type().clone();
    let mut function = aggregate;
    while let Expr::Alias(alias) = function {
        function = &alias.expr;
    }
    match function {
        Expr::AggregateFunction(AggregateFunction { func, .. }) => Ok(lit(func.default_value(&data_type)?)),
        other => Err(Error::internal(format!("{other} is not an aggregate")).into()),
    }
}

/// A limit per member, as a row_number() per member.
fn limit(limit: Limit, domain: &Domain) -> DataFusionResult<Unnested> {
    let (SkipType::Literal(skip), FetchType::Literal(fetch)) = (limit.get_skip_type()?, limit.get_fetch_type()?) else {
        return Err(unsupported("LIMIT with a parameter in a subquery"));
    };
    let Limit { skip: skip_expr, fetch: fetch_expr, input } = limit;
    let below_limit = |input| LogicalPlan::Limit(Limit { skip: skip_expr.clone(), fetch: fetch_expr.clone(), input });
    match Arc::unwrap_or_clone(input) {
        // Columns that only the order needs are dropped by a projection; the order is below it.
        LogicalPlan::Projection(projection) => {
            let Projection { expr, input, .. } = projection;
            project(Projection::try_new(expr, Arc::new(below_limit(input)))?, domain)
        }
        input => {
            let (order, input) = match input {
                LogicalPlan::Sort(sort) => (sort.expr, Arc::unwrap_or_clone(sort.input)),
                other => (vec![], other),
            };
            let original = columns(input.schema());
            let below = unnest_completely(input, domain)?;
            let order = order.into_iter().map(|key| {
                let expr = domain.bind(key.expr.clone())?;
                Ok(key.with_expr(expr))
            });
            let order = order.collect::<DataFusionResult<Vec<_>>>()?;
            let number = row_number().partition_by(domain.expressions().collect()).order_by(order).build()?;
            let position = Expr::Column(Column::new_unqualified(POSITION));
            let mut kept = LogicalPlanBuilder::from(below.plan).window(vec![number.alias(POSITION)])?;
            if let Some(fetch) = fetch {
                kept = kept.filter(position.clone().lt_eq(lit((skip + fetch) as u64)))?;
            }
            if skip > 0 {
                kept = kept.filter(position.gt(lit(skip as u64)))?;
            }
            let plan = kept.project(original.into_iter().chain(domain.expressions()))?.build()?;
            Ok(Unnested { plan, by_equality: below.by_equality, missing: None })
        }
    }
}

const POSITION: &str = "__position";

/// Window functions see one member's rows.
fn window(window: Window, domain: &Domain) -> DataFusionResult<Unnested> {
    let Window { window_expr, input, schema } = window;
    let below = unnest_completely(Arc::unwrap_or_clone(input), domain)?;
    let functions = window_expr.into_iter().map(|expression| {
        let name = NamePreserver::new_for_projection().save(&expression);
        let partitioned = domain.bind(expression)?.transform(|part| match part {
            Expr::WindowFunction(mut function) => {
                function.params.partition_by.extend(domain.expressions());
                Ok(Transformed::yes(Expr::WindowFunction(function)))
            }
            other => Ok(Transformed::no(other)),
        });
        Ok(name.restore(partitioned.data()?))
    });
    let functions = functions.collect::<DataFusionResult<Vec<_>>>()?;
    let windowed = LogicalPlanBuilder::from(below.plan).window(functions)?;
    let plan = windowed.project(columns(&schema).into_iter().chain(domain.expressions()))?.build()?;
    Ok(Unnested { plan, by_equality: below.by_equality, missing: None })
}

/// A side that is preserved or correlated is unnested; if both are, they meet at the same member.
fn join(join: Join, domain: &Domain) -> DataFusionResult<LogicalPlan> {
    use JoinType::*;
    let original = columns(&join.schema);
    let (left_reaches, right_reaches) = (domain.reaches(&join.left)?, domain.reaches(&join.right)?);
    let (with_left, with_right) = match join.join_type {
        Inner => (left_reaches || !right_reaches, right_reaches),
        Left | LeftSemi | LeftAnti | LeftMark => (true, right_reaches),
        Right | RightSemi | RightAnti | RightMark => (left_reaches, true),
        Full => (true, true),
    };
    let side = |plan: Arc<LogicalPlan>, unnested: bool| -> DataFusionResult<LogicalPlan> {
        match unnested {
            true => Ok(unnest_completely(Arc::unwrap_or_clone(plan), domain)?.plan),
            false => Ok(Arc::unwrap_or_clone(plan)),
        }
    };
    let left = side(join.left, with_left)?;
    let mut right = side(join.right, with_right)?;
    let mut on = vec![];
    let other_name = |name: &Column| format!("{}_right", name.name);
    if with_left && with_right {
        let width = right.schema().fields().len() - domain.names.len();
        let renamed = domain.names.iter().map(|name| Expr::Column(name.clone()).alias(other_name(name)));
        let renamed: Vec<Expr> = columns(right.schema()).into_iter().take(width).chain(renamed).collect();
        right = LogicalPlanBuilder::from(right).project(renamed)?.build()?;
        let other = |name: &Column| Expr::Column(Column::new_unqualified(other_name(name)));
        on.extend(domain.names.iter().map(|name| same(Expr::Column(name.clone()), other(name), false)));
    }
    let null_safe = join.null_equality == datafusion::common::NullEquality::NullEqualsNull;
    for (l, r) in join.on {
        on.push(same(domain.bind(l)?, domain.bind(r)?, !null_safe));
    }
    on.extend(join.filter.map(|filter| domain.bind(filter)).transpose()?);
    let is_right_only = matches!(join.join_type, RightSemi | RightAnti | RightMark);
    let members = domain.names.iter().map(|name| {
        let own = Expr::Column(name.clone());
        let other = Expr::Column(Column::new_unqualified(other_name(name)));
        match (with_left && with_right, join.join_type) {
            (true, Full) => Ok(when(own.clone().is_null(), other).otherwise(own)?.alias(&name.name)),
            (true, Right) => Ok(other.alias(&name.name)),
            (true, _) if is_right_only => Ok(other.alias(&name.name)),
            _ => Ok(own),
        }
    });
    let members = members.collect::<DataFusionResult<Vec<_>>>()?;
    let joined = LogicalPlanBuilder::from(left).join_on(right, join.join_type, on)?;
    joined.project(original.into_iter().chain(members))?.build()
}
