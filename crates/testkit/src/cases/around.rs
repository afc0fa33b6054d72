//! What stands around the operations.

use http::Method;
use serde_json::json;

use super::{always, make};
use crate::runner::Case;
use crate::world::World;

pub(crate) fn cases() -> Vec<Case> {
    make!("around", always;
        the_sdks_configuration_is_an_empty_object,
        health_and_readiness_are_200,
        other_methods_are_405_and_allow_names_get,
    )
}

async fn the_sdks_configuration_is_an_empty_object(world: &World<'_>) {
    let reply = world.request(None, Method::GET, "/v1/api/config").reply().await.ok();
    assert_eq!(reply.json(), json!({}));
}

async fn health_and_readiness_are_200(world: &World<'_>) {
    for path in ["/healthz", "/readyz"] {
        world.request(None, Method::GET, path).reply().await.ok();
    }
}

async fn other_methods_are_405_and_allow_names_get(world: &World<'_>) {
    for path in ["/healthz", "/readyz", "/v1/api/config"] {
        for method in [Method::POST, Method::OPTIONS, Method::DELETE] {
            let reply = world.request(None, method, path).reply().await.refused(405, &["GET"]);
            assert_eq!(reply.header("allow"), Some("GET"), "{reply:?}");
        }
        let reply = world.request(None, Method::HEAD, path).reply().await;
        assert_eq!((reply.status, reply.header("allow")), (405, Some("GET")), "{reply:?}");
    }
}
