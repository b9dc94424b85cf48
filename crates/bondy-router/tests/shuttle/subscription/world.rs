//! One execution of a scenario: the realm, the clients' seats, and the threads.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bondy_router::config::RealmConfig;
use bondy_router::realm::{Farewell, Inspection, Realm};
use bondy_router::turn::Turn;
use bondy_wamp::error_uri::CloseUri;
use bondy_wamp::feature::Features;
use bondy_wamp::message::Message;
use shuttle::rand::{RngCore, thread_rng};
use shuttle::thread;

use super::ledger::Ledger;
use super::{Scenario, Step, message};
use crate::crew::{Crew, chosen, dawdle};
use crate::seat::{Seat, parsed};
use crate::violated;

/// What the threads of one execution share.
pub(super) struct World {
    scenario: Arc<Scenario>,
    realm: Realm,
    seats: Vec<Seat>,
    crew: Arc<Crew>,
    ledger: Mutex<Ledger>,
}

impl World {
    /// Executes the scenario once and checks the properties.
    pub(super) fn run(scenario: &Arc<Scenario>) {
        let realm = Realm::new(RealmConfig { uri: "com.example".to_owned(), ..RealmConfig::default() });
        let mut turn = new_turn(0);
        let take = |party: &super::Party| Seat::take(&realm, party.name, Features::all(), &mut turn);
        let seats: Vec<Seat> = scenario.parties.iter().map(take).collect();
        let ledger = Mutex::new(Ledger::new(seats.len()));
        let world =
            Arc::new(World { scenario: Arc::clone(scenario), realm, seats, crew: Arc::default(), ledger });
        for who in 0..scenario.parties.len() {
            let its_world = Arc::clone(&world);
            world.crew.spawn_idling(move || Client { world: its_world, who, position: 0 }.run());
        }
        if let Some(name) = scenario.killed {
            let its_world = Arc::clone(&world);
            world.crew.spawn(move || its_world.kill(name));
        }
        world.crew.join();
        world.check();
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn see(&self, who: usize, messages: &[Vec<u8>]) {
        let mut ledger = self.ledger();
        messages.iter().for_each(|bytes| ledger.see(who, bytes));
    }

    fn index(&self, name: &str) -> usize {
        let index = self.scenario.parties.iter().position(|party| party.name == name);
        index.expect("it is a party of the scenario")
    }

    fn kill(&self, name: &str) {
        dawdle();
        let session = &self.seats[self.index(name)].session;
        let farewell = Farewell::Goodbye(CloseUri::Killed.as_str(), None);
        self.realm.leave(session, farewell, &mut new_turn(100));
    }

    fn check(&self) {
        (0..self.seats.len()).for_each(|who| self.ledger().check(who));
        let subscribed = |who: &usize| {
            let ledger = self.ledger();
            ledger.places[*who].subscription().is_some() && !ledger.places[*who].is_closed
        };
        let subscribers: Vec<usize> = (0..self.seats.len()).filter(subscribed).collect();
        let is_open = |seat: &&Seat| !seat.session.is_closed();
        let expected = Inspection {
            sessions: self.seats.iter().filter(is_open).count(),
            subscriptions: usize::from(!subscribers.is_empty()),
            retained_topics: usize::from(self.ledger().events.values().any(|event| event.retain)),
            ..Inspection::default()
        };
        let found = self.realm.inspect();
        if found != expected {
            violated!("S6", "in the realm is {found:?} where {expected:?} is known of");
        }
        self.check_routes(&subscribers);
        self.realm.shut_down(CloseUri::SystemShutdown.as_str(), "the realm closes", &mut new_turn(0));
    }

    /// Routes and active slots agree: who publishes now reaches those who are subscribed.
    fn check_routes(&self, subscribers: &[usize]) {
        let mut turn = new_turn(0);
        let prober = Seat::take(&self.realm, "prober", Features::all(), &mut turn);
        message::publish(&self.realm, &prober.session, (usize::MAX, 1), false, &mut turn);
        let mut has_event = |who: &usize| {
            let messages = self.seats[*who].look(&mut turn.pool);
            messages.iter().any(|bytes| matches!(parsed(bytes), Message::Event(_)))
        };
        let reached: Vec<usize> = (0..self.seats.len()).filter(&mut has_event).collect();
        if reached != subscribers {
            violated!("S6", "an event reaches {reached:?} where {subscribers:?} are subscribed");
        }
    }
}

fn new_turn(worker: usize) -> Turn {
    Turn::new(worker as u16, thread_rng().next_u64())
}

/// One client of an execution.
struct Client {
    world: Arc<World>,
    who: usize,
    position: usize,
}

impl Client {
    /// Until nothing can happen any more.
    fn run(mut self) {
        let mut turn = new_turn(self.who);
        loop {
            let messages = self.world.seats[self.who].look(&mut turn.pool);
            self.world.see(self.who, &messages);
            if let Some(Step::Publish { once: Some(other), .. }) = self.script().get(self.position) {
                // It is told at once when the other one is subscribed.
                let other = self.world.index(other);
                let messages = self.world.seats[other].watch(&mut turn.pool);
                self.world.see(other, &messages);
            }
            match self.next_step() {
                Some(step) if chosen(2) == 0 => {
                    self.position += 1;
                    self.make(step, &mut turn);
                }
                Some(_) => thread::yield_now(),
                None if self.world.crew.rest(&self.world.seats, self.who, &mut turn.pool) => {}
                None => return,
            }
            turn.touched.clear();
            turn.touched_by_events.clear();
        }
    }

    fn script(&self) -> &[Step] {
        &self.world.scenario.parties[self.who].script
    }

    fn next_step(&self) -> Option<Step> {
        let step = *self.script().get(self.position)?;
        let ledger = self.world.ledger();
        if ledger.places[self.who].is_closed {
            return matches!(step, Step::Subscribe { .. }).then_some(step);
        }
        let may_be_sent = match step {
            Step::Unsubscribe => ledger.places[self.who].subscription().is_some(),
            Step::Publish { once: Some(name), .. } => {
                ledger.places[self.world.index(name)].subscription().is_some()
            }
            Step::Publish { once: None, .. } | Step::Subscribe { .. } | Step::Leave => true,
        };
        may_be_sent.then_some(step)
    }

    fn make(&self, step: Step, turn: &mut Turn) {
        let (world, who) = (&self.world, self.who);
        let (realm, session) = (&world.realm, &world.seats[who].session);
        match step {
            Step::Publish { retain, .. } => {
                let mut ledger = world.ledger();
                let number = ledger.events.range((who, 0)..(who + 1, 0)).count() as u64 + 1;
                ledger.publish((who, number), retain);
                drop(ledger);
                message::publish(realm, session, (who, number), retain, turn);
                if let Some(event) = world.ledger().events.get_mut(&(who, number)) {
                    event.is_handled = true;
                }
            }
            Step::Subscribe { get_retained } => {
                let mut ledger = world.ledger();
                ledger.places[who].asking = get_retained.then(|| ledger.stored());
                drop(ledger);
                message::subscribe(realm, session, world.scenario.match_policy, get_retained, turn);
            }
            Step::Unsubscribe => {
                let id = world.ledger().places[who].subscription().map(|subscription| subscription.id);
                message::unsubscribe(realm, session, id.expect("it is subscribed"), turn);
            }
            Step::Leave => {
                realm.leave(session, Farewell::Lost, turn);
                world.seats[who].look(&mut turn.pool);
                world.ledger().places[who].is_closed = true;
            }
        }
    }
}
