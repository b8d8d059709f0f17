//! Checkpoints: what every arrangement holds at one time, on disk, so that the next start computes nothing of it again.
//!
//! ```text
//!   turn: mint T, Pin ─▶ all dataflows are past T ─▶ capture ─▶ write chunks that are not on disk ─▶ one manifest ─▶ trim
//! ```
//! Views go on meanwhile: chunks are immutable, and what they are merged into is another chunk. A manifest names every
//! chunk of every arrangement, whichever file it is in; the newest two are kept, and the files that they name.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::database::Database;
use super::durable;
use crate::catalog::{Catalog, Entry, Item};
use crate::dataflow::chunk::ArrowChunk;
use crate::dataflow::runtime::{Captured, Command};
use crate::dataflow::saved::{Place, Saved, SavedArrangement, SavedChunk};
use crate::store::{BatchFile, BatchFileWriter, Segment, Store, batch_files, remove_batch_file};
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
}

impl Checkpoints {
    /// The checkpoints of a store; files that none of them names are what a crash has left.
    pub fn open(store: &Store) -> Result<Self> {
        let kept: Vec<Arc<Manifest>> = durable::manifests(store)?.into_iter().map(Arc::new).collect();
        remove_unnamed(store, &kept)?;
        Ok(Checkpoints { running: Mutex::default(), kept: Mutex::new(kept) })
    }

    /// Those that are kept, the newest last.
    pub fn kept(&self) -> Vec<Arc<Manifest>> {
        self.kept.lock().expect("no panic while holding the manifests").clone()
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
        let mut manifest = self.write(database, time, &captured)?;
        drop(hold);
        manifest.micros = started.elapsed().as_micros() as u64;
        let manifest = Arc::new(manifest);
        self.keep(database, &catalog, manifest.clone())?;
        tracing::debug!(time, bytes = manifest.bytes_written, micros = manifest.micros, "a checkpoint is made");
        Ok(manifest)
    }

    /// Copies the database to a folder that is new or empty, as it is now: the log, and links to the files of the newest
    /// checkpoints, which nobody removes meanwhile.
    pub fn backup(&self, database: &Database, to: &Path) -> Result<()> {
        let _running = self.running.lock().expect("no panic while making a checkpoint");
        database.timeline.settle(database.timeline.readable());
        database.store.copy_to(to, self.kept().iter().flat_map(|manifest| manifest.files.keys().copied()).collect())
    }

