//! What the stale KV shows, and when.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use patchbay_core::api::Host;
use patchbay_core::model::Timestamp;
use patchbay_testkit::{Behaviour, Failed, StaleKv};

const SECOND: i64 = 1_000_000;
const MINUTE: Duration = Duration::from_secs(60);

#[derive(Clone, Default)]
struct Clock(Rc<Cell<i64>>);

impl Clock {
    fn pass(&self, seconds: i64) {
        self.0.set(self.0.get() + seconds * SECOND);
    }
}

impl Host for Clock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.get())
    }

    fn fill(&self, _: &mut [u8]) {}
}

fn kv(behaviour: Behaviour) -> (Clock, StaleKv<Clock>) {
    let clock = Clock::default();
    (clock.clone(), StaleKv::new(clock, 1, behaviour))
}

async fn put(kv: &StaleKv<Clock>, key: &str, value: u8) -> Result<(), Failed> {
    kv.put(key, vec![value], 3600).await
}

/// What each of a hundred places shows.
async fn shown(kv: &StaleKv<Clock>, key: &str) -> Vec<Option<u8>> {
    let mut shown = Vec::new();
    for place in 0..100 {
        let value = kv.at(place).get(key).await.unwrap();
        shown.push(value.map(|value| value[0]));
    }
    shown
}

#[tokio::test]
async fn a_place_shows_a_write_some_time_within_the_delay_and_keeps_to_it() {
    let (clock, kv) = kv(Behaviour {
        delay: MINUTE,
        ..Behaviour::PROMPT
    });
    put(&kv, "a", 1).await.unwrap();
    put(&kv, "b", 1).await.unwrap();
    let mut before = vec![None; 100];
    let mut out_of_order = false;
    for _ in 0..6 {
        let (a, b) = (shown(&kv, "a").await, shown(&kv, "b").await);
        assert!(a.iter().zip(&before).all(|(now, before)| now >= before));
        out_of_order |= a.iter().zip(&b).any(|(a, b)| a < b) && a.iter().zip(&b).any(|(a, b)| a > b);
        before = a;
        clock.pass(10);
    }
    assert!(out_of_order, "keys come in no order");
    assert_eq!(shown(&kv, "a").await, [Some(1); 100]);
}

#[tokio::test]
async fn without_order_a_place_goes_back_to_what_was_within_the_delay_and_no_further() {
    let (clock, kv) = kv(Behaviour {
        delay: MINUTE,
        in_order: false,
        ..Behaviour::PROMPT
    });
    for value in 1..=3 {
        put(&kv, "a", value).await.unwrap();
        clock.pass(40);
    }
    // Written 120, 80 and 40 seconds ago.
    let values = [shown(&kv, "a").await, shown(&kv, "a").await].concat();
    assert!(values.iter().all(|value| [Some(2), Some(3)].contains(value)));
    assert!(values.windows(2).any(|pair| pair[0] > pair[1]), "back");
    clock.pass(20);
    assert_eq!(shown(&kv, "a").await, [Some(3); 100]);
}

#[tokio::test]
async fn a_miss_is_remembered_at_its_place() {
    let (clock, kv) = kv(Behaviour {
        misses: MINUTE,
        ..Behaviour::PROMPT
    });
    assert_eq!(shown(&kv, "a").await, [None; 100]);
    put(&kv, "a", 1).await.unwrap();
    assert!(shown(&kv, "a").await.contains(&None));
    assert_eq!(kv.at(100).get("a").await, Ok(Some(vec![1])));
    clock.pass(60);
    assert_eq!(shown(&kv, "a").await, [Some(1); 100]);
}

#[tokio::test]
async fn what_expires_or_is_taken_away_is_gone_after_the_delay() {
    let (clock, kv) = kv(Behaviour {
        delay: MINUTE,
        ..Behaviour::PROMPT
    });
    kv.put("a", vec![1], 60).await.unwrap();
    put(&kv, "b", 1).await.unwrap();
    clock.pass(60);
    kv.delete("b").await.unwrap();
    assert!(shown(&kv, "a").await.contains(&Some(1)) && shown(&kv, "b").await.contains(&Some(1)));
    clock.pass(60);
    assert_eq!(
        (shown(&kv, "a").await, shown(&kv, "b").await),
        (vec![None; 100], vec![None; 100])
    );
}

#[tokio::test]
async fn writes_of_a_key_within_a_second_or_at_once_are_refused_and_counted() {
    let (clock, kv) = kv(Behaviour::PROMPT);
    let both = tokio::join!(put(&kv, "a", 1), put(&kv, "a", 2));
    assert_eq!(both, (Ok(()), Err(Failed)));
    assert_eq!(put(&kv, "a", 3).await, Err(Failed));
    assert_eq!(put(&kv, "b", 3).await, Ok(()));
    clock.pass(1);
    assert_eq!(put(&kv, "a", 4).await, Ok(()));
    assert_eq!(kv.done().too_soon, 2);
    assert_eq!(kv.get("a").await, Ok(Some(vec![4])));
}

#[tokio::test]
async fn a_write_that_fails_is_done_never_or_later_and_may_undo_what_came_after_it() {
    let (clock, refusing) = kv(Behaviour {
        refused: 100,
        ..Behaviour::PROMPT
    });
    assert_eq!(put(&refusing, "a", 1).await, Err(Failed));
    clock.pass(3600);
    assert_eq!(refusing.get("a").await, Ok(None));

    let (clock, kv) = kv(Behaviour {
        ambiguous: 50,
        overtaken: MINUTE,
        ..Behaviour::PROMPT
    });
    let mut undone = 0;
    for key in 0..100 {
        let key = key.to_string();
        let first = put(&kv, &key, 1).await;
        clock.pass(1);
        let second = put(&kv, &key, 2).await;
        clock.pass(60);
        let value = kv.get(&key).await.unwrap();
        assert!(value.is_some(), "done in the end");
        undone += usize::from((first, second, value) == (Err(Failed), Ok(()), Some(vec![1])));
    }
    assert!(undone > 5, "{undone}");
    assert!(kv.done().failed > 50);
}
