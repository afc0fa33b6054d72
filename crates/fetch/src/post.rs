//! Calls of a Patchbay server.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Request, Response};
use http_body_util::Full;
use patchbay_core::identity::source::Url;
use secrecy::{ExposeSecret as _, SecretString};

use crate::client::Client;

/// Seconds that a server has for an answer.
const SECONDS: u64 = 30;

/// Calls as the bearer of a token.
pub struct Post {
    client: Client,
    authorization: HeaderValue,
}

impl Post {
    /// With this token, which may not be one: the server says.
    ///
    /// # Errors
    /// Where no header can hold the token, which is not repeated; where the system has no root certificates.
    pub fn new(token: &SecretString) -> anyhow::Result<Self> {
        let bearer = SecretString::from(format!("Bearer {}", token.expose_secret()));
        let mut authorization = HeaderValue::from_str(bearer.expose_secret())
            .map_err(|_| anyhow::anyhow!("it has characters that no token has"))?;
        authorization.set_sensitive(true);
        let client = Client::new(1)?;
        Ok(Self { client, authorization })
    }

    /// An answer of any status to this JSON.
    ///
    /// # Errors
    /// That there is none in time, or none of a bounded size.
    pub async fn send(&self, url: &Url, json: Bytes) -> anyhow::Result<Response<Bytes>> {
        let request = Request::post(url.uri())
            .header(AUTHORIZATION, &self.authorization)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(json))?;
        let answer = tokio::time::timeout(Duration::from_secs(SECONDS), self.client.send(request)).await;
        answer.with_context(|| format!("there is no answer within {SECONDS} s"))?
    }
}
