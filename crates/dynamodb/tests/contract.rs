//! The store behind the core in this process, held to the contract, to the reference model, and to what many clients at
//! once may be told.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic, and say what it did"
)]

mod local;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt::Debug;

use patchbay_core::model::{Person, Role, Tenant, WorkspaceId, Workspaces};
use patchbay_dynamodb::DynamoStore;
use patchbay_testkit::model::{SeedMembers, requests, same_answers, same_outcomes, steps};
use patchbay_testkit::races::{Registry, Verdict, Workload};
use patchbay_testkit::{InProcess, MemoryStore, Setting, cases, run};
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, FileFailurePersistence, TestCaseError, TestRunner};

/// Sequences a test, of up to so many steps. `PROPTEST_CASES` takes more.
const CASES: u32 = 40;
const STEPS: usize = 100;
/// Small, so that lists are cut.
const ANSWER_BYTES: usize = 2 * 1024;
/// Operations of a race. `PATCHBAY_RACE_OPERATIONS` takes more.
const OPERATIONS: usize = 2_000;

async fn holds(workspaces: Workspaces) {
    let setting = Setting {
        workspaces,
        answer_bytes: 1024 * 1024,
        callers: true,
    };
    let target = InProcess::new(local::store().await.0, workspaces, setting.answer_bytes);
    let report = run(&target, setting, &cases(), |_, _| true).await;
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

/// A way to make members that the trait of stores does not have.
struct Members(DynamoStore);

impl SeedMembers for Members {
    async fn put_member(&self, tenant: &Tenant, workspace: WorkspaceId, person: Person, role: Role) -> bool {
        self.0.put_member(tenant, workspace, &person, role).await.unwrap()
    }
}

/// Runs a test on sequences, each with a number of its own, and gives the kinds of outcomes that came.
fn on<S: Strategy<Value: Debug>, K: Ord + Debug>(
    sequences: S,
    test: impl AsyncFn(&DynamoStore, u64, &S::Value) -> Result<Vec<K>, String>,
) -> BTreeSet<K> {
    let cases = std::env::var("PROPTEST_CASES").map_or(CASES, |cases| cases.parse().unwrap());
    let config = Config {
        cases,
        source_file: Some(file!()),
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..Config::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let store = runtime.block_on(local::store()).0;
    let (case, came) = (Cell::new(0), Cell::new(BTreeSet::new()));
    let outcome = TestRunner::new(config).run(&sequences, |sequence| {
        case.set(case.get() + 1);
        let kinds = runtime
            .block_on(test(&store, case.get(), &sequence))
            .map_err(TestCaseError::fail)?;
        let mut all = came.take();
        all.extend(kinds);
        came.set(all);
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    came.take()
}

fn is_as_the_model(mode: Workspaces) {
    let kinds = on(steps(STEPS), async |store, case, steps| {
        same_outcomes(store, &Members(store.clone()), mode, case, steps).await
    });
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
    ] {
        assert!(kinds.contains(kind), "no {kind} among {kinds:?}");
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
    let statuses = on(requests(STEPS), async |store, case, requests| {
        let mode = Workspaces::Managed;
        let target = InProcess::new(store.clone(), mode, ANSWER_BYTES);
        let model = InProcess::new(MemoryStore::default(), mode, ANSWER_BYTES);
        same_answers(&target, &model, case, requests).await
    });
    for status in [200, 400, 404, 409] {
        assert!(statuses.contains(&status), "no {status} among {statuses:?}");
    }
}

/// Lists are of no one moment, so that a history is held against what one client at a time would be told name by name.
async fn is_linearizable(workload: Workload) {
    let registry = Registry { names: workload.names };
    let mode = workload.mode;
    let store = local::store().await.0;
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
    std::env::var("PATCHBAY_RACE_OPERATIONS").map_or(OPERATIONS, |operations| operations.parse().unwrap())
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
