//! The real binary, as a process.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::{Request, StatusCode};
use patchbay_testkit::{Address, Target as _};

use crate::recorder::Recorder;

/// The binary that Cargo built beside this program or test.
///
/// # Errors
/// Where it is not there, with what to do.
pub fn binary() -> anyhow::Result<PathBuf> {
    let here = std::env::current_exe()?;
    let folders = here.ancestors().skip(1).take(2);
    let mut found = folders
        .map(|folder| folder.join("patchbay"))
        .filter(|path| path.is_file());
    found.next().with_context(|| {
        format!(
            "there is no `patchbay` beside {}: build it first, with `cargo build -p patchbay` in the same profile",
            here.display()
        )
    })
}

/// A server that runs. Dropped, it is killed.
#[derive(Debug)]
pub struct Server {
    child: Child,
    url: String,
}

impl Server {
    /// Starts it on a data folder, with or without the recorder, and waits until it answers.
    ///
    /// # Errors
    /// What it says on its way out, where it does not start.
    pub fn start(data: &Path, recorder: Option<&Recorder>) -> anyhow::Result<Self> {
        Self::start_with(data, &[], recorder)
    }

    /// As [`Self::start`], with more arguments.
    ///
    /// # Errors
    /// What it says on its way out, where it does not start.
    pub fn start_with(data: &Path, arguments: &[&str], recorder: Option<&Recorder>) -> anyhow::Result<Self> {
        let mut command = Command::new(binary()?);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--log", "off", "--data"])
            .arg(data)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PATCHBAY_") {
                command.env_remove(name);
            }
        }
        if let Some(recorder) = recorder {
            recorder.attach(&mut command);
        }
        let mut server = Self {
            child: command.spawn()?,
            url: String::new(),
        };
        let mut first = String::new();
        let output = server.child.stdout.take().context("no output")?;
        BufReader::new(output).read_line(&mut first)?;
        match first.trim().strip_prefix("Patchbay answers on ") {
            Some(url) => url.clone_into(&mut server.url),
            None => {
                let status = server.child.wait()?;
                let mut said = server.words()?;
                said.insert_str(0, &format!("the server did not start ({status}): "));
                anyhow::bail!(said);
            }
        }
        Ok(server)
    }

    /// Where it answers.
    pub fn url(&self) -> &str {
        &self.url
    }

    fn words(&mut self) -> anyhow::Result<String> {
        let mut said = String::new();
        self.child
            .stderr
            .take()
            .context("no errors")?
            .read_to_string(&mut said)?;
        Ok(said)
    }

    /// Ends it with SIGTERM, and waits for its end.
    ///
    /// # Errors
    /// Where it does not end well.
    pub fn stop(mut self) -> anyhow::Result<()> {
        let asked = Command::new("kill").arg(self.child.id().to_string()).status()?;
        ensure!(asked.success(), "the server was gone already: {}", self.words()?);
        let ended = self.child.wait()?;
        ensure!(ended.success(), "the server ended with {ended}: {}", self.words()?);
        Ok(())
    }

    /// Ends it with SIGKILL, and waits for its end.
    ///
    /// # Errors
    /// Where it was gone already.
    pub fn kill(mut self) -> anyhow::Result<()> {
        ensure!(
            self.child.try_wait()?.is_none(),
            "the server was gone already: {}",
            self.words()?
        );
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Where it has ended already there is nothing to end.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Speaks to a server from one thread.
pub struct Client {
    runtime: tokio::runtime::Runtime,
    address: Address,
}

impl Client {
    /// A client of the server at `url`.
    ///
    /// # Errors
    /// Where there can be none.
    pub fn new(url: &str) -> anyhow::Result<Self> {
        Ok(Self {
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
            address: Address::new(url)?,
        })
    }

    /// The status and body of an answer, once it was read whole.
    ///
    /// # Errors
    /// Where no whole answer comes.
    pub fn call(&self, operation: &str, body: String) -> anyhow::Result<(StatusCode, Bytes)> {
        self.send(Request::post(path(operation)), body)
    }

    /// As [`Self::call`], under this request id.
    ///
    /// # Errors
    /// Where no whole answer comes.
    pub fn call_named(&self, id: &str, operation: &str, body: String) -> anyhow::Result<(StatusCode, Bytes)> {
        self.send(Request::post(path(operation)).header("x-request-id", id), body)
    }

    fn send(&self, request: http::request::Builder, body: String) -> anyhow::Result<(StatusCode, Bytes)> {
        let request = request.body(Bytes::from(body))?;
        let answer = self.runtime.block_on(self.address.send(None, request));
        let (head, body) = answer.map_err(anyhow::Error::msg)?.into_parts();
        Ok((head.status, body))
    }
}

fn path(operation: &str) -> String {
    format!("/v1/api/connections/{operation}")
}
