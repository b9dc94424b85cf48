//! The predefined error and close URIs, as one closed set.
//!
//! Specification: "Predefined URIs", Basic and Advanced Profile; `bondy.error.*` are this router's own.

macro_rules! uris {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $uri:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// Every member of the set.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// The URI as it stands on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $uri,)* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(self.as_str())
            }
        }
    };
}

uris! {
    /// Why a request was not done, or why a session was not let in.
    ErrorUri {
        /// The peer broke the protocol; the session ends.
        ProtocolViolation = "wamp.error.protocol_violation",
        /// A URI breaks the rules for URIs, or is reserved.
        InvalidUri = "wamp.error.invalid_uri",
        /// The arguments of a call are not what the procedure takes.
        InvalidArgument = "wamp.error.invalid_argument",
        /// No callee holds this procedure.
        NoSuchProcedure = "wamp.error.no_such_procedure",
        /// The procedure is registered, under a policy that does not allow another registration.
        ProcedureAlreadyExists = "wamp.error.procedure_already_exists",
        /// No such registration, or not one of this session.
        NoSuchRegistration = "wamp.error.no_such_registration",
        /// No such subscription, or not one of this session.
        NoSuchSubscription = "wamp.error.no_such_subscription",
        /// No such session.
        NoSuchSession = "wamp.error.no_such_session",
        /// The realm does not exist.
        NoSuchRealm = "wamp.error.no_such_realm",
        /// The principal does not exist.
        NoSuchPrincipal = "wamp.error.no_such_principal",
        /// The role does not exist.
        NoSuchRole = "wamp.error.no_such_role",
        /// None of the client's authentication methods is allowed.
        NoMatchingAuthMethod = "wamp.error.no_matching_auth_method",
        /// The authentication method refused.
        AuthenticationDenied = "wamp.error.authentication_denied",
        /// Authentication did not succeed.
        AuthenticationFailed = "wamp.error.authentication_failed",
        /// Authentication is needed.
        AuthenticationRequired = "wamp.error.authentication_required",
        /// The principal may not do this.
        NotAuthorized = "wamp.error.not_authorized",
        /// Deciding whether the principal may do this failed.
        AuthorizationFailed = "wamp.error.authorization_failed",
        /// The call was canceled by its caller, or its callee left.
        Canceled = "wamp.error.canceled",
        /// The call did not end in time.
        Timeout = "wamp.error.timeout",
        /// A message is larger than the peer, or its queue, can take.
        PayloadSizeExceeded = "wamp.error.payload_size_exceeded",
        /// A callee cannot serve at present.
        Unavailable = "wamp.error.unavailable",
        /// Every callee said that it cannot serve at present.
        NoAvailableCallee = "wamp.error.no_available_callee",
        /// The other side did not announce the feature that this needs.
        FeatureNotSupported = "wamp.error.feature_not_supported",
        /// An option is not allowed here.
        OptionNotAllowed = "wamp.error.option_not_allowed",
        /// The realm forbids `disclose_me`.
        DiscloseMeDisallowed = "wamp.error.option_disallowed.disclose_me",
        /// The link to the other side was lost.
        NetworkFailure = "wamp.error.network_failure",
        /// A limit of the realm or of the session is reached; kwargs `limit` and `max` say which.
        LimitExceeded = "bondy.error.limit_exceeded",
        /// Something in the router failed; the log says what.
        Internal = "bondy.error.internal",
    }
}

uris! {
    /// Why a session was closed with GOODBYE.
    CloseUri {
        /// The router shuts down.
        SystemShutdown = "wamp.close.system_shutdown",
        /// The realm is closed.
        CloseRealm = "wamp.close.close_realm",
        /// The answer to a GOODBYE.
        GoodbyeAndOut = "wamp.close.goodbye_and_out",
        /// The session was killed through the meta API.
        Killed = "wamp.close.killed",
        /// The usual reason that clients give.
        Normal = "wamp.close.normal",
    }
}
