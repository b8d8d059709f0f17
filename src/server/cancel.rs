//! Cancel requests: they come on a connection of their own, with the key that the session's client was given.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::{BufMut, Bytes, BytesMut};
use tokio::sync::Notify;

use crate::types::random_u64;

/// Bytes of a key for protocol 3.2 and later; 3.0 has room for four only.
const LONG_KEY_LEN: usize = 32;
const SHORT_KEY_LEN: usize = 4;

/// The sessions that can be cancelled, by process id.
#[derive(Default)]
pub(super) struct Cancels {
    sessions: Mutex<Sessions>,
}

#[derive(Default)]
struct Sessions {
    last_process_id: i32,
    by_process_id: HashMap<i32, (Bytes, Arc<CancelFlag>)>,
}

impl Cancels {
    /// A process id, a key and a flag for a new session, until the registration is dropped.
    pub fn register(self: &Arc<Self>, long_key: bool) -> Registration {
        let key = random_key(if long_key { LONG_KEY_LEN } else { SHORT_KEY_LEN });
        let flag = Arc::new(CancelFlag::default());
        let mut sessions = self.sessions.lock().expect("no panic while the map is held");
        let process_id = loop {
            sessions.last_process_id = sessions.last_process_id.checked_add(1).unwrap_or(1);
            if !sessions.by_process_id.contains_key(&sessions.last_process_id) {
                break sessions.last_process_id;
            }
        };
        sessions.by_process_id.insert(process_id, (key.clone(), flag.clone()));
        Registration { cancels: self.clone(), process_id, key, flag }
    }

    /// Cancels what the session is doing now, if the key is its key; says nothing about whether it was.
    pub fn cancel(&self, process_id: i32, key: &[u8]) {
        let sessions = self.sessions.lock().expect("no panic while the map is held");
        if let Some((expected, flag)) = sessions.by_process_id.get(&process_id)
            && same_key(expected, key)
        {
            flag.request();
        }
    }
}

/// A session's place among the [`Cancels`].
pub(super) struct Registration {
    cancels: Arc<Cancels>,
    pub process_id: i32,
    pub key: Bytes,
    pub flag: Arc<CancelFlag>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut sessions = self.cancels.sessions.lock().expect("no panic while the map is held");
        sessions.by_process_id.remove(&self.process_id);
    }
}

/// Set by a cancel request while a statement runs. A request that comes between two statements was meant for the one
/// that is over, so it is forgotten.
#[derive(Default)]
pub(super) struct CancelFlag {
    state: Mutex<CancelState>,
    wake: Notify,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum CancelState {
    #[default]
    Idle,
    Running,
    Requested,
}

impl CancelFlag {
    /// The session begins to work on a message.
    pub fn begin(&self) {
        self.set(CancelState::Running);
    }

    /// The session is done with it; what was requested and not yet noticed is void.
    pub fn end(&self) {
        self.set(CancelState::Idle);
    }

    /// Returns when a cancel was requested since [`CancelFlag::begin`]. The request is then used up.
    pub async fn requested(&self) {
        loop {
            let woken = self.wake.notified();
            {
                let mut state = self.state.lock().expect("no panic while the state is held");
                if *state == CancelState::Requested {
                    *state = CancelState::Running;
                    return;
                }
            }
            woken.await;
        }
    }

    fn request(&self) {
        let mut state = self.state.lock().expect("no panic while the state is held");
        if *state == CancelState::Running {
            *state = CancelState::Requested;
            self.wake.notify_one();
        }
    }

    fn set(&self, to: CancelState) {
        *self.state.lock().expect("no panic while the state is held") = to;
    }
}

fn random_key(len: usize) -> Bytes {
    let mut key = BytesMut::with_capacity(len.next_multiple_of(8));
    while key.len() < len {
        key.put_u64(random_u64());
    }
    key.truncate(len);
    key.freeze()
}

/// Compares without stopping at the first difference, whose place the time taken would tell.
fn same_key(expected: &[u8], given: &[u8]) -> bool {
    let difference = expected.iter().zip(given).fold(0, |difference, (left, right)| difference | (left ^ right));
    expected.len() == given.len() && std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn only_the_right_key_cancels_and_only_while_something_runs() {
        let cancels = Arc::new(Cancels::default());
        let session = cancels.register(true);
        assert_eq!(session.key.len(), LONG_KEY_LEN);

        cancels.cancel(session.process_id, &session.key);
        session.flag.begin();
        assert!(session.flag.requested().now_or_never().is_none(), "a request between statements is forgotten");

        cancels.cancel(session.process_id, &session.key[1..]);
        cancels.cancel(session.process_id, &[0; LONG_KEY_LEN]);
        cancels.cancel(session.process_id + 1, &session.key);
        assert!(session.flag.requested().now_or_never().is_none());

        cancels.cancel(session.process_id, &session.key);
        assert!(session.flag.requested().now_or_never().is_some());
        assert!(session.flag.requested().now_or_never().is_none(), "one request cancels once");

        cancels.cancel(session.process_id, &session.key);
        session.flag.end();
        session.flag.begin();
        assert!(session.flag.requested().now_or_never().is_none(), "a late request does not hit the next statement");
    }

    #[test]
    fn a_session_that_ended_is_not_found() {
        let cancels = Arc::new(Cancels::default());
        let first = cancels.register(false);
        assert_eq!(first.key.len(), SHORT_KEY_LEN);
        let (process_id, key) = (first.process_id, first.key.clone());
        drop(first);
        cancels.cancel(process_id, &key);
        let second = cancels.register(false);
        assert_ne!(second.process_id, process_id);
        assert!(cancels.sessions.lock().unwrap().by_process_id.len() == 1);
    }
}
