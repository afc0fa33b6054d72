//! What is refused by a request's head, for every operation, and the order in which errors win.

use http::Method;

use super::bodies::OPERATIONS;
use super::{always, make};
use crate::runner::Case;
use crate::world::World;

/// The shortest length of a body, declared in its head, that is too long.
const TOO_LONG: &[u8] = b"524289";

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = make!("heads", always;
        an_unknown_path_is_404_before_everything_else,
        a_wrong_method_is_405_before_a_wrong_length_and_type,
        a_declared_length_is_413_before_a_wrong_type,
        a_wrong_type_is_415_before_a_wrong_body,
        a_wrong_body_is_400_before_anything_is_looked_up,
        a_body_that_proves_too_long_is_413_before_it_is_400,
        paths_are_exact,
        a_query_is_ignored,
        a_callers_request_id_comes_back,
        an_unfit_request_id_is_replaced,
        an_authorization_header_is_ignored_while_authentication_is_off,
        json_types_with_parameters_and_suffixes_are_taken,
    );
    for operation in OPERATIONS {
        let path = operation.path;
        cases.push(Case {
            group: path,
            name: "other_methods_are_405_and_allow_names_post".into(),
            applies: always,
            act: Box::new(move |world| Box::pin(other_methods(world, path))),
        });
        cases.push(Case {
            group: path,
            name: "a_declared_length_over_512_kib_is_413_before_the_body_is_read".into(),
            applies: always,
            act: Box::new(move |world| Box::pin(too_long(world, path))),
        });
        cases.push(Case {
            group: path,
            name: "a_content_type_that_is_not_json_is_415".into(),
            applies: always,
            act: Box::new(move |world| Box::pin(wrong_type(world, path))),
        });
        cases.push(Case {
            group: path,
            name: "a_body_of_513_kib_is_413_and_one_of_512_kib_is_read".into(),
            applies: always,
            act: Box::new(move |world| Box::pin(body_bound(world, path))),
        });
    }
    cases
}

async fn other_methods(world: &World<'_>, path: &str) {
    let path = format!("/v1/api/{path}");
    for method in [
        Method::GET,
        Method::HEAD,
        Method::OPTIONS,
        Method::PUT,
        Method::DELETE,
        Method::PATCH,
    ] {
        let reply = world.request(None, method.clone(), &path).reply().await;
        assert_eq!(reply.header("allow"), Some("POST"), "{reply:?}");
        if method == Method::HEAD {
            assert_eq!(reply.status, 405, "{reply:?}");
        } else {
            reply.refused(405, &["POST"]);
        }
    }
}

async fn too_long(world: &World<'_>, path: &str) {
    let call = world.call(None, path).header("content-length", TOO_LONG);
    call.reply().await.refused(413, &["524288"]);
}

async fn wrong_type(world: &World<'_>, path: &str) {
    for wrong in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonp",
        "application/+json",
        "text/json",
        "json",
        "*/*",
    ] {
        let call = world.request(None, Method::POST, &format!("/v1/api/{path}")).body("{}");
        let call = call.header("content-type", wrong.as_bytes());
        call.reply().await.refused(415, &["Content-Type", "application/json"]);
    }
}

/// White space brings the body to a length; what is in it is refused for its unknown field.
async fn body_bound(world: &World<'_>, path: &str) {
    let body = "{\"unheard_of\":1}";
    let padded = |length: usize| format!("{body}{}", " ".repeat(length - body.len()));
    world.raw(path, padded(512 * 1024)).await.refused(400, &["unheard_of"]);
    world.raw(path, padded(512 * 1024 + 1)).await.refused(413, &["524288"]);
}

async fn an_unknown_path_is_404_before_everything_else(world: &World<'_>) {
    for path in [
        "/v1/api/connections/rename",
        "/v1/api/connections",
        "/",
        "/v2/api/connections/get",
    ] {
        for method in [Method::GET, Method::POST, Method::DELETE] {
            let call = world.request(None, method, path).header("content-type", b"text/plain");
            call.reply().await.refused(404, &[]);
        }
        let call = world
            .request(None, Method::POST, path)
            .header("content-length", TOO_LONG);
        call.reply().await.refused(404, &[]);
    }
}

async fn a_wrong_method_is_405_before_a_wrong_length_and_type(world: &World<'_>) {
    let call = world.request(None, Method::PUT, "/v1/api/connections/get");
    let call = call
        .header("content-type", b"text/plain")
        .header("content-length", TOO_LONG);
    call.reply().await.refused(405, &["POST"]);
}

