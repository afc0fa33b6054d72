//! The HTTP surface: the route table, a line a route; request → answer; errors → status.
//!
//! A home calls [`Patchbay::admit`] with a request's head: what can be refused is refused before a body is read. Then
//! it reads the body, at most [`limits::BODY_BYTES`] of it, and calls [`Patchbay::answer`], or [`Admitted::refuse`]
//! where the body could not be had.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::request::Parts;
use http::{HeaderName, Method, Response, StatusCode};

use crate::audit::{self, Kind, Note};
use crate::identity::operators::Operators;
use crate::identity::{Authentication, By, Unauthenticated};
use crate::limits;
use crate::model::{Caller, ConnectionId, Subject, Tenant, Timestamp, Workspaces};
use crate::operator;
use crate::problem::Problem;
pub use crate::readiness::Readiness;
use crate::registry::Registry;
use crate::seal::KeyRing;
use crate::store::Store;
use crate::wire::Json;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Seconds after which a refused caller may try again: long enough for a queue of a thousand commits to drain.
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// What a runtime lends the core.
pub trait Host {
    /// The time of day, UTC.
    fn now(&self) -> Timestamp;

    /// Fills `bytes` with randomness that is fit for keys and nonces.
    fn fill(&self, bytes: &mut [u8]);
}

/// Where a request came from, as its home knows it. A home puts it among the extensions of a request's head, where it
/// knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

/// How a home runs the core.
#[derive(Debug, Clone)]
pub struct Config {
    /// Who may call.
    pub authentication: Authentication,
    /// Whether workspaces come into being by being named. [`Workspaces::Open`] goes only with authentication off.
    pub workspaces: Workspaces,
    /// The home's bound for an answer, in bytes: native 16 MiB, Worker 8 MiB. [`Admitted::within`] sets another.
    pub answer_bytes: usize,
}

/// What an answer may come to, and how its bytes count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// So many bytes.
    Plain(usize),
    /// So many bytes once the answer is written as a string in JSON, as Lambda hands it on: each quotation mark, backslash
    /// and line break in it then takes two.
    InJson(usize),
}

impl Bound {
    /// The bytes that there may be.
    pub(crate) fn most(self) -> usize {
        match self {
            Self::Plain(most) | Self::InJson(most) => most,
        }
    }

