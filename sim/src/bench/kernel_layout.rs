// SPDX-License-Identifier: GPL-2.0-only
//! The kernel's layout, written down plainly: what every ratio is a ratio to.
//!
//! ```text
//!   bucket ─▶ node ─▶ node          232 bytes each, as the object cache holds them
//!   master ─▶ extension ─▶ node     296 bytes and 128
//!   jiffy  ─▶ node ─▶ node          a wheel of five levels, a look at every jiffy
//! ```
//!
//! Fields lie where `struct nf_conntrack_expect` of v3.9 has them on a 64-bit machine, so a
//! deed touches the lines it touches there; links are indices, so they are a little shorter and
//! a bounds check dearer. Events, references and causes are left out, in the baseline's favour.

use std::cell::Cell;

use nfexp_model::kernel::hash::{jhash2, scale};
use nfexp_model::tuple::{Mask, Tuple};

use super::deed::{Deed, Deeds, Table, expired, listed};

const NULL: u32 = 0;
const HEAD: u32 = 1 << 31;

#[derive(Clone, Debug, Default)]
#[repr(C)]
struct Node {
    lnext: Cell<u32>,
    lprev: Cell<u32>,
    _lnode: [u32; 2],
    hnext: Cell<u32>,
    hprev: Cell<u32>,
    _hnode: [u32; 2],
    tuple: Tuple,
    mask: Mask,
    _expectfn: [u64; 3],
    master: Cell<u32>,
    tnext: Cell<u32>,
    tprev: Cell<u32>,
    _timer: [u32; 2],
    expires: Cell<u64>,
    _function: [u64; 4],
    uses: Cell<u32>,
    flags: Cell<u32>,
    class: Cell<u32>,
    _saved: [u32; 6],
    _rcu: [u32; 4],
}

#[derive(Clone, Debug, Default)]
#[repr(C)]
struct Master {
    uses: Cell<u32>,
    _lists: [[u32; 24]; 2],
    status: Cell<u32>,
    _timer: [u32; 14],
    ext: Cell<u32>,
    _rest: [u32; 9],
}

#[derive(Clone, Debug, Default)]
#[repr(C)]
struct Extension {
    _offsets: [u32; 6],
    helper: Cell<u32>,
    first: Cell<u32>,
    expecting: Cell<u8>,
    _help: [u32; 14],
    zone: Cell<u16>,
    _rest: [u32; 8],
}

/// The table, the masters and the wheel.
#[derive(Debug)]
pub struct KernelLayout {
    table: Table,
    heads: Vec<Cell<u32>>,
    nodes: Vec<Node>,
    freed: Vec<u32>,
    masters: Vec<Master>,
    extensions: Vec<Extension>,
    /// `tv1` to `tv5`: next and prev of each slot's list.
    wheel: Vec<(Cell<u32>, Cell<u32>)>,
    now: u64,
    timer_jiffies: u64,
    count: u32,
}

impl KernelLayout {
    /// Masters that expect nothing yet.
    #[must_use]
    pub fn new(table: Table) -> Self {
        let masters = (0..table.masters).map(|place| Master {
            ext: Cell::new(place),
            status: Cell::new(8),
            ..Master::default()
        });
        let wheel = (0..512).map(|slot| (Cell::new(HEAD | slot), Cell::new(HEAD | slot)));
        let extension = Extension { helper: Cell::new(1), ..Extension::default() };
        Self {
            table,
            heads: vec![Cell::new(NULL); table.buckets as usize],
            nodes: vec![Node::default(); table.room as usize + 1],
            freed: (1..=table.room).rev().collect(),
            masters: masters.collect(),
            extensions: vec![extension; table.masters as usize],
            wheel: wheel.collect(),
            now: 0_u64.wrapping_sub(300),
            timer_jiffies: 0_u64.wrapping_sub(300),
            count: 0,
        }
    }

    fn bucket(&self, tuple: &Tuple) -> usize {
        let kind = u32::from(tuple.proto.0 ^ tuple.l3.number()) << 16;
        let initial = (kind | u32::from(tuple.dport.swap_bytes())) ^ 0x5eed;
        scale(jhash2(&tuple.dst.words(), initial), self.table.buckets) as usize
    }

    fn node(&self, index: u32) -> &Node {
        &self.nodes[index as usize]
    }

    fn extension(&self, master: u32) -> &Extension {
        &self.extensions[self.masters[master as usize].ext.get() as usize]
    }

