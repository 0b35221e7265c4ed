// SPDX-License-Identifier: GPL-2.0-only
//! What the operations of a user and the packets of a transcript do to an engine.
//!
//! *Handle*: the number of an expectation, counted by its event NEW from 1.
//!
//! The engine is not part of it: a [`Player`](super::Player) and the simulator of traces each
//! bring their own, and both let it [`learn`](Host::learn) of every event.

use std::collections::BTreeMap;

use nfexp_model::conn::ConnId;
use nfexp_model::ctnetlink::conntrack::ConnRequest;
use nfexp_model::ctnetlink::dump::{Dump, ExpectInfo};
use nfexp_model::ctnetlink::expect::{IfAbsent, IfPresent};
use nfexp_model::ctnetlink::{ExpectRequest, NatAttr, TupleAttr};
use nfexp_model::errno::Errno;
use nfexp_model::event::{Event as Told, ExpectEventKind, Origin};
use nfexp_model::expectation::ExpectId;
use nfexp_model::kernel::Jiffies;
use nfexp_model::kernel::platform::Platform;
use nfexp_model::netns::{NetId, Zone};
use nfexp_model::tcp_track::TcpTrack;
use nfexp_model::{At, Engine};
use nfexp_traces::transcript::{
    Answer, CtAt, ExpAt, ExpNew, NftExpectation, Operation, Order, Parts, Row, Whose,
};

/// The namespace everything happens in.
pub(crate) const NET: NetId = NetId::INIT;

/// The port of whoever asks.
pub(crate) const USER: Origin = Origin { portid: 1, report: true };

/// How many expectations go into one piece of a listing, as a netlink buffer has room for.
const ROOM: usize = 16;

/// A user, a network beside, and what both remember.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// The `ct expectation` objects of the ruleset.
    pub nft: Vec<NftExpectation>,
    /// Which expectation each handle is.
    handles: Vec<ExpectId>,
    by_id: BTreeMap<ExpectId, u64>,
    /// Where each TCP connection stands.
    pub(super) tcp: BTreeMap<ConnId, TcpTrack>,
}

/// What came of an operation.
#[derive(Debug)]
pub struct Done {
    /// The answer, but for its events.
    pub answer: Answer,
    /// The expectations a listing told of.
    pub told: Vec<ExpectInfo>,
}

impl Host {
    /// A network with these rules.
    #[must_use]
    pub fn new(nft: Vec<NftExpectation>) -> Self {
        Self { nft, ..Self::default() }
    }

    /// Takes note of an event: a new expectation gets its handle.
    pub fn learn(&mut self, event: &Told) {
        if let Told::Expect(event) = event
            && event.kind == ExpectEventKind::New
        {
            self.handles.push(event.id);
            self.by_id.insert(event.id, self.handles.len() as u64);
        }
    }

    /// The handle of an expectation; 0 if it was never told of.
    #[must_use]
    pub fn handle_of(&self, id: ExpectId) -> u64 {
        self.by_id.get(&id).copied().unwrap_or(0)
    }

    /// Does an operation of a user, or forwards a packet; `None` for one that is of neither:
    /// time, the listing in `/proc`, counters.
    pub fn perform<P: Platform>(
        &mut self,
        engine: &Engine<P>,
        at: At,
        operation: &Operation,
    ) -> Option<Done> {
        let mut asked = Asked { host: self, engine, at, told: Vec::new() };
        let answer = asked.perform(operation)?;
        let told = asked.told;
        Some(Done { answer, told })
    }
}

/// An operation on its way.
pub(super) struct Asked<'a, P: Platform> {
    pub(super) host: &'a mut Host,
    pub(super) engine: &'a Engine<P>,
    pub(super) at: At,
    told: Vec<ExpectInfo>,
}

