//! Settles the types of a whole plan, from the leaves up, so that every expression is typed by its final inputs.
//!
//! DataFusion's SQL planner has typed the plan already, with bigint literals and guesses; its types are not trusted here
//! but worked out again: `SELECT x + 1 FROM (SELECT 1 AS x)` adds two int4.

use std::sync::Arc;

use datafusion::arrow::datatypes::Field;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, DFSchemaRef, Result as DataFusionResult};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Projection, Union, Values};
use datafusion::optimizer::AnalyzerRule;

use super::conversion::common_type;
use super::expression::Typer;
use super::select::{Argument, bare_name};
use crate::types::{Error, Result, SqlState, SqlType};

#[derive(Debug)]
pub struct SettleTypes;

impl AnalyzerRule for SettleTypes {
    fn analyze(&self, plan: LogicalPlan, options: &ConfigOptions) -> DataFusionResult<LogicalPlan> {
        settle(plan, &DFSchema::empty(), options)
    }

    fn name(&self) -> &str {
        "settle_types"
    }
}

/// Settles a plan; `outer` are the columns of the queries around it.
pub fn settle(plan: LogicalPlan, outer: &DFSchema, options: &ConfigOptions) -> DataFusionResult<LogicalPlan> {
    let plan = plan.map_children(|child| settle(child, outer, options).map(Transformed::yes))?.data;
    let mut schema = merge_schema(&plan.inputs());
    if let LogicalPlan::TableScan(scan) = &plan {
        schema.merge(&DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?);
    }
    schema.merge(outer);
    let typer = Typer { schema: &schema, outer, options };
    match plan {
        LogicalPlan::Values(values) => settle_values(values, &typer),
        LogicalPlan::Union(union) => settle_union(union, options),
        // Limits are counts, whatever type their literals have.
        LogicalPlan::Limit(_) => Ok(plan),
        other => settle_node(other, &typer),
    }
}

fn settle_node(plan: LogicalPlan, typer: &Typer) -> DataFusionResult<LogicalPlan> {
    let names = NamePreserver::new(&plan);
    let filters = matches!(plan, LogicalPlan::Filter(_));
    let sorts = matches!(plan, LogicalPlan::Sort(_));
    let settled = plan.map_expressions(|expression| {
        let name = names.save(&expression);
        let settled = typer.settle(expression)?;
        if sorts {
            return Ok(Transformed::yes(typer.sort_key(settled)?));
        }
        let settled = if filters { typer.boolean(settled, "WHERE")? } else { settled };
        Ok(Transformed::yes(name.restore(settled)))
    })?;
    match settled.data {
        LogicalPlan::Join(mut join) => {
            join.filter = join.filter.map(|filter| typer.boolean(filter, "JOIN/ON")).transpose()?;
            join.on =
                (join.on.into_iter()).map(|(left, right)| typer.compared(left, right, "=")).collect::<Result<_>>()?;
            LogicalPlan::Join(join).recompute_schema()
        }
        other => other.recompute_schema(),
    }
}

/// The schema with other types; names, qualifiers and dependencies stay.
fn retyped(schema: &DFSchema, types: &[SqlType]) -> DataFusionResult<DFSchemaRef> {
    let fields = schema.iter().zip(types).map(|((qualifier, field), sql_type)| {
        let retyped: Field = sql_type.field(field.name(), true);
        (qualifier.cloned(), Arc::new(retyped))
    });
    Ok(Arc::new(DFSchema::new_with_metadata(fields.collect(), schema.metadata().clone())?))
}

/// What all branches of a column become; a column without any type is text.
fn column_type(branches: &[Argument], place: &str) -> Result<SqlType> {
    let mut common = SqlType::Unknown;
    for branch in branches {
        common = common_type(&common, &branch.sql_type).ok_or_else(|| {
            let (left, right) = (bare_name(&common), bare_name(&branch.sql_type));
            Error::new(SqlState::DATATYPE_MISMATCH, format!("{place} types {left} and {right} cannot be matched"))
        })?;
    }
    Ok(if common == SqlType::Unknown { SqlType::Text } else { common })
}

