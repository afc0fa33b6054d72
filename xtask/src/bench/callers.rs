//! What it takes to know the callers and to keep the audit trail: a server that does both beside one that does neither.

use std::fs::File;
use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::json;

use super::fill;
use super::load::{Load, Target};
use super::report::{Targets, cores, time};
use super::sample::{Sample, median};
use super::{Binaries, Pace};
use crate::run::{build, command, output};
use crate::server::{self, Server};

/// Connections that are stored in each server before anything is measured.
const STORED: usize = 10_000;
/// Clients at once, and the least part of the rate without authentication and audit that is to be left, in percent.
const CLIENTS: [(u32, f64); 2] = [(64, 70.0), (256, 80.0)];

/// What the example `token` says.
#[derive(Deserialize)]
struct Signed {
    jwks: String,
    token: String,
    micros: f64,
}

/// The rounds with so many clients.
struct Beside {
    clients: u32,
    /// The least that is to be left of `off`, in percent.
    least: f64,
    off: Vec<Sample>,
    on: Vec<Sample>,
}

/// The rounds of each load, and what a verification takes, in seconds.
pub struct Rounds {
    beside: Vec<Beside>,
    verification: f64,
}

/// Measures the release build with and without.
pub fn measure(pace: Pace, binaries: &Binaries, folder: &Path) -> anyhow::Result<Rounds> {
    let [example] = build(
        &[
            "--release",
            "--package=patchbay-signature",
            "--features=ring",
            "--example=token",
        ],
        ["token"],
    )?;
    let signed: Signed = serde_json::from_str(&output(&mut command(&example))?)?;
    let start = |name: &str, token: Option<&Signed>| -> anyhow::Result<(Server, Vec<String>)> {
        let log = File::create(folder.join(format!("{name}.log")))?;
        let mut command = server::patchbay(&binaries.patchbay, &folder.join(name));
        if let Some(signed) = token {
            command
                .env("PATCHBAY_AUTH", "oidc")
                .env("PATCHBAY_ISSUER", "https://issuer.example")
                .env("PATCHBAY_AUDIENCE", "patchbay")
                .env("PATCHBAY_JWKS", &signed.jwks);
        }
        let server = Server::start(command.stderr(log))?;
        println!("storing {STORED} connections");
        let token = token.map(|signed| signed.token.as_str());
        let stored = fill::fill(&server.url, token, "connection", 0, STORED, 0)?;
        let names = stored.iter().map(|(name, _)| json!({"name": name}).to_string());
        Ok((server, names.collect()))
    };
    let (off, names) = start("off", None)?;
    let (on, _) = start("on", Some(&signed))?;

    let mut beside = Vec::new();
    for (clients, least) in CLIENTS {
        let load = || Load::choose(&binaries.wrk, folder, "callers", &names, clients);
        let (without, with) = (load()?, load()?.with_token(&signed.token));
        let mut rounds = Beside {
            clients,
            least,
            off: Vec::new(),
            on: Vec::new(),
        };
        for _ in pace.rounds(&format!("{clients} clients")) {
            rounds.off.push(without.run(Target::of(&off), "get", pace.time)?);
            rounds.on.push(with.run(Target::of(&on), "get", pace.time)?);
        }
        beside.push(rounds);
    }
    off.stop().context("the server without authentication")?;
    on.stop().context("the server with authentication")?;
    Ok(Rounds {
        beside,
        verification: signed.micros / 1e6,
    })
}

impl Rounds {
    /// The table, and the targets beside what was reached.
    pub fn report(&self) -> String {
        let mut report = String::from(
            "| load | a second | p50 | p99 | server's CPU | client's CPU |\n|---|---:|---:|---:|---:|---:|\n",
        );
        let mut targets = Targets::default();
        for beside in &self.beside {
            let clients = beside.clients;
            let (off, on) = ("authentication and audit off", "ES256 tokens, audited");
            for (name, rounds) in [(off, &beside.off), (on, &beside.on)] {
                report.push_str(&format!(
                    "| `get`, {clients} clients, {name} | {:.0} | {} | {} | {} | {} |\n",
                    median(rounds, Sample::per_second),
                    time(median(rounds, |sample| sample.p50)),
                    time(median(rounds, |sample| sample.p99)),
                    cores(median(rounds, |sample| sample.server_cpu / sample.seconds)),
                    cores(median(rounds, |sample| sample.client_cpu / sample.seconds)),
                ));
            }
            let rate = |rounds: &[Sample]| median(rounds, Sample::per_second);
            let share = 100.0 * rate(&beside.on) / rate(&beside.off);
            let least = beside.least;
            targets.add(
                &format!("`get`, {clients} clients, authenticated and audited: {least:.0} % of the rate without"),
                format!("{share:.0} %"),
                share >= least,
            );
        }
        targets.add(
            "authentication by an ES256 token not seen before: at most 100 µs",
            time(self.verification),
            self.verification <= 1e-4,
        );
        format!("{report}\n{}", targets.table())
    }
}
