//! The simple query protocol.

use crate::server::{Server, rows, value};
use crate::wire::{Wire, kinds, states};

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_of_a_string_is_answered_in_turn() {
    let server = Server::start().await;
    let mut wire = Wire::connect(server.address).await;
    let replies = wire.query("select 1 as a, null as b; ; select 'x'").await;
    assert_eq!(kinds(&replies), "TDCTDCZ");
    assert_eq!(replies[1].values(), [Some("1".into()), None]);
    assert_eq!(replies[2].text(), "SELECT 1");
    assert_eq!(kinds(&wire.query("").await), "IZ");
    assert_eq!(kinds(&wire.query(" ; -- nothing\n").await), "IZ");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_keeps_earlier_results_and_undoes_the_whole_string() {
    let server = Server::start().await;
    let client = server.client().await;
    client.batch_execute("create table t (a int)").await.unwrap();
    let mut wire = Wire::connect(server.address).await;
    let replies = wire.query("insert into t values (1); select 2; select 1/0; insert into t values (3)").await;
    assert!(kinds(&replies).starts_with("CTDC"), "{}", kinds(&replies));
    assert_eq!(states(&replies), ["22012"]);
    assert_eq!(replies.last().unwrap().body, b"I");
    assert_eq!(value(&client, "select count(*) from t").await, "0");
    assert_eq!(states(&wire.query("select 1; selec 2").await), ["42601"]);
    assert_eq!(kinds(&wire.query("select 1; selec 2").await), "EZ", "a syntax error anywhere: nothing runs");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_are_reported_and_fail_as_a_whole() {
    let server = Server::start().await;
    let mut wire = Wire::connect(server.address).await;
    assert_eq!(wire.query("begin").await.last().unwrap().body, b"T");
    assert_eq!(wire.query("select 1/0").await.last().unwrap().body, b"E");
    assert_eq!(states(&wire.query("select 1").await), ["25P02"]);
    let replies = wire.query("commit").await;
    assert_eq!((replies[0].text().as_str(), &replies.last().unwrap().body[..]), ("ROLLBACK", &b"I"[..]));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_change_are_reported() {
    let server = Server::start().await;
    let mut wire = Wire::connect(server.address).await;
    let replies = wire.query("set timezone = 'America/New_York'").await;
    let changed = replies.iter().find(|reply| reply.kind == 'S').expect("TimeZone is reported");
    assert_eq!(changed.body, b"TimeZone\0America/New_York\0");
    let replies = wire.query("select timestamptz '2026-01-01 00:00:00+00'").await;
    let row = replies.iter().find(|reply| reply.kind == 'D').unwrap();
    assert_eq!(row.values(), [Some("2025-12-31 19:00:00-05".into())]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_messages_are_refused_and_the_session_goes_on_if_it_can() {
    let server = Server::start().await;
    let mut wire = Wire::connect(server.address).await;
    wire.send(&[('Q', b"select '\xff'\0")]).await;
    assert_eq!(states(&wire.until_ready().await), ["22021"]);
    wire.send(&[('F', b"\0\0\0\x01\0\0\0\0\0\0")]).await;
    assert_eq!(states(&wire.until_ready().await), ["0A000"]);
    assert_eq!(kinds(&wire.query("select 1").await), "TDCZ");
    wire.send(&[('c', b""), ('d', b"late"), ('f', b"late\0")]).await;
    assert_eq!(kinds(&wire.query("select 1").await), "TDCZ", "what follows a failed COPY is ignored");

    wire.send(&[('?', b"")]).await;
    let replies = wire.until_ready().await;
    assert_eq!((kinds(&replies).as_str(), states(&replies)), ("E", vec!["08P01".to_string()]));
    assert_eq!(replies[0].field(b'S').unwrap(), "FATAL");
    let mut wire = Wire::connect(server.address).await;
    tokio::io::AsyncWriteExt::write_all(&mut wire.socket, b"Q\x7f\xff\xff\xff").await.unwrap();
    assert_eq!(states(&wire.until_ready().await), ["54000"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_results_arrive_whole() {
    let server = Server::start().await;
    let client = server.client().await;
    let all = rows(&client, "select i, repeat('x', 50) from generate_series(1, 200000) as g(i)").await;
    assert_eq!(all.len(), 200_000);
    let sum: u64 = all.iter().map(|row| row[0].as_ref().unwrap().parse::<u64>().unwrap()).sum();
    assert_eq!(sum, 200_000 * 200_001 / 2);
    server.stop().await;
}
