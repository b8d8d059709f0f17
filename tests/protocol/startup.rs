//! From the first byte to ReadyForQuery.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::server::Server;
use crate::wire::{Wire, states};

#[tokio::test(flavor = "multi_thread")]
async fn encryption_is_declined_and_the_client_goes_on() {
    let server = Server::start().await;
    let mut wire = Wire::open(server.address).await;
    for request in [80_877_103_i32, 80_877_104] {
        wire.send_untyped(&request.to_be_bytes()).await;
        assert_eq!(wire.socket.read_u8().await.unwrap(), b'N');
    }
    let mut body = (3_i32 << 16).to_be_bytes().to_vec();
    body.extend_from_slice(b"user\0millrace\0\0");
    wire.send_untyped(&body).await;
    assert_eq!(wire.until_ready().await.last().unwrap().kind, 'Z');
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_as_long_as_the_protocol_allows() {
    let server = Server::start().await;
    assert_eq!(Wire::connect(server.address).await.key.len(), 4);
    assert_eq!(Wire::connect_with(server.address, 3 << 16 | 2, &[]).await.unwrap().key.len(), 32);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn newer_versions_are_negotiated_down_and_older_refused() {
    let server = Server::start().await;
    let mut wire = Wire::open(server.address).await;
    let mut body = (3_i32 << 16 | 9999).to_be_bytes().to_vec();
    body.extend_from_slice(b"user\0millrace\0_pq_.unheard_of\0yes\0\0");
    wire.send_untyped(&body).await;
    let replies = wire.until_ready().await;
    assert_eq!(replies[0].kind, 'v');
    let mut expected = (3_i32 << 16 | 2).to_be_bytes().to_vec();
    expected.extend_from_slice(b"\0\0\0\x01_pq_.unheard_of\0");
    assert_eq!(replies[0].body, expected);

    let mut wire = Wire::open(server.address).await;
    wire.send_untyped(&(2_i32 << 16).to_be_bytes()).await;
    assert!(wire.until_ready().await.is_empty(), "version 2 has no messages that we could answer with");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_learns_the_settings_and_the_reason_of_a_refusal() {
    let server = Server::start().await;
    let mut wire = Wire::open(server.address).await;
    let mut body = (3_i32 << 16).to_be_bytes().to_vec();
    body.extend_from_slice(b"user\0millrace\0database\0millrace\0application_name\0me\0\0");
    wire.send_untyped(&body).await;
    let replies = wire.until_ready().await;
    let settings: Vec<Vec<u8>> =
        replies.iter().filter(|reply| reply.kind == 'S').map(|reply| reply.body.clone()).collect();
    for expected in [
        "server_encoding\0UTF8\0",
        "client_encoding\0UTF8\0",
        "DateStyle\0ISO, MDY\0",
        "integer_datetimes\0on\0",
        "standard_conforming_strings\0on\0",
        "application_name\0me\0",
    ] {
        assert!(settings.contains(&expected.as_bytes().to_vec()), "{expected} is not among the settings");
    }
    assert!(settings.iter().any(|setting| setting.starts_with(b"server_version\x0015")));

    let refused = Wire::connect_with(server.address, 3 << 16, &[("database", "nowhere")]).await.err().unwrap();
    assert_eq!(states(&refused), ["3D000"]);
    assert_eq!(refused[0].field(b'S').unwrap(), "FATAL");
    let refused = Wire::connect_with(server.address, 3 << 16, &[("replication", "true")]).await.err().unwrap();
    assert_eq!(states(&refused), ["0A000"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_instead_of_a_greeting_harms_nobody() {
    let server = Server::start().await;
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\0\0\0\x04", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff", b""] {
        let mut wire = Wire::open(server.address).await;
        wire.socket.write_all(garbage).await.unwrap();
        wire.socket.shutdown().await.unwrap();
        let mut rest = Vec::new();
        let _ = wire.socket.read_to_end(&mut rest).await;
    }
    Wire::connect(server.address).await;
    server.stop().await;
}
