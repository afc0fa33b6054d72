//! A server over a handler that does what a request's body asks for, and raw connections to it.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "each test takes what it needs, and may panic"
)]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::request::Parts;
use patchbay_core::api::{self, Admitted, Answer, Config, Patchbay, Refusal};
use patchbay_core::audit::Record;
use patchbay_core::identity::Authentication;
use patchbay_core::model::Workspaces;
use patchbay_core::seal::KeyRing;
use patchbay_server::{Handler, Limits, Metrics, Options, TrustedProxies, serve, serve_metrics};
use patchbay_testkit::{MemoryStore, SystemHost};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// What a list counts for while it is made.
pub const LIST_BYTES: usize = 16 * 1024 * 1024;
/// A time that ends while a test waits for it.
pub const SHORT: Duration = Duration::from_millis(300);
/// What the scripted panic says.
pub const PANIC: &str = "what the panic says";

/// The header that has a request panic before its body is read.
pub const PANIC_HEADER: &str = "x-panic";

/// The core, but for bodies that are `panic`, `wait`, or `size` and a number of bytes.
#[derive(Clone)]
pub struct Scripted {
    core: Arc<Patchbay<MemoryStore, SystemHost>>,
    /// One for each request that waits.
    waiting: Arc<Semaphore>,
    /// One for each that may go on.
    going: Arc<Semaphore>,
    /// Told of each that waited whether it came to its end.
    ends: mpsc::UnboundedSender<bool>,
    records: Arc<Mutex<Vec<Record>>>,
}

/// A request that waits, which may be given up.
struct Waits {
    end: bool,
    ends: mpsc::UnboundedSender<bool>,
}

impl Drop for Waits {
    fn drop(&mut self) {
        // Not every test asks.
        _ = self.ends.send(self.end);
    }
}

impl Handler for Scripted {
    async fn admit(&self, head: &Parts) -> Result<Admitted, Answer> {
        assert!(!head.headers.contains_key(PANIC_HEADER), "{PANIC}");
        self.core.admit(head).await
    }

    fn panicked(&self, head: &Parts) -> Answer {
        api::panicked(head, &SystemHost)
    }

    async fn answer(&self, admitted: Admitted, body: Bytes) -> Answer {
        let text = std::str::from_utf8(&body).unwrap();
        let size = match text.trim_end() {
            "panic" => panic!("{PANIC}"),
            "wait" => {
                let ends = self.ends.clone();
                let mut waits = Waits { end: false, ends };
                self.waiting.add_permits(1);
                self.going.acquire().await.unwrap().forget();
                waits.end = true;
                2
            }
            text => match text.strip_prefix("size ") {
                Some(size) => size.parse().unwrap(),
                None => return self.keep(self.core.answer(admitted, body).await).await,
            },
        };
        let mut answer = admitted.refuse(Refusal::Busy);
        *answer.response.status_mut() = StatusCode::OK;
        *answer.response.body_mut() = vec![b'x'; size].into();
        answer
    }

    async fn keep(&self, mut answer: Answer) -> Answer {
        self.records.lock().unwrap().extend(answer.audit.take());
        answer
    }
}

