//! What is this store's own: how many requests an operation takes, what becomes of lost answers and lost races, the
//! largest items, and tenants that would be others.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic, and say what it did"
)]

mod local;

use aws_sdk_dynamodb::types::AttributeValue;
use local::{CONFLICT, Fault, all, attach, caller, record, store, workspace};
use patchbay_core::limits;
use patchbay_core::model::{Caller, Name, Person, Role, Timestamp, WorkspaceId};
use patchbay_core::store::{
    AttachOutcome, CreateOutcome, CreateWorkspaceOutcome, DeleteOutcome, DetachOutcome, ListOutcome, ListQuery, Lookup,
    Store as _, StoreError, WorkspacesOf,
};
use patchbay_dynamodb::DynamoStore;

const READ: &str = "BatchGetItem";
const QUERY: &str = "Query";
const WRITE: &str = "TransactWriteItems";

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

async fn make_workspace(store: &DynamoStore, caller: &Caller, text: &str) -> WorkspaceId {
    match store
        .create_workspace(caller, name(text), Timestamp::from_micros(3))
        .await
        .unwrap()
    {
        CreateWorkspaceOutcome::Created(id) => id,
        other => panic!("{other:?}"),
    }
}

async fn names(store: &DynamoStore, caller: &Caller, query: ListQuery) -> (Vec<String>, bool) {
    match store.list(caller, query).await.unwrap() {
        ListOutcome::Page { rows, more } => (rows.iter().map(|row| row.record.name.to_string()).collect(), more),
        ListOutcome::NoWorkspace => panic!("no such workspace"),
    }
}

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

    store.list_workspaces(&root, WorkspacesOf::Everybody).await.unwrap();
    assert_eq!(wire.requests(), [QUERY], "list_workspaces");
    store.list_workspaces(&ann, WorkspacesOf::Caller).await.unwrap();
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

/// Each change with one fault at its write, for each fault.
#[tokio::test]
async fn a_change_whose_request_or_answer_is_lost_or_that_meets_another_is_done_once() {
    let (store, _, wire, _) = store().await;
    let root = caller("t", "root", true);
    let here = workspace(700);
    for (number, fault) in (1..).zip([Fault::LostAnswer, Fault::LostRequest, CONFLICT]) {
        let kept = record(number, "one", &root, 10);
        wire.fail([fault]);
        assert_eq!(
            store.create(&root, kept.clone()).await.unwrap(),
            CreateOutcome::Created,
            "{fault:?}"
        );
        let one = attach(kept.id, here, number);
        wire.fail([Fault::None, fault]);
        assert_eq!(
            store.attach(&root, one.clone()).await.unwrap(),
            AttachOutcome::Attached(one.id),
            "{fault:?}"
        );
        wire.fail([Fault::None, fault]);
        assert_eq!(
            store.detach(&root, kept.id, here).await.unwrap(),
            DetachOutcome::Detached,
            "{fault:?}"
        );
        wire.fail([Fault::None, fault]);
        let deleted = store.delete(&root, kept.name.clone()).await.unwrap();
        assert_eq!(deleted, DeleteOutcome::Deleted(kept.id), "{fault:?}");
        wire.fail([Fault::None, Fault::None, fault]);
        let made = make_workspace(&store, &root, &format!("made {number}")).await;
        assert_eq!(u128::from(made.get()), number, "{fault:?}");
        assert!(wire.all_met());
    }
    // The three that were made, and the one that the first attach opened.
    let rooms = store.list_workspaces(&root, WorkspacesOf::Everybody).await.unwrap();
    assert_eq!(rooms.len(), 4);
}

#[tokio::test]
async fn a_create_whose_name_its_own_lost_request_took_is_created() {
    let (store, ..) = store().await;
    let root = caller("t", "root", true);
    let kept = record(1, "one", &root, 10);
    // Another call with the same id: what a repetition under another token comes to.
    for _ in 0..2 {
        assert_eq!(store.create(&root, kept.clone()).await.unwrap(), CreateOutcome::Created);
    }
    assert_eq!(
        store.create(&root, record(2, "one", &root, 10)).await.unwrap(),
        CreateOutcome::NameTaken
    );
    assert_eq!(names(&store, &root, all()).await, (vec!["one".to_owned()], false));
}

