//! Data directories of earlier releases are read by this one.

use std::path::Path;
use std::process::Command;

use super::server::{Server, rows};

#[tokio::test(flavor = "multi_thread")]
async fn format_1_is_read() {
    let mut server = Server::new();
    // Asked when it runs: checkouts share what is built.
    let top = std::env::var("CARGO_MANIFEST_DIR").unwrap();
    let archive = Path::new(&top).join("sql-tests/fixtures/format-1.tar.gz");
    unpack(&archive, server.data().parent().unwrap());
    server.start(&["--workers", "3"]).await;
    let client = server.client().await;
    let expected = [
        (
            "SELECT customer, orders, total FROM spent WHERE orders < 13 ORDER BY 1",
            vec!["c3|12|737.25", "c6|12|763.75", "late|1|99.99"],
        ),
        ("SELECT id, amount FROM best ORDER BY 2 DESC", vec!["99|123.75", "98|122.50", "97|121.25"]),
        ("SELECT count(*), count(total) FROM pairs", vec!["91|90"]),
        ("SELECT count(*), sum(bids) FROM hot", vec!["293|4600"]),
        ("SELECT count(*), sum(amount) FROM shop.orders", vec!["91|5728.99"]),
        ("SELECT a, b, c, d, f, g FROM plain", vec!["1.5|2026-02-03|1 day 02:00:00|{\"a\": [1, 2]}|\\x00ff|t"]),
        ("SELECT count(*) FROM dear", vec!["55"]),
        ("SELECT tags, at FROM shop.orders WHERE id = 7", vec!["{t1,NULL}|2026-01-01 07:00:00+00"]),
    ];
    for (sql, expected) in expected {
        assert_eq!(rows(&client, sql).await.unwrap(), expected, "{sql}\n{}", server.log());
    }
    // Ids go on behind those that were given, keys are still unique, and views still follow.
    client.batch_execute("CREATE TABLE more (a int); INSERT INTO shop.orders VALUES (300, 'late', 1)").await.unwrap();
    let again = client.batch_execute("INSERT INTO shop.orders VALUES (300, 'late', 1)").await.unwrap_err();
    assert_eq!(again.as_db_error().unwrap().code().code(), "23505");
    assert_eq!(rows(&client, "SELECT orders, total FROM spent WHERE customer = 'late'").await.unwrap(), ["2|100.99"]);
}

fn unpack(archive: &Path, to: &Path) {
    let unpacked = Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(to).status().unwrap();
    assert!(unpacked.success());
}
