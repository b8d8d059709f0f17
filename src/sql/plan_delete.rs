//! DELETE: the rows that go.

use datafusion::logical_expr::LogicalPlanBuilder;
use sqlparser::ast::{Delete, FromTable, TableWithJoins};

use super::binder::{Binder, Bound, Place, Target};
use super::plan_update::table_and_alias;
use super::planned::DeletePlan;
use super::planner::Planner;
use super::returning::{RowScope, returning};
use super::statement::{Modification, Name};
use crate::types::{Error, Result, SqlState, SqlType};

impl Planner<'_> {
    pub fn delete(&self, modification: &Modification<Delete>, declared: &[Option<SqlType>]) -> Result<DeletePlan> {
        let Modification { with, statement: delete } = modification;
        let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
        let ([target], true) = (from.as_slice(), delete.tables.is_empty()) else {
            return Err(Error::new(SqlState::SYNTAX_ERROR, "DELETE takes one table"));
        };
        if delete.output.is_some() || !delete.order_by.is_empty() || delete.limit.is_some() {
            return Err(Error::unsupported("ORDER BY, LIMIT or OUTPUT in a DELETE is not supported"));
        }
        let (name, alias) = table_and_alias(target, "DELETE")?;
        let (entry, table) = self.target(&name, "delete from")?;
        let called = alias.clone().unwrap_or(entry.name.clone());
        let (rows, returning) = self.plan(declared, |binder| {
            binder.with(with.as_ref())?;
            let using = delete.using.as_deref().unwrap_or_default();
            let bound = rows(binder, delete, &name, alias.as_deref(), using)?;
            let scope = RowScope::new(&[(called.as_str(), &table.relation)])?;
            let returning = returning(binder, delete.returning.as_ref(), &scope)?;
            Ok((bound, returning))
        })?;
        Ok(DeletePlan { table: entry.id, rows, returning })
    }
}

/// With USING, a row goes if any row of USING matches it, and only once.
fn rows(
    binder: &mut Binder,
    delete: &Delete,
    name: &Name,
    alias: Option<&str>,
    using: &[TableWithJoins],
) -> Result<Bound> {
    let Target { mut plan, scope, .. } = binder.target_beside(name, alias, &[])?;
    let filter = match (&delete.selection, using.is_empty()) {
        (None, true) => None,
        (Some(selection), true) => Some(binder.condition(selection, &scope, Place::Where)?),
        (selection, false) => Some(binder.exists_in(using, selection.as_ref(), &scope)?),
    };
    if let Some(filter) = filter {
        plan = LogicalPlanBuilder::from(plan).filter(filter)?.build()?;
    }
    let items = scope.tables[0].columns.clone();
    binder.project(plan, items)
}
