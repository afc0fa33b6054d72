//! Small HTTP/1.1 servers that stand in for what a home calls.

use std::convert::Infallible;
use std::future::Future;

use anyhow::Context as _;
use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

/// A server on a free port of loopback. Dropped, it takes no new connections.
#[derive(Debug)]
pub(crate) struct Loopback {
    /// `127.0.0.1:port`
    pub(crate) authority: String,
    accepting: AbortHandle,
}

impl Loopback {
    /// Answers each request, which is read whole first, with what `answer` gives.
    ///
    /// # Errors
    /// Where there is no port to listen on.
    pub(crate) async fn serve<F, R, B>(answer: F) -> anyhow::Result<Self>
    where
        F: Fn(Parts, Bytes) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no port is free")?;
        let authority = listener.local_addr()?.to_string();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                _ = stream.set_nodelay(true);
                let answer = answer.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    let answer = answer.clone();
                    async move {
                        let (head, body) = request.into_parts();
                        let body = body.collect().await?.to_bytes();
                        Ok::<_, hyper::Error>(answer(head, body).await)
                    }
                });
                // What goes wrong on a connection is the client's.
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Ok(Self {
            authority,
            accepting: accepting.abort_handle(),
        })
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
