//! Floats compare as PostgreSQL's do: -0.0 equals 0.0, and every NaN equals every other and is greater than all else.
//!
//! Arrow compares and hashes floats by their bits (IEEE's total order), so that -0.0 and 0.0 would be two groups, and
//! a NaN with its sign set (as x86 makes them) would sort first. Wherever a float is compared, grouped, joined, made
//! distinct or sorted by, it goes through [`canonical_float`]; in both modes, since the call is in the plan.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float32Type, Float64Type};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, DFSchema, Result as DataFusionResult, ScalarValue, exec_err};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr::{AggregateFunction, InList, WindowFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Aggregate, Between, BinaryExpr, Case, ColumnarValue, Distinct, Expr, ExprSchemable, LogicalPlan,
    LogicalPlanBuilder, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, SortExpr,
    Volatility,
};
use datafusion::optimizer::analyzer::AnalyzerRule;

use super::names::named_as;

#[derive(Debug)]
pub struct CanonicalFloats;

impl AnalyzerRule for CanonicalFloats {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> DataFusionResult<LogicalPlan> {
        plan.transform_up_with_subqueries(rewrite).data()
    }

    fn name(&self) -> &str {
        "canonical_floats"
    }
}

fn rewrite(plan: LogicalPlan) -> DataFusionResult<Transformed<LogicalPlan>> {
    // A scan's filters see columns of the table that its output may lack; rules before this one make none.
    let schema = merge_schema(&plan.inputs());
    let names = NamePreserver::new(&plan);
    let sorts = matches!(plan, LogicalPlan::Sort(_));
    let rewritten = plan.map_expressions(|expression| {
        let name = names.save(&expression);
        let expression = expression.transform_up(|part| comparison(part, &schema))?;
        let sorted =
            if sorts { expression.transform_data(|key| Ok(canonical_if_float(key, &schema)))? } else { expression };
        // A Sort's keys give no columns, so their names don't matter.
        Ok(if sorts { sorted } else { sorted.update_data(|rewritten| name.restore(rewritten)) })
    })?;
    rewritten.transform_data(|plan| match plan {
        LogicalPlan::Aggregate(aggregate) => group_keys(aggregate, &schema),
        LogicalPlan::Distinct(Distinct::All(input)) => distinct_rows(input),
        LogicalPlan::Join(join) => join_keys(join),
        other => Ok(Transformed::no(other)),
    })
}

fn is_float(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Float32 | DataType::Float64)
}

/// Whether `expression` is a float that is not canonical yet.
fn needs_it(expression: &Expr, schema: &DFSchema) -> bool {
    let is_canonical = match expression {
        Expr::ScalarFunction(function) => function.name() == NAME,
        Expr::Literal(ScalarValue::Float64(Some(value)), _) => *value != 0.0 && !value.is_nan(),
        Expr::Literal(ScalarValue::Float32(Some(value)), _) => *value != 0.0 && !value.is_nan(),
        _ => false,
    };
    !is_canonical && expression.get_type(schema).is_ok_and(|data_type| is_float(&data_type))
}

fn canonical_if_float(expression: Expr, schema: &DFSchema) -> Transformed<Expr> {
    match needs_it(&expression, schema) {
        true => Transformed::yes(canonical_float().call(vec![expression])),
        false => Transformed::no(expression),
    }
}

fn boxed(expression: Box<Expr>, schema: &DFSchema) -> Box<Expr> {
    Box::new(canonical_if_float(*expression, schema).data)
}

/// One node of an expression, with the floats that it compares made canonical.
fn comparison(expression: Expr, schema: &DFSchema) -> DataFusionResult<Transformed<Expr>> {
    let canonical = |expression| canonical_if_float(expression, schema).data;
    let compares = |left: &Expr| needs_it(left, schema);
    Ok(match expression {
        Expr::BinaryExpr(BinaryExpr { left, op, right })
            if compares_values(op) && (compares(&left) || compares(&right)) =>
        {
            Transformed::yes(Expr::BinaryExpr(BinaryExpr {
                left: boxed(left, schema),
                op,
                right: boxed(right, schema),
            }))
        }
        Expr::Between(Between { expr, negated, low, high }) if compares(&expr) => {
            let (expr, low, high) = (boxed(expr, schema), boxed(low, schema), boxed(high, schema));
            Transformed::yes(Expr::Between(Between { expr, negated, low, high }))
        }
        Expr::InList(InList { expr, list, negated }) if compares(&expr) => {
            let list = list.into_iter().map(canonical).collect();
            Transformed::yes(Expr::InList(InList { expr: boxed(expr, schema), list, negated }))
        }
        Expr::Case(Case { expr: Some(operand), when_then_expr, else_expr }) if compares(&operand) => {
            let arms = when_then_expr.into_iter().map(|(when, then)| (boxed(when, schema), then)).collect();
            let operand = Some(boxed(operand, schema));
            Transformed::yes(Expr::Case(Case { expr: operand, when_then_expr: arms, else_expr }))
        }
        Expr::AggregateFunction(AggregateFunction { func, mut params })
            if params.distinct || !params.order_by.is_empty() =>
        {
            if params.distinct {
                params.args = params.args.into_iter().map(canonical).collect();
            }
            params.order_by = sort_keys(params.order_by, schema);
            Transformed::yes(Expr::AggregateFunction(AggregateFunction { func, params }))
        }
        Expr::WindowFunction(function) => {
            let WindowFunction { fun, mut params } = *function;
            params.partition_by = params.partition_by.into_iter().map(canonical).collect();
            params.order_by = sort_keys(params.order_by, schema);
            Transformed::yes(Expr::WindowFunction(Box::new(WindowFunction { fun, params })))
        }
        other => Transformed::no(other),
    })
}

