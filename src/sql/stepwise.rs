//! Operators of a batch plan that take a batch at a time and give some back whenever they know them.

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Result as DataFusionResult;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;

/// What `step` gives for each batch of the input, and for its end, which is None.
pub fn stepwise(
    schema: SchemaRef,
    input: SendableRecordBatchStream,
    mut step: impl FnMut(Option<RecordBatch>) -> DataFusionResult<Vec<RecordBatch>> + Send + 'static,
) -> SendableRecordBatchStream {
    let input = input.map(Some).chain(futures::stream::iter([None]));
    let batches = input.flat_map(move |batch| {
        let given = batch.transpose().and_then(&mut step);
        let given: Vec<_> = match given {
            Ok(batches) => batches.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        };
        futures::stream::iter(given)
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, batches))
}
