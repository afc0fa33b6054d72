//! The operator's calls over a store with more than one key.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may panic"
)]

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use patchbay_core::api::{Answer, Config, Patchbay};
use patchbay_core::identity::Authentication;
use patchbay_core::model::{ConnectionId, ConnectionType, Details, Timestamp, Workspaces};
use patchbay_core::seal::{Draft, KeyRing};
use patchbay_core::store::Store;
use patchbay_testkit::faults::{Late, LateStore};
use patchbay_testkit::sample::{caller, name};
use patchbay_testkit::{MemoryStore, SystemHost, operator};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

const OLD: &str = "old:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const NEW: &str = "new:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB";
const MISTYPED: &str = "new:CBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB";

/// A home that nobody told how to know its callers: the operator is known all the same.
fn home<S: Store>(store: S, keys: &[&str]) -> Patchbay<S, SystemHost> {
    let config = Config {
        authentication: Authentication::NotConfigured,
        workspaces: Workspaces::Managed,
        answer_bytes: 1024 * 1024,
    };
    let ring = KeyRing::parse(&keys.join(",")).unwrap();
    Patchbay::new(store, ring, SystemHost, config).with_operators(operator::operators())
}

/// Connections of two tenants, as this ring seals them.
async fn filled(store: &MemoryStore, keys: &str, numbers: std::ops::Range<u8>) {
    let ring = KeyRing::parse(keys).unwrap();
    for number in numbers {
        let who = caller(["acme", "zoo"][usize::from(number % 2)], "root", true);
        let draft = Draft {
            id: ConnectionId::from_random([number; 16]),
            name: name(&format!("c{number}")),
            connection_type: ConnectionType::new("K").unwrap(),
            owner: who.subject.clone(),
            created_at: Timestamp::from_micros(1),
        };
        let record = ring.seal(&SystemHost, &who.tenant, draft, &Details::null());
        store.create(&who, record).await.unwrap();
    }
}

async fn call<S: Store>(home: &Patchbay<S, SystemHost>, what: &str, body: &Value) -> (u16, Value, Answer) {
    ask(home, &format!("admin/keys/{what}"), body).await
}

async fn ask<S: Store>(home: &Patchbay<S, SystemHost>, operation: &str, body: &Value) -> (u16, Value, Answer) {
    let request = Request::post(format!("/v1/api/{operation}"))
        .header("authorization", format!("Bearer {}", operator::token().expose_secret()));
    let (head, ()) = request.body(()).unwrap().into_parts();
    let answer = match home.admit(&head).await {
        Ok(admitted) => home.answer(admitted, Bytes::from(body.to_string())).await,
        Err(answer) => answer,
    };
    let status = answer.response.status().as_u16();
    (status, serde_json::from_slice(answer.response.body()).unwrap(), answer)
}

async fn status<S: Store>(home: &Patchbay<S, SystemHost>) -> Value {
    let (status, json, _) = call(home, "status", &json!({})).await;
    assert_eq!(status, 200, "{json}");
    json["keys"].clone()
}

fn key(id: &str, records: u64, sealing: bool, available: bool) -> Value {
    json!({ "id": id, "records": records, "sealing": sealing, "available": available })
}

#[tokio::test]
async fn a_rotation_goes_on_from_call_to_call_until_the_old_key_seals_nothing() {
    let store = MemoryStore::default();
    filled(&store, OLD, 0..25).await;
    let home = home(store.clone(), &[NEW, OLD]);
    assert_eq!(
        status(&home).await,
        json!([key("new", 0, true, true), key("old", 25, false, true)])
    );
    let (mut resealed, mut body) = (Vec::new(), json!({ "limit": 7 }));
    loop {
        let (status, json, _) = call(&home, "reseal", &body).await;
        assert_eq!(status, 200, "{json}");
        resealed.push(json["resealed"].as_u64().unwrap());
        let Some(next) = json.get("next_cursor") else { break };
        assert!(!next.to_string().contains("acme"), "{next}");
        body["cursor"] = next.clone();
    }
    assert_eq!(resealed, [7, 7, 7, 4]);
    assert_eq!(
        status(&home).await,
        json!([key("new", 25, true, true), key("old", 0, false, true)])
    );
    let without_old = self::home(store, &[NEW]);
    assert_eq!(status(&without_old).await, json!([key("new", 25, true, true)]));
}

