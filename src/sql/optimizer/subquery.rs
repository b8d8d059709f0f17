//! Subqueries become joins, correlated or not, wherever they stand, with PostgreSQL's meaning:
//!
//! | subquery                       | becomes                                                                        |
//! |--------------------------------|--------------------------------------------------------------------------------|
//! | `WHERE EXISTS`, `WHERE x IN`   | a semi join, an anti join if negated                                           |
//! | `WHERE x NOT IN` with NULLs    | an anti join, after a filter on the counts of all rows and of NULLs            |
//! | EXISTS and IN elsewhere        | outer joins with counts and with matches, and an expression of three values    |
//! | scalar, one row at most        | an outer join (a cross join if there is always a row)                          |
//! | scalar otherwise               | the same with min(value) and count(*), and [`single_row`] where the value is used |
//! | LATERAL                        | a join by the columns that it refers to                                        |
//!
//! [`unnest`] makes the correlated ones plain relations first.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result as DataFusionResult, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::functions_aggregate::min_max::min_udaf;
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    Distinct, Expr, ExprSchemable, FetchType, Filter, Join, JoinType, LogicalPlan, LogicalPlanBuilder, SkipType, lit,
    when,
};
use datafusion::optimizer::analyzer::AnalyzerRule;

use super::cardinality::{at_most_one_row, exactly_one_row};
use super::domain::{Domain, same, visit_outer_references};
use super::names::{Names, columns};
use super::single_row::single_row;
use super::unnest::{filled, unnest, unnest_completely};
use crate::types::Error;

#[derive(Debug)]
pub struct JoinSubqueries;

impl AnalyzerRule for JoinSubqueries {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> DataFusionResult<LogicalPlan> {
        Joiner { names: Names::default() }.plan(plan)
    }

    fn name(&self) -> &str {
        "join_subqueries"
    }
}

struct Joiner {
    names: Names,
}

impl Joiner {
    /// The plan without subqueries; references to queries further out remain.
    fn plan(&self, plan: LogicalPlan) -> DataFusionResult<LogicalPlan> {
        plan.transform_up(|node| match node {
            LogicalPlan::Join(join) => self.join(join),
            // LATERAL's wrapper; what it refers to is seen where it is joined.
            LogicalPlan::Subquery(lateral) => Ok(Transformed::yes(Arc::unwrap_or_clone(lateral.subquery))),
            node if !has_subquery(&node)? => Ok(Transformed::no(node)),
            LogicalPlan::Filter(filter) => self.filter(filter).map(Transformed::yes),
            node => self.other(node).map(Transformed::yes),
        })
        .data()
    }

    fn subquery(&self, plan: &Arc<LogicalPlan>) -> DataFusionResult<LogicalPlan> {
        self.plan(plan.as_ref().clone())
    }

    /// What a WHERE demands as a whole becomes semi and anti joins; what it has in its expressions is joined to them.
    fn filter(&self, filter: Filter) -> DataFusionResult<LogicalPlan> {
        let Filter { predicate, input, .. } = filter;
        let original = columns(input.schema());
        let (demands, plain): (Vec<_>, Vec<_>) =
            split_conjunction_owned(predicate).into_iter().partition(contains_subquery);
        let mut input = with_filter(Arc::unwrap_or_clone(input), plain)?;
        let mut embedded = vec![];
        for demand in demands {
            input = match demanded(demand) {
                Demand::Exists(plan, negated) => {
                    let plan = self.subquery(&plan)?;
                    match correlated(&plan, &input)? {
                        true => self.semi_join(input, plan, None, negated)?,
                        false => self.exists_filter(input, plan, negated)?,
                    }
                }
                Demand::In(value, plan, negated) if !contains_subquery(&value) => {
                    let plan = self.subquery(&plan)?;
                    let plan = if negated { self.count_nulls(&mut input, &value, plan)? } else { plan };
                    self.semi_join(input, plan, Some(value), negated)?
                }
                Demand::In(value, plan, negated) => {
                    embedded.push(Expr::InSubquery(InSubquery::new(Box::new(value), subquery_of(plan), negated)));
                    input
                }
                Demand::Other(expression) => {
                    embedded.push(expression);
                    input
                }
            };
        }
        for expression in embedded {
            let expression = self.expression(expression, &mut input)?;
            input = LogicalPlanBuilder::from(input).filter(expression)?.build()?;
        }
        only(input, original)
    }

