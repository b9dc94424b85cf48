//! The background task of a client: it connects, joins, moves bytes, keeps the connection alive, and connects again.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bondy_transport::client::ConnectOptions;
use tokio::sync::watch;

use crate::connection::{ConnectionEvent, EndReason, SessionDetails};
use crate::dial::Places;
use crate::error::{ConnectError, full};
use crate::join::Identification;
use crate::link::Link;
use crate::policy::{ReconnectPolicy, may_reconnect};
use crate::shared::Shared;

/// A session that did not last so long was none: the next pause is longer, as after a failed attempt.
const SETTLED_AFTER: Duration = Duration::from_secs(5);
/// The timer never sleeps longer, so that adding durations to now stays in range.
const TIMER_MAX: Duration = Duration::from_secs(3600);

/// When a silent connection is asked for a sign of life, and when it is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeepAlive {
    /// A ping is sent when nothing came for so long.
    pub(crate) interval: Duration,
    /// The connection is given up when nothing came for so long after it.
    pub(crate) timeout: Duration,
}

/// What the background task owns: options with secrets, so it is not shown.
pub(crate) struct Driver {
    pub(crate) shared: Arc<Shared>,
    pub(crate) places: Places,
    pub(crate) identification: Identification,
    pub(crate) options: ConnectOptions,
    pub(crate) connect_timeout: Duration,
    pub(crate) reconnect: ReconnectPolicy,
    /// Sessions in a row that ended right after they began.
    pub(crate) short_sessions: u32,
    pub(crate) keep_alive: Option<KeepAlive>,
    /// How long the answer to GOODBYE is waited for, and then the closing of the connection.
    pub(crate) close_timeout: Duration,
    pub(crate) closing: watch::Receiver<bool>,
    /// Why it is over, as far as is known: what is told if the task is cut off.
    pub(crate) end: EndReason,
}

/// A session that was joined and is not served yet.
#[derive(Debug)]
pub(crate) struct Joined {
    index: usize,
    link: Link,
    details: Arc<SessionDetails>,
}

impl Driver {
    /// Tries every place once, in order.
    pub(crate) async fn connect_first(&mut self) -> Result<Joined, ConnectError> {
        let mut errors = Vec::new();
        for index in self.places.order() {
            match self.attempt(index).await {
                Ok(joined) => return Ok(joined),
                Err(error) => errors.push((self.places.place(index).to_string(), error)),
            }
        }
        match errors.len() {
            0 | 1 => Err(errors.pop().map_or(ConnectError::NoUrl, |(_, error)| error)),
            _ => Err(ConnectError::All(errors)),
        }
    }

    /// Connects and joins, within the time for that.
    async fn attempt(&mut self, index: usize) -> Result<Joined, ConnectError> {
        let place = self.places.place(index).clone();
        let url = place.to_string();
        let joining = async {
            let connection = place.dial(&self.options).await?;
            self.identification.join(connection, url.clone()).await
        };
        let outcome = tokio::time::timeout(self.connect_timeout, joining)
            .await
            .unwrap_or(Err(ConnectError::Timeout(self.connect_timeout)));
        match outcome {
            Ok((link, welcomed)) => {
                self.places.succeeded(index);
                let details = Arc::new(welcomed.details);
                let begun = (Arc::clone(&details), welcomed.message_bytes_max, Instant::now());
                self.shared.with(|session| session.joined(begun.0, begun.1, begun.2));
                tracing::info!(session = %details.id, realm = %details.realm, "joined");
                Ok(Joined { index, link, details })
            }
            Err(error) => {
                match error.is_final() {
                    true => self.places.refused(index, Instant::now()),
                    false => self.places.failed(index, Instant::now()),
                }
                tracing::debug!(%url, error = full(&error), "not connected");
                Err(error)
            }
        }
    }

    /// Serves sessions until there is none to come.
    pub(crate) async fn run(mut self, first: Joined) {
        let mut joined = first;
        loop {
            self.end = self.serve(joined).await;
            if !may_reconnect(&self.end) || self.reconnect.attempts_max == Some(0) {
                return;
            }
            joined = match self.connect_again().await {
                Ok(joined) => joined,
                Err(end) => {
                    self.end = end;
                    return;
                }
            };
        }
    }

