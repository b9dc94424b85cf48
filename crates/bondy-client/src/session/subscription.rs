//! Subscriptions: one at the router for each topic and match policy, however many streams read it here.
//!
//! A topic's entry lives as long as it has streams, or a SUBSCRIBE of it is on its way. UNSUBSCRIBE is sent when the last
//! stream is gone and nothing is on its way, so the answer to a SUBSCRIBE always finds its entry, and an id is never given
//! up that a SUBSCRIBE sent later is about to be answered with.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bondy_wamp::error_uri::ErrorUri;
use bondy_wamp::id::{PublicationId, SubscriptionId};
use bondy_wamp::message::{self, Message, MessageType, SubscribeOptions, Subscribed, Unsubscribed};
use bondy_wamp::uri::MatchPolicy;
use tokio::sync::oneshot;

use super::request::Request;
use super::{HELD_MAX, Phase, Refusal, Session, Violation, since};
use crate::connection::{ConnectionEvent, EndReason, Lost, RestoredSubscription};
use crate::error::{SendError, SubscribeError, WampError};
use crate::subscribe::{Event, EventQueue};

/// Publications that a stream which asks for retained events remembers, so as not to deliver one twice: the newest.
const REMEMBERED_PUBLICATIONS_MAX: usize = 4096;

/// How often it is told that one stream is slow, at most.
const SLOW_TOLD_EVERY: Duration = Duration::from_secs(1);

/// Names a topic's entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TopicToken(u64);

/// Names a stream of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SubscriberToken {
    topic: TopicToken,
    number: u64,
}

/// What a stream asks for.
#[derive(Debug)]
pub(crate) struct NewSubscription {
    pub(crate) topic: Arc<str>,
    pub(crate) match_policy: MatchPolicy,
    pub(crate) get_retained: bool,
    pub(crate) queue: Arc<EventQueue>,
}

type Confirmation = oneshot::Receiver<Result<(), SubscribeError>>;

/// All topics of a session.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    entries: BTreeMap<TopicToken, Topic>,
    by_key: HashMap<(Arc<str>, MatchPolicy), TopicToken>,
    by_id: HashMap<SubscriptionId, TopicToken>,
    last_number: u64,
    streams: usize,
}

/// One topic.
#[derive(Debug)]
pub(crate) struct Topic {
    uri: Arc<str>,
    match_policy: MatchPolicy,
    /// The subscription, as long as it is there.
    id: Option<SubscriptionId>,
    /// SUBSCRIBEs on their way.
    pending: usize,
    streams: Vec<Stream>,
    /// Since then the subscription was not there, which has not been told yet.
    gap_since: Option<Instant>,
}

#[derive(Debug)]
struct Stream {
    number: u64,
    queue: Arc<EventQueue>,
    /// When it was last told that the stream is slow.
    told_slow: Option<Instant>,
    /// Present where the stream wants retained events.
    remembered: Option<Remembered>,
    /// Present until SUBSCRIBED has come for the first time.
    confirmation: Option<oneshot::Sender<Result<(), SubscribeError>>>,
}

/// The newest publications that were delivered.
#[derive(Debug, Default)]
struct Remembered {
    order: VecDeque<PublicationId>,
    all: HashSet<PublicationId>,
}

impl Remembered {
    /// True if it is new.
    fn insert(&mut self, publication: PublicationId) -> bool {
        if !self.all.insert(publication) {
            return false;
        }
        self.order.push_back(publication);
        if self.order.len() > REMEMBERED_PUBLICATIONS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.all.remove(&oldest);
        }
        true
    }
}

impl Topic {
    /// The topic or pattern.
    pub(super) fn uri(&self) -> &Arc<str> {
        &self.uri
    }

    /// Appends the event to every stream that wants it; true if one of them lost an event and this is to be told.
    pub(super) fn deliver(&mut self, event: &Event, bytes: usize, lost_before: u64, now: Instant) -> bool {
        let mut is_slow = false;
        for stream in self.streams.iter_mut().filter(|stream| stream.confirmation.is_none()) {
            let is_wanted = match &mut stream.remembered {
                Some(remembered) => remembered.insert(event.publication()) || !event.is_retained(),
                None => !event.is_retained(),
            };
            if is_wanted
                && stream.queue.push(event.clone(), bytes, lost_before)
                && stream.told_slow.is_none_or(|told| since(told, now) >= SLOW_TOLD_EVERY)
            {
                stream.told_slow = Some(now);
                is_slow = true;
            }
        }
        is_slow
    }