    /// What part of an answer counts for.
    pub(crate) fn count(self, json: &[u8]) -> usize {
        match self {
            Self::Plain(_) => json.len(),
            // JSON has no other control characters than these.
            Self::InJson(_) => {
                let escaped = json
                    .iter()
                    .filter(|byte| matches!(byte, b'"' | b'\\' | b'\n' | b'\r' | b'\t'));
                json.len() + escaped.count()
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Create,
    Attach,
    List,
    Get,
    GetById,
    Detach,
    Delete,
    CreateWorkspace,
    ListWorkspaces,
    AddUser,
    ListUsers,
    RemoveUser,
    ListAudit,
    KeyStatus,
    Reseal,
    Adopt,
    Config,
    Healthy,
    Ready,
}

impl Operation {
    /// How its audit record begins.
    fn kind(self) -> Kind {
        match self {
            Self::Create | Self::Attach | Self::Detach | Self::Delete => Kind::Change,
            Self::CreateWorkspace | Self::AddUser | Self::RemoveUser => Kind::Change,
            Self::Reseal | Self::Adopt => Kind::Change,
            Self::List | Self::Get | Self::GetById => Kind::Look,
            Self::ListWorkspaces | Self::ListUsers | Self::ListAudit | Self::KeyStatus => Kind::Look,
            Self::Config | Self::Healthy | Self::Ready => Kind::Look,
        }
    }
}

struct Route {
    path: &'static str,
    /// How logs and metrics call it.
    name: &'static str,
    method: Method,
    operation: Operation,
}

const fn post(path: &'static str, name: &'static str, operation: Operation) -> Route {
    Route {
        path,
        name,
        method: Method::POST,
        operation,
    }
}

const fn get(path: &'static str, name: &'static str, operation: Operation) -> Route {
    Route {
        path,
        name,
        method: Method::GET,
        operation,
    }
}

static ROUTES: [Route; 19] = [
    post("/v1/api/connections/get", "connections/get", Operation::Get),
    post(
        "/v1/api/connections/get_by_id",
        "connections/get_by_id",
        Operation::GetById,
    ),
    post("/v1/api/connections/list", "connections/list", Operation::List),
    post("/v1/api/connections/create", "connections/create", Operation::Create),
    post(
        "/v1/api/connections/add_to_workspace",
        "connections/add_to_workspace",
        Operation::Attach,
    ),
    post(
        "/v1/api/connections/remove_from_workspace",
        "connections/remove_from_workspace",
        Operation::Detach,
    ),
    post("/v1/api/connections/delete", "connections/delete", Operation::Delete),
    post(
        "/v1/api/workspaces/create",
        "workspaces/create",
        Operation::CreateWorkspace,
    ),
    post("/v1/api/workspaces/list", "workspaces/list", Operation::ListWorkspaces),
    post("/v1/api/workspaces/add_user", "workspaces/add_user", Operation::AddUser),
    post(
        "/v1/api/workspaces/list_users",
        "workspaces/list_users",
        Operation::ListUsers,
    ),
    post(
        "/v1/api/workspaces/remove_user",
        "workspaces/remove_user",
        Operation::RemoveUser,
    ),
    post("/v1/api/audit/list", "audit/list", Operation::ListAudit),
    post("/v1/api/admin/keys/status", "admin/keys/status", Operation::KeyStatus),
    post("/v1/api/admin/keys/reseal", "admin/keys/reseal", Operation::Reseal),
    post("/v1/api/admin/adopt", "admin/adopt", Operation::Adopt),
    get("/v1/api/config", "config", Operation::Config),
    get("/healthz", "healthz", Operation::Healthy),
    get("/readyz", "readyz", Operation::Ready),
];
/// How logs and metrics call a path that is none of the routes.
const UNKNOWN: &str = "unknown";

/// Every name that [`LogLine::operation`] can have, for metrics with a fixed set of labels.
pub fn operations() -> impl Iterator<Item = &'static str> {
    ROUTES.iter().map(|route| route.name).chain([UNKNOWN])
}

/// The path of a route, if this is one: for homes that are called by longer paths.
pub fn route(path: &str) -> Option<&'static str> {
    ROUTES.iter().map(|route| route.path).find(|route| *route == path)
}

/// A request whose head is in order: it waits for its body.
#[derive(Debug, Clone)]
pub struct Admitted {
    operation: Operation,
    by: By,
    head: Head,
    /// What its audit record is to say, if there is to be one.
    note: Note,
    /// Where it is not [`Config::answer_bytes`].
    bound: Option<Bound>,
}

#[derive(Debug, Clone)]
struct Head {
    method: &'static str,
    name: &'static str,
    request_id: HeaderValue,
    address: Option<IpAddr>,
}

/// What a 401 says.
const NO_VALID_TOKEN: &str = "A valid bearer token is required.";
/// What an operator is told everywhere else, and everybody else there.
const NOT_FOR_OPERATORS: &str = "This token is an operator's, who may call what is under /v1/api/admin/ alone.";
const FOR_OPERATORS: &str = "Only an operator may call this: bring a token that PATCHBAY_OPERATOR_TOKENS names.";
/// Why a request that panicked failed, for the log.
const PANICKED: &str = "the request panicked";

/// Why a home could not have a request answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The body proved longer than [`limits::BODY_BYTES`]: 413.
    TooLong,
    /// The body did not arrive in time: 408.
    TooSlow,
    /// The body broke off or was framed wrongly: 400.
    Broken,
    /// The home does as much as it can already: 503 with `Retry-After`.
    Busy,
    /// The home must answer before storage has: 503 with `Retry-After`. A change may be done all the same.
    OutOfTime,
    /// The request panicked: 500.
    Failed,
    /// The home could not write its audit record: 503 with `Retry-After`. A change may be done all the same.
    Unrecorded,
    /// The home answers only its own machine, and the request may come from a web page or another machine: 403.
    Foreign,
}