async fn a_declared_length_is_413_before_a_wrong_type(world: &World<'_>) {
    let call = world.request(None, Method::POST, "/v1/api/connections/get");
    let call = call
        .header("content-type", b"text/plain")
        .header("content-length", TOO_LONG);
    call.reply().await.refused(413, &[]);
}

async fn a_wrong_type_is_415_before_a_wrong_body(world: &World<'_>) {
    let call = world
        .request(None, Method::POST, "/v1/api/connections/get")
        .body("not JSON");
    call.header("content-type", b"text/plain")
        .reply()
        .await
        .refused(415, &[]);
}

async fn a_wrong_body_is_400_before_anything_is_looked_up(world: &World<'_>) {
    let unknown = "6ba7b810-9dad-41d1-80b4-00c04fd430c8";
    let body = format!("{{\"connection_id\":\"{unknown}\",\"workspace_id\":0}}");
    world
        .raw("connections/add_to_workspace", body.clone())
        .await
        .refused(400, &["workspace_id"]);
    world
        .raw("connections/remove_from_workspace", body)
        .await
        .refused(400, &["workspace_id"]);
    let (name, _) = world.some().await;
    let body = format!("{{\"name\":\"{name}\",\"type\":7}}");
    world.raw("connections/create", body).await.refused(400, &["type"]);
}

async fn a_body_that_proves_too_long_is_413_before_it_is_400(world: &World<'_>) {
    let body = "x".repeat(600_000);
    world.raw("connections/get", body).await.refused(413, &[]);
}

async fn paths_are_exact(world: &World<'_>) {
    let (name, _) = world.some().await;
    for path in [
        "/v1/api/connections/get/",
        "/v1/api/connections//get",
        "/v1/api/Connections/get",
        "/v1/api/connections/%67et",
    ] {
        let call = world.request(None, Method::POST, path);
        call.body(format!("{{\"name\":\"{name}\"}}"))
            .reply()
            .await
            .refused(404, &[]);
    }
}

async fn a_query_is_ignored(world: &World<'_>) {
    let (name, _) = world.some().await;
    let call = world.request(None, Method::POST, "/v1/api/connections/get?name=other&x=%00");
    call.body(format!("{{\"name\":\"{name}\"}}")).reply().await.ok();
}

async fn a_callers_request_id_comes_back(world: &World<'_>) {
    let longest = "~".repeat(128);
    for id in ["1", "req-4711", "!\"#$%&'()*+,-./:;<=>?@[]^_`{|}~", &longest] {
        let call = world
            .call(None, "workspaces/list")
            .body("{}")
            .header("x-request-id", id.as_bytes());
        let reply = call.reply().await.ok();
        assert_eq!(reply.header("x-request-id"), Some(id), "{reply:?}");
        let call = world
            .call(None, "connections/get")
            .body("{")
            .header("x-request-id", id.as_bytes());
        let reply = call.reply().await.refused(400, &[]);
        assert_eq!(reply.header("x-request-id"), Some(id), "{reply:?}");
    }
}

async fn an_unfit_request_id_is_replaced(world: &World<'_>) {
    let long = "a".repeat(129);
    let mut seen = Vec::new();
    for id in [&b""[..], b"with space", "übung".as_bytes(), long.as_bytes()] {
        let reply = world
            .call(None, "workspaces/list")
            .body("{}")
            .header("x-request-id", id)
            .reply()
            .await
            .ok();
        let made = reply
            .headers
            .get("x-request-id")
            .map(|made| made.as_bytes().to_vec())
            .unwrap_or_default();
        assert!(
            made != id && !seen.contains(&made),
            "a new x-request-id each time: {reply:?}"
        );
        seen.push(made);
    }
}

async fn an_authorization_header_is_ignored_while_authentication_is_off(world: &World<'_>) {
    let (name, _) = world.some().await;
    for authorization in [
        "Bearer definitely_an_access_token",
        "definitely_an_access_token",
        "Basic x",
        "",
    ] {
        let call = world
            .call(None, "connections/get")
            .header("authorization", authorization.as_bytes());
        call.body(format!("{{\"name\":\"{name}\"}}")).reply().await.ok();
    }
}

async fn json_types_with_parameters_and_suffixes_are_taken(world: &World<'_>) {
    for taken in [
        "application/json",
        "APPLICATION/JSON",
        "application/json; charset=utf-8",
        "application/json;charset=latin1;x=\"y;z\"",
        "application/vnd.api+json",
        "application/merge-patch+JSON; v=1",
    ] {
        let call = world.request(None, Method::POST, "/v1/api/workspaces/list").body("{}");
        call.header("content-type", taken.as_bytes()).reply().await.ok();
    }
    world
        .request(None, Method::POST, "/v1/api/workspaces/list")
        .body("{}")
        .reply()
        .await
        .ok();
}
