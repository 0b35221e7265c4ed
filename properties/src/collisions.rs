// SPDX-License-Identifier: GPL-2.0-only
//! Small worlds in which operations collide on purpose.
//!
//! *Op*: one operation, drawn from a seed. *World*: an engine with what its callers hold. *Answer*:
//! all that can be seen of one operation.
//!
//! ```text
//!   seed ─▶ op, op, op … ─▶ world ─▶ answer: result, events, who fired, what is listed
//! ```
//!
//! Few destinations, five kinds of masks, two zones, two namespaces, timers left firing, readers
//! that hold, connections that end. What runs on them: the storages side by side
//! (`tests/equivalence.rs`), and the facts that a faster storage may lean on (`tests/theorems*.rs`).
//!
//! The rule that matters: what an operation does follows from its numbers and from what the engine
//! answered so far, on every platform alike.

use std::panic::{AssertUnwindSafe, catch_unwind};

use nfexp_model::conn::ConnRef;
use nfexp_model::engine::{At, Config, Engine, Firing, MasterCheck};
use nfexp_model::event::{Cause, Event, Origin};
use nfexp_model::expectation::{ExpectId, ExpectRef, Flags};
use nfexp_model::fingerprint::Held;
use nfexp_model::helper::Class;
use nfexp_model::kernel::rcu::UpRcu;
use nfexp_model::kernel::timer::TimerKey;
use nfexp_model::kernel::{Cpu, Jiffies, Platform, Ticks};
use nfexp_model::locked::{MasterHold, Matched};
use nfexp_model::netns::{NetId, Stats, Zone};
use nfexp_model::proc::SeqFile;
use nfexp_model::revision::Revision;
use nfexp_model::snapshot::OneCpu;
use nfexp_model::tuple::{Addr, L3, Mask, Proto, Tuple};

/// Numbers from a seed.
#[derive(Clone, Debug)]
pub struct Draw(pub u64);

impl Draw {
    /// The next number.
    #[expect(clippy::should_implement_trait, reason = "it never ends")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// A number below `count`.
    pub fn below(&mut self, count: usize) -> usize {
        (self.next() % count as u64) as usize
    }
}

/// One operation: what, and the numbers it needs.
#[derive(Clone, Copy, Debug)]
pub struct Op {
    /// What is done, of 256.
    pub what: u8,
    /// Which of what there is.
    pub which: usize,
    /// Everything else.
    pub random: u64,
}

/// What came of it.
#[derive(Debug, Default, PartialEq)]
pub struct Answer {
    /// An errno, a count, or yes and no.
    pub word: i64,
    /// Who was found.
    pub id: Option<ExpectId>,
    /// Who fired, in order, and when.
    pub fired: Vec<(Jiffies, TimerKey)>,
    /// When the next timer is due.
    pub next: Option<Jiffies>,
    /// A listing.
    pub text: String,
    /// The counters of both namespaces.
    pub stats: Option<[Stats; 2]>,
    /// What was told.
    pub events: Vec<Event>,
}

/// How time passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Passage {
    /// To the next timer that is due, and to the next.
    #[default]
    Jumps,
    /// Jiffy by jiffy.
    Steps,
    /// To the end at once, whatever is due on the way: nothing that time may do.
    Leaps,
}

/// An engine with what its callers hold.
#[derive(Debug)]
pub struct World<P: Platform<Rcu = UpRcu>> {
    /// The engine.
    pub engine: Engine<P>,
    /// The time.
    pub now: Jiffies,
    /// The connections that live.
    pub conns: Vec<ConnRef>,
    held: Vec<ExpectRef>,
    firing: Vec<Firing>,
    readers: u32,
    /// How time passes.
    pub passage: Passage,
    /// The longest that it passes at once, in jiffies.
    pub longest: u64,
    /// The last announcement, to be made again.
    last: Option<Op>,
}

fn config(revision: Revision, hash_size: u32) -> Config {
    let room = 48;
    Config {
        revision,
        hash_size,
        expect_max: 32,
        expectations: room,
        conns: 24,
        netns: 2,
        ..Config::SMALL
    }
}

