//! Whether a history is linearizable: whether its operations can be put in one order in which each takes effect at
//! a moment between its call and its answer, and each gets the answer that it got.
//!
//! The way is Wing and Gong's search with Lowe's just-in-time linearization ("Testing for linearizability", 2017): the
//! history is walked once, and what is kept are the [`Possibility`]s, the states that the object may be in together
//! with which of the operations under way have taken effect in it. An answer is what forces an operation to have
//! taken effect; a history is refused at the first answer that leaves no possibility. So the cost grows with the
//! length of the history and with what is under way at once, not exponentially with the length.
//!
//! What keeps the possibilities few, and why none that matters is lost:
//! - A read (whose answer means that nothing changed) is fitted in as soon as it fits: it disturbs nobody there, and
//!   it was asked already.
//! - Of operations whose outcome is unknown and that ask the same, the one asked first is used first: whatever a later
//!   one can explain, the earlier can.
//! - An operation that is about another part of the state than the one answered can wait, unless a read of several
//!   parts is under way that has not been fitted in.
//! - Of two possibilities with one state and the same changes, the one that fitted in more reads and used up fewer
//!   unknown outcomes can do all that the other can.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::hash::Hash;

use super::history::Operation;

/// Possibilities that the check looks at before it gives up: so many at first, and so many more with each answer.
const MOST: usize = 200_000;
const MOST_AN_ANSWER: usize = 50;

/// What an object does when it is called by one at a time.
pub trait Specification {
    /// What it remembers.
    type State: Clone + Eq + Hash;
    /// What it can be asked.
    type Call: Clone + Eq + Hash;
    /// What it answers.
    type Answer: Clone;

    /// What it remembers at first.
    fn start(&self) -> Self::State;

    /// What becomes of `state` when `call` is answered so; with `None`, when it is answered as is right.
    fn step(&self, state: &Self::State, call: &Self::Call, answer: Option<&Self::Answer>) -> Step<Self::State>;

    /// Whether this answer to this call says that nothing was changed, in whatever state; with `None`, whether any
    /// answer would.
    fn reads(&self, call: &Self::Call, answer: Option<&Self::Answer>) -> bool;

    /// Which part of the state a call is about, where that is one part and independent of the others. What is about
    /// several must read only.
    fn part(&self, call: &Self::Call) -> Option<usize>;
}

/// What one call does to a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step<S> {
    /// The call cannot be answered so in this state.
    Impossible,
    /// It can, and changes nothing.
    Unchanged,
    /// It can, and this is the state after it.
    Changed(S),
}

/// What a check comes to.
#[derive(Debug, Clone)]
pub enum Verdict<S, C, A> {
    /// There is an order that explains every answer.
    Linearizable,
    /// There is none.
    Violated(Violation<S, C, A>),
    /// There are too many to look at.
    Undecided,
}

/// Why a history is not linearizable, in as few operations as could be found.
#[derive(Debug, Clone)]
pub struct Violation<S, C, A> {
    /// What was certain before.
    pub state: S,
    /// What no order explains from there: what was under way or asked since, the last answer at the end.
    pub operations: Vec<Operation<C, A>>,
}

impl<S: fmt::Display, C: fmt::Display, A: fmt::Display> fmt::Display for Violation<S, C, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "It was certain that {}. From there no order explains", self.state)?;
        for operation in &self.operations {
            writeln!(f, "  {operation}")?;
        }
        Ok(())
    }
}

type Recorded<P> = Operation<<P as Specification>::Call, <P as Specification>::Answer>;
type VerdictOn<P> = Verdict<<P as Specification>::State, <P as Specification>::Call, <P as Specification>::Answer>;

/// Checks a history, given in any order.
pub fn check<P: Specification>(specification: &P, history: &[Recorded<P>]) -> VerdictOn<P> {
    let operations: Vec<&Recorded<P>> = history.iter().collect();
    match search(specification, specification.start(), &operations) {
        Ok(()) => Verdict::Linearizable,
        Err(Failure::TooMany) => Verdict::Undecided,
        Err(Failure::Stuck { state, since, at }) => {
            let since = fewest(specification, &state, since, at);
            let mut operations: Vec<Recorded<P>> = since.into_iter().cloned().collect();
            operations.sort_by_key(|operation| (operation.answered == Some(at), operation.asked));
            Verdict::Violated(Violation { state, operations })
        }
    }
}

