//! What is this store's own: how many requests an operation takes, the largest items, and tenants that would be others.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic, and say what it did"
)]

mod local;

use aws_sdk_dynamodb::types::AttributeValue;
use local::store;
use patchbay_core::limits;
use patchbay_core::model::Timestamp;
use patchbay_core::store::{
    AttachOutcome, CreateOutcome, CreateWorkspaceOutcome, DeleteOutcome, DetachOutcome, ListOutcome, ListQuery, Lookup,
    Store as _, StoreError, WorkspacesOf,
};
use patchbay_testkit::sample::{all, attach, caller, make_workspace, name, names, record, workspace};

const READ: &str = "BatchGetItem";
const QUERY: &str = "Query";
const WRITE: &str = "TransactWriteItems";

#[tokio::test]
async fn every_operation_takes_the_requests_that_the_readme_says_done_or_refused() {
    let (store, _, wire, _) = store().await;
    let (root, ann, bob) = (
        caller("t", "root", true),
        caller("t", "ann", false),
        caller("t", "bob", false),
    );
    let team = make_workspace(&store, &ann, "team").await;
    assert_eq!(wire.requests(), [READ, QUERY, WRITE], "create_workspace");
    let taken = store
        .create_workspace(&bob, name("team"), Timestamp::from_micros(3))
        .await
        .unwrap();
    assert_eq!(taken, CreateWorkspaceOutcome::NameTaken);
    assert_eq!(wire.requests(), [READ], "create_workspace, refused");

    let kept = record(1, "one", &ann, 10);
    store.create(&ann, kept.clone()).await.unwrap();
    assert_eq!(wire.requests(), [WRITE], "create");
    let again = store.create(&ann, record(2, "one", &ann, 10)).await.unwrap();
    assert_eq!(
        (again, wire.requests()),
        (CreateOutcome::NameTaken, vec![WRITE.to_owned()])
    );

    for (who, sees) in [(&root, true), (&ann, true), (&bob, false)] {
        let seen = store.get(who, Lookup::Name(kept.name.clone())).await.unwrap();
        assert_eq!(seen.is_some(), sees);
        assert_eq!(wire.requests(), [READ], "get");
        let seen = store.get(who, Lookup::Id(kept.id)).await.unwrap();
        assert_eq!(seen.is_some(), sees);
        assert_eq!(wire.requests(), [READ, READ], "get_by_id");
    }
    assert_eq!(
        store.get(&root, Lookup::Id(record(9, "x", &ann, 0).id)).await.unwrap(),
        None
    );
    assert_eq!(wire.requests(), [READ], "get_by_id of nothing");

    let one = attach(kept.id, team, 1);
    assert_eq!(
        store.attach(&bob, one.clone()).await.unwrap(),
        AttachOutcome::NoConnection
    );
    assert_eq!(wire.requests(), [READ], "attach, refused");
    for requests in [&[READ, WRITE][..], &[READ]] {
        assert_eq!(
            store.attach(&ann, one.clone()).await.unwrap(),
            AttachOutcome::Attached(one.id)
        );
        assert_eq!(wire.requests(), requests, "attach, and again");
    }
    assert!(matches!(
        store.delete(&ann, kept.name.clone()).await.unwrap(),
        DeleteOutcome::Attached(_)
    ));
    assert_eq!(wire.requests(), [READ], "delete, refused");
    assert_eq!(
        store.detach(&bob, kept.id, team).await.unwrap(),
        DetachOutcome::NotAttached
    );
    assert_eq!(wire.requests(), [READ], "detach, refused");
    assert_eq!(
        store.detach(&ann, kept.id, team).await.unwrap(),
        DetachOutcome::Detached
    );
    assert_eq!(wire.requests(), [READ, WRITE], "detach");
    assert_eq!(
        store.delete(&ann, kept.name.clone()).await.unwrap(),
        DeleteOutcome::Deleted(kept.id)
    );
    assert_eq!(wire.requests(), [READ, WRITE], "delete");

    store
        .list_workspaces(&root, WorkspacesOf::Everybody, usize::MAX)
        .await
        .unwrap();
    assert_eq!(wire.requests(), [QUERY], "list_workspaces");
    store
        .list_workspaces(&ann, WorkspacesOf::Caller, usize::MAX)
        .await
        .unwrap();
    assert_eq!(wire.requests(), [READ, READ], "list_workspaces of somebody");
    store.ready().await.unwrap();
    assert_eq!(wire.requests(), [READ], "ready");
}

