//! The real binary under some two thousand clients of the worst kind: it stays within its memory, goes on serving who
//! behaves, refuses with a status that says so, and is as well as before once they are gone.

#![cfg(feature = "native")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod crowd;
mod wire;

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use patchbay_server::Limits;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::task::JoinSet;

use crowd::Crowd;
use wire::{Wire, post};

/// Who behaves: each does so many gets and creates, one at a time, over one connection.
const WELL_BEHAVED: usize = 8;
const GETS: usize = 40;
const CREATES: usize = 10;
/// What the process holds besides what clients make it hold: its code, the database's caches, the runtime.
const BASE: usize = 64 * 1024 * 1024;

struct Server {
    child: Child,
    address: String,
    metrics: String,
}

impl Server {
    async fn start(folder: &TempDir) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_patchbay"));
        command
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--metrics-listen",
                "127.0.0.1:0",
                "--data",
            ])
            .arg(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PATCHBAY_")) {
            command.env_remove(name);
        }
        let mut child = command.spawn().unwrap();
        let stdout = tokio::process::ChildStdout::from_std(child.stdout.take().unwrap()).unwrap();
        let mut lines = BufReader::new(stdout).lines();
        let mut after = async |start: &str| {
            let line = lines.next_line().await.unwrap().unwrap();
            line.strip_prefix(start).unwrap().to_owned()
        };
        Self {
            address: after("Patchbay answers on http://").await,
            metrics: after("Metrics: http://").await.trim_end_matches("/metrics").to_owned(),
            child,
        }
    }

    async fn connections(&self) -> usize {
        let mut page = Wire::connect(&self.metrics).await;
        page.send(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n")
            .await
            .unwrap();
        let page = page.reply().await.unwrap().body;
        let (_, rest) = std::str::from_utf8(&page)
            .unwrap()
            .split_once("\npatchbay_connections ")
            .unwrap();
        rest.lines().next().unwrap().parse().unwrap()
    }

    /// The most memory that it ever held, in bytes.
    fn peak(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let (_, rest) = status.split_once("VmHWM:").unwrap();
        rest.split_whitespace().next().unwrap().parse::<usize>().unwrap() * 1024
    }
}

/// Connections of 256 KiB, as many as one list may give, attached to [`crowd::WORKSPACE`].
async fn fill(address: &str) {
    let mut wire = Wire::connect(address).await;
    for number in 0..63 {
        let body = format!(
            "{{\"name\":\"large-{number}\",\"type\":\"K\",\"details\":\"{}\"}}",
            "x".repeat(262_142)
        );
        let created = wire.ask(&post("create", body.as_bytes())).await.unwrap();
        assert_eq!(created.status, 200);
        let id = std::str::from_utf8(&created.body[7..43]).unwrap();
        let attach = format!("{{\"workspace_id\":{},\"connection_id\":\"{id}\"}}", crowd::WORKSPACE);
        assert_eq!(
            wire.ask(&post("add_to_workspace", attach.as_bytes()))
                .await
                .unwrap()
                .status,
            200
        );
    }
}

/// Does its gets and creates; where it is refused, it tries again. Gives the connection back.
async fn behave(address: String, number: usize) -> Wire {
    let mut wire = Wire::connect(&address).await;
    let get = post("get", b"{\"name\":\"small\"}");
    let creates = (0..CREATES).map(|step| {
        post(
            "create",
            format!("{{\"name\":\"well-{number}-{step}\",\"type\":\"K\",\"details\":{{\"a\":1}}}}").as_bytes(),
        )
    });
    for request in (0..GETS).map(|_| get.clone()).chain(creates) {
        loop {
            let reply = wire.ask(&request).await.unwrap();
            if reply.status == 200 {
                break;
            }
            assert!(reply.is_refusal(), "{reply:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    wire
}

/// As many of the largest lists as the budget holds, side by side, whose clients read nothing but the heads until all
/// are there; and as many of the longest bodies, of which all arrive before any ends.
async fn budgets_are_free(address: &str) {
    let limits = Limits::default();
    let mut lists = Vec::new();
    for _ in 0..limits.answer_bytes / crowd::LIST_BYTES {
        let mut wire = Wire::connect(address).await;
        wire.send(&crowd::list()).await.unwrap();
        assert_eq!(wire.head().await.unwrap().status, 200);
        lists.push(wire);
    }
    drop(lists);
    let mut bodies = Vec::new();
    let request = crowd::flood(0, true);
    for _ in 0..limits.body_bytes / (512 * 1024) {
        let mut wire = Wire::connect(address).await;
        wire.send(&request[..request.len() - 1]).await.unwrap();
        bodies.push(wire);
    }
    for wire in &mut bodies {
        wire.send(b" ").await.unwrap();
        assert_eq!(wire.reply().await.unwrap().status, 409);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_clients_of_the_worst_kind_cost_nobody_else_an_answer() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, all).unwrap();
    let folder = TempDir::new().unwrap();
    let mut server = Server::start(&folder).await;
    fill(&server.address).await;
    let mut wire = Wire::connect(&server.address).await;
    let small = post("create", b"{\"name\":\"small\",\"type\":\"K\"}");
    assert_eq!(wire.ask(&small).await.unwrap().status, 200);
    drop(wire);

    let mut crowd = Crowd::gather(&server.address);
    while server.connections().await < crowd::CONNECTIONS * 9 / 10 {
        crowd.stands();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut behaving = JoinSet::new();
    for number in 0..WELL_BEHAVED {
        behaving.spawn(behave(server.address.clone(), number));
    }
    let held = behaving.join_all().await;
    let refused = crowd.disperse().await;
    assert!(refused > 0, "it was no crowd");

    let limits = Limits {
        connections: crowd::CONNECTIONS + WELL_BEHAVED,
        requests: crowd::REQUESTS + WELL_BEHAVED,
        ..Limits::default()
    };
    let (peak, bound) = (server.peak(), BASE + limits.memory_bytes());
    assert!(peak <= bound, "{peak} bytes of memory, more than {bound}");

    while server.connections().await != WELL_BEHAVED {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for mut wire in held {
        let get = wire.ask(&post("get", b"{\"name\":\"small\"}")).await.unwrap();
        assert_eq!(get.status, 200);
    }
    budgets_are_free(&server.address).await;
    let kill = Command::new("kill")
        .arg(server.child.id().to_string())
        .status()
        .unwrap();
    assert!(kill.success());
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
}
