//! The planner's door: queries, modifications, views and single expressions, over one snapshot of the catalog.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{Column as PlanColumn, ScalarValue};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Projection as ProjectionNode, cast};
use sqlparser::ast;

use super::binder::{Binder, Bound, Output, Parameters, Place, Scope, assign};
use super::lower::infer_key;
use super::optimizer::optimize;
use super::planned::{PlanContext, Planned, RelationRef};
use super::statement::{ColumnDefinition, Name};
use super::system::SystemRelations;
use crate::catalog::{Catalog, Entry, Item, Table};
use crate::types::{Column, Error, Relation, Result, SqlState, SqlType};

/// Plans statements for one session at one moment.
pub struct Planner<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) context: &'a PlanContext,
    pub(super) system: &'a dyn SystemRelations,
    values: Option<&'a [ScalarValue]>,
}

impl<'a> Planner<'a> {
    pub fn new(catalog: &'a Catalog, context: &'a PlanContext, system: &'a dyn SystemRelations) -> Self {
        Planner { catalog, context, system, values: None }
    }

    /// Plans with the values of the parameters, instead of leaving their places open. RETURNING and ON CONFLICT hold
    /// expressions that are ready to run: if they use parameters, this is the only way to run them.
    pub fn with_values(self, values: &'a [ScalarValue]) -> Self {
        Planner { values: Some(values), ..self }
    }

    /// A query. `declared` holds the types of parameters that the client gave.
    pub fn query(&self, query: &ast::Query, declared: &[Option<SqlType>]) -> Result<Planned> {
        let (planned, ()) = self.plan(declared, |binder| Ok((binder.query(query)?, ())))?;
        Ok(planned)
    }

    /// The query of a view or of CREATE TABLE AS; `columns` name its first columns. Names must differ, and parameters
    /// have no values to come.
    pub fn view(&self, query: &ast::Query, columns: &[String]) -> Result<Planned> {
        let mut planned = self.query(query, &[])?;
        if !planned.parameters.is_empty() {
            return Err(Error::new(SqlState::UNDEFINED_PARAMETER, "there is no parameter $1"));
        }
        if columns.len() > planned.columns.columns.len() {
            let message = "more column names are specified than the query has columns";
            return Err(Error::new(SqlState::SYNTAX_ERROR, message));
        }
        for (column, name) in planned.columns.columns.iter_mut().zip(columns) {
            column.name = name.clone();
        }
        distinct_names(planned.columns.columns.iter().map(|column| column.name.as_str()))?;
        Ok(planned)
    }

    /// `TABLE name`, or some of its columns: what COPY TO and SUBSCRIBE read.
    pub fn table(&self, name: &Name, columns: &[String]) -> Result<Planned> {
        let (planned, ()) = self.plan(&[], |binder| {
            let (plan, scope) = binder.relation(name, None)?;
            let mut bound = binder.every_column(plan, &scope)?;
            if !columns.is_empty() {
                bound = chosen(bound, &name.name, columns)?;
            }
            Ok((bound, ()))
        })?;
        Ok(planned)
    }

    /// The value of an expression without columns, as a type: SET, EXECUTE's arguments, AS OF.
    pub fn constant(&self, expression: &ast::Expr, wanted: Option<&SqlType>) -> Result<ScalarValue> {
        let (planned, ()) = self.plan(&[], |binder| {
            let value = binder.expression(expression, &Scope::empty(), Place::Constant)?;
            let value = match wanted {
                Some(wanted) => {
                    let column = Column::new("argument", wanted.clone(), true);
                    assign(value, &datafusion::common::DFSchema::empty(), &column)?
                }
                None => value,
            };
            let plan = LogicalPlanBuilder::empty(true).project(vec![value.alias("value")])?.build()?;
            let column = PlanColumn::new_unqualified("value");
            Ok((Bound { plan, columns: vec![Output { name: "value".into(), column, is_unknown: false }] }, ()))
        })?;
        let expressions = super::returning::flattened(&planned.logical)?;
        let Some(expression) = expressions.into_iter().next() else {
            return Err(Error::internal("a constant without a value"));
        };
        super::returning::evaluate(&expression, self.context)
    }

