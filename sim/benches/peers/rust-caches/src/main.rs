// SPDX-License-Identifier: GPL-2.0-only
//! Rust caches on a trace of `time,object,size` lines: CPU seconds and miss ratio by policy.
//!
//! `rust-caches TRACE SIZE`. The trace is read before the clock starts: what is measured is a
//! look-up for each request, and an insertion for each miss.

use std::fs;
use std::hint::black_box;
use std::num::NonZeroUsize;

use cpu_time::ProcessTime;

fn main() {
    let mut words = std::env::args().skip(1);
    let trace = words.next().expect("expected a trace");
    let size: usize = words.next().and_then(|word| word.parse().ok()).expect("expected a size");
    let trace = fs::read_to_string(&trace).expect("the trace can be read");
    let ids: Vec<u64> = trace
        .lines()
        .map(|line| line.split(',').nth(1).and_then(|id| id.parse().ok()).expect("time,id,size"))
        .collect();

    let mut cache = lru::LruCache::new(NonZeroUsize::new(size).expect("not 0"));
    measured("lru,LRU", size, &ids, |id| {
        let hit = cache.get(&id).is_some();
        if !hit {
            cache.put(id, id);
        }
        hit
    });
    let mut cache = schnellru::LruMap::new(schnellru::ByLength::new(size as u32));
    measured("schnellru,LRU", size, &ids, |id| {
        let hit = cache.get(&id).is_some();
        if !hit {
            cache.insert(id, id);
        }
        hit
    });
    let mut cache = quick_cache::unsync::Cache::new(size);
    measured("quick_cache,S3-FIFO-like", size, &ids, |id: u64| {
        let hit = cache.get(&id).is_some();
        if !hit {
            cache.insert(id, id);
        }
        hit
    });
    let mut cache = mini_moka::unsync::Cache::new(size as u64);
    measured("mini-moka,TinyLFU", size, &ids, |id: u64| {
        let hit = cache.get(&id).is_some();
        if !hit {
            cache.insert(id, id);
        }
        hit
    });
}

fn measured(name: &str, size: usize, ids: &[u64], mut ask: impl FnMut(u64) -> bool) {
    let before = ProcessTime::now();
    let misses = ids.iter().filter(|id| !black_box(ask(**id))).count();
    let spent = before.elapsed().as_secs_f64();
    let count = ids.len();
    let (rate, missed) = (count as f64 / spent / 1e6, misses as f64 / count as f64);
    println!("{name},{size},{count},{spent:.3},{rate:.2},{missed:.4}");
}
