// SPDX-License-Identifier: GPL-2.0-only
//! The model, answering operations.
//!
//! *Handle*: the number of an expectation, counted by its event NEW from 1.
//!
//! Time stands still but for `advance`: no connection made by a packet ends by age, because a
//! transcript is shorter than any such timeout.

use std::collections::BTreeMap;

use nfexp_model::conn::ConnId;
use nfexp_model::ctnetlink::conntrack::ConnRequest;
use nfexp_model::ctnetlink::dump::Dump;
use nfexp_model::ctnetlink::expect::{IfAbsent, IfPresent};
use nfexp_model::ctnetlink::{ExpectRequest, NatAttr, TupleAttr};
use nfexp_model::errno::Errno;
use nfexp_model::error::NoMemory;
use nfexp_model::event::{Event as Told, Origin};
use nfexp_model::expectation::ExpectId;
use nfexp_model::kernel::{Jiffies, Ticks, Up};
use nfexp_model::netns::{NetId, Zone};
use nfexp_model::proc::SeqFile;
use nfexp_model::revision::Revision;
use nfexp_model::tcp_state::TcpState;
use nfexp_model::{At, Config, Engine};
use nfexp_traces::transcript::{
    Answer, BucketKey, Counters, CtAt, ExpAt, ExpNew, Family, Fill, Header, NftExpectation,
    Operation, Order, Packet, Parts, Row, Whose,
};

pub(super) const NET: NetId = NetId::INIT;

/// The port of whoever asks.
const USER: Origin = Origin { portid: 1, report: true };

/// How many connections there is room for.
const CONNS: u32 = 1 << 15;
/// The largest table there is room for; beyond, memory runs out first.
const LARGEST_TABLE: u32 = 1 << 20;
/// How many expectations go into one piece of a listing, as a netlink buffer has room for.
const ROOM: usize = 16;

/// The model, playing a transcript.
#[derive(Debug)]
pub struct Player {
    pub(super) engine: Engine<Up>,
    pub(super) nft: Vec<NftExpectation>,
    boot: Jiffies,
    pub(super) now: Jiffies,
    /// What each handle is called in the engine, and where in the table it is.
    handles: Vec<(ExpectId, BucketKey)>,
    by_id: BTreeMap<ExpectId, u64>,
    /// Where each TCP connection stands.
    pub(super) tcp: BTreeMap<ConnId, TcpState>,
}

