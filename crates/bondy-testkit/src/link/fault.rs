//! What goes wrong, where, and how often.
//!
//! A fault says what happens ([`Action`]) at which parts of a conversation: in which direction, at which [`Step`], on
//! which connection, from the how-manieth match on and how many times. It is data; whether it matches is decided here,
//! what follows from it is the pump's.

use std::collections::BTreeMap;
use std::time::Duration;

use bondy_wamp::message::MessageType;
use serde_json::Value;

use super::Direction;
use crate::message::type_of;
use crate::wire::splitter::Part;

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// In order: both sides read the end of the stream.
    Close,
    /// With a reset, as when the other process or host is gone.
    Reset,
}

/// What happens to a part that a fault matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is passed on that much later, and what follows in its direction never before it. The link still reads ahead:
    /// many delayed messages are all on their way at once.
    Delay(Duration),
    /// It is not passed on.
    Drop,
    /// Neither it nor what follows in this direction is passed on until the link is thawed.
    Freeze,
    /// The same in both directions.
    FreezeBoth,
    /// The connection ends instead.
    Cut(Ending),
    /// So many bytes of it are passed on, then the connection ends.
    CutInside(usize, Ending),
}

/// Where in a conversation a fault acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// At every part.
    Any,
    /// At the handshake of the transport.
    Opening,
    /// At messages of these types; at every message where none is named.
    Message(Vec<MessageType>),
    /// At pings, pongs and close frames.
    Control,
    /// Once so many bytes have passed on a connection in the direction; each connection has its turn.
    Bytes(u64),
}

/// The name of a fault on its link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FaultId(pub u64);

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    pub(crate) action: Action,
    pub(crate) step: Step,
    pub(crate) direction: Option<Direction>,
    pub(crate) connection: Option<u64>,
    pub(crate) uri: Option<String>,
    pub(crate) skip: u64,
    pub(crate) times: Option<u64>,
    pub(crate) is_delivered: bool,
    pub(crate) counts_per_connection: bool,
    pub(crate) chance: Option<(f64, u64)>,
}

impl Fault {
    /// A fault that acts at every part in both directions, until it is told otherwise.
    pub fn new(action: Action) -> Self {
        Self {
            action,
            step: Step::Any,
            direction: None,
            connection: None,
            uri: None,
            skip: 0,
            times: None,
            is_delivered: false,
            counts_per_connection: false,
            chance: None,
        }
    }

    /// Passes everything on later.
    pub fn delay(by: Duration) -> Self {
        Self::new(Action::Delay(by))
    }

    /// Passes nothing on.
    pub fn drop() -> Self {
        Self::new(Action::Drop)
    }

    /// Holds everything back.
    pub fn freeze() -> Self {
        Self::new(Action::Freeze)
    }

    /// Makes the connection half-open for both sides.
    pub fn freeze_both() -> Self {
        Self::new(Action::FreezeBoth)
    }

    /// Ends the connection in order.
    pub fn cut() -> Self {
        Self::new(Action::Cut(Ending::Close))
    }

    /// Resets the connection.
    pub fn reset() -> Self {
        Self::new(Action::Cut(Ending::Reset))
    }

    /// Ends the connection after so many bytes of a part.
    pub fn cut_inside(bytes: usize) -> Self {
        Self::new(Action::CutInside(bytes, Ending::Close))
    }

    /// Only at this step.
    #[must_use]
    pub fn at(mut self, step: Step) -> Self {
        self.step = step;
        self
    }

    /// Only at messages of this type; may be said several times.
    #[must_use]
    pub fn on(mut self, message: MessageType) -> Self {
        match &mut self.step {
            Step::Message(named) => named.push(message),
            Step::Any | Step::Opening | Step::Control | Step::Bytes(_) => {
                self.step = Step::Message(vec![message]);
            }
        }
        self
    }

    /// Once so many bytes have passed on a connection in the direction: not one more does before a cut or a freeze.
    #[must_use]
    pub fn after_bytes(self, bytes: u64) -> Self {
        self.at(Step::Bytes(bytes))
    }

    /// Only what goes there.
    #[must_use]
    pub fn going(mut self, direction: Direction) -> Self {
        self.direction = Some(direction);
        self
    }

