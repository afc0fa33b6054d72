//! The Worker's store, with its objects and KV in this process, held to the contract and to the reference model.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod house;

use house::{CountingKv, Line, SECOND, house_that_reads};
use patchbay_core::model::Workspaces;
use patchbay_testkit::{InProcess, Setting, cases, run};
use patchbay_worker::settings::Reads;

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
    };
    let (kv, line) = prompt_house(reads);
    let target = InProcess::new(line.store(kv.clone()), workspaces, setting.answer_bytes);
    let report = run(&target, setting, &cases(), |_, _| true).await;
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
