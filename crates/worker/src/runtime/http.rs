//! The runtime's requests and responses ⇄ those of the core.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Response, Uri};
use js_sys::{Array, Uint8Array};
use patchbay_core::api::{ClientAddress, Refusal};
use patchbay_core::limits::BODY_BYTES;
use wasm_bindgen::JsValue;
use worker::ByteStream;
use worker::wasm_bindgen_futures::JsFuture;
use worker::web_sys::{self, Headers, ResponseInit};

use super::bindings::within;

/// How long a body may take to come, as on other homes.
const BODY_TIME: Duration = Duration::from_secs(30);
/// How long the rest of a body that is refused may take: the runtime closes a connection whose body was left in it, and
/// many a client reads nothing before it has sent all.
const LINGER: Duration = Duration::from_secs(2);
/// Bytes that are taken of it, and dropped, as on the native server.
const LINGER_BYTES: usize = 4 * 1024 * 1024;

/// A request's head.
pub fn head(request: &web_sys::Request) -> Parts {
    let (mut parts, ()) = http::Request::new(()).into_parts();
    // What is no method or no path by the stricter rules here is none that anything is served for.
    parts.method = Method::from_bytes(request.method().as_bytes()).unwrap_or(Method::CONNECT);
    parts.uri = path(&request.url()).parse().unwrap_or(Uri::from_static("/"));
    for entry in request.headers().entries().into_iter().flatten() {
        let entry = Array::from(&entry);
        let (Some(name), Some(value)) = (entry.get(0).as_string(), entry.get(1).as_string()) else {
            continue;
        };
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            parts.headers.append(name, value);
        }
    }
    if let Some(address) = address(&parts) {
        parts.extensions.insert(ClientAddress(address));
    }
    parts
}

/// Where a request came from. Cloudflare sets the header, and lets nobody else do so; on one's own machine it is not
/// there.
fn address(head: &Parts) -> Option<IpAddr> {
    let address = head.headers.get("cf-connecting-ip")?.to_str().ok()?;
    Some(address.parse::<IpAddr>().ok()?.to_canonical())
}

/// Path and query of a URL, which the runtime gives whole.
fn path(url: &str) -> &str {
    let behind_scheme = url.find("://").map_or(0, |at| at + 3);
    let from = url.get(behind_scheme..).and_then(|rest| rest.find('/'));
    from.and_then(|from| url.get(behind_scheme + from..)).unwrap_or("/")
}

/// How long a request's body can be, as far as it is read.
pub fn body_bytes(request: &web_sys::Request, head: &Parts) -> usize {
    if request.body().is_none() {
        return 0;
    }
    match declared(head) {
        // It is not kept.
        Some(length) if length > BODY_BYTES => 0,
        Some(length) => length,
        None => BODY_BYTES,
    }
}

/// The length that a body is declared to have.
fn declared(head: &Parts) -> Option<usize> {
    let length = head.headers.get(CONTENT_LENGTH)?.to_str().ok();
    Some(length.and_then(|length| length.parse().ok()).unwrap_or(usize::MAX))
}

/// A request's body, of which no more than [`BODY_BYTES`] are kept, and nothing where its head declares more.
/// It must come in time.
pub async fn body(request: web_sys::Request, head: &Parts) -> Result<Bytes, Refusal> {
    let body = within(BODY_TIME, read(request, head)).await;
    body.unwrap_or(Err(Refusal::TooSlow))
}

async fn read(request: web_sys::Request, head: &Parts) -> Result<Bytes, Refusal> {
    if request.body().is_none() {
        return Ok(Bytes::new());
    }
    // The runtime holds a body to the length that its head declares.
    if let Some(length) = declared(head) {
        if length > BODY_BYTES {
            discard(request, head).await;
            return Err(Refusal::TooLong);
        }
        let whole = request
            .array_buffer()
            .map(JsFuture::from)
            .map_err(|_| Refusal::Broken)?;
        let whole = whole.await.map_err(|_| Refusal::Broken)?;
        return Ok(Uint8Array::new(&whole).to_vec().into());
    }
    let mut chunks = worker::Request::from(request).stream().map_err(|_| Refusal::Broken)?;
    let mut whole = Vec::new();
    while let Some(chunk) = chunks.next().await {
        whole.extend_from_slice(&chunk.map_err(|_| Refusal::Broken)?);
        if whole.len() > BODY_BYTES {
            drain(chunks).await;
            return Err(Refusal::TooLong);
        }
    }
    Ok(whole.into())
}

/// Lets a body come that nobody wants, unless it is declared to be far too long.
pub async fn discard(request: web_sys::Request, head: &Parts) {
    if request.body().is_none() || declared(head).is_some_and(|length| length > LINGER_BYTES) {
        return;
    }
    if let Ok(chunks) = worker::Request::from(request).stream() {
        drain(chunks).await;
    }
}

/// Takes and drops what still comes of a body, within bounds.
async fn drain(mut chunks: ByteStream) {
    let come = async {
        let mut bytes = 0;
        while let Some(Ok(chunk)) = chunks.next().await
            && bytes <= LINGER_BYTES
        {
            bytes += chunk.len();
        }
    };
    _ = within(LINGER, come).await;
}

/// The response that the runtime sends.
///
/// # Errors
/// What the runtime throws.
pub fn response(response: &Response<Bytes>) -> Result<web_sys::Response, JsValue> {
    let headers = Headers::new()?;
    for (name, value) in response.headers() {
        // Whatever the core sets is ASCII.
        headers.append(name.as_str(), value.to_str().unwrap_or_default())?;
    }
    let init = ResponseInit::new();
    init.set_status(response.status().as_u16());
    init.set_headers(&headers);
    let bytes = response.body();
    // A 204 must not have even an empty body.
    let body = (!bytes.is_empty()).then(|| Uint8Array::from(&bytes[..]));
    web_sys::Response::new_with_opt_buffer_source_and_init(body.as_deref(), &init)
}