    fn wants_retained(&self) -> bool {
        self.streams.iter().any(|stream| stream.remembered.is_some())
    }

    fn is_unused(&self) -> bool {
        self.streams.is_empty() && self.pending == 0
    }
}

impl Topics {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The topic of a subscription that is there.
    pub(super) fn by_subscription(&mut self, id: SubscriptionId) -> Option<&mut Topic> {
        self.entries.get_mut(self.by_id.get(&id)?)
    }

    fn of_key(&self, topic: &Arc<str>, policy: MatchPolicy) -> Option<TopicToken> {
        self.by_key.get(&(Arc::clone(topic), policy)).copied()
    }

    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    fn insert(&mut self, uri: &Arc<str>, match_policy: MatchPolicy) -> TopicToken {
        let token = TopicToken(self.next_number());
        let uri = Arc::clone(uri);
        self.by_key.insert((Arc::clone(&uri), match_policy), token);
        let topic = Topic { uri, match_policy, id: None, pending: 0, streams: Vec::new(), gap_since: None };
        self.entries.insert(token, topic);
        token
    }

    fn remove(&mut self, token: TopicToken) {
        let Some(topic) = self.entries.remove(&token) else { return };
        self.by_key.remove(&(Arc::clone(&topic.uri), topic.match_policy));
        self.forget_id(token, topic.id);
        self.streams -= topic.streams.len();
    }

    fn forget_id(&mut self, token: TopicToken, id: Option<SubscriptionId>) {
        if let Some(id) = id
            && self.by_id.get(&id) == Some(&token)
        {
            self.by_id.remove(&id);
        }
    }

    /// Takes a stream out; nothing if it is not there any more.
    fn remove_stream(&mut self, token: SubscriberToken) -> Option<Stream> {
        let topic = self.entries.get_mut(&token.topic)?;
        let position = topic.streams.iter().position(|stream| stream.number == token.number)?;
        self.streams -= 1;
        Some(topic.streams.remove(position))
    }

    /// The connection is gone: what was confirmed stays, to be restored.
    pub(super) fn disconnected(&mut self, heard: Instant) {
        self.by_id.clear();
        for topic in self.entries.values_mut() {
            let was_there = topic.id.take().is_some();
            topic.pending = 0;
            if was_there {
                topic.gap_since.get_or_insert(heard);
            }
            let before = topic.streams.len();
            topic.streams.retain_mut(|stream| match stream.confirmation.take() {
                Some(confirmation) => {
                    let _ = confirmation.send(Err(SubscribeError::Disconnected));
                    false
                }
                None => true,
            });
            self.streams -= before - topic.streams.len();
        }
        self.drop_unused();
    }

    /// Every gap until now has been told.
    pub(super) fn forget_gaps(&mut self) {
        self.entries.values_mut().for_each(|topic| topic.gap_since = None);
    }

    /// Does a stream wait though no answer is to come?
    #[cfg(any(test, fuzzing))]
    pub(crate) fn wait_in_vain(&self) -> bool {
        let is_waiting = |topic: &Topic| topic.streams.iter().any(|stream| stream.confirmation.is_some());
        self.entries.values().any(|topic| topic.pending == 0 && is_waiting(topic))
    }

    fn drop_unused(&mut self) {
        let unused: Vec<TopicToken> =
            self.entries.iter().filter(|(_, topic)| topic.is_unused()).map(|(token, _)| *token).collect();
        unused.into_iter().for_each(|token| self.remove(token));
    }

    /// The client is closed.
    pub(super) fn close(&mut self, reason: &EndReason) {
        for topic in std::mem::take(&mut self.entries).into_values() {
            for stream in topic.streams {
                if let Some(confirmation) = stream.confirmation {
                    let _ = confirmation.send(Err(SubscribeError::Closed));
                }
                stream.queue.end(crate::connection::WhyEnded::Closed(reason.clone()));
            }
        }
        *self = Self { last_number: self.last_number, ..Self::default() };
    }
}

