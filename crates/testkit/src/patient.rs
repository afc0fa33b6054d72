//! A target whose reads may be late, asked until they are right.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use http::{Request, Response, StatusCode};
use patchbay_core::model::Caller;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::target::Target;

/// Before a read that is late is asked again: at least so long, and then half as long as it has been late already.
const PAUSE: Duration = Duration::from_millis(50);

/// A target whose `get` and `get_by_id`, where they find something, may be late by so much: each is asked again until
/// it is right, for at most that long, and then given as it is. It is right when it shows what `list` shows, which is
/// never late. What is wrong for another reason so costs time and stays wrong: the clients of this target judge.
///
/// Nothing else is asked twice: lists, writes and refusals are to be right at once.
pub struct Patient<'t> {
    target: &'t dyn Target,
    bound: Duration,
}

impl<'t> Patient<'t> {
    /// `target` with its bound for staleness: nought where no read is ever late.
    pub fn new(target: &'t dyn Target, bound: Duration) -> Self {
        Self { target, bound }
    }

    /// Whether a row of the caller's list of everything, with details or without, is this connection, to the byte.
    async fn lists(&self, caller: Option<&Caller>, connection: &Bytes, details: bool) -> Result<bool, String> {
        let mut body = json!({ "limit": 1000, "details": details });
        loop {
            let request = Request::post("/v1/api/connections/list").body(Bytes::from(body.to_string()));
            let page = self
                .target
                .send(caller, request.map_err(|error| error.to_string())?)
                .await?;
            let unreadable = |error| format!("connections/list answered {} ({error})", page.status());
            let fields: HashMap<&str, &RawValue> = serde_json::from_slice(page.body()).map_err(unreadable)?;
            let rows = fields.get("connections").map_or("[]", |rows| rows.get());
            let rows: Vec<&RawValue> = serde_json::from_str(rows).map_err(unreadable)?;
            if rows.iter().any(|row| row.get().as_bytes() == connection) {
                return Ok(true);
            }
            let Some(next) = fields.get("next_cursor") else {
                return Ok(false);
            };
            let cursor: String = serde_json::from_str(next.get()).map_err(unreadable)?;
            body = json!({ "limit": 1000, "details": details, "cursor": cursor });
        }
    }
}

fn may_be_late(request: &Request<Bytes>) -> bool {
    matches!(
        request.uri().path(),
        "/v1/api/connections/get" | "/v1/api/connections/get_by_id"
    )
}

/// Whether a read asks for details.
fn wants_details(request: &Request<Bytes>) -> bool {
    let fields: HashMap<&str, &RawValue> = serde_json::from_slice(request.body()).unwrap_or_default();
    fields.get("details").is_none_or(|details| details.get() != "false")
}

impl Target for Patient<'_> {
    fn send<'a>(
        &'a self,
        caller: Option<&'a Caller>,
        request: Request<Bytes>,
    ) -> LocalBoxFuture<'a, Result<Response<Bytes>, String>> {
        if self.bound.is_zero() || !may_be_late(&request) {
            return self.target.send(caller, request);
        }
        let details = wants_details(&request);
        Box::pin(async move {
            // What is asked from then on shows nothing that was changed before the first asking.
            let first = Instant::now();
            loop {
                let waited = first.elapsed();
                let answer = self.target.send(caller, request.clone()).await?;
                let is_last = waited >= self.bound || answer.status() != StatusCode::OK;
                if is_last || self.lists(caller, answer.body(), details).await? {
                    return Ok(answer);
                }
                let next = (waited + PAUSE.max(waited / 2)).min(self.bound);
                tokio::time::sleep_until(first + next).await;
            }
        })
    }
    fn requests(&self) -> Vec<String> {
        self.target.requests()
    }
}