impl Admitted {
    /// How logs and metrics call the operation.
    pub fn operation(&self) -> &'static str {
        self.head.name
    }

    /// The request's id: the caller's, or one that was made.
    pub fn request_id(&self) -> &str {
        self.head.request_id.to_str().unwrap_or_default()
    }

    /// Whether its answer may be as long as the bound for answers; others are short.
    pub fn has_large_answer(&self) -> bool {
        matches!(
            self.operation,
            Operation::List | Operation::ListWorkspaces | Operation::ListAudit
        )
    }

    /// Bounds the answer for this request otherwise than [`Config::answer_bytes`] does. A bound below 850,000 bytes may be
    /// too short for a single connection, which is answered all the same.
    #[must_use]
    pub fn within(mut self, bound: Bound) -> Self {
        self.bound = Some(bound);
        self
    }

    /// Whether it asks for a change. A home that is left by its clients answers such a request to its end all the same: the
    /// record of a change that was refused, or that the store keeps no trail of, comes with the answer alone.
    pub fn is_change(&self) -> bool {
        self.operation.kind() == Kind::Change
    }

    /// Whether the operation takes a body; what comes with others is not read.
    pub fn has_body(&self) -> bool {
        !matches!(
            self.operation,
            Operation::Config | Operation::Healthy | Operation::Ready
        )
    }

    /// The answer where the home could not get so far as [`Patchbay::answer`].
    pub fn refuse(&self, refusal: Refusal) -> Answer {
        let problem = match refusal {
            Refusal::TooLong => body_too_long(),
            Refusal::TooSlow => Problem::new(StatusCode::REQUEST_TIMEOUT, "The body did not arrive in time."),
            Refusal::Broken => Problem::bad("The body broke off."),
            Refusal::Busy => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Too much is under way; try again."),
            Refusal::OutOfTime => Problem {
                cause: Some("the time for the call ran out".into()),
                ..Problem::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "Storage did not answer in time; nothing is acknowledged, try again.",
                )
            },
            Refusal::Failed => Problem::failed(PANICKED),
            Refusal::Unrecorded => Problem {
                cause: Some("the audit record could not be written".into()),
                ..Problem::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "No audit record can be written; nothing is acknowledged, try again.",
                )
            },
            Refusal::Foreign => Problem::forbidden(
                "Without authentication only programs on this machine may call: `Host` must be localhost or a loopback \
                 address, and `Origin`, which web pages send, must be absent.",
            ),
        };
        let mut answer = self.head.clone().refuse(self.by.clone(), problem);
        if let Refusal::OutOfTime | Refusal::Failed = refusal {
            answer.audit = self.note.finish(Some(answer.response.status()));
        }
        answer
    }

    /// The record of it as it is admitted, before anything is known of its body.
    fn record(&self, at: Timestamp) -> Option<audit::Record> {
        self.by.known().map(|(tenant, subject)| audit::Record {
            tenant: tenant.cloned(),
            request_id: Some(self.request_id().to_owned()),
            address: self.head.address,
            ..audit::Record::new(at, subject.clone(), self.operation.kind(), self.head.name)
        })
    }
}

/// A response, and what to log of it.
#[derive(Debug)]
pub struct Answer {
    /// What the caller gets.
    pub response: Response<Bytes>,
    /// What the log gets.
    pub log: LogLine,
    /// What the platform's log gets for audit, whatever it logs otherwise, before the caller gets anything: see
    /// [`audit::Record::log_lines`]. None where the store keeps a trail, or there is nothing to record.
    pub audit: Option<audit::Record>,
}

/// The part of a request's log line that the core knows. Nothing of a body is in it.
#[derive(Debug, Clone)]
pub struct LogLine {
    /// The request's method, `other` where it is none of HTTP's own: a client's inventions may be as long as a head.
    pub method: &'static str,
    /// One of [`operations`].
    pub operation: &'static str,
    /// The request's id.
    pub request_id: String,
    /// Where the request came from, where the home knows it.
    pub address: Option<IpAddr>,
    /// The caller's tenant, where there is a caller.
    pub tenant: Option<Tenant>,
    /// The operator, where one calls.
    pub operator: Option<Subject>,
    /// Whether the server's side failed: a 5xx, but not a 501, which only says what is not to be had here.
    pub failed: bool,
    /// Why, where the answer does not say all: a 5xx, a 429, a 401; or what a rotation of keys left as it was.
    pub problem: Option<String>,
}

