//! Sources that have lost what a restart would read again.

use std::time::{Duration, Instant};

use super::broker::Broker;
use super::server::{Server, rows};

/// Records that came after the checkpoint are gone when the server starts again. What a view holds stays, over further
/// checkpoints and restarts; it says why it does not go on, and nothing is skipped.
#[tokio::test(flavor = "multi_thread")]
async fn a_view_whose_records_are_gone_keeps_what_it_has() {
    let (broker, mut server) = (Broker::shared(), Server::new());
    let topic = broker.topic("gone", 1, &[]);
    let send = |records: std::ops::Range<i64>| broker.send_many(&topic, records.map(|n| format!("{{\"n\": {n}}}")));
    server.start(&["--checkpoint-interval", "3600"]).await;
    let client = server.client().await;
    let sql = format!(
        "CREATE TABLE other (a int); CREATE CONNECTION broker TO KAFKA (BROKER '{}');
         CREATE SOURCE numbers (n bigint) FROM KAFKA CONNECTION broker (TOPIC '{topic}') FORMAT JSON;
         CREATE MATERIALIZED VIEW counted AS SELECT count(*) AS n FROM numbers;
         CREATE MATERIALIZED VIEW doubled AS SELECT n * 2 AS n FROM counted;
         CREATE MATERIALIZED VIEW others AS SELECT count(*) AS n FROM other",
        broker.address
    );
    client.batch_execute(&sql).await.unwrap();
    send(0..100);
    wait_for(&server, "SELECT n FROM doubled", "200").await;
    client.batch_execute("CHECKPOINT").await.unwrap();
    send(100..150);
    wait_for(&server, "SELECT n FROM counted", "150").await;
    server.kill();
    broker.delete_records(&topic, 0, 130);
    for round in 0..3 {
        server.start(&["--checkpoint-interval", "3600"]).await;
        assert!(server.log().contains("source=\"numbers\" records=50"), "{}", server.log());
        wait_for(&server, "SELECT state FROM millrace.views WHERE name = 'counted'", "failed").await;
        let client = server.client().await;
        for view in ["counted", "doubled"] {
            let refused = rows(&client, &format!("SELECT n FROM {view}")).await.unwrap_err();
            assert_eq!(refused.as_db_error().unwrap().code().code(), "55000", "{round}: {refused:?}");
        }
        let told = rows(&client, "SELECT error FROM millrace.views WHERE name = 'counted'").await.unwrap();
        assert!(told[0].contains("offset"), "{told:?}");
        client.batch_execute("SET default_transaction_isolation = 'serializable'").await.unwrap();
        assert_eq!(rows(&client, "SELECT n FROM counted").await.unwrap(), ["100"], "{round}\n{}", server.log());
        assert_eq!(rows(&client, "SELECT n FROM doubled").await.unwrap(), ["200"], "{round}\n{}", server.log());
        // The rest of the database goes on.
        client.batch_execute("INSERT INTO other VALUES (1); CHECKPOINT").await.unwrap();
        wait_for(&server, "SELECT n FROM others", &(round + 1).to_string()).await;
        server.kill();
    }
}

/// Waits until a query gives one row with this value.
async fn wait_for(server: &Server, sql: &str, expected: &str) {
    let (client, started) = (server.client().await, Instant::now());
    loop {
        let seen = rows(&client, sql).await;
        if seen.as_ref().is_ok_and(|seen| seen == &[expected]) {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "{sql}: {seen:?}\n{}", server.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
