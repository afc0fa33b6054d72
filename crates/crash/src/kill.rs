//! Kills: the real binary under load, ended by SIGKILL and started again on the same folder, many times over.

use std::time::Duration;

use anyhow::Context as _;
use fastrand::Rng;
use tempfile::TempDir;

use crate::check::read_folder;
use crate::load::{Answered, Load, list};
use crate::server::{Client, Server};

const CLIENTS: u64 = 4;
/// Milliseconds under load before the kill.
const LIFE: std::ops::Range<u64> = 5..150;

/// Kills the server `rounds` times, and after each of them finds every acknowledged change, and of the others each whole
/// or not at all. Gives the number of changes that were acknowledged.
///
/// # Errors
/// What was lost or half done.
pub fn kill(rounds: usize, seed: u64) -> anyhow::Result<usize> {
    let folder = TempDir::new()?;
    let mut rng = Rng::with_seed(seed);
    let mut loads: Vec<Load> = (0..CLIENTS)
        .map(|number| Load::new(&format!("c{number}"), rng.u64(..)))
        .collect();
    let mut acknowledged = 0;
    for round in 0..rounds {
        let server = Server::start(folder.path(), None).with_context(|| format!("round {round}"))?;
        let found = list(&Client::new(server.url())?)?.context("no list after a start")?;
        for load in &mut loads {
            load.settle(&found).with_context(|| format!("after {round} kills"))?;
        }
        acknowledged += one(server, &mut loads, Duration::from_millis(rng.u64(LIFE)))?;
    }
    let found = read_folder(folder.path())?;
    loads.iter_mut().try_for_each(|load| load.settle(&found))?;
    Ok(acknowledged)
}

/// Loads a server until it is killed. Gives the number of changes that were acknowledged.
fn one(server: Server, loads: &mut [Load], life: Duration) -> anyhow::Result<usize> {
    let url = server.url().to_owned();
    let until_unanswered = |load: &mut Load| {
        let client = Client::new(&url)?;
        let mut acknowledged = 0;
        loop {
            match load.change(&client, None)? {
                Answered::Done => acknowledged += 1,
                Answered::Nothing => return Ok(acknowledged),
                Answered::Unavailable => anyhow::bail!("503 from a server whose disk is well"),
            }
        }
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = loads
            .iter_mut()
            .map(|load| scope.spawn(|| until_unanswered(load)))
            .collect();
        std::thread::sleep(life);
        let killed = server.kill();
        let mut acknowledged = 0;
        for client in running {
            let joined: anyhow::Result<usize> = client.join().map_err(|_| anyhow::anyhow!("a client panicked"))?;
            acknowledged += joined?;
        }
        killed?;
        Ok(acknowledged)
    })
}
