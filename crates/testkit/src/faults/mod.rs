//! A target broken on purpose, to show that the cases notice: faults of a store, its lateness, and faults of the surface.

mod late;
mod store;
mod surface;

pub use late::{Late, LateStore};
pub use store::{FaultyStore, StoreFault};
pub use surface::{FaultySurface, SurfaceFault};

macro_rules! faults {
    ($(#[$doc:meta])* $enum:ident { $($fault:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(missing_docs, reason = "each is named for what it does wrong")]
        pub enum $enum { $($fault),+ }

        impl $enum {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$fault),+];
        }
    };
}
use faults;
