//! What becomes of lost requests, lost answers and lost races.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod local;

use local::{CONFLICT, Fault, store};
use patchbay_core::model::{Person, Role};
use patchbay_core::store::{
    AttachOutcome, CreateOutcome, DeleteOutcome, DetachOutcome, ListWorkspacesOutcome, Lookup, Store as _, StoreError,
    WorkspacesOf,
};
use patchbay_testkit::sample::{all, attach, caller, make_workspace, names, record, workspace};

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
    let rooms = store
        .list_workspaces(&root, WorkspacesOf::Everybody, usize::MAX)
        .await
        .unwrap();
    assert!(matches!(rooms, ListWorkspacesOutcome::All(rooms) if rooms.len() == 4));
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
