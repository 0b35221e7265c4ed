// SPDX-License-Identifier: GPL-2.0-only
//! The running kernel as one that answers operations.
//!
//! *Handle*: 1, 2, 3… in the order in which the kernel told of expectations; its own ids are
//! keyed hashes. *Epoch*: the operations between two advances.
//!
//! ```text
//! operation ──▶ netlink request, packet or file ──▶ return code, dump, rows
//!                        └── queued before it returns ──▶ events, drained, with handles
//! ```
//!
//! The rule that matters: after each operation the listener is drained, so each event stands
//! with the operation that caused it, in the kernel's order.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nfexp_traces::transcript::{
    Answer, Counters, CtAt, CtNew, DumpMaster, Event, ExpAt, ExpNew, Family, NftExpectation,
    Operation, Order, PacketArgs, Row, Whose,
};
use nix::errno::Errno;
use nix::sys::socket::SockProtocol;

use super::ctnetlink::{self, CONNTRACK, DELETE, EXPECTATION, GET, NEW};
use super::filling;
use super::handles::Handles;
use super::masters;
use super::namespace::{Lacking, Namespace};
use super::netlink::{ACK, CREATE, DUMP, EXCL, Message, Writer};
use super::procfs;
use super::socket::{Link, Listener};
use super::wire;

/// How long an epoch may take until a deadline could be on the wrong side of it.
pub const EPOCH: Duration = Duration::from_millis(300);

/// Why an operation could not be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// An epoch took too long: the run says nothing and is repeated.
    Slow,
    /// The operation makes no sense to a kernel.
    Operation(String),
    /// The kernel or the machine would not.
    System(String),
}

impl From<Errno> for Trouble {
    fn from(errno: Errno) -> Self {
        Self::System(format!("netlink: {errno}"))
    }
}

/// A namespace of the running kernel, ready for operations.
#[derive(Debug)]
pub struct Kernel {
    namespace: Namespace,
    link: Link,
    listener: Listener,
    handles: Handles,
    before: Counters,
    started: Instant,
    now_ms: u64,
}

impl Kernel {
    /// Moves the calling thread into a namespace of its own.
    ///
    /// # Errors
    /// What the kernel lacks, in one sentence.
    pub fn enter(objects: &[NftExpectation]) -> Result<Self, Lacking> {
        let namespace = Namespace::enter(objects)?;
        let open = |errno| Lacking::step("cannot open a netfilter netlink socket", errno);
        let link = Link::new(SockProtocol::NetlinkNetFilter).map_err(open)?;
        let listener = Listener::new(ctnetlink::GROUPS).map_err(open)?;
        let mut kernel = Self {
            namespace,
            link,
            listener,
            handles: Handles::default(),
            before: Counters::default(),
            started: clock(),
            now_ms: 0,
        };
        kernel.need_helpers()?;
        kernel.restart().map_err(|trouble| {
            Lacking(format!("the kernel does not answer ctnetlink: {trouble:?}"))
        })?;
        Ok(kernel)
    }

    /// Attaches each helper once: the module of one that is not built in is loaded by that.
    fn need_helpers(&mut self) -> Result<(), Lacking> {
        for new in masters::one_of_each() {
            let name = new.helper.as_deref().unwrap_or_default();
            self.ct_new(&new).map_err(|errno| {
                Lacking::step(&format!("cannot attach the helper {name}"), errno)
            })?;
        }
        Ok(())
    }

    /// Empties both tables and begins again at time 0, with handle 1 and all counters at 0.
    ///
    /// # Errors
    /// If the kernel would not.
    pub fn restart(&mut self) -> Result<(), Trouble> {
        self.request(CONNTRACK | DELETE, 0, 0, |_| ())?;
        self.listener.drain(|_| ())?;
        self.handles = Handles::default();
        self.before = Counters::default();
        self.before = self.stats()?;
        self.before.entries = 0;
        self.started = clock();
        self.now_ms = 0;
        Ok(())
    }