/// A tuple of a small world, and one of five masks.
#[must_use]
pub fn tuple_and_mask(random: u64) -> (Tuple, Mask) {
    let bits = |from: u32, count: u32| (random >> from & ((1 << count) - 1)) as u8;
    let l3 = if bits(0, 2) == 0 { L3::Ipv6 } else { L3::Ipv4 };
    let addr = |host: u8| {
        let mut addr = Addr::v4([10, 0, 0, host]);
        if l3 == L3::Ipv6 {
            addr.0[15] = host;
        }
        addr
    };
    let tuple = Tuple {
        src: addr(bits(2, 2)),
        dst: addr(bits(4, 1)),
        // The upper bits are drawn in a crowd only.
        sport: u16::from(bits(6, 2) | bits(60, 3) << 2),
        dport: u16::from(bits(8, 3)),
        l3,
        proto: if bits(11, 2) == 0 { Proto::UDP } else { Proto::TCP },
    };
    let mask = match bits(13, 3) {
        0 => Mask { src: addr(2), sport: 1 },
        kind => Mask::exact(l3, kind & 1 == 1, kind & 2 == 2),
    };
    (tuple, mask)
}

impl<P: Platform<Rcu = UpRcu>> World<P> {
    /// A world with two namespaces.
    ///
    /// # Panics
    /// If there is no memory.
    #[must_use]
    pub fn new(revision: Revision, hash_size: u32) -> Self {
        let engine = Engine::new(config(revision, hash_size)).expect("memory suffices");
        engine.pernet_init(NetId(1)).expect("memory suffices");
        let now = Jiffies::initial(250);
        let (conns, held, firing) = (Vec::new(), Vec::new(), Vec::new());
        let passage = Passage::Jumps;
        Self { engine, now, conns, held, firing, readers: 0, passage, longest: 90_000, last: None }
    }

    /// Here and now.
    #[must_use]
    pub fn at(&self) -> At {
        At { cpu: Cpu(0), now: self.now }
    }

    /// Does it; answers all that can be seen of it.
    ///
    /// # Panics
    /// If the engine does.
    pub fn apply(&mut self, op: Op) -> Answer {
        let mut answer = Answer::default();
        let (at, random) = (self.at(), op.random);
        let (net, zone) = place(op);
        let tuple = tuple_and_mask(random).0;
        match op.what {
            0..80 if !self.conns.is_empty() => answer.word = self.announce(op),
            80..120 => answer.id = self.find_expectation(net, zone, &tuple, random >> 50 & 7 != 0),
            120..150 => {
                let found = self.engine.find_get(at, net, zone, &tuple);
                answer.id = found.as_ref().map(ExpectRef::id);
                if let Some(found) = found {
                    self.engine.put(found);
                }
            }
            150..160 if !self.held.is_empty() => {
                let exp = self.held.swap_remove(op.which % self.held.len());
                if random & 1 == 1 {
                    self.engine.unexpect(at, &exp);
                }
                self.engine.put(exp);
            }
            160..185 => answer.fired = self.pass(random),
            185..190 => {
                // The first half alone of what is due next: the callback is late.
                let due = self.engine.next_expiry().filter(|due| due.time_after(self.now));
                self.now = due.unwrap_or(self.now);
                if let Some(firing) = self.engine.expire(self.now) {
                    answer.fired.push((self.now, firing.key()));
                    if firing.key().is_conn() {
                        self.late_callbacks();
                        self.engine.timed_out(self.at(), firing);
                    } else {
                        self.firing.push(firing);
                    }
                }
            }
            190..196 => self.late_callbacks(),
            196..212 => answer.word = i64::from(self.connect(net, zone, random)),
            212..218 if !self.conns.is_empty() => self.end(op.which, random),
            218..222 if !self.conns.is_empty() => {
                let ct = &self.conns[op.which % self.conns.len()];
                let delay = Ticks(random >> 20 & 0xffff);
                self.engine.set_conn_expiry(at, ct, self.now.after(delay));
            }
            222..226 => self.hold_or_release(random),
            226..240 => answer.word = i64::from(self.engine.run_rcu_callbacks()),
            240..246 => answer.text = self.listing(net),
            246..248 => {
                let (from, to) = (random & 3, random >> 2 & 3);
                self.engine.lock().iterate_destroy(at, net, Origin::KERNEL, Cause::Flush, |exp| {
                    (from..=to).contains(&u64::from(exp.tuple().dport))
                });
            }
            248..250 => {
                answer.word = self
                    .engine
                    .set_expect_max([32, 40, random as i32 & 31][(random >> 8) as usize % 3])
                    .into()
            }
            _ => answer.stats = Some([0, 1].map(|net| self.engine.stats(NetId(net)))),
        }
        answer.next = self.engine.next_expiry();
        answer.events.extend(std::iter::from_fn(|| self.engine.poll_event()));
        answer
    }

