//! A target against the core over the reference model.

use bytes::Bytes;
use http::Response;
use patchbay_core::model::Invalid;
use proptest::prelude::*;
use serde_json::json;

use super::cast::{NAMES, caller, callers};
use super::store::cast_of;
use crate::target::Target;

/// A well-formed id that nothing has.
const NEVER: &str = "00000000-0000-4000-8000-000000000000";
/// Stands in a body for the id that an answer showed as the n-th: `<3>`.
const IDS: usize = 8;
/// Stands in a body for the last page's cursor.
const CURSOR: &str = "<cursor>";
const UUID: usize = uuid::fmt::Hyphenated::LENGTH;

/// One request of one caller.
#[derive(Debug, Clone)]
pub struct Request {
    who: usize,
    path: &'static str,
    body: String,
}

fn fields(fields: Vec<Option<(&'static str, String)>>) -> String {
    let fields: Vec<String> = fields
        .into_iter()
        .flatten()
        .map(|(name, value)| format!("\"{name}\":{value}"))
        .collect();
    format!("{{{}}}", fields.join(","))
}

/// A value as one of these texts of JSON.
fn one_of(texts: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(texts).prop_map(str::to_owned)
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        12 => prop::sample::select(&NAMES[..]).prop_map(|name| json!(name).to_string()),
        1 => one_of(&["\"\"", "\" a\"", "\"a\\u0000\"", "null", "7", "[]", "\"\\ud800\"", "\"\\u0061\"", "\"workspace-7\""]),
    ]
}

fn id() -> impl Strategy<Value = String> {
    prop_oneof![
        12 => (0..IDS).prop_map(|place| format!("\"<{place}>\"")),
        1 => one_of(&["\"00000000-0000-1000-8000-000000000000\"", "\"x\"", "\"\"", "null", "1"]),
    ]
}

fn workspace() -> impl Strategy<Value = String> {
    prop_oneof![
        12 => (1..5_u64).prop_map(|id| id.to_string()),
        2 => (1..5_u64).prop_map(|id| format!("\"{id}\"")),
        1 => one_of(&["0", "-1", "1.0", "1e0", "\"01\"", "\"\"", "9007199254740991", "9007199254740992", "null", "true"]),
    ]
}

fn details() -> impl Strategy<Value = String> {
    one_of(&[
        "{}",
        "{\"b\":1.0,\"a\":[1e400],\"b\":\"\\ud800\"}",
        "\"text\"",
        "null",
        "12",
        "[1]",
        "{ \"spaced\" : true }",
        "{\"a\":",
    ])
}

fn limit() -> impl Strategy<Value = String> {
    prop_oneof![6 => (1..4_u8).prop_map(|limit| limit.to_string()), 1 => one_of(&["0", "1001", "1000", "\"1\"", "1.5", "null"])]
}

fn cursor() -> impl Strategy<Value = String> {
    prop_oneof![6 => Just(format!("\"{CURSOR}\"")), 1 => one_of(&["\"\"", "\"k1.AAAA\"", "3"])]
}

fn user() -> impl Strategy<Value = String> {
    one_of(&["\"ann\"", "\"bob\"", "\"root\"", "\"bob@x\"", "\"ANN@X\"", "\"\"", "1"])
}

fn email() -> impl Strategy<Value = String> {
    one_of(&["\"ann@x\"", "\"ANN@X\"", "\"Bob@x\"", "\"\"", "[]"])
}

fn role() -> impl Strategy<Value = String> {
    one_of(&["\"OWNER\"", "\"Owner\"", "\"collaborator\"", "\"ADMIN\"", "null", "2"])
}

/// A field that is there, or for once not.
fn given(
    name: &'static str,
    value: impl Strategy<Value = String>,
) -> impl Strategy<Value = Option<(&'static str, String)>> {
    prop::option::weighted(0.97, value).prop_map(move |value| value.map(|value| (name, value)))
}

/// A field that may be there.
fn perhaps(
    name: &'static str,
    value: impl Strategy<Value = String>,
) -> impl Strategy<Value = Option<(&'static str, String)>> {
    prop::option::of(value).prop_map(move |value| value.map(|value| (name, value)))
}

