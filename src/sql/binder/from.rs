//! The FROM clause: its items, and their product from the left.

use std::rc::Rc;
use std::sync::Arc;

use datafusion::common::Spans;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, Subquery};
use sqlparser::ast::{ObjectName, Query, TableAlias, TableFactor, TableWithJoins};

use super::scope::Scope;
use super::{Binder, Bound};
use crate::sql::statement::{Name, fold, position_of};
use crate::types::{Error, Result, SqlState};

/// What an item of FROM gives: its rows beside those of the items to its left, or rows that depend on them.
pub(super) enum FromItem {
    Independent(LogicalPlan, Scope),
    /// The rows of the left items are in the plan already (functions over their columns).
    Extended(LogicalPlan, Scope),
}

impl Binder<'_> {
    pub(super) fn from(&mut self, items: &[TableWithJoins]) -> Result<(LogicalPlan, Scope)> {
        let mut joined: Option<(LogicalPlan, Scope)> = None;
        for item in items {
            joined = Some(match joined {
                None => self.table_with_joins(item, None)?,
                Some(left) => self.table_with_joins(item, Some(left))?,
            });
        }
        match joined {
            Some(joined) => Ok(joined),
            None => Ok((LogicalPlanBuilder::empty(true).build()?, Scope::empty())),
        }
    }

    /// One item with its joins, beside what is to its left.
    fn table_with_joins(
        &mut self,
        item: &TableWithJoins,
        left: Option<(LogicalPlan, Scope)>,
    ) -> Result<(LogicalPlan, Scope)> {
        // `a, b JOIN c`: the join binds tighter than the comma, but b may look at a if it is LATERAL.
        let Some((left_plan, left_scope)) = left else {
            let (plan, scope) = match self.table_factor(&item.relation, None)? {
                FromItem::Independent(plan, scope) | FromItem::Extended(plan, scope) => (plan, scope),
            };
            return self.joins(plan, scope, &item.joins);
        };
        match self.table_factor(&item.relation, Some((&left_plan, &left_scope)))? {
            FromItem::Extended(plan, scope) => self.joins(plan, scope, &item.joins),
            FromItem::Independent(plan, scope) => {
                let (plan, scope) = self.joins(plan, scope, &item.joins)?;
                self.product(left_plan, left_scope, plan, scope)
            }
        }
    }

    pub(super) fn product(
        &mut self,
        left_plan: LogicalPlan,
        left: Scope,
        right_plan: LogicalPlan,
        right: Scope,
    ) -> Result<(LogicalPlan, Scope)> {
        let plan = LogicalPlanBuilder::from(left_plan).cross_join(right_plan)?.build()?;
        let schema = plan.schema().clone();
        Ok((plan, left.beside(right, schema)?))
    }

    pub(super) fn table_factor(
        &mut self,
        factor: &TableFactor,
        left: Option<(&LogicalPlan, &Scope)>,
    ) -> Result<FromItem> {
        let (plan, scope) = match factor {
            TableFactor::Table { name, alias, args: None, sample, version, with_ordinality, with_hints, .. } => {
                refuse(sample.is_some(), "TABLESAMPLE")?;
                refuse(version.is_some(), "AS OF in FROM")?;
                refuse(*with_ordinality, "WITH ORDINALITY on a table")?;
                refuse(!with_hints.is_empty(), "a table hint")?;
                self.named(name, alias.as_ref())?
            }
            TableFactor::Table { name, alias, args: Some(args), with_ordinality, sample, .. } => {
                refuse(sample.is_some(), "TABLESAMPLE")?;
                return self.function_in_from(name, &args.args, *with_ordinality, alias.as_ref(), left);
            }
            TableFactor::Function { name, args, with_ordinality, alias, .. } => {
                return self.function_in_from(name, args, *with_ordinality, alias.as_ref(), left);
            }
            TableFactor::UNNEST { alias, array_exprs, with_offset: false, with_ordinality, .. } => {
                return self.unnest_in_from(array_exprs, *with_ordinality, alias.as_ref(), left);
            }
            TableFactor::Derived { lateral: false, subquery, alias, sample } => {
                refuse(sample.is_some(), "TABLESAMPLE")?;
                let bound = self.query(subquery)?;
                self.derived_as(bound, alias.as_ref())?
            }
            TableFactor::Derived { lateral: true, subquery, alias, .. } => {
                let (plan, scope) = self.lateral(subquery, alias.as_ref(), left)?;
                return Ok(FromItem::Independent(plan, scope));
            }
            TableFactor::NestedJoin { table_with_joins, alias } => {
                let (plan, scope) = self.table_with_joins(table_with_joins, None)?;
                match alias {
                    None => (plan, scope),
                    Some(alias) => (plan, scope.as_one(alias)?),
                }
            }
            other => return Err(Error::unsupported(format!("{other} in FROM is not supported"))),
        };
        Ok(FromItem::Independent(plan, scope))
    }

    fn named(&mut self, name: &ObjectName, alias: Option<&TableAlias>) -> Result<(LogicalPlan, Scope)> {
        let name = Name::of_object(name)?;
        let called = alias.map(|alias| fold(&alias.name));
        let (plan, mut scope) = self.relation(&name, called.as_deref())?;
        if let Some(alias) = alias {
            scope.rename(alias)?;
        }
        Ok((plan, scope))
    }

    fn derived_as(&mut self, bound: Bound, alias: Option<&TableAlias>) -> Result<(LogicalPlan, Scope)> {
        let Some(alias) = alias else {
            return Err(Error::new(SqlState::SYNTAX_ERROR, "subquery in FROM must have an alias")
                .with_hint("For example, FROM (SELECT ...) [AS] foo."));
        };
        let (plan, mut scope) = self.derived(bound, &fold(&alias.name))?;
        scope.rename(alias)?;
        Ok((plan, scope))
    }

    /// A subquery that may look at the items to its left.
    fn lateral(
        &mut self,
        query: &Query,
        alias: Option<&TableAlias>,
        left: Option<(&LogicalPlan, &Scope)>,
    ) -> Result<(LogicalPlan, Scope)> {
        let Some((_, left)) = left else {
            let bound = self.query(query)?;
            return self.derived_as(bound, alias);
        };
        self.outer.push(Rc::new(left.clone()));
        let bound = self.query(query);
        self.outer.pop();
        let (plan, scope) = self.derived_as(bound?, alias)?;
        let LogicalPlan::SubqueryAlias(aliased) = &plan else {
            return Ok((plan, scope));
        };
        let outer_ref_columns = aliased.input.all_out_ref_exprs();
        if outer_ref_columns.is_empty() {
            return Ok((plan, scope));
        }
        let subquery = Subquery { subquery: aliased.input.clone(), outer_ref_columns, spans: Spans::new() };
        let plan =
            datafusion::logical_expr::builder::subquery_alias(LogicalPlan::Subquery(subquery), aliased.alias.clone())?;
        Ok((plan, scope))
    }
}

