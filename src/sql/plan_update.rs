//! UPDATE: every row that changes, as it is and as it shall be.

use datafusion::logical_expr::{Expr, LogicalPlanBuilder};
use sqlparser::ast::{TableFactor, TableWithJoins, Update, UpdateTableFromKind};

use super::binder::{Binder, Bound, Place, Target};
use super::planned::UpdatePlan;
use super::planner::Planner;
use super::returning::{RowScope, returning};
use super::statement::{Modification, Name, fold};
use crate::catalog::Table;
use crate::types::{Error, Result, SqlState, SqlType};

impl Planner<'_> {
    pub fn update(&self, modification: &Modification<Update>, declared: &[Option<SqlType>]) -> Result<UpdatePlan> {
        let Modification { with, statement: update } = modification;
        refuse_clauses(update)?;
        let (name, alias) = table_and_alias(&update.table, "UPDATE")?;
        let (entry, table) = self.target(&name, "update")?;
        let called = alias.clone().unwrap_or(entry.name.clone());
        let (rows, returning) = self.plan(declared, |binder| {
            binder.with(with.as_ref())?;
            let bound = rows(binder, update, &name, alias.as_deref(), table)?;
            let scope = RowScope::new(&[(called.as_str(), &table.relation)])?;
            let returning = returning(binder, update.returning.as_ref(), &scope)?;
            Ok((bound, returning))
        })?;
        Ok(UpdatePlan { table: entry.id, rows, returning })
    }
}

fn rows(binder: &mut Binder, update: &Update, name: &Name, alias: Option<&str>, table: &Table) -> Result<Bound> {
    let from = match &update.from {
        None => &[][..],
        Some(UpdateTableFromKind::AfterSet(from) | UpdateTableFromKind::BeforeSet(from)) => from,
    };
    let Target { mut plan, scope, number } = binder.target_beside(name, alias, from)?;
    if let Some(selection) = &update.selection {
        let filter = binder.condition(selection, &scope, Place::Where)?;
        plan = LogicalPlanBuilder::from(plan).filter(filter)?.build()?;
    }
    let old = scope.tables[0].columns.clone();
    let mut new: Vec<Expr> = old.iter().map(|(_, expression)| expression.clone()).collect();
    for (column, value) in binder.assignments(&update.assignments, table, &scope)? {
        new[column] = value;
    }
    let names = old.iter().map(|(name, _)| name.clone());
    let mut items: Vec<_> = old.iter().cloned().chain(names.zip(new)).collect();
    if from.is_empty() {
        return binder.project(plan, items);
    }
    items.extend(number.map(|number| ("number".to_string(), number)));
    let bound = binder.project(plan, items)?;
    changed_once(bound, table)
}

/// A row that several rows of FROM match is changed once. Rows are told apart by their key, or else by all their
/// columns and the number that each has among its equals, the last column.
fn changed_once(mut bound: Bound, table: &Table) -> Result<Bound> {
    let width = table.relation.columns.len();
    let column = |index: usize| Expr::Column(bound.columns[index].column.clone());
    let on = match &table.relation.key {
        Some(key) => key.iter().copied().map(column).collect(),
        None => (0..width).chain([2 * width]).map(column).collect(),
    };
    let selected = (0..2 * width).map(column).collect();
    let plan = LogicalPlanBuilder::from(bound.plan).distinct_on(on, selected, None)?.build()?;
    bound.columns.truncate(2 * width);
    Ok(Bound { plan, columns: bound.columns })
}

/// The table that a modification names, without joins.
pub(super) fn table_and_alias(table: &TableWithJoins, verb: &str) -> Result<(Name, Option<String>)> {
    match (&table.relation, table.joins.is_empty()) {
        (TableFactor::Table { name, alias, args: None, .. }, true) => {
            Ok((Name::of_object(name)?, alias.as_ref().map(|alias| fold(&alias.name))))
        }
        _ => Err(Error::new(SqlState::SYNTAX_ERROR, format!("{verb} takes one table"))),
    }
}

fn refuse_clauses(update: &Update) -> Result<()> {
    let refused = [
        (update.or.is_some(), "UPDATE OR"),
        (update.output.is_some(), "OUTPUT"),
        (!update.order_by.is_empty() || update.limit.is_some(), "ORDER BY or LIMIT in an UPDATE"),
    ];
    match refused.into_iter().find(|(given, _)| *given) {
        Some((_, construct)) => Err(Error::unsupported(format!("{construct} is not supported"))),
        None => Ok(()),
    }
}