    /// One session, from WELCOME to its end.
    async fn serve(&mut self, joined: Joined) -> EndReason {
        let Joined { index, mut link, details } = joined;
        let began = Instant::now();
        let end = self.drive(&mut link).await;
        self.short_sessions = match began.elapsed() < SETTLED_AFTER {
            true => self.short_sessions.saturating_add(1),
            false => 0,
        };
        if end != EndReason::Closed {
            tracing::info!(session = %details.id, realm = %details.realm, reason = %end, "disconnected");
            self.places.failed(index, Instant::now());
        }
        self.shared.with(|state| state.disconnected(&end, link.heard()));
        let is_broken = matches!(end, EndReason::Lost(_) | EndReason::Silent(_));
        if !is_broken {
            // Whoever does not read any more is left alone after a while.
            let _ = tokio::time::timeout(self.close_timeout, link.close()).await;
        }
        end
    }

    async fn drive(&mut self, link: &mut Link) -> EndReason {
        let shared = Arc::clone(&self.shared);
        let mut watchdog =
            Watchdog { keep_alive: self.keep_alive, pinged: None, pings: 0, leave_until: None };
        let mut timer = pin!(tokio::time::sleep_until(tokio::time::Instant::now() + TIMER_MAX));
        loop {
            let next = watchdog.next(link, shared.with(|session| session.next_deadline()));
            if next < timer.deadline() || timer.is_elapsed() {
                timer.as_mut().reset(next);
            }
            tokio::select! {
                // Under any load, closing and the deadlines come first.
                biased;
                () = closing(&mut self.closing), if watchdog.leave_until.is_none() => {
                    if !shared.with(|session| session.leave()) {
                        return EndReason::Closed;
                    }
                    watchdog.leave_until = Some(Instant::now() + self.close_timeout);
                }
                () = &mut timer => {
                    let now = Instant::now();
                    if let Some(end) = watchdog.check(link, now) {
                        return end;
                    }
                    shared.with(|session| session.expire(now));
                }
                // However the connection ends after GOODBYE, it was this side that wanted its end.
                end = poll_fn(|context| link.poll_io(&shared, context)) => {
                    return if watchdog.leave_until.is_some() { EndReason::Closed } else { end };
                }
                () = shared.woken() => {}
            }
        }
    }

    /// Tries place after place, with pauses that grow.
    async fn connect_again(&mut self) -> Result<Joined, EndReason> {
        let mut attempt: u32 = 0;
        // A round goes through all places; the pauses are between rounds.
        let places = u32::try_from(self.places.len()).unwrap_or(u32::MAX).max(1);
        loop {
            let round = (attempt / places + 1).saturating_add(self.short_sessions.saturating_sub(1));
            let after = match attempt.is_multiple_of(places) {
                true => self.reconnect.pause(round, fastrand::f64()),
                false => Duration::ZERO,
            };
            attempt = attempt.saturating_add(1);
            let index = self.places.order()[0];
            let url = self.places.place(index).to_string();
            self.shared.with(|session| session.tell(&ConnectionEvent::Reconnecting { attempt, after, url }));
            let mut close = self.closing.clone();
            let outcome = tokio::select! {
                biased;
                () = closing(&mut close) => return Err(EndReason::Closed),
                outcome = async {
                    tokio::time::sleep(after).await;
                    self.attempt(index).await
                } => outcome,
            };
            let error = match outcome {
                Ok(joined) => return Ok(joined),
                Err(error) => error,
            };
            if self.places.all_refuse() {
                return Err(match error {
                    ConnectError::Refused { reason, message } => EndReason::Abort { reason, message },
                    ConnectError::Authentication(error) => EndReason::Authentication(error.to_string()),
                    other => EndReason::Lost(full(&other)),
                });
            }
            if self.reconnect.attempts_max.is_some_and(|max| attempt >= max) {
                return Err(EndReason::GaveUp { attempts: attempt, last: full(&error) });
            }
        }
    }
}

impl Drop for Driver {
    /// Also where the task is cut off by the end of its runtime: nobody waits in vain.
    fn drop(&mut self) {
        self.shared.with(|session| session.close(&self.end));
    }
}

/// Resolves when the client is to be closed.
async fn closing(closing: &mut watch::Receiver<bool>) {
    // Without a sender there is no handle left.
    let _ = closing.wait_for(|is_closing| *is_closing).await;
}

/// Deadlines of one connection.
#[derive(Debug)]
struct Watchdog {
    keep_alive: Option<KeepAlive>,
    /// When the last ping was sent, if nothing came since.
    pinged: Option<Instant>,
    pings: u64,
    leave_until: Option<Instant>,
}

