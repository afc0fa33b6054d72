//! The function as it is deployed, started and called as Lambda would, beside the smallest one that reads an item.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Deserialize;

use super::Pace;
use super::report::{Targets, time};
use super::sample::quantile;
use crate::lambda::{TABLE, Table};
use crate::run::{build, command, output, succeed};
use crate::test;
use crate::tools::{self, Cache, CargoLambda};

/// The most bytes of a package, and the most seconds of a start and of Patchbay's own share of a warm call.
const PACKAGE: u64 = 4_000_000;
const START: f64 = 25e-3;
const SHARE: f64 = 0.5e-3;
/// How many times a warm call the first one may take.
const FIRST: f64 = 2.0;

/// What is run.
pub struct Bench {
    patchbay: Package,
    yardstick: Package,
    /// Makes the table.
    native: PathBuf,
    dynamodb_local: PathBuf,
    times: PathBuf,
}

/// The name of what Patchbay is held against.
const YARDSTICK: &str = "patchbay-yardstick";

/// What was measured.
pub struct Figures {
    starts: usize,
    bench: Bench,
    times: Times,
}

/// What is uploaded, and what is in it.
struct Package {
    bytes: u64,
    bootstrap: PathBuf,
}

/// What `patchbay-lambda-times` prints; times in seconds.
#[derive(Deserialize)]
struct Times {
    starts: Starts,
    first_calls: Both<FirstCall>,
    warm_calls: Both<WarmCall>,
}

#[derive(Deserialize)]
struct Starts {
    secret: Vec<f64>,
    variable: Vec<f64>,
    yardstick: Vec<f64>,
    /// The yardstick's, told where the root certificates are.
    told: Vec<f64>,
}

#[derive(Deserialize)]
struct Both<T> {
    patchbay: Vec<T>,
    yardstick: Vec<T>,
}

#[derive(Deserialize)]
struct FirstCall {
    first: f64,
    /// Those after it.
    warm: Vec<f64>,
}

#[derive(Deserialize)]
struct WarmCall {
    took: f64,
    /// Of that, what DynamoDB took.
    dynamodb: f64,
}

impl Bench {
    /// Packages both functions, and builds what starts them.
    pub fn build(cache: &Cache, folder: &Path) -> anyhow::Result<Self> {
        let cargo_lambda = tools::cargo_lambda(cache)?;
        let patchbay = Package::build(&cargo_lambda, "crates/cli", "patchbay", folder)?;
        let yardstick = Package::build(&cargo_lambda, "crates/lambda/yardstick", YARDSTICK, folder)?;
        let [times] = build(
            &["--release", "--package=patchbay-testkit", "--bin=patchbay-lambda-times"],
            ["patchbay-lambda-times"],
        )?;
        let [native, dynamodb_local] = test::built(["patchbay", "patchbay-dynamodb-local"])?;
        Ok(Self {
            patchbay,
            yardstick,
            native,
            dynamodb_local,
            times,
        })
    }

    /// Takes the times of both, in turn.
    pub fn measure(self, pace: Pace, cache: &Cache) -> anyhow::Result<Figures> {
        let table = Table::start(cache, &self.native, &self.dynamodb_local)?;
        let (starts, calls) = if pace.rounds > 1 { (50, 1000) } else { (5, 100) };
        println!(
            "{starts} starts of each function, {} rounds of {calls} calls",
            pace.rounds
        );
        let printed = output(
            command(&self.times)
                .arg("--function")
                .arg(&self.patchbay.bootstrap)
                .arg("--yardstick")
                .arg(&self.yardstick.bootstrap)
                .args(["--dynamodb", table.url(), "--table", TABLE])
                .args(["--starts", &starts.to_string(), "--calls", &calls.to_string()])
                .args(["--rounds", &pace.rounds.to_string()]),
        )?;
        let times = serde_json::from_str(&printed);
        Ok(Figures {
            starts,
            bench: self,
            times: times.with_context(|| format!("patchbay-lambda-times said {printed}"))?,
        })
    }
}

