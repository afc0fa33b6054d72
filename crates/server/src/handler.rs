//! What the listener asks for, and how one request goes through it.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::{CONNECTION, HeaderValue};
use http::request::Parts;
use http::{Request, Response, Version};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use patchbay_core::api::{Admitted, Answer, LogLine, Refusal};
use patchbay_core::limits::BODY_BYTES;
use tokio::sync::Semaphore;

use crate::Limits;

/// Answers requests as [`patchbay_core::api::Patchbay`] does. Implemented where the store's type is known, so that the
/// futures are seen to be `Send`.
pub trait Handler: Clone + Send + Sync + 'static {
    /// Judges a request by its head.
    fn admit(&self, head: &Parts) -> impl Future<Output = Result<Admitted, Answer>> + Send;

    /// Answers an admitted request.
    fn answer(&self, admitted: Admitted, body: Bytes) -> impl Future<Output = Answer> + Send;
}

/// Everything that requests share.
pub(crate) struct Shared<H> {
    pub(crate) handler: H,
    pub(crate) limits: Limits,
    /// KiB of answers that lists may still take.
    pub(crate) lists: Arc<Semaphore>,
    /// KiB that each list counts for.
    pub(crate) list_cost: u32,
}

impl<H: Handler> Shared<H> {
    /// Takes one request from head to answer, and logs it.
    pub(crate) async fn call(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let started = Instant::now();
        let (head, body) = request.into_parts();
        let mut unread = !body.is_end_stream();
        let Answer { mut response, log } = match self.handler.admit(&head).await {
            Ok(admitted) => self.admitted(admitted, body, &mut unread).await,
            Err(answer) => answer,
        };
        // HTTP/1 goes on after a body only where it was read to its end. A client that is not told so would send its
        // next request into a connection that is about to close.
        if unread && head.version < Version::HTTP_2 {
            let headers = response.headers_mut();
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        write_log(&head, &response, &log, started);
        response.map(Full::new)
    }

    /// Reads the body where the operation takes one, and says in `unread` whether something of it is left.
    async fn admitted(&self, admitted: Admitted, body: Incoming, unread: &mut bool) -> Answer {
        let body = if admitted.has_body() {
            match self.read(body).await {
                Ok(body) => {
                    *unread = false;
                    body
                }
                Err(refusal) => return admitted.refuse(refusal),
            }
        } else {
            Bytes::new()
        };
        let _permit = if admitted.is_list() {
            match self.lists.try_acquire_many(self.list_cost) {
                Ok(permit) => Some(permit),
                Err(_) => return admitted.refuse(Refusal::Busy),
            }
        } else {
            None
        };
        let on_panic = admitted.clone();
        // Nothing of a request outlives its panic but the store, which guards its own state.
        let answered = AssertUnwindSafe(self.handler.answer(admitted, body))
            .catch_unwind()
            .await;
        answered.unwrap_or_else(|_| on_panic.refuse(Refusal::Failed))
    }

    async fn read(&self, body: Incoming) -> Result<Bytes, Refusal> {
        match tokio::time::timeout(self.limits.body_time, Limited::new(body, BODY_BYTES).collect()).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::TooLong),
            Ok(Err(_)) => Err(Refusal::Broken),
            Err(_) => Err(Refusal::TooSlow),
        }
    }
}

fn write_log(head: &Parts, response: &Response<Bytes>, log: &LogLine, started: Instant) {
    let status = response.status().as_u16();
    let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    let tenant = log.tenant.as_ref().map(|tenant| tenant.as_str());
    let LogLine {
        operation,
        request_id,
        problem,
        ..
    } = log;
    let (method, problem) = (head.method.as_str(), problem.as_deref());
    if status >= 500 {
        tracing::error!(method, operation, status, micros, request_id, tenant, problem);
    } else {
        tracing::info!(method, operation, status, micros, request_id, tenant, problem);
    }
}