impl Watchdog {
    fn silence_ends(&self, link: &Link) -> Option<Instant> {
        let keep_alive = self.keep_alive?;
        Some(match self.pinged.filter(|pinged| *pinged >= link.heard()) {
            // A ping stands behind all that was to be written before it, which on a slow line takes its time.
            Some(pinged) => link.ping_moved().max(pinged) + keep_alive.timeout,
            None => link.heard() + keep_alive.interval,
        })
    }

    fn next(&self, link: &Link, session: Option<Instant>) -> tokio::time::Instant {
        let latest = Instant::now() + TIMER_MAX;
        let deadlines = [self.silence_ends(link), self.leave_until, session];
        deadlines.into_iter().flatten().fold(latest, Instant::min).into()
    }

    /// Pings, or says why the connection must end.
    fn check(&mut self, link: &mut Link, now: Instant) -> Option<EndReason> {
        if self.leave_until.is_some_and(|until| until <= now) {
            return Some(EndReason::Closed);
        }
        if self.silence_ends(link).is_none_or(|ends| ends > now) {
            return None;
        }
        if self.pinged.is_some_and(|pinged| pinged >= link.heard()) {
            return Some(EndReason::Silent(now.saturating_duration_since(link.heard())));
        }
        self.pings += 1;
        link.ping(self.pings);
        self.pinged = Some(now);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{Limits, OutgoingEvent};
    use crate::shared::WhileDisconnected;
    use bondy_transport::client::connect_stream;
    use bondy_wamp::id::SessionId;
    use bondy_wamp::serializer::Serializer;
    use bondy_wamp::value::Value;
    use std::task::Poll;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    /// A joined session, its connection in memory that holds 1 KiB, and the router's end of that.
    async fn joined() -> (Arc<Shared>, Link, DuplexStream) {
        let (client, mut router) = tokio::io::duplex(1024);
        let options = ConnectOptions { serializers: vec![Serializer::Json], ..ConnectOptions::default() };
        let answering = async {
            router.read_exact(&mut [0; 4]).await.unwrap();
            router.write_all(&[0x7f, 0xf0 | Serializer::Json.rawsocket_id(), 0, 0]).await.unwrap();
        };
        let (connection, ()) = tokio::join!(connect_stream(client.into(), &options), answering);
        let link = Link::new(connection.unwrap());
        let limits = Limits { outgoing_bytes_max: 1 << 20 };
        let shared = Shared::new(limits, WhileDisconnected::Fail, Duration::ZERO);
        let details =
            SessionDetails::new(SessionId(1), Value::Null, "realm1", String::new(), Serializer::Json);
        shared.with(|session| session.joined(Arc::new(details), link.message_bytes_max(), Instant::now()));
        (shared, link, router)
    }

    async fn turn(link: &mut Link, shared: &Arc<Shared>) {
        poll_fn(|context| {
            assert!(link.poll_io(shared, context).is_pending());
            Poll::Ready(())
        })
        .await;
    }

    #[test]
    fn a_slow_line_is_not_taken_for_a_silent_one_and_a_frozen_one_is() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (shared, mut link, mut router) = joined().await;
            let keep_alive = KeepAlive { interval: Duration::ZERO, timeout: Duration::from_secs(10) };
            let mut watchdog =
                Watchdog { keep_alive: Some(keep_alive), pinged: None, pings: 0, leave_until: None };
            shared.with(|session| session.publish(&OutgoingEvent::of_bytes(8 * 1024))).unwrap();
            turn(&mut link, &shared).await;
            assert_eq!(watchdog.check(&mut link, Instant::now()), None);
            // As long as the router reads, the ping is on its way.
            let mut ends = watchdog.silence_ends(&link).unwrap();
            for _ in 0..4 {
                router.read_exact(&mut [0; 512]).await.unwrap();
                turn(&mut link, &shared).await;
                let later = watchdog.silence_ends(&link).unwrap();
                assert!(later > ends, "the router reads");
                ends = later;
            }
            turn(&mut link, &shared).await;
            assert_eq!(watchdog.silence_ends(&link), Some(ends), "the router does not read");
            // Once the line has it all, writing more is no sign of life.
            while link.has_unwritten() {
                router.read_exact(&mut [0; 512]).await.unwrap();
                turn(&mut link, &shared).await;
            }
            ends = watchdog.silence_ends(&link).unwrap();
            shared.with(|session| session.publish(&OutgoingEvent::of_bytes(10))).unwrap();
            turn(&mut link, &shared).await;
            assert_eq!(watchdog.silence_ends(&link), Some(ends));
            assert!(matches!(watchdog.check(&mut link, ends), Some(EndReason::Silent(_))));
        });
    }
}