    /// Checks that a DEFAULT can be computed and assigned.
    pub fn check_default(&self, column: &ColumnDefinition) -> Result<()> {
        let Some(text) = &column.default else { return Ok(()) };
        let expression = super::parse_expression(text)?;
        let declared = Column::new(column.name.clone(), column.sql_type.clone(), true);
        self.plan(&[], |binder| {
            let value = binder.expression(&expression, &Scope::empty(), Place::Default)?;
            let value = assign(value, &datafusion::common::DFSchema::empty(), &declared).map_err(|error| {
                match error.state() == SqlState::DATATYPE_MISMATCH {
                    true => error.at(column.position),
                    false => error,
                }
            })?;
            let plan = LogicalPlanBuilder::empty(true).project(vec![value.alias("value")])?.build()?;
            let column = PlanColumn::new_unqualified("value");
            Ok((Bound { plan, columns: vec![Output { name: "value".into(), column, is_unknown: false }] }, ()))
        })?;
        Ok(())
    }

    /// The table that a modification names.
    pub(super) fn target(&self, name: &Name, verb: &str) -> Result<(&'a Entry, &'a Table)> {
        let catalog: &'a Catalog = self.catalog;
        let found = catalog.relation(name.schema.as_deref(), &name.name, &self.context.search_path);
        let Some(entry) = found else {
            let system = name.schema.as_deref().unwrap_or("pg_catalog");
            if self.system.relation(system, &name.name).is_some() {
                let message = format!("permission denied: \"{}\" is a system catalog", name.name);
                return Err(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message).at(name.position));
            }
            let message = format!("relation \"{name}\" does not exist");
            return Err(Error::new(SqlState::UNDEFINED_TABLE, message).at(name.position));
        };
        match &entry.item {
            Item::Table(table) => Ok((entry, table)),
            _ => {
                let message = format!("cannot {verb} {} \"{}\"", entry.kind(), entry.name);
                Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message)
                    .with_detail("Only tables can be written to.")
                    .at(name.position))
            }
        }
    }

    /// Binds, twice if uses of parameters decide each other's types, then analyzes and optimizes.
    pub(super) fn plan<T>(
        &self,
        declared: &[Option<SqlType>],
        bind: impl Fn(&mut Binder) -> Result<(Bound, T)>,
    ) -> Result<(Planned, T)> {
        let mut parameters = Parameters::declared(declared);
        if let Some(values) = self.values {
            parameters = parameters.with_values(values)?;
        }
        loop {
            let before = parameters.settled_types();
            let mut binder = Binder::new(self.catalog, self.context, self.system, parameters);
            let (bound, more) = bind(&mut binder)?;
            if before.is_some() && before == binder.parameters.settled_types() {
                return Ok((self.finish(binder, bound)?, more));
            }
            parameters = binder.parameters;
            parameters.settle()?;
        }
    }

    fn finish(&self, binder: Binder, bound: Bound) -> Result<Planned> {
        let logical = optimize(bound.plan, self.context)?;
        let logical = with_our_types(logical)?;
        let primary_key = |reference: &RelationRef| match reference {
            RelationRef::Object(id) => self.catalog.get(*id)?.relation()?.key.clone(),
            RelationRef::System { .. } => None,
        };
        let key = infer_key(&logical, &primary_key);
        let fields = logical.schema().fields();
        let columns = bound
            .columns
            .into_iter()
            .zip(fields)
            .map(|(output, field)| Column::new(output.name, SqlType::of_field(field), field.is_nullable()));
        Ok(Planned {
            columns: Relation { columns: columns.collect(), key },
            logical,
            parameters: binder.parameters.open_types(),
            reads: binder.reads,
            depends_on: binder.depends_on.into_iter().collect(),
            volatile: binder.volatile.into_iter().collect(),
            settings: binder.settings,
        })
    }
}

