//! What it means that an object gave no answer.

use patchbay_core::store::StoreError;

/// What the runtime throws for it: its message, and the marks that it sets.
#[derive(Debug, Clone, Default)]
pub(crate) struct Unreached {
    pub(crate) message: String,
    /// The object does as much as it can, or its isolate went past its memory.
    pub(crate) overloaded: bool,
    /// The object was ended, whatever it had done.
    pub(crate) reset: bool,
    /// The object itself threw it.
    pub(crate) remote: bool,
}

impl From<Unreached> for StoreError {
    /// Busy, which promises that nothing was done, only where the runtime kept the request from the object. Of an object
    /// that ran out of memory it sets the same mark, and says something else.
    fn from(unreached: Unreached) -> Self {
        let refused = unreached.overloaded && unreached.message.contains("is overloaded");
        let message = format!("the object gave no answer: {}", unreached.message);
        if refused && !unreached.reset && !unreached.remote {
            Self::Busy(message)
        } else {
            Self::Unavailable(message)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_busy_only_where_the_request_never_came_to_it() {
        let overloaded = Unreached {
            message: "Durable Object is overloaded. Too many requests queued.".into(),
            overloaded: true,
            ..Unreached::default()
        };
        assert!(matches!(overloaded.clone().into(), StoreError::Busy(_)));
        let memory = "Durable Object's isolate exceeded its memory limit and was reset.";
        for other in [
            Unreached {
                message: memory.into(),
                ..overloaded.clone()
            },
            Unreached {
                reset: true,
                ..overloaded.clone()
            },
            Unreached {
                remote: true,
                ..overloaded.clone()
            },
            Unreached {
                overloaded: false,
                ..overloaded
            },
        ] {
            assert!(matches!(other.clone().into(), StoreError::Unavailable(_)), "{other:?}");
        }
    }
}
