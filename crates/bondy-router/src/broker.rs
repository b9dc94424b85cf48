//! The broker: PUBLISH, and the fan-out of events.
//!
//! The routes are read without a lock; then each subscriber is visited under its own lock: this very slot still
//! active? then append EVENT, else skip. An event is encoded once for each (serializer, with or without topic). A
//! long fan-out is done in slices, and the publisher is not read again until they are out.

use std::borrow::Cow;

use bondy_wamp::error_uri::ErrorUri;
use bondy_wamp::feature::Feature;
use bondy_wamp::id::{PublicationId, RequestId, SessionId};
use bondy_wamp::message::{
    self, Attributes, Event, EventDetails, Head, Identity, MessageType, Publish, Published, Receivers,
};
use bondy_wamp::mutation::mutated;
use bondy_wamp::outbox::{SHARED_BYTES_MIN, Tail};
use bondy_wamp::payload::{Payload, StoredPayload};
use bondy_wamp::serializer::Serializer;
use bondy_wamp::uri::{self, MatchPolicy};

use crate::config::DisclosurePolicy;
use crate::control::Control;
use crate::realm::{Flow, Realm};
use crate::registry::{Entry, Members};
use crate::retained::{Retained, StoredAttributes};
use crate::session::{Refusal, Session, SessionState};
use crate::slot::Slot;
use crate::subscription::{Subscriber, Subscription};
use crate::sync::{Arc, Ordering};
use crate::turn::{EncodedTail, Turn};

/// A fan-out visits at most this many subscribers before the worker serves others.
const SLICE_SUBSCRIBERS_MAX: usize = 4096;

/// A session's drops are reported at most once in this time, in nanoseconds.
const DROP_REPORT_INTERVAL_NS: u64 = 60_000_000_000;

/// Smaller events are not worth the time that compressing takes.
const DEFLATE_BYTES_MIN: usize = 512;

/// A subscription that an event goes to, with the subscribers that it had when the event was published.
pub(crate) type Route = (Arc<Subscription>, Arc<Members<Subscriber>>);

/// An event on its way to its subscribers.
#[derive(Debug)]
pub struct FanOut<'m> {
    publication: Publication<'m>,
    routes: Vec<Route>,
    route: usize,
    chunk: usize,
    heads: [Option<Head>; Serializer::ALL.len()],
    /// The present subscription's event in its compressed form, by serializer.
    deflated: [Option<EncodedTail>; Serializer::ALL.len()],
    acknowledge: Option<RequestId>,
    overflowed: Vec<Arc<Session>>,
}

/// What is published.
#[derive(Debug)]
pub(crate) struct Publication<'m> {
    pub(crate) id: PublicationId,
    pub(crate) topic: Cow<'m, str>,
    pub(crate) publisher: Option<Identity<'static>>,
    pub(crate) trust_level: Option<u64>,
    pub(crate) content: Content<'m>,
    is_passthru: bool,
    pub(crate) receivers: Option<Cow<'m, Receivers>>,
    /// The publisher, where it does not receive its own event.
    pub(crate) excluded: Option<SessionId>,
    /// By serializer, without and with the topic.
    tails: [[EventTail; 2]; Serializer::ALL.len()],
}

/// What is opaque in a publication: as it came, or kept for the slices to come.
#[derive(Debug)]
pub(crate) enum Content<'m> {
    Borrowed(&'m Attributes<'m>, Payload<'m>),
    Stored(StoredAttributes, StoredPayload),
}

impl Content<'_> {
    pub(crate) fn attributes(&self) -> Attributes<'_> {
        match self {
            Content::Borrowed(attributes, _) => (*attributes).clone(),
            Content::Stored(attributes, _) => attributes.as_attributes(),
        }
    }

    pub(crate) fn payload(&self) -> Payload<'_> {
        match self {
            Content::Borrowed(_, payload) => *payload,
            Content::Stored(_, payload) => payload.as_payload(),
        }
    }

    fn into_owned(self) -> Content<'static> {
        match self {
            Content::Borrowed(attributes, payload) => {
                Content::Stored(StoredAttributes::new(attributes), payload.to_stored())
            }
            Content::Stored(attributes, payload) => Content::Stored(attributes, payload),
        }
    }
}