    fn find(&self, tuple: &Tuple) -> u32 {
        if self.count == 0 {
            return NULL;
        }
        let mut index = self.heads[self.bucket(tuple)].get();
        while index != NULL {
            let node = self.node(index);
            if tuple.matches(&node.tuple, &node.mask)
                && self.extension(node.master.get()).zone.get() == 0
            {
                return index;
            }
            index = node.hnext.get();
        }
        NULL
    }

    // ---- the wheel ---------------------------------------------------------------------

    fn ends(&self, link: u32) -> (&Cell<u32>, &Cell<u32>) {
        if link & HEAD == 0 {
            let node = self.node(link);
            (&node.tnext, &node.tprev)
        } else {
            let slot = &self.wheel[(link & !HEAD) as usize];
            (&slot.0, &slot.1)
        }
    }

    fn add_timer(&self, index: u32, expires: u64) {
        self.node(index).expires.set(expires);
        let delta = expires.wrapping_sub(self.timer_jiffies);
        let slot = match delta {
            _ if (delta as i64) < 0 => self.timer_jiffies & 255,
            0..0x100 => expires & 255,
            0x100..0x4000 => 256 + (expires >> 8 & 63),
            0x4000..0x10_0000 => 320 + (expires >> 14 & 63),
            0x10_0000..0x400_0000 => 384 + (expires >> 20 & 63),
            _ => 448 + (expires >> 26 & 63),
        };
        let head = HEAD | slot as u32;
        let last = self.ends(head).1.replace(index);
        self.ends(last).0.set(index);
        let node = self.node(index);
        node.tprev.set(last);
        node.tnext.set(head);
    }

    fn del_timer(&self, index: u32) {
        let node = self.node(index);
        self.ends(node.tprev.get()).0.set(node.tnext.get());
        self.ends(node.tnext.get()).1.set(node.tprev.get());
    }

    fn cascade(&self, slot: u64) {
        let head = HEAD | slot as u32;
        let (first, last) = self.ends(head);
        let mut index = first.replace(head);
        last.set(head);
        while index & HEAD == 0 {
            let next = self.node(index).tnext.get();
            self.add_timer(index, self.node(index).expires.get());
            index = next;
        }
    }

    fn run_timers(&mut self, out: &mut u64) {
        while (self.now.wrapping_sub(self.timer_jiffies) as i64) >= 0 {
            let index = self.timer_jiffies & 255;
            if index == 0 {
                for level in 1..5 {
                    let turn = self.timer_jiffies >> (8 + 6 * (level - 1)) & 63;
                    self.cascade(192 + 64 * level + turn);
                    if turn != 0 {
                        break;
                    }
                }
            }
            self.timer_jiffies = self.timer_jiffies.wrapping_add(1);
            let head = HEAD | index as u32;
            loop {
                let timer = self.ends(head).0.get();
                if timer & HEAD != 0 {
                    break;
                }
                self.del_timer(timer);
                let node = self.node(timer);
                *out = out.wrapping_add(expired(node.master.get(), node.tuple.dport));
                self.unlink(timer);
            }
        }
    }

    // ---- lists -------------------------------------------------------------------------

    fn unlink(&mut self, index: u32) {
        let node = self.node(index);
        let (next, prev) = (node.hnext.get(), node.hprev.get());
        if prev & HEAD == 0 {
            self.node(prev).hnext.set(next);
        } else {
            self.heads[(prev & !HEAD) as usize].set(next);
        }
        if next != NULL {
            self.node(next).hprev.set(prev);
        }
        let extension = self.extension(node.master.get());
        let (next, prev) = (node.lnext.get(), node.lprev.get());
        if prev == NULL {
            extension.first.set(next);
        } else {
            self.node(prev).lnext.set(next);
        }
        if next != NULL {
            self.node(next).lprev.set(prev);
        }
        extension.expecting.set(extension.expecting.get().wrapping_sub(1));
        self.count -= 1;
        self.freed.push(index);
    }

    /// `evict_oldest_expect()`: walks the master's list to its end.
    fn evict_oldest(&mut self, extension: u32) {
        let mut last = NULL;
        let mut index = self.extensions[extension as usize].first.get();
        while index != NULL {
            let node = self.node(index);
            if node.class.get() == 0 {
                last = index;
            }
            index = node.lnext.get();
        }
        if last != NULL {
            self.del_timer(last);
            self.unlink(last);
        }
    }