/// The answer to every request of a home that was set up wrongly: 503. `why` is for the log.
pub fn misconfigured(parts: &Parts, host: &impl Host, why: String) -> Answer {
    let mut problem = Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "This server is not set up rightly, and answers nobody until it is; its log says why.",
    );
    problem.cause = Some(why);
    head(parts, host).1.refuse(By::Nobody, problem)
}

/// The answer to a request that panicked before it was admitted, or nobody knows how far it came: 500.
pub fn panicked(parts: &Parts, host: &impl Host) -> Answer {
    head(parts, host).1.refuse(By::Nobody, Problem::failed(PANICKED))
}

/// The route of a request, if there is one.
fn head(parts: &Parts, host: &impl Host) -> (Option<&'static Route>, Head) {
    let route = ROUTES.iter().find(|route| route.path == parts.uri.path());
    let head = Head {
        method: method(&parts.method),
        name: route.map_or(UNKNOWN, |route| route.name),
        request_id: request_id(&parts.headers, host),
        address: parts.extensions.get().map(|ClientAddress(address)| *address),
    };
    (route, head)
}

/// The registry behind its HTTP surface.
pub struct Patchbay<S, H> {
    registry: Registry<S, H>,
    operators: Operators,
    adopt_tenant: Option<Tenant>,
    audit: bool,
}

impl<S: Store, H: Host> Patchbay<S, H> {
    /// Puts the parts together. There are audit records where callers are known.
    pub fn new(store: S, ring: impl Into<Arc<KeyRing>>, host: H, config: Config) -> Self {
        Self {
            operators: Operators::default(),
            adopt_tenant: None,
            audit: !matches!(config.authentication, Authentication::Off(_)),
            registry: Registry {
                store,
                ring: ring.into(),
                host,
                config,
                readiness: Arc::default(),
                one_log_line: false,
            },
        }
    }

    /// With what is known of storage's readiness elsewhere: for a home that puts the parts together more than once.
    #[must_use]
    pub fn with_readiness(mut self, readiness: Arc<Readiness>) -> Self {
        self.registry.readiness = readiness;
        self
    }

    /// With these operators, however callers are known.
    #[must_use]
    pub fn with_operators(mut self, operators: Operators) -> Self {
        self.operators = operators;
        self
    }

    /// With a tenant to whose people an operator may give what was stored while authentication was off, where tenants are
    /// kept apart. Without one they may not: whoever holds an operator's token need not be trusted with what tenants have.
    #[must_use]
    pub fn with_adopt_tenant(mut self, tenant: Option<Tenant>) -> Self {
        self.adopt_tenant = tenant;
        self
    }

    /// With audit records, or without them, whether or not callers are known.
    #[must_use]
    pub fn with_audit(mut self, audit: bool) -> Self {
        self.audit = audit;
        self
    }

    /// With records that have one line each, for a platform that bounds what is logged of a call: a list that gives the
    /// details of more connections than a line names has to be asked for in pages.
    #[must_use]
    pub fn with_one_log_line(mut self) -> Self {
        self.registry.one_log_line = true;
        self
    }