impl Scope {
    /// The items of both, the left ones first; `schema` is that of the joined rows.
    pub(super) fn beside(mut self, right: Scope, schema: datafusion::common::DFSchemaRef) -> Result<Scope> {
        for table in right.tables {
            let same = |other: &&super::ScopeTable| {
                other.name == table.name
                    && (other.schema == table.schema || other.schema.is_none() || table.schema.is_none())
            };
            if self.tables.iter().any(|other| same(&other)) {
                let message = format!("table name \"{}\" specified more than once", table.name);
                return Err(Error::new(SqlState::DUPLICATE_ALIAS, message));
            }
            self.tables.push(table);
        }
        self.visible.extend(right.visible);
        self.schema = schema;
        Ok(self)
    }

    /// `(a JOIN b ..) AS alias`: one item with the columns of all.
    fn as_one(self, alias: &TableAlias) -> Result<Scope> {
        let columns = self.visible.into_iter().map(|visible| (visible.name, visible.expression));
        let table = super::ScopeTable {
            name: fold(&alias.name),
            schema: None,
            hidden_name: None,
            columns: columns.collect(),
            key: None,
        };
        let mut scope = Scope::of_table(table, Arc::clone(&self.schema));
        scope.rename(alias)?;
        Ok(scope)
    }

    /// `AS alias (a, b)` gives names to the first columns of its only table.
    pub(super) fn rename(&mut self, alias: &TableAlias) -> Result<()> {
        let table = &mut self.tables[0];
        if alias.columns.len() > table.columns.len() {
            let message = format!(
                "table \"{}\" has {} columns available but {} columns specified",
                table.name,
                table.columns.len(),
                alias.columns.len()
            );
            return Err(Error::new(SqlState::INVALID_COLUMN_REFERENCE, message).at(position_of(&alias.name)));
        }
        for (index, column) in alias.columns.iter().enumerate() {
            table.columns[index].0 = fold(&column.name);
            self.visible[index].name = fold(&column.name);
        }
        Ok(())
    }
}

/// What must not be ignored silently.
pub(super) fn refuse(given: bool, construct: &str) -> Result<()> {
    match given {
        true => Err(Error::unsupported(format!("{construct} is not supported"))),
        false => Ok(()),
    }
}
