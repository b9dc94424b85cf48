//! A client's place in the realm: its session, and the messages that have been appended for it.

use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bondy_router::flush::Link;
use bondy_router::realm::Realm;
use bondy_router::session::{MEMORY_FRAMING, Session, SessionConfig, SessionIdentity};
use bondy_router::turn::Turn;
use bondy_wamp::buffer::BufferPool;
use bondy_wamp::feature::Features;
use bondy_wamp::message::{self, Message};
use bondy_wamp::outbox::{Budget, Outbox, OutboxLimits};
use bondy_wamp::serializer::Serializer;
use bondy_wamp::value::Value;

/// All clients speak JSON: failures are for people to read.
pub(crate) const SERIALIZER: Serializer = Serializer::Json;

/// Far more than a client has waiting in any scenario, so that an outbox is full only where it is filled.
const HARD_BYTES: u32 = 8 * 1024;

/// Two of these fill an outbox.
const FILLER_BYTES: usize = 9 * 1024;

/// A session, and what its client has seen of its outbox.
///
/// The client looks into the outbox itself, so that it sees a message in the moment in which it was appended.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) session: Arc<Session>,
    inbox: Mutex<Inbox>,
}

#[derive(Debug, Default)]
struct Inbox {
    /// Taken from the outbox, or seen in it, and not parsed yet.
    unparsed: Vec<u8>,
    /// So many bytes of the outbox have been seen and are still in it.
    seen: usize,
    /// Others have looked for it, and it has not looked since.
    is_stirred: bool,
    /// The client sees what comes, and takes nothing out of the outbox.
    is_stalled: bool,
}

/// The way to a client that looks into its outbox.
#[derive(Debug)]
struct NoLink;

impl Link for NoLink {
    fn try_write(&self, _: &[IoSlice<'_>]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn wake_owner(&self) {}

    fn describe(&self) -> Value {
        Value::Null
    }

    fn is_owner_only(&self) -> bool {
        false
    }
}

/// A session joins the realm.
pub(crate) fn join(
    realm: &Realm,
    authid: &str,
    features: Features,
    link: Arc<dyn Link>,
    turn: &mut Turn,
) -> Arc<Session> {
    let limits = OutboxLimits { soft_bytes: HARD_BYTES, hard_bytes: HARD_BYTES, message_bytes_max: 1 << 20 };
    let config = SessionConfig {
        identity: SessionIdentity {
            authid: authid.into(),
            authrole: "user".into(),
            authmethod: "anonymous".into(),
            authprovider: "static".into(),
        },
        features,
        serializer: SERIALIZER,
        trust_level: None,
        is_strict: false,
        deflate_bytes_max: 0,
        closes_on_overflow: false,
        outbox: Outbox::new(MEMORY_FRAMING, limits, Arc::new(Budget::new(u64::MAX))),
        link,
    };
    realm.join(config, "shuttle", turn).expect("the realm is open")
}

impl Seat {
    /// A client joins.
    pub(crate) fn take(realm: &Realm, authid: &str, features: Features, turn: &mut Turn) -> Self {
        let session = join(realm, authid, features, Arc::new(NoLink), turn);
        Self { session, inbox: Mutex::default() }
    }

    /// The messages that the client had not seen.
    pub(crate) fn look(&self, pool: &mut BufferPool) -> Vec<Vec<u8>> {
        self.appended(pool);
        let mut inbox = self.inbox();
        inbox.is_stirred = false;
        inbox.take_messages()
    }

    /// The same, by somebody who waits for what this client is told.
    pub(crate) fn watch(&self, pool: &mut BufferPool) -> Vec<Vec<u8>> {
        self.appended(pool);
        let mut inbox = self.inbox();
        let messages = inbox.take_messages();
        inbox.is_stirred |= !messages.is_empty();
        messages
    }

    /// How many messages were appended for the client up to now.
    pub(crate) fn appended(&self, pool: &mut BufferPool) -> u64 {
        let mut state = self.session.lock();
        self.inbox().pull(&mut state.outbox, pool);
        state.sent().0
    }

    /// Is there something that the client has not seen?
    pub(crate) fn has_news(&self, pool: &mut BufferPool) -> bool {
        self.appended(pool);
        let inbox = self.inbox();
        inbox.has_message() || inbox.is_stirred
    }

    /// The client stops reading, and its outbox is full.
    pub(crate) fn fill(&self, pool: &mut BufferPool) {
        let mut state = self.session.lock();
        // Any frame that is no message: the pong of a rawsocket, for example.
        let mut filler = vec![2, 0, 0, 0];
        filler.resize(FILLER_BYTES, 0);
        filler[1..4].copy_from_slice(&(FILLER_BYTES as u32 - 4).to_be_bytes()[1..]);
        state.outbox.append_control(&filler, pool);
        state.outbox.append_control(&filler, pool);
        self.inbox().is_stalled = true;
        assert!(!state.outbox.has_room(), "the outbox is full");
    }

    /// The client reads again.
    pub(crate) fn drain(&self, pool: &mut BufferPool) {
        let mut state = self.session.lock();
        let mut inbox = self.inbox();
        inbox.is_stalled = false;
        inbox.pull(&mut state.outbox, pool);
    }

    /// Is the outbox full at present?
    pub(crate) fn is_stalled(&self) -> bool {
        self.inbox().is_stalled
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inbox {
    fn pull(&mut self, outbox: &mut Outbox, pool: &mut BufferPool) {
        let Some(mut batch) = outbox.take_as_owner() else { return };
        let bytes = batch.as_one_slice().expect("the messages of the scenarios are small");
        let length = bytes.len();
        self.unparsed.extend_from_slice(&bytes[self.seen..]);
        if self.is_stalled {
            self.seen = length;
            outbox.put_back(batch, 0, false, pool);
        } else {
            self.seen = 0;
            batch.advance(length);
            outbox.put_back(batch, length, true, pool);
        }
    }

    /// Is there a frame that is a message?
    fn has_message(&self) -> bool {
        frames(&self.unparsed).any(|(kind, _)| kind == 0)
    }

    fn take_messages(&mut self) -> Vec<Vec<u8>> {
        let unparsed = std::mem::take(&mut self.unparsed);
        frames(&unparsed).filter(|(kind, _)| *kind == 0).map(|(_, bytes)| bytes.to_vec()).collect()
    }
}

/// The frames of a rawsocket stream: kind and content.
pub(crate) fn frames(mut bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let [kind, a, b, c, rest @ ..] = bytes else {
            assert!(bytes.is_empty(), "a frame is cut");
            return None;
        };
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let (content, behind) = rest.split_at(length);
        bytes = behind;
        Some((*kind, content))
    })
}

/// Parses what a client has seen.
pub(crate) fn parsed(bytes: &[u8]) -> Message<'_> {
    message::parse(SERIALIZER, bytes).expect("the router sends well-formed messages")
}

/// The numbers in the arguments of a message, by which the scenarios recognise calls and events.
pub(crate) fn numbers(args: &[u8]) -> Vec<u64> {
    if args.is_empty() {
        return Vec::new();
    }
    let value = Value::decode(SERIALIZER, args).expect("the arguments are well-formed");
    value.as_list().unwrap_or_default().iter().filter_map(Value::as_u64).collect()
}