/// Up to `most` requests, most of them in order.
pub fn requests(most: usize) -> impl Strategy<Value = Vec<Request>> {
    let pair =
        || (given("workspace_id", workspace()), given("connection_id", id())).prop_map(|(one, two)| vec![one, two]);
    let call = prop_oneof![
        8 => (given("name", name()), given("type", Just("\"KAFKA\"".to_owned())), perhaps("details", details()))
            .prop_map(|(name, kind, details)| ("connections/create", vec![name, kind, details])),
        3 => given("name", name()).prop_map(|name| ("connections/get", vec![name])),
        2 => given("id", id()).prop_map(|id| ("connections/get_by_id", vec![id])),
        8 => (perhaps("workspace_id", workspace()), perhaps("limit", limit()), perhaps("cursor", cursor()))
            .prop_map(|(workspace, limit, cursor)| ("connections/list", vec![workspace, limit, cursor])),
        6 => pair().prop_map(|pair| ("connections/add_to_workspace", pair)),
        3 => pair().prop_map(|pair| ("connections/remove_from_workspace", pair)),
        2 => given("name", name()).prop_map(|name| ("connections/delete", vec![name])),
        3 => given("workspace_name", name()).prop_map(|name| ("workspaces/create", vec![name])),
        2 => perhaps("user_id", user())
            .prop_map(|of| ("workspaces/list", vec![of])),
        2 => (given("workspace_id", workspace()), given("user_id", user()), perhaps("email", email()), perhaps("user_type", role()))
            .prop_map(|(at, user, email, role)| ("workspaces/add_user", vec![at, user, email, role])),
        1 => (given("workspace_id", workspace()), given("email", email()), perhaps("user_type", role()))
            .prop_map(|(at, email, role)| ("workspaces/add_user", vec![at, email, role])),
        1 => given("workspace_id", workspace()).prop_map(|at| ("workspaces/list_users", vec![at])),
        1 => (given("workspace_id", workspace()), perhaps("user_id", user()), perhaps("email", email()))
            .prop_map(|(at, user, email)| ("workspaces/remove_user", vec![at, user, email])),
        1 => Just(("connections/nothing", vec![])),
    ];
    let spoiled = prop_oneof![
        20 => Just(None),
        1 => one_of(&["", "[]", "{", "null", "{}x", "{\"unknown\":1}", "{\"name\":\"a\",\"name\":\"a\"}", "\u{feff}{}"]).prop_map(Some),
    ];
    let request = (callers(), call, spoiled).prop_map(|(who, (path, given), spoiled)| Request {
        who,
        path,
        body: spoiled.unwrap_or_else(|| fields(given)),
    });
    prop::collection::vec(request, 1..=most)
}

/// What a target's answers have shown so far: what differs between two homes that are the same.
#[derive(Default)]
struct Shown {
    ids: Vec<String>,
    cursor: String,
}

impl Shown {
    /// A body with this target's own ids and cursor.
    fn fill(&self, body: &str) -> String {
        (0..IDS).fold(body.replace(CURSOR, &self.cursor), |body, place| {
            body.replace(&format!("<{place}>"), self.ids.get(place).map_or(NEVER, String::as_str))
        })
    }

    /// An answer with ids by their place, and without times and cursors.
    fn plain(&mut self, answer: &Response<Bytes>) -> String {
        let mut rest = std::str::from_utf8(answer.body()).unwrap_or("(not UTF-8)");
        let mut plain = answer.status().to_string();
        for name in ["content-type", "cache-control", "allow", "retry-after"] {
            plain += &format!(" {name}: {:?}", answer.headers().get(name));
        }
        while let Some(next) = rest.chars().next() {
            let (time, cursor) = ("\"created_at\":\"", "\"next_cursor\":\"");
            if let Some((_, after)) = rest.strip_prefix(time).and_then(|rest| rest.split_once('"')) {
                plain += time;
                rest = after;
            } else if let Some((value, after)) = rest.strip_prefix(cursor).and_then(|rest| rest.split_once('"')) {
                value.clone_into(&mut self.cursor);
                plain += cursor;
                rest = after;
            } else if let Some(id) = rest.get(..UUID).filter(|id| uuid::Uuid::try_parse(id).is_ok()) {
                let place = self.ids.iter().position(|known| known == id).unwrap_or_else(|| {
                    self.ids.push(id.to_owned());
                    self.ids.len() - 1
                });
                plain += &format!("<{place}>");
                rest = rest.get(UUID..).unwrap_or_default();
            } else {
                plain.push(next);
                rest = rest.get(next.len_utf8()..).unwrap_or_default();
            }
        }
        plain
    }
}

/// Sends the requests to `target` and to `model`, in tenants of this case's own or, where there is none, all on behalf of
/// everybody, and compares status, headers and body of each answer, apart from random ids (which are matched by the order
/// in which they show), times and cursors. Gives the statuses.
///
/// # Errors
/// The first request whose answers differ, and both.
pub async fn same_answers(
    target: &dyn Target,
    model: &dyn Target,
    case: Option<u64>,
    requests: &[Request],
) -> Result<Vec<u16>, String> {
    let mut statuses = Vec::new();
    let (mut by_target, mut by_model) = (Shown::default(), Shown::default());
    for (place, request) in (0..).zip(requests) {
        let caller = case.map(|case| caller(&cast_of(case), request.who));
        let caller = caller.transpose().map_err(|invalid: Invalid| invalid.to_string())?;
        let answer = async |target: &dyn Target, shown: &mut Shown| {
            let sent = http::Request::post(format!("/v1/api/{}", request.path))
                .body(Bytes::from(shown.fill(&request.body)))
                .map_err(|error| error.to_string())?;
            let answer = target.send(caller.as_ref(), sent).await?;
            Ok::<_, String>((answer.status().as_u16(), shown.plain(&answer)))
        };
        let (status, expected) = answer(model, &mut by_model).await?;
        let (_, answer) = answer(target, &mut by_target).await?;
        if expected != answer {
            return Err(format!(
                "request {place}, {request:?}:\n the model {expected}\n the target {answer}"
            ));
        }
        statuses.push(status);
    }
    Ok(statuses)
}
