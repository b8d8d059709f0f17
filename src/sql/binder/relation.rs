//! Relations by name: WITH queries, then what the catalog and the running system have. Views are replaced by their query.

use std::sync::Arc;

use datafusion::common::{Column, TableReference};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};

use super::scope::{Scope, ScopeTable, Visible};
use super::{Binder, Bound};
use crate::catalog::{Entry, Item, View, is_system_schema};
use crate::sql::parse::parse_query;
use crate::sql::planned::{RelationRef, RelationSource};
use crate::sql::statement::Name;
use crate::types::{Error, Relation, Result, SqlState};

/// How deep views may use one another.
const VIEW_DEPTH_MAX: usize = 64;

impl Binder<'_> {
    /// What a name in FROM stands for, by the given alias.
    pub fn relation(&mut self, name: &Name, alias: Option<&str>) -> Result<(LogicalPlan, Scope)> {
        if name.schema.is_none()
            && let Some(table) = self.common_tables.get(&name.name).cloned()
        {
            return self.derived(table.bound.clone(), alias.unwrap_or(&name.name));
        }
        let system = match name.schema.as_deref() {
            Some(schema) if is_system_schema(schema) => self.system_relation(schema, name),
            Some(_) => None,
            None => self.system_relation("pg_catalog", name),
        };
        if let Some((reference, relation)) = system {
            return self.scan(reference, &relation, name, alias, None);
        }
        let catalog = self.catalog;
        match catalog.relation(name.schema.as_deref(), &name.name, &self.search_path) {
            Some(entry) => self.entry(entry, name, alias),
            None => match self.unqualified_system_relation(name) {
                Some((reference, relation)) => self.scan(reference, &relation, name, alias, None),
                None => Err(self.undefined_table(name)),
            },
        }
    }

    fn entry(&mut self, entry: &Entry, name: &Name, alias: Option<&str>) -> Result<(LogicalPlan, Scope)> {
        if self.view_depth == 0 {
            self.depends_on.insert(entry.id);
        }
        match (&entry.item, entry.relation()) {
            (Item::View(view), _) => {
                let bound = self.view(entry, view)?;
                let (plan, mut scope) = self.derived(bound, alias.unwrap_or(&name.name))?;
                if alias.is_none() {
                    scope.tables[0].schema = Some(entry.schema.clone());
                }
                Ok((plan, scope))
            }
            (Item::Source(_), None) => {
                let message = format!("\"{}\" has several relations", name.name);
                Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message)
                    .with_hint(format!("They are in the schema \"{}\".", name.name))
                    .at(name.position))
            }
            (_, Some(relation)) => self.scan(RelationRef::Object(entry.id), relation, name, alias, Some(&entry.schema)),
            (_, None) => {
                let message = format!("cannot open relation \"{}\"", name.name);
                Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message)
                    .with_detail(format!("This operation is not supported for {}es.", entry.kind()))
                    .at(name.position))
            }
        }
    }

    /// Whether the schema of `name` is missing, or only the relation.
    pub fn undefined_table(&self, name: &Name) -> Error {
        let message = format!("relation \"{name}\" does not exist");
        Error::new(SqlState::UNDEFINED_TABLE, message).at(name.position)
    }

    fn system_relation(&self, schema: &str, name: &Name) -> Option<(RelationRef, Relation)> {
        let relation = self.system.relation(schema, &name.name)?;
        Some((RelationRef::System { schema: schema.to_string(), name: name.name.clone() }, relation))
    }

    /// System schemas other than pg_catalog are searched only if the search path names them.
    fn unqualified_system_relation(&self, name: &Name) -> Option<(RelationRef, Relation)> {
        if name.schema.is_some() {
            return None;
        }
        let listed = self.search_path.iter().filter(|schema| is_system_schema(schema));
        listed.into_iter().find_map(|schema| self.system_relation(schema, name))
    }

    fn scan(
        &mut self,
        reference: RelationRef,
        relation: &Relation,
        name: &Name,
        alias: Option<&str>,
        schema: Option<&String>,
    ) -> Result<(LogicalPlan, Scope)> {
        self.reads.insert(reference.clone());
        let called = alias.unwrap_or(&name.name);
        let qualifier = self.qualifier(called);
        let source = RelationSource { reference, schema: relation.schema() };
        let mut builder = LogicalPlanBuilder::scan(TableReference::bare(name.name.clone()), Arc::new(source), None)?;
        if qualifier != name.name {
            builder = builder.alias(TableReference::bare(qualifier.clone()))?;
        }
        let plan = builder.build()?;
        let columns = relation.columns.iter().map(|column| {
            let reference = Column::new(Some(TableReference::bare(qualifier.clone())), column.name.clone());
            (column.name.clone(), Expr::Column(reference))
        });
        let mut table = ScopeTable {
            name: called.to_string(),
            schema: None,
            hidden_name: None,
            columns: columns.collect(),
            key: relation.key.clone(),
        };
        match alias {
            Some(alias) if alias != name.name => table.hidden_name = Some(name.name.clone()),
            Some(_) => {}
            None => table.schema = schema.cloned().or_else(|| name.schema.clone()),
        }
        Ok((plan.clone(), Scope::of_table(table, plan.schema().clone())))
    }

    /// A query in FROM, by its alias.
    pub(super) fn derived(&mut self, bound: Bound, alias: &str) -> Result<(LogicalPlan, Scope)> {
        let qualifier = TableReference::bare(self.qualifier(alias));
        let plan = LogicalPlanBuilder::from(bound.plan).alias(qualifier.clone())?.build()?;
        let columns = bound
            .columns
            .into_iter()
            .map(|output| (output.name, Expr::Column(Column::new(Some(qualifier.clone()), output.column.name))));
        let table = ScopeTable {
            name: alias.to_string(),
            schema: None,
            hidden_name: None,
            columns: columns.collect(),
            key: None,
        };
        let schema = plan.schema().clone();
        Ok((plan, Scope::of_table(table, schema)))
    }

    /// The query of a view, with the names and the search path that it was made with.
    fn view(&mut self, entry: &Entry, view: &View) -> Result<Bound> {
        if self.view_depth >= VIEW_DEPTH_MAX {
            let message = format!("views are nested more than {VIEW_DEPTH_MAX} deep");
            return Err(Error::new(SqlState::STATEMENT_TOO_COMPLEX, message));
        }
        let query = parse_query(&view.query)?;
        let search_path = std::mem::replace(&mut self.search_path, view.search_path.clone());
        let common_tables = std::mem::take(&mut self.common_tables);
        let outer = std::mem::take(&mut self.outer);
        self.view_depth += 1;
        let bound = self.query(&query);
        self.view_depth -= 1;
        self.outer = outer;
        self.common_tables = common_tables;
        self.search_path = search_path;
        let mut bound = bound.map_err(|error| in_view(&error, &entry.name))?;
        if bound.columns.len() != view.relation.columns.len() {
            let message = format!("view \"{}\" has other columns than when it was created", entry.name);
            return Err(Error::internal(message));
        }
        for (output, column) in bound.columns.iter_mut().zip(&view.relation.columns) {
            output.name = column.name.clone();
            output.is_unknown = false;
        }
        Ok(bound)
    }
}

impl Scope {
    pub(super) fn of_table(table: ScopeTable, schema: datafusion::common::DFSchemaRef) -> Self {
        let visible = table
            .columns
            .iter()
            .map(|(name, expression)| Visible { name: name.clone(), expression: expression.clone() });
        Scope { visible: visible.collect(), tables: vec![table], schema }
    }
}

/// An error in a view's text says which view; its position would be one in that text.
fn in_view(error: &Error, view: &str) -> Error {
    let detail = match error.detail() {
        Some(detail) => format!("In the view \"{view}\": {detail}"),
        None => format!("In the view \"{view}\"."),
    };
    let moved = Error::new(error.state(), error.message()).with_detail(detail);
    match error.hint() {
        Some(hint) => moved.with_hint(hint),
        None => moved,
    }
}