    /// Judges a request by its head: path, method, declared length, token, content type, in this order.
    ///
    /// # Errors
    /// The answer, where the head is enough to refuse it.
    pub async fn admit(&self, parts: &Parts) -> Result<Admitted, Answer> {
        let (route, head) = head(parts, &self.registry.host);
        let Some(route) = route else {
            return Err(head.refuse(By::Nobody, Problem::not_found("There is nothing at this path.")));
        };
        if parts.method != route.method {
            let msg = format!("This path serves {} only.", route.method);
            let mut answer = head.refuse(By::Nobody, Problem::new(StatusCode::METHOD_NOT_ALLOWED, msg));
            // The route table's methods are plain ASCII.
            if let Ok(method) = HeaderValue::from_str(route.method.as_str()) {
                answer.response.headers_mut().insert(ALLOW, method);
            }
            return Err(answer);
        }
        let mut admitted = Admitted {
            operation: route.operation,
            by: By::Nobody,
            head,
            note: Note::default(),
            bound: None,
        };
        if !admitted.has_body() {
            return Ok(admitted);
        }
        if declared_length(&parts.headers).is_some_and(|length| length > limits::BODY_BYTES as u64) {
            return Err(admitted.head.refuse(By::Nobody, body_too_long()));
        }
        let now = self.registry.host.now();
        let authentication = &self.registry.config.authentication;
        match authentication.by(&self.operators, &parts.headers, now).await {
            Ok(by) => admitted.by = by,
            Err(why) => return Err(admitted.head.unauthenticated(&why)),
        }
        if !content_type_fits(&parts.headers) {
            let msg = "`Content-Type` must be application/json.";
            let problem = Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, msg);
            return Err(admitted.head.refuse(admitted.by, problem));
        }
        if self.audit {
            admitted.note = Note::new(admitted.record(now));
        }
        Ok(admitted)
    }

    /// The answer to what a home cannot read as a request at all: 400.
    pub fn unreadable(&self) -> Answer {
        let head = Head {
            method: OTHER,
            name: UNKNOWN,
            request_id: request_id(&HeaderMap::new(), &self.registry.host),
            address: None,
        };
        let mut problem = Problem::bad("The request's head cannot be read.");
        problem.cause = Some(problem.msg.clone().into_owned());
        head.refuse(By::Nobody, problem)
    }

    /// Answers an admitted request, given its body. Cancel-safe: a change is whole or absent.
    pub async fn answer(&self, admitted: Admitted, body: Bytes) -> Answer {
        let Admitted {
            operation,
            by,
            head,
            mut note,
            bound,
        } = admitted;
        let bound = bound.unwrap_or(Bound::Plain(self.registry.config.answer_bytes));
        if body.len() > limits::BODY_BYTES {
            return head.refuse(by, body_too_long());
        }
        let mut left = None;
        let outcome = match &by {
            By::Caller(caller) => self.call(operation, caller, &body, bound, &mut note).await,
            By::Operator(_) => self.operate(operation, &body, &mut left, &mut note).await,
            By::Nobody => self.around(operation).await,
        };
        let (outcome, audit) = self.registry.keep(note, outcome).await;
        let mut answer = match outcome {
            Ok(Some(json)) => head.answer(by, StatusCode::OK, Some(json), left),
            Ok(None) => head.answer(by, StatusCode::NO_CONTENT, None, None),
            Err(problem) => head.refuse(by, problem),
        };
        answer.audit = audit;
        answer
    }

    /// Has the record of an answer that the home made itself ([`Admitted::refuse`]) kept, where the store keeps a trail.
    /// Where it cannot be kept it stays with the answer, for the home's log.
    pub async fn keep(&self, mut answer: Answer) -> Answer {
        if let Some(record) = answer.audit.take() {
            let kept = self.registry.store.note(record.clone()).await;
            answer.audit = kept.unwrap_or(Some(record));
        }
        answer
    }

    async fn call(
        &self,
        operation: Operation,
        caller: &Caller,
        body: &[u8],
        bound: Bound,
        note: &mut Note,
    ) -> Result<Option<Json>, Problem> {
        let registry = &self.registry;
        match operation {
            Operation::Create => registry.create(caller, body, note).await.map(Some),
            Operation::Attach => registry.attach(caller, body, note).await.map(Some),
            Operation::List => registry.list(caller, body, bound, note).await.map(Some),
            Operation::Get => registry.get(caller, body, note).await.map(Some),
            Operation::GetById => registry.get_by_id(caller, body, note).await.map(Some),
            Operation::Detach => registry.detach(caller, body, note).await.map(|()| None),
            Operation::Delete => registry.delete(caller, body, note).await.map(|()| None),
            Operation::CreateWorkspace => registry.create_workspace(caller, body, note).await.map(Some),
            Operation::ListWorkspaces => registry.list_workspaces(caller, body, bound).await.map(Some),
            Operation::AddUser => registry.add_user(caller, body, note).await.map(Some),
            Operation::ListUsers => registry.list_users(caller, body, note).await.map(Some),
            Operation::RemoveUser => registry.remove_user(caller, body, note).await.map(Some),
            Operation::ListAudit => registry.list_audit(caller, body, bound).await.map(Some),
            Operation::KeyStatus => operator::status_fields(body).and(Err(Problem::forbidden(FOR_OPERATORS))),
            Operation::Reseal => operator::reseal_fields(body).and(Err(Problem::forbidden(FOR_OPERATORS))),
            Operation::Adopt => operator::adopt_fields(body).and(Err(Problem::forbidden(FOR_OPERATORS))),
            Operation::Config | Operation::Healthy | Operation::Ready => self.around(operation).await,
        }
    }

    /// What an operator calls. The log is to say what is `left`.
    async fn operate(
        &self,
        operation: Operation,
        body: &[u8],
        left: &mut Option<String>,
        note: &mut Note,
    ) -> Result<Option<Json>, Problem> {
        match operation {
            Operation::KeyStatus => self.registry.key_status(body).await.map(Some),
            Operation::Reseal => {
                let (json, told) = self.registry.reseal(body, note).await?;
                *left = told;
                Ok(Some(json))
            }
            Operation::Adopt => {
                let allowed = self.adopt_tenant.as_ref();
                self.registry.adopt(body, allowed, note).await.map(Some)
            }
            _ => Err(Problem::forbidden(NOT_FOR_OPERATORS)),
        }
    }

    /// The routes without a caller.
    async fn around(&self, operation: Operation) -> Result<Option<Json>, Problem> {
        if operation == Operation::Ready {
            return self.registry.ready().await.map(Some);
        }
        let mut json = Json::default();
        json.literal(if operation == Operation::Healthy {
            "{\"status\":\"ok\"}"
        } else {
            "{}"
        });
        Ok(Some(json))
    }
}

