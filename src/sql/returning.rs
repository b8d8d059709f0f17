//! Expressions over one relation's rows, ready to run: RETURNING, ON CONFLICT DO UPDATE, defaults of a COPY.
//!
//! They go through the same rules as every plan: a projection over a scan is optimized, and what is left of it is put
//! together again as one expression per column over the scan's columns.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column as PlanColumn, DFSchema, Result as DataFusionResult, ScalarValue, TableReference};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, LogicalPlanBuilder, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use sqlparser::ast::SelectItem;

use super::binder::{Binder, Scope, ScopeTable};
use super::optimizer::optimize;
use super::planned::{PlanContext, Projection, RelationRef, RelationSource};
use crate::types::{Column, Error, Relation, Result, SqlType};

/// The rows that expressions are over: one relation under several names (the table's, `excluded`).
pub(super) struct RowScope {
    pub scope: Scope,
    plan: LogicalPlan,
    schema: DFSchema,
}

/// The qualifier of the scan.
const ROW: &str = "row";

impl RowScope {
    /// Each part's columns under its name, one part after the other.
    pub fn new(parts: &[(&str, &Relation)]) -> Result<Self> {
        let columns = parts.iter().flat_map(|(_, relation)| &relation.columns).enumerate();
        // An excluded row has the table's columns; whether they are NULL is not known yet.
        let fields = columns.map(|(index, column)| column.sql_type.field(&format!("c{index}"), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let reference = RelationRef::System { schema: String::new(), name: ROW.into() };
        let source = RelationSource { reference, schema: schema.clone() };
        let plan = LogicalPlanBuilder::scan(TableReference::bare(ROW), Arc::new(source), None)?.build()?;
        let mut index = 0;
        let mut tables = Vec::new();
        for (name, relation) in parts {
            let columns = relation.columns.iter().map(|column| {
                index += 1;
                let reference = PlanColumn::new(Some(TableReference::bare(ROW)), format!("c{}", index - 1));
                (column.name.clone(), Expr::Column(reference))
            });
            let columns = columns.collect();
            tables.push(ScopeTable { name: name.to_string(), schema: None, hidden_name: None, columns, key: None });
        }
        let scope = Scope::of_tables(tables, plan.schema().clone());
        let schema = DFSchema::try_from_qualified_schema(TableReference::bare(ROW), &schema)?;
        Ok(RowScope { scope, plan, schema })
    }

    /// The expressions, optimized and ready to run, with the fields of their results.
    pub fn compile(
        &self,
        expressions: Vec<Expr>,
        context: &PlanContext,
    ) -> Result<Vec<(Arc<dyn PhysicalExpr>, FieldRef)>> {
        let named = expressions.into_iter().enumerate().map(|(index, expression)| {
            let expression = without_parameters(expression)?;
            Ok(expression.alias(format!("e{index}")))
        });
        let named = named.collect::<Result<Vec<_>>>()?;
        if named.is_empty() {
            return Ok(vec![]);
        }
        let plan = LogicalPlanBuilder::from(self.plan.clone()).project(named)?.build()?;
        let optimized = optimize(plan, context)?;
        let fields = optimized.schema().fields().clone();
        let properties = properties(context);
        let mut compiled = Vec::new();
        for (expression, field) in flattened(&optimized)?.into_iter().zip(&fields) {
            compiled.push((create_physical_expr(&expression, &self.schema, &properties)?, field.clone()));
        }
        Ok(compiled)
    }
}

/// RETURNING over rows.
pub(super) fn returning(
    binder: &mut Binder,
    items: Option<&Vec<SelectItem>>,
    rows: &RowScope,
) -> Result<Option<Projection>> {
    let Some(items) = items else { return Ok(None) };
    let bound = binder.returning_items(items, &rows.scope)?;
    let (names, expressions): (Vec<_>, Vec<_>) = bound.into_iter().unzip();
    let compiled = rows.compile(expressions, binder.context)?;
    let columns = names
        .into_iter()
        .zip(&compiled)
        .map(|(name, (_, field))| Column::new(name, SqlType::of_field(field), field.is_nullable()));
    let columns = Relation::new(columns.collect());
    Ok(Some(Projection { expressions: compiled.into_iter().map(|(expression, _)| expression).collect(), columns }))
}

/// The columns of a plan as expressions over the columns of its scan.
pub(super) fn flattened(plan: &LogicalPlan) -> Result<Vec<Expr>> {
    let (input, expressions) = match plan {
        LogicalPlan::Projection(projection) => (&projection.input, &projection.expr),
        LogicalPlan::SubqueryAlias(alias) => return flattened(&alias.input),
        LogicalPlan::TableScan(scan) => {
            let columns = scan.projected_schema.fields().iter();
            return Ok(columns
                .map(|field| Expr::Column(PlanColumn::new(Some(scan.table_name.clone()), field.name())))
                .collect());
        }
        LogicalPlan::EmptyRelation(_) => return Ok(vec![]),
        LogicalPlan::Values(values) if values.values.len() == 1 => return Ok(values.values[0].clone()),
        _ => return Err(Error::unsupported("subqueries are not supported here")),
    };
    let below = flattened(input)?;
    let columns: HashMap<PlanColumn, &Expr> = input.schema().columns().into_iter().zip(&below).collect();
    let substituted = expressions.iter().map(|expression| {
        let replaced = expression.clone().transform_down(|part| match &part {
            Expr::Column(column) => match columns.get(column) {
                Some(found) => {
                    let found = (*found).clone();
                    Ok(Transformed::new(found, true, datafusion::common::tree_node::TreeNodeRecursion::Jump))
                }
                None => Ok(Transformed::no(part)),
            },
            _ => Ok(Transformed::no(part)),
        });
        Ok(replaced.data()?.unalias())
    });
    substituted.collect()
}

/// The value of an expression without columns.
pub(super) fn evaluate(expression: &Expr, context: &PlanContext) -> Result<ScalarValue> {
    if let Expr::Literal(value, _) = expression {
        return Ok(value.clone());
    }
    let physical = create_physical_expr(expression, &DFSchema::empty(), &properties(context))?;
    let one = arrow::array::RecordBatchOptions::new().with_row_count(Some(1));
    let row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &one)?;
    Ok(match physical.evaluate(&row)? {
        ColumnarValue::Scalar(value) => value,
        ColumnarValue::Array(array) => ScalarValue::try_from_array(&array, 0)?,
    })
}

fn properties(context: &PlanContext) -> ExecutionProps {
    let mut options = ConfigOptions::default();
    options.execution.time_zone = Some(context.time_zone.clone());
    ExecutionProps { config_options: Some(Arc::new(options)), ..ExecutionProps::new() }
}

/// A parameter whose value is not known can't run; it fails if somebody tries.
fn without_parameters(expression: Expr) -> Result<Expr> {
    let replaced = expression.transform(|part| match part {
        Expr::Placeholder(Placeholder { id, field }) => {
            let returns = field.map_or(DataType::Utf8, |field| field.data_type().clone());
            Ok(Transformed::yes(ScalarUDF::from(MissingValue::new(id, returns)).call(vec![])))
        }
        other => Ok(Transformed::no(other)),
    });
    Ok(replaced.data()?)
}

/// Stands for a parameter in expressions that are only described.
#[derive(Debug, PartialEq, Eq, Hash)]
struct MissingValue {
    parameter: String,
    returns: DataType,
    signature: Signature,
}

impl MissingValue {
    fn new(parameter: String, returns: DataType) -> Self {
        MissingValue { parameter, returns, signature: Signature::nullary(Volatility::Volatile) }
    }
}

impl ScalarUDFImpl for MissingValue {
    fn name(&self) -> &str {
        &self.parameter
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> DataFusionResult<DataType> {
        Ok(self.returns.clone())
    }

    fn invoke_with_args(&self, _arguments: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        Err(Error::internal(format!("the value of {} is not known", self.parameter)).into())
    }
}
