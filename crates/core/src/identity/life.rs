//! The life of an issuer's keys: when to ask for them, and how long what was answered counts. It neither asks nor knows
//! the time, both of which are its home's.

use std::sync::Arc;

use super::keys::KeySet;
use crate::limits::{
    ISSUER_PAUSE_DOUBLINGS, ISSUER_PAUSE_SECONDS, ISSUER_SECONDS, KEYS_FRESH_SECONDS, KEYS_FRESH_UNSAID_SECONDS,
    KEYS_KNOWN_SECONDS,
};
use crate::model::Timestamp;

/// Seconds after which an answer that is still to come is lost, as where a home's task ended early: an issuer is asked
/// two things at most, one after the other.
const LOST_SECONDS: i64 = 2 * ISSUER_SECONDS.cast_signed() + 1;

/// What the arrival of a token asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    /// Whether to ask the issuer. Nobody else is told so until there is an answer.
    pub(super) ask: bool,
    /// Whether the token waits for that answer, whoever asked: by what is known it cannot be judged.
    pub(super) wait: bool,
}

/// The keys of an issuer as they were last answered.
#[derive(Debug, Default)]
pub(super) struct Life {
    held: Option<Held>,
    /// When they were last asked for.
    asked: Option<Timestamp>,
    /// How often they were: the number of the last errand.
    errand: u64,
    /// Whether the answer is still to come.
    asking: bool,
    /// How often in a row there was none.
    failures: u32,
}

#[derive(Debug)]
struct Held {
    keys: Arc<KeySet>,
    /// Which brought them.
    errand: u64,
    answered: Timestamp,
    fresh_seconds: i64,
}

impl Life {
    /// The keys that count now.
    pub(super) fn known(&self, now: Timestamp) -> Option<&Arc<KeySet>> {
        let held = self.held.as_ref()?;
        (seconds(held.answered, now) < KEYS_KNOWN_SECONDS).then_some(&held.keys)
    }

    /// What to do as a token arrives, `unknown` being one whose key is not among the known.
    pub(super) fn arrival(&mut self, now: Timestamp, unknown: bool) -> Step {
        // What was noted before the clock was set back would hold everything up until it is as late again.
        let noted = self.held.as_mut().map(|held| &mut held.answered);
        for time in noted.into_iter().chain(self.asked.as_mut()) {
            *time = now.min(*time);
        }
        let known = self.known(now).is_some();
        let age = self
            .held
            .as_ref()
            .map(|held| (seconds(held.answered, now), held.fresh_seconds));
        // In the last fifth of their time, so that nobody waits at its end.
        let due = age.is_none_or(|(age, fresh)| age >= fresh / 5 * 4);
        // Once an issuer has failed, nobody waits for it to fail again.
        let stale = self.failures == 0 && age.is_none_or(|(age, fresh)| age >= fresh);
        let wait = unknown || !known || stale;
        let since = self.asked.map_or(i64::MAX, |asked| seconds(asked, now));
        if self.asking && since < LOST_SECONDS {
            return Step { ask: false, wait };
        }
        self.asking = (wait || due) && since >= self.pause(known);
        if self.asking {
            self.asked = Some(now);
            self.errand += 1;
        }
        Step {
            ask: self.asking,
            wait: wait && self.asking,
        }
    }

    fn pause(&self, known: bool) -> i64 {
        // Without keys, everybody waits for the issuer to come back.
        let doublings = if known { self.failures.saturating_sub(1) } else { 0 };
        ISSUER_PAUSE_SECONDS << doublings.min(ISSUER_PAUSE_DOUBLINGS)
    }

    /// The number of the errand on which the issuer was last asked. A later one has a higher number.
    pub(super) fn errand(&self) -> u64 {
        self.errand
    }

