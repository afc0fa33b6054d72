//! Functions in this process: an event's JSON in, a reply's JSON out.

#![allow(dead_code, reason = "each test file uses its part")]

use std::cell::RefCell;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use http::{HeaderMap, Request, Response};
use patchbay_core::api::{Config, Host as _, Patchbay};
use patchbay_core::identity::Authentication;
use patchbay_core::model::{Caller, Workspaces};
use patchbay_core::seal::KeyRing;
use patchbay_core::store::Store;
use patchbay_lambda::{Event, Function, Invocation};
use patchbay_testkit::{Nobody, SystemHost, Target, operator};
use serde_json::{Map, Value, json};

/// The longest that Lambda takes of a reply, and what we keep to of it, and behind a load balancer.
pub const MOST: usize = 5 * 1024 * 1024;
pub const MOST_BALANCED: usize = 900 * 1024;

pub fn function<S: Store>(
    store: S,
    authentication: Authentication,
    workspaces: Workspaces,
    base_path: &str,
) -> Function<S, SystemHost> {
    let config = Config {
        authentication,
        workspaces,
        answer_bytes: 0,
    };
    let ring = KeyRing::parse("k1:testkit-testkit-testkit-testkit-testkit-testkit").unwrap();
    let patchbay = Patchbay::new(store, ring, SystemHost, config).with_operators(operator::operators());
    Function::new(patchbay, SystemHost, base_path.to_owned())
}

/// A reply as its origin reads it.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Value,
    pub body: String,
    /// What Lambda is handed.
    pub encoded: usize,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Hands `event` to the function, as text, with half a minute to answer.
pub async fn invoke<S: Store>(function: &Function<S, SystemHost>, event: &Value) -> Answer {
    invoke_until(function, event, 30_000).await
}

/// Hands `event` to the function, with so many milliseconds to answer.
pub async fn invoke_until<S: Store>(function: &Function<S, SystemHost>, event: &Value, millis: u64) -> Answer {
    let text = event.to_string();
    let event: Event = serde_json::from_str(&text).unwrap();
    let now = u64::try_from(SystemHost.now().as_micros() / 1000).unwrap();
    let invocation = Invocation {
        request_id: "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
        deadline_millis: now + millis,
    };
    let reply = serde_json::to_string(&function.call(event, invocation).await).unwrap();
    let value: Value = serde_json::from_str(&reply).unwrap();
    assert_eq!(value["isBase64Encoded"], false, "answers are text");
    Answer {
        status: u16::try_from(value["statusCode"].as_u64().unwrap()).unwrap(),
        headers: match value["multiValueHeaders"].as_object() {
            Some(every_value) if !every_value.is_empty() => every_value
                .iter()
                .map(|(name, values)| (name.clone(), values[0].clone()))
                .collect(),
            _ => value["headers"].clone(),
        },
        body: value["body"].as_str().unwrap_or_default().to_owned(),
        encoded: reply.len(),
    }
}

/// The shapes of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Http,
    Rest,
    LoadBalancer,
}

impl Shape {
    pub fn most(self) -> usize {
        match self {
            Self::LoadBalancer => MOST_BALANCED,
            Self::Http | Self::Rest => MOST,
        }
    }

    /// The event of a request.
    pub fn event(self, request: &Request<Bytes>) -> Value {
        let (method, path) = (request.method().as_str(), request.uri().path());
        // What an origin takes for binary comes in Base64.
        let text = std::str::from_utf8(request.body()).ok();
        let text = text.filter(|_| {
            let content_type = request.headers().get("content-type");
            content_type.is_some_and(|it| it == "application/json")
        });
        let (body, base64) = match text {
            Some(text) => (text.to_owned(), false),
            None => (STANDARD.encode(request.body()), true),
        };
        let mut event = match self {
            Self::Http => json!({
                "version": "2.0",
                "rawPath": path,
                "rawQueryString": request.uri().query().unwrap_or_default(),
                "headers": headers(request.headers(), |values| json!(values.join(","))),
                "requestContext": {
                    "http": { "method": method, "path": path },
                    "requestId": "JKJaXmPLvHcESHA=",
                    "stage": "$default",
                },
            }),
            Self::Rest => json!({
                "path": path,
                "httpMethod": method,
                "headers": headers(request.headers(), |values| json!(values.last())),
                "multiValueHeaders": headers(request.headers(), |values| json!(values)),
                "requestContext": {
                    "httpMethod": method,
                    "identity": {},
                    "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
                    "stage": "prod",
                },
            }),
            Self::LoadBalancer => json!({
                "path": path,
                "httpMethod": method,
                "multiValueHeaders": headers(request.headers(), |values| json!(values)),
                "requestContext": { "elb": { "targetGroupArn": "arn" } },
            }),
        };
        event["isBase64Encoded"] = json!(base64);
        if !body.is_empty() {
            event["body"] = json!(body);
        }
        event
    }
}

fn headers(headers: &HeaderMap, value: impl Fn(Vec<String>) -> Value) -> Value {
    let mut map = Map::new();
    for name in headers.keys() {
        let values = headers.get_all(name).iter();
        let texts = values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        map.insert(name.to_string(), value(texts.collect()));
    }
    Value::Object(map)
}

/// `POST` of a JSON body.
pub fn post(path: &str, body: &str) -> Request<Bytes> {
    Request::post(format!("/v1/api/{path}"))
        .header("content-type", "application/json")
        .body(Bytes::copy_from_slice(body.as_bytes()))
        .unwrap()
}

/// Functions over one store, as a target that is called by events of one shape.
pub struct Events<S> {
    shape: Shape,
    store: S,
    workspaces: Workspaces,
    /// One a caller: who calls is a matter of configuration as long as there are no tokens.
    functions: RefCell<Vec<Called<S>>>,
}

type Called<S> = (Option<Caller>, Rc<Function<S, SystemHost>>);

impl<S: Store + Clone> Events<S> {
    pub fn new(shape: Shape, store: S, workspaces: Workspaces) -> Self {
        Self {
            shape,
            store,
            workspaces,
            functions: RefCell::default(),
        }
    }

    fn of(&self, caller: Option<&Caller>) -> Rc<Function<S, SystemHost>> {
        let mut functions = self.functions.borrow_mut();
        if let Some((_, function)) = functions.iter().find(|(known, _)| known.as_ref() == caller) {
            return Rc::clone(function);
        }
        let authentication = caller.map_or_else(Authentication::off, |caller| Authentication::Off(caller.clone()));
        let made = self.made(authentication);
        functions.push((caller.cloned(), Rc::clone(&made)));
        made
    }

    fn made(&self, authentication: Authentication) -> Rc<Function<S, SystemHost>> {
        Rc::new(function(self.store.clone(), authentication, self.workspaces, ""))
    }
}

impl<S: Store + Clone> Target for Events<S> {
    fn send<'a>(
        &'a self,
        caller: Option<&'a Caller>,
        request: Request<Bytes>,
    ) -> LocalBoxFuture<'a, Result<Response<Bytes>, String>> {
        let function = match request.extensions().get() {
            Some(Nobody) => self.made(Nobody::authentication()),
            None => self.of(caller),
        };
        let event = self.shape.event(&request);
        Box::pin(async move {
            let answer = invoke(&function, &event).await;
            assert!(answer.encoded <= self.shape.most(), "{} bytes", answer.encoded);
            let mut response = Response::builder().status(answer.status);
            for (name, value) in answer.headers.as_object().unwrap() {
                response = response.header(name, value.as_str().unwrap());
            }
            response
                .body(Bytes::from(answer.body))
                .map_err(|error| error.to_string())
        })
    }
}
