//! `connections/create`.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::{always, make};
use crate::runner::Case;
use crate::world::World;

pub(crate) fn cases() -> Vec<Case> {
    make!("connections/create", always;
        it_answers_the_new_id_and_nothing_else,
        ids_are_random_version_4_uuids,
        a_name_that_is_taken_is_409_and_changes_nothing,
        names_are_case_sensitive_and_not_normalised,
        unusual_names_come_back_as_given,
        names_of_255_bytes_are_taken,
        types_are_kept_as_given,
        types_of_64_bytes_are_taken,
        a_deleted_name_can_be_used_again_with_a_new_id,
        a_refused_create_leaves_nothing,
        created_at_is_now_in_utc_with_microseconds,
        a_body_may_have_white_space_and_any_order,
    )
}

async fn it_answers_the_new_id_and_nothing_else(world: &World<'_>) {
    let name = world.name();
    let body = json!({ "name": name, "type": "BIGQUERY", "details": { "a": 1 } });
    let reply = world.post("connections/create", &body).await.ok();
    let json = reply.json();
    assert_eq!(json.as_object().map(serde_json::Map::len), Some(1), "{reply:?}");
    let id = reply.text("id");
    assert_eq!(world.get(&name).await.ok().text("id"), id);
    world.delete(&name).await.no_content();
}

async fn ids_are_random_version_4_uuids(world: &World<'_>) {
    let mut seen = HashSet::new();
    for _ in 0..20 {
        let (_, id) = world.some().await;
        let uuid = uuid::Uuid::parse_str(&id).map_err(|error| format!("{id}: {error}"));
        assert_eq!(uuid.as_ref().map(uuid::Uuid::get_version_num), Ok(4), "{id}");
        assert_eq!(
            uuid.map(|uuid| uuid.hyphenated().to_string()),
            Ok(id.clone()),
            "lower case, hyphenated"
        );
        assert!(seen.insert(id.clone()), "{id} came twice");
    }
}

async fn a_name_that_is_taken_is_409_and_changes_nothing(world: &World<'_>) {
    let name = world.name();
    let id = world.create(&name, "{\"first\":1}").await;
    let body = json!({ "name": name, "type": "OTHER", "details": { "second": 2 } });
    world.post("connections/create", &body).await.refused(409, &["name"]);
    let kept = world.get(&name).await.ok().json();
    assert_eq!((&kept["id"], &kept["type"]), (&json!(id), &json!("KAFKA")));
    assert_eq!(kept["details"], json!({ "first": 1 }));
}

async fn names_are_case_sensitive_and_not_normalised(world: &World<'_>) {
    let base = world.name();
    let names = [
        format!("{base}-é"),
        format!("{base}-e\u{301}"),
        format!("{base}-E"),
        format!("{base}-e"),
        format!("{base}-ß"),
        format!("{base}-ss"),
        format!("{base}-\u{ff45}"),
    ];
    let mut ids = HashSet::new();
    for name in &names {
        ids.insert(world.create(name, "null").await);
    }
    assert_eq!(ids.len(), names.len());
    for name in &names {
        assert_eq!(world.get(name).await.ok().text("name"), *name);
    }
}

async fn unusual_names_come_back_as_given(world: &World<'_>) {
    let base = world.name();
    let workspace = world.workspace().await;
    for odd in [
        "#",
        "/",
        "%2F",
        "%",
        "'; DROP TABLE connection; --",
        "\"quoted\"",
        "\\",
        "a b",
        "..",
        "{}",
        "*",
        "\u{1f9ea}",
        "日本語",
        "\u{200b}",
        "T#t#C#",
        "\u{feff}",
        "\u{10ffff}",
        "null",
        "a\u{2028}b",
        "\u{e000}",
        "<script>",
        "&amp;",
    ] {
        let name = format!("{base}{odd}|{odd}.");
        let id = world.create(&name, "{\"k\":\"v\"}").await;
        world.attach(workspace, &id).await;
        assert_eq!(world.get(&name).await.ok().text("name"), name);
        assert_eq!(world.get_by_id(&id).await.ok().text("name"), name);
        assert_eq!(
            world.list(json!({ "workspace_id": workspace })).await.names,
            std::slice::from_ref(&name)
        );
        world.detach(workspace, &id).await.no_content();
        world.delete(&name).await.no_content();
        world.get(&name).await.refused(404, &[]);
    }
}

