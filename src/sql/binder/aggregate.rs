//! GROUP BY and aggregates: one node that computes them, and expressions above it that refer to what it gives.

use std::collections::HashSet;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::utils::find_aggregate_exprs;
use datafusion::logical_expr::{Aggregate, Expr, GroupingSet, LogicalPlan, LogicalPlanBuilder, Subquery, lit};
use sqlparser::ast::{self, GroupByExpr};

use super::Binder;
use super::expression::Place;
use super::output::{Item, ordinal};
use super::scope::Scope;
use crate::sql::function::registry;
use crate::sql::statement::fold;
use crate::types::{Error, Result, SqlState};

impl Binder<'_> {
    /// The keys of GROUP BY; None without one.
    pub(super) fn group_by(
        &mut self,
        group_by: &GroupByExpr,
        items: &[Item],
        scope: &Scope,
    ) -> Result<Option<Vec<Expr>>> {
        let GroupByExpr::Expressions(keys, modifiers) = group_by else {
            return Err(Error::unsupported("GROUP BY ALL is not supported"));
        };
        if !modifiers.is_empty() {
            return Err(Error::unsupported("GROUP BY ... WITH is not supported"));
        }
        if keys.is_empty() {
            return Ok(None);
        }
        let mut bound = Vec::new();
        for key in keys {
            let key = match key {
                ast::Expr::Rollup(sets) => self.grouping_set(sets, items, scope, rollup)?,
                ast::Expr::Cube(sets) => self.grouping_set(sets, items, scope, cube)?,
                ast::Expr::GroupingSets(sets) => self.grouping_set(sets, items, scope, |sets| sets)?,
                ast::Expr::Tuple(keys) if keys.is_empty() => continue,
                ast::Expr::Tuple(keys) => {
                    for key in keys {
                        bound.push(self.group_key(key, items, scope)?);
                    }
                    continue;
                }
                key => self.group_key(key, items, scope)?,
            };
            if !bound.contains(&key) {
                bound.push(key);
            }
        }
        Ok(Some(bound))
    }

    /// A position, a column of FROM, an output's name, or an expression.
    fn group_key(&mut self, key: &ast::Expr, items: &[Item], scope: &Scope) -> Result<Expr> {
        if let Some(index) = ordinal(key, items.len(), "GROUP BY")? {
            return Self::checked_group_key(items[index].expression.clone());
        }
        if let ast::Expr::Identifier(ident) = key {
            let name = fold(ident);
            let is_input = scope.visible.iter().any(|visible| visible.name == name);
            if let (false, Some(item)) = (is_input, items.iter().find(|item| item.name == name)) {
                return Self::checked_group_key(item.expression.clone());
            }
        }
        self.expression(key, scope, Place::GroupBy)
    }

    fn checked_group_key(key: Expr) -> Result<Expr> {
        match find_aggregate_exprs(std::iter::once(&key)).is_empty() {
            true => Ok(key),
            false => Err(Error::new(SqlState::GROUPING_ERROR, "aggregate functions are not allowed in GROUP BY")),
        }
    }

    fn grouping_set(
        &mut self,
        sets: &[Vec<ast::Expr>],
        items: &[Item],
        scope: &Scope,
        expand: impl Fn(Vec<Vec<Expr>>) -> Vec<Vec<Expr>>,
    ) -> Result<Expr> {
        let mut bound = Vec::new();
        for set in sets {
            let mut keys = Vec::new();
            for key in set {
                keys.push(self.group_key(key, items, scope)?);
            }
            bound.push(keys);
        }
        Ok(Expr::GroupingSet(GroupingSet::GroupingSets(expand(bound))))
    }

    /// Puts the aggregates of the items and of HAVING, if there are any, and the groups into a node of their own.
    pub(super) fn aggregate(
        &mut self,
        plan: LogicalPlan,
        scope: &Scope,
        groups: Option<Vec<Expr>>,
        items: &mut [Item],
        having: Option<Expr>,
    ) -> Result<LogicalPlan> {
        let mut aggregates = find_aggregate_exprs(items.iter().map(|item| &item.expression).chain(&having));
        if aggregates.is_empty() && groups.is_none() && having.is_none() {
            return Ok(plan);
        }
        let mut groups = groups.unwrap_or_default();
        add_dependents(&mut groups, scope, items, &having);
        if aggregates.is_empty() && groups.is_empty() {
            // A node must compute something to give its one row.
            let count = registry().aggregates.get("count").expect("count is an aggregate");
            aggregates.push(count.call(vec![lit(ScalarValue::Int64(Some(1)))]));
        }
        let keys = distinct_keys(&groups);
        let mut names = HashSet::new();
        let mut known: Vec<(Expr, Column)> = Vec::new();
        let mut register = |expression: &Expr| {
            if let Expr::Column(column) = expression {
                known.push((expression.clone(), column.clone()));
                return expression.clone();
            }
            let name = expression.schema_name().to_string();
            let unique = (0..).map(|n| if n == 0 { name.clone() } else { format!("{name}:{n}") });
            let unique = unique.into_iter().find(|name| names.insert(name.clone())).expect("numbers do not end");
            known.push((expression.clone(), Column::new_unqualified(unique.clone())));
            if unique == name { expression.clone() } else { expression.clone().alias(unique) }
        };
        keys.iter().for_each(|key| {
            register(key);
        });
        let aggregates: Vec<Expr> = aggregates.iter().map(&mut register).collect();
        let node = LogicalPlan::Aggregate(Aggregate::try_new(plan.into(), groups, aggregates)?);
        for item in items.iter_mut() {
            item.expression = above(&item.expression, &known)?;
        }
        match having {
            Some(having) => Ok(LogicalPlanBuilder::from(node).filter(above(&having, &known)?)?.build()?),
            None => Ok(node),
        }
    }
}

