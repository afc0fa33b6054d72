//! Replies' bounds: 5 MiB of encoded event, 900 KiB behind a load balancer.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod support;

use patchbay_core::identity::Authentication;
use patchbay_core::limits::{DETAILS_BYTES, NAME_BYTES, TYPE_BYTES, WORKSPACES_PER_CONNECTION};
use patchbay_core::model::{Caller, Subject, Workspaces};
use patchbay_core::store::Store;
use patchbay_lambda::Function;
use patchbay_testkit::{MemoryStore, SystemHost};
use serde_json::{Value, json};
use support::{Answer, Shape, function, invoke, post};

const SHAPES: [Shape; 3] = [Shape::Http, Shape::Rest, Shape::LoadBalancer];

fn home() -> Function<impl Store + use<>, SystemHost> {
    function(MemoryStore::default(), Authentication::off(), Workspaces::Managed, "")
}

async fn call<S: Store>(home: &Function<S, SystemHost>, shape: Shape, path: &str, body: &str) -> Answer {
    let answer = invoke(home, &shape.event(&post(path, body))).await;
    assert!(answer.encoded <= shape.most(), "{shape:?}: {} bytes", answer.encoded);
    answer
}

async fn done<S: Store>(home: &Function<S, SystemHost>, path: &str, body: Value) -> Value {
    let answer = call(home, Shape::Http, path, &body.to_string()).await;
    assert!(answer.status < 300, "{path}: {answer:?}");
    if answer.body.is_empty() {
        Value::Null
    } else {
        answer.json()
    }
}

async fn create<S: Store>(home: &Function<S, SystemHost>, name: &str, details: &str) {
    let body = format!("{{\"name\":\"{name}\",\"type\":\"KAFKA\",\"details\":{details}}}");
    assert_eq!(call(home, Shape::Http, "connections/create", &body).await.status, 200);
}

/// Quotation marks take a byte of a name, two of its JSON, and four of the event.
fn quotes(from: &str, length: usize) -> String {
    format!("{from}{}", "\"".repeat(length - from.len()))
}

#[tokio::test]
async fn the_largest_connection_is_answered_in_every_shape() {
    let home = home();
    let details = format!("\"{}\"", "\\\"".repeat(DETAILS_BYTES / 2 - 1));
    assert_eq!(details.len(), DETAILS_BYTES);
    let (name, kind) = (quotes("", NAME_BYTES), quotes("", TYPE_BYTES));
    let body = format!(
        "{{\"name\":{},\"type\":{},\"details\":{details}}}",
        json!(name),
        json!(kind)
    );
    let created = call(&home, Shape::Http, "connections/create", &body).await.json();
    let mut last = Value::Null;
    for number in 0..WORKSPACES_PER_CONNECTION {
        let workspace = json!({ "workspace_name": quotes(&number.to_string(), NAME_BYTES) });
        last = done(&home, "workspaces/create", workspace).await["workspace_id"].clone();
        let pair = json!({ "workspace_id": last, "connection_id": created["id"] });
        done(&home, "connections/add_to_workspace", pair).await;
    }
    for shape in SHAPES {
        for (path, body, about) in [
            ("connections/get", json!({ "name": name }), 780_000),
            ("connections/get_by_id", json!({ "id": created["id"] }), 780_000),
            ("connections/list", json!({ "workspace_id": last }), 780_000),
            ("connections/list", json!({ "limit": 1 }), 780_000),
            ("workspaces/list", json!({ "user_id": "anonymous" }), 290_000),
        ] {
            let answer = call(&home, shape, path, &body.to_string()).await;
            assert_eq!(answer.status, 200, "{shape:?} {path}: {}", answer.body);
            assert!(answer.encoded > about, "{shape:?} {path}: {}", answer.encoded);
        }
    }
}

/// With rows that are counted exactly, a page is as full as it can be, and an unpaged list is refused from the very row
/// on that does not fit.
#[tokio::test]
async fn a_page_ends_before_the_row_that_would_not_fit() {
    let quotes = |letters: usize| format!("\"{}\"", "\\\"".repeat(letters / 2));
    pages(Shape::Http, &quotes(250_000)).await;
    for details in [
        quotes(30_000),
        format!("\"{}\"", "x".repeat(30_000)),
        format!("\"{}\"", "\\\\".repeat(15_000)),
        format!("{{{}}}", "\r\n\t".repeat(10_000)),
    ] {
        pages(Shape::LoadBalancer, &details).await;
    }
}

async fn pages(shape: Shape, details: &str) {
    let home = home();
    let encoded = json!(details).to_string().len();
    let count = shape.most() / encoded + 2;
    for number in 0..count {
        create(&home, &format!("{number:04}"), details).await;
    }
    let rows = |page: &Answer| page.json()["connections"].as_array().unwrap().len();

    let page = call(&home, shape, "connections/list", "{\"limit\":1000}").await;
    let most = rows(&page);
    let row = page.encoded / most;
    assert!(page.encoded + row > shape.most() - 4096, "{} of {most}", page.encoded);

    let mut names = Vec::new();
    let mut body = json!({ "limit": 1000 });
    loop {
        let page = call(&home, shape, "connections/list", &body.to_string()).await.json();
        let rows = page["connections"].as_array().unwrap().clone();
        assert!(!rows.is_empty());
        names.extend(rows.iter().map(|row| row["name"].as_str().unwrap().to_owned()));
        match page.get("next_cursor") {
            Some(cursor) => body["cursor"] = cursor.clone(),
            None => break,
        }
    }
    let expected: Vec<String> = (0..count).map(|number| format!("{number:04}")).collect();
    assert_eq!(names, expected);

    for number in (most..count).rev() {
        let unpaged = call(&home, shape, "connections/list", "{}").await;
        assert_eq!(unpaged.status, 413);
        assert!(unpaged.json()["msg"].as_str().unwrap().contains("`limit`"));
        done(&home, "connections/delete", json!({ "name": format!("{number:04}") })).await;
    }
    let unpaged = call(&home, shape, "connections/list", "{}").await;
    assert_eq!((unpaged.status, rows(&unpaged)), (200, most));
}

/// In JSON they stay below the bound; as a string in an event they do not.
#[tokio::test]
async fn workspaces_are_refused_once_their_event_is_too_long() {
    let store = MemoryStore::default();
    for person in ["ann", "bob", "cem", "dan"] {
        let caller = Caller {
            subject: Subject::new(person).unwrap(),
            ..Authentication::anonymous()
        };
        let home = function(store.clone(), Authentication::Off(caller), Workspaces::Managed, "");
        for number in 0..200 {
            let name = quotes(&format!("{person}{number}"), NAME_BYTES);
            done(&home, "workspaces/create", json!({ "workspace_name": name })).await;
        }
    }
    let home = function(store, Authentication::off(), Workspaces::Managed, "");
    let all = call(&home, Shape::Http, "workspaces/list", "{}").await;
    assert_eq!(all.status, 200);
    assert!(all.body.len() < Shape::LoadBalancer.most(), "{} bytes", all.body.len());
    let balanced = call(&home, Shape::LoadBalancer, "workspaces/list", "{}").await;
    assert_eq!(balanced.status, 413);
    let narrowed = call(&home, Shape::LoadBalancer, "workspaces/list", "{\"user_id\":\"ann\"}").await;
    assert_eq!(narrowed.status, 200);
}