impl Head {
    fn refuse(self, by: By, problem: Problem) -> Answer {
        let id = self.request_id.to_str().unwrap_or_default();
        let mut json = Json::default();
        json.literal("{\"msg\":");
        if problem.status == StatusCode::INTERNAL_SERVER_ERROR {
            json.text(&format!("The request failed on the server's side; its id is {id}."));
        } else {
            json.text(&problem.msg);
        }
        json.literal(",\"code\":").plain(problem.status.as_u16()).literal("}");
        let temporary = problem.is_temporary();
        let mut answer = self.answer(by, problem.status, Some(json), problem.cause);
        let headers = answer.response.headers_mut();
        if temporary {
            headers.insert(RETRY_AFTER, RETRY_SECONDS);
        }
        answer
    }

    /// The answer where there is no caller. It says no more of a token than that it is not valid; the log says why.
    fn unauthenticated(self, why: &Unauthenticated) -> Answer {
        let (status, msg, challenge) = match why {
            Unauthenticated::NoToken => (StatusCode::UNAUTHORIZED, NO_VALID_TOKEN, Some("Bearer")),
            Unauthenticated::Invalid(_) => (
                StatusCode::UNAUTHORIZED,
                NO_VALID_TOKEN,
                Some("Bearer error=\"invalid_token\""),
            ),
            Unauthenticated::NoKeys => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The issuer of tokens has not given its keys, so none can be verified; try again.",
                None,
            ),
            Unauthenticated::NotConfigured => (
                StatusCode::SERVICE_UNAVAILABLE,
                "This server was not told how to know its callers, and answers nobody until it is.",
                None,
            ),
        };
        let mut problem = Problem::new(status, msg);
        problem.cause = Some(why.to_string());
        let mut answer = self.refuse(By::Nobody, problem);
        if let Some(challenge) = challenge {
            let headers = answer.response.headers_mut();
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        answer
    }

