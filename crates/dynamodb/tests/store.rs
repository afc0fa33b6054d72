//! What is this store's own: how many requests an operation takes, the largest items, and tenants that would be others.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic, and say what it did"
)]

mod local;

use std::fmt::Debug;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use local::{Item, Local, local};
use patchbay_core::limits;
use patchbay_core::model::{Caller, Member, Role, Subject, Timestamp, Workspaces};
use patchbay_core::store::{
    AddMember, AddMemberOutcome, Attach, AttachOutcome, CreateOutcome, CreateWorkspaceOutcome, DeleteOutcome,
    DetachOutcome, ListOutcome, ListQuery, ListWorkspacesOutcome, Lookup, MembersOutcome, RemoveMemberOutcome,
    Store as _, StoreError, WorkspacesOf,
};
use patchbay_dynamodb::Reads;
use patchbay_testkit::dynamodb_proxy::{Fault, is_consistent};
use patchbay_testkit::sample::{
    add_member, all, attach, caller, make_workspace, name, names, person, record, workspace,
};

const READ: &str = "BatchGetItem";
const QUERY: &str = "Query";
const WRITE: &str = "TransactWriteItems";

/// What a call gave, and the requests that it took.
struct Counted<'l>(&'l Local);

impl Counted<'_> {
    async fn of<T>(&self, call: impl Future<Output = Result<T, StoreError>>) -> (T, Vec<String>) {
        self.0.proxy.operations();
        (call.await.unwrap(), self.0.proxy.operations())
    }

    async fn takes<T: Debug + PartialEq>(
        &self,
        requests: &[&str],
        expected: T,
        call: impl Future<Output = Result<T, StoreError>>,
    ) {
        let (outcome, took) = self.of(call).await;
        assert_eq!(outcome, expected);
        assert_eq!(took, requests, "{expected:?}");
    }
}

