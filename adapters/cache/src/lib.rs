//! Compiled code by key, shared by threads, with a bound on memory.
//!
//! ```text
//!   thread                      cache                                       owner of the memory
//!   Session::get(key) ───────>  entry's address, good until the thread's next quiescent point
//!   claim(key) ──────────────>  one thread compiles, the others go on interpreting
//!   Claim::fill(code, ..) ───>  kept; others are evicted if the bound asks for it: retired
//!   Session::quiescent() ────>  ... once every thread was quiescent since:  reclaim ──> give the memory back
//! ```
//!
//! Takes: code as the embedder has it (`C`: a block of an arena, say, with whatever belongs to it), the address where it is
//! entered, and how many bytes count against the bound. Promises: the bytes of all code that is kept or retired never exceed
//! the bound; code is handed back by [`Cache::reclaim`] only when no thread can hold its address; of two threads that want to compile
//! the same key, one does. What was not looked up since the hand of the clock came by is evicted first.
//!
//! **Quiescent points** are the embedder's to report, in a [`Session`] for each thread: a moment at which the thread runs no compiled
//! code and has forgotten all addresses that it got here. The epochs are the core's ([`Epochs`]), so one set of them serves a cache and
//! tables of links alike.
//!
//! **Threads.** [`Cache`] is `Sync` if keys and code are `Send` and `Sync`, and so are all its methods: a lookup takes a lock for
//! reading, everything else one for writing, for a time that is constant but for an insertion that evicts. A [`Session`] belongs to one thread
//! (it is not `Sync`). A [`Claim`] may be sent to another thread, such as one that compiles in the background. Locks spin: a thread that
//! is preempted while it holds one delays the others, so sessions do not belong into code that must not wait.
//!
//! No std: this crate needs `alloc`, through its tables.
//!
//! ```
//! use patchjit::link::Epochs;
//! use patchjit_cache::Cache;
//! use std::sync::atomic::AtomicU32;
//!
//! let words = [AtomicU32::new(0), AtomicU32::new(0)]; // two threads
//! let epochs = Epochs::new(&words);
//! let cache: Cache<'_, &str, Vec<u8>> = Cache::new(&epochs, 1 << 20);
//! let mut session = cache.session(0).expect("a thread of the epochs");
//! if session.get(&"loop 7").is_none()
//!     && let Some(claim) = cache.claim("loop 7")
//! {
//!     let code = vec![0xc3]; // compiled and published
//!     let entry = code.as_ptr() as u64;
//!     claim.fill(code, entry, 1).expect("there is room");
//! }
//! assert!(session.get(&"loop 7").is_some()); // an address to enter
//! session.quiescent(); // it is forgotten
//! cache.remove(&"loop 7");
//! cache.reclaim(|code| drop(code)); // nothing yet: the session may have looked it up since
//! drop(session);
//! ```
#![no_std]

extern crate alloc;

use alloc::vec::Vec;
use core::cell::Cell;
use core::fmt;
use core::hash::Hash;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicBool, Ordering};
use hashbrown::hash_map::Entry as MapEntry;
use hashbrown::{HashMap, HashSet};
use patchjit::link::{Epoch, Epochs};
use spin::RwLock;

/// Code that is kept.
#[derive(Debug)]
struct Kept<K, C> {
    key: K,
    code: C,
    entry: u64,
    bytes: usize,
    /// Looked up since the hand came by.
    used: AtomicBool,
}

/// Code that nobody finds any more, and that some thread may still run.
#[derive(Debug)]
struct Retired<C> {
    code: C,
    bytes: usize,
    epoch: Epoch,
}

#[derive(Debug)]
struct Inner<K, C> {
    /// Where each key's code stands in `kept`.
    places: HashMap<K, usize>,
    kept: Vec<Option<Kept<K, C>>>,
    /// Places of `kept` that are free.
    free: Vec<usize>,
    /// The place where the next search for something to evict begins.
    hand: usize,
    retired: Vec<Retired<C>>,
    claimed: HashSet<K>,
    /// The bytes of what is kept, and of what is retired.
    kept_bytes: usize,
    retired_bytes: usize,
    evictions: u64,
}

/// Code by key. The crate's page says what it promises.
#[derive(Debug)]
pub struct Cache<'e, K, C> {
    inner: RwLock<Inner<K, C>>,
    epochs: &'e Epochs<'e>,
    most_bytes: usize,
}

