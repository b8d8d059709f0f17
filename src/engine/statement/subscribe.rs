//! SUBSCRIBE: a view's changes as they happen, with their timestamps.
//!
//! The rows are `millrace_timestamp`, with `progress` also `millrace_progressed`, then `millrace_diff` and the columns.
//! First comes the snapshot at the first time (unless it is not wanted), then every change after it; with `progress`
//! a row says up to which time everything has been told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, new_null_array};
use arrow::datatypes::SchemaRef;
use futures::StreamExt;
use tokio::sync::mpsc::{self, error::TrySendError};

use crate::catalog::Item;
use crate::dataflow::runtime::Command;
use crate::dataflow::subscription::Change;
use crate::engine::database::Database;
use crate::engine::outcome::{Description, Outcome, RowStream};
use crate::engine::read;
use crate::engine::session::Session;
use crate::engine::timeline::Hold;
use crate::sql;
use crate::sql::statement::{Subscribe, SubscribeTo};
use crate::types::{Column, Delta, Error, ObjectId, Relation, Result, SqlState, SqlType, Time};

/// Batches of changes that a subscriber may be behind before it is given up (53400).
const BEHIND_BATCHES_MAX: usize = 4096;

pub async fn run(session: &mut Session, subscribe: &Subscribe) -> Result<Outcome> {
    let (columns, rows) = open(session, subscribe).await?;
    Ok(Outcome::Rows { columns, rows, verb: "SUBSCRIBE" })
}

pub fn describe(session: &mut Session, subscribe: &Subscribe) -> Result<Description> {
    let relation = match &subscribe.to {
        SubscribeTo::Name(name) => find(session, name)?.1,
        SubscribeTo::Query(query) => session.plan_maintained(|planner| planner.query(&query.query, &[]))?.columns,
    };
    Ok(Description { parameters: vec![], columns: Some(columns(&relation, subscribe.progress)) })
}

/// Begins to follow a view: its columns as a subscriber sees them, and the rows without end.
pub async fn open(session: &mut Session, subscribe: &Subscribe) -> Result<(Relation, RowStream)> {
    let database = session.database.clone();
    let hold = match &subscribe.as_of {
        None => session.transaction().hold(&database),
        Some(expression) => as_of(session, expression)?,
    };
    let (id, relation, temporary) = match &subscribe.to {
        SubscribeTo::Name(name) => {
            let (id, relation) = find(session, name)?;
            let opened_at = database.opened_at.get().copied().unwrap_or(0);
            if hold.time < opened_at && database.reads_source(id) {
                return Err(unavailable(hold.time, opened_at));
            }
            (id, relation, None)
        }
        SubscribeTo::Query(query) => {
            let planned = session.plan_maintained(|planner| planner.query(&query.query, &[]))?;
            let plan = sql::lower(&planned.logical)?;
            let view = Temporary::create(&database, Arc::new(plan))?;
            (view.id, planned.columns, Some(view))
        }
    };
    read::wait_for(session, id, hold.time).await?;
    let follower = Follower { database, id, relation, hold, temporary, progress: subscribe.progress };
    follower.start(subscribe.snapshot)
}

/// What can be followed: it has an arrangement.
fn find(session: &mut Session, name: &sql::statement::Name) -> Result<(ObjectId, Relation)> {
    let search_path = session.search_path();
    let catalog = session.transaction().catalog.clone();
    let found = catalog.relation(name.schema.as_deref(), &name.name, &search_path);
    let entry = found.ok_or_else(|| {
        Error::new(SqlState::UNDEFINED_TABLE, format!("relation \"{name}\" does not exist")).at(name.position)
    })?;
    let kept = match &entry.item {
        Item::Table(_) | Item::MaterializedView(_) => true,
        Item::Source(source) => !source.append,
        Item::SourceRelation(part) => !part.append,
        _ => false,
    };
    match entry.relation() {
        Some(relation) if kept => Ok((entry.id, relation.clone())),
        _ => {
            let message = format!("cannot subscribe to {} \"{name}\"", entry.kind());
            let hint = format!("Write SUBSCRIBE (SELECT * FROM {name}).");
            Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message).with_hint(hint).at(name.position))
        }
    }
}

fn as_of(session: &mut Session, expression: &sqlparser::ast::Expr) -> Result<Hold> {
    let value = session.plan(|planner| planner.constant(expression, Some(&SqlType::Int8)))?;
    let datafusion::common::ScalarValue::Int64(Some(time)) = value else {
        return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, "AS OF must be a timestamp in microseconds"));
    };
    session.database.timeline.hold_at(time as Time).map_err(|oldest| unavailable(time as Time, oldest))
}

fn unavailable(time: Time, oldest: Time) -> Error {
    Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("timestamp {time} is no longer available"))
        .with_detail(format!("The oldest timestamp that can be read is {oldest}."))
}

