//! A client: it sends what its script says, answers what it is asked, and its thread handles its messages.

use std::sync::Arc;

use bondy_router::realm::Farewell;
use bondy_router::turn::Turn;
use bondy_wamp::message::CancelMode;
use shuttle::thread;

use super::event::surviving;
use super::ledger::CallFacts;
use super::message::{self, Chunk, PROCEDURE};
use super::world::World;
use super::{Act, Finds, Party, Step, Way};
use crate::crew::chosen;
use crate::seat::Seat;

/// One client of an execution.
pub(super) struct Client {
    world: Arc<World>,
    who: usize,
    turn: Turn,
    /// How much of its script it has sent.
    position: usize,
    /// How many calls it has made.
    calls: u64,
}

/// What a client may do next.
#[derive(Clone, Copy, Debug)]
enum Move {
    Script(Step),
    /// Go on with this answer to this invocation; its first act is next.
    Answer(u64, Way),
}

impl Client {
    pub(super) fn new(world: &Arc<World>, who: usize) -> Self {
        let turn = world.turn(who);
        Self { world: Arc::clone(world), who, turn, position: 0, calls: 0 }
    }

    /// Until nothing can happen any more.
    pub(super) fn run(mut self) {
        loop {
            self.world.look(self.who, &mut self.turn);
            self.watch();
            let moves = self.moves();
            // A client may always wait.
            let choice = chosen(moves.len() + 1);
            match moves.get(choice) {
                Some(chosen_move) => self.make(*chosen_move),
                None if !moves.is_empty() => thread::yield_now(),
                None if self.world.crew.rest(&self.world.seats, self.who, &mut self.turn.pool) => {}
                None => return,
            }
        }
    }

    /// How many messages have been appended for this client up to now.
    fn appended(&mut self) -> u64 {
        self.world.seats[self.who].appended(&mut self.turn.pool)
    }

    fn party(&self) -> &Party {
        &self.world.scenario.parties[self.who]
    }

    /// Where the next step depends on somebody else being registered, it is told at once.
    fn watch(&mut self) {
        let parties = &self.world.scenario.parties;
        let is_watched = |party: &&Party| match parties[self.who].script.get(self.position) {
            Some(Step::Call { finds, .. }) => *finds == Finds::Registered,
            Some(Step::Unregister(other) | Step::Leave(other)) => *other == Some(party.name),
            Some(Step::More { .. } | Step::Cancel { .. } | Step::Register | Step::Violate) | None => false,
        };
        for party in parties.iter().filter(is_watched) {
            self.world.watch(self.world.index(party.name), &mut self.turn);
        }
    }

    fn moves(&self) -> Vec<Move> {
        let mut moves = Vec::new();
        if self.world.ledger().places[self.who].is_dead {
            return moves;
        }
        if let Some(step) = self.party().script.get(self.position).filter(|step| self.may_send(step)) {
            moves.push(Move::Script(*step));
        }
        let ledger = self.world.ledger();
        if ledger.places[self.who].is_closed {
            return moves;
        }
        let mine = ledger.invocations.range((self.who, 0)..(self.who + 1, 0));
        for (&(_, id), invocation) in mine.filter(|(_, invocation)| !invocation.is_answered) {
            let ways = match &invocation.plan {
                Some(way) => std::slice::from_ref(way),
                None => &self.party().answers[..],
            };
            let is_possible = |way: &&Way| match way.first() {
                _ if invocation.plan.is_none() => true,
                None => false,
                Some(Act::OnInterrupt) => !invocation.interrupts.is_empty(),
                Some(_) => true,
            };
            moves.extend(ways.iter().filter(is_possible).map(|way| Move::Answer(id, way)));
        }
        moves
    }

    fn may_send(&self, step: &Step) -> bool {
        let ledger = self.world.ledger();
        let place = &ledger.places[self.who];
        if place.is_closed {
            return matches!(step, Step::Register);
        }
        let is_registered = |name: &Option<&str>| {
            name.is_none_or(|name| ledger.places[self.world.index(name)].registered.is_some())
        };
        match step {
            Step::Call { request, finds, .. } => {
                let latest = place.latest.get(request).map(|number| &ledger.calls[&(self.who, *number)]);
                let is_free = latest.is_none_or(|call| call.finals > 0);
                is_free && (*finds != Finds::Registered || ledger.somebody_was_registered)
            }
            Step::Unregister(other) => place.registered.is_some() && is_registered(other),
            Step::Leave(other) => is_registered(other),
            Step::More { .. } | Step::Cancel { .. } | Step::Register | Step::Violate => true,
        }
    }

    /// A client whose thread has died in this does nothing any more, and still sees what comes.
    fn make(&mut self, chosen_move: Move) {
        let lives = match chosen_move {
            Move::Script(step) => {
                self.position += 1;
                self.send(step)
            }
            Move::Answer(id, way) => self.answer(id, way),
        };
        let world = Arc::clone(&self.world);
        world.settle(&mut self.turn);
        if !lives {
            world.ledger().places[self.who].is_dead = true;
        }
    }

