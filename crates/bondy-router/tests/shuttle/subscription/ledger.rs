//! What the clients have published and seen in one execution, and the properties of that.

use std::collections::BTreeMap;

use bondy_wamp::id::SubscriptionId;
use bondy_wamp::message::{Event, Message};

use crate::seat::{numbers, parsed};
use crate::violated;

/// Everything that is known from the outside.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) places: Vec<Place>,
    /// By publisher and number.
    pub(super) events: BTreeMap<(usize, u64), Published>,
}

/// What a client knows of itself.
#[derive(Debug, Default)]
pub(super) struct Place {
    pub(super) is_closed: bool,
    /// The retained events that were stored for sure before the SUBSCRIBE that is under way, by publisher; none if
    /// it does not ask for them.
    pub(super) asking: Option<BTreeMap<usize, u64>>,
    pub(super) subscriptions: Vec<Subscription>,
}

/// One subscription, from its SUBSCRIBED to its end.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) id: SubscriptionId,
    pub(super) is_over: bool,
    gets_retained: bool,
    stored_before: BTreeMap<usize, u64>,
    /// The event that came with SUBSCRIBED.
    retained: Option<(usize, u64)>,
    /// Those that came when they were published.
    live: Vec<(usize, u64)>,
    /// The events that it has to get, for they were published after it was seen.
    owed: Vec<(usize, u64)>,
}

/// One event as its publisher knows it.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) retain: bool,
    pub(super) is_handled: bool,
}

impl Place {
    /// The subscription that it has at present, as far as it knows.
    pub(super) fn subscription(&self) -> Option<&Subscription> {
        self.subscriptions.last().filter(|subscription| !subscription.is_over)
    }

    fn open(&mut self) -> Option<&mut Subscription> {
        self.subscriptions.last_mut().filter(|subscription| !subscription.is_over)
    }
}

impl Ledger {
    pub(super) fn new(parties: usize) -> Self {
        Self { places: (0..parties).map(|_| Place::default()).collect(), events: BTreeMap::new() }
    }

    /// A client begins to publish. Who has seen SUBSCRIBED has to get the event.
    pub(super) fn publish(&mut self, event: (usize, u64), retain: bool) {
        self.events.insert(event, Published { retain, is_handled: false });
        for place in &mut self.places {
            if let Some(subscription) = place.open() {
                subscription.owed.push(event);
            }
        }
    }

    /// The retained events that are stored for sure, the last of each publisher.
    pub(super) fn stored(&self) -> BTreeMap<usize, u64> {
        let stored = self.events.iter().filter(|(_, event)| event.retain && event.is_handled);
        stored.map(|((publisher, number), _)| (*publisher, *number)).collect()
    }

    /// A client has seen the next message for it.
    pub(super) fn see(&mut self, who: usize, bytes: &[u8]) {
        let message = parsed(bytes);
        let place = &mut self.places[who];
        if place.is_closed {
            violated!("S1", "{message:?} for {who}, whose session has ended");
        }
        match message {
            Message::Welcome(_) | Message::Published(_) => {}
            Message::Subscribed(subscribed) => {
                let asking = place.asking.take();
                place.subscriptions.push(Subscription {
                    id: subscribed.subscription,
                    is_over: false,
                    gets_retained: asking.is_some(),
                    stored_before: asking.unwrap_or_default(),
                    retained: None,
                    live: Vec::new(),
                    owed: Vec::new(),
                });
            }
            Message::Unsubscribed(_) => {
                place.open().expect("it was subscribed").is_over = true;
            }
            Message::Event(event) => self.see_event(who, &event),
            Message::Goodbye(_) => place.is_closed = true,
            other => violated!("S1", "{other:?} for {who}, which nobody asked for"),
        }
    }

