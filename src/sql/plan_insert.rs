//! INSERT and COPY FROM: rows with all of the table's columns, in its types, defaults filled in.

use datafusion::logical_expr::{Expr, LogicalPlan};
use sqlparser::ast::{
    self, ConflictTarget, Insert, ObjectNamePart, OnConflictAction, OnInsert, Query, SetExpr, TableObject,
};

use super::binder::{Binder, Bound, Place, Scope, is_default, read_output};
use super::planned::{Assignment, Conflict, ConflictAction, CopyPlan, InsertPlan, Projection};
use super::planner::Planner;
use super::returning::{RowScope, returning};
use super::statement::{Modification, Name, fold, position_of};
use crate::catalog::{Entry, Table, UniqueKey};
use crate::types::{Column, Error, Relation, Result, SqlState, SqlType};

impl Planner<'_> {
    pub fn insert(&self, modification: &Modification<Insert>, declared: &[Option<SqlType>]) -> Result<InsertPlan> {
        let Modification { with, statement: insert } = modification;
        refuse_clauses(insert)?;
        let TableObject::TableName(name) = &insert.table else {
            return Err(Error::unsupported("INSERT into anything but a table is not supported"));
        };
        let (entry, table) = self.target(&Name::of_object(name)?, "insert into")?;
        let alias = insert.table_alias.as_ref().map_or(entry.name.clone(), |alias| fold(&alias.alias));
        let (mut rows, (on_conflict, returning)) = self.plan(declared, |binder| {
            binder.with(with.as_ref())?;
            let targets = target_columns(&insert.columns, table, &entry.name)?;
            let bound = match &insert.source {
                None => default_values(binder, table)?,
                Some(query) => match plain_values(query) {
                    Some(values) => values_rows(binder, values, table, &targets, !insert.columns.is_empty())?,
                    None => query_rows(binder, query, table, &targets, !insert.columns.is_empty())?,
                },
            };
            let conflict = conflict(binder, insert.on.as_ref(), (entry, table), &alias)?;
            let scope = RowScope::new(&[(alias.as_str(), &table.relation)])?;
            let returning = returning(binder, insert.returning.as_ref(), &scope)?;
            Ok((bound, (conflict, returning)))
        })?;
        rows.columns = as_table(&table.relation);
        Ok(InsertPlan { table: entry.id, rows, on_conflict, returning })
    }

    /// COPY name [(columns)] FROM: what the client sends, and how it becomes the table's rows.
    pub fn copy_from(&self, name: &Name, columns: &[String]) -> Result<CopyPlan> {
        let (entry, table) = self.target(name, "copy to")?;
        let mut targets: Vec<usize> = (0..table.relation.columns.len()).collect();
        if !columns.is_empty() {
            targets.clear();
            for column in columns {
                add_target(&mut targets, column, table, &entry.name)?;
            }
        }
        let chosen = targets.iter().map(|&index| table.relation.columns[index].clone());
        let copied = Relation::new(chosen.map(|column| Column { nullable: true, ..column }).collect());
        let scope = RowScope::new(&[(entry.name.as_str(), &copied)])?;
        let mut binder = Binder::new(self.catalog, self.context, self.system, Default::default());
        let mut expressions = Vec::new();
        for index in 0..table.relation.columns.len() {
            expressions.push(match targets.iter().position(|&target| target == index) {
                Some(place) => scope.scope.visible[place].expression.clone(),
                None => binder.default_value(table, index)?,
            });
        }
        let compiled = scope.compile(expressions, self.context)?;
        let complete = Projection {
            expressions: compiled.into_iter().map(|(expression, _)| expression).collect(),
            columns: as_table(&table.relation),
        };
        Ok(CopyPlan { table: entry.id, copied, complete })
    }
}

/// The rows' columns are the table's; NOT NULL is checked when they are written.
fn as_table(relation: &Relation) -> Relation {
    let columns = relation.columns.iter().map(|column| Column { nullable: true, ..column.clone() });
    Relation::new(columns.collect())
}

fn target_columns(names: &[ast::ObjectName], table: &Table, relation: &str) -> Result<Vec<usize>> {
    if names.is_empty() {
        return Ok((0..table.relation.columns.len()).collect());
    }
    let mut targets = Vec::new();
    for name in names {
        let [ObjectNamePart::Identifier(ident)] = name.0.as_slice() else {
            return Err(Error::unsupported(format!("the target {name} of an INSERT is not supported")));
        };
        add_target(&mut targets, &fold(ident), table, relation).map_err(|error| error.at(position_of(ident)))?;
    }
    Ok(targets)
}

