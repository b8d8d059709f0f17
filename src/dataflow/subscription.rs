//! Following an object: its updates as they are sealed, given to consumers by one thread that is no worker.
//!
//! A subscription keeps its place by a hold, so that compaction can't blur what its consumer has not seen; what it has
//! yet to give is nowhere but in the arrangement itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, Weak};

use super::published::Hold;
use super::read::Snapshots;
use super::runtime::Shared;
use crate::types::{Delta, Error, ObjectId, Result, Time};

/// What a consumer is told.
#[derive(Clone, Debug)]
pub enum Change {
    /// Rows that enter and leave.
    Rows(Delta),
    /// All changes before this time have been given.
    Progress(Time),
}

/// Ends when it is dropped.
pub struct Subscription(#[expect(dead_code, reason = "it is only kept alive")] Arc<()>);

type Consumer = Box<dyn FnMut(Change) -> bool + Send>;

struct Follower {
    alive: Weak<()>,
    object: ObjectId,
    shared: Arc<Shared>,
    hold: Hold,
    /// The latest time that was given.
    at: Time,
    consumer: Consumer,
}

/// All subscriptions, and the thread that serves them.
#[derive(Default)]
pub struct Subscriptions {
    followers: Mutex<Vec<Follower>>,
    news: Mutex<bool>,
    woken: Condvar,
    stopped: AtomicBool,
}

impl Subscriptions {
    pub fn start() -> Result<Arc<Subscriptions>> {
        let subscriptions = Arc::new(Subscriptions::default());
        let served = subscriptions.clone();
        let thread = std::thread::Builder::new().name("subscriptions".into());
        let started = thread.spawn(move || served.serve());
        started.map_err(|error| Error::internal(format!("could not start a thread: {error}")))?;
        Ok(subscriptions)
    }

    pub fn add(&self, object: ObjectId, shared: Arc<Shared>, hold: Hold, at: Time, consumer: Consumer) -> Subscription {
        let alive = Arc::new(());
        let follower = Follower { alive: Arc::downgrade(&alive), object, shared, hold, at, consumer };
        self.followers.lock().expect("no consumer panics").push(follower);
        self.wake();
        Subscription(alive)
    }

    /// There may be something to give.
    pub fn wake(&self) {
        *self.news.lock().expect("no panic while waking") = true;
        self.woken.notify_one();
    }

    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.wake();
    }

    fn serve(&self) {
        while !self.stopped.load(Ordering::Relaxed) {
            let news = self.news.lock().expect("no panic while waking");
            let mut news = self.woken.wait_while(news, |news| !*news).expect("no panic while waking");
            *news = false;
            drop(news);
            self.followers.lock().expect("no consumer panics").retain_mut(Follower::follow);
        }
        self.followers.lock().expect("no consumer panics").clear();
    }
}

impl Follower {
    /// Gives what is new; false when it is over.
    fn follow(&mut self) -> bool {
        if self.alive.strong_count() == 0 {
            return false;
        }
        let Some(published) = self.shared.published.get(self.object) else {
            return false;
        };
        let Some(workers) = published.snapshots() else {
            return true;
        };
        let snapshots = Snapshots::new(published.layout.clone(), &workers, |snapshot| &snapshot.rows);
        let Some(complete) = snapshots.upper.checked_sub(1).filter(|complete| *complete > self.at) else {
            return true;
        };
        let mut changes = snapshots.changes(self.at, complete).into_iter().map(Change::Rows);
        let going = changes.all(|change| (self.consumer)(change)) && (self.consumer)(Change::Progress(snapshots.upper));
        self.at = complete;
        self.hold.advance(complete);
        going
    }
}
