//! The operator's calls: what each key seals, and sealing again. Nobody else makes them, and the operator makes no others.

use serde_json::{Value, json};

use super::{always, make};
use crate::runner::Case;
use crate::world::World;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = make!("operator", always;
        an_operator_may_call_nothing_else,
        nobody_else_is_an_operator,
        what_the_operators_calls_do_not_take_is_400,
        an_operators_token_alone_gives_nothing_away,
    );
    cases.extend(make!("rotation", always;
        what_is_created_is_counted_under_the_key_that_seals,
        what_the_first_key_sealed_is_not_sealed_again,
    ));
    cases
}

/// Asks until there is no cursor any more; gives every answer.
async fn ask_all(world: &World<'_>, path: &str) -> Vec<Value> {
    let (mut answers, mut body) = (Vec::new(), json!({}));
    loop {
        let answer = world.post_as_operator(path, &body).await.ok().json();
        let next = answer.get("next_cursor").cloned();
        answers.push(answer);
        let Some(next) = next else { return answers };
        body = json!({ "cursor": next });
    }
}

/// Records under the key that seals.
async fn sealed(world: &World<'_>) -> u64 {
    let answers = ask_all(world, "admin/keys/status").await;
    let keys = answers
        .iter()
        .flat_map(|answer| answer["keys"].as_array().into_iter().flatten());
    let sealing: Vec<_> = keys.filter(|key| key["sealing"] == json!(true)).collect();
    assert_eq!(sealing.len(), answers.len(), "one key seals: {answers:?}");
    for key in &sealing {
        assert_eq!(key["available"], json!(true), "{key}");
        assert!(key["id"].is_string(), "{key}");
    }
    sealing.iter().filter_map(|key| key["records"].as_u64()).sum()
}

async fn what_is_created_is_counted_under_the_key_that_seals(world: &World<'_>) {
    let before = sealed(world).await;
    world.some().await;
    let (gone, _) = world.some().await;
    assert_eq!(sealed(world).await, before + 2);
    world.delete(&gone).await.no_content();
    assert_eq!(sealed(world).await, before + 1);
}

async fn what_the_first_key_sealed_is_not_sealed_again(world: &World<'_>) {
    world.some().await;
    for answer in ask_all(world, "admin/keys/reseal").await {
        assert_eq!(answer["resealed"], json!(0), "{answer}");
    }
    let one = world
        .post_as_operator("admin/keys/reseal", &json!({ "limit": 1, "cursor": null }))
        .await;
    assert_eq!(one.ok().json()["resealed"], json!(0));
}

async fn an_operator_may_call_nothing_else(world: &World<'_>) {
    let (name, id) = world.some().await;
    let workspace = world.workspace().await;
    let pair = json!({ "workspace_id": workspace, "connection_id": id });
    for (path, body) in [
        ("connections/create", json!({ "name": world.name(), "type": "KAFKA" })),
        ("connections/get", json!({ "name": name })),
        ("connections/get_by_id", json!({ "id": id })),
        ("connections/list", json!({})),
        ("connections/add_to_workspace", pair.clone()),
        ("connections/remove_from_workspace", pair),
        ("connections/delete", json!({ "name": name })),
        ("workspaces/create", json!({ "workspace_name": world.name() })),
        ("workspaces/list", json!({})),
    ] {
        world.post_as_operator(path, &body).await.refused(403, &["operator"]);
    }
    world.get(&name).await.ok();
}

async fn nobody_else_is_an_operator(world: &World<'_>) {
    let adopt = json!({ "tenant": "acme", "owner": "ann" });
    for (path, body) in [
        ("admin/keys/status", json!({})),
        ("admin/keys/reseal", json!({})),
        ("admin/adopt", adopt),
    ] {
        world.post(path, &body).await.refused(403, &["operator"]);
        world
            .post(path, &json!({ "limits": 1 }))
            .await
            .refused(400, &["`limits`"]);
    }
}

/// Where a home adopts when it is asked to, whoever deploys it names the tenant that may get anything.
async fn an_operators_token_alone_gives_nothing_away(world: &World<'_>) {
    let (name, _) = world.some().await;
    for tenant in ["acme", "default"] {
        let body = json!({ "tenant": tenant, "owner": "ann" });
        let refused = world.post_as_operator("admin/adopt", &body).await;
        let (status, said) = match world.setting.apart {
            true => (403, "PATCHBAY_ADOPT_TENANT"),
            false => (501, "patchbay adopt"),
        };
        refused.refused(status, &[said]);
    }
    world.get(&name).await.ok();
}

async fn what_the_operators_calls_do_not_take_is_400(world: &World<'_>) {
    for (path, body, named) in [
        ("admin/keys/status", json!({ "limit": 1 }), "`limit`"),
        ("admin/keys/status", json!({ "cursor": "k1.AAAA" }), "`cursor`"),
        ("admin/keys/status", json!({ "cursor": 1 }), "`cursor`"),
        ("admin/keys/reseal", json!({ "limit": 0 }), "`limit`"),
        ("admin/keys/reseal", json!({ "limit": 1001 }), "`limit`"),
        ("admin/keys/reseal", json!({ "cursor": "" }), "`cursor`"),
        ("admin/keys/reseal", json!({ "key": "k1" }), "`key`"),
        ("admin/adopt", json!({ "owner": "ann" }), "`tenant`"),
        ("admin/adopt", json!({ "tenant": "acme" }), "`owner`"),
        ("admin/adopt", json!({ "tenant": "", "owner": "ann" }), "`tenant`"),
        (
            "admin/adopt",
            json!({ "tenant": "acme", "owner": "ann", "dry_run": "no" }),
            "`dry_run`",
        ),
        (
            "admin/adopt",
            json!({ "tenant": "acme", "owner": "ann", "limit": 1 }),
            "`limit`",
        ),
    ] {
        world.post_as_operator(path, &body).await.refused(400, &[named]);
    }
    for _ in 0..2 {
        world.some().await;
    }
    let page = world.list(json!({ "limit": 1 })).await;
    for path in ["admin/keys/status", "admin/keys/reseal"] {
        let foreign = json!({ "cursor": page.next });
        world.post_as_operator(path, &foreign).await.refused(400, &["`cursor`"]);
    }
}