#[tokio::test]
async fn a_list_takes_the_requests_that_the_readme_says() {
    let (store, _, wire, _) = store().await;
    let (root, ann) = (caller("t", "root", true), caller("t", "ann", false));
    let (team, other) = (
        make_workspace(&store, &ann, "team").await,
        make_workspace(&store, &ann, "other").await,
    );
    for number in 0..150 {
        let kept = record(number, &format!("c{number:03}"), &ann, 10);
        store.create(&ann, kept.clone()).await.unwrap();
        store.attach(&ann, attach(kept.id, team, number)).await.unwrap();
    }
    wire.requests();
    let within = |workspace| ListQuery {
        workspace: Some(workspace),
        ..all()
    };
    let page = ListQuery {
        limit: Some(100),
        ..all()
    };
    for (what, who, query, count, expected) in [
        ("admin", &root, all(), 150, &[QUERY, READ, READ][..]),
        ("admin's page", &root, page.clone(), 100, &[QUERY, READ]),
        ("a workspace", &ann, within(team), 150, &[READ, QUERY, READ, READ]),
        ("an empty workspace", &ann, within(other), 0, &[READ, QUERY]),
        ("others", &ann, all(), 150, &[READ, QUERY, QUERY, QUERY, READ, READ]),
        ("others' page", &ann, page, 100, &[READ, QUERY, QUERY, QUERY, READ]),
    ] {
        let (found, more) = names(&store, who, query).await;
        assert_eq!((found.len(), more), (count, count == 100), "{what}");
        assert_eq!(wire.requests(), expected, "{what}");
    }
    let bob = caller("t", "bob", false);
    assert_eq!(store.list(&bob, within(team)).await.unwrap(), ListOutcome::NoWorkspace);
    assert_eq!(wire.requests(), [READ], "refused");
}

#[tokio::test]
async fn pages_of_any_length_give_what_somebody_sees_once_and_in_order() {
    let (store, ..) = store().await;
    let (root, ann) = (caller("t", "root", true), caller("t", "ann", false));
    let team = make_workspace(&store, &ann, "team").await;
    for number in 0..24 {
        let owner = [&ann, &root][usize::from(number % 3 != 0)];
        let kept = record(number, &format!("c{number:02}"), owner, 10);
        store.create(owner, kept.clone()).await.unwrap();
        if number % 4 == 0 {
            store.attach(&root, attach(kept.id, team, number)).await.unwrap();
        }
    }
    let anns: Vec<String> = (0..24)
        .filter(|n| n % 3 == 0 || n % 4 == 0)
        .map(|n| format!("c{n:02}"))
        .collect();
    for limit in 1..=(anns.len() as u16 + 1) {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let query = ListQuery {
                after,
                limit: Some(limit),
                ..all()
            };
            let (page, more) = names(&store, &ann, query).await;
            assert!(page.len() == usize::from(limit) || !more);
            after = page.last().map(|last| name(last));
            found.extend(page);
            if !more {
                break;
            }
        }
        assert_eq!(found, anns, "limit {limit}");
    }
}

#[tokio::test]
async fn a_list_of_more_records_than_an_answer_of_dynamodbs_holds_is_whole() {
    let (store, _, wire, _) = store().await;
    let root = caller("t", "root", true);
    for number in 0..70 {
        let large = record(number, &format!("c{number:02}"), &root, limits::DETAILS_BYTES);
        store.create(&root, large).await.unwrap();
    }
    wire.requests();
    assert_eq!(names(&store, &root, all()).await.0.len(), 70);
    assert_eq!(wire.requests(), [QUERY, READ, READ]);
}

