//! A client that asks for much and reads nothing. It has a process of its own, since it measures the process's memory.

#[path = "protocol/server.rs"]
#[expect(dead_code, reason = "shared with the other tests of the protocol")]
mod server;
#[path = "protocol/wire.rs"]
mod wire;

use std::time::{Duration, Instant};

use server::{Server, value};
use tokio::time::timeout;
use wire::{Wire, kinds, states};

/// What a result may occupy between the query and a client that does not read: a few batches.
const STALLED_BYTES_MAX: usize = 256 << 20;
/// Four hundred million rows of a kilobyte.
const ENDLESS_ROWS: &str =
    "select i, repeat('x', 1000) from generate_series(1, 20000) as a(i) cross join generate_series(1, 20000) as b(j)";

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_stalls_itself_alone() {
    let server = Server::start().await;
    let client = server.client().await;
    let mut lazy = Wire::connect(server.address).await;
    lazy.send(&[('Q', format!("{ENDLESS_ROWS}\0").as_bytes())]).await;
    let before = resident_bytes();
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(2) {
        assert_eq!(value(&client, "select 1").await, "1");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < STALLED_BYTES_MAX, "a stalled result grew by {grown} bytes");

    // It can still be cancelled, and reads all that was sent before the error.
    let mut other = Wire::open(server.address).await;
    let body = [&80_877_102_i32.to_be_bytes()[..], &lazy.process_id.to_be_bytes(), &lazy.key].concat();
    other.send_untyped(&body).await;
    let replies = timeout(Duration::from_secs(10), lazy.until_ready())
        .await
        .expect("cancelled although its client was not reading");
    assert_eq!(states(&replies), ["57014"]);
    assert_eq!(kinds(&lazy.query("select 1").await), "TDCZ");
    server.stop().await;
}

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    status.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