impl Package {
    /// Builds what is deployed, as `sam build` does, and unpacks it.
    fn build(cargo_lambda: &CargoLambda, package: &str, binary: &str, folder: &Path) -> anyhow::Result<Self> {
        println!("packaging {binary}");
        let mut build = cargo_lambda.command()?;
        build
            .current_dir(package)
            .args(["build", "--release", "--locked", "--bin", binary])
            .args(["--output-format", "zip", "--lambda-dir"])
            .arg(folder);
        if binary == YARDSTICK {
            // A workspace of its own would have a folder of its own for what is built.
            build.env("CARGO_TARGET_DIR", folder.with_file_name(YARDSTICK));
        }
        succeed(&mut build)?;
        let unpacked = folder.join(binary);
        let zip = unpacked.join("bootstrap.zip");
        succeed(
            command("python3")
                .args(["-m", "zipfile", "--extract"])
                .args([&zip, &unpacked]),
        )?;
        let bootstrap = unpacked.join("bootstrap");
        // Which that does not unpack.
        fs::set_permissions(&bootstrap, Permissions::from_mode(0o755))?;
        let bytes = fs::metadata(zip)?.len();
        Ok(Self { bytes, bootstrap })
    }

    fn megabytes(&self) -> String {
        format!("{:.2} MB", self.bytes as f64 / 1e6)
    }
}

impl Figures {
    /// The table, and the targets beside what was reached.
    pub fn report(&self) -> String {
        let p50 = |values: &[f64]| quantile(&mut values.to_vec(), 0.5);
        let Times {
            starts,
            first_calls,
            warm_calls,
        } = &self.times;
        let first = |calls: &[FirstCall]| p50(&calls.iter().map(|call| call.first).collect::<Vec<_>>());
        let after = |calls: &[FirstCall]| p50(&calls.iter().flat_map(|call| call.warm.clone()).collect::<Vec<_>>());
        let of = |calls: &[WarmCall], figure: fn(&WarmCall) -> f64, share: f64| {
            quantile(&mut calls.iter().map(figure).collect::<Vec<_>>(), share)
        };
        let took: fn(&WarmCall) -> f64 = |call| call.took;
        let dynamodb: fn(&WarmCall) -> f64 = |call| call.dynamodb;
        let own: fn(&WarmCall) -> f64 = |call| call.took - call.dynamodb;

        let mut report = String::from("| | Patchbay | yardstick |\n|---|---:|---:|\n");
        let mut row = |name: &str, patchbay: String, yardstick: String| {
            report.push_str(&format!("| {name} | {patchbay} | {yardstick} |\n"));
        };
        row(
            "package",
            self.bench.patchbay.megabytes(),
            self.bench.yardstick.megabytes(),
        );
        let start = p50(&starts.secret);
        row("start, p50", time(start), time(p50(&starts.yardstick)));
        row(
            "the same, keys in a variable",
            time(p50(&starts.variable)),
            String::new(),
        );
        row(
            "the same, told where the root certificates are, as Patchbay is",
            String::new(),
            time(p50(&starts.told)),
        );
        let (first_call, warm_call) = (first(&first_calls.patchbay), after(&first_calls.patchbay));
        row(
            "first call after a start, p50",
            time(first_call),
            time(first(&first_calls.yardstick)),
        );
        row(
            "those after it, p50",
            time(warm_call),
            time(after(&first_calls.yardstick)),
        );
        for (name, figure, share) in [
            ("warm call, p50", took, 0.5),
            ("DynamoDB's part of it, p50", dynamodb, 0.5),
            ("the function's own, p50", own, 0.5),
            ("the function's own, p99", own, 0.99),
        ] {
            let of = |calls| time(of(calls, figure, share));
            row(name, of(&warm_calls.patchbay), of(&warm_calls.yardstick));
        }

        let mut targets = Targets::default();
        targets.add(
            "package: at most 4.0 MB",
            self.bench.patchbay.megabytes(),
            self.bench.patchbay.bytes <= PACKAGE,
        );
        targets.add(
            "package: smaller than the yardstick's",
            self.bench.patchbay.megabytes(),
            self.bench.patchbay.bytes < self.bench.yardstick.bytes,
        );
        let what = format!("start: at most 25 ms, median of {}", self.starts);
        targets.add(&what, time(start), start <= START);
        targets.add(
            "start: no slower than the yardstick's",
            time(start),
            start <= p50(&starts.yardstick),
        );
        targets.add(
            "first call after a start: at most 2 warm ones",
            format!("{:.2}", first_call / warm_call),
            first_call <= FIRST * warm_call,
        );
        let own = of(&warm_calls.patchbay, own, 0.5);
        targets.add("own share of a warm `get`: at most 0.5 ms", time(own), own <= SHARE);
        format!("{report}\n{}", targets.table())
    }
}
