//! `workspaces/add_user`, `workspaces/list_users` and `workspaces/remove_user`.

use patchbay_core::limits::{MEMBERS_PER_WORKSPACE, WORKSPACES_PER_PERSON};
use patchbay_core::model::{Caller, Subject};
use serde_json::{Value, json};

use super::callers::{Cast, cast, kept, names, shared};
use super::{always, in_managed_mode, in_open_mode, make, with_callers};
use crate::runner::Case;
use crate::world::{Reply, World};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = make!("members", always;
        who_makes_a_workspace_is_its_one_member_and_its_owner,
        members_are_listed_by_user_id_and_then_by_email_each_in_order,
        an_email_is_in_ascii_lower_case_and_beside_a_user_id_it_does_not_show,
        a_role_is_given_in_any_case_and_is_collaborator_where_none_is,
        a_member_who_is_added_again_gets_the_role_given,
        the_last_owner_stays_one_whoever_asks,
        removing_says_how_many_members_went,
        what_a_body_about_members_must_hold,
    );
    cases.extend(make!("members", in_managed_mode;
        a_workspace_that_was_not_created_has_no_members_to_ask_for,
    ));
    cases.extend(make!("members", in_open_mode;
        a_workspace_that_nothing_was_attached_to_is_empty_and_takes_no_members,
        a_workspace_that_an_attach_made_is_given_members,
    ));
    cases.extend(make!("members", with_callers;
        members_see_who_is_in_a_workspace_and_others_do_not_see_it,
        an_owner_changes_members_a_collaborator_may_not_and_others_do_not_see_the_workspace,
        a_member_may_leave_and_who_is_none_may_not_even_ask,
        who_is_known_by_email_is_a_member_from_their_next_call_on,
        who_was_removed_sees_nothing_from_their_next_call_on,
        a_collaborator_attaches_what_is_theirs,
        a_person_is_added_to_256_workspaces_and_no_more,
        a_workspace_takes_1000_members_and_no_more,
    ));
    cases
}

/// A member as `list_users` shows them.
fn shown(user_id: &str, role: &str) -> Value {
    json!({ "user_id": user_id, "user_type": role })
}

fn added(reply: Reply) {
    assert_eq!(reply.ok().body, "{}");
}

fn removed(reply: Reply, rows: u64) {
    assert_eq!(reply.ok().json(), json!({ "affected_rows": rows }));
}

impl World<'_> {
    /// The fields beside `workspace_id`, as everybody.
    async fn add_user(&self, workspace: u64, fields: Value) -> Reply {
        self.post("workspaces/add_user", &with(workspace, fields)).await
    }

    async fn remove_user(&self, workspace: u64, fields: Value) -> Reply {
        self.post("workspaces/remove_user", &with(workspace, fields)).await
    }

    async fn users(&self, workspace: u64) -> Value {
        let body = json!({ "workspace_id": workspace });
        let listed = self.post("workspaces/list_users", &body).await.ok().json();
        assert_eq!(listed.as_object().map(serde_json::Map::len), Some(1), "{listed}");
        listed["users"].clone()
    }
}

fn with(workspace: u64, mut fields: Value) -> Value {
    fields["workspace_id"] = workspace.into();
    fields
}

async fn who_makes_a_workspace_is_its_one_member_and_its_owner(world: &World<'_>) {
    let workspace = world.create_workspace(None, &world.name()).await;
    assert_eq!(world.users(workspace).await, json!([shown("anonymous", "OWNER")]));
}

async fn members_are_listed_by_user_id_and_then_by_email_each_in_order(world: &World<'_>) {
    let workspace = world.create_workspace(None, &world.name()).await;
    for person in ["zoe", "Eve", "bob \"b\" \\", "ä"] {
        added(world.add_user(workspace, json!({ "user_id": person })).await);
    }
    for email in ["z@x", "a@x"] {
        let fields = json!({ "email": email, "user_type": "OWNER" });
        added(world.add_user(workspace, fields).await);
    }
    let expected = [
        shown("Eve", "COLLABORATOR"),
        shown("anonymous", "OWNER"),
        shown("bob \"b\" \\", "COLLABORATOR"),
        shown("zoe", "COLLABORATOR"),
        shown("ä", "COLLABORATOR"),
        shown("a@x", "OWNER"),
        shown("z@x", "OWNER"),
    ];
    assert_eq!(world.users(workspace).await, json!(expected));
}

