//! Events of the shapes that AWS documents, from `tests/events`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod support;

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use patchbay_core::identity::Authentication;
use patchbay_core::model::Workspaces;
use patchbay_core::store::Store;
use patchbay_lambda::Function;
use patchbay_testkit::{MemoryStore, SystemHost};
use serde_json::{Value, json};
use support::{Shape, function, invoke, post};

fn event(name: &str) -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/events").join(name);
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

/// Every file, and whether its paths begin with a custom domain's mapping.
fn all() -> Vec<(String, bool)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/events");
    let names = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut all: Vec<_> = names
        .map(|name| {
            let mapped = name.ends_with("-domain.json");
            (name, mapped)
        })
        .collect();
    all.sort();
    assert_eq!(all.len(), 9, "{all:?}");
    all
}

fn open(base_path: &str) -> Function<impl Store + use<>, SystemHost> {
    let everybody = Authentication::off();
    function(MemoryStore::default(), everybody, Workspaces::Open, base_path)
}

fn with_body(mut event: Value, body: &str) -> Value {
    let base64 = event["isBase64Encoded"] == true;
    event["body"] = json!(if base64 { STANDARD.encode(body) } else { body.to_owned() });
    event
}

fn of(mapped: bool) -> Function<impl Store + use<>, SystemHost> {
    open(if mapped { "/patchbay" } else { "" })
}

#[tokio::test]
async fn each_is_answered_in_its_shape() {
    for (name, mapped) in all() {
        let answer = invoke(&of(mapped), &event(&name)).await;
        assert_eq!((answer.status, &*answer.body), (200, "{\"connections\":[]}"), "{name}");
        assert_eq!(answer.headers["content-type"], "application/json", "{name}");
        assert_eq!(answer.headers["cache-control"], "no-store", "{name}");
    }
}

#[tokio::test]
async fn each_is_refused_in_its_shape() {
    for (name, mapped) in all() {
        let answer = invoke(&of(mapped), &with_body(event(&name), "{\"limit\":0}")).await;
        let refused = json!({ "msg": "`limit` must be an integer from 1 to 1000.", "code": 400 });
        assert_eq!((answer.status, answer.json()), (400, refused), "{name}");
    }
}

#[tokio::test]
async fn a_path_with_a_custom_domains_mapping_wants_the_setting() {
    for (name, mapped) in all() {
        assert_eq!(invoke(&of(!mapped), &event(&name)).await.status, 404, "{name}");
    }
}

#[tokio::test]
async fn a_callers_request_id_comes_back_whatever_the_case_of_its_header() {
    for name in ["http-api.json", "rest-api.json", "load-balancer-multi-value.json"] {
        let answer = invoke(&open(""), &event(name)).await;
        assert_eq!(answer.headers["x-request-id"], "from-the-caller", "{name}");
    }
}

#[tokio::test]
async fn a_stage_is_taken_off_a_path_once() {
    let path = |path: &str| {
        let mut event = event("http-api-stage.json");
        event["rawPath"] = json!(path);
        event
    };
    for (path_sent, status) in [
        ("/prod/v1/api/connections/list", 200),
        ("/v1/api/connections/list", 200),
        ("/prod/prod/v1/api/connections/list", 404),
        ("/production/v1/api/connections/list", 404),
        ("prod/v1/api/connections/list", 404),
        ("/prodv1/api/connections/list", 404),
        ("/prod", 404),
        ("", 404),
    ] {
        assert_eq!(invoke(&open(""), &path(path_sent)).await.status, status, "{path_sent}");
    }
}

/// The status of a load balancer's answer, and the headers, stand in both places that target groups read.
#[tokio::test]
async fn a_load_balancer_finds_its_status_and_headers() {
    let text = event("load-balancer.json").to_string();
    let event = serde_json::from_str(&text).unwrap();
    let invocation = patchbay_lambda::Invocation {
        request_id: "x",
        deadline_millis: 0,
    };
    let reply = serde_json::to_value(open("").call(event, invocation).await).unwrap();
    assert_eq!(reply["statusDescription"], "200 OK");
    assert_eq!(reply["headers"]["content-type"], "application/json");
    assert_eq!(reply["multiValueHeaders"]["content-type"], json!(["application/json"]));
}

#[tokio::test]
async fn what_cannot_be_read_as_a_request_is_400() {
    let mut odd_header = event("rest-api.json");
    odd_header["multiValueHeaders"]["X-Odd"] = json!(["a\nb"]);
    let mut odd_method = event("http-api.json");
    odd_method["requestContext"]["http"]["method"] = json!("P O S T");
    for odd in [
        odd_header,
        odd_method,
        json!({ "requestContext": { "elb": {} } }),
        json!({ "Records": [] }),
        json!([1, 2]),
        json!("x"),
        json!(null),
    ] {
        let answer = invoke(&open(""), &odd).await;
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!(400)), "{odd}");
        assert!(answer.headers["x-request-id"].is_string(), "{odd}");
    }
    let mut not_base64 = event("function-url.json");
    not_base64["body"] = json!("{}");
    assert_eq!(invoke(&open(""), &not_base64).await.status, 400);
}

#[tokio::test]
async fn without_a_setting_for_authentication_every_call_is_503() {
    let function = function(
        MemoryStore::default(),
        Authentication::NotConfigured,
        Workspaces::Open,
        "",
    );
    for (name, _) in all().into_iter().filter(|(_, mapped)| !mapped) {
        let answer = invoke(&function, &event(&name)).await;
        assert_eq!(answer.status, 503, "{name}");
        assert!(answer.headers["retry-after"].is_string(), "{name}");
    }
    for shape in [Shape::Http, Shape::Rest, Shape::LoadBalancer] {
        assert_eq!(
            invoke(&function, &shape.event(&post("workspaces/list", "{}")))
                .await
                .status,
            503
        );
    }
}
