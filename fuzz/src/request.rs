//! A whole request over the store in memory. The input is a request as HTTP/1.1 writes it: a line with method and path,
//! lines of headers, an empty line, the body.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Method, Request, StatusCode};
use patchbay_core::api::{Config, Patchbay, route};
use patchbay_core::identity::Authentication;
use patchbay_core::limits;
use patchbay_core::model::{ConnectionType, Name, Subject, Workspaces};
use patchbay_core::seal::KeyRing;
use patchbay_testkit::MemoryStore;

use crate::reference::{Object, string};
use crate::still::Still;

#[allow(clippy::expect_used, reason = "a constant")]
static RING: LazyLock<Arc<KeyRing>> = LazyLock::new(|| {
    let ring = KeyRing::parse("k1:fuzzing-fuzzing-fuzzing-fuzzing-fuzzing-fuzzing");
    Arc::new(ring.expect("a key ring"))
});

/// The details of the connection that is there already.
const DETAILS: &str = "{\"a\" : \"\\/\\u00e9\", \"a\":1.0}";

/// How the body of an answer arrives.
type Way = fn(Bytes) -> Bytes;

pub(crate) fn check(input: &[u8]) {
    hold(input, |body| body);
}

/// Details lose the backslash of `\/`, but for those that were there already.
pub(crate) fn planted(input: &[u8]) {
    hold(input, |body| match std::str::from_utf8(&body) {
        Ok(text) if !text.contains(DETAILS) => text.replace("\\/", "/").into(),
        _ => body,
    });
}

/// A registry with the connection `w` in workspace 7, with authentication off.
struct Home {
    patchbay: Patchbay<MemoryStore, Still>,
    way: Way,
}

impl Home {
    fn new(way: Way) -> Self {
        let config = Config {
            authentication: Authentication::off(),
            workspaces: Workspaces::Open,
            answer_bytes: 16 * 1024 * 1024,
        };
        let store = MemoryStore::default();
        let home = Self {
            patchbay: Patchbay::new(store, Arc::clone(&RING), Still::default(), config),
            way,
        };
        let body = format!("{{\"name\":\"w\",\"type\":\"K\",\"details\":{DETAILS}}}");
        let (_, made) = home.call("/v1/api/connections/create", body);
        let id = string(member(&made, "id")).unwrap_or_default();
        let body = format!("{{\"workspace_id\":7,\"connection_id\":\"{id}\"}}");
        assert_eq!(
            home.call("/v1/api/connections/add_to_workspace", body).0,
            StatusCode::OK
        );
        home
    }

    #[allow(clippy::expect_used, reason = "constants, and a store that keeps nobody waiting")]
    fn call(&self, path: &str, body: impl Into<Bytes>) -> (StatusCode, String) {
        let request = Request::post(path).body(body.into()).expect("a request");
        self.send(request)
    }

    /// The status, and the body, which must be as the contract wants it.
    #[allow(clippy::expect_used, reason = "a store in memory keeps nobody waiting")]
    fn send(&self, request: Request<Bytes>) -> (StatusCode, String) {
        let (head, body) = request.into_parts();
        let path = head.uri.path().to_owned();
        let answered = async {
            match self.patchbay.admit(&head).await {
                Ok(admitted) => self.patchbay.answer(admitted, body).await,
                Err(answer) => answer,
            }
        };
        let answer = answered.now_or_never().expect("an answer at once");
        let (head, body) = answer.response.into_parts();
        let (status, body) = (head.status, (self.way)(body));
        let text = std::str::from_utf8(&body).expect("an answer in UTF-8").to_owned();
        assert!(head.headers.contains_key("x-request-id"));
        assert_eq!(
            head.headers.get("cache-control").map(|value| value.as_bytes()),
            Some(&b"no-store"[..])
        );
        if status == StatusCode::NO_CONTENT {
            assert_eq!(text, "");
            return (status, text);
        }
        let object = Object::read(&text).expect("an answer that is a JSON object");
        if status != StatusCode::OK {
            let names: Vec<_> = object.members.iter().filter_map(|(name, _)| name.as_deref()).collect();
            assert_eq!(names, ["msg", "code"]);
            assert_eq!(object.get("code"), Some(status.as_str()));
            assert!(object.get("msg").and_then(string).is_some_and(|msg| !msg.is_empty()));
            let as_told = status == StatusCode::NOT_IMPLEMENTED && path == "/v1/api/audit/list";
            assert!(status.as_u16() < 500 || as_told, "{text}");
        }
        (status, text)
    }
}

