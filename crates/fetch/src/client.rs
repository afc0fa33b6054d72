//! The client: HTTPS by the system's root certificates, without a proxy. Redirects are not followed.

use anyhow::Context as _;
use bytes::Bytes;
use http::header::{ACCEPT, HeaderValue, USER_AGENT};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Hyper;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio_rustls::rustls::crypto::ring;

/// Bytes of an answer.
const MOST: usize = patchbay_core::limits::ISSUER_BYTES;

#[derive(Clone)]
pub struct Client(Hyper<HttpsConnector<HttpConnector>, Full<Bytes>>);

impl Client {
    /// Keeps so many connections to a host open from one request to the next.
    ///
    /// # Errors
    /// Where the system has no root certificates.
    pub fn new(kept: usize) -> anyhow::Result<Self> {
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(ring::default_provider())
            .context("the system's root certificates cannot be read")?
            .https_or_http()
            .enable_http1()
            .build();
        let client = Hyper::builder(TokioExecutor::new())
            .pool_max_idle_per_host(kept)
            .build(connector);
        Ok(Self(client))
    }

    /// An answer of any status.
    pub async fn send(&self, mut request: Request<Full<Bytes>>) -> anyhow::Result<Response<Bytes>> {
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let agent = concat!("patchbay/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        let (head, body) = self.0.request(request).await?.into_parts();
        let body = Limited::new(body, MOST).collect().await;
        let body = body
            .map_err(anyhow::Error::from_boxed)
            .context("the answer broke off, or is over 1 MiB")?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }
}
