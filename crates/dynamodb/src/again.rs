//! Trying again: bounded, with pauses that grow and are drawn at random, so that those who met do not meet again.

use std::time::Duration;

use patchbay_core::store::StoreError;

/// How often something is tried.
pub(crate) const ATTEMPTS: u32 = 10;
/// The longest first pause.
const FIRST: Duration = Duration::from_millis(10);
/// The longest of all.
const LONGEST: Duration = Duration::from_millis(320);

/// Runs `attempt`, which gives nothing where what it had read changed before it wrote, until it gives something.
///
/// # Errors
/// Those of `attempt`; [`StoreError::Busy`] where others are always faster.
pub(crate) async fn until_decided<T, F>(mut attempt: impl FnMut() -> F) -> Result<T, StoreError>
where
    // Named, and the closures are not asynchronous themselves: else the compiler cannot tell that this is `Send`.
    F: Future<Output = Result<Option<T>, StoreError>>,
{
    for round in 0..ATTEMPTS {
        if let Some(outcome) = attempt().await? {
            return Ok(outcome);
        }
        pause(round).await;
    }
    Err(StoreError::Busy("others keep changing the same records".into()))
}

/// Waits before the attempt after this one, counted from 0.
pub(crate) async fn pause(round: u32) {
    let longest = FIRST.saturating_mul(1 << round.min(16)).min(LONGEST);
    tokio::time::sleep(longest.mul_f64(fastrand::f64())).await;
}
