//! One execution of a scenario: the realm, the clients' seats, and the threads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bondy_router::config::{Limits, RealmConfig};
use bondy_router::realm::Realm;
use bondy_router::timer::Timer;
use bondy_router::turn::{Now, Turn};
use bondy_wamp::error_uri::CloseUri;
use bondy_wamp::feature::{Feature, Features};
use shuttle::rand::{RngCore, thread_rng};

use super::client::Client;
use super::ledger::Ledger;
use super::{Party, Scenario, ending, event, message};
use crate::crew::{Crew, dawdle};
use crate::seat::Seat;

/// What the threads of one execution share.
pub(super) struct World {
    pub(super) scenario: Arc<Scenario>,
    pub(super) realm: Realm,
    /// By the index of the party.
    pub(super) seats: Vec<Seat>,
    /// One for each event, since a session's messages are handled by one thread at a time.
    pub(super) admins: Vec<Seat>,
    pub(super) crew: Arc<Crew>,
    ledger: Mutex<Ledger>,
    clock_ns: AtomicU64,
}

impl World {
    /// Executes the scenario once and checks the properties.
    pub(super) fn run(scenario: &Arc<Scenario>) {
        let world = Arc::new(World::new(scenario));
        for event in 0..scenario.events.len() {
            let its_world = Arc::clone(&world);
            world.crew.spawn(move || event::happen(&its_world, event));
        }
        for party in 0..scenario.parties.len() {
            let client = Client::new(&world, party);
            world.crew.spawn_idling(move || client.run());
        }
        world.crew.join();
        ending::check(&world);
    }

    fn new(scenario: &Arc<Scenario>) -> Self {
        let limits = Limits { calls_max: scenario.calls_max, ..Limits::default() };
        let realm =
            Realm::new(RealmConfig { uri: "com.example".to_owned(), limits, ..RealmConfig::default() });
        let mut turn = Turn::new(0, thread_rng().next_u64());
        let mut take = |name: &str, features| Seat::take(&realm, name, features, &mut turn);
        let seats: Vec<Seat> =
            scenario.parties.iter().map(|party| take(party.name, features(party))).collect();
        let admins = scenario.events.iter().map(|_| take("admin", Features::all())).collect();
        let mut ledger = Ledger::new(scenario);
        for (index, (party, seat)) in scenario.parties.iter().zip(&seats).enumerate() {
            if party.is_registered && !party.answers.is_empty() {
                message::register(&realm, &seat.session, party.registers, &mut turn);
            }
            seat.look(&mut turn.pool).iter().for_each(|bytes| ledger.see(index, bytes));
            if party.is_full {
                seat.fill(&mut turn.pool);
            }
        }
        Self {
            scenario: Arc::clone(scenario),
            realm,
            seats,
            admins,
            crew: Arc::default(),
            ledger: Mutex::new(ledger),
            clock_ns: AtomicU64::new(1),
        }
    }

    /// What is known about the execution. Not held across a step of the protocol.
    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The realm closes.
    pub(super) fn close(&self) {
        let reason = CloseUri::SystemShutdown.as_str();
        self.realm.shut_down(reason, "the realm closes", &mut self.turn(2000));
    }

    /// The index of a party.
    pub(super) fn index(&self, name: &str) -> usize {
        let index = self.scenario.parties.iter().position(|party| party.name == name);
        index.expect("it is a party of the scenario")
    }

    /// A client looks into its outbox.
    pub(super) fn look(&self, who: usize, turn: &mut Turn) {
        let messages = self.seats[who].look(&mut turn.pool);
        let mut ledger = self.ledger();
        messages.iter().for_each(|bytes| ledger.see(who, bytes));
    }

    /// Somebody waits for what this client is told.
    pub(super) fn watch(&self, who: usize, turn: &mut Turn) {
        let messages = self.seats[who].watch(&mut turn.pool);
        let mut ledger = self.ledger();
        messages.iter().for_each(|bytes| ledger.see(who, bytes));
    }

    /// A worker's turn, with random numbers of its own.
    pub(super) fn turn(&self, worker: usize) -> Turn {
        let mut turn = Turn::new(worker as u16, thread_rng().next_u64());
        turn.now = self.now();
        turn
    }

    /// A moment later than all before.
    pub(super) fn now(&self) -> Now {
        Now { monotonic_ns: self.clock_ns.fetch_add(1, Ordering::Relaxed), unix_us: 0 }
    }

    /// After something was handled: deadlines run on threads of their own, more freely than a worker would have it.
    pub(super) fn settle(self: &Arc<Self>, turn: &mut Turn) {
        turn.touched.clear();
        turn.touched_by_events.clear();
        turn.congested.clear();
        for timer in std::mem::take(&mut turn.timers) {
            let world = Arc::clone(self);
            self.crew.spawn(move || world.expire(timer));
        }
    }

    /// The deadline passes at any moment.
    fn expire(self: &Arc<Self>, timer: Timer) {
        dawdle();
        let mut turn = self.turn(usize::from(u16::MAX));
        turn.now.monotonic_ns = timer.deadline_ns;
        event::surviving(self, |_| Realm::expire(&timer, &mut turn));
        self.settle(&mut turn);
    }
}

fn features(party: &Party) -> Features {
    let mut features = Features::all();
    if !party.can_be_interrupted {
        features.remove(Feature::CalleeCanceling);
    }
    if !party.reroutes {
        features.remove(Feature::CalleeReroute);
    }
    features
}
