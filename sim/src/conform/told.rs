// SPDX-License-Identifier: GPL-2.0-only
//! The model's events and connections, as a transcript writes them.

use nfexp_model::conn::{Attached, ConnId, Status};
use nfexp_model::ctnetlink::dump::{ShownNat, shown_mask};
use nfexp_model::event::{ConnEvent, ConnEventKind, Event as Told, ExpectEvent, ExpectEventKind};
use nfexp_model::kernel::platform::Platform;
use nfexp_model::revision::Revision;
use nfexp_model::tuple::Tuple;
use nfexp_model::{At, Engine};
use nfexp_traces::transcript::{Event, Family, NatArg, Parts, Row};

use super::host::{Host, NET, seconds_left};

pub(super) fn is_new_expectation(event: &Event) -> bool {
    matches!(event, Event::ExpNew { .. })
}

fn boxed(tuple: &Tuple, revision: &Revision) -> Box<Parts> {
    Box::new(Parts::of(tuple, revision))
}

/// An event, with the handle the host gave its expectation.
pub(super) fn told<P: Platform>(engine: &Engine<P>, at: At, host: &Host, event: &Told) -> Event {
    match event {
        Told::Expect(event) => expectation(engine, at, host, event),
        Told::Conn(event) => connection(event, &engine.config().revision),
    }
}

fn expectation<P: Platform>(engine: &Engine<P>, at: At, host: &Host, event: &ExpectEvent) -> Event {
    let (rep, e) = (event.origin.portid != 0, host.handle_of(event.id));
    let to = seconds_left(engine, at, event.expires);
    if event.kind != ExpectEventKind::New {
        return Event::ExpDestroy { rep, e, to };
    }
    let revision = &engine.config().revision;
    let nat = event.nat.and_then(|nat| ShownNat::of(nat, &event.master_tuple));
    Event::ExpNew {
        rep,
        e,
        l3: Family::of(event.tuple.l3),
        tuple: boxed(&event.tuple, revision),
        mask: boxed(&shown_mask(&event.mask, &event.tuple), revision),
        master: boxed(&event.master_tuple, revision),
        to,
        fl: event.flags.0,
        cl: event.class.number().into(),
        helper: event.helper.map(|helper| engine.helper(helper).name.to_owned()),
        nat: nat.map(|nat| {
            let tuple = Some(Parts::of(&nat.tuple, revision));
            Box::new(NatArg { dir: Some(nat.dir), tuple })
        }),
        function: event.expectfn.and_then(|function| function.name()).map(str::to_owned),
    }
}

fn connection(event: &ConnEvent, revision: &Revision) -> Event {
    let rep = event.origin.portid != 0;
    let l3 = Family::of(event.original.l3);
    let (orig, zone) = (boxed(&event.original, revision), event.zone.0);
    match event.kind {
        ConnEventKind::New => Event::CtNew {
            rep,
            l3,
            orig,
            expected: event.status.has(Status::EXPECTED),
            zone,
            master: event.master.map(|(_, tuple)| boxed(&tuple, revision)),
        },
        ConnEventKind::Destroy => Event::CtDestroy { rep, l3, orig, zone },
    }
}

/// Every connection, as a listing shows it.
pub(super) fn connections<P: Platform>(engine: &Engine<P>) -> Vec<Row> {
    let revision = &engine.config().revision;
    let row = |id: ConnId| {
        let (about, status) = (engine.conn(id).about(), engine.conn(id).status());
        let helper = match engine.attached_of(id) {
            Attached::Helper(helper) => Some(engine.helper(helper).name.to_owned()),
            _ => None,
        };
        Row::Connection {
            l3: Family::of(about.original.l3),
            orig: boxed(&about.original, revision),
            expected: status.has(Status::EXPECTED),
            zone: engine.place_of(id).1.0,
            mark: about.mark,
            helper,
            master: about.master.map(|master| boxed(&engine.place_of(master).0, revision)),
        }
    };
    engine.conns_of(NET).into_iter().map(row).collect()
}
