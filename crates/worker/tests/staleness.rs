//! The model over a KV that is late, loses order, forgets and fails: a `get` that finds something shows what was right at
//! some moment within the lease, and everything else is right at once. And what makes it so: without the lease, the rule
//! for misses, or the outbox, the same test fails.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test may panic, and say what it did"
)]

mod house;
mod village;

use std::time::Duration;

use patchbay_testkit::Behaviour;
use patchbay_testkit::model::Sequences;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use tokio::runtime::{Builder, Runtime};
use village::{LEASE, Trial, Village, Without, steps};

/// Worse than KV is said to be: late beyond the lease, in no order, and it fails often.
const BAD: Behaviour = Behaviour {
    delay: Duration::from_secs(400),
    in_order: false,
    misses: Duration::from_secs(60),
    refused: 15,
    ambiguous: 10,
    overtaken: Duration::from_secs(50),
    unreadable: 5,
};

/// As it is on most days.
const GOOD: Behaviour = Behaviour {
    delay: Duration::from_secs(60),
    misses: Duration::from_secs(20),
    ..Behaviour::PROMPT
};
/// Seconds until every place shows a change that KV takes well: a key that was written just before waits for a second.
const FOLLOWED: u32 = 61;

const STEPS: usize = 200;

fn runtime() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}

/// That it holds, over reads that came so often.
#[track_caller]
fn holds(kv: Behaviour, bound: u32, often: &[(&str, usize)]) {
    let without = Without::Nothing;
    let sequences = Sequences {
        count: 200,
        steps: STEPS,
        beside: Some(file!()),
    };
    let came = sequences.run(&runtime(), steps(STEPS), async |_, steps| {
        let village = Village::new(Trial { kv, without, bound }).await?;
        village.live(steps).await
    });
    let came = came.unwrap_or_else(|error| panic!("{error}"));
    println!("{came:?}");
    for (kind, least) in often {
        let times = came.get(kind).copied().unwrap_or(0);
        assert!(times >= *least, "{kind}: {times} times");
    }
}

/// That one of a thousand sequences, always the same ones, does not hold.
#[track_caller]
fn is_found_out(kv: Behaviour, without: Without, bound: u32) {
    let (runtime, mut runner) = (runtime(), TestRunner::deterministic());
    let fails = |place| {
        let steps = steps(STEPS).new_tree(&mut runner).unwrap().current();
        let lived = runtime.block_on(async {
            let village = Village::new(Trial { kv, without, bound }).await?;
            village.live(&steps).await
        });
        lived.err().map(|why| (place, why))
    };
    let (place, why) = (0..1_000).find_map(fails).unwrap();
    println!("{without:?}, sequence {place}: {why}");
}

#[test]
fn a_read_is_late_by_the_lease_at_most_however_bad_kv_is() {
    holds(BAD, LEASE, &[("right", 1_000), ("late", 20), ("nothing", 500)]);
}

#[test]
fn a_read_is_late_by_kvs_delay_at_most_where_kv_takes_every_write() {
    holds(GOOD, FOLLOWED, &[("right", 1_000), ("late", 20), ("nothing", 500)]);
}

#[test]
fn a_lease_that_is_a_second_longer_is_found_out() {
    is_found_out(BAD, Without::Lease(LEASE + 1), LEASE);
}

#[test]
fn a_worker_without_the_lease_is_found_out() {
    is_found_out(BAD, Without::Lease(u32::MAX), LEASE);
}

#[test]
fn a_worker_without_the_rule_for_misses_is_found_out() {
    is_found_out(BAD, Without::MissRule, LEASE);
}

#[test]
fn a_worker_without_the_outbox_is_found_out() {
    is_found_out(GOOD, Without::Outbox, FOLLOWED);
}
