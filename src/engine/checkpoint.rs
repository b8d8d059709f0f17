//! Checkpoints: what every arrangement holds at one time, on disk, so that the next start computes nothing of it again.
//!
//! ```text
//!   turn: mint T, Pin ─▶ all dataflows are past T ─▶ capture ─▶ write chunks that are not on disk ─▶ one manifest ─▶ trim
//! ```
//! Views go on meanwhile: chunks are immutable, and what they are merged into is another chunk. A manifest names every
//! chunk of every arrangement, whichever file it is in; the newest two are kept, and the files that they name.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::database::Database;
use super::durable;
use crate::catalog::{Catalog, Entry, Item};
use crate::dataflow::page::Page;
use crate::dataflow::runtime::{Captured, Command};
use crate::dataflow::saved::{Place, Saved, SavedArrangement, SavedAt, SavedChunk, SavedFile, Segment};
use crate::store::{self, BatchFile, BatchFileWriter, Store};
use crate::types::{Error, ObjectId, Result, SqlState, Time};

/// Manifests that are kept.
const MANIFESTS_KEPT: usize = 2;
/// How long views may take to come to the checkpoint's time; those that are not there by then are left out.
const CATCH_UP_MAX: Duration = Duration::from_secs(10);

/// What a checkpoint holds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Manifest {
    pub time: Time,
    pub objects: BTreeMap<ObjectId, SavedObject>,
    /// The segments of the files that it names.
    pub files: BTreeMap<u64, Vec<Segment>>,
    /// Wall-clock microseconds that it took.
    pub micros: u64,
    /// Bytes that were written for it; the rest was there.
    pub bytes_written: u64,
}

/// One object's arrangements.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SavedObject {
    /// That of the plan, for a view.
    pub fingerprint: u64,
    /// Their names, and the chunks of their runs.
    pub arrangements: Vec<(String, Vec<Vec<Place>>)>,
    /// Readable from this time on: as far back as `--retention` wants.
    #[serde(default)]
    pub since: Time,
    /// Of a view that can't be completed any more: what it holds is from an earlier checkpoint, and goes on from one to the
    /// next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stuck: Option<Stuck>,
}

/// Since when a view is not completed, and why.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stuck {
    pub time: Time,
    pub reason: String,
}

impl Manifest {
    /// Bytes of the files that it names.
    pub fn bytes(&self) -> u64 {
        self.files.values().flatten().map(|segment| segment.bytes).sum()
    }
}

/// Makes checkpoints, one at a time.
#[derive(Default)]
pub struct Checkpoints {
    running: Mutex<()>,
    /// Those that are kept, the newest last.
    kept: Mutex<Vec<Arc<Manifest>>>,
    /// How many were made since the start.
    made: AtomicU64,
}

impl Checkpoints {
    /// The checkpoints of a store; files that none of them names are what a crash has left.
    pub fn open(store: &Store) -> Result<Self> {
        let kept: Vec<Arc<Manifest>> = durable::manifests(store)?.into_iter().map(Arc::new).collect();
        remove_unused(store, &kept)?;
        Ok(Checkpoints { running: Mutex::default(), kept: Mutex::new(kept), made: AtomicU64::new(0) })
    }

    /// Those that are kept, the newest last.
    pub fn kept(&self) -> Vec<Arc<Manifest>> {
        self.kept.lock().expect("no panic while holding the manifests").clone()
    }

