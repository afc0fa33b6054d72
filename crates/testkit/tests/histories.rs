//! The check of histories against histories of which it is known whether they are linearizable.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::time::Duration;

use patchbay_testkit::races::{
    Answer, Call, Operation, Recorder, Registry, Specification, Step, Verdict, View, Which, check, with_late_reads,
};
use proptest::prelude::*;

type History = Vec<Operation<Call, Answer>>;

/// An operation that was asked at one moment and answered at another.
fn during(asked: u64, answered: u64, call: Call, answer: Answer) -> Operation<Call, Answer> {
    Operation {
        client: 0,
        call,
        answer: Some(answer),
        asked,
        answered: Some(answered),
    }
}

/// An operation whose outcome is unknown.
fn lost(asked: u64, call: Call) -> Operation<Call, Answer> {
    Operation {
        client: 0,
        call,
        answer: None,
        asked,
        answered: None,
    }
}

/// Operations one after the other.
fn in_turn(operations: impl IntoIterator<Item = (Call, Answer)>) -> History {
    let places = (0..).zip(operations);
    places
        .map(|(place, (call, answer))| during(2 * place + 1, 2 * place + 2, call, answer))
        .collect()
}

const ONE: Which = Which { name: 0, number: 1 };
const TWO: Which = Which { name: 0, number: 2 };
const OTHER: Which = Which { name: 1, number: 3 };
const CREATE: Call = Call::Create(ONE);
const GET: Call = Call::Get { name: 0 };
const ATTACH: Call = Call::Attach { which: ONE, to: 0 };
const DETACH: Call = Call::Detach { which: ONE, from: 0 };
const DELETE: Call = Call::Delete { name: 0 };
const LIST: Call = Call::List {
    within: None,
    after: None,
    limit: None,
};

fn view(which: Which, attached: &[usize]) -> View {
    let attached: BTreeSet<usize> = attached.iter().copied().collect();
    View { which, attached }
}

fn found(which: Which, attached: &[usize]) -> Answer {
    Answer::Found(view(which, attached))
}

fn page(rows: &[View]) -> Answer {
    Answer::Page(rows.to_vec(), false)
}

#[track_caller]
fn taken(history: &History) {
    let verdict = check(&Registry { names: 2 }, history);
    assert!(matches!(verdict, Verdict::Linearizable), "{verdict:?}");
}

#[track_caller]
fn refused(history: &History) -> History {
    match check(&Registry { names: 2 }, history) {
        Verdict::Violated(violation) => violation.operations,
        verdict => panic!("{verdict:?}"),
    }
}

#[test]
fn the_life_of_a_connection_is_taken() {
    taken(&in_turn([
        (GET, Answer::NotFound),
        (CREATE, Answer::Done),
        (Call::Create(TWO), Answer::Conflict),
        (ATTACH, Answer::Attached(1)),
        (ATTACH, Answer::Attached(1)),
        (LIST, page(&[view(ONE, &[0])])),
        (DELETE, Answer::Conflict),
        (DETACH, Answer::Done),
        (DETACH, Answer::NotFound),
        (ATTACH, Answer::Attached(2)),
        (GET, found(ONE, &[0])),
        (DETACH, Answer::Done),
        (Call::GetById(ONE), found(ONE, &[])),
        (DELETE, Answer::Done),
        (DELETE, Answer::NotFound),
        (ATTACH, Answer::NotFound),
        (Call::Create(TWO), Answer::Done),
        (Call::GetById(ONE), Answer::NotFound),
        (GET, found(TWO, &[])),
    ]));
}

#[test]
fn operations_at_the_same_time_may_take_effect_in_either_order() {
    let both = |get: Answer, list: Answer| {
        vec![
            during(1, 10, CREATE, Answer::Done),
            during(2, 3, GET, get),
            during(4, 5, LIST, list),
        ]
    };
    taken(&both(Answer::NotFound, page(&[])));
    taken(&both(Answer::NotFound, page(&[view(ONE, &[])])));
    taken(&both(found(ONE, &[]), page(&[view(ONE, &[])])));
    // What one saw the next cannot miss.
    refused(&both(found(ONE, &[]), page(&[])));
}

