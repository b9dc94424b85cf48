//! Which router to try next, and the way from there to an open connection.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use bondy_transport::client::{self, ClientStream, ConnectOptions, Connection, Endpoint};

/// Gives a byte stream to a router each time it is asked: for a router in the same process, a tunnel, a proxy.
///
/// Over the stream rawsocket is spoken. Its first serializer alone is offered.
pub trait Connector: Send + Sync + 'static {
    /// A new stream.
    fn connect(&self) -> Pin<Box<dyn Future<Output = io::Result<ClientStream>> + Send + '_>>;
}

impl<F, R> Connector for F
where
    F: Fn() -> R + Send + Sync + 'static,
    R: Future<Output = io::Result<ClientStream>> + Send + 'static,
{
    fn connect(&self) -> Pin<Box<dyn Future<Output = io::Result<ClientStream>> + Send + '_>> {
        Box::pin(self())
    }
}

/// Where a router is.
#[derive(Clone)]
pub(crate) enum Place {
    Endpoint(Endpoint),
    Connector(Arc<dyn Connector>),
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // A query may hold a token.
            Place::Endpoint(endpoint) => formatter.write_str(&endpoint.without_query()),
            Place::Connector(_) => formatter.write_str("memory:"),
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Why no connection came about.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error(transparent)]
    Connect(#[from] client::ConnectError),
    #[error("the connector gave no stream")]
    Connector(#[source] io::Error),
}

impl Place {
    /// Opens a connection.
    pub(crate) async fn dial(&self, options: &ConnectOptions) -> Result<Connection, DialError> {
        Ok(match self {
            Place::Endpoint(endpoint) => client::connect(endpoint, options).await?,
            Place::Connector(connector) => {
                let stream = connector.connect().await.map_err(DialError::Connector)?;
                client::connect_stream(stream, options).await?
            }
        })
    }
}

/// The places with what is known of them.
#[derive(Debug)]
pub(crate) struct Places {
    places: Vec<(Place, Health)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Health {
    /// When the last attempt or session there failed, unless one has succeeded since.
    failed: Option<Instant>,
    /// The last attempt was refused in a way that another would be as well.
    refused: bool,
}

impl Places {
    /// In order of preference.
    pub(crate) fn new(places: Vec<Place>) -> Self {
        Self { places: places.into_iter().map(|place| (place, Health::default())).collect() }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// The indices in the order in which to try: first those that did not fail, as they were given, then those that
    /// did, the longest ago first.
    pub(crate) fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.places.len()).collect();
        order.sort_by_key(|index| self.places[*index].1.failed);
        order
    }

    /// The place of this index.
    pub(crate) fn place(&self, index: usize) -> &Place {
        &self.places[index].0
    }

    /// A session was joined there.
    pub(crate) fn succeeded(&mut self, index: usize) {
        self.places[index].1 = Health::default();
    }

    /// An attempt failed there, or a session was lost.
    pub(crate) fn failed(&mut self, index: usize, now: Instant) {
        self.places[index].1 = Health { failed: Some(now), refused: false };
    }

    /// An attempt was refused there, for good as it seems.
    pub(crate) fn refused(&mut self, index: usize, now: Instant) {
        self.places[index].1 = Health { failed: Some(now), refused: true };
    }

    /// Was the last attempt refused wherever a router may be? One that is alone in refusing is set up wrongly, or not
    /// completely yet.
    pub(crate) fn all_refuse(&self) -> bool {
        self.places.iter().all(|(_, health)| health.refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn places_that_failed_come_behind_the_others_the_longest_ago_first() {
        let place = |url: &str| Place::Endpoint(Endpoint::parse(url).unwrap());
        let mut places = Places::new(vec![place("ws://a"), place("ws://b"), place("ws://c")]);
        let now = Instant::now();
        places.failed(1, now);
        places.failed(0, now + Duration::from_secs(1));
        assert_eq!(places.order(), [2, 1, 0]);
        places.succeeded(0);
        assert_eq!(places.order(), [0, 2, 1]);
    }

    #[test]
    fn it_is_over_when_all_places_refuse() {
        let place = |url: &str| Place::Endpoint(Endpoint::parse(url).unwrap());
        let mut places = Places::new(vec![place("ws://a"), place("ws://b")]);
        let now = Instant::now();
        places.refused(0, now);
        assert!(!places.all_refuse());
        places.refused(1, now);
        assert!(places.all_refuse());
        places.failed(0, now);
        assert!(!places.all_refuse());
    }
}
