//! The exactness of `details`: what comes back is what was sent, to the byte.

use serde_json::json;

use super::{always, make};
use crate::runner::Case;
use crate::world::{Reply, World};

pub(crate) fn cases() -> Vec<Case> {
    make!("details", always;
        key_order_and_white_space_come_back,
        numbers_come_back_as_written,
        duplicate_keys_come_back,
        escapes_and_lone_surrogates_come_back,
        unicode_comes_back,
        a_string_comes_back,
        null_and_absent_come_back_as_null,
        what_looks_like_an_answer_comes_back,
        sixty_four_levels_come_back,
        brackets_in_strings_are_no_levels,
        details_of_256_kib_come_back_and_one_byte_more_is_400,
        errors_never_repeat_details,
        they_are_null_where_they_are_not_wanted_and_all_else_is_as_ever,
    )
}

/// The raw text of `details` in a Connection's JSON.
fn raw_details(reply: &Reply) -> String {
    #[derive(Debug)]
    struct Raw<'a>(std::collections::HashMap<String, &'a serde_json::value::RawValue>);
    let text = std::str::from_utf8(&reply.body).unwrap_or_default();
    let fields = serde_json::from_str(text).map(Raw);
    let Ok(Raw(fields)) = fields else {
        panic!("not a Connection: {reply:?}");
    };
    fields
        .get("details")
        .map(|raw| raw.get().to_owned())
        .unwrap_or_default()
}

async fn comes_back(world: &World<'_>, details: &str) {
    let name = world.name();
    let id = world.create(&name, details).await;
    let workspace = world.workspace().await;
    world.attach(workspace, &id).await;
    assert!(
        raw_details(&world.get(&name).await.ok()) == details,
        "get gives back {:.80}",
        details
    );
    assert!(
        raw_details(&world.get_by_id(&id).await.ok()) == details,
        "get_by_id gives back {:.80}",
        details
    );
    let body = serde_json::json!({ "workspace_id": workspace });
    let listed = world.post("connections/list", &body).await.ok();
    let listed = String::from_utf8_lossy(&listed.body).into_owned();
    assert!(
        listed.contains(&format!("\"details\":{details},")),
        "list gives back {:.80}",
        details
    );
    world.detach(workspace, &id).await.no_content();
    world.delete(&name).await.no_content();
}

async fn all_come_back(world: &World<'_>, each: &[&str]) {
    for details in each {
        comes_back(world, details).await;
    }
}

async fn key_order_and_white_space_come_back(world: &World<'_>) {
    let each = [
        "{\"z\":1,\"a\":2,\"m\":3}",
        "{ \"a\" :\t1 ,\r\n\"b\": [ 1 , 2 ] }",
        "{\n}",
        "{\"\":{\"\":\"\"}}",
    ];
    all_come_back(world, &each).await;
}

async fn numbers_come_back_as_written(world: &World<'_>) {
    let numbers = "{\"a\":1.0,\"b\":1,\"c\":1e400,\"d\":-0,\"e\":-0.0,\"f\":123456789012345678901234567890,\"g\":0.1e+1,\"h\":\
                   1E5,\"i\":0.10,\"j\":9007199254740993,\"k\":1e-999}";
    all_come_back(world, &[numbers]).await;
}

async fn duplicate_keys_come_back(world: &World<'_>) {
    all_come_back(world, &["{\"a\":1,\"a\":2}", "{\"a\":{\"b\":1,\"b\":1},\"a\":null}"]).await;
}

async fn escapes_and_lone_surrogates_come_back(world: &World<'_>) {
    let each = [
        "{\"a\":\"\\u0041\\/\\b\\f\\n\\r\\t\\\"\\\\\"}",
        "{\"a\":\"\\ud800\",\"b\":\"\\udfff\\ud800\"}",
        "{\"\\u0000\":\"\\u0000\\uFFFF\\uffff\"}",
        "{\"a\":\"\\uD83D\\uDE00\"}",
    ];
    all_come_back(world, &each).await;
}

async fn unicode_comes_back(world: &World<'_>) {
    all_come_back(
        world,
        &["{\"ключ\":\"日本語\u{1f9ea}\u{2028}\u{feff}\"}", "{\"e\u{301}\":\"é\"}"],
    )
    .await;
}

