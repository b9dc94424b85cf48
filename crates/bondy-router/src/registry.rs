//! The routing table: exact URIs, prefix patterns and wildcard patterns, for topics as for procedures.
//!
//! Two parts. [`Registry`] is the truth and is changed under realm control. [`Routes`] is what messages read without
//! a contended lock: a concurrent map of the exact URIs, and a memo of pattern matches per concrete URI that is valid
//! under an epoch which only patterns move.
//!
//! A route read sees every change whose reply was appended before: control changes the map, or the epoch, before it
//! replies.

use std::collections::{BTreeMap, HashMap};

use bondy_wamp::uri::MatchPolicy;

use crate::session::SeededMap;
use crate::sync::{Arc, AtomicU64, AtomicUsize, Ordering, step};

/// The most concrete URIs whose pattern matches are remembered; when it is full the memo begins anew.
const MEMO_ENTRIES_MAX: usize = 65_536;

/// What the registry needs to know of an entry.
pub trait Entry {
    /// The id, in router scope.
    fn id(&self) -> u64;
    /// The URI or pattern.
    fn uri(&self) -> &str;
    /// How it matches.
    fn match_policy(&self) -> MatchPolicy;
}

/// Every entry of a realm, by id and by URI; under realm control.
#[derive(Debug)]
pub struct Registry<E> {
    by_id: BTreeMap<u64, Arc<E>>,
    exact: SeededMap<Box<str>, Arc<E>>,
    prefixes: SeededMap<Box<str>, Arc<E>>,
    /// How many prefix patterns have each length.
    prefix_lengths: BTreeMap<usize, usize>,
    wildcards: Trie<E>,
    wildcard_count: usize,
    last_id: u64,
}

impl<E> Default for Registry<E> {
    fn default() -> Self {
        Self {
            by_id: BTreeMap::new(),
            exact: HashMap::default(),
            prefixes: HashMap::default(),
            prefix_lengths: BTreeMap::new(),
            wildcards: Trie::default(),
            wildcard_count: 0,
            last_id: 0,
        }
    }
}

impl<E: Entry> Registry<E> {
    /// The next id: below 2^32, skipping those in use.
    pub fn next_id(&mut self) -> u64 {
        loop {
            self.last_id = self.last_id % u64::from(u32::MAX) + 1;
            if !self.by_id.contains_key(&self.last_id) {
                return self.last_id;
            }
        }
    }

    /// The entry with this id.
    pub fn by_id(&self, id: u64) -> Option<&Arc<E>> {
        self.by_id.get(&id)
    }

    /// The entry with this very URI or pattern.
    pub fn lookup(&self, uri: &str, policy: MatchPolicy) -> Option<&Arc<E>> {
        match policy {
            MatchPolicy::Exact => self.exact.get(uri),
            MatchPolicy::Prefix => self.prefixes.get(uri),
            MatchPolicy::Wildcard => self.wildcards.get(uri),
        }
    }

    /// All entries in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<E>> {
        self.by_id.values()
    }

    /// How many entries there are.
    pub fn count(&self) -> usize {
        self.by_id.len()
    }

    /// How many different lengths the prefix patterns have, were `pattern` among them.
    pub fn prefix_lengths_with(&self, pattern: &str) -> usize {
        self.prefix_lengths.len() + usize::from(!self.prefix_lengths.contains_key(&pattern.len()))
    }

    /// Adds an entry whose URI is not held yet.
    pub fn insert(&mut self, entry: Arc<E>) {
        let uri: Box<str> = entry.uri().into();
        match entry.match_policy() {
            MatchPolicy::Exact => drop(self.exact.insert(uri, Arc::clone(&entry))),
            MatchPolicy::Prefix => {
                *self.prefix_lengths.entry(uri.len()).or_default() += 1;
                self.prefixes.insert(uri, Arc::clone(&entry));
            }
            MatchPolicy::Wildcard => {
                self.wildcard_count += 1;
                self.wildcards.insert(&uri, Arc::clone(&entry));
            }
        }
        self.by_id.insert(entry.id(), entry);
    }

    /// Takes an entry away.
    pub fn remove(&mut self, entry: &E) {
        if self.by_id.remove(&entry.id()).is_none() {
            return;
        }
        let uri = entry.uri();
        match entry.match_policy() {
            MatchPolicy::Exact => drop(self.exact.remove(uri)),
            MatchPolicy::Prefix => {
                self.prefixes.remove(uri);
                if let Some(count) = self.prefix_lengths.get_mut(&uri.len()) {
                    *count -= 1;
                    if *count == 0 {
                        self.prefix_lengths.remove(&uri.len());
                    }
                }
            }
            MatchPolicy::Wildcard => {
                self.wildcard_count -= 1;
                self.wildcards.remove(uri);
            }
        }
    }

    /// The patterns that match a concrete URI: prefixes, the longest first; then wildcards, the most specific first.
    ///
    /// Prefixes match by string, but the specification's example of precedence takes `a1.b2.c33..e5` before
    /// `a1.b2.c3` for `a1.b2.c33.d4.e5`: where every prefix ends inside a part, wildcards come first.
    pub fn matching_patterns(&self, uri: &str) -> Vec<Arc<E>> {
        let mut found = Vec::new();
        let mut has_whole_prefix = false;
        for length in self.prefix_lengths.range(..=uri.len()).rev().map(|(length, _)| *length) {
            if let Some(entry) = uri.get(..length).and_then(|prefix| self.prefixes.get(prefix)) {
                has_whole_prefix |= is_end_of_part(uri, length);
                found.push(Arc::clone(entry));
            }
        }
        let prefixes = found.len();
        if self.wildcard_count > 0 {
            let parts: Vec<&str> = uri.split('.').collect();
            self.wildcards.collect_matching(&parts, &mut found);
        }
        if !has_whole_prefix {
            found.rotate_left(prefixes);
        }
        found
    }

    /// All that match a concrete URI, the most specific first: exact, prefixes, wildcards.
    pub fn matching(&self, uri: &str) -> Vec<Arc<E>> {
        let mut found: Vec<Arc<E>> = self.exact.get(uri).into_iter().map(Arc::clone).collect();
        found.append(&mut self.matching_patterns(uri));
        found
    }
}