    /// Virtual time: where the last advance led.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Carries an operation out.
    ///
    /// # Errors
    /// If the epoch took too long, or the operation cannot be carried out at all.
    pub fn answer(&mut self, operation: &Operation) -> Result<Answer, Trouble> {
        let mut answer = self.act(operation)?;
        if !matches!(operation, Operation::Fill(_) | Operation::ExpFlushQuiet(_)) {
            answer.ev = Some(self.events()?);
        } else {
            answer.ev = Some(Vec::new());
        }
        let patience = if matches!(operation, Operation::Fill(_)) { EPOCH * 5 } else { EPOCH };
        if clock().duration_since(self.started) > Duration::from_millis(self.now_ms) + patience {
            return Err(Trouble::Slow);
        }
        Ok(answer)
    }

    fn act(&mut self, operation: &Operation) -> Result<Answer, Trouble> {
        let bucket = || Some(Order::Bucket);
        let unordered = || Some(Order::None);
        Ok(match operation {
            Operation::CtNew(new) => returned(self.ct_new(new)),
            Operation::CtDel(key) => returned(self.ct_key(DELETE, key, None)),
            Operation::CtHelp(help) => returned(self.ct_key(NEW, &help.at, help.helper.as_deref())),
            Operation::CtFlush(_) => {
                let flushed = self.request(CONNTRACK | DELETE, 0, 0, |_| ());
                Answer { order: unordered(), ..returned(flushed) }
            }
            Operation::CtDump(_) => self.ct_dump(),
            Operation::ExpNew(new) => returned(self.exp_new(new)),
            Operation::ExpGet(key) => self.exp_get(key)?,
            Operation::ExpDel(key) => self.exp_del(key)?,
            Operation::ExpDelHelper(helper) => {
                let deleted = self.request(EXPECTATION | DELETE, 0, 0, |writer| {
                    ctnetlink::put_helper_name(writer, &helper.name);
                });
                Answer { order: bucket(), ..returned(deleted) }
            }
            Operation::ExpFlush(_) => {
                let flushed = self.request(EXPECTATION | DELETE, 0, 0, |_| ());
                Answer { order: bucket(), ..returned(flushed) }
            }
            Operation::ExpDump(all) => self.exp_dump(all.l3, |_| ()),
            Operation::ExpDumpMaster(DumpMaster { l3, master, zone }) => {
                let key = ExpAt { l3: *l3, zone: *zone, master: *master, ..ExpAt::default() };
                self.exp_dump(*l3, |writer| ctnetlink::put_expectation_key(writer, &key, None))
            }
            Operation::Proc(_) => Answer { proc: Some(self.proc()?), ..Answer::default() },
            Operation::Stats(_) => Answer { stats: Some(self.stats()?), ..Answer::default() },
            Operation::Pkt(packet) => {
                Answer { fwd: Some(self.packet(packet)?), ..Answer::default() }
            }
            Operation::Advance(advance) => {
                self.advance(advance.to)?;
                Answer { order: unordered(), ..Answer::default() }
            }
            Operation::Fill(fill) => self.fill(fill.masters, fill.per)?,
            Operation::ExpFlushQuiet(_) => {
                let flushed = self.request(EXPECTATION | DELETE, 0, 0, |_| ());
                let made = u64::try_from(self.events()?.len()).unwrap_or_default();
                Answer { made: Some(made), errs: Some(BTreeMap::new()), ..returned(flushed) }
            }
        })
    }

    fn request(
        &mut self,
        kind: u16,
        flags: u16,
        family: u8,
        attributes: impl FnOnce(&mut Writer),
    ) -> Result<(), Errno> {
        self.ask(kind, flags | ACK, family, attributes, |_| ())
    }

