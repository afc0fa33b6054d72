//! DynamoDB as a function sees it: one that answers at once, and a way to another on which time is taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::header::{CONTENT_TYPE, TRANSFER_ENCODING};
use http::uri::Authority;
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::TokioExecutor;

use crate::loopback::Loopback;

/// A DynamoDB that holds nothing, and says so at once.
pub struct EmptyDynamoDb(Loopback);

impl EmptyDynamoDb {
    /// Starts one.
    ///
    /// # Errors
    /// Where there is no port to listen on.
    pub async fn start() -> anyhow::Result<Self> {
        let server = Loopback::serve(|head, _| {
            let asked = head.headers.get("x-amz-target").map(HeaderValue::as_bytes);
            let body = match asked {
                Some(b"DynamoDB_20120810.BatchGetItem") => r#"{"Responses":{},"UnprocessedKeys":{}}"#,
                Some(b"DynamoDB_20120810.Query") => r#"{"Items":[],"Count":0,"ScannedCount":0}"#,
                _ => "{}",
            };
            let mut response = Response::new(Full::from(body));
            let json = HeaderValue::from_static("application/x-amz-json-1.0");
            response.headers_mut().insert(CONTENT_TYPE, json);
            async { response }
        });
        Ok(Self(server.await?))
    }

    /// Where it is: `http://host:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.0.authority)
    }
}

/// A way to a DynamoDB, on which its time is taken: from when a request is there, whole, until its answer is.
pub struct TimedDynamoDb {
    server: Loopback,
    nanoseconds: Arc<AtomicU64>,
}

impl TimedDynamoDb {
    /// The way to the one at `authority`, which is `host:port`.
    ///
    /// # Errors
    /// Where there is no port to listen on.
    pub async fn start(authority: Authority) -> anyhow::Result<Self> {
        let nanoseconds = Arc::new(AtomicU64::new(0));
        let (client, taken) = (
            Client::builder(TokioExecutor::new()).build_http(),
            Arc::clone(&nanoseconds),
        );
        let server = Loopback::serve(move |mut head, body| {
            let (client, taken, authority) = (client.clone(), Arc::clone(&taken), authority.clone());
            async move {
                let began = Instant::now();
                head.uri = Uri::builder()
                    .scheme("http")
                    .authority(authority)
                    .path_and_query("/")
                    .build()
                    .unwrap_or_default();
                let exchange = async {
                    let request = Request::from_parts(head, Full::new(body));
                    let (mut head, body) = client.request(request).await?.into_parts();
                    let body = body.collect().await.map(http_body_util::Collected::to_bytes);
                    // It goes on whole.
                    head.headers.remove(TRANSFER_ENCODING);
                    Ok::<_, Error>((head, body))
                };
                let response = match exchange.await {
                    Ok((head, Ok(body))) => Response::from_parts(head, Full::new(body)),
                    _ => {
                        let mut gone = Response::new(Full::default());
                        *gone.status_mut() = StatusCode::BAD_GATEWAY;
                        gone
                    }
                };
                let took = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
                taken.fetch_add(took, Ordering::Relaxed);
                response
            }
        });
        Ok(Self {
            server: server.await?,
            nanoseconds,
        })
    }

    /// Where it is: `http://host:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.authority)
    }

    /// The time that DynamoDB took, over all requests since this was last asked.
    pub fn take(&self) -> Duration {
        Duration::from_nanos(self.nanoseconds.swap(0, Ordering::Relaxed))
    }
}
