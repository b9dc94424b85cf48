//! What a test and the connections of a link share: faults, what is frozen or cut, counts, the recording.
//!
//! Behind one lock, held for single steps and never across a wait. Whoever changes what connections may do says so on one
//! channel, whoever changes counts on another, and who waits looks again.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bondy_wamp::message::MessageType;
use serde_json::Value;
use tokio::sync::watch;

use super::Direction;
use super::fault::{Action, Active, Effect, Ending, Fault, FaultId, Sight};
use crate::recording::{Closer, Happening, Recorder, Recording};
use crate::wire::Agreement;
use crate::wire::splitter::Part;

/// What has passed in one direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes that were passed on, handshakes included.
    pub bytes: u64,
    /// Messages that were passed on.
    pub messages: u64,
    /// The same by type, where the type could be read.
    pub by_type: BTreeMap<MessageType, u64>,
    /// Messages and other parts that a fault has dropped.
    pub dropped: u64,
}

impl Traffic {
    /// How many messages of this type were passed on.
    pub fn of(&self, message: MessageType) -> u64 {
        self.by_type.get(&message).copied().unwrap_or(0)
    }
}

/// What a link has seen since it began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections that were let in.
    pub connections: u64,
    /// Those of them that are open.
    pub open: u64,
    /// Connections that were reset at once, because the link refuses them.
    pub refused: u64,
    /// Connections that the link has ended.
    pub cut: u64,
    /// From clients to the router.
    pub to_router: Traffic,
    /// From the router to clients.
    pub to_client: Traffic,
}

impl Counts {
    /// One direction.
    pub fn traffic(&self, direction: Direction) -> &Traffic {
        match direction {
            Direction::ToRouter => &self.to_router,
            Direction::ToClient => &self.to_client,
        }
    }

    fn traffic_mut(&mut self, direction: Direction) -> &mut Traffic {
        match direction {
            Direction::ToRouter => &mut self.to_router,
            Direction::ToClient => &mut self.to_client,
        }
    }
}

/// What a pump may do at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    Flowing,
    Frozen,
    Cut(Ending),
}

#[derive(Debug, Default)]
struct Connection {
    frozen: [bool; 2],
    cut: Option<Ending>,
    agreement: Option<Agreement>,
    is_recorded_as_closed: bool,
}

#[derive(Debug, Default)]
struct State {
    faults: Vec<Active>,
    faults_given: u64,
    frozen: [bool; 2],
    refuses: bool,
    counts: Counts,
    connections: BTreeMap<u64, Connection>,
    recorder: Option<Recorder>,
}

#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// Something was cut, frozen or thawed.
    steered: watch::Sender<()>,
    /// A count has changed.
    counted: watch::Sender<()>,
}

impl Default for Shared {
    fn default() -> Self {
        Self { state: Mutex::default(), steered: watch::Sender::new(()), counted: watch::Sender::new(()) }
    }
}

impl Shared {
    /// A panic elsewhere leaves nothing half done here: every section is one step.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A step after which connections have to look what they may do.
    fn steer(&self, step: impl FnOnce(&mut State)) {
        step(&mut self.lock());
        self.steered.send_replace(());
        self.counted.send_replace(());
    }

    /// A step that changes counts and nothing else that anybody waits for.
    fn count<T>(&self, step: impl FnOnce(&mut State) -> T) -> T {
        let outcome = step(&mut self.lock());
        self.counted.send_replace(());
        outcome
    }

    /// Says when connections have to look what they may do.
    pub(super) fn steering(&self) -> watch::Receiver<()> {
        self.steered.subscribe()
    }

    /// Says when a count has changed.
    pub(super) fn counting(&self) -> watch::Receiver<()> {
        self.counted.subscribe()
    }

    pub(super) fn add(&self, fault: Fault) -> FaultId {
        let mut state = self.lock();
        state.faults_given += 1;
        let id = FaultId(state.faults_given);
        state.faults.push(Active::new(id, fault));
        id
    }

    pub(super) fn remove(&self, fault: FaultId) -> bool {
        let mut state = self.lock();
        let before = state.faults.len();
        state.faults.retain(|active| active.id != fault);
        state.faults.len() < before
    }

    pub(super) fn clear(&self) {
        self.steer(|state| {
            state.faults.clear();
            state.refuses = false;
            state.thaw();
        });
    }

    pub(super) fn acted(&self, fault: FaultId) -> Option<u64> {
        self.lock().faults.iter().find(|active| active.id == fault).map(|active| active.acted)
    }

    pub(super) fn cut_all(&self, ending: Ending) {
        self.steer(|state| {
            let numbers: Vec<u64> = state.connections.keys().copied().collect();
            numbers.into_iter().for_each(|number| state.cut(number, ending));
        });
    }

    /// Ends one connection, because a fault says so.
    pub(super) fn cut(&self, connection: u64, ending: Ending) {
        self.steer(|state| state.cut(connection, ending));
    }

    /// Ends one connection as one of its sides has ended it.
    pub(super) fn end(&self, connection: u64, by: Direction, ending: Ending) {
        self.steer(|state| {
            state.record_end(connection, sender_of(by));
            if let Some(one) = state.connections.get_mut(&connection) {
                one.cut.get_or_insert(ending);
            }
        });
    }

    /// One side has said that it sends no more.
    pub(super) fn half_end(&self, connection: u64, by: Direction) {
        self.lock().record_end(connection, sender_of(by));
    }

    pub(super) fn freeze(&self, direction: Direction) {
        self.steer(|state| state.frozen[direction.index()] = true);
    }

