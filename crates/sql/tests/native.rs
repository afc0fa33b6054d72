//! The store over a file: what the contract asks of it, for admins and others.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::sync::Arc;

use patchbay_core::model::{AttachmentId, Role};
use patchbay_core::store::{
    AddMemberOutcome, AttachOutcome, CreateOutcome, DeleteOutcome, DetachOutcome, ListOutcome, ListQuery, Lookup,
    MembersOutcome, Store as _, row_bytes,
};
use patchbay_sql::{NativeStore, OpenError, Options};
use patchbay_testkit::sample::{
    add_member, all, attach, caller, make_workspace, name, names, person, record, workspace,
};
use tempfile::TempDir;

fn open() -> (TempDir, NativeStore) {
    let folder = TempDir::new().unwrap();
    let store = NativeStore::open(folder.path(), Options::default()).unwrap();
    (folder, store)
}

#[tokio::test]
async fn what_was_created_is_found_by_name_and_id_and_survives_a_restart() {
    let (folder, store) = open();
    let ann = caller("t", "ann", false);
    let kept = record(1, "one", &ann, 100);
    assert_eq!(store.create(&ann, kept.clone()).await.unwrap(), CreateOutcome::Created);
    assert_eq!(
        store.create(&ann, record(2, "one", &ann, 100)).await.unwrap(),
        CreateOutcome::NameTaken
    );
    drop(store);
    let store = NativeStore::open(folder.path(), Options::default()).unwrap();
    for lookup in [Lookup::Name(kept.name.clone()), Lookup::Id(kept.id)] {
        let seen = store.get(&ann, lookup).await.unwrap().unwrap();
        assert_eq!((seen.record, seen.workspace_names), (kept.clone(), vec![]));
    }
}

#[tokio::test]
async fn a_tenant_sees_nothing_of_another() {
    let (_folder, store) = open();
    let (ann, other) = (caller("t", "ann", true), caller("u", "ann", true));
    let kept = record(1, "one", &ann, 10);
    store.create(&ann, kept.clone()).await.unwrap();
    assert_eq!(store.get(&other, Lookup::Id(kept.id)).await.unwrap(), None);
    assert_eq!(store.get(&other, Lookup::Name(kept.name.clone())).await.unwrap(), None);
    assert_eq!(names(&store, &other, all()).await.0, Vec::<String>::new());
    assert_eq!(
        store.attach(&other, attach(kept.id, workspace(1), 1)).await.unwrap(),
        AttachOutcome::NoConnection
    );
    assert_eq!(
        store.delete(&other, kept.name.clone()).await.unwrap(),
        DeleteOutcome::NotFound
    );
    assert_eq!(
        store.create(&other, record(2, "one", &other, 10)).await.unwrap(),
        CreateOutcome::Created
    );
}

#[tokio::test]
async fn attach_is_idempotent_and_guards_delete_until_the_detach() {
    let (_folder, store) = open();
    let root = caller("t", "root", true);
    let kept = record(1, "one", &root, 10);
    store.create(&root, kept.clone()).await.unwrap();
    let first = AttachOutcome::Attached(AttachmentId::from_random(1_u128.to_be_bytes()), name("one"));
    assert_eq!(
        store.attach(&root, attach(kept.id, workspace(7), 1)).await.unwrap(),
        first
    );
    assert_eq!(
        store.attach(&root, attach(kept.id, workspace(7), 2)).await.unwrap(),
        first
    );
    let DeleteOutcome::Attached(_, to) = store.delete(&root, kept.name.clone()).await.unwrap() else {
        panic!("deleted while attached");
    };
    assert_eq!(
        to.iter()
            .map(|at| (at.workspace.get(), at.name.as_str()))
            .collect::<Vec<_>>(),
        [(7, "workspace-7")]
    );
    let seven = workspace(7);
    assert_eq!(
        store.detach(&root, kept.id, seven).await.unwrap(),
        DetachOutcome::Detached(name("one"))
    );
    assert_eq!(
        store.detach(&root, kept.id, seven).await.unwrap(),
        DetachOutcome::NotAttached
    );
    let again = AttachOutcome::Attached(AttachmentId::from_random(3_u128.to_be_bytes()), name("one"));
    assert_eq!(
        store.attach(&root, attach(kept.id, workspace(7), 3)).await.unwrap(),
        again
    );
    store.detach(&root, kept.id, seven).await.unwrap();
    assert_eq!(
        store.delete(&root, kept.name.clone()).await.unwrap(),
        DeleteOutcome::Deleted(kept.id)
    );
}

#[tokio::test]
async fn a_connection_is_attached_to_256_workspaces_at_most() {
    let (_folder, store) = open();
    let root = caller("t", "root", true);
    let kept = record(1, "one", &root, 10);
    store.create(&root, kept.clone()).await.unwrap();
    for number in 1..=256 {
        let one = attach(kept.id, workspace(number), u128::from(number));
        assert!(matches!(
            store.attach(&root, one).await.unwrap(),
            AttachOutcome::Attached(..)
        ));
    }
    assert_eq!(
        store.attach(&root, attach(kept.id, workspace(257), 9)).await.unwrap(),
        AttachOutcome::TooMany(name("one"))
    );
    assert!(matches!(
        store.attach(&root, attach(kept.id, workspace(256), 9)).await.unwrap(),
        AttachOutcome::Attached(..)
    ));
    let seen = store.get(&root, Lookup::Id(kept.id)).await.unwrap().unwrap();
    assert_eq!(seen.workspace_names.len(), 256);
    assert!(seen.workspace_names.is_sorted());
}

