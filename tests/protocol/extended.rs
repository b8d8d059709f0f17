//! The extended query protocol: Parse, Bind, Describe, Execute, Close, Sync.

use crate::server::{Server, state, value};
use crate::wire::{Wire, kinds, states};

/// Parse: a name, a text, and the types that the client declares.
fn parse(name: &str, text: &str, oids: &[i32]) -> Vec<u8> {
    let mut body = format!("{name}\0{text}\0").into_bytes();
    body.extend((oids.len() as i16).to_be_bytes());
    oids.iter().for_each(|oid| body.extend(oid.to_be_bytes()));
    body
}

/// Bind with text parameters and text results.
fn bind(portal: &str, statement: &str, parameters: &[&str]) -> Vec<u8> {
    let mut body = format!("{portal}\0{statement}\0\0\0").into_bytes();
    body.extend((parameters.len() as i16).to_be_bytes());
    for parameter in parameters {
        body.extend((parameter.len() as i32).to_be_bytes());
        body.extend(parameter.bytes());
    }
    body.extend([0, 0]);
    body
}

fn execute(portal: &str, row_limit: i32) -> Vec<u8> {
    let mut body = format!("{portal}\0").into_bytes();
    body.extend(row_limit.to_be_bytes());
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_are_parsed_described_bound_and_executed() {
    let server = Server::start().await;
    let mut wire = Wire::connect(server.address).await;
    let messages = [
        ('P', &parse("s", "select $1 + 1 as n", &[23])[..]),
        ('D', b"Ss\0"),
        ('B', &bind("", "s", &["41"])),
        ('D', b"P\0"),
        ('E', &execute("", 0)),
        ('C', b"Ss\0"),
        ('S', b""),
    ];
    wire.send(&messages).await;
    let replies = wire.until_ready().await;
    assert_eq!(kinds(&replies), "1tT2TDC3Z");
    assert_eq!(replies[1].body, [&[0, 1][..], &23_i32.to_be_bytes()].concat());
    assert_eq!(replies[5].values(), [Some("42".into())]);
    wire.send(&[('B', &bind("", "s", &["1"])), ('S', b"")]).await;
    assert_eq!(states(&wire.until_ready().await), ["26000"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_without_rows_and_empty_ones_say_so() {
    let server = Server::start().await;
    let mut wire = Wire::connect(server.address).await;
    for (text, expected) in [("begin", "1tn2nCZ"), ("rollback", "1tn2nCZ"), ("", "1tn2nIZ"), ("--", "1tn2nIZ")] {
        let messages = [
            ('P', &parse("", text, &[])[..]),
            ('D', b"S\0"),
            ('B', &bind("", "", &[])),
            ('D', b"P\0"),
            ('E', &execute("", 0)),
            ('S', b""),
        ];
        wire.send(&messages).await;
        assert_eq!(kinds(&wire.until_ready().await), expected, "{text:?}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_error_everything_up_to_sync_is_skipped() {
    let server = Server::start().await;
    let client = server.client().await;
    client.batch_execute("create table pipelined (a int)").await.unwrap();
    let mut wire = Wire::connect(server.address).await;
    let insert = parse("", "insert into pipelined values (1)", &[]);
    let wrong = parse("", "select nosuch", &[]);
    let (bound, run) = (bind("", "", &[]), execute("", 0));
    wire.send(&[
        ('P', &insert),
        ('B', &bound),
        ('E', &run),
        ('P', &wrong),
        ('B', &bound),
        ('E', &run),
        ('P', &insert),
        ('B', &bound),
        ('E', &run),
        ('S', b""),
    ])
    .await;
    let replies = wire.until_ready().await;
    assert_eq!(kinds(&replies), "12CEZ");
    assert_eq!(states(&replies), ["42703"]);
    assert_eq!(value(&client, "select count(*) from pipelined").await, "0", "a pipeline is one transaction");

    wire.send(&[('P', &insert), ('B', &bound), ('E', &run), ('P', &insert), ('B', &bound), ('E', &run), ('S', b"")])
        .await;
    assert_eq!(kinds(&wire.until_ready().await), "12C12CZ");
    assert_eq!(value(&client, "select count(*) from pipelined").await, "2");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_arrives_before_the_sync_that_clients_send_after_it() {
    let server = Server::start().await;
    let mut wire = Wire::connect(server.address).await;
    wire.send(&[('P', &parse("", "select nosuch", &[])), ('D', b"S\0"), ('H', b"")]).await;
    assert_eq!(wire.reply().await.unwrap().kind, 'E');
    wire.send(&[('S', b"")]).await;
    assert_eq!(kinds(&wire.until_ready().await), "Z");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_limits_suspend_a_portal_and_other_statements_go_on_meanwhile() {
    let server = Server::start().await;
    let mut wire = Wire::connect(server.address).await;
    wire.query("begin").await;
    let series = parse("", "select i from generate_series(1, 5) as g(i)", &[]);
    wire.send(&[('P', &series), ('B', &bind("p", "", &[])), ('E', &execute("p", 2)), ('S', b"")]).await;
    assert_eq!(kinds(&wire.until_ready().await), "12DDsZ");
    assert_eq!(kinds(&wire.query("select 1").await), "TDCZ");
    wire.send(&[('E', &execute("p", 2)), ('E', &execute("p", 2)), ('E', &execute("p", 2)), ('S', b"")]).await;
    let replies = wire.until_ready().await;
    assert_eq!(kinds(&replies), "DDsDCCZ");
    assert_eq!((replies[4].text().as_str(), replies[5].text().as_str()), ("SELECT 1", "SELECT 0"));
    wire.query("commit").await;
    wire.send(&[('E', &execute("p", 0)), ('S', b"")]).await;
    assert_eq!(states(&wire.until_ready().await), ["34000"], "portals end with their transaction");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_binds_are_refused() {
    let server = Server::start().await;
    let mut wire = Wire::connect(server.address).await;
    wire.send(&[('P', &parse("s", "select $1::int", &[])), ('S', b"")]).await;
    assert_eq!(kinds(&wire.until_ready().await), "1Z");
    for (message, expected) in [
        (bind("", "s", &[]), "08P01"),
        (bind("", "s", &["1", "2"]), "08P01"),
        (bind("", "s", &["one"]), "22P02"),
        (bind("", "s", &["99999999999"]), "22003"),
        (bind("", "nosuch", &[]), "26000"),
        (b"\0s\0\0\x01\0\x01\0\x01\0\0\0\x02ab\0\0".to_vec(), "22P03"),
        (b"\0s\0\0\x01\0\x07\0\x01\0\0\0\x011\0\0".to_vec(), "08P01"),
        (b"\0s\0\0\0".to_vec(), "08P01"),
    ] {
        wire.send(&[('B', &message), ('E', &execute("", 0)), ('S', b"")]).await;
        let replies = wire.until_ready().await;
        assert_eq!((kinds(&replies).as_str(), states(&replies)), ("EZ", vec![expected.to_string()]));
    }
    wire.send(&[('P', &parse("s", "select 1", &[])), ('S', b"")]).await;
    assert_eq!(states(&wire.until_ready().await), ["42P05"]);
    wire.send(&[('P', &parse("", "select 1; select 2", &[])), ('S', b"")]).await;
    assert_eq!(states(&wire.until_ready().await), ["42601"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_whose_columns_changed_is_refused_not_misread() {
    let server = Server::start().await;
    let client = server.client().await;
    client.batch_execute("create table changing (a int); insert into changing values (1)").await.unwrap();
    let prepared = client.prepare("select a from changing").await.unwrap();
    client.batch_execute("drop table changing; create table changing (a float8)").await.unwrap();
    let error = client.query(&prepared, &[]).await.unwrap_err();
    assert_eq!(state(&error), "0A000");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sql_and_protocol_share_the_names_of_prepared_statements() {
    let server = Server::start().await;
    let mut wire = Wire::connect(server.address).await;
    wire.send(&[('P', &parse("shared", "select 7", &[])), ('S', b"")]).await;
    wire.until_ready().await;
    let replies = wire.query("execute shared").await;
    assert_eq!(kinds(&replies), "TDCZ");
    assert_eq!(wire.query("deallocate shared").await[0].text(), "DEALLOCATE");
    wire.send(&[('B', &bind("", "shared", &[])), ('S', b"")]).await;
    assert_eq!(states(&wire.until_ready().await), ["26000"]);
    server.stop().await;
}