pub struct Server {
    pub address: SocketAddr,
    pub metrics_address: SocketAddr,
    pub metrics: Metrics,
    handler: Scripted,
    ends: mpsc::UnboundedReceiver<bool>,
    end: Vec<oneshot::Sender<()>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Server {
    pub async fn start(limits: Limits) -> Self {
        Self::start_with(limits, None).await
    }

    pub async fn start_with(limits: Limits, tls: Option<TlsAcceptor>) -> Self {
        let config = Config {
            authentication: Authentication::off(),
            workspaces: Workspaces::Open,
            answer_bytes: LIST_BYTES,
        };
        let ring = KeyRing::parse("k1:testkit-testkit-testkit-testkit-testkit-testkit").unwrap();
        let core = Patchbay::new(MemoryStore::default(), ring, SystemHost, config).with_audit(true);
        let (sender, ends) = mpsc::unbounded_channel();
        let handler = Scripted {
            core: Arc::new(core),
            waiting: Arc::new(Semaphore::new(0)),
            going: Arc::new(Semaphore::new(0)),
            ends: sender,
            records: Arc::default(),
        };
        let metrics = Metrics::new(|| 7).unwrap();
        let (listener, page) = (bind().await, bind().await);
        let (address, metrics_address) = (listener.local_addr().unwrap(), page.local_addr().unwrap());
        let (end, ended): (Vec<_>, Vec<_>) = (0..2).map(|_| oneshot::channel::<()>()).unzip();
        let mut ended = ended.into_iter().map(|end| async { end.await.unwrap() });
        let page = serve_metrics(page, metrics.clone(), limits.clone(), true, ended.next().unwrap());
        let options = Options {
            limits,
            list_bytes: LIST_BYTES,
            local_only: true,
            trusted_proxies: TrustedProxies::default(),
            tls,
            metrics: metrics.clone(),
        };
        let served = serve(listener, handler.clone(), options, ended.next().unwrap());
        Self {
            address,
            metrics_address,
            metrics,
            handler,
            ends,
            end,
            tasks: vec![tokio::spawn(page), tokio::spawn(served)],
        }
    }

    pub async fn connect(&self) -> Client {
        Client(TcpStream::connect(self.address).await.unwrap())
    }

    /// A connection that takes little before it is read.
    pub async fn connect_narrow(&self) -> Client {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        Client(socket.connect(self.address).await.unwrap())
    }

    /// The answer to one request on a connection of its own.
    pub async fn call(&self, operation: &str, body: &str) -> Reply {
        let mut client = self.connect().await;
        client.send(&post(operation, body)).await;
        client.reply().await
    }

    /// Calls until the answer has this status.
    pub async fn call_until(&self, operation: &str, body: &str, status: u16) {
        while self.call(operation, body).await.status != status {
            tokio::task::yield_now().await;
        }
    }

    /// Returns when one more request waits.
    pub async fn one_waits(&self) {
        self.handler.waiting.acquire().await.unwrap().forget();
    }

    /// Lets one that waits go on.
    pub fn let_go(&self) {
        self.handler.going.add_permits(1);
    }

    /// Whether the next that waited came to its end; returns when it did, or was given up.
    pub async fn one_ended(&mut self) -> bool {
        self.ends.recv().await.unwrap()
    }

    /// The records that were kept.
    pub fn records(&self) -> Vec<Record> {
        self.handler.records.lock().unwrap().clone()
    }

    /// Asks for the end.
    pub fn end(&mut self) {
        for end in self.end.drain(..) {
            end.send(()).unwrap();
        }
    }

    /// Returns when it has ended.
    pub async fn ended(mut self) {
        self.end();
        for task in self.tasks {
            task.await.unwrap();
        }
    }

    pub async fn metrics(&self) -> String {
        let mut page = Client(TcpStream::connect(self.metrics_address).await.unwrap());
        page.send("GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        page.reply().await.body
    }
}

async fn bind() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

pub fn post(operation: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST /v1/api/connections/{operation} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    /// In lower case, each line ended.
    pub head: String,
    pub body: String,
}

pub struct Client(pub TcpStream);

impl Client {
    pub async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// A head, up to its empty line.
    pub async fn head(&mut self) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            head.push(self.0.read_u8().await.unwrap().into());
        }
        head.to_ascii_lowercase()
    }

    /// One answer with its length.
    pub async fn reply(&mut self) -> Reply {
        let head = self.head().await;
        let status = head[9..12].parse().unwrap();
        let length = head
            .split_once("content-length: ")
            .map_or(0, |(_, rest)| rest.split_once('\r').unwrap().0.parse().unwrap());
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.unwrap();
        Reply {
            status,
            head,
            body: String::from_utf8(body).unwrap(),
        }
    }

    /// All that comes until the server closes, in order or not.
    pub async fn rest(&mut self) -> String {
        let (mut rest, mut chunk) = (Vec::new(), vec![0; 64 * 1024]);
        while let Ok(read @ 1..) = self.0.read(&mut chunk).await {
            rest.extend(chunk.iter().take(read));
        }
        String::from_utf8(rest).unwrap()
    }
}