    /// A node of any other kind with one input.
    fn other(&self, node: LogicalPlan) -> DataFusionResult<LogicalPlan> {
        let inputs = node.inputs();
        let [input] = inputs.as_slice() else {
            let message = format!("a subquery in {} is not supported", node.display());
            return Err(Error::unsupported(message).with_hint("Join the subquery in FROM.").into());
        };
        let mut input = (*input).clone();
        let original = columns(node.schema());
        let names = NamePreserver::new(&node);
        let expressions = node.expressions().into_iter().map(|expression| {
            let name = names.save(&expression);
            Ok(name.restore(self.expression(expression, &mut input)?))
        });
        let expressions = expressions.collect::<DataFusionResult<Vec<_>>>()?;
        let rewritten = node.with_new_exprs(expressions, vec![input])?.recompute_schema()?;
        only(rewritten, original)
    }

    /// A join's condition may hold subqueries if it is an inner join, and its right side may be LATERAL.
    fn join(&self, join: Join) -> DataFusionResult<Transformed<LogicalPlan>> {
        let in_filter = join.filter.as_ref().is_some_and(contains_subquery);
        if in_filter && join.join_type == JoinType::Inner {
            let predicate = join.filter.expect("it was looked at just now");
            let plain = Join { filter: None, ..join };
            let joined = self.join(plain)?.data;
            return self.filter(Filter::try_new(predicate, Arc::new(joined))?).map(Transformed::yes);
        }
        if in_filter {
            return Err(Error::unsupported("a subquery in the condition of an outer join is not supported")
                .with_hint("Join the subquery first, in FROM.")
                .into());
        }
        if !correlated(&join.right, &join.left)? {
            return Ok(Transformed::no(LogicalPlan::Join(join)));
        }
        self.lateral(join).map(Transformed::yes)
    }

    fn lateral(&self, join: Join) -> DataFusionResult<LogicalPlan> {
        if !matches!(join.join_type, JoinType::Inner | JoinType::Left) {
            return Err(Error::unsupported("LATERAL in a right or full join is not supported")
                .with_detail("The combining JOIN type must be INNER or LEFT for a LATERAL reference.")
                .into());
        }
        let original = columns(&join.schema);
        let domain = Domain::of(&join.right, &join.left, &self.names)?;
        let right = unnest_completely(Arc::unwrap_or_clone(join.right), &domain)?;
        let members = domain.columns.iter().cloned().zip(domain.names.iter().cloned());
        let members = members.map(|(outer, name)| same(Expr::Column(outer), Expr::Column(name), right.by_equality));
        let keys = join.on.into_iter().map(|(left, right)| left.eq(right));
        let on: Vec<Expr> = members.chain(keys).chain(join.filter).collect();
        let left = LogicalPlanBuilder::from(Arc::unwrap_or_clone(join.left));
        only(left.join_on(right.plan, join.join_type, on)?.build()?, original)
    }

