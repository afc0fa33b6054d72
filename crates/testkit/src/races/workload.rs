//! Clients that get in each other's way: all operations on a few names at once, each taken down with what it was told.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use patchbay_core::model::Workspaces;

use super::client::Client;
use super::history::Operation;
use super::registry::{Answer, Call};
use super::run::Run;
use crate::target::Target;

/// What is to be done to a home.
#[derive(Debug, Clone)]
pub struct Workload {
    /// Operations, over all clients.
    pub operations: usize,
    /// Clients, each with one operation under way at a time.
    pub clients: usize,
    /// Names of connections.
    pub names: usize,
    /// Workspaces.
    pub workspaces: usize,
    /// What the clients' choices come from. How they meet is up to the machine all the same.
    pub seed: u64,
    /// Of a hundred operations, so many are given up before their answer is there, which makes them unknown outcomes.
    pub abandoned: u8,
    /// The home's mode of workspaces.
    pub mode: Workspaces,
    /// The home's bound for staleness: a `get` that finds something may show what was right so long before it was asked.
    pub stale: Duration,
}

impl Default for Workload {
    fn default() -> Self {
        Self {
            operations: 10_000,
            clients: 8,
            names: 3,
            workspaces: 2,
            seed: 1,
            abandoned: 2,
            mode: Workspaces::Open,
            stale: Duration::ZERO,
        }
    }
}

impl Workload {
    /// Runs it against a home and gives the history. Each client makes its own way to the home with `target`, on a
    /// thread of its own; the runtime must be one with several threads. Takes away what it made at the end, which is
    /// part of the history.
    ///
    /// # Errors
    /// Where the home gives an answer that the contract does not know, or that contradicts an earlier one all by
    /// itself: an id that two connections share, or a connection whose id, details or time differ between two reads.
    pub async fn run<T: Target>(
        self,
        target: impl Fn() -> anyhow::Result<T> + Send + Sync + 'static,
    ) -> anyhow::Result<Vec<Operation<Call, Answer>>> {
        let (clients, seed) = (self.clients, self.seed);
        let target = Arc::new(target);
        let first = Arc::clone(&target);
        let run = on_its_own_thread(async move || Run::begin(self, &first()?).await);
        let run = Arc::new(run.await?);
        let clients = (0..clients).map(|number| {
            let (run, target) = (Arc::clone(&run), Arc::clone(&target));
            let rng = Rng::with_seed(seed.wrapping_mul(1_000_003).wrapping_add(number as u64));
            on_its_own_thread(async move || Client::new(number, &run, &target()?, rng).work().await)
        });
        for outcome in futures_util::future::join_all(clients).await {
            outcome?;
        }
        let last = Arc::clone(&run);
        on_its_own_thread(async move || {
            let rng = Rng::with_seed(seed);
            Client::new(last.workload.clients, &last, &target()?, rng).tidy().await
        })
        .await?;
        Ok(run.history())
    }
}

/// Runs what need not be able to move between threads.
async fn on_its_own_thread<R: Send + 'static>(
    work: impl AsyncFnOnce() -> anyhow::Result<R> + Send + 'static,
) -> anyhow::Result<R> {
    let runtime = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || runtime.block_on(work())).await?
}
