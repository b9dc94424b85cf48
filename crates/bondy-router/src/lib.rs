//! The state machine of one realm on one node: sessions, broker, dealer, registry, meta API.
//!
//! Pure: no sockets, files, threads, clocks or OS randomness. Time and seeds are arguments (in a [`turn::Turn`]),
//! locks and atomics come through the one [`sync`] module so that the concurrency explorer can replace them.
//!
//! A [`realm::Realm`] has two planes. *Control* (join, leave, subscribe, register, kill, testaments, retained events,
//! meta API) is a state machine behind one short lock. *Messages* (PUBLISH, CALL, YIELD, ERROR, CANCEL) run on the
//! thread that read them and take only the locks of the sessions they touch, one at a time, each for one append.
//!
//! Locks: realm control, then one session; never two sessions, never control inside a session.
//! Rule 1. A call's final answer is appended in the section that removes `calls[request]` with its serial.
//! Rule 2. Routes are hints; the session's own slot, under its lock, decides.
//! Rule 3. A session's messages are handled by one thread at a time, in order.

pub mod broker;
pub mod config;
pub mod flush;
pub mod history;
pub mod realm;
pub mod registry;
pub mod session;
pub mod sync;
pub mod timer;
pub mod turn;

mod control;
mod dealer;
mod meta;
mod registration;
mod retained;
mod roster;
mod slot;
mod subscription;
mod testament;