    /// The expression with columns in the place of its subqueries, which are joined to `input`.
    fn expression(&self, expression: Expr, input: &mut LogicalPlan) -> DataFusionResult<Expr> {
        let replaced = expression.transform_down(|part| {
            let value = match part {
                Expr::ScalarSubquery(subquery) => self.scalar(self.subquery(&subquery.subquery)?, input)?,
                Expr::Exists(Exists { subquery, negated }) => {
                    let exists = self.exists(self.subquery(&subquery.subquery)?, input)?;
                    if negated { exists.is_not_true() } else { exists }
                }
                Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
                    let value = self.expression(*expr, input)?;
                    let is_in = self.is_in(value, self.subquery(&subquery.subquery)?, input)?;
                    if negated { !is_in } else { is_in }
                }
                other => return Ok(Transformed::no(other)),
            };
            Ok(Transformed::new(value, true, TreeNodeRecursion::Jump))
        });
        replaced.data()
    }

    fn scalar(&self, plan: LogicalPlan, input: &mut LogicalPlan) -> DataFusionResult<Expr> {
        if at_most_one_row(&plan) {
            return Ok(self.attach(plan, input, true)?.swap_remove(0));
        }
        let field = plan.schema().field(0).clone();
        let value = min_udaf().call(columns(plan.schema()).into_iter().take(1).collect());
        let counted = LogicalPlanBuilder::from(plan).aggregate(Vec::<Expr>::new(), [value, count_rows()])?;
        // Without any row both are NULL, which is the value wanted.
        Ok(single_row(&field).call(self.attach(counted.build()?, input, false)?))
    }

    fn exists(&self, plan: LogicalPlan, input: &mut LogicalPlan) -> DataFusionResult<Expr> {
        let counted = LogicalPlanBuilder::from(plan).aggregate(Vec::<Expr>::new(), [count_rows()])?;
        let rows = self.attach(counted.build()?, input, false)?.swap_remove(0);
        Ok(rows.gt(lit(0i64)).is_true())
    }

    fn exists_filter(&self, input: LogicalPlan, plan: LogicalPlan, negated: bool) -> DataFusionResult<LogicalPlan> {
        let mut input = input;
        let original = columns(input.schema());
        let exists = self.exists(plan, &mut input)?;
        only(with_filter(input, vec![if negated { exists.is_not_true() } else { exists }])?, original)
    }

    /// `value IN (subquery)` as an expression: true, false, or NULL if a NULL could have been equal.
    fn is_in(&self, value: Expr, plan: LogicalPlan, input: &mut LogicalPlan) -> DataFusionResult<Expr> {
        let member = columns(plan.schema()).swap_remove(0);
        let never_null = !value.nullable(input.schema())? && !member.nullable(plan.schema())?;
        let counts = match never_null {
            true => None,
            false => Some(self.counts(&plan, input)?),
        };
        let members = LogicalPlanBuilder::from(plan).filter(member.clone().is_not_null())?.project([member])?;
        let found = self.matches(value.clone(), members.distinct()?.build()?, input)?;
        let Some([rows, not_null]) = counts else {
            return Ok(found.is_not_null());
        };
        let unknown = value.is_null().or(not_null.lt(rows.clone()));
        when(found.is_not_null(), lit(true))
            .when(rows.eq(lit(0i64)).is_not_false(), lit(false))
            .when(unknown, lit(ScalarValue::Boolean(None)))
            .otherwise(lit(false))
    }

    /// The numbers of rows and of values that are not NULL; NULL or zero if there is no row.
    fn counts(&self, plan: &LogicalPlan, input: &mut LogicalPlan) -> DataFusionResult<[Expr; 2]> {
        let member = columns(plan.schema()).swap_remove(0);
        let counted = LogicalPlanBuilder::from(plan.clone())
            .aggregate(Vec::<Expr>::new(), [count_rows(), count_udaf().call(vec![member]).alias("__not_null")])?;
        let mut counts = self.attach(counted.build()?, input, false)?;
        let not_null = counts.remove(1);
        Ok([counts.remove(0), not_null])
    }

    /// For NOT IN, keeps the rows that a NULL does not rule out; the rest of its meaning is an anti join.
    fn count_nulls(&self, input: &mut LogicalPlan, value: &Expr, plan: LogicalPlan) -> DataFusionResult<LogicalPlan> {
        let member = columns(plan.schema()).swap_remove(0);
        if !value.nullable(input.schema())? && !member.nullable(plan.schema())? {
            return Ok(plan);
        }
        let original = columns(input.schema());
        let mut counted = input.clone();
        let [rows, not_null] = self.counts(&plan, &mut counted)?;
        let none = rows.clone().eq(lit(0i64)).is_not_false();
        let known = value.clone().is_not_null().and(not_null.eq(rows));
        *input = only(with_filter(counted, vec![none.or(known)])?, original)?;
        Ok(plan)
    }

    /// Joins distinct members by equality with `value`; the result is NULL where none is equal.
    fn matches(&self, value: Expr, members: LogicalPlan, input: &mut LogicalPlan) -> DataFusionResult<Expr> {
        let domain = Domain::of(&members, input, &self.names)?;
        let unnested = unnest_completely(members, &domain)?;
        let (plan, mut fresh) = self.renamed(unnested.plan, 1, &domain, true)?;
        let found = fresh.pop().expect("the mark was asked for");
        let by_members = member_conditions(&domain, unnested.by_equality);
        let on: Vec<Expr> = by_members.chain([value.eq(fresh.swap_remove(0))]).collect();
        *input = LogicalPlanBuilder::from(input.clone()).join_on(plan, JoinType::Left, on)?.build()?;
        Ok(found)
    }

    /// Joins a plan with at most one row per row of `input`. Columns of a row that is missing are NULL, or what an
    /// aggregation gives for no rows if they are to be `fill`ed.
    fn attach(&self, plan: LogicalPlan, input: &mut LogicalPlan, fill: bool) -> DataFusionResult<Vec<Expr>> {
        let domain = Domain::of(&plan, input, &self.names)?;
        let width = plan.schema().fields().len();
        let always_one = exactly_one_row(&plan);
        let unnested = unnest(plan, &domain)?;
        let missing = unnested.missing.filter(|_| fill && !domain.is_empty());
        let (plan, mut fresh) = self.renamed(unnested.plan, width, &domain, missing.is_some())?;
        let outer = LogicalPlanBuilder::from(input.clone());
        let joined = match domain.is_empty() {
            true if always_one => outer.cross_join(plan)?,
            true => outer.join_on(plan, JoinType::Left, [lit(true)])?,
            false => outer.join_on(plan, JoinType::Left, member_conditions(&domain, unnested.by_equality))?,
        };
        *input = joined.build()?;
        let Some(missing) = missing else { return Ok(fresh) };
        let found = fresh.pop().expect("the mark was asked for");
        fresh.into_iter().zip(missing).map(|(column, missing)| filled(column, missing, found.clone())).collect()
    }

    /// The plan's first `width` columns under names of their own, the domain's, and a mark that is never NULL.
    fn renamed(
        &self,
        plan: LogicalPlan,
        width: usize,
        domain: &Domain,
        mark: bool,
    ) -> DataFusionResult<(LogicalPlan, Vec<Expr>)> {
        let mut values: Vec<Expr> = columns(plan.schema()).into_iter().take(width).collect();
        if mark {
            values.push(lit(true));
        }
        let names: Vec<String> = values.iter().map(|_| self.names.next("subquery")).collect();
        let aliased = values.into_iter().zip(&names).map(|(value, name)| value.alias(name));
        let all: Vec<Expr> = aliased.chain(domain.names.iter().cloned().map(Expr::Column)).collect();
        let plan = LogicalPlanBuilder::from(plan).project(all)?.build()?;
        let fresh = names.into_iter().map(|name| Expr::Column(Column::new_unqualified(name)));
        Ok((plan, fresh.collect()))
    }

    /// The rows of `input` for which the subquery has a row (whose first column equals `value`), or has none.
    fn semi_join(
        &self,
        input: LogicalPlan,
        plan: LogicalPlan,
        value: Option<Expr>,
        negated: bool,
    ) -> DataFusionResult<LogicalPlan> {
        let join_type = if negated { JoinType::LeftAnti } else { JoinType::LeftSemi };
        let (right, on) = match self.pull_up(&plan, &input, &value)? {
            Some(pulled) => pulled,
            None => {
                let domain = Domain::of(&plan, &input, &self.names)?;
                let unnested = unnest_completely(plan, &domain)?;
                let width = usize::from(value.is_some());
                let (right, mut fresh) = self.renamed(unnested.plan, width, &domain, false)?;
                let is_equal = value.map(|value| value.eq(fresh.swap_remove(0)));
                (right, member_conditions(&domain, unnested.by_equality).chain(is_equal).collect())
            }
        };
        LogicalPlanBuilder::from(input).join_on(right, join_type, on)?.build()
    }

    /// If all that a subquery says about the outer row stands in one filter near its top: its rows before that, with
    /// fresh names, and the conditions. So `a.x <> b.x` stays a condition of the join, and needs no domain.
    fn pull_up(
        &self,
        plan: &LogicalPlan,
        outer: &LogicalPlan,
        value: &Option<Expr>,
    ) -> DataFusionResult<Option<(LogicalPlan, Vec<Expr>)>> {
        let Some((output, predicate, source)) = open(plan, value.is_some()) else {
            return Ok(None);
        };
        let output_reaches = output.as_ref().is_some_and(|output| output.contains_outer());
        if output_reaches || correlated(source, outer)? {
            return Ok(None);
        }
        let (across, local): (Vec<_>, Vec<_>) =
            predicate.map(split_conjunction_owned).unwrap_or_default().into_iter().partition(Expr::contains_outer);
        let mut inner: Vec<Column> = vec![];
        for expression in across.iter().chain(&output) {
            let used = expression.column_refs().into_iter().filter(|column| source.schema().has_column(column));
            let mut used: Vec<Column> = used.filter(|&column| !inner.contains(column)).cloned().collect();
            used.sort();
            inner.extend(used);
        }
        let fresh: Vec<Column> = inner.iter().map(|_| Column::new_unqualified(self.names.next("subquery"))).collect();
        let bind = |expression: Expr| {
            let bound = expression.transform(|part| match &part {
                Expr::Column(column) => match inner.iter().position(|known| known == column) {
                    Some(at) => Ok(Transformed::yes(Expr::Column(fresh[at].clone()))),
                    None => Ok(Transformed::no(part)),
                },
                Expr::OuterReferenceColumn(_, column) if outer.schema().has_column(column) => {
                    Ok(Transformed::yes(Expr::Column(column.clone())))
                }
                _ => Ok(Transformed::no(part)),
            });
            bound.data()
        };
        let mut on = across.into_iter().map(bind).collect::<DataFusionResult<Vec<_>>>()?;
        if let (Some(value), Some(output)) = (value, output) {
            on.insert(0, value.clone().eq(bind(output)?));
        }
        let renamed = inner.iter().zip(&fresh).map(|(column, name)| Expr::Column(column.clone()).alias(&name.name));
        let mut renamed: Vec<Expr> = renamed.collect();
        if renamed.is_empty() {
            renamed.push(lit(true).alias(self.names.next("subquery")));
        }
        let right = LogicalPlanBuilder::from(with_filter(source.clone(), local)?).project(renamed)?.build()?;
        Ok(Some((right, on)))
    }
}

