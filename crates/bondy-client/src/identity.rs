//! Who a caller or publisher is, as far as the router discloses it.

use bondy_wamp::id::SessionId;
use bondy_wamp::message;

/// A caller or publisher. What is not disclosed is absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its session.
    pub session: Option<SessionId>,
    /// Its authid.
    pub authid: Option<String>,
    /// Its authrole.
    pub authrole: Option<String>,
}

impl Identity {
    pub(crate) fn of(identity: &message::Identity<'_>) -> Self {
        let text = |text: &str| Some(text).filter(|text| !text.is_empty()).map(str::to_owned);
        Self {
            session: Some(identity.session).filter(|session| session.0 != 0),
            authid: text(&identity.authid),
            authrole: text(&identity.authrole),
        }
    }
}
