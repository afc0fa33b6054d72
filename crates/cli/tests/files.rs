//! The system's limit of open files, and connections.

#![cfg(feature = "native")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// The server under what `ulimit` is given.
fn patchbay(ulimit: &str, data: &Path) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("ulimit {ulimit} && exec \"$0\" \"$@\"")])
        .arg(env!("CARGO_BIN_EXE_patchbay"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(data)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PATCHBAY_")) {
        command.env_remove(name);
    }
    command
}

fn started(mut command: Command) -> (Child, String) {
    let mut child = command.spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut first)
        .unwrap();
    let address = first.strip_prefix("Patchbay answers on http://").unwrap();
    (child, address.trim_end().to_owned())
}

/// Ends it with SIGTERM; gives its log.
fn stopped(mut child: Child) -> String {
    let kill = Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(kill.success());
    let mut log = String::new();
    child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    log
}

fn ask(stream: &mut TcpStream) {
    stream
        .write_all(
            b"POST /v1/api/connections/get HTTP/1.1\r\nhost: localhost\r\ncontent-length: 12\r\n\r\n{\"name\":\"n\"}",
        )
        .unwrap();
}

fn read_404(stream: &mut TcpStream) {
    let mut start = [0; 12];
    stream.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 404");
    // The rest of so short an answer comes with its start.
    assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
}

fn answered(stream: &mut TcpStream) {
    ask(stream);
    read_404(stream);
}

#[test]
fn a_low_limit_is_raised_as_far_as_the_system_allows() {
    let folder = TempDir::new().unwrap();
    let (child, address) = started(patchbay("-S -n 256", folder.path()));
    let mut open = Vec::new();
    for _ in 0..400 {
        let mut stream = TcpStream::connect(&address).unwrap();
        answered(&mut stream);
        open.push(stream);
    }
    assert!(!stopped(child).contains("a connection could not be taken"));
}

#[test]
fn where_the_system_allows_few_files_connections_past_them_wait_and_the_database_has_its_own() {
    let folder = TempDir::new().unwrap();
    let (child, address) = started(patchbay("-n 300", folder.path()));
    let mut open = Vec::new();
    for _ in 0..44 {
        let mut stream = TcpStream::connect(&address).unwrap();
        answered(&mut stream);
        open.push(stream);
    }
    let mut waiting = Vec::new();
    for _ in 0..40 {
        let mut stream = TcpStream::connect(&address).unwrap();
        ask(&mut stream);
        waiting.push(stream);
    }
    answered(open.last_mut().unwrap());
    drop(open);
    waiting.iter_mut().for_each(read_404);
    let log = stopped(child);
    assert!(log.contains("\"connections\":44"), "{log}");
    assert!(!log.contains("a connection could not be taken"), "{log}");
}

#[test]
fn too_few_files_for_anything_stop_the_start() {
    let folder = TempDir::new().unwrap();
    let output = patchbay("-n 100", folder.path()).output().unwrap();
    assert!(!output.status.success());
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        error.contains("100 open files are too few") && error.contains("ulimit -n"),
        "{error}"
    );
}
