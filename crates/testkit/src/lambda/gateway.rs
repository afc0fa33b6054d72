//! What stands in front of a function: HTTP on one side, events on the other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONNECTION, HeaderName, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::{Answered, Failure, Function};
use crate::loopback::Loopback;

/// Hands each request that comes to it to a function, as an event of an HTTP API, a REST API and a load balancer in
/// turns, and gives back what the function replies. It refuses nothing that is HTTP: whatever a real one lets through,
/// the function gets.
pub struct Gateway {
    server: Loopback,
    function: Arc<Mutex<Function>>,
}

impl Gateway {
    /// In front of this function.
    ///
    /// # Errors
    /// Where there is no port to listen on.
    pub async fn start(function: Function) -> anyhow::Result<Self> {
        let function = Arc::new(Mutex::new(function));
        let (called, turn) = (Arc::clone(&function), Arc::new(AtomicUsize::new(0)));
        let server = Loopback::serve(move |head, body| {
            let event = match turn.fetch_add(1, Ordering::Relaxed) % 3 {
                0 => http_api(&head, &body),
                1 => rest_api(&head, &body),
                _ => load_balancer(&head, &body),
            };
            let called = Arc::clone(&called);
            async move {
                match called.lock().await.invoke(event.to_string()).await {
                    Ok(answered) => response(&answered.payload).unwrap_or_else(|| bad(&answered)),
                    Err(failure) => bad(&failure),
                }
            }
        });
        Ok(Self {
            server: server.await?,
            function,
        })
    }

    /// Where it is: `host:port`.
    pub fn authority(&self) -> &str {
        &self.server.authority
    }

    /// Hands the function an event that no request was made into, as [`Function::invoke`] does.
    ///
    /// # Errors
    /// As those of [`Function::invoke`].
    pub async fn invoke(&self, event: impl Into<Bytes>) -> Result<Answered, Failure> {
        self.function.lock().await.invoke(event).await
    }
}

/// An event in payload format 2.0.
fn http_api(head: &Parts, body: &Bytes) -> Value {
    let headers: BTreeMap<_, _> = headers(head)
        .into_iter()
        .map(|(name, values)| (name, values.join(",")))
        .collect();
    let (body, base64) = text(body);
    json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": head.uri.path(),
        "rawQueryString": head.uri.query().unwrap_or_default(),
        "headers": headers,
        "requestContext": {
            "http": { "method": head.method.as_str(), "path": head.uri.path(), "sourceIp": "198.51.100.7" },
            "requestId": "of-an-http-api",
            "stage": "$default",
        },
        "body": body,
        "isBase64Encoded": base64,
    })
}

/// An event in payload format 1.0.
fn rest_api(head: &Parts, body: &Bytes) -> Value {
    let every_value = headers(head);
    let last_value: BTreeMap<_, _> = every_value
        .iter()
        .filter_map(|(name, values)| Some((name, values.last()?)))
        .collect();
    let (body, base64) = text(body);
    json!({
        "path": head.uri.path(),
        "httpMethod": head.method.as_str(),
        "headers": last_value,
        "multiValueHeaders": every_value,
        "queryStringParameters": query(head),
        "requestContext": {
            "httpMethod": head.method.as_str(),
            "identity": { "sourceIp": "198.51.100.7" },
            "path": head.uri.path(),
            "requestId": "of-a-rest-api",
            "stage": "live",
        },
        "body": body,
        "isBase64Encoded": base64,
    })
}

/// An event of a target group with multi-value headers.
fn load_balancer(head: &Parts, body: &Bytes) -> Value {
    let (body, base64) = text(body);
    json!({
        "path": head.uri.path(),
        "httpMethod": head.method.as_str(),
        "multiValueHeaders": headers(head),
        "queryStringParameters": query(head),
        "requestContext": { "elb": { "targetGroupArn": "arn:aws:elasticloadbalancing:::targetgroup/patchbay/0" } },
        "body": body,
        "isBase64Encoded": base64,
    })
}

/// Every value of the headers that are not about the connection.
fn headers(head: &Parts) -> BTreeMap<&str, Vec<String>> {
    let mut headers: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (name, value) in &head.headers {
        if ![CONNECTION, TRANSFER_ENCODING].contains(name) {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            headers.entry(name.as_str()).or_default().push(value);
        }
    }
    headers
}

fn query(head: &Parts) -> BTreeMap<&str, &str> {
    let pairs = head.uri.query().unwrap_or_default().split('&');
    pairs.filter_map(|pair| pair.split_once('=')).collect()
}

/// A body in JSON, and whether that is Base64.
fn text(body: &Bytes) -> (String, bool) {
    match std::str::from_utf8(body) {
        Ok(text) => (text.to_owned(), false),
        Err(_) => (STANDARD.encode(body), true),
    }
}

/// What a function's reply says, if it is one.
fn response(reply: &[u8]) -> Option<Response<Full<Bytes>>> {
    let reply: Value = serde_json::from_slice(reply).ok()?;
    let status = u16::try_from(reply.get("statusCode")?.as_u64()?).ok()?;
    let body = reply.get("body").and_then(Value::as_str).unwrap_or_default();
    let mut response = Response::new(Full::from(body.to_owned()));
    *response.status_mut() = StatusCode::from_u16(status).ok()?;
    // Who is given every value takes those.
    let given = |form| {
        reply
            .get(form)
            .and_then(Value::as_object)
            .filter(|headers| !headers.is_empty())
    };
    let headers = given("multiValueHeaders").or_else(|| given("headers"));
    for (name, values) in headers.into_iter().flatten() {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        let one = std::slice::from_ref(values);
        for value in values.as_array().map_or(one, Vec::as_slice) {
            let value = HeaderValue::from_str(value.as_str()?).ok()?;
            response.headers_mut().append(&name, value);
        }
    }
    Some(response)
}

/// What comes of a function that did not reply. A real one does not say why.
fn bad(why: &impl std::fmt::Debug) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(format!("{why:?}")));
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
}
