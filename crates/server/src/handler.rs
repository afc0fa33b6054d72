//! What the listener asks for, and how one request goes through it.

use std::future::Future;
use std::io::{self, Write as _};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use http::header::{CONNECTION, EXPECT, HeaderValue};
use http::request::Parts;
use http::{Request, Response, Version};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use patchbay_core::api::{Admitted, Answer, ClientAddress, LogLine, Refusal};
use patchbay_core::audit::Record;
use patchbay_core::limits::BODY_BYTES;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::body::{AnswerBody, Deadline, counted};
use crate::budget::{Budget, Share};
use crate::limits::{Limits, UNCOUNTED_ANSWER, UNCOUNTED_BODY};
use crate::listener::{Client, Options};
use crate::local::is_local;
use crate::metrics::{Busy, Metrics};
use crate::proxies::TrustedProxies;

/// Answers requests as [`patchbay_core::api::Patchbay`] does. Implemented where the store's type is known, so that the
/// futures are seen to be `Send`.
pub trait Handler: Clone + Send + Sync + 'static {
    /// Judges a request by its head.
    fn admit(&self, head: &Parts) -> impl Future<Output = Result<Admitted, Answer>> + Send;

    /// The answer to a request that panicked while it was judged.
    fn panicked(&self, head: &Parts) -> Answer;

    /// Answers an admitted request.
    fn answer(&self, admitted: Admitted, body: Bytes) -> impl Future<Output = Answer> + Send;

    /// Has the record of an answer that the server made itself kept, or leaves it with the answer.
    fn keep(&self, answer: Answer) -> impl Future<Output = Answer> + Send;
}

/// Everything that requests share.
pub(crate) struct Shared<H> {
    handler: H,
    limits: Limits,
    /// What each list counts for while it is made.
    list_bytes: usize,
    /// Whether what may come from a web page is refused.
    local_only: bool,
    trusted_proxies: TrustedProxies,
    requests: Arc<Semaphore>,
    bodies: Budget,
    answers: Budget,
    metrics: Metrics,
}

/// What a request holds of that until its answer is taken.
#[derive(Default)]
struct Held {
    slot: Option<OwnedSemaphorePermit>,
    answer: Share,
}

/// What its client still has to send of a request's body.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unread {
    Nothing,
    /// All of it, once it is asked for.
    Withheld,
    Coming,
}

/// Why a request is not answered by the handler.
enum Stop {
    Refused(Refusal),
    Busy(Busy),
}

impl<H: Handler> Shared<H> {
    pub(crate) fn new(handler: H, options: &Options) -> Self {
        let limits = options.limits.clone();
        Self {
            handler,
            list_bytes: options.list_bytes,
            local_only: options.local_only,
            trusted_proxies: options.trusted_proxies.clone(),
            requests: Arc::new(Semaphore::new(limits.requests)),
            bodies: Budget::new(limits.body_bytes),
            answers: Budget::new(limits.answer_bytes),
            limits,
            metrics: options.metrics.clone(),
        }
    }

    /// Takes one request from head to answer, counts it and logs it.
    pub(crate) async fn call(&self, request: Request<Incoming>, client: &Arc<Client>) -> Response<AnswerBody> {
        let started = Instant::now();
        let (mut head, mut body) = request.into_parts();
        let address = self.trusted_proxies.client(client.peer, &head.headers);
        head.extensions.insert(ClientAddress(address));
        let mut unread = if body.is_end_stream() {
            Unread::Nothing
        } else if head.headers.contains_key(EXPECT) {
            Unread::Withheld
        } else {
            Unread::Coming
        };
        let mut held = Held::default();
        // Nothing of a request outlives its panic but the store and what is known of tokens, which guard their own state.
        let judged = AssertUnwindSafe(self.handler.admit(&head)).catch_unwind().await;
        let answer = match judged {
            Ok(Ok(admitted)) if self.local_only && admitted.has_body() && !is_local(&head) => {
                admitted.refuse(Refusal::Foreign)
            }
            Ok(Ok(admitted)) => {
                let answered = self
                    .admitted(&admitted, &mut body, &mut unread, &mut held, client)
                    .await;
                answered.unwrap_or_else(|stop| self.refuse(&admitted, stop))
            }
            Ok(Err(answer)) => answer,
            Err(_) => self.handler.panicked(&head),
        };
        let Answer { mut response, log, .. } = answer;
        // HTTP/1 goes on after a body only where it was read to its end. A client that is not told so would send its
        // next request into a connection that is about to close.
        if unread != Unread::Nothing && head.version < Version::HTTP_2 {
            let headers = response.headers_mut();
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
            if unread == Unread::Coming {
                tokio::spawn(discard(body, self.limits.linger_bytes, self.limits.linger_time));
            }
        }
        let time = started.elapsed();
        self.metrics.answered(log.operation, response.status(), time);
        write_log(&response, &log, time);
        self.hand_over(response, head.version, held, client)
    }

