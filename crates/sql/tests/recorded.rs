//! The audit records of what is done over all tenants: by an operator's calls, and by commands on the folder.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod common;

use std::fs;
use std::path::Path;

use bytes::Bytes;
use common::{FixedHost, K1, K2};
use http::Request;
use patchbay_core::adoption::NewOwner;
use patchbay_core::api::{Config, Patchbay};
use patchbay_core::audit::{Query, Record};
use patchbay_core::identity::Authentication;
use patchbay_core::limits;
use patchbay_core::model::{Subject, Tenant, Timestamp, Workspaces};
use patchbay_core::rotation;
use patchbay_core::seal::KeyRing;
use patchbay_core::store::Store as _;
use patchbay_sql::audit::verify;
use patchbay_sql::{Audit, NativeStore, Options, adopt, import};
use patchbay_testkit::operator;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A folder with so many connections of anonymous's, sealed with the first key.
fn holding(connections: usize) -> TempDir {
    let mut lines = "{\"format\":\"patchbay-export\",\"version\":1}\n".to_owned();
    for number in 0..connections {
        let id = format!("00000000-0000-4000-8000-{number:012}");
        let connection = json!({ "kind": "connection", "tenant": "default", "id": id, "name": format!("c{number}"),
            "type": "K", "owner": "anonymous", "created_at": 1, "details": "null", "attachments": [] });
        lines.push_str(&format!("{connection}\n"));
    }
    let end = json!({ "kind": "end", "counters": 0, "workspaces": 0, "connections": connections });
    lines.push_str(&format!("{end}\n"));
    let folder = TempDir::new().unwrap();
    import(
        folder.path(),
        &KeyRing::parse(K1).unwrap(),
        &FixedHost,
        lines.as_bytes(),
    )
    .unwrap();
    folder
}

/// With the new key first.
fn turned() -> KeyRing {
    KeyRing::parse(&format!("{K2},{K1}")).unwrap()
}

fn open(data: &Path) -> NativeStore {
    let audit = Audit {
        file_bytes: u64::MAX,
        warn: |note| assert_eq!(note, ""),
    };
    let options = Options {
        audit: Some(audit),
        ..Options::default()
    };
    NativeStore::open(data, options).unwrap()
}

/// Of each line of the trail, what was done, to how many, and whether it came as a row.
fn told(data: &Path) -> Vec<(String, Value, bool)> {
    let lines = fs::read_to_string(data.join("audit/000001.jsonl")).unwrap();
    let told = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        let record = &line["record"];
        let operation = record["operation"].as_str().unwrap().to_owned();
        (operation, record["count"].clone(), line.get("row").is_some())
    };
    lines.lines().map(told).collect()
}

async fn listed(store: &NativeStore, tenant: &str) -> Vec<String> {
    let query = Query {
        tenant: Tenant::new(tenant).unwrap(),
        connection: None,
        subject: None,
        since: None,
        until: None,
        before: None,
        limit: limits::PAGE,
        most_bytes: usize::MAX,
    };
    store.records(query).await.unwrap().unwrap().records
}

#[tokio::test]
async fn each_call_that_seals_again_has_one_line_with_how_many_and_no_tenant_sees_it() {
    let folder = holding(5);
    let config = Config {
        authentication: Authentication::NotConfigured,
        workspaces: Workspaces::Managed,
        answer_bytes: 1024 * 1024,
    };
    let store = open(folder.path());
    let home = Patchbay::new(store.clone(), turned(), FixedHost, config).with_operators(operator::operators());
    let call = async |body: &Value| -> Value {
        let bearer = format!("Bearer {}", operator::token().expose_secret());
        let request = Request::post("/v1/api/admin/keys/reseal").header("authorization", bearer);
        let (head, ()) = request.body(()).unwrap().into_parts();
        let admitted = home.admit(&head).await.unwrap();
        let answer = home.answer(admitted, Bytes::from(body.to_string())).await;
        serde_json::from_slice(answer.response.body()).unwrap()
    };
    let mut body = json!({ "limit": 3 });
    for resealed in [3, 2] {
        let answer = call(&body).await;
        assert_eq!(answer["resealed"], json!(resealed), "{answer}");
        body["cursor"] = answer["next_cursor"].clone();
    }
    assert_eq!(call(&json!({})).await, json!({ "resealed": 0 }));
    assert_eq!(call(&json!({ "limit": 0 })).await["code"], json!(400));

    let reseal = |count: u64, row| ("admin/keys/reseal".to_owned(), json!(count), row);
    let imported = ("import".to_owned(), json!(5), true);
    assert_eq!(
        told(folder.path()),
        [imported, reseal(3, true), reseal(2, true), reseal(0, false)]
    );
    assert_eq!(listed(&store, "default").await, Vec::<String>::new());
    drop((home, store));
    assert_eq!(verify(folder.path(), None).unwrap().problems, []);
}

#[tokio::test]
async fn what_commands_change_is_in_the_trail_after_the_next_start() {
    let folder = holding(2);
    let data = folder.path();
    let to = NewOwner {
        tenant: Tenant::new("acme").unwrap(),
        subject: Subject::new("ann").unwrap(),
    };
    for rehearsal in [true, false] {
        adopt(data, &KeyRing::parse(K1).unwrap(), &FixedHost, &to, rehearsal).unwrap();
    }
    let record = Record::of_command(Timestamp::from_micros(1), "keys/rotate");
    let store = NativeStore::open(data, Options::default()).unwrap().recording(record);
    let batch = rotation::reseal(&store, &turned(), &FixedHost, None, limits::RESEALED).await;
    assert_eq!(batch.unwrap().records, 2);
    drop(store);
    assert_eq!(verify(data, None).unwrap().problems, [], "rows that wait are none");

    drop(open(data));
    let store = open(data);
    let of_acme = listed(&store, "acme").await;
    let adopted = "{\"at\":\"1970-01-01T00:00:00.000001Z\",\"tenant\":\"acme\",\"subject\":\"command line\",\
                   \"kind\":\"change\",\"operation\":\"adopt\",\"user_id\":\"ann\",\"count\":2,\"outcome\":\"done\"}";
    assert_eq!(of_acme, [adopted]);
    drop(store);
    let of = |operation: &str| (operation.to_owned(), json!(2), true);
    assert_eq!(told(data), [of("import"), of("adopt"), of("keys/rotate")]);
    assert_eq!(verify(data, None).unwrap().problems, []);
}
