//! Which record each operation leaves.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use bytes::Bytes;
use http::Request;
use patchbay_core::api::{Answer, ClientAddress, Config, Patchbay, Refusal};
use patchbay_core::identity::Authentication;
use patchbay_core::model::Workspaces;
use patchbay_core::seal::KeyRing;
use patchbay_testkit::sample::caller;
use patchbay_testkit::{MemoryStore, SystemHost};
use serde_json::{Value, json};

const SECRET: &str = "hunter2";

/// The same store, as two people see it.
struct House {
    ann: Patchbay<MemoryStore, SystemHost>,
    bob: Patchbay<MemoryStore, SystemHost>,
}

impl House {
    fn new() -> Self {
        let store = MemoryStore::default();
        let of = |subject| {
            let config = Config {
                authentication: Authentication::Off(caller("t", subject, false)),
                workspaces: Workspaces::Managed,
                answer_bytes: 1024 * 1024,
            };
            let ring = KeyRing::parse("k1:testkit-testkit-testkit-testkit-testkit-testkit").unwrap();
            Patchbay::new(store.clone(), ring, SystemHost, config).with_audit(true)
        };
        Self {
            ann: of("ann"),
            bob: of("bob"),
        }
    }
}

async fn call(patchbay: &Patchbay<MemoryStore, SystemHost>, operation: &str, body: Value) -> Answer {
    let mut request = Request::post(format!("/v1/api/{operation}"))
        .header("x-request-id", "r1")
        .body(())
        .unwrap();
    request.extensions_mut().insert(ClientAddress([192, 0, 2, 7].into()));
    let admitted = patchbay.admit(&request.into_parts().0).await.unwrap();
    patchbay.answer(admitted, Bytes::from(body.to_string())).await
}

/// What was answered, and the record without what all of them have.
async fn told(patchbay: &Patchbay<MemoryStore, SystemHost>, operation: &str, body: Value) -> (Value, Value) {
    let answer = call(patchbay, operation, body).await;
    let record = answer.audit.unwrap().to_json();
    assert!(!record.contains(SECRET), "{record}");
    let mut record: Value = serde_json::from_str(&record).unwrap();
    let common = record.as_object_mut().unwrap();
    assert_eq!(common.remove("tenant").unwrap(), "t");
    assert_eq!(common.remove("operation").unwrap(), operation);
    assert_eq!(common.remove("request_id").unwrap(), "r1");
    assert_eq!(common.remove("address").unwrap(), "192.0.2.7");
    common.remove("at").unwrap();
    let body = serde_json::from_slice(answer.response.body()).unwrap_or_default();
    (body, record)
}

