//! How often storage is asked whether it answers: `/readyz` needs no token, so whoever likes may call it as often as
//! they like, and each look at storage costs something.

use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::StatusCode;

use crate::api::Host;
use crate::model::Timestamp;
use crate::problem::Problem;

/// Microseconds for which an answer serves everybody.
const FRESH: i64 = 1_000_000;
/// Microseconds for which it serves those who come while the next look is under way. Storage that takes longer does not
/// answer, as far as anybody waits for it.
const USABLE: i64 = 5_000_000;
/// Microseconds after which a look counts as lost: a runtime may end a request without telling anybody.
const LOST: i64 = 10_000_000;

/// What is known of storage. Requests that share it look at storage once in a second, one at a time: as long as the first
/// one looks, it is not known to answer. None waits for another, since some runtimes let no request wake another.
#[derive(Default)]
pub struct Readiness(Mutex<State>);

#[derive(Default)]
struct State {
    known: Option<(Timestamp, Result<(), Problem>)>,
    /// When the look began that is under way.
    begun: Option<Timestamp>,
}

impl Readiness {
    /// What `look` at storage comes to, or came to for somebody else a moment ago. Where this is dropped, it has not
    /// looked.
    pub(crate) async fn ask(
        &self,
        host: &impl Host,
        look: impl Future<Output = Result<(), Problem>>,
    ) -> Result<(), Problem> {
        if let Some(known) = self.known(host.now()) {
            return known;
        }
        let _look = Look(self);
        let found = look.await;
        self.state().known = Some((host.now(), found.clone()));
        found
    }

    /// What serves a request that comes now; `None` where it has to look itself, which is noted.
    fn known(&self, now: Timestamp) -> Option<Result<(), Problem>> {
        let mut state = self.state();
        let since = |then: Timestamp| now.as_micros().saturating_sub(then.as_micros());
        let within = |then, most| (0..most).contains(&since(then));
        let known = |most| {
            let known = state.known.as_ref().filter(|(at, _)| within(*at, most));
            known.map(|(_, known)| known.clone())
        };
        if let Some(known) = known(FRESH) {
            return Some(known);
        }
        if state.begun.is_some_and(|begun| within(begun, LOST)) {
            let no_answer = || {
                Err(Problem::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "Storage has not answered lately; try again.",
                ))
            };
            return Some(known(USABLE).unwrap_or_else(no_answer));
        }
        state.begun = Some(now);
        None
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A look that is under way until this is dropped.
struct Look<'r>(&'r Readiness);

impl Drop for Look<'_> {
    fn drop(&mut self) {
        self.0.state().begun = None;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::pending;

    use futures_util::FutureExt as _;

    use super::*;

    /// A clock, and how often storage was looked at.
    #[derive(Default)]
    struct Clock {
        seconds: Cell<f64>,
        looks: Cell<u32>,
    }

    impl Host for Clock {
        fn now(&self) -> Timestamp {
            Timestamp::from_micros((self.seconds.get() * 1e6) as i64)
        }

        fn fill(&self, _: &mut [u8]) {}
    }

    impl Clock {
        /// Asks at this time, of storage that answers so.
        fn ask(&self, readiness: &Readiness, seconds: f64, answer: Result<(), Problem>) -> Result<(), Problem> {
            self.seconds.set(seconds);
            let look = async {
                self.looks.set(self.looks.get() + 1);
                answer
            };
            readiness.ask(self, look).now_or_never().unwrap()
        }
    }

    fn broken() -> Result<(), Problem> {
        Err(Problem::failed("broken"))
    }

    #[test]
    fn storage_is_looked_at_once_a_second_and_all_share_what_was_found() {
        let (clock, readiness) = (Clock::default(), Readiness::default());
        for number in 0..300 {
            assert_eq!(clock.ask(&readiness, f64::from(number) / 100.0, Ok(())), Ok(()));
        }
        assert_eq!(clock.looks.get(), 3);
        assert_eq!(clock.ask(&readiness, 3.0, broken()), broken());
        assert_eq!(clock.ask(&readiness, 3.9, Ok(())), broken());
        assert_eq!(clock.ask(&readiness, 4.0, Ok(())), Ok(()));
        assert_eq!(clock.looks.get(), 5);
        // A clock that was put back.
        assert_eq!(clock.ask(&readiness, 1.0, broken()), broken());
    }

    #[test]
    fn while_storage_is_looked_at_others_get_what_is_known_until_that_is_too_old() {
        let (clock, readiness) = (Clock::default(), Readiness::default());
        clock.ask(&readiness, 0.0, Ok(())).unwrap();
        clock.seconds.set(2.0);
        let mut slow = Box::pin(readiness.ask(&clock, pending()));
        assert_eq!(slow.as_mut().now_or_never(), None);
        assert_eq!(clock.ask(&readiness, 4.9, broken()), Ok(()));
        let refused = clock.ask(&readiness, 5.0, Ok(())).unwrap_err();
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(clock.looks.get(), 1);
        // It never ends, so somebody else looks.
        assert_eq!(clock.ask(&readiness, 12.0, Ok(())), Ok(()));
        assert_eq!(clock.looks.get(), 2);
    }

    #[test]
    fn a_look_that_is_given_up_leaves_the_next_one_to_the_next_who_asks() {
        let (clock, readiness) = (Clock::default(), Readiness::default());
        clock.ask(&readiness, 0.0, broken()).unwrap_err();
        clock.seconds.set(2.0);
        assert_eq!(readiness.ask(&clock, pending()).now_or_never(), None);
        assert_eq!(clock.ask(&readiness, 2.0, Ok(())), Ok(()));
    }

    #[test]
    fn while_the_first_one_looks_storage_is_not_ready_and_nobody_else_looks() {
        let (clock, readiness) = (Clock::default(), Readiness::default());
        let mut slow = Box::pin(readiness.ask(&clock, pending()));
        assert_eq!(slow.as_mut().now_or_never(), None);
        for number in 0..100 {
            let refused = clock.ask(&readiness, f64::from(number) / 10.0, Ok(())).unwrap_err();
            assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
        }
        assert_eq!(clock.looks.get(), 0);
        assert_eq!(clock.ask(&readiness, 10.0, Ok(())), Ok(()));
    }
}