#[tokio::test]
async fn every_operation_takes_the_requests_that_the_readme_says_done_or_refused() {
    let local = local().await;
    let (store, counted) = (&local.store, Counted(&local));
    let (root, ann, bob, eve) = (
        caller("t", "root", true),
        caller("t", "ann", false),
        caller("t", "bob", false),
        caller("t", "eve", false),
    );
    let now = Timestamp::from_micros(3);
    let (team, bobs) = (workspace(1), workspace(2));
    let made = store.create_workspace(&ann, name("team"), now);
    let created = CreateWorkspaceOutcome::Created;
    counted.takes(&[READ, QUERY, WRITE], created(team), made).await;
    let made = store.create_workspace(&bob, name("bobs"), now);
    counted.takes(&[READ, QUERY, WRITE], created(bobs), made).await;
    let taken = store.create_workspace(&bob, name("team"), now);
    counted.takes(&[READ], CreateWorkspaceOutcome::NameTaken, taken).await;
    let joined = store.add_member(&ann, add_member(team, person(&bob), Role::Collaborator));
    counted.takes(&[READ, WRITE], AddMemberOutcome::Added, joined).await;

    let (kept, free) = (record(1, "one", &ann, 10), record(2, "two", &ann, 10));
    for record in [&kept, &free] {
        let made = store.create(&ann, record.clone());
        counted.takes(&[WRITE], CreateOutcome::Created, made).await;
    }
    let again = store.create(&ann, record(3, "one", &ann, 10));
    counted.takes(&[WRITE], CreateOutcome::NameTaken, again).await;

    let one = attach(kept.id, team, 1);
    for requests in [&[READ, WRITE][..], &[READ]] {
        let attached = store.attach(&ann, one.clone());
        let outcome = AttachOutcome::Attached(one.id, name("one"));
        counted.takes(requests, outcome, attached).await;
    }
    let never = record(9, "nine", &ann, 0);
    let managed = |connection, workspace| Attach {
        workspaces: Workspaces::Managed,
        ..attach(connection, workspace, 2)
    };
    for (who, refused, outcome) in [
        (&ann, managed(never.id, team), AttachOutcome::NoConnection),
        (&eve, managed(kept.id, team), AttachOutcome::NoConnection),
        (&ann, managed(kept.id, workspace(9)), AttachOutcome::NoWorkspace),
        (&ann, managed(kept.id, bobs), AttachOutcome::NoWorkspace),
        (&bob, managed(kept.id, bobs), AttachOutcome::Forbidden(name("one"))),
    ] {
        counted.takes(&[READ], outcome, store.attach(who, refused)).await;
    }
    let opened = attach(free.id, workspace(700), 3);
    let attached = AttachOutcome::Attached(opened.id, name("two"));
    counted
        .takes(&[READ, WRITE], attached, store.attach(&root, opened))
        .await;

    for (who, lookup, sees, requests) in [
        (&ann, Lookup::Name(kept.name.clone()), true, &[READ][..]),
        (&bob, Lookup::Name(kept.name.clone()), true, &[READ]),
        (&eve, Lookup::Name(kept.name.clone()), false, &[READ]),
        (&ann, Lookup::Name(never.name.clone()), false, &[READ]),
        (&root, Lookup::Id(kept.id), true, &[READ, READ]),
        (&bob, Lookup::Id(kept.id), true, &[READ, READ]),
        (&eve, Lookup::Id(kept.id), false, &[READ]),
        (&ann, Lookup::Id(never.id), false, &[READ]),
    ] {
        let (seen, took) = counted.of(store.get(who, lookup.clone())).await;
        assert_eq!((seen.is_some(), took), (sees, owned(requests)), "{lookup:?}");
    }

    for (who, connection, within, outcome) in [
        (&ann, never.id, team, DetachOutcome::NotAttached),
        (&ann, kept.id, bobs, DetachOutcome::NotAttached),
        (&eve, kept.id, team, DetachOutcome::NotAttached),
        (&bob, kept.id, team, DetachOutcome::Forbidden(name("one"))),
    ] {
        let refused = store.detach(who, connection, within);
        counted.takes(&[READ], outcome, refused).await;
    }
    for (who, name) in [(&ann, &never.name), (&eve, &kept.name)] {
        let refused = store.delete(who, name.clone());
        counted.takes(&[READ], DeleteOutcome::NotFound, refused).await;
    }
    let refused = store.delete(&bob, kept.name.clone());
    counted.takes(&[READ], DeleteOutcome::Forbidden(kept.id), refused).await;
    let (refused, took) = counted.of(store.delete(&ann, kept.name.clone())).await;
    assert!(matches!(refused, DeleteOutcome::Attached(id, _) if id == kept.id));
    assert_eq!(took, [READ]);

    let detached = store.detach(&ann, kept.id, team);
    let outcome = DetachOutcome::Detached(name("one"));
    counted.takes(&[READ, WRITE], outcome, detached).await;
    // A lost race costs what the first try did once more.
    local.proxy.fail(WRITE, [Fault::Conflict]);
    let deleted = store.delete(&ann, kept.name.clone());
    let again = [READ, WRITE, READ, WRITE];
    counted.takes(&again, DeleteOutcome::Deleted(kept.id), deleted).await;

    let everybody = store.list_workspaces(&root, WorkspacesOf::Everybody, usize::MAX);
    assert_eq!(counted.of(everybody).await.1, [QUERY]);
    for (who, requests) in [(&ann, &[READ, READ][..]), (&eve, &[READ])] {
        let own = store.list_workspaces(who, WorkspacesOf::Caller, usize::MAX);
        assert_eq!(counted.of(own).await.1, requests);
    }
    let listed = |who: [&Caller; 2], roles: [Role; 2]| {
        let members = who.into_iter().zip(roles);
        MembersOutcome::All(
            members
                .map(|(who, role)| Member {
                    person: person(who),
                    role,
                })
                .collect(),
        )
    };
    let both = listed([&ann, &bob], [Role::Owner, Role::Collaborator]);
    counted.takes(&[READ], both, store.members(&bob, team)).await;
    for hidden in [team, workspace(9)] {
        let unseen = store.members(&eve, hidden);
        counted.takes(&[READ], MembersOutcome::NoWorkspace, unseen).await;
        let added = store.add_member(&eve, add_member(hidden, person(&eve), Role::Owner));
        counted.takes(&[READ], AddMemberOutcome::NoWorkspace, added).await;
        let removed = store.remove_member(&eve, hidden, person(&eve));
        counted.takes(&[READ], RemoveMemberOutcome::NoWorkspace, removed).await;
    }
    let demoted = store.add_member(&ann, add_member(team, person(&ann), Role::Collaborator));
    counted.takes(&[READ], AddMemberOutcome::LastOwner, demoted).await;
    let refused = store.remove_member(&bob, team, person(&ann));
    counted.takes(&[READ], RemoveMemberOutcome::Forbidden, refused).await;
    for (requests, outcome) in [
        (&[READ, WRITE][..], RemoveMemberOutcome::Removed),
        (&[READ], RemoveMemberOutcome::NotAMember),
    ] {
        let removed = store.remove_member(&ann, team, person(&bob));
        counted.takes(requests, outcome, removed).await;
    }
    counted.takes(&[READ], (), store.ready()).await;
    local.is_whole().await;
}

