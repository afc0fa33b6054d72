//! How fresh reads are.

/// How fresh is what `get`, `get_by_id` and `list` give. What a change or a list of workspaces rests on is always fresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reads {
    /// Every change that was acknowledged before is in it.
    #[default]
    Strong,
    /// Changes of the last moments may be missing, mostly of less than a second. Costs half.
    Eventual,
}

/// A setting of `PATCHBAY_READS` that means nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("PATCHBAY_READS must be strong, eventual or not set, not {0:?}")]
pub struct WrongReads(String);

impl Reads {
    /// What `PATCHBAY_READS` says, [`Reads::Strong`] where it says nothing.
    ///
    /// # Errors
    /// Where it says anything else.
    pub fn of_setting(setting: Option<&str>) -> Result<Self, WrongReads> {
        match setting {
            None | Some("strong") => Ok(Self::Strong),
            Some("eventual") => Ok(Self::Eventual),
            Some(other) => Err(WrongReads(other.to_owned())),
        }
    }

    /// DynamoDB's `ConsistentRead`.
    pub(crate) fn consistent(self) -> bool {
        self == Self::Strong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_are_strong_unless_they_are_to_be_eventual() {
        assert_eq!(Reads::of_setting(None), Ok(Reads::Strong));
        assert_eq!(Reads::of_setting(Some("strong")), Ok(Reads::Strong));
        assert_eq!(Reads::of_setting(Some("eventual")), Ok(Reads::Eventual));
        for wrong in ["", "Strong", "edge"] {
            assert_eq!(Reads::of_setting(Some(wrong)), Err(WrongReads(wrong.to_owned())));
        }
    }
}
