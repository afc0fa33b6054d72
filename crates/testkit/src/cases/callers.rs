//! Who may do what, with callers of different standing, and tenants apart from each other.

use serde_json::json;

use super::{make, with_callers};
use crate::runner::Case;
use crate::world::{Listed, World};
use patchbay_core::model::Caller;

pub(crate) fn cases() -> Vec<Case> {
    make!("access", with_callers;
        an_owner_sees_and_deletes_what_is_theirs,
        to_others_a_connection_does_not_exist,
        a_member_reads_what_is_attached_and_may_not_delete_it,
        an_owner_of_the_workspace_may_detach_others_connections,
        an_owner_who_is_no_member_gets_404_for_the_workspace,
        a_workspace_is_hidden_from_those_who_are_not_in_it,
        names_of_workspaces_that_the_caller_is_not_in_are_left_out,
        only_admins_name_somebody_else_in_workspaces_list,
        a_tenant_sees_nothing_of_another,
        a_cursor_of_another_caller_is_400,
        a_person_may_be_in_256_workspaces_and_no_more,
    )
}

/// A case's callers have to outlive its calls: they are few, and a test ends.
pub(crate) fn kept(caller: Caller) -> &'static Caller {
    Box::leak(Box::new(caller))
}

pub(super) struct Cast {
    pub(super) ann: &'static Caller,
    pub(super) bob: &'static Caller,
    pub(super) eve: &'static Caller,
    pub(super) root: &'static Caller,
}

pub(super) fn cast(world: &World<'_>) -> Cast {
    Cast {
        ann: kept(world.caller("ann", false)),
        bob: kept(world.caller("bob", false)),
        eve: kept(world.caller("eve", false)),
        root: kept(world.caller("root", true)),
    }
}

pub(super) async fn names(world: &World<'_>, caller: &'static Caller, body: serde_json::Value) -> Vec<String> {
    Listed::new(&world.post_as(caller, "connections/list", &body).await).names
}

/// ann's connection, attached by root to bob's workspace: name, id, workspace.
pub(super) async fn shared(world: &World<'_>, cast: &Cast) -> (String, String, u64) {
    let name = world.name();
    let id = world.create_as(cast.ann, &name).await;
    let workspace = world.create_workspace(Some(cast.bob), &world.name()).await;
    let pair = json!({ "workspace_id": workspace, "connection_id": id });
    world
        .post_as(cast.root, "connections/add_to_workspace", &pair)
        .await
        .ok();
    (name, id, workspace)
}

async fn an_owner_sees_and_deletes_what_is_theirs(world: &World<'_>) {
    let Cast { ann, .. } = cast(world);
    let name = world.name();
    let id = world.create_as(ann, &name).await;
    world
        .post_as(ann, "connections/get", &json!({ "name": name }))
        .await
        .ok();
    world
        .post_as(ann, "connections/get_by_id", &json!({ "id": id }))
        .await
        .ok();
    assert_eq!(names(world, ann, json!({})).await, std::slice::from_ref(&name));
    let own = world.create_workspace(Some(ann), &world.name()).await;
    let pair = json!({ "workspace_id": own, "connection_id": id });
    world.post_as(ann, "connections/add_to_workspace", &pair).await.ok();
    world
        .post_as(ann, "connections/delete", &json!({ "name": name }))
        .await
        .refused(409, &[]);
    world
        .post_as(ann, "connections/remove_from_workspace", &pair)
        .await
        .no_content();
    world
        .post_as(ann, "connections/delete", &json!({ "name": name }))
        .await
        .no_content();
}

