//! One SELECT: FROM, WHERE, GROUP BY, HAVING, windows, set-returning functions, DISTINCT, ORDER BY; in this order.

use datafusion::logical_expr::expr::Sort;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use sqlparser::ast::{
    self, Distinct, OrderByExpr, Select, SelectFlavor, SelectItem, SelectItemQualifiedWildcardKind,
    WildcardAdditionalOptions,
};

use super::expression::{Place, position_of as position_of_expression};
use super::from::refuse;
use super::naming::output_name;
use super::output::{Item, ordinal};
use super::query::sort;
use super::scope::Scope;
use super::{Binder, Bound};
use crate::sql::statement::{fold, position_of};
use crate::types::{Error, Result, SqlState};

/// What the client sees first, then what only ORDER BY and DISTINCT ON need.
struct Items {
    all: Vec<Item>,
    visible: usize,
}

impl Items {
    /// The position of an expression, which is added if it is not there.
    fn position(&mut self, expression: Expr) -> usize {
        let known = self.all.iter().position(|item| item.expression == expression);
        known.unwrap_or_else(|| {
            self.all.push(Item { name: "sort".into(), expression });
            self.all.len() - 1
        })
    }
}

impl Binder<'_> {
    pub(super) fn select(&mut self, select: &Select, order_by: &[OrderByExpr]) -> Result<Bound> {
        let outside = std::mem::replace(&mut self.windows, select.named_window.clone());
        let bound = self.select_inside(select, order_by);
        self.windows = outside;
        bound
    }

    fn select_inside(&mut self, select: &Select, order_by: &[OrderByExpr]) -> Result<Bound> {
        refuse_clauses(select)?;
        let (mut plan, scope) = self.from(&select.from)?;
        if let Some(selection) = &select.selection {
            let filter = self.condition(selection, &scope, Place::Where)?;
            plan = LogicalPlanBuilder::from(plan).filter(filter)?.build()?;
        }
        let all = self.select_items_at(&select.projection, &scope, Place::Select)?;
        let mut items = Items { visible: all.len(), all };
        let groups = self.group_by(&select.group_by, &items.all, &scope)?;
        let mut having = None;
        if let Some(condition) = &select.having {
            having = Some(self.condition(condition, &scope, Place::Having)?);
        }
        let sorts = self.sort_keys(order_by, &mut items, &scope)?;
        let distinct_on = match &select.distinct {
            Some(Distinct::On(keys)) => self.distinct_keys(keys, &mut items, &scope)?,
            _ => vec![],
        };
        plan = self.aggregate(plan, &scope, groups, &mut items.all, having)?;
        plan = self.compute_windows(plan, &mut items.all)?;
        plan = self.unnest_items(plan, &mut items.all)?;
        let Items { all, visible } = items;
        let bound = self.project(plan, all.into_iter().map(|item| (item.name, item.expression)).collect())?;
        let bound = match &select.distinct {
            None | Some(Distinct::All) => self.sorted(bound, &sorts)?,
            Some(Distinct::Distinct) => {
                if bound.columns.len() > visible {
                    let message = "for SELECT DISTINCT, ORDER BY expressions must appear in select list";
                    let error = Error::new(SqlState::INVALID_COLUMN_REFERENCE, message);
                    let hidden = sorts.iter().position(|(index, _)| *index >= visible);
                    return Err(match hidden.map_or(0, |place| position_of_expression(&order_by[place].expr)) {
                        0 => error,
                        position => error.at(position),
                    });
                }
                let plan = LogicalPlanBuilder::from(bound.plan).distinct()?.build()?;
                self.sorted(Bound { plan, columns: bound.columns }, &sorts)?
            }
            Some(Distinct::On(_)) => self.distinct_on(bound, &distinct_on, &sorts)?,
        };
        first_columns(bound, visible)
    }

    pub(super) fn select_items_at(
        &mut self,
        projection: &[SelectItem],
        scope: &Scope,
        place: Place,
    ) -> Result<Vec<Item>> {
        let mut items = Vec::new();
        for item in projection {
            match item {
                SelectItem::UnnamedExpr(expression) => {
                    let name = output_name(expression);
                    items.push(Item { name, expression: self.expression(expression, scope, place)? });
                }
                SelectItem::ExprWithAlias { expr, alias } => {
                    items.push(Item { name: fold(alias), expression: self.expression(expr, scope, place)? });
                }
                SelectItem::Wildcard(options) => {
                    refuse_wildcard_options(options)?;
                    if scope.tables.is_empty() {
                        let message = "SELECT * with no tables specified is not valid";
                        let position = options.wildcard_token.0.span.start.column as usize;
                        return Err(Error::new(SqlState::SYNTAX_ERROR, message).at(position));
                    }
                    items.extend(
                        scope
                            .visible
                            .iter()
                            .map(|visible| Item { name: visible.name.clone(), expression: visible.expression.clone() }),
                    );
                }
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options) => {
                    refuse_wildcard_options(options)?;
                    let table = self.table_in_scope(name, scope)?;
                    items.extend(
                        table
                            .columns
                            .iter()
                            .map(|(name, expression)| Item { name: name.clone(), expression: expression.clone() }),
                    );
                }
                other => return Err(Error::unsupported(format!("{other} in a SELECT list is not supported"))),
            }
        }
        Ok(items)
    }

    /// ORDER BY: a position, an output's name, or an expression over what FROM gives.
    fn sort_keys(&mut self, order_by: &[OrderByExpr], items: &mut Items, scope: &Scope) -> Result<Vec<(usize, Sort)>> {
        let mut keys = Vec::new();
        for item in order_by {
            refuse(item.with_fill.is_some(), "WITH FILL")?;
            let index = self.output_key(&item.expr, items, scope, Place::OrderBy)?;
            let expression = items.all[index].expression.clone();
            keys.push((index, sort(expression, item)));
        }
        Ok(keys)
    }

    fn distinct_keys(&mut self, keys: &[ast::Expr], items: &mut Items, scope: &Scope) -> Result<Vec<usize>> {
        keys.iter().map(|key| self.output_key(key, items, scope, Place::DistinctOn)).collect()
    }

    fn output_key(&mut self, key: &ast::Expr, items: &mut Items, scope: &Scope, place: Place) -> Result<usize> {
        if let Some(index) = ordinal(key, items.visible, place.name())? {
            return Ok(index);
        }
        if let ast::Expr::Identifier(ident) = key {
            let name = fold(ident);
            let mut named = items.all[..items.visible].iter().enumerate().filter(|(_, item)| item.name == name);
            if let Some((index, first)) = named.next() {
                if named.any(|(_, other)| other.expression != first.expression) {
                    let message = format!("{} \"{name}\" is ambiguous", place.name());
                    return Err(Error::new(SqlState::AMBIGUOUS_COLUMN, message).at(position_of(ident)));
                }
                return Ok(index);
            }
        }
        let expression = self.expression(key, scope, place)?;
        Ok(items.position(expression))
    }

    fn sorted(&mut self, bound: Bound, sorts: &[(usize, Sort)]) -> Result<Bound> {
        if sorts.is_empty() {
            return Ok(bound);
        }
        let sorts = output_sorts(&bound, sorts);
        let plan = LogicalPlanBuilder::from(bound.plan).sort(sorts)?.build()?;
        Ok(Bound { plan, columns: bound.columns })
    }

    /// The first row, by ORDER BY, of those that agree in the keys.
    fn distinct_on(&mut self, bound: Bound, keys: &[usize], sorts: &[(usize, Sort)]) -> Result<Bound> {
        let leading = sorts.iter().take(keys.len()).all(|(index, _)| keys.contains(index));
        if !leading {
            let message = "SELECT DISTINCT ON expressions must match initial ORDER BY expressions";
            return Err(Error::new(SqlState::INVALID_COLUMN_REFERENCE, message));
        }
        let column = |index: &usize| Expr::Column(bound.columns[*index].column.clone());
        let mut keys: Vec<usize> = keys.to_vec();
        let rank = |key: &usize| sorts.iter().position(|(index, _)| index == key).unwrap_or(usize::MAX);
        keys.sort_by_key(rank);
        keys.dedup();
        // The rule that turns this into an aggregate wants every key among the sort keys, first.
        let mut order = output_sorts(&bound, sorts);
        for key in keys.iter().filter(|key| !sorts.is_empty() && rank(key) == usize::MAX) {
            order.push(Sort::new(column(key), true, false));
        }
        let on = keys.iter().map(column).collect();
        let selected = bound.columns.iter().map(|output| Expr::Column(output.column.clone())).collect();
        let sort = (!order.is_empty()).then_some(order);
        let plan = LogicalPlanBuilder::from(bound.plan).distinct_on(on, selected, sort)?.build()?;
        self.sorted(Bound { plan, columns: bound.columns }, sorts)
    }
}

