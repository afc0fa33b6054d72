//! The body of an answer, and what goes with it until the client has taken it.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::AbortHandle;

use crate::budget::Share;
use crate::limits::SLICE;

/// Bytes that go to the network a slice at a time, so that no more than a slice of them waits in its buffers.
pub(crate) struct AnswerBody {
    pub(crate) rest: Bytes,
    /// The request's place among those at once.
    pub(crate) _slot: Option<OwnedSemaphorePermit>,
    /// Drops the client that takes too long.
    pub(crate) _deadline: Option<Deadline>,
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let slice = self.rest.len().min(SLICE);
        let slice = self.rest.split_to(slice);
        Poll::Ready((!slice.is_empty()).then(|| Ok(Frame::data(slice))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

/// Bytes that hold a share of a budget until the last slice of them is written or given up.
pub(crate) fn counted(bytes: Bytes, share: Share) -> Bytes {
    struct Counted {
        bytes: Bytes,
        _share: Share,
    }
    impl AsRef<[u8]> for Counted {
        fn as_ref(&self) -> &[u8] {
            &self.bytes
        }
    }
    Bytes::from_owner(Counted { bytes, _share: share })
}

/// A task that acts when a time is up, unless this is dropped before.
pub(crate) struct Deadline(pub(crate) AbortHandle);

impl Drop for Deadline {
    fn drop(&mut self) {
        self.0.abort();
    }
}
