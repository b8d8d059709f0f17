//! The one RocksDB of a database: changes go in atomically, and are synced to the disk when they are asked to be.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rocksdb::checkpoint::Checkpoint;
use rocksdb::{ColumnFamily, DB, DBRecoveryMode, Direction, IteratorMode, Options, WriteBatch, WriteOptions};

use super::Files;
use crate::types::{Error, Result, SqlState};

/// The layout of keys and values. A store of a later one is refused; one of an earlier one would be converted here.
const FORMAT: u32 = 1;

/// Under which the format stands, in [`Family::Meta`].
const FORMAT_KEY: &[u8] = b"format";

/// The column families. Numbers in keys are big-endian, so that they sort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Single values by name.
    Meta,
    /// Object id → its definition.
    Catalog,
    /// Table id, time, sequence → rows that entered or left the table.
    Commits,
    /// Source id, time → positions.
    Bindings,
    /// Source id, time, sequence → a record that could not be decoded.
    SourceErrors,
    /// Time → which batch files hold which arrangements.
    Checkpoints,
}

impl Family {
    const ALL: [Family; 6] =
        [Family::Meta, Family::Catalog, Family::Commits, Family::Bindings, Family::SourceErrors, Family::Checkpoints];

    fn name(self) -> &'static str {
        match self {
            Family::Meta => "meta",
            Family::Catalog => "catalog",
            Family::Commits => "commits",
            Family::Bindings => "bindings",
            Family::SourceErrors => "source_errors",
            Family::Checkpoints => "checkpoints",
        }
    }
}

/// One change of what is kept.
#[derive(Clone, Debug)]
pub enum Change {
    Put(Family, Vec<u8>, Vec<u8>),
    Delete(Family, Vec<u8>),
    /// All keys from the first up to but without the second.
    DeleteRange(Family, Vec<u8>, Vec<u8>),
}

impl Change {
    fn bytes(&self) -> usize {
        match self {
            Change::Put(_, key, value) => key.len() + value.len(),
            Change::Delete(..) | Change::DeleteRange(..) => 0,
        }
    }
}

/// A key and its value.
pub type Pair = (Box<[u8]>, Box<[u8]>);

/// The open log of a data directory; no other process has it open.
pub struct Store {
    db: DB,
    directory: PathBuf,
    files: Files,
    /// Bytes that must be free on the disk beyond what is written, so that the log itself never meets the end.
    reserve_bytes: u64,
}

impl Store {
    /// Opens what is in `directory`, or begins there. So many bytes of its disk are left free.
    pub fn open(directory: &Path, reserve_bytes: u64) -> Result<Store> {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_compression_type(rocksdb::DBCompressionType::Lz4);
        // A crash may tear the end of the log, which nobody was told of. Damage before it is an error, never skipped.
        options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
        options.set_max_background_jobs(2);
        options.set_keep_log_file_num(2);
        options.set_max_total_wal_size(256 << 20);
        let names = Family::ALL.map(Family::name);
        let db = DB::open_cf(&options, directory.join("log"), names).map_err(|error| not_opened(directory, &error))?;
        let files = Files::open(directory)?;
        let store = Store { db, directory: directory.to_path_buf(), files, reserve_bytes };
        store.check_format()?;
        Ok(store)
    }

    fn check_format(&self) -> Result<()> {
        let Some(bytes) = self.get(Family::Meta, FORMAT_KEY)? else {
            let format = Change::Put(Family::Meta, FORMAT_KEY.to_vec(), FORMAT.to_be_bytes().to_vec());
            self.write(vec![format])?;
            self.sync();
            return Ok(());
        };
        let format = bytes.as_slice().try_into().map(u32::from_be_bytes).unwrap_or(u32::MAX);
        if format == FORMAT {
            return Ok(());
        }
        let message = format!("the data directory \"{}\" has format {format}", self.directory.display());
        Err(Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
            .with_detail(format!("This version of Millrace reads format {FORMAT}."))
            .with_hint("Start it with the version that wrote it, or with a newer one."))
    }

    /// The batch files beside the log.
    pub fn files(&self) -> &Files {
        &self.files
    }