#[tokio::test]
async fn each_operation_leaves_a_record_of_who_did_what_to_which_connection_and_how_it_ended() {
    let House { ann, bob } = House::new();
    let created = json!({"name": "one", "type": "T", "details": {"password": SECRET}});
    let (answer, record) = told(&ann, "connections/create", created.clone()).await;
    let id = answer["id"].as_str().unwrap();
    let done = json!({"subject": "ann", "kind": "change", "connections": [id], "name": "one", "outcome": "done"});
    assert_eq!(record, done);
    let (_, record) = told(&bob, "connections/create", created).await;
    let taken = json!({"subject": "bob", "kind": "change", "name": "one", "outcome": "conflict", "status": 409});
    assert_eq!(record, taken);

    let (answer, record) = told(&ann, "workspaces/create", json!({"workspace_name": "w"})).await;
    let workspace = &answer["workspace_id"];
    let done = json!({"subject": "ann", "kind": "change", "name": "w", "workspace": workspace, "outcome": "done"});
    assert_eq!(record, done);
    let both = json!({"workspace_id": workspace, "connection_id": id});
    let change =
        |subject: &str| json!({"subject": subject, "kind": "change", "connections": [id], "workspace": workspace});
    let ended = |mut record: Value, outcome: &str, status: Option<u16>| {
        record["outcome"] = outcome.into();
        if let Some(status) = status {
            record["status"] = status.into();
        }
        record
    };
    let (_, record) = told(&bob, "connections/add_to_workspace", both.clone()).await;
    assert_eq!(record, ended(change("bob"), "not_found", Some(404)));
    let named = |subject: &str| {
        let mut record = change(subject);
        record["name"] = "one".into();
        record
    };
    let (_, record) = told(&ann, "connections/add_to_workspace", both.clone()).await;
    assert_eq!(record, ended(named("ann"), "done", None));
    let (_, record) = told(&ann, "connections/delete", json!({"name": "one"})).await;
    let attached = json!({"subject": "ann", "kind": "change", "connections": [id], "name": "one"});
    assert_eq!(record, ended(attached.clone(), "conflict", Some(409)));
    let (_, record) = told(&bob, "connections/remove_from_workspace", both.clone()).await;
    assert_eq!(record, ended(change("bob"), "not_found", Some(404)));
    let colleague = json!({"workspace_id": workspace, "user_id": "bob"});
    told(&ann, "workspaces/add_user", colleague.clone()).await;
    for operation in ["connections/add_to_workspace", "connections/remove_from_workspace"] {
        let (_, record) = told(&bob, operation, both.clone()).await;
        assert_eq!(record, ended(named("bob"), "forbidden", Some(403)));
    }
    let (_, record) = told(&bob, "connections/delete", json!({"name": "one"})).await;
    let by_bob = |mut record: Value| {
        record["subject"] = "bob".into();
        record
    };
    assert_eq!(record, ended(by_bob(attached), "forbidden", Some(403)));
    told(&ann, "workspaces/remove_user", colleague).await;
    let (_, record) = told(&ann, "connections/remove_from_workspace", both).await;
    assert_eq!(record, ended(named("ann"), "done", None));
    let (_, record) = told(&ann, "connections/delete", json!({"name": "one"})).await;
    let deleted = json!({"subject": "ann", "kind": "change", "connections": [id], "name": "one", "outcome": "done"});
    assert_eq!(record, deleted);
    let about = |who: Value| {
        let mut body = json!({"workspace_id": workspace});
        body.as_object_mut().unwrap().extend(who.as_object().unwrap().clone());
        body
    };
    let joins = about(json!({"user_id": "bob", "email": "bob@x", "user_type": "owner"}));
    let (_, record) = told(&bob, "workspaces/add_user", joins.clone()).await;
    let joined = json!({"subject": "bob", "kind": "change", "workspace": workspace, "user_id": "bob",
        "user_type": "OWNER"});
    assert_eq!(record, ended(joined.clone(), "not_found", Some(404)));
    let (_, record) = told(&ann, "workspaces/add_user", joins).await;
    let by_ann = |mut record: Value| {
        record["subject"] = "ann".into();
        record
    };
    assert_eq!(record, ended(by_ann(joined), "done", None));
    let (_, record) = told(&bob, "workspaces/list_users", about(json!({}))).await;
    let look = json!({"subject": "bob", "kind": "look", "workspace": workspace, "outcome": "done"});
    assert_eq!(record, look);
    let (_, record) = told(&ann, "workspaces/remove_user", about(json!({"email": "Eve@x"}))).await;
    let left = json!({"subject": "ann", "kind": "change", "workspace": workspace, "email": "eve@x", "outcome": "done"});
    assert_eq!(record, left);
    let (_, record) = told(&ann, "workspaces/list", json!({})).await;
    assert_eq!(record, json!({"subject": "ann", "kind": "look", "outcome": "done"}));
}

#[tokio::test]
async fn what_gave_details_is_told_apart_from_a_look() {
    let House { ann, bob } = House::new();
    let mut ids = Vec::new();
    for name in ["one", "two"] {
        let body = json!({"name": name, "type": "T", "details": SECRET});
        ids.push(told(&ann, "connections/create", body).await.0["id"].clone());
    }
    let read =
        |kind: &str| json!({"subject": "ann", "kind": kind, "connections": [ids[0]], "name": "one", "outcome": "done"});
    for (operation, mut body) in [
        ("connections/get", json!({"name": "one"})),
        ("connections/get_by_id", json!({"id": ids[0]})),
    ] {
        assert_eq!(told(&ann, operation, body.clone()).await.1, read("details.read"));
        body["details"] = false.into();
        assert_eq!(told(&ann, operation, body.clone()).await.1, read("look"));
    }
    let (_, record) = told(&bob, "connections/get", json!({"name": "one"})).await;
    let unseen = json!({"subject": "bob", "kind": "look", "name": "one", "outcome": "not_found", "status": 404});
    assert_eq!(record, unseen);

    let (_, record) = told(&ann, "connections/list", json!({})).await;
    let all = json!({"subject": "ann", "kind": "details.read", "connections": ids, "outcome": "done"});
    assert_eq!(record, all);
    let (_, record) = told(&ann, "connections/list", json!({"limit": 1})).await;
    let page = json!({"subject": "ann", "kind": "details.read", "connections": [ids[0]], "outcome": "done"});
    assert_eq!(record, page);
    let look = |subject: &str| json!({"subject": subject, "kind": "look", "outcome": "done"});
    let (_, record) = told(&ann, "connections/list", json!({"details": false})).await;
    assert_eq!(record, look("ann"));
    assert_eq!(told(&bob, "connections/list", json!({})).await.1, look("bob"));
    let (_, record) = told(&bob, "connections/list", json!({"workspace_id": 7})).await;
    let unseen = json!({"subject": "bob", "kind": "look", "workspace": 7, "outcome": "not_found", "status": 404});
    assert_eq!(record, unseen);
}