/// A conjunct of a WHERE that is a subquery's test as a whole.
enum Demand {
    Exists(Arc<LogicalPlan>, bool),
    In(Expr, Arc<LogicalPlan>, bool),
    Other(Expr),
}

fn demanded(expression: Expr) -> Demand {
    match expression {
        Expr::Exists(Exists { subquery, negated }) => Demand::Exists(subquery.subquery, negated),
        Expr::InSubquery(InSubquery { expr, subquery, negated }) => Demand::In(*expr, subquery.subquery, negated),
        Expr::Not(inner) => match demanded(*inner) {
            Demand::Exists(plan, negated) => Demand::Exists(plan, !negated),
            Demand::In(value, plan, negated) => Demand::In(value, plan, !negated),
            Demand::Other(expression) => Demand::Other(!expression),
        },
        other => Demand::Other(other),
    }
}

fn subquery_of(plan: Arc<LogicalPlan>) -> datafusion::logical_expr::Subquery {
    datafusion::logical_expr::Subquery { subquery: plan, outer_ref_columns: vec![], spans: Default::default() }
}

/// A subquery without what does not change whether it has rows (or, with `output`, which values it has): its output
/// expression, its filter and what that filters.
fn open(plan: &LogicalPlan, output: bool) -> Option<(Option<Expr>, Option<Expr>, &LogicalPlan)> {
    match plan {
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => open(&sort.input, output),
        LogicalPlan::Distinct(Distinct::All(input)) => open(input, output),
        LogicalPlan::Projection(projection) if output => {
            let value = projection.expr.first()?.clone().unalias();
            let (predicate, source) = split_filter(&projection.input);
            Some((Some(value), predicate, source))
        }
        LogicalPlan::Projection(projection) => open(&projection.input, output),
        LogicalPlan::SubqueryAlias(alias) if !output => open(&alias.input, output),
        LogicalPlan::Limit(limit) if !output => match (limit.get_skip_type().ok()?, limit.get_fetch_type().ok()?) {
            (SkipType::Literal(0), FetchType::Literal(fetch)) if fetch != Some(0) => open(&limit.input, output),
            _ => None,
        },
        other => {
            let value = output.then(|| columns(other.schema()).swap_remove(0));
            let (predicate, source) = split_filter(other);
            Some((value, predicate, source))
        }
    }
}

