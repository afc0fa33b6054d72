//! Many clients at once on the stores of this workspace, and on stores with the mistakes that lead to races.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic, and say what it did"
)]

use std::collections::HashMap;

use patchbay_core::model::Workspaces;
use patchbay_core::store::Store;
use patchbay_sql::{NativeStore, Options};
use patchbay_testkit::races::{Answer, Call, Operation, Race, RacyStore, Reach, Registry, Verdict, Workload};
use patchbay_testkit::{InProcess, MemoryStore};

async fn history<S: Store + Clone + Send + Sync + 'static>(
    store: S,
    workload: Workload,
) -> Vec<Operation<Call, Answer>> {
    let mode = workload.mode;
    let target = move || Ok(InProcess::new(store.clone(), mode, 1024 * 1024));
    workload.run(target).await.unwrap()
}

/// How often each kind of call got each kind of answer.
fn counts(history: &[Operation<Call, Answer>]) -> HashMap<(&'static str, &'static str), usize> {
    let mut counts = HashMap::new();
    for operation in history {
        let call = match operation.call {
            Call::Create(_) => "create",
            Call::Get { .. } => "get",
            Call::GetById(_) => "get_by_id",
            Call::List { .. } => "list",
            Call::Attach { .. } => "attach",
            Call::Detach { .. } => "detach",
            Call::Delete { .. } => "delete",
        };
        let answer = match operation.answer {
            Some(Answer::NotFound) => "not found",
            Some(Answer::Conflict) => "conflict",
            Some(_) => "done",
            None => "unknown",
        };
        *counts.entry((call, answer)).or_default() += 1;
    }
    counts
}

/// Every answer that the contract knows came often, so that the check was about something.
fn is_worth_checking(history: &[Operation<Call, Answer>]) {
    let counts = counts(history);
    println!("{counts:?}");
    for (call, answers) in [
        ("create", &["done", "conflict"][..]),
        ("get", &["done", "not found"]),
        ("get_by_id", &["done", "not found"]),
        ("list", &["done"]),
        ("attach", &["done", "not found"]),
        ("detach", &["done", "not found"]),
        ("delete", &["done", "not found", "conflict"]),
    ] {
        for answer in answers {
            let count = counts.get(&(call, *answer)).copied().unwrap_or(0);
            assert!(count >= 50, "{call}, {answer}: {count} of {}", history.len());
        }
    }
}

#[track_caller]
fn is_linearizable(history: &[Operation<Call, Answer>], names: usize, reach: Reach) {
    match (Registry { names }).judge(history) {
        Ok(found) => {
            println!("{} operations, linearizable: {found:?}", history.len());
            assert!(reach == Reach::EachName || found == Reach::Whole);
        }
        Err(Verdict::Violated(violation)) => panic!("{violation}"),
        Err(_) => panic!("undecided"),
    }
}

async fn the_native_store_is_linearizable(workload: Workload, reach: Reach) {
    let folder = tempfile::tempdir().unwrap();
    let store = NativeStore::open(folder.path(), Options::default()).unwrap();
    let names = workload.names;
    let history = history(store, workload).await;
    is_worth_checking(&history);
    is_linearizable(&history, names, reach);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_native_store_is_linearizable_in_open_mode_whatever_clients_give_up() {
    the_native_store_is_linearizable(Workload::default(), Reach::EachName).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_native_store_is_linearizable_in_managed_mode_lists_included() {
    let workload = Workload {
        clients: 12,
        seed: 2,
        abandoned: 0,
        mode: Workspaces::Managed,
        ..Workload::default()
    };
    the_native_store_is_linearizable(workload, Reach::Whole).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reference_model_is_linearizable() {
    let workload = Workload::default();
    let names = workload.names;
    is_linearizable(&history(MemoryStore::default(), workload).await, names, Reach::Whole);
}

/// That a store with this mistake is found out, by an explanation much shorter than the history.
async fn is_found_out(race: Race) {
    let workload = Workload {
        operations: 4_000,
        abandoned: 0,
        ..Workload::default()
    };
    let registry = Registry { names: workload.names };
    let folder = tempfile::tempdir().unwrap();
    let store = NativeStore::open(folder.path(), Options::default()).unwrap();
    let history = history(RacyStore::new(store, race), workload).await;
    match registry.judge(&history) {
        Err(Verdict::Violated(violation)) => {
            println!("{race:?}: {violation}");
            assert!(violation.operations.len() * 10 < history.len(), "{violation}");
        }
        finding => panic!("{race:?}: {finding:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_that_overwrites_is_found_out() {
    is_found_out(Race::OverwritingCreate).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attach_that_overwrites_is_found_out() {
    is_found_out(Race::OverwritingAttach).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_that_does_not_look_again_is_found_out() {
    is_found_out(Race::UncheckedDelete).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_read_is_found_out() {
    is_found_out(Race::StaleReads).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_rows_from_different_moments_is_found_out() {
    is_found_out(Race::TornLists).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_before_the_change_is_found_out() {
    is_found_out(Race::EarlyAcknowledgement).await;
}
