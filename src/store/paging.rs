//! Writing pages to files, and taking them out of memory: what a checkpoint and the budget of memory have in common.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{BatchFile, BatchFileWriter, Store};
use crate::dataflow::chunk::ArrowChunk;
use crate::dataflow::layout::Layout;
use crate::dataflow::memory::Memory;
use crate::dataflow::page::Page;
use crate::dataflow::saved::{SavedAt, SavedChunk};
use crate::types::Result;

/// Of the room for pages, what is in use when pages begin to be written: so early that who makes more seldom has to wait.
const FULL_FROM: f64 = 0.9;
/// Of the room, what is in use when enough has been: so that it is not a little again and again.
const FULL_AFTER: f64 = 0.8;

/// Bytes of pages that are written at a time, about: they stay in memory until all of them are.
const AT_ONCE: usize = 64 << 20;

/// What was taken out of memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct PagedOut {
    pub pages: usize,
    /// Bytes of memory.
    pub bytes: usize,
    /// Of those, what no file held yet.
    pub bytes_written: usize,
}

/// Takes the coldest pages out of memory when there are nearly `room` bytes of them. Pages that no file holds yet are
/// written to new ones.
pub fn keep_within(store: &Store, memory: &Memory, room: usize) -> Result<PagedOut> {
    let (used, mut done) = (memory.used(), PagedOut::default());
    if used <= (room as f64 * FULL_FROM) as usize {
        return Ok(done);
    }
    // What is open elsewhere stays in memory a little longer, and other pages would not help.
    let too_much = used - (room as f64 * FULL_AFTER) as usize;
    while done.bytes < too_much {
        let pages = memory.coldest((too_much - done.bytes).min(AT_ONCE));
        if pages.is_empty() {
            break;
        }
        let part = page_out(store, &pages).inspect_err(|_| memory.give_back(&pages))?;
        done.pages += part.pages;
        done.bytes += part.bytes;
        done.bytes_written += part.bytes_written;
    }
    Ok(done)
}

fn page_out(store: &Store, pages: &[Page]) -> Result<PagedOut> {
    let mut placed: Vec<(&Page, SavedAt)> = pages.iter().filter_map(|page| Some((page, page.saved_at()?))).collect();
    let mut new: BTreeMap<*const Layout, Vec<&Page>> = BTreeMap::new();
    for page in pages.iter().filter(|page| page.saved_at().is_none()) {
        new.entry(Arc::as_ptr(page.chunk().layout())).or_default().push(page);
    }
    let bytes = |pages: &mut dyn Iterator<Item = &Page>| pages.map(|page| page.chunk().bytes()).sum::<usize>();
    let mut done = PagedOut { pages: pages.len(), bytes: bytes(&mut pages.iter()), bytes_written: 0 };
    if !new.is_empty() {
        done.bytes_written = bytes(&mut new.values().flatten().copied());
        store.require_space(done.bytes_written)?;
        let mut writer = BatchFileWriter::create(store.files())?;
        for pages in new.into_values() {
            let chunks: Vec<ArrowChunk> = pages.iter().map(|page| page.chunk()).collect();
            placed.extend(pages.into_iter().zip(writer.add(&chunks)?));
        }
        writer.finish()?;
    }
    map(store, placed)?;
    Ok(done)
}

/// Has pages lie in the mappings of the files that they stand in.
pub fn map(store: &Store, placed: Vec<(&Page, SavedAt)>) -> Result<()> {
    let mut segments: BTreeMap<(u64, u32), Vec<(&Page, SavedAt)>> = BTreeMap::new();
    for (page, at) in placed {
        segments.entry((at.file.id, at.place.segment)).or_default().push((page, at));
    }
    let mut open: Option<BatchFile> = None;
    for ((id, segment), pages) in segments {
        if open.as_ref().is_none_or(|file| file.id() != id) {
            open = Some(BatchFile::open(store.files(), &pages[0].1.file)?);
        }
        let chunks: Vec<SavedChunk> = open.as_ref().expect("it was opened").chunks(segment as usize)?;
        for (page, at) in pages {
            let mapped = ArrowChunk::mapped(page.chunk().layout(), &chunks[at.place.chunk as usize]);
            page.page_out(mapped, at);
        }
    }
    Ok(())
}