impl<P: Platform> Asked<'_, P> {
    fn perform(&mut self, operation: &Operation) -> Option<Answer> {
        let (engine, at) = (self.engine, self.at);
        Some(match operation {
            Operation::CtNew(new) => {
                let request = ConnRequest {
                    family: new.l3.l3(),
                    orig: new.orig.as_ref().map(attributes),
                    reply: new.reply.as_ref().map(attributes),
                    zone: new.zone,
                    helper: new.helper.as_deref(),
                    mark: new.mark,
                    timeout_secs: new.timeout,
                };
                ret(engine.new_conntrack(at, NET, &request, USER))
            }
            Operation::CtDel(place) => {
                ret(engine.del_conntrack(at, NET, &conn_request(place, None), USER))
            }
            Operation::CtHelp(help) => {
                let request = conn_request(&help.at, help.helper.as_deref());
                ret(engine.change_helper(at, NET, &request))
            }
            Operation::CtFlush(_) => {
                engine.flush_conntrack(at, NET, USER);
                Answer { order: Some(Order::None), ..ret(Ok(())) }
            }
            Operation::CtDump(_) => {
                Answer { dump: Some(super::told::connections(engine)), ..ret(Ok(())) }
            }
            Operation::ExpNew(new) => ret(new_expect(engine, at, new)),
            Operation::ExpGet(place) => self.get(place),
            Operation::ExpDel(place) => {
                let (request, id_of) = self.request_at(place);
                Answer { id_of, ..ret(engine.del_expect(at, NET, &request, USER)) }
            }
            Operation::ExpDelHelper(helper) => {
                let request = ExpectRequest { help_name: Some(&helper.name), ..Default::default() };
                self.flush(&request)
            }
            Operation::ExpFlush(_) => self.flush(&ExpectRequest::default()),
            Operation::ExpDump(which) => self.list(Ok(Dump::all(NET, which.l3.l3()))),
            Operation::ExpDumpMaster(which) => {
                let (family, zone) = (which.l3.l3(), Zone(which.zone.unwrap_or(0)));
                self.list(match which.master.as_ref().map(attributes) {
                    Some(master) => Dump::of_master(engine, NET, family, (master, zone)),
                    None => Ok(Dump::all(NET, family)),
                })
            }
            Operation::Pkt(packet) => {
                let fwd = Some(self.forward(&packet.p, Zone(packet.zone)));
                Answer { fwd, ..Answer::default() }
            }
            Operation::Proc(_)
            | Operation::Stats(_)
            | Operation::Advance(_)
            | Operation::Fill(_)
            | Operation::ExpFlushQuiet(_) => return None,
        })
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
                let found = self.engine.get_expect(self.at, NET, &request);
                found.map_or(0, |info| self.host.handle_of(info.id))
            }
        };
        let place = usize::try_from(handle).ok().and_then(|place| place.checked_sub(1));
        let named = place.and_then(|place| self.host.handles.get(place));
        // 0 is an id that nobody has.
        request.id = Some(named.map_or(0, |id| self.engine.netlink_id(*id)));
        (request, Some(handle))
    }

    fn get(&mut self, place: &ExpAt) -> Answer {
        let (request, id_of) = self.request_at(place);
        let found = self.engine.get_expect(self.at, NET, &request);
        self.told.extend(found.iter());
        let dump = Some(self.told.iter().map(|info| self.row(info)).collect());
        Answer { id_of, dump, ..ret(found.map(|_| ())) }
    }

    fn flush(&self, request: &ExpectRequest<'_>) -> Answer {
        let result = self.engine.del_expect(self.at, NET, request, USER);
        Answer { order: Some(Order::Bucket), ..ret(result) }
    }

    fn list(&mut self, dump: Result<Dump, Errno>) -> Answer {
        let mut dump = match dump {
            Ok(dump) => dump,
            Err(errno) => return Answer { dump: Some(Vec::new()), ..ret(Err(errno)) },
        };
        loop {
            let piece = dump.next_piece(self.engine, self.at, ROOM);
            if piece.is_empty() {
                let rows = self.told.iter().map(|info| self.row(info));
                return Answer { dump: Some(rows.collect()), ..ret(Ok(())) };
            }
            self.told.extend(piece);
        }
    }

    fn row(&self, info: &ExpectInfo) -> Row {
        let to = seconds_left(self.engine, self.at, info.expires);
        Row::Expectation { e: self.host.handle_of(info.id), to }
    }
}

/// Makes or changes an expectation.
pub(super) fn new_expect<P: Platform>(
    engine: &Engine<P>,
    at: At,
    new: &ExpNew,
) -> Result<(), Errno> {
    let nat =
        new.nat.map(|nat| NatAttr { dir: nat.dir, tuple: nat.tuple.as_ref().map(attributes) });
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
    engine.new_expect(at, NET, &request, (absent, present), USER)
}

/// Whole seconds from now, at least none.
pub(crate) fn seconds_left<P: Platform>(engine: &Engine<P>, at: At, expires: Jiffies) -> i64 {
    (expires.ticks_from(at.now) / i64::from(engine.config().hz)).max(0)
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

pub(super) fn ret(result: Result<(), Errno>) -> Answer {
    let name = result.map_or_else(Errno::name, |()| "OK");
    Answer { ret: Some(name.to_owned()), ..Answer::default() }
}
