//! What a caller hears when storage panics, or does not answer in time.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod support;

use std::convert::Infallible;
use std::future::pending;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use http::Request;
use patchbay_core::api::{Config, Patchbay, Refusal};
use patchbay_core::identity::Authentication;
use patchbay_core::identity::settings::{CallerSettings, Mode, WrongSetting};
use patchbay_core::model::{Caller, ConnectionId, Name, Person, Record, Timestamp, WorkspaceId, Workspaces};
use patchbay_core::seal::KeyRing;
use patchbay_core::store::{
    AddMember, AddMemberOutcome, Attach, AttachOutcome, CreateOutcome, CreateWorkspaceOutcome, DeleteOutcome,
    DetachOutcome, ListOutcome, ListQuery, ListWorkspacesOutcome, Lookup, MembersOutcome, RemoveMemberOutcome, Seen,
    Store, StoreError, WorkspacesOf,
};
use patchbay_testkit::{MemoryStore, SystemHost, delegate};
use serde_json::json;
use support::{Shape, function, invoke, invoke_until, post};

/// A store that panics over the name `panic`, and that does not answer for the name `silence` once it has done what it was
/// asked for.
#[derive(Clone, Default)]
struct Moody(MemoryStore);

impl Moody {
    async fn mood(name: &Name) {
        match name.as_str() {
            "panic" => panic!("the details are hunter2"),
            "silence" => pending().await,
            _ => {}
        }
    }
}

impl Store for Moody {
    type Sealings = Infallible;
    type Apart = Infallible;

    async fn create(&self, caller: &Caller, record: Record) -> Result<CreateOutcome, StoreError> {
        let name = record.name.clone();
        let outcome = self.0.create(caller, record).await;
        Self::mood(&name).await;
        outcome
    }

    delegate!(0: get list attach detach delete create_workspace list_workspaces add_member members remove_member);

    async fn ready(&self) -> Result<(), StoreError> {
        pending().await
    }
}

fn create(name: &str) -> serde_json::Value {
    Shape::Http.event(&post(
        "connections/create",
        &json!({ "name": name, "type": "T" }).to_string(),
    ))
}

fn get(name: &str) -> serde_json::Value {
    Shape::Http.event(&post("connections/get", &json!({ "name": name }).to_string()))
}

#[tokio::test]
async fn a_panic_is_500_and_the_next_call_is_answered() {
    let function = function(Moody::default(), Authentication::off(), Workspaces::Open, "");
    for _ in 0..3 {
        let answer = invoke(&function, &create("panic")).await;
        assert_eq!(answer.status, 500);
        assert!(!answer.body.contains("hunter2"), "{}", answer.body);
        let id = answer.headers["x-request-id"].as_str().unwrap();
        assert!(answer.body.contains(id), "{}", answer.body);
    }
    assert_eq!(invoke(&function, &create("calm")).await.status, 200);
    assert_eq!(invoke(&function, &get("calm")).await.status, 200);
}

#[tokio::test]
async fn a_panic_over_a_token_is_500_and_the_next_call_is_answered() {
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4" });
    let settings = CallerSettings {
        mode: Some(Mode::Oidc),
        issuer: Some("i".to_owned()),
        audience: Some("a".to_owned()),
        jwks: Some(json!({ "keys": [jwk] }).to_string()),
        ..CallerSettings::default()
    };
    let fetched = |_| Err(WrongSetting("the keys are given".into()));
    let authentication = settings
        .authentication(|_, _, _, _| panic!("hunter2"), fetched)
        .unwrap();
    let function = function(Moody::default(), authentication, Workspaces::Managed, "");
    let mut event = get("calm");
    // `{"alg":"EdDSA"}` and no more.
    event["headers"]["authorization"] = json!("Bearer eyJhbGciOiJFZERTQSJ9..");
    let answer = invoke(&function, &event).await;
    assert_eq!(answer.status, 500);
    assert!(!answer.body.contains("hunter2"), "{}", answer.body);
    assert_eq!(invoke(&function, &get("calm")).await.status, 401);
}

/// Long past the deadline that the event has, and long before the end of a call that has none.
async fn in_time<T>(answer: impl Future<Output = T>) -> T {
    let patience = std::time::Duration::from_secs(10);
    tokio::time::timeout(patience, answer).await.unwrap()
}

#[tokio::test]
async fn a_call_that_storage_does_not_answer_ends_before_its_invocation_with_503() {
    let function = function(Moody::default(), Authentication::off(), Workspaces::Open, "");
    let answer = in_time(invoke_until(&function, &create("silence"), 200)).await;
    assert_eq!(answer.status, 503);
    assert!(answer.headers["retry-after"].is_string());
    // The change is there all the same, and the answer claims nothing else.
    assert!(answer.body.contains("nothing is acknowledged"), "{}", answer.body);
    assert_eq!(invoke(&function, &get("silence")).await.status, 200);
}

#[tokio::test]
async fn the_record_of_a_call_that_was_ended_says_what_it_came_to_know() {
    let config = Config {
        authentication: Authentication::off(),
        workspaces: Workspaces::Open,
        answer_bytes: 1024,
    };
    let ring = KeyRing::parse("k1:testkit-testkit-testkit-testkit-testkit-testkit").unwrap();
    let patchbay = Patchbay::new(Moody::default(), ring, SystemHost, config).with_audit(true);
    for (name, refusal) in [("silence", Refusal::OutOfTime), ("panic", Refusal::Failed)] {
        let (head, body) = post("connections/create", &json!({ "name": name, "type": "T" }).to_string()).into_parts();
        let admitted = patchbay.admit(&head).await.unwrap();
        let answered = AssertUnwindSafe(patchbay.answer(admitted.clone(), body)).catch_unwind();
        assert!(matches!(answered.now_or_never(), None | Some(Err(_))));
        let record = admitted.refuse(refusal).audit.unwrap();
        assert_eq!(record.name.unwrap().as_str(), name);
        assert_eq!(record.connections.len(), 1, "the id that it has, if it was made");
    }
}

#[tokio::test]
async fn readiness_ends_in_time_as_well() {
    let function = function(Moody::default(), Authentication::off(), Workspaces::Open, "");
    let ready = Request::get("/readyz").body(bytes::Bytes::new()).unwrap();
    let answer = in_time(invoke_until(&function, &Shape::Http.event(&ready), 200)).await;
    assert_eq!(answer.status, 503);
}
