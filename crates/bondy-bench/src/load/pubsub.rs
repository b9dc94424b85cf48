//! Events: one thread and many sockets, with tokio, as a thread for each of a thousand subscribers would cost more
//! than the router. Publishers write in closed batches, or, on a thread of their own, when an event is due.

mod paced;

use super::{Latencies, LoadSpec, Measurement, PubSubWork, Span, own_name, source};
use crate::failure::Failure;
use crate::wire::{
    AsyncStream, Connection, Exchange, FloorRole, Payload, Template, Wire, code, lost, unexpected,
};
use anyhow::{Context, ensure};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

const BATCH_TIMEOUT: Duration = Duration::from_secs(10);
/// How often publishers look whether they are asked for a sign of life. Nothing else is ever said to them.
const ATTEND_INTERVAL: Duration = Duration::from_secs(1);

/// What the tasks of one run share.
struct Shared {
    /// Events of this batch that subscribers still wait for.
    missing: Cell<u64>,
    /// Events delivered since the beginning.
    delivered: Cell<u64>,
    clock: RefCell<Clock>,
    failure: RefCell<Option<anyhow::Error>>,
    done: Notify,
}

/// Since when an event is on its way, and which ones are measured.
enum Clock {
    /// Since its batch was written; `None` until measuring begins.
    Batch(Instant, Option<Latencies>),
    /// Since it was due, which its stamp says.
    Schedule(paced::Measured),
}

/// Runs one round.
pub(super) fn run(spec: &LoadSpec, work: PubSubWork) -> anyhow::Result<Measurement> {
    let topic = own_name("topic");
    let (mut subscribers, mut stalled) = (Vec::new(), Vec::new());
    for index in 0..work.subscribers.max(1) {
        let source = source(&spec.target.address, index);
        let mut subscriber = Connection::open(&spec.target, FloorRole::Receiver, source)?;
        subscriber.reset_when_dropped()?;
        subscriber
            .request(&Template::subscribe(spec.target.wire, &topic), code::SUBSCRIBED)
            .with_context(|| format!("cannot subscribe to {topic}"))?;
        match index < work.stalled {
            true => stalled.push(subscriber.stall()?),
            false => subscribers.push(subscriber),
        }
    }
    let publishers =
        (0..work.publishers.max(1)).map(|_| Connection::open(&spec.target, FloorRole::Sender, None));
    let publishers = publishers.collect::<anyhow::Result<Vec<_>>>()?;
    let publish = Template::publish(spec.target.wire, &topic, work.payload);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tasks = tokio::task::LocalSet::new();
    let measurement = match work.rate_per_s {
        None => tasks.block_on(&runtime, drive(spec, work, subscribers, publishers, &publish)),
        Some(rate) => {
            tasks.block_on(&runtime, paced::drive(spec, work, rate, subscribers, publishers, publish))
        }
    };
    drop(stalled);
    measurement
}

impl Shared {
    /// Puts every subscriber on a task of its own.
    fn spawn(clock: Clock, subscribers: Vec<Connection>, payload: Payload) -> Rc<Shared> {
        let shared = Rc::new(Shared {
            missing: Cell::new(0),
            delivered: Cell::new(0),
            clock: RefCell::new(clock),
            failure: RefCell::new(None),
            done: Notify::new(),
        });
        for subscriber in subscribers {
            tokio::task::spawn_local(subscribe(subscriber, payload, Rc::clone(&shared)));
        }
        shared
    }

    fn check(&self) -> anyhow::Result<()> {
        self.failure.borrow_mut().take().map_or(Ok(()), Err)
    }
}

