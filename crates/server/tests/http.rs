//! What HTTP asks of a server, over real sockets.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod support;

use bytes::Bytes;
use http::{Request, StatusCode};
use patchbay_core::audit::{Outcome, Record};
use patchbay_server::Limits;
use support::{PANIC, PANIC_HEADER, SHORT, Server, post};
use tokio::net::TcpStream;

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let server = Server::start(Limits::default()).await;
    let mut client = server.connect().await;
    client
        .send(&(post("get", "wait") + &post("get", "size 3") + &post("get", "size 5000")))
        .await;
    server.one_waits().await;
    server.let_go();
    for length in [2, 3, 5000] {
        assert_eq!(client.reply().await.body.len(), length);
    }
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_request() {
    let server = Server::start(Limits::default()).await;
    let mut client = server.connect().await;
    for _ in 0..3 {
        client.send(&post("create", "{}")).await;
        assert_eq!(client.reply().await.status, 400);
    }
}

async fn h2_call(client: &mut h2::client::SendRequest<Bytes>, body: &str) -> http::Response<Bytes> {
    let request = Request::post("http://localhost/v1/api/connections/get")
        .body(())
        .unwrap();
    let mut ready = client.clone().ready().await.unwrap();
    let (response, mut sender) = ready.send_request(request, false).unwrap();
    sender.send_data(Bytes::copy_from_slice(body.as_bytes()), true).unwrap();
    let (head, mut stream) = response.await.unwrap().into_parts();
    let mut whole = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data.unwrap();
        stream.flow_control().release_capacity(data.len()).unwrap();
        whole.extend_from_slice(&data);
    }
    http::Response::from_parts(head, whole.into())
}

#[tokio::test]
async fn http2_with_prior_knowledge_carries_requests_side_by_side_and_a_panic_costs_one_of_them() {
    let server = Server::start(Limits::default()).await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut other = client.clone();
    let waiting = tokio::spawn(async move { h2_call(&mut other, "wait").await });
    server.one_waits().await;
    let failed = h2_call(&mut client, "panic").await;
    assert_eq!(failed.status(), 500);
    assert_eq!(h2_call(&mut client, "size 300000").await.body().len(), 300_000);
    server.let_go();
    assert_eq!(waiting.await.unwrap().body().len(), 2);
}

#[tokio::test]
async fn a_panic_costs_its_own_request_and_its_text_is_not_shown() {
    let server = Server::start(Limits::default()).await;
    let mut client = server.connect().await;
    client.send(&post("get", "panic")).await;
    let failed = client.reply().await;
    assert_eq!(failed.status, 500);
    assert!(failed.head.contains("\r\nx-request-id: "), "{failed:?}");
    assert!(failed.body.starts_with("{\"msg\":\"") && failed.body.ends_with("\",\"code\":500}"));
    assert!(!failed.body.contains(PANIC));
    client.send(&post("get", "size 3")).await;
    assert_eq!(client.reply().await.body, "xxx", "the connection goes on");
}

