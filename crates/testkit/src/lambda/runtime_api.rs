//! The Lambda Runtime API, from Lambda's side.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;
use serde_json::Value;
use tokio::sync::{Mutex as Turn, mpsc, oneshot, watch};

use crate::loopback::Loopback;

/// Where the API is, under its authority.
const RUNTIME: &str = "/2018-06-01/runtime/";
/// The largest answer that Lambda takes (AWS Lambda Developer Guide, "Lambda quotas"): 6 MB and some room.
const ANSWER_BYTES: usize = 6_291_556;

/// The Runtime API of one environment: a function asks it for events, one at a time, and gives it the answers.
pub struct RuntimeApi {
    server: Loopback,
    shared: Arc<Shared>,
    events: mpsc::UnboundedSender<Event>,
}

/// What a function answered.
#[derive(Debug)]
pub struct Answered {
    /// Its answer.
    pub payload: Bytes,
    /// From when the event was handed over until the answer was there, whole.
    pub took: Duration,
}

/// How an invocation failed, as Lambda tells its caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Such as `Function.ResponseSizeTooLarge`.
    pub kind: String,
    /// The message beside it.
    pub message: String,
}

impl Failure {
    pub(super) fn new(kind: &str, message: impl Into<String>) -> Self {
        Self {
            kind: kind.to_owned(),
            message: message.into(),
        }
    }
}

struct Shared {
    /// Events that nobody has asked for yet.
    waiting: Turn<mpsc::UnboundedReceiver<Event>>,
    /// The one that was handed over last, until it is answered.
    running: Mutex<Option<Running>>,
    start: watch::Sender<Start>,
}

#[derive(Debug, Clone)]
enum Start {
    Pending,
    /// When the function first asked for an event.
    Asked(Instant),
    Failed(Failure),
}

struct Event {
    id: String,
    payload: Bytes,
    time_out: Duration,
    answer: oneshot::Sender<Result<Answered, Failure>>,
}

struct Running {
    id: String,
    since: Instant,
    answer: oneshot::Sender<Result<Answered, Failure>>,
}

impl RuntimeApi {
    /// An API that nobody has asked anything yet.
    ///
    /// # Errors
    /// Where there is no port to listen on.
    pub async fn start() -> anyhow::Result<Self> {
        let (events, waiting) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            waiting: Turn::new(waiting),
            running: Mutex::default(),
            start: watch::Sender::new(Start::Pending),
        });
        let api = Arc::clone(&shared);
        let server = Loopback::serve(move |head, body| {
            let (api, came) = (Arc::clone(&api), Instant::now());
            async move {
                let call = head.uri.path().strip_prefix(RUNTIME).unwrap_or_default();
                let steps: Vec<&str> = call.split('/').collect();
                match (&head.method, steps.as_slice()) {
                    (&Method::GET, ["invocation", "next"]) => api.next(came).await,
                    (&Method::POST, ["invocation", id, "response"]) => api.answered(id, body),
                    (&Method::POST, ["invocation", id, "error"]) => api.end(id, |_| Err(reported(&body))),
                    (&Method::POST, ["init", "error"]) => {
                        api.start.send_replace(Start::Failed(reported(&body)));
                        accepted()
                    }
                    _ => plain(StatusCode::NOT_FOUND, ""),
                }
            }
        });
        Ok(Self {
            server: server.await?,
            shared,
            events,
        })
    }

    /// Where it is, as `AWS_LAMBDA_RUNTIME_API` has it: `host:port`.
    pub fn authority(&self) -> &str {
        &self.server.authority
    }

    /// When the function first asked for an event: its start is over then.
    ///
    /// # Errors
    /// What the function said when it could not start.
    pub async fn asked(&self) -> Result<Instant, Failure> {
        let mut start = self.shared.start.subscribe();
        loop {
            match &*start.borrow_and_update() {
                Start::Asked(when) => return Ok(*when),
                Start::Failed(failure) => return Err(failure.clone()),
                Start::Pending => {}
            }
            if start.changed().await.is_err() {
                return Err(Failure::new("Runtime.Unknown", "the API has gone"));
            }
        }
    }

    /// Hands an event to the function, once it asks, and waits for the answer.
    ///
    /// # Errors
    /// What the caller of the real service would be told instead of an answer.
    pub async fn invoke(&self, payload: impl Into<Bytes>, time_out: Duration) -> Result<Answered, Failure> {
        let (answer, answered) = oneshot::channel();
        let event = Event {
            id: uuid::Uuid::from_bytes(fastrand::u128(..).to_be_bytes()).to_string(),
            payload: payload.into(),
            time_out,
            answer,
        };
        let gone = || Failure::new("Runtime.Unknown", "nobody is there to answer");
        self.events.send(event).map_err(|_| gone())?;
        match tokio::time::timeout(time_out, answered).await {
            Ok(answered) => answered.map_err(|_| gone())?,
            Err(_) => Err(Failure::new(
                "Sandbox.Timedout",
                format!("Task timed out after {:.2} seconds", time_out.as_secs_f64()),
            )),
        }
    }
}