/// Leaves out what a violation does not need. Leaving out an operation may only make a history easier to explain: that
/// is so of reads, and of everything about one part of the state once nothing is left that is about several.
fn fewest<'h, P: Specification>(
    specification: &P,
    state: &P::State,
    mut operations: Vec<&'h Recorded<P>>,
    at: u64,
) -> Vec<&'h Recorded<P>> {
    let without = |operations: Vec<&'h Recorded<P>>, which: &dyn Fn(&Recorded<P>) -> bool| {
        let fewer: Vec<_> = operations.iter().copied().filter(|one| !which(one)).collect();
        match search(specification, state.clone(), &fewer) {
            Err(Failure::Stuck { at: now, .. }) if now == at => fewer,
            _ => operations,
        }
    };
    let spare_read =
        |one: &Recorded<P>| one.answered != Some(at) && specification.reads(&one.call, one.answer.as_ref());
    operations = without(operations, &spare_read);
    let reads: Vec<_> = operations
        .iter()
        .filter(|one| spare_read(one))
        .map(|one| (one.asked, one.answered))
        .collect();
    for read in reads {
        operations = without(operations, &|one| (one.asked, one.answered) == read);
    }
    let parts: BTreeSet<_> = operations.iter().map(|one| specification.part(&one.call)).collect();
    if !parts.contains(&None) {
        for part in parts {
            operations = without(operations, &|one| specification.part(&one.call) == part);
        }
    }
    operations
}

/// Why a search found no order.
enum Failure<'h, P: Specification> {
    /// The answer at this moment leaves no possibility. `state` was the only one some time before, and `since` is
    /// what was under way then or asked later.
    Stuck {
        state: P::State,
        since: Vec<&'h Recorded<P>>,
        at: u64,
    },
    TooMany,
}

/// A state that the object may be in. Operations are named by their place in the search.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Possibility<S> {
    state: S,
    /// What took effect and will be answered yet.
    changes: BTreeSet<usize>,
    /// Reads that were fitted in and will be answered yet.
    reads: BTreeSet<usize>,
    /// What took effect and will never be answered.
    lost: BTreeSet<usize>,
}

impl<S> Possibility<S> {
    fn happened(&self, operation: usize) -> bool {
        self.changes.contains(&operation) || self.reads.contains(&operation) || self.lost.contains(&operation)
    }
}

/// Possibilities without those that another one covers.
struct Possibilities<S>(HashMap<(S, BTreeSet<usize>), Vec<Used>>);

struct Used {
    reads: BTreeSet<usize>,
    lost: BTreeSet<usize>,
}

impl<S: Clone + Eq + Hash> Possibilities<S> {
    fn new() -> Self {
        Self(HashMap::new())
    }

    /// Whether it was not covered by another.
    fn add(&mut self, one: Possibility<S>) -> bool {
        let Possibility {
            state,
            changes,
            reads,
            lost,
        } = one;
        let used = Used { reads, lost };
        match self.0.entry((state, changes)) {
            Entry::Vacant(vacant) => _ = vacant.insert(vec![used]),
            Entry::Occupied(mut occupied) => {
                let others = occupied.get_mut();
                let covers =
                    |one: &Used, other: &Used| one.reads.is_superset(&other.reads) && one.lost.is_subset(&other.lost);
                if others.iter().any(|other| covers(other, &used)) {
                    return false;
                }
                others.retain(|other| !covers(&used, other));
                others.push(used);
            }
        }
        true
    }

    fn into_vec(self) -> Vec<Possibility<S>> {
        let each = self.0.into_iter().flat_map(|((state, changes), used)| {
            used.into_iter().map(move |Used { reads, lost }| Possibility {
                state: state.clone(),
                changes: changes.clone(),
                reads,
                lost,
            })
        });
        each.collect()
    }
}

struct Search<'h, 'o, P: Specification> {
    specification: &'h P,
    operations: &'o [&'h Recorded<P>],
    /// Asked, and to be answered yet.
    under_way: Vec<usize>,
    /// Asked and never answered, by what was asked, in the order of asking.
    lost: HashMap<&'h P::Call, BTreeSet<usize>>,
    /// Possibilities that may yet be looked at.
    budget: usize,
}

/// Walks a history from a state on.
fn search<'h, P: Specification>(
    specification: &'h P,
    start: P::State,
    operations: &[&'h Recorded<P>],
) -> Result<(), Failure<'h, P>> {
    let mut events: Vec<(u64, usize, bool)> = Vec::with_capacity(2 * operations.len());
    for (place, operation) in operations.iter().enumerate() {
        events.push((operation.asked, place, false));
        events.extend(operation.answered.map(|at| (at, place, true)));
    }
    events.sort_unstable();

    let mut search = Search {
        specification,
        operations,
        under_way: Vec::new(),
        lost: HashMap::new(),
        budget: MOST,
    };
    let mut possible = vec![Possibility {
        state: start.clone(),
        changes: BTreeSet::new(),
        reads: BTreeSet::new(),
        lost: BTreeSet::new(),
    }];
    // The last state that was the only one, and what had not taken effect in it.
    let mut certain: (P::State, Vec<usize>, u64) = (start, Vec::new(), 0);
    for (moment, place, answered) in events {
        if !answered {
            search.ask(place);
            continue;
        }
        possible = search.answer(possible, place)?;
        search.under_way.retain(|one| *one != place);
        search.retire(&mut possible);
        match possible.as_slice() {
            [] => {
                let (state, before, from) = certain;
                let asked_since = operations
                    .iter()
                    .copied()
                    .filter(|one| one.asked > from && one.asked < moment);
                let before = before.into_iter().filter_map(|place| operations.get(place).copied());
                let since = before.chain(asked_since).collect();
                return Err(Failure::Stuck {
                    state,
                    since,
                    at: moment,
                });
            }
            [one] if one.changes.is_empty() => {
                let lost = search.lost.values().flatten().filter(|lost| !one.lost.contains(lost));
                let asked = search.under_way.iter().filter(|read| !one.reads.contains(read));
                let under_way = lost.chain(asked).copied().collect();
                certain = (one.state.clone(), under_way, moment);
            }
            _ => {}
        }
    }
    Ok(())
}