fn settle_values(values: Values, typer: &Typer) -> DataFusionResult<LogicalPlan> {
    let rows: Vec<Vec<Expr>> = (values.values.into_iter())
        .map(|row| row.into_iter().map(|expression| typer.settle(expression)).collect())
        .collect::<DataFusionResult<_>>()?;
    let columns = rows.first().map_or(0, Vec::len);
    let mut types = Vec::with_capacity(columns);
    for column in 0..columns {
        let cells = rows.iter().map(|row| typer.argument(&row[column])).collect::<Result<Vec<_>>>()?;
        types.push(column_type(&cells, "VALUES")?);
    }
    let cast_row = |row: Vec<Expr>| -> DataFusionResult<Vec<Expr>> {
        row.into_iter().zip(&types).map(|(cell, wanted)| Ok(typer.cast_to(cell, wanted)?)).collect()
    };
    let cast = rows.into_iter().map(cast_row).collect::<DataFusionResult<_>>()?;
    Ok(LogicalPlan::Values(Values { schema: retyped(&values.schema, &types)?, values: cast }))
}

fn settle_union(union: Union, options: &ConfigOptions) -> DataFusionResult<LogicalPlan> {
    let columns = union.schema.fields().len();
    let mut types = Vec::with_capacity(columns);
    for column in 0..columns {
        let branches = union.inputs.iter().map(|input| branch_argument(input, column)).collect::<Result<Vec<_>>>()?;
        types.push(column_type(&branches, "UNION")?);
    }
    let inputs = (union.inputs.iter())
        .map(|input| cast_branch(input, &types, options).map(Arc::new))
        .collect::<DataFusionResult<_>>()?;
    Ok(LogicalPlan::Union(Union { inputs, schema: retyped(&union.schema, &types)? }))
}

/// A branch's column; a bare literal in it has no type yet.
fn branch_argument(input: &LogicalPlan, column: usize) -> Result<Argument> {
    let field = input.schema().field(column);
    let literal = match input {
        LogicalPlan::Projection(projection) => match projection.expr[column].clone().unalias() {
            Expr::Literal(value, None) => Some(value),
            _ => None,
        },
        _ => None,
    };
    let mut argument = Argument::of(field, None);
    if matches!(literal, Some(datafusion::common::ScalarValue::Utf8(_) | datafusion::common::ScalarValue::Null)) {
        argument.sql_type = SqlType::Unknown;
    }
    Ok(argument)
}

fn cast_branch(input: &Arc<LogicalPlan>, types: &[SqlType], options: &ConfigOptions) -> DataFusionResult<LogicalPlan> {
    let fits = |(field, wanted): (&Arc<Field>, &SqlType)| SqlType::of_field(field) == *wanted;
    if input.schema().fields().iter().zip(types).all(fits) {
        return Ok(LogicalPlan::clone(input));
    }
    let (source, expressions) = match input.as_ref() {
        LogicalPlan::Projection(projection) => (projection.input.clone(), projection.expr.clone()),
        _ => (input.clone(), input.schema().columns().into_iter().map(Expr::Column).collect()),
    };
    let outer = DFSchema::empty();
    let typer = Typer { schema: source.schema(), outer: &outer, options };
    let cast = expressions.into_iter().zip(types).map(|(expression, wanted)| {
        let (relation, name) = expression.qualified_name();
        let inner = match expression {
            Expr::Alias(alias) => *alias.expr,
            other => other,
        };
        let cast = typer.cast_to(inner, wanted)?;
        Ok(match &cast {
            Expr::Column(column) if column.name == name && column.relation == relation => cast,
            _ => cast.alias_qualified(relation, name),
        })
    });
    let expressions = cast.collect::<DataFusionResult<Vec<_>>>()?;
    debug_assert!(expressions.iter().all(|expression| expression.get_type(source.schema()).is_ok()));
    Ok(LogicalPlan::Projection(Projection::try_new(expressions, source)?))
}
