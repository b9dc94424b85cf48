//! One connection of a link: two pumps, one for each direction, in one task.
//!
//! A pump reads, lets the conversation be taken apart, asks the faults, and writes from a queue in which delays, freezes
//! and cuts stand between the bytes where they are to act. It reads ahead at most [`QUEUE_BYTES_MAX`], so that a side
//! that is not read feels it as it would without a link.

use std::collections::VecDeque;
use std::io;
use std::sync::Mutex;
use std::time::Duration;

use bondy_wamp::message::MessageType;
use serde_json::Value;
use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Direction;
use super::fault::{Action, Effect, Ending, Sight};
use super::state::{Shared, View};
use crate::message::{decode, type_of};
use crate::wire::splitter::{Conversation, Part, Unit};

/// The bytes that wait in one direction before no more are read: enough for every burst that a test sends, and small
/// enough that a frozen side soon pushes back.
const QUEUE_BYTES_MAX: usize = 256 << 10;

/// What one read takes at most.
const READ_BYTES: usize = 16 << 10;

/// Something that waits to be passed on or to happen, in order.
#[derive(Debug)]
enum Item {
    Bytes {
        due: Instant,
        bytes: Vec<u8>,
        written: usize,
        /// The message that ends here, with its type where that could be read.
        message: Option<Option<MessageType>>,
    },
    Freeze(Effect),
    Cut(Ending),
}

struct Pump<'a> {
    direction: Direction,
    connection: u64,
    shared: &'a Shared,
    conversation: &'a Mutex<Conversation>,
    source: ReadHalf<'a>,
    sink: WriteHalf<'a>,
    queue: VecDeque<Item>,
    queued_bytes: usize,
    /// Bytes that came in this direction.
    came_bytes: u64,
    /// Nothing is passed on before what was queued last.
    last_due: Instant,
    has_ended: bool,
}

/// Passes on between both until the connection is over.
pub(super) async fn run(mut client: TcpStream, mut router: TcpStream, connection: u64, shared: &Shared) {
    for stream in [&client, &router] {
        // Without it small messages wait for each other, which is no fault that a test has asked for.
        let _ = stream.set_nodelay(true);
    }
    let conversation = Mutex::new(Conversation::new());
    let ending = {
        let (from_client, to_client) = client.split();
        let (from_router, to_router) = router.split();
        let there = Pump::new(Direction::ToRouter, connection, shared, &conversation, from_client, to_router);
        let back = Pump::new(Direction::ToClient, connection, shared, &conversation, from_router, to_client);
        let (there, back) = tokio::join!(there.run(), back.run());
        there.or(back)
    };
    if ending == Some(Ending::Reset) {
        reset(&client);
        reset(&router);
    }
}