impl<'h, P: Specification> Search<'h, '_, P> {
    fn ask(&mut self, place: usize) {
        let Some(operation) = self.operations.get(place) else {
            return;
        };
        if operation.answered.is_some() {
            self.under_way.push(place);
        } else if !self.specification.reads(&operation.call, None) {
            self.lost.entry(&operation.call).or_default().insert(place);
        }
    }

    /// All possibilities in which this operation took effect with its answer, which is then behind them.
    fn answer(
        &mut self,
        possible: Vec<Possibility<P::State>>,
        place: usize,
    ) -> Result<Vec<Possibility<P::State>>, Failure<'h, P>> {
        let mut after = Possibilities::new();
        let mut looked_at = Possibilities::new();
        let mut to_look_at = possible;
        self.budget += MOST_AN_ANSWER;
        while let Some(mut one) = to_look_at.pop() {
            self.fit_reads(&mut one);
            if one.happened(place) {
                one.changes.remove(&place);
                one.reads.remove(&place);
                after.add(one);
                continue;
            }
            for next in self.nexts(&one, place) {
                if looked_at.add(next.clone()) {
                    to_look_at.push(next);
                    self.budget = self.budget.checked_sub(1).ok_or(Failure::TooMany)?;
                }
            }
        }
        Ok(after.into_vec())
    }

    fn fit_reads(&self, one: &mut Possibility<P::State>) {
        for place in &self.under_way {
            let Some(operation) = self.operations.get(*place) else {
                continue;
            };
            let answer = operation.answer.as_ref();
            let fits = !one.reads.contains(place)
                && self.specification.reads(&operation.call, answer)
                && self.specification.step(&one.state, &operation.call, answer) == Step::Unchanged;
            if fits {
                one.reads.insert(*place);
            }
        }
    }

    fn part(&self, place: usize) -> Option<usize> {
        let operation = self.operations.get(place)?;
        self.specification.part(&operation.call)
    }

    /// What may become of a possibility by one more operation, on the way to one's answer.
    fn nexts(&self, one: &Possibility<P::State>, answered: usize) -> Vec<Possibility<P::State>> {
        let wide = |place: &usize| self.part(*place).is_none() && !one.reads.contains(place);
        let part = if self.under_way.iter().any(wide) {
            None
        } else {
            self.part(answered)
        };
        let matters = |call: &P::Call| part.is_none() || self.specification.part(call) == part;
        let mut nexts = Vec::new();
        for place in self.under_way.iter().filter(|place| !one.happened(**place)) {
            let Some(operation) = self.operations.get(*place) else {
                continue;
            };
            let answer = operation.answer.as_ref();
            if self.specification.reads(&operation.call, answer) || !matters(&operation.call) {
                continue;
            }
            let state = match self.specification.step(&one.state, &operation.call, answer) {
                Step::Impossible => continue,
                Step::Unchanged => one.state.clone(),
                Step::Changed(state) => state,
            };
            let mut next = Possibility { state, ..one.clone() };
            next.changes.insert(*place);
            nexts.push(next);
        }
        for (call, places) in self.lost.iter().filter(|(call, _)| matters(call)) {
            let Some(place) = places.iter().find(|place| !one.lost.contains(place)) else {
                continue;
            };
            if let Step::Changed(state) = self.specification.step(&one.state, call, None) {
                let mut next = Possibility { state, ..one.clone() };
                next.lost.insert(*place);
                nexts.push(next);
            }
        }
        nexts
    }

    /// Forgets unknown outcomes that are known by now: they took effect in every possibility.
    fn retire(&mut self, possible: &mut [Possibility<P::State>]) {
        let Some((first, others)) = possible.split_first() else {
            return;
        };
        let in_all = |place: &usize| others.iter().all(|one| one.lost.contains(place));
        let known: BTreeSet<usize> = first.lost.iter().copied().filter(in_all).collect();
        if known.is_empty() {
            return;
        }
        for one in possible {
            one.lost.retain(|place| !known.contains(place));
        }
        for places in self.lost.values_mut() {
            places.retain(|place| !known.contains(place));
        }
        self.lost.retain(|_, places| !places.is_empty());
    }
}
