// SPDX-License-Identifier: GPL-2.0-only
//! What happened at each packet, one line each.
//!
//! ```text
//! packet 35  ftp 227 Entering Passive Mode → expects tcp 192.168.1.212:* → 90.130.70.73:25685, 300 s
//! packet 36  tcp 192.168.1.212:1434 → 90.130.70.73:25685: expected by ftp
//! ```

use std::fmt::Write;

use nfexp_model::event::{Cause, ConnEvent, ConnEventKind, Event, ExpectEvent, ExpectEventKind};
use nfexp_model::tuple::Tuple;
use nfexp_traces::capture::Frame;
use nfexp_traces::packet::{datagram, packet};

use super::target;
use crate::forward::Router;
use crate::replay::Happening;

/// The longest first line of a payload that is shown.
const SHOWN: usize = 48;

/// The line of a happening, or nothing where nothing happened that concerns expectations.
#[must_use]
pub fn line(
    router: &Router,
    happening: &Happening<'_>,
    frame: Option<&Frame<'_>>,
) -> Option<String> {
    let told = told(router, happening);
    if told.is_empty() {
        return None;
    }
    let place = if happening.between { "after packet" } else { "packet" };
    let mut line = format!("{place} {}  ", happening.packet);
    let said = frame.filter(|_| !happening.between).and_then(said);
    if let Some(said) = said.filter(|said| !said.is_empty()) {
        let _ = write!(line, "{said} → ");
    }
    line.push_str(&told.join("; "));
    Some(line)
}

/// What happened, one thing after the other, as far as it concerns expectations.
#[must_use]
pub fn told(router: &Router, happening: &Happening<'_>) -> Vec<String> {
    let mut told: Vec<String> = Vec::new();
    for event in happening.events {
        match event {
            Event::Expect(event) => told.push(expect(router, event)),
            Event::Conn(event) => told.extend(conn(router, event)),
        }
    }
    for id in happening.retimed {
        let (expires, _) = router.engine().timer(*id);
        let secs = expires.ticks_from(router.now()) / i64::from(router.engine().config().hz);
        told.push(format!(
            "another {secs} s for {}",
            arrow(&router.engine().expectation(*id).tuple())
        ));
    }
    if happening.letter == '-' && told.is_empty() {
        told.push("dropped".to_owned());
    }
    told
}

fn expect(router: &Router, event: &ExpectEvent) -> String {
    let target = target(&event.tuple, &event.mask).replace(" > ", " → ");
    let flags = event.flags.to_string();
    let flags = if flags.is_empty() { flags } else { format!(", {}", flags.to_lowercase()) };
    match event.kind {
        ExpectEventKind::New => {
            let hz = i64::from(router.engine().config().hz);
            let secs = event.expires.ticks_from(router.now()) / hz;
            format!("expects {target}, {secs} s{flags}")
        }
        ExpectEventKind::Destroy(Cause::Match) => format!("{target} has come"),
        ExpectEventKind::Destroy(cause) => format!("no longer expects {target}: {}", cause.word()),
    }
}

fn conn(router: &Router, event: &ConnEvent) -> Option<String> {
    let (master, original) = (event.master?, arrow(&event.original));
    if event.kind == ConnEventKind::Destroy {
        return None;
    }
    let helper = router.engine().attached_of(master.0).helper();
    let helper = helper.map_or("?", |helper| router.engine().helper(helper).name);
    Some(format!("{original}: expected by {helper}"))
}

fn arrow(tuple: &Tuple) -> String {
    tuple.to_string().replace(" > ", " → ")
}

/// What a packet says, as far as its first line can be shown.
#[must_use]
pub fn said(frame: &Frame<'_>) -> Option<String> {
    let datagram = datagram(frame.link, frame.bytes).ok()?;
    let packet = packet(&datagram).ok()?;
    let line = packet.payload.split(|byte| matches!(byte, b'\r' | b'\n')).next()?;
    let shown = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
    let clean = line.iter().all(|byte| shown(byte) || *byte == 1);
    let text = line.iter().filter(|byte| shown(byte)).take(SHOWN);
    Some(if clean { text.map(|byte| char::from(*byte)).collect() } else { String::new() })
}

/// A packet in one line: who to whom, what it says.
#[must_use]
pub fn described(frame: &Frame<'_>) -> String {
    let Ok(whole) = datagram(frame.link, frame.bytes) else {
        return format!("{} bytes without IP, or cut", frame.bytes.len());
    };
    match packet(&whole) {
        Ok(packet) => {
            let said = said(frame).filter(|said| !said.is_empty());
            let said = said.map(|said| format!(" {said}")).unwrap_or_default();
            format!("{}, {} bytes{said}", arrow(&packet.tuple), packet.payload.len())
        }
        Err(_) => {
            let (src, dst) =
                (whole.ends.src().ip(whole.ends.l3()), whole.ends.dst().ip(whole.ends.l3()));
            format!("{} {src} → {dst}, {} bytes", whole.proto, whole.body.len())
        }
    }
}
