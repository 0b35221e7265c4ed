// SPDX-License-Identifier: GPL-2.0-only
//! The model, answering operations.
//!
//! Time stands still but for `advance`: no connection made by a packet ends by age, because a
//! transcript is shorter than any such timeout.

use std::collections::BTreeMap;
use std::fmt;

use nfexp_model::ctnetlink::ExpectRequest;
use nfexp_model::ctnetlink::conntrack::ConnRequest;
use nfexp_model::errno::Errno;
use nfexp_model::error::NoMemory;
use nfexp_model::event::{Event as Told, ExpectEventKind};
use nfexp_model::helper::in_tree;
use nfexp_model::kernel::platform::Platform;
use nfexp_model::kernel::rcu::UpRcu;
use nfexp_model::kernel::{Jiffies, Ticks, Up};
use nfexp_model::proc::SeqFile;
use nfexp_model::revision::Revision;
use nfexp_model::{At, Config, Engine};
use nfexp_traces::transcript::{
    Answer, BucketKey, Counters, Event, ExpNew, Family, Fill, Header, Operation, Order, Parts,
};

use super::host::{Host, NET, USER, attributes, new_expect, ret};
use super::told::{is_new_expectation, told};
use crate::collector::Collector;

/// How many connections there is room for: `nf_conntrack_max` where memory is not short.
const CONNS: u32 = 1 << 18;
/// For how many there is memory at the start.
const CONNS_READY: u32 = 1 << 10;
/// The largest table there is room for; beyond, memory runs out first.
const LARGEST_TABLE: u32 = 1 << 20;

/// So many milliseconds, in jiffies, as far as a trace can say it: half of all jiffies lie ahead of
/// any moment, of which half again are left to timers.
pub(super) fn ticks(millis: u64, hz: u32) -> Ticks {
    let ticks = u128::from(millis) * u128::from(hz) / 1000;
    Ticks(u64::try_from(ticks).unwrap_or(u64::MAX).min(u64::MAX >> 2))
}

/// The model, playing a transcript.
pub struct Player<P: Platform = Up> {
    engine: Engine<P>,
    host: Host,
    boot: Jiffies,
    now: Jiffies,
    collector: Collector,
    /// Where in the table each handle is.
    buckets: Vec<BucketKey>,
}

