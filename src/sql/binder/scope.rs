//! What names mean inside one query: the items of its FROM clause and their columns.

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, DFSchema, DFSchemaRef, Location, Span, Spans};
use datafusion::logical_expr::Expr;
use sqlparser::ast;

use super::Binder;
use crate::sql::statement::{fold, position_of};
use crate::types::{Error, Result, SqlState};

/// The FROM clause of one query.
#[derive(Clone, Debug)]
pub struct Scope {
    pub tables: Vec<ScopeTable>,
    /// What `*` expands to, and what a bare name is looked for in: columns that USING merged are here once.
    pub visible: Vec<Visible>,
    /// Of the plan that gives the rows.
    pub schema: DFSchemaRef,
}

/// An item of FROM, by the name that qualifies its columns.
#[derive(Clone, Debug)]
pub struct ScopeTable {
    pub name: String,
    /// Where the relation is, unless an alias hides it: `schema.table.column` can name its columns then.
    pub schema: Option<String>,
    /// What an alias hides, for the error about it.
    pub hidden_name: Option<String>,
    pub columns: Vec<(String, Expr)>,
    /// Positions of columns that determine the others.
    pub key: Option<Vec<usize>>,
}

/// A column that a bare name can mean.
#[derive(Clone, Debug)]
pub struct Visible {
    pub name: String,
    pub expression: Expr,
}

/// What looking for a name in one scope gives.
enum Found {
    Nothing,
    One(Expr),
    Several,
}

impl Scope {
    /// Nothing in FROM.
    pub fn empty() -> Self {
        Scope { tables: vec![], visible: vec![], schema: DFSchemaRef::new(DFSchema::empty()) }
    }

    fn bare(&self, name: &str) -> Found {
        one(self.visible.iter().filter(|visible| visible.name == name).map(|visible| &visible.expression))
    }

    fn table(&self, schema: Option<&str>, name: &str) -> Option<&ScopeTable> {
        self.tables.iter().find(|table| {
            table.name == name
                && (schema.is_none() || (table.schema.as_deref() == schema && table.hidden_name.is_none()))
        })
    }
}

impl ScopeTable {
    fn column(&self, name: &str) -> Found {
        one(self.columns.iter().filter(|(column, _)| column == name).map(|(_, expression)| expression))
    }
}

fn one<'e>(mut found: impl Iterator<Item = &'e Expr>) -> Found {
    match (found.next(), found.next()) {
        (None, _) => Found::Nothing,
        (Some(expression), None) => Found::One(expression.clone()),
        _ => Found::Several,
    }
}