async fn drive(
    spec: &LoadSpec,
    work: PubSubWork,
    subscribers: Vec<Connection>,
    mut publishers: Vec<Connection>,
    publish: &Template,
) -> anyhow::Result<Measurement> {
    let events = (publishers.len() * work.window.max(1) * subscribers.len()) as u64;
    let shared = Shared::spawn(Clock::Batch(Instant::now(), None), subscribers, work.payload);
    let mut batches = async |until: Duration| -> anyhow::Result<u64> {
        let started = Instant::now();
        let mut attended = started;
        let mut delivered = 0;
        while started.elapsed() < until {
            if attended.elapsed() > ATTEND_INTERVAL {
                publishers.iter_mut().try_for_each(Connection::attend)?;
                attended = Instant::now();
            }
            batch(&shared, &mut publishers, publish, work.window.max(1), events).await?;
            delivered += events;
        }
        Ok(delivered)
    };
    batches(spec.warm_up).await?;
    *shared.clock.borrow_mut() = Clock::Batch(Instant::now(), Some(Latencies::new()));
    let span = Span::begin(&spec.server_pids)?;
    let delivered = batches(spec.duration).await?;
    let measurement = span.end(delivered)?;
    let latency = match &*shared.clock.borrow() {
        Clock::Batch(_, Some(latencies)) => latencies.quantiles(),
        Clock::Batch(_, None) | Clock::Schedule(_) => measurement.latency,
    };
    Ok(Measurement { latency, ..measurement })
}

/// Writes one batch and waits until everybody has it.
async fn batch(
    shared: &Shared,
    publishers: &mut [Connection],
    publish: &Template,
    window: usize,
    events: u64,
) -> anyhow::Result<()> {
    shared.missing.set(events);
    if let Clock::Batch(sent, _) = &mut *shared.clock.borrow_mut() {
        *sent = Instant::now();
    }
    for publisher in publishers {
        for _ in 0..window {
            let request = publisher.next_request();
            publish.append(request, &mut publisher.exchange().output);
        }
        // Blocking, which is safe: the server reads a publisher whatever its subscribers do.
        publisher.flush()?;
    }
    let waited = tokio::time::timeout(BATCH_TIMEOUT, shared.done.notified()).await;
    shared.check()?;
    if waited.is_err() {
        let missing = shared.missing.get();
        let text = format!(
            "{missing} of {events} events of a batch have not come within {BATCH_TIMEOUT:?}: were they dropped? \
             A smaller --window asks for less at once"
        );
        return Err(Failure::answer(text).into());
    }
    Ok(())
}

async fn subscribe(subscriber: Connection, payload: Payload, shared: Rc<Shared>) {
    if let Err(error) = receive(subscriber, payload, &shared).await {
        *shared.failure.borrow_mut() = Some(error);
        shared.done.notify_one();
    }
}

async fn receive(subscriber: Connection, payload: Payload, shared: &Shared) -> anyhow::Result<()> {
    let (stream, mut exchange) = subscriber.into_parts();
    let mut stream = AsyncStream::new(stream)?;
    loop {
        // Events may have come with the answer to SUBSCRIBE, so what is there is looked at before waiting.
        let events = take_events(&mut exchange, payload, shared)?;
        if events > 0 {
            shared.delivered.set(shared.delivered.get() + events);
            shared.missing.set(shared.missing.get().saturating_sub(events));
            if shared.missing.get() == 0 {
                shared.done.notify_one();
            }
        }
        if !exchange.output.is_empty() {
            // A pong is the only thing to say; a socket without room for it is no idle one.
            let _ = stream.try_write(&exchange.output);
            exchange.output.clear();
        }
        let length = stream.read(exchange.space()?).await.map_err(|error| lost(&error, "is silent"))?;
        ensure!(length > 0, Failure::unreachable("the server closed a subscriber's connection"));
        exchange.inbox.filled(length);
    }
}

/// Counts the events that have been read, and measures them.
fn take_events(exchange: &mut Exchange, payload: Payload, shared: &Shared) -> anyhow::Result<u64> {
    let wire = exchange.wire;
    let mut clock = shared.clock.borrow_mut();
    let mut events = 0;
    exchange.drain(|message, _| {
        match wire.header(message) {
            None if wire == Wire::Blind => {}
            Some(header) if header.code == code::EVENT => {}
            _ => return Err(unexpected(wire, code::EVENT, message)),
        }
        events += 1;
        match &mut *clock {
            Clock::Batch(..) => Ok(()),
            Clock::Schedule(measured) => measured.record(wire, message, payload),
        }
    })?;
    if let Clock::Batch(sent, Some(latencies)) = &mut *clock
        && events > 0
    {
        latencies.record(sent.elapsed(), events);
    }
    Ok(events)
}
