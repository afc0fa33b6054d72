//! The page for Prometheus.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::time::Duration;

use patchbay_server::Limits;
use support::{Client, Server};
use tokio::net::TcpStream;

#[tokio::test]
async fn requests_are_counted_by_operation_and_status_and_nothing_else_of_them_is_shown() {
    let server = Server::start(Limits::default()).await;
    let create = "{\"name\":\"ledger\",\"type\":\"KAFKA\"}";
    for status in [200, 409] {
        assert_eq!(server.call("create", create).await.status, status);
    }
    assert_eq!(server.call("ledger", "{}").await.status, 404);
    let page = server.metrics().await;
    for line in [
        "patchbay_requests_total{operation=\"connections/create\",status=\"200\"} 1\n",
        "patchbay_requests_total{operation=\"connections/create\",status=\"409\"} 1\n",
        "patchbay_requests_total{operation=\"connections/create\",status=\"429\"} 0\n",
        "patchbay_requests_total{operation=\"unknown\",status=\"404\"} 1\n",
        "patchbay_request_duration_seconds_count{operation=\"connections/create\"} 2\n",
        "patchbay_log_lines_lost 7\n",
    ] {
        assert!(page.contains(line), "{line} is not in {page}");
    }
    assert!(!page.contains("ledger") && !page.contains("default") && !page.contains("anonymous"));
}

#[tokio::test]
async fn open_connections_are_shown_until_they_end() {
    let server = Server::start(Limits::default()).await;
    let open = server.connect().await;
    while !server.metrics().await.contains("patchbay_connections 1\n") {}
    drop(open);
    while !server.metrics().await.contains("patchbay_connections 0\n") {}
}

#[tokio::test]
async fn there_is_nothing_else_beside_the_metrics() {
    let server = Server::start(Limits::default()).await;
    let mut client = Client(TcpStream::connect(server.metrics_address).await.unwrap());
    for (request, status) in [
        ("GET /", 404),
        ("POST /v1/api/connections/get", 404),
        ("POST /metrics", 405),
    ] {
        client
            .send(&format!("{request} HTTP/1.1\r\nhost: localhost\r\n\r\n"))
            .await;
        let reply = client.reply().await;
        assert_eq!((reply.status, reply.body.as_str()), (status, ""), "{request}");
    }
    client.send("GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let page = client.reply().await;
    assert!(
        page.head.contains("\r\ncontent-type: text/plain; version=0.0.4\r\n"),
        "{page:?}"
    );
}

#[tokio::test]
async fn a_web_page_is_not_shown_the_metrics() {
    let server = Server::start(Limits::default()).await;
    let mut client = Client(TcpStream::connect(server.metrics_address).await.unwrap());
    for (head, status) in [
        ("host: rebound.example:9090", 403),
        ("host: localhost\r\norigin: http://page.example", 403),
        ("host: 127.0.0.1:9090", 200),
    ] {
        client.send(&format!("GET /metrics HTTP/1.1\r\n{head}\r\n\r\n")).await;
        let reply = client.reply().await;
        assert_eq!((reply.status, reply.body.is_empty()), (status, status == 403), "{head}");
    }
}

#[tokio::test]
async fn commits_are_counted_with_their_changes_and_time() {
    let server = Server::start(Limits::default()).await;
    server.metrics.committed(3, Duration::from_millis(2));
    let page = server.metrics().await;
    for line in [
        "patchbay_commit_changes_bucket{le=\"2\"} 0\n",
        "patchbay_commit_changes_bucket{le=\"4\"} 1\n",
        "patchbay_commit_duration_seconds_bucket{le=\"0.001\"} 0\n",
        "patchbay_commit_duration_seconds_bucket{le=\"0.0025\"} 1\n",
    ] {
        assert!(page.contains(line), "{line} is not in {page}");
    }
}
