//! What of the running database is kept in its store, and under which keys. A crash at any instant leaves what was
//! acknowledged.
//!
//! | family | key | value |
//! |---|---|---|
//! | meta | `hash_seed`, `clock`, `next_ids` | numbers, big-endian |
//! | catalog | object | its definition, JSON |
//! | commits | table, time, number | a delta |
//! | bindings | source, time (0: where reading began) | positions, JSON |
//! | source_errors | source, number | when, and the record, JSON |
//! | checkpoints | time | the manifest, JSON |

use arrow::datatypes::SchemaRef;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::checkpoint::Manifest;
use crate::catalog::{Catalog, Entry};
use crate::connect::{Positions, RecordError};
use crate::store::{Change, Family, Pair, Store, delta_from_bytes, delta_to_bytes};
use crate::types::{Delta, Error, ObjectId, Result, SqlState, Time, random_u64};

const HASH_SEED: &[u8] = b"hash_seed";
const CLOCK: &[u8] = b"clock";
const NEXT_IDS: &[u8] = b"next_ids";

/// The seed of the row hash; made when the database is.
pub fn hash_seed(store: &Store) -> Result<u64> {
    if let Some(bytes) = store.get(Family::Meta, HASH_SEED)? {
        return number(&bytes);
    }
    let seed = random_u64();
    store.write(vec![Change::Put(Family::Meta, HASH_SEED.to_vec(), seed.to_be_bytes().to_vec())])?;
    store.sync();
    Ok(seed)
}

/// The newest time that anything happened at; 0 at first.
pub fn clock(store: &Store) -> Result<Time> {
    let written = store.get(Family::Meta, CLOCK)?.map_or(Ok(0), |bytes| number(&bytes))?;
    let checkpoint = store.scan_all(Family::Checkpoints).last().map_or(Ok(0), |entry| number(&entry?.0))?;
    Ok(written.max(checkpoint))
}

pub fn put_clock(time: Time) -> Change {
    Change::Put(Family::Meta, CLOCK.to_vec(), time.to_be_bytes().to_vec())
}

/// The catalog as it was written last; at first a new one, which is written.
pub fn catalog(store: &Store) -> Result<Catalog> {
    let Some(bytes) = store.get(Family::Meta, NEXT_IDS)? else {
        let (new, nothing) = (Catalog::default(), Catalog::restored(vec![], (0, 0)));
        store.write(definitions(&nothing, &new))?;
        return Ok(new);
    };
    let entries = store.scan_all(Family::Catalog).map(|entry| from_json::<Entry>(&entry?.1));
    let next_ids = from_json(&bytes)?;
    Ok(Catalog::restored(entries.collect::<Result<_>>()?, next_ids))
}

/// What turns the catalog `before` into `after`; the rows and bindings of what is dropped go with it.
pub fn definitions(before: &Catalog, after: &Catalog) -> Vec<Change> {
    let (new, dropped) = after.changes_since(before);
    let mut changes = vec![Change::Put(Family::Meta, NEXT_IDS.to_vec(), json(&after.next_ids()))];
    changes.extend(new.into_iter().map(|entry| Change::Put(Family::Catalog, key(&[entry.id.0]), json(entry))));
    for id in dropped {
        changes.push(Change::Delete(Family::Catalog, key(&[id.0])));
        let kept = [Family::Commits, Family::Bindings, Family::SourceErrors];
        changes.extend(kept.map(|family| Change::DeleteRange(family, key(&[id.0]), key(&[id.0 + 1]))));
    }
    changes
}

/// The `number`th rows that enter or leave a table at `time`.
pub fn commit(table: ObjectId, time: Time, number: usize, delta: &Delta) -> Result<Change> {
    Ok(Change::Put(Family::Commits, key(&[table.0, time, number as u64]), delta_to_bytes(delta)?))
}

/// What was written to a table after `after`, in order.
pub fn commits<'a>(
    store: &'a Store,
    table: ObjectId,
    schema: &'a SchemaRef,
    after: Time,
) -> impl Iterator<Item = Result<Delta>> + 'a {
    let written = store.scan(Family::Commits, &key(&[table.0, after + 1]), &key(&[table.0 + 1]));
    written.map(|written| {
        let (key, bytes) = written?;
        delta_from_bytes(&bytes, schema, number(&key[8..16])?)
    })
}

/// What says how far a source has been read at `time`, or, at 0, where reading began.
pub fn binding(source: ObjectId, time: Time, positions: &Positions) -> Change {
    Change::Put(Family::Bindings, key(&[source.0, time]), json(positions))
}

/// What forgets the bindings of a source that nobody needs who begins at `oldest`: all but the last until then, and where
/// reading began.
pub fn trim_bindings(store: &Store, source: ObjectId, oldest: Time) -> Result<Option<Change>> {
    let (first, end) = (key(&[source.0, 1]), key(&[source.0, oldest + 1]));
    let last = store.scan(Family::Bindings, &first, &end).last().transpose()?;
    Ok(last.map(|(last, _)| Change::DeleteRange(Family::Bindings, first, last.into())))
}

/// What forgets a table's commits before `before`.
pub fn trim_commits(table: ObjectId, before: Time) -> Change {
    Change::DeleteRange(Family::Commits, key(&[table.0]), key(&[table.0, before]))
}

pub fn put_manifest(manifest: &Manifest) -> Change {
    Change::Put(Family::Checkpoints, key(&[manifest.time]), json(manifest))
}

pub fn delete_manifest(time: Time) -> Change {
    Change::Delete(Family::Checkpoints, key(&[time]))
}

/// The manifests of all checkpoints, the newest last.
pub fn manifests(store: &Store) -> Result<Vec<Manifest>> {
    store.scan_all(Family::Checkpoints).map(|entry| from_json(&entry?.1)).collect()
}

/// The bindings of a source, where its reading began first.
pub fn bindings(store: &Store, source: ObjectId) -> Result<Vec<(Time, Positions)>> {
    let found = store.scan(Family::Bindings, &key(&[source.0]), &key(&[source.0 + 1]));
    let read = |entry: Result<Pair>| {
        let (key, positions) = entry?;
        Ok((number(&key[8..])?, from_json(&positions)?))
    };
    found.map(read).collect()
}

/// The `number`th record of a source that could not be decoded, met at `time`.
pub fn source_error(source: ObjectId, number: u64, time: Time, error: &RecordError) -> Change {
    Change::Put(Family::SourceErrors, key(&[source.0, number]), json(&(time, error)))
}

pub fn forget_source_error(source: ObjectId, number: u64) -> Change {
    Change::Delete(Family::SourceErrors, key(&[source.0, number]))
}

/// The records of a source that are kept, with their numbers.
pub fn source_errors(store: &Store, source: ObjectId) -> Result<Vec<(u64, (Time, RecordError))>> {
    let found = store.scan(Family::SourceErrors, &key(&[source.0]), &key(&[source.0 + 1]));
    let read = |entry: Result<Pair>| {
        let (key, error) = entry?;
        Ok((number(&key[8..])?, from_json(&error)?))
    };
    found.map(read).collect()
}

fn key(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

fn number(bytes: &[u8]) -> Result<u64> {
    let bytes = bytes.try_into().map_err(|_| unreadable("a number has eight bytes"))?;
    Ok(u64::from_be_bytes(bytes))
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("what is kept has no keys but text and numbers")
}

fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| unreadable(&error.to_string()))
}

fn unreadable(why: &str) -> Error {
    Error::new(SqlState::DATA_CORRUPTED, format!("the log holds what this version can't read: {why}"))
}