#[tokio::test]
async fn a_request_that_panicked_leaves_a_record_where_all_others_are() {
    let server = Server::start(Limits::default()).await;
    assert_eq!(server.call("create", "panic").await.status, 500);
    assert_eq!(server.call("get", "{\"name\":\"a\"}").await.status, 404);
    let told = |record: Record| (record.operation, record.outcome);
    let expected = [
        ("connections/create", StatusCode::INTERNAL_SERVER_ERROR),
        ("connections/get", StatusCode::NOT_FOUND),
    ];
    let expected = expected.map(|(operation, status)| (operation, Outcome::Refused(status)));
    assert_eq!(server.records().into_iter().map(told).collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn a_change_or_a_list_whose_client_goes_away_goes_on_with_what_it_holds_and_a_get_is_given_up() {
    let limits = Limits {
        requests: 1,
        ..Limits::default()
    };
    let mut server = Server::start(limits).await;
    for (operation, goes_on, meanwhile) in [("create", true, 503), ("list", true, 503), ("get", false, 200)] {
        let mut client = server.connect().await;
        client.send(&post(operation, "wait")).await;
        server.one_waits().await;
        drop(client);
        while !server.metrics().await.contains("patchbay_connections 0\n") {}
        assert_eq!(server.call("get", "size 1").await.status, meanwhile);
        server.let_go();
        assert_eq!(server.one_ended().await, goes_on, "{operation}");
        server.call_until("get", "size 1", 200).await;
    }
}

#[tokio::test]
async fn a_panic_over_a_head_costs_its_own_request_as_well() {
    let server = Server::start(Limits::default()).await;
    let mut client = server.connect().await;
    client
        .send(&format!(
            "POST /v1/api/connections/get HTTP/1.1\r\nhost: localhost\r\n{PANIC_HEADER}: 1\r\n\r\n"
        ))
        .await;
    let failed = client.reply().await;
    assert_eq!(failed.status, 500);
    assert!(failed.head.contains("\r\nx-request-id: "), "{failed:?}");
    assert!(!failed.body.contains(PANIC));
    client.send(&post("get", "size 3")).await;
    assert_eq!(client.reply().await.body, "xxx", "the connection goes on");
}

#[tokio::test]
async fn a_head_with_too_many_bytes_or_fields_is_431() {
    let limits = Limits::default();
    let begin = "GET /healthz HTTP/1.1\r\nx: ";
    // No more than the server reads: what it left unread would reset the connection under its answer.
    let long = format!("{begin}{}", "a".repeat(limits.head_bytes - begin.len()));
    let server = Server::start(limits).await;
    let many = format!("{begin}a\r\n{}\r\n", "x: a\r\n".repeat(64));
    for head in [long, many] {
        let mut client = server.connect().await;
        client.send(&head).await;
        assert!(client.rest().await.starts_with("HTTP/1.1 431 "));
    }
}

#[tokio::test]
async fn who_sends_no_head_in_time_is_dropped() {
    let limits = Limits {
        head_time: SHORT,
        ..Limits::default()
    };
    let server = Server::start(limits).await;
    // The first byte may yet begin HTTP/2.
    for begun in ["", "P", "POST /v1/api/connections/get HT"] {
        let mut client = server.connect().await;
        client.send(begun).await;
        assert_eq!(client.rest().await, "", "after {begun:?}");
    }
    let mut client = server.connect().await;
    client.send(&post("get", "size 1")).await;
    assert_eq!(client.reply().await.body, "x");
    assert_eq!(client.rest().await, "", "an idle connection");
}

#[tokio::test]
async fn a_body_that_does_not_come_in_time_is_408() {
    let limits = Limits {
        body_time: SHORT,
        linger_time: SHORT,
        ..Limits::default()
    };
    let server = Server::start(limits).await;
    let mut client = server.connect().await;
    client.send(post("get", "{\"name\":\"a\"}").trim_end_matches('}')).await;
    let slow = client.reply().await;
    assert_eq!(slow.status, 408);
    assert!(slow.head.contains("\r\nconnection: close\r\n"), "{slow:?}");
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn connections_past_the_limit_wait_for_one_to_end() {
    let limits = Limits {
        connections: 1,
        ..Limits::default()
    };
    let server = Server::start(limits).await;
    let mut first = server.connect().await;
    first.send(&post("get", "wait")).await;
    server.one_waits().await;
    let mut second = server.connect().await;
    second.send(&post("get", "wait")).await;
    server.let_go();
    assert_eq!(first.reply().await.status, 200);
    // Had the second been taken, it would have answered by now: this server runs on one thread.
    first.send(&post("get", "size 1")).await;
    assert_eq!(first.reply().await.status, 200);
    let mut byte = [0];
    assert!(second.0.try_read(&mut byte).is_err());
    drop(first);
    server.one_waits().await;
    server.let_go();
    assert_eq!(second.reply().await.status, 200);
}

#[tokio::test]
async fn a_body_is_asked_for_only_where_it_will_be_read() {
    let server = Server::start(Limits::default()).await;
    let expecting = |length: usize| {
        format!(
            "POST /v1/api/connections/get HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n"
        )
    };
    let mut client = server.connect().await;
    client.send(&expecting(512 * 1024 + 1)).await;
    let rest = client.rest().await;
    assert!(
        rest.starts_with("HTTP/1.1 413 ") && !rest.contains("HTTP/1.1 100"),
        "{rest}"
    );

    let mut client = server.connect().await;
    client.send(&expecting(6)).await;
    assert!(client.head().await.starts_with("http/1.1 100 "));
    client.send("size 9").await;
    assert_eq!(client.reply().await.body.len(), 9);
}

#[tokio::test]
async fn framing_that_two_readers_could_read_differently_is_refused_or_ends_the_connection() {
    let server = Server::start(Limits::default()).await;
    let send = async |fields: &str, body: &str| {
        let mut client = server.connect().await;
        client
            .send(&format!(
                "POST /v1/api/connections/get HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n{body}"
            ))
            .await;
        client.rest().await
    };
    for fields in [
        "content-length: 6\r\ncontent-length: 7\r\n",
        "content-length: +6\r\n",
        "transfer-encoding: chunked, gzip\r\n",
        "content-length : 6\r\n",
    ] {
        let answer = send(fields, "size 9").await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{fields}: {answer}");
    }
    let smuggled = post("get", "size 1");
    for fields in [
        "content-length: 6\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 6\r\n",
    ] {
        let answer = send(fields, &format!("6\r\nsize 9\r\n0\r\n\r\n{smuggled}")).await;
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    }
}

#[tokio::test]
async fn head_on_a_known_path_is_405_without_a_body() {
    let server = Server::start(Limits::default()).await;
    let mut client = server.connect().await;
    client
        .send("HEAD /v1/api/connections/get HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .await;
    let rest = client.rest().await;
    assert!(
        rest.starts_with("HTTP/1.1 405 ") && rest.ends_with("\r\n\r\n"),
        "{rest}"
    );
    assert!(rest.contains("\r\nallow: POST\r\n"), "{rest}");
}

#[tokio::test]
async fn the_end_finishes_what_runs_and_takes_nothing_new() {
    let mut server = Server::start(Limits::default()).await;
    let (mut running, mut idle) = (server.connect().await, server.connect().await);
    idle.send(&post("get", "size 1")).await;
    idle.reply().await;
    running.send(&post("get", "wait")).await;
    server.one_waits().await;
    server.end();
    assert_eq!(idle.rest().await, "", "an idle connection is closed");
    assert!(TcpStream::connect(server.address).await.is_err());
    server.let_go();
    let finished = running.reply().await;
    assert_eq!(finished.status, 200);
    assert_eq!(running.rest().await, "");
    server.ended().await;
}

#[tokio::test]
async fn the_end_does_not_wait_for_ever() {
    let limits = Limits {
        shutdown_time: SHORT,
        ..Limits::default()
    };
    let server = Server::start(limits).await;
    let mut stuck = server.connect().await;
    stuck.send(&post("get", "wait")).await;
    server.one_waits().await;
    server.ended().await;
}
