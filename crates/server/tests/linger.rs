//! An answer that comes before its request's body was read reaches clients that send all before they read.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod support;

use std::time::Duration;

use patchbay_server::Limits;
use support::{Client, SHORT, Server, post};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;

const MIB: usize = 1024 * 1024;

/// Sends the request, the last quarter only when the answer has come; gives the answer's status.
async fn status_after_all_is_sent(client: &mut Client, request: &str) -> u16 {
    let (first, last) = request.split_at(request.len() * 3 / 4);
    client.send(first).await;
    client.0.readable().await.unwrap();
    client.send(last).await;
    let reply = client.reply().await;
    assert!(reply.head.contains("\r\nconnection: close\r\n"), "{reply:?}");
    assert_eq!(client.0.read(&mut [0]).await.unwrap(), 0);
    reply.status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_a_body_too_long_to_its_end_before_reading_is_told_so_every_time() {
    let server = Server::start(Limits::default()).await;
    for round in 0..200 {
        let length = 600 * 1024 + round * (2 * MIB - 600 * 1024) / 199;
        // A socket that takes little at once is still sending when the answer comes.
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_send_buffer_size(64 * 1024).unwrap();
        let mut client = Client(socket.connect(server.address).await.unwrap());
        client.send(&post("create", &" ".repeat(length))).await;
        assert_eq!(client.reply().await.status, 413, "{length} bytes");
    }
}

#[tokio::test]
async fn so_is_who_goes_on_sending_after_any_answer_that_did_not_wait_for_the_body() {
    let plain = |target: &str, length: usize| {
        let body = " ".repeat(length);
        format!("{target} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n{body}")
    };
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    let chunked = format!(
        "POST /v1/api/connections/get HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n{}0\r\n\r\n",
        chunk.repeat(16)
    );
    let busy = Limits {
        body_bytes: 0,
        ..Limits::default()
    };
    for (limits, request, status) in [
        (Limits::default(), plain("GET /healthz", MIB), 200),
        (Limits::default(), plain("POST /v1/api/nowhere", MIB), 404),
        (Limits::default(), chunked.clone(), 413),
        (busy.clone(), plain("POST /v1/api/connections/get", MIB / 2), 503),
        (busy, chunked, 503),
    ] {
        let server = Server::start(limits).await;
        let mut client = server.connect().await;
        assert_eq!(status_after_all_is_sent(&mut client, &request).await, status);
    }
}

#[tokio::test]
async fn who_sends_for_ever_is_cut_off_at_the_bound_of_bytes() {
    let limits = Limits {
        linger_time: Duration::from_secs(3600),
        ..Limits::default()
    };
    let server = Server::start(limits).await;
    let mut client = server.connect().await;
    let head = "POST /v1/api/connections/create HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1073741824\r\n\r\n";
    client.send(head).await;
    let (mut sent, spaces) = (0, vec![b' '; 64 * 1024]);
    while sent < 1024 * MIB {
        let Ok(taken) = client.0.write(&spaces).await else {
            break;
        };
        sent += taken;
    }
    // What the sockets hold comes on top.
    assert!(sent < 128 * MIB, "{sent} bytes were taken");
    while !server.metrics().await.contains("patchbay_connections 0\n") {}
}

#[tokio::test]
async fn who_stops_sending_is_cut_off_when_the_time_is_up() {
    let limits = Limits {
        linger_time: SHORT,
        ..Limits::default()
    };
    let server = Server::start(limits).await;
    let mut client = server.connect().await;
    let head = "POST /v1/api/nowhere HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n";
    client.send(head).await;
    assert_eq!(client.reply().await.status, 404);
    assert_eq!(client.rest().await, "");
}
