//! The way from the router to one client's socket.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

use bondy_router::flush::Link;
use bondy_transport::socket::{PeerAddress, Stream};
use bondy_wamp::value::Value;

/// How a client is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    WebSocket,
    RawSocket,
}

/// One client's socket: any worker writes to it, its owner alone waits for it.
pub(crate) struct SocketLink {
    stream: Arc<Stream>,
    /// The owner's task. It is woken without a reason and then looks.
    owner: Mutex<Option<Waker>>,
    is_woken: AtomicBool,
    is_ping_due: AtomicBool,
    is_tls: bool,
    protocol: Protocol,
    peer: PeerAddress,
    /// The client's address where a proxy has told it.
    client: Option<Box<IpAddr>>,
}

impl SocketLink {
    pub(crate) fn new(
        stream: Arc<Stream>,
        is_tls: bool,
        protocol: Protocol,
        peer: PeerAddress,
        client: Option<IpAddr>,
    ) -> Self {
        Self {
            stream,
            owner: Mutex::new(None),
            is_woken: AtomicBool::new(false),
            is_ping_due: AtomicBool::new(false),
            is_tls,
            protocol,
            peer,
            client: client.map(Box::new),
        }
    }

    pub(crate) fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    pub(crate) fn protocol(&self) -> Protocol {
        self.protocol
    }

    pub(crate) fn peer(&self) -> PeerAddress {
        self.peer
    }

    /// The address that sources are matched against; a Unix socket counts as this host.
    pub(crate) fn client_address(&self) -> IpAddr {
        match (&self.client, self.peer) {
            (Some(client), _) => **client,
            (None, PeerAddress::Ip(address)) => address.ip(),
            (None, PeerAddress::Unix) => IpAddr::from([127, 0, 0, 1]),
        }
    }

    /// Who is to be woken; call it before looking.
    pub(crate) fn register_owner(&self, waker: &Waker) {
        let mut owner = self.owner.lock().unwrap_or_else(PoisonError::into_inner);
        if !owner.as_ref().is_some_and(|present| present.will_wake(waker)) {
            *owner = Some(waker.clone());
        }
    }

    /// Was the owner woken since it last asked?
    pub(crate) fn take_wake(&self) -> bool {
        self.is_woken.swap(false, Ordering::AcqRel)
    }

    /// The time for a ping has come.
    pub(crate) fn demand_ping(&self) {
        self.is_ping_due.store(true, Ordering::Release);
        self.wake_owner();
    }

    pub(crate) fn take_ping_due(&self) -> bool {
        self.is_ping_due.swap(false, Ordering::AcqRel)
    }
}

impl Link for SocketLink {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        // The usual case is one slice, and the system call for it is the cheaper one.
        match slices {
            [slice] => self.stream.try_write(slice),
            slices => self.stream.try_write_vectored(slices),
        }
    }

    fn wake_owner(&self) {
        self.is_woken.store(true, Ordering::Release);
        let owner = self.owner.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(owner) = owner {
            owner.wake();
        }
    }

    fn describe(&self) -> Value {
        let protocol = match self.protocol {
            Protocol::WebSocket => "websocket",
            Protocol::RawSocket => "rawsocket",
        };
        [
            ("client", self.client_address().to_string().as_str().into()),
            ("peer", self.peer.to_string().as_str().into()),
            ("protocol", protocol.into()),
            ("tls", self.is_tls.into()),
        ]
        .into()
    }

    fn is_owner_only(&self) -> bool {
        self.is_tls
    }
}

impl fmt::Debug for SocketLink {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SocketLink").field("peer", &self.peer).finish_non_exhaustive()
    }
}
