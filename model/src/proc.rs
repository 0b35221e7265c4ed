// SPDX-License-Identifier: GPL-2.0-only
//! `/proc/net/nf_conntrack_expect`: the listing, read piece by piece while the table changes.
//!
//! *Position*: the number of a line. A read(2) starts by walking from the first line to its
//! position again, so the file is not a snapshot: what was deleted before the position since
//! the last read makes lines be skipped, what was inserted makes them repeat.
//!
//! ```text
//!   start(pos) ─▶ show, next, show, next, … until the buffer is full ─▶ stop
//!   └── read-side critical section ──────────────────────────────────┘
//! ```
//!
//! # Source
//! `ct_expect_get_first()` to `exp_seq_show()`, v3.9.

use core::convert::Infallible;
use core::fmt::{self, Write};

use crate::ctnetlink::dump::ExpectInfo;
use crate::engine::{At, Engine};
use crate::expectation::{About, Expectation, Flags};
use crate::kernel::hlist::{Access, Index};
use crate::kernel::platform::{Ordering, Platform, Word};
use crate::kernel::rcu::Rcu;
use crate::kernel::slab::{NULL, Object};
use crate::kernel::timer::{TimerBase, TimerKey};
use crate::netns::NetId;
use crate::revision::{ClassText, Expiry, Revision, TableScope};
use crate::slip::Slip;
use crate::tuple::{L3, Proto, Tuple};

/// An open listing (`struct ct_expect_iter_state` and the file's position).
#[doc(alias = "ct_expect_iter_state")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeqFile {
    net: NetId,
    /// The line the next read begins with.
    pos: u64,
    bucket: u32,
}

impl SeqFile {
    /// Opens the listing of a namespace.
    #[doc(alias = "exp_open")]
    #[must_use]
    pub const fn open(net: NetId) -> Self {
        Self { net, pos: 0, bucket: 0 }
    }

    /// Whose listing it is.
    #[must_use]
    pub const fn net(&self) -> NetId {
        self.net
    }

    /// The line the next read begins with.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.pos
    }

    /// One read(2) with room for `lines` lines (whole lines, as a full buffer leaves them);
    /// answers how many it wrote, 0 at the end.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn read<P: Platform>(
        &mut self,
        engine: &Engine<P>,
        at: At,
        lines: u64,
        out: &mut dyn Write,
    ) -> Result<u64, fmt::Error> {
        self.walk(engine, at, lines, |reading| reading.show(out))
    }

    /// What a read(2) with room for all would write, as values.
    pub fn listed<P: Platform>(&mut self, engine: &Engine<P>, at: At) -> Vec<Listed> {
        let mut listed = Vec::new();
        let Ok(_) = self.walk::<P, Infallible>(engine, at, u64::MAX, |reading| {
            let line = reading.listed();
            let is_shown = line.is_some();
            listed.extend(line);
            Ok(is_shown)
        });
        listed
    }

    /// Goes from line to line until `each` has shown so many; answers how many those were.
    fn walk<P: Platform, E>(
        &mut self,
        engine: &Engine<P>,
        at: At,
        lines: u64,
        mut each: impl FnMut(&Reading<'_, P>) -> Result<bool, E>,
    ) -> Result<u64, E> {
        let mut reading = Reading::start(self, engine, at);
        let mut written = 0;
        while written < lines && reading.at != NULL {
            if each(&reading)? {
                written += 1;
            }
            reading.next();
        }
        Ok(written)
    }
}

/// A line of a listing, as values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The seconds it has left, as they are printed; none where a `-` stands.
    pub left_secs: Option<i64>,
    /// Whose line it is.
    pub expectation: ExpectInfo,
}

impl<P: Platform> Engine<P> {
    /// Calls `each` for every linked expectation of the table in which `net` is, in the order of
    /// a listing: bucket by bucket, newest first.
    pub fn for_each_listed(&self, net: NetId, each: impl FnMut(&Expectation<P>)) {
        self.table(net).walk(&self.memory.expectations, each);
    }
}

/// A read in progress: between `start` and `stop`, which is its end.
struct Reading<'a, P: Platform> {
    file: &'a mut SeqFile,
    engine: &'a Engine<P>,
    when: At,
    at: u32,
    _section: Option<<P::Rcu as Rcu<P>>::Reader<'a>>,
}

impl<'a, P: Platform> Reading<'a, P> {
    #[doc(alias = "exp_seq_start")]
    #[doc(alias = "exp_seq_stop")]
    fn start(file: &'a mut SeqFile, engine: &'a Engine<P>, when: At) -> Self {
        let unsafely = P::slips(Slip::ListsWithoutSection);
        let section = (!unsafely).then(|| engine.rcu.read_lock(when.cpu));
        let mut reading = Self { file, engine, when, at: NULL, _section: section };
        reading.at = reading.get_idx(reading.file.pos);
        reading
    }

    #[doc(alias = "exp_seq_next")]
    fn next(&mut self) {
        self.file.pos += 1;
        self.at = self.get_next(self.at);
    }

    #[doc(alias = "ct_expect_get_first")]
    fn get_first(&mut self) -> u32 {
        let (table, slab) = (self.engine.table(self.file.net), &self.engine.memory.expectations);
        for bucket in 0..table.buckets() {
            self.file.bucket = bucket;
            let first = table.bucket_first(slab, bucket, Access::Rcu);
            if first != NULL {
                return first;
            }
        }
        NULL
    }

