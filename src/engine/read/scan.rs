//! A relation at one time, as DataFusion sees it: a table provider and the leaf of a physical plan.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{DataFusionError, Result, Statistics};
use datafusion::datasource::TableType;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::coop::make_cooperative;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties, SendableRecordBatchStream,
};
use futures::StreamExt;
use futures::stream::BoxStream;

use super::lookup::Lookup;
use crate::engine::footprint::Footprint;
use crate::types::ObjectId;

/// How long a value is taken to be whose type does not say it.
const TEXT_BYTES: usize = 32;

/// The rows of one part of a relation, read when they are asked for.
pub type Part = Arc<dyn Fn() -> BoxStream<'static, crate::types::Result<RecordBatch>> + Send + Sync>;

/// A relation whose rows are given part by part.
pub struct Scanned {
    /// As EXPLAIN names it.
    pub name: String,
    pub schema: SchemaRef,
    pub parts: Vec<Part>,
    /// About how many rows there are, where that is known.
    pub rows: Option<usize>,
    /// Finds rows by an arrangement's key, where there is one.
    pub lookup: Option<Lookup>,
    /// The table that it is, and where to note what is read of it.
    pub noted: Option<(ObjectId, Arc<Footprint>)>,
}

impl fmt::Debug for Scanned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scanned({})", self.name)
    }
}

#[async_trait]
impl TableProvider for Scanned {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// Filters are used to seek; DataFusion applies them again, since equal keys are all that seeking looks at.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let useful = match self.lookup {
            Some(_) => TableProviderFilterPushDown::Inexact,
            None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(vec![useful; filters.len()])
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let found = self.lookup.as_ref().and_then(|lookup| lookup.plan(filters));
        match (&self.noted, &found) {
            (Some((table, footprint)), Some(found)) => footprint.note_keys(*table, &found.key, &found.values),
            (Some((table, footprint)), None) => footprint.note_table(*table),
            (None, _) => {}
        }
        let (name, parts, rows) = match found {
            Some(found) => (format!("{} by {}", self.name, found.description), vec![found.part], Some(1)),
            None => (self.name.clone(), self.parts.clone(), self.rows),
        };
        Ok(Arc::new(ScanExec::new(name, &self.schema, projection, parts, rows, limit)?))
    }
}

/// Reads the parts of a relation, one partition each.
pub struct ScanExec {
    name: String,
    parts: Vec<Part>,
    projection: Option<Vec<usize>>,
    schema: SchemaRef,
    rows: Option<usize>,
    limit: Option<usize>,
    properties: Arc<PlanProperties>,
}

impl ScanExec {
    fn new(
        name: String,
        schema: &SchemaRef,
        projection: Option<&Vec<usize>>,
        parts: Vec<Part>,
        rows: Option<usize>,
        limit: Option<usize>,
    ) -> Result<Self> {
        let projected = match projection {
            Some(columns) => Arc::new(schema.project(columns)?),
            None => schema.clone(),
        };
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(projected.clone()),
            Partitioning::UnknownPartitioning(parts.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        ));
        let projection = projection.cloned();
        Ok(ScanExec { name, parts, projection, schema: projected, rows, limit, properties })
    }
}

impl fmt::Debug for ScanExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScanExec({})", self.name)
    }
}

impl DisplayAs for ScanExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns: Vec<_> = self.schema.fields().iter().map(|field| field.name().as_str()).collect();
        write!(f, "Scan: {} [{}]", self.name, columns.join(", "))?;
        match self.limit {
            Some(limit) => write!(f, " limit={limit}"),
            None => Ok(()),
        }
    }
}

impl ExecutionPlan for ScanExec {
    fn name(&self) -> &str {
        "ScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let rows = (self.parts[partition])();
        let (projection, schema) = (self.projection.clone(), self.schema.clone());
        let projected =
            rows.map(move |batch| project(batch.map_err(DataFusionError::from)?, projection.as_deref(), &schema));
        let stream = RecordBatchStreamAdapter::new(self.schema.clone(), projected);
        Ok(make_cooperative(Box::pin(stream)))
    }

    fn partition_statistics(&self, partition: Option<usize>) -> Result<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.schema);
        if let (Some(rows), None) = (self.rows, partition) {
            statistics.num_rows = Precision::Inexact(rows);
            // Joins collect the side with fewer bytes.
            statistics.total_byte_size = Precision::Inexact(rows * row_bytes(&self.schema));
        }
        Ok(Arc::new(statistics))
    }
}

/// About how long a row is.
fn row_bytes(schema: &SchemaRef) -> usize {
    schema.fields().iter().map(|field| field.data_type().primitive_width().unwrap_or(TEXT_BYTES)).sum()
}

fn project(batch: RecordBatch, projection: Option<&[usize]>, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = match projection {
        Some(columns) => columns.iter().map(|&column| batch.column(column).clone()).collect(),
        None => batch.columns().to_vec(),
    };
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}
