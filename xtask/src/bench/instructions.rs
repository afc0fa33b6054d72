//! Instructions and allocations of one operation, counted by valgrind: the same on a busy machine as on one at rest.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::Binaries;
use super::lines::{self, Contents, MEMBER, TENANT};
use super::report;
use crate::run::{build, command};

/// The operations of the core, with how often each is run.
const OPERATIONS: [(&str, u64); 7] = [
    ("get", 200),
    ("get_by_id", 200),
    ("list", 5),
    ("create", 200),
    ("add_to_workspace", 200),
    ("remove_from_workspace", 200),
    ("delete", 200),
];
/// Stores in which a member's list is counted.
const STORED: [usize; 2] = [10_000, 100_000];
/// Percent more instructions at which a comparison fails.
const MORE: f64 = 3.0;
/// The part of the page that keeps the counts.
pub const PART: &str = "instructions";

/// One row: what was run, and what it took each time.
struct Row {
    name: String,
    instructions: u64,
    allocations: u64,
}

/// The counts.
pub struct Counts(Vec<Row>);

/// Counts everything.
pub fn count(valgrind: &Path, binaries: &Binaries, folder: &Path) -> anyhow::Result<Counts> {
    let [operations, seen] = build(
        &[
            "--release",
            "--package=patchbay-core",
            "--package=patchbay-sql",
            "--example=operations",
            "--example=seen",
        ],
        ["operations", "seen"],
    )?;
    println!("counting instructions");
    let mut rows = Vec::new();
    for (operation, times) in OPERATIONS {
        let program = Program {
            valgrind,
            path: &operations,
            arguments: vec![operation.into()],
        };
        let name = match operation {
            "list" => "`list` of 1,000".to_owned(),
            other => format!("`{other}`"),
        };
        rows.push(program.row(name, times)?);
    }
    for stored in STORED {
        let data = folder.join(format!("shared-{stored}"));
        lines::import(&binaries.patchbay, &data, Contents::Shared, stored)?;
        let program = Program {
            valgrind,
            path: &seen,
            arguments: vec![data, TENANT.into(), MEMBER.into()],
        };
        let name = format!("SQLite's part of a member's `list`: 1,000 seen in 50 workspaces, {stored} stored");
        rows.push(program.row(name, 3)?);
    }
    Ok(Counts(rows))
}

/// A program whose last argument is how often it does something.
struct Program<'p> {
    valgrind: &'p Path,
    path: &'p Path,
    arguments: Vec<PathBuf>,
}

impl Program<'_> {
    /// What one time takes: the difference between doing it so often and twice as often, so that what start and end
    /// take falls out.
    fn row(&self, name: String, times: u64) -> anyhow::Result<Row> {
        let one = |count: &dyn Fn(u64) -> anyhow::Result<u64>| -> anyhow::Result<u64> {
            Ok(count(2 * times)?.saturating_sub(count(times)?) / times)
        };
        Ok(Row {
            name,
            instructions: one(&|times| self.run("callgrind", times, "Collected : "))?,
            allocations: one(&|times| self.run("dhat", times, "bytes in "))?,
        })
    }

    /// Runs a tool of valgrind and gives the number behind `before` in what it says.
    fn run(&self, tool: &str, times: u64, before: &str) -> anyhow::Result<u64> {
        let mut run = command(self.valgrind);
        run.args([format!("--tool={tool}"), format!("--{tool}-out-file=/dev/null")]);
        let said = run
            .arg(self.path)
            .args(&self.arguments)
            .arg(times.to_string())
            .output()?;
        let text = String::from_utf8_lossy(&said.stderr);
        if !said.status.success() {
            bail!("{run:?} ended with {}: {text}", said.status);
        }
        let number = text.lines().find_map(|line| Some(line.split_once(before)?.1));
        let number = number.with_context(|| format!("{tool} gave no count: {text}"))?;
        let digits = number.split_whitespace().next().unwrap_or_default().replace(',', "");
        Ok(digits.parse()?)
    }
}

impl Counts {
    /// The table.
    pub fn report(&self) -> String {
        let mut report = String::from("| operation | instructions | allocations |\n|---|---:|---:|\n");
        for row in &self.0 {
            report.push_str(&format!(
                "| {} | {} | {} |\n",
                row.name, row.instructions, row.allocations
            ));
        }
        report
    }

    /// What has changed against the page, and whether nothing has grown by more than [`MORE`] percent.
    ///
    /// # Errors
    /// Where the page holds no counts.
    pub fn compare(&self) -> anyhow::Result<(String, bool)> {
        let page = report::read(PART)?;
        let kept = kept(&page);
        anyhow::ensure!(
            !kept.is_empty(),
            "the page holds no counts: run `cargo xtask bench {PART} --write`"
        );
        let mut report = String::from("| operation | kept | now | |\n|---|---:|---:|---:|\n");
        let mut good = true;
        for row in &self.0 {
            let before = kept.iter().find(|(name, _)| *name == row.name);
            let change = before.map(|(_, before)| 100.0 * (row.instructions as f64 / *before as f64 - 1.0));
            good &= change.is_some_and(|change| change <= MORE);
            let before = before.map_or("none".to_owned(), |(_, before)| before.to_string());
            let change = change.map_or(String::new(), |change| format!("{change:+.1} %"));
            report.push_str(&format!(
                "| {} | {before} | {} | {change} |\n",
                row.name, row.instructions
            ));
        }
        Ok((report, good))
    }
}

/// Names and instructions in the rows of a table that [`Counts::report`] wrote.
fn kept<'p>(page: &'p str) -> Vec<(&'p str, u64)> {
    let row = |line: &'p str| {
        let (name, rest) = line.strip_prefix("| ")?.split_once(" | ")?;
        Some((name, rest.split_once(" | ")?.0.parse().ok()?))
    };
    page.lines().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_page_keeps_is_read_as_it_was_written() {
        let row = Row {
            name: "`list` of 1,000".into(),
            instructions: 21_062_971,
            allocations: 14_000,
        };
        let page = format!("Some words.\n\n{}\n", Counts(vec![row]).report());
        assert_eq!(kept(&page), [("`list` of 1,000", 21_062_971)]);
    }
}