async fn an_email_is_in_ascii_lower_case_and_beside_a_user_id_it_does_not_show(world: &World<'_>) {
    let workspace = world.create_workspace(None, &world.name()).await;
    added(world.add_user(workspace, json!({ "email": "Bob@EXAMPLE.com" })).await);
    added(world.add_user(workspace, json!({ "email": "bob@example.COM" })).await);
    let both = json!({ "user_id": "EVE", "email": "Eve@Example.com" });
    added(world.add_user(workspace, both).await);
    let expected = [
        shown("EVE", "COLLABORATOR"),
        shown("anonymous", "OWNER"),
        shown("bob@example.com", "COLLABORATOR"),
    ];
    assert_eq!(world.users(workspace).await, json!(expected));
    // Who is known by `user_id` is so alone.
    removed(
        world
            .remove_user(workspace, json!({ "email": "eve@example.com" }))
            .await,
        0,
    );
    removed(world.remove_user(workspace, json!({ "user_id": "eve" })).await, 0);
    removed(
        world
            .remove_user(workspace, json!({ "email": "BOB@example.com" }))
            .await,
        1,
    );
    let other = json!({ "user_id": "EVE", "email": "other@example.com" });
    removed(world.remove_user(workspace, other).await, 1);
}

async fn a_role_is_given_in_any_case_and_is_collaborator_where_none_is(world: &World<'_>) {
    let workspace = world.create_workspace(None, &world.name()).await;
    for (given, role) in [
        (json!("OWNER"), "OWNER"),
        (json!("Collaborator"), "COLLABORATOR"),
        (json!("owner"), "OWNER"),
        (json!(null), "COLLABORATOR"),
        (json!("oWnEr"), "OWNER"),
    ] {
        let fields = json!({ "user_id": "bob", "user_type": given, "url": "http://patchbay.example" });
        added(world.add_user(workspace, fields).await);
        let users = world.users(workspace).await;
        assert_eq!(users[1], shown("bob", role), "{given}");
    }
    for wrong in [json!("ADMIN"), json!(""), json!("OWNER "), json!(1)] {
        let fields = json!({ "user_id": "bob", "user_type": wrong });
        world
            .add_user(workspace, fields)
            .await
            .refused(400, &["`user_type` must be"]);
    }
}

async fn a_member_who_is_added_again_gets_the_role_given(world: &World<'_>) {
    let workspace = world.create_workspace(None, &world.name()).await;
    for role in ["OWNER", "COLLABORATOR", "COLLABORATOR", "OWNER", "OWNER"] {
        let fields = json!({ "user_id": "bob", "user_type": role });
        added(world.add_user(workspace, fields).await);
        let expected = [shown("anonymous", "OWNER"), shown("bob", role)];
        assert_eq!(world.users(workspace).await, json!(expected));
    }
}

async fn the_last_owner_stays_one_whoever_asks(world: &World<'_>) {
    let workspace = world.create_workspace(None, &world.name()).await;
    let me = json!({ "user_id": "anonymous" });
    added(world.add_user(workspace, json!({ "user_id": "bob" })).await);
    let expected = [shown("anonymous", "OWNER"), shown("bob", "COLLABORATOR")];
    world
        .remove_user(workspace, me.clone())
        .await
        .refused(409, &["last OWNER"]);
    world
        .add_user(workspace, me.clone())
        .await
        .refused(409, &["last OWNER"]);
    assert_eq!(world.users(workspace).await, json!(expected));
    // Who stays an OWNER takes nobody away.
    let again = json!({ "user_id": "anonymous", "user_type": "OWNER" });
    added(world.add_user(workspace, again).await);
    let fields = json!({ "user_id": "bob", "user_type": "OWNER" });
    added(world.add_user(workspace, fields).await);
    added(world.add_user(workspace, me.clone()).await);
    removed(world.remove_user(workspace, me).await, 1);
    assert_eq!(world.users(workspace).await, json!([shown("bob", "OWNER")]));
}

async fn removing_says_how_many_members_went(world: &World<'_>) {
    let workspace = world.create_workspace(None, &world.name()).await;
    let bob = json!({ "user_id": "bob" });
    removed(world.remove_user(workspace, bob.clone()).await, 0);
    added(world.add_user(workspace, bob.clone()).await);
    removed(world.remove_user(workspace, bob.clone()).await, 1);
    removed(world.remove_user(workspace, bob).await, 0);
    assert_eq!(world.users(workspace).await, json!([shown("anonymous", "OWNER")]));
}

