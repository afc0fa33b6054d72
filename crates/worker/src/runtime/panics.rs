//! A request that panics costs itself alone.

use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;

/// What a request comes to, unless it panics: nothing of it outlives that, but what is right at any time.
///
/// # Errors
/// That it panicked. What it panicked with may quote what it choked on, so nobody is told.
pub async fn caught<T>(request: impl Future<Output = T>) -> Result<T, &'static str> {
    let caught = AssertUnwindSafe(request).catch_unwind().await;
    caught.map_err(|_| "something panicked")
}

/// Has the log say where something panicked, and no more, for the same reason.
#[cfg(panic = "unwind")]
pub fn log_the_place() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        super::log::panicked(place.as_deref());
    }));
}
