//! Many clients at once on the stores of this workspace, and on stores with the mistakes that lead to races.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test may panic, and say what it did"
)]

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use http::{Request, Response, StatusCode};
use patchbay_core::model::{Caller, Workspaces};
use patchbay_core::store::Store;
use patchbay_sql::{NativeStore, Options};
use patchbay_testkit::faults::{Late, LateStore};
use patchbay_testkit::races::{
    Answer, Call, Operation, Race, RacyStore, Reach, Registry, Verdict, Workload, with_late_reads,
};
use patchbay_testkit::{InProcess, MemoryStore, Target};

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

/// That a store with this mistake is found out, by an explanation much shorter than the history; even where a read may
/// be late, and by any time.
async fn is_found_out(race: Race) {
    let workload = Workload {
        operations: 4_000,
        abandoned: 0,
        ..Workload::default()
    };
    let names = workload.names;
    let folder = tempfile::tempdir().unwrap();
    let store = NativeStore::open(folder.path(), Options::default()).unwrap();
    let mut history = history(RacyStore::new(store, race), workload).await;
    println!("{race:?}: {}", violation(&history, names));
    with_late_reads(&mut history, |_| 0);
    println!("Late or not: {}", violation(&history, names));
}

#[track_caller]
fn violation(history: &[Operation<Call, Answer>], names: usize) -> String {
    match (Registry { names }).judge(history) {
        Err(Verdict::Violated(violation)) => {
            assert!(violation.operations.len() * 10 < history.len(), "{violation}");
            violation.to_string()
        }
        finding => panic!("{finding:?}"),
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

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(flavor = "multi_thread")]
async fn late_reads_are_borne_with_within_the_bound_and_found_out_where_there_is_none() {
    for stale in [HOUR, Duration::ZERO] {
        let workload = Workload {
            operations: 4_000,
            stale,
            ..Workload::default()
        };
        let names = workload.names;
        let store = LateStore::new(MemoryStore::default(), Late::Reads, HOUR);
        let history = history(store, workload).await;
        if stale == HOUR {
            let found = counts(&history)[&("get", "done")];
            assert!(found > 200, "{found} of {}", history.len());
            is_linearizable(&history, names, Reach::EachName);
        } else {
            println!("{}", violation(&history, names));
        }
    }
}

/// A home that gives every second read with the details of the one before.
struct Mixing {
    target: InProcess<MemoryStore>,
    details: RefCell<Option<serde_json::Value>>,
}

impl Target for Mixing {
    fn send<'a>(
        &'a self,
        caller: Option<&'a Caller>,
        request: Request<Bytes>,
    ) -> LocalBoxFuture<'a, Result<Response<Bytes>, String>> {
        let is_get = request.uri().path().ends_with("/get");
        Box::pin(async move {
            let answer = self.target.send(caller, request).await?;
            if !is_get || answer.status() != StatusCode::OK {
                return Ok(answer);
            }
            let (head, body) = answer.into_parts();
            let mut json: serde_json::Value = serde_json::from_slice(&body).unwrap();
            match self.details.take() {
                Some(other) => json["details"] = other,
                None => *self.details.borrow_mut() = Some(json["details"].clone()),
            }
            Ok(Response::from_parts(head, json.to_string().into()))
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn details_of_another_connection_end_the_run_late_or_not() {
    let store = MemoryStore::default();
    let workload = Workload {
        stale: HOUR,
        ..Workload::default()
    };
    let mode = workload.mode;
    let target = move || {
        Ok(Mixing {
            target: InProcess::new(store.clone(), mode, 1024 * 1024),
            details: RefCell::default(),
        })
    };
    let error = format!("{:#}", workload.run(target).await.unwrap_err());
    assert!(
        error.contains("a connection changed") || error.contains("has the id"),
        "{error}"
    );
}