    /// Freezes one connection in these directions, because a fault says so.
    pub(super) fn freeze_one(&self, connection: u64, directions: &[Direction]) {
        self.steer(|state| {
            if let Some(one) = state.connections.get_mut(&connection) {
                directions.iter().for_each(|direction| one.frozen[direction.index()] = true);
            }
        });
    }

    pub(super) fn thaw(&self) {
        self.steer(State::thaw);
    }

    pub(super) fn refuse(&self, refuse: bool) {
        self.lock().refuses = refuse;
    }

    pub(super) fn counts(&self) -> Counts {
        self.lock().counts.clone()
    }

    /// The number of a new connection, or nothing where it is refused.
    pub(super) fn open(&self) -> Option<u64> {
        self.count(|state| {
            if state.refuses {
                state.counts.refused += 1;
                return None;
            }
            state.counts.connections += 1;
            state.counts.open += 1;
            let number = state.counts.connections;
            state.connections.insert(number, Connection::default());
            Some(number)
        })
    }

    /// A connection is over on both sides.
    pub(super) fn close(&self, connection: u64) {
        self.count(|state| {
            state.record_end(connection, Closer::Link);
            state.connections.remove(&connection);
            state.counts.open -= 1;
            state.faults.iter_mut().for_each(|active| active.forget(connection));
        });
    }

    pub(super) fn view(&self, connection: u64, direction: Direction) -> View {
        let state = self.lock();
        let one = state.connections.get(&connection);
        match one.and_then(|one| one.cut) {
            Some(ending) => View::Cut(ending),
            None if state.frozen[direction.index()] => View::Frozen,
            None if one.is_some_and(|one| one.frozen[direction.index()]) => View::Frozen,
            None => View::Flowing,
        }
    }

    /// Records a part and says what the faults do to it, in the order in which they were added.
    pub(super) fn judge(&self, sight: &Sight<'_>, agreement: Option<Agreement>) -> Vec<Effect> {
        let mut state = self.lock();
        let effects: Vec<Effect> = state.faults.iter_mut().filter_map(|active| active.judge(sight)).collect();
        if effects.iter().any(|effect| effect.action == Action::Drop) {
            state.counts.traffic_mut(sight.direction).dropped += 1;
        }
        state.learn(sight.connection, agreement);
        if matches!(sight.part, Part::Message(_)) {
            // A message that no JSON can carry is there as null, so that nothing is missing in silence.
            let message = sight.message.cloned().unwrap_or_default();
            let is_lost = effects.iter().any(|effect| effect.loses(sight.wire_bytes));
            state.record_message(sight, message, is_lost);
        }
        effects
    }

    /// Bytes were passed on, and with them what ended there.
    pub(super) fn passed(&self, direction: Direction, bytes: usize, message: Option<Option<MessageType>>) {
        self.count(|state| {
            let traffic = state.counts.traffic_mut(direction);
            traffic.bytes += bytes as u64;
            let Some(message) = message else { return };
            traffic.messages += 1;
            if let Some(named) = message {
                *traffic.by_type.entry(named).or_default() += 1;
            }
        });
    }

    pub(super) fn record(&self) {
        self.count(|state| {
            let mut recorder = Recorder::new(Instant::now());
            for (number, connection) in &state.connections {
                if let Some(agreement) = connection.agreement {
                    recorder.push(Instant::now(), *number, opened(agreement));
                }
            }
            state.recorder = Some(recorder);
        });
    }

    pub(super) fn recording(&self) -> Recording {
        self.lock().recorder.take().map(Recorder::finish).unwrap_or_default()
    }
}

impl State {
    fn thaw(&mut self) {
        self.frozen = [false; 2];
        self.connections.values_mut().for_each(|one| one.frozen = [false; 2]);
    }

    fn cut(&mut self, connection: u64, ending: Ending) {
        self.record_end(connection, Closer::Link);
        if let Some(one) = self.connections.get_mut(&connection).filter(|one| one.cut.is_none()) {
            one.cut = Some(ending);
            self.counts.cut += 1;
        }
    }

    fn learn(&mut self, connection: u64, agreement: Option<Agreement>) {
        let Some(one) = self.connections.get_mut(&connection) else { return };
        if let (None, Some(agreement)) = (one.agreement, agreement) {
            one.agreement = Some(agreement);
            if let Some(recorder) = &mut self.recorder {
                recorder.push(Instant::now(), connection, opened(agreement));
            }
        }
    }

    fn record_message(&mut self, sight: &Sight<'_>, message: Value, is_dropped: bool) {
        if let Some(recorder) = &mut self.recorder {
            let happening = Happening::Message { direction: sight.direction, message, is_dropped };
            recorder.push(Instant::now(), sight.connection, happening);
        }
    }

    /// The first end of a connection counts: what follows is its consequence.
    fn record_end(&mut self, connection: u64, by: Closer) {
        let Some(one) = self.connections.get_mut(&connection) else { return };
        let is_known = one.agreement.is_some();
        if std::mem::replace(&mut one.is_recorded_as_closed, true) || !is_known {
            return;
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.push(Instant::now(), connection, Happening::Closed { by });
        }
    }
}

fn opened(agreement: Agreement) -> Happening {
    Happening::Opened { transport: agreement.transport, serializer: agreement.serializer }
}

/// Who sends in this direction.
const fn sender_of(direction: Direction) -> Closer {
    match direction {
        Direction::ToRouter => Closer::Client,
        Direction::ToClient => Closer::Router,
    }
}