    /// How many were made since the start.
    pub fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// Makes a checkpoint of what is there now; blocks until it is on the disk.
    pub fn make(&self, database: &Database) -> Result<Arc<Manifest>> {
        let _running = self.running.lock().expect("no panic while making a checkpoint");
        let started = Instant::now();
        let store = &database.store;
        let (time, catalog) = pin(database);
        let hold = database.timeline.hold_at(time).map_err(|_| Error::internal("a new time is not readable"))?;
        let complete = complete_objects(database, &catalog, time);
        let captured = database.runtime.capture();
        database.timeline.settle(time);
        let is_there = |id: ObjectId| database.runtime.frontier(id).is_some();
        let is_behind = |entry: &&Entry| is_table(&entry.item) && !complete.contains(&entry.id) && is_there(entry.id);
        let behind = catalog.entries().find(is_behind);
        if let Some(behind) = behind {
            let message = format!("no checkpoint was made: \"{}\" is too far behind", behind.name);
            return Err(Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message));
        }
        let captured: Vec<Captured> =
            captured.into_iter().filter(|captured| complete.contains(&captured.object)).collect();
        store.require_space(unwritten_bytes(&captured))?;
        // The files that it names must stay until it is kept.
        let (mut manifest, _files) = write(&database.store, time, &captured, |id| database.views.fingerprint(id))?;
        drop(hold);
        for (&id, object) in &mut manifest.objects {
            object.since = database.runtime.since(id).unwrap_or(time).min(time);
        }
        if let Some(last) = self.kept().last() {
            carry_on(database, &catalog, last, &mut manifest);
        }
        manifest.micros = started.elapsed().as_micros() as u64;
        let manifest = Arc::new(manifest);
        self.keep(database, &catalog, manifest.clone())?;
        self.made.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(time, bytes = manifest.bytes_written, micros = manifest.micros, "a checkpoint is made");
        Ok(manifest)
    }

    /// Removes the files that no checkpoint names and no page lies in, unless a checkpoint is being made, which does so itself.
    pub fn remove_unused(&self, store: &Store) -> Result<()> {
        match self.running.try_lock() {
            Ok(_running) => remove_unused(store, &self.kept()),
            Err(_) => Ok(()),
        }
    }

    /// Copies the database to a folder that is new or empty, as it is now: the log, and links to the files of the newest
    /// checkpoints, which nobody removes meanwhile.
    pub fn backup(&self, database: &Database, to: &Path) -> Result<()> {
        let _running = self.running.lock().expect("no panic while making a checkpoint");
        database.timeline.settle(database.timeline.readable());
        database.store.copy_to(to, self.kept().iter().flat_map(|manifest| manifest.files.keys().copied()).collect())
    }

    /// Makes the manifest the newest, in one write; forgets what only those before the kept ones needed.
    fn keep(&self, database: &Database, catalog: &Catalog, manifest: Arc<Manifest>) -> Result<()> {
        let mut kept = self.kept();
        kept.push(manifest.clone());
        let forgotten: Vec<_> = kept.drain(..kept.len().saturating_sub(MANIFESTS_KEPT)).collect();
        let mut changes = vec![durable::put_manifest(&manifest)];
        changes.extend(forgotten.iter().map(|manifest| durable::delete_manifest(manifest.time)));
        let oldest = kept[0].time;
        for entry in catalog.entries() {
            match &entry.item {
                Item::Table(_) if kept[0].objects.contains_key(&entry.id) => {
                    changes.push(durable::trim_commits(entry.id, oldest + 1));
                }
                Item::Source(_) => changes.extend(durable::trim_bindings(&database.store, entry.id, oldest)?),
                _ => {}
            }
        }
        database.store.write(changes)?;
        database.store.sync();
        *self.kept.lock().expect("no panic while holding the manifests") = kept.clone();
        remove_unused(&database.store, &kept)
    }
}

/// Chooses the checkpoint's time: nothing happens at it, and arrangements keep what is before it apart from what follows.
fn pin(database: &Database) -> (Time, Arc<Catalog>) {
    let mut turn = database.timeline.turn();
    turn.execute(Command::Pin);
    let time = turn.mint();
    turn.close(time);
    (time, database.catalog())
}

