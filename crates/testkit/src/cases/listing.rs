//! `connections/list`, without pages.

use serde_json::json;

use super::{always, make};
use crate::runner::Case;
use crate::world::World;

pub(crate) fn cases() -> Vec<Case> {
    make!("connections/list", always;
        it_is_ordered_by_name_in_byte_order,
        a_row_is_what_get_answers,
        a_workspace_lists_what_is_attached_and_nothing_else,
        without_a_workspace_it_lists_what_is_attached_nowhere_too,
        without_a_page_there_is_no_next_cursor,
        a_list_past_the_bound_is_413_and_says_limit_and_fits_without_details,
    )
}

async fn it_is_ordered_by_name_in_byte_order(world: &World<'_>) {
    let (base, workspace) = (world.name(), world.workspace().await);
    let mut names: Vec<String> = [
        "b",
        "a",
        "B",
        "é",
        "z",
        "日",
        "_",
        "a\u{301}",
        "aa",
        "\u{1f9ea}",
        "\u{ff5e}",
        "-",
        "~",
    ]
    .iter()
    .map(|end| format!("{base}{end}"))
    .collect();
    for name in &names {
        let id = world.create(name, "null").await;
        world.attach(workspace, &id).await;
    }
    names.sort_unstable();
    assert_eq!(world.list(json!({ "workspace_id": workspace })).await.names, names);
}

async fn a_row_is_what_get_answers(world: &World<'_>) {
    let (name, id) = world.some().await;
    let workspace = world.workspace().await;
    world.attach(workspace, &id).await;
    let body = json!({ "workspace_id": workspace });
    let listed = world.post("connections/list", &body).await.ok();
    let got = world.get(&name).await.ok();
    let listed = String::from_utf8_lossy(&listed.body).into_owned();
    assert_eq!(
        listed,
        format!("{{\"connections\":[{}]}}", String::from_utf8_lossy(&got.body))
    );
}

async fn a_workspace_lists_what_is_attached_and_nothing_else(world: &World<'_>) {
    let (one, other) = (world.workspace().await, world.workspace().await);
    let (here, here_id) = world.some().await;
    let (there, there_id) = world.some().await;
    world.some().await;
    world.attach(one, &here_id).await;
    world.attach(other, &there_id).await;
    assert_eq!(world.list(json!({ "workspace_id": one })).await.names, [here]);
    assert_eq!(
        world.list(json!({ "workspace_id": other })).await.names,
        [there.as_str()]
    );
    world.detach(one, &here_id).await.no_content();
    let empty = world.list(json!({ "workspace_id": one })).await;
    assert!(empty.names.is_empty() && empty.next.is_none());
}

async fn without_a_workspace_it_lists_what_is_attached_nowhere_too(world: &World<'_>) {
    let workspace = world.workspace().await;
    let (free, _) = world.some().await;
    let (bound, id) = world.some().await;
    world.attach(workspace, &id).await;
    let pages = world.pages(json!({ "limit": 1000 })).await;
    let names = pages.into_iter().flat_map(|page| page.names);
    let found: Vec<String> = names.filter(|name| [&free, &bound].contains(&name)).collect();
    assert_eq!(found, [free, bound]);
}

async fn without_a_page_there_is_no_next_cursor(world: &World<'_>) {
    let workspace = world.workspace().await;
    for _ in 0..120 {
        let (_, id) = world.some().await;
        world.attach(workspace, &id).await;
    }
    let all = world.list(json!({ "workspace_id": workspace })).await;
    assert_eq!((all.names.len(), all.next), (120, None));
}

async fn a_list_past_the_bound_is_413_and_says_limit_and_fits_without_details(world: &World<'_>) {
    let workspace = world.workspace().await;
    let details = format!("\"{}\"", "\\\"".repeat(120 * 1024));
    let many = world.setting.answer_bytes / details.len() + 1;
    for _ in 0..many {
        let id = world.create(&world.name(), &details).await;
        world.attach(workspace, &id).await;
    }
    let body = json!({ "workspace_id": workspace });
    world.post("connections/list", &body).await.refused(413, &["limit"]);
    let mut count = 0;
    for page in world.pages(json!({ "workspace_id": workspace, "limit": 1000 })).await {
        let (bytes, most) = (page.bytes, world.setting.answer_bytes);
        assert!(bytes <= most, "a page of {bytes} bytes");
        assert!(!page.names.is_empty(), "a page holds at least one");
        count += page.names.len();
    }
    assert_eq!(count, many);

    let without = world.list(json!({ "workspace_id": workspace, "details": false })).await;
    assert_eq!(without.names.len(), many, "without details all of them fit one answer");
    let page = json!({ "workspace_id": workspace, "details": false, "limit": 1000 });
    let page = world.list(page).await;
    assert_eq!((page.names.len(), page.next), (many, None), "and one page");
}
