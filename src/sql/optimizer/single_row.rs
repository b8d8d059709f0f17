//! `single_row(value, rows)`: the value of a scalar subquery that had this many rows, or the error 21000 if they were
//! more than one. It stands where the subquery stood, so that the error is raised only where the value is used.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{Result as DataFusionResult, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use crate::types::{Error, SqlState};

pub fn single_row() -> Arc<ScalarUDF> {
    static FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(ScalarUDF::from(SingleRow::new())));
    FUNCTION.clone()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct SingleRow {
    signature: Signature,
}

impl SingleRow {
    fn new() -> Self {
        SingleRow {
            signature: Signature::any(2, Volatility::Immutable),
        }
    }
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
