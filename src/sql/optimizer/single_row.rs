//! `single_row(value, rows)`: the value of a scalar subquery that had this many rows, or the error 21000 if they were
//! more than one. It stands where the subquery stood, so that the error is raised only where the value is used.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::{Result as DataFusionResult, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::types::{Error, SqlState};

/// The function for subqueries whose one column is `field`.
pub fn single_row(field: &Field) -> ScalarUDF {
    let metadata = field.metadata().iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    ScalarUDF::from(SingleRow { signature: Signature::any(2, Volatility::Immutable), metadata })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct SingleRow {
    signature: Signature,
    /// The SQL type of the value, where Arrow's type does not say it; min(value) has lost it.
    metadata: BTreeMap<String, String>,
}

impl ScalarUDFImpl for SingleRow {
    fn name(&self) -> &str {
        "single_row"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> DataFusionResult<DataType> {
        Ok(arguments[0].clone())
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs) -> DataFusionResult<FieldRef> {
        let metadata = self.metadata.clone().into_iter().collect();
        let field = Field::new(self.name(), arguments.arg_fields[0].data_type().clone(), true);
        Ok(Arc::new(field.with_metadata(metadata)))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let several = match &arguments.args[1] {
            ColumnarValue::Scalar(ScalarValue::Int64(Some(rows))) => *rows > 1,
            ColumnarValue::Scalar(_) => false,
            // Where the subquery had no row at all, an outer join gives NULL.
            ColumnarValue::Array(rows) => {
                let rows = rows.as_primitive::<Int64Type>();
                (0..rows.len()).any(|row| rows.is_valid(row) && rows.value(row) > 1)
            }
        };
        if several {
            let message = "more than one row returned by a subquery used as an expression";
            return Err(Error::new(SqlState::CARDINALITY_VIOLATION, message).into());
        }
        Ok(arguments.args[0].clone())
    }
}
