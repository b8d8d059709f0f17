//! An aggregate some of whose arguments are literals, as an aggregate of the others: `string_agg(x, ',')` as a function
//! of x. The dataflow's aggregates take columns only, while accumulators read such arguments when they are made.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{DFSchema, Result as DataFusionResult, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Expr, ExprSchemable, GroupsAccumulator, Signature, Volatility,
};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Literal;

use crate::types::Result;

#[derive(Debug, PartialEq, Eq)]
pub struct BoundAggregate {
    inner: Arc<AggregateUDF>,
    /// Per argument of the inner function its literal, or none where a column comes.
    literals: Vec<Option<ScalarValue>>,
    fields: Vec<FieldRef>,
    ignore_nulls: bool,
    signature: Signature,
}

impl Hash for BoundAggregate {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
        self.literals.hash(state);
        self.ignore_nulls.hash(state);
    }
}

impl BoundAggregate {
    pub fn new(inner: Arc<AggregateUDF>, arguments: &[Expr], ignore_nulls: bool, names: &DFSchema) -> Result<Self> {
        let literals = arguments.iter().map(|argument| match argument {
            Expr::Literal(value, _) => Some(value.clone()),
            _ => None,
        });
        let fields = arguments.iter().map(|argument| Ok(argument.to_field(names)?.1)).collect::<Result<_>>()?;
        let signature = Signature::variadic_any(Volatility::Immutable);
        Ok(BoundAggregate { literals: literals.collect(), inner, fields, ignore_nulls, signature })
    }

    /// `columns` with the literals between them, and their fields.
    fn arguments(
        &self,
        columns: &[Arc<dyn PhysicalExpr>],
        fields: &[FieldRef],
    ) -> (Vec<Arc<dyn PhysicalExpr>>, Vec<FieldRef>) {
        let mut columns = columns.iter().zip(fields);
        let all = self.literals.iter().zip(&self.fields).map(|(literal, field)| match literal {
            Some(value) => (Arc::new(Literal::new(value.clone())) as Arc<dyn PhysicalExpr>, field.clone()),
            None => {
                let (column, field) = columns.next().expect("one column per argument that is no literal");
                (column.clone(), field.clone())
            }
        });
        all.unzip()
    }

    fn with<T>(&self, given: &AccumulatorArgs, make: impl FnOnce(AccumulatorArgs) -> T) -> T {
        let (exprs, expr_fields) = self.arguments(given.exprs, given.expr_fields);
        make(AccumulatorArgs {
            return_field: given.return_field.clone(),
            schema: given.schema,
            ignore_nulls: given.ignore_nulls || self.ignore_nulls,
            order_bys: given.order_bys,
            is_reversed: given.is_reversed,
            name: given.name,
            is_distinct: given.is_distinct,
            exprs: &exprs,
            expr_fields: &expr_fields,
        })
    }
}

impl AggregateUDFImpl for BoundAggregate {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> DataFusionResult<DataType> {
        Ok(self.inner.return_field(&self.fields)?.data_type().clone())
    }

    fn is_nullable(&self) -> bool {
        self.inner.is_nullable()
    }

    fn accumulator(&self, given: AccumulatorArgs) -> DataFusionResult<Box<dyn Accumulator>> {
        self.with(&given, |given| self.inner.accumulator(given))
    }

    fn state_fields(&self, given: StateFieldsArgs) -> DataFusionResult<Vec<FieldRef>> {
        let mut columns = given.input_fields.iter();
        let fields = self.literals.iter().zip(&self.fields).map(|(literal, field)| match literal {
            Some(_) => field.clone(),
            None => columns.next().expect("one column per argument that is no literal").clone(),
        });
        let input_fields: Vec<FieldRef> = fields.collect();
        self.inner.state_fields(StateFieldsArgs {
            name: given.name,
            input_fields: &input_fields,
            return_field: given.return_field,
            ordering_fields: given.ordering_fields,
            is_distinct: given.is_distinct,
        })
    }

    fn groups_accumulator_supported(&self, given: AccumulatorArgs) -> bool {
        self.with(&given, |given| self.inner.groups_accumulator_supported(given))
    }

    fn create_groups_accumulator(&self, given: AccumulatorArgs) -> DataFusionResult<Box<dyn GroupsAccumulator>> {
        self.with(&given, |given| self.inner.create_groups_accumulator(given))
    }

    fn default_value(&self, data_type: &DataType) -> DataFusionResult<ScalarValue> {
        self.inner.default_value(data_type)
    }
}