    /// Takes the issuer's keys as this errand brings them, with the `max-age` that they came with. Those that are not
    /// among them are gone. An errand that was lost may come back all the same: keys of a later one stay. Gives for how many
    /// seconds they are fresh, if they are taken.
    pub(super) fn answered(
        &mut self,
        errand: u64,
        now: Timestamp,
        keys: Arc<KeySet>,
        max_age: Option<u64>,
    ) -> Option<i64> {
        if self.held.as_ref().is_some_and(|held| held.errand > errand) {
            return None;
        }
        let said = max_age.map(|seconds| i64::try_from(seconds).unwrap_or(i64::MAX));
        let seconds = said.unwrap_or(KEYS_FRESH_UNSAID_SECONDS);
        let fresh_seconds = seconds.clamp(*KEYS_FRESH_SECONDS.start(), *KEYS_FRESH_SECONDS.end());
        self.held = Some(Held {
            keys,
            errand,
            answered: now,
            fresh_seconds,
        });
        self.asking &= errand != self.errand;
        self.failures = 0;
        Some(fresh_seconds)
    }

    /// Takes it that this errand brings no answer that could be used.
    pub(super) fn failed(&mut self, errand: u64) {
        if errand == self.errand {
            (self.asking, self.failures) = (false, self.failures.saturating_add(1));
        }
    }
}