async fn what_a_body_about_members_must_hold(world: &World<'_>) {
    let workspace = world.create_workspace(None, &world.name()).await;
    for (body, words) in [
        (json!({}), "`user_id` and `email`"),
        (json!({ "user_id": null, "email": null }), "`user_id` and `email`"),
        (json!({ "user_id": "" }), "`user_id`"),
        (json!({ "user_id": 7 }), "`user_id`"),
        (json!({ "user_id": "b", "email": " b@x" }), "`email`"),
        (json!({ "email": "b".repeat(256) }), "`email`"),
        (json!({ "user_id": "b", "name": "b" }), "`name` is not a known field"),
    ] {
        world.add_user(workspace, body.clone()).await.refused(400, &[words]);
        world.remove_user(workspace, body).await.refused(400, &[words]);
    }
    let url = json!({ "user_id": "b", "url": 1 });
    world.add_user(workspace, url).await.refused(400, &["`url`"]);
    for operation in ["add_user", "list_users", "remove_user"] {
        let path = format!("workspaces/{operation}");
        for wrong in [json!({}), json!({ "workspace_id": null }), json!({ "workspace_id": 0 })] {
            world.post(&path, &wrong).await.refused(400, &["`workspace_id`"]);
        }
    }
    let listed = json!({ "workspace_id": workspace, "user_id": "b" });
    world
        .post("workspaces/list_users", &listed)
        .await
        .refused(400, &["`user_id`"]);
    // An id may be its digits in a string, as everywhere.
    let digits = json!({ "workspace_id": workspace.to_string() });
    world.post("workspaces/list_users", &digits).await.ok();
}

async fn a_workspace_that_was_not_created_has_no_members_to_ask_for(world: &World<'_>) {
    let never = world.unused_workspace();
    let body = json!({ "workspace_id": never });
    world
        .post("workspaces/list_users", &body)
        .await
        .refused(404, &["workspace"]);
    let bob = json!({ "user_id": "bob" });
    world.add_user(never, bob.clone()).await.refused(404, &["workspace"]);
    world.remove_user(never, bob).await.refused(404, &["workspace"]);
}

async fn a_workspace_that_nothing_was_attached_to_is_empty_and_takes_no_members(world: &World<'_>) {
    let never = world.unused_workspace();
    assert_eq!(world.users(never).await, json!([]));
    let bob = json!({ "user_id": "bob" });
    world.add_user(never, bob.clone()).await.refused(404, &["workspace"]);
    world.remove_user(never, bob).await.refused(404, &["workspace"]);
    assert_eq!(world.users(never).await, json!([]));
}

async fn a_workspace_that_an_attach_made_is_given_members(world: &World<'_>) {
    let (workspace, (_, id)) = (world.workspace().await, world.some().await);
    world.attach(workspace, &id).await;
    assert_eq!(world.users(workspace).await, json!([]));
    let bob = json!({ "user_id": "bob" });
    removed(world.remove_user(workspace, bob.clone()).await, 0);
    // It never had an OWNER, so that none is the last.
    added(world.add_user(workspace, bob.clone()).await);
    assert_eq!(world.users(workspace).await, json!([shown("bob", "COLLABORATOR")]));
    removed(world.remove_user(workspace, bob).await, 1);
}

/// The answers to the three calls about eve, in a workspace that is there and in one that is not.
async fn hidden(world: &World<'_>, who: &'static Caller, workspace: u64) {
    let never = world.unused_workspace();
    for operation in ["list_users", "add_user", "remove_user"] {
        let path = format!("workspaces/{operation}");
        let mut bodies = Vec::new();
        for workspace in [workspace, never] {
            let mut body = json!({ "workspace_id": workspace });
            if operation != "list_users" {
                body["user_id"] = "eve".into();
            }
            bodies.push(world.post_as(who, &path, &body).await.refused(404, &["workspace"]).body);
        }
        assert_eq!(bodies[0], bodies[1], "identical answers: {path}");
    }
}

