//! What clients can make the server hold: bodies, answers and requests at once.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod support;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::Request;
use patchbay_server::Limits;
use patchbay_server::limits::UNCOUNTED_BODY;
use support::{LIST_BYTES, SHORT, Server, post};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

const LIST: &str = "size 16777216";

fn two_lists() -> Limits {
    Limits {
        answer_bytes: 2 * LIST_BYTES,
        ..Limits::default()
    }
}

#[tokio::test]
async fn lists_that_nobody_reads_hold_their_bytes_until_their_clients_end() {
    let server = Server::start(two_lists()).await;
    let mut unread = Vec::new();
    for _ in 0..2 {
        let mut client = server.connect_narrow().await;
        client.send(&post("list", LIST)).await;
        assert!(client.head().await.contains("\r\ncontent-length: 16777216\r\n"));
        unread.push(client);
    }
    let refused = server.call("list", "{}").await;
    assert_eq!(refused.status, 503);
    assert!(refused.head.contains("\r\nretry-after: 1\r\n"), "{refused:?}");
    let large = server.call("get", "size 300000").await;
    assert_eq!(large.status, 503, "whatever the operation");
    assert_eq!(server.call("get", "size 4096").await.status, 200, "a small one");
    assert_eq!(server.call("create", "{}").await.status, 400);
    assert!(
        server
            .metrics()
            .await
            .contains("patchbay_busy_total{of=\"answers\"} 2\n")
    );
    // One is read to its end, the other goes away.
    let mut read = unread.pop().unwrap();
    read.0.read_exact(&mut vec![0; LIST_BYTES]).await.unwrap();
    assert_eq!(server.call("list", "{}").await.status, 200);
    drop(unread);
    server.call_until("list", LIST, 200).await;
}

#[tokio::test]
async fn a_list_that_is_made_holds_no_more_than_its_bytes() {
    let server = Server::start(two_lists()).await;
    let mut unread = Vec::new();
    for _ in 0..3 {
        let mut client = server.connect_narrow().await;
        client.send(&post("list", "size 5000000")).await;
        assert!(client.head().await.starts_with("http/1.1 200 "));
        unread.push(client);
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_an_answer_is_dropped() {
    let limits = Limits {
        write_time: SHORT,
        ..two_lists()
    };
    let server = Server::start(limits).await;
    let mut unread = Vec::new();
    for _ in 0..2 {
        let mut client = server.connect_narrow().await;
        client.send(&post("list", LIST)).await;
        client.head().await;
        unread.push(client);
    }
    assert_eq!(server.call("list", "{}").await.status, 503);
    while !server.metrics().await.contains("patchbay_connections 0\n") {}
    assert_eq!(server.call("list", "{}").await.status, 200);
    for mut client in unread {
        assert!(client.rest().await.len() < LIST_BYTES);
    }
}

#[tokio::test]
async fn a_client_that_pipelines_and_reads_nothing_is_dropped() {
    let limits = Limits {
        write_time: SHORT,
        ..Limits::default()
    };
    let server = Server::start(limits).await;
    let mut client = server.connect_narrow().await;
    client.send(&post("get", "size 4000").repeat(4000)).await;
    while !server.metrics().await.contains("patchbay_connections 0\n") {}
    assert!(client.rest().await.matches("HTTP/1.1 200 OK").count() < 4000);
}

#[tokio::test]
async fn a_client_that_takes_an_answer_too_slowly_is_dropped_and_counted() {
    let limits = Limits {
        answer_time: SHORT,
        ..two_lists()
    };
    let server = Server::start(limits).await;
    let mut client = server.connect_narrow().await;
    client.send(&post("list", LIST)).await;
    client.head().await;
    // It takes some, again and again.
    let mut taken = 0;
    while !server.metrics().await.contains("patchbay_slow_clients_total 1\n") {
        taken += client.0.try_read(&mut [0; 64]).unwrap_or(0);
    }
    assert!(taken > 0);
    assert!(client.rest().await.len() < LIST_BYTES);
}

#[tokio::test]
async fn an_http2_client_that_keeps_its_window_shut_is_dropped() {
    let limits = Limits {
        answer_time: SHORT,
        ..Limits::default()
    };
    let server = Server::start(limits).await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (mut client, connection) = h2::client::Builder::new()
        .initial_window_size(0)
        .handshake::<_, Bytes>(stream)
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::post("http://localhost/v1/api/connections/get")
        .body(())
        .unwrap();
    let (response, mut sender) = client.send_request(request, false).unwrap();
    sender.send_data(Bytes::from_static(b"size 10"), true).unwrap();
    let mut answer = response.await.unwrap().into_body();
    assert!(answer.data().await.is_none_or(|data| data.is_err()));
    _ = connection.await.unwrap();
    assert!(server.metrics().await.contains("patchbay_slow_clients_total 1\n"));
}

#[tokio::test]
async fn bodies_add_up_to_their_budget_and_small_ones_are_served_all_the_same() {
    let each = 512 * 1024;
    let counted = each - UNCOUNTED_BODY;
    let limits = Limits {
        body_bytes: 2 * counted + counted / 2,
        ..Limits::default()
    };
    let server = Server::start(limits).await;
    let body = format!("size 3{}", " ".repeat(each - 6));
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = server.connect().await;
        let request = post("get", &body);
        client.send(&request[..request.len() - 1]).await;
        clients.push(client);
    }
    // The one that did not fit is told so; the others wait for their last byte.
    let mut refused = Vec::new();
    while refused.is_empty() {
        tokio::task::yield_now().await;
        for (place, client) in clients.iter_mut().enumerate() {
            if client
                .0
                .peek(&mut [0])
                .now_or_never()
                .is_some_and(|peeked| peeked.is_ok())
            {
                refused.push(place);
            }
        }
    }
    assert_eq!(refused.len(), 1);
    let mut refused = clients.remove(refused[0]);
    let reply = refused.reply().await;
    assert_eq!(reply.status, 503);
    assert!(reply.head.contains("\r\nretry-after: 1\r\n"), "{reply:?}");
    let small = format!("size 3{}", " ".repeat(UNCOUNTED_BODY - 6));
    assert_eq!(server.call("get", &small).await.status, 200);
    for client in &mut clients {
        client.send(" ").await;
        assert_eq!(client.reply().await.status, 200);
    }
    assert_eq!(server.call("get", &body).await.status, 200);
    assert!(
        server
            .metrics()
            .await
            .contains("patchbay_busy_total{of=\"bodies\"} 1\n")
    );
}

#[tokio::test]
async fn requests_past_their_limit_are_refused_and_health_is_answered_all_the_same() {
    let limits = Limits {
        requests: 1,
        ..Limits::default()
    };
    let server = Server::start(limits).await;
    let mut running = server.connect().await;
    running.send(&post("get", "wait")).await;
    server.one_waits().await;
    let refused = server.call("get", "size 1").await;
    assert_eq!(refused.status, 503);
    assert!(refused.head.contains("\r\nretry-after: 1\r\n"), "{refused:?}");
    let mut health = server.connect().await;
    health.send("GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(health.reply().await.status, 200);
    server.let_go();
    assert_eq!(running.reply().await.status, 200);
    assert_eq!(server.call("get", "size 1").await.status, 200);
}
