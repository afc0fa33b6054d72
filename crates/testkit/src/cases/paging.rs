//! `connections/list`, page by page.

use serde_json::json;

use super::{always, make};
use crate::runner::Case;
use crate::world::World;

pub(crate) fn cases() -> Vec<Case> {
    make!("connections/list", always;
        pages_hold_limit_rows_and_the_last_has_no_cursor,
        a_cursor_without_limit_means_a_hundred,
        pages_neither_skip_nor_repeat_while_things_change,
        a_cursor_can_be_used_again,
        a_cursor_of_another_filter_is_400,
        a_cursor_that_was_changed_is_400,
        a_cursor_shows_nothing_of_the_names,
        a_limit_of_a_thousand_is_taken,
        a_page_with_details_and_one_without_go_on_from_each_other,
    )
}

/// `count` connections attached to a workspace.
async fn filled(world: &World<'_>, count: usize) -> (u64, Vec<(String, String)>) {
    let workspace = world.workspace().await;
    let mut made = Vec::new();
    for _ in 0..count {
        let (name, id) = world.some().await;
        world.attach(workspace, &id).await;
        made.push((name, id));
    }
    (workspace, made)
}

async fn pages_hold_limit_rows_and_the_last_has_no_cursor(world: &World<'_>) {
    let (workspace, made) = filled(world, 10).await;
    for limit in [1, 3, 5, 9, 10, 11] {
        let mut names = Vec::new();
        for page in world.pages(json!({ "workspace_id": workspace, "limit": limit })).await {
            let expected = limit.min(10 - names.len());
            assert_eq!(page.names.len(), expected, "limit {limit}, after {}", names.len());
            names.extend(page.names);
            let follows = names.len() < 10;
            assert_eq!(page.next.is_some(), follows, "limit {limit}, after {}", names.len());
        }
        let all: Vec<String> = made.iter().map(|(name, _)| name.clone()).collect();
        assert_eq!(names, all, "limit {limit}");
    }
}

async fn a_cursor_without_limit_means_a_hundred(world: &World<'_>) {
    let (workspace, _) = filled(world, 103).await;
    let first = world.list(json!({ "workspace_id": workspace, "limit": 1 })).await;
    let second = world
        .list(json!({ "workspace_id": workspace, "cursor": first.next }))
        .await;
    assert_eq!((second.names.len(), second.next.is_some()), (100, true));
}

async fn pages_neither_skip_nor_repeat_while_things_change(world: &World<'_>) {
    let (workspace, made) = filled(world, 30).await;
    let (mut names, mut round) = (Vec::new(), 0);
    let mut body = json!({ "workspace_id": workspace, "limit": 4 });
    loop {
        let page = world.list(body).await;
        // The last row seen goes, an early one goes, and one comes that sorts among those seen.
        if let Some(last) = page.names.last()
            && round % 2 == 0
            && let Some((name, id)) = made.iter().find(|(name, _)| name == last)
        {
            world.detach(workspace, id).await.no_content();
            world.delete(name).await.no_content();
        }
        let between = format!("{}-{round}", made[round].0);
        let id = world.create(&between, "null").await;
        world.attach(workspace, &id).await;
        names.extend(page.names);
        round += 1;
        let Some(next) = page.next else { break };
        body = json!({ "workspace_id": workspace, "limit": 4, "cursor": next });
    }
    let mut once = names.clone();
    once.dedup();
    assert_eq!(once, names, "nothing twice");
    assert!(names.is_sorted());
    for (name, _) in &made {
        assert!(names.contains(name), "{name} was skipped");
    }
}

async fn a_cursor_can_be_used_again(world: &World<'_>) {
    let (workspace, _) = filled(world, 5).await;
    let first = world.list(json!({ "workspace_id": workspace, "limit": 2 })).await;
    let body = json!({ "workspace_id": workspace, "limit": 2, "cursor": first.next });
    assert_eq!(world.list(body.clone()).await.names, world.list(body).await.names);
}

async fn a_cursor_of_another_filter_is_400(world: &World<'_>) {
    let (workspace, _) = filled(world, 3).await;
    let (other, _) = filled(world, 3).await;
    let cursor = world.list(json!({ "workspace_id": workspace, "limit": 1 })).await.next;
    for body in [
        json!({ "workspace_id": other, "cursor": cursor }),
        json!({ "cursor": cursor }),
    ] {
        world.post("connections/list", &body).await.refused(400, &["cursor"]);
    }
    let cursor = world.list(json!({ "limit": 1 })).await.next;
    let body = json!({ "workspace_id": workspace, "cursor": cursor });
    world.post("connections/list", &body).await.refused(400, &["cursor"]);
}

async fn a_cursor_that_was_changed_is_400(world: &World<'_>) {
    let (workspace, _) = filled(world, 3).await;
    let cursor = world
        .list(json!({ "workspace_id": workspace, "limit": 1 }))
        .await
        .next
        .unwrap_or_default();
    for at in 0..cursor.len() {
        let flip = if cursor.as_bytes()[at] == b'A' { "B" } else { "A" };
        let changed = format!("{}{flip}{}", &cursor[..at], &cursor[at + 1..]);
        let body = json!({ "workspace_id": workspace, "cursor": changed });
        world.post("connections/list", &body).await.refused(400, &["cursor"]);
    }
    let body = json!({ "workspace_id": workspace, "cursor": &cursor[..cursor.len() - 1] });
    world.post("connections/list", &body).await.refused(400, &["cursor"]);
}

async fn a_cursor_shows_nothing_of_the_names(world: &World<'_>) {
    let (workspace, made) = filled(world, 2).await;
    let page = || world.list(json!({ "workspace_id": workspace, "limit": 1 }));
    let (one, other) = (
        page().await.next.unwrap_or_default(),
        page().await.next.unwrap_or_default(),
    );
    assert!(!one.is_empty() && one != other, "encrypted anew each time");
    assert!(!one.contains(&made[0].0));
}

async fn a_limit_of_a_thousand_is_taken(world: &World<'_>) {
    let (workspace, _) = filled(world, 2).await;
    let page = world.list(json!({ "workspace_id": workspace, "limit": 1000 })).await;
    assert_eq!((page.names.len(), page.next), (2, None));
}

async fn a_page_with_details_and_one_without_go_on_from_each_other(world: &World<'_>) {
    let (workspace, made) = filled(world, 6).await;
    let (mut names, mut cursor) = (Vec::new(), None);
    for details in [false, true, false] {
        let body = json!({ "workspace_id": workspace, "limit": 2, "cursor": cursor, "details": details });
        let page = world.list(body).await;
        assert_eq!(page.rows[0]["details"].is_null(), !details);
        names.extend(page.names);
        cursor = page.next;
    }
    let all: Vec<String> = made.into_iter().map(|(name, _)| name).collect();
    assert_eq!((names, cursor), (all, None));
}
