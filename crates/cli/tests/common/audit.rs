//! Which audit records calls leave, in each home: in a trail, or in a log that has nothing else.

use std::process::Command;

use serde_json::{Map, Value, json};

use super::{Server, new_token};

/// Calls of ann's, of the tenant acme, where there is nothing yet, and how they are answered; `ID` stands for the id with
/// which the first is answered. The last one comes to no operation.
pub const CALLS: [(&str, &str, u16); 16] = [
    (
        "connections/create",
        r#"{"name":"a","type":"T","details":"hunter2"}"#,
        200,
    ),
    ("connections/get", r#"{"name":"a"}"#, 200),
    ("connections/get_by_id", r#"{"id":"ID"}"#, 200),
    ("connections/list", "{}", 200),
    ("connections/list", r#"{"details":false}"#, 200),
    ("workspaces/create", r#"{"workspace_name":"w"}"#, 200),
    ("workspaces/list", "{}", 200),
    ("workspaces/add_user", r#"{"workspace_id":1,"user_id":"bob"}"#, 200),
    ("workspaces/list_users", r#"{"workspace_id":1}"#, 200),
    ("workspaces/remove_user", r#"{"workspace_id":1,"user_id":"bob"}"#, 200),
    (
        "connections/add_to_workspace",
        r#"{"workspace_id":1,"connection_id":"ID"}"#,
        200,
    ),
    ("connections/delete", r#"{"name":"a"}"#, 409),
    (
        "connections/remove_from_workspace",
        r#"{"workspace_id":1,"connection_id":"ID"}"#,
        204,
    ),
    ("connections/delete", r#"{"name":"b"}"#, 404),
    ("connections/delete", r#"{"name":"a"}"#, 204),
    ("connections/get", r#"{"nam":"a"}"#, 400),
];

/// The body of a call, where the first was answered with `created`.
pub fn body(body: &str, created: &Value) -> String {
    body.replace("ID", created["id"].as_str().unwrap_or_default())
}

/// The records that they leave, where the first was answered with `created`.
pub fn expected(created: &Value, request_id: &str, address: &str) -> Vec<Value> {
    let named = |more: Value| joined(json!({ "name": "a", "connections": [created["id"]] }), more);
    let (room, bob) = (json!({ "workspace": 1 }), json!({ "workspace": 1, "user_id": "bob" }));
    let left = [
        ("change", named(json!({}))),
        ("details.read", named(json!({}))),
        ("details.read", named(json!({}))),
        ("details.read", json!({ "connections": [created["id"]] })),
        ("look", json!({})),
        ("change", json!({ "name": "w", "workspace": 1 })),
        ("look", json!({})),
        ("change", joined(json!({ "user_type": "COLLABORATOR" }), bob.clone())),
        ("look", room.clone()),
        ("change", bob),
        ("change", named(room.clone())),
        ("change", named(json!({ "outcome": "conflict", "status": 409 }))),
        ("change", named(room)),
        ("change", json!({ "name": "b", "outcome": "not_found", "status": 404 })),
        ("change", named(json!({}))),
    ];
    let record = |((kind, more), (operation, ..)): ((&str, Value), (&str, &str, u16))| {
        let record = json!({
            "tenant": "acme", "subject": "ann", "kind": kind, "operation": operation,
            "outcome": "done", "request_id": request_id, "address": address,
        });
        joined(record, more)
    };
    left.into_iter().zip(CALLS).map(record).collect()
}

/// Has a server know ann, for whom `create` makes a token. Gives what a request of hers is.
pub fn knows_ann(serve: &mut Command, mut create: Command) -> impl Fn(&str, &str) -> String + use<> {
    create.args(["--tenant", "acme", "--subject", "ann"]);
    let (token, entry) = new_token(create);
    serve.env("PATCHBAY_AUTH", "tokens").env("PATCHBAY_TOKENS", entry);
    let head = format!("host: localhost\r\nconnection: close\r\nauthorization: Bearer {token}\r\nx-request-id: r1\r\n");
    move |operation, body| {
        let length = body.len();
        format!("POST /v1/api/{operation} HTTP/1.1\r\n{head}content-length: {length}\r\n\r\n{body}")
    }
}

/// Makes all of [`CALLS`], and gives how the first was answered.
pub fn call_all(server: &Server, request: impl Fn(&str, &str) -> String) -> Value {
    let mut created = Value::Null;
    for (operation, text, status) in CALLS {
        let answer = server.raw(request(operation, &body(text, &created)).as_bytes());
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{operation}: {answer}"
        );
        if operation == "connections/create" {
            let (_, body) = answer.split_once("\r\n\r\n").unwrap();
            created = serde_json::from_str(body).unwrap();
        }
    }
    created
}

/// One object with the fields of both.
fn joined(mut one: Value, other: Value) -> Value {
    let fields = one.as_object_mut().unwrap();
    fields.extend(other.as_object().unwrap().clone());
    one
}

/// What each line of `log` is a record of, without the time.
pub fn records(log: &str) -> Vec<Value> {
    let record = |line: &str| {
        let mut line: Map<String, Value> = serde_json::from_str(line).unwrap();
        let mut record = line.remove("audit").unwrap();
        assert!(line.is_empty(), "{line:?}");
        assert!(record.as_object_mut().unwrap().remove("at").unwrap().is_string());
        record
    };
    log.lines().map(record).collect()
}
