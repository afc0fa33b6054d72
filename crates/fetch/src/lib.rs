//! What the homes on tokio ask over HTTP: an issuer for its keys, and, on an operator's behalf, another server.

mod client;
mod post;

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::Full;
use patchbay_core::api::Host;
use patchbay_core::identity::fetched::{Dispatch, Errand, Outcome};
use patchbay_core::limits::ISSUER_SECONDS;

use client::Client;
pub use post::Post;

/// Takes errands on in tasks of tokio's. What comes of each is logged.
///
/// # Errors
/// Where the system has no root certificates.
pub fn dispatch(host: impl Host + Clone + Send + Sync + 'static) -> anyhow::Result<Dispatch> {
    // There is an hour between two errands.
    let client = Client::new(0)?;
    Ok(Box::new(move |errand| {
        tokio::spawn(run(client.clone(), host.clone(), errand));
    }))
}

async fn run(client: Client, host: impl Host, mut errand: Errand) {
    loop {
        let url = errand.url().to_string();
        let time = Duration::from_secs(ISSUER_SECONDS);
        let answer = match tokio::time::timeout(time, get(&client, errand.url())).await {
            Ok(answer) => answer.map_err(|error| format!("{error:#}")),
            Err(_) => Err(format!("there is no answer within {ISSUER_SECONDS} s")),
        };
        match errand.answered(host.now(), answer) {
            Outcome::Next(next) => errand = next,
            Outcome::Keys { keys, fresh_seconds } => {
                for key in keys.left_out() {
                    tracing::info!(url, key_id = key.id, why = key.why, "a key of the issuer is left out");
                }
                match keys.count() {
                    0 => tracing::error!(
                        url,
                        "the issuer has no keys that tokens may be signed with: none is taken"
                    ),
                    keys => tracing::info!(url, keys, fresh_seconds, "the issuer gave its keys"),
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

async fn get(client: &Client, url: &Uri) -> anyhow::Result<Response<Bytes>> {
    client.send(Request::get(url).body(Full::default())?).await
}