fn member<'t>(json: &'t str, name: &str) -> &'t str {
    Object::read(json)
        .and_then(|object| object.get(name))
        .unwrap_or_default()
}

/// The request that this is, if it is one.
fn request(input: &[u8]) -> Option<Request<Bytes>> {
    let end = input.windows(2).position(|two| two == b"\n\n")?;
    let (head, body) = (input.get(..end)?, input.get(end + 2..)?);
    let mut lines = head.split(|byte| *byte == b'\n');
    let (method, path) = std::str::from_utf8(lines.next()?).ok()?.split_once(' ')?;
    let mut request = Request::builder().method(method).uri(path);
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        request = request.header(line.get(..colon)?, line.get(colon + 1..)?.trim_ascii());
    }
    request.body(Bytes::copy_from_slice(body)).ok()
}

fn hold(input: &[u8], way: Way) {
    let Some(request) = request(input) else { return };
    let home = Home::new(way);
    let path = request.uri().path().to_owned();
    let body = request.body().clone();
    let by_head = refused_by_head(&request);
    let (status, answer) = home.send(request);
    if let Some(expected) = by_head {
        assert_eq!(status, expected);
        return;
    }
    assert!(!matches!(status.as_u16(), 401 | 405 | 408 | 415 | 429), "{status}");
    let Some(operation) = path.strip_prefix("/v1/api/") else {
        return;
    };
    match judge(operation, &body) {
        Judgement::Wrong => assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}"),
        Judgement::Right => assert_ne!(status, StatusCode::BAD_REQUEST, "{answer}"),
        Judgement::Open => {}
    }
    if status == StatusCode::OK {
        printed_back(&home, operation, &body, &answer);
    }
}

/// What the head alone makes of the request, in the contract's order.
fn refused_by_head(request: &Request<Bytes>) -> Option<StatusCode> {
    let path = request.uri().path();
    if route(path).is_none() {
        return Some(StatusCode::NOT_FOUND);
    }
    let reads = ["/v1/api/config", "/healthz", "/readyz"].contains(&path);
    if request.method() != if reads { Method::GET } else { Method::POST } {
        return Some(StatusCode::METHOD_NOT_ALLOWED);
    }
    if reads {
        return None;
    }
    let text = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap_or("?"));
    let length = text("content-length").and_then(|length| length.trim().parse::<u64>().ok());
    if length.is_some_and(|length| length > 524_288) {
        return Some(StatusCode::PAYLOAD_TOO_LARGE);
    }
    let essence = text("content-type").map(|value| value.split(';').next().unwrap_or("").trim().to_lowercase());
    let json = match essence
        .as_deref()
        .and_then(|essence| essence.strip_prefix("application/"))
    {
        None => essence.is_none(),
        Some("json") => true,
        Some(subtype) => subtype.len() > 5 && subtype.ends_with("+json"),
    };
    let once = request.headers().get_all("content-type").iter().count() <= 1;
    (!json || !once).then_some(StatusCode::UNSUPPORTED_MEDIA_TYPE)
}

/// What a body is, for its operation.
enum Judgement {
    /// 400.
    Wrong,
    /// Anything but 400.
    Right,
    /// This page does not say.
    Open,
}

