//! One request, from the runtime's hands to an answer.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ::http::request::Parts;
use bytes::Bytes;
use futures_channel::oneshot;
use futures_util::FutureExt as _;
use patchbay_core::api::{self, Admitted, Answer, Host as _, Patchbay, Refusal};
use patchbay_core::store::Store;
use wasm_bindgen::JsValue;
use worker::{Context, Delay, Env, event, web_sys};

use super::bindings::Usage;
use super::host::WorkerHost;
use super::isolate::Isolate;
use super::panics::caught;
use super::{http, log};
use crate::edge::EdgeStore;
use crate::settings::Log;

/// How often a request looks whether an issuer has given its keys: this soon at first, and ever less often, but this
/// often at least.
const LOOKS: [Duration; 2] = [Duration::from_millis(10), Duration::from_millis(200)];

/// The Worker's entry. A request goes on to its end where its client goes away: what is under way then is not cut off
/// anywhere, and nothing of it stays behind in memory.
#[event(fetch)]
async fn fetch(request: web_sys::Request, env: Env, context: Context) -> worker::Result<web_sys::Response> {
    let (done, response) = oneshot::channel();
    context.wait_until(async move {
        // Nobody waits for it where the client is gone.
        _ = done.send(respond(request, &env).await);
    });
    let response = response.await.map_err(|_| "the request was given up")?;
    response.map_err(worker::Error::from)
}

async fn respond(request: web_sys::Request, env: &Env) -> Result<web_sys::Response, JsValue> {
    let started = WorkerHost.now();
    let head = http::head(&request);
    let isolate = Isolate::of(env);
    let usage = isolate
        .as_ref()
        .map_or_else(|_| Rc::default(), |isolate| Usage::of(&isolate.memory));
    let (log, answer) = match isolate {
        Ok(isolate) => {
            let answer = caught(serve(&isolate, &usage, &head, request)).await;
            (
                isolate.log,
                answer.unwrap_or_else(|_| api::panicked(&head, &WorkerHost)),
            )
        }
        Err(why) => (Log::Failures, api::misconfigured(&head, &WorkerHost, why)),
    };
    let request = log::Request {
        ray: head.headers.get("cf-ray").and_then(|ray| ray.to_str().ok()),
        micros: WorkerHost.now().as_micros() - started.as_micros(),
        usage: &usage,
    };
    log::write(log, &request, &answer);
    http::response(&answer.response)
}

async fn serve(isolate: &Isolate, usage: &Rc<Usage>, head: &Parts, request: web_sys::Request) -> Answer {
    let bindings = &isolate.bindings;
    let store = EdgeStore::new(
        bindings.kv(usage),
        bindings.objects(usage),
        WorkerHost,
        isolate.reads,
        Rc::clone(&isolate.owners),
    );
    let patchbay = Patchbay::new(store, Arc::clone(&isolate.ring), WorkerHost, isolate.config.clone())
        .with_readiness(Arc::clone(&isolate.readiness))
        .with_operators(isolate.operators.clone())
        .with_adopt_tenant(isolate.adopt_tenant.clone())
        // Cloudflare keeps the first 256 KB of what one invocation logs, its request's headers among them.
        .with_one_log_line();
    #[cfg(feature = "test-trigger")]
    usage.panic.set(super::trigger::of_request(&head.headers));
    let admitted = match admit(&patchbay, head).await {
        Ok(admitted) => admitted,
        Err(answer) => {
            http::discard(request, head).await;
            return answer;
        }
    };
    let body = if !admitted.has_body() {
        http::discard(request, head).await;
        Ok(Bytes::new())
    } else if usage.hold(http::body_bytes(&request, head)) {
        http::body(request, head).await
    } else {
        Err(Refusal::Busy)
    };
    let answered = match body {
        // A request that panics here leaves its audit record all the same.
        Ok(body) => caught(patchbay.answer(admitted.clone(), body)).await,
        Err(refusal) => return admitted.refuse(refusal),
    };
    answered.unwrap_or_else(|_| admitted.refuse(Refusal::Failed))
}

/// Admits a request by its head. Nothing but an issuer's keys is ever awaited for that, and another request may be the one
/// that asks for them. The runtime lets none be woken by another, and may end that one without a word; so each looks again
/// by a timer of its own, until the keys are there, or the core counts them as lost.
async fn admit(patchbay: &Patchbay<impl Store, WorkerHost>, head: &Parts) -> Result<Admitted, Answer> {
    let [mut pause, longest] = LOOKS;
    loop {
        if let Some(admitted) = patchbay.admit(head).now_or_never() {
            return admitted;
        }
        Delay::from(pause).await;
        pause = longest.min(pause * 2);
    }
}
