//! PostgreSQL's protocol as clients meet it, against a server in this process: raw messages where the bytes matter,
//! tokio-postgres where a client's view does.

mod copy;
mod extended;
mod interrupts;
mod limits;
mod server;
mod simple;
mod startup;
mod transactions;
mod types;
mod wire;