/// An encoded event, or why there is none.
#[derive(Debug, Default)]
enum EventTail {
    #[default]
    Missing,
    Encoded(EncodedTail),
    Impossible,
}

impl<'m> Publication<'m> {
    pub(crate) fn new(
        id: PublicationId,
        topic: &'m str,
        attributes: &'m Attributes<'m>,
        payload: Payload<'m>,
    ) -> Self {
        Self {
            id,
            topic: topic.into(),
            publisher: None,
            trust_level: None,
            is_passthru: attributes.has_passthru(),
            content: Content::Borrowed(attributes, payload),
            receivers: None,
            excluded: None,
            tails: Default::default(),
        }
    }

    /// May this session receive it?
    fn admits(&self, session: &Session) -> bool {
        self.excluded != Some(session.id())
            && self.receivers.as_deref().is_none_or(|receivers| admits(receivers, session))
            && (!self.is_passthru || session.features().has(Feature::SubscriberPassthru))
    }

    fn event(&self, with_topic: bool, dropped: u64) -> Event<'_> {
        Event {
            // The head carries the subscription.
            subscription: Default::default(),
            publication: self.id,
            details: EventDetails {
                topic: with_topic.then_some((&*self.topic).into()),
                publisher: self.publisher.clone(),
                trustlevel: self.trust_level,
                retained: false,
                dropped,
                attributes: self.content.attributes(),
            },
            payload: self.content.payload(),
        }
    }

    /// Copies what was borrowed from the message, for slices that come after it is gone.
    fn into_owned(self) -> Publication<'static> {
        Publication {
            topic: Cow::Owned(self.topic.into_owned()),
            content: self.content.into_owned(),
            receivers: self.receivers.map(|receivers| Cow::Owned(receivers.into_owned())),
            ..self
        }
    }

    /// Encodes the tail, once. False where the payload cannot be written in this serializer.
    fn prepare(&mut self, serializer: Serializer, with_topic: bool, turn: &mut Turn) -> bool {
        let place = (serializer.index(), usize::from(with_topic));
        if let EventTail::Missing = self.tails[place.0][place.1] {
            let event = self.event(with_topic, 0);
            let encoded = turn.encode(serializer, SHARED_BYTES_MIN, |encoder| event.encode_tail(encoder));
            self.tails[place.0][place.1] = encoded.map_or(EventTail::Impossible, EventTail::Encoded);
        }
        !matches!(self.tails[place.0][place.1], EventTail::Impossible)
    }

    fn tail(&self, serializer: Serializer, with_topic: bool) -> Tail<'_> {
        match &self.tails[serializer.index()][usize::from(with_topic)] {
            EventTail::Encoded(tail) => tail.as_tail(),
            EventTail::Missing | EventTail::Impossible => Tail::Copied(&[]),
        }
    }

    fn recycle(&mut self, turn: &mut Turn) {
        for tail in self.tails.iter_mut().flatten() {
            if let EventTail::Encoded(tail) = std::mem::take(tail) {
                turn.recycle(tail);
            }
        }
    }
}

/// All lists that are there must agree; a list that is there may be empty.
pub(crate) fn admits(receivers: &Receivers, session: &Session) -> bool {
    let id = session.id();
    let identity = session.identity();
    let has_authid = |list: &Vec<String>| list.iter().any(|authid| **authid == *identity.authid);
    let has_authrole = |list: &Vec<String>| list.iter().any(|authrole| identity.has_authrole(authrole));
    receivers.exclude.as_ref().is_none_or(|list| !list.contains(&id))
        && receivers.exclude_authid.as_ref().is_none_or(|list| !has_authid(list))
        && receivers.exclude_authrole.as_ref().is_none_or(|list| !has_authrole(list))
        && receivers.eligible.as_ref().is_none_or(|list| list.contains(&id))
        && receivers.eligible_authid.as_ref().is_none_or(has_authid)
        && receivers.eligible_authrole.as_ref().is_none_or(has_authrole)
}

