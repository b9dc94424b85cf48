//! Describing a client before it connects.

use std::sync::Arc;
use std::time::Duration;

use bondy_transport::client::{ConnectOptions, Endpoint, TlsOptions};
use bondy_wamp::serializer::Serializer;
use bondy_wamp::uri::{UriRule, is_valid};
use tokio::sync::Mutex;

use crate::authentication::{AuthenticationError, Authenticator};
use crate::client::Client;
use crate::connection::EndReason;
use crate::dial::{Connector, Place, Places};
use crate::driver::{Driver, KeepAlive};
use crate::error::ConnectError;
use crate::join::Identification;
use crate::policy::{ReconnectPolicy, bounded};
use crate::session::Limits;
use crate::shared::{Shared, WhileDisconnected};

/// Bytes that wait to be written before senders wait, unless the builder is told otherwise.
pub const OUTGOING_BYTES_DEFAULT: usize = 1024 * 1024;

/// Describes a client.
///
/// | Setting | Default | Why |
/// |---|---|---|
/// | realm | `realm1` | the one of a router for development |
/// | serializers | MessagePack, CBOR, JSON | the first two carry binary as it is |
/// | connect timeout | 10 s | for connecting and joining together |
/// | ping interval, timeout | 20 s, 10 s | a frozen connection is noticed within half a minute |
/// | reconnect | for ever, 100 ms to 30 s | see [`ReconnectPolicy`] |
/// | while disconnected | wait 10 s | short interruptions are not noticed |
/// | outgoing bytes | 1 MiB | beyond, senders wait for the socket |
/// | close timeout | 5 s | a router that does not answer GOODBYE holds nobody up |
#[must_use = "a client connects when `connect` is awaited"]
pub struct Builder {
    urls: Vec<String>,
    realm: String,
    authenticators: Vec<Box<dyn Authenticator>>,
    authrole: Option<String>,
    agent: String,
    options: ConnectOptions,
    connect_timeout: Duration,
    reconnect: ReconnectPolicy,
    keep_alive: Option<KeepAlive>,
    while_disconnected: WhileDisconnected,
    outgoing_bytes_max: usize,
    close_timeout: Duration,
}