    /// What this announcement announces: itself, or the last one again.
    #[must_use]
    pub fn announced(&self, op: Op) -> Op {
        self.last.filter(|_| op.random >> 56 & 3 == 0).unwrap_or(op)
    }

    /// Announces; 1, or a negative errno.
    ///
    /// # Panics
    /// Without a connection.
    pub fn announce(&mut self, op: Op) -> i64 {
        let op = self.announced(op);
        self.last = Some(op);
        let (at, ct) = (self.at(), &self.conns[op.which % self.conns.len()]);
        let Ok(exp) = self.engine.alloc(at, ct) else { return -12 };
        let (tuple, mask) = tuple_and_mask(op.random);
        self.engine.init_key(&exp, class(op), tuple, mask);
        let flags = [0, 0, 0, 0, 0, 1, 2, 3][(op.random >> 34 & 7) as usize];
        self.engine.set_flags(&exp, Flags(flags));
        let masters = master_check(op);
        let answer = self.engine.related(at, &exp, Origin::KERNEL, masters);
        if op.random >> 52 & 7 == 0 && self.held.len() < 8 {
            self.held.push(exp);
        } else {
            self.engine.put(exp);
        }
        answer.map_or_else(|error| i64::from(error.errno()), |()| 1)
    }

    fn find_expectation(
        &self,
        net: NetId,
        zone: Zone,
        tuple: &Tuple,
        unlink: bool,
    ) -> Option<ExpectId> {
        let at = self.at();
        let found = self.engine.lock().find_expectation(at, net, zone, tuple, unlink);
        let Matched { exp, master } = found?;
        let id = exp.id();
        if let MasterHold::Counted(master) = master {
            self.engine.put_conn(at, master);
        }
        self.engine.put(exp);
        Some(id)
    }

    /// Time passes; answers who fired.
    fn pass(&mut self, random: u64) -> Vec<(Jiffies, TimerKey)> {
        const SPANS: [u64; 16] =
            [4, 4, 4, 4, 4, 4, 300, 300, 300, 300, 3_000, 3_000, 3_000, 3_000, 20_000, 90_000];
        let span = (random >> 8) % SPANS[(random & 15) as usize];
        let end = self.now.after(Ticks(span.min(self.longest)));
        let mut fired = Vec::new();
        self.fire(&mut fired);
        while self.now != end {
            self.now = match self.passage {
                Passage::Jumps => self.next_stop(end),
                Passage::Steps => self.now.after(Ticks(1)),
                Passage::Leaps => end,
            };
            self.fire(&mut fired);
        }
        fired
    }

    /// When something is due, or else the end.
    fn next_stop(&self, end: Jiffies) -> Jiffies {
        let due = self.engine.next_expiry().filter(|due| !due.time_after(end));
        // Nothing is late, for all that was due has fired.
        due.inspect(|due| assert!(due.time_after(self.now), "due in the past")).unwrap_or(end)
    }

    fn fire(&mut self, fired: &mut Vec<(Jiffies, TimerKey)>) {
        let at = self.at();
        while let Some(firing) = self.engine.expire(self.now) {
            fired.push((self.now, firing.key()));
            if firing.key().is_conn() {
                // A master must not end under a callback that waits.
                self.late_callbacks();
            }
            self.engine.timed_out(at, firing);
        }
    }

    /// The callbacks that wait run.
    pub fn late_callbacks(&mut self) {
        for firing in std::mem::take(&mut self.firing) {
            self.engine.timed_out(self.at(), firing);
        }
    }

