//! What holds while several do the same at once.

use std::collections::HashSet;

use futures_util::future::join_all;
use serde_json::json;

use super::callers::{Cast, cast};
use super::{always, make, with_callers};
use crate::runner::Case;
use crate::world::World;

const AT_ONCE: usize = 16;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = make!("concurrency", always;
        of_simultaneous_creates_of_one_name_one_wins,
        simultaneous_attaches_of_a_pair_get_one_id,
        of_simultaneous_detaches_one_gets_204,
        of_simultaneous_deletes_one_gets_204,
        an_attach_is_never_on_a_deleted_connection,
    );
    cases.extend(make!("concurrency", with_callers;
        of_two_owners_who_go_at_once_one_stays,
    ));
    cases
}

fn statuses(replies: &[crate::world::Reply], status: u16) -> usize {
    replies.iter().filter(|reply| reply.status == status).count()
}

async fn of_simultaneous_creates_of_one_name_one_wins(world: &World<'_>) {
    for _ in 0..5 {
        let name = world.name();
        let bodies: Vec<_> = (0..AT_ONCE)
            .map(|n| json!({ "name": name, "type": "T", "details": { "n": n } }))
            .collect();
        let replies = join_all(bodies.iter().map(|body| world.post("connections/create", body))).await;
        assert_eq!(
            (statuses(&replies, 200), statuses(&replies, 409)),
            (1, AT_ONCE - 1),
            "{replies:?}"
        );
        let (winner, reply) = (0..)
            .zip(&replies)
            .find(|(_, reply)| reply.status == 200)
            .unwrap_or((0, &replies[0]));
        let kept = world.get(&name).await.ok().json();
        assert_eq!(kept["details"], json!({ "n": winner }), "the winner's details");
        assert_eq!(kept["id"], json!(reply.text("id")));
        world.delete(&name).await.no_content();
    }
}

async fn simultaneous_attaches_of_a_pair_get_one_id(world: &World<'_>) {
    let (_, id) = world.some().await;
    let workspace = world.workspace().await;
    let ids = join_all((0..AT_ONCE).map(|_| world.attach(workspace, &id))).await;
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 1, "{ids:?}");
}

async fn of_simultaneous_detaches_one_gets_204(world: &World<'_>) {
    let (_, id) = world.some().await;
    let workspace = world.workspace().await;
    world.attach(workspace, &id).await;
    let replies = join_all((0..AT_ONCE).map(|_| world.detach(workspace, &id))).await;
    assert_eq!(
        (statuses(&replies, 204), statuses(&replies, 404)),
        (1, AT_ONCE - 1),
        "{replies:?}"
    );
}

async fn of_simultaneous_deletes_one_gets_204(world: &World<'_>) {
    let (name, _) = world.some().await;
    let replies = join_all((0..AT_ONCE).map(|_| world.delete(&name))).await;
    assert_eq!(
        (statuses(&replies, 204), statuses(&replies, 404)),
        (1, AT_ONCE - 1),
        "{replies:?}"
    );
}

async fn an_attach_is_never_on_a_deleted_connection(world: &World<'_>) {
    let workspace = world.workspace().await;
    for _ in 0..20 {
        let (name, id) = world.some().await;
        let (attached, deleted) = tokio::join!(world.try_attach(workspace, &id), world.delete(&name));
        match (attached.status, deleted.status) {
            (200, 409) => world.get(&name).await.ok(),
            (404, 204) => world.get(&name).await.refused(404, &[]),
            _ => panic!("{attached:?} and {deleted:?}"),
        };
    }
}

async fn of_two_owners_who_go_at_once_one_stays(world: &World<'_>) {
    let Cast { ann, bob, root, .. } = cast(world);
    for round in 0..15 {
        let workspace = world.create_workspace(Some(ann), &world.name()).await;
        let about = |who: &str, role: &str| json!({ "workspace_id": workspace, "user_id": who, "user_type": role });
        let second = about("bob", "OWNER");
        world.post_as(ann, "workspaces/add_user", &second).await.ok();
        let removed = |who: &str| json!({ "workspace_id": workspace, "user_id": who });
        let demoted = |who: &str| about(who, "COLLABORATOR");
        // Who comes second is no member any more, or no OWNER, or the last one.
        let (path, by_ann, by_bob, late) = match round % 3 {
            0 => ("workspaces/remove_user", removed("bob"), removed("ann"), 404),
            1 => ("workspaces/add_user", demoted("bob"), demoted("ann"), 403),
            _ => ("workspaces/remove_user", removed("ann"), removed("bob"), 409),
        };
        let (one, other) = tokio::join!(world.post_as(ann, path, &by_ann), world.post_as(bob, path, &by_bob));
        let mut answers = [one.status, other.status];
        answers.sort_unstable();
        assert_eq!(answers, [200, late], "{one:?} and {other:?}");
        let body = json!({ "workspace_id": workspace });
        let listed = world.post_as(root, "workspaces/list_users", &body).await.ok().json();
        let users = listed["users"].as_array().cloned().unwrap_or_default();
        let owners = users.iter().filter(|user| user["user_type"] == "OWNER").count();
        assert_eq!(owners, 1, "{users:?}");
    }
}
