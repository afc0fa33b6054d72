//! What a case works with: a target, names of its own, and the calls.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a case says by panicking that something does not hold"
)]

use std::cell::{Cell, RefCell};
use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use patchbay_core::api::Host as _;
use patchbay_core::model::{Caller, ConnectionId, Subject, Tenant, Workspaces};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::operator;
use crate::runner::Setting;
use crate::target::{Nobody, SystemHost, Target};

/// One case's view of a target.
pub(crate) struct World<'t> {
    target: &'t dyn Target,
    pub(crate) setting: Setting,
    /// Makes this case's names and ids differ from all others', in this run and before.
    seed: u64,
    made: Cell<u64>,
    /// Names of connections that were created.
    connections: RefCell<Vec<String>>,
    /// Pairs that were attached.
    attached: RefCell<Vec<(u64, String)>>,
}

/// An answer.
#[derive(Clone)]
pub(crate) struct Reply {
    /// What was asked, for the failure's text.
    asked: String,
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body: String = String::from_utf8_lossy(&self.body).chars().take(400).collect();
        write!(f, "{} answered {} {body}", self.asked, self.status)
    }
}

impl Reply {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("not JSON ({error}): {self:?}"))
    }

    /// A text field of the body.
    pub(crate) fn text(&self, field: &str) -> String {
        let json = self.json();
        let text = json.get(field).and_then(Value::as_str);
        text.unwrap_or_else(|| panic!("no text `{field}`: {self:?}")).to_owned()
    }

    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Its headers but those that are of one request alone.
    pub(crate) fn lasting_headers(&self) -> HeaderMap {
        let mut headers = self.headers.clone();
        for own in ["x-request-id", "date"] {
            headers.remove(own);
        }
        headers
    }

    /// It is a 200 with a JSON body and the headers of every answer.
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.status, 200, "{self:?}");
        self.common();
        let typed = self.header("content-type").unwrap_or_default();
        assert_eq!(typed, "application/json", "{self:?}");
        self
    }

    /// It is a 204 without a body.
    pub(crate) fn no_content(self) -> Self {
        assert_eq!(self.status, 204, "{self:?}");
        self.common();
        assert!(self.body.is_empty(), "a 204 has no body: {self:?}");
        self
    }

    /// It is an error of this status, in the shape of every error, whose message holds each of `words`.
    pub(crate) fn refused(self, status: u16, words: &[&str]) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self.common();
        let typed = self.header("content-type").unwrap_or_default();
        assert_eq!(typed, "application/json", "{self:?}");
        let json = self.json();
        let fields: Vec<&String> = json
            .as_object()
            .map(|object| object.keys().collect())
            .unwrap_or_default();
        assert_eq!(fields, ["code", "msg"], "{self:?}");
        assert_eq!(json.get("code"), Some(&json!(status)), "{self:?}");
        let msg = self.text("msg");
        assert!(msg.len() > 10, "a sentence: {self:?}");
        for word in words {
            assert!(msg.contains(word), "the message says {word}: {self:?}");
        }
        self
    }

    fn common(&self) {
        assert_eq!(self.header("cache-control"), Some("no-store"), "{self:?}");
        let id = self.header("x-request-id").unwrap_or_default();
        assert!(!id.is_empty(), "an x-request-id: {self:?}");
    }
}

/// A request in the making.
pub(crate) struct Call<'w> {
    world: &'w World<'w>,
    caller: Option<&'w Caller>,
    request: http::request::Builder,
    body: Bytes,
    about: String,
}

impl<'w> Call<'w> {
    pub(crate) fn header(mut self, name: &'static str, value: &[u8]) -> Self {
        let value = http::HeaderValue::from_bytes(value).expect("a header's value");
        self.request = self.request.header(name, value);
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) async fn reply(self) -> Reply {
        let shown: String = String::from_utf8_lossy(&self.body).chars().take(120).collect();
        let asked = format!("{} {shown}", self.about);
        let request = self.request.body(self.body).expect("a request");
        match self.world.target.send(self.caller, request).await {
            Ok(response) => {
                let (head, body) = response.into_parts();
                Reply {
                    asked,
                    status: head.status.as_u16(),
                    headers: head.headers,
                    body,
                }
            }
            Err(why) => panic!("{asked}: no answer: {why}"),
        }
    }
}