impl Session {
    /// Adds a stream, sending SUBSCRIBE where there is need. Its confirmation comes through the receiver, or is there
    /// already.
    pub(crate) fn subscribe(
        &mut self,
        new: &NewSubscription,
    ) -> Result<(SubscriberToken, Option<Confirmation>), Refusal> {
        self.check_ready()?;
        self.check_requests()?;
        if self.topics.streams >= HELD_MAX {
            return Err(SendError::TooMany { what: "subscriptions", max: HELD_MAX }.into());
        }
        let known = self.topics.of_key(&new.topic, new.match_policy);
        let is_there = known
            .and_then(|token| self.topics.entries.get(&token))
            .is_some_and(|topic| topic.id.is_some() || topic.pending > 0);
        let number = self.topics.next_number();
        let request = match is_there && !new.get_retained {
            true => None,
            false => Some(self.send_subscribe(&new.topic, new.match_policy, new.get_retained)?),
        };
        let token = known.unwrap_or_else(|| self.topics.insert(&new.topic, new.match_policy));
        let subscriber = SubscriberToken { topic: token, number };
        if let Some(request) = request {
            self.requests.insert(request, Request::Subscribe { topic: token, subscriber: Some(subscriber) });
        }
        let topic = self.topics.entries.get_mut(&token).expect("it was found or inserted above");
        topic.pending += usize::from(request.is_some());
        let is_confirmed = request.is_none() && topic.id.is_some();
        let (confirmation, receiver) = match is_confirmed {
            true => (None, None),
            false => {
                let (sender, receiver) = oneshot::channel();
                (Some(sender), Some(receiver))
            }
        };
        let remembered = new.get_retained.then(Remembered::default);
        topic.streams.push(Stream {
            number,
            queue: Arc::clone(&new.queue),
            told_slow: None,
            remembered,
            confirmation,
        });
        self.topics.streams += 1;
        Ok((subscriber, receiver))
    }

    fn send_subscribe(
        &mut self,
        topic: &str,
        match_policy: MatchPolicy,
        get_retained: bool,
    ) -> Result<bondy_wamp::id::RequestId, Refusal> {
        let options = SubscribeOptions { match_policy, get_retained };
        self.request_with(|session, request| {
            session.try_send(&Message::Subscribe(message::Subscribe {
                request,
                options,
                topic: topic.into(),
            }))
        })
    }

    /// A stream is gone. With the last one UNSUBSCRIBE is sent, whose answer comes through the receiver.
    pub(crate) fn unsubscribe(
        &mut self,
        subscriber: SubscriberToken,
    ) -> Option<oneshot::Receiver<Result<(), WampError>>> {
        self.topics.remove_stream(subscriber)?;
        let (sender, receiver) = oneshot::channel();
        self.leave_if_unused(subscriber.topic, Some(sender)).then_some(receiver)
    }

    /// Sends UNSUBSCRIBE where neither a stream nor a SUBSCRIBE on its way needs the topic; true if it was sent.
    fn leave_if_unused(
        &mut self,
        token: TopicToken,
        waiter: Option<oneshot::Sender<Result<(), WampError>>>,
    ) -> bool {
        let Some(topic) = self.topics.entries.get(&token).filter(|topic| topic.is_unused()) else {
            return false;
        };
        let id = topic.id;
        self.topics.remove(token);
        let Some(subscription) = id else { return false };
        // Behind GOODBYE nothing may be sent, and with the session the subscription ends.
        if self.phase != Phase::Joined {
            return false;
        }
        let sent = self.request_with(|session, request| {
            session.try_send(&Message::Unsubscribe(message::Unsubscribe { request, subscription }))
        });
        match sent {
            Ok(request) => {
                self.requests.insert(request, Request::Unsubscribe(waiter));
                true
            }
            Err(_) => false,
        }
    }

    pub(super) fn handle_subscribed(
        &mut self,
        subscribed: Subscribed,
        now: Instant,
    ) -> Result<(), Violation> {
        if let Some(Request::Subscribe { topic, subscriber }) =
            self.take_request(subscribed.request, MessageType::Subscribe)?
        {
            self.subscribed(subscribed.subscription, topic, subscriber, now);
        }
        Ok(())
    }

    fn subscribed(
        &mut self,
        id: SubscriptionId,
        token: TopicToken,
        subscriber: Option<SubscriberToken>,
        now: Instant,
    ) {
        let Some(topic) = self.topics.entries.get_mut(&token) else { return };
        topic.pending = topic.pending.saturating_sub(1);
        let former = topic.id.replace(id);
        let gap = topic.gap_since.map(|gap| since(gap, now));
        for stream in &mut topic.streams {
            // A stream that asked itself waits for its own answer: its retained events come right behind that.
            let is_confirmed = stream.remembered.is_none()
                || subscriber.is_none_or(|subscriber| subscriber.number == stream.number);
            if is_confirmed && let Some(confirmation) = stream.confirmation.take() {
                let _ = confirmation.send(Ok(()));
            }
        }
        let uri = Arc::clone(&topic.uri);
        self.topics.forget_id(token, former);
        self.topics.by_id.insert(id, token);
        if subscriber.is_none() {
            self.restored(|report| {
                let gap = gap.unwrap_or_default();
                report.subscriptions.push(RestoredSubscription { topic: uri.to_string(), gap });
            });
        }
        self.leave_if_unused(token, None);
    }