    fn check(&mut self, tuple: &Tuple, mask: &Mask, master: u32) -> u64 {
        let mut index = self.heads[self.bucket(tuple)].get();
        while index != NULL {
            let node = self.node(index);
            if node.master.get() == master && node.tuple == *tuple && node.mask == *mask {
                self.del_timer(index);
                self.unlink(index);
                break;
            }
            if tuple.matches(&node.tuple, &mask.intersect(&node.mask)) {
                return 16;
            }
            index = node.hnext.get();
        }
        let extension = self.masters[master as usize].ext.get();
        let expecting = || u32::from(self.extensions[extension as usize].expecting.get());
        if self.table.max_expected != 0 && expecting() >= self.table.max_expected {
            self.evict_oldest(extension);
        }
        if self.count >= self.table.room { 24 } else { 0 }
    }
}

/// `apply_slack()` of v3.9: far timers meet in rounder jiffies.
pub(super) fn with_slack(expires: u64, now: u64) -> u64 {
    let delta = expires.wrapping_sub(now);
    if delta < 256 {
        return expires;
    }
    let limit = expires.wrapping_add(delta / 256);
    match expires ^ limit {
        0 => expires,
        differ => limit & !((1 << differ.ilog2()) - 1),
    }
}

impl Deeds for KernelLayout {
    fn insert(&mut self, deed: Deed) -> u64 {
        let (tuple, mask) = deed.expected();
        let answer = self.check(&tuple, &mask, deed.master);
        if answer != 0 {
            return answer;
        }
        let index = self.freed.pop().expect("room for one more than the limit");
        let bucket = self.bucket(&tuple);
        let node = &mut self.nodes[index as usize];
        node.tuple = tuple;
        node.mask = mask;
        node.master.set(deed.master);
        node.class.set(0);
        node.flags.set(0);
        node.uses.set(2);
        let first = self.extension(deed.master).first.replace(index);
        let node = self.node(index);
        node.lprev.set(NULL);
        node.lnext.set(first);
        if first != NULL {
            self.node(first).lprev.set(index);
        }
        let expecting = &self.extension(deed.master).expecting;
        expecting.set(expecting.get().wrapping_add(1));
        let first = self.heads[bucket].replace(index);
        node.hnext.set(first);
        node.hprev.set(HEAD | bucket as u32);
        if first != NULL {
            self.node(first).hprev.set(index);
        }
        self.count += 1;
        let expires = self.now.wrapping_add(u64::from(self.table.lifetime));
        self.add_timer(index, with_slack(expires, self.now));
        0
    }

    fn match_one(&mut self, deed: Deed) -> u64 {
        let index = self.find(&deed.tuple());
        if index == NULL {
            return 0;
        }
        let master = self.node(index).master.get();
        if self.masters[master as usize].status.get() & 8 == 0 {
            return 0;
        }
        self.del_timer(index);
        self.unlink(index);
        u64::from(master) + 1
    }

    fn lookup(&mut self, deed: Deed) -> u64 {
        let index = self.find(&deed.tuple());
        if index == NULL {
            return 0;
        }
        let node = self.node(index);
        node.uses.set(node.uses.get() + 1);
        node.uses.set(node.uses.get() - 1);
        u64::from(node.master.get()) + 1
    }

    fn advance(&mut self, ticks: u32) -> u64 {
        self.now = self.now.wrapping_add(u64::from(ticks));
        let mut sum = 0;
        self.run_timers(&mut sum);
        sum
    }

    fn destroy(&mut self, master: u32) -> u64 {
        loop {
            let first = self.extension(master).first.get();
            if first == NULL {
                return 0;
            }
            self.del_timer(first);
            self.unlink(first);
        }
    }

    fn list(&mut self) -> u64 {
        let (mut sum, mut place) = (0_u64, 0);
        for head in &self.heads {
            let mut index = head.get();
            while index != NULL {
                let node = self.node(index);
                sum = sum.wrapping_add(listed(place, node.master.get(), node.tuple.dport));
                place += 1;
                index = node.hnext.get();
            }
        }
        sum
    }

    fn live(&self) -> u64 {
        u64::from(self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_as_large_as_the_kernels() {
        assert_eq!(size_of::<Node>(), 232);
        assert_eq!(size_of::<Master>(), 296);
        assert_eq!(size_of::<Extension>(), 128);
    }
}
