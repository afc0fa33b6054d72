//! A proxy before DynamoDB, or its local stand-in: it takes down what is asked and how long the answers take, and lets go
//! wrong what is to go wrong.

mod fault;
mod line;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use fastrand::Rng;
use futures_util::stream;
use http::uri::{Authority, Scheme};
use http::{Request, Response, StatusCode, Uri, request};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

pub use fault::{Fault, LATE};
use line::Line;

/// Between the two parts of an answer that is cut: the first is on its way by then.
const BREATH: Duration = Duration::from_millis(20);

/// One request, and what became of it.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The operation, such as `BatchGetItem`.
    pub operation: String,
    /// The request's body.
    pub request: Bytes,
    /// What it met on its way.
    pub fault: Option<Fault>,
    /// DynamoDB's own answer; none where it was not asked, or has not answered yet.
    pub answer: Option<Answer>,
}

/// How DynamoDB answered.
#[derive(Debug, Clone, Copy)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// The length of its body.
    pub bytes: usize,
    /// How long it took.
    pub took: Duration,
}

/// A proxy on a free port of this machine, which ends when it is dropped. It runs on the tokio runtime that starts it.
#[derive(Debug)]
pub struct DynamoDbProxy {
    url: String,
    shared: Arc<Shared>,
    serving: tokio::task::JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    upstream: Authority,
    client: Client<HttpConnector, Full<Bytes>>,
    state: Mutex<State>,
    /// Requests that have not met their end yet.
    under_way: watch::Sender<usize>,
    release: Notify,
}

#[derive(Debug, Default)]
struct State {
    exchanges: Vec<Exchange>,
    /// Exchanges that were taken out.
    taken: usize,
    /// What the next requests of an operation meet.
    planned: HashMap<String, VecDeque<Option<Fault>>>,
    random: Option<Random>,
    met: BTreeMap<(String, Fault), usize>,
}

#[derive(Debug)]
struct Random {
    rng: Rng,
    of_hundred: u8,
    faults: Vec<Fault>,
}

impl State {
    fn fault(&mut self, operation: &str) -> Option<Fault> {
        if let Some(planned) = self.planned.get_mut(operation).and_then(VecDeque::pop_front) {
            return planned;
        }
        let random = self.random.as_mut()?;
        if random.rng.u8(0..100) >= random.of_hundred {
            return None;
        }
        let fitting = random.faults.iter().copied().filter(|fault| fault.fits(operation));
        random.rng.choice(fitting.collect::<Vec<_>>())
    }
}

type Reply = Response<UnsyncBoxBody<Bytes, io::Error>>;

