//! The running database: what all sessions share.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, RwLock};
use std::thread::JoinHandle;
use std::time::Instant;

use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use tokio::sync::watch;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::checkpoint::Checkpoints;
use super::config::Config;
use super::durable;
use super::ingest::Ingest;
use super::recovery;
use super::timeline::{Timeline, Turn};
use super::views::Views;
use crate::catalog::{Catalog, Item};
use crate::dataflow::plan::Plan;
use crate::dataflow::runtime::{Command, Options, Runtime};
use crate::dataflow::saved::Saved;
use crate::store::{self, Store};
use crate::types::{Error, ObjectId, Result, SqlState, Time};

/// The running database; one per process.
pub struct Database {
    pub config: Config,
    catalog: RwLock<Arc<Catalog>>,
    pub timeline: Arc<Timeline>,
    pub runtime: Arc<Runtime>,
    pub ingest: Arc<Ingest>,
    pub views: Views,
    /// DataFusion's memory for SELECTs.
    pub query_environment: Arc<RuntimeEnv>,
    /// One statement at a time may read a table in order to write it, so that few have to be tried again.
    writers: Mutex<HashMap<ObjectId, Arc<tokio::sync::Mutex<()>>>>,
    temporary_ids: AtomicU64,
    pub store: Arc<Store>,
    /// When it was opened; what sources had read between the checkpoint and this was read again, and tells no earlier time.
    pub opened_at: OnceLock<Time>,
    pub checkpoints: Checkpoints,
    stopping: Arc<AtomicBool>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Database {
    /// Starts the workers and the clock.
    pub fn open(config: Config) -> Result<Arc<Database>> {
        let store = Arc::new(Store::open(&config.data, config.disk_reserve_bytes)?);
        let (moved, progress) = watch::channel(0);
        let on_progress = Arc::new(move || moved.send_modify(|count| *count += 1));
        let options = Options { workers: config.workers, hash_seed: durable::hash_seed(&store)? };
        let runtime = Arc::new(Runtime::start(options, on_progress)?);
        runtime.memory().set_budget(config.memory_bytes);
        let retention = config.retention.as_micros() as u64;
        let timeline = Arc::new(Timeline::new(runtime.clone(), store.clone(), progress, retention)?);
        let pool = Arc::new(FairSpillPool::new(config.query_memory_bytes));
        let environment = RuntimeEnvBuilder::new().with_memory_pool(pool).build_arc()?;
        let database = Arc::new(Database {
            catalog: RwLock::default(),
            timeline,
            runtime,
            ingest: Arc::default(),
            views: Views::new(config.history_step_records),
            config,
            query_environment: environment,
            writers: Mutex::default(),
            temporary_ids: AtomicU64::new(u64::MAX),
            opened_at: OnceLock::new(),
            stopping: Arc::default(),
            threads: Mutex::default(),
            checkpoints: Checkpoints::open(&store)?,
            store,
        });
        recovery::recover(&database)?;
        database.start_threads()?;
        Ok(database)
    }

    /// The catalog as it is now.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.catalog.read().expect("no panic while holding the catalog").clone()
    }

    /// Puts another catalog in place, in a turn of the timeline.
    pub fn replace_catalog(&self, next: Arc<Catalog>) {
        *self.catalog.write().expect("no panic while holding the catalog") = next;
    }

    /// Whether what an object holds comes from a source, be it through other views.
    pub fn reads_source(&self, id: ObjectId) -> bool {
        let catalog = self.catalog();
        catalog.get(id).is_some_and(|entry| match &entry.item {
            Item::Source(_) | Item::SourceRelation(_) => true,
            _ => entry.depends_on.iter().any(|&read| self.reads_source(read)),
        })
    }

    /// Waits for the right to read a table in order to write it.
    pub async fn write_lock(&self, table: ObjectId) -> tokio::sync::OwnedMutexGuard<()> {
        let writers = {
            let mut writers = self.writers.lock().expect("no panic while holding the writers");
            writers.entry(table).or_default().clone()
        };
        writers.lock_owned().await
    }

    /// Starts a view in this turn, from what was saved of it if there is something: its dataflow, and the reading of its
    /// history.
    pub fn create_view(
        &self,
        turn: &Turn<'_>,
        id: ObjectId,
        plan: Arc<Plan>,
        key: Vec<usize>,
        saved: Option<Arc<Saved>>,
    ) {
        let as_of = turn.as_of();
        let after = saved.as_ref().map_or(0, |saved| saved.time);
        let catalog = self.catalog();
        let is_append = |id: &ObjectId| {
            catalog.get(*id).is_some_and(|entry| match &entry.item {
                Item::Source(source) => source.append,
                Item::SourceRelation(part) => part.append,
                _ => false,
            })
        };
        let inputs = plan.objects().into_iter().filter(is_append);
        let histories = inputs.filter_map(|input| Some((input, self.ingest.history(input, after, as_of)?))).collect();
        let fingerprint = self.fingerprint(id, &plan);
        turn.execute(Command::CreateView { id, plan, as_of, key, saved });
        self.views.start(&self.runtime, (id, fingerprint), (after, as_of), histories);
    }

    /// That of a plan, and of the indexes that it could use when its view was made.
    pub fn fingerprint(&self, id: ObjectId, plan: &Plan) -> u64 {
        let catalog = self.catalog();
        let of_object =
            |object: ObjectId| catalog.indexes(object).map(|(entry, index)| (entry.id, index.columns.clone()));
        let indexes = plan.objects().into_iter().flat_map(of_object).filter(|(index, _)| *index < id);
        indexes
            .fold(plan.fingerprint(), |hash, (_, columns)| xxh3_64_with_seed(format!("{columns:?}").as_bytes(), hash))
    }