/// Waits until everything is complete to `time`, but for what reads its history, and not for ever; gives what is.
fn complete_objects(database: &Database, catalog: &Catalog, time: Time) -> BTreeSet<ObjectId> {
    let started = Instant::now();
    loop {
        let frontiers = catalog.entries().map(|entry| (entry.id, database.runtime.frontier(entry.id)));
        let kept: Vec<_> = frontiers.filter_map(|(id, frontier)| Some((id, frontier?))).collect();
        let is_awaited = |id: ObjectId, frontier: Time| frontier <= time && !reads_history(database, catalog, id);
        if started.elapsed() > CATCH_UP_MAX || !kept.iter().any(|&(id, frontier)| is_awaited(id, frontier)) {
            return kept.into_iter().filter(|(_, frontier)| *frontier > time).map(|(id, _)| id).collect();
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Whether an object, or one that it reads, is still taking in what was there before it, or never will be done with that.
fn reads_history(database: &Database, catalog: &Catalog, id: ObjectId) -> bool {
    let reads = catalog.get(id).map_or(&[][..], |entry| &entry.depends_on);
    let is_late = database.views.reads_history(id) || database.views.failure(id).is_some();
    is_late || reads.iter().any(|&read| reads_history(database, catalog, read))
}

/// Takes views that can't be completed over from the checkpoint before, so that what they hold is not lost with it.
fn carry_on(database: &Database, catalog: &Catalog, last: &Manifest, manifest: &mut Manifest) {
    for (&id, object) in last.objects.iter().filter(|(id, _)| catalog.get(**id).is_some()) {
        let Some(error) = database.failure(id).filter(|_| !manifest.objects.contains_key(&id)) else {
            continue;
        };
        let since = Stuck { time: last.time, reason: error.to_string() };
        let object = SavedObject { stuck: object.stuck.clone().or(Some(since)), ..object.clone() };
        for file in places(&object).map(|place| place.file) {
            manifest.files.extend(last.files.get(&file).map(|segments| (file, segments.clone())));
        }
        manifest.objects.insert(id, object);
    }
}

fn places(object: &SavedObject) -> impl Iterator<Item = &Place> {
    object.arrangements.iter().flat_map(|(_, runs)| runs).flatten()
}

fn is_table(item: &Item) -> bool {
    matches!(item, Item::Table(_))
}

/// Writes the pages that are not on disk, and says where all are: in which files, too.
fn write(
    store: &Store,
    time: Time,
    captured: &[Captured],
    fingerprint: impl Fn(ObjectId) -> u64,
) -> Result<(Manifest, BTreeMap<u64, Arc<SavedFile>>)> {
    let worth_keeping = worth_keeping(captured);
    let mut writer = BatchFileWriter::create(store.files())?;
    let (mut manifest, mut files) = (Manifest { time, ..Manifest::default() }, BTreeMap::new());
    let mut written: Vec<(&Page, SavedAt)> = vec![];
    for Captured { object, arrangements, .. } in captured {
        let saved = manifest.objects.entry(*object).or_default();
        saved.fingerprint = fingerprint(*object);
        for (number, (name, runs)) in arrangements.iter().enumerate() {
            let kept: Vec<Option<SavedAt>> = runs.iter().flatten().map(|page| kept_at(page, &worth_keeping)).collect();
            let new: Vec<&Page> =
                runs.iter().flatten().zip(&kept).filter(|(_, at)| at.is_none()).map(|(p, _)| p).collect();
            let places = writer.add(&new.iter().map(|page| page.chunk()).collect::<Vec<_>>())?;
            written.extend(new.into_iter().zip(places.iter().cloned()));
            let mut places = places.into_iter();
            let mut kept = kept.into_iter();
            let mut place = |_: &Page| {
                let at = kept.next().flatten().or_else(|| places.next()).expect("it was kept or written");
                files.insert(at.file.id, at.file.clone());
                at.place
            };
            let runs: Vec<Vec<Place>> = runs.iter().map(|run| run.iter().map(&mut place).collect()).collect();
            match saved.arrangements.get_mut(number) {
                Some((_, others)) => others.extend(runs),
                None => saved.arrangements.push((name.clone(), runs)),
            }
        }
    }
    if let Some(file) = writer.finish()? {
        store.files().sync(&file)?;
        manifest.bytes_written = file.segments().iter().map(|segment| segment.bytes).sum();
    }
    files.values().for_each(|file| sync_paged(store, file));
    manifest.files = files.iter().map(|(&id, file)| (id, file.segments().to_vec())).collect();
    note_places(store, written)?;
    Ok((manifest, files))
}

/// A file that pages have gone to is not synced before a checkpoint names it.
fn sync_paged(store: &Store, file: &SavedFile) {
    // The pages may be lost, and are nowhere else; a restart begins with the checkpoint before.
    store.files().sync(file).unwrap_or_else(|error| store::fatal(&error));
}

/// Tells pages where they have been written. Those that lay in a file before, of which little is used any more, let go of it.
fn note_places(store: &Store, written: Vec<(&Page, SavedAt)>) -> Result<()> {
    let (moved, new): (Vec<_>, Vec<_>) = written.into_iter().partition(|(page, _)| page.chunk().is_mapped());
    new.into_iter().for_each(|(page, at)| page.save(at));
    store::map(store, moved)
}

fn kept_at(page: &Page, worth_keeping: &BTreeSet<u64>) -> Option<SavedAt> {
    page.saved_at().filter(|at| worth_keeping.contains(&at.file.id))
}

fn pages(captured: &[Captured]) -> impl Iterator<Item = &Page> {
    captured.iter().flat_map(|captured| &captured.arrangements).flat_map(|(_, runs)| runs).flatten()
}

fn unwritten_bytes(captured: &[Captured]) -> usize {
    pages(captured).filter(|page| page.saved_at().is_none()).map(|page| page.chunk().bytes()).sum()
}

/// The files of which most chunks are still used; what is left of the others is written again, so that they can go.
fn worth_keeping(captured: &[Captured]) -> BTreeSet<u64> {
    let mut used: BTreeMap<u64, (u32, Arc<SavedFile>)> = BTreeMap::new();
    for at in pages(captured).filter_map(Page::saved_at) {
        used.entry(at.file.id).or_insert((0, at.file)).0 += 1;
    }
    let chunks = |file: &SavedFile| file.segments().iter().map(|segment| segment.chunks).sum::<u32>();
    used.retain(|_, (used, file)| *used * 2 > chunks(file));
    used.into_keys().collect()
}

/// Removes the files that no manifest names and no page lies in.
fn remove_unused(store: &Store, kept: &[Arc<Manifest>]) -> Result<()> {
    store.files().remove_unused(|file| kept.iter().any(|manifest| manifest.files.contains_key(&file)))
}

/// What a manifest holds, ready to begin with.
pub struct Opened {
    pub manifest: Arc<Manifest>,
    pub objects: HashMap<ObjectId, Arc<Saved>>,
    /// Chunks that were mapped.
    pub chunks: usize,
}

/// Opens the newest checkpoint whose files are whole. Objects whose files are damaged are not among those that are opened.
pub fn open_newest(store: &Store, checkpoints: &Checkpoints) -> Result<Option<Opened>> {
    let mut kept = checkpoints.kept();
    while let Some(manifest) = kept.pop() {
        let (opened, damage) = open(store, manifest.clone());
        match damage {
            None => return Ok(Some(opened)),
            // What a view lost can be computed again; a table's rows stand nowhere else but in the checkpoint before.
            Some(error) if kept.is_empty() => {
                tracing::error!(%error, time = manifest.time, "a checkpoint is damaged");
                return Ok(Some(opened));
            }
            Some(error) => {
                tracing::error!(%error, time = manifest.time, "a checkpoint is damaged; the one before is taken");
            }
        }
    }
    Ok(None)
}

fn open(store: &Store, manifest: Arc<Manifest>) -> (Opened, Option<Error>) {
    let (segments, damage) = read_segments(store, &manifest.files);
    let chunk = |place: &Place| segments.get(&(place.file, place.segment))?.get(place.chunk as usize).cloned();
    let mut chunks = 0;
    let objects = manifest.objects.iter().filter_map(|(id, object)| {
        let arrangements = object.arrangements.iter().map(|(name, runs)| {
            let runs = runs.iter().map(|run| run.iter().map(chunk).collect::<Option<Vec<_>>>());
            Some(SavedArrangement { name: name.clone(), runs: runs.collect::<Option<_>>()? })
        });
        let arrangements = arrangements.collect::<Option<Vec<_>>>()?;
        chunks += arrangements.iter().flat_map(|arrangement| &arrangement.runs).map(Vec::len).sum::<usize>();
        let time = object.stuck.as_ref().map_or(manifest.time, |stuck| stuck.time);
        // Those of before this was written down told no earlier times.
        let since = if object.since == 0 { time } else { object.since.min(time) };
        Some((*id, Arc::new(Saved { time, since, arrangements })))
    });
    let objects = objects.collect();
    (Opened { manifest, objects, chunks }, damage)
}

/// The chunks of segments, by file and segment.
type Segments = HashMap<(u64, u32), Vec<SavedChunk>>;

/// Reads what is whole of the files, all of their bytes, and says what is not; on all cores, the largest segments first.
fn read_segments(store: &Store, files: &BTreeMap<u64, Vec<Segment>>) -> (Segments, Option<Error>) {
    let mut damage = None;
    let open =
        |(&id, segments): (&u64, &Vec<Segment>)| BatchFile::open(store.files(), &store.files().known(id, segments));
    let files: Vec<BatchFile> =
        files.iter().filter_map(|file| open(file).map_err(|error| damage = Some(error)).ok()).collect();
    let segments = |file: &'_ BatchFile| 0..file.segments().len();
    let mut waiting: Vec<(&BatchFile, usize)> =
        files.iter().flat_map(|file| segments(file).map(move |segment| (file, segment))).collect();
    waiting.sort_by_key(|(file, segment)| Reverse(file.segments()[*segment].bytes));
    let next = AtomicUsize::new(0);
    let read_some = || {
        let taken = std::iter::from_fn(|| waiting.get(next.fetch_add(1, Ordering::Relaxed)));
        let read = |&(file, segment): &(&BatchFile, usize)| {
            file.verify(segment)?;
            Ok(((file.id(), segment as u32), file.chunks(segment)?))
        };
        taken.map(read).collect::<Vec<Result<_>>>()
    };
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get()).min(waiting.len());
    let read = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(read_some)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("reading does not panic")).collect::<Vec<_>>()
    });
    let whole = read.into_iter().filter_map(|read| read.map_err(|error| damage = Some(error)).ok());
    (whole.collect(), damage)
}