impl<P: Platform<Rcu = UpRcu>> Player<P> {
    /// A fresh engine of the kernel that recorded: Linux 6.18.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn new(header: &Header) -> Result<Self, NoMemory> {
        Self::of_revision(header, Revision::LINUX_6_18)
    }

    /// A fresh engine of another kernel.
    ///
    /// # Errors
    /// As [`Player::new`].
    pub fn of_revision(header: &Header, revision: Revision) -> Result<Self, NoMemory> {
        let config = Config {
            revision,
            hz: header.hz,
            hash_size: (header.expect_max / 4).clamp(1, 1 << 16),
            expect_max: header.expect_max,
            expectations: header.expect_max.min(LARGEST_TABLE) + 64,
            conns: CONNS,
            conns_ready: CONNS_READY,
            cpus: 1,
            helpers: in_tree(&revision),
            ..Config::SMALL
        };
        let boot = Jiffies::initial(header.hz);
        let (engine, host) = (Engine::new(config)?, Host::new(header.nft.clone()));
        let collector = Collector::new(engine.config(), boot);
        Ok(Self { engine, host, boot, now: boot, collector, buckets: Vec::new() })
    }

    /// Does an operation and answers everything that can be seen of it.
    pub fn answer(&mut self, operation: &Operation) -> Answer {
        let done = self.host.perform(&self.engine, self.at(), operation);
        let mut answer = match done {
            Some(done) => done.answer,
            None => self.act(operation),
        };
        let events = self.take_events();
        let quiet = matches!(operation, Operation::Fill(_) | Operation::ExpFlushQuiet(_));
        answer.ev = Some(if quiet { Vec::new() } else { events });
        self.engine.run_rcu_callbacks();
        answer
    }

    /// The destination of a handle, which decides its bucket.
    #[must_use]
    pub fn bucket_of(&self, handle: u64) -> Option<BucketKey> {
        let place = usize::try_from(handle.checked_sub(1)?).ok()?;
        self.buckets.get(place).copied()
    }

    /// The engine, for looking.
    #[must_use]
    pub fn engine(&self) -> &Engine<P> {
        &self.engine
    }

    fn at(&self) -> At {
        At { now: self.now, ..At::default() }
    }

    /// What is neither a user's request nor a packet.
    fn act(&mut self, operation: &Operation) -> Answer {
        match operation {
            Operation::Proc(_) => Answer { proc: Some(self.proc_lines()), ..Answer::default() },
            Operation::Stats(_) => Answer { stats: Some(self.counters()), ..Answer::default() },
            Operation::Advance(advance) => {
                self.advance(advance.to);
                Answer { order: Some(Order::None), ..Answer::default() }
            }
            Operation::Fill(fill) => self.fill(fill),
            Operation::ExpFlushQuiet(_) => {
                let everything = ExpectRequest::default();
                let result = self.engine.del_expect(self.at(), NET, &everything, USER);
                let made = Some(self.take_events().len() as u64);
                Answer { made, errs: Some(BTreeMap::new()), ..ret(result) }
            }
            _ => Answer::default(),
        }
    }

    fn proc_lines(&self) -> Vec<(i64, String)> {
        let mut text = String::new();
        let read = SeqFile::open(NET).read(&self.engine, self.at(), u64::MAX, &mut text);
        read.expect("a string takes everything");
        let line = |line: &str| {
            let (seconds, rest) = line.split_once(' ').unwrap_or((line, ""));
            (seconds.parse().unwrap_or(0), rest.to_owned())
        };
        text.lines().map(line).collect()
    }

    fn counters(&self) -> Counters {
        let stats = self.engine.stats(NET);
        Counters {
            expect_new: stats.expect_new.into(),
            expect_create: stats.expect_create.into(),
            expect_delete: stats.expect_delete.into(),
            entries: self.engine.conn_count(NET).into(),
        }
    }

    fn advance(&mut self, to_ms: u64) {
        let to = self.boot.after(ticks(to_ms, self.engine.config().hz));
        let to = if to.time_after(self.now) { to } else { self.now };
        while let Some(scan) = self.collector.due(&self.engine, NET, self.now, to) {
            self.fire(scan);
            Collector::scan(&self.engine, self.at(), NET);
        }
        self.fire(to);
    }

    fn fire(&mut self, to: Jiffies) {
        self.now = to;
        while let Some(firing) = self.engine.expire(self.now) {
            self.engine.timed_out(self.at(), firing);
        }
    }

    fn fill(&mut self, fill: &Fill) -> Answer {
        let mut errs = BTreeMap::new();
        let mut made = 0;
        for m in 0..fill.masters {
            let (master, expectations) = filling(m, fill.per);
            let request = ConnRequest {
                family: Family::Ip.l3(),
                orig: Some(attributes(&master)),
                helper: Some("RAS"),
                timeout_secs: Some(3600),
                ..ConnRequest::default()
            };
            // Its own answer is not among those that are counted.
            let _ = self.engine.new_conntrack(self.at(), NET, &request, USER);
            for new in expectations {
                let result = new_expect(&self.engine, self.at(), &new);
                let ret = result.map_or_else(Errno::name, |()| "OK");
                *errs.entry(ret.to_owned()).or_insert(0) += 1;
                self.engine.run_rcu_callbacks();
            }
            made += self.take_events().iter().filter(|event| is_new_expectation(event)).count();
            self.engine.run_rcu_callbacks();
        }
        Answer { made: Some(made as u64), errs: Some(errs), ..Answer::default() }
    }

    /// The events since the last call, with handles.
    fn take_events(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.engine.poll_event() {
            self.host.learn(&event);
            if let Told::Expect(event) = &event
                && event.kind == ExpectEventKind::New
            {
                let l3 = Family::of(event.tuple.l3);
                self.buckets.push(BucketKey::of(
                    l3,
                    &Parts::of(&event.tuple, &self.engine.config().revision),
                ));
            }
            events.push(told(&self.engine, self.at(), &self.host, &event));
        }
        events
    }
}

impl<P: Platform> fmt::Debug for Player<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Player").field("host", &self.host).finish_non_exhaustive()
    }
}

/// The m-th master of a `fill`, and what is expected of it.
pub(super) fn filling(m: u32, per: u32) -> (Parts, impl Iterator<Item = ExpNew>) {
    let ip = |text: &str| text.parse().expect("a literal address");
    let (client, server) = (Some(ip("10.0.0.1")), Some(ip("10.0.0.2")));
    let udp = Parts { proto: Some(17), ..Parts::default() };
    let port = |number: u32| Some(number as u16);
    let (sport, dport) = (port(m.wrapping_add(1000)), Some(1719));
    let master = Parts { src: client, dst: server, sport, dport, ..udp };
    let expectation = move |j: u32| {
        let dport = port(1_u32.wrapping_add(m.wrapping_mul(per)).wrapping_add(j));
        let tuple = Parts { src: server, dst: client, sport: Some(0), dport, ..udp };
        let ones = Some(ip("255.255.255.255"));
        let mask = Parts { src: ones, dst: ones, sport: Some(0), dport: Some(0xffff), ..udp };
        let (master, tuple, mask) = (Some(master), Some(tuple), Some(mask));
        ExpNew { master, tuple, mask, ..ExpNew::default() }
    };
    (master, (0..per).map(expectation))
}
