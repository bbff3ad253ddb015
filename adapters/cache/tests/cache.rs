//! A bound that holds, eviction that takes what is not used, and no code given back that a thread may run.

use patchjit::link::Epochs;
use patchjit_cache::{Cache, Claim, Refusal, Session};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

const fn is_send<T: Send>() {}
const fn is_sync<T: Sync>() {}
const _: () = {
    is_sync::<Cache<'_, u64, u64>>();
    is_send::<Cache<'_, u64, u64>>();
    is_send::<Session<'_, '_, u64, u64>>();
    is_send::<Claim<'_, '_, u64, u64>>();
};

fn words<const N: usize>() -> [AtomicU32; N] {
    [const { AtomicU32::new(0) }; N]
}

fn put(cache: &Cache<'_, u64, u64>, key: u64, bytes: usize) -> Result<(), Refusal<u64>> {
    cache.claim(key).expect("no code yet").fill(key, key, bytes)
}

#[test]
fn what_is_not_used_makes_room() {
    let words = words::<1>();
    let epochs = Epochs::new(&words);
    let cache: Cache<'_, u64, u64> = Cache::new(&epochs, 40);
    for key in 1..=4 {
        put(&cache, key, 10).unwrap();
    }
    assert_eq!(put(&cache, 5, 41), Err(Refusal::TooLarge(5)));
    // With nobody running, everything that is retired can be reclaimed at once; but it has to be.
    assert_eq!(put(&cache, 5, 10), Err(Refusal::Waiting(5)));
    assert_eq!(cache.usage().retired, 1);
    let mut gone = Vec::new();
    assert_eq!(cache.reclaim(|code| gone.push(code)), 1);
    assert_eq!(gone, [1]);
    put(&cache, 5, 10).unwrap();
    // The hand stands behind 1, and all marks but that of 5 are gone: 3 is looked up, so 2 goes first, then 4.
    let session = cache.session(0).unwrap();
    assert_eq!(session.get(&3), Some(3));
    assert_eq!(session.get(&1), None);
    drop(session);
    for (new, old) in [(6, 2), (7, 4)] {
        assert_eq!(put(&cache, new, 10), Err(Refusal::Waiting(new)));
        let mut gone = Vec::new();
        cache.reclaim(|code| gone.push(code));
        assert_eq!(gone, [old]);
        put(&cache, new, 10).unwrap();
    }
    let usage = cache.usage();
    assert_eq!((usage.codes, usage.bytes, usage.evictions), (4, 40, 3));
}

#[test]
fn a_key_is_compiled_once() {
    let words = words::<1>();
    let epochs = Epochs::new(&words);
    let cache: Cache<'_, u64, u64> = Cache::new(&epochs, 40);
    let claim = cache.claim(1).unwrap();
    assert!(cache.claim(1).is_none());
    drop(claim);
    let claim = cache.claim(1).unwrap();
    claim.fill(1, 1, 1).unwrap();
    assert_eq!(claim.fill(1, 1, 1), Err(Refusal::Present(1)));
    drop(claim);
    assert!(cache.claim(1).is_none(), "there is code");
    assert!(cache.remove(&1) && !cache.remove(&1));
    assert!(cache.claim(1).is_some());
}

#[test]
fn retired_code_waits_for_every_thread() {
    let words = words::<2>();
    let epochs = Epochs::new(&words);
    let cache: Cache<'_, u64, u64> = Cache::new(&epochs, 40);
    put(&cache, 1, 10).unwrap();
    let (mut a, mut b) = (cache.session(0).unwrap(), cache.session(1).unwrap());
    assert!(cache.session(2).is_none());
    assert_eq!(a.get(&1), Some(1));
    cache.clear();
    assert_eq!(a.get(&1), None);
    assert_eq!(cache.reclaim(drop), 0);
    b.quiescent();
    assert_eq!(cache.reclaim(drop), 0);
    a.quiescent();
    assert_eq!(cache.reclaim(drop), 1);
    // Who has left holds nothing.
    put(&cache, 2, 10).unwrap();
    drop(b);
    cache.remove(&2);
    assert_eq!(cache.reclaim(drop), 0);
    drop(a);
    assert_eq!(cache.reclaim(drop), 1);
    assert_eq!(cache.usage().retired_bytes, 0);
}

/// Stands for code: a word of memory that may be entered, or was given back.
struct Page {
    key: AtomicU64,
    is_free: AtomicBool,
}

#[test]
fn threads_never_hold_code_that_was_given_back() {
    const THREADS: usize = 6;
    const KEYS: u64 = 40;
    const ROUNDS: u64 = 4000;
    let pages: Vec<Page> = (0..16)
        .map(|_| Page {
            key: AtomicU64::new(u64::MAX),
            is_free: AtomicBool::new(true),
        })
        .collect();
    let words = words::<THREADS>();
    let epochs = Epochs::new(&words);
    // As many codes as there are pages, so that pages are taken again and again.
    let cache: Cache<'_, u64, usize> = Cache::new(&epochs, pages.len());
    let (found, filled) = (AtomicU64::new(0), AtomicU64::new(0));
    let work = |thread: usize| {
        let mut session = cache.session(thread).unwrap();
        let mut held: Vec<(u64, u64)> = Vec::new();
        let mut random = thread as u64 + 1;
        for round in 0..ROUNDS {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let key = (random >> 33) % KEYS * ((random >> 40) % 3 + 1) % KEYS;
            if let Some(page) = session.get(&key) {
                held.push((key, page));
                found.fetch_add(1, Ordering::Relaxed);
            } else if let Some(claim) = cache.claim(key) {
                let take = |page: &Page| page.is_free.swap(false, Ordering::SeqCst);
                if let Some(page) = pages.iter().position(take) {
                    pages[page].key.store(key, Ordering::SeqCst);
                    match claim.fill(page, page as u64, 1) {
                        Ok(()) => drop(filled.fetch_add(1, Ordering::Relaxed)),
                        Err(refusal) => give_back(&pages, refusal.into_code()),
                    }
                } else {
                    // No page is free: something has to go.
                    cache.remove(&((key + 1) % KEYS));
                }
            }
            if random >> 60 == 0 {
                cache.remove(&((key + 7) % KEYS));
            }
            // All that this thread looked up is still what it was.
            for &(key, page) in &held {
                let page = &pages[page as usize];
                assert_eq!(page.key.load(Ordering::SeqCst), key, "round {round}");
            }
            if round % 5 == 0 {
                held.clear();
                session.quiescent();
                cache.reclaim(|page| give_back(&pages, page));
            }
        }
    };
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let work = &work;
            scope.spawn(move || work(thread));
        }
    });
    cache.clear();
    cache.reclaim(|page| give_back(&pages, page));
    assert!(pages.iter().all(|page| page.is_free.load(Ordering::SeqCst)));
    assert_eq!(cache.usage().retired, 0);
    let (found, filled) = (found.into_inner(), filled.into_inner());
    assert!(
        found > 100 && filled > 100,
        "{found} found, {filled} filled"
    );
}

fn give_back(pages: &[Page], page: usize) {
    pages[page].key.store(u64::MAX, Ordering::SeqCst);
    assert!(!pages[page].is_free.swap(true, Ordering::SeqCst));
}