async fn names_of_255_bytes_are_taken(world: &World<'_>) {
    let base = world.name();
    for filler in ["n", "é"] {
        let mut name = base.clone();
        while name.len() + filler.len() <= 255 {
            name.push_str(filler);
        }
        name.push_str(&"x".repeat(255 - name.len()));
        let id = world.create(&name, "null").await;
        assert_eq!(world.get(&name).await.ok().text("id"), id);
    }
}

async fn types_are_kept_as_given(world: &World<'_>) {
    for kind in ["BIGQUERY", "kafka", "Postgres 16", "日本語", "a\"b\\c", "%"] {
        let name = world.name();
        let body = json!({ "name": name, "type": kind });
        world.post("connections/create", &body).await.ok();
        assert_eq!(world.get(&name).await.ok().text("type"), kind);
        world.delete(&name).await.no_content();
    }
}

async fn types_of_64_bytes_are_taken(world: &World<'_>) {
    for kind in ["t".repeat(64), "é".repeat(32)] {
        let name = world.name();
        world
            .post("connections/create", &json!({ "name": name, "type": kind }))
            .await
            .ok();
        assert_eq!(world.get(&name).await.ok().text("type"), kind);
        world.delete(&name).await.no_content();
    }
}

async fn a_deleted_name_can_be_used_again_with_a_new_id(world: &World<'_>) {
    let name = world.name();
    let first = world.create(&name, "{\"v\":1}").await;
    world.delete(&name).await.no_content();
    let second = world.create(&name, "{\"v\":2}").await;
    assert_ne!(first, second);
    assert_eq!(world.get(&name).await.ok().json()["details"], json!({ "v": 2 }));
    world.get_by_id(&first).await.refused(404, &[]);
}

async fn a_refused_create_leaves_nothing(world: &World<'_>) {
    let name = world.name();
    for body in [
        json!({ "name": name }),
        json!({ "name": name, "type": "" }),
        json!({ "name": name, "type": "T", "details": [] }),
        json!({ "name": name, "type": "T", "detail": {} }),
    ] {
        world.post("connections/create", &body).await.refused(400, &[]);
        world.get(&name).await.refused(404, &[]);
    }
}

async fn created_at_is_now_in_utc_with_microseconds(world: &World<'_>) {
    let (one, _) = world.some().await;
    let (other, _) = world.some().await;
    let mut times = Vec::new();
    for name in [one, other] {
        let at = world.get(&name).await.ok().text("created_at");
        let shape: String = at.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(shape, "0000-00-00T00:00:00.000000Z", "{at}");
        times.push(at);
    }
    assert!(times[0] <= times[1], "{times:?}");
    let date = world.request(None, http::Method::GET, "/healthz").reply().await;
    // A home behind an address says what time it is; its Date and its records agree on the day.
    if let Some(date) = date.header("date") {
        let day = date.split(' ').nth(1).unwrap_or_default().to_owned();
        let days = [times[0][8..10].to_owned(), times[1][8..10].to_owned()];
        assert!(days.contains(&day) || date.contains("00:00:0"), "{date} and {times:?}");
    }
}

async fn a_body_may_have_white_space_and_any_order(world: &World<'_>) {
    let name = world.name();
    let body = format!("\r\n\t {{ \"details\" : null ,\n \"type\":\"T\" , \"n\\u0061me\" : \"{name}\" }} \n");
    let id = world.raw("connections/create", body).await.ok().text("id");
    let kept = world.get(&name).await.ok();
    assert_eq!(kept.text("id"), id);
    assert_eq!(kept.json()["details"], Value::Null);
    world.delete(&name).await.no_content();
}