#[tokio::test]
async fn a_cursor_is_good_for_its_own_walk_while_the_same_key_seals() {
    let store = MemoryStore::default();
    filled(&store, OLD, 0..3).await;
    let both = home(store.clone(), &[NEW, OLD]);
    let (_, json, _) = call(&both, "reseal", &json!({ "limit": 1 })).await;
    let body = json!({ "cursor": json["next_cursor"] });
    let turned = home(store, &[OLD, NEW]);
    for refused in [call(&turned, "reseal", &body).await, call(&both, "status", &body).await] {
        let (status, json, _) = refused;
        assert!(status == 400 && json["msg"].to_string().contains("`cursor`"), "{json}");
    }
    let (status, json, _) = call(&both, "reseal", &body).await;
    assert_eq!((status, &json), (200, &json!({ "resealed": 2 })));
}

#[tokio::test]
async fn a_wrong_secret_is_409_and_what_does_not_open_is_in_the_log() {
    let store = MemoryStore::default();
    filled(&store, OLD, 0..2).await;
    filled(&store, NEW, 2..3).await;
    let wrong = home(store.clone(), &[MISTYPED, OLD]);
    let (refused, json, _) = call(&wrong, "reseal", &json!({})).await;
    assert!(refused == 409 && json["msg"].to_string().contains("`new`"), "{json}");

    let without_old = home(store, &[NEW]);
    let (done, json, answer) = call(&without_old, "reseal", &json!({})).await;
    assert_eq!((done, &json), (200, &json!({ "resealed": 0 })));
    let problem = answer.log.problem.unwrap();
    assert!(problem.starts_with("not sealed again: 2: connection "), "{problem}");
    assert!(
        problem.contains("of the tenant zoo: the key `old` is not in the key ring"),
        "{problem}"
    );
    assert_eq!(
        status(&without_old).await,
        json!([key("new", 1, true, true), key("old", 2, false, false)])
    );
}

#[tokio::test]
async fn over_a_store_that_lends_nothing_the_calls_are_501() {
    let home = home(
        LateStore::new(MemoryStore::default(), Late::Reads, Duration::ZERO),
        &[NEW],
    );
    for what in ["status", "reseal"] {
        let (status, json, answer) = call(&home, what, &json!({})).await;
        assert_eq!((status, &json["code"]), (501, &json!(501)));
        assert!(!answer.log.failed, "nothing is wrong with the server");
    }
}

/// The record without what every one has.
fn record(answer: &Answer) -> Value {
    let record = answer.audit.as_ref().unwrap().to_json();
    let mut record: Value = serde_json::from_str(&record).unwrap();
    let fields = record.as_object_mut().unwrap();
    for common in ["at", "request_id"] {
        fields.remove(common).unwrap();
    }
    assert_eq!(fields.remove("subject").unwrap(), "operator");
    record
}

#[tokio::test]
async fn an_operators_calls_leave_records_of_no_tenant_and_the_log_names_the_operator() {
    let store = MemoryStore::default();
    filled(&store, OLD, 0..3).await;
    let home = home(store, &[NEW, OLD]);
    let done = |kind: &str, operation: &str| json!({ "kind": kind, "operation": operation, "outcome": "done" });

    let (_, _, answer) = call(&home, "status", &json!({})).await;
    assert_eq!(record(&answer), done("look", "admin/keys/status"));
    let log = answer.log;
    assert_eq!((log.operator.unwrap().as_str(), log.tenant), ("operator", None));
    for count in [3, 0] {
        let (_, _, answer) = call(&home, "reseal", &json!({})).await;
        let mut expected = done("change", "admin/keys/reseal");
        expected["count"] = json!(count);
        assert_eq!(record(&answer), expected);
    }

    let (status, _, answer) = ask(&home, "connections/list", &json!({})).await;
    let forbidden = json!({ "kind": "look", "operation": "connections/list", "outcome": "forbidden", "status": 403 });
    assert_eq!((status, record(&answer)), (403, forbidden));
    assert_eq!(answer.log.operator.unwrap().as_str(), "operator");
    let (status, _, answer) = call(&home, "status", &json!({ "of": "all" })).await;
    assert_eq!((status, answer.audit), (400, None));
}
