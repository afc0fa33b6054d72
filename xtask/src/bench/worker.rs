//! The Worker in its real runtime, beside the smallest Worker that reads from KV.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use serde_json::json;
use ureq::Agent;

use super::Pace;
use super::fill;
use super::load::{Load, Target};
use super::paced::{self, Paced};
use super::report::{Targets, time};
use super::sample::{Sample, median, quantile};
use crate::run::command;
use crate::server::Server;
use crate::tools::{self, Cache};
use crate::worker::{Bundle, FILES, MOST_BYTES, Variant, workerd};

/// Connections that the load of reads chooses from. KV must have them all first.
const STORED: usize = 100;
/// Clients that read. They keep the runtime's one thread busy; it takes from sixteen connections at a time, and of more
/// some wait for seconds, whatever the Worker, until it closes them.
const READERS: u32 = 16;
const CLIENTS: u32 = 64;
/// Creates a second that the object is to sustain, and for how long.
const CREATES: u32 = 500;
const MINUTE: Duration = Duration::from_secs(60);
/// Clients that do not wait for their turn: more than an object lets in at once.
const CROWD: usize = 256;
/// Starts of the runtime, of each kind, for every round.
const STARTS: usize = 10;
/// A Worker with nothing in it, which a start is held against.
const EMPTY: &str = "export default { fetch() { return new Response(); } };\n";

/// What was measured.
pub struct Figures {
    bytes: u64,
    empty: Start,
    whole: Start,
    get: Vec<Sample>,
    yardstick: Vec<Sample>,
    creates: Paced,
    crowd: Paced,
}

/// Seconds from the start of the runtime's process.
#[derive(Clone, Copy)]
struct Start {
    /// Until it listens, which it does once the module is compiled and its top level has run.
    listens: f64,
    /// Until it has answered once.
    answered: f64,
}

/// Builds both Workers and measures them.
pub fn measure(pace: Pace, cache: &Cache, folder: &Path) -> anyhow::Result<Figures> {
    let wrk = tools::wrk(cache)?;
    let (bundle, yardstick) = (
        Bundle::build(cache, Variant::Deployed)?,
        Bundle::build(cache, Variant::Yardstick)?,
    );
    let (empty, whole) = starts(pace, &bundle, folder)?;
    let (get, yardstick) = reads(pace, &bundle, &yardstick, &wrk, folder)?;
    let (creates, crowd) = writes(if pace.quick { pace.time } else { MINUTE }, &bundle, folder)?;
    Ok(Figures {
        bytes: bundle.gzipped()?,
        empty,
        whole,
        get,
        yardstick,
        creates,
        crowd,
    })
}