#[test]
fn a_lost_update_is_refused() {
    refused(&in_turn([
        (CREATE, Answer::Done),
        (ATTACH, Answer::Attached(1)),
        (Call::Attach { which: ONE, to: 1 }, Answer::Attached(2)),
        (GET, found(ONE, &[1])),
    ]));
}

#[test]
fn a_stale_read_is_refused_however_many_operations_lie_between() {
    let mut operations = vec![(CREATE, Answer::Done)];
    for _ in 0..1_000 {
        operations.push((LIST, page(&[view(ONE, &[])])));
    }
    operations.push((GET, Answer::NotFound));
    let violation = refused(&in_turn(operations));
    assert_eq!(violation.len(), 1, "{violation:?}");
}

#[test]
fn a_duplicate_create_is_refused() {
    refused(&vec![
        during(1, 4, CREATE, Answer::Done),
        during(2, 3, Call::Create(TWO), Answer::Done),
    ]);
}

#[test]
fn an_attach_that_was_acknowledged_on_a_connection_deleted_later_without_a_detach_is_refused() {
    refused(&in_turn([
        (CREATE, Answer::Done),
        (ATTACH, Answer::Attached(1)),
        (DELETE, Answer::Done),
    ]));
    // At the same time as well, in whichever order.
    refused(&vec![
        during(1, 2, CREATE, Answer::Done),
        during(3, 6, ATTACH, Answer::Attached(1)),
        during(4, 5, DELETE, Answer::Done),
    ]);
}

#[test]
fn a_deleted_connection_that_shows_again_is_refused() {
    let deleted = [(CREATE, Answer::Done), (DELETE, Answer::Done)];
    let then = |call, answer| in_turn(deleted.clone().into_iter().chain([(call, answer)]));
    refused(&then(GET, found(ONE, &[])));
    refused(&then(Call::GetById(ONE), found(ONE, &[])));
    refused(&then(LIST, page(&[view(ONE, &[])])));
    refused(&then(ATTACH, Answer::Attached(1)));
}

/// Operations one after the other, of which a read that finds something may be late by the two operations before it.
fn in_turn_late(operations: &[(Call, Answer)]) -> History {
    let mut history = in_turn(operations.iter().cloned());
    with_late_reads(&mut history, |asked| asked.saturating_sub(4));
    history
}

#[test]
fn a_late_read_is_taken_within_the_bound_and_refused_beyond_it() {
    let other = || (Call::Get { name: 1 }, Answer::NotFound);
    for get in [GET, Call::GetById(ONE)] {
        let (before, create) = ((get, found(ONE, &[])), (CREATE, Answer::Done));
        let (attach, delete) = ((ATTACH, Answer::Attached(1)), (DELETE, Answer::Done));
        let again = (Call::Create(TWO), Answer::Done);
        taken(&in_turn_late(&[create.clone(), attach.clone(), before.clone()]));
        taken(&in_turn_late(&[
            create.clone(),
            attach.clone(),
            other(),
            before.clone(),
        ]));
        refused(&in_turn_late(&[
            create.clone(),
            attach,
            other(),
            other(),
            before.clone(),
        ]));
        taken(&in_turn_late(&[
            create.clone(),
            delete.clone(),
            other(),
            before.clone(),
        ]));
        refused(&in_turn_late(&[
            create.clone(),
            delete.clone(),
            other(),
            other(),
            before.clone(),
        ]));
        taken(&in_turn_late(&[
            create.clone(),
            delete.clone(),
            again.clone(),
            before.clone(),
        ]));
        refused(&in_turn_late(&[create, delete, again, other(), before]));
    }
}