async fn a_string_comes_back(world: &World<'_>) {
    let each = ["\"\"", "\"postgres://u:p@h/db\"", "\"{\\\"a\\\": 1}\"", "\"\\ud800\""];
    all_come_back(world, &each).await;
}

async fn null_and_absent_come_back_as_null(world: &World<'_>) {
    comes_back(world, "null").await;
    let name = world.name();
    let body = format!("{{\"name\":\"{name}\",\"type\":\"T\"}}");
    world.raw("connections/create", body).await.ok();
    assert_eq!(raw_details(&world.get(&name).await.ok()), "null");
    world.delete(&name).await.no_content();
}

async fn what_looks_like_an_answer_comes_back(world: &World<'_>) {
    let each = [
        "{\"id\":\"x\",\"details\":null,\"created_at\":\"now\",\"workspace_names\":[]}",
        "{\"connections\":[]}",
    ];
    all_come_back(world, &each).await;
}

async fn sixty_four_levels_come_back(world: &World<'_>) {
    // The body's own object is the first level, details the second.
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(62), "]".repeat(62));
    comes_back(world, &deep).await;
}

async fn brackets_in_strings_are_no_levels(world: &World<'_>) {
    comes_back(world, &format!("{{\"a\":\"\\\"{}\"}}", "[{".repeat(100))).await;
}

async fn details_of_256_kib_come_back_and_one_byte_more_is_400(world: &World<'_>) {
    let most = 256 * 1024;
    comes_back(world, &format!("{{\"a\":\"{}\"}}", "x".repeat(most - 8))).await;
    comes_back(world, &format!("\"{}\"", "\\u00e9".repeat(43_690))).await;
    let over = format!("{{\"a\":\"{}\"}}", "x".repeat(most - 7));
    let body = format!("{{\"name\":\"{}\",\"type\":\"T\",\"details\":{over}}}", world.name());
    world
        .raw("connections/create", body)
        .await
        .refused(400, &["details", "262144"]);
}

async fn errors_never_repeat_details(world: &World<'_>) {
    let name = world.name();
    world.create(&name, "{\"password\":\"hunter2-hunter2\"}").await;
    for body in [
        format!("{{\"name\":\"{name}\",\"type\":\"T\",\"details\":{{\"password\":\"hunter2-hunter2\"}}}}"),
        "{\"name\":\"\",\"type\":\"T\",\"details\":\"hunter2-hunter2\"}".to_owned(),
        "{\"name\":\"n\",\"type\":\"T\",\"details\":[\"hunter2-hunter2\"]}".to_owned(),
        "{\"name\":\"n\",\"type\":\"T\",\"details\":{\"a\":\"hunter2-hunter2\"]}".to_owned(),
        "{\"name\":\"n\",\"type\":\"T\",\"details\":hunter2-hunter2}".to_owned(),
        "{\"name\":\"n\",\"details\":{\"a\":\"hunter2-hunter2\"}}".to_owned(),
    ] {
        let reply = world.raw("connections/create", body).await;
        assert!((400..500).contains(&reply.status), "{reply:?}");
        assert!(!String::from_utf8_lossy(&reply.body).contains("hunter2"), "{reply:?}");
    }
}

async fn they_are_null_where_they_are_not_wanted_and_all_else_is_as_ever(world: &World<'_>) {
    let (name, id) = world.some().await;
    let workspace = world.workspace().await;
    world.attach(workspace, &id).await;
    for (path, body) in [
        ("connections/get", json!({ "name": name })),
        ("connections/get_by_id", json!({ "id": id })),
        ("connections/list", json!({ "workspace_id": workspace })),
        ("connections/list", json!({ "workspace_id": workspace, "limit": 1 })),
    ] {
        let asked = async |details: serde_json::Value| {
            let mut body = body.clone();
            body["details"] = details;
            let reply = world.post(path, &body).await.ok();
            String::from_utf8_lossy(&reply.body).into_owned()
        };
        let with = world.post(path, &body).await.ok();
        let with = String::from_utf8_lossy(&with.body).into_owned();
        let without = with.replace("\"details\":{\"host\":\"h\"}", "\"details\":null");
        assert_ne!(with, without, "{path}");
        assert_eq!(asked(json!(false)).await, without, "{path}");
        assert_eq!(asked(json!(true)).await, with, "{path}");
        assert_eq!(asked(json!(null)).await, with, "{path}: null counts as absent");
    }
}
