//! How the homes on tokio ask an issuer for its keys: over HTTPS by the system's root certificates, without a proxy.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::header::{ACCEPT, USER_AGENT};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use patchbay_core::api::Host;
use patchbay_core::identity::fetched::{Dispatch, Errand, Outcome};
use patchbay_core::limits::{ISSUER_BYTES, ISSUER_SECONDS};
use tokio_rustls::rustls::crypto::ring;

/// Takes errands on in tasks of tokio's. What comes of each is logged.
///
/// # Errors
/// Where the system has no root certificates.
pub fn dispatch(host: impl Host + Clone + Send + Sync + 'static) -> anyhow::Result<Dispatch> {
    let connector = HttpsConnectorBuilder::new()
        .with_provider_and_native_roots(ring::default_provider())
        .context("the system's root certificates cannot be read")?
        .https_or_http()
        .enable_http1()
        .build();
    // There is an hour between two errands.
    let client = Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(0)
        .build(connector);
    let fetch = Fetch(client);
    Ok(Box::new(move |errand| {
        tokio::spawn(run(fetch.clone(), host.clone(), errand));
    }))
}

async fn run(fetch: Fetch, host: impl Host, mut errand: Errand) {
    loop {
        let url = errand.url().to_string();
        let time = Duration::from_secs(ISSUER_SECONDS);
        let answer = match tokio::time::timeout(time, fetch.get(errand.url())).await {
            Ok(answer) => answer.map_err(|error| format!("{error:#}")),
            Err(_) => Err(format!("there is no answer within {ISSUER_SECONDS} s")),
        };
        match errand.answered(host.now(), answer) {
            Outcome::Next(next) => errand = next,
            Outcome::Keys(keys) => {
                for key in keys.left_out() {
                    tracing::info!(url, key_id = key.id, why = key.why, "a key of the issuer is left out");
                }
                match keys.count() {
                    0 => tracing::error!(
                        url,
                        "the issuer has no keys that tokens may be signed with: none is taken"
                    ),
                    keys => tracing::info!(url, keys, "the issuer gave its keys"),
                }
                return;
            }
            Outcome::Failed { why, known: true } => {
                tracing::warn!(url, why, "the issuer did not give its keys: those that are known go on");
                return;
            }
            Outcome::Failed { why, known: false } => {
                tracing::error!(
                    url,
                    why,
                    "the issuer did not give its keys: until it does, its tokens get 503"
                );
                return;
            }
        }
    }
}

#[derive(Clone)]
struct Fetch(Client<HttpsConnector<HttpConnector>, Empty<Bytes>>);

impl Fetch {
    /// An answer of any status. Redirects are not followed.
    async fn get(&self, url: &Uri) -> anyhow::Result<Response<Bytes>> {
        let request = Request::get(url)
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, concat!("patchbay/", env!("CARGO_PKG_VERSION")))
            .body(Empty::new())?;
        let (head, body) = self.0.request(request).await?.into_parts();
        let body = Limited::new(body, ISSUER_BYTES).collect().await;
        let body = body
            .map_err(anyhow::Error::from_boxed)
            .context("the answer broke off, or is over 1 MiB")?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }
}