    fn answer(self, by: By, status: StatusCode, json: Option<Json>, problem: Option<String>) -> Answer {
        let (tenant, operator) = match by {
            By::Nobody => (None, None),
            By::Caller(caller) => (Some(caller.tenant), None),
            By::Operator(subject) => (None, Some(subject)),
        };
        let log = LogLine {
            method: self.method,
            operation: self.name,
            request_id: self.request_id.to_str().unwrap_or_default().to_owned(),
            address: self.address,
            tenant,
            operator,
            failed: status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED,
            problem,
        };
        let typed = json.is_some();
        let mut response = Response::new(json.map(Json::finish).unwrap_or_default());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        if typed {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_REQUEST_ID, self.request_id);
        Answer {
            response,
            log,
            audit: None,
        }
    }
}

/// How logs call a method that is none of HTTP's own.
const OTHER: &str = "other";

fn method(method: &Method) -> &'static str {
    const NAMES: [&str; 9] = [
        "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
    ];
    let known = NAMES.into_iter().find(|name| *name == method.as_str());
    known.unwrap_or(OTHER)
}

fn body_too_long() -> Problem {
    let msg = format!("The body must be at most {} bytes.", limits::BODY_BYTES);
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, msg)
}

/// The caller's `x-request-id` if it is 1 to 128 visible ASCII characters, else a new one.
fn request_id(headers: &HeaderMap, host: &impl Host) -> HeaderValue {
    let given = headers
        .get(X_REQUEST_ID)
        .filter(|id| (1..=limits::REQUEST_ID).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic));
    given.cloned().unwrap_or_else(|| {
        let mut random = [0; 16];
        host.fill(&mut random);
        let made = ConnectionId::from_random(random).to_string();
        HeaderValue::from_str(&made).unwrap_or(HeaderValue::from_static("-"))
    })
}

fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

/// Whether there is no `Content-Type`, or one `application/json` or `application/*+json` with any parameters.
fn content_type_fits(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let Some(first) = types.next() else { return true };
    if types.next().is_some() {
        return false;
    }
    let Ok(text) = first.to_str() else { return false };
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let Some(subtype) = essence.strip_prefix("application/") else {
        return false;
    };
    subtype == "json" || subtype.strip_suffix("+json").is_some_and(|name| !name.is_empty())
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::*;

    /// Time stands still, and randomness counts.
    #[derive(Default)]
    pub(crate) struct FixedHost(AtomicU8);

    impl Host for FixedHost {
        fn now(&self) -> Timestamp {
            Timestamp::from_micros(1_684_255_385_170_914)
        }

        fn fill(&self, bytes: &mut [u8]) {
            for byte in bytes {
                *byte = self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    #[test]
    fn content_types_of_json_are_taken_with_any_parameters() {
        let fits = |value: &'static str| {
            content_type_fits(&HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(value))]))
        };
        assert!(content_type_fits(&HeaderMap::new()));
        for taken in [
            "application/json",
            "Application/JSON; charset=latin1",
            "application/ld+json",
            "application/json;",
        ] {
            assert!(fits(taken), "{taken}");
        }
        for refused in [
            "",
            "text/json",
            "application/jsonx",
            "application/+json",
            "text/plain",
            "application/x-ndjson",
        ] {
            assert!(!fits(refused), "{refused}");
        }
    }

    #[test]
    fn a_callers_request_id_is_taken_if_it_is_visible_ascii() {
        let made = |value: &[u8]| {
            let headers = HeaderMap::from_iter([(X_REQUEST_ID, HeaderValue::from_bytes(value).unwrap())]);
            request_id(&headers, &FixedHost::default()).as_bytes() != value
        };
        assert!(!made(b"a"));
        assert!(!made(&[b'~'; 128]));
        for refused in [&b""[..], &[b'a'; 129], b"a b", "é".as_bytes()] {
            assert!(made(refused));
        }
    }

    proptest::proptest! {
        #[test]
        fn an_answer_counts_for_what_it_takes_as_a_string_in_json(json in "[\\PC\n\r\t\"\\\\]{0,100}") {
            let encoded = serde_json::to_string(&json).unwrap().len() - 2;
            proptest::prop_assert_eq!(Bound::InJson(0).count(json.as_bytes()), encoded);
        }
    }
}
