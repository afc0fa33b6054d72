//! What clients asked, what they were told, and when.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// One operation of one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation<C, A> {
    /// Who asked.
    pub client: usize,
    /// What was asked.
    pub call: C,
    /// What the client was told. `None` where it never came to know: the operation may have happened at any moment
    /// since it was asked, may happen yet, or never.
    pub answer: Option<A>,
    /// Asked after everything with a smaller moment, before everything with a larger one. Of a read that may be late:
    /// what it shows was right after everything with a smaller moment.
    pub asked: u64,
    /// When the answer was there.
    pub answered: Option<u64>,
}

impl<C: fmt::Display, A: fmt::Display> fmt::Display for Operation<C, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (client, call) = (self.client, &self.call);
        match (&self.answer, self.answered) {
            (Some(answer), Some(at)) => {
                write!(f, "[{:>6} to {at:>6}] client {client}: {call}: {answer}", self.asked)
            }
            _ => write!(f, "[{:>6} to   ?   ] client {client}: {call}: unknown", self.asked),
        }
    }
}

/// Takes operations down as they happen. A client says what it asks before it asks, and what it was told after it was:
/// so each operation took effect, if it did, between the two moments. Moments are even numbers: there is room between
/// any two.
#[derive(Debug)]
pub struct Recorder<C, A>(Mutex<Recorded<C, A>>);

#[derive(Debug)]
struct Recorded<C, A> {
    /// When each moment was, by tokio's clock.
    moments: Vec<Instant>,
    operations: Vec<Operation<C, A>>,
}

impl<C, A> Recorded<C, A> {
    fn next_moment(&mut self) -> u64 {
        self.moments.push(Instant::now());
        2 * self.moments.len() as u64
    }
}

impl<C, A> Default for Recorder<C, A> {
    fn default() -> Self {
        Self(Mutex::new(Recorded {
            moments: Vec::new(),
            operations: Vec::new(),
        }))
    }
}

/// An operation that was asked.
#[derive(Debug)]
pub struct Asked(usize);

impl<C: Clone, A: Clone> Recorder<C, A> {
    fn recorded(&self) -> MutexGuard<'_, Recorded<C, A>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be called right before a client asks.
    pub fn ask(&self, client: usize, call: C) -> Asked {
        let mut recorded = self.recorded();
        let operation = Operation {
            client,
            call,
            answer: None,
            asked: recorded.next_moment(),
            answered: None,
        };
        recorded.operations.push(operation);
        Asked(recorded.operations.len() - 1)
    }

    /// To be called right after the answer is there. Where none comes, this is not called.
    pub fn answer(&self, asked: Asked, answer: A) {
        let mut recorded = self.recorded();
        let moment = recorded.next_moment();
        if let Some(operation) = recorded.operations.get_mut(asked.0) {
            (operation.answer, operation.answered) = (Some(answer), Some(moment));
        }
    }

    /// The moment so long before another one: after all that was earlier, before all that was not.
    pub fn before(&self, moment: u64, by: Duration) -> u64 {
        let recorded = self.recorded();
        let place = usize::try_from(moment / 2).unwrap_or(usize::MAX);
        let at = recorded.moments.get(place.saturating_sub(1));
        let from = at.and_then(|at| at.checked_sub(by));
        let earlier = from.map_or(0, |from| recorded.moments.partition_point(|moment| *moment < from));
        2 * earlier as u64 + 1
    }

    /// Everything so far, in the order of asking.
    pub fn history(&self) -> Vec<Operation<C, A>> {
        self.recorded().operations.clone()
    }
}
