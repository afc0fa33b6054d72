//! An issuer's keys, published over HTTP on loopback, in good and in bad manner.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::stream;
use http::header::{CACHE_CONTROL, LOCATION};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use serde_json::json;

use crate::loopback::Loopback;

const DOCUMENT: &str = "/.well-known/openid-configuration";
const KEYS: &str = "/keys";
/// Pieces of the longest answer, of 64 KiB each: 100 MiB.
const PIECES: usize = 1_600;

/// How an issuer answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// As it should.
    Well,
    /// Never.
    Hangs,
    /// With what is not JSON.
    Garbage,
    /// With a key set of 100 MiB.
    Floods,
    /// With a discovery document of another issuer.
    OtherIssuer,
    /// With a redirect to where it would answer well.
    Redirects,
    /// With 500.
    Fails,
}

/// The issuer behind its address. Dropped, it takes no new connections.
#[derive(Debug)]
pub struct Published {
    loopback: Loopback,
    shared: Arc<Shared>,
}

#[derive(Debug, Clone)]
struct Answers {
    manner: Manner,
    keys: String,
    /// What it says of how long they may be kept.
    caching: Option<HeaderValue>,
}

#[derive(Debug)]
struct Shared {
    answers: Mutex<Answers>,
    documents: AtomicUsize,
    sets: AtomicUsize,
    pieces: AtomicUsize,
}

impl Published {
    /// Publishes this key set.
    ///
    /// # Errors
    /// Where there is no port to listen on.
    pub async fn start(keys: String) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared {
            answers: Mutex::new(Answers {
                manner: Manner::Well,
                keys,
                caching: None,
            }),
            documents: AtomicUsize::new(0),
            sets: AtomicUsize::new(0),
            pieces: AtomicUsize::new(0),
        });
        let answering = Arc::clone(&shared);
        let loopback = Loopback::serve(move |head, _| {
            let shared = Arc::clone(&answering);
            async move {
                let authority = head.headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
                let issuer = format!("http://{}", authority.unwrap_or_default());
                shared.answer(head.uri.path(), &issuer).await
            }
        });
        Ok(Self {
            loopback: loopback.await?,
            shared,
        })
    }

    /// The issuer's name, which is where its discovery document is.
    pub fn name(&self) -> String {
        format!("http://{}", self.loopback.authority)
    }

    /// Where its keys are.
    pub fn keys_url(&self) -> String {
        format!("http://{}{KEYS}", self.loopback.authority)
    }

    /// Answers in this manner from now on.
    pub fn behave(&self, manner: Manner) {
        self.shared.answers().manner = manner;
    }

    /// Publishes this key set from now on.
    pub fn publish(&self, keys: String) {
        self.shared.answers().keys = keys;
    }

    /// Says from now on how long its keys may be kept: a `Cache-Control`.
    pub fn say(&self, caching: &'static str) {
        self.shared.answers().caching = Some(HeaderValue::from_static(caching));
    }

    /// How often it was asked for its discovery document.
    pub fn documents(&self) -> usize {
        self.shared.documents.load(Ordering::Relaxed)
    }

    /// How often it was asked for its keys.
    pub fn sets(&self) -> usize {
        self.shared.sets.load(Ordering::Relaxed)
    }

    /// How many bytes of its longest answers were taken, by the network's buffers included.
    pub fn flooded(&self) -> usize {
        self.shared.pieces.load(Ordering::Relaxed) * PIECE.len()
    }
}

static PIECE: [u8; 64 * 1024] = [b' '; 64 * 1024];

impl Shared {
    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(self: Arc<Self>, path: &str, issuer: &str) -> Response<BoxBody<Bytes, Infallible>> {
        let Answers { manner, keys, caching } = self.answers().clone();
        let document = |of: &str| json!({ "issuer": of, "jwks_uri": format!("{issuer}{KEYS}") }).to_string();
        // Where a redirect leads, all is well.
        let (path, manner) = match path.strip_prefix("/moved") {
            Some(path) => (path, Manner::Well),
            None => (path, manner),
        };
        let well = match path {
            DOCUMENT => {
                self.documents.fetch_add(1, Ordering::Relaxed);
                document(issuer)
            }
            KEYS => {
                self.sets.fetch_add(1, Ordering::Relaxed);
                keys
            }
            _ => return status(StatusCode::NOT_FOUND),
        };
        match manner {
            Manner::Well => {
                let mut response = text(well);
                if let Some(caching) = caching.filter(|_| path == KEYS) {
                    response.headers_mut().insert(CACHE_CONTROL, caching);
                }
                response
            }
            Manner::OtherIssuer if path == DOCUMENT => text(document("https://issuer.example")),
            Manner::OtherIssuer => text(well),
            Manner::Hangs => std::future::pending().await,
            Manner::Garbage => text("<html>Sign in</html>".to_owned()),
            Manner::Fails => status(StatusCode::INTERNAL_SERVER_ERROR),
            Manner::Redirects => {
                let to = format!("{issuer}/moved{path}");
                let mut response = status(StatusCode::FOUND);
                response.headers_mut().insert(LOCATION, to.parse().expect("a URL"));
                response
            }
            Manner::Floods => {
                let piece = move |_| {
                    self.pieces.fetch_add(1, Ordering::Relaxed);
                    Ok(Frame::data(Bytes::from_static(&PIECE)))
                };
                let pieces = stream::iter((0..PIECES).map(piece));
                Response::new(StreamBody::new(pieces).boxed())
            }
        }
    }
}

fn text(text: String) -> Response<BoxBody<Bytes, Infallible>> {
    Response::new(Full::from(text).boxed())
}

fn status(status: StatusCode) -> Response<BoxBody<Bytes, Infallible>> {
    let mut response = text(String::new());
    *response.status_mut() = status;
    response
}