/// How full a cache is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Codes that are kept.
    pub codes: usize,
    /// Their bytes.
    pub bytes: usize,
    /// Codes that wait to be reclaimed.
    pub retired: usize,
    /// Their bytes.
    pub retired_bytes: usize,
    /// Codes that made room for others so far.
    pub evictions: u64,
}

/// Why code was not kept. It is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal<C> {
    /// It has more bytes than the bound.
    TooLarge(C),
    /// There is room once retired code is reclaimed: call [`Cache::reclaim`] and try again, now or when the threads have been
    /// quiescent.
    Waiting(C),
    /// There is code under this key: another claim was filled after this one had been cancelled.
    Present(C),
}

impl<C> Refusal<C> {
    /// The code that was not kept.
    pub fn into_code(self) -> C {
        match self {
            Refusal::TooLarge(code) | Refusal::Waiting(code) | Refusal::Present(code) => code,
        }
    }
}

impl<C> fmt::Display for Refusal<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::TooLarge(_) => "the code is larger than the cache",
            Refusal::Waiting(_) => "the cache is full of code that some thread may still run",
            Refusal::Present(_) => "there is code under this key",
        })
    }
}

impl<'e, K: Clone + Eq + Hash, C> Cache<'e, K, C> {
    /// An empty cache for the threads of these epochs, and for so many bytes of code.
    pub fn new(epochs: &'e Epochs<'e>, most_bytes: usize) -> Cache<'e, K, C> {
        Cache {
            inner: RwLock::new(Inner {
                places: HashMap::new(),
                kept: Vec::new(),
                free: Vec::new(),
                hand: 0,
                retired: Vec::new(),
                claimed: HashSet::new(),
                kept_bytes: 0,
                retired_bytes: 0,
                evictions: 0,
            }),
            epochs,
            most_bytes,
        }
    }

    /// The thread with this number of the epochs is going to look up code and run it. Nothing, if there is no such thread. A
    /// thread has one session at a time.
    pub fn session(&self, thread: usize) -> Option<Session<'_, 'e, K, C>> {
        self.epochs.enter(thread).then_some(Session {
            cache: self,
            thread,
            here: PhantomData,
        })
    }

    /// The right to compile code for a key; nothing, if there is code, or another thread has the right.
    pub fn claim(&self, key: K) -> Option<Claim<'_, 'e, K, C>> {
        let mut inner = self.inner.write();
        if inner.places.contains_key(&key) || !inner.claimed.insert(key.clone()) {
            return None;
        }
        Some(Claim { cache: self, key })
    }

    /// Retires a key's code; false, if there is none. Who got its address may run it until the next quiescent point.
    pub fn remove(&self, key: &K) -> bool {
        let mut inner = self.inner.write();
        let Some(place) = inner.places.get(key).copied() else {
            return false;
        };
        inner.retire(place, self.epochs);
        true
    }

    /// Retires everything.
    pub fn clear(&self) {
        let mut inner = self.inner.write();
        for place in 0..inner.kept.len() {
            inner.retire(place, self.epochs);
        }
    }

    /// Hands back the code that no thread can run any more, in the order in which it was retired; says how many. The lock is not held
    /// while `give_back` runs.
    pub fn reclaim(&self, give_back: impl FnMut(C)) -> usize {
        let mut over = Vec::new();
        {
            let mut inner = self.inner.write();
            // Epochs end one after another, so those that are over come first.
            let epochs = self.epochs;
            let mut retired = inner.retired.iter();
            let count = retired
                .position(|retired| !epochs.is_over(retired.epoch))
                .unwrap_or(inner.retired.len());
            over.extend(inner.retired.drain(..count));
            inner.retired_bytes -= over.iter().map(|retired| retired.bytes).sum::<usize>();
        }
        let count = over.len();
        over.into_iter()
            .map(|retired| retired.code)
            .for_each(give_back);
        count
    }

    /// How full it is.
    pub fn usage(&self) -> Usage {
        let inner = self.inner.read();
        Usage {
            codes: inner.places.len(),
            bytes: inner.kept_bytes,
            retired: inner.retired.len(),
            retired_bytes: inner.retired_bytes,
            evictions: inner.evictions,
        }
    }

    fn fill(&self, key: &K, code: C, entry: u64, bytes: usize) -> Result<(), Refusal<C>> {
        if bytes > self.most_bytes {
            return Err(Refusal::TooLarge(code));
        }
        let mut inner = self.inner.write();
        let inner = &mut *inner;
        if inner.places.contains_key(key) {
            return Err(Refusal::Present(code));
        }
        // What is evicted takes room until it is reclaimed, so eviction stops where that is all that is missing.
        let room = self.most_bytes - bytes;
        while inner.kept_bytes > room {
            let Some(place) = inner.victim() else {
                break;
            };
            inner.retire(place, self.epochs);
            inner.evictions += 1;
        }
        if inner.kept_bytes + inner.retired_bytes > room {
            return Err(Refusal::Waiting(code));
        }
        let kept = Kept {
            key: key.clone(),
            code,
            entry,
            bytes,
            used: AtomicBool::new(true),
        };
        let place = match inner.free.pop() {
            Some(place) => place,
            None => {
                inner.kept.push(None);
                inner.kept.len() - 1
            }
        };
        inner.kept[place] = Some(kept);
        inner.kept_bytes += bytes;
        match inner.places.entry(key.clone()) {
            MapEntry::Occupied(mut known) => drop(known.insert(place)),
            MapEntry::Vacant(free) => drop(free.insert(place)),
        }
        Ok(())
    }
}

