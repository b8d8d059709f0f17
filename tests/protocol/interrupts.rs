//! What ends a statement early, and that nobody else notices.

use std::time::{Duration, Instant};

use tokio::time::timeout;
use tokio_postgres::NoTls;

use crate::server::{Server, state, value};
use crate::wire::{Wire, kinds, states};

/// Far longer than anybody waits.
const ENDLESS: &str = "select count(*) from generate_series(1, 20000) as a(i) cross join \
    generate_series(1, 20000) as b(j) where length(repeat('x', (i + j) % 100)) < 0";
/// As many rows, each of them long.
const ENDLESS_ROWS: &str =
    "select i, repeat('x', 1000) from generate_series(1, 20000) as a(i) cross join generate_series(1, 20000) as b(j)";
const SOON: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_request_ends_the_statement_and_not_the_session() {
    let server = Server::start().await;
    let client = server.client().await;
    for sql in [ENDLESS, ENDLESS_ROWS] {
        let token = client.cancel_token();
        let cancel = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(300)).await;
            token.cancel_query(NoTls).await.unwrap();
        });
        // The client would keep the rows of a stream: it reads them one by one.
        let outcome = timeout(SOON, async {
            let rows = client.query_raw(sql, Vec::<i32>::new()).await?;
            let mut rows = std::pin::pin!(rows);
            while let Some(row) = futures::StreamExt::next(&mut rows).await {
                row?;
            }
            Ok(())
        });
        let error: tokio_postgres::Error = outcome.await.expect("cancelled in time").unwrap_err();
        assert_eq!(state(&error), "57014");
        assert!(error.as_db_error().unwrap().message().contains("user request"));
        cancel.await.unwrap();
        assert_eq!(value(&client, "select 1").await, "1");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_or_wrong_cancel_request_hits_nothing() {
    let server = Server::start().await;
    let mut wire = Wire::connect(server.address).await;
    for key in [wire.key.clone(), vec![0; 4], vec![0; 32], vec![]] {
        let mut other = Wire::open(server.address).await;
        let body = [&80_877_102_i32.to_be_bytes()[..], &wire.process_id.to_be_bytes(), &key].concat();
        other.send_untyped(&body).await;
        assert!(other.reply().await.is_none(), "a cancel request is not answered");
    }
    assert_eq!(kinds(&wire.query("select 1").await), "TDCZ");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn statement_timeout_ends_a_statement() {
    let server = Server::start().await;
    let client = server.client().await;
    client.batch_execute("set statement_timeout = '300ms'").await.unwrap();
    let began = Instant::now();
    let error = timeout(SOON, client.simple_query(ENDLESS)).await.expect("timed out in time").unwrap_err();
    assert_eq!(state(&error), "57014");
    assert!(error.as_db_error().unwrap().message().contains("statement timeout"));
    assert!(began.elapsed() >= Duration::from_millis(300));
    client.batch_execute("set statement_timeout = 0").await.unwrap();
    assert_eq!(value(&client, "select 1").await, "1");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_transaction_ends_by_its_timeout() {
    let server = Server::start().await;
    let mut wire = Wire::connect(server.address).await;
    wire.query("set idle_in_transaction_session_timeout = '200ms'").await;
    wire.query("begin").await;
    let replies = timeout(SOON, wire.until_ready()).await.unwrap();
    assert_eq!(states(&replies), ["25P03"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_vanishes_leaves_nothing_behind() {
    let server = Server::start().await;
    for _ in 0..20 {
        let mut wire = Wire::connect(server.address).await;
        wire.send(&[('Q', format!("{ENDLESS}\0").as_bytes())]).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        drop(wire);
    }
    // With one of them still at work, the server would not stop in time.
    let client = server.client().await;
    assert_eq!(value(&client, "select 1").await, "1");
    drop(client);
    timeout(Duration::from_secs(3), server.stop()).await.expect("no session is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_server_tells_its_clients() {
    let server = Server::start().await;
    let mut idle = Wire::connect(server.address).await;
    let mut busy = Wire::connect(server.address).await;
    busy.send(&[('Q', format!("{ENDLESS}\0").as_bytes())]).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.begin_to_stop();
    for wire in [&mut idle, &mut busy] {
        let replies = timeout(SOON, wire.until_ready()).await.unwrap();
        assert_eq!(states(&replies), ["57P01"]);
        assert_eq!(replies.iter().find(|reply| reply.kind == 'E').unwrap().field(b'S').unwrap(), "FATAL");
    }
    server.stop().await;
}
