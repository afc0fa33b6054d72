//! Clients of the worst kind, all at once until they are told to go.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::wire::{Wire, post};

/// Where the large connections are.
pub const WORKSPACE: u32 = 7;
/// What a list counts for while it is made.
pub const LIST_BYTES: usize = 16 * 1024 * 1024;

const IDLE: usize = 1000;
const SLOW_HEADS: usize = 400;
const SLOW_BODIES: usize = 300;
const FLOOD: usize = 200;
const SLOW_READERS: usize = 100;
const LISTS: usize = 40;
const HTTP2: usize = 10;
const STREAMS: usize = 50;
/// Connections that they hold.
pub const CONNECTIONS: usize = IDLE + SLOW_HEADS + SLOW_BODIES + FLOOD + SLOW_READERS + LISTS + HTTP2;
/// Requests that they have under way at once, at the most.
pub const REQUESTS: usize = SLOW_BODIES + FLOOD + SLOW_READERS + LISTS + HTTP2 * STREAMS;
/// Between the pieces of who is slow.
const PAUSE: Duration = Duration::from_millis(100);
/// Between the attempts of who is not: all that they ask for at once keeps a small machine busy for about as long.
const AGAIN: Duration = Duration::from_secs(2);

pub struct Crowd {
    go: watch::Sender<()>,
    members: JoinSet<()>,
    refused: Arc<AtomicUsize>,
}

/// What each of them knows.
#[derive(Clone)]
struct Member {
    address: String,
    refused: Arc<AtomicUsize>,
}

impl Crowd {
    /// Starts them all.
    pub fn gather(address: &str) -> Self {
        let (go, _) = watch::channel(());
        let refused = Arc::<AtomicUsize>::default();
        let member = Member {
            address: address.to_owned(),
            refused: Arc::clone(&refused),
        };
        let mut crowd = Self {
            go,
            members: JoinSet::new(),
            refused,
        };
        for _ in 0..IDLE {
            crowd.join(member.clone().idle());
        }
        for _ in 0..SLOW_HEADS {
            crowd.join(member.clone().send_slowly(post("get", b"{}"), 0));
        }
        for _ in 0..SLOW_BODIES {
            crowd.join(member.clone().send_slowly(post("get", &[b' '; 4096]), 80));
        }
        for number in 0..FLOOD {
            crowd.join(
                member
                    .clone()
                    .flood(flood(number, number % 2 == 0), &[200, 400, 408, 409]),
            );
        }
        for _ in 0..SLOW_READERS {
            crowd.join(member.clone().read_slowly());
        }
        for _ in 0..LISTS {
            crowd.join(member.clone().flood(list(), &[200]));
        }
        for _ in 0..HTTP2 {
            crowd.join(member.clone().http2());
        }
        crowd
    }

    fn join(&mut self, member: impl Future<Output = ()> + Send + 'static) {
        let mut go = self.go.subscribe();
        self.members.spawn(async move {
            tokio::select! {
                () = member => {}
                _ = go.changed() => {}
            }
        });
    }

    /// Fails if one of them had to give up.
    pub fn stands(&mut self) {
        while let Some(gone) = self.members.try_join_next() {
            gone.unwrap();
        }
    }

    /// Sends them away, and gives how often they were refused.
    pub async fn disperse(mut self) -> usize {
        self.go.send(()).unwrap();
        while let Some(gone) = self.members.join_next().await {
            gone.unwrap();
        }
        self.refused.load(Ordering::Relaxed)
    }
}

impl Member {
    async fn idle(self) {
        let mut wire = Wire::connect(&self.address).await;
        _ = wire.0.read(&mut [0]).await;
    }

    /// From this byte on, a few at a time.
    async fn send_slowly(self, request: Vec<u8>, from: usize) {
        let mut wire = Wire::connect(&self.address).await;
        let (first, rest) = request.split_at(from);
        wire.send(first).await.unwrap();
        for piece in rest.chunks(2) {
            if wire.send(piece).await.is_err() {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
        std::future::pending().await
    }

    /// The same request over and over. Every answer is one of `statuses` or a refusal.
    async fn flood(self, request: Vec<u8>, statuses: &'static [u16]) {
        loop {
            let mut wire = Wire::connect(&self.address).await;
            loop {
                let reply = wire.ask(&request).await.unwrap();
                if reply.is_refusal() {
                    self.refused.fetch_add(1, Ordering::Relaxed);
                } else {
                    assert!(statuses.contains(&reply.status), "{} {}", reply.status, reply.head);
                }
                tokio::time::sleep(AGAIN).await;
                if reply.head.contains("\r\nconnection: close\r\n") {
                    break;
                }
            }
        }
    }

    /// Asks for the largest list until it gets one, and takes it a few bytes at a time.
    async fn read_slowly(self) {
        let mut wire = Wire::connect(&self.address).await;
        loop {
            wire.send(&list()).await.unwrap();
            let reply = wire.head().await.unwrap();
            if reply.status == 200 {
                break;
            }
            assert!(reply.is_refusal(), "{reply:?}");
            self.refused.fetch_add(1, Ordering::Relaxed);
            let length = reply.length();
            wire.0.read_exact(&mut vec![0; length]).await.unwrap();
            tokio::time::sleep(AGAIN).await;
        }
        while let Ok(1..) = wire.0.read(&mut [0; 64]).await {
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Gets on many streams side by side, over and over.
    async fn http2(self) {
        let stream = TcpStream::connect(&self.address).await.unwrap();
        let (client, connection) = h2::client::handshake(stream).await.unwrap();
        let streams = async {
            loop {
                let mut answers = Vec::new();
                for _ in 0..STREAMS {
                    let mut client = client.clone().ready().await.unwrap();
                    let request = Request::post("http://localhost/v1/api/connections/get")
                        .body(())
                        .unwrap();
                    let (answer, mut body) = client.send_request(request, false).unwrap();
                    body.send_data(Bytes::from_static(b"{\"name\":\"small\"}"), true)
                        .unwrap();
                    answers.push(answer);
                }
                for answer in answers {
                    let answer = answer.await.unwrap();
                    let refused = [429, 503].contains(&answer.status().as_u16());
                    assert_eq!(refused, answer.headers().contains_key("retry-after"));
                    assert!(refused || answer.status() == 200);
                    self.refused.fetch_add(refused.into(), Ordering::Relaxed);
                }
                tokio::time::sleep(AGAIN).await;
            }
        };
        tokio::select! {
            () = streams => {}
            ended = connection => ended.unwrap(),
        }
    }
}

/// The largest list.
pub fn list() -> Vec<u8> {
    post("list", format!("{{\"workspace_id\":{WORKSPACE}}}").as_bytes())
}

/// A create of one of a few names, as long as a body may be.
pub fn flood(number: usize, valid: bool) -> Vec<u8> {
    let details = "x".repeat(250_000);
    let field = if valid { "name" } else { "nome" };
    let name = number % 10;
    let mut body = format!("{{\"{field}\":\"flood-{name}\",\"type\":\"K\",\"details\":\"{details}\"}}").into_bytes();
    body.resize(512 * 1024, b' ');
    post("create", &body)
}
