//! What a case speaks to: anything that answers HTTP-shaped requests.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use http::{Request, Response};
use patchbay_core::api::{Config, Host, Patchbay};
use patchbay_core::identity::Authentication;
use patchbay_core::identity::tokens::Tokens;
use patchbay_core::model::{Caller, Timestamp, Workspaces};
use patchbay_core::seal::KeyRing;
use patchbay_core::store::Store;

use crate::operator;

/// Among a request's extensions: it is to be sent without a token, where callers bring tokens.
#[derive(Debug, Clone, Copy)]
pub struct Nobody;

impl Nobody {
    /// How a target knows its callers so that this one is none: by a token whose digest is all noughts, which nobody has.
    #[allow(clippy::expect_used, reason = "a constant")]
    pub fn authentication() -> Authentication {
        let entry = format!("sha256={} tenant=nobody subject=nobody", "0".repeat(64));
        Authentication::Tokens(Tokens::parse(&entry).expect("an entry").into())
    }
}

/// Answers HTTP-shaped requests. A `Content-Length` beyond the body announces a body that never comes.
pub trait Target {
    /// Sends one request; on behalf of `caller`, or of everybody where authentication is off. An answer that does not
    /// come is an error with its reason.
    fn send<'a>(
        &'a self,
        caller: Option<&'a Caller>,
        request: Request<Bytes>,
    ) -> LocalBoxFuture<'a, Result<Response<Bytes>, String>>;

    /// What its store has been asked for since this was called last, where that can be told.
    fn requests(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A host with the machine's clock and randomness.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemHost;

impl Host for SystemHost {
    fn now(&self) -> Timestamp {
        let micros = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_micros());
        Timestamp::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
    }

    #[allow(clippy::expect_used, reason = "a test cannot go on without randomness")]
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the machine's randomness");
    }
}

/// The core in this process, over a store whose clones share it.
pub struct InProcess<S> {
    store: S,
    workspaces: Workspaces,
    answer_bytes: usize,
    audit: bool,
    everybody: Rc<Patchbay<S, SystemHost>>,
    /// Takes one token, which nobody has.
    nobody: Rc<Patchbay<S, SystemHost>>,
    requests: Box<dyn Fn() -> Vec<String>>,
    /// One a caller: who calls is a matter of configuration as long as there are no tokens.
    callers: RefCell<Vec<Called<S>>>,
}

type Called<S> = (Caller, Rc<Patchbay<S, SystemHost>>);

/// A ring for tests.
const RING: &str = "k1:testkit-testkit-testkit-testkit-testkit-testkit";

impl<S: Store + Clone> InProcess<S> {
    /// The core over `store`, with authentication off.
    pub fn new(store: S, workspaces: Workspaces, answer_bytes: usize) -> Self {
        Self::of_all(store, workspaces, answer_bytes, false)
    }

    /// As [`Self::new`], with audit records.
    pub fn with_audit(store: S, workspaces: Workspaces, answer_bytes: usize) -> Self {
        Self::of_all(store, workspaces, answer_bytes, true)
    }

    fn of_all(store: S, workspaces: Workspaces, answer_bytes: usize, audit: bool) -> Self {
        let of = |authentication| {
            let patchbay = patchbay(store.clone(), authentication, workspaces, answer_bytes);
            Rc::new(patchbay.with_audit(audit))
        };
        let (everybody, nobody) = (of(Authentication::off()), of(Nobody::authentication()));
        Self {
            store,
            workspaces,
            answer_bytes,
            audit,
            everybody,
            nobody,
            requests: Box::new(Vec::new),
            callers: RefCell::default(),
        }
    }

    /// The same, which knows what its store has been asked for since `requests` was called last.
    #[must_use]
    pub fn counting(self, requests: impl Fn() -> Vec<String> + 'static) -> Self {
        let requests = Box::new(requests);
        Self { requests, ..self }
    }

    fn of(&self, caller: Option<&Caller>) -> Rc<Patchbay<S, SystemHost>> {
        let Some(caller) = caller else {
            return Rc::clone(&self.everybody);
        };
        let mut callers = self.callers.borrow_mut();
        if let Some((_, patchbay)) = callers.iter().find(|(known, _)| known == caller) {
            return Rc::clone(patchbay);
        }
        let authentication = Authentication::Off(caller.clone());
        let made = patchbay(self.store.clone(), authentication, self.workspaces, self.answer_bytes);
        let made = Rc::new(made.with_audit(self.audit));
        callers.push((caller.clone(), Rc::clone(&made)));
        made
    }
}

#[allow(clippy::expect_used, reason = "a constant")]
fn patchbay<S: Store>(
    store: S,
    authentication: Authentication,
    workspaces: Workspaces,
    answer_bytes: usize,
) -> Patchbay<S, SystemHost> {
    let config = Config {
        authentication,
        workspaces,
        answer_bytes,
    };
    let ring = KeyRing::parse(RING).expect("a key ring");
    Patchbay::new(store, ring, SystemHost, config).with_operators(operator::operators())
}

impl<S: Store + Clone> Target for InProcess<S> {
    fn send<'a>(
        &'a self,
        caller: Option<&'a Caller>,
        request: Request<Bytes>,
    ) -> LocalBoxFuture<'a, Result<Response<Bytes>, String>> {
        let patchbay = match request.extensions().get() {
            Some(Nobody) => Rc::clone(&self.nobody),
            None => self.of(caller),
        };
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let answer = match patchbay.admit(&head).await {
                Ok(admitted) if announced(&head.headers) > body.len() as u64 => {
                    return Err(format!("{} waits for a body that never comes", admitted.operation()));
                }
                Ok(admitted) => patchbay.answer(admitted, body).await,
                Err(answer) => answer,
            };
            Ok(answer.response)
        })
    }

    fn requests(&self) -> Vec<String> {
        (self.requests)()
    }
}

/// The length that a request's head announces.
pub(crate) fn announced(headers: &http::HeaderMap) -> u64 {
    let length = headers.get(http::header::CONTENT_LENGTH);
    length
        .and_then(|length| length.to_str().ok())
        .and_then(|length| length.parse().ok())
        .unwrap_or(0)
}
