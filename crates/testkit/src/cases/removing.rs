//! `connections/remove_from_workspace` and `connections/delete`.

use serde_json::json;

use super::{always, make};
use crate::runner::Case;
use crate::world::World;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = make!("connections/remove_from_workspace", always;
        a_detached_connection_is_out_of_this_workspace_alone,
        a_pair_that_is_not_attached_is_404,
    );
    cases.extend(make!("connections/delete", always;
        a_deleted_connection_is_gone,
        an_unknown_name_is_404,
        deleting_an_attached_connection_is_refused_and_names_the_workspaces,
        deleting_hurts_no_other_connection,
    ));
    cases
}

async fn a_detached_connection_is_out_of_this_workspace_alone(world: &World<'_>) {
    let (name, id) = world.some().await;
    let (one, other) = (world.workspace().await, world.workspace().await);
    world.attach(one, &id).await;
    let kept = world.attach(other, &id).await;
    world.detach(one, &id).await.no_content();
    assert!(world.list(json!({ "workspace_id": one })).await.names.is_empty());
    assert_eq!(world.list(json!({ "workspace_id": other })).await.names, [name]);
    assert_eq!(world.attach(other, &id).await, kept);
}

async fn a_pair_that_is_not_attached_is_404(world: &World<'_>) {
    let (_, id) = world.some().await;
    let (one, other) = (world.workspace().await, world.workspace().await);
    world.attach(one, &id).await;
    world.detach(other, &id).await.refused(404, &[]);
    world.detach(world.unused_workspace(), &id).await.refused(404, &[]);
    world
        .detach(one, "6ba7b810-9dad-41d1-80b4-00c04fd430c8")
        .await
        .refused(404, &[]);
    world.detach(one, &id).await.no_content();
    world.detach(one, &id).await.refused(404, &[]);
}

async fn a_deleted_connection_is_gone(world: &World<'_>) {
    let (name, id) = world.some().await;
    world.delete(&name).await.no_content();
    world.get(&name).await.refused(404, &[]);
    world.get_by_id(&id).await.refused(404, &[]);
    world.delete(&name).await.refused(404, &[]);
}

async fn an_unknown_name_is_404(world: &World<'_>) {
    world.delete(&world.name()).await.refused(404, &["connection"]);
}

async fn deleting_an_attached_connection_is_refused_and_names_the_workspaces(world: &World<'_>) {
    let (name, id) = world.some().await;
    let (one, other) = (world.workspace().await, world.workspace().await);
    let first = world.attach(one, &id).await;
    world.attach(other, &id).await;
    let before = world.get(&name).await.ok().body;
    let names = [world.workspace_name(one).await, world.workspace_name(other).await];
    let ids = [one.to_string(), other.to_string()];
    world
        .delete(&name)
        .await
        .refused(409, &[&names[0], &names[1], &ids[0], &ids[1]]);
    assert_eq!(world.get(&name).await.ok().body, before, "nothing changed");
    assert_eq!(world.attach(one, &id).await, first);
    world.detach(one, &id).await.no_content();
    let msg = world.delete(&name).await.refused(409, &[&names[1]]).text("msg");
    assert!(!msg.contains(&names[0]), "{msg}");
    world.detach(other, &id).await.no_content();
    world.delete(&name).await.no_content();
}

async fn deleting_hurts_no_other_connection(world: &World<'_>) {
    let (one, _) = world.some().await;
    let (other, id) = world.some().await;
    let workspace = world.workspace().await;
    world.attach(workspace, &id).await;
    let before = world.get(&other).await.ok().body;
    world.delete(&one).await.no_content();
    assert_eq!(world.get(&other).await.ok().body, before);
}