/// Makes the stream end with a reset when it is dropped.
pub(super) fn reset(stream: &TcpStream) {
    // A socket that takes no option is gone already.
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

impl<'a> Pump<'a> {
    fn new(
        direction: Direction,
        connection: u64,
        shared: &'a Shared,
        conversation: &'a Mutex<Conversation>,
        source: ReadHalf<'a>,
        sink: WriteHalf<'a>,
    ) -> Self {
        Self {
            direction,
            connection,
            shared,
            conversation,
            source,
            sink,
            queue: VecDeque::new(),
            queued_bytes: 0,
            came_bytes: 0,
            last_due: Instant::now(),
            has_ended: false,
        }
    }

    /// Until the source has ended and everything is passed on, or the connection is cut.
    async fn run(mut self) -> Option<Ending> {
        let mut steering = self.shared.steering();
        let start = Unit { wire: Vec::new(), part: Part::Opaque };
        self.take(start);
        loop {
            match self.shared.view(self.connection, self.direction) {
                View::Cut(ending) => return Some(ending),
                View::Frozen => wait_for(&mut steering).await,
                View::Flowing if self.queue.is_empty() && self.has_ended => {
                    self.pass_end().await;
                    return None;
                }
                View::Flowing => self.step(&mut steering).await,
            }
        }
    }

    /// One wait: for a change, for room to write or the time to do so, or for something to read.
    async fn step(&mut self, steering: &mut watch::Receiver<()>) {
        if self.act_at_front() {
            return;
        }
        let may_read = !self.has_ended && self.queued_bytes < QUEUE_BYTES_MAX;
        let mut buffer = [0; READ_BYTES];
        let front = match self.queue.front() {
            Some(Item::Bytes { due, bytes, written, .. }) => Some((*due, &bytes[*written..])),
            Some(Item::Freeze(_) | Item::Cut(_)) | None => None,
        };
        tokio::select! {
            biased;
            () = wait_for(steering) => {}
            outcome = write_when_due(&mut self.sink, front) => self.handle_written(outcome),
            outcome = self.source.read(&mut buffer), if may_read => match outcome {
                Ok(count) => self.handle_read(&buffer[..count]),
                Err(_) => self.shared.end(self.connection, self.direction, Ending::Reset),
            },
        }
    }

    /// Lets happen what stands at the front of the queue and is no bytes; whether there was such.
    fn act_at_front(&mut self) -> bool {
        match self.queue.front() {
            Some(Item::Freeze(effect)) => {
                let directions = match effect.action {
                    Action::FreezeBoth => &Direction::ALL[..],
                    Action::Freeze
                    | Action::Delay(_)
                    | Action::Drop
                    | Action::Cut(_)
                    | Action::CutInside(..) => std::slice::from_ref(&self.direction),
                };
                self.shared.freeze_one(self.connection, directions);
            }
            Some(Item::Cut(ending)) => self.shared.cut(self.connection, *ending),
            Some(Item::Bytes { .. }) | None => return false,
        }
        self.queue.pop_front();
        true
    }

    fn handle_written(&mut self, outcome: io::Result<usize>) {
        let Ok(count) = outcome else {
            let reader = match self.direction {
                Direction::ToRouter => Direction::ToClient,
                Direction::ToClient => Direction::ToRouter,
            };
            return self.shared.end(self.connection, reader, Ending::Reset);
        };
        let Some(Item::Bytes { bytes, written, message, .. }) = self.queue.front_mut() else { return };
        *written += count;
        let is_whole = *written == bytes.len();
        let message = message.filter(|_| is_whole);
        self.queued_bytes -= count;
        if is_whole {
            self.queue.pop_front();
        }
        self.shared.passed(self.direction, count, message);
    }

    fn handle_read(&mut self, bytes: &[u8]) {
        let units = {
            // Poisoned by the other direction at worst, whose half is apart from this one.
            let mut conversation = self.conversation.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            if bytes.is_empty() {
                self.has_ended = true;
                let wire = conversation.rest(self.direction);
                vec![Unit { wire, part: Part::Opaque }]
            } else {
                conversation.feed(self.direction, bytes)
            }
        };
        units.into_iter().filter(|unit| !unit.wire.is_empty()).for_each(|unit| self.take(unit));
        if self.has_ended {
            self.shared.half_end(self.connection, self.direction);
        }
    }

    /// Asks the faults about a part, and queues what is left of it.
    fn take(&mut self, unit: Unit) {
        let agreement = self.conversation.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).agreement();
        let message = match (&unit.part, agreement) {
            (Part::Message(payload), Some(agreement)) => decode(agreement.serializer, payload).ok(),
            (Part::Message(_) | Part::Opening | Part::Control | Part::Opaque, _) => None,
        };
        let sight = Sight {
            connection: self.connection,
            direction: self.direction,
            part: &unit.part,
            message: message.as_ref(),
            passed_bytes: self.came_bytes,
            wire_bytes: unit.wire.len(),
        };
        let effects = self.shared.judge(&sight, agreement);
        self.came_bytes += unit.wire.len() as u64;
        self.apply(unit, message.as_ref(), &effects);
    }

    fn apply(&mut self, unit: Unit, message: Option<&Value>, effects: &[Effect]) {
        let mut due = Instant::now();
        let mut border = None;
        for effect in effects {
            match effect.action {
                Action::Delay(by) => due += by,
                Action::Drop => return,
                Action::Freeze | Action::FreezeBoth | Action::Cut(_) | Action::CutInside(..) => {
                    border = border.or(Some(*effect));
                }
            }
        }
        let named = match unit.part {
            Part::Message(_) => Some(message.and_then(type_of)),
            Part::Opening | Part::Control | Part::Opaque => None,
        };
        self.last_due = self.last_due.max(due);
        let Some(border) = border else { return self.push(unit.wire, named) };
        let mut wire = unit.wire;
        let behind = wire.split_off(border.passing_bytes);
        let (named_before, named_behind) = if behind.is_empty() { (named, None) } else { (None, named) };
        self.push(wire, named_before);
        match border.action {
            Action::Cut(ending) | Action::CutInside(_, ending) => self.queue.push_back(Item::Cut(ending)),
            Action::Freeze | Action::FreezeBoth | Action::Delay(_) | Action::Drop => {
                self.queue.push_back(Item::Freeze(border));
                self.push(behind, named_behind);
            }
        }
    }

    fn push(&mut self, bytes: Vec<u8>, message: Option<Option<MessageType>>) {
        if !bytes.is_empty() {
            self.queued_bytes += bytes.len();
            self.queue.push_back(Item::Bytes { due: self.last_due, bytes, written: 0, message });
        }
    }

    /// Tells the sink that nothing more comes.
    async fn pass_end(&mut self) {
        // A sink that is gone needs no telling.
        let _ = self.sink.shutdown().await;
    }
}

async fn wait_for(steering: &mut watch::Receiver<()>) {
    // The sender lives as long as the link, and the link as long as its connections.
    let _ = steering.changed().await;
}

/// Writes once the bytes are due; never done where there are none.
async fn write_when_due(sink: &mut WriteHalf<'_>, front: Option<(Instant, &[u8])>) -> io::Result<usize> {
    let Some((due, bytes)) = front else { return std::future::pending().await };
    tokio::time::sleep_until(due).await;
    sink.write(bytes).await
}
