//! Testaments: events that are published when a session has left.
//!
//! Specification: Advanced Profile, "Testament". Two buckets; `detached` is published first. (As long as sessions
//! cannot be detached from their connection, both are published at the end.)

use bondy_wamp::buffer::Buffer;
use bondy_wamp::error_uri::ErrorUri;
use bondy_wamp::message::{self, Message};
use bondy_wamp::serializer::Serializer;

use crate::control::Control;
use crate::realm::Realm;
use crate::session::{Refusal, Session};
use crate::turn::Turn;

/// The bytes of all testaments of one session.
pub(crate) const TESTAMENT_BYTES_MAX: usize = 1024 * 1024;

/// When a testament is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// When the session is no more (the default).
    Destroyed,
    /// When the session has lost its connection.
    Detached,
}

impl Scope {
    /// The scope of this name.
    pub(crate) fn parse(name: Option<&str>) -> Result<Self, Refusal> {
        match name {
            None | Some("destroyed") => Ok(Scope::Destroyed),
            Some("detached") => Ok(Scope::Detached),
            Some(other) => Err(Refusal::new(
                ErrorUri::InvalidArgument,
                format!("scope is {:?}, not \"destroyed\" or \"detached\"", bondy_wamp::uri::shown(other)),
            )),
        }
    }
}

/// The testaments of one session, each an encoded PUBLISH.
#[derive(Debug, Default)]
pub(crate) struct Testaments {
    destroyed: Vec<(Serializer, Buffer)>,
    detached: Vec<(Serializer, Buffer)>,
}

impl Testaments {
    fn bucket(&mut self, scope: Scope) -> &mut Vec<(Serializer, Buffer)> {
        match scope {
            Scope::Destroyed => &mut self.destroyed,
            Scope::Detached => &mut self.detached,
        }
    }

    pub(crate) fn add(
        &mut self,
        scope: Scope,
        serializer: Serializer,
        publish: Buffer,
        max: usize,
    ) -> Result<(), Refusal> {
        if self.destroyed.len() + self.detached.len() >= max {
            return Err(Refusal::limit("testaments_max", max));
        }
        let held: usize = self.destroyed.iter().chain(&self.detached).map(|(_, bytes)| bytes.len()).sum();
        if held + publish.len() > TESTAMENT_BYTES_MAX {
            return Err(Refusal::limit("testament_bytes_max", TESTAMENT_BYTES_MAX));
        }
        self.bucket(scope).push((serializer, publish));
        Ok(())
    }

    pub(crate) fn flush(&mut self, scope: Scope) {
        self.bucket(scope).clear();
    }
}

impl Realm {
    /// Publishes what a session has left behind, in the order in which it was added.
    pub(crate) fn publish_testaments(
        &self,
        control: &mut Control,
        session: &Session,
        testaments: Testaments,
        turn: &mut Turn,
    ) {
        for (serializer, bytes) in testaments.detached.iter().chain(&testaments.destroyed) {
            if let Ok(Message::Publish(publish)) = message::parse(*serializer, bytes) {
                self.publish_testament(control, session, &publish, turn);
            }
        }
    }
}
