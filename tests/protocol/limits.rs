//! More clients than may be served.

use millrace::server::Limits;
use tokio::task::JoinSet;

use crate::server::{Server, value};
use crate::wire::{Wire, kinds, states};

#[tokio::test(flavor = "multi_thread")]
async fn clients_beyond_the_limit_are_refused_and_may_come_back() {
    let server = Server::start_with(Limits { connections_max: 2 }).await;
    let first = Wire::connect(server.address).await;
    let mut second = Wire::connect(server.address).await;
    let refused = Wire::connect_with(server.address, 3 << 16, &[]).await.err().unwrap();
    assert_eq!(states(&refused), ["53300"]);
    assert_eq!(refused[0].field(b'M').unwrap(), "sorry, too many clients already");
    drop(first);
    for _ in 0..100 {
        if Wire::connect_with(server.address, 3 << 16, &[]).await.is_ok() {
            assert_eq!(kinds(&second.query("select 1").await), "TDCZ");
            return server.stop().await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the place of a client that left was not given to another");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_is_refused_while_others_are_served() {
    let server = Server::start_with(Limits { connections_max: 10 }).await;
    let client = server.client().await;
    let address = server.address;
    let mut admitted = Vec::new();
    let mut refused = 0;
    // Ten thousand, as many at a time as a process has files for.
    for _ in 0..5 {
        let mut crowd = JoinSet::new();
        for _ in 0..2_000 {
            let connect = async move { Wire::connect_with(address, 3 << 16, &[]).await };
            crowd.spawn(async move { connect.await.map_err(|refused| states(&refused)) });
        }
        assert_eq!(value(&client, "select 1").await, "1");
        while let Some(outcome) = crowd.join_next().await {
            match outcome.unwrap() {
                Ok(wire) => admitted.push(wire),
                Err(states) => {
                    assert_eq!(states, ["53300"]);
                    refused += 1;
                }
            }
        }
    }
    assert_eq!(admitted.len(), 9);
    assert_eq!(refused, 9_991);
    assert_eq!(value(&client, "select 1").await, "1");
    drop(admitted);
    server.stop().await;
}