impl<'m> FanOut<'m> {
    pub(crate) fn new(publication: Publication<'m>, routes: Vec<Route>) -> Self {
        Self {
            publication,
            routes,
            route: 0,
            chunk: 0,
            heads: Default::default(),
            deflated: Default::default(),
            acknowledge: None,
            overflowed: Vec::new(),
        }
    }

    fn into_owned(self) -> FanOut<'static> {
        FanOut { publication: self.publication.into_owned(), ..self }
    }

    /// Visits subscribers, at most about `visits_max`; true when all have been visited.
    pub(crate) fn advance(&mut self, mut visits_max: usize, turn: &mut Turn) -> bool {
        while let Some((subscription, members)) = self.routes.get(self.route) {
            let Some(chunk) = members.chunk(self.chunk) else {
                self.route += 1;
                self.chunk = 0;
                self.heads = Default::default();
                self.deflated = Default::default();
                continue;
            };
            if visits_max == 0 {
                return false;
            }
            visits_max = visits_max.saturating_sub(chunk.len());
            let (subscription, chunk) = (Arc::clone(subscription), Arc::clone(chunk));
            let delivered =
                chunk.iter().filter(|subscriber| self.deliver(&subscription, subscriber, turn)).count();
            subscription.count_events(delivered as u64);
            self.chunk += 1;
        }
        self.publication.recycle(turn);
        self.routes.clear();
        turn.routes = std::mem::take(&mut self.routes);
        true
    }

    /// One subscriber, under its lock; true if the event was appended.
    fn deliver(&mut self, subscription: &Subscription, subscriber: &Subscriber, turn: &mut Turn) -> bool {
        let session = &subscriber.session;
        let serializer = session.serializer();
        if !self.publication.admits(session) {
            return false;
        }
        let with_topic = subscription.match_policy() != MatchPolicy::Exact;
        if !self.publication.prepare(serializer, with_topic, turn) {
            turn.stats.events_dropped_serializer += 1;
            return false;
        }
        let head = *self.heads[serializer.index()].get_or_insert_with(|| {
            let elements = 4 + self.publication.content.payload().elements();
            message::head(serializer, elements, MessageType::Event, subscription.subscription_id().0)
        });
        let is_deflated = self.prepare_deflated(session, head, with_topic, turn);
        let tail = self.publication.tail(serializer, with_topic);
        let mut state = session.lock();
        if state.is_closed || !(subscriber.slot.is_active() || mutated("slot_not_checked")) {
            return false;
        }
        let message_bytes = head.len() + tail.len();
        if !admit(&mut state, subscription, subscriber, message_bytes, turn) {
            // What is too large for the peer is lost to it, but never breaks the link.
            if session.closes_on_overflow() && !state.outbox.is_too_large(message_bytes) {
                self.overflowed.push(Arc::clone(session));
            }
            return false;
        }
        turn.stats.events_delivered += 1;
        match subscriber.slot.take_dropped() {
            0 if is_deflated => {
                if let Some(deflated) = &self.deflated[serializer.index()] {
                    state.append_deflated_event(session, deflated.as_tail(), turn);
                }
            }
            0 => state.append_event(session, &head, tail, turn),
            dropped => {
                let event = self.publication.event(with_topic, dropped);
                let told = turn.encode(serializer, SHARED_BYTES_MIN, |encoder| event.encode_tail(encoder));
                match told {
                    Ok(told) if !state.outbox.is_too_large(head.len() + told.len()) => {
                        state.append_event(session, &head, told.as_tail(), turn);
                        turn.recycle(told);
                    }
                    // With the count it would be more than the peer takes: it is told with a later event.
                    Ok(_) | Err(_) => {
                        subscriber.slot.add_dropped(dropped);
                        state.append_event(session, &head, tail, turn);
                    }
                }
            }
        }
        true
    }
}

