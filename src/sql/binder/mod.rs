//! From syntax trees to logical plans, by PostgreSQL's rules: which names mean what, what is grouped, what an output
//! column is called.
//!
//! Names never reach DataFusion as they were written. Every item of FROM gets a qualifier of its own and every output
//! column a name of its own within its query (`x`, then `x:1`), so that nothing is ambiguous to DataFusion that is not
//! ambiguous to PostgreSQL; the names as they were written stay in [`Scope`] and [`Bound`]. Types are settled by
//! [`coerce`](crate::sql::coerce) when the plan is whole; a string literal stays a bare literal until then.

mod aggregate;
mod cast;
mod comparison;
mod expression;
mod from;
mod function;
mod join;
mod literal;
mod modification;
mod naming;
mod operator;
mod order;
mod output;
mod parameters;
mod query;
mod relation;
mod row;
mod scope;
mod select;
mod series;
mod session_function;
mod set_operation;
mod special_syntax;
mod srf;
mod subquery;
mod values;
mod window;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use datafusion::common::Column;
use datafusion::logical_expr::LogicalPlan;
use sqlparser::ast::NamedWindowDefinition;

use super::planned::{PlanContext, RelationRef, SettingChange};
use super::system::SystemRelations;
use crate::catalog::Catalog;
use crate::types::ObjectId;

pub use cast::assign;
pub use expression::Place;
pub use modification::{Target, is_default, read_output};
pub use parameters::Parameters;
pub use scope::{Scope, ScopeTable};

/// A query's plan, and what its columns are called. The plan's fields are unqualified and in the same order.
#[derive(Clone, Debug)]
pub struct Bound {
    pub plan: LogicalPlan,
    pub columns: Vec<Output>,
}

/// An output column of a query.
#[derive(Clone, Debug)]
pub struct Output {
    /// As the client sees it; several columns may have the same.
    pub name: String,
    /// In the plan.
    pub column: Column,
    /// A bare NULL, string literal or parameter, whose type others may still decide.
    pub is_unknown: bool,
}

/// A WITH query that is in scope.
struct CommonTable {
    bound: Bound,
}

/// Binds one statement.
pub struct Binder<'a> {
    pub catalog: &'a Catalog,
    pub context: &'a PlanContext,
    pub system: &'a dyn SystemRelations,
    pub parameters: Parameters,
    /// That of the session, or of the view that is being expanded.
    search_path: Vec<String>,
    /// WITH queries by name; inner ones hide outer ones.
    common_tables: HashMap<String, Rc<CommonTable>>,
    /// The scopes around the query that is being bound, the nearest last.
    outer: Vec<Rc<Scope>>,
    /// The WINDOW clause of the query that is being bound.
    windows: Vec<NamedWindowDefinition>,
    /// Qualifiers that are taken.
    qualifiers: HashSet<String>,
    /// How many views are being expanded.
    view_depth: usize,
    pub reads: BTreeSet<RelationRef>,
    pub depends_on: BTreeSet<ObjectId>,
    /// Functions whose results may differ between two calls, as they were written.
    pub volatile: BTreeSet<String>,
    /// Calls of set_config().
    pub settings: Vec<SettingChange>,
}

impl<'a> Binder<'a> {
    pub fn new(
        catalog: &'a Catalog,
        context: &'a PlanContext,
        system: &'a dyn SystemRelations,
        parameters: Parameters,
    ) -> Self {
        Binder {
            catalog,
            context,
            system,
            parameters,
            search_path: context.search_path.clone(),
            common_tables: HashMap::new(),
            outer: vec![],
            windows: vec![],
            qualifiers: HashSet::new(),
            view_depth: 0,
            reads: BTreeSet::new(),
            depends_on: BTreeSet::new(),
            volatile: BTreeSet::new(),
            settings: vec![],
        }
    }

    /// A qualifier that nothing else in the statement has, as near to `name` as can be.
    fn qualifier(&mut self, name: &str) -> String {
        let mut qualifier = name.to_string();
        let mut count = 1;
        while !self.qualifiers.insert(qualifier.clone()) {
            qualifier = format!("{name}_{count}");
            count += 1;
        }
        qualifier
    }
}

/// Names that differ from one another, as near to the given ones as can be.
fn unique_names<'n>(names: impl Iterator<Item = &'n str>) -> Vec<String> {
    let mut taken = HashSet::new();
    let mut unique = Vec::new();
    for name in names {
        let mut candidate = name.to_string();
        let mut count = 1;
        while !taken.insert(candidate.clone()) {
            candidate = format!("{name}:{count}");
            count += 1;
        }
        unique.push(candidate);
    }
    unique
}
