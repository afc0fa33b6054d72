//! What an isolate holds of bodies and of objects' answers at once.

use std::cell::Cell;
use std::rc::Rc;

/// Bytes that may be held at once. An isolate has 128 MB, and each byte of a body or an answer is there up to five times
/// on its way: in JavaScript, taken over, taken apart, put together, in JavaScript again. The longest list is 8 MiB.
const MOST: usize = 20 * 1024 * 1024;
/// What comes to no more than this is not counted, so that the usual requests are served beside the largest.
const UNCOUNTED: usize = 16 * 1024;

/// The bytes that are held. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Memory(Rc<Cell<usize>>);

/// Some of those bytes, given back when dropped.
pub(crate) struct Share {
    of: Memory,
    bytes: usize,
}

impl Memory {
    /// A share of so many bytes, if they may be held now.
    pub(crate) fn hold(&self, bytes: usize) -> Option<Share> {
        let bytes = if bytes > UNCOUNTED { bytes } else { 0 };
        let held = self.0.get().checked_add(bytes).filter(|held| *held <= MOST)?;
        self.0.set(held);
        Some(Share {
            of: self.clone(),
            bytes,
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let held = &self.of.0;
        held.set(held.get().saturating_sub(self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_much_is_held_at_once_and_what_is_small_is_held_besides() {
        let memory = Memory::default();
        let most = memory.hold(MOST).unwrap();
        assert!(memory.hold(UNCOUNTED + 1).is_none());
        let small = memory.hold(UNCOUNTED).unwrap();
        drop(most);
        let again = memory.hold(MOST);
        assert!(again.is_some(), "what was dropped is given back");
        drop(small);
        assert!(memory.hold(UNCOUNTED + 1).is_none(), "what is small gives nothing back");
    }
}
