//! What reads bytes that strangers write, a target each, as a fuzzer drives it: `cargo xtask fuzz`.
//!
//! A target does more than not to panic: it reads the same bytes a second time, in another way, and the two must agree.
//! Each has a `planted` variant, in which what is tested is wrong in one respect: a fuzzer that does not find that is
//! looking in the wrong place. The inputs in `corpus`, where the engine begins, are run by the ordinary tests as well,
//! without the engine: what it finds is to be put there.

mod bearer;
mod cursor;
mod jwks;
mod keyring;
mod reference;
mod request;
mod still;
mod tokens;
mod unseal;

use anyhow::Context as _;

/// One thing that is fuzzed.
pub struct Target {
    /// Its name, and that of its folder in `corpus`.
    pub name: &'static str,
    /// Panics where what is tested does not do what it should with this input.
    pub check: fn(&[u8]),
    /// The same with something wrong in what is tested.
    pub planted: fn(&[u8]),
}

/// All there are.
pub const TARGETS: [Target; 7] = [
    Target {
        name: "request",
        check: request::check,
        planted: request::planted,
    },
    Target {
        name: "bearer",
        check: bearer::check,
        planted: bearer::planted,
    },
    Target {
        name: "tokens",
        check: tokens::check,
        planted: tokens::planted,
    },
    Target {
        name: "jwks",
        check: jwks::check,
        planted: jwks::planted,
    },
    Target {
        name: "cursor",
        check: cursor::check,
        planted: cursor::planted,
    },
    Target {
        name: "keyring",
        check: keyring::check,
        planted: keyring::planted,
    },
    Target {
        name: "unseal",
        check: unseal::check,
        planted: unseal::planted,
    },
];

/// What the environment asks for: the target that `FUZZ_TARGET` names, with its planted bug where `FUZZ_PLANTED` is set.
///
/// # Errors
/// Where there is none of this name.
pub fn chosen() -> anyhow::Result<fn(&[u8])> {
    let name = std::env::var("FUZZ_TARGET").context("FUZZ_TARGET must name a target")?;
    let target = TARGETS.iter().find(|target| target.name == name);
    let target = target.with_context(|| format!("no target is called {name}"))?;
    Ok(if std::env::var_os("FUZZ_PLANTED").is_some() {
        target.planted
    } else {
        target.check
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::panic::catch_unwind;
    use std::path::{Path, PathBuf};

    use proptest::prelude::*;
    use proptest::sample::Index;
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::TestRunner;

    use super::*;

    /// The inputs that are kept for a target, each with its file, ordered by these.
    fn kept(target: &Target) -> Vec<(PathBuf, Vec<u8>)> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
        let file = |file: std::io::Result<std::fs::DirEntry>| {
            let path = file.unwrap().path();
            let input = std::fs::read(&path).unwrap();
            (path, input)
        };
        let mut files: Vec<_> = folder.read_dir().unwrap().map(file).collect();
        assert!(!files.is_empty(), "{} has no corpus", target.name);
        files.sort();
        files
    }

    /// What a fuzzer does to an input: some bytes go, and something comes in their place.
    #[derive(Debug)]
    struct Change {
        input: Index,
        at: Index,
        gone: usize,
        new: New,
    }

    #[derive(Debug)]
    enum New {
        Text(String),
        /// All of another input.
        Input(Index),
    }

    fn changes() -> impl Strategy<Value = Change> {
        let new = prop_oneof![
            prop_oneof!["\\PC{0,4}", "[ -~]", Just("\\/".to_owned())].prop_map(New::Text),
            any::<Index>().prop_map(New::Input),
        ];
        (any::<Index>(), any::<Index>(), 0..8_usize, new).prop_map(|(input, at, gone, new)| Change {
            input,
            at,
            gone,
            new,
        })
    }

    impl Change {
        /// One of these inputs, changed.
        fn of(&self, kept: &[(PathBuf, Vec<u8>)]) -> Vec<u8> {
            let input = |index: &Index| index.get(kept).1.clone();
            let mut changed = input(&self.input);
            let new = match &self.new {
                New::Text(text) => text.clone().into_bytes(),
                New::Input(other) => input(other),
            };
            let at = self.at.index(changed.len() + 1);
            let end = changed.len().min(at + self.gone);
            changed.splice(at..end, new);
            changed
        }
    }

    #[test]
    fn every_input_that_is_kept_is_handled_rightly() {
        for target in &TARGETS {
            for (file, input) in kept(target) {
                assert!(catch_unwind(|| (target.check)(&input)).is_ok(), "{}", file.display());
            }
        }
    }

    #[test]
    fn corpora_are_small_and_do_not_give_away_what_is_planted() {
        for target in &TARGETS {
            let corpus = kept(target);
            assert!(corpus.len() <= 64, "{} has {} inputs", target.name, corpus.len());
            for (file, input) in &corpus {
                assert!(input.len() <= 2048, "{} is long", file.display());
                assert!(catch_unwind(|| (target.planted)(input)).is_ok(), "{}", file.display());
            }
        }
    }

    #[test]
    fn an_engine_begins_with_tokens_cursors_and_records_that_are_real() {
        for (name, seeds) in [
            ("bearer", bearer::seeds()),
            ("cursor", cursor::seeds()),
            ("unseal", unseal::seeds()),
        ] {
            let target = TARGETS.iter().find(|target| target.name == name).unwrap();
            let corpus = kept(target);
            for seed in seeds {
                assert!(corpus.iter().any(|(_, input)| *input == seed), "{name} lacks {seed:?}");
            }
        }
    }

    /// Even without the engine.
    #[test]
    fn each_planted_bug_is_found_from_the_corpus() {
        const RUNS: usize = 200_000;
        for target in &TARGETS {
            let (kept, mut runner) = (kept(target), TestRunner::deterministic());
            let mut inputs = (0..RUNS).map(|_| changes().new_tree(&mut runner).unwrap().current().of(&kept));
            let found = inputs.find(|input| catch_unwind(|| (target.planted)(input)).is_err());
            let found = found.unwrap_or_else(|| panic!("nothing is found in {RUNS} runs of {}", target.name));
            (target.check)(&found);
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_handled_rightly(input in proptest::collection::vec(any::<u8>(), 0..300)) {
            for target in &TARGETS {
                (target.check)(&input);
            }
        }

        #[test]
        fn what_is_kept_is_handled_rightly_with_a_piece_of_it_changed(change in changes()) {
            for target in &TARGETS {
                (target.check)(&change.of(&kept(target)));
            }
        }
    }
}
