//! Reads: a plan runs on DataFusion over one consistent set of published snapshots, never on a worker's thread.
//!
//! All relations of a statement are read at the transaction's time. Reading waits until every one of them is complete
//! to that time; after that it blocks nobody and is blocked by nobody.

mod lookup;
mod produced;
mod scan;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::take_arrays;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::{StreamExt, TryStreamExt};
use tokio::sync::mpsc;

use self::lookup::{Arrangement, Lookup};
use self::produced::{Producer, produced};
use self::scan::{Part, Scanned};
use super::database::Database;
use super::ingest::History;
use super::outcome::RowStream;
use super::session::Session;
use super::system;
use super::timeline::Hold;

use crate::catalog::{Entry, Item, UniqueKey};
use crate::dataflow::layout::Layout;
use crate::dataflow::read::{self, Snapshots};
use crate::sql::stop::{Stop, stoppable};
use crate::sql::{Planned, Projection, RelationRef, physical};
use crate::types::{Delta, Error, ObjectId, Relation, Result, SqlState, Time};

pub use crate::dataflow::read::Found;

/// Batches between the threads that run a query and the connection that sends it.
const ROW_QUEUE_BATCHES: usize = 4;

/// Runs a query; the rows come as they are asked for. Dropping the stream stops the work. What was read is on the disk
/// before anybody is told of it.
pub async fn rows(session: &mut Session, planned: &Planned) -> Result<RowStream> {
    let rows = run(session, planned).await?;
    let database = session.database.clone();
    if let Some(time) = session.transaction().read_time() {
        database.timeline.settled(time).await;
    }
    Ok(rows)
}

async fn run(session: &mut Session, planned: &Planned) -> Result<RowStream> {
    for change in &planned.settings {
        session.change_setting(change)?;
    }
    let (plan, task) = physical_plan(session, planned).await?;
    Ok(stream(&session.database, plan, task, planned.columns.schema()))
}

/// Runs a query to its end, for a statement that writes: its commit waits for the disk, which then has what was read too.
pub async fn collect(session: &mut Session, planned: &Planned) -> Result<Vec<RecordBatch>> {
    run(session, planned).await?.try_collect().await
}

/// The physical plan of a query over what its relations hold at the transaction's time.
pub async fn physical_plan(
    session: &mut Session,
    planned: &Planned,
) -> Result<(Arc<dyn ExecutionPlan>, Arc<TaskContext>)> {
    choose_time(session, planned);
    let mut providers = BTreeMap::new();
    for reference in &planned.reads {
        let provider = match reference {
            RelationRef::Object(id) => object(session, *id).await?,
            RelationRef::System { schema, name } => system_relation(session, schema, name)?,
        };
        providers.insert(reference.clone(), provider);
    }
    let state = session.execution_state();
    let provider = |reference: &RelationRef| Ok(providers[reference].clone());
    let plan = physical::physical_plan(&planned.logical, &provider, &state).await?;
    Ok((plan, state.task_ctx()))
}

/// When a transaction that does not ask for what is newest reads for the first time, it reads at the newest time that
/// is complete for everything that the query names, so that it need not wait.
fn choose_time(session: &mut Session, planned: &Planned) {
    if session.settings.strict() || session.transaction().has_hold() {
        return;
    }
    let database = session.database.clone();
    let objects = planned.reads.iter().filter_map(|reference| match reference {
        // What can't be completed any more shows what it holds, at any time.
        RelationRef::Object(id) if database.failure(*id).is_some() => None,
        RelationRef::Object(id) => database.runtime.frontier(*id),
        RelationRef::System { .. } => None,
    });
    if let Some(frontier) = objects.min() {
        let hold = database.timeline.hold_at(frontier.saturating_sub(1));
        let hold = hold.or_else(|oldest| database.timeline.hold_at(oldest));
        if let Ok(hold) = hold {
            session.transaction().read_at(hold);
        }
    }
}

/// A batch under another schema of the same types (names, nullability).
pub fn with_schema(batch: RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), batch.columns().to_vec(), &options)?)
}