fn columns(relation: &Relation, progress: bool) -> Relation {
    let mut columns = vec![Column::new("millrace_timestamp", SqlType::Int8, false)];
    if progress {
        columns.push(Column::new("millrace_progressed", SqlType::Bool, false));
    }
    columns.push(Column::new("millrace_diff", SqlType::Int8, true));
    columns.extend(relation.columns.iter().cloned().map(|column| Column { nullable: true, ..column }));
    Relation::new(columns)
}

/// The view of `SUBSCRIBE (query)`, which goes when its subscriber does.
struct Temporary {
    id: ObjectId,
    database: Arc<Database>,
}

impl Temporary {
    fn create(database: &Arc<Database>, plan: Arc<crate::dataflow::plan::Plan>) -> Result<Self> {
        let turn = database.timeline.turn();
        let id = database.temporary_id();
        database.create_view(&turn, id, plan, vec![], None);
        Ok(Temporary { id, database: database.clone() })
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        self.database.views.stop(self.id);
        self.database.timeline.turn().execute(Command::Drop { id: self.id });
    }
}

/// One subscription.
struct Follower {
    database: Arc<Database>,
    id: ObjectId,
    relation: Relation,
    /// The time of the snapshot.
    hold: Hold,
    temporary: Option<Temporary>,
    progress: bool,
}

impl Follower {
    fn start(self, snapshot: bool) -> Result<(Relation, RowStream)> {
        let columns = columns(&self.relation, self.progress);
        let schema = columns.schema();
        let (sender, receiver) = mpsc::channel(BEHIND_BATCHES_MAX);
        let from = self.hold.time;
        let gone = || Error::new(SqlState::UNDEFINED_TABLE, "the relation has been dropped");
        let snapshots = self.database.runtime.snapshots(self.id).ok_or_else(gone)?;
        let progress = self.progress;
        let first: Vec<Result<RecordBatch>> = match snapshot {
            true => {
                let batches = snapshots.parts().flat_map(|part| part.scan(from));
                let rows = batches.map(|rows| changes(&schema, &Delta::insert(rows, from), progress));
                rows.chain(progress.then(|| progressed(&schema, from + 1))).collect()
            }
            false => vec![],
        };
        let behind = Arc::new(AtomicBool::new(false));
        let full = behind.clone();
        let send = move |change: Change| {
            let sent = sender.try_send(change);
            full.fetch_or(matches!(sent, Err(TrySendError::Full(_))), Ordering::Relaxed);
            sent.is_ok()
        };
        let subscription = self.database.runtime.subscribe(self.id, from, send).ok_or_else(gone)?;
        // The subscription sees everything from here on, so the past may be forgotten.
        let Follower { temporary, database, .. } = self;
        let state = (receiver, schema, (subscription, temporary), database.timeline.clone());
        let changes = futures::stream::unfold(state, move |mut state| async move {
            let (receiver, schema, _, timeline) = &mut state;
            loop {
                // Nobody is told of what a crash could take back.
                let batch = match receiver.recv().await? {
                    Change::Rows(delta) => {
                        timeline.settled(delta.times.greatest()).await;
                        changes(schema, &delta, progress)
                    }
                    Change::Progress(time) if progress => {
                        timeline.settled(time.saturating_sub(1)).await;
                        progressed(schema, time)
                    }
                    Change::Progress(_) => continue,
                };
                return Some((batch, state));
            }
        });
        let end = futures::stream::once(async move { behind.load(Ordering::Relaxed).then(|| Err(fallen_behind())) });
        let end = end.filter_map(std::future::ready);
        Ok((columns, futures::stream::iter(first).chain(changes).chain(end).boxed()))
    }
}

fn fallen_behind() -> Error {
    let message = "the subscription has fallen too far behind";
    Error::new(SqlState::CONFIGURATION_LIMIT_EXCEEDED, message)
        .with_hint("Read faster, or subscribe again from the last timestamp.")
}

/// Changes as a subscriber sees them.
fn changes(schema: &SchemaRef, delta: &Delta, progress: bool) -> Result<RecordBatch> {
    let rows = delta.len();
    let times: Int64Array = (0..rows).map(|row| Some(delta.times.get(row) as i64)).collect();
    let diffs: Int64Array = (0..rows).map(|row| Some(delta.diffs.get(row))).collect();
    let mut columns: Vec<ArrayRef> = vec![Arc::new(times)];
    if progress {
        columns.push(Arc::new(BooleanArray::from(vec![false; rows])));
    }
    columns.push(Arc::new(diffs));
    columns.extend(delta.rows.columns().iter().cloned());
    Ok(RecordBatch::try_new(schema.clone(), columns)?)
}

/// Everything before `time` has been told.
fn progressed(schema: &SchemaRef, time: Time) -> Result<RecordBatch> {
    let mut columns: Vec<ArrayRef> =
        vec![Arc::new(Int64Array::from(vec![time as i64])), Arc::new(BooleanArray::from(vec![true]))];
    columns.extend(schema.fields()[2..].iter().map(|field| new_null_array(field.data_type(), 1)));
    Ok(RecordBatch::try_new(schema.clone(), columns)?)
}