impl std::fmt::Debug for Builder {
    /// Without what may be secret: queries of URLs, values of headers, and what authenticators know.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = |url: &String| Endpoint::parse(url).map(|endpoint| endpoint.without_query()).ok();
        let urls: Vec<Option<String>> = self.urls.iter().map(shown).collect();
        let headers: Vec<&str> = self.options.headers.iter().map(|(name, _)| name.as_str()).collect();
        formatter
            .debug_struct("Builder")
            .field("urls", &urls)
            .field("realm", &self.realm)
            .field("authenticators", &self.authenticators)
            .field("authrole", &self.authrole)
            .field("headers", &headers)
            .finish_non_exhaustive()
    }
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            urls: Vec::new(),
            realm: "realm1".to_owned(),
            authenticators: Vec::new(),
            authrole: None,
            agent: concat!("bondy-client/", env!("CARGO_PKG_VERSION")).to_owned(),
            options: ConnectOptions::default(),
            connect_timeout: Duration::from_secs(10),
            reconnect: ReconnectPolicy::default(),
            keep_alive: Some(KeepAlive {
                interval: Duration::from_secs(20),
                timeout: Duration::from_secs(10),
            }),
            while_disconnected: WhileDisconnected::default(),
            outgoing_bytes_max: OUTGOING_BYTES_DEFAULT,
            close_timeout: Duration::from_secs(5),
        }
    }

    /// Adds a router: `ws://`, `wss://`, `rs://`, `rss://` or `unix:`. Of several, those that failed come behind those
    /// that did not.
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.urls.push(url.into());
        self
    }

    /// The realm to join.
    pub fn realm(mut self, realm: impl Into<String>) -> Self {
        self.realm = realm.into();
        self
    }

    /// Adds a way to prove who the client is; of several the router chooses. Without any it joins as anonymous.
    ///
    /// All are for the same authid, since HELLO has one; a method without one goes with the authid of the others.
    /// Beside a [`Ticket`](crate::Ticket) no other method protects anything: a router that is not the right one asks
    /// for the ticket.
    pub fn authentication(mut self, authenticator: impl Authenticator) -> Self {
        self.authenticators.push(Box::new(authenticator));
        self
    }

    /// Adds a way to prove who the client is that was chosen at run time.
    pub fn boxed_authentication(mut self, authenticator: Box<dyn Authenticator>) -> Self {
        self.authenticators.push(authenticator);
        self
    }

    /// Asks for this role.
    pub fn authrole(mut self, authrole: impl Into<String>) -> Self {
        self.authrole = Some(authrole.into());
        self
    }

    /// What the client says of its software.
    pub fn agent(mut self, agent: impl Into<String>) -> Self {
        self.agent = agent.into();
        self
    }

    /// The serializers to offer, in order of preference.
    pub fn serializers(mut self, serializers: impl IntoIterator<Item = Serializer>) -> Self {
        self.options.serializers = serializers.into_iter().collect();
        self
    }

    /// How TLS is spoken with `wss://` and `rss://`: whom to trust, and the client's own certificate.
    pub fn tls(mut self, tls: TlsOptions) -> Self {
        self.options.tls = tls;
        self
    }

    /// Changes how connections are opened otherwise: headers, sockets, the longest message.
    pub fn connect_options(mut self, change: impl FnOnce(&mut ConnectOptions)) -> Self {
        change(&mut self.options);
        self
    }

    /// How long connecting and joining may take together, for each attempt.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = bounded(timeout);
        self
    }

    /// What to do when the connection is lost.
    pub fn reconnect(mut self, policy: ReconnectPolicy) -> Self {
        self.reconnect = policy;
        self
    }

    /// When nothing came for `interval`, a ping is sent; when nothing comes for another `timeout`, the connection counts
    /// as lost.
    pub fn ping(mut self, interval: Duration, timeout: Duration) -> Self {
        self.keep_alive = Some(KeepAlive { interval: bounded(interval), timeout: bounded(timeout) });
        self
    }

    /// Sends no pings. A connection that is frozen is noticed by the operating system, if at all.
    pub fn without_ping(mut self) -> Self {
        self.keep_alive = None;
        self
    }

    /// What requests do that are made while there is no connection.
    pub fn while_disconnected(mut self, policy: WhileDisconnected) -> Self {
        self.while_disconnected = policy;
        self
    }

    /// How many bytes may wait to be written before senders wait.
    pub fn outgoing_bytes_max(mut self, bytes: usize) -> Self {
        self.outgoing_bytes_max = bytes.max(1);
        self
    }

    /// How long a closing client waits for the answer to its GOODBYE, and then for the connection to close.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = bounded(timeout);
        self
    }

    /// Connects and joins. Every URL is tried once; from then on the client reconnects by itself. The future may be
    /// dropped, which gives up. Must be called in a tokio runtime with I/O and time, in which the client then lives;
    /// requests are awaited in a runtime with time, too.
    ///
    /// # Errors
    /// What hindered it.
    pub async fn connect(mut self) -> Result<Client, ConnectError> {
        let places = std::mem::take(&mut self.urls)
            .iter()
            .map(|url| Ok(Place::Endpoint(Endpoint::parse(url)?)))
            .collect::<Result<Vec<Place>, ConnectError>>()?;
        self.start(places).await
    }

    /// Connects over byte streams of the application's own: to a router in the same process, say. URLs are not used.
    ///
    /// # Errors
    /// What hindered it.
    pub async fn connect_over(self, connector: impl Connector) -> Result<Client, ConnectError> {
        self.start(vec![Place::Connector(Arc::new(connector))]).await
    }

    async fn start(self, places: Vec<Place>) -> Result<Client, ConnectError> {
        if places.is_empty() {
            return Err(ConnectError::NoUrl);
        }
        if !is_valid(&self.realm, UriRule::Loose) {
            return Err(ConnectError::Realm(self.realm));
        }
        check_authids(&self.authenticators)?;
        let limits = Limits { outgoing_bytes_max: self.outgoing_bytes_max };
        let shared = Shared::new(limits, self.while_disconnected, self.close_timeout);
        let mut driver = Driver {
            closing: shared.closing(),
            shared: Arc::clone(&shared),
            places: Places::new(places),
            identification: Identification {
                realm: self.realm,
                agent: self.agent,
                authrole: self.authrole,
                authenticators: self
                    .authenticators
                    .into_iter()
                    .map(|one| Arc::new(Mutex::new(one)))
                    .collect(),
                connect_timeout: self.connect_timeout,
            },
            options: self.options,
            connect_timeout: self.connect_timeout,
            reconnect: self.reconnect,
            short_sessions: 0,
            keep_alive: self.keep_alive,
            close_timeout: self.close_timeout,
            end: EndReason::Lost("the runtime has ended".to_owned()),
        };
        let joined = driver.connect_first().await?;
        let client = Client::new(Arc::clone(&shared));
        shared.runtime().spawn(driver.run(joined));
        Ok(client)
    }
}

/// HELLO has one authid, whichever method the router chooses.
fn check_authids(authenticators: &[Box<dyn Authenticator>]) -> Result<(), AuthenticationError> {
    let mut authids = authenticators.iter().filter_map(|one| Some((one.authmethod(), one.authid()?)));
    let Some((_, first)) = authids.next() else { return Ok(()) };
    match authids.find(|(_, authid)| *authid != first) {
        None => Ok(()),
        Some((authmethod, authid)) => {
            let problem = format!(
                "is for {authid}, and the methods before it are for {first}; use one client for each"
            );
            Err(AuthenticationError::new(authmethod, problem))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_builder_shows_no_secrets() {
        let builder = Client::builder().url("wss://a.example/ws?token=s3cret").url("s3cret: no url");
        let builder =
            builder.authentication(crate::Ticket::new("alice", "s3cret")).connect_options(|options| {
                options.headers.push(("Authorization".to_owned(), "s3cret".to_owned()));
            });
        let shown = format!("{builder:?}");
        assert!(shown.contains("wss://a.example/ws") && shown.contains("Authorization"), "{shown}");
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}