impl DynamoDbProxy {
    /// Starts one before the DynamoDB at `http://host:port`.
    ///
    /// # Errors
    /// Where `upstream` is of another form, or there is no port.
    pub async fn start(upstream: &str) -> anyhow::Result<Self> {
        let upstream = upstream.parse::<Uri>().context("the address is not a URL")?;
        let shared = Arc::new(Shared {
            upstream: upstream
                .into_parts()
                .authority
                .context("the address must name a host")?,
            client: Client::builder(TokioExecutor::new()).build_http(),
            state: Mutex::default(),
            under_way: watch::Sender::new(0),
            release: Notify::new(),
        });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let serving = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Ok(Self { url, shared, serving })
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The requests since this was last asked, in the order in which they came.
    pub fn exchanges(&self) -> Vec<Exchange> {
        let mut state = self.shared.state();
        state.taken += state.exchanges.len();
        std::mem::take(&mut state.exchanges)
    }

    /// The operations of those requests.
    pub fn operations(&self) -> Vec<String> {
        self.exchanges()
            .into_iter()
            .map(|exchange| exchange.operation)
            .collect()
    }

    /// What the next requests of this operation meet, in their order, after what was planned before.
    pub fn fail(&self, operation: &str, faults: impl IntoIterator<Item = Fault>) {
        self.plan(operation, faults.into_iter().map(Some));
    }

    /// Lets so many of the next requests of this operation through, after what was planned before.
    pub fn pass(&self, operation: &str, count: usize) {
        self.plan(operation, std::iter::repeat_n(None, count));
    }

    fn plan(&self, operation: &str, faults: impl Iterator<Item = Option<Fault>>) {
        let mut state = self.shared.state();
        state.planned.entry(operation.to_owned()).or_default().extend(faults);
    }

    /// Lets so many of a hundred requests, for which nothing is planned, meet one of these faults that fits them.
    pub fn fail_at_random(&self, seed: u64, of_hundred: u8, faults: &[Fault]) {
        self.shared.state().random = Some(Random {
            rng: Rng::with_seed(seed),
            of_hundred,
            faults: faults.to_vec(),
        });
    }

    /// Lets nothing go wrong any more.
    pub fn heal(&self) {
        let mut state = self.shared.state();
        state.random = None;
        state.planned.clear();
    }

    /// How often requests of each operation met each fault.
    pub fn met(&self) -> BTreeMap<(String, Fault), usize> {
        self.shared.state().met.clone()
    }

    /// Whether everything that was planned has been met.
    pub fn all_met(&self) -> bool {
        self.shared.state().planned.values().all(VecDeque::is_empty)
    }

    /// Waits until everything that was planned has been met.
    pub async fn until_all_met(&self) {
        while !self.all_met() {
            tokio::task::yield_now().await;
        }
    }

    /// Waits until no request is on its way, those that nobody waits for included.
    pub async fn idle(&self) {
        // The sender is here, so that it cannot be gone.
        _ = self
            .shared
            .under_way
            .subscribe()
            .wait_for(|under_way| *under_way == 0)
            .await;
    }

    /// Lets a request that is held go on, now or when it comes.
    pub fn release(&self) {
        self.shared.release.notify_one();
    }
}

impl Drop for DynamoDbProxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(connection(stream, Arc::clone(&shared)));
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    _ = stream.set_nodelay(true);
    let reset = Arc::new(AtomicBool::new(false));
    let line = Line {
        stream,
        reset: Arc::clone(&reset),
    };
    let service = service_fn(move |request| take(request, Arc::clone(&shared), Arc::clone(&reset)));
    // A connection that ends badly does so on purpose.
    _ = http1::Builder::new()
        .serve_connection(TokioIo::new(line), service)
        .await;
}

