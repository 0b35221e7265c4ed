// SPDX-License-Identifier: GPL-2.0-only
//! A capture's announcements and connections, by the helpers and an engine without limits.

use std::collections::BTreeMap;
use std::io::Read;

use nfexp_model::conn::ConnId;
use nfexp_model::event::{Cause, ConnEventKind, Event, ExpectEvent, ExpectEventKind};
use nfexp_model::expectation::{ExpectId, Flags};
use nfexp_model::revision::Revision;
use nfexp_model::tuple::{Mask, Tuple};
use nfexp_traces::capture::Capture;

use super::{At, Gather, Recorded, Told};
use crate::forward::Router;
use crate::replay::{Happening, Pace, Replay};
use crate::research::cast::unlimited;
use crate::research::workload::Micros;
use crate::settings::Settings;

/// So many at once that no capture meets the limit.
const EXPECT_MAX: u32 = 1 << 16;

pub(super) fn read(file: impl Read + Send + 'static, options: &str) -> Result<Recorded, String> {
    let mut settings = Settings::of(Revision::LINUX_6_18, None, Some(EXPECT_MAX));
    let mut pace = Pace::CAPTURED;
    settings.apply(options, &mut pace)?;
    settings.config.helpers = unlimited(&settings.config.helpers);
    let selection = settings.selection.clone();
    let router = Router::new(settings).map_err(|error| error.to_string())?;
    let mut replay = Replay::new(router, pace, selection, false);
    let mut capture = Capture::new(file).map_err(|error| error.to_string())?;
    let mut listener = Listener { gather: Gather::new(), open: BTreeMap::new() };
    let mut hear =
        |router: &mut Router, happening: &Happening<'_>| listener.hear(router, happening);
    while let Some(frame) = capture.next_packet().map_err(|error| error.to_string())? {
        replay.packet(&frame, &mut hear);
    }
    replay.finish(&mut hear);
    let span = micros(replay.since_ns());
    Ok(listener.gather.finish(span))
}

fn micros(nanoseconds: i64) -> Micros {
    u64::try_from(nanoseconds / 1000).unwrap_or(0)
}

struct Listener {
    gather: Gather<ConnId>,
    /// What is linked.
    open: BTreeMap<ExpectId, Linked>,
}

#[derive(Clone, Copy, Debug)]
struct Linked {
    at: At,
    master: ConnId,
    /// What it lets in again and again, if it stays.
    stays: Option<(Tuple, Mask)>,
}

impl Listener {
    fn hear(&mut self, router: &Router, happening: &Happening<'_>) {
        let now = micros(happening.since_ns);
        for event in happening.events {
            match event {
                Event::Expect(event) => self.expect(router, now, event),
                Event::Conn(event) if event.kind == ConnEventKind::Destroy => {
                    self.gather.closed(&event.id, now);
                }
                Event::Conn(event) => {
                    let Some((master, _)) = event.master else { continue };
                    // A one-shot one said so itself, when it ended.
                    let hit = self.open.values().find(|linked| {
                        let lets_in =
                            |(tuple, mask): &(Tuple, Mask)| event.original.matches(tuple, mask);
                        linked.master == master && linked.stays.as_ref().is_some_and(lets_in)
                    });
                    if let Some(Linked { at, .. }) = hit {
                        self.gather.arrived(*at, now);
                    }
                }
            }
        }
    }

    fn expect(&mut self, router: &Router, now: Micros, event: &ExpectEvent) {
        match event.kind {
            ExpectEventKind::New => {
                let engine = router.engine();
                let hz = i64::from(engine.config().hz);
                let secs = (event.expires.ticks_from(router.now()) + hz - 1) / hz;
                let permanent = event.flags.has(Flags::PERMANENT);
                let told = Told {
                    source: event.master_tuple.src.bits(),
                    zone: event.zone.0,
                    helper: event.helper.map_or("", |id| engine.helper(id).name),
                    class: event.class.number(),
                    permanent,
                    wide: event.mask.src.bits() == 0,
                    secs: u32::try_from(secs).unwrap_or(0),
                    whom: format!("{:?} {:?}", event.tuple, event.mask),
                };
                let at = self.gather.said(now, event.master, &told);
                let stays = permanent.then_some((event.tuple, event.mask));
                self.open.insert(event.id, Linked { at, master: event.master, stays });
            }
            ExpectEventKind::Destroy(cause) => {
                let Some(Linked { at, .. }) = self.open.remove(&event.id) else { return };
                match cause {
                    Cause::Match => self.gather.arrived(at, now),
                    Cause::Unexpect | Cause::Delete | Cause::Flush => {
                        self.gather.withdrawn(at, now);
                    }
                    Cause::Expiry
                    | Cause::Eviction
                    | Cause::Refresh
                    | Cause::MasterGone
                    | Cause::HelperGone
                    | Cause::NamespaceExit => {}
                }
                self.gather.ended(at, now);
            }
        }
    }
}
