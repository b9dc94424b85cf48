//! Identifiers: one newtype for each kind, all unsigned integers of at most 2^53.
//!
//! Specification: Basic Profile, "Identifiers". Session and publication ids are of global scope (drawn at random),
//! registration and subscription ids of router scope, request ids of session scope. Ids that this router picks
//! in router scope stay below 2^32, because a widely used client sends larger ones back as floats.

use std::fmt;

/// The largest id on the wire: 2^53, the largest integer that every float-based peer can represent exactly.
pub const ID_MAX: u64 = 1 << 53;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }
    )*};
}

ids! {
    /// Names one session, in global scope: random in 1 to 2^53.
    SessionId;
    /// Names one request of one session in one direction: 1, 2, 3, ... by rule; any unused one is tolerated.
    RequestId;
    /// Names one publication, in global scope: random in 1 to 2^53.
    PublicationId;
    /// Names one subscription of a realm; below 2^32.
    SubscriptionId;
    /// Names one registration of a realm; below 2^32.
    RegistrationId;
}