impl FanOut<'_> {
    /// Compresses the event, once for each serializer; false where this session gets it as it is.
    fn prepare_deflated(&mut self, session: &Session, head: Head, with_topic: bool, turn: &mut Turn) -> bool {
        let serializer = session.serializer();
        let tail = self.publication.tail(serializer, with_topic);
        let message_bytes = head.len() + tail.len();
        if !(DEFLATE_BYTES_MIN..=session.deflate_bytes_max()).contains(&message_bytes) {
            return false;
        }
        if self.deflated[serializer.index()].is_none() {
            self.deflated[serializer.index()] = turn.deflate(head.as_bytes(), tail, SHARED_BYTES_MIN);
        }
        self.deflated[serializer.index()].is_some()
    }
}

/// Is there room for an event? If not it is dropped, for this subscriber alone, and counted.
fn admit(
    state: &mut SessionState,
    subscription: &Subscription,
    subscriber: &Subscriber,
    message_bytes: usize,
    turn: &mut Turn,
) -> bool {
    let is_too_large = state.outbox.is_too_large(message_bytes);
    if !is_too_large && state.outbox.has_room_for_event() {
        return true;
    }
    count_dropped(state, &subscriber.slot, is_too_large, turn);
    subscription.stats.dropped.fetch_add(1, Ordering::Relaxed);
    if state.reports_drops(turn.now.monotonic_ns, DROP_REPORT_INTERVAL_NS) {
        turn.slow.push(Arc::clone(&subscriber.session));
    }
    false
}

/// An event was dropped for one subscription.
pub(crate) fn count_dropped(state: &mut SessionState, slot: &Slot, is_too_large: bool, turn: &mut Turn) {
    match is_too_large {
        true => turn.stats.events_dropped_size += 1,
        false => turn.stats.events_dropped_outbox += 1,
    }
    slot.count_dropped();
    state.count_dropped_event();
}

