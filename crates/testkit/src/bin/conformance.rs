//! Holds a home behind an address to the contract.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use patchbay_core::model::Workspaces;
use patchbay_testkit::issuer::Issuer;
use patchbay_testkit::{Address, Patient, Setting, cases, cases_with_issuer, operator_cases, run};

/// Holds a home behind an address to the contract. It creates and removes connections of its own, and leaves the
/// workspaces that it made.
#[derive(Parser)]
struct Arguments {
    /// The home: http://host:port
    url: String,
    /// Authentication is on, by the settings that `patchbay-issuer` prints; without this it is off.
    #[arg(long)]
    callers: bool,
    /// It knows the operator of those settings, though authentication may be off.
    #[arg(long)]
    operator: bool,
    /// It keeps an audit trail of its own.
    #[arg(long)]
    trail: bool,
    /// It keeps tenants apart, and adopts when it is asked to.
    #[arg(long)]
    apart: bool,
    /// Its mode of workspaces.
    #[arg(long, value_enum, default_value = "open")]
    workspaces: Mode,
    /// Its bound for an answer, in bytes.
    #[arg(long, default_value_t = 16 * 1024 * 1024)]
    answer_bytes: usize,
    /// A read that finds something may show what was right up to so many seconds before, and is repeated until it is
    /// right.
    #[arg(long, default_value_t = 0)]
    stale_seconds: u64,
    /// It is behind cargo lambda's emulator, which passes a request on only once its body is there whole, and loses some
    /// answers of megabytes: a read without an answer is made again.
    #[arg(long)]
    lambda_emulator: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Mode {
    Open,
    Managed,
}

#[tokio::main(flavor = "current_thread")]
#[allow(clippy::print_stdout, reason = "the report")]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let setting = Setting {
        workspaces: match arguments.workspaces {
            Mode::Open => Workspaces::Open,
            Mode::Managed => Workspaces::Managed,
        },
        answer_bytes: arguments.answer_bytes,
        callers: arguments.callers,
        trail: arguments.trail,
        apart: arguments.apart,
    };
    // A case that does not hold says so in the report; the panic's own text would come twice.
    std::panic::set_hook(Box::new(|_| ()));
    let mut address = Address::new(&arguments.url)?;
    if arguments.lambda_emulator {
        address = address.behind_emulator();
    }
    let mut cases = cases();
    if arguments.callers {
        address = address.with_issuer(Issuer::default());
        cases = cases_with_issuer();
    }
    if arguments.callers || arguments.operator {
        cases.extend(operator_cases());
    }
    let target = Patient::new(&address, Duration::from_secs(arguments.stale_seconds));
    let report = run(&target, setting, &cases, |case, outcome| {
        if let Err(why) = outcome {
            println!("FAILED {}: {}\n       {why}", case.group, case.name);
        }
        true
    })
    .await;
    println!("{} passed, {} failed", report.passed, report.failed.len());
    Ok(ExitCode::from(u8::from(
        !report.failed.is_empty() || report.passed == 0,
    )))
}
