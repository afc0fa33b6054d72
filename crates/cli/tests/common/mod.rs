//! What the tests that drive the real binary share.

#![allow(dead_code, reason = "each test file uses a part of it")]

pub mod audit;
#[cfg(feature = "dynamodb")]
pub mod dynamodb;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// `patchbay serve` on a free port, without this environment's own settings.
pub fn patchbay(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_patchbay"));
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(data)
        .stderr(Stdio::piped());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PATCHBAY_")) {
        command.env_remove(name);
    }
    command
}

/// Starts it, and gives the first two lines that it prints.
pub fn started(mut command: Command) -> (Child, String) {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    for _ in 0..2 {
        output.read_line(&mut first).unwrap();
    }
    (child, first)
}

/// A running server.
pub struct Server {
    pub child: Child,
    pub address: String,
}

impl Server {
    pub fn start(data: &Path) -> Self {
        Self::spawn(patchbay(data))
    }

    /// Starts `command` and waits for its address.
    pub fn spawn(command: Command) -> Self {
        let (child, first) = started(command);
        let address = first.lines().next().unwrap();
        let address = address.strip_prefix("Patchbay answers on http://").unwrap().to_owned();
        Self { child, address }
    }

    pub fn raw(&self, request: &[u8]) -> String {
        Self::ask(&self.address, request)
    }

    /// The whole answer of whoever listens there.
    pub fn ask(address: &str, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// The status and the body.
    pub fn call(&self, operation: &str, body: &str) -> (u16, String) {
        let request = format!(
            "POST /v1/api/{operation} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = self.raw(request.as_bytes());
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), body.to_owned())
    }

    /// Ends it with SIGTERM; gives its exit code and its log, where that does not go elsewhere.
    pub fn stop(self) -> (Option<i32>, String) {
        self.end();
        self.ended()
    }

    /// Tells it to end, with SIGTERM.
    pub fn end(&self) {
        let kill = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(kill.success());
    }

    /// Waits for its end; gives its exit code and its log, where that does not go elsewhere.
    pub fn ended(mut self) -> (Option<i32>, String) {
        let mut log = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            stderr.read_to_string(&mut log).unwrap();
        }
        (self.child.wait().unwrap().code(), log)
    }
}

impl Drop for Server {
    /// A test that failed leaves no server behind.
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// What a command that must fail says.
pub fn refused(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

/// Another command on the data folder, without this environment's own settings.
pub fn upkeep(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_patchbay"));
    command.args(arguments).arg("--data").arg(data);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PATCHBAY_")) {
        command.env_remove(name);
    }
    command
}

/// What a command that must succeed prints.
pub fn done(mut command: Command) -> String {
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    String::from_utf8(output.stdout).unwrap()
}

/// The token that a `tokens create` makes, and its entry.
pub fn new_token(create: Command) -> (String, String) {
    let printed = done(create);
    let lines: Vec<_> = printed.lines().collect();
    let [_, token, _, _, entry] = lines[..] else {
        panic!("{printed}");
    };
    (token.to_owned(), entry.to_owned())
}