    fn see_event(&mut self, who: usize, event: &Event<'_>) {
        let args = numbers(event.payload.args);
        let &[publisher, number] = &args[..] else {
            violated!("S1", "EVENT for {who} has arguments {args:?}");
        };
        let key = (publisher as usize, number);
        let Some(subscription) = self.places[who].open().filter(|open| open.id == event.subscription) else {
            violated!("S1", "EVENT {key:?} for {who}, which is not subscribed");
        };
        if subscription.live.contains(&key) || subscription.retained == Some(key) {
            violated!("S3", "EVENT {key:?} reaches {who} twice");
        }
        let is_later = |seen: &(usize, u64)| seen.0 == key.0 && seen.1 > key.1;
        if subscription.live.iter().chain(&subscription.retained).any(is_later) {
            violated!("S2", "EVENT {key:?} reaches {who} after a later one of its publisher");
        }
        if !event.details.retained {
            subscription.live.push(key);
        } else if !subscription.live.is_empty() || !subscription.gets_retained {
            violated!("S1", "the retained EVENT {key:?} reaches {who} after {:?}", subscription.live);
        } else {
            subscription.retained = Some(key);
        }
    }

    /// At the end: nothing is lost.
    pub(super) fn check(&self, who: usize) {
        let place = &self.places[who];
        for subscription in &place.subscriptions {
            let lasts = !subscription.is_over && !place.is_closed;
            for publisher in 0..self.places.len() {
                self.check_gaps(who, subscription, publisher, lasts);
            }
            if lasts {
                self.check_owed(who, subscription);
            }
        }
    }

    /// The events of one publisher that came live follow each other without a gap, up to the last one if the
    /// subscription lasts; and between the one that came with SUBSCRIBED and the first of them nothing retained is
    /// lost.
    fn check_gaps(&self, who: usize, subscription: &Subscription, publisher: usize, lasts: bool) {
        let of_publisher = |event: &&(usize, u64)| event.0 == publisher;
        let live: Vec<u64> = subscription.live.iter().filter(of_publisher).map(|event| event.1).collect();
        if live.windows(2).any(|pair| pair[1] != pair[0] + 1) {
            violated!("S5", "{who} gets {live:?} of {publisher}");
        }
        let published = self
            .events
            .range((publisher, 0)..(publisher + 1, 0))
            .next_back()
            .map_or(0, |((_, last), _)| *last);
        if lasts && live.last().is_some_and(|last| *last != published) {
            violated!("S5", "{who} gets {live:?} of the {published} events of {publisher}");
        }
        let first_live = live.first().copied().or(lasts.then_some(published + 1));
        let retained = subscription.retained.filter(|event| event.0 == publisher);
        let known = retained.map(|event| event.1).into_iter().chain(
            // What was stored before it asked is not lost either, unless another's event has taken its place.
            subscription.stored_before.get(&publisher).copied().filter(|_| subscription.retained.is_none()),
        );
        for from in known {
            let up_to = first_live.unwrap_or(from);
            let is_lost = |number: &u64| self.events[&(publisher, *number)].retain;
            let begin = if retained.is_some() { from + 1 } else { from };
            if let Some(lost) = (begin..up_to).find(is_lost) {
                violated!(
                    "S4",
                    "the retained event {lost} of {publisher} never reaches {who}: {subscription:?}"
                );
            }
        }
    }

    fn check_owed(&self, who: usize, subscription: &Subscription) {
        let has =
            |event: &(usize, u64)| subscription.live.contains(event) || subscription.retained == Some(*event);
        if let Some(lost) = subscription.owed.iter().find(|event| !has(event)) {
            violated!("S5", "EVENT {lost:?} never reaches {who}, which was subscribed when it was published");
        }
        let is_anything_retained = self.events.values().any(|event| event.retain);
        let has_retained =
            subscription.live.iter().chain(&subscription.retained).any(|event| self.events[event].retain);
        if subscription.gets_retained && is_anything_retained && !has_retained {
            violated!("S4", "no retained event ever reaches {who}: {subscription:?}");
        }
        if let Some(retained) = subscription.retained {
            let stored = subscription.stored_before.get(&retained.0);
            if stored.is_some_and(|stored| *stored > retained.1) {
                violated!(
                    "S4",
                    "{who} gets the retained {retained:?}, older than {stored:?} that was stored"
                );
            }
        }
    }
}
