//! Roles and the features that a peer announces for them.
//!
//! Specification: Advanced Profile, "Feature Announcement". A feature is announced for a role; the router asks
//! only "does this callee support progressive results?", so a set of (role, feature) pairs is one integer.

/// The roles of a client. (Roles in the sense of authorization are `AuthRole`.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WampRole {
    /// Publishes events.
    Publisher,
    /// Receives events.
    Subscriber,
    /// Calls procedures.
    Caller,
    /// Serves procedures.
    Callee,
}

macro_rules! features {
    ($($(#[$doc:meta])* $variant:ident = $role:ident / $name:literal,)*) => {
        /// A feature that a client announces for one of its roles.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Feature { $($(#[$doc])* $variant,)* }

        impl Feature {
            /// Every feature, with its role and its name on the wire.
            pub const ALL: &'static [(Feature, WampRole, &'static str)] =
                &[$((Feature::$variant, WampRole::$role, $name),)*];
        }
    };
}

features! {
    /// A publisher that may be excluded or not from its own events.
    PublisherExclusion = Publisher / "publisher_exclusion",
    /// A publisher that restricts the receivers of an event.
    PublisherBlackwhiteListing = Publisher / "subscriber_blackwhite_listing",
    /// A publisher that asks to be disclosed.
    PublisherIdentification = Publisher / "publisher_identification",
    /// A publisher that sends opaque payloads.
    PublisherPassthru = Publisher / "payload_passthru_mode",
    /// A subscriber that understands the publisher's identity.
    SubscriberIdentification = Subscriber / "publisher_identification",
    /// A subscriber that understands trust levels.
    SubscriberTrustlevels = Subscriber / "publication_trustlevels",
    /// A subscriber that uses patterns.
    SubscriberPatterns = Subscriber / "pattern_based_subscription",
    /// A subscriber that understands an UNSUBSCRIBED that it did not ask for.
    SubscriberRevocation = Subscriber / "subscription_revocation",
    /// A subscriber that takes opaque payloads.
    SubscriberPassthru = Subscriber / "payload_passthru_mode",
    /// A caller that takes progressive results.
    CallerProgressiveResults = Caller / "progressive_call_results",
    /// A caller that sends progressive input.
    CallerProgressiveInvocations = Caller / "progressive_call_invocations",
    /// A caller that cancels calls.
    CallerCanceling = Caller / "call_canceling",
    /// A caller that sets timeouts.
    CallerTimeout = Caller / "call_timeout",
    /// A caller that asks to be disclosed.
    CallerIdentification = Caller / "caller_identification",
    /// A caller that sends and takes opaque payloads.
    CallerPassthru = Caller / "payload_passthru_mode",
    /// A callee that yields progressive results.
    CalleeProgressiveResults = Callee / "progressive_call_results",
    /// A callee that takes progressive input.
    CalleeProgressiveInvocations = Callee / "progressive_call_invocations",
    /// A callee that can be interrupted.
    CalleeCanceling = Callee / "call_canceling",
    /// A callee that keeps timeouts itself.
    CalleeTimeout = Callee / "call_timeout",
    /// A callee that understands the caller's identity.
    CalleeIdentification = Callee / "caller_identification",
    /// A callee that understands trust levels.
    CalleeTrustlevels = Callee / "call_trustlevels",
    /// A callee that registers patterns.
    CalleePatterns = Callee / "pattern_based_registration",
    /// A callee that shares registrations.
    CalleeShared = Callee / "shared_registration",
    /// A callee that understands an UNREGISTERED that it did not ask for.
    CalleeRevocation = Callee / "registration_revocation",
    /// A callee whose `wamp.error.unavailable` means "ask another".
    CalleeReroute = Callee / "call_reroute",
    /// A callee that takes and sends opaque payloads.
    CalleePassthru = Callee / "payload_passthru_mode",
}

/// The roles and features that a client announced in HELLO.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    features: u32,
    roles: u8,
}

impl Features {
    /// All roles with all features, as this project's own client announces them.
    pub const fn all() -> Self {
        Self { features: u32::MAX, roles: 0b1111 }
    }

    /// Was this feature announced?
    pub const fn has(self, feature: Feature) -> bool {
        self.features & (1 << feature as u32) != 0
    }

    /// Was this role announced?
    pub const fn has_role(self, role: WampRole) -> bool {
        self.roles & (1 << role as u8) != 0
    }

    /// Was any role announced at all? (HELLO must name at least one.)
    pub const fn has_any_role(self) -> bool {
        self.roles != 0
    }

    /// Adds a role.
    pub const fn insert_role(&mut self, role: WampRole) {
        self.roles |= 1 << role as u8;
    }

    /// Adds a feature.
    pub const fn insert(&mut self, feature: Feature) {
        self.features |= 1 << feature as u32;
    }

    /// Takes a feature away.
    pub const fn remove(&mut self, feature: Feature) {
        self.features &= !(1 << feature as u32);
    }
}

impl WampRole {
    /// Every client role with its name on the wire.
    pub const ALL: &'static [(WampRole, &'static str)] = &[
        (WampRole::Publisher, "publisher"),
        (WampRole::Subscriber, "subscriber"),
        (WampRole::Caller, "caller"),
        (WampRole::Callee, "callee"),
    ];
}

/// The features that this router announces in WELCOME for its broker role.
pub const BROKER_FEATURES: &[&str] = &[
    "event_history",
    "event_retention",
    "pattern_based_subscription",
    "payload_passthru_mode",
    "publication_trustlevels",
    "publisher_exclusion",
    "publisher_identification",
    "session_meta_api",
    "subscriber_blackwhite_listing",
    "subscription_meta_api",
    "subscription_revocation",
];

/// The features that this router announces in WELCOME for its dealer role.
pub const DEALER_FEATURES: &[&str] = &[
    "call_canceling",
    "call_reroute",
    "call_timeout",
    "call_trustlevels",
    "caller_identification",
    "pattern_based_registration",
    "payload_passthru_mode",
    "progressive_call_invocations",
    "progressive_call_results",
    "registration_meta_api",
    "registration_revocation",
    "session_meta_api",
    "shared_registration",
    "testament_meta_api",
];