/// Does a part of the URI end at this length, before or behind its dot?
fn is_end_of_part(uri: &str, length: usize) -> bool {
    let (head, rest) = uri.as_bytes().split_at(length);
    head.last().is_none_or(|last| *last == b'.') || rest.first().is_none_or(|first| *first == b'.')
}

/// Wildcard patterns by their parts; the empty part has an edge of its own.
#[derive(Debug)]
struct Trie<E> {
    entry: Option<Arc<E>>,
    parts: SeededMap<Box<str>, Trie<E>>,
    any: Option<Box<Trie<E>>>,
}

impl<E> Default for Trie<E> {
    fn default() -> Self {
        Self { entry: None, parts: HashMap::default(), any: None }
    }
}

impl<E> Trie<E> {
    fn child(&self, part: &str) -> Option<&Trie<E>> {
        if part.is_empty() { self.any.as_deref() } else { self.parts.get(part) }
    }

    fn get(&self, pattern: &str) -> Option<&Arc<E>> {
        pattern.split('.').try_fold(self, Trie::child)?.entry.as_ref()
    }

    fn insert(&mut self, pattern: &str, entry: Arc<E>) {
        let mut node = self;
        for part in pattern.split('.') {
            node = match part {
                "" => node.any.get_or_insert_with(Box::default),
                _ => node.parts.entry(part.into()).or_default(),
            };
        }
        node.entry = Some(entry);
    }

    fn remove(&mut self, pattern: &str) {
        self.remove_below(&mut pattern.split('.'));
    }

