//! Sets many clients on a home behind an address and checks that what they were told can be true.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use patchbay_core::model::Workspaces;
use patchbay_testkit::Address;
use patchbay_testkit::races::{Reach, Registry, Verdict, Workload};

/// Sets many clients on a home, and checks that the history of their operations is linearizable. It uses names and
/// workspaces of its own, takes its connections away at the end, and leaves its workspaces.
#[derive(Parser)]
struct Arguments {
    /// The home, with authentication off: http://host:port
    url: String,
    /// Operations, over all clients.
    #[arg(long, default_value_t = 10_000)]
    operations: usize,
    /// Clients at once.
    #[arg(long, default_value_t = 8)]
    clients: usize,
    /// What the clients' choices come from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Names that they fight over.
    #[arg(long, default_value_t = 3)]
    names: usize,
    /// Of a hundred operations, so many are given up before the answer is there.
    #[arg(long, default_value_t = 2)]
    abandoned: u8,
    /// The home's mode of workspaces.
    #[arg(long, value_enum, default_value = "open")]
    workspaces: Mode,
    /// A read that finds something may show what was right up to so many seconds before.
    #[arg(long, default_value_t = 0)]
    stale_seconds: u64,
    /// A list is of no one moment: what clients were told is held against each name by itself.
    #[arg(long)]
    each_name: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Mode {
    Open,
    Managed,
}

#[tokio::main]
#[allow(clippy::print_stdout, reason = "the report")]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let workload = Workload {
        operations: arguments.operations,
        clients: arguments.clients,
        names: arguments.names,
        seed: arguments.seed,
        abandoned: arguments.abandoned,
        mode: match arguments.workspaces {
            Mode::Open => Workspaces::Open,
            Mode::Managed => Workspaces::Managed,
        },
        stale: Duration::from_secs(arguments.stale_seconds),
        ..Workload::default()
    };
    let registry = Registry { names: workload.names };
    let started = Instant::now();
    let url = arguments.url;
    let history = workload.run(move || Address::new(&url)).await?;
    let (took, started) = (started.elapsed(), Instant::now());
    let finding = match arguments.each_name {
        true => registry.judge_each_name(&history),
        false => registry.judge(&history),
    };
    let unknown = history.iter().filter(|operation| operation.answer.is_none()).count();
    println!(
        "seed {}: {unknown} outcomes unknown; {:.1} s to run, {:.1} s to check",
        arguments.seed,
        took.as_secs_f64(),
        started.elapsed().as_secs_f64()
    );
    let count = history.len();
    Ok(match finding {
        Ok(Reach::Whole) => {
            println!("{count} operations, linearizable");
            ExitCode::SUCCESS
        }
        Ok(Reach::EachName) if arguments.each_name => {
            println!("{count} operations, linearizable name by name");
            ExitCode::SUCCESS
        }
        Ok(Reach::EachName) => {
            println!("{count} operations, linearizable name by name; too many outcomes are unknown to say more");
            ExitCode::SUCCESS
        }
        Err(Verdict::Violated(violation)) => {
            println!("{count} operations, not linearizable\n{violation}");
            ExitCode::FAILURE
        }
        Err(_) => {
            println!("{count} operations, undecided: too many orders are possible; use fewer clients");
            ExitCode::FAILURE
        }
    })
}