#[tokio::test]
async fn somebody_sees_what_they_own_and_what_is_in_their_workspaces_page_by_page() {
    let (_folder, store) = open();
    let (root, ann, bob) = (
        caller("t", "root", true),
        caller("t", "ann", false),
        caller("t", "bob", false),
    );
    let team = make_workspace(&store, &ann, "team").await;
    for number in 0..30 {
        let owner = [&ann, &bob, &root][number as usize % 3];
        let kept = record(number, &format!("c{number:02}"), owner, 10);
        store.create(owner, kept.clone()).await.unwrap();
        if number % 5 == 0 {
            store.attach(&root, attach(kept.id, team, number)).await.unwrap();
        }
    }
    let anns: Vec<String> = (0..30)
        .filter(|n| n % 3 == 0 || n % 5 == 0)
        .map(|n| format!("c{n:02}"))
        .collect();
    assert_eq!(names(&store, &ann, all()).await, (anns.clone(), false));
    assert_eq!(names(&store, &bob, all()).await.0.len(), 10);
    assert_eq!(names(&store, &root, all()).await.0.len(), 30);
    assert_eq!(
        names(
            &store,
            &ann,
            ListQuery {
                workspace: Some(team),
                ..all()
            }
        )
        .await
        .0
        .len(),
        6
    );
    let outcome = store
        .list(
            &bob,
            ListQuery {
                workspace: Some(team),
                ..all()
            },
        )
        .await
        .unwrap();
    assert_eq!(outcome, ListOutcome::NoWorkspace);

    for limit in 1..=(anns.len() as u16 + 1) {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let query = ListQuery {
                after,
                limit: Some(limit),
                ..all()
            };
            let (page, more) = names(&store, &ann, query).await;
            assert!(page.len() <= usize::from(limit));
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
async fn a_page_ends_before_the_row_that_would_pass_its_bytes_but_never_before_the_first() {
    let (_folder, store) = open();
    let root = caller("t", "root", true);
    for number in 0..5 {
        store
            .create(&root, record(number, &format!("c{number}"), &root, 1000))
            .await
            .unwrap();
    }
    let ListOutcome::Page { rows, .. } = store.list(&root, all()).await.unwrap() else {
        panic!("no page")
    };
    let one = row_bytes(&rows[0]);
    for (most_bytes, count) in [(0, 1), (one, 1), (2 * one - 1, 1), (2 * one, 2), (5 * one, 5)] {
        let (page, more) = names(&store, &root, ListQuery { most_bytes, ..all() }).await;
        assert_eq!((page.len(), more), (count, count < 5), "{most_bytes} bytes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_creates_of_one_name_exactly_one_wins_and_all_are_answered() {
    let (_folder, store) = open();
    let root = Arc::new(caller("t", "root", true));
    let tasks: Vec<_> = (0..64)
        .map(|number| {
            let (store, root) = (store.clone(), Arc::clone(&root));
            tokio::spawn(async move { store.create(&root, record(number, "one", &root, 10)).await.unwrap() })
        })
        .collect();
    let mut created = 0;
    for task in tasks {
        created += usize::from(task.await.unwrap() == CreateOutcome::Created);
    }
    assert_eq!(created, 1);
}

#[tokio::test]
async fn a_second_store_on_the_folder_is_refused() {
    let (folder, _store) = open();
    let second = NativeStore::open(folder.path(), Options::default());
    assert!(matches!(second.err(), Some(OpenError::InUse(_))));
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused_and_left_alone() {
    let (folder, store) = open();
    drop(store);
    let file = folder.path().join(patchbay_sql::DATABASE_FILE);
    let newer = "UPDATE meta SET value = 99 WHERE key = 'schema'";
    rusqlite::Connection::open(&file).unwrap().execute(newer, []).unwrap();
    for _ in 0..2 {
        let error = NativeStore::open(folder.path(), Options::default()).err().unwrap();
        assert!(
            matches!(error, OpenError::NewerSchema { found: 99, known } if known == patchbay_sql::schema::VERSION),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_database_of_the_version_before_is_brought_to_this_one_with_its_members() {
    let (folder, store) = open();
    let (ann, bob) = (caller("t", "ann", false), caller("t", "bob", false));
    let team = make_workspace(&store, &ann, "team").await;
    drop(store);
    let file = folder.path().join(patchbay_sql::DATABASE_FILE);
    let back = "ALTER TABLE member DROP COLUMN email; UPDATE meta SET value = 2 WHERE key = 'schema'";
    rusqlite::Connection::open(&file).unwrap().execute_batch(back).unwrap();

    let store = NativeStore::open(folder.path(), Options::default()).unwrap();
    let joins = add_member(team, person(&bob), Role::Collaborator);
    assert_eq!(store.add_member(&ann, joins).await.unwrap(), AddMemberOutcome::Added);
    let members = store.members(&bob, team).await.unwrap();
    assert!(matches!(members, MembersOutcome::All(all) if all.len() == 2));
}
