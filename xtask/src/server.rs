//! A server as a child process.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::run;

/// Longer than a server needs to start, or gives running requests once it is asked to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server that listens on a free port of loopback. Dropped, it is told to end, and killed where it does not.
pub struct Server {
    child: Child,
    /// `http://host:port`
    pub url: String,
}

impl Server {
    /// Starts `command` and waits for its first line, which ends with its address.
    ///
    /// # Errors
    /// Where it does not start, or says something else.
    pub fn start(command: &mut Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{command:?} did not start"))?;
        let stdout = child.stdout.take().context("the output is not piped")?;
        let mut server = Self {
            child,
            url: String::new(),
        };
        let mut greeting = String::new();
        BufReader::new(stdout).read_line(&mut greeting)?;
        let (_, url) = greeting
            .trim_end()
            .rsplit_once(" answers on ")
            .with_context(|| format!("the server's first line names no address: {greeting:?}"))?;
        server.url = url.to_owned();
        Ok(server)
    }

    /// Starts `command`, which says nothing and is to answer at `url`, and waits until `path` there is answered with 200.
    ///
    /// # Errors
    /// Where it does not start, or ends or says nothing for too long instead.
    pub fn start_at(command: &mut Command, url: String, path: &str) -> anyhow::Result<Self> {
        let child = command.spawn().with_context(|| format!("{command:?} did not start"))?;
        let mut server = Self { child, url };
        let started = Instant::now();
        while !matches!(ureq::get(format!("{}{path}", server.url)).call(), Ok(answer) if answer.status() == 200) {
            let ended = server.child.try_wait()?;
            ensure!(ended.is_none(), "the server ended instead of answering: {ended:?}");
            ensure!(started.elapsed() < PATIENCE, "the server does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end, as a service manager does.
    ///
    /// # Errors
    /// Where it does not end in time and with exit code 0.
    pub fn stop(mut self) -> anyhow::Result<()> {
        self.end()
    }

    fn end(&mut self) -> anyhow::Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let asked = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            ensure!(asked.elapsed() < PATIENCE, "the server did not end when asked to");
            std::thread::sleep(Duration::from_millis(10));
        };
        ensure!(status.success(), "the server ended with {status} when asked to end");
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already, which is what is wanted. Killed at once, it could not end children of its own.
        if !matches!(self.child.try_wait(), Ok(Some(_))) && self.end().is_err() {
            _ = self.child.kill();
            _ = self.child.wait();
        }
    }
}

/// `patchbay serve` on a free port of loopback.
pub fn patchbay(binary: &Path, data: &Path) -> Command {
    let mut command = run::command(binary);
    command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data);
    command
}
