//! What clients asked, what they were told, and when.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

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
    /// Asked after everything with a smaller moment, before everything with a larger one.
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
/// so each operation took effect, if it did, between the two moments.
#[derive(Debug)]
pub struct Recorder<C, A>(Mutex<Recorded<C, A>>);

#[derive(Debug)]
struct Recorded<C, A> {
    moment: u64,
    operations: Vec<Operation<C, A>>,
}

impl<C, A> Default for Recorder<C, A> {
    fn default() -> Self {
        Self(Mutex::new(Recorded {
            moment: 0,
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
        recorded.moment += 1;
        let operation = Operation {
            client,
            call,
            answer: None,
            asked: recorded.moment,
            answered: None,
        };
        recorded.operations.push(operation);
        Asked(recorded.operations.len() - 1)
    }

    /// To be called right after the answer is there. Where none comes, this is not called.
    pub fn answer(&self, asked: Asked, answer: A) {
        let mut recorded = self.recorded();
        recorded.moment += 1;
        let moment = recorded.moment;
        if let Some(operation) = recorded.operations.get_mut(asked.0) {
            (operation.answer, operation.answered) = (Some(answer), Some(moment));
        }
    }

    /// Everything so far, in the order of asking.
    pub fn history(&self) -> Vec<Operation<C, A>> {
        self.recorded().operations.clone()
    }
}