fn add_target(targets: &mut Vec<usize>, name: &str, table: &Table, relation: &str) -> Result<()> {
    let Some(index) = table.relation.position(name) else {
        let message = format!("column \"{name}\" of relation \"{relation}\" does not exist");
        return Err(Error::new(SqlState::UNDEFINED_COLUMN, message));
    };
    if targets.contains(&index) {
        let message = format!("column \"{name}\" specified more than once");
        return Err(Error::new(SqlState::DUPLICATE_COLUMN, message));
    }
    targets.push(index);
    Ok(())
}

/// The rows of a bare VALUES, in which DEFAULT may stand.
fn plain_values(query: &Query) -> Option<&ast::Values> {
    let is_plain =
        query.with.is_none() && query.order_by.is_none() && query.limit_clause.is_none() && query.fetch.is_none();
    match query.body.as_ref() {
        SetExpr::Values(values) if is_plain => Some(values),
        _ => None,
    }
}

fn default_values(binder: &mut Binder, table: &Table) -> Result<Bound> {
    let mut row = Vec::new();
    for index in 0..table.relation.columns.len() {
        row.push(binder.default_value(table, index)?);
    }
    as_columns(binder, vec![row], table)
}

fn values_rows(
    binder: &mut Binder,
    values: &ast::Values,
    table: &Table,
    targets: &[usize],
    named: bool,
) -> Result<Bound> {
    let scope = Scope::empty();
    let mut rows = Vec::with_capacity(values.rows.len());
    let first = values.rows.first().map_or(0, |row| row.content.len());
    for row in &values.rows {
        if row.content.len() != first {
            return Err(Error::new(SqlState::SYNTAX_ERROR, "VALUES lists must all be the same length"));
        }
        check_count(row.content.len(), targets.len(), named)?;
        let mut complete = Vec::with_capacity(table.relation.columns.len());
        for index in 0..table.relation.columns.len() {
            let place = targets.iter().position(|&target| target == index);
            let written = place.and_then(|place| row.content.get(place)).filter(|value| !is_default(value));
            complete.push(match written {
                None => binder.default_value(table, index)?,
                Some(value) => {
                    let column = &table.relation.columns[index];
                    let bound = binder.expression(value, &scope, Place::Values)?;
                    binder.assigned(bound, value, &scope, column)?
                }
            });
        }
        rows.push(complete);
    }
    as_columns(binder, rows, table)
}

fn check_count(given: usize, targets: usize, named: bool) -> Result<()> {
    if given > targets {
        return Err(Error::new(SqlState::SYNTAX_ERROR, "INSERT has more expressions than target columns"));
    }
    if named && given < targets {
        return Err(Error::new(SqlState::SYNTAX_ERROR, "INSERT has more target columns than expressions"));
    }
    Ok(())
}

/// Rows that are of the table's types already, under the table's names.
fn as_columns(binder: &mut Binder, rows: Vec<Vec<Expr>>, table: &Table) -> Result<Bound> {
    let bound = binder.value_rows(rows)?;
    let items = table.relation.columns.iter().zip(&bound.columns);
    let items = items.map(|(column, output)| (column.name.clone(), Expr::Column(output.column.clone()))).collect();
    binder.project(bound.plan, items)
}

fn query_rows(binder: &mut Binder, query: &Query, table: &Table, targets: &[usize], named: bool) -> Result<Bound> {
    let bound = binder.query(query)?;
    check_count(bound.columns.len(), targets.len(), named)?;
    let schema = bound.plan.schema().clone();
    let mut items = Vec::new();
    for (index, column) in table.relation.columns.iter().enumerate() {
        let output = targets.iter().position(|&target| target == index).and_then(|place| bound.columns.get(place));
        let value = match output {
            None => binder.default_value(table, index)?,
            Some(output) => read_output(output, &schema, column)?,
        };
        items.push((column.name.clone(), value));
    }
    let plan: LogicalPlan = bound.plan;
    binder.project(plan, items)
}