#[tokio::test]
async fn endless_conflicts_are_busy_and_leave_nothing_half_done() {
    let (store, _, wire, _) = store().await;
    let root = caller("t", "root", true);
    wire.fail([CONFLICT; 10]);
    let outcome = store.create(&root, record(1, "one", &root, 10)).await;
    assert!(matches!(outcome, Err(StoreError::Busy(_))), "{outcome:?}");
    assert!(wire.all_met());
    assert_eq!(names(&store, &root, all()).await, (vec![], false));
}

#[tokio::test]
async fn a_read_that_is_throttled_is_busy_and_a_change_that_may_have_been_done_unavailable() {
    let (store, _, wire, _) = store().await;
    let root = caller("t", "root", true);
    let throttled =
        Fault::Answer(r#"{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException","message":"slow"}"#);
    wire.fail([throttled; 3]);
    let outcome = store.ready().await;
    assert!(matches!(outcome, Err(StoreError::Busy(_))), "{outcome:?}");
    for faults in [[Fault::LostRequest; 3], [Fault::LostAnswer, throttled, throttled]] {
        wire.fail(faults);
        let outcome = store.create(&root, record(1, "one", &root, 10)).await;
        assert!(matches!(outcome, Err(StoreError::Unavailable(_))), "{outcome:?}");
        assert!(wire.all_met());
    }
}

#[tokio::test]
async fn keys_that_were_not_read_are_read_again_and_busy_in_the_end() {
    let (store, _, wire, _) = store().await;
    let root = caller("t", "root", true);
    let kept = record(1, "one", &root, 10);
    store.create(&root, kept.clone()).await.unwrap();
    wire.fail([Fault::Unprocessed; 3]);
    let seen = store.get(&root, Lookup::Name(kept.name.clone())).await.unwrap();
    assert_eq!(seen.unwrap().record, kept);
    wire.fail([Fault::Unprocessed; 10]);
    let outcome = store.get(&root, Lookup::Name(kept.name)).await;
    assert!(matches!(outcome, Err(StoreError::Busy(_))), "{outcome:?}");
    assert!(wire.all_met());
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
async fn what_changes_between_reading_and_writing_is_read_and_decided_again() {
    let (store, _, wire, _) = store().await;
    let (root, ann, bob) = (
        caller("t", "root", true),
        caller("t", "ann", false),
        caller("t", "bob", false),
    );
    let team = make_workspace(&store, &ann, "team").await;
    let kept = record(1, "one", &root, 10);
    store.create(&root, kept.clone()).await.unwrap();
    store.attach(&root, attach(kept.id, team, 1)).await.unwrap();
    let person = Person::Subject(bob.subject.clone());
    store.put_member(&bob.tenant, team, &person, Role::Owner).await.unwrap();

    // Somebody who may detach it loses their role.
    wire.fail([Fault::None, Fault::Held]);
    let demoted = async {
        wire.met().await;
        store
            .put_member(&bob.tenant, team, &person, Role::Collaborator)
            .await
            .unwrap();
        wire.release();
    };
    let (outcome, ()) = tokio::join!(store.detach(&bob, kept.id, team), demoted);
    assert_eq!(outcome.unwrap(), DetachOutcome::Forbidden);

    // What is to be deleted is attached again.
    store.detach(&root, kept.id, team).await.unwrap();
    wire.fail([Fault::None, Fault::Held]);
    let attached = async {
        wire.met().await;
        store.attach(&root, attach(kept.id, team, 2)).await.unwrap();
        wire.release();
    };
    let (outcome, ()) = tokio::join!(store.delete(&root, kept.name.clone()), attached);
    assert!(matches!(outcome.unwrap(), DeleteOutcome::Attached(_)));

    // What is to be attached is gone, and another has its name.
    store.detach(&root, kept.id, team).await.unwrap();
    wire.fail([Fault::None, Fault::Held]);
    let replaced = async {
        wire.met().await;
        store.delete(&root, kept.name.clone()).await.unwrap();
        store.create(&root, record(2, "one", &root, 10)).await.unwrap();
        wire.release();
    };
    let (outcome, ()) = tokio::join!(store.attach(&root, attach(kept.id, team, 3)), replaced);
    assert_eq!(outcome.unwrap(), AttachOutcome::NoConnection);
    let seen = store.get(&root, Lookup::Name(kept.name)).await.unwrap().unwrap();
    assert_eq!(seen.workspace_names, []);
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
