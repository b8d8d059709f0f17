//! The batch files of a data directory: which there are, and which somebody still needs.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use crate::dataflow::saved::{SavedFile, Segment};
use crate::types::{Error, Result, SqlState};

/// The batch files in one directory.
pub struct Files {
    directory: PathBuf,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// Those that somebody has had; they are needed while somebody has them.
    files: BTreeMap<u64, Weak<SavedFile>>,
    /// The last number that was given.
    last: u64,
}

impl Files {
    /// Those of a data directory.
    pub fn open(data: &Path) -> Result<Files> {
        let directory = data.join("batches");
        std::fs::create_dir_all(&directory).map_err(|error| failed("create", &directory, &error))?;
        let files = Files { directory, known: Mutex::default() };
        let last = files.all()?.into_iter().max().unwrap_or(0);
        files.known.lock().expect("no panic while holding the files").last = last;
        Ok(files)
    }

    /// A file that is to be written.
    pub fn create(&self) -> Arc<SavedFile> {
        let mut known = self.known.lock().expect("no panic while holding the files");
        known.last += 1;
        let file = Arc::new(SavedFile { id: known.last, segments: OnceLock::new(), is_synced: AtomicBool::new(false) });
        known.files.insert(file.id, Arc::downgrade(&file));
        file
    }

    /// A file that was written before.
    pub fn known(&self, id: u64, segments: &[Segment]) -> Arc<SavedFile> {
        let mut known = self.known.lock().expect("no panic while holding the files");
        if let Some(file) = known.files.get(&id).and_then(Weak::upgrade) {
            return file;
        }
        known.last = known.last.max(id);
        let file =
            Arc::new(SavedFile { id, segments: OnceLock::from(segments.to_vec()), is_synced: AtomicBool::new(true) });
        known.files.insert(id, Arc::downgrade(&file));
        file
    }

    /// Removes the files that nobody needs. Who has mapped one keeps what is in it.
    pub fn remove_unused(&self, is_named: impl Fn(u64) -> bool) -> Result<()> {
        let there = self.all()?;
        let mut known = self.known.lock().expect("no panic while holding the files");
        known.files.retain(|_, file| file.strong_count() > 0);
        for id in there.into_iter().filter(|id| !known.files.contains_key(id) && !is_named(*id)) {
            let path = self.path(id);
            std::fs::remove_file(&path).map_err(|error| failed("remove", &path, &error))?;
        }
        Ok(())
    }

    pub fn path(&self, id: u64) -> PathBuf {
        self.directory.join(format!("{id}.arrows"))
    }

    /// Puts a file into another data directory: a link, or a copy where that is another file system.
    pub fn link_to(&self, other: &Files, id: u64) -> std::io::Result<()> {
        let (from, to) = (self.path(id), other.path(id));
        std::fs::hard_link(&from, &to).or_else(|_| {
            std::fs::copy(&from, &to)?;
            File::open(&to)?.sync_all()
        })
    }

    /// The file is on the disk when this returns.
    pub fn sync(&self, file: &SavedFile) -> Result<()> {
        if file.is_synced.load(Ordering::Relaxed) {
            return Ok(());
        }
        for path in [&self.path(file.id), &self.directory] {
            let synced = File::open(path).and_then(|opened| opened.sync_all());
            synced.map_err(|error| failed("sync", path, &error))?;
        }
        file.is_synced.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn all(&self) -> Result<Vec<u64>> {
        let entries = std::fs::read_dir(&self.directory).map_err(|error| failed("list", &self.directory, &error))?;
        let id = |entry: std::io::Result<std::fs::DirEntry>| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            name.strip_suffix(".arrows")?.parse().ok()
        };
        Ok(entries.filter_map(id).collect())
    }
}

pub fn failed(what: &str, path: &Path, error: &std::io::Error) -> Error {
    let full = error.kind() == std::io::ErrorKind::StorageFull;
    let state = if full { SqlState::DISK_FULL } else { SqlState::IO_ERROR };
    Error::new(state, format!("could not {what} \"{}\": {error}", path.display()))
}
