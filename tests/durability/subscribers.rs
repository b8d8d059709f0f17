//! Subscribers that come back after the server was killed: they get what they have not seen, once.

use std::pin::pin;

use futures::TryStreamExt;
use tokio_postgres::Client;

use super::server::{Server, rows};

/// Changes of a view until one with this number, as (timestamp, diff, number).
async fn follow(client: &Client, from: Option<i64>, until: i64) -> Vec<(i64, i64, i64)> {
    let (as_of, with) = match from {
        Some(time) => (format!("AS OF {time}"), "WITH (snapshot = false)"),
        None => (String::new(), ""),
    };
    let copied = client.copy_out(&format!("COPY (SUBSCRIBE seen {as_of} {with}) TO STDOUT")).await.unwrap();
    let (mut copied, mut changes) = (pin!(copied), vec![]);
    while let Some(bytes) = copied.try_next().await.unwrap() {
        for line in std::str::from_utf8(&bytes).unwrap().lines() {
            let fields: Vec<i64> = line.split('\t').map(|field| field.parse().unwrap()).collect();
            changes.push((fields[0], fields[1], fields[2]));
        }
        if changes.iter().any(|change| change.2 == until) {
            break;
        }
    }
    changes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_goes_on_after_a_restart() {
    let mut server = Server::new();
    let arguments = ["--checkpoint-interval", "3600", "--retention", "600"];
    server.start(&arguments).await;
    let client = server.client().await;
    let setup = "CREATE TABLE t (n bigint); CREATE MATERIALIZED VIEW seen AS SELECT n FROM t WHERE n >= 0";
    client.batch_execute(setup).await.unwrap();
    for number in 0..5 {
        client.batch_execute(&format!("INSERT INTO t VALUES ({number})")).await.unwrap();
    }
    let first = follow(&server.client().await, None, 4).await;
    let snapshot = first[0].0;
    client.batch_execute("INSERT INTO t VALUES (5)").await.unwrap();
    let seen = follow(&server.client().await, Some(snapshot), 5).await;
    let last = seen.iter().map(|change| change.0).max().unwrap();
    // What comes after the last that was seen: before a checkpoint, after it, and after the restart.
    client.batch_execute("INSERT INTO t VALUES (6); DELETE FROM t WHERE n = 0; CHECKPOINT").await.unwrap();
    client.batch_execute("INSERT INTO t VALUES (7)").await.unwrap();
    server.kill();
    for round in 0..2 {
        server.start(&arguments).await;
        let client = server.client().await;
        client.batch_execute(&format!("INSERT INTO t VALUES ({})", 8 + round)).await.unwrap();
        let mut rest = follow(&server.client().await, Some(last), 8 + round).await;
        rest.sort_unstable();
        let expected = [(-1, 0), (1, 6), (1, 7), (1, 8), (1, 9)];
        let expected = &expected[..expected.len() - 1 + round as usize];
        assert_eq!(rest.iter().map(|change| (change.1, change.2)).collect::<Vec<_>>(), expected, "{round}");
        assert!(rest.windows(2).all(|pair| pair[0].0 <= pair[1].0) && rest[0].0 > last);
        client.batch_execute("CHECKPOINT").await.unwrap();
        server.kill();
    }
    // Less is kept when less is asked for.
    server.start(&["--retention", "0"]).await;
    let client = server.client().await;
    client.batch_execute("INSERT INTO t VALUES (10)").await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let refused = rows(&client, &format!("COPY (SUBSCRIBE seen AS OF {last}) TO STDOUT")).await.unwrap_err();
    assert_eq!(refused.as_db_error().unwrap().code().code(), "22023");
}