impl<'t> World<'t> {
    pub(crate) fn new(target: &'t dyn Target, setting: Setting) -> Self {
        let mut seed = [0; 8];
        SystemHost.fill(&mut seed);
        Self {
            target,
            setting,
            // Room for a thousand ids of workspaces below 2^53.
            seed: u64::from_le_bytes(seed) >> 22,
            made: Cell::new(0),
            connections: RefCell::default(),
            attached: RefCell::default(),
        }
    }

    fn next(&self) -> u64 {
        self.made.set(self.made.get() + 1);
        self.made.get()
    }

    /// A name that nobody has used. In the order of asking, byte order included.
    pub(crate) fn name(&self) -> String {
        format!("case-{:011x}-{:04}", self.seed, self.next())
    }

    /// An id of no workspace so far.
    pub(crate) fn unused_workspace(&self) -> u64 {
        (self.seed + 1) * 1024 + self.next()
    }

    /// An id of no connection.
    pub(crate) fn unused_id(&self) -> String {
        let mut random = [0; 16];
        SystemHost.fill(&mut random);
        ConnectionId::from_random(random).to_string()
    }

    /// A workspace to attach to. In `open` mode none is made, since a server keeps workspaces for ever.
    pub(crate) async fn workspace(&self) -> u64 {
        match self.setting.workspaces {
            Workspaces::Open => self.unused_workspace(),
            Workspaces::Managed => self.create_workspace(None, &self.name()).await,
        }
    }

    /// The name of a workspace that [`Self::workspace`] gave.
    pub(crate) async fn workspace_name(&self, id: u64) -> String {
        let list = self.post("workspaces/list", &json!({})).await.ok().json();
        let all = list.get("workspaces").and_then(Value::as_array).expect("workspaces");
        let found = all.iter().find(|one| one.get("id") == Some(&json!(id)));
        let name = found.and_then(|one| one.get("name")).and_then(Value::as_str);
        name.unwrap_or_else(|| panic!("workspace {id} is not listed"))
            .to_owned()
    }

    pub(crate) async fn create_workspace(&self, caller: Option<&'t Caller>, name: &str) -> u64 {
        let body = json!({ "workspace_name": name }).to_string();
        let reply = self.call(caller, "workspaces/create").body(body).reply().await.ok();
        let id = reply.json().get("workspace_id").and_then(Value::as_u64);
        id.unwrap_or_else(|| panic!("no integer `workspace_id`: {reply:?}"))
    }