#[test]
fn a_late_refusal_or_list_and_what_never_was_are_refused_within_the_bound() {
    let (create, attach) = ((CREATE, Answer::Done), (ATTACH, Answer::Attached(1)));
    let second = (Call::Attach { which: ONE, to: 1 }, Answer::Attached(2));
    for wrong in [
        (GET, Answer::NotFound),
        (Call::GetById(ONE), Answer::NotFound),
        (LIST, page(&[])),
        (LIST, page(&[view(ONE, &[0])])),
        (GET, found(ONE, &[1])),
        (GET, found(TWO, &[])),
        (DETACH, Answer::NotFound),
        (Call::Create(TWO), Answer::Done),
    ] {
        refused(&in_turn_late(&[create.clone(), attach.clone(), second.clone(), wrong]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_moment_so_long_before_another_lies_between_what_was_earlier_and_what_was_not() {
    let (second, third) = (Duration::from_secs(1), Duration::from_secs(3));
    let recorder = Recorder::<Call, Answer>::default();
    let asked = recorder.ask(0, CREATE);
    tokio::time::advance(third).await;
    recorder.answer(asked, Answer::Done);
    tokio::time::advance(second).await;
    recorder.ask(0, GET);
    let moments = recorder.history().into_iter().map(|one| (one.asked, one.answered));
    assert_eq!(Vec::from_iter(moments), [(2, Some(4)), (6, None)]);
    let before = [Duration::ZERO, second, 2 * second, second + third, 9 * third].map(|by| recorder.before(6, by));
    assert_eq!(before, [5, 3, 3, 1, 1]);
}

#[test]
fn two_ids_for_one_attachment_and_an_id_that_comes_again_are_refused() {
    refused(&in_turn([
        (CREATE, Answer::Done),
        (ATTACH, Answer::Attached(1)),
        (ATTACH, Answer::Attached(2)),
    ]));
    refused(&in_turn([
        (CREATE, Answer::Done),
        (ATTACH, Answer::Attached(1)),
        (DETACH, Answer::Done),
        (ATTACH, Answer::Attached(2)),
        (DETACH, Answer::Done),
        (ATTACH, Answer::Attached(1)),
    ]));
}

#[test]
fn a_list_of_two_moments_is_refused_although_each_row_was_right_once() {
    refused(&vec![
        during(1, 2, CREATE, Answer::Done),
        during(4, 5, DELETE, Answer::Done),
        during(6, 7, Call::Create(OTHER), Answer::Done),
        during(3, 8, LIST, page(&[view(ONE, &[]), view(OTHER, &[])])),
    ]);
}

#[test]
fn a_page_that_leaves_out_or_says_more_wrongly_is_refused() {
    let ask = Call::List {
        within: None,
        after: None,
        limit: Some(1),
    };
    let answered = |rows: &[View], more| {
        in_turn([
            (CREATE, Answer::Done),
            (Call::Create(OTHER), Answer::Done),
            (ask, Answer::Page(rows.to_vec(), more)),
        ])
    };
    taken(&answered(&[view(ONE, &[])], true));
    refused(&answered(&[view(ONE, &[])], false));
    refused(&answered(&[view(OTHER, &[])], false));
}

#[test]
fn an_unknown_outcome_may_have_happened_or_not_or_happen_later() {
    let create = |rest: &[(Call, Answer)]| {
        let mut history = in_turn(rest.iter().cloned());
        history.push(lost(0, CREATE));
        history
    };
    let (there, absent) = ((GET, found(ONE, &[])), (GET, Answer::NotFound));
    taken(&create(&[]));
    taken(&create(std::slice::from_ref(&there)));
    taken(&create(&[absent.clone(), absent.clone()]));
    taken(&create(&[absent.clone(), there.clone()]));
    taken(&create(&[absent.clone(), (Call::Create(TWO), Answer::Conflict)]));
    // But once only, and not undone.
    refused(&create(&[there.clone(), absent.clone()]));
    refused(&create(&[there.clone(), (DELETE, Answer::Done), there]));

    let mut history = in_turn([(CREATE, Answer::Done), (DELETE, Answer::Done), absent]);
    history.push(lost(2, ATTACH));
    taken(&history);
    history.push(lost(2, DETACH));
    taken(&history);
    let mut history = in_turn([
        (CREATE, Answer::Done),
        (GET, found(ONE, &[0])),
        (ATTACH, Answer::Attached(7)),
    ]);
    refused(&history);
    history.push(lost(2, ATTACH));
    taken(&history);
}

/// A register of one number, the simplest object: write gives nothing, read gives the number.
struct Register;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Use {
    Write(u8),
    Read,
    /// Writes the second if it holds the first; says whether it did.
    Swap(u8, u8),
}

impl Specification for Register {
    type State = u8;
    type Call = Use;
    type Answer = u8;

    fn start(&self) -> u8 {
        0
    }

    fn step(&self, state: &u8, call: &Use, answer: Option<&u8>) -> Step<u8> {
        let (after, right) = match *call {
            Use::Write(value) => (value, 0),
            Use::Read => (*state, *state),
            Use::Swap(from, to) if from == *state => (to, 1),
            Use::Swap(..) => (*state, 0),
        };
        match answer {
            Some(answer) if *answer != right => Step::Impossible,
            _ if after == *state => Step::Unchanged,
            _ => Step::Changed(after),
        }
    }

    fn reads(&self, call: &Use, answer: Option<&u8>) -> bool {
        match call {
            Use::Write(_) => false,
            Use::Read => true,
            Use::Swap(..) => answer == Some(&0),
        }
    }

    fn part(&self, _: &Use) -> Option<usize> {
        Some(0)
    }
}

/// Whether there is an order, found by trying every one.
fn any_order(state: u8, left: &[Operation<Use, u8>]) -> bool {
    if left.iter().all(|one| one.answer.is_none()) {
        return true;
    }
    let first_answer = left.iter().filter_map(|one| one.answered).min().unwrap_or(u64::MAX);
    (0..left.len()).any(|place| {
        let one = &left[place];
        let mut rest = left.to_vec();
        rest.remove(place);
        let after = match Register.step(&state, &one.call, one.answer.as_ref()) {
            Step::Impossible => return false,
            Step::Unchanged => state,
            Step::Changed(after) => after,
        };
        one.asked < first_answer && any_order(after, &rest)
    })
}

fn calls() -> impl Strategy<Value = Use> {
    prop_oneof![
        (1..3_u8).prop_map(Use::Write),
        Just(Use::Read),
        (0..3_u8, 0..3_u8).prop_map(|(from, to)| Use::Swap(from, to)),
    ]
}

/// Up to seven operations whose moments are shuffled; some never answered.
fn histories() -> impl Strategy<Value = Vec<Operation<Use, u8>>> {
    let operations = prop::collection::vec((calls(), 0..3_u8, 0..5_u8), 1..8);
    let shuffled = operations.prop_flat_map(|operations| {
        let moments: Vec<u64> = (1..=2 * operations.len() as u64).collect();
        (Just(operations), Just(moments).prop_shuffle())
    });
    shuffled.prop_map(|(operations, moments)| {
        let pairs = moments.chunks_exact(2);
        let each = operations.into_iter().zip(pairs).map(|((call, answer, fate), pair)| {
            let (asked, answered) = (pair[0].min(pair[1]), pair[0].max(pair[1]));
            let answer = match call {
                Use::Write(_) => 0,
                Use::Read => answer,
                Use::Swap(..) => answer % 2,
            };
            Operation {
                client: 0,
                call,
                answer: (fate > 0).then_some(answer),
                asked,
                answered: (fate > 0).then_some(answered),
            }
        });
        each.collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_check_agrees_with_trying_every_order(history in histories()) {
        let verdict = check(&Register, &history);
        let linearizable = matches!(verdict, Verdict::Linearizable);
        prop_assert_eq!(linearizable, any_order(0, &history), "{:?}", verdict);
        if let Verdict::Violated(violation) = verdict {
            // What is left of it is a violation still.
            prop_assert!(!any_order(violation.state, &violation.operations));
        }
    }
}