    /// Has an admitted request answered. `unread` tells how far its body was read.
    async fn admitted(
        &self,
        admitted: &Admitted,
        body: &mut Incoming,
        unread: &mut Unread,
        held: &mut Held,
        client: &Arc<Client>,
    ) -> Result<Answer, Stop> {
        let (body, share) = if admitted.has_body() {
            let slot = Arc::clone(&self.requests).try_acquire_owned();
            held.slot = Some(slot.map_err(|_| Stop::Busy(Busy::Requests))?);
            if *unread == Unread::Withheld {
                *unread = Unread::Coming;
            }
            let read = tokio::time::timeout(self.limits.body_time, self.read(body)).await;
            let read = read.unwrap_or(Err(Stop::Refused(Refusal::TooSlow)))?;
            *unread = Unread::Nothing;
            read
        } else {
            (Bytes::new(), Share::default())
        };
        if admitted.has_large_answer() {
            held.answer = self.answers.take(self.list_bytes).ok_or(Stop::Busy(Busy::Answers))?;
        }
        let answer = if admitted.is_change() || admitted.has_large_answer() {
            // In a task of its own, with what it holds: it goes on where its client goes away, as what reads a list does in
            // its thread, and the server does not end before it has.
            let (handler, admitted, holds) = (self.handler.clone(), admitted.clone(), std::mem::take(held));
            let client = Arc::clone(client);
            let answering = tokio::spawn(async move {
                let answer = answered(&handler, admitted, body).await;
                drop((share, client));
                (answer, holds)
            });
            let (answer, holds) = answering.await.map_err(|_| Stop::Refused(Refusal::Failed))?;
            *held = holds;
            answer
        } else {
            answered(&self.handler, admitted.clone(), body).await
        };
        let length = answer.response.body().len();
        // What changes something has a short answer, so this refuses only what can be asked for again.
        let counts = if length > UNCOUNTED_ANSWER { length } else { 0 };
        if !self.answers.resize(&mut held.answer, counts) {
            return Err(Stop::Busy(Busy::Answers));
        }
        Ok(answer)
    }

    /// Reads a body, with its share of the budget.
    async fn read(&self, body: &mut Incoming) -> Result<(Bytes, Share), Stop> {
        let (mut body, mut whole, mut share) = (Limited::new(body, BODY_BYTES), BytesMut::new(), Share::default());
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| {
                Stop::Refused(if error.is::<LengthLimitError>() {
                    Refusal::TooLong
                } else {
                    Refusal::Broken
                })
            })?;
            let Ok(data) = frame.into_data() else { continue };
            let counts = (whole.len() + data.len()).saturating_sub(UNCOUNTED_BODY);
            if !self.bodies.resize(&mut share, counts) {
                return Err(Stop::Busy(Busy::Bodies));
            }
            whole.extend_from_slice(&data);
        }
        Ok((whole.freeze(), share))
    }

    fn refuse(&self, admitted: &Admitted, stop: Stop) -> Answer {
        admitted.refuse(match stop {
            Stop::Refused(refusal) => refusal,
            Stop::Busy(of) => {
                self.metrics.busy(of);
                Refusal::Busy
            }
        })
    }

    /// Gives the answer to the network, with what it holds until the client has taken it.
    fn hand_over(
        &self,
        response: Response<Bytes>,
        version: Version,
        held: Held,
        client: &Arc<Client>,
    ) -> Response<AnswerBody> {
        let Held { slot, answer } = held;
        let counts = response.body().len() > UNCOUNTED_ANSWER;
        // Elsewhere the time to take a byte is enough. An HTTP/2 client may close its window and answer pings for ever.
        let timed = counts || version >= Version::HTTP_2 && !response.body().is_empty();
        response.map(|bytes| AnswerBody {
            rest: if counts { counted(bytes, answer) } else { bytes },
            _slot: slot,
            _deadline: timed.then(|| deadline(client, self.limits.answer_time)),
        })
    }
}

/// Has an admitted request answered, or refuses it where it panics, and has its record kept.
async fn answered(handler: &impl Handler, admitted: Admitted, body: Bytes) -> Answer {
    let answered = AssertUnwindSafe(handler.answer(admitted.clone(), body))
        .catch_unwind()
        .await;
    let mut answer = match answered {
        Ok(answer) => answer,
        Err(_) => handler.keep(admitted.refuse(Refusal::Failed)).await,
    };
    match answer.audit.take().map(|record| write_audit(&record)) {
        Some(Err(_)) => admitted.refuse(Refusal::Unrecorded),
        Some(Ok(())) | None => answer,
    }
}

/// Takes and drops what still comes of a body, within bounds. Until this ends, hyper keeps its connection, over which
/// the answer goes out meanwhile.
async fn discard(body: Incoming, bytes: usize, time: Duration) {
    let mut body = Limited::new(body, bytes);
    let all = async { while let Some(Ok(_)) = body.frame().await {} };
    // Whether it all came makes no difference any more.
    _ = tokio::time::timeout(time, all).await;
}

/// Drops the client when the time is up.
fn deadline(client: &Arc<Client>, time: Duration) -> Deadline {
    let client = Arc::clone(client);
    let wait = async move {
        tokio::time::sleep(time).await;
        client.drop.notify_one();
    };
    Deadline(tokio::spawn(wait).abort_handle())
}

/// Writes a record that is in no trail to standard error, whatever is logged there. It is waited for: what leaves no record
/// is not answered. Where standard error is closed, which is no error, nobody was meant to read it.
fn write_audit(record: &Record) -> io::Result<()> {
    let mut stderr = io::stderr().lock();
    record
        .log_lines()
        .try_for_each(|line| stderr.write_all(format!("{line}\n").as_bytes()))
}

/// The line says what is known when the answer is made: whether the client takes it is not waited for.
fn write_log(response: &Response<Bytes>, log: &LogLine, time: Duration) {
    let status = response.status().as_u16();
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let tenant = log.tenant.as_ref().map(|tenant| tenant.as_str());
    let operator = log.operator.as_ref().map(|operator| operator.as_str());
    let LogLine {
        method,
        operation,
        request_id,
        ..
    } = log;
    let address = log.address.map(tracing::field::display);
    let problem = log.problem.as_deref();
    if log.failed {
        tracing::error!(
            method, operation, status, micros, request_id, address, tenant, operator, problem
        );
    } else {
        tracing::info!(
            method, operation, status, micros, request_id, address, tenant, operator, problem
        );
    }
}