    /// A request of any method to any path.
    pub(crate) fn request(&'t self, caller: Option<&'t Caller>, method: Method, path: &str) -> Call<'t> {
        Call {
            about: format!("{method} {path}"),
            request: Request::builder().method(method).uri(path),
            body: Bytes::new(),
            world: self,
            caller,
        }
    }

    /// A `POST` below `/v1/api/`, with the header of JSON.
    pub(crate) fn call(&self, caller: Option<&'t Caller>, path: &str) -> Call<'_> {
        let method = Method::POST;
        Call {
            about: path.to_owned(),
            request: Request::builder()
                .method(method)
                .uri(format!("/v1/api/{path}"))
                .header("content-type", "application/json"),
            body: Bytes::new(),
            world: self,
            caller,
        }
    }

    /// A `POST` of JSON below `/v1/api/`, as everybody.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.raw(path, body.to_string()).await
    }

    /// A `POST` of any bytes below `/v1/api/`, as everybody.
    pub(crate) async fn raw(&self, path: &str, body: impl Into<Bytes>) -> Reply {
        self.call(None, path).body(body).reply().await
    }

    /// Creates a connection with these details, as JSON text; gives its id.
    pub(crate) async fn create(&self, name: &str, details: &str) -> String {
        let body = format!("{{\"name\":{},\"type\":\"KAFKA\",\"details\":{details}}}", json!(name));
        let id = self.raw("connections/create", body).await.ok().text("id");
        self.connections.borrow_mut().push(name.to_owned());
        id
    }

    /// Creates a connection of any name; gives name and id.
    pub(crate) async fn some(&self) -> (String, String) {
        let name = self.name();
        let id = self.create(&name, "{\"host\":\"h\"}").await;
        (name, id)
    }

    /// Creates as somebody.
    pub(crate) async fn create_as(&self, caller: &'t Caller, name: &str) -> String {
        let body = json!({ "name": name, "type": "KAFKA", "details": { "of": caller.subject.as_str() } });
        let call = self.call(Some(caller), "connections/create").body(body.to_string());
        call.reply().await.ok().text("id")
    }

    /// A `POST` of JSON as somebody.
    pub(crate) async fn post_as(&self, caller: &'t Caller, path: &str, body: &Value) -> Reply {
        self.call(Some(caller), path).body(body.to_string()).reply().await
    }

    /// A `POST` of JSON without a token.
    pub(crate) async fn post_as_nobody(&self, path: &str, body: &Value) -> Reply {
        let mut call = self.call(None, path).body(body.to_string());
        call.request = call.request.extension(Nobody);
        call.reply().await
    }

    /// A `POST` of JSON as the operator.
    pub(crate) async fn post_as_operator(&self, path: &str, body: &Value) -> Reply {
        let bearer = format!("Bearer {}", operator::token().expose_secret());
        let call = self.call(None, path).header("authorization", bearer.as_bytes());
        call.body(body.to_string()).reply().await
    }

    /// What the target's store has been asked for since this was called last, where that can be told.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.target.requests()
    }

    pub(crate) async fn try_attach(&self, workspace: u64, id: &str) -> Reply {
        self.attached.borrow_mut().push((workspace, id.to_owned()));
        let body = json!({ "workspace_id": workspace, "connection_id": id });
        self.post("connections/add_to_workspace", &body).await
    }

    pub(crate) async fn attach(&self, workspace: u64, id: &str) -> String {
        self.try_attach(workspace, id).await.ok().text("id")
    }

    pub(crate) async fn detach(&self, workspace: u64, id: &str) -> Reply {
        let body = json!({ "workspace_id": workspace, "connection_id": id });
        self.post("connections/remove_from_workspace", &body).await
    }

    pub(crate) async fn delete(&self, name: &str) -> Reply {
        self.post("connections/delete", &json!({ "name": name })).await
    }

    pub(crate) async fn get(&self, name: &str) -> Reply {
        self.post("connections/get", &json!({ "name": name })).await
    }

    pub(crate) async fn get_by_id(&self, id: &str) -> Reply {
        self.post("connections/get_by_id", &json!({ "id": id })).await
    }

    pub(crate) async fn list(&self, body: Value) -> Listed {
        Listed::new(&self.post("connections/list", &body).await)
    }

    /// Every page of a list from its first to its last; each goes on where the one before it ended.
    pub(crate) async fn pages(&self, mut body: Value) -> Vec<Listed> {
        let mut pages = Vec::<Listed>::new();
        loop {
            let page = self.list(body.clone()).await;
            if let Some(before) = pages.last() {
                let (last, first) = (before.names.last(), page.names.first());
                assert!(last < first, "after {last:?} comes {first:?}");
            }
            let next = page.next.clone();
            pages.push(page);
            let Some(cursor) = next else { return pages };
            body["cursor"] = cursor.into();
        }
    }

    /// Somebody of a tenant that only this case knows.
    pub(crate) fn caller(&self, subject: &str, admin: bool) -> Caller {
        Caller {
            tenant: Tenant::new(&format!("case-{:x}", self.seed)).expect("a tenant"),
            subject: Subject::new(subject).expect("a subject"),
            email: None,
            admin,
        }
    }

    /// Takes away what the case made, as far as it can be.
    pub(crate) async fn tidy(&self) {
        let attached = self.attached.take();
        for (workspace, id) in attached {
            _ = self.detach(workspace, &id).await;
        }
        let connections = self.connections.take();
        for name in connections {
            _ = self.delete(&name).await;
        }
    }
}

/// A page of `list`.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) names: Vec<String>,
    pub(crate) rows: Vec<Value>,
    pub(crate) next: Option<String>,
    pub(crate) bytes: usize,
}

impl Listed {
    pub(crate) fn new(reply: &Reply) -> Self {
        let json = reply.clone().ok().json();
        let object = json.as_object().expect("an object");
        let known = |field: &String| field == "connections" || field == "next_cursor";
        assert!(
            object.keys().all(known),
            "connections, next_cursor and nothing else: {reply:?}"
        );
        let rows = object
            .get("connections")
            .and_then(Value::as_array)
            .expect("connections")
            .clone();
        let name = |row: &Value| row.get("name").and_then(Value::as_str).expect("a name").to_owned();
        Self {
            names: rows.iter().map(name).collect(),
            rows,
            next: object.get("next_cursor").map(|cursor| {
                let cursor = cursor.as_str().expect("a text `next_cursor`");
                cursor.to_owned()
            }),
            bytes: reply.body.len(),
        }
    }
}
