//! Scalar expressions over lowered plans, and the Maps that compute them.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::expr::Cast;
use datafusion::physical_expr::expressions as physical;
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};

use super::refusal;
use crate::dataflow::plan::{Plan, Scalar};
use crate::types::Result;

/// An expression over the columns of `schema`, by position.
pub fn scalar(expression: &Expr, schema: &DFSchema) -> Result<Scalar> {
    refusal::check_expression(expression)?;
    let logical = expression.clone().unalias();
    let physical = create_physical_expr(&logical, schema, &ExecutionProps::new())?;
    let data_type = physical.data_type(schema.as_arrow())?;
    let nullable = physical.nullable(schema.as_arrow())?;
    Ok(Scalar { logical, physical, data_type, nullable })
}

/// One column as it is.
pub fn column(position: usize, schema: &Schema) -> Scalar {
    let field = schema.field(position);
    Scalar {
        logical: Expr::Column(Column::new_unqualified(field.name())),
        physical: Arc::new(physical::Column::new(field.name(), position)),
        data_type: field.data_type().clone(),
        nullable: field.is_nullable(),
    }
}

/// The column that an expression is, if it is nothing else.
pub fn column_position(expression: &Expr, schema: &DFSchema) -> Option<usize> {
    match expression {
        Expr::Alias(alias) => column_position(&alias.expr, schema),
        Expr::Column(column) => schema.maybe_index_of_column(column),
        _ => None,
    }
}

/// A Map, unless it would give the input as it is.
pub fn map(input: Plan, expressions: Vec<Scalar>, schema: SchemaRef) -> Plan {
    let given = input.schema();
    let same = |(position, expression): (usize, &Scalar)| is_column(&expression.physical, position);
    let identity = expressions.len() == given.fields().len() && expressions.iter().enumerate().all(same);
    match identity {
        true => input,
        false => Plan::Map { input: input.into(), expressions, schema },
    }
}

fn is_column(expression: &Arc<dyn PhysicalExpr>, position: usize) -> bool {
    expression.downcast_ref::<physical::Column>().is_some_and(|column| column.index() == position)
}

/// The input's columns at `positions`, with the names and types of `schema`.
pub fn select(input: Plan, positions: &[usize], schema: SchemaRef) -> Plan {
    let given = input.schema();
    let columns = positions.iter().map(|&position| column(position, &given)).collect();
    map(input, columns, schema)
}

/// A projection of `expressions` over `input`, whose columns `from` names.
pub fn project(input: Plan, expressions: &[Expr], from: &DFSchema, to: &DFSchema) -> Result<Plan> {
    let scalars = expressions.iter().map(|expression| scalar(expression, from)).collect::<Result<_>>()?;
    Ok(map(input, scalars, to.inner().clone()))
}

/// The same rows with the types of `schema`, where they differ.
pub fn cast_to(input: Plan, schema: &SchemaRef) -> Result<Plan> {
    let given = input.schema();
    let cast = |(position, wanted): (usize, &Arc<Field>)| match given.field(position).data_type() {
        same if same == wanted.data_type() => column(position, &given),
        _ => cast(column(position, &given), wanted.data_type()),
    };
    let scalars = schema.fields().iter().enumerate().map(cast).collect();
    Ok(map(input, scalars, schema.clone()))
}

/// `scalar` in another type.
pub fn cast(scalar: Scalar, data_type: &DataType) -> Scalar {
    Scalar {
        logical: Expr::Cast(Cast::new(Box::new(scalar.logical), data_type.clone())),
        physical: Arc::new(physical::CastExpr::new(scalar.physical, data_type.clone(), None)),
        data_type: data_type.clone(),
        nullable: scalar.nullable,
    }
}

/// An input with the columns that an operator needs beside (or instead of) those it has.
pub struct Extended {
    pub plan: Plan,
    scalars: Vec<Scalar>,
    fields: Vec<Arc<Field>>,
    /// How many columns the input had.
    width: usize,
}

impl Extended {
    /// All columns of `input`; more can be added.
    pub fn new(input: Plan) -> Self {
        let schema = input.schema();
        let width = schema.fields().len();
        let scalars = (0..width).map(|position| column(position, &schema)).collect();
        Extended { plan: input, scalars, fields: schema.fields().to_vec(), width }
    }

    /// The position of a column that holds `expression`, which is over the input's columns as `names` names them.
    pub fn position_of(&mut self, expression: &Expr, names: &DFSchema) -> Result<usize> {
        if let Some(position) = column_position(expression, names) {
            return Ok(position);
        }
        let scalar = scalar(expression, names)?;
        if let Some(same) = self.scalars.iter().skip(self.width).position(|known| known.logical == scalar.logical) {
            return Ok(self.width + same);
        }
        let name = scalar.logical.schema_name().to_string();
        self.fields.push(Arc::new(Field::new(name, scalar.data_type.clone(), scalar.nullable)));
        self.scalars.push(scalar);
        Ok(self.scalars.len() - 1)
    }

    /// How many columns were added.
    pub fn added(&self) -> usize {
        self.scalars.len() - self.width
    }

    /// The input, with a Map over it if columns were added.
    pub fn finish(self) -> Plan {
        match self.added() {
            0 => self.plan,
            _ => map(self.plan, self.scalars, Arc::new(Schema::new(self.fields))),
        }
    }

    /// Only the columns at `used`, if any were added (else the input as it is); and where each position went.
    pub fn finish_with(self, used: &[usize]) -> (Plan, Vec<usize>) {
        let total = self.scalars.len();
        if self.added() == 0 {
            return (self.plan, (0..total).collect());
        }
        let kept: Vec<usize> = (0..total).filter(|position| used.contains(position)).collect();
        let mut places = vec![0; total];
        kept.iter().enumerate().for_each(|(place, &position)| places[position] = place);
        let scalars = kept.iter().map(|&position| self.scalars[position].clone()).collect();
        let fields: Vec<_> = kept.iter().map(|&position| self.fields[position].clone()).collect();
        (map(self.plan, scalars, Arc::new(Schema::new(fields))), places)
    }
}