/// Expressions over a batch.
pub fn project(projection: &Projection, batch: &RecordBatch) -> Result<RecordBatch> {
    let values = projection.expressions.iter().map(|expression| {
        let value = expression.evaluate(batch)?;
        Ok(value.into_array(batch.num_rows())?)
    });
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let columns = values.collect::<Result<Vec<_>>>()?;
    Ok(RecordBatch::try_new_with_options(projection.columns.schema(), columns, &options)?)
}

/// All rows of a table at the transaction's time, its own writes included.
pub async fn table(session: &mut Session, id: ObjectId) -> Result<Vec<RecordBatch>> {
    session.transaction().footprint.note_table(id);
    let Contents { snapshots, time, .. } = contents(session, id).await?;
    let batches = snapshots.parts().flat_map(|part| part.scan(time));
    Ok(batches.collect())
}

/// The rows of a table whose unique key has these values (a column for each of the key's), this transaction's own among
/// them. A key with a NULL equals none.
pub async fn find(session: &mut Session, id: ObjectId, key: &UniqueKey, values: &[ArrayRef]) -> Result<Found> {
    let is_known = |row: &u32| values.iter().all(|column| column.is_valid(*row as usize));
    let probes = values.first().map_or(0, |column| column.len()) as u32;
    let known = UInt32Array::from_iter_values((0..probes).filter(is_known));
    let columns = take_arrays(values, &known, None)?;
    session.transaction().footprint.note_keys(id, &key.columns, &columns);
    let (snapshots, time) = match key.index {
        None => contents(session, id).await.map(|contents| (contents.snapshots, contents.time))?,
        Some(index) => by_index(session, id, index, &key.columns).await?,
    };
    let mut found = snapshots.find(&columns, time);
    found.probes.iter_mut().for_each(|probe| *probe = known.value(*probe as usize));
    Ok(found)
}

/// A table in the arrangement of one of its indexes, with this transaction's own writes.
async fn by_index(
    session: &mut Session,
    table: ObjectId,
    index: ObjectId,
    columns: &[usize],
) -> Result<(Snapshots, Time)> {
    let database = session.database.clone();
    let catalog = session.transaction().catalog.clone();
    let entry = catalog.get(index).ok_or_else(|| Error::internal(format!("{index} is not in the catalog")))?;
    if session.transaction().made(index) {
        // No worker keeps it yet.
        let Contents { snapshots, time, .. } = contents(session, table).await?;
        let layout = Layout::hashed(snapshots.schema().clone(), columns.to_vec(), database.runtime.hash_seed());
        let rows = snapshots.parts().flat_map(|part| part.scan(time)).map(|rows| Delta::insert(rows, time));
        let rows: Vec<Delta> = rows.collect();
        return Ok((Snapshots::empty(layout.clone()).with_writes(&layout, &rows, time), time));
    }
    let time = session.transaction().hold(&database).time;
    wait(&database, entry, time, session.settings.strict()).await?;
    let mut snapshots = database.runtime.snapshots(index).ok_or_else(|| dropped(entry))?;
    let written = session.transaction().written(table);
    if !written.is_empty() {
        let layout = Layout::hashed(snapshots.schema().clone(), columns.to_vec(), database.runtime.hash_seed());
        snapshots = snapshots.with_writes(&layout, written, time);
    }
    Ok((snapshots, time))
}

/// A relation's published contents, with this transaction's own writes.
struct Contents {
    snapshots: Snapshots,
    time: Time,
    /// Keeps `time` readable.
    hold: Hold,
    key: Vec<usize>,
}

