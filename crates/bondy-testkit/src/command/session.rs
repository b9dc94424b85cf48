//! What the commands have started: routers, links, peers and fake routers, each kind numbered from 1.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use super::Outcome;
use super::request::Fields;
use crate::link::Link;
use crate::peer::{FakeRouter, Peer};
use crate::router::Router;

/// The most objects of one kind: a mistake in a loop should not take the machine's threads and descriptors.
const OBJECTS_MAX: usize = 256;

/// Objects of one kind.
#[derive(Debug)]
pub(super) struct Shelf<T> {
    kind: &'static str,
    state: Mutex<ShelfState<T>>,
}

#[derive(Debug)]
struct ShelfState<T> {
    given: u64,
    objects: BTreeMap<u64, Arc<T>>,
}

/// An object behind a lock that is held across waits: commands for it take turns, in order.
pub(super) type Turns<T> = tokio::sync::Mutex<T>;

#[derive(Debug)]
pub(super) struct Session {
    pub(super) routers: Shelf<Turns<Router>>,
    pub(super) links: Shelf<Link>,
    pub(super) peers: Shelf<Turns<Option<Peer>>>,
    pub(super) fake_routers: Shelf<Turns<FakeRouter>>,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            routers: Shelf::new("router"),
            links: Shelf::new("link"),
            peers: Shelf::new("peer"),
            fake_routers: Shelf::new("fake_router"),
        }
    }
}

impl Session {
    /// Ends one object.
    pub(super) fn end(&self, mut fields: Fields) -> Outcome {
        if fields.has("peer") {
            self.peers.remove(&mut fields)
        } else if fields.has("link") {
            self.links.remove(&mut fields)
        } else if fields.has("fake_router") {
            self.fake_routers.remove(&mut fields)
        } else if fields.has("router") {
            self.routers.remove(&mut fields)
        } else {
            Err(fields.missing("`router`, `link`, `peer` or `fake_router`"))
        }
    }
}

impl<T> Shelf<T> {
    fn new(kind: &'static str) -> Self {
        Self { kind, state: Mutex::new(ShelfState { given: 0, objects: BTreeMap::new() }) }
    }

    /// Keeps an object; its number.
    pub(super) fn put(&self, object: T) -> Result<u64, String> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.objects.len() == OBJECTS_MAX {
            return Err(format!("there are {OBJECTS_MAX} of kind {} already; `end` some", self.kind));
        }
        state.given += 1;
        let number = state.given;
        state.objects.insert(number, Arc::new(object));
        Ok(number)
    }

    /// The object that the command names, or the only one where it names none.
    pub(super) fn of(&self, fields: &mut Fields) -> Result<Arc<T>, String> {
        let named = fields.number(self.kind)?;
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match named {
            Some(number) => state.objects.get(&number).cloned().ok_or_else(|| self.unknown(number)),
            None => match state.objects.values().collect::<Vec<_>>()[..] {
                [one] => Ok(Arc::clone(one)),
                [] => Err(format!("there is no {} yet", self.kind)),
                _ => Err(fields.missing(&format!("`{}`: there are several", self.kind))),
            },
        }
    }

    fn remove(&self, fields: &mut Fields) -> Outcome {
        let number = fields.number(self.kind)?.ok_or_else(|| fields.missing(self.kind))?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let removed = state.objects.remove(&number);
        // What the object does at its end should hold up nobody.
        drop(state);
        removed.map(|_| json!({})).ok_or_else(|| self.unknown(number))
    }

    fn unknown(&self, number: u64) -> String {
        format!("there is no {} {number}", self.kind)
    }
}

/// An empty answer.
pub(super) fn done() -> Value {
    json!({})
}
