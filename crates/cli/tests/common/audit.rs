//! Audit records in a log that has nothing else: what the homes leave that keep no trail themselves.

use serde_json::{Map, Value, json};

/// Calls of ann's, of the tenant acme, and how they are answered. The last one comes to no operation.
pub const CALLS: [(&str, &str, u16); 5] = [
    (
        "connections/create",
        r#"{"name":"a","type":"T","details":"hunter2"}"#,
        200,
    ),
    ("connections/get", r#"{"name":"a"}"#, 200),
    ("connections/list", r#"{"details":false}"#, 200),
    ("connections/delete", r#"{"name":"b"}"#, 404),
    ("connections/get", r#"{"nam":"a"}"#, 400),
];

/// The records that they leave, where the first was answered with `created`.
pub fn expected(created: &Value, request_id: &str, address: &str) -> Vec<Value> {
    let record = |kind: &str, operation: &str, more: Value| {
        let mut record = json!({
            "tenant": "acme", "subject": "ann", "kind": kind, "operation": operation,
            "outcome": "done", "request_id": request_id, "address": address,
        });
        record
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        record
    };
    let named = json!({ "name": "a", "connections": [created["id"]] });
    let missing = json!({ "name": "b", "outcome": "not_found", "status": 404 });
    vec![
        record("change", "connections/create", named.clone()),
        record("details.read", "connections/get", named),
        record("look", "connections/list", json!({})),
        record("change", "connections/delete", missing),
    ]
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