/// Whole seconds between two times.
fn seconds(then: Timestamp, now: Timestamp) -> i64 {
    now.as_micros().saturating_sub(then.as_micros()) / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    const GO_ON: Step = Step {
        ask: false,
        wait: false,
    };
    const ASK: Step = Step { ask: true, wait: false };
    const WAIT: Step = Step { ask: false, wait: true };
    const ASK_AND_WAIT: Step = Step { ask: true, wait: true };

    fn set() -> Arc<KeySet> {
        let x = "E".repeat(43);
        let set = format!("{{\"keys\":[{{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"{x}\"}}]}}");
        Arc::new(KeySet::parse(&set).unwrap())
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(1_700_000_000_000_000 + seconds * 1_000_000)
    }

    /// Keys that were answered at time 0 with this `max-age`.
    fn fetched(max_age: Option<u64>) -> Life {
        let mut life = Life::default();
        assert_eq!(life.arrival(at(0), false), ASK_AND_WAIT);
        life.answered(life.errand(), at(0), set(), max_age);
        life
    }

    /// When the issuer is asked in the seconds from `from` on, as a token arrives in each and it never answers.
    fn asked_in_vain(life: &mut Life, from: i64, seconds: i64, unknown: bool) -> Vec<i64> {
        let asks = |second: &i64| {
            let ask = life.arrival(at(*second), unknown).ask;
            if ask {
                life.failed(life.errand());
            }
            ask
        };
        (from..from + seconds).filter(asks).collect()
    }

    #[test]
    fn unknown_keys_have_the_issuer_asked_once_in_30_seconds_however_many_arrive() {
        let mut life = Life::default();
        let mut asked = Vec::new();
        for second in 0..100 {
            for _ in 0..100 {
                if life.arrival(at(second), true).ask {
                    asked.push(second);
                    life.answered(life.errand(), at(second), set(), None);
                }
            }
        }
        assert_eq!(asked, [0, 30, 60, 90]);
    }

    #[test]
    fn one_asks_at_a_time_and_others_wait_only_where_they_must() {
        let mut life = fetched(None);
        assert_eq!(life.arrival(at(29), true), GO_ON);
        assert_eq!(life.arrival(at(40), true), ASK_AND_WAIT);
        assert_eq!(life.arrival(at(40), true), WAIT);
        assert_eq!(life.arrival(at(41), false), GO_ON);
        life.failed(life.errand());
        assert_eq!(life.arrival(at(41), true), GO_ON, "it was asked a second ago");
        let mut life = Life::default();
        assert_eq!(life.arrival(at(0), false), ASK_AND_WAIT);
        assert_eq!(life.arrival(at(10), false), WAIT);
        // Whoever asked is gone, and never said what was answered.
        assert_eq!(life.arrival(at(11), false), GO_ON);
        assert_eq!(life.arrival(at(30), false), ASK_AND_WAIT);
    }

    #[test]
    fn an_errand_that_was_lost_and_comes_back_changes_nothing_of_later_ones() {
        let mut life = Life::default();
        let [first, second, third] = [0, 30, 60].map(|second| {
            assert_eq!(life.arrival(at(second), false), ASK_AND_WAIT);
            life.errand()
        });
        life.failed(first);
        assert!(life.answered(second, at(61), set(), None).is_some());
        assert_eq!(life.arrival(at(61), true), WAIT, "the third is under way");
        assert!(life.answered(third, at(62), set(), None).is_some());
        assert_eq!(life.answered(second, at(63), set(), None), None);
        life.failed(second);
        assert_eq!(life.arrival(at(89), true), GO_ON);
        assert_eq!(life.arrival(at(90), true), ASK_AND_WAIT, "none has failed");
    }

    #[test]
    fn keys_are_asked_for_again_before_their_time_ends_which_is_bounded() {
        for (max_age, fresh) in [
            (None, 3_600),
            (Some(600), 600),
            (Some(0), 300),
            (Some(u64::MAX), 21_600),
        ] {
            let due = fresh / 5 * 4;
            let mut life = fetched(max_age);
            assert_eq!(life.arrival(at(due - 1), false), GO_ON, "{max_age:?}");
            assert_eq!(life.arrival(at(due), false), ASK, "{max_age:?}");
            assert_eq!(life.arrival(at(due), false), GO_ON, "{max_age:?}");
            // Nobody came by in the meantime.
            let mut life = fetched(max_age);
            assert_eq!(life.arrival(at(fresh), false), ASK_AND_WAIT, "{max_age:?}");
            assert_eq!(life.arrival(at(fresh), false), WAIT, "{max_age:?}");
            life.failed(life.errand());
            assert_eq!(life.arrival(at(fresh + 1), false), GO_ON, "{max_age:?}");
        }
    }

    #[test]
    fn an_issuer_that_is_gone_leaves_its_keys_for_a_day_and_is_asked_less_and_less() {
        let mut life = fetched(None);
        let asked = asked_in_vain(&mut life, 0, 86_400, false);
        let first = [0, 30, 90, 210, 450, 690].map(|later| 2_880 + later);
        assert_eq!(asked[..6], first);
        assert!(asked[5..].windows(2).all(|pair| pair[1] - pair[0] == 240));
        assert!(life.known(at(86_399)).is_some());
        assert!(life.known(at(86_400)).is_none());
        // Now that everybody waits for it, it is asked as often as may be.
        let asked = asked_in_vain(&mut life, 86_400, 100, false);
        assert!(asked.len() >= 3, "{asked:?}");
        assert_eq!(life.arrival(at(86_600), false), ASK_AND_WAIT);
        life.answered(life.errand(), at(86_600), set(), None);
        assert!(life.known(at(86_600)).is_some());
        assert_eq!(life.arrival(at(86_630), true), ASK_AND_WAIT, "what failed is forgotten");
    }

    #[test]
    fn an_issuer_that_never_answered_is_asked_every_30_seconds() {
        let mut life = Life::default();
        assert_eq!(asked_in_vain(&mut life, 0, 120, true), [0, 30, 60, 90]);
        assert!(life.known(at(120)).is_none());
    }

    #[test]
    fn a_clock_that_is_set_back_neither_ends_keys_nor_stops_them_from_being_asked_for() {
        let mut life = fetched(None);
        let year = 365 * 86_400;
        assert!(life.known(at(-year)).is_some());
        assert_eq!(life.arrival(at(-year), true), GO_ON);
        assert_eq!(life.arrival(at(30 - year), true), ASK_AND_WAIT);
        life.failed(life.errand());
        assert_eq!(life.arrival(at(2_880 - year), false), ASK);
        life.failed(life.errand());
        assert!(life.known(at(86_400 - year)).is_none());
    }

    #[test]
    fn a_clock_that_leaps_ahead_has_them_asked_for_at_once() {
        let mut life = fetched(None);
        assert_eq!(life.arrival(at(1_000_000), false), ASK_AND_WAIT);
    }
}
