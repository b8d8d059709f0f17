//! A chunk as arrangements keep it: in memory, or in a mapped file. Which of the two may change at any time; who reads a
//! page opens it, and what was opened stays until it is let go of.
//!
//! ```text
//!   workers, readers ──open──▶ page ──▶ chunk in memory ─┐ written to a file: the same rows,
//!                                 └───▶ chunk in mapping ◀┘ and no memory that the kernel can't take
//! ```

use std::cell::OnceCell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, Weak};

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use timely::Accountable;

use super::chunk::ArrowChunk;
use super::collection::Batch;
use super::layout::Layout;
use super::published::SharedBatch;
use super::saved::SavedAt;
use crate::types::{Delta, Time};

#[derive(Clone)]
pub struct Page(Arc<Slot>);

/// What is known of a page without opening it, and the chunk.
pub(super) struct Slot {
    len: usize,
    first_hash: u64,
    last_hash: u64,
    content: Mutex<Content>,
    /// Since it was last asked; see [`Memory::coldest`](super::memory::Memory::coldest).
    was_opened: AtomicBool,
    is_listed: AtomicBool,
}

struct Content {
    chunk: ArrowChunk,
    /// Where the chunk stands on disk, if it does.
    saved: Option<SavedAt>,
}

impl Page {
    pub fn new(chunk: ArrowChunk) -> Self {
        Page::with(chunk, None)
    }

    /// A chunk that stands in a file.
    pub fn saved(chunk: ArrowChunk, at: SavedAt) -> Self {
        Page::with(chunk, Some(at))
    }

    fn with(chunk: ArrowChunk, saved: Option<SavedAt>) -> Self {
        let hashes = chunk.key_hashes();
        Page(Arc::new(Slot {
            len: hashes.len(),
            first_hash: hashes.first().copied().unwrap_or_default(),
            last_hash: hashes.last().copied().unwrap_or_default(),
            content: Mutex::new(Content { chunk, saved }),
            was_opened: AtomicBool::new(false),
            is_listed: AtomicBool::new(false),
        }))
    }

    /// Sorts and consolidates updates into full chunks.
    pub fn sort(layout: &Arc<Layout>, delta: &Delta) -> VecDeque<Page> {
        ArrowChunk::sort(layout, delta).into_iter().map(Page::new).collect()
    }

    pub fn len(&self) -> usize {
        self.0.len
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The key hash of its first row.
    pub fn first_hash(&self) -> u64 {
        self.0.first_hash
    }

    /// The key hash of its last row.
    pub fn last_hash(&self) -> u64 {
        self.0.last_hash
    }

    /// The chunk as it is now.
    pub fn open(&self) -> ArrowChunk {
        self.0.was_opened.store(true, Ordering::Relaxed);
        self.content().chunk.clone()
    }

    /// The chunk, by one who does not say that it is in use.
    pub fn chunk(&self) -> ArrowChunk {
        self.content().chunk.clone()
    }

    pub fn saved_at(&self) -> Option<SavedAt> {
        self.content().saved.clone()
    }

    /// The chunk stands in a file now.
    pub fn save(&self, at: SavedAt) {
        self.content().saved = Some(at);
    }

    /// The chunk stands in a file, and `mapped` is the same chunk there; the memory is free when nobody has it open.
    pub fn page_out(&self, mapped: ArrowChunk, at: SavedAt) {
        *self.content() = Content { chunk: mapped, saved: Some(at) };
    }

    /// The updates at or before `time`, if there are any; itself, where it is, if that is all of them.
    pub fn up_to(self, time: Time) -> Option<Page> {
        let chunk = self.chunk();
        if chunk.times().greatest() <= time { Some(self) } else { chunk.up_to(time).map(Page::new) }
    }

    /// The rows from `start` on; itself, where it is, if that is all of them.
    pub fn slice(self, start: usize, len: usize) -> Page {
        if len == self.len() { self } else { Page::new(self.chunk().slice(start, len)) }
    }

    /// Whether both are one page, not only equal ones.
    #[cfg(test)]
    pub(super) fn is(&self, other: &Page) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether it was opened since this was last asked.
    pub(super) fn take_opened(&self) -> bool {
        self.0.was_opened.swap(false, Ordering::Relaxed)
    }

    /// True once.
    pub(super) fn list(&self) -> bool {
        !self.0.is_listed.swap(true, Ordering::Relaxed)
    }

    pub(super) fn downgrade(&self) -> Weak<Slot> {
        Arc::downgrade(&self.0)
    }

    pub(super) fn upgrade(slot: &Weak<Slot>) -> Option<Page> {
        slot.upgrade().map(Page)
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.0.content.lock().expect("no panic while a page is changed")
    }
}

static EMPTY: LazyLock<Page> = LazyLock::new(|| {
    let schema = Arc::new(Schema::empty());
    let layout = Layout::hashed(schema.clone(), vec![], 0);
    Page::new(ArrowChunk::unsorted(&layout, &RecordBatch::new_empty(schema)))
});

/// Differential takes pages away and leaves the default behind.
impl Default for Page {
    fn default() -> Self {
        EMPTY.clone()
    }
}

impl Accountable for Page {
    fn record_count(&self) -> i64 {
        self.len() as i64
    }
}

/// Something that has pages, sorted.
pub trait Pages {
    fn pages(&self) -> &[Page];
}

impl Pages for Batch {
    fn pages(&self) -> &[Page] {
        &self.chunks
    }
}

impl Pages for SharedBatch {
    fn pages(&self) -> &[Page] {
        self
    }
}

impl<P: Pages> Pages for &P {
    fn pages(&self) -> &[Page] {
        (*self).pages()
    }
}

/// Pages that are being read: each is opened when it is first looked at, and stays open.
pub struct Opened<P> {
    pages: P,
    chunks: Vec<OnceCell<ArrowChunk>>,
}

impl<P: Pages> Opened<P> {
    pub fn new(pages: P) -> Self {
        let chunks = vec![OnceCell::new(); pages.pages().len()];
        Opened { pages, chunks }
    }

    /// How many pages there are.
    pub fn len(&self) -> usize {
        self.chunks.len()
    }

    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    pub fn page(&self, number: usize) -> &Page {
        &self.pages.pages()[number]
    }

    pub fn chunk(&self, number: usize) -> &ArrowChunk {
        self.chunks[number].get_or_init(|| self.page(number).open())
    }

    /// Lets go of all that was opened.
    pub fn close(&mut self) {
        self.chunks.fill_with(OnceCell::new);
    }
}