#[tokio::test]
async fn the_largest_connection_fits_and_is_read_whole() {
    let (store, client, _, table) = store().await;
    let (tenant, subject) = ("t".repeat(128), "s".repeat(255));
    let root = caller(&tenant, &subject, true);
    // A version, a nonce and a tag come to the details.
    let kept = record(1, &"n".repeat(255), &root, limits::DETAILS_BYTES + 64);
    store.create(&root, kept.clone()).await.unwrap();
    // Its owner is in as many workspaces as anybody may be, and each has a name of the longest.
    for number in 0..limits::WORKSPACES_PER_PERSON {
        let workspace = make_workspace(&store, &root, &format!("{number:0>255}")).await;
        let one = attach(kept.id, workspace, number as u128);
        assert_eq!(
            store.attach(&root, one.clone()).await.unwrap(),
            AttachOutcome::Attached(one.id)
        );
    }
    let one_more = attach(kept.id, workspace(limits::WORKSPACE_ID), 999);
    assert_eq!(store.attach(&root, one_more).await.unwrap(), AttachOutcome::TooMany);
    let too_many = store
        .create_workspace(&root, name("one more"), Timestamp::from_micros(3))
        .await
        .unwrap();
    assert_eq!(too_many, CreateWorkspaceOutcome::TooMany);
    let seen = store.get(&root, Lookup::Id(kept.id)).await.unwrap().unwrap();
    assert_eq!((&seen.record, seen.workspace_names.len()), (&kept, 256));

    let partition = AttributeValue::S(format!("128#{tenant}#C#{}", kept.name));
    let get = client.get_item().table_name(&table).key("pk", partition);
    let item = get
        .key("sk", AttributeValue::S("-".to_owned()))
        .send()
        .await
        .unwrap()
        .item
        .unwrap();
    let size = bytes_of_map(&item);
    println!("{size} bytes of the {} that an item may have", 400 * 1024);
    assert!(size > kept.sealed.bytes.len() && size < 400 * 1024, "{size} bytes");
}

/// What DynamoDB counts for a map's attributes.
fn bytes_of_map(map: &std::collections::HashMap<String, AttributeValue>) -> usize {
    map.iter().map(|(key, value)| key.len() + bytes(value) + 1).sum()
}

fn bytes(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::B(blob) => blob.as_ref().len(),
        AttributeValue::N(_) => 21,
        AttributeValue::M(map) => 3 + bytes_of_map(map),
        other => panic!("{other:?} is not stored"),
    }
}

#[tokio::test]
async fn a_tenant_whose_texts_look_like_anothers_keys_sees_nothing_of_it() {
    let (store, ..) = store().await;
    let texts = [
        "a", "a#C", "a#C#b", "1#a", "1#a#C#b", "b", "#", "##", "C#b", "3#a#C", "12#", "a#L#all", "ä",
    ];
    let mut number = 0;
    for tenant in texts {
        for text in texts {
            number += 1;
            let root = caller(tenant, text, true);
            let made = store.create(&root, record(number, text, &root, 10)).await.unwrap();
            assert_eq!(made, CreateOutcome::Created, "{tenant} {text}");
        }
        let ann = caller(tenant, "a#C#b", false);
        assert_eq!(names(&store, &ann, all()).await.0, ["a#C#b"]);
    }
    let mut sorted = texts.map(str::to_owned);
    sorted.sort_unstable();
    for tenant in texts {
        assert_eq!(
            names(&store, &caller(tenant, "x", true), all()).await.0,
            sorted,
            "{tenant}"
        );
    }
}

#[tokio::test]
async fn an_item_of_a_format_that_is_not_known_is_damaged() {
    let (store, client, _, table) = store().await;
    let root = caller("t", "root", true);
    let kept = record(1, "one", &root, 10);
    store.create(&root, kept.clone()).await.unwrap();
    let items = client.scan().table_name(&table).send().await.unwrap();
    for mut item in items.items.unwrap() {
        item.insert("v".to_owned(), AttributeValue::N("2".to_owned()));
        client
            .put_item()
            .table_name(&table)
            .set_item(Some(item))
            .send()
            .await
            .unwrap();
    }
    for lookup in [Lookup::Name(kept.name.clone()), Lookup::Id(kept.id)] {
        assert!(matches!(store.get(&root, lookup).await, Err(StoreError::Damaged(_))));
    }
    assert!(matches!(store.list(&root, all()).await, Err(StoreError::Damaged(_))));
    assert!(matches!(
        store.delete(&root, kept.name).await,
        Err(StoreError::Damaged(_))
    ));
}

#[tokio::test]
async fn a_workspaces_id_is_the_next_that_open_mode_did_not_take() {
    let (store, ..) = store().await;
    let root = caller("t", "root", true);
    let kept = record(1, "one", &root, 10);
    store.create(&root, kept.clone()).await.unwrap();
    for taken in (1..=120).chain([122]) {
        let one = attach(kept.id, workspace(taken), u128::from(taken));
        store.attach(&root, one).await.unwrap();
    }
    for expected in [121, 123, 124] {
        assert_eq!(
            make_workspace(&store, &root, &format!("w{expected}")).await.get(),
            expected
        );
    }
}