async fn members_see_who_is_in_a_workspace_and_others_do_not_see_it(world: &World<'_>) {
    let Cast { ann, bob, eve, root } = cast(world);
    let workspace = world.create_workspace(Some(ann), &world.name()).await;
    let add = json!({ "workspace_id": workspace, "user_id": "bob" });
    added(world.post_as(ann, "workspaces/add_user", &add).await);
    let body = json!({ "workspace_id": workspace });
    let expected = json!({ "users": [shown("ann", "OWNER"), shown("bob", "COLLABORATOR")] });
    for who in [ann, bob, root] {
        let listed = world.post_as(who, "workspaces/list_users", &body).await.ok();
        assert_eq!(listed.json(), expected, "{}", who.subject);
    }
    hidden(world, eve, workspace).await;
}

async fn an_owner_changes_members_a_collaborator_may_not_and_others_do_not_see_the_workspace(world: &World<'_>) {
    let Cast { ann, bob, eve, root } = cast(world);
    let workspace = world.create_workspace(Some(ann), &world.name()).await;
    let about = |who: &str| json!({ "workspace_id": workspace, "user_id": who });
    added(world.post_as(ann, "workspaces/add_user", &about("bob")).await);
    for who in ["bob", "ann", "eve"] {
        world
            .post_as(bob, "workspaces/add_user", &about(who))
            .await
            .refused(403, &["OWNER"]);
    }
    for who in ["ann", "eve"] {
        world
            .post_as(bob, "workspaces/remove_user", &about(who))
            .await
            .refused(403, &["OWNER"]);
    }
    hidden(world, eve, workspace).await;
    // Who is made an OWNER may do as the first did.
    let promoted = json!({ "workspace_id": workspace, "user_id": "bob", "user_type": "OWNER" });
    added(world.post_as(root, "workspaces/add_user", &promoted).await);
    added(world.post_as(bob, "workspaces/add_user", &about("eve")).await);
    removed(world.post_as(bob, "workspaces/remove_user", &about("ann")).await, 1);
    hidden(world, ann, workspace).await;
}

async fn a_member_may_leave_and_who_is_none_may_not_even_ask(world: &World<'_>) {
    let Cast { ann, bob, eve, root } = cast(world);
    let workspace = world.create_workspace(Some(ann), &world.name()).await;
    let about = |who: &str| json!({ "workspace_id": workspace, "user_id": who });
    added(world.post_as(ann, "workspaces/add_user", &about("bob")).await);
    removed(world.post_as(bob, "workspaces/remove_user", &about("bob")).await, 1);
    for (who, name) in [(bob, "bob"), (eve, "eve")] {
        world
            .post_as(who, "workspaces/remove_user", &about(name))
            .await
            .refused(404, &["workspace"]);
    }
    removed(world.post_as(root, "workspaces/remove_user", &about("root")).await, 0);
    world
        .post_as(ann, "workspaces/remove_user", &about("ann"))
        .await
        .refused(409, &["last OWNER"]);
    let (carl, email) = with_email(world, "carl");
    let by_email = json!({ "workspace_id": workspace, "email": email });
    added(world.post_as(ann, "workspaces/add_user", &by_email).await);
    let in_capitals = json!({ "workspace_id": workspace, "email": email.to_ascii_uppercase() });
    removed(world.post_as(carl, "workspaces/remove_user", &in_capitals).await, 1);
}

/// Somebody with an e-mail address, and that address.
fn with_email(world: &World<'_>, subject: &str) -> (&'static Caller, String) {
    let email = format!("{subject}@example.com");
    let mut caller = world.caller(subject, false);
    caller.email = Subject::new(&email).ok();
    (kept(caller), email)
}

async fn who_is_known_by_email_is_a_member_from_their_next_call_on(world: &World<'_>) {
    let Cast { ann, bob, .. } = cast(world);
    let (carl, email) = with_email(world, "carl");
    let (name, _, workspace) = shared(world, &cast(world)).await;
    let body = json!({ "name": name });
    world.post_as(carl, "connections/get", &body).await.refused(404, &[]);
    let add = json!({ "workspace_id": workspace, "email": "Carl@Example.com" });
    added(world.post_as(bob, "workspaces/add_user", &add).await);
    world.post_as(carl, "connections/get", &body).await.ok();
    assert_eq!(names(world, carl, json!({})).await, [name]);
    let listed = world.post_as(carl, "workspaces/list", &json!({})).await.ok().json();
    assert_eq!(listed["workspaces"][0]["id"], json!(workspace));
    // Another who has that address for a subject is somebody else.
    let namesake = kept(world.caller(&email, false));
    world
        .post_as(namesake, "connections/get", &body)
        .await
        .refused(404, &[]);
    // Both roles count, and the higher one does.
    let by_subject = json!({ "workspace_id": workspace, "user_id": "carl", "user_type": "OWNER" });
    added(world.post_as(bob, "workspaces/add_user", &by_subject).await);
    let leaves = json!({ "workspace_id": workspace, "user_id": "bob" });
    removed(world.post_as(carl, "workspaces/remove_user", &leaves).await, 1);
    hidden(world, ann, workspace).await;
}

