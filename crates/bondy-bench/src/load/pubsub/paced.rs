//! Events at a rate: published when they are due, whatever has become of those before.
//!
//! Each event carries its number in its payload, so that a subscriber knows when it was due, and so that one that the
//! router has dropped makes no other one look late.

use super::{ATTEND_INTERVAL, Clock, Latencies, LoadSpec, Measurement, PubSubWork, Shared, Span};
use crate::failure::Failure;
use crate::load::schedule::Schedule;
use crate::wire::{Connection, Payload, Template, Wire, printable};
use anyhow::{Context, anyhow, ensure};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// How long the last events may take, counted from the last one that came.
const SILENCE_MAX: Duration = Duration::from_secs(2);

/// The events that were due in the measured time.
pub(super) struct Measured {
    schedule: Schedule,
    latencies: Latencies,
    events: u64,
}

impl Measured {
    /// Records one event, whose stamp is its number.
    pub(super) fn record(&mut self, wire: Wire, message: &[u8], payload: Payload) -> anyhow::Result<()> {
        let number = wire
            .stamp(message, payload)
            .with_context(|| format!("an event without its number: {}", printable(wire, message)))?;
        let due = self.schedule.due(number);
        if self.schedule.is_measured(due) {
            self.latencies.record(due.elapsed(), 1);
            self.events += 1;
        }
        Ok(())
    }
}

pub(super) async fn drive(
    spec: &LoadSpec,
    work: PubSubWork,
    rate_per_s: f64,
    subscribers: Vec<Connection>,
    publishers: Vec<Connection>,
    publish: Template,
) -> anyhow::Result<Measurement> {
    let receivers = subscribers.len() as u64;
    let schedule = Schedule::new(rate_per_s, spec.warm_up, spec.duration);
    let measured = Measured { schedule, latencies: Latencies::new(), events: 0 };
    let shared = Shared::spawn(Clock::Schedule(measured), subscribers, work.payload);
    let (stop, stopped) = channel();
    let publisher = std::thread::spawn(move || {
        let published = keep_schedule(schedule, publishers, &publish);
        // A thread that ends takes its CPU time with it, so it lives until that has been read.
        let _ = stopped.recv();
        published
    });
    sleep(spec.warm_up).await;
    let before = shared.delivered.get();
    let span = Span::begin(&spec.server_pids)?;
    sleep(spec.duration).await;
    // Where a moment is too short for a single event, it lasts until there is one.
    let until = Instant::now() + super::BATCH_TIMEOUT;
    while shared.delivered.get() == before && Instant::now() < until {
        sleep(Duration::from_millis(1)).await;
        shared.check()?;
    }
    let measurement = span.end(shared.delivered.get() - before)?;
    drop::<Sender<()>>(stop);
    let published = join(publisher).await?;
    settle(&shared, published.all * receivers).await?;
    shared.check()?;
    match &*shared.clock.borrow() {
        Clock::Batch(..) => Ok(measurement),
        Clock::Schedule(Measured { latencies, events, .. }) => {
            let missed = Some((published.measured * receivers).saturating_sub(*events));
            Ok(Measurement { latency: latencies.quantiles(), missed, ..measurement })
        }
    }
}

/// How many events were published.
struct Published {
    all: u64,
    measured: u64,
}

/// Publishes what is due until the measured time is over.
fn keep_schedule(
    schedule: Schedule,
    mut publishers: Vec<Connection>,
    publish: &Template,
) -> anyhow::Result<Published> {
    let count = publishers.len() as u64;
    let mut measured = 0;
    let mut next = 0;
    let mut attended = Instant::now();
    while schedule.due(next) < schedule.measured_until {
        let now = Instant::now();
        while schedule.due(next) <= now && schedule.due(next) < schedule.measured_until {
            // The remainder is below the number of publishers, so it fits.
            let publisher = &mut publishers[(next % count) as usize];
            let request = publisher.next_request();
            publish.append_stamped(request, next, &mut publisher.exchange().output);
            measured += u64::from(schedule.is_measured(schedule.due(next)));
            next += 1;
        }
        for publisher in &mut publishers {
            publisher.flush()?;
        }
        if attended.elapsed() > ATTEND_INTERVAL {
            publishers.iter_mut().try_for_each(Connection::attend)?;
            attended = Instant::now();
        }
        std::thread::sleep(schedule.due(next).saturating_duration_since(Instant::now()));
    }
    Ok(Published { all: next, measured })
}

/// Waits for the publishing thread while subscribers go on receiving.
async fn join(publisher: JoinHandle<anyhow::Result<Published>>) -> anyhow::Result<Published> {
    while !publisher.is_finished() {
        sleep(Duration::from_millis(1)).await;
    }
    publisher.join().map_err(|_| anyhow!("the publishing thread panicked"))?
}

/// Waits for the last of `expected` events, or until no more come.
async fn settle(shared: &Shared, expected: u64) -> anyhow::Result<()> {
    let begun = Instant::now();
    let (mut before, mut changed) = (shared.delivered.get(), begun);
    while before < expected && changed.elapsed() < SILENCE_MAX {
        ensure!(
            begun.elapsed() < super::BATCH_TIMEOUT,
            Failure::answer(format!(
                "events still come {:?} after the last was published",
                super::BATCH_TIMEOUT
            ))
        );
        sleep(Duration::from_millis(1)).await;
        shared.check()?;
        let now = shared.delivered.get();
        if now != before {
            (before, changed) = (now, Instant::now());
        }
    }
    Ok(())
}
