//! One event at a time: in, through the core, and out.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::request::Parts;
use http::{HeaderMap, Method, Uri};
use patchbay_core::api::{self, Answer, ClientAddress, Host, Patchbay, Refusal};
use patchbay_core::store::Store;

use crate::event::{Event, Origin, Request};
use crate::log::{write_audit, write_log};
use crate::reply::{self, Reply};

/// Time kept for the reply's way, of a call's time: with less than it left, Lambda ends the call, and the caller hears
/// nothing of it.
const KEPT: Duration = Duration::from_millis(500);

/// The time that a call may take where nobody keeps it: API Gateway's own time-out.
const UNTIMED: Duration = Duration::from_secs(29);

/// What Lambda says of an invocation beside its event.
#[derive(Debug, Clone, Copy)]
pub struct Invocation<'i> {
    /// Lambda's id of it.
    pub request_id: &'i str,
    /// When Lambda ends it, in milliseconds since 1970.
    pub deadline_millis: u64,
}

/// The core behind events.
pub struct Function<S, H> {
    patchbay: Patchbay<S, H>,
    host: H,
    /// What stands before every path, such as a custom domain's mapping: empty, or `/` and more without a `/` at its end.
    base_path: String,
}

impl<S: Store, H: Host> Function<S, H> {
    /// Puts the parts together.
    pub fn new(patchbay: Patchbay<S, H>, host: H, base_path: String) -> Self {
        Self {
            patchbay,
            host,
            base_path,
        }
    }

    /// Answers an event before its invocation's time is up, whatever happens, and writes its audit record, if it leaves one,
    /// and a line of log.
    pub async fn call(&self, event: Event, invocation: Invocation<'_>) -> Reply {
        let started = Instant::now();
        let Event { origin, request } = event;
        let id = request.as_ref().and_then(|request| request.id.clone());
        let Answer { response, log, audit } = match request {
            Some(request) => self.answer(origin, request, invocation).await,
            None => self.patchbay.unreadable(),
        };
        if let Some(record) = audit {
            write_audit(&record);
        }
        write_log(&response, &log, started.elapsed(), id.as_deref(), invocation.request_id);
        Reply::new(origin, response)
    }

    async fn answer(&self, origin: Origin, request: Request, invocation: Invocation<'_>) -> Answer {
        let mut head = self.head(request.method, request.headers, &request.path, request.stage.as_deref());
        if let Some(address) = request.address {
            head.extensions.insert(ClientAddress(address));
        }
        // Nothing of a request outlives its panic but the store, which keeps nothing between calls, and what is known of
        // tokens, which guards its own state.
        let admitted = match AssertUnwindSafe(self.patchbay.admit(&head)).catch_unwind().await {
            Ok(Ok(admitted)) => admitted.within(reply::bound(origin)),
            Ok(Err(answer)) => return answer,
            Err(_) => return api::panicked(&head, &self.host),
        };
        let body = if admitted.has_body() {
            request.body.bytes()
        } else {
            Some(Bytes::new())
        };
        let Some(body) = body else {
            return admitted.refuse(Refusal::Broken);
        };
        let answered = AssertUnwindSafe(self.patchbay.answer(admitted.clone(), body)).catch_unwind();
        let now = u64::try_from(self.host.now().as_micros() / 1000).unwrap_or_default();
        match tokio::time::timeout(time_until(invocation.deadline_millis, now), answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => admitted.refuse(Refusal::Failed),
            Err(_) => admitted.refuse(Refusal::OutOfTime),
        }
    }

    fn head(&self, method: Method, headers: HeaderMap, path: &str, stage: Option<&str>) -> Parts {
        let (mut head, ()) = http::Request::new(()).into_parts();
        head.method = method;
        head.headers = headers;
        // There is no route at `/`.
        head.uri = self.route(path, stage).map_or_else(Uri::default, Uri::from_static);
        head
    }

    /// The route that a path leads to. Before it there may be what the function is set to expect, and the stage: HTTP APIs
    /// leave it in the path, REST APIs do not.
    fn route(&self, path: &str, stage: Option<&str>) -> Option<&'static str> {
        let path = path.strip_prefix(&self.base_path)?;
        api::route(path).or_else(|| api::route(path.strip_prefix('/')?.strip_prefix(stage?)?))
    }
}

/// The time that a call may take until `deadline`, both in milliseconds since 1970.
fn time_until(deadline: u64, now: u64) -> Duration {
    match deadline.checked_sub(now) {
        Some(left) => {
            let left = Duration::from_millis(left);
            left - KEPT.min(left / 4)
        }
        // No call begins after its end: who says so, as cargo lambda's emulator does, keeps no time.
        None => UNTIMED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_ends_half_a_second_before_its_deadline_or_three_quarters_of_the_way_to_it() {
        let time = |deadline| time_until(deadline, 1_000_000).as_millis();
        assert_eq!(time(1_010_000), 9_500);
        assert_eq!(time(1_002_000), 1_500);
        assert_eq!(time(1_001_000), 750);
        assert_eq!(time(1_000_000), 0);
    }

    #[test]
    fn a_deadline_that_is_past_is_none() {
        assert_eq!(time_until(600_000, 1_000_000), UNTIMED);
        assert_eq!(time_until(0, 1), UNTIMED);
    }
}