impl Shared {
    async fn next(&self, came: Instant) -> Response<Full<Bytes>> {
        self.start.send_if_modified(|start| {
            let first = matches!(start, Start::Pending);
            if first {
                *start = Start::Asked(came);
            }
            first
        });
        let Some(event) = self.waiting.lock().await.recv().await else {
            return plain(StatusCode::GONE, "");
        };
        let deadline = SystemTime::now() + event.time_out;
        let deadline = deadline.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut response = Response::new(Full::new(event.payload));
        for (name, value) in [
            ("Lambda-Runtime-Aws-Request-Id", event.id.as_str()),
            ("Lambda-Runtime-Deadline-Ms", &deadline.as_millis().to_string()),
            (
                "Lambda-Runtime-Invoked-Function-Arn",
                "arn:aws:lambda:eu-central-1:123456789012:function:patchbay",
            ),
            (
                "Lambda-Runtime-Trace-Id",
                "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0",
            ),
            ("Content-Type", "application/json"),
        ] {
            if let Ok(value) = HeaderValue::from_str(value) {
                response.headers_mut().insert(name, value);
            }
        }
        *self.running() = Some(Running {
            id: event.id,
            since: Instant::now(),
            answer: event.answer,
        });
        response
    }

    fn answered(&self, id: &str, payload: Bytes) -> Response<Full<Bytes>> {
        if payload.len() <= ANSWER_BYTES {
            return self.end(id, |took| Ok(Answered { payload, took }));
        }
        let message = format!("Response payload size exceeded maximum allowed payload size ({ANSWER_BYTES} bytes).");
        self.end(id, |_| Err(Failure::new("Function.ResponseSizeTooLarge", message)));
        plain(StatusCode::PAYLOAD_TOO_LARGE, "")
    }

    /// Ends the running invocation, if it is this one.
    fn end(&self, id: &str, outcome: impl FnOnce(Duration) -> Result<Answered, Failure>) -> Response<Full<Bytes>> {
        let mut running = self.running();
        let Some(ended) = running.take_if(|running| running.id == id) else {
            return plain(StatusCode::BAD_REQUEST, "no such invocation is running");
        };
        // Whoever invoked it may have given it up.
        _ = ended.answer.send(outcome(ended.since.elapsed()));
        accepted()
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An error as a function reports it.
fn reported(body: &[u8]) -> Failure {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |field: &str| body.get(field).and_then(Value::as_str).unwrap_or_default();
    Failure::new(text("errorType"), text("errorMessage"))
}

fn accepted() -> Response<Full<Bytes>> {
    plain(StatusCode::ACCEPTED, r#"{"status":"OK"}"#)
}

fn plain(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
    *response.status_mut() = status;
    response
}
