//! What the test runners' own summaries say.

use std::ops::AddAssign;

/// Tests that ran.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    pub passed: u64,
    pub failed: u64,
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// Adds up `test result: ok. 3 passed; 0 failed; …`, which cargo prints once for each test binary.
pub fn cargo(output: &str) -> Count {
    let mut count = Count::default();
    for line in output.lines().filter(|line| line.starts_with("test result: ")) {
        count += read(line);
    }
    count
}

/// Reads the conformance report's last line: `3 passed, 0 failed`.
pub fn conformance(output: &str) -> Count {
    output.lines().last().map(read).unwrap_or_default()
}

/// Reads pytest's last summary: `== 1 failed, 3 passed, 1 error in 0.12s ==`. An error counts as a failure.
pub fn pytest(output: &str) -> Count {
    let summary = output
        .lines()
        .rev()
        .find(|line| words(line).any(|word| word == "in") && read(line) != Count::default());
    summary.map(read).unwrap_or_default()
}

/// Reads the summary of Node.js's test runner: a line `ℹ pass 3`, a line `ℹ fail 0`. What was cancelled failed.
pub fn node(output: &str) -> Count {
    let mut count = Count::default();
    for line in output.lines() {
        let [_, word, number] = words(line).collect::<Vec<_>>()[..] else {
            continue;
        };
        let Ok(number) = number.parse::<u64>() else { continue };
        match word {
            "pass" => count.passed += number,
            "fail" | "cancelled" => count.failed += number,
            _ => {}
        }
    }
    count
}

fn read(line: &str) -> Count {
    let mut count = Count::default();
    for (number, word) in words(line).zip(words(line).skip(1)) {
        let Ok(number) = number.parse::<u64>() else { continue };
        match word {
            "passed" => count.passed += number,
            "failed" | "error" | "errors" => count.failed += number,
            _ => {}
        }
    }
    count
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split([' ', ',', ';', '=']).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_is_counted_over_all_its_test_binaries() {
        let output = "running 2 tests\ntest a ... ok\n\
            test result: ok. 2 passed; 0 failed; 7 ignored; 0 measured; 9 filtered out; finished in 0.01s\n\
            test result: FAILED. 3 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s\n";
        assert_eq!(cargo(output), Count { passed: 5, failed: 1 });
        assert_eq!(cargo("error: could not compile"), Count::default());
    }

    #[test]
    fn the_conformance_report_is_counted_by_its_last_line() {
        let output = "FAILED create: 7 passed, 8 failed\n212 passed, 3 failed\n";
        assert_eq!(conformance(output), Count { passed: 212, failed: 3 });
        assert_eq!(conformance("212 passed, 3 failed\nthread panicked"), Count::default());
    }

    #[test]
    fn pytest_is_counted_by_its_summary_and_errors_are_failures() {
        let count = |passed, failed| Count { passed, failed };
        assert_eq!(pytest(".. [100%]\n2 passed in 0.01s\n"), count(2, 0));
        assert_eq!(
            pytest("===== 1 failed, 3 passed, 4 skipped, 1 xfailed, 2 errors in 61.20s (0:01:01) =====\n"),
            count(3, 3)
        );
        assert_eq!(pytest("2 passed, 9 subtests passed in 1.0s\nbye\n"), count(2, 0));
        assert_eq!(pytest("no tests ran in 0.00s\n"), count(0, 0));
    }

    #[test]
    fn the_runner_of_node_is_counted_by_its_summary() {
        let output = "✔ an attach is one request (12.1ms)\nℹ tests 5\nℹ pass 3\nℹ fail 1\nℹ cancelled 1\nℹ skipped 0\n";
        assert_eq!(node(output), Count { passed: 3, failed: 2 });
        assert_eq!(node("node: cannot find it\n"), Count::default());
    }
}
