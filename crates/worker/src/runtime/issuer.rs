//! How a Worker asks an issuer for its keys. All I/O of this runtime belongs to the request that began it: the request
//! that finds keys due has an errand of its own carried out, and no other ever awaits it.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::header::CACHE_CONTROL;
use http::{HeaderValue, Response, StatusCode};
use js_sys::Promise;
use patchbay_core::api::Host as _;
use patchbay_core::identity::fetched::{Dispatch, Errand, Outcome};
use patchbay_core::limits::{ISSUER_BYTES, ISSUER_SECONDS};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use worker::wasm_bindgen_futures::future_to_promise;
use worker::{AbortController, AbortSignal, CacheMode, Fetch, Headers, Request, RequestInit, RequestRedirect};

use super::bindings::within;
use super::error::message;
use super::host::WorkerHost;
use super::log;

#[wasm_bindgen(module = "cloudflare:workers")]
extern "C" {
    /// Has the request that is at work now go on until this is done, whether or not it is answered before.
    #[wasm_bindgen(js_name = waitUntil, catch)]
    fn wait_until(promise: &Promise) -> Result<(), JsValue>;
}

/// Takes errands on in tasks that belong to the request which finds keys due. What comes of each is logged.
pub fn dispatch() -> Dispatch {
    Box::new(|errand| {
        let task = future_to_promise(AssertUnwindSafe(async {
            run(errand).await;
            Ok(JsValue::UNDEFINED)
        }));
        // An errand that is not seen to its end counts as lost after a while.
        _ = wait_until(&task);
    })
}

async fn run(mut errand: Errand) {
    loop {
        let url = errand.url().to_string();
        let answer = ask(&url).await;
        match errand.answered(WorkerHost.now(), answer) {
            Outcome::Next(next) => errand = next,
            Outcome::Keys { keys, fresh_seconds } => return log::fetched(&url, &keys, fresh_seconds),
            Outcome::Failed { why, known } => return log::not_fetched(&url, &why, known),
        }
    }
}

/// The answer, or why there is none.
async fn ask(url: &str) -> Result<Response<Bytes>, String> {
    let abort = AbortController::default();
    let answer = within(Duration::from_secs(ISSUER_SECONDS), get(url, &abort.signal())).await;
    // Of what is late or too long, no more is wanted.
    abort.abort();
    match answer {
        Some(answer) => answer.map_err(|error| message(&JsValue::from(error))),
        None => Err(format!("there is no answer within {ISSUER_SECONDS} s")),
    }
}

/// An answer of any status, with its body where it is a good one. Redirects are not followed.
async fn get(url: &str, signal: &AbortSignal) -> worker::Result<Response<Bytes>> {
    let headers = Headers::new();
    headers.set("accept", "application/json")?;
    headers.set("user-agent", concat!("patchbay/", env!("CARGO_PKG_VERSION")))?;
    let mut init = RequestInit::new();
    init.with_headers(headers)
        .with_redirect(RequestRedirect::Manual)
        .with_cache(CacheMode::NoStore);
    let request = Request::new_with_init(url, &init)?;
    let mut given = Fetch::Request(request).send_with_signal(signal).await?;

    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = StatusCode::from_u16(given.status_code()).map_err(|_| "the answer has no status")?;
    let caching = given.headers().get(CACHE_CONTROL.as_str())?;
    if let Some(caching) = caching.and_then(|caching| HeaderValue::try_from(caching).ok()) {
        answer.headers_mut().insert(CACHE_CONTROL, caching);
    }
    if answer.status() == StatusCode::OK {
        let mut whole = Vec::new();
        let mut chunks = given.stream()?;
        while let Some(chunk) = chunks.next().await {
            whole.extend_from_slice(&chunk?);
            if whole.len() > ISSUER_BYTES {
                return Err("the answer is over 1 MiB".into());
            }
        }
        *answer.body_mut() = whole.into();
    }
    Ok(answer)
}
