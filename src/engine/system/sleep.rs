//! pg_sleep(): waits without holding a thread, so that a cancel and statement_timeout end it at once.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, AsArray, StringArray};
use arrow::datatypes::{DataType, Float64Type};
use async_trait::async_trait;
use datafusion::common::Result as DataFusionResult;
use datafusion::logical_expr::async_udf::{AsyncScalarUDF, AsyncScalarUDFImpl};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use crate::types::Error;

pub const NAME: &str = "pg_sleep";

/// The longest sleep, a year: what is longer would be cancelled anyway.
const SECONDS_MAX: f64 = 31_536_000.0;

pub fn function() -> Arc<ScalarUDF> {
    let signature = Signature::exact(vec![DataType::Float64], Volatility::Volatile);
    Arc::new(AsyncScalarUDF::new(Arc::new(Sleep { signature })).into_scalar_udf())
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Sleep {
    signature: Signature,
}

impl ScalarUDFImpl for Sleep {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// PostgreSQL's void, which is shown as an empty text.
    fn return_type(&self, _: &[DataType]) -> DataFusionResult<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        Err(Error::unsupported("pg_sleep() is not supported in this place").into())
    }
}

#[async_trait]
impl AsyncScalarUDFImpl for Sleep {
    async fn invoke_async_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let seconds = arrays[0].as_primitive::<Float64Type>();
        let mut woken = Vec::with_capacity(args.number_rows);
        for row in 0..args.number_rows {
            // A constant comes as one row.
            let row = row.min(seconds.len().saturating_sub(1));
            if seconds.is_null(row) {
                woken.push(None);
                continue;
            }
            let wait = seconds.value(row).clamp(0.0, SECONDS_MAX);
            tokio::time::sleep(Duration::from_secs_f64(if wait.is_nan() { 0.0 } else { wait })).await;
            woken.push(Some(""));
        }
        Ok(ColumnarValue::Array(Arc::new(StringArray::from(woken))))
    }
}