    /// Handles something for this client's session. Returns whether its thread has lived.
    fn handle(&mut self, handle: impl FnOnce(&Arc<World>, &Seat, &mut Turn)) -> bool {
        self.turn.now = self.world.now();
        let (who, turn) = (self.who, &mut self.turn);
        surviving(&self.world, |world| handle(world, &world.seats[who], turn))
    }

    fn send(&mut self, step: Step) -> bool {
        let registers = self.party().registers;
        match step {
            Step::Call { request, has_more, has_timeout, finds } => {
                self.call(request, has_more, has_timeout, finds)
            }
            Step::More { request, is_last } => self.more(request, is_last),
            Step::Cancel { request, mode } => {
                self.note_cancel(request, mode);
                self.handle(|world, seat, turn| {
                    message::cancel(&world.realm, &seat.session, request, mode, turn);
                })
            }
            Step::Register => self.handle(|world, seat, turn| {
                message::register(&world.realm, &seat.session, registers, turn);
            }),
            Step::Unregister(_) => {
                let registered = self.world.ledger().places[self.who].registered;
                let id = registered.expect("it is registered, as far as it knows");
                self.handle(|world, seat, turn| message::unregister(&world.realm, &seat.session, id, turn))
            }
            Step::Leave(_) => {
                let lives = self.handle(|world, seat, turn| {
                    world.realm.leave(&seat.session, Farewell::Lost, turn);
                });
                // What was appended before it left it does not see: its connection is lost.
                self.world.seats[self.who].look(&mut self.turn.pool);
                self.world.ledger().places[self.who].is_closed = lives;
                lives
            }
            Step::Violate => self.handle(|world, seat, turn| {
                message::violate(&world.realm, &seat.session, turn);
            }),
        }
    }

    fn call(&mut self, request: u64, has_more: bool, has_timeout: bool, finds: Finds) -> bool {
        self.calls += 1;
        let call = (self.who, self.calls);
        let facts = CallFacts {
            finals: 0,
            finds,
            is_accepted: false,
            chunks: 0,
            is_canceled: false,
            is_skipped: false,
            is_rerouted: false,
        };
        let mut ledger = self.world.ledger();
        ledger.calls.insert(call, facts);
        ledger.places[self.who].latest.insert(request, self.calls);
        drop(ledger);
        let chunk = Chunk {
            request,
            procedure: PROCEDURE,
            numbers: [call.0 as u64, call.1, 0],
            has_more,
            has_timeout,
        };
        let accepted = self.turn.stats.calls;
        let lives = self.handle(|world, seat, turn| message::call(&world.realm, &seat.session, chunk, turn));
        if let Some(facts) = self.world.ledger().calls.get_mut(&call) {
            facts.is_accepted = self.turn.stats.calls > accepted;
        }
        lives
    }

    fn more(&mut self, request: u64, is_last: bool) -> bool {
        let mut ledger = self.world.ledger();
        let number = ledger.places[self.who].latest[&request];
        let facts = ledger.calls.get_mut(&(self.who, number)).expect("the latest call is known");
        facts.chunks += 1;
        let chunk = Chunk {
            request,
            procedure: PROCEDURE,
            numbers: [self.who as u64, number, facts.chunks],
            has_more: !is_last,
            has_timeout: false,
        };
        drop(ledger);
        self.handle(|world, seat, turn| message::call(&world.realm, &seat.session, chunk, turn))
    }

    fn note_cancel(&self, request: u64, mode: CancelMode) {
        let mut ledger = self.world.ledger();
        let number = ledger.places[self.who].latest[&request];
        let facts = ledger.calls.get_mut(&(self.who, number)).expect("the latest call is known");
        facts.is_canceled = true;
        facts.is_skipped |= mode == CancelMode::Skip;
    }

    fn answer(&mut self, id: u64, way: Way) -> bool {
        let key = (self.who, id);
        let mut ledger = self.world.ledger();
        let invocation = ledger.invocations.get_mut(&key).expect("it answers what it has seen");
        let is_new = invocation.plan.is_none();
        let call = invocation.call;
        let may_act = match way.split_first() {
            None | Some((Act::OnInterrupt, _)) if is_new => {
                invocation.plan = Some(way);
                None
            }
            None => None,
            Some((act, rest)) => {
                invocation.plan = Some(rest);
                invocation.is_answered = *act != Act::Progress;
                Some(*act)
            }
        };
        if may_act == Some(Act::Unavailable)
            && let Some(facts) = ledger.calls.get_mut(&call)
        {
            facts.is_rerouted = true;
        }
        drop(ledger);
        let Some(act) = may_act else { return true };
        let lives = self.handle(|world, seat, turn| {
            message::answer(&world.realm, &seat.session, id, act, call, turn);
        });
        let appended = self.appended();
        if let Some(invocation) = self.world.ledger().invocations.get_mut(&key).filter(|_| lives) {
            invocation.answered_at = invocation.is_answered.then_some(appended);
        }
        lives
    }
}