    /// Only on this connection: they are counted from 1.
    #[must_use]
    pub fn connection(mut self, number: u64) -> Self {
        self.connection = Some(number);
        self
    }

    /// Only at messages with this URI as one of their elements.
    #[must_use]
    pub fn uri(mut self, uri: impl Into<String>) -> Self {
        self.uri = Some(uri.into());
        self
    }

    /// Not at the first so many matches.
    #[must_use]
    pub fn after(mut self, matches: u64) -> Self {
        self.skip = matches;
        self
    }

    /// At this match only, counted from 1.
    #[must_use]
    pub fn nth(self, number: u64) -> Self {
        self.after(number.saturating_sub(1)).times(1)
    }

    /// At so many matches at most.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    /// Counts matches on each connection by itself. Without this they are counted over all of them.
    #[must_use]
    pub fn each_connection(mut self) -> Self {
        self.counts_per_connection = true;
        self
    }

    /// A cut or a freeze comes right after the part instead of in place of it.
    #[must_use]
    pub fn delivered(mut self) -> Self {
        self.is_delivered = true;
        self
    }

    /// Acts at this share of the matches (0 to 1), chosen by a sequence that the seed decides.
    #[must_use]
    pub fn chance(mut self, share: f64, seed: u64) -> Self {
        self.chance = Some((share, seed));
        self
    }
}

/// A part as faults look at it.
#[derive(Debug)]
pub(crate) struct Sight<'a> {
    pub(crate) connection: u64,
    pub(crate) direction: Direction,
    pub(crate) part: &'a Part,
    /// The message, where it could be read.
    pub(crate) message: Option<&'a Value>,
    /// The bytes that passed in this direction before it.
    pub(crate) passed_bytes: u64,
    /// 0 where a connection has been opened and nothing has come yet.
    pub(crate) wire_bytes: usize,
}

/// What a fault does to a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Effect {
    pub(crate) action: Action,
    /// How many bytes of the part pass before a cut or a freeze.
    pub(crate) passing_bytes: usize,
}

impl Effect {
    /// Whether the other side never gets all of the part.
    pub(crate) fn loses(&self, wire_bytes: usize) -> bool {
        match self.action {
            Action::Drop => true,
            Action::Cut(_) | Action::CutInside(..) => self.passing_bytes < wire_bytes,
            Action::Delay(_) | Action::Freeze | Action::FreezeBoth => false,
        }
    }
}

/// A fault at work: how often it has matched and acted.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) id: FaultId,
    fault: Fault,
    /// Matches by connection; under 0 where they are counted together.
    matches: BTreeMap<u64, u64>,
    pub(crate) acted: u64,
    random: fastrand::Rng,
}

impl Active {
    pub(crate) fn new(id: FaultId, fault: Fault) -> Self {
        let random = fastrand::Rng::with_seed(fault.chance.map_or(0, |(_, seed)| seed));
        Self { id, fault, matches: BTreeMap::new(), acted: 0, random }
    }

    /// What happens to this part, if anything; counts the match.
    pub(crate) fn judge(&mut self, sight: &Sight<'_>) -> Option<Effect> {
        if !self.is_match(sight) {
            return None;
        }
        let counted_at = if self.fault.counts_per_connection { sight.connection } else { 0 };
        let count = self.matches.entry(counted_at).or_default();
        *count += 1;
        let number = *count - 1;
        let is_counted = match self.fault.times {
            Some(times) => number >= self.fault.skip && number - self.fault.skip < times,
            None => number >= self.fault.skip,
        };
        let is_chosen = self.fault.chance.is_none_or(|(share, _)| self.random.f64() < share);
        if !is_counted || !is_chosen {
            return None;
        }
        self.acted += 1;
        Some(Effect { action: self.fault.action, passing_bytes: self.passing_bytes(sight) })
    }

    /// A connection is over, and with it what was counted on it.
    pub(crate) fn forget(&mut self, connection: u64) {
        self.matches.remove(&connection);
    }

    fn is_match(&self, sight: &Sight<'_>) -> bool {
        let fault = &self.fault;
        let is_there = fault.direction.is_none_or(|direction| direction == sight.direction)
            && fault.connection.is_none_or(|connection| connection == sight.connection);
        let has_uri = match &fault.uri {
            None => true,
            Some(uri) => sight
                .message
                .and_then(Value::as_array)
                .is_some_and(|elements| elements.iter().any(|element| element.as_str() == Some(uri))),
        };
        is_there && has_uri && self.is_at_step(sight)
    }