impl Player {
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
            cpus: 1,
            ..Config::SMALL
        };
        let boot = Jiffies::initial(header.hz);
        Ok(Self {
            engine: Engine::new(config)?,
            nft: header.nft.clone(),
            boot,
            now: boot,
            handles: Vec::new(),
            by_id: BTreeMap::new(),
            tcp: BTreeMap::new(),
        })
    }

    /// Does an operation and answers everything that can be seen of it.
    pub fn answer(&mut self, operation: &Operation) -> Answer {
        let mut answer = self.act(operation);
        let quiet = matches!(operation, Operation::Fill(_) | Operation::ExpFlushQuiet(_));
        if quiet {
            answer.ev = Some(Vec::new());
        } else {
            answer.ev = Some(self.take_events());
        }
        self.engine.run_rcu_callbacks();
        answer
    }

    /// The destination of a handle, which decides its bucket.
    #[must_use]
    pub fn bucket_of(&self, handle: u64) -> Option<BucketKey> {
        let place = usize::try_from(handle.checked_sub(1)?).ok()?;
        self.handles.get(place).map(|(_, key)| *key)
    }

    /// The engine, for looking.
    #[must_use]
    pub fn engine(&self) -> &Engine<Up> {
        &self.engine
    }

    pub(super) fn at(&self) -> At {
        At { now: self.now, ..At::default() }
    }

    fn act(&mut self, operation: &Operation) -> Answer {
        let at = self.at();
        match operation {
            Operation::CtNew(new) => {
                let request = ConnRequest {
                    family: new.l3.l3(),
                    orig: new.orig.as_ref().map(attributes),
                    zone: new.zone,
                    helper: new.helper.as_deref(),
                    mark: new.mark,
                    timeout_secs: new.timeout,
                };
                ret(self.engine.new_conntrack(at, NET, &request, USER))
            }
            Operation::CtDel(place) => {
                ret(self.engine.del_conntrack(at, NET, &conn_request(place, None), USER))
            }
            Operation::CtHelp(help) => {
                let request = conn_request(&help.at, help.helper.as_deref());
                ret(self.engine.change_helper(at, NET, &request))
            }
            Operation::CtFlush(_) => {
                self.engine.flush_conntrack(at, NET, USER);
                Answer { order: Some(Order::None), ..ret(Ok(())) }
            }
            Operation::CtDump(_) => Answer { dump: Some(self.connections()), ..ret(Ok(())) },
            Operation::ExpNew(new) => ret(self.new_expect(new)),
            Operation::ExpGet(place) => self.get(place),
            Operation::ExpDel(place) => self.delete(place),
            Operation::ExpDelHelper(helper) => {
                let request = ExpectRequest { help_name: Some(&helper.name), ..Default::default() };
                self.flush(&request)
            }
            Operation::ExpFlush(_) => self.flush(&ExpectRequest::default()),
            Operation::ExpDump(which) => {
                let dump = Dump::all(NET, which.l3.l3());
                Answer { dump: Some(self.list(dump)), ..ret(Ok(())) }
            }
            Operation::ExpDumpMaster(which) => {
                let master = which.master.as_ref().map(attributes).ok_or(Errno::Invalid);
                let zone = Zone(which.zone.unwrap_or(0));
                let dump = master.and_then(|master| {
                    Dump::of_master(&self.engine, NET, which.l3.l3(), (master, zone))
                });
                match dump {
                    Ok(dump) => Answer { dump: Some(self.list(dump)), ..ret(Ok(())) },
                    Err(errno) => Answer { dump: Some(Vec::new()), ..ret(Err(errno)) },
                }
            }
            Operation::Proc(_) => Answer { proc: Some(self.proc_lines()), ..Answer::default() },
            Operation::Stats(_) => Answer { stats: Some(self.counters()), ..Answer::default() },
            Operation::Pkt(packet) => {
                let fwd = Some(self.packet(&packet.p, Zone(packet.zone)));
                Answer { fwd, ..Answer::default() }
            }
            Operation::Advance(advance) => {
                self.advance(advance.to);
                Answer { order: Some(Order::None), ..Answer::default() }
            }
            Operation::Fill(fill) => self.fill(fill),
            Operation::ExpFlushQuiet(_) => {
                let answer = self.flush(&ExpectRequest::default());
                let made = Some(self.take_events().len() as u64);
                Answer { made, errs: Some(BTreeMap::new()), order: None, ..answer }
            }
        }
    }

    // ---- requests about expectations -------------------------------------------------------

    fn new_expect(&self, new: &ExpNew) -> Result<(), Errno> {
        let nat = new
            .nat
            .as_ref()
            .map(|nat| NatAttr { dir: nat.dir, tuple: nat.tuple.as_ref().map(attributes) });
        let request = ExpectRequest {
            family: new.l3.l3(),
            master: new.master.as_ref().map(attributes),
            tuple: new.tuple.as_ref().map(attributes),
            mask: new.mask.as_ref().map(attributes),
            timeout_secs: new.timeout,
            id: None,
            help_name: new.help_name.as_deref(),
            zone: new.zone,
            flags: new.flags,
            class: new.cls,
            nat,
            function: new.function.as_deref(),
        };
        let absent = if new.create { IfAbsent::Create } else { IfAbsent::Fail };
        let present = if new.excl { IfPresent::Fail } else { IfPresent::Change };
        self.engine.new_expect(self.at(), NET, &request, (absent, present), USER)
    }

    /// The request that names one expectation, and the handle whose id it carries.
    fn request_at(&self, place: &ExpAt) -> (ExpectRequest<'static>, Option<u64>) {
        let mut request = ExpectRequest {
            family: place.l3.l3(),
            master: place.master.as_ref().map(attributes),
            tuple: place.tuple.as_ref().map(attributes),
            zone: place.zone,
            ..ExpectRequest::default()
        };
        let Some(id) = place.id else {
            return (request, None);
        };
        let handle = match id.of {
            Whose::Handle(handle) => handle,
            Whose::This => {
                let found = self.engine.get_expect(self.at(), NET, &request).ok();
                found.and_then(|info| self.by_id.get(&info.id)).copied().unwrap_or(0)
            }
        };
        let named = usize::try_from(handle).ok().and_then(|place| place.checked_sub(1));
        let named = named.and_then(|place| self.handles.get(place));
        // 0 is an id that nobody has.
        request.id = Some(named.map_or(0, |(id, _)| self.engine.netlink_id(*id)));
        (request, Some(handle))
    }

    fn get(&self, place: &ExpAt) -> Answer {
        let (request, id_of) = self.request_at(place);
        let found = self.engine.get_expect(self.at(), NET, &request);
        let dump = found.as_ref().map(|info| vec![self.row(info.id, info.expires)]);
        Answer { id_of, dump: Some(dump.unwrap_or_default()), ..ret(found.map(|_| ())) }
    }

    fn delete(&self, place: &ExpAt) -> Answer {
        let (request, id_of) = self.request_at(place);
        Answer { id_of, ..ret(self.engine.del_expect(self.at(), NET, &request, USER)) }
    }

    fn flush(&self, request: &ExpectRequest<'_>) -> Answer {
        let result = self.engine.del_expect(self.at(), NET, request, USER);
        Answer { order: Some(Order::Bucket), ..ret(result) }
    }

    fn list(&self, mut dump: Dump) -> Vec<Row> {
        let mut rows = Vec::new();
        loop {
            let piece = dump.next_piece(&self.engine, self.at(), ROOM);
            if piece.is_empty() {
                return rows;
            }
            rows.extend(piece.iter().map(|info| self.row(info.id, info.expires)));
        }
    }

    fn row(&self, id: ExpectId, expires: Jiffies) -> Row {
        let e = self.by_id.get(&id).copied().unwrap_or(0);
        Row::Expectation { e, to: self.seconds_left(expires) }
    }

    /// Whole seconds from now, at least none.
    pub(super) fn seconds_left(&self, expires: Jiffies) -> i64 {
        (expires.ticks_from(self.now) / i64::from(self.engine.config().hz)).max(0)
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
        let ticks = u128::from(to_ms) * u128::from(self.engine.config().hz) / 1000;
        let to = self.boot.after(Ticks(u64::try_from(ticks).unwrap_or(u64::MAX >> 1)));
        if to.time_after(self.now) {
            self.now = to;
        }
        while let Some(firing) = self.engine.expire(self.now) {
            self.engine.timed_out(self.at(), firing);
        }
    }

    fn fill(&mut self, fill: &Fill) -> Answer {
        let mut errs = BTreeMap::new();
        let ip = |text: &str| text.parse().expect("a literal address");
        let (client, server) = (Some(ip("10.0.0.1")), Some(ip("10.0.0.2")));
        for m in 0..fill.masters {
            let udp = Parts { proto: Some(17), ..Parts::default() };
            let port = |number: u32| Some(number as u16);
            let (sport, dport) = (port(1000 + m), Some(1719));
            let master = Parts { src: client, dst: server, sport, dport, ..udp };
            let request = ConnRequest {
                family: Family::Ip.l3(),
                orig: Some(attributes(&master)),
                helper: Some("RAS"),
                timeout_secs: Some(3600),
                ..ConnRequest::default()
            };
            // Its own answer is not among those that are counted.
            let _ = self.engine.new_conntrack(self.at(), NET, &request, USER);
            for j in 0..fill.per {
                let dport = port(1 + m.wrapping_mul(fill.per).wrapping_add(j));
                let tuple = Parts { src: server, dst: client, sport: Some(0), dport, ..udp };
                let ones = Some(ip("255.255.255.255"));
                let (sport, dport) = (Some(0), Some(0xffff));
                let mask = Parts { src: ones, dst: ones, sport, dport, ..udp };
                let (master, tuple, mask) = (Some(master), Some(tuple), Some(mask));
                let new = ExpNew { master, tuple, mask, ..ExpNew::default() };
                let ret = self.new_expect(&new).map_or_else(Errno::name, |()| "OK");
                *errs.entry(ret.to_owned()).or_insert(0) += 1;
            }
            self.engine.run_rcu_callbacks();
        }
        let events = self.take_events();
        let news = events.iter().filter(|event| super::told::is_new_expectation(event));
        Answer { made: Some(news.count() as u64), errs: Some(errs), ..Answer::default() }
    }

    // ---- what is told -----------------------------------------------------------------------

    /// The events since the last call, with handles.
    fn take_events(&mut self) -> Vec<nfexp_traces::transcript::Event> {
        let mut events = Vec::new();
        while let Some(event) = self.engine.poll_event() {
            if let Told::Expect(event) = &event
                && event.kind == nfexp_model::event::ExpectEventKind::New
            {
                let l3 = Family::of(event.tuple.l3);
                let key = BucketKey::of(l3, &Parts::of(&event.tuple));
                self.handles.push((event.id, key));
                self.by_id.insert(event.id, self.handles.len() as u64);
            }
            events.push(self.told(&event));
        }
        events
    }

    pub(super) fn handle_of(&self, id: ExpectId) -> u64 {
        self.by_id.get(&id).copied().unwrap_or(0)
    }

    /// A helper reads a packet or a rule applies to it: see `packet`.
    fn packet(&mut self, packet: &Packet, zone: Zone) -> bool {
        self.forward(packet, zone)
    }
}

fn conn_request<'a>(place: &CtAt, helper: Option<&'a str>) -> ConnRequest<'a> {
    ConnRequest {
        family: place.l3.l3(),
        orig: place.orig.as_ref().map(attributes),
        zone: place.zone,
        helper,
        ..ConnRequest::default()
    }
}

/// The attributes as the model takes them.
pub(super) fn attributes(parts: &Parts) -> TupleAttr {
    TupleAttr {
        src: parts.src,
        dst: parts.dst,
        proto: parts.proto,
        sport: parts.sport,
        dport: parts.dport,
        icmp_id: parts.id,
        icmp_type: parts.kind,
        icmp_code: parts.code,
    }
}

fn ret(result: Result<(), Errno>) -> Answer {
    let name = result.map_or_else(Errno::name, |()| "OK");
    Answer { ret: Some(name.to_owned()), ..Answer::default() }
}
