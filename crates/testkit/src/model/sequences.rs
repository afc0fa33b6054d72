//! Runs of many sequences.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::Debug;

use patchbay_core::model::Workspaces;
use patchbay_core::store::Store;
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, FileFailurePersistence, TestCaseError, TestError, TestRunner};
use tokio::runtime::Runtime;

use super::store::{Step, same_outcomes, steps};
use super::surface::{Request, requests, same_answers};
use crate::memory::MemoryStore;
use crate::runner::Setting;
use crate::target::{InProcess, Target};

/// How many sequences are drawn, and how long they are.
#[derive(Debug, Clone, Copy)]
pub struct Sequences {
    /// How many. `PROPTEST_CASES` says otherwise.
    pub count: u32,
    /// The most steps of one.
    pub steps: usize,
    /// The test's own file (`file!()`): a sequence that fails is made shorter and kept beside it, for the next run to
    /// begin with.
    pub beside: Option<&'static str>,
}

/// What came of a run, and how often.
pub type Came<K> = BTreeMap<K, usize>;

impl Sequences {
    /// Holds a store against the reference model. Gives the kinds of outcomes that came, such as `Attach Forbidden`.
    ///
    /// # Errors
    /// The shortest sequence on which they differ.
    pub fn on_store(
        self,
        runtime: &Runtime,
        store: &impl Store,
        workspaces: Workspaces,
    ) -> Result<Came<String>, TestError<Vec<Step>>> {
        self.run(runtime, steps(self.steps), async |case, steps| {
            same_outcomes(store, workspaces, case, steps).await
        })
    }

    /// Holds a target against the core over the reference model. Gives the statuses that came. A target that has no
    /// other callers than everybody must be fresh: one model goes along with it through all sequences, and what fails is
    /// not made shorter.
    ///
    /// # Errors
    /// A sequence on which they differ.
    pub fn on_target(
        self,
        runtime: &Runtime,
        target: &dyn Target,
        setting: Setting,
    ) -> Result<Came<u16>, TestError<Vec<Request>>> {
        let model = || InProcess::new(MemoryStore::default(), setting.workspaces, setting.answer_bytes);
        if setting.callers {
            return self.run(runtime, requests(self.steps), async |case, requests| {
                same_answers(target, &model(), Some(case), requests).await
            });
        }
        let model = model();
        let config = Config {
            max_shrink_iters: 0,
            ..Self { beside: None, ..self }.config()
        };
        run(config, runtime, requests(self.steps), async |_, requests| {
            same_answers(target, &model, None, requests).await
        })
    }

    /// Runs any test on sequences. Each has a number of its own, those that are tried to make one shorter included.
    ///
    /// # Errors
    /// The shortest sequence on which the test fails, and why it does.
    pub fn run<S: Strategy<Value: Debug>, K: Ord>(
        self,
        runtime: &Runtime,
        sequences: S,
        test: impl AsyncFn(u64, &S::Value) -> Result<Vec<K>, String>,
    ) -> Result<Came<K>, TestError<S::Value>> {
        run(self.config(), runtime, sequences, test)
    }

    fn config(self) -> Config {
        let default = Config::default();
        Config {
            // The default is what the variable says, where it is set.
            cases: match std::env::var_os("PROPTEST_CASES") {
                Some(_) => default.cases,
                None => self.count,
            },
            source_file: self.beside,
            failure_persistence: self
                .beside
                .map(|_| Box::new(FileFailurePersistence::WithSource("regressions")) as _),
            ..default
        }
    }
}

fn run<S: Strategy<Value: Debug>, K: Ord>(
    config: Config,
    runtime: &Runtime,
    sequences: S,
    test: impl AsyncFn(u64, &S::Value) -> Result<Vec<K>, String>,
) -> Result<Came<K>, TestError<S::Value>> {
    let case = Cell::new(0);
    let came = RefCell::new(Came::new());
    TestRunner::new(config).run(&sequences, |sequence| {
        case.set(case.get() + 1);
        let kinds = runtime
            .block_on(test(case.get(), &sequence))
            .map_err(TestCaseError::fail)?;
        let mut came = came.borrow_mut();
        for kind in kinds {
            *came.entry(kind).or_insert(0) += 1;
        }
        Ok(())
    })?;
    Ok(came.into_inner())
}