    #[doc(alias = "ct_expect_get_next")]
    fn get_next(&mut self, head: u32) -> u32 {
        let (table, slab) = (self.engine.table(self.file.net), &self.engine.memory.expectations);
        let mut head = table.bucket_next(slab, head, Access::Rcu);
        while head == NULL {
            self.file.bucket += 1;
            if self.file.bucket >= table.buckets() {
                return NULL;
            }
            head = table.bucket_first(slab, self.file.bucket, Access::Rcu);
        }
        head
    }

    #[doc(alias = "ct_expect_get_idx")]
    fn get_idx(&mut self, pos: u64) -> u32 {
        let mut head = self.get_first();
        for _ in 0..pos {
            if head == NULL {
                break;
            }
            head = self.get_next(head);
        }
        head
    }

    /// Writes the line, unless it is another namespace's or over; answers whether it did.
    #[doc(alias = "exp_seq_show")]
    fn show(&self, out: &mut dyn Write) -> Result<bool, fmt::Error> {
        let engine = self.engine;
        let exp = engine.memory.expectations.object(self.at);
        let about = exp.about();
        if self.is_left_out(exp, &about) {
            return Ok(false);
        }
        match self.left_secs() {
            None => out.write_str("- ")?,
            Some(left) => write!(out, "{left} ")?,
        }
        let tuple = exp.tuple();
        write!(out, "l3proto = {} proto={} ", tuple.l3.number(), tuple.proto.0)?;
        print_tuple(out, &tuple, &engine.config.revision)?;
        self.show_flags_and_helper(out, &exp, &about)?;
        out.write_char('\n')?;
        Ok(true)
    }

    /// The same line as values.
    fn listed(&self) -> Option<Listed> {
        let exp = self.engine.memory.expectations.object(self.at);
        (!self.is_left_out(exp, &exp.about())).then(|| Listed {
            left_secs: self.left_secs(),
            expectation: self.engine.expect_info(self.at),
        })
    }

    /// Whether it is another namespace's, or over.
    fn is_left_out(&self, exp: Object<'_, Expectation<P>>, about: &About) -> bool {
        let engine = self.engine;
        let elsewhere = engine.config.revision.table == TableScope::Global
            && about.net != self.file.net
            && !P::slips(Slip::ListsOtherNamespaces);
        elsewhere || engine.is_over(self.when, exp)
    }

    fn left_secs(&self) -> Option<i64> {
        let (engine, key) = (self.engine, TimerKey::expectation(self.at));
        let left = || {
            let expires = engine.timers.expires(&engine.memory, key);
            expires.ticks_from(self.when.now) / i64::from(engine.config.hz)
        };
        match engine.config.revision.expiry {
            Expiry::Collected => Some(left().max(0)),
            Expiry::Timer if !engine.timers.has_function(&engine.memory, key) => None,
            Expiry::Timer if engine.timers.is_pending(&engine.memory, key) => Some(left()),
            Expiry::Timer => Some(0),
        }
    }

    fn show_flags_and_helper(
        &self,
        out: &mut dyn Write,
        exp: &Expectation<P>,
        about: &About,
    ) -> fmt::Result {
        let engine = self.engine;
        let flags = Flags(exp.flags.load(Ordering::Relaxed));
        write!(out, "{flags}")?;
        let Some(helper) = engine.shown_helper(about) else {
            return Ok(());
        };
        let helper = engine.helper(helper);
        let space = if flags == Flags::NONE { "" } else { " " };
        write!(out, "{space}{}", helper.name)?;
        let class = helper.policy(about.class).map_or("", |policy| policy.name);
        match engine.config.revision.class_text {
            ClassText::IfNamed if class.is_empty() => Ok(()),
            // KERNEL: exp_seq_show(), v3.9: the name is an array, so it is never NULL.
            _ => write!(out, "/{class}"),
        }
    }
}

/// The tuple as the protocol modules print it: each part ends in a space.
///
/// # Source
/// `print_tuple()` and the `print_tuple` of each protocol, v3.9.
fn print_tuple(out: &mut dyn Write, tuple: &Tuple, revision: &Revision) -> fmt::Result {
    match tuple.l3 {
        L3::Ipv4 => write!(out, "src={} dst={} ", tuple.src.ip(L3::Ipv4), tuple.dst.ip(L3::Ipv4))?,
        L3::Ipv6 => {
            for (name, address) in [("src", tuple.src), ("dst", tuple.dst)] {
                write!(out, "{name}=")?;
                for (place, group) in address.0.as_chunks::<2>().0.iter().enumerate() {
                    let colon = if place == 0 { "" } else { ":" };
                    write!(out, "{colon}{:02x}{:02x}", group[0], group[1])?;
                }
                out.write_char(' ')?;
            }
        }
        L3::Unspec => {}
    }
    match tuple.proto {
        proto if revision.has_ports(proto) => {
            write!(out, "sport={} dport={} ", tuple.sport, tuple.dport)
        }
        Proto::ICMP | Proto::ICMPV6 => {
            let (kind, code) = (tuple.dport >> 8, tuple.dport & 0xff);
            write!(out, "type={kind} code={code} id={} ", tuple.sport)
        }
        Proto::GRE => write!(out, "srckey=0x{:x} dstkey=0x{:x} ", tuple.sport, tuple.dport),
        _ => Ok(()),
    }
}