impl Realm {
    /// PUBLISH.
    pub(crate) fn publish<'m>(
        &self,
        session: &Arc<Session>,
        publish: &'m Publish<'m>,
        turn: &mut Turn,
    ) -> Flow {
        // What was under way when the session ended changes nothing.
        if session.is_closed() {
            return Flow::Ended;
        }
        if let Err(text) = Self::check_sequence(session, publish.request) {
            return self.violate(session, &text, turn);
        }
        if publish.options.attributes.has_passthru() && !session.features().has(Feature::PublisherPassthru) {
            return self.violate(session, "PUBLISH with ppt_scheme without payload_passthru_mode", turn);
        }
        let discloses = match self.check_publish(publish) {
            Ok(discloses) => discloses,
            Err(_) if !publish.options.acknowledge => return Flow::Done,
            Err(refusal) => {
                return self.refuse(session, MessageType::Publish, publish.request, &refusal, turn);
            }
        };
        turn.stats.publications += 1;
        let identity = discloses.then(|| owned(&session.disclosed()));
        let mut publication = self.publication(session, publish, identity, turn);
        if !publish.options.exclude_me {
            publication.excluded = None;
        }
        let routes = if publish.options.retain {
            match self.retain(&publication, turn) {
                Ok(routes) => routes,
                Err(refusal) => {
                    if publish.options.acknowledge {
                        return self.refuse(session, MessageType::Publish, publish.request, &refusal, turn);
                    }
                    return Flow::Done;
                }
            }
        } else {
            self.topic_routes(&publish.topic, turn)
        };
        self.histories.record(&publication, turn.now);
        let mut fan_out = FanOut::new(publication, routes);
        fan_out.acknowledge = publish.options.acknowledge.then_some(publish.request);
        if self.fan_out_slice(session, &mut fan_out, turn) {
            return Flow::Done;
        }
        Flow::FanOut(Box::new(fan_out.into_owned()))
    }

    fn publication<'m>(
        &self,
        session: &Session,
        publish: &'m Publish<'m>,
        publisher: Option<Identity<'static>>,
        turn: &mut Turn,
    ) -> Publication<'m> {
        let id = PublicationId(turn.random_id());
        let mut publication =
            Publication::new(id, &publish.topic, &publish.options.attributes, publish.payload);
        publication.publisher = publisher;
        publication.trust_level = session.trust_level();
        publication.receivers = publish.options.receivers.as_deref().map(Cow::Borrowed);
        publication.excluded = Some(session.id());
        publication
    }

    /// May this be published, and is the publisher disclosed?
    fn check_publish(&self, publish: &Publish<'_>) -> Result<bool, Refusal> {
        let topic = &*publish.topic;
        if uri::is_reserved(topic) {
            let topic = uri::shown(topic);
            let text = format!("{topic:?} is in a namespace that is reserved for the router");
            return Err(Refusal::new(ErrorUri::InvalidUri, text));
        }
        if !uri::is_valid(topic, self.config.uri_rule) {
            return Err(Refusal::new(
                ErrorUri::InvalidUri,
                format!("{:?} is not a valid topic", uri::shown(topic)),
            ));
        }
        discloses(self.config.disclosure.publisher, publish.options.disclose_me)
    }

    /// The subscriptions that match a topic now, with their subscribers. Takes no contended lock in the common case.
    pub(crate) fn topic_routes(&self, topic: &str, turn: &mut Turn) -> Vec<Route> {
        let mut routes = std::mem::take(&mut turn.routes);
        if let Some(subscription) = self.topics.exact(topic) {
            let members = subscription.subscribers();
            routes.push((subscription, members));
        }
        if self.topics.has_patterns() {
            let patterns = self.topics.remembered_patterns(topic).unwrap_or_else(|| {
                let control = self.control.lock();
                self.topics.find_patterns(&control.subscriptions, topic)
            });
            routes.extend(
                patterns.iter().map(|subscription| (Arc::clone(subscription), subscription.subscribers())),
            );
        }
        routes
    }

    /// The same, from the registry, for what is published under control.
    pub(crate) fn topic_routes_under_control(control: &Control, topic: &str, turn: &mut Turn) -> Vec<Route> {
        let mut routes = std::mem::take(&mut turn.routes);
        let matching = control.subscriptions.matching(topic).into_iter();
        routes.extend(matching.map(|subscription| {
            let members = subscription.subscribers();
            (subscription, members)
        }));
        routes
    }

    /// Stores the event and reads the routes in one control section: no subscriber gets it twice, none misses it.
    fn retain(&self, publication: &Publication<'_>, turn: &mut Turn) -> Result<Vec<Route>, Refusal> {
        let retained = Retained::new(publication);
        let routes = mutated("routes_read_before_store").then(|| self.topic_routes(&publication.topic, turn));
        let mut control = self.control.lock();
        control.retained.store(&publication.topic, retained, &self.config.limits)?;
        if mutated("routes_read_after_store") {
            drop(control);
            return Ok(self.topic_routes(&publication.topic, turn));
        }
        if let Some(routes) = routes {
            return Ok(routes);
        }
        Ok(Self::topic_routes_under_control(&control, &publication.topic, turn))
    }

    /// One slice of a fan-out; PUBLISHED when it is done.
    pub(crate) fn fan_out_slice(
        &self,
        session: &Arc<Session>,
        fan_out: &mut FanOut<'_>,
        turn: &mut Turn,
    ) -> bool {
        if !fan_out.advance(SLICE_SUBSCRIBERS_MAX, turn) {
            return false;
        }
        for overflowed in std::mem::take(&mut fan_out.overflowed) {
            self.overflow(&overflowed, turn);
        }
        if let Some(request) = fan_out.acknowledge {
            self.acknowledge(session, Published { request, publication: fan_out.publication.id }, turn);
        }
        true
    }

    fn acknowledge(&self, session: &Arc<Session>, published: Published, turn: &mut Turn) {
        let head = message::head(session.serializer(), 3, MessageType::Published, published.request.0);
        let mut state = session.lock();
        if state.is_closed {
            return;
        }
        if !state.outbox.has_room() {
            drop(state);
            self.overflow(session, turn);
            return;
        }
        state.append_small(session, &head, turn, |encoder| {
            encoder.unsigned(published.publication.0);
            encoder.end_list();
        });
    }

    /// Publishes while control is held, to the end: meta events, testaments.
    pub(crate) fn publish_under_control(
        &self,
        control: &Control,
        publication: Publication<'_>,
        turn: &mut Turn,
    ) {
        let routes = Self::topic_routes_under_control(control, &publication.topic, turn);
        FanOut::new(publication, routes).advance(usize::MAX, turn);
    }

    /// A testament: published as by the session that has left.
    pub(crate) fn publish_testament(
        &self,
        control: &mut Control,
        session: &Session,
        publish: &Publish<'_>,
        turn: &mut Turn,
    ) {
        let Ok(discloses) = self.check_publish(publish) else { return };
        let identity = discloses.then(|| owned(&session.disclosed()));
        let publication = self.publication(session, publish, identity, turn);
        if publish.options.retain {
            let retained = Retained::new(&publication);
            // Over the limit the event is still delivered, only not retained: nobody is left to be told.
            let _ = control.retained.store(&publication.topic, retained, &self.config.limits);
        }
        self.histories.record(&publication, turn.now);
        self.publish_under_control(control, publication, turn);
    }
}