    /// Bounded by the number of parts that a URI may have.
    fn remove_below<'p>(&mut self, parts: &mut impl Iterator<Item = &'p str>) {
        match parts.next() {
            None => self.entry = None,
            Some("") => {
                if let Some(any) = &mut self.any {
                    any.remove_below(parts);
                    if any.is_empty() {
                        self.any = None;
                    }
                }
            }
            Some(part) => {
                if let Some(child) = self.parts.get_mut(part) {
                    child.remove_below(parts);
                    if child.is_empty() {
                        self.parts.remove(part);
                    }
                }
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.entry.is_none() && self.parts.is_empty() && self.any.is_none()
    }

    /// A literal part goes before the wildcard at the same place, so the most specific head comes first. The depth is
    /// bounded by the number of parts that a URI may have, the width by the patterns that are there.
    fn collect_matching(&self, parts: &[&str], found: &mut Vec<Arc<E>>) {
        let Some((part, rest)) = parts.split_first() else {
            found.extend(self.entry.iter().map(Arc::clone));
            return;
        };
        if let Some(child) = self.parts.get(*part) {
            child.collect_matching(rest, found);
        }
        if let Some(any) = &self.any {
            any.collect_matching(rest, found);
        }
    }
}

/// What messages read of the registry, without a contended lock.
#[derive(Debug)]
pub struct Routes<E> {
    exact: papaya::HashMap<Box<str>, Arc<E>, foldhash::fast::RandomState>,
    memo: papaya::HashMap<Box<str>, Memo<E>, foldhash::fast::RandomState>,
    memo_entries: AtomicUsize,
    pattern_count: AtomicUsize,
    epoch: AtomicU64,
}

/// The patterns that matched a concrete URI when the epoch was this.
#[derive(Debug)]
struct Memo<E> {
    epoch: u64,
    entries: Arc<[Arc<E>]>,
}

impl<E> Default for Routes<E> {
    fn default() -> Self {
        Self {
            exact: papaya::HashMap::default(),
            memo: papaya::HashMap::default(),
            memo_entries: AtomicUsize::new(0),
            pattern_count: AtomicUsize::new(0),
            epoch: AtomicU64::new(0),
        }
    }
}

impl<E: Entry> Routes<E> {
    /// Control has added this entry.
    pub fn add(&self, entry: &Arc<E>) {
        step();
        if entry.match_policy() == MatchPolicy::Exact {
            self.exact.pin().insert(entry.uri().into(), Arc::clone(entry));
        } else {
            self.pattern_count.fetch_add(1, Ordering::SeqCst);
            self.epoch.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Control has taken this entry away.
    pub fn remove(&self, entry: &E) {
        step();
        if entry.match_policy() == MatchPolicy::Exact {
            self.exact.pin().remove(entry.uri());
        } else {
            self.pattern_count.fetch_sub(1, Ordering::SeqCst);
            self.epoch.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// The entry of this very URI.
    pub fn exact(&self, uri: &str) -> Option<Arc<E>> {
        step();
        self.exact.pin().get(uri).map(Arc::clone)
    }

    /// Are there patterns at all?
    pub fn has_patterns(&self) -> bool {
        self.pattern_count.load(Ordering::SeqCst) > 0
    }

    /// The patterns that match a concrete URI, if that is remembered and still true.
    pub fn remembered_patterns(&self, uri: &str) -> Option<Arc<[Arc<E>]>> {
        let epoch = self.epoch.load(Ordering::SeqCst);
        let memo = self.memo.pin();
        memo.get(uri).filter(|memo| memo.epoch == epoch).map(|memo| Arc::clone(&memo.entries))
    }

    /// Finds the patterns that match, under control, and remembers them.
    pub fn find_patterns(&self, registry: &Registry<E>, uri: &str) -> Arc<[Arc<E>]> {
        let entries: Arc<[Arc<E>]> = registry.matching_patterns(uri).into();
        let memo = self.memo.pin();
        if self.memo_entries.load(Ordering::Relaxed) >= MEMO_ENTRIES_MAX {
            memo.clear();
            self.memo_entries.store(0, Ordering::Relaxed);
        }
        let epoch = self.epoch.load(Ordering::SeqCst);
        if memo.insert(uri.into(), Memo { epoch, entries: Arc::clone(&entries) }).is_none() {
            self.memo_entries.fetch_add(1, Ordering::Relaxed);
        }
        entries
    }
}

/// A copy-on-write list in chunks: adding or removing one member copies one chunk, not the list.
#[derive(Debug)]
pub struct Members<T> {
    /// In ascending order of the chunk's number.
    chunks: Vec<(u64, Arc<Vec<T>>)>,
    len: usize,
}

/// The most members in one chunk.
const CHUNK_MEMBERS_MAX: usize = 256;

impl<T> Default for Members<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), len: 0 }
    }
}

impl<T: Clone> Members<T> {
    /// How many members there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The members in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flat_map(|(_, members)| members.iter())
    }

    /// The member at this position.
    pub fn at(&self, mut position: usize) -> Option<&T> {
        for (_, members) in &self.chunks {
            if position < members.len() {
                return members.get(position);
            }
            position -= members.len();
        }
        None
    }

    /// The chunks, for those who go through a long list in slices.
    pub fn chunk(&self, position: usize) -> Option<&Arc<Vec<T>>> {
        self.chunks.get(position).map(|(_, members)| members)
    }

    /// A list with one more member, and the number of the chunk that it went into.
    pub fn with(&self, member: T) -> (Self, u64) {
        let mut chunks = self.chunks.clone();
        let number = match chunks.last_mut() {
            Some((number, members)) if members.len() < CHUNK_MEMBERS_MAX => {
                Arc::make_mut(members).push(member);
                *number
            }
            last => {
                let number = last.map_or(0, |(number, _)| *number + 1);
                chunks.push((number, Arc::new(vec![member])));
                number
            }
        };
        (Self { chunks, len: self.len + 1 }, number)
    }

    /// A list without the member of this chunk for which `is_it` holds.
    pub fn without(&self, number: u64, is_it: impl Fn(&T) -> bool) -> Self {
        let mut chunks = self.chunks.clone();
        let mut len = self.len;
        if let Ok(position) = chunks.binary_search_by_key(&number, |(number, _)| *number) {
            let members = Arc::make_mut(&mut chunks[position].1);
            if let Some(index) = members.iter().position(is_it) {
                members.remove(index);
                len -= 1;
            }
            if members.is_empty() {
                chunks.remove(position);
            }
        }
        Self { chunks, len }
    }
}