fn conflict(
    binder: &mut Binder,
    on: Option<&OnInsert>,
    (entry, table): (&Entry, &Table),
    alias: &str,
) -> Result<Option<Conflict>> {
    let on = match on {
        None => return Ok(None),
        Some(OnInsert::OnConflict(on)) => on,
        Some(_) => {
            return Err(Error::unsupported("ON DUPLICATE KEY UPDATE is not supported").with_hint("Use ON CONFLICT."));
        }
    };
    let keys = binder.catalog.unique_keys(entry.id);
    let keys = match &on.conflict_target {
        None => keys,
        Some(ConflictTarget::OnConstraint(name)) => vec![key_of_name(keys, name, &entry.name)?],
        Some(ConflictTarget::Columns(names)) => vec![key_of_columns(keys, names, table)?],
    };
    let action = match &on.action {
        OnConflictAction::DoNothing => ConflictAction::Nothing,
        OnConflictAction::DoUpdate(_) if on.conflict_target.is_none() => {
            let message = "ON CONFLICT DO UPDATE requires inference specification or constraint name";
            return Err(
                Error::new(SqlState::SYNTAX_ERROR, message).with_hint("For example, ON CONFLICT (column_name).")
            );
        }
        OnConflictAction::DoUpdate(update) => {
            let rows = RowScope::new(&[(alias, &table.relation), ("excluded", &table.relation)])?;
            // A bare name means the existing row's column.
            let mut scope = rows.scope.clone();
            scope.visible.truncate(table.relation.columns.len());
            let assigned = binder.assignments(&update.assignments, table, &scope)?;
            let (columns, mut values): (Vec<_>, Vec<_>) = assigned.into_iter().unzip();
            if let Some(selection) = &update.selection {
                values.push(binder.condition(selection, &scope, Place::Where)?);
            }
            let compiled = rows.compile(values, binder.context)?;
            let mut compiled = compiled.into_iter().map(|(expression, _)| expression);
            let values = compiled.by_ref().take(columns.len()).collect::<Vec<_>>();
            let pairs = columns.into_iter().zip(values);
            let assignments = pairs.map(|(column, value)| Assignment { column, value }).collect();
            ConflictAction::Update { assignments, filter: compiled.next() }
        }
    };
    Ok(Some(Conflict { keys, action }))
}

/// ON CONFLICT (columns): those of a unique key, since no other conflict can be found.
fn key_of_columns(keys: Vec<UniqueKey>, names: &[ast::Ident], table: &Table) -> Result<UniqueKey> {
    let mut target = Vec::new();
    for ident in names {
        let name = fold(ident);
        let Some(position) = table.relation.position(&name) else {
            let message = format!("column \"{name}\" does not exist");
            return Err(Error::new(SqlState::UNDEFINED_COLUMN, message).at(position_of(ident)));
        };
        target.push(position);
    }
    keys.into_iter().find(|key| key.is_over(&target)).ok_or_else(|| {
        let message = "there is no unique or exclusion constraint matching the ON CONFLICT specification";
        Error::new(SqlState::INVALID_COLUMN_REFERENCE, message)
    })
}

/// ON CONFLICT ON CONSTRAINT name.
fn key_of_name(keys: Vec<UniqueKey>, name: &ast::ObjectName, table: &str) -> Result<UniqueKey> {
    let name = Name::of_object(name)?.name;
    keys.into_iter().find(|key| key.is_constraint && key.name == name).ok_or_else(|| {
        let message = format!("constraint \"{name}\" for table \"{table}\" does not exist");
        Error::new(SqlState::UNDEFINED_OBJECT, message)
    })
}

fn refuse_clauses(insert: &Insert) -> Result<()> {
    let refused = [
        (insert.or.is_some() || insert.ignore || insert.replace_into, "INSERT OR, INSERT IGNORE or REPLACE"),
        (insert.overwrite, "INSERT OVERWRITE"),
        (insert.partitioned.is_some() || !insert.after_columns.is_empty(), "INSERT into partitions"),
        (!insert.assignments.is_empty(), "INSERT ... SET"),
        (insert.insert_alias.is_some(), "an alias of the inserted rows"),
        (insert.output.is_some(), "OUTPUT"),
        (insert.settings.is_some() || insert.format_clause.is_some(), "SETTINGS or FORMAT"),
        (!insert.multi_table_into_clauses.is_empty(), "INSERT into several tables"),
    ];
    match refused.into_iter().find(|(given, _)| *given) {
        Some((_, construct)) => Err(Error::unsupported(format!("{construct} is not supported"))),
        None => Ok(()),
    }
}
