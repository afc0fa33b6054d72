//! Takes canaries through a home, and looks for them where the home keeps and says things.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Parser};
use patchbay_testkit::canaries::{Callers, Canaries, Landed, Scanner, missed, was_planted};
use serde_json::{Map, Value, json};

/// How often it is looked whether what was planted is everywhere, which may take a home a moment.
const LOOKS: usize = 100;

/// Takes secrets through a home, and then looks for them, whatever they were made into, in its answers and in what lies
/// below a folder.
#[derive(Parser)]
enum Task {
    /// Print as JSON, under `settings`, what the home has to be told so that it knows who calls it here.
    Settings,
    /// In every operation, and in every way that a request goes wrong; then leak one on purpose, and see that it is found.
    Fly {
        #[command(flatten)]
        home: Home,
        /// How often.
        #[arg(long, default_value_t = 30)]
        rounds: usize,
        /// Part of the path of files in the folder, among which the leak has to be found.
        #[arg(long)]
        place: Vec<String>,
    },
    /// Through a home that can open nothing of what is stored: with other keys, after another flight.
    InVain {
        #[command(flatten)]
        home: Home,
    },
}

#[derive(Args)]
struct Home {
    /// http://host:port
    url: String,
    /// Where it keeps and says things.
    #[arg(long)]
    folder: PathBuf,
}

#[allow(clippy::print_stdout, reason = "what it is for")]
fn main() -> anyhow::Result<ExitCode> {
    let callers = Callers::default();
    let mut canaries = Canaries::default();
    match Task::parse() {
        Task::Settings => {
            let settings = callers.settings().into_iter();
            let settings: Map<_, _> = settings
                .map(|(name, text)| (name.to_owned(), Value::from(text)))
                .collect();
            println!("{}", json!({ "settings": settings }));
            Ok(ExitCode::SUCCESS)
        }
        Task::Fly { home, rounds, place } => {
            let landed = callers.fly(home.authority()?, &mut canaries, rounds)?;
            landed.went_everywhere()?;
            let planted = callers.flight(home.authority()?, &mut canaries).plant()?;
            home.shows(&canaries, &planted, &place)?;
            // By now what comes later than its answer, as to a log or to KV, is there as well.
            Ok(ExitCode::from(u8::from(home.leaks(&canaries, &landed)?)))
        }
        Task::InVain { home } => {
            let landed = callers.flight(home.authority()?, &mut canaries).in_vain(5)?;
            ensure!(
                landed.statuses.contains_key(&500),
                "nothing fails: {:?}",
                landed.statuses
            );
            Ok(ExitCode::from(u8::from(home.leaks(&canaries, &landed)?)))
        }
    }
}

impl Home {
    fn authority(&self) -> anyhow::Result<&str> {
        let authority = self.url.strip_prefix("http://");
        authority.context("the address must begin with http://")
    }

    /// Whether a secret is where none may be, but on purpose; says which.
    #[allow(clippy::print_stdout, reason = "the report")]
    fn leaks(&self, canaries: &Canaries, landed: &Landed) -> anyhow::Result<bool> {
        let scanner = Scanner::new(canaries)?;
        let (mut leaks, read) = scanner.folder(&self.folder)?;
        leaks.extend(scanner.bytes("an answer", &landed.shown));
        leaks.retain(|leak| !was_planted(leak));
        for leak in &leaks {
            println!("LEAKED {leak:?}");
        }
        println!(
            "{} secrets, {read} bytes in files, {} in answers {:?}: {} leaks",
            canaries.count(),
            landed.shown.len(),
            landed.statuses,
            leaks.len()
        );
        Ok(!leaks.is_empty())
    }

    /// Waits until what was planted is found in the answers and in all of these places.
    fn shows(&self, canaries: &Canaries, landed: &Landed, places: &[String]) -> anyhow::Result<()> {
        let scanner = Scanner::new(canaries)?;
        let mut places: Vec<_> = places.iter().map(String::as_str).collect();
        places.push("an answer");
        for _ in 0..LOOKS {
            let mut leaks = scanner.folder(&self.folder)?.0;
            leaks.extend(scanner.bytes("an answer", &landed.shown));
            places = missed(&leaks, &places);
            if places.is_empty() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        bail!("what was leaked on purpose is not found in {places:?}")
    }
}
