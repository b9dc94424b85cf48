//! When to connect again, and how long to wait before.

use std::time::Duration;

use bondy_wamp::error_uri::{CloseUri, ErrorUri};

use crate::connection::EndReason;

/// Longer times are for ever. Adding this to any clock stays in its range.
const TIME_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// The time, or one that is as good as for ever.
pub(crate) fn bounded(time: Duration) -> Duration {
    time.min(TIME_MAX)
}

/// How a client that has lost its connection makes another.
///
/// The pause before attempt *n* is drawn evenly between zero and `pause_min * 2^(n-1)`, at most `pause_max`, so that many
/// clients of one router do not come back all at once. A session that ends within 5 s of its WELCOME makes the next pause
/// longer too, so that a router that lets a client in and drops it at once is not stormed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReconnectPolicy {
    /// The most that is waited before the first attempt; 100 ms by default.
    pub pause_min: Duration,
    /// The most that is ever waited; 30 s by default.
    pub pause_max: Duration,
    /// How many attempts are made before the client gives up; 0 means that it never connects again, `None` (the
    /// default) that it never gives up.
    pub attempts_max: Option<u32>,
}

impl Default for ReconnectPolicy {
    fn default() -> Self {
        Self { pause_min: Duration::from_millis(100), pause_max: Duration::from_secs(30), attempts_max: None }
    }
}

impl ReconnectPolicy {
    /// A lost connection is the end.
    pub fn never() -> Self {
        Self { attempts_max: Some(0), ..Self::default() }
    }

    /// The pause before this attempt, the first being 1, for a random number between 0 and 1.
    pub(crate) fn pause(&self, attempt: u32, random: f64) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        let most = self.pause_min.saturating_mul(1 << doublings).min(bounded(self.pause_max));
        most.mul_f64(random.clamp(0.0, 1.0))
    }
}

/// Reasons of ABORT after which the same client would be refused again.
const FINAL_ABORTS: [ErrorUri; 11] = [
    ErrorUri::NoSuchRealm,
    ErrorUri::NoSuchPrincipal,
    ErrorUri::NoSuchRole,
    ErrorUri::NoMatchingAuthMethod,
    ErrorUri::AuthenticationDenied,
    ErrorUri::AuthenticationFailed,
    ErrorUri::AuthenticationRequired,
    ErrorUri::NotAuthorized,
    ErrorUri::AuthorizationFailed,
    ErrorUri::InvalidUri,
    ErrorUri::FeatureNotSupported,
];

/// May a client that was refused with this reason try again?
pub(crate) fn may_join_again(reason: &str) -> bool {
    !FINAL_ABORTS.iter().any(|known| known.as_str() == reason)
}

/// Does the client connect again after this end of its connection?
///
/// After a lost or silent connection, after the router's shutdown, the closing of its realm, and an ABORT: yes, but not
/// where it would be refused again. After any other GOODBYE the router, or somebody through its meta API, wants this
/// client gone, and it stays away.
pub(crate) fn may_reconnect(end: &EndReason) -> bool {
    match end {
        EndReason::Closed | EndReason::GaveUp { .. } | EndReason::Authentication(_) => false,
        EndReason::Goodbye { reason, .. } => {
            [CloseUri::SystemShutdown, CloseUri::CloseRealm].iter().any(|known| known.as_str() == reason)
        }
        EndReason::Abort { reason, .. } => may_join_again(reason),
        EndReason::Lost(_) | EndReason::Silent(_) | EndReason::ProtocolViolation(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let policy = ReconnectPolicy::default();
        let most = |attempt| policy.pause(attempt, 1.0).as_millis();
        assert_eq!([most(1), most(2), most(3), most(9), most(1000)], [100, 200, 400, 25_600, 30_000]);
        assert_eq!(policy.pause(5, 0.0), Duration::ZERO);
        assert_eq!(policy.pause(1, 0.5), Duration::from_millis(50));
    }

    #[test]
    fn who_was_killed_stays_away_and_who_was_shut_down_comes_back() {
        let goodbye = |reason: &str| EndReason::Goodbye { reason: reason.to_owned(), message: None };
        assert!(may_reconnect(&goodbye("wamp.close.system_shutdown")));
        assert!(!may_reconnect(&goodbye("wamp.close.killed")));
        assert!(!may_reconnect(&goodbye("com.example.banned")));
        let abort = |reason: &str| EndReason::Abort { reason: reason.to_owned(), message: None };
        assert!(!may_reconnect(&abort("wamp.error.no_such_realm")));
        assert!(may_reconnect(&abort("bondy.error.internal")));
        assert!(may_reconnect(&EndReason::Lost("broken pipe".to_owned())));
        assert!(!may_reconnect(&EndReason::Closed));
    }
}
