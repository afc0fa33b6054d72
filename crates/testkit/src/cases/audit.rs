//! `audit/list`: the trail, where the home keeps its own.

use serde_json::{Value, json};

use patchbay_core::model::Tenant;

use super::callers::kept;
use super::{always, make, with_callers};
use crate::runner::Case;
use crate::world::{Reply, World};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = make!("audit/list", always;
        what_was_done_to_a_connection_comes_newest_first_where_there_is_a_trail,
        pages_joined_are_the_whole_and_a_cursor_goes_with_its_fields,
    );
    cases.extend(make!("audit/list", with_callers;
        only_admins_read_it_and_only_what_is_of_their_tenant,
    ));
    cases
}

/// The records, unless the home keeps none, which it says then.
fn records(world: &World<'_>, reply: Reply) -> Option<Vec<Value>> {
    if !world.setting.trail {
        reply.refused(501, &["audit"]);
        return None;
    }
    let json = reply.ok().json();
    json.get("records").and_then(Value::as_array).cloned()
}

/// Of each record, kind and outcome.
fn told(records: &[Value]) -> Vec<[&str; 2]> {
    fn text<'r>(record: &'r Value, field: &str) -> &'r str {
        record.get(field).and_then(Value::as_str).unwrap_or_default()
    }
    records
        .iter()
        .map(|record| [text(record, "kind"), text(record, "outcome")])
        .collect()
}

async fn what_was_done_to_a_connection_comes_newest_first_where_there_is_a_trail(world: &World<'_>) {
    let (name, id) = world.some().await;
    world.get(&name).await.ok();
    let body = json!({ "id": id, "details": false });
    world.post("connections/get_by_id", &body).await.ok();
    world.delete(&name).await.no_content();
    let reply = world.post("audit/list", &json!({ "connection_id": id })).await;
    let Some(records) = records(world, reply) else { return };
    let expected = [
        ["change", "done"],
        ["look", "done"],
        ["details.read", "done"],
        ["change", "done"],
    ];
    assert_eq!(told(&records), expected, "{records:?}");
    assert!(
        records
            .iter()
            .all(|record| record.get("connections") == Some(&json!([id])))
    );
    let body = json!({ "connection_id": id, "until": "2000-01-01T00:00:00Z" });
    let before = world.post("audit/list", &body).await.ok().json();
    assert_eq!(before.get("records"), Some(&json!([])), "{before}");
}

async fn pages_joined_are_the_whole_and_a_cursor_goes_with_its_fields(world: &World<'_>) {
    let (name, id) = world.some().await;
    for _ in 0..4 {
        world.get(&name).await.ok();
    }
    let reply = world.post("audit/list", &json!({ "connection_id": id })).await;
    let Some(whole) = records(world, reply) else { return };
    assert_eq!(whole.len(), 5, "{whole:?}");
    let (mut joined, mut body) = (Vec::new(), json!({ "connection_id": id, "limit": 2 }));
    loop {
        let page = world.post("audit/list", &body).await.ok().json();
        let records = page
            .get("records")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        assert!(records.len() <= 2, "{page}");
        joined.extend(records);
        let Some(cursor) = page.get("next_cursor") else { break };
        body["cursor"] = cursor.clone();
        let another = json!({ "subject": "somebody", "limit": 2, "cursor": cursor });
        world.post("audit/list", &another).await.refused(400, &["cursor"]);
    }
    assert_eq!(joined, whole);
}

async fn only_admins_read_it_and_only_what_is_of_their_tenant(world: &World<'_>) {
    let (ann, root) = (kept(world.caller("ann", false)), kept(world.caller("root", true)));
    let id = world.create_as(ann, &world.name()).await;
    let body = json!({ "connection_id": id });
    world.post_as(ann, "audit/list", &body).await.refused(403, &["admin"]);
    let reply = world.post_as(root, "audit/list", &body).await;
    let Some(of_tenant) = records(world, reply) else { return };
    assert_eq!(told(&of_tenant), [["change", "done"]], "{of_tenant:?}");
    let of_ann = json!({ "subject": "ann" });
    let of_ann = records(world, world.post_as(root, "audit/list", &of_ann).await).unwrap_or_default();
    assert_eq!(told(&of_ann), [["look", "forbidden"], ["change", "done"]], "{of_ann:?}");
    let mut elsewhere = world.caller("root", true);
    elsewhere.tenant = Tenant::new(&format!("{}-2", root.tenant)).unwrap_or(elsewhere.tenant);
    let elsewhere = kept(elsewhere);
    let none = records(world, world.post_as(elsewhere, "audit/list", &body).await).unwrap_or_default();
    assert_eq!(none, Vec::<Value>::new());
}
