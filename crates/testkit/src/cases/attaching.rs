//! `connections/add_to_workspace`.

use serde_json::{Value, json};

use super::{always, in_managed_mode, in_open_mode, make};
use crate::runner::Case;
use crate::world::World;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = make!("connections/add_to_workspace", always;
        it_answers_an_id_of_its_own,
        a_pair_that_is_attached_keeps_its_id,
        attaching_again_after_a_detach_gives_a_new_id,
        an_unknown_connection_is_404,
        workspace_ids_are_taken_as_numbers_and_digits,
        connection_ids_are_taken_in_either_case,
        a_connection_can_be_in_many_workspaces_and_a_workspace_hold_many,
    );
    cases.extend(make!("connections/add_to_workspace", in_open_mode;
        in_open_mode_the_first_attach_makes_the_workspace,
        in_open_mode_the_largest_id_is_taken,
        a_connection_may_be_in_256_workspaces_and_no_more,
    ));
    cases.extend(make!("connections/add_to_workspace", in_managed_mode;
        in_managed_mode_an_unknown_workspace_is_404,
    ));
    cases
}

async fn it_answers_an_id_of_its_own(world: &World<'_>) {
    let (_, id) = world.some().await;
    let (one, other) = (world.workspace().await, world.workspace().await);
    let reply = world.try_attach(one, &id).await.ok();
    assert_eq!(reply.json().as_object().map(serde_json::Map::len), Some(1), "{reply:?}");
    let attachment = reply.text("id");
    let uuid = uuid::Uuid::parse_str(&attachment).map(|uuid| (uuid.get_version_num(), uuid.hyphenated().to_string()));
    assert_eq!(
        uuid.ok(),
        Some((4, attachment.clone())),
        "a version 4 UUID in lower case"
    );
    assert_ne!(attachment, id);
    assert_ne!(world.attach(other, &id).await, attachment);
}

async fn a_pair_that_is_attached_keeps_its_id(world: &World<'_>) {
    let (_, id) = world.some().await;
    let workspace = world.workspace().await;
    let first = world.attach(workspace, &id).await;
    for _ in 0..3 {
        assert_eq!(world.attach(workspace, &id).await, first);
    }
    assert_eq!(world.list(json!({ "workspace_id": workspace })).await.rows.len(), 1);
    world.detach(workspace, &id).await.no_content();
    world.detach(workspace, &id).await.refused(404, &[]);
}

async fn attaching_again_after_a_detach_gives_a_new_id(world: &World<'_>) {
    let (_, id) = world.some().await;
    let workspace = world.workspace().await;
    let first = world.attach(workspace, &id).await;
    world.detach(workspace, &id).await.no_content();
    assert_ne!(world.attach(workspace, &id).await, first);
}

async fn an_unknown_connection_is_404(world: &World<'_>) {
    let workspace = world.workspace().await;
    let unknown = "6ba7b810-9dad-41d1-80b4-00c04fd430c8";
    world.try_attach(workspace, unknown).await.refused(404, &["connection"]);
    let (name, id) = world.some().await;
    world.delete(&name).await.no_content();
    world.try_attach(workspace, &id).await.refused(404, &["connection"]);
}

async fn workspace_ids_are_taken_as_numbers_and_digits(world: &World<'_>) {
    let (name, id) = world.some().await;
    let workspace = world.workspace().await;
    let body = json!({ "workspace_id": workspace.to_string(), "connection_id": id });
    let first = world.post("connections/add_to_workspace", &body).await.ok().text("id");
    assert_eq!(world.attach(workspace, &id).await, first);
    let named = world.workspace_name(workspace).await;
    assert_eq!(world.get(&name).await.ok().json()["workspace_names"], json!([named]));
    let listed = world.list(json!({ "workspace_id": workspace.to_string() })).await;
    assert_eq!(listed.names, [name]);
    world
        .post("connections/remove_from_workspace", &body)
        .await
        .no_content();
}

async fn connection_ids_are_taken_in_either_case(world: &World<'_>) {
    let (_, id) = world.some().await;
    let workspace = world.workspace().await;
    let first = world.attach(workspace, &id.to_uppercase()).await;
    assert_eq!(world.attach(workspace, &id).await, first);
    world.detach(workspace, &id.to_uppercase()).await.no_content();
}

async fn a_connection_can_be_in_many_workspaces_and_a_workspace_hold_many(world: &World<'_>) {
    let workspaces = [
        world.workspace().await,
        world.workspace().await,
        world.workspace().await,
    ];
    let mut names = Vec::new();
    for _ in 0..5 {
        let (name, id) = world.some().await;
        for workspace in workspaces {
            world.attach(workspace, &id).await;
        }
        names.push(name);
    }
    for workspace in workspaces {
        assert_eq!(world.list(json!({ "workspace_id": workspace })).await.names, names);
    }
}

async fn in_open_mode_the_first_attach_makes_the_workspace(world: &World<'_>) {
    let (name, id) = world.some().await;
    let workspace = world.unused_workspace();
    assert!(world.list(json!({ "workspace_id": workspace })).await.names.is_empty());
    world.attach(workspace, &id).await;
    let made = format!("workspace-{workspace}");
    assert_eq!(world.workspace_name(workspace).await, made);
    assert_eq!(world.get(&name).await.ok().json()["workspace_names"], json!([made]));
    world.detach(workspace, &id).await.no_content();
    assert_eq!(world.workspace_name(workspace).await, made, "it stays");
}

async fn in_open_mode_the_largest_id_is_taken(world: &World<'_>) {
    let (name, id) = world.some().await;
    let largest = (1_u64 << 53) - 1;
    world.attach(largest, &id).await;
    let names = world.get(&name).await.ok().json()["workspace_names"].clone();
    assert_eq!(names, json!(["workspace-9007199254740991"]));
    let listed = world.post("workspaces/list", &json!({})).await.ok().json();
    let all = listed["workspaces"].as_array().cloned().unwrap_or_default();
    assert!(all.iter().any(|one| one["id"] == json!(largest)), "listed as a number");
}

async fn a_connection_may_be_in_256_workspaces_and_no_more(world: &World<'_>) {
    let (name, id) = world.some().await;
    let mut last = 0;
    for _ in 0..256 {
        last = world.unused_workspace();
        world.attach(last, &id).await;
    }
    let one_more = world.unused_workspace();
    world.try_attach(one_more, &id).await.refused(409, &["256"]);
    world.attach(last, &id).await;
    let names = world.get(&name).await.ok().json()["workspace_names"].clone();
    assert_eq!(names.as_array().map(Vec::len), Some(256));
    // The 409 of delete names at most 20.
    let msg = world.delete(&name).await.refused(409, &["and 236 more"]).text("msg");
    assert_eq!(msg.matches("workspace-").count(), 20, "{msg}");
    world.detach(last, &id).await.no_content();
    world.attach(one_more, &id).await;
}

async fn in_managed_mode_an_unknown_workspace_is_404(world: &World<'_>) {
    let (name, id) = world.some().await;
    let unknown = world.unused_workspace();
    world.try_attach(unknown, &id).await.refused(404, &["workspace"]);
    assert_eq!(
        world.get(&name).await.ok().json()["workspace_names"],
        Value::Array(Vec::new())
    );
    let body = json!({ "workspace_id": unknown });
    world.post("connections/list", &body).await.refused(404, &["workspace"]);
}