/// Takes one request. An error closes the connection.
async fn take(request: Request<Incoming>, shared: Arc<Shared>, reset: Arc<AtomicBool>) -> io::Result<Reply> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let (place, fault) = shared.begin(&head, &body);
    // On a task of its own: a client that goes away takes nothing back.
    let met = tokio::spawn(async move {
        let reply = shared.meet(place, fault, head, body, &reset).await;
        shared.under_way.send_modify(|under_way| *under_way -= 1);
        reply
    });
    met.await?
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a request down, and chooses what it meets.
    fn begin(&self, head: &request::Parts, body: &Bytes) -> (usize, Option<Fault>) {
        self.under_way.send_modify(|under_way| *under_way += 1);
        let target = head.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
        let operation = target.and_then(|target| target.rsplit('.').next()).unwrap_or_default();
        let mut state = self.state();
        let fault = state.fault(operation);
        if let Some(fault) = fault {
            *state.met.entry((operation.to_owned(), fault)).or_default() += 1;
        }
        state.exchanges.push(Exchange {
            operation: operation.to_owned(),
            request: body.clone(),
            fault,
            answer: None,
        });
        (state.taken + state.exchanges.len() - 1, fault)
    }

    async fn meet(
        &self,
        place: usize,
        fault: Option<Fault>,
        head: request::Parts,
        body: Bytes,
        reset: &AtomicBool,
    ) -> io::Result<Reply> {
        let cut = || io::Error::other("the line is cut");
        let forward = |body| self.forward(place, head, body);
        let answer = match fault {
            None => forward(body).await?,
            Some(Fault::LostRequest) => return Err(cut()),
            Some(Fault::LostAnswer) => {
                forward(body).await?;
                return Err(cut());
            }
            Some(Fault::LateRequest) => {
                tokio::time::sleep(LATE).await;
                forward(body).await?
            }
            Some(Fault::LateAnswer) => {
                let answer = forward(body).await?;
                tokio::time::sleep(LATE).await;
                answer
            }
            Some(Fault::Reset) => {
                let answer = forward(body).await?;
                reset.store(true, Ordering::Relaxed);
                return Ok(half(answer));
            }
            Some(Fault::Throttled(code)) => fault::refusal(StatusCode::BAD_REQUEST, code, None),
            Some(Fault::ThrottledItem) => fault::cancelled(&body, "ThrottlingError"),
            Some(Fault::Conflict) => fault::cancelled(&body, "TransactionConflict"),
            Some(Fault::InProgress) => fault::refusal(StatusCode::BAD_REQUEST, "TransactionInProgressException", None),
            Some(Fault::InternalError) => {
                forward(body).await?;
                fault::refusal(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", None)
            }
            Some(Fault::OutOfService) => fault::refusal(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", None),
            Some(Fault::Unprocessed) => {
                let (asked, rest) = fault::halved(&body);
                let mut found = match fault::asks(&asked) {
                    true => serde_json::from_slice(forward(Bytes::from(asked.to_string())).await?.body())?,
                    false => json!({ "Responses": {} }),
                };
                if let Some(found) = found.as_object_mut() {
                    found.insert("UnprocessedKeys".to_owned(), rest);
                }
                fault::answer(StatusCode::OK, &found)
            }
            Some(Fault::Held) => {
                self.release.notified().await;
                forward(body).await?
            }
        };
        Ok(answer.map(|body| Full::new(body).map_err(|never| match never {}).boxed_unsync()))
    }

    /// Asks DynamoDB itself.
    async fn forward(&self, place: usize, mut head: request::Parts, body: Bytes) -> io::Result<Response<Bytes>> {
        let mut uri = head.uri.into_parts();
        (uri.scheme, uri.authority) = (Some(Scheme::HTTP), Some(self.upstream.clone()));
        head.uri = Uri::from_parts(uri).map_err(io::Error::other)?;
        // The body may be another than that which was announced.
        head.headers.remove(http::header::CONTENT_LENGTH);
        let begun = Instant::now();
        let request = Request::from_parts(head, Full::new(body));
        let answer = self.client.request(request).await.map_err(io::Error::other)?;
        let (mut head, body) = answer.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let answer = Answer {
            status: head.status.as_u16(),
            bytes: body.len(),
            took: begun.elapsed(),
        };
        let mut state = self.state();
        let kept = place.checked_sub(state.taken);
        if let Some(exchange) = kept.and_then(|place| state.exchanges.get_mut(place)) {
            exchange.answer = Some(answer);
        }
        // Hyper frames it anew.
        head.headers.remove(http::header::TRANSFER_ENCODING);
        Ok(Response::from_parts(head, body))
    }
}

/// An answer that is announced whole and breaks off in the middle.
fn half(answer: Response<Bytes>) -> Reply {
    let (mut head, body) = answer.into_parts();
    head.headers.insert(http::header::CONTENT_LENGTH, body.len().into());
    let first = body.slice(..body.len() / 2);
    let parts = stream::unfold(Some(first), async |first| match first {
        Some(first) => Some((Ok(Frame::data(first)), None)),
        None => {
            tokio::time::sleep(BREATH).await;
            Some((Err(io::Error::other("the line is reset")), None))
        }
    });
    Response::from_parts(head, StreamBody::new(Box::pin(parts)).boxed_unsync())
}

/// Whether a request asks for strongly consistent reads, of all that it reads.
pub fn is_consistent(request: &[u8]) -> bool {
    let request: Value = serde_json::from_slice(request).unwrap_or_default();
    let consistent = |read: &Value| read.get("ConsistentRead") == Some(&Value::Bool(true));
    match request.get("RequestItems").and_then(Value::as_object) {
        Some(tables) => tables.values().all(consistent),
        None => consistent(&request),
    }
}
