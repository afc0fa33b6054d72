//! What may happen.

use proptest::prelude::*;

/// Names of connections.
pub const NAMES: [&str; 2] = ["a", "b"];
/// Names of workspaces, whose ids are 1, 2 and 3.
pub const WORKSPACES: [&str; 3] = ["v", "w", "x"];
/// An admin, and three others.
pub const CALLERS: [&str; 4] = ["root", "ann", "bob", "eve"];
/// Places that read from KV.
pub const PLACES: usize = 2;

/// One thing that happens. Callers, places, names and workspaces are known by their place.
#[derive(Debug, Clone)]
pub enum Step {
    /// One change, which KV follows, while others read.
    Change { who: usize, act: Act, reads: Vec<Read> },
    /// One read.
    Read(Read),
    /// A read that found something, before the last one but so many, once more.
    Again { back: usize },
    /// A list of everything.
    List { who: usize },
    /// Time passes.
    Pass { millis: i64 },
    /// Time passes until so long after the end of the lease of what was read before the last change but so many.
    PassLease { back: usize, millis: i64 },
    /// The object dies after so many turns of following, and starts again.
    Die { turns: usize },
}

#[derive(Debug, Clone)]
pub struct Read {
    pub who: usize,
    pub at: usize,
    pub what: What,
    /// Turns that it lets others go first.
    pub turns: usize,
}

#[derive(Debug, Clone)]
pub enum What {
    Name(usize),
    /// The connection that was made before the last one but so many.
    Id(usize),
}

#[derive(Debug, Clone)]
pub enum Act {
    Create {
        name: usize,
    },
    /// Of the connection that was found last.
    Attach {
        to: usize,
    },
    Detach {
        from: usize,
    },
    Delete {
        name: usize,
    },
    Join {
        who: usize,
        to: usize,
    },
    Leave {
        who: usize,
        from: usize,
    },
}

/// Up to `most` steps.
pub fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    // Often the admin, who may do everything.
    let who = || prop_oneof![1 => Just(0), 2 => 0..CALLERS.len()];
    let (name, room) = (0..NAMES.len(), 0..WORKSPACES.len());
    let what = prop_oneof![3 => name.clone().prop_map(What::Name), 2 => (0..2_usize).prop_map(What::Id)];
    let read = (who(), 0..PLACES, what, 0..6_usize);
    let read = read
        .prop_map(|(who, at, what, turns)| Read { who, at, what, turns })
        .boxed();
    let act = prop_oneof![
        6 => name.clone().prop_map(|name| Act::Create { name }),
        6 => room.clone().prop_map(|to| Act::Attach { to }),
        6 => room.clone().prop_map(|from| Act::Detach { from }),
        2 => name.prop_map(|name| Act::Delete { name }),
        6 => (0..CALLERS.len(), room.clone()).prop_map(|(who, to)| Act::Join { who, to }),
        4 => (0..CALLERS.len(), room).prop_map(|(who, from)| Act::Leave { who, from }),
    ];
    let millis = prop_oneof![Just(0), 1..1_000_i64];
    let step = prop_oneof![
        8 => (who(), act, prop::collection::vec(read.clone(), 0..3))
            .prop_map(|(who, act, reads)| Step::Change { who, act, reads }),
        6 => read.prop_map(Step::Read),
        16 => (0..4_usize).prop_map(|back| Step::Again { back }),
        1 => (0..CALLERS.len()).prop_map(|who| Step::List { who }),
        6 => (0..20_000_i64).prop_map(|millis| Step::Pass { millis }),
        1 => (0..400_000_i64).prop_map(|millis| Step::Pass { millis }),
        3 => (0..3_usize, millis).prop_map(|(back, millis)| Step::PassLease { back, millis }),
        1 => (0..20_usize).prop_map(|turns| Step::Die { turns }),
    ];
    prop::collection::vec(step, 1..=most)
}