#[tokio::test]
async fn what_comes_to_no_operation_leaves_none_and_what_may_be_done_all_the_same_does() {
    let House { ann, .. } = House::new();
    let wrong = call(&ann, "connections/get", json!({"nam": "one"})).await;
    assert_eq!(wrong.response.status(), 400);
    assert_eq!(wrong.audit, None);

    let (head, ()) = Request::post("/v1/api/connections/create")
        .body(())
        .unwrap()
        .into_parts();
    let admitted = ann.admit(&head).await.unwrap();
    assert_eq!(admitted.refuse(Refusal::Busy).audit, None);
    let record = admitted.refuse(Refusal::OutOfTime).audit.unwrap().to_json();
    assert!(
        record.contains("\"outcome\":\"unavailable\",\"status\":503"),
        "{record}"
    );
    assert_eq!(admitted.refuse(Refusal::OutOfTime).audit, None, "there is one already");
    let admitted = ann.admit(&head).await.unwrap();
    let record = admitted.refuse(Refusal::Failed).audit.unwrap().to_json();
    assert!(record.contains("\"outcome\":\"failed\",\"status\":500"), "{record}");
    let (head, ()) = Request::get("/readyz").body(()).unwrap().into_parts();
    let admitted = ann.admit(&head).await.unwrap();
    assert_eq!(ann.answer(admitted, Bytes::new()).await.audit, None);
}

#[tokio::test]
async fn a_list_that_one_line_of_a_log_cannot_name_is_asked_for_in_pages_where_the_log_takes_no_more() {
    let House { ann, .. } = House::new();
    for number in 0..4_001 {
        let body = json!({"name": format!("{number:04}"), "type": "T"});
        assert_eq!(call(&ann, "connections/create", body).await.response.status(), 200);
    }
    let lines = |answer: &Answer| answer.audit.as_ref().map_or(0, |record| record.log_lines().count());
    let whole = call(&ann, "connections/list", json!({})).await;
    assert_eq!((whole.response.status().as_u16(), lines(&whole)), (200, 2));

    let ann = ann.with_one_log_line();
    let refused = call(&ann, "connections/list", json!({})).await;
    assert_eq!((refused.response.status().as_u16(), lines(&refused)), (413, 1));
    for body in [json!({"limit": 1000}), json!({"details": false})] {
        let answer = call(&ann, "connections/list", body).await;
        assert_eq!((answer.response.status().as_u16(), lines(&answer)), (200, 1));
    }
    assert_eq!(
        call(&ann, "connections/delete", json!({"name": "0000"}))
            .await
            .response
            .status(),
        204
    );
    let whole = call(&ann, "connections/list", json!({})).await;
    assert_eq!((whole.response.status().as_u16(), lines(&whole)), (200, 1));
    let unrecorded = ann.with_audit(false);
    assert_eq!(
        call(&unrecorded, "connections/create", json!({"name": "0000", "type": "T"}))
            .await
            .response
            .status(),
        200
    );
    assert_eq!(
        call(&unrecorded, "connections/list", json!({})).await.response.status(),
        200
    );
}

#[tokio::test]
async fn where_nobody_is_known_there_are_no_records_unless_they_are_asked_for() {
    let House { ann, .. } = House::new();
    let ann = ann.with_audit(false);
    let answer = call(&ann, "connections/get", json!({"name": "one"})).await;
    assert_eq!(answer.response.status(), 404);
    assert_eq!(answer.audit, None);
}
