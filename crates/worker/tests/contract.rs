//! The Worker's store, with its objects and KV in this process, held to the contract and to the reference model.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod house;

use house::{CountingKv, Line, SECOND, house_that_reads};
use patchbay_core::model::Workspaces;
use patchbay_testkit::model::Sequences;
use patchbay_testkit::{InProcess, Setting, cases, operator_cases, run};
use patchbay_worker::settings::Reads;
use tokio::runtime::Builder;

const EDGE: Reads = Reads::Edge { max_age: 300 };

/// A house whose KV is never behind: the clock goes on by more than the pause between two writes of a key.
fn prompt_house(reads: Reads) -> (CountingKv, Line<CountingKv>) {
    let (_, kv, line) = house_that_reads(reads);
    line.pace.set(2 * SECOND);
    (kv, line)
}

async fn holds(reads: Reads, workspaces: Workspaces) {
    let setting = Setting {
        workspaces,
        answer_bytes: 1024 * 1024,
        callers: true,
        trail: false,
        apart: true,
    };
    let (kv, line) = prompt_house(reads);
    // What the caller may not see must take the same requests as what does not exist.
    let (asked, house) = (kv.clone(), line.clone());
    let requests = move || {
        let mut requests = asked.asked.take();
        requests.extend(vec!["the object".to_owned(); house.asks.take()]);
        requests
    };
    let target = InProcess::new(line.store(kv.clone()), workspaces, setting.answer_bytes).counting(requests);
    let all: Vec<_> = cases().into_iter().chain(operator_cases()).collect();
    let report = run(&target, setting, &all, |_, _| true).await;
    assert!(report.failed.is_empty(), "{:#?}", report.failed);
    assert!(report.passed > 150, "only {} cases applied", report.passed);
    // In strong mode nothing goes to KV, in the other one something does.
    let used = kv.reads.get() > 0 && !kv.writes.borrow().is_empty();
    assert_eq!(used, reads == EDGE);
}

#[tokio::test]
async fn the_contract_holds_in_open_mode() {
    holds(EDGE, Workspaces::Open).await;
}

#[tokio::test]
async fn the_contract_holds_in_managed_mode() {
    holds(EDGE, Workspaces::Managed).await;
}

#[tokio::test]
async fn the_contract_holds_with_strong_reads_in_open_mode() {
    holds(Reads::Strong, Workspaces::Open).await;
}

#[tokio::test]
async fn the_contract_holds_with_strong_reads_in_managed_mode() {
    holds(Reads::Strong, Workspaces::Managed).await;
}

/// Some six thousand steps a test.
const SEQUENCES: Sequences = Sequences {
    count: 100,
    steps: 120,
    beside: Some(file!()),
};

fn the_store_is_as_the_model(workspaces: Workspaces) {
    let runtime = Builder::new_current_thread().build().unwrap();
    let (kv, line) = prompt_house(EDGE);
    let kinds = SEQUENCES.on_store(&runtime, &line.store(kv.clone()), workspaces);
    let kinds = kinds.unwrap_or_else(|error| panic!("{error}"));
    for kind in [
        "Get Some",
        "Get None",
        "Attach Attached",
        "Detach Detached",
        "Delete Deleted",
        "AddMember Added",
        "Members All",
        "RemoveMember Removed",
    ] {
        assert!(kinds.contains_key(kind), "no {kind} among {kinds:?}");
    }
    assert!(kv.reads.get() > kinds["Get Some"]);
}

#[test]
fn the_store_is_as_the_model_in_open_mode() {
    the_store_is_as_the_model(Workspaces::Open);
}

#[test]
fn the_store_is_as_the_model_in_managed_mode() {
    the_store_is_as_the_model(Workspaces::Managed);
}

#[test]
fn the_surface_is_as_the_models() {
    let runtime = Builder::new_current_thread().build().unwrap();
    let (kv, line) = prompt_house(EDGE);
    let setting = Setting {
        workspaces: Workspaces::Managed,
        // Two rows fill it: lists are cut, and those that are not to be are refused.
        answer_bytes: 1_536,
        callers: true,
        trail: false,
        apart: true,
    };
    let target = InProcess::new(line.store(kv), setting.workspaces, setting.answer_bytes);
    let statuses = SEQUENCES.on_target(&runtime, &target, setting);
    let statuses = statuses.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(
        Vec::from_iter(statuses.into_keys()),
        [200, 204, 400, 403, 404, 409, 413]
    );
}
