//! `workspaces/create` and `workspaces/list`.

use patchbay_core::limits::WORKSPACES_PER_PERSON;
use serde_json::json;

use super::callers::kept;
use super::{always, make, with_short_answers};
use crate::runner::Case;
use crate::world::World;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = make!("workspaces", always;
        a_created_workspace_has_an_integer_id_and_is_listed,
        a_workspaces_name_that_is_taken_is_409,
        names_of_the_form_workspace_digits_are_400,
        a_listed_workspace_has_exactly_the_sdks_fields,
        the_list_is_narrowed_to_a_persons_workspaces,
        connections_can_be_attached_to_a_created_workspace,
    );
    cases.extend(make!("workspaces", with_short_answers;
        a_list_of_workspaces_past_the_bound_is_413_and_says_user_id,
    ));
    cases
}

async fn a_created_workspace_has_an_integer_id_and_is_listed(world: &World<'_>) {
    let name = world.name();
    let id = world.create_workspace(None, &name).await;
    assert_eq!(world.workspace_name(id).await, name);
    let next = world.create_workspace(None, &world.name()).await;
    assert!(next > id, "{next} after {id}");
}

async fn a_workspaces_name_that_is_taken_is_409(world: &World<'_>) {
    let name = world.name();
    world.create_workspace(None, &name).await;
    let body = json!({ "workspace_name": name });
    world
        .post("workspaces/create", &body)
        .await
        .refused(409, &["workspace_name"]);
}

async fn names_of_the_form_workspace_digits_are_400(world: &World<'_>) {
    for kept in ["workspace-1", "workspace-0", "workspace-99999999999999999999999"] {
        let body = json!({ "workspace_name": kept });
        world
            .post("workspaces/create", &body)
            .await
            .refused(400, &["workspace_name"]);
    }
    world
        .create_workspace(None, &format!("workspace-{}", world.name()))
        .await;
}

async fn a_listed_workspace_has_exactly_the_sdks_fields(world: &World<'_>) {
    let name = world.name();
    let id = world.create_workspace(None, &name).await;
    let listed = world.post("workspaces/list", &json!({})).await.ok().json();
    assert_eq!(listed.as_object().map(serde_json::Map::len), Some(1));
    let all = listed["workspaces"].as_array().cloned().unwrap_or_default();
    let ids: Vec<u64> = all.iter().filter_map(|one| one["id"].as_u64()).collect();
    assert!(ids.is_sorted() && ids.len() == all.len());
    let found = all.into_iter().find(|one| one["id"] == json!(id)).unwrap_or_default();
    let at = found["created_at"].clone();
    assert!(
        at.as_str().is_some_and(|at| at.len() == 27 && at.ends_with('Z')),
        "{at}"
    );
    let expected = json!({ "id": id, "name": name, "created_at": at, "created_by": "anonymous",
        "archived": false, "models": [], "pipelines": [] });
    assert_eq!(found, expected);
}

async fn the_list_is_narrowed_to_a_persons_workspaces(world: &World<'_>) {
    let id = world.create_workspace(None, &world.name()).await;
    let of = async |person: &str| {
        let listed = world
            .post("workspaces/list", &json!({ "user_id": person }))
            .await
            .ok()
            .json();
        let all = listed["workspaces"].as_array().cloned().unwrap_or_default();
        all.iter().any(|one| one["id"] == json!(id))
    };
    assert!(of("anonymous").await);
    assert!(!of("somebody else").await);
}

async fn connections_can_be_attached_to_a_created_workspace(world: &World<'_>) {
    let name = world.name();
    let workspace = world.create_workspace(None, &name).await;
    let (connection, id) = world.some().await;
    world.attach(workspace, &id).await;
    assert_eq!(
        world.get(&connection).await.ok().json()["workspace_names"],
        json!([name])
    );
}

async fn a_list_of_workspaces_past_the_bound_is_413_and_says_user_id(world: &World<'_>) {
    let most = world.setting.answer_bytes;
    // Each of the quotation marks takes two bytes of JSON: a workspace comes to over a thousand.
    let quotes = "\"".repeat(225);
    let people = most / 1000 / WORKSPACES_PER_PERSON + 1;
    for person in 0..people {
        let person = kept(world.caller(&format!("{quotes}{person}"), true));
        for _ in 0..WORKSPACES_PER_PERSON {
            let name = format!("{}{quotes}", world.name());
            world.create_workspace(Some(person), &name).await;
        }
    }
    let admin = kept(world.caller("root", true));
    let all = world.post_as(admin, "workspaces/list", &json!({})).await;
    all.refused(413, &["user_id"]);
    let body = json!({ "user_id": format!("{quotes}0") });
    let narrowed = world.post_as(admin, "workspaces/list", &body).await.ok();
    let listed = narrowed.json()["workspaces"].as_array().map(Vec::len);
    assert_eq!(listed, Some(WORKSPACES_PER_PERSON));
    assert!(narrowed.body.len() <= most, "{} bytes", narrowed.body.len());
}