    fn is_at_step(&self, sight: &Sight<'_>) -> bool {
        match &self.fault.step {
            Step::Any => sight.wire_bytes > 0,
            Step::Opening => *sight.part == Part::Opening,
            Step::Control => *sight.part == Part::Control,
            Step::Message(named) => {
                let is_named = || sight.message.and_then(type_of).is_some_and(|one| named.contains(&one));
                matches!(sight.part, Part::Message(_)) && (named.is_empty() || is_named())
            }
            Step::Bytes(bytes) => {
                let end = sight.passed_bytes + sight.wire_bytes as u64;
                match self.fault.action {
                    Action::Cut(_) | Action::CutInside(..) | Action::Freeze | Action::FreezeBoth
                        if sight.wire_bytes == 0 =>
                    {
                        *bytes == 0
                    }
                    // Where the border is inside this part, or at its end: once.
                    Action::Cut(_) | Action::CutInside(..) | Action::Freeze | Action::FreezeBoth => {
                        sight.passed_bytes < *bytes && *bytes <= end
                    }
                    Action::Delay(_) | Action::Drop => sight.wire_bytes > 0 && sight.passed_bytes >= *bytes,
                }
            }
        }
    }

    fn passing_bytes(&self, sight: &Sight<'_>) -> usize {
        let inside = match (&self.fault.step, self.fault.action) {
            (Step::Bytes(bytes), _) => {
                usize::try_from(bytes - sight.passed_bytes.min(*bytes)).unwrap_or(usize::MAX)
            }
            (_, Action::CutInside(bytes, _)) => bytes,
            (_, _) if self.fault.is_delivered => sight.wire_bytes,
            (_, _) => 0,
        };
        inside.min(sight.wire_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn judge(active: &mut Active, connection: u64, message: &Value) -> bool {
        let part = Part::Message(Vec::new());
        let sight = Sight {
            connection,
            direction: Direction::ToRouter,
            part: &part,
            message: Some(message),
            passed_bytes: 0,
            wire_bytes: 10,
        };
        active.judge(&sight).is_some()
    }

    fn active(fault: Fault) -> Active {
        Active::new(FaultId(1), fault)
    }

    #[test]
    fn the_nth_match_is_counted_over_all_connections_or_on_each() {
        let call = json!([48, 1, {}, "com.example.add"]);
        let mut together = active(Fault::drop().on(MessageType::Call).nth(2));
        let outcomes = [1, 2, 1, 2].map(|connection| judge(&mut together, connection, &call));
        assert_eq!(outcomes, [false, true, false, false]);
        let mut each = active(Fault::drop().on(MessageType::Call).nth(2).each_connection());
        let outcomes = [1, 2, 1, 2].map(|connection| judge(&mut each, connection, &call));
        assert_eq!(outcomes, [false, false, true, true]);
    }

    #[test]
    fn a_message_matches_by_type_uri_direction_and_connection() {
        let call = json!([48, 1, {}, "com.example.add"]);
        let matches = |fault: Fault| judge(&mut active(fault), 7, &call);
        assert!(matches(Fault::drop().on(MessageType::Call).on(MessageType::Publish)));
        assert!(!matches(Fault::drop().on(MessageType::Publish)));
        assert!(matches(Fault::drop().uri("com.example.add")));
        assert!(!matches(Fault::drop().uri("com.example")));
        assert!(!matches(Fault::drop().going(Direction::ToClient)));
        assert!(matches(Fault::drop().connection(7)) && !matches(Fault::drop().connection(1)));
        assert!(!matches(Fault::drop().at(Step::Opening)) && !matches(Fault::drop().at(Step::Control)));
    }

    #[test]
    fn chance_is_decided_by_the_seed() {
        let call = json!([48, 1, {}, "com.example.add"]);
        let run = |seed| {
            let mut fault = active(Fault::drop().chance(0.5, seed));
            (0..64).map(|_| judge(&mut fault, 1, &call)).collect::<Vec<bool>>()
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }
}
