//! Takes canaries through a home, and looks for them where the home keeps and says things.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use clap::Parser;
use patchbay_testkit::canaries::{Canaries, Flight, Scanner};

/// Takes secrets through a home, in every operation and in every way that a request goes wrong, and then looks for them,
/// whatever they were made into, in its answers and in what lies below a folder.
#[derive(Parser)]
struct Arguments {
    /// The home, with authentication off: http://host:port
    url: String,
    /// Where it keeps and says things.
    #[arg(long)]
    folder: PathBuf,
    /// How often.
    #[arg(long, default_value_t = 30)]
    rounds: usize,
}

#[allow(clippy::print_stdout, reason = "the report")]
fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let authority = arguments
        .url
        .strip_prefix("http://")
        .context("the address must begin with http://")?;
    let mut canaries = Canaries::default();
    let landed = Flight::new(authority, &mut canaries, || None).fly(arguments.rounds)?;
    let scanner = Scanner::new(&canaries)?;
    let (mut leaks, read) = scanner.folder(&arguments.folder)?;
    leaks.extend(scanner.bytes("an answer", &landed.shown));
    for leak in &leaks {
        println!("LEAKED {leak:?}");
    }
    println!(
        "{} secrets, {} bytes in files, {} in answers {:?}: {} leaks",
        canaries.count(),
        read,
        landed.shown.len(),
        landed.statuses,
        leaks.len()
    );
    // What is no secret shows that this is where the home keeps things.
    let mut names = Canaries::default();
    names.add("names", &Flight::NAMES.repeat(2));
    let found = Scanner::new(&names)?.folder(&arguments.folder)?.0;
    ensure!(
        !found.is_empty(),
        "the home keeps nothing in {}",
        arguments.folder.display()
    );
    Ok(ExitCode::from(u8::from(!leaks.is_empty())))
}