async fn to_others_a_connection_does_not_exist(world: &World<'_>) {
    let cast = cast(world);
    let (name, id, workspace) = shared(world, &cast).await;
    let own = world.create_workspace(Some(cast.eve), &world.name()).await;
    let never = json!({ "name": world.name() });
    for (path, hidden) in [
        ("connections/get", json!({ "name": name })),
        ("connections/get_by_id", json!({ "id": id })),
        ("connections/delete", json!({ "name": name })),
        (
            "connections/add_to_workspace",
            json!({ "workspace_id": own, "connection_id": id }),
        ),
    ] {
        let reply = world.post_as(cast.eve, path, &hidden).await.refused(404, &[]);
        let unknown = world
            .post_as(cast.eve, "connections/get", &never)
            .await
            .refused(404, &[]);
        assert_eq!(reply.text("msg"), unknown.text("msg"), "identical answers: {path}");
    }
    let pair = json!({ "workspace_id": workspace, "connection_id": id });
    world
        .post_as(cast.eve, "connections/remove_from_workspace", &pair)
        .await
        .refused(404, &[]);
    assert!(names(world, cast.eve, json!({})).await.is_empty());
    // Its name is taken all the same.
    let body = json!({ "name": name, "type": "T" });
    world
        .post_as(cast.eve, "connections/create", &body)
        .await
        .refused(409, &[]);
    world
        .post_as(cast.root, "connections/get", &json!({ "name": name }))
        .await
        .ok();
}

async fn a_member_reads_what_is_attached_and_may_not_delete_it(world: &World<'_>) {
    let cast = cast(world);
    let (name, id, workspace) = shared(world, &cast).await;
    world
        .post_as(cast.bob, "connections/get", &json!({ "name": name }))
        .await
        .ok();
    world
        .post_as(cast.bob, "connections/get_by_id", &json!({ "id": id }))
        .await
        .ok();
    assert_eq!(names(world, cast.bob, json!({})).await, std::slice::from_ref(&name));
    assert_eq!(
        names(world, cast.bob, json!({ "workspace_id": workspace })).await,
        std::slice::from_ref(&name)
    );
    world
        .post_as(cast.bob, "connections/delete", &json!({ "name": name }))
        .await
        .refused(403, &[]);
    let other = world.create_workspace(Some(cast.bob), &world.name()).await;
    let pair = json!({ "workspace_id": other, "connection_id": id });
    world
        .post_as(cast.bob, "connections/add_to_workspace", &pair)
        .await
        .refused(403, &[]);
    let unknown = json!({ "workspace_id": world.unused_workspace(), "connection_id": id });
    world
        .post_as(cast.bob, "connections/add_to_workspace", &unknown)
        .await
        .refused(404, &["workspace"]);
}

async fn an_owner_of_the_workspace_may_detach_others_connections(world: &World<'_>) {
    let cast = cast(world);
    let (name, id, workspace) = shared(world, &cast).await;
    let pair = json!({ "workspace_id": workspace, "connection_id": id });
    world
        .post_as(cast.bob, "connections/remove_from_workspace", &pair)
        .await
        .no_content();
    world
        .post_as(cast.bob, "connections/get", &json!({ "name": name }))
        .await
        .refused(404, &[]);
    // And the connection's owner may, who is no member.
    world
        .post_as(cast.root, "connections/add_to_workspace", &pair)
        .await
        .ok();
    world
        .post_as(cast.ann, "connections/remove_from_workspace", &pair)
        .await
        .no_content();
}

async fn an_owner_who_is_no_member_gets_404_for_the_workspace(world: &World<'_>) {
    let cast = cast(world);
    let id = world.create_as(cast.ann, &world.name()).await;
    let workspace = world.create_workspace(Some(cast.bob), &world.name()).await;
    let pair = json!({ "workspace_id": workspace, "connection_id": id });
    world
        .post_as(cast.ann, "connections/add_to_workspace", &pair)
        .await
        .refused(404, &["workspace"]);
}

async fn a_workspace_is_hidden_from_those_who_are_not_in_it(world: &World<'_>) {
    let cast = cast(world);
    let (name, _, workspace) = shared(world, &cast).await;
    let there = json!({ "workspace_id": workspace });
    let hidden = world
        .post_as(cast.eve, "connections/list", &there)
        .await
        .refused(404, &[]);
    let unknown = json!({ "workspace_id": world.unused_workspace() });
    let unknown = world
        .post_as(cast.eve, "connections/list", &unknown)
        .await
        .refused(404, &[]);
    assert_eq!(hidden.text("msg"), unknown.text("msg"), "identical answers");
    let listed = world.post_as(cast.eve, "workspaces/list", &json!({})).await.ok().json();
    assert_eq!(listed["workspaces"], json!([]));
    assert_eq!(names(world, cast.root, there).await, [name]);
}

