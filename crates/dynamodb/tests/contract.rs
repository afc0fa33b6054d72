//! The store behind the core in this process, held to the contract, to the reference model, and to what many clients at
//! once may be told.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic, and say what it did"
)]

mod local;

use local::{Local, local};
use patchbay_core::model::Workspaces;
use patchbay_testkit::model::Sequences;
use patchbay_testkit::races::{Registry, Verdict, Workload};
use patchbay_testkit::{InProcess, Setting, cases, operator_cases, run};
use tokio::runtime::{Builder, Runtime};

const SEQUENCES: Sequences = Sequences {
    count: 40,
    steps: 100,
    beside: Some(file!()),
};
/// Small, so that lists are cut.
const ANSWER_BYTES: usize = 2 * 1024;
/// Operations of a race. `RACE_OPERATIONS` takes more.
const OPERATIONS: usize = 2_000;

async fn holds(workspaces: Workspaces) {
    let setting = Setting {
        workspaces,
        answer_bytes: 1024 * 1024,
        callers: true,
        trail: false,
        apart: false,
    };
    let Local { store, proxy, .. } = local().await;
    // What the caller may not see must take the same requests as what does not exist.
    let target = InProcess::new(store, workspaces, setting.answer_bytes).counting(move || proxy.operations());
    let all: Vec<_> = cases().into_iter().chain(operator_cases()).collect();
    let report = run(&target, setting, &all, |_, _| true).await;
    println!("{} cases held, {} did not", report.passed, report.failed.len());
    assert!(report.failed.is_empty(), "{:#?}", report.failed);
    assert!(report.passed > 150, "only {} cases applied", report.passed);
}

#[tokio::test]
async fn the_contract_holds_in_open_mode() {
    holds(Workspaces::Open).await;
}

#[tokio::test]
async fn the_contract_holds_in_managed_mode() {
    holds(Workspaces::Managed).await;
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn is_as_the_model(mode: Workspaces) {
    let runtime = runtime();
    let store = runtime.block_on(local()).clear;
    let kinds = SEQUENCES.on_store(&runtime, &store, mode);
    let kinds = kinds.unwrap_or_else(|error| panic!("{error}"));
    // So few steps need not come to the rarer outcomes; each of those has its conformance case above.
    for kind in [
        "Create Created",
        "Create NameTaken",
        "Get Some",
        "Get None",
        "List Page",
        "Attach NoConnection",
        "Detach NotAttached",
        "Delete NotFound",
        "CreateWorkspace Created",
        "AddMember NoWorkspace",
        "Members NoWorkspace",
        "RemoveMember NoWorkspace",
    ] {
        assert!(kinds.contains_key(kind), "no {kind} among {kinds:?}");
    }
}

#[test]
fn the_store_is_as_the_model_in_open_mode() {
    is_as_the_model(Workspaces::Open);
}

#[test]
fn the_store_is_as_the_model_in_managed_mode() {
    is_as_the_model(Workspaces::Managed);
}

#[test]
fn the_surface_is_as_the_models() {
    let runtime = runtime();
    let setting = Setting {
        workspaces: Workspaces::Managed,
        answer_bytes: ANSWER_BYTES,
        callers: true,
        trail: false,
        apart: false,
    };
    let store = runtime.block_on(local()).clear;
    let target = InProcess::new(store, setting.workspaces, setting.answer_bytes);
    let statuses = SEQUENCES.on_target(&runtime, &target, setting);
    let statuses = statuses.unwrap_or_else(|error| panic!("{error}"));
    for status in [200, 400, 404, 409] {
        assert!(statuses.contains_key(&status), "no {status} among {statuses:?}");
    }
}

/// Lists are of no one moment, so that a history is held against what one client at a time would be told name by name.
async fn is_linearizable(workload: Workload) {
    let registry = Registry { names: workload.names };
    let mode = workload.mode;
    let store = local().await.clear;
    let target = move || Ok(InProcess::new(store.clone(), mode, 1024 * 1024));
    let history = workload.run(target).await.unwrap();
    let answered = history.iter().filter(|operation| operation.answer.is_some()).count();
    println!("{} operations, {answered} of them answered", history.len());
    assert!(
        answered * 10 > history.len() * 9,
        "{answered} of {} answered",
        history.len()
    );
    match registry.judge_each_name(&history) {
        Ok(_) => {}
        Err(Verdict::Violated(violation)) => panic!("{violation}"),
        Err(_) => panic!("undecided"),
    }
}

fn operations() -> usize {
    std::env::var("RACE_OPERATIONS").map_or(OPERATIONS, |operations| operations.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn many_clients_are_told_what_fits_together_in_open_mode_whatever_they_give_up() {
    let workload = Workload {
        operations: operations(),
        ..Workload::default()
    };
    is_linearizable(workload).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_clients_are_told_what_fits_together_in_managed_mode() {
    let workload = Workload {
        operations: operations(),
        seed: 2,
        abandoned: 0,
        mode: Workspaces::Managed,
        ..Workload::default()
    };
    is_linearizable(workload).await;
}
