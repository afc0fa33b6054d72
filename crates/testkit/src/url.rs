//! A home behind an address.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use http::header::AUTHORIZATION;
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt as _, Either, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use patchbay_core::api::Host as _;
use patchbay_core::identity::Authentication;
use patchbay_core::limits::BODY_BYTES;
use patchbay_core::model::Caller;

use crate::issuer::{By, Issuer};
use crate::target::{Nobody, SystemHost, Target, announced};

/// No answer of the contract takes so long.
const PATIENCE: Duration = Duration::from_secs(60);
/// After so long without an answer, the emulator has lost it.
const EMULATOR_PATIENCE: Duration = Duration::from_secs(10);
/// It loses about one in six of the longest.
const EMULATOR_ATTEMPTS: usize = 6;
/// What may be asked again, since it changes nothing.
const READS: [&str; 3] = ["/connections/list", "/connections/get", "/connections/get_by_id"];

type Body = Either<Full<Bytes>, Never>;

/// A home that answers at `http://host:port`. Speaks HTTP/1.1, with kept connections.
pub struct Address {
    authority: Authority,
    emulator: bool,
    /// Who signs callers' tokens.
    issuer: Option<Issuer>,
    client: Client<HttpConnector, Body>,
    /// For requests that are refused by their length: a home may close the connection behind its answer, since it does
    /// not read the body, and the next request over it would meet that.
    unkept: Client<HttpConnector, Body>,
}

impl Address {
    /// The home at an address of the form `http://host:port`.
    ///
    /// # Errors
    /// Where `url` is of another form.
    pub fn new(url: &str) -> anyhow::Result<Self> {
        let parts = url.parse::<Uri>().context("the address is not a URL")?.into_parts();
        anyhow::ensure!(
            parts.scheme == Some(Scheme::HTTP),
            "the address must begin with http://"
        );
        Ok(Self {
            authority: parts.authority.context("the address must name a host")?,
            emulator: false,
            issuer: None,
            client: Client::builder(TokioExecutor::new()).build_http(),
            unkept: Client::builder(TokioExecutor::new())
                .pool_max_idle_per_host(0)
                .build_http(),
        })
    }

    /// The same home, behind `cargo lambda`'s emulator. That passes a request on only once its body is there: a body
    /// that is announced comes, as white space. And it tells the function that an answer of megabytes has been taken
    /// before it has read it, and then loses some: a read without an answer is made again.
    pub fn behind_emulator(self) -> Self {
        Self { emulator: true, ..self }
    }

    /// The same home with authentication on, which takes this issuer's tokens: each caller brings their own, and who
    /// would be everybody with authentication off brings one that says just that. A request that has an `Authorization`
    /// keeps it.
    pub fn with_issuer(self, issuer: Issuer) -> Self {
        Self {
            issuer: Some(issuer),
            ..self
        }
    }

    /// The `Authorization` that makes somebody the caller, where there is one.
    fn authorization(&self, caller: Option<&Caller>) -> Result<Option<HeaderValue>, String> {
        let Some(issuer) = &self.issuer else {
            let none = "a home behind an address has no other callers while authentication is off";
            return if caller.is_some() { Err(none.into()) } else { Ok(None) };
        };
        let everybody = Authentication::anonymous();
        let token = issuer.token(By::Es256, caller.unwrap_or(&everybody), SystemHost.now());
        let value = HeaderValue::try_from(format!("Bearer {token}"));
        value.map(Some).map_err(|error| error.to_string())
    }

    async fn exchange(&self, head: &http::request::Parts, body: Bytes) -> Result<Response<Bytes>, String> {
        let announced = usize::try_from(announced(&head.headers)).unwrap_or(usize::MAX);
        let client = if announced.max(body.len()) > BODY_BYTES {
            &self.unkept
        } else {
            &self.client
        };
        let body = if announced <= body.len() {
            Either::Left(Full::new(body))
        } else if self.emulator {
            let space = std::iter::repeat_n(b' ', announced - body.len());
            Either::Left(Full::new(body.into_iter().chain(space).collect()))
        } else {
            Either::Right(Never)
        };
        let response = client.request(Request::from_parts(head.clone(), body)).await;
        let (head, body) = response.map_err(|error| format!("{error:?}"))?.into_parts();
        let body = body.collect().await.map_err(|error| format!("{error:?}"))?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }
}

impl Target for Address {
    fn send<'a>(
        &'a self,
        caller: Option<&'a Caller>,
        request: Request<Bytes>,
    ) -> LocalBoxFuture<'a, Result<Response<Bytes>, String>> {
        Box::pin(async move {
            let (mut head, body) = request.into_parts();
            if head.extensions.get::<Nobody>().is_none()
                && let Some(authorization) = self.authorization(caller)?
            {
                head.headers.entry(AUTHORIZATION).or_insert(authorization);
            }
            let mut uri = head.uri.into_parts();
            (uri.scheme, uri.authority) = (Some(Scheme::HTTP), Some(self.authority.clone()));
            head.uri = Uri::from_parts(uri).map_err(|error| error.to_string())?;
            let (attempts, patience) = if self.emulator && READS.iter().any(|read| head.uri.path().ends_with(read)) {
                (EMULATOR_ATTEMPTS, EMULATOR_PATIENCE)
            } else {
                (1, PATIENCE)
            };
            for _ in 0..attempts {
                if let Ok(answer) = tokio::time::timeout(patience, self.exchange(&head, body.clone())).await {
                    return answer;
                }
            }
            Err("no answer came in time".into())
        })
    }
}

/// A body that is announced and never comes.
struct Never;

impl hyper::body::Body for Never {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}
