//! `connections/get` and `connections/get_by_id`.

use serde_json::json;

use super::{always, make};
use crate::runner::Case;
use crate::world::World;

pub(crate) fn cases() -> Vec<Case> {
    make!("connections/get", always;
        a_connection_has_exactly_its_six_fields,
        both_lookups_give_the_same,
        an_unknown_name_or_id_is_404,
        names_are_matched_exactly,
        ids_are_taken_in_either_case_and_any_version,
        workspace_names_are_sorted_and_complete,
        what_is_changed_is_seen_at_once,
        unknown_things_get_the_same_answer_whether_hidden_or_not,
    )
}

async fn a_connection_has_exactly_its_six_fields(world: &World<'_>) {
    let (name, id) = world.some().await;
    let reply = world.get(&name).await.ok();
    let json = reply.json();
    let fields: Vec<&str> = json
        .as_object()
        .map(|o| o.keys().map(String::as_str).collect())
        .unwrap_or_default();
    assert_eq!(
        fields,
        ["created_at", "details", "id", "name", "type", "workspace_names"],
        "{reply:?}"
    );
    assert_eq!(json["id"], json!(id));
    assert_eq!(json["name"], json!(name));
    assert_eq!(json["type"], json!("KAFKA"));
    assert_eq!(json["details"], json!({ "host": "h" }));
    assert_eq!(json["workspace_names"], json!([]));
}

async fn both_lookups_give_the_same(world: &World<'_>) {
    let (name, id) = world.some().await;
    let workspace = world.workspace().await;
    world.attach(workspace, &id).await;
    assert_eq!(world.get(&name).await.ok().body, world.get_by_id(&id).await.ok().body);
}

async fn an_unknown_name_or_id_is_404(world: &World<'_>) {
    world.get(&world.name()).await.refused(404, &["connection"]);
    world
        .get_by_id("6ba7b810-9dad-41d1-80b4-00c04fd430c8")
        .await
        .refused(404, &["connection"]);
}

async fn names_are_matched_exactly(world: &World<'_>) {
    let (name, _) = world.some().await;
    let longer = format!("{name}x");
    let shorter = name[..name.len() - 1].to_owned();
    for other in [
        name.to_uppercase(),
        longer,
        shorter,
        format!("%{name}"),
        name.replace('-', "_"),
    ] {
        world.get(&other).await.refused(404, &[]);
    }
}

async fn ids_are_taken_in_either_case_and_any_version(world: &World<'_>) {
    let (_, id) = world.some().await;
    let upper = world.get_by_id(&id.to_uppercase()).await.ok();
    assert_eq!(upper.text("id"), id, "ids are answered in lower case");
    for unknown in [
        "00000000-0000-0000-0000-000000000000",
        "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "01890a5d-ac96-774b-bcce-b302099a8057",
    ] {
        world.get_by_id(unknown).await.refused(404, &[]);
    }
}

async fn workspace_names_are_sorted_and_complete(world: &World<'_>) {
    let (name, id) = world.some().await;
    let mut workspaces = Vec::new();
    for _ in 0..12 {
        workspaces.push(world.workspace().await);
    }
    // Attached in an order that is not the names'.
    workspaces.rotate_left(5);
    for workspace in &workspaces {
        world.attach(*workspace, &id).await;
    }
    let mut names = Vec::new();
    for workspace in &workspaces {
        names.push(world.workspace_name(*workspace).await);
    }
    names.sort_unstable();
    assert_eq!(world.get(&name).await.ok().json()["workspace_names"], json!(names));
    let listed = world.list(json!({ "workspace_id": workspaces[0] })).await;
    assert_eq!(listed.rows[0]["workspace_names"], json!(names));
    world.detach(workspaces[0], &id).await.no_content();
    let gone = world.workspace_name(workspaces[0]).await;
    names.retain(|name| *name != gone);
    assert_eq!(world.get_by_id(&id).await.ok().json()["workspace_names"], json!(names));
}

async fn what_is_changed_is_seen_at_once(world: &World<'_>) {
    let workspace = world.workspace().await;
    for _ in 0..10 {
        let name = world.name();
        world.get(&name).await.refused(404, &[]);
        let id = world.create(&name, "{}").await;
        world.get(&name).await.ok();
        world.get_by_id(&id).await.ok();
        world.attach(workspace, &id).await;
        assert_eq!(
            world.list(json!({ "workspace_id": workspace })).await.names,
            std::slice::from_ref(&name)
        );
        world.detach(workspace, &id).await.no_content();
        assert!(world.list(json!({ "workspace_id": workspace })).await.names.is_empty());
        world.delete(&name).await.no_content();
        world.get(&name).await.refused(404, &[]);
        world.get_by_id(&id).await.refused(404, &[]);
    }
}

async fn unknown_things_get_the_same_answer_whether_hidden_or_not(world: &World<'_>) {
    let (name, id) = world.some().await;
    let never = world.get(&world.name()).await.refused(404, &[]).text("msg");
    world.delete(&name).await.no_content();
    assert_eq!(world.get(&name).await.refused(404, &[]).text("msg"), never);
    assert_eq!(world.get_by_id(&id).await.refused(404, &[]).text("msg"), never);
}