    fn ask(
        &mut self,
        kind: u16,
        flags: u16,
        family: u8,
        attributes: impl FnOnce(&mut Writer),
        heard: impl FnMut(&Message<'_>),
    ) -> Result<(), Errno> {
        let mut writer = Writer::default();
        writer.begin_netfilter(kind, flags, self.link.next_sequence(), family, 0);
        attributes(&mut writer);
        self.link.ask(&writer.finish(), heard)
    }

    fn ct_new(&mut self, new: &CtNew) -> Result<(), Errno> {
        let family = ctnetlink::family_number(new.l3);
        self.request(CONNTRACK | NEW, CREATE | EXCL, family, |writer| {
            ctnetlink::put_conntrack(writer, new)
        })
    }

    fn ct_key(&mut self, verb: u16, key: &CtAt, helper: Option<&str>) -> Result<(), Errno> {
        let family = ctnetlink::family_number(key.l3);
        self.request(CONNTRACK | verb, 0, family, |writer| {
            ctnetlink::put_conntrack_key(writer, key, helper);
        })
    }

    fn ct_dump(&mut self) -> Answer {
        let mut rows = Vec::new();
        let asked = self.ask(
            CONNTRACK | GET,
            DUMP | ACK,
            0,
            |_| (),
            |message| {
                let ct = ctnetlink::conntrack(message.attributes());
                rows.push(Row::Connection {
                    l3: ctnetlink::family_of(message.family()),
                    orig: Box::new(ct.orig),
                    expected: ct.expected,
                    zone: ct.zone,
                    mark: ct.mark,
                    helper: ct.helper,
                    master: ct.master.map(Box::new),
                });
            },
        );
        Answer { dump: Some(rows), ..returned(asked) }
    }

    fn exp_new(&mut self, new: &ExpNew) -> Result<(), Errno> {
        let flag = |wanted: bool, flag| if wanted { flag } else { 0 };
        let flags = flag(new.excl, EXCL) | flag(new.create, CREATE);
        let family = ctnetlink::family_number(new.l3);
        self.request(EXPECTATION | NEW, flags, family, |writer| {
            ctnetlink::put_expectation(writer, new)
        })
    }

    fn exp_get(&mut self, key: &ExpAt) -> Result<Answer, Trouble> {
        let (id, id_of) = self.id_for(key)?;
        let (got, found) = self.lookup(key, id);
        let rows = found.iter().map(|(id, timeout)| self.handles.row(*id, *timeout)).collect();
        Ok(Answer { id_of, dump: Some(rows), ..returned(got) })
    }

    fn exp_del(&mut self, key: &ExpAt) -> Result<Answer, Trouble> {
        let (id, id_of) = self.id_for(key)?;
        let family = ctnetlink::family_number(key.l3);
        let deleted = self.request(EXPECTATION | DELETE, 0, family, |writer| {
            ctnetlink::put_expectation_key(writer, key, id);
        });
        // Without a tuple it is a flush.
        let order = key.tuple.is_none().then_some(Order::Bucket);
        Ok(Answer { id_of, order, ..returned(deleted) })
    }

    fn lookup(&mut self, key: &ExpAt, id: Option<u32>) -> (Result<(), Errno>, Vec<(u32, u32)>) {
        let family = ctnetlink::family_number(key.l3);
        let mut found = Vec::new();
        let got = self.ask(
            EXPECTATION | GET,
            ACK,
            family,
            |writer| ctnetlink::put_expectation_key(writer, key, id),
            |message| {
                let exp = ctnetlink::expectation(message.attributes());
                found.push((exp.id, exp.timeout_secs));
            },
        );
        (got, found)
    }

    /// Which id is sent, and whose it is.
    fn id_for(&mut self, key: &ExpAt) -> Result<(Option<u32>, Option<u64>), Trouble> {
        let Some(id) = &key.id else { return Ok((None, None)) };
        match &id.of {
            Whose::This => {
                let (_, found) = self.lookup(key, None);
                let handle = found.first().and_then(|(id, _)| self.handles.live.get(id)).copied();
                let id = handle.and_then(|handle| self.handles.ids.get(&handle)).copied();
                Ok((Some(id.unwrap_or_else(|| self.handles.stranger())), Some(handle.unwrap_or(0))))
            }
            Whose::Handle(handle) => {
                let id = self.handles.ids.get(handle).copied();
                // The kernel hands ids out again: a dead one's id must not find a living one.
                let own =
                    id.filter(|id| self.handles.live.get(id).is_none_or(|live| live == handle));
                Ok((Some(own.unwrap_or_else(|| self.handles.stranger())), Some(*handle)))
            }
        }
    }

    fn exp_dump(&mut self, family: Family, attributes: impl FnOnce(&mut Writer)) -> Answer {
        let mut found = Vec::new();
        let family = ctnetlink::family_number(family);
        let asked = self.ask(EXPECTATION | GET, DUMP | ACK, family, attributes, |message| {
            let exp = ctnetlink::expectation(message.attributes());
            found.push((exp.id, exp.timeout_secs));
        });
        let rows = found.iter().map(|(id, timeout)| self.handles.row(*id, *timeout)).collect();
        Answer { dump: Some(rows), ..returned(asked) }
    }

    /// The listing, read until two readings agree and have as many lines as the dump has rows:
    /// a reading resumes by its place in a table that all namespaces share.
    fn proc(&mut self) -> Result<Vec<(i64, String)>, Trouble> {
        let mut last = procfs::listing().map_err(Trouble::System)?;
        for _ in 0..200 {
            let next = procfs::listing().map_err(Trouble::System)?;
            let rows = self.exp_dump(Family::Any, |_| ()).dump.map_or(0, |rows| rows.len());
            let same = last.iter().map(|row| &row.1).eq(next.iter().map(|row| &row.1));
            if same && next.len() == rows {
                return Ok(next);
            }
            last = next;
        }
        // Others are too busy with the table.
        Err(Trouble::Slow)
    }

    fn stats(&self) -> Result<Counters, Trouble> {
        let sums = procfs::counters().map_err(Trouble::System)?;
        Ok(Counters {
            expect_new: sums.expect_new - self.before.expect_new,
            expect_create: sums.expect_create - self.before.expect_create,
            expect_delete: sums.expect_delete - self.before.expect_delete,
            entries: sums.entries,
        })
    }

    fn packet(&mut self, packet: &PacketArgs) -> Result<bool, Trouble> {
        let bytes = wire::bytes(&packet.p)
            .ok_or_else(|| Trouble::Operation(format!("cannot make a packet of {packet:?}")))?;
        self.namespace
            .send(packet.zone, &bytes)
            .map_err(|error| Trouble::System(format!("tun device: {error}")))
    }

    fn advance(&mut self, to_ms: u64) -> Result<(), Trouble> {
        if to_ms < self.now_ms {
            return Err(Trouble::Operation(format!(
                "advance to {to_ms} ms, expected {} or later",
                self.now_ms
            )));
        }
        self.now_ms = to_ms;
        let elapsed = clock().duration_since(self.started);
        sleep(Duration::from_millis(to_ms).saturating_sub(elapsed));
        Ok(())
    }

    fn fill(&mut self, masters: u32, per: u32) -> Result<Answer, Trouble> {
        let mut errs: BTreeMap<String, u64> = BTreeMap::new();
        let mut made = 0;
        for number in 0..masters {
            let (master, expected) = filling(number, per);
            let name = Some("RAS".to_owned());
            let new =
                CtNew { orig: Some(master), helper: name, timeout: Some(3600), ..CtNew::default() };
            let _ = self.ct_new(&new);
            for new in expected {
                let result = self.exp_new(&new);
                made += u64::from(result.is_ok());
                *errs.entry(name_of(result)).or_default() += 1;
            }
            self.events()?;
        }
        Ok(Answer { made: Some(made), errs: Some(errs), ..Answer::default() })
    }

    fn events(&mut self) -> Result<Vec<Event>, Trouble> {
        let Self { listener, handles, link, .. } = self;
        let mut events = Vec::new();
        listener.drain(|message| events.extend(handles.event(message, link.port())))?;
        Ok(events)
    }
}

fn returned(result: Result<(), Errno>) -> Answer {
    Answer { ret: Some(name_of(result)), ..Answer::default() }
}

fn name_of(result: Result<(), Errno>) -> String {
    match result {
        Ok(()) => "OK".to_owned(),
        Err(errno) => format!("{errno:?}"),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the running kernel has its own clock, and this is where it is met"
)]
pub(super) fn clock() -> Instant {
    Instant::now()
}