/// The contract's rules for bodies, said a second time.
fn judge(operation: &str, body: &[u8]) -> Judgement {
    let known: &[&str] = match operation {
        "connections/create" => &["name", "type", "details"],
        "connections/get" => &["name", "details"],
        "connections/get_by_id" => &["id", "details"],
        "connections/list" => &["workspace_id", "limit", "cursor", "details"],
        "connections/add_to_workspace" | "connections/remove_from_workspace" => &["workspace_id", "connection_id"],
        "connections/delete" => &["name"],
        "workspaces/create" => &["workspace_name"],
        "workspaces/list" => &["user_id"],
        _ => return Judgement::Open,
    };
    let object = std::str::from_utf8(body).ok().and_then(Object::read);
    let Some(object) = object.filter(|object| object.depth <= 64) else {
        return Judgement::Wrong;
    };
    let names: Vec<_> = object
        .members
        .iter()
        .map(|(name, _)| name.as_deref().unwrap_or("?"))
        .collect();
    let twice = |name: &&&str| names.iter().filter(|other| other == name).count() > 1;
    if names.iter().any(|name| !known.contains(name)) || names.iter().find(twice).is_some() {
        return Judgement::Wrong;
    }
    let value = |field: &str| object.get(field).filter(|json| *json != "null");
    let right = match operation {
        "connections/create" => {
            is_text(value("name"), |text| Name::new(text).is_ok())
                && is_text(value("type"), |text| ConnectionType::new(text).is_ok())
                && value("details")
                    .is_none_or(|json| json.starts_with(['{', '"']) && json.len() <= limits::DETAILS_BYTES)
        }
        "connections/get" => is_text(value("name"), |text| Name::new(text).is_ok()) && is_flag(value("details")),
        "connections/get_by_id" => is_text(value("id"), is_uuid) && is_flag(value("details")),
        "connections/list" if value("cursor").is_some() => return Judgement::Open,
        "connections/list" => {
            value("workspace_id").is_none_or(is_workspace_id)
                && value("limit").is_none_or(|json| digits(json, 1_000))
                && is_flag(value("details"))
        }
        "connections/delete" => is_text(value("name"), |text| Name::new(text).is_ok()),
        "workspaces/create" => is_text(value("workspace_name"), |text| {
            let kept = text.strip_prefix("workspace-");
            let kept = kept.is_some_and(|rest| !rest.is_empty() && rest.chars().all(|digit| digit.is_ascii_digit()));
            Name::new(text).is_ok() && !kept
        }),
        "workspaces/list" => value("user_id").is_none_or(|json| is_text(Some(json), |text| Subject::new(text).is_ok())),
        _ => value("workspace_id").is_some_and(is_workspace_id) && is_text(value("connection_id"), is_uuid),
    };
    if right { Judgement::Right } else { Judgement::Wrong }
}

fn is_text(json: Option<&str>, fits: fn(&str) -> bool) -> bool {
    json.and_then(string).is_some_and(|text| fits(&text))
}

fn is_flag(json: Option<&str>) -> bool {
    matches!(json, None | Some("true" | "false"))
}

fn is_uuid(text: &str) -> bool {
    let groups: Vec<_> = text.split('-').collect();
    let lengths: Vec<_> = groups.iter().map(|group| group.len()).collect();
    lengths == [8, 4, 4, 4, 12] && groups.concat().chars().all(|digit| digit.is_ascii_hexdigit())
}

fn is_workspace_id(json: &str) -> bool {
    match string(json) {
        Some(text) => digits(&text, (1 << 53) - 1),
        None => digits(json, (1 << 53) - 1),
    }
}

/// Whether this is the plain decimal form of a number from 1 to `most`.
fn digits(text: &str, most: u64) -> bool {
    let number = text.parse::<u64>().ok().filter(|number| (1..=most).contains(number));
    number.is_some_and(|number| number.to_string() == text)
}

/// What was taken comes back as it was sent.
fn printed_back(home: &Home, operation: &str, body: &[u8], answer: &str) {
    let sent = std::str::from_utf8(body).ok().and_then(Object::read);
    let value = |field| sent.as_ref().and_then(|object| object.get(field)).unwrap_or("null");
    match operation {
        "connections/create" => {
            let (status, got) = home.call("/v1/api/connections/get", format!("{{\"name\":{}}}", value("name")));
            assert_eq!(status, StatusCode::OK);
            for field in ["name", "type"] {
                assert_eq!(string(member(&got, field)), string(value(field)));
            }
            assert_eq!(member(&got, "details"), value("details"));
            assert_eq!(member(&got, "id"), member(answer, "id"));
        }
        "connections/get" | "connections/get_by_id" => {
            let details = if value("details") == "false" { "null" } else { DETAILS };
            assert_eq!(member(answer, "details"), details);
            assert_eq!(member(answer, "workspace_names"), "[\"workspace-7\"]");
        }
        _ => {}
    }
}