async fn contents(session: &mut Session, id: ObjectId) -> Result<Contents> {
    let database = session.database.clone();
    let transaction = session.transaction();
    let catalog = transaction.catalog.clone();
    let entry = catalog.get(id).ok_or_else(|| Error::internal(format!("{id} is not in the catalog")))?;
    let relation = entry.relation().ok_or_else(|| Error::internal(format!("{id} has no rows")))?;
    let key = relation.key.clone().unwrap_or_default();
    let hold = transaction.hold(&database);
    let time = hold.time;
    let mut snapshots = match transaction.made(id) {
        true => Snapshots::empty(layout(&database, relation)),
        false => {
            wait(&database, entry, time, session.settings.strict()).await?;
            let published = database.runtime.snapshots(id);
            published.ok_or_else(|| dropped(entry))?
        }
    };
    let written = session.transaction().written(id);
    if !written.is_empty() {
        snapshots = snapshots.with_writes(&layout(&database, relation), written, time);
    }
    Ok(Contents { snapshots, time, hold, key })
}

fn layout(database: &Database, relation: &Relation) -> Arc<Layout> {
    let schema = relation.schema();
    let key = relation.key.clone().unwrap_or_else(|| (0..schema.fields().len()).collect());
    Layout::hashed(schema, key, database.runtime.hash_seed())
}

/// Waits until an object is complete to `time`.
pub async fn wait_for(session: &mut Session, id: ObjectId, time: Time) -> Result<()> {
    let database = session.database.clone();
    let catalog = session.transaction().catalog.clone();
    match catalog.get(id) {
        Some(entry) => wait(&database, entry, time, session.settings.strict()).await,
        None => database.complete_to(id, time).await,
    }
}

/// Waits until a relation is complete to `time`; fails if it never will be, but shows what it holds to one who
/// does not ask for what is newest.
async fn wait(database: &Database, entry: &Entry, time: Time, strict: bool) -> Result<()> {
    if !strict && database.failure(entry.id).is_some() && database.runtime.frontier(entry.id).is_some() {
        return Ok(());
    }
    let completed = database.complete_to(entry.id, time).await;
    completed.map_err(|error| match error.state() {
        SqlState::UNDEFINED_TABLE => dropped(entry),
        _ => error.with_detail(format!("It is {} \"{}\".", entry.kind(), entry.name)),
    })
}

fn dropped(entry: &Entry) -> Error {
    let message = format!("{} \"{}\" has been dropped", entry.kind(), entry.name);
    Error::new(SqlState::UNDEFINED_TABLE, message)
}

/// What DataFusion scans for a relation of the catalog.
async fn object(session: &mut Session, id: ObjectId) -> Result<Arc<dyn TableProvider>> {
    let catalog = session.transaction().catalog.clone();
    let entry = catalog.get(id).ok_or_else(|| Error::internal(format!("{id} is not in the catalog")))?;
    let append = match &entry.item {
        Item::Source(source) => source.append,
        Item::SourceRelation(part) => part.append,
        _ => false,
    };
    if append {
        return history(session, entry);
    }
    let contents = contents(session, id).await?;
    if matches!(entry.item, Item::MaterializedView(_)) {
        let footprint = session.transaction().footprint.clone();
        catalog.tables_below(id).into_iter().for_each(|table| footprint.note_table(table));
        check_errors(&session.database, id, contents.time)?;
    }
    Ok(Arc::new(scanned(session, entry, contents).await?))
}

/// The parts of a relation to scan, and the arrangements of it to seek in.
async fn scanned(session: &mut Session, entry: &Entry, contents: Contents) -> Result<Scanned> {
    let Contents { snapshots, time, hold, key } = contents;
    let relation = entry.relation().expect("only relations are scanned").clone();
    let mut arrangements = indexes(session, entry, time).await?;
    let by_key = Arrangement { name: "key".to_string(), key, snapshots: snapshots.clone() };
    arrangements.insert(0, by_key);
    let rows = Some(snapshots.rows());
    let parts = snapshots.parts().map(|part| -> Part {
        let hold = hold.clone();
        Arc::new(move || {
            let hold = hold.clone();
            let batches = part.clone().scan(time).map(move |batch| {
                // The stream holds the time for as long as it is read.
                let _ = &hold;
                Ok(batch)
            });
            futures::stream::iter(batches).boxed()
        })
    });
    let (name, schema, parts) = (entry.name.clone(), relation.schema(), parts.collect());
    let is_table = matches!(entry.item, Item::Table(_));
    let noted = is_table.then(|| (entry.id, session.transaction().footprint.clone()));
    let lookup = Some(Lookup::new(relation, arrangements, hold));
    Ok(Scanned { name, schema, parts, rows, lookup, noted })
}