async fn who_was_removed_sees_nothing_from_their_next_call_on(world: &World<'_>) {
    let Cast { bob, eve, .. } = cast(world);
    let (name, id, workspace) = shared(world, &cast(world)).await;
    let about = json!({ "workspace_id": workspace, "user_id": "eve" });
    added(world.post_as(bob, "workspaces/add_user", &about).await);
    world
        .post_as(eve, "connections/get", &json!({ "name": name }))
        .await
        .ok();
    removed(world.post_as(bob, "workspaces/remove_user", &about).await, 1);
    for (path, body) in [
        ("connections/get", json!({ "name": name })),
        ("connections/get_by_id", json!({ "id": id })),
        ("connections/list", json!({ "workspace_id": workspace })),
    ] {
        world.post_as(eve, path, &body).await.refused(404, &[]);
    }
    assert!(names(world, eve, json!({})).await.is_empty());
    hidden(world, eve, workspace).await;
}

async fn a_collaborator_attaches_what_is_theirs(world: &World<'_>) {
    let Cast { ann, bob, .. } = cast(world);
    let name = world.name();
    let id = world.create_as(ann, &name).await;
    let workspace = world.create_workspace(Some(bob), &world.name()).await;
    let pair = json!({ "workspace_id": workspace, "connection_id": id });
    let add = json!({ "workspace_id": workspace, "user_id": "ann" });
    added(world.post_as(bob, "workspaces/add_user", &add).await);
    world.post_as(ann, "connections/add_to_workspace", &pair).await.ok();
    // Having left, they still see and detach it, which is theirs.
    removed(world.post_as(ann, "workspaces/remove_user", &add).await, 1);
    world
        .post_as(ann, "connections/add_to_workspace", &pair)
        .await
        .refused(404, &["workspace"]);
    world
        .post_as(ann, "connections/remove_from_workspace", &pair)
        .await
        .no_content();
}

async fn a_person_is_added_to_256_workspaces_and_no_more(world: &World<'_>) {
    let Cast { ann, root, .. } = cast(world);
    for _ in 0..WORKSPACES_PER_PERSON {
        world.create_workspace(Some(ann), &world.name()).await;
    }
    let workspace = world.create_workspace(Some(root), &world.name()).await;
    let add = json!({ "workspace_id": workspace, "user_id": "ann" });
    world
        .post_as(root, "workspaces/add_user", &add)
        .await
        .refused(409, &["256"]);
    let bob = json!({ "workspace_id": workspace, "user_id": "bob" });
    added(world.post_as(root, "workspaces/add_user", &bob).await);
}

async fn a_workspace_takes_1000_members_and_no_more(world: &World<'_>) {
    let Cast { root, .. } = cast(world);
    let workspace = world.create_workspace(Some(root), &world.name()).await;
    let about = |number: usize| json!({ "workspace_id": workspace, "user_id": format!("{number:0>255}") });
    for number in 1..MEMBERS_PER_WORKSPACE {
        added(world.post_as(root, "workspaces/add_user", &about(number)).await);
    }
    let one_more = world.post_as(root, "workspaces/add_user", &about(0)).await;
    one_more.refused(409, &["1000"]);
    // Who is one may still get another role, and who leaves makes room.
    added(world.post_as(root, "workspaces/add_user", &about(1)).await);
    let body = json!({ "workspace_id": workspace });
    let listed = world.post_as(root, "workspaces/list_users", &body).await.ok().json();
    assert_eq!(listed["users"].as_array().map(Vec::len), Some(MEMBERS_PER_WORKSPACE));
    removed(world.post_as(root, "workspaces/remove_user", &about(1)).await, 1);
    added(world.post_as(root, "workspaces/add_user", &about(0)).await);
}
