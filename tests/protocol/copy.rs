//! COPY FROM STDIN and TO STDOUT, in both protocols.

use bytes::Bytes;
use futures::{SinkExt, StreamExt};

use crate::server::{Server, rows, state, value};
use crate::wire::{Wire, kinds, states};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_copied_in_comes_out_again() {
    let server = Server::start().await;
    let client = server.client().await;
    client.batch_execute("create table copied (a int, b text, c numeric(10, 2))").await.unwrap();
    let sink = client.copy_in::<_, Bytes>("copy copied from stdin").await.unwrap();
    let mut sink = std::pin::pin!(sink);
    // Cut in the middle of lines and fields.
    for piece in ["1\ton", "e\\ttwo\t1.5\n2\t\\", "N\t\\N\n3\tx\\\\y\t-0.25"] {
        sink.send(Bytes::from(piece)).await.unwrap();
    }
    assert_eq!(sink.finish().await.unwrap(), 3);
    let expected = [["1", "one\ttwo", "1.50"], ["2", "NULL", "NULL"], ["3", "x\\y", "-0.25"]];
    let found = rows(&client, "select * from copied order by a").await;
    let found: Vec<Vec<String>> =
        found.into_iter().map(|row| row.into_iter().map(|value| value.unwrap_or("NULL".into())).collect()).collect();
    assert_eq!(found, expected);

    let out = |sql: &'static str| {
        let client = &client;
        async move {
            let stream = client.copy_out(sql).await.unwrap();
            let pieces: Vec<Bytes> = stream.map(|piece| piece.unwrap()).collect().await;
            String::from_utf8(pieces.concat()).unwrap()
        }
    };
    let text = out("copy (select * from copied order by a) to stdout").await;
    assert_eq!(text, "1\tone\\ttwo\t1.50\n2\t\\N\t\\N\n3\tx\\\\y\t-0.25\n");
    let csv = out("copy (select b, a from copied order by a) to stdout with (format csv, header)").await;
    assert_eq!(csv, "b,a\none\ttwo,1\n,2\nx\\y,3\n");

    let sink = client.copy_in::<_, Bytes>("copy copied (b, a) from stdin with (format csv, header)").await.unwrap();
    let mut sink = std::pin::pin!(sink);
    sink.send(Bytes::from("b,a\n\"quoted, \"\"and\nbroken\",4\n\"\",5\n,6\n")).await.unwrap();
    assert_eq!(sink.finish().await.unwrap(), 3);
    assert_eq!(value(&client, "select b from copied where a = 4").await, "quoted, \"and\nbroken");
    assert_eq!(value(&client, "select b is null from copied where a = 5").await, "f");
    assert_eq!(value(&client, "select b is null from copied where a = 6").await, "t");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_fails_leaves_nothing_and_the_session_goes_on() {
    let server = Server::start().await;
    let client = server.client().await;
    client.batch_execute("create table failing (a int, b int not null)").await.unwrap();
    let mut wire = Wire::connect(server.address).await;
    for (data, expected) in [
        (&b"1\t2\nx\t2\n"[..], "22P02"),
        (b"1\n", "22P04"),
        (b"1\t2\t3\n", "22P04"),
        (b"1\t\\N\n", "23502"),
        (b"1\t\xff\n", "22021"),
    ] {
        assert_eq!(wire.query_copy("copy failing from stdin").await, "G");
        wire.send(&[('d', b"7\t7\n"), ('d', data), ('c', b"")]).await;
        let replies = wire.until_ready().await;
        assert_eq!((kinds(&replies).as_str(), states(&replies)), ("EZ", vec![expected.to_string()]));
    }
    assert_eq!(wire.query_copy("copy failing from stdin").await, "G");
    wire.send(&[('d', b"1\t2\n"), ('f', b"changed my mind\0")]).await;
    let replies = wire.until_ready().await;
    assert_eq!(states(&replies), ["57014"]);
    assert!(replies[0].field(b'M').unwrap().contains("changed my mind"));
    assert_eq!(value(&client, "select count(*) from failing").await, "0");
    assert_eq!(kinds(&wire.query("select 1").await), "TDCZ");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_rows_are_copied_in_batches() {
    let server = Server::start().await;
    let client = server.client().await;
    client.batch_execute("create table many (a int, b text)").await.unwrap();
    let sink = client.copy_in::<_, Bytes>("copy many from stdin").await.unwrap();
    let mut sink = std::pin::pin!(sink);
    for block in 0..20 {
        let lines: String = (0..1_000).map(|row| format!("{}\trow {row}\n", block * 1_000 + row)).collect();
        sink.send(Bytes::from(lines)).await.unwrap();
    }
    assert_eq!(sink.finish().await.unwrap(), 20_000);
    assert_eq!(value(&client, "select sum(a) from many").await, (20_000_u64 * 19_999 / 2).to_string());
    let error = client.copy_in::<_, Bytes>("copy nowhere from stdin").await.err().unwrap();
    assert_eq!(state(&error), "42P01");
    server.stop().await;
}

impl Wire {
    /// Begins a COPY; gives the kind of the answer.
    async fn query_copy(&mut self, sql: &str) -> String {
        self.send(&[('Q', format!("{sql}\0").as_bytes())]).await;
        self.reply().await.unwrap().kind.to_string()
    }
}
