//! Sessions that write at the same time: those of different rows do not meet, those of one row are told apart.

use tokio::task::JoinSet;
use tokio_postgres::Client;

use crate::server::{Server, state, value};

const CLIENTS: i32 = 6;
const ROUNDS: i32 = 10;

/// Runs one task for each of several clients, and gives how many statements of theirs succeeded, and how the others failed.
async fn together<F>(server: &Server, task: impl Fn(Client, i32) -> F) -> (usize, Vec<String>)
where
    F: Future<Output = Vec<Result<(), tokio_postgres::Error>>> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for number in 0..CLIENTS {
        tasks.spawn(task(server.client().await, number));
    }
    let outcomes = tasks.join_all().await.into_iter().flatten();
    let (succeeded, failed): (Vec<_>, Vec<_>) = outcomes.partition(Result::is_ok);
    (succeeded.len(), failed.iter().map(|outcome| state(outcome.as_ref().unwrap_err())).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_that_write_different_rows_all_commit() {
    let server = Server::start().await;
    let client = server.client().await;
    client.batch_execute("create table t (id int primary key, v int); create table log (v int)").await.unwrap();
    client.batch_execute("insert into t select i, 0 from generate_series(0, 99) as g(i)").await.unwrap();
    let outcome = together(&server, |client, number| async move {
        let mut outcomes = Vec::new();
        for round in 0..ROUNDS {
            let sql = format!(
                "begin; update t set v = v + 1 where id = {number}; insert into log values ({round}); \
                 insert into t values ({}, 1); commit",
                1000 + number * ROUNDS + round
            );
            outcomes.push(client.batch_execute(&sql).await);
        }
        outcomes
    });
    assert_eq!(outcome.await, ((CLIENTS * ROUNDS) as usize, vec![]));
    assert_eq!(value(&client, "select sum(v) from t").await, (2 * CLIENTS * ROUNDS).to_string());
    assert_eq!(value(&client, "select count(*) from log").await, (CLIENTS * ROUNDS).to_string());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_new_rows_with_one_unique_value_one_gets_in() {
    let server = Server::start().await;
    let client = server.client().await;
    client.batch_execute("create table t (id int, v int); create unique index on t (v)").await.unwrap();
    let (succeeded, failed) = together(&server, |client, number| async move {
        vec![client.batch_execute(&format!("insert into t values ({number}, 7)")).await]
    })
    .await;
    assert_eq!((succeeded, failed), (1, vec!["23505".to_string(); CLIENTS as usize - 1]));
    let (succeeded, failed) = together(&server, |client, number| async move {
        vec![client.batch_execute(&format!("begin; insert into t values ({number}, 8); commit")).await]
    })
    .await;
    assert_eq!(succeeded, 1);
    assert!(failed.iter().all(|state| state == "23505" || state == "40001"), "{failed:?}");
    assert_eq!(value(&client, "select count(*) from t").await, "2");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_that_change_one_row_are_tried_again() {
    let server = Server::start().await;
    let client = server.client().await;
    client.batch_execute("create table t (id int primary key, v int); insert into t values (1, 0)").await.unwrap();
    let outcome = together(&server, |client, _| async move {
        let mut outcomes = Vec::new();
        for _ in 0..ROUNDS {
            outcomes.push(client.batch_execute("update t set v = v + 1 where id = 1").await);
        }
        outcomes
    });
    assert_eq!(outcome.await, ((CLIENTS * ROUNDS) as usize, vec![]));
    assert_eq!(value(&client, "select v from t").await, (CLIENTS * ROUNDS).to_string());
    server.stop().await;
}