/// Sort keys over the output's columns.
fn output_sorts(bound: &Bound, sorts: &[(usize, Sort)]) -> Vec<Sort> {
    let sorts = sorts.iter().map(|(index, sort)| {
        let column = Expr::Column(bound.columns[*index].column.clone());
        Sort::new(column, sort.asc, sort.nulls_first)
    });
    sorts.collect()
}

/// Drops the columns that only ORDER BY needed.
fn first_columns(bound: Bound, visible: usize) -> Result<Bound> {
    if bound.columns.len() == visible {
        return Ok(bound);
    }
    let columns: Vec<_> = bound.columns.into_iter().take(visible).collect();
    let expressions = columns.iter().map(|output| Expr::Column(output.column.clone()));
    let projection = datafusion::logical_expr::Projection::try_new(expressions.collect(), bound.plan.into())?;
    Ok(Bound { plan: LogicalPlan::Projection(projection), columns })
}

fn refuse_clauses(select: &Select) -> Result<()> {
    refuse(select.top.is_some(), "TOP")?;
    refuse(select.into.is_some(), "SELECT INTO")?;
    refuse(!select.lateral_views.is_empty(), "LATERAL VIEW")?;
    refuse(select.prewhere.is_some(), "PREWHERE")?;
    refuse(!select.connect_by.is_empty(), "CONNECT BY")?;
    refuse(!select.cluster_by.is_empty(), "CLUSTER BY")?;
    refuse(!select.distribute_by.is_empty(), "DISTRIBUTE BY")?;
    refuse(!select.sort_by.is_empty(), "SORT BY")?;
    refuse(select.qualify.is_some(), "QUALIFY")?;
    refuse(select.value_table_mode.is_some(), "SELECT AS STRUCT or VALUE")?;
    refuse(select.exclude.is_some(), "EXCLUDE")?;
    refuse(select.select_modifiers.as_ref().is_some_and(|modifiers| modifiers.is_any_set()), "a SELECT modifier")?;
    refuse(select.flavor != SelectFlavor::Standard, "SELECT without a list before FROM")
}

fn refuse_wildcard_options(options: &WildcardAdditionalOptions) -> Result<()> {
    let given = options.opt_ilike.is_some()
        || options.opt_exclude.is_some()
        || options.opt_except.is_some()
        || options.opt_replace.is_some()
        || options.opt_rename.is_some()
        || options.opt_alias.is_some();
    refuse(given, "* with options")
}