/// The indexes of a relation, unless this transaction has made them or has written what they do not show yet.
async fn indexes(session: &mut Session, entry: &Entry, time: Time) -> Result<Vec<Arrangement>> {
    let database = session.database.clone();
    let transaction = session.transaction();
    let catalog = transaction.catalog.clone();
    let mut arrangements = Vec::new();
    if !transaction.written(entry.id).is_empty() {
        return Ok(arrangements);
    }
    for (index, definition) in catalog.indexes(entry.id) {
        if session.transaction().made(index.id) {
            continue;
        }
        wait(&database, index, time, session.settings.strict()).await?;
        if let Some(snapshots) = database.runtime.snapshots(index.id) {
            arrangements.push(Arrangement { name: index.name.clone(), key: definition.columns.clone(), snapshots });
        }
    }
    Ok(arrangements)
}

/// An append source is read from where it began to where it was bound at the transaction's time.
fn history(session: &mut Session, entry: &Entry) -> Result<Arc<dyn TableProvider>> {
    let database = session.database.clone();
    let hold = session.transaction().hold(&database);
    let missing = || Error::internal(format!("source \"{}\" is not running", entry.name));
    let history = database.ingest.history(entry.id, 0, hold.time).ok_or_else(missing)??;
    let schema = entry.relation().expect("a source has columns").schema();
    let runtime = database.config.query_runtime.clone();
    let part: Part = Arc::new(move || {
        let (sender, receiver) = mpsc::channel(ROW_QUEUE_BATCHES);
        let (history, hold) = (history.clone(), hold.clone());
        let task = runtime.spawn_blocking(move || {
            let _hold = hold;
            read_history(&history, &sender);
        });
        produced(receiver, Producer { task, stop: Stop::default() }).boxed()
    });
    let name = entry.name.clone();
    Ok(Arc::new(Scanned { name, schema, parts: vec![part], rows: None, lookup: None, noted: None }))
}

fn read_history(history: &History, sender: &mpsc::Sender<Result<RecordBatch>>) {
    let batches = match history.source.read(history.relation, &history.from, &history.to) {
        Ok(batches) => batches,
        Err(error) => return drop(sender.blocking_send(Err(error))),
    };
    for batch in batches {
        // Nobody receives any more: the query has ended.
        if sender.blocking_send(batch.map(|read| read.rows)).is_err() {
            return;
        }
    }
}

/// A view with errors at the time of the read has no contents; the least of them says why.
fn check_errors(database: &Database, id: ObjectId, time: Time) -> Result<()> {
    match database.runtime.errors(id).and_then(|errors| read::least_error(&errors, time)) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

fn system_relation(session: &mut Session, schema: &str, name: &str) -> Result<Arc<dyn TableProvider>> {
    let (schema, batches) = system::rows(session, schema, name)?;
    Ok(Arc::new(MemTable::try_new(schema, vec![batches])?))
}

/// Runs a physical plan on the threads for queries, a few batches ahead of whoever takes them.
fn stream(database: &Database, plan: Arc<dyn ExecutionPlan>, task: Arc<TaskContext>, schema: SchemaRef) -> RowStream {
    let (sender, receiver) = mpsc::channel(ROW_QUEUE_BATCHES);
    let stop = Stop::default();
    let plan = stoppable(plan, &stop);
    let work = async move {
        let mut batches = match plan.and_then(|plan| Ok(execute_stream(plan, task)?)) {
            Ok(batches) => batches,
            Err(error) => return drop(sender.send(Err(error)).await),
        };
        while let Some(batch) = batches.next().await {
            let batch = batch.map_err(Error::from).and_then(|batch| with_schema(batch, &schema));
            let failed = batch.is_err();
            if sender.send(batch).await.is_err() || failed {
                return;
            }
        }
    };
    let task = database.config.query_runtime.spawn(work);
    produced(receiver, Producer { task, stop }).boxed()
}