impl Binder<'_> {
    /// A column by a bare name: of this query, or of the nearest query around it that has one.
    pub(super) fn bare_column(&self, ident: &ast::Ident, scope: &Scope) -> Result<Expr> {
        let name = fold(ident);
        let position = position_of(ident);
        for (depth, scope) in self.scopes(scope).enumerate() {
            match scope.bare(&name) {
                Found::Nothing => {}
                Found::One(expression) => return Ok(placed(expression, scope, depth > 0, position)),
                Found::Several => return Err(ambiguous(&name).at(position)),
            }
        }
        if self.scopes(scope).any(|scope| scope.table(None, &name).is_some()) {
            return Err(Error::unsupported(format!("the row of \"{name}\" as a value is not supported")).at(position));
        }
        let error = Error::new(SqlState::UNDEFINED_COLUMN, format!("column \"{name}\" does not exist")).at(position);
        Err(with_near_name(error, self.scopes(scope).flat_map(|scope| &scope.tables), &name))
    }

    /// A column by `table.column`, `schema.table.column` or `database.schema.table.column`.
    pub(super) fn qualified_column(&self, idents: &[ast::Ident], scope: &Scope) -> Result<Expr> {
        let position = position_of(&idents[0]);
        let mut parts: Vec<String> = idents.iter().map(fold).collect();
        let column = parts.pop().expect("a qualified name has parts");
        let table = crate::sql::statement::Name::of_parts(parts, position)?;
        for (depth, scope) in self.scopes(scope).enumerate() {
            let Some(found) = scope.table(table.schema.as_deref(), &table.name) else {
                continue;
            };
            return match found.column(&column) {
                Found::One(expression) => Ok(placed(expression, scope, depth > 0, position)),
                Found::Several => Err(ambiguous(&column).at(position)),
                Found::Nothing => {
                    let message = format!("column {}.{column} does not exist", table.name);
                    let error = Error::new(SqlState::UNDEFINED_COLUMN, message).at(position);
                    Err(with_near_name(error, std::iter::once(found), &column))
                }
            };
        }
        Err(self.missing_table(&table.name, scope).at(position))
    }

    /// The item of FROM that `table.*` names.
    pub(super) fn table_in_scope<'s>(&self, name: &ast::ObjectName, scope: &'s Scope) -> Result<&'s ScopeTable> {
        let name = crate::sql::statement::Name::of_object(name)?;
        match scope.table(name.schema.as_deref(), &name.name) {
            Some(table) => Ok(table),
            None => Err(self.missing_table(&name.name, scope).at(name.position)),
        }
    }

    fn missing_table(&self, name: &str, scope: &Scope) -> Error {
        let hidden =
            self.scopes(scope).flat_map(|scope| &scope.tables).find(|table| table.hidden_name.as_deref() == Some(name));
        match hidden {
            Some(table) => {
                let message = format!("invalid reference to FROM-clause entry for table \"{name}\"");
                let hint = format!("Perhaps you meant to reference the table alias \"{}\".", table.name);
                Error::new(SqlState::UNDEFINED_TABLE, message).with_hint(hint)
            }
            None => Error::new(SqlState::UNDEFINED_TABLE, format!("missing FROM-clause entry for table \"{name}\"")),
        }
    }

    /// The scope of this query, then those around it, the nearest first.
    fn scopes<'s>(&'s self, scope: &'s Scope) -> impl Iterator<Item = &'s Scope> {
        std::iter::once(scope).chain(self.outer.iter().rev().map(|outer| outer.as_ref()))
    }
}

fn ambiguous(name: &str) -> Error {
    Error::new(SqlState::AMBIGUOUS_COLUMN, format!("column reference \"{name}\" is ambiguous"))
}

/// The expression with the place of its name, for errors about it; columns of a query around this one are marked.
fn placed(expression: Expr, scope: &Scope, is_outer: bool, position: usize) -> Expr {
    let here = Location { line: 1, column: position as u64 };
    let spans = Spans(vec![Span { start: here, end: here }]);
    let mark = |expression| match expression {
        Expr::Column(column) if is_outer => {
            let field = scope.schema.qualified_field_from_column(&column).map(|(_, field)| field.clone());
            match field {
                Ok(field) => Transformed::yes(Expr::OuterReferenceColumn(field, column)),
                Err(_) => Transformed::no(Expr::Column(column)),
            }
        }
        Expr::Column(column) => Transformed::yes(Expr::Column(Column { spans: spans.clone(), ..column })),
        other => Transformed::no(other),
    };
    let marked = expression.transform(|expression| Ok(mark(expression))).data();
    marked.expect("the closure gives no error")
}

/// Adds PostgreSQL's hint if a column has nearly this name.
fn with_near_name<'t>(error: Error, tables: impl Iterator<Item = &'t ScopeTable>, name: &str) -> Error {
    let columns = tables.flat_map(|table| table.columns.iter().map(move |(column, _)| (table.name.as_str(), column)));
    let limit = name.chars().count().div_ceil(2).min(3);
    let near = columns.map(|(table, column)| (edits(name, column), table, column)).min_by_key(|(edits, ..)| *edits);
    match near {
        Some((edits, table, column)) if edits <= limit && edits < name.chars().count() => {
            error.with_hint(format!("Perhaps you meant to reference the column \"{table}.{column}\"."))
        }
        _ => error,
    }
}

/// Levenshtein's distance.
fn edits(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, character) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in right.iter().enumerate() {
            let substituted = diagonal + usize::from(character != *other);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}
