//! What connections may look like, by what clients sent and what was acknowledged.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::ensure;
use serde::{Deserialize, Serialize};

use crate::record::Mark;

/// A change of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Create it; its details are [`details`] of its name and this number.
    Create(u32),
    /// Attach it to a workspace.
    Attach(u64),
    /// Detach it from a workspace.
    Detach(u64),
    /// Delete it.
    Delete,
}

/// A connection as it stands, if it exists.
pub type State = Option<Connection>;

/// A connection as a client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Its id, where its creation was acknowledged.
    pub id: Option<String>,
    /// The number that its details were made of.
    pub generation: u32,
    /// The workspaces that it is attached to.
    pub workspaces: BTreeSet<u64>,
}

/// The details of a connection: from few bytes to many pages of the database.
pub fn details(name: &str, generation: u32) -> String {
    const SIZES: [usize; 8] = [0, 90, 400, 1000, 1000, 3000, 9000, 40_000];
    let seed = name
        .bytes()
        .fold(generation as usize, |sum, byte| sum + usize::from(byte));
    let fill = SIZES.get(seed % SIZES.len()).copied().unwrap_or_default();
    let letter = char::from(b'a' + u8::try_from(seed % 26).unwrap_or_default());
    format!(
        "{{\"name\":\"{name}\",\"generation\":{generation},\"fill\":\"{}\"}}",
        letter.to_string().repeat(fill)
    )
}

/// What each name may stand for.
#[derive(Debug, Clone, Default)]
pub struct Expected(BTreeMap<String, Known>);

#[derive(Debug, Clone)]
struct Known {
    /// Each of these is possible.
    states: Vec<State>,
    /// Sent, and not answered.
    under_way: Option<Change>,
}

impl Expected {
    /// Takes a mark into account.
    ///
    /// # Errors
    /// Where an answer has no request.
    pub fn take(&mut self, mark: &Mark) -> anyhow::Result<()> {
        match mark {
            Mark::Sent { name, change } => {
                let known = self.known(name);
                ensure!(known.under_way.is_none(), "two changes of {name} at once");
                known.under_way = Some(*change);
            }
            Mark::Acknowledged { name, id } => {
                let known = self.known(name);
                let Some(change) = known.under_way.take() else {
                    anyhow::bail!("{name} was answered without a request");
                };
                known.states = known.states.iter().filter_map(|state| after(state, change)).collect();
                for connection in known.states.iter_mut().flatten() {
                    if id.is_some() {
                        connection.id.clone_from(id);
                    }
                }
                ensure!(!known.states.is_empty(), "{name}: {change:?} cannot have succeeded");
            }
            Mark::Refused { name } => {
                let known = self.known(name);
                known.states = known.possible();
                known.under_way = None;
            }
        }
        Ok(())
    }

    fn known(&mut self, name: &str) -> &mut Known {
        self.0.entry(name.to_owned()).or_insert_with(|| Known {
            states: vec![None],
            under_way: None,
        })
    }

    /// Holds what was found against what is possible.
    ///
    /// # Errors
    /// The first difference.
    pub fn check(&self, found: &BTreeMap<String, Connection>) -> anyhow::Result<()> {
        if let Some(name) = found.keys().find(|name| !self.0.contains_key(*name)) {
            anyhow::bail!("{name} is there, but nobody created it");
        }
        for (name, known) in &self.0 {
            let (found, possible) = (found.get(name), known.possible());
            ensure!(
                possible.iter().any(|state| agrees(state.as_ref(), found)),
                "{name} is {found:?}, but only these are possible: {possible:?}"
            );
        }
        Ok(())
    }

    /// From now on each name stands for what was found.
    ///
    /// # Errors
    /// As [`Expected::check`].
    pub fn settle(&mut self, found: &BTreeMap<String, Connection>) -> anyhow::Result<()> {
        self.check(found)?;
        for (name, known) in &mut self.0 {
            known.states = vec![found.get(name).cloned()];
            known.under_way = None;
        }
        Ok(())
    }

    /// What a name stands for, if that is certain; a name that was never used stands for nothing.
    pub fn certain(&self, name: &str) -> Option<State> {
        let Some(known) = self.0.get(name) else {
            return Some(None);
        };
        match known.possible().as_slice() {
            [state] => Some(state.clone()),
            _ => None,
        }
    }
}

impl Known {
    fn possible(&self) -> Vec<State> {
        let mut possible = self.states.clone();
        if let Some(change) = self.under_way {
            let done = self.states.iter().filter_map(|state| after(state, change));
            possible.extend(done.filter(|state| !self.states.contains(state)));
        }
        possible
    }
}

/// The state after a change has succeeded; `None` where it cannot have.
fn after(state: &State, change: Change) -> Option<State> {
    match (state.clone(), change) {
        (None, Change::Create(generation)) => Some(Some(Connection {
            id: None,
            generation,
            workspaces: BTreeSet::new(),
        })),
        (Some(mut connection), Change::Attach(workspace)) => {
            connection.workspaces.insert(workspace);
            Some(Some(connection))
        }
        (Some(mut connection), Change::Detach(workspace)) => {
            connection.workspaces.remove(&workspace).then_some(Some(connection))
        }
        (Some(connection), Change::Delete) if connection.workspaces.is_empty() => Some(None),
        _ => None,
    }
}

fn agrees(expected: Option<&Connection>, found: Option<&Connection>) -> bool {
    match (expected, found) {
        (None, None) => true,
        (Some(expected), Some(found)) => {
            expected.generation == found.generation
                && expected.workspaces == found.workspaces
                && (expected.id.is_none() || expected.id == found.id)
        }
        _ => false,
    }
}