#[tokio::test]
async fn an_email_address_is_kept_beside_a_subject_until_there_is_another_or_the_member_leaves() {
    let local = local().await;
    let (store, ann) = (&local.clear, caller("t", "ann", false));
    let (team, bob) = (make_workspace(store, &ann, "team").await, caller("t", "bob", false));
    let kept = async || {
        let items = local.items().await;
        let roles = items
            .iter()
            .find(|item| item["pk"] == AttributeValue::S("1#t#MS#bob".into()));
        let emails = roles.and_then(|roles| roles.get("emails")?.as_m().ok());
        emails.and_then(|emails| emails.get("1")?.as_s().ok()).cloned()
    };
    for (given, expected) in [(Some("bob@x"), "bob@x"), (None, "bob@x"), (Some("bob@y"), "bob@y")] {
        let add = AddMember {
            email: given.map(|email| Subject::new(email).unwrap()),
            ..add_member(team, person(&bob), Role::Collaborator)
        };
        store.add_member(&ann, add).await.unwrap();
        assert_eq!(kept().await.as_deref(), Some(expected));
    }
    store.remove_member(&ann, team, person(&bob)).await.unwrap();
    assert_eq!(kept().await, None);
    local.is_whole().await;
}

fn owned(requests: &[&str]) -> Vec<String> {
    requests.iter().map(|request| (*request).to_owned()).collect()
}

#[tokio::test]
async fn reads_are_as_consistent_as_they_are_to_be_and_what_changes_rest_on_always_is() {
    let local = local().await;
    let (root, ann) = (caller("t", "root", true), caller("t", "ann", false));
    let kept = record(1, "one", &ann, 10);
    local.store.create(&ann, kept.clone()).await.unwrap();
    let team = make_workspace(&local.store, &ann, "team").await;
    let within = ListQuery {
        workspace: Some(team),
        ..all()
    };
    let consistent = || -> Vec<bool> {
        let reads = local.proxy.exchanges().into_iter().filter(|one| one.operation != WRITE);
        reads.map(|read| is_consistent(&read.request)).collect()
    };
    for reads in [Reads::Strong, Reads::Eventual] {
        let store = local.store.clone().with_reads(reads);
        consistent();
        for who in [&root, &ann] {
            for lookup in [Lookup::Name(kept.name.clone()), Lookup::Id(kept.id)] {
                assert!(store.get(who, lookup).await.unwrap().is_some());
            }
            names(&store, who, all()).await;
            names(&store, who, within.clone()).await;
        }
        let asked = consistent();
        assert!(asked.len() > 10, "{asked:?}");
        assert!(
            asked.iter().all(|one| *one == (reads == Reads::Strong)),
            "{reads:?}: {asked:?}"
        );

        store.attach(&ann, attach(kept.id, team, 1)).await.unwrap();
        store.detach(&ann, kept.id, team).await.unwrap();
        store.delete(&ann, kept.name.clone()).await.unwrap();
        store.create(&ann, kept.clone()).await.unwrap();
        make_workspace(&store, &ann, &format!("{reads:?}")).await;
        let asked = consistent();
        assert!(asked.len() == 5 && asked.iter().all(|one| *one), "{reads:?}: {asked:?}");
    }
}

