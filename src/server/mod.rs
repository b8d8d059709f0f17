//! Speaks PostgreSQL and HTTP; nothing else.
//!
//! ```text
//!   socket ─▶ listener ─▶ startup ─▶ session_loop ─┬─ simple: Query
//!                │          (keys)        ▲        └─ extended: Parse Bind Describe Execute Sync
//!                └─ cancel ───────────────┤                │
//!                                       watch        rows, copy ─▶ encode ─▶ reply ─▶ socket
//! ```
//! One task per connection. While a statement runs, its [`watch`] listens to the socket, to cancel requests, to the
//! statement's deadline and to the end of the server; each of them drops the execution, and with it its work.

mod cancel;
mod copy;
mod copying;
mod decode;
mod encode;
mod extended;
mod failure;
mod http;
mod listener;
mod reply;
mod request;
mod rows;
mod session_loop;
mod startup;
mod watch;

pub use http::serve_http;
pub use listener::{Limits, Listener, refuse_open_trust};