    /// Writes the chunks that are not on disk, and says where all are.
    fn write(&self, database: &Database, time: Time, captured: &[Captured]) -> Result<Manifest> {
        let known = self.kept().last().map(|manifest| manifest.files.clone()).unwrap_or_default();
        let worth_keeping = worth_keeping(&known, captured);
        let is_written = |chunk: &ArrowChunk| chunk.place().is_some_and(|place| worth_keeping.contains(&place.file));
        let mut file = BatchFileWriter::create(database.store.directory(), time)?;
        let mut manifest = Manifest { time, ..Manifest::default() };
        for Captured { object, arrangements, .. } in captured {
            let saved = manifest.objects.entry(*object).or_default();
            saved.fingerprint = database.views.fingerprint(*object);
            for (number, (name, runs)) in arrangements.iter().enumerate() {
                let new: Vec<ArrowChunk> = runs.iter().flatten().filter(|chunk| !is_written(chunk)).cloned().collect();
                for (chunk, place) in new.iter().zip(file.add(&new)?) {
                    chunk.set_place(place);
                }
                let place = |chunk: &ArrowChunk| chunk.place().expect("it has been written");
                let runs = runs.iter().map(|run| run.iter().map(place).collect());
                match saved.arrangements.get_mut(number) {
                    Some((_, others)) => others.extend(runs),
                    None => saved.arrangements.push((name.clone(), runs.collect())),
                }
            }
        }
        let named: BTreeSet<u64> = places(&manifest).map(|place| place.file).collect();
        manifest.files = known.into_iter().filter(|(file, _)| named.contains(file)).collect();
        if let Some((id, segments)) = file.finish()? {
            manifest.bytes_written = segments.iter().map(|segment| segment.bytes).sum();
            manifest.files.insert(id, segments);
        }
        Ok(manifest)
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
        database.store.sync()?;
        *self.kept.lock().expect("no panic while holding the manifests") = kept.clone();
        remove_unnamed(&database.store, &kept)
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

/// Whether an object, or one that it reads, is still taking in what was there before it.
fn reads_history(database: &Database, catalog: &Catalog, id: ObjectId) -> bool {
    let reads = catalog.get(id).map_or(&[][..], |entry| &entry.depends_on);
    database.views.reads_history(id) || reads.iter().any(|&read| reads_history(database, catalog, read))
}

fn is_table(item: &Item) -> bool {
    matches!(item, Item::Table(_))
}

fn places(manifest: &Manifest) -> impl Iterator<Item = &Place> {
    manifest.objects.values().flat_map(|object| &object.arrangements).flat_map(|(_, runs)| runs).flatten()
}

fn chunks(captured: &[Captured]) -> impl Iterator<Item = &ArrowChunk> {
    captured.iter().flat_map(|captured| &captured.arrangements).flat_map(|(_, runs)| runs).flatten()
}

fn unwritten_bytes(captured: &[Captured]) -> usize {
    chunks(captured).filter(|chunk| chunk.place().is_none()).map(ArrowChunk::bytes).sum()
}

/// The files of which most chunks are still used; what is left of the others is written again, so that they can go.
fn worth_keeping(files: &BTreeMap<u64, Vec<Segment>>, captured: &[Captured]) -> BTreeSet<u64> {
    let mut used: HashMap<u64, u32> = HashMap::new();
    for place in chunks(captured).filter_map(ArrowChunk::place) {
        *used.entry(place.file).or_default() += 1;
    }
    let chunks = |segments: &[Segment]| segments.iter().map(|segment| segment.chunks).sum::<u32>();
    let worth = files.iter().filter(|(file, segments)| used.get(file).is_some_and(|used| used * 2 > chunks(segments)));
    worth.map(|(file, _)| *file).collect()
}

/// Removes the files that no manifest names.
fn remove_unnamed(store: &Store, kept: &[Arc<Manifest>]) -> Result<()> {
    let is_named = |file: &u64| kept.iter().any(|manifest| manifest.files.contains_key(file));
    for file in batch_files(store.directory())?.into_iter().filter(|file| !is_named(file)) {
        remove_batch_file(store.directory(), file)?;
    }
    Ok(())
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
    let mut segments: HashMap<(u64, u32), Vec<SavedChunk>> = HashMap::new();
    let mut damage = None;
    for (&id, kept) in &manifest.files {
        let read = BatchFile::open(store.directory(), id, kept).and_then(|file| {
            let chunks = (0..kept.len()).map(|segment| Ok(((id, segment as u32), file.chunks(segment)?)));
            chunks.collect::<Result<Vec<_>>>()
        });
        match read {
            Ok(read) => segments.extend(read),
            Err(error) => damage = Some(error),
        }
    }
    let chunk = |place: &Place| segments.get(&(place.file, place.segment))?.get(place.chunk as usize).cloned();
    let mut chunks = 0;
    let objects = manifest.objects.iter().filter_map(|(id, object)| {
        let arrangements = object.arrangements.iter().map(|(name, runs)| {
            let runs = runs.iter().map(|run| run.iter().map(chunk).collect::<Option<Vec<_>>>());
            Some(SavedArrangement { name: name.clone(), runs: runs.collect::<Option<_>>()? })
        });
        let arrangements = arrangements.collect::<Option<Vec<_>>>()?;
        chunks += arrangements.iter().flat_map(|arrangement| &arrangement.runs).map(Vec::len).sum::<usize>();
        Some((*id, Arc::new(Saved { time: manifest.time, arrangements })))
    });
    let objects = objects.collect();
    (Opened { manifest, objects, chunks }, damage)
}