#[tokio::test]
async fn a_page_reads_little_more_than_it_holds() {
    let local = local().await;
    let root = caller("t", "root", true);
    const SEALED: usize = 100 * 1024;
    const MIB: usize = 1024 * 1024;
    for number in 0..40 {
        let large = record(number, &format!("c{number:02}"), &root, SEALED);
        local.clear.create(&root, large).await.unwrap();
    }
    for (most_bytes, rows) in [
        (0, 1),
        (SEALED, 1),
        (3 * SEALED, 2),
        (MIB, 10),
        (3 * MIB, 30),
        (5 * MIB, 40),
    ] {
        local.proxy.exchanges();
        let (page, more) = names(&local.store, &root, ListQuery { most_bytes, ..all() }).await;
        assert_eq!((page.len(), more), (rows, rows < 40), "{most_bytes}");
        let exchanges = local.proxy.exchanges();
        let requests: Vec<_> = exchanges.iter().map(|one| one.operation.as_str()).collect();
        assert_eq!(requests, [QUERY, READ], "{most_bytes}");
        // Base 64 makes four bytes of three.
        let read: usize = exchanges.iter().filter_map(|one| Some(one.answer?.bytes)).sum();
        let most = most_bytes.max(SEALED) * 4 / 3 + 64 * 1024;
        assert!(read <= most, "{read} bytes were read for an answer of {most_bytes}");
    }
}

#[tokio::test]
async fn a_list_takes_the_requests_that_the_readme_says() {
    let Local { store, proxy, .. } = local().await;
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
    proxy.operations();
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
        assert_eq!(proxy.operations(), expected, "{what}");
    }
    let bob = caller("t", "bob", false);
    assert_eq!(store.list(&bob, within(team)).await.unwrap(), ListOutcome::NoWorkspace);
    assert_eq!(proxy.operations(), [READ], "refused");
}

#[tokio::test]
async fn pages_of_any_length_give_what_somebody_sees_once_and_in_order() {
    let Local { clear: store, .. } = local().await;
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
    let Local { store, proxy, .. } = local().await;
    let root = caller("t", "root", true);
    for number in 0..70 {
        let large = record(number, &format!("c{number:02}"), &root, limits::DETAILS_BYTES);
        store.create(&root, large).await.unwrap();
    }
    proxy.operations();
    assert_eq!(names(&store, &root, all()).await.0.len(), 70);
    assert_eq!(proxy.operations(), [QUERY, READ, READ]);
}

#[tokio::test]
async fn the_largest_connection_fits_and_is_read_whole() {
    let local = local().await;
    let (store, counted) = (&local.store, Counted(&local));
    let (tenant, subject) = ("t".repeat(128), "s".repeat(255));
    let root = caller(&tenant, &subject, true);
    // A version, a nonce and a tag come to the details.
    let kept = record(1, &"n".repeat(255), &root, limits::DETAILS_BYTES + 64);
    store.create(&root, kept.clone()).await.unwrap();
    // Its owner is in as many workspaces as anybody may be, and each has a name of the longest.
    for number in 0..limits::WORKSPACES_PER_PERSON {
        let workspace = make_workspace(store, &root, &format!("{number:0>255}")).await;
        let one = attach(kept.id, workspace, number as u128);
        assert_eq!(
            store.attach(&root, one.clone()).await.unwrap(),
            AttachOutcome::Attached(one.id, kept.name.clone())
        );
    }
    let one_more = attach(kept.id, workspace(limits::WORKSPACE_ID), 999);
    let refused = store.attach(&root, one_more);
    let outcome = AttachOutcome::TooMany(kept.name.clone());
    counted.takes(&[READ], outcome, refused).await;
    let refused = store.create_workspace(&root, name("one more"), Timestamp::from_micros(3));
    counted.takes(&[READ], CreateWorkspaceOutcome::TooMany, refused).await;
    let seen = store.get(&root, Lookup::Id(kept.id)).await.unwrap().unwrap();
    assert_eq!((&seen.record, seen.workspace_names.len()), (&kept, 256));

    let items = local.items().await;
    let item = items.iter().max_by_key(|item| bytes_of_map(item)).unwrap();
    let size = bytes_of_map(item);
    println!("{size} bytes of the {} that an item may have", 400 * 1024);
    assert!(size > kept.sealed.bytes.len() && size < 400 * 1024, "{size} bytes");
}

