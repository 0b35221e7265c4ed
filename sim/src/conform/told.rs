// SPDX-License-Identifier: GPL-2.0-only
//! The model's events and connections, as a transcript writes them.

use nfexp_model::conn::{Attached, Status};
use nfexp_model::ctnetlink::dump::{ShownNat, shown_mask};
use nfexp_model::event::{ConnEvent, ConnEventKind, Event as Told, ExpectEvent, ExpectEventKind};
use nfexp_traces::transcript::{Event, Family, NatArg, Parts, Row};

use super::player::{NET, Player};

pub(super) fn is_new_expectation(event: &Event) -> bool {
    matches!(event, Event::ExpNew { .. })
}

fn boxed(tuple: &nfexp_model::tuple::Tuple) -> Box<Parts> {
    Box::new(Parts::of(tuple))
}

impl Player {
    pub(super) fn told(&self, event: &Told) -> Event {
        match event {
            Told::Expect(event) => self.told_expectation(event),
            Told::Conn(event) => told_connection(event),
        }
    }

    fn told_expectation(&self, event: &ExpectEvent) -> Event {
        let (rep, e) = (event.origin.portid != 0, self.handle_of(event.id));
        let to = self.seconds_left(event.expires);
        if event.kind != ExpectEventKind::New {
            return Event::ExpDestroy { rep, e, to };
        }
        let nat = event.nat.and_then(|nat| ShownNat::of(nat, &event.master_tuple));
        Event::ExpNew {
            rep,
            e,
            l3: Family::of(event.tuple.l3),
            tuple: boxed(&event.tuple),
            mask: boxed(&shown_mask(&event.mask, &event.tuple)),
            master: boxed(&event.master_tuple),
            to,
            fl: event.flags.0,
            cl: event.class.number().into(),
            helper: event.helper.map(|helper| self.engine.helper(helper).name.to_owned()),
            nat: nat.map(|nat| {
                let tuple = Some(Parts::of(&nat.tuple));
                Box::new(NatArg { dir: Some(nat.dir.into()), tuple })
            }),
            function: event.expectfn.and_then(|function| function.name()).map(str::to_owned),
        }
    }

    /// Every connection, as a listing shows it.
    pub(super) fn connections(&self) -> Vec<Row> {
        let row = |id| {
            let (about, status) = (self.engine.conn(id).about(), self.engine.conn(id).status());
            let helper = match self.engine.attached_of(id) {
                Attached::Helper(helper) => Some(self.engine.helper(helper).name.to_owned()),
                _ => None,
            };
            let master = about.master.map(|master| boxed(&self.engine.place_of(master).0));
            Row::Connection {
                l3: Family::of(about.original.l3),
                orig: boxed(&about.original),
                expected: status.has(Status::EXPECTED),
                zone: self.engine.place_of(id).1.0,
                mark: about.mark,
                helper,
                master,
            }
        };
        self.engine.conns_of(NET).into_iter().map(row).collect()
    }
}

fn told_connection(event: &ConnEvent) -> Event {
    let rep = event.origin.portid != 0;
    let (l3, orig, zone) = (Family::of(event.original.l3), boxed(&event.original), event.zone.0);
    match event.kind {
        ConnEventKind::New => Event::CtNew {
            rep,
            l3,
            orig,
            expected: event.status.has(Status::EXPECTED),
            zone,
            master: event.master.map(|(_, tuple)| boxed(&tuple)),
        },
        ConnEventKind::Destroy => Event::CtDestroy { rep, l3, orig, zone },
    }
}
