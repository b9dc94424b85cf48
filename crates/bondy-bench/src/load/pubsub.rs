//! Events in closed batches: one thread and many sockets, with tokio, as a thread for each of a thousand subscribers
//! would cost more than the router.

use super::{Latencies, LoadSpec, Measurement, PubSubWork, Span, source};
use crate::wire::{Connection, Exchange, FloorRole, Template, Wire, code, printable};
use anyhow::{Context, bail, ensure};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::Notify;

const TOPIC: &str = "com.example.bench.topic";
const BATCH_TIMEOUT: Duration = Duration::from_secs(10);

/// What the tasks of one run share.
struct Shared {
    /// Events of this batch that subscribers still wait for.
    missing: Cell<u64>,
    /// When this batch was written.
    sent: Cell<Instant>,
    /// `None` until measuring begins.
    latencies: RefCell<Option<Latencies>>,
    failure: RefCell<Option<anyhow::Error>>,
    done: Notify,
}

/// Runs one round.
pub(super) fn run(spec: &LoadSpec, work: PubSubWork) -> anyhow::Result<Measurement> {
    let mut subscribers = Vec::new();
    for index in 0..work.subscribers.max(1) {
        let source = source(spec.target.address, index);
        let mut subscriber = Connection::open(&spec.target, FloorRole::Receiver, source)?;
        subscriber.reset_when_dropped()?;
        subscriber
            .request(&Template::subscribe(spec.target.wire, TOPIC), code::SUBSCRIBED)
            .with_context(|| format!("cannot subscribe to {TOPIC}"))?;
        subscribers.push(subscriber);
    }
    let publishers =
        (0..work.publishers.max(1)).map(|_| Connection::open(&spec.target, FloorRole::Sender, None));
    let publishers = publishers.collect::<anyhow::Result<Vec<_>>>()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, drive(spec, work, subscribers, publishers))
}

async fn drive(
    spec: &LoadSpec,
    work: PubSubWork,
    subscribers: Vec<Connection>,
    mut publishers: Vec<Connection>,
) -> anyhow::Result<Measurement> {
    let shared = Rc::new(Shared {
        missing: Cell::new(0),
        sent: Cell::new(Instant::now()),
        latencies: RefCell::new(None),
        failure: RefCell::new(None),
        done: Notify::new(),
    });
    let events = (publishers.len() * work.window.max(1) * subscribers.len()) as u64;
    for subscriber in subscribers {
        tokio::task::spawn_local(subscribe(subscriber, Rc::clone(&shared)));
    }
    let publish = Template::publish(spec.target.wire, TOPIC, work.payload);
    let mut batches = async |until: Duration| -> anyhow::Result<u64> {
        let started = Instant::now();
        let mut delivered = 0;
        while started.elapsed() < until {
            batch(&shared, &mut publishers, &publish, work.window.max(1), events).await?;
            delivered += events;
        }
        Ok(delivered)
    };
    batches(spec.warm_up).await?;
    *shared.latencies.borrow_mut() = Some(Latencies::new());
    let span = Span::begin(spec.server_pid)?;
    let delivered = batches(spec.duration).await?;
    let latency = shared.latencies.borrow().as_ref().map(Latencies::quantiles).unwrap_or_default();
    Ok(Measurement { latency, ..span.end(delivered)? })
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
    shared.sent.set(Instant::now());
    for publisher in publishers {
        for _ in 0..window {
            let request = publisher.next_request();
            publish.append(request, &mut publisher.exchange().output);
        }
        // Blocking, which is safe: the server reads a publisher whatever its subscribers do.
        publisher.flush()?;
    }
    let waited = tokio::time::timeout(BATCH_TIMEOUT, shared.done.notified()).await;
    if let Some(error) = shared.failure.borrow_mut().take() {
        return Err(error);
    }
    ensure!(
        waited.is_ok(),
        "{} of {events} events of a batch have not come within {BATCH_TIMEOUT:?}: were they dropped?",
        shared.missing.get()
    );
    Ok(())
}

async fn subscribe(subscriber: Connection, shared: Rc<Shared>) {
    if let Err(error) = receive(subscriber, &shared).await {
        *shared.failure.borrow_mut() = Some(error);
        shared.done.notify_one();
    }
}

async fn receive(subscriber: Connection, shared: &Shared) -> anyhow::Result<()> {
    let (stream, mut exchange) = subscriber.into_parts()?;
    stream.set_nonblocking(true)?;
    let mut stream = TcpStream::from_std(stream)?;
    loop {
        // Events may have come with the answer to SUBSCRIBE, so what is there is looked at before waiting.
        let events = count_events(&mut exchange)?;
        if events > 0 {
            if let Some(latencies) = shared.latencies.borrow_mut().as_mut() {
                latencies.record(shared.sent.get().elapsed(), events);
            }
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
        let length = stream.read(exchange.space()?).await?;
        ensure!(length > 0, "the server closed a subscriber's connection");
        exchange.inbox.filled(length);
    }
}

fn count_events(exchange: &mut Exchange) -> anyhow::Result<u64> {
    let wire = exchange.wire;
    let mut events = 0;
    exchange.drain(|message, _| {
        match wire.header(message) {
            None if wire == Wire::Blind => {}
            Some(header) if header.code == code::EVENT => {}
            _ => bail!("expected EVENT, got {}", printable(message)),
        }
        events += 1;
        Ok(())
    })?;
    Ok(events)
}