    pub fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.db.get_cf(self.family(family), key).map_err(|error| failed("read", &error))
    }

    /// Keys from `from` on and up to but without `to`, with their values, in order.
    pub fn scan(&self, family: Family, from: &[u8], to: &[u8]) -> impl Iterator<Item = Result<Pair>> + use<'_> {
        let to = to.to_vec();
        let entries = self.db.iterator_cf(self.family(family), IteratorMode::From(from, Direction::Forward));
        let entries = entries.map(|entry| entry.map_err(|error| failed("read", &error)));
        entries.take_while(move |entry| entry.as_ref().map_or(true, |(key, _)| to.is_empty() || key.as_ref() < &to[..]))
    }

    /// Everything in a family, in order.
    pub fn scan_all(&self, family: Family) -> impl Iterator<Item = Result<Pair>> + use<'_> {
        self.scan(family, &[], &[])
    }

    /// Makes all changes or none. They outlive the process at once, and the machine after the next [`sync`](Self::sync).
    /// Fails if the disk is too full; if it can't be written otherwise, the [process ends](fatal).
    pub fn write(&self, changes: Vec<Change>) -> Result<()> {
        self.require_space(changes.iter().map(Change::bytes).sum())?;
        let mut batch = WriteBatch::default();
        for change in &changes {
            match change {
                Change::Put(family, key, value) => batch.put_cf(self.family(*family), key, value),
                Change::Delete(family, key) => batch.delete_cf(self.family(*family), key),
                Change::DeleteRange(family, from, to) => batch.delete_range_cf(self.family(*family), from, to),
            }
        }
        let written = self.db.write_opt(batch, &WriteOptions::default());
        written.unwrap_or_else(|error| fatal(&failed("written to", &error)));
        Ok(())
    }

    /// Everything that was written is on the disk when this returns; if that can't be, the [process ends](fatal).
    pub fn sync(&self) {
        self.db.flush_wal(true).unwrap_or_else(|error| fatal(&failed("synced", &error)));
    }

    /// Copies everything that was written to `to`, which must be new or empty, with these batch files: as links, where the
    /// file system has them.
    pub fn copy_to(&self, to: &Path, files: BTreeSet<u64>) -> Result<()> {
        let problem = |error: std::io::Error| {
            Error::new(SqlState::IO_ERROR, format!("could not write the backup \"{}\": {error}", to.display()))
        };
        let is_empty = |mut entries: std::fs::ReadDir| entries.next().is_none();
        if to.exists() && !std::fs::read_dir(to).map(is_empty).map_err(problem)? {
            let message = format!("directory \"{}\" exists but is not empty", to.display());
            return Err(Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message));
        }
        let copies = Files::open(to)?;
        for file in files {
            self.files.link_to(&copies, file).map_err(problem)?;
        }
        let copied = Checkpoint::new(&self.db).and_then(|log| log.create_checkpoint(to.join("log")));
        copied.map_err(|error| failed("copied", &error))
    }

    /// Fails if the disk is too full for so many bytes.
    pub fn require_space(&self, bytes: usize) -> Result<()> {
        let Ok(found) = rustix::fs::statvfs(&self.directory) else { return Ok(()) };
        if found.f_bavail.saturating_mul(found.f_frsize) >= self.reserve_bytes + 2 * bytes as u64 {
            return Ok(());
        }
        let message = format!("could not write to the data directory \"{}\": no space left", self.directory.display());
        Err(Error::new(SqlState::DISK_FULL, message)
            .with_detail(format!("{} MiB are kept free.", self.reserve_bytes >> 20))
            .with_hint("Free some space; nothing needs to be restarted."))
    }

    fn family(&self, family: Family) -> &ColumnFamily {
        self.db.cf_handle(family.name()).expect("every family was opened")
    }
}

/// Ends the process, since what it must keep can't be kept. Nobody knows what is on the disk after a write or a sync has
/// failed, and asking again does not tell: a restart does, as PostgreSQL's does after the same.
pub fn fatal(error: &Error) -> ! {
    tracing::error!(%error, "what is acknowledged can't be made to last; the process ends, and can be started again");
    std::process::abort()
}

fn unusable(directory: &Path, why: &str) -> Error {
    Error::new(SqlState::IO_ERROR, format!("could not use the data directory \"{}\": {why}", directory.display()))
}

fn not_opened(directory: &Path, error: &rocksdb::Error) -> Error {
    let text = error.to_string();
    if text.contains("lock file") || text.contains("lock hold") {
        let message = format!("the data directory \"{}\" is in use by another server", directory.display());
        return Error::new(SqlState::OBJECT_IN_USE, message)
            .with_hint("Stop that one first, or choose another directory.");
    }
    match error.kind() {
        rocksdb::ErrorKind::Corruption => damaged(&text),
        _ => unusable(directory, &text),
    }
}

fn failed(what: &str, error: &rocksdb::Error) -> Error {
    let text = error.to_string();
    if error.kind() == rocksdb::ErrorKind::Corruption {
        return damaged(&text);
    }
    let state = if text.contains("No space left") { SqlState::DISK_FULL } else { SqlState::IO_ERROR };
    Error::new(state, format!("the log could not be {what}: {text}"))
}

fn damaged(text: &str) -> Error {
    Error::new(SqlState::DATA_CORRUPTED, format!("the log is damaged: {text}"))
        .with_hint("Restore the data directory from a backup.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &str, value: &str) -> Change {
        Change::Put(Family::Catalog, key.into(), value.into())
    }

    fn all(store: &Store) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        store.scan_all(Family::Catalog).map(Result::unwrap).map(|(key, value)| (text(&key), text(&value))).collect()
    }

    #[test]
    fn what_was_written_is_there_after_opening_again() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), 0).unwrap();
        store.write(vec![put("a", "1"), put("b", "2"), put("c", "3")]).unwrap();
        store.write(vec![Change::DeleteRange(Family::Catalog, b"b".to_vec(), b"c".to_vec())]).unwrap();
        let refused = Store::open(directory.path(), 0).err().unwrap();
        assert_eq!(refused.state(), SqlState::OBJECT_IN_USE, "{refused}");
        drop(store);
        let store = Store::open(directory.path(), 0).unwrap();
        assert_eq!(all(&store), [("a".into(), "1".into()), ("c".into(), "3".into())]);
        assert_eq!(store.scan(Family::Catalog, b"b", b"c").count(), 0);
    }

    #[test]
    fn a_later_format_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), 0).unwrap();
        let later = (FORMAT + 1).to_be_bytes().to_vec();
        store.write(vec![Change::Put(Family::Meta, FORMAT_KEY.to_vec(), later)]).unwrap();
        drop(store);
        let refused = Store::open(directory.path(), 0).err().unwrap();
        assert_eq!(refused.state(), SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE);
        assert!(refused.hint().is_some());
    }
}