    /// A connection begins; whether it could be confirmed.
    ///
    /// # Panics
    /// If there is no memory.
    pub fn connect(&mut self, net: NetId, zone: Zone, random: u64) -> bool {
        let (tuple, _) = tuple_and_mask(random ^ random >> 17);
        let reply = tuple.inverse().expect("ports swap");
        let Ok(ct) = self.engine.alloc_conn(net, zone, tuple, reply) else { return false };
        let helpers = self.engine.config().helpers.len();
        let helper = self.engine.config().helpers[random as usize % helpers].name;
        self.engine.attach(&ct, self.engine.helper_named(helper)).expect("memory suffices");
        let confirmed = self.engine.confirm(self.at(), &ct, Origin::KERNEL);
        self.conns.push(ct);
        confirmed
    }

    fn end(&mut self, which: usize, random: u64) {
        self.late_callbacks();
        let ct = self.conns.swap_remove(which % self.conns.len());
        if random & 3 != 0 {
            self.engine.delete_conn(self.at(), &ct, Origin::KERNEL);
        } else {
            // The table keeps it for a while; for ever would leave no room for others.
            let delay = Ticks(random >> 20 & 0x3fff);
            self.engine.set_conn_expiry(self.at(), &ct, self.now.after(delay));
        }
        // What its last reference ends with it, nobody may hold a callback of.
        self.engine.put_conn(self.at(), ct);
    }

    fn hold_or_release(&mut self, random: u64) {
        // Rare and soon over, or all memory would wait for them.
        if self.readers > 0 && random & 3 != 0 {
            self.readers -= 1;
            self.engine.rcu().release(Cpu(1));
        } else if self.readers < 2 && random & 3 == 0 {
            self.readers += 1;
            self.engine.rcu().hold(Cpu(1));
        }
    }

    fn listing(&self, net: NetId) -> String {
        let mut text = String::new();
        let mut file = SeqFile::open(net);
        // In pieces, as a small buffer makes it.
        while file.read(&self.engine, self.at(), 3, &mut text).expect("a string takes all") > 0 {}
        text
    }
}

impl<P: OneCpu> World<P> {
    /// The same world once more.
    ///
    /// # Panics
    /// Never: no eviction sits in its engine.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self {
            engine: self.engine.snapshot().expect("the kernel's own eviction"),
            conns: self.conns.iter().map(ConnRef::again).collect(),
            held: self.held.iter().map(ExpectRef::again).collect(),
            firing: self.firing.iter().map(Firing::again).collect(),
            ..*self
        }
    }

    /// The number of its situation.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let conns: Vec<_> = self.conns.iter().map(ConnRef::id).collect();
        let expectations: Vec<_> = self.held.iter().map(ExpectRef::id).collect();
        let firing: Vec<_> = self.firing.iter().map(Firing::key).collect();
        let (conns, expectations) = (conns.as_slice(), expectations.as_slice());
        self.engine.fingerprint(0, &Held { now: self.now, conns, expectations, firing: &firing })
    }
}

/// Where an operation looks.
#[must_use]
pub fn place(op: Op) -> (NetId, Zone) {
    (NetId((op.random >> 40 & 7 == 0).into()), Zone((op.random >> 44 & 1) as u16))
}

/// The class of an announcement.
#[must_use]
pub fn class(op: Op) -> Class {
    Class::ALL[(op.random >> 32 & 3) as usize]
}

/// Whether an announcement minds that an equal one has another master.
#[must_use]
pub fn master_check(op: Op) -> MasterCheck {
    if op.random >> 37 & 7 == 0 { MasterCheck::Skip } else { MasterCheck::Own }
}

/// The operations of a seed.
pub fn run(seed: u64, count: u64, mut each: impl FnMut(Op)) {
    let mut draw = Draw(seed);
    for _ in 0..count {
        let what = draw.next() as u8;
        let (which, random) = (draw.below(1 << 16), draw.next());
        each(Op { what, which, random: random & !(7 << 60) });
    }
}

/// That a check fails, and for the reason it is there for: its broken world.
///
/// # Panics
/// If it does not.
pub fn fails(why: &str, check: impl FnOnce()) {
    let panic = catch_unwind(AssertUnwindSafe(check)).expect_err(why);
    let said = panic.downcast_ref::<String>().expect("a message");
    assert!(said.contains(why), "failed for another reason: {said}");
}