/// Is an identity disclosed? An error where it is asked for and forbidden.
pub(crate) fn discloses(policy: DisclosurePolicy, is_asked_for: bool) -> Result<bool, Refusal> {
    match policy {
        DisclosurePolicy::Allow => Ok(is_asked_for),
        DisclosurePolicy::Always => Ok(true),
        DisclosurePolicy::Deny if is_asked_for => {
            Err(Refusal::new(ErrorUri::DiscloseMeDisallowed, "the realm does not allow disclose_me"))
        }
        DisclosurePolicy::Deny => Ok(false),
    }
}

fn owned(identity: &Identity<'_>) -> Identity<'static> {
    Identity {
        session: identity.session,
        authid: identity.authid.clone().into_owned().into(),
        authrole: identity.authrole.clone().into_owned().into(),
    }
}

/// A retained event, encoded for the session that has just subscribed.
#[derive(Debug)]
pub(crate) struct Delivery {
    head: Head,
    tail: EncodedTail,
}

impl Delivery {
    /// Encodes the retained events that a new subscriber gets, before its lock is taken.
    pub(crate) fn retained(
        retained: &[(&str, &Retained)],
        subscription: &Subscription,
        session: &Session,
        turn: &mut Turn,
    ) -> Vec<Delivery> {
        let with_topic = subscription.match_policy() != MatchPolicy::Exact;
        let serializer = session.serializer();
        // What is beyond the outbox's limit would be dropped: it is not even encoded. As there, the largest does not
        // count, nor does what is larger than the peer takes.
        let limits = session.lock().outbox.limits();
        let (mut bytes, mut largest) = (0, 0);
        let encode = |(topic, retained): &(&str, &Retained)| {
            let event = retained.event(with_topic.then_some(topic));
            let head = message::head(
                serializer,
                event.elements(),
                MessageType::Event,
                subscription.subscription_id().0,
            );
            let encoded = turn.encode(serializer, SHARED_BYTES_MIN, |encoder| event.encode_tail(encoder));
            encoded.ok().map(|tail| Delivery { head, tail })
        };
        let fits = |delivery: &Delivery| {
            let fits = bytes - largest <= limits.hard_bytes as usize;
            let event_bytes = delivery.tail.len();
            if event_bytes <= limits.message_bytes_max as usize {
                bytes += event_bytes;
                largest = largest.max(event_bytes);
            }
            fits
        };
        retained.iter().filter_map(encode).take_while(fits).collect()
    }

    /// Appends the event in the section that appended SUBSCRIBED; where there is no room it is dropped and counted.
    pub(crate) fn append(
        self,
        session: &Arc<Session>,
        state: &mut SessionState,
        slot: &Slot,
        turn: &mut Turn,
    ) {
        let bytes = self.head.len() + self.tail.len();
        let is_too_large = state.outbox.is_too_large(bytes);
        if is_too_large || !state.outbox.has_room_for_event() {
            count_dropped(state, slot, is_too_large, turn);
            return;
        }
        turn.stats.events_delivered += 1;
        state.append(session, &self.head, self.tail.as_tail(), turn);
        turn.recycle(self.tail);
    }
}
