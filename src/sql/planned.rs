//! What the planner hands out: plans with everything that their executor must know about them.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::metadata::ScalarAndMetadata;
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::logical_expr::{Expr, LogicalPlan, TableSource};
use datafusion::physical_expr::PhysicalExpr;

use crate::catalog::UniqueKey;
use crate::types::{Error, ObjectId, Relation, Result, SqlState, SqlType, Time};

/// What a session gives to planning.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanContext {
    pub user: String,
    /// Where unqualified names are looked for, in order, without pg_catalog (which is always searched first).
    pub search_path: Vec<String>,
    /// The session's TimeZone, an IANA name.
    pub time_zone: String,
    /// What now() is, in microseconds since the epoch; None in a view, where now() is refused for the time being.
    pub now: Option<Time>,
    /// Every setting as SHOW would print it, for current_setting().
    pub settings: Vec<(String, String)>,
}

/// A relation as a scan names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RelationRef {
    Object(ObjectId),
    /// A relation of pg_catalog, information_schema or millrace, made up from the running system when it is read.
    System {
        schema: String,
        name: String,
    },
}

/// The `TableSource` of every scan that the planner makes. Whoever runs the plan puts the rows in its place.
#[derive(Debug)]
pub struct RelationSource {
    pub reference: RelationRef,
    pub schema: SchemaRef,
}

impl TableSource for RelationSource {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}

/// A query, analyzed and optimized.
#[derive(Clone, Debug)]
pub struct Planned {
    pub logical: LogicalPlan,
    /// The columns of the result, named and typed as PostgreSQL would; the key if one follows from the plan.
    pub columns: Relation,
    /// The types of `$1`, `$2`, ..., by number. Parameters are still placeholders in `logical`.
    pub parameters: Vec<SqlType>,
    /// What is scanned, once views are expanded.
    pub reads: BTreeSet<RelationRef>,
    /// What names were resolved to: views themselves, not what they read.
    pub depends_on: Vec<ObjectId>,
    /// Functions in it that may give something else the next time (`now`, `random`), as they were written; a
    /// materialized view refuses them.
    pub volatile: Vec<String>,
    /// What set_config() sets when the query runs.
    pub settings: Vec<SettingChange>,
}

/// A call of set_config(). Its arguments are constants, or parameters until they have their values.
#[derive(Clone, Debug)]
pub struct SettingChange {
    pub name: Expr,
    /// NULL sets the default.
    pub value: Expr,
    /// Until the transaction ends.
    pub is_local: bool,
}

impl SettingChange {
    /// The setting's name and its new value.
    pub fn texts(&self) -> Result<(String, Option<String>)> {
        let text = |expression: &Expr| match expression.clone().unalias() {
            Expr::Literal(value, _) if value.is_null() => Some(None),
            Expr::Literal(value, _) => value.try_as_str().map(|text| text.map(str::to_string)),
            _ => None,
        };
        match (text(&self.name), text(&self.value)) {
            (Some(Some(name)), Some(value)) => Ok((name, value)),
            (Some(None), _) => Err(Error::new(SqlState::NULL_VALUE_NOT_ALLOWED, "SET requires parameter name")),
            _ => Err(Error::internal("set_config() of what is no constant")),
        }
    }

    fn bind(&self, values: &ParamValues) -> Result<Self> {
        let bind = |expression: &Expr| match expression {
            Expr::Placeholder(placeholder) => {
                Ok::<_, Error>(Expr::Literal(values.get_placeholders_with_values(&placeholder.id)?.value, None))
            }
            other => Ok(other.clone()),
        };
        Ok(SettingChange { name: bind(&self.name)?, value: bind(&self.value)?, is_local: self.is_local })
    }
}

impl Planned {
    /// The plan with values in the places of its parameters.
    pub fn bind(&self, values: &[ScalarValue]) -> Result<Planned> {
        if values.len() != self.parameters.len() {
            let message = format!("{} parameters are given, {} are needed", values.len(), self.parameters.len());
            return Err(Error::new(SqlState::PROTOCOL_VIOLATION, message));
        }
        if values.is_empty() {
            return Ok(self.clone());
        }
        let values = values.iter().map(|value| ScalarAndMetadata::new(value.clone(), None));
        let values = ParamValues::List(values.collect());
        let logical = self.logical.clone().replace_params_with_values(&values)?;
        let settings = self.settings.iter().map(|change| change.bind(&values)).collect::<Result<_>>()?;
        Ok(Planned { logical, settings, parameters: vec![], ..self.clone() })
    }
}

/// Expressions over the rows of one relation (RETURNING).
#[derive(Clone, Debug)]
pub struct Projection {
    pub expressions: Vec<Arc<dyn PhysicalExpr>>,
    pub columns: Relation,
}

#[derive(Clone, Debug)]
pub struct InsertPlan {
    pub table: ObjectId,
    /// Rows with exactly the table's columns and types, defaults filled in; NOT NULL is for the executor to check.
    pub rows: Planned,
    pub on_conflict: Option<Conflict>,
    pub returning: Option<Projection>,
}

#[derive(Clone, Debug)]
pub struct Conflict {
    /// The keys that a new row may have in common with another: the one that was named, or all.
    pub keys: Vec<UniqueKey>,
    pub action: ConflictAction,
}

#[derive(Clone, Debug)]
pub enum ConflictAction {
    Nothing,
    /// Expressions over the existing row's columns, then the excluded row's.
    Update {
        assignments: Vec<Assignment>,
        filter: Option<Arc<dyn PhysicalExpr>>,
    },
}

#[derive(Clone, Debug)]
pub struct Assignment {
    pub column: usize,
    pub value: Arc<dyn PhysicalExpr>,
}

#[derive(Clone, Debug)]
pub struct UpdatePlan {
    pub table: ObjectId,
    /// The table's columns as they are, then as they shall be.
    pub rows: Planned,
    /// Over the new rows.
    pub returning: Option<Projection>,
}

#[derive(Clone, Debug)]
pub struct DeletePlan {
    pub table: ObjectId,
    /// The table's columns.
    pub rows: Planned,
    pub returning: Option<Projection>,
}

/// How the rows of a COPY FROM become the table's.
#[derive(Clone, Debug)]
pub struct CopyPlan {
    pub table: ObjectId,
    /// What the client sends.
    pub copied: Relation,
    /// The table's columns, from those that the client sends.
    pub complete: Projection,
}
