//! Cursors. The input is a digit for the caller, one for the filter, and the cursor.

use std::sync::LazyLock;

use patchbay_core::model::{Caller, Name, WorkspaceId};
use patchbay_core::seal::KeyRing;
use patchbay_testkit::sample::{caller, name, workspace};

use crate::still::Still;

/// Opens a cursor.
type Open = fn(&KeyRing, &Caller, Option<WorkspaceId>, &str) -> Option<Name>;

/// A cursor, and what for it was made.
struct Issued {
    caller: usize,
    filter: usize,
    last: Name,
    cursor: String,
}

struct World {
    ring: KeyRing,
    callers: [Caller; 3],
    filters: [Option<WorkspaceId>; 3],
    issued: Vec<Issued>,
}

#[allow(clippy::expect_used, reason = "constants")]
static WORLD: LazyLock<World> = LazyLock::new(|| {
    let (old, new) = (
        "old:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "new:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB",
    );
    let callers = [
        caller("t", "ann", false),
        caller("t", "bob", false),
        caller("u", "ann", false),
    ];
    let filters = [None, Some(workspace(1)), Some(workspace(2))];
    let mut issued = Vec::new();
    for (sealing, last) in [(old, "warehouse"), (new, "b")] {
        let (ring, host) = (KeyRing::parse(sealing).expect("a ring"), Still::default());
        for (caller, who) in callers.iter().enumerate() {
            for (filter, of) in filters.iter().enumerate() {
                let last = name(last);
                let cursor = ring.cursor(&host, who, *of, &last);
                issued.push(Issued {
                    caller,
                    filter,
                    last,
                    cursor,
                });
            }
        }
    }
    World {
        ring: KeyRing::parse(&format!("{new},{old}")).expect("a ring"),
        callers,
        filters,
        issued,
    }
});

pub(crate) fn check(input: &[u8]) {
    hold(input, KeyRing::open_cursor);
}

/// Takes a cursor with padding, which none has.
pub(crate) fn planted(input: &[u8]) {
    hold(input, |ring, caller, filter, cursor| {
        ring.open_cursor(caller, filter, cursor.trim_end_matches('='))
    });
}

/// A cursor opens if, and only if, it is one that was made for this caller and filter, to the byte.
fn hold(input: &[u8], open: Open) {
    let world = &*WORLD;
    let Some((&[caller, filter], cursor)) = input.split_first_chunk() else {
        return;
    };
    let (caller, filter) = (usize::from(caller) % 3, usize::from(filter) % 3);
    let (Some(who), Some(of), Ok(cursor)) = (
        world.callers.get(caller),
        world.filters.get(filter),
        std::str::from_utf8(cursor),
    ) else {
        return;
    };
    let made = |issued: &&Issued| issued.caller == caller && issued.filter == filter && issued.cursor == cursor;
    let expected = world.issued.iter().find(made).map(|issued| issued.last.clone());
    assert_eq!(open(&world.ring, who, *of, cursor), expected);
}

/// Each cursor that opens, as an input: where the engine begins.
#[cfg(test)]
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let input = |issued: &Issued| format!("{}{}{}", issued.caller, issued.filter, issued.cursor).into_bytes();
    WORLD.issued.iter().map(input).collect()
}
