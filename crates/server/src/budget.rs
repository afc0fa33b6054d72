//! Bytes that many requests share.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// So many bytes, handed out in KiB: never waited for, since who waits holds what others wait for.
pub(crate) struct Budget(Arc<Semaphore>);

/// A part of a budget, given back when dropped; nothing of it at first.
#[derive(Default)]
pub(crate) struct Share(Option<OwnedSemaphorePermit>);

fn kib(bytes: usize) -> usize {
    bytes.div_ceil(1024)
}

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(kib(bytes).min(Semaphore::MAX_PERMITS))))
    }

    /// A share of so many bytes, if they are left.
    pub(crate) fn take(&self, bytes: usize) -> Option<Share> {
        let mut share = Share(None);
        self.resize(&mut share, bytes).then_some(share)
    }

    /// Makes a share larger, if that much is left, or smaller; says whether it has that size now.
    pub(crate) fn resize(&self, share: &mut Share, bytes: usize) -> bool {
        let (held, wanted) = (share.kib(), kib(bytes));
        if wanted <= held {
            drop(share.0.as_mut().and_then(|permit| permit.split(held - wanted)));
            return true;
        }
        let Ok(more) = u32::try_from(wanted - held) else {
            return false;
        };
        match (Arc::clone(&self.0).try_acquire_many_owned(more), &mut share.0) {
            (Ok(more), Some(permit)) => permit.merge(more),
            (Ok(more), none) => *none = Some(more),
            (Err(_), _) => return false,
        }
        true
    }
}

impl Share {
    fn kib(&self) -> usize {
        self.0.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_grows_and_shrinks_within_the_budget_and_is_given_back() {
        let budget = Budget::new(10 * 1024);
        let mut share = budget.take(4 * 1024).unwrap();
        assert!(budget.resize(&mut share, 4 * 1024 + 1));
        assert!(budget.take(5 * 1024 + 1).is_none());
        assert!(!budget.resize(&mut share, 10 * 1024 + 1), "more than there is");
        assert_eq!(share.kib(), 5, "a share that cannot grow stays as it is");
        assert!(budget.resize(&mut share, 1));
        let rest = budget.take(9 * 1024).unwrap();
        assert!(budget.take(1).is_none());
        drop((share, rest));
        assert!(budget.take(10 * 1024).is_some());
    }
}