fn compares_values(operator: Operator) -> bool {
    use Operator::*;
    matches!(operator, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

fn sort_keys(keys: Vec<SortExpr>, schema: &DFSchema) -> Vec<SortExpr> {
    let canonical = |key: SortExpr| SortExpr::new(canonical_if_float(key.expr, schema).data, key.asc, key.nulls_first);
    keys.into_iter().map(canonical).collect()
}

/// GROUP BY canonical floats, under the old names.
fn group_keys(aggregate: Aggregate, schema: &DFSchema) -> DataFusionResult<Transformed<LogicalPlan>> {
    if !aggregate.group_expr.iter().any(|key| needs_it(strip_alias(key), schema)) {
        return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
    }
    let names = NamePreserver::new_for_projection();
    let group_expr = aggregate.group_expr.into_iter().map(|key| {
        let name = names.save(&key);
        name.restore(canonical_if_float(key.unalias(), schema).data)
    });
    let rewritten = Aggregate::try_new(aggregate.input, group_expr.collect(), aggregate.aggr_expr)?;
    Ok(Transformed::yes(LogicalPlan::Aggregate(rewritten)))
}

fn strip_alias(expression: &Expr) -> &Expr {
    match expression {
        Expr::Alias(alias) => strip_alias(&alias.expr),
        other => other,
    }
}

/// DISTINCT over rows whose floats are canonical.
fn distinct_rows(input: Arc<LogicalPlan>) -> DataFusionResult<Transformed<LogicalPlan>> {
    let schema = input.schema().clone();
    if !schema.fields().iter().any(|field| is_float(field.data_type())) {
        return Ok(Transformed::no(LogicalPlan::Distinct(Distinct::All(input))));
    }
    let canonical = schema.iter().map(|field| {
        let column = Column::from(field);
        named_as(canonical_if_float(Expr::Column(column.clone()), &schema).data, &column)
    });
    let canonical: Vec<Expr> = canonical.collect();
    let plan = LogicalPlanBuilder::from(Arc::unwrap_or_clone(input)).project(canonical)?.distinct()?.build()?;
    Ok(Transformed::yes(plan))
}

/// Join keys are pairs of expressions, not comparisons (USING, set operations).
fn join_keys(mut join: datafusion::logical_expr::Join) -> DataFusionResult<Transformed<LogicalPlan>> {
    let mut changed = false;
    let mut canonical = |expression: Expr, schema: &DFSchema| {
        let rewritten = canonical_if_float(expression, schema);
        changed |= rewritten.transformed;
        rewritten.data
    };
    let (left, right) = (join.left.schema().clone(), join.right.schema().clone());
    let on = join.on.into_iter().map(|(l, r)| (canonical(l, &left), canonical(r, &right)));
    join.on = on.collect();
    let plan = LogicalPlan::Join(join);
    Ok(if changed { Transformed::yes(plan) } else { Transformed::no(plan) })
}

const NAME: &str = "canonical_float";

/// `canonical_float(x)`: x, or 0.0 for -0.0, or the one positive quiet NaN for any NaN.
pub fn canonical_float() -> Arc<ScalarUDF> {
    static FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(ScalarUDF::from(CanonicalFloat::new())));
    FUNCTION.clone()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct CanonicalFloat {
    signature: Signature,
}

impl CanonicalFloat {
    fn new() -> Self {
        let types = vec![DataType::Float32, DataType::Float64];
        CanonicalFloat { signature: Signature::uniform(1, types, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for CanonicalFloat {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> DataFusionResult<DataType> {
        Ok(arguments[0].clone())
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs) -> DataFusionResult<FieldRef> {
        let given = &arguments.arg_fields[0];
        Ok(Arc::new(Field::new(NAME, given.data_type().clone(), given.is_nullable())))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        match &arguments.args[0] {
            ColumnarValue::Array(array) => Ok(ColumnarValue::Array(canonical_array(array)?)),
            ColumnarValue::Scalar(value) => {
                let array = canonical_array(&value.to_array()?)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?))
            }
        }
    }
}

fn canonical_array(array: &ArrayRef) -> DataFusionResult<ArrayRef> {
    // Adding 0.0 makes 0.0 of -0.0 and leaves all else as it is.
    match array.data_type() {
        DataType::Float32 => {
            let canonical = |value: f32| if value.is_nan() { f32::NAN } else { value + 0.0 };
            Ok(Arc::new(array.as_primitive::<Float32Type>().unary::<_, Float32Type>(canonical)))
        }
        DataType::Float64 => {
            let canonical = |value: f64| if value.is_nan() { f64::NAN } else { value + 0.0 };
            Ok(Arc::new(array.as_primitive::<Float64Type>().unary::<_, Float64Type>(canonical)))
        }
        other => exec_err!("canonical_float of {other}"),
    }
}