async fn names_of_workspaces_that_the_caller_is_not_in_are_left_out(world: &World<'_>) {
    let cast = cast(world);
    let (name, id, _) = shared(world, &cast).await;
    let of_eve = world.name();
    let hers = world.create_workspace(Some(cast.eve), &of_eve).await;
    let pair = json!({ "workspace_id": hers, "connection_id": id });
    world
        .post_as(cast.root, "connections/add_to_workspace", &pair)
        .await
        .ok();
    let seen = async |caller: &'static Caller| {
        let got = world
            .post_as(caller, "connections/get", &json!({ "name": name }))
            .await
            .ok()
            .json();
        got["workspace_names"].as_array().cloned().unwrap_or_default()
    };
    assert_eq!(seen(cast.eve).await, [json!(of_eve)]);
    assert_eq!(seen(cast.bob).await.len(), 1);
    assert_eq!((seen(cast.ann).await.len(), seen(cast.root).await.len()), (2, 2));
}

async fn only_admins_name_somebody_else_in_workspaces_list(world: &World<'_>) {
    let Cast { ann, bob, root, .. } = cast(world);
    let id = world.create_workspace(Some(ann), &world.name()).await;
    let of_ann = json!({ "user_id": "ann" });
    world
        .post_as(bob, "workspaces/list", &of_ann)
        .await
        .refused(403, &["user_id"]);
    for caller in [ann, root] {
        let listed = world.post_as(caller, "workspaces/list", &of_ann).await.ok().json();
        assert_eq!(listed["workspaces"][0]["id"], json!(id));
        assert_eq!(listed["workspaces"][0]["created_by"], json!("ann"));
    }
}

async fn a_tenant_sees_nothing_of_another(world: &World<'_>) {
    let Cast { root, .. } = cast(world);
    let mut elsewhere = root.clone();
    elsewhere.tenant = patchbay_core::model::Tenant::new(&format!("{}-2", root.tenant)).unwrap_or(elsewhere.tenant);
    let elsewhere = kept(elsewhere);
    let name = world.name();
    let id = world.create_as(root, &name).await;
    world
        .post_as(elsewhere, "connections/get", &json!({ "name": name }))
        .await
        .refused(404, &[]);
    world
        .post_as(elsewhere, "connections/get_by_id", &json!({ "id": id }))
        .await
        .refused(404, &[]);
    world
        .post_as(elsewhere, "connections/delete", &json!({ "name": name }))
        .await
        .refused(404, &[]);
    assert!(names(world, elsewhere, json!({})).await.is_empty());
    // A name and a workspace's name are free there.
    world.create_as(elsewhere, &name).await;
    let workspace = world.name();
    world.create_workspace(Some(root), &workspace).await;
    world.create_workspace(Some(elsewhere), &workspace).await;
    assert_eq!(names(world, root, json!({})).await, [name]);
}

async fn a_cursor_of_another_caller_is_400(world: &World<'_>) {
    let Cast { ann, root, .. } = cast(world);
    world.create_as(ann, &world.name()).await;
    world.create_as(ann, &world.name()).await;
    let page = Listed::new(&world.post_as(ann, "connections/list", &json!({ "limit": 1 })).await);
    let next = json!({ "cursor": page.next });
    world
        .post_as(root, "connections/list", &next)
        .await
        .refused(400, &["cursor"]);
    world.post_as(ann, "connections/list", &next).await.ok();
}

async fn a_person_may_be_in_256_workspaces_and_no_more(world: &World<'_>) {
    let Cast { ann, bob, .. } = cast(world);
    for _ in 0..256 {
        world.create_workspace(Some(ann), &world.name()).await;
    }
    let body = json!({ "workspace_name": world.name() });
    world
        .post_as(ann, "workspaces/create", &body)
        .await
        .refused(409, &["256"]);
    world.post_as(bob, "workspaces/create", &body).await.ok();
}
