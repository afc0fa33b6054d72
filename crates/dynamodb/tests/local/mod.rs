//! Stores on DynamoDB Local, over a connector that counts what goes to it and can be made to fail.

#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_smithy_http_client::Builder;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use patchbay_dynamodb::{DynamoStore, definition};
use patchbay_testkit::DynamoDbLocal;
use tokio::sync::Notify;

/// What happens to a request on its way.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// It arrives, and so does its answer.
    None,
    /// It does not arrive.
    LostRequest,
    /// It arrives, and its answer does not.
    LostAnswer,
    /// It waits until [`Wire::release`].
    Held,
    /// It does not arrive, and the answer is that none of its keys was read.
    Unprocessed,
    /// It does not arrive, and this is the answer, of status 400.
    Answer(&'static str),
}

/// A transaction that met another one, as DynamoDB Local never says.
pub const CONFLICT: Fault = Fault::Answer(
    r#"{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException","Message":"cancelled",
        "CancellationReasons":[{"Code":"None"},{"Code":"TransactionConflict"}]}"#,
);

/// A client that sees what goes over it.
#[derive(Debug, Clone)]
pub struct Wire {
    inner: SharedHttpClient,
    seen: Arc<Mutex<Seen>>,
    release: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Seen {
    requests: Vec<String>,
    faults: VecDeque<Fault>,
}

impl Wire {
    fn new() -> Self {
        Self {
            inner: Builder::new().build_http(),
            seen: Arc::default(),
            release: Arc::default(),
        }
    }

    /// The calls since this was last asked.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.seen.lock().unwrap().requests)
    }

    /// What happens to the next requests, in their order.
    pub fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.seen.lock().unwrap().faults.extend(faults);
    }

    /// Waits until every fault was met.
    pub async fn met(&self) {
        while !self.all_met() {
            tokio::task::yield_now().await;
        }
    }

    /// Lets the request that is held go on, now or when it comes.
    pub fn release(&self) {
        self.release.notify_one();
    }

    /// Whether every fault was met.
    pub fn all_met(&self) -> bool {
        self.seen.lock().unwrap().faults.is_empty()
    }
}

impl HttpClient for Wire {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(Connector {
            inner: self.inner.http_connector(settings, components),
            seen: Arc::clone(&self.seen),
            release: Arc::clone(&self.release),
        })
    }
}

#[derive(Debug)]
struct Connector {
    inner: SharedHttpConnector,
    seen: Arc<Mutex<Seen>>,
    release: Arc<Notify>,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let call = target.rsplit('.').next().unwrap_or_default().to_owned();
        let mut seen = self.seen.lock().unwrap();
        seen.requests.push(call);
        let fault = seen.faults.pop_front().unwrap_or(Fault::None);
        let lost = || ConnectorError::io("the line is cut".into());
        match fault {
            Fault::None => self.inner.call(request),
            Fault::LostRequest => HttpConnectorFuture::ready(Err(lost())),
            Fault::LostAnswer => {
                let answer = self.inner.call(request);
                HttpConnectorFuture::new(async move {
                    answer.await?;
                    Err(lost())
                })
            }
            Fault::Held => {
                let (inner, release) = (self.inner.clone(), Arc::clone(&self.release));
                HttpConnectorFuture::new(async move {
                    release.notified().await;
                    inner.call(request).await
                })
            }
            Fault::Unprocessed => {
                let asked = std::str::from_utf8(request.body().bytes().unwrap()).unwrap();
                answer(200, asked.replace("RequestItems", "UnprocessedKeys"))
            }
            Fault::Answer(body) => answer(400, body.to_owned()),
        }
    }
}

fn answer(status: u16, body: String) -> HttpConnectorFuture {
    HttpConnectorFuture::ready(Ok(HttpResponse::new(status.try_into().unwrap(), body.into())))
}

/// A store on a table of its own, its client and what it is over.
pub async fn store() -> (DynamoStore, Client, Wire, String) {
    static TABLES: AtomicU64 = AtomicU64::new(0);
    let wire = Wire::new();
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .endpoint_url(DynamoDbLocal::shared().url())
        .region(Region::from_static("eu-central-1"))
        .credentials_provider(Credentials::new("local", "local", None, None, "tests"))
        .http_client(wire.clone())
        .build();
    let client = Client::from_conf(config);
    let table = format!("patchbay-{}", TABLES.fetch_add(1, Ordering::Relaxed));
    definition(&client, &table).unwrap().send().await.unwrap();
    wire.requests();
    (DynamoStore::new(client.clone(), table.clone()), client, wire, table)
}