/// The columns that CREATE TABLE and CREATE SOURCE declare; those of a key are never NULL.
pub fn relation_of(definitions: &[ColumnDefinition], key: Option<&[String]>) -> Result<Relation> {
    distinct_names(definitions.iter().map(|definition| definition.name.as_str()))?;
    let columns = definitions.iter().map(|definition| {
        let in_key = key.is_some_and(|key| key.contains(&definition.name));
        Column::new(definition.name.clone(), definition.sql_type.clone(), !definition.not_null && !in_key)
    });
    let mut relation = Relation::new(columns.collect());
    if let Some(key) = key {
        relation.key = Some(key_positions(&relation, key, "primary key")?);
    }
    Ok(relation)
}

/// Where the columns are that a constraint of this kind names, each once.
pub fn key_positions(relation: &Relation, names: &[String], constraint: &str) -> Result<Vec<usize>> {
    let mut positions = Vec::with_capacity(names.len());
    for name in names {
        let Some(position) = relation.position(name) else {
            let message = format!("column \"{name}\" named in key does not exist");
            return Err(Error::new(SqlState::UNDEFINED_COLUMN, message));
        };
        if positions.contains(&position) {
            let message = format!("column \"{name}\" appears twice in {constraint} constraint");
            return Err(Error::new(SqlState::DUPLICATE_COLUMN, message));
        }
        positions.push(position);
    }
    Ok(positions)
}

fn distinct_names<'n>(names: impl Iterator<Item = &'n str>) -> Result<()> {
    let mut seen = std::collections::HashSet::new();
    for name in names {
        if !seen.insert(name) {
            let message = format!("column \"{name}\" specified more than once");
            return Err(Error::new(SqlState::DUPLICATE_COLUMN, message));
        }
    }
    Ok(())
}

/// Some of the columns, in the order of their names.
fn chosen(bound: Bound, relation: &str, names: &[String]) -> Result<Bound> {
    let mut columns = Vec::new();
    for name in names {
        let Some(found) = bound.columns.iter().find(|output| output.name == *name) else {
            let message = format!("column \"{name}\" of relation \"{relation}\" does not exist");
            return Err(Error::new(SqlState::UNDEFINED_COLUMN, message));
        };
        columns.push(found.clone());
    }
    distinct_names(names.iter().map(String::as_str))?;
    let expressions = columns.iter().map(|output| Expr::Column(output.column.clone())).collect();
    let plan = LogicalPlan::Projection(ProjectionNode::try_new(expressions, Arc::new(bound.plan))?);
    Ok(Bound { plan, columns })
}

/// DataFusion's functions give types that no SQL type is carried by: views of text, unsigned numbers, nanoseconds.
fn with_our_types(plan: LogicalPlan) -> Result<LogicalPlan> {
    let schema = plan.schema().clone();
    let mut expressions = Vec::new();
    let mut changed = false;
    for (qualifier, field) in schema.iter() {
        let column = Expr::Column(PlanColumn::new(qualifier.cloned(), field.name()));
        let wanted = carried(field.data_type());
        if wanted == *field.data_type() {
            expressions.push(column);
        } else {
            changed = true;
            expressions.push(cast(column, wanted).alias_qualified(qualifier.cloned(), field.name()));
        }
    }
    match changed {
        true => Ok(LogicalPlan::Projection(ProjectionNode::try_new(expressions, Arc::new(plan))?)),
        false => Ok(plan),
    }
}

fn carried(found: &DataType) -> DataType {
    match found {
        DataType::Utf8View | DataType::LargeUtf8 | DataType::Null => DataType::Utf8,
        DataType::UInt64 => DataType::Int64,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt8 | DataType::Int8 => DataType::Int16,
        DataType::Float16 => DataType::Float32,
        DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        DataType::Date64 => DataType::Date32,
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::Timestamp(_, None) => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Timestamp(_, Some(_)) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
        DataType::Interval(_) | DataType::Duration(_) => SqlType::Interval.arrow(),
        DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            DataType::List(Arc::new(item.as_ref().clone().with_data_type(carried(item.data_type()))))
        }
        DataType::List(item) if carried(item.data_type()) != *item.data_type() => {
            DataType::List(Arc::new(item.as_ref().clone().with_data_type(carried(item.data_type()))))
        }
        other => other.clone(),
    }
}