    pub(super) fn subscribe_refused(
        &mut self,
        token: TopicToken,
        subscriber: Option<SubscriberToken>,
        error: &WampError,
    ) {
        let Some(topic) = self.topics.entries.get_mut(&token) else { return };
        topic.pending = topic.pending.saturating_sub(1);
        match subscriber {
            Some(subscriber) => {
                self.refuse_stream(subscriber, error);
                self.refuse_waiting(token, error);
            }
            None => {
                let uri = topic.uri.to_string();
                self.lose_topic(token, error);
                self.refuse_waiting(token, error);
                self.restored(|report| report.lost.push(Lost { uri, error: error.clone() }));
            }
        }
        self.leave_if_unused(token, None);
    }

    fn refuse_stream(&mut self, subscriber: SubscriberToken, error: &WampError) {
        if let Some(stream) = self.topics.remove_stream(subscriber)
            && let Some(confirmation) = stream.confirmation
        {
            let _ = confirmation.send(Err(error.clone().into()));
        }
    }

    /// Streams that only waited for the answer to another SUBSCRIBE, when no more answers come.
    fn refuse_waiting(&mut self, token: TopicToken, error: &WampError) {
        let Some(topic) = self.topics.entries.get(&token) else { return };
        if topic.id.is_some() || topic.pending > 0 {
            return;
        }
        let numbers: Vec<u64> = topic.streams.iter().map(|stream| stream.number).collect();
        numbers
            .into_iter()
            .for_each(|number| self.refuse_stream(SubscriberToken { topic: token, number }, error));
    }

    /// The subscription is gone, and with it the streams that had it. Those still waiting for an answer stay.
    fn lose_topic(&mut self, token: TopicToken, error: &WampError) {
        let Some(topic) = self.topics.entries.get_mut(&token) else { return };
        let uri = topic.uri.to_string();
        let id = topic.id.take();
        topic.gap_since = None;
        let before = topic.streams.len();
        topic.streams.retain(|stream| {
            let stays = stream.confirmation.is_some();
            if !stays {
                stream.queue.end(crate::connection::WhyEnded::Lost(error.clone()));
            }
            stays
        });
        self.topics.streams -= before - topic.streams.len();
        self.topics.forget_id(token, id);
        self.tell(&ConnectionEvent::SubscriptionLost { topic: uri, error: error.clone() });
    }

    pub(super) fn handle_unsubscribed(&mut self, unsubscribed: &Unsubscribed) -> Result<(), Violation> {
        if let Some((subscription, reason)) = &unsubscribed.revoked {
            // One that this side is leaving anyway is not there any more.
            if let Some(token) = self.topics.by_id.get(subscription).copied() {
                let error = WampError::new(reason.clone());
                self.lose_topic(token, &error);
                self.leave_if_unused(token, None);
            }
        } else if let Some(Request::Unsubscribe(Some(sender))) =
            self.take_request(unsubscribed.request, MessageType::Unsubscribe)?
        {
            let _ = sender.send(Ok(()));
        }
        Ok(())
    }

    /// Asks again for every subscription.
    pub(super) fn restore_subscriptions(&mut self) {
        let wanted: Vec<(TopicToken, Arc<str>, MatchPolicy, bool)> = self
            .topics
            .entries
            .iter()
            .map(|(token, topic)| {
                (*token, Arc::clone(&topic.uri), topic.match_policy, topic.wants_retained())
            })
            .collect();
        for (token, uri, policy, get_retained) in wanted {
            let sent = self.send_subscribe(&uri, policy, get_retained);
            if let Some(topic) = self.topics.entries.get_mut(&token) {
                topic.pending += 1;
            }
            match sent {
                Ok(request) => {
                    self.requests.insert(request, Request::Subscribe { topic: token, subscriber: None });
                }
                // What was accepted once is not too large now, unless this router takes less than the one before.
                Err(_) => self.subscribe_refused(token, None, &ErrorUri::PayloadSizeExceeded.into()),
            }
        }
    }
}
