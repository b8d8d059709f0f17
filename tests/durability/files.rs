//! Files that somebody else uses, that are damaged, or that don't fit the disk.

use std::path::{Path, PathBuf};

use super::server::{Server, rows};

const SET_UP: &str = "CREATE TABLE t (id int PRIMARY KEY, g text);
    CREATE MATERIALIZED VIEW v AS SELECT g, count(*) FROM t GROUP BY g;
    INSERT INTO t SELECT i, 'g' || i % 5 FROM generate_series(1, 1000) i";
const OF_VIEW: &str = "SELECT * FROM v ORDER BY g";
const OF_TABLE: &str = "SELECT g, count(*) FROM t GROUP BY g ORDER BY g";

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_is_refused() {
    let mut first = Server::new();
    first.start(&[]).await;
    let refused = Server::new().refused(&first.data());
    let said = String::from_utf8_lossy(&refused.stderr).to_string();
    assert!(!refused.status.success() && said.contains("in use by another server"), "{said}");
    assert_eq!(rows(&first.client().await, "SELECT 1").await.unwrap(), ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_cannot_be_written_is_refused() {
    let refused = Server::new().refused(Path::new("/proc/millrace"));
    let said = String::from_utf8_lossy(&refused.stderr).to_string();
    assert!(!refused.status.success() && said.contains("could not use the data directory"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_a_database_of_its_own() {
    let mut server = Server::new();
    server.start(&[]).await;
    let client = server.client().await;
    client.batch_execute(SET_UP).await.unwrap();
    client.batch_execute("CHECKPOINT").await.unwrap();
    client.batch_execute("DELETE FROM t WHERE id <= 100").await.unwrap();
    let before = rows(&client, OF_TABLE).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let backup = folder.path().join("backup");
    client.batch_execute(&format!("BACKUP TO '{}'", backup.display())).await.unwrap();
    let again = client.batch_execute(&format!("BACKUP TO '{}'", backup.display())).await.unwrap_err();
    assert!(again.as_db_error().unwrap().message().contains("not empty"), "{again}");
    client.batch_execute("DELETE FROM t; CHECKPOINT; CHECKPOINT").await.unwrap();
    server.kill();
    server.start_on(&backup, &[]).await;
    let client = server.client().await;
    assert_eq!(rows(&client, OF_TABLE).await.unwrap(), before);
    assert_eq!(rows(&client, OF_VIEW).await.unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_takes_the_checkpoint_before() {
    let mut server = Server::new();
    server.start(&["--checkpoint-interval", "3600"]).await;
    let client = server.client().await;
    client.batch_execute(SET_UP).await.unwrap();
    for round in 1..=3 {
        client.batch_execute("CHECKPOINT").await.unwrap();
        client.batch_execute(&format!("UPDATE t SET g = 'h' WHERE id % 7 = {round}")).await.unwrap();
    }
    let before = rows(&client, OF_TABLE).await.unwrap();
    server.kill();
    let newest = batch_files(&server.data()).pop().unwrap();
    let mut bytes = std::fs::read(&newest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&newest, bytes).unwrap();
    server.start(&[]).await;
    let client = server.client().await;
    assert_eq!(rows(&client, OF_TABLE).await.unwrap(), before);
    assert_eq!(rows(&client, OF_VIEW).await.unwrap(), before);
    assert!(server.log().contains("the one before is taken"), "{}", server.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_has_left_is_removed() {
    let mut server = Server::new();
    server.start(&[]).await;
    server.client().await.batch_execute(SET_UP).await.unwrap();
    server.kill();
    let stray = server.data().join("batches").join("17.arrows");
    std::fs::write(&stray, b"half a file").unwrap();
    server.start(&[]).await;
    assert!(!stray.exists());
    assert_eq!(rows(&server.client().await, "SELECT count(*) FROM t").await.unwrap(), ["1000"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_writes_until_there_is_space() {
    let mut server = Server::new();
    server.start(&[]).await;
    server.client().await.batch_execute(SET_UP).await.unwrap();
    server.kill();
    // Nearly all that is free must stay so, and then a file takes more than the rest.
    let free = rustix::fs::statvfs(server.data()).map(|found| found.f_bavail * found.f_frsize).unwrap();
    let reserve = (free >> 20).saturating_sub(768);
    server.start(&["--disk-reserve", &reserve.to_string()]).await;
    let client = server.client().await;
    client.batch_execute("INSERT INTO t VALUES (2001, 'free')").await.unwrap();
    let large = server.data().join("large");
    let file = std::fs::File::create(&large).unwrap();
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, 1000 << 20).unwrap();
    let refused = client.batch_execute("INSERT INTO t VALUES (2002, 'full')").await.unwrap_err();
    assert_eq!(refused.as_db_error().unwrap().code().code(), "53100", "{refused}");
    assert_eq!(rows(&client, "SELECT count(*) FROM t").await.unwrap(), ["1001"]);
    std::fs::remove_file(&large).unwrap();
    drop(file);
    client.batch_execute("INSERT INTO t VALUES (2003, 'free again')").await.unwrap();
    assert_eq!(
        rows(&client, "SELECT g, count FROM v WHERE g LIKE 'f%' ORDER BY g").await.unwrap(),
        ["free|1", "free again|1"]
    );
}

/// Oldest first.
fn batch_files(data: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(data.join("batches")).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}