    /// Why an object can't be completed any more, or one that it reads.
    pub fn failure(&self, id: ObjectId) -> Option<Error> {
        let catalog = self.catalog();
        let reads = catalog.get(id).map_or(&[][..], |entry| &entry.depends_on);
        self.views.failure(id).or_else(|| reads.iter().find_map(|&read| self.failure(read)))
    }

    /// Waits until an object is complete to `time`; fails if it never will be.
    pub async fn complete_to(&self, id: ObjectId, time: Time) -> Result<()> {
        let mut progress = self.timeline.progress();
        loop {
            progress.borrow_and_update();
            let frontier = self.runtime.frontier(id);
            // What it held before it failed can be read.
            if let Some(failure) = self.failure(id).filter(|_| frontier.is_none_or(|frontier| frontier <= time)) {
                let message = format!("the view could not be computed: {failure}");
                return Err(Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message));
            }
            match frontier {
                None => return Err(Error::new(SqlState::UNDEFINED_TABLE, "the relation has been dropped")),
                Some(frontier) if frontier > time => return Ok(()),
                Some(_) => {}
            }
            if progress.changed().await.is_err() {
                return Err(Error::new(SqlState::ADMIN_SHUTDOWN, "the database is shutting down"));
            }
        }
    }

    /// Waits until the views have caught up far enough for more to be written.
    pub async fn wait_for_room(&self) {
        let mut progress = self.timeline.progress();
        loop {
            progress.borrow_and_update();
            if self.room() > 0 || progress.changed().await.is_err() {
                return;
            }
        }
    }

    /// Bytes that may be fed before the views have finished some of what they were given.
    fn room(&self) -> usize {
        self.config.backlog_bytes_max.saturating_sub(self.runtime.backlog())
    }

    /// Lets go of what is kept for a table that has been dropped.
    pub fn forget_writers(&self, table: ObjectId) {
        self.writers.lock().expect("no panic while holding the writers").remove(&table);
    }

    /// An id for a view that only a subscriber knows: from the top, where the catalog's never get.
    pub fn temporary_id(&self) -> ObjectId {
        ObjectId(self.temporary_ids.fetch_sub(1, Ordering::Relaxed))
    }

    /// Ends everything, with a checkpoint; sessions must have ended before.
    pub fn close(&self) {
        self.shutdown();
        if let Err(error) = self.checkpoint_if_needed() {
            tracing::warn!(%error, "no checkpoint was made at the end; the next start has more to do");
        }
    }

    /// Ends the ticks; sessions must have ended before.
    pub fn shutdown(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        let threads = std::mem::take(&mut *self.threads.lock().expect("no panic while holding the threads"));
        for thread in threads {
            thread.join().expect("a panic ends the process");
        }
        self.timeline.settle(self.timeline.readable());
    }

    /// Makes a checkpoint unless nothing has happened since the last.
    fn checkpoint_if_needed(&self) -> Result<()> {
        let last = self.checkpoints.kept().last().map_or(0, |manifest| manifest.time);
        if self.timeline.readable() > last {
            self.checkpoints.make(self)?;
        }
        Ok(())
    }

    /// The ticks of the sources, and the syncs of the log.
    fn start_threads(self: &Arc<Self>) -> Result<()> {
        let (ingest, tick) = (self.ingest.clone(), self.config.tick);
        self.start_thread("ticker", move |database| {
            database.tick();
            std::thread::sleep(tick);
            ingest.wait(tick * 10);
        })?;
        self.start_thread("log", move |database| database.timeline.sync(tick * 10))?;
        self.start_thread("pages", move |database| {
            std::thread::sleep(tick);
            database.keep_within_memory();
        })?;
        let (interval, mut last) = (self.config.checkpoint_interval, Instant::now());
        self.start_thread("checkpoints", move |database| {
            std::thread::sleep(tick * 10);
            if last.elapsed() < interval {
                return;
            }
            if let Err(error) = database.checkpoint_if_needed() {
                tracing::warn!(%error, "no checkpoint was made");
            }
            last = Instant::now();
        })
    }

    /// A thread that does something again and again until the database stops.
    fn start_thread(self: &Arc<Self>, name: &str, mut each: impl FnMut(&Database) + Send + 'static) -> Result<()> {
        let (database, stopping) = (Arc::downgrade(self), self.stopping.clone());
        let mut work = move || {
            while !stopping.load(Ordering::Relaxed) {
                let Some(database) = database.upgrade() else { break };
                each(&database);
            }
        };
        let body = move || {
            // Without it nothing would move any more, and nobody would be told why.
            if catch_unwind(AssertUnwindSafe(&mut work)).is_err() {
                store::fatal(&Error::internal("a thread of the database has panicked"));
            }
        };
        let thread = std::thread::Builder::new().name(name.into()).spawn(body);
        let thread = thread.map_err(|error| Error::internal(format!("could not start a thread: {error}")))?;
        self.threads.lock().expect("no panic while holding the threads").push(thread);
        Ok(())
    }

    /// Gives what sources have read a timestamp, unless the views are too far behind, and lets go of what is old.
    fn tick(&self) {
        // A source that makes more than can be paged out waits.
        let room = if self.runtime.memory().is_over() { 0 } else { self.room() };
        self.ingest.tick(&self.timeline, room);
        self.timeline.compact();
        self.ingest.trim(self.timeline.oldest_readable());
    }
}