fn split_filter(plan: &LogicalPlan) -> (Option<Expr>, &LogicalPlan) {
    match plan {
        LogicalPlan::Filter(filter) => (Some(filter.predicate.clone()), &filter.input),
        other => (None, other),
    }
}

/// The conditions under which a row of the outer query and a row of the unnested one belong to the same member.
fn member_conditions(domain: &Domain, by_equality: bool) -> impl Iterator<Item = Expr> {
    let pairs = domain.columns.iter().cloned().zip(domain.names.iter().cloned());
    pairs.map(move |(outer, name)| same(Expr::Column(outer), Expr::Column(name), by_equality))
}

fn count_rows() -> Expr {
    count_udaf().call(vec![lit(1i64)]).alias("__rows")
}

fn with_filter(input: LogicalPlan, conjuncts: Vec<Expr>) -> DataFusionResult<LogicalPlan> {
    match conjunction(conjuncts) {
        Some(predicate) => LogicalPlanBuilder::from(input).filter(predicate)?.build(),
        None => Ok(input),
    }
}

/// The plan with these columns only.
fn only(plan: LogicalPlan, wanted: Vec<Expr>) -> DataFusionResult<LogicalPlan> {
    match plan.schema().fields().len() == wanted.len() {
        true => Ok(plan),
        false => LogicalPlanBuilder::from(plan).project(wanted)?.build(),
    }
}

/// Whether `plan` refers to columns of `outer`.
fn correlated(plan: &LogicalPlan, outer: &LogicalPlan) -> DataFusionResult<bool> {
    let mut found = false;
    visit_outer_references(plan, &mut |column| found |= outer.schema().has_column(column))?;
    Ok(found)
}

fn has_subquery(plan: &LogicalPlan) -> DataFusionResult<bool> {
    let mut found = false;
    plan.apply_expressions(|expression| {
        found |= contains_subquery(expression);
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

fn contains_subquery(expression: &Expr) -> bool {
    let is_subquery = |part: &Expr| Ok(matches!(part, Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_)));
    expression.exists(is_subquery).expect("looking at an expression can't fail")
}