/// What DynamoDB counts for a map's attributes.
fn bytes_of_map(map: &Item) -> usize {
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
    let Local { clear: store, .. } = local().await;
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
async fn names_are_ordered_by_their_bytes_whatever_is_in_them() {
    let local = local().await;
    let root = caller("t\u{feff}#", "root", true);
    // UTF-16 would put the last but one after the last.
    let ordered = [
        "\"",
        "#",
        "%00",
        "-",
        "A",
        "\\",
        "a",
        "a b",
        "e\u{301}",
        "x\u{2028}x",
        "ä",
        "ｚ",
        "\u{10000}",
    ];
    let longest = "\u{10ffff}".repeat(63);
    for (number, name) in (0..).zip(ordered.iter().rev().chain([&longest.as_str()])) {
        let kept = record(number, name, &root, 10);
        local.clear.create(&root, kept.clone()).await.unwrap();
        let attached = local.clear.attach(&root, attach(kept.id, workspace(7), number)).await;
        assert!(matches!(attached.unwrap(), AttachOutcome::Attached(..)), "{name}");
        let seen = local.clear.get(&root, Lookup::Name(kept.name.clone())).await.unwrap();
        assert_eq!(seen.unwrap().record, kept);
    }
    let within = ListQuery {
        workspace: Some(workspace(7)),
        ..all()
    };
    for query in [all(), within] {
        let (found, _) = names(&local.clear, &root, query.clone()).await;
        assert_eq!(found, [&ordered[..], &[&longest]].concat());
        for (place, last) in ordered.iter().enumerate() {
            let after = Some(name(last));
            let (rest, _) = names(&local.clear, &root, ListQuery { after, ..query.clone() }).await;
            assert_eq!(rest, found[place + 1..]);
        }
    }
}

#[tokio::test]
async fn an_item_of_a_newer_format_is_damaged_and_the_format_named() {
    let local = local().await;
    let (store, root, ann) = (&local.clear, caller("t", "root", true), caller("t", "ann", false));
    let kept = record(1, "one", &ann, 10);
    let team = make_workspace(store, &ann, "team").await;
    store.create(&ann, kept.clone()).await.unwrap();
    store.attach(&ann, attach(kept.id, team, 1)).await.unwrap();
    for mut item in local.items().await {
        item.insert("v".to_owned(), AttributeValue::N("2".to_owned()));
        local.put(item).await;
    }
    #[track_caller]
    fn is_damaged<T: Debug>(outcome: Result<T, StoreError>) {
        let Err(StoreError::Damaged(text)) = outcome else {
            panic!("{outcome:?}");
        };
        assert!(text.contains("format 2"), "{text}");
    }
    for who in [&root, &ann] {
        for lookup in [Lookup::Name(kept.name.clone()), Lookup::Id(kept.id)] {
            is_damaged(store.get(who, lookup).await);
        }
        is_damaged(store.list(who, all()).await);
        is_damaged(store.attach(who, attach(kept.id, workspace(700), 2)).await);
        is_damaged(store.detach(who, kept.id, team).await);
        is_damaged(store.delete(who, kept.name.clone()).await);
        is_damaged(store.members(who, team).await);
        is_damaged(store.add_member(who, add_member(team, person(&ann), Role::Owner)).await);
        is_damaged(store.remove_member(who, team, person(&ann)).await);
        is_damaged(
            store
                .create_workspace(who, name("more"), Timestamp::from_micros(3))
                .await,
        );
    }
    is_damaged(store.list_workspaces(&root, WorkspacesOf::Everybody, usize::MAX).await);
    is_damaged(store.list_workspaces(&ann, WorkspacesOf::Caller, usize::MAX).await);
}

/// As the first version writes them: a version that changes them keeps this test for the one before.
#[tokio::test]
async fn items_of_format_1_are_read_and_changed() {
    let local = local().await;
    let (store, root, ann) = (&local.clear, caller("t", "root", true), caller("t", "ann", false));
    let kept = record(1, "one", &ann, 3);
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let number = |number: u64| AttributeValue::N(number.to_string());
    let binary = |bytes: &[u8]| AttributeValue::B(Blob::new(bytes));
    let map = |entries: &[(&str, AttributeValue)]| {
        let owned = entries.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        AttributeValue::M(owned.collect())
    };
    let put = async |partition: &str, sort: &str, rest: &[(&str, AttributeValue)]| {
        let mut item = map(rest).as_m().unwrap().clone();
        let key = [("pk", text(partition)), ("sk", text(sort)), ("v", number(1))];
        item.extend(key.map(|(name, value)| (name.to_owned(), value)));
        local.put(item).await;
    };
    let attachment = attach(kept.id, workspace(7), 1);
    let room = [("id", binary(attachment.id.as_bytes())), ("name", text("team"))];
    let shared = [
        ("rev", number(4)),
        ("id", binary(kept.id.as_bytes())),
        ("name", text("one")),
        ("owner", text("ann")),
        ("bytes", number(3)),
        ("attachments", map(&[("7", map(&room))])),
    ];
    let rest = [
        ("type", text("KAFKA")),
        ("created_at", number(1)),
        ("key_id", text("k1")),
        ("sealed", binary(&kept.sealed.bytes)),
    ];
    put("1#t#C#one", "-", &[&shared[..], &rest].concat()).await;
    put(&format!("1#t#I#{}", kept.id), "-", &shared).await;
    for partition in ["1#t#L#all", "1#t#LO#ann", "1#t#LW#7"] {
        put(partition, "one", &[("bytes", number(3))]).await;
    }
    let whole = [
        ("id", number(7)),
        ("name", text("team")),
        ("created_by", text("ann")),
        ("created_at", number(2)),
    ];
    put("1#t#W#", "0000000000000007", &whole).await;
    put("1#t#WN#team", "-", &[("id", number(7))]).await;
    put("1#t#WC#", "-", &[("rev", number(0)), ("last", number(7))]).await;
    put(
        "1#t#WM#7",
        "-",
        &[("rev", number(0)), ("members", map(&[("sann", number(2))]))],
    )
    .await;
    put(
        "1#t#MS#ann",
        "-",
        &[("rev", number(0)), ("roles", map(&[("7", number(2))]))],
    )
    .await;
    local.is_whole().await;

    for who in [&root, &ann] {
        for lookup in [Lookup::Name(kept.name.clone()), Lookup::Id(kept.id)] {
            let seen = store.get(who, lookup).await.unwrap().unwrap();
            assert_eq!((seen.record, seen.workspace_names), (kept.clone(), vec![name("team")]));
        }
        assert_eq!(names(store, who, all()).await, (vec!["one".to_owned()], false));
        let again = store.attach(who, attach(kept.id, workspace(7), 2)).await.unwrap();
        assert_eq!(again, AttachOutcome::Attached(attachment.id, name("one")));
    }
    let listed = store
        .list_workspaces(&ann, WorkspacesOf::Caller, usize::MAX)
        .await
        .unwrap();
    assert!(matches!(listed, ListWorkspacesOutcome::All(all) if all.len() == 1));
    let bob = person(&caller("t", "bob", false));
    let joined = store.add_member(&ann, add_member(workspace(7), bob.clone(), Role::Collaborator));
    assert_eq!(joined.await.unwrap(), AddMemberOutcome::Added);
    let left = store.remove_member(&ann, workspace(7), bob);
    assert_eq!(left.await.unwrap(), RemoveMemberOutcome::Removed);
    assert_eq!(make_workspace(store, &ann, "more").await, workspace(8));
    store.attach(&ann, attach(kept.id, workspace(8), 3)).await.unwrap();
    for room in [7, 8].map(workspace) {
        assert_eq!(
            store.detach(&ann, kept.id, room).await.unwrap(),
            DetachOutcome::Detached(name("one"))
        );
    }
    let deleted = store.delete(&ann, kept.name.clone()).await.unwrap();
    assert_eq!(deleted, DeleteOutcome::Deleted(kept.id));
    local.is_whole().await;
}

#[tokio::test]
async fn a_workspaces_id_is_the_next_that_open_mode_did_not_take() {
    let Local { clear: store, .. } = local().await;
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