/// Every prefix of the sets, the longest first.
fn rollup(sets: Vec<Vec<Expr>>) -> Vec<Vec<Expr>> {
    (0..=sets.len()).rev().map(|len| sets[..len].concat()).collect()
}

/// Every subset of the sets.
fn cube(sets: Vec<Vec<Expr>>) -> Vec<Vec<Expr>> {
    let subsets = (0..1_u32 << sets.len()).rev();
    let member = |subset: u32, index: usize| subset >> (sets.len() - 1 - index) & 1 == 1;
    let keys = |subset| {
        let chosen = sets.iter().enumerate().filter(move |(index, _)| member(subset, *index));
        chosen.flat_map(|(_, set)| set).cloned().collect()
    };
    subsets.map(keys).collect()
}

/// The expressions that are grouped by, each once.
fn distinct_keys(groups: &[Expr]) -> Vec<Expr> {
    let mut keys: Vec<Expr> = Vec::new();
    let mut add = |key: &Expr| {
        if !keys.contains(key) {
            keys.push(key.clone());
        }
    };
    for group in groups {
        match group {
            Expr::GroupingSet(GroupingSet::GroupingSets(sets)) => sets.iter().flatten().for_each(&mut add),
            key => add(key),
        }
    }
    keys
}

/// Columns of a table whose primary key is grouped by follow from it: they are grouped by too.
fn add_dependents(groups: &mut Vec<Expr>, scope: &Scope, items: &[Item], having: &Option<Expr>) {
    let used: HashSet<Column> =
        items.iter().map(|item| &item.expression).chain(having).fold(HashSet::new(), |mut all, e| {
            all.extend(e.column_refs().into_iter().cloned());
            all
        });
    for table in &scope.tables {
        let Some(key) = &table.key else { continue };
        if !key.iter().all(|&position| groups.contains(&table.columns[position].1)) {
            continue;
        }
        for (_, column) in &table.columns {
            let is_used = matches!(column, Expr::Column(column) if used.contains(column));
            if is_used && !groups.contains(column) {
                groups.push(column.clone());
            }
        }
    }
}

/// The expression over what the node below gives; a column that it does not give is not grouped.
fn above(expression: &Expr, known: &[(Expr, Column)]) -> Result<Expr> {
    let replaced = expression.clone().transform_down(|expression| {
        match known.iter().find(|(computed, _)| *computed == expression) {
            Some((_, column)) => Ok(Transformed::new(Expr::Column(column.clone()), true, TreeNodeRecursion::Jump)),
            None => Ok(Transformed::no(expression)),
        }
    });
    let replaced = replaced.data()?;
    let mut missing = None;
    let mut look = |column: &Column| {
        if missing.is_none() && !known.iter().any(|(_, known)| known == column) {
            missing = Some(column.clone());
        }
    };
    replaced.apply(|expression| {
        match expression {
            Expr::Column(column) => look(column),
            Expr::ScalarSubquery(subquery) => outer_columns(subquery, &mut look),
            Expr::Exists(exists) => outer_columns(&exists.subquery, &mut look),
            Expr::InSubquery(within) => outer_columns(&within.subquery, &mut look),
            Expr::SetComparison(comparison) => outer_columns(&comparison.subquery, &mut look),
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    match missing {
        None => Ok(replaced),
        Some(column) => Err(not_grouped(&column)),
    }
}

fn outer_columns(subquery: &Subquery, look: &mut impl FnMut(&Column)) {
    for outer in &subquery.outer_ref_columns {
        if let Expr::OuterReferenceColumn(_, column) = outer {
            look(column);
        }
    }
}

fn not_grouped(column: &Column) -> Error {
    let name = match &column.relation {
        Some(relation) => format!("{}.{}", relation.table(), column.name),
        None => column.name.clone(),
    };
    let message = format!("column \"{name}\" must appear in the GROUP BY clause or be used in an aggregate function");
    let error = Error::new(SqlState::GROUPING_ERROR, message);
    match column.spans.first() {
        Some(span) => error.at(span.start.column as usize),
        None => error,
    }
}
