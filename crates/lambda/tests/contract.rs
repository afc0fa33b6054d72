//! The whole contract, each request an event and each answer a reply.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test may panic, and say what it did"
)]

mod support;

use patchbay_core::model::Workspaces;
use patchbay_testkit::{MemoryStore, Setting, cases, operator_cases, run};
use support::{Events, Shape};

async fn holds(shape: Shape, workspaces: Workspaces) {
    let setting = Setting {
        workspaces,
        answer_bytes: shape.most(),
        callers: true,
        trail: false,
        apart: false,
    };
    let target = Events::new(shape, MemoryStore::default(), workspaces);
    let all: Vec<_> = cases().into_iter().chain(operator_cases()).collect();
    let report = run(&target, setting, &all, |_, _| true).await;
    println!("{} cases held, {} did not", report.passed, report.failed.len());
    assert!(report.failed.is_empty(), "{:#?}", report.failed);
    assert!(report.passed > 150, "only {} cases applied", report.passed);
}

#[tokio::test]
async fn it_holds_behind_an_http_api_in_open_mode() {
    holds(Shape::Http, Workspaces::Open).await;
}

#[tokio::test]
async fn it_holds_behind_an_http_api_in_managed_mode() {
    holds(Shape::Http, Workspaces::Managed).await;
}

#[tokio::test]
async fn it_holds_behind_a_rest_api() {
    holds(Shape::Rest, Workspaces::Managed).await;
}

#[tokio::test]
async fn it_holds_behind_a_load_balancer() {
    holds(Shape::LoadBalancer, Workspaces::Managed).await;
}
