//! How much memory the pages of arrangements take, and which of them can do without.
//!
//! Workers list what they settle; small pages are not worth it. One who has files, and threads that may wait for them,
//! writes the coldest pages and maps them instead: a worker never does.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use super::page::{Page, Slot};

/// Bytes of pages that are listed, at least.
const PAGE_BYTES_MIN: usize = if cfg!(test) { 1 } else { 32 << 10 };

/// Bytes of pages beyond what they may have at which who makes more has to wait.
const SLACK: usize = 64 << 20;
/// How long a worker rests at most before it goes on anyway: a disk that takes nothing makes it slow, not dead.
const REST_MAX: Duration = Duration::from_millis(200);
const REST: Duration = Duration::from_millis(1);

/// The pages of one database.
pub struct Memory {
    used: AtomicUsize,
    budget: AtomicUsize,
    /// What the budget has to hold beside pages.
    overhead: AtomicUsize,
    listed: Mutex<Listed>,
}

#[derive(Default)]
struct Listed {
    /// In the order of a clock's hand: those that were in use when it passed come again later.
    pages: VecDeque<Weak<Slot>>,
    /// How many were alive when those that are not were last taken off.
    alive: usize,
}

thread_local! {
    /// Where this thread lists its pages: differential settles chunks without telling for whom.
    static OF_THREAD: RefCell<Option<Arc<Memory>>> = const { RefCell::new(None) };
}

impl Default for Memory {
    /// No pages yet, and no end of memory.
    fn default() -> Self {
        let (used, overhead) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Memory { used, budget: AtomicUsize::new(usize::MAX), overhead, listed: Mutex::default() }
    }
}

impl Memory {
    /// Bytes for what arrangements keep in memory.
    pub fn set_budget(&self, bytes: usize) {
        self.budget.store(bytes, Ordering::Relaxed);
    }

    pub fn budget(&self) -> usize {
        self.budget.load(Ordering::Relaxed)
    }

    /// Bytes that are in use beside pages and because of them: what merges are at work on, what the allocator keeps.
    pub fn set_overhead(&self, bytes: usize) {
        self.overhead.store(bytes, Ordering::Relaxed);
    }

    /// Bytes that pages may have in memory: of the budget what is left, and half of it at least.
    pub fn room(&self) -> usize {
        let budget = self.budget();
        budget - self.overhead.load(Ordering::Relaxed).min(budget / 2)
    }

    /// Whether pages are far beyond what they may have, as they are when they are made faster than they can be written.
    pub fn is_over(&self) -> bool {
        self.used() > self.room().saturating_add(SLACK)
    }

    /// Waits a little while there are far too many pages: who pages them out needs the time.
    pub(super) fn rest(&self) {
        let began = Instant::now();
        while self.is_over() && began.elapsed() < REST_MAX {
            std::thread::sleep(REST);
        }
    }

    /// Pages that this thread settles from now on count here.
    pub fn enter(self: &Arc<Self>) {
        OF_THREAD.set(Some(self.clone()));
    }

    /// Bytes of pages that are in memory, about; those that lie in mapped files are not.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Pages of at least so many bytes together, if there are as many: those that were not opened since the hand has passed
    /// them last. They are listed no more: they are to be paged out, or [given back](Self::give_back).
    pub fn coldest(&self, bytes: usize) -> Vec<Page> {
        let mut listed = self.listed.lock().expect("no panic while listing");
        let (mut coldest, mut found) = (vec![], 0);
        // Twice round: the first may find all in use.
        for _ in 0..2 * listed.pages.len() {
            if found >= bytes {
                break;
            }
            let Some(slot) = listed.pages.pop_front() else { break };
            let Some(page) = Page::upgrade(&slot) else { continue };
            if page.take_opened() {
                listed.pages.push_back(slot);
            } else {
                found += page.chunk().bytes();
                coldest.push(page);
            }
        }
        coldest
    }

    pub fn give_back(&self, pages: &[Page]) {
        let mut listed = self.listed.lock().expect("no panic while listing");
        listed.pages.extend(pages.iter().map(Page::downgrade));
    }

    fn list(self: &Arc<Self>, page: &Page) {
        let chunk = page.chunk();
        if chunk.is_mapped() || chunk.bytes() < PAGE_BYTES_MIN || !page.list() {
            return;
        }
        chunk.charge_to(self);
        let mut listed = self.listed.lock().expect("no panic while listing");
        listed.pages.push_back(page.downgrade());
        if listed.pages.len() > 2 * listed.alive + 1024 {
            listed.pages.retain(|slot| slot.strong_count() > 0);
            listed.alive = listed.pages.len();
        }
    }
}

/// A page that will be kept for a while counts for this thread's memory.
pub(super) fn settled(page: Page) -> Page {
    OF_THREAD.with_borrow(|memory| memory.iter().for_each(|memory| memory.list(&page)));
    page
}

/// Bytes that count while they are there.
pub struct Charge {
    memory: Arc<Memory>,
    bytes: usize,
}

impl Charge {
    pub fn new(memory: &Arc<Memory>, bytes: usize) -> Arc<Charge> {
        memory.used.fetch_add(bytes, Ordering::Relaxed);
        Arc::new(Charge { memory: memory.clone(), bytes })
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.memory.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_have_what_the_rest_leaves_of_the_budget_and_half_of_it_at_least() {
        let memory = Memory::default();
        memory.set_budget(1000);
        assert_eq!(memory.room(), 1000);
        memory.set_overhead(300);
        assert_eq!(memory.room(), 700);
        memory.set_overhead(800);
        assert_eq!(memory.room(), 500);
    }
}
