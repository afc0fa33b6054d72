//! Trying again: bounded in number and time, with pauses that grow and are drawn at random, so that those who met do not
//! meet again.

use std::sync::OnceLock;
use std::time::Duration;

use patchbay_core::store::StoreError;
use tokio::time::Instant;

use crate::table::Table;

/// How one call of the store tries again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// How often one thing is tried.
    attempts: u32,
    /// The longest of all pauses.
    longest: Duration,
    /// From the beginning of the first attempt that fails in a call of the store, for so long another one may begin.
    patience: Duration,
}

/// Far below what a caller behind API Gateway waits (29 s), with the last attempt's own time-out on top; and enough for a
/// partition of DynamoDB to come back, which takes a second or two.
pub(crate) const SERVING: Pace = Pace {
    attempts: 10,
    longest: Duration::from_millis(320),
    patience: Duration::from_secs(4),
};

/// Where nobody waits for an answer, and others' traffic may take all that a table gives for a while.
pub(crate) const UNHURRIED: Pace = Pace {
    attempts: u32::MAX,
    longest: Duration::from_secs(10),
    patience: Duration::from_secs(180),
};

/// The longest first pause.
const FIRST: Duration = Duration::from_millis(10);

/// How long one call of the store goes on trying.
#[derive(Debug)]
pub(crate) struct Patience {
    pace: Pace,
    end: OnceLock<Instant>,
}

impl Patience {
    pub(crate) fn new(pace: Pace) -> Self {
        let end = OnceLock::new();
        Self { pace, end }
    }

    /// After the attempt of this number, counted from 0, that began at `begun` and failed: waits, unless there is to be
    /// no other one.
    pub(crate) async fn again(&self, attempt: u32, begun: Instant) -> bool {
        let Pace {
            attempts,
            longest,
            patience,
        } = self.pace;
        let end = *self.end.get_or_init(|| begun + patience);
        let longest = FIRST.saturating_mul(1 << attempt.min(16)).min(longest);
        let next = Instant::now() + longest.mul_f64(fastrand::f64());
        if attempt + 1 >= attempts || next > end {
            return false;
        }
        tokio::time::sleep_until(next).await;
        true
    }
}

/// Runs `attempt`, which gives nothing where what it had read changed before it wrote, until it gives something.
///
/// # Errors
/// Those of `attempt`; [`StoreError::Busy`] where others are always faster.
pub(crate) async fn until_decided<T, E, F>(table: &Table, mut attempt: impl FnMut() -> F) -> Result<T, E>
where
    E: From<StoreError>,
    // Named, and the closures are not asynchronous themselves: else the compiler cannot tell that this is `Send`.
    F: Future<Output = Result<Option<T>, E>>,
{
    let mut round = 0;
    loop {
        let begun = Instant::now();
        if let Some(outcome) = attempt().await? {
            return Ok(outcome);
        }
        if !table.patience.again(round, begun).await {
            return Err(StoreError::Busy("others keep changing the same records".into()).into());
        }
        round += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_attempt_begins_after_the_patience_however_long_attempts_take() {
        for (pace, takes) in [SERVING, UNHURRIED]
            .into_iter()
            .flat_map(|pace| [0, 1, 300, 1_000, 10_000, 30_000].map(|takes| (pace, Duration::from_millis(takes))))
        {
            let (patience, start) = (Patience::new(pace), Instant::now());
            let mut attempts = 0;
            loop {
                let begun = Instant::now();
                assert!(begun <= start + pace.patience, "{takes:?}");
                tokio::time::sleep(takes).await;
                attempts += 1;
                if !patience.again(attempts - 1, begun).await {
                    break;
                }
            }
            assert!((1..=pace.attempts).contains(&attempts), "{takes:?}: {attempts}");
            assert!(start.elapsed() <= pace.patience + takes + pace.longest, "{takes:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn quick_failures_are_tried_again_ten_times_in_all() {
        let (patience, begun) = (Patience::new(SERVING), Instant::now());
        for attempt in 0..9 {
            assert!(patience.again(attempt, begun).await, "{attempt}");
        }
        assert!(!patience.again(9, begun).await);
    }
}
