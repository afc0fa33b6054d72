//! The stores of this workspace, each behind the core in this process, held to the contract in both modes.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may panic, and say what it did"
)]

use patchbay_core::model::Workspaces;
use patchbay_core::store::Store;
use patchbay_sql::{Audit, NativeStore, Options, audit};
use patchbay_testkit::{InProcess, MemoryStore, Setting, Target, cases, operator_cases, run};

async fn holds<S: Store + Clone>(store: S, workspaces: Workspaces) {
    let setting = Setting {
        workspaces,
        answer_bytes: 1024 * 1024,
        callers: true,
        trail: false,
        apart: false,
    };
    let target = InProcess::new(store, workspaces, setting.answer_bytes);
    held(&target, setting).await;
}

async fn held(target: &dyn Target, setting: Setting) {
    let all: Vec<_> = cases().into_iter().chain(operator_cases()).collect();
    let report = run(target, setting, &all, |_, _| true).await;
    println!("{} cases held, {} did not", report.passed, report.failed.len());
    assert!(report.failed.is_empty(), "{:#?}", report.failed);
    assert!(report.passed > 150, "only {} cases applied", report.passed);
}

#[tokio::test]
async fn the_reference_model_holds_in_open_mode() {
    holds(MemoryStore::default(), Workspaces::Open).await;
}

#[tokio::test]
async fn the_reference_model_holds_in_managed_mode() {
    holds(MemoryStore::default(), Workspaces::Managed).await;
}

#[tokio::test]
async fn the_native_store_holds_in_open_mode() {
    let folder = tempfile::tempdir().unwrap();
    holds(
        NativeStore::open(folder.path(), Options::default()).unwrap(),
        Workspaces::Open,
    )
    .await;
}

#[tokio::test]
async fn the_native_store_holds_in_managed_mode() {
    let folder = tempfile::tempdir().unwrap();
    holds(
        NativeStore::open(folder.path(), Options::default()).unwrap(),
        Workspaces::Managed,
    )
    .await;
}

#[tokio::test]
async fn the_native_store_holds_with_an_audit_trail_which_is_whole_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        audit: Some(Audit {
            file_bytes: 64 * 1024,
            warn: |note| panic!("{note}"),
        }),
        ..Options::default()
    };
    let setting = Setting {
        workspaces: Workspaces::Managed,
        answer_bytes: 1024 * 1024,
        callers: true,
        trail: true,
        apart: false,
    };
    let store = NativeStore::open(folder.path(), options).unwrap();
    held(
        &InProcess::with_audit(store, setting.workspaces, setting.answer_bytes),
        setting,
    )
    .await;
    let found = audit::verify(folder.path(), None).unwrap();
    assert_eq!(found.problems, []);
    assert!(found.lines > 1_000 && found.files > 3, "{found:?}");
}