/// Starts the runtime again and again, by turns with an empty Worker and with Patchbay's.
fn starts(pace: Pace, bundle: &Bundle, folder: &Path) -> anyhow::Result<(Start, Start)> {
    let folder = folder.join("starts");
    fs::create_dir(&folder)?;
    for (file, name) in bundle.files().iter().zip(FILES) {
        fs::copy(file, folder.join(name))?;
    }
    fs::write(folder.join("empty.js"), EMPTY)?;
    let configuration = |name: &str, modules: &str| -> anyhow::Result<PathBuf> {
        let path = folder.join(name);
        fs::write(&path, CONFIGURATION.replace("MODULES", modules))?;
        Ok(path)
    };
    let [script, wasm] = FILES;
    let empty = configuration("empty.capnp", r#"(name = "empty.js", esModule = embed "empty.js")"#)?;
    let whole = configuration(
        "whole.capnp",
        &format!(r#"(name = "{script}", esModule = embed "{script}"), (name = "./{wasm}", wasm = embed "{wasm}")"#),
    )?;
    let runtime = workerd()?;
    let (mut of_empty, mut of_whole) = (Vec::new(), Vec::new());
    for _ in pace.rounds("starts") {
        for _ in 0..STARTS {
            of_empty.push(start(&runtime, &empty)?);
            of_whole.push(start(&runtime, &whole)?);
        }
    }
    Ok((median_start(&of_empty), median_start(&of_whole)))
}

fn median_start(starts: &[Start]) -> Start {
    let of = |time: fn(&Start) -> f64| quantile(&mut starts.iter().map(time).collect::<Vec<_>>(), 0.5);
    Start {
        listens: of(|start| start.listens),
        answered: of(|start| start.answered),
    }
}

/// How the runtime is told of one Worker. It has no bindings, and answers 503 for that: all of its code is loaded first.
const CONFIGURATION: &str = r#"using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = (modules = [MODULES], compatibilityDate = "2026-04-01"))],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);
"#;

/// What the runtime says once a socket is open.
#[derive(Deserialize)]
struct Listening {
    port: u16,
}

/// One start, until the first answer.
fn start(runtime: &Path, configuration: &Path) -> anyhow::Result<Start> {
    let agent: Agent = Agent::config_builder().http_status_as_error(false).build().into();
    let started = Instant::now();
    let mut child = command(runtime)
        .args(["serve", "--control-fd=1"])
        .arg(configuration)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let times = (|| -> anyhow::Result<Start> {
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("the output is not piped")?).read_line(&mut line)?;
        let listens = started.elapsed().as_secs_f64();
        let Listening { port } = serde_json::from_str(&line).with_context(|| format!("workerd said {line:?}"))?;
        agent.get(format!("http://127.0.0.1:{port}/healthz")).call()?;
        let answered = started.elapsed().as_secs_f64();
        Ok(Start { listens, answered })
    })();
    child.kill()?;
    child.wait()?;
    times
}

/// Loads `get` where KV has all that is asked for, by turns with the yardstick, which gives as many bytes.
fn reads(
    pace: Pace,
    bundle: &Bundle,
    yardstick: &Bundle,
    wrk: &Path,
    folder: &Path,
) -> anyhow::Result<(Vec<Sample>, Vec<Sample>)> {
    let log = folder.join("log");
    // Nothing is read anew in the middle of the load.
    let mut serve = bundle.serve_with(&folder.join("reads"), &[("PATCHBAY_EDGE_MAX_AGE", "86400")]);
    let server = Server::start(serve.stderr(File::create(&log)?))?;
    println!("storing {STORED} connections");
    let stored = fill::fill(&server.url, None, "connection", 7, STORED, 0)?;
    let names: Vec<_> = stored.iter().map(|(name, _)| json!({"name": name})).collect();
    let answer = warm(&server, &names, &log)?;

    let bare = Server::start(
        yardstick
            .serve(&folder.join("yardstick"))
            .stderr(File::create(folder.join("yardstick-log"))?),
    )?;
    let agent = Agent::new_with_defaults();
    agent
        .put(format!("{}/v1/api/connections/get", bare.url))
        .send(answer.as_str())?;

    let bodies: Vec<_> = names.iter().map(ToString::to_string).collect();
    let load = Load::choose(wrk, folder, "names-in-kv", &bodies, READERS)?;
    let bare_load = Load::bare(wrk, folder, READERS)?;
    let (runtime, bare_runtime) = (runtime_of(&server)?, runtime_of(&bare)?);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let before = asked_of_the_object(&log)?;
    for _ in pace.rounds("reads from KV") {
        theirs.push(bare_load.run(bare_runtime, "get", pace.time)?);
        ours.push(load.run(runtime, "get", pace.time)?);
    }
    bare.stop()?;
    server.stop()?;
    let asked = asked_of_the_object(&log)? - before;
    ensure!(asked == 0, "{asked} reads were not served from KV");
    Ok((ours, theirs))
}

/// Asks for each name until KV has all of them. Gives one answer.
fn warm(server: &Server, names: &[serde_json::Value], log: &Path) -> anyhow::Result<String> {
    let agent = Agent::new_with_defaults();
    for _ in 0..120 {
        let before = asked_of_the_object(log)?;
        let mut answer = String::new();
        for name in names {
            answer = fill::call(&agent, &server.url, None, "get", name)?;
        }
        // The last lines may be on their way.
        sleep(Duration::from_millis(500));
        if asked_of_the_object(log)? == before {
            return Ok(answer);
        }
    }
    anyhow::bail!("KV does not come to have {} connections", names.len())
}

/// How many reads the log knows that were not served from KV.
fn asked_of_the_object(log: &Path) -> anyhow::Result<usize> {
    let log = fs::read_to_string(log)?;
    let reads = log
        .lines()
        .filter(|line| line.contains(r#""operation":"connections/get""#));
    Ok(reads.filter(|line| !line.contains(r#""object_requests":0"#)).count())
}

/// The runtime, which is the one child of the process that was started.
fn runtime_of(server: &Server) -> anyhow::Result<Target<'_>> {
    let id = server.id();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
    Ok(Target {
        url: &server.url,
        process: Some(children.trim().parse().context("there is not one runtime")?),
    })
}

/// Creates at a steady rate, then as many as come.
fn writes(time: Duration, bundle: &Bundle, folder: &Path) -> anyhow::Result<(Paced, Paced)> {
    let log = File::create(folder.join("writes-log"))?;
    let server = Server::start(bundle.serve_with(&folder.join("writes"), &[]).stderr(log))?;
    println!("{CREATES} creates a second for {} s", time.as_secs());
    let interval = Duration::from_secs(1) * CLIENTS / CREATES;
    let creates = paced::create(&server.url, "steady", CLIENTS as usize, interval, time)?;
    println!("creates of {CROWD} clients as fast as they come");
    let crowd = paced::create(&server.url, "crowd", CROWD, Duration::ZERO, time / 6)?;
    // It has not fallen over.
    fill::fill(&server.url, None, "after", 7, 1, 1)?;
    server.stop()?;
    Ok((creates, crowd))
}

impl Figures {
    /// The tables, and the targets beside what was reached.
    pub fn report(&self) -> String {
        let rate = |rounds: &[Sample]| median(rounds, Sample::per_second);
        let cpu = |rounds: &[Sample]| median(rounds, |sample| sample.server_cpu / sample.count as f64);
        let mut text =
            String::from("| start of workerd | until it listens | until it has answered |\n|---|---:|---:|\n");
        for (name, start) in [("with an empty Worker", self.empty), ("with Patchbay's", self.whole)] {
            text.push_str(&format!(
                "| {name} | {} | {} |\n",
                time(start.listens),
                time(start.answered)
            ));
        }
        text.push_str(&format!(
            "\n| read from KV, {READERS} clients | a second | p50 | p99 | CPU of workerd a request |\n|---|---:|---:|---:|---:|\n",
        ));
        for (name, rounds) in [("smallest Worker", &self.yardstick), ("`get`", &self.get)] {
            text.push_str(&format!(
                "| {name} | {:.0} | {} | {} | {} |\n",
                rate(rounds),
                time(median(rounds, |sample| sample.p50)),
                time(median(rounds, |sample| sample.p99)),
                time(cpu(rounds)),
            ));
        }
        text.push_str("\n| `create` | answered 200, a second | p50 | p99 | answered 429 with `Retry-After` |\n|---|---:|---:|---:|---:|\n");
        for (name, paced) in [
            (format!("{CREATES} a second from {CLIENTS} clients"), &self.creates),
            (format!("{CROWD} clients, as fast as they come"), &self.crowd),
        ] {
            text.push_str(&format!("| {name} | {} |\n", paced.row()));
        }
        let mut targets = Targets::default();
        let kib = self.bytes as f64 / 1024.0;
        targets.add(
            &format!("WebAssembly and glue: at most {} KiB gzipped", MOST_BYTES / 1024),
            format!("{kib:.0} KiB"),
            self.bytes <= MOST_BYTES,
        );
        let more = self.whole.listens - self.empty.listens;
        targets.add(
            "start of the module, compiled and its top level run: at most 20 ms",
            time(more),
            more <= 0.02,
        );
        let (ours, theirs) = (cpu(&self.get), cpu(&self.yardstick));
        targets.add("`get` from KV: at most 1 ms of CPU", time(ours), ours <= 1e-3);
        targets.add(
            "`get` from KV: at most twice the CPU of the smallest Worker",
            format!("{:.2} times", ours / theirs),
            ours <= 2.0 * theirs,
        );
        let share = rate(&self.get) / rate(&self.yardstick);
        targets.add(
            "`get` from KV: at least half as many a second as the smallest Worker",
            format!("{:.0} %", 100.0 * share),
            share >= 0.5,
        );
        let throttled = self.crowd.throttled();
        targets.add(
            "`create`, more clients than the object lets in: 429 with `Retry-After`, and it goes on",
            format!("{throttled} of 429"),
            throttled > 0,
        );
        format!("{text}\n{}", targets.table())
    }
}