impl<K: Eq + Hash, C> Inner<K, C> {
    /// What is evicted next: the first from the hand on that was not looked up since the hand came by.
    fn victim(&mut self) -> Option<usize> {
        // Once round to take the marks away, once more to find one without.
        for _ in 0..2 * self.kept.len() {
            let place = self.hand;
            self.hand = (self.hand + 1) % self.kept.len();
            if let Some(kept) = &mut self.kept[place] {
                if !*kept.used.get_mut() {
                    return Some(place);
                }
                *kept.used.get_mut() = false;
            }
        }
        None
    }

    /// Takes code out of the table.
    fn retire(&mut self, place: usize, epochs: &Epochs<'_>) {
        let Some(kept) = self.kept[place].take() else {
            return;
        };
        self.places.remove(&kept.key);
        self.free.push(place);
        self.kept_bytes -= kept.bytes;
        self.retired_bytes += kept.bytes;
        self.retired.push(Retired {
            code: kept.code,
            bytes: kept.bytes,
            epoch: epochs.end(),
        });
    }
}

/// A thread that looks up code and runs it. Dropped, the thread runs none any more.
///
/// `Send`, not `Sync`.
#[derive(Debug)]
pub struct Session<'c, 'e, K, C> {
    cache: &'c Cache<'e, K, C>,
    thread: usize,
    here: PhantomData<Cell<()>>,
}

impl<K: Clone + Eq + Hash, C> Session<'_, '_, K, C> {
    /// Where the key's code is entered, if there is any. The address is good until this thread's next quiescent point,
    /// and not for another thread.
    pub fn get(&self, key: &K) -> Option<u64> {
        let inner = self.cache.inner.read();
        let place = *inner.places.get(key)?;
        let kept = inner.kept.get(place)?.as_ref()?;
        // Written only where it is not set, so that threads do not pass the line around.
        if !kept.used.load(Ordering::Relaxed) {
            kept.used.store(true, Ordering::Relaxed);
        }
        Some(kept.entry)
    }

    /// This thread runs no compiled code at this moment, and has forgotten all addresses.
    pub fn quiescent(&mut self) {
        self.cache.epochs.quiescent(self.thread);
    }
}

impl<K, C> Drop for Session<'_, '_, K, C> {
    fn drop(&mut self) {
        self.cache.epochs.leave(self.thread);
    }
}

/// The right to compile code for a key. Dropped, the right is free again.
///
/// `Send` and `Sync` as the cache is.
#[derive(Debug)]
pub struct Claim<'c, 'e, K: Eq + Hash, C> {
    cache: &'c Cache<'e, K, C>,
    key: K,
}

impl<K: Clone + Eq + Hash, C> Claim<'_, '_, K, C> {
    /// Keeps code: published, entered at this address, and counted as so many bytes.
    ///
    /// # Errors
    ///
    /// [`Refusal`], with the code. What was evicted for it stays so.
    pub fn fill(&self, code: C, entry: u64, bytes: usize) -> Result<(), Refusal<C>> {
        self.cache.fill(&self.key, code, entry, bytes)
    }
}

impl<K: Eq + Hash, C> Drop for Claim<'_, '_, K, C> {
    fn drop(&mut self) {
        self.cache.inner.write().claimed.remove(&self.key);
    }
}
