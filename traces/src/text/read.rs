// SPDX-License-Identifier: GPL-2.0-only
//! Reading a trace.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nfexp_model::event::ExpectFn;
use nfexp_model::expectation::Flags;
use nfexp_model::kernel::{Cpu, Ticks};
use nfexp_model::netns::{NetId, Zone};
use nfexp_model::tuple::{Addr, L3, Mask, Proto, Tuple};

use super::{Answer, Block, Setup, TextError, Trace};
use crate::step::{Announcement, Fate, HelperChoice, Place, Step, Target};

/// Ticks per second where a trace does not say.
const HZ: u32 = 250;

/// Reads a trace.
///
/// # Errors
/// The first place at which the text is no trace.
pub fn parse(text: &str) -> Result<Trace, TextError> {
    let mut trace = Trace::default();
    let mut block = Block::default();
    let mut in_head = true;
    for (number, raw) in text.lines().enumerate().map(|(at, raw)| (at + 1, raw.trim_end())) {
        let mut line = Line::new(number, raw);
        if raw.is_empty() {
            in_head = false;
            if !block.lines.is_empty() || !block.answers.is_empty() {
                trace.blocks.push(std::mem::take(&mut block));
            }
        } else if let Some(revisions) = raw.strip_prefix("----") {
            let revisions = revisions.split_whitespace().map(str::to_owned).collect();
            block.answers.push(Answer { revisions, lines: Vec::new() });
        } else if let Some(answer) = block.answers.last_mut() {
            answer.lines.push(raw.to_owned());
        } else if let Some(comment) = raw.strip_prefix('#') {
            if in_head {
                trace.comments.push(comment.to_owned());
            } else {
                block.lines.push(raw.to_owned());
            }
        } else if line.takes("config") {
            line.setup(&mut trace.setup)?;
        } else if line.takes("helper-policy") {
            let name = line.word("a helper's name")?.to_owned();
            let (mut max, mut timeout) = (0, 0);
            line.options(|key, value| match key {
                "max" => value.number().map(|number| max = number),
                "timeout" => value.span(1).map(|Ticks(secs)| timeout = secs as u32),
                _ => Err("`max` or `timeout`".to_owned()),
            })?;
            trace.setup.helpers.push((name, max, timeout));
        } else if line.takes("revisions") {
            while let Some(word) = line.next() {
                trace.revisions.push(word.to_owned());
            }
        } else {
            in_head = false;
            let step = line.step(trace.setup.hz.unwrap_or(HZ))?;
            line.end()?;
            block.steps.push((number, step));
            block.lines.push(raw.to_owned());
        }
    }
    if !block.lines.is_empty() || !block.answers.is_empty() {
        trace.blocks.push(block);
    }
    Ok(trace)
}

/// Reads one step.
///
/// # Errors
/// The place at which the line is no step.
pub fn parse_step(text: &str, hz: u32) -> Result<Step, TextError> {
    let mut line = Line::new(1, text);
    let step = line.step(hz)?;
    line.end()?;
    Ok(step)
}

/// The words of a line.
struct Line<'a> {
    number: usize,
    text: &'a str,
    at: usize,
}

/// The right side of `key=value`.
#[derive(Clone, Copy)]
struct Value<'a>(&'a str);

type Want<T> = Result<T, String>;

impl Value<'_> {
    fn number<T: std::str::FromStr>(self) -> Want<T> {
        self.0.parse().map_err(|_| "a number".to_owned())
    }

    fn name(self) -> Want<String> {
        if self.0.is_empty() { Err("a name".to_owned()) } else { Ok(self.0.to_owned()) }
    }

    fn span(self, hz: u32) -> Want<Ticks> {
        let units = [("ms", 1, 1000), ("s", 1, 1), ("m", 60, 1), ("j", 0, 1)];
        let read = units.iter().find_map(|(unit, times, per)| {
            let number: u64 = self.0.strip_suffix(unit)?.parse().ok()?;
            match times {
                0 => Some(number),
                times => Some(number.checked_mul(times * u64::from(hz))? / per),
            }
        });
        // Half of all time is the most that can lie ahead.
        let ticks = read.filter(|ticks| *ticks < 1 << 62);
        ticks.map(Ticks).ok_or_else(|| "a span with a unit, as in `300s`".to_owned())
    }

    fn flags(self) -> Want<Flags> {
        if let Ok(number) = self.0.parse() {
            return Ok(Flags(number));
        }
        self.0.split(',').try_fold(Flags::NONE, |flags, word| {
            let named = Flags::NAMED.iter().find(|(_, name)| name.eq_ignore_ascii_case(word));
            let expected = || "flags (permanent, inactive, userspace) or a number".to_owned();
            named.map(|(flag, _)| flags.with(*flag)).ok_or_else(expected)
        })
    }
}

impl<'a> Line<'a> {
    fn new(number: usize, text: &'a str) -> Self {
        Self { number, text, at: 0 }
    }

    fn rest(&self) -> &'a str {
        let rest = &self.text[self.at..];
        rest.trim_start()
    }

    fn next(&mut self) -> Option<&'a str> {
        let rest = self.rest();
        let word = rest.split_whitespace().next()?;
        self.at = self.text.len() - rest.len() + word.len();
        Some(word)
    }

    /// Takes the next word if it is this one.
    fn takes(&mut self, word: &str) -> bool {
        let before = self.at;
        let is = self.next() == Some(word);
        if !is {
            self.at = before;
        }
        is
    }

    fn error(&self, expected: impl Into<String>) -> TextError {
        let rest = self.rest();
        let found = rest.split_whitespace().next().unwrap_or_default();
        let column = self.text[..self.text.len() - rest.len()].chars().count() + 1;
        let (line, expected) = (self.number, expected.into());
        TextError { line, column, expected, found: found.to_owned() }
    }

    fn word(&mut self, expected: &str) -> Result<&'a str, TextError> {
        let before = self.at;
        match self.next() {
            Some(word) => Ok(word),
            None => {
                self.at = before;
                Err(self.error(expected))
            }
        }
    }

    fn name(&mut self) -> Result<String, TextError> {
        let before = self.at;
        let word = self.word("a name")?;
        if word.contains('=') {
            self.at = before;
            return Err(self.error("a name"));
        }
        Ok(word.to_owned())
    }

    fn read<T>(&mut self, read: impl FnOnce(Value<'a>) -> Want<T>) -> Result<T, TextError> {
        let before = self.at;
        let value = Value(self.next().unwrap_or_default());
        read(value).map_err(|expected| {
            self.at = before;
            self.error(expected)
        })
    }

    /// Reads `key=value` and bare words to the end of the line.
    fn options(
        &mut self,
        mut take: impl FnMut(&str, Value<'a>) -> Want<()>,
    ) -> Result<(), TextError> {
        loop {
            let before = self.at;
            let Some(word) = self.next() else { return Ok(()) };
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            if let Err(expected) = take(key, Value(value)) {
                self.at = before;
                return Err(self.error(expected));
            }
        }
    }

    fn end(&self) -> Result<(), TextError> {
        if self.rest().is_empty() { Ok(()) } else { Err(self.error("the end of the line")) }
    }

    fn setup(&mut self, setup: &mut Setup) -> Result<(), TextError> {
        // What a trace may ask for: enough for any behaviour, little enough for any machine.
        const MOST: u32 = 1 << 16;
        self.options(|key, value| {
            let number: u32 = value.number()?;
            let (place, most) = match key {
                "hz" => (&mut setup.hz, 10_000),
                "hash-size" => (&mut setup.hash_size, MOST),
                "expect-max" => (&mut setup.expect_max, u32::MAX),
                "expectations" => (&mut setup.expectations, MOST),
                "conns" => (&mut setup.conns, MOST),
                "netns" => (&mut setup.netns, 64),
                _ => return Err("hz, hash-size, expect-max, expectations, conns or netns".into()),
            };
            let least = u32::from(key != "expect-max");
            if !(least..=most).contains(&number) {
                return Err(format!("a number from {least} to {most}"));
            }
            *place = Some(number);
            Ok(())
        })
    }

    fn step(&mut self, hz: u32) -> Result<Step, TextError> {
        let start = self.at;
        let verb = self.word("a step")?;
        Ok(match verb {
            "conn" => self.conn()?,
            "confirm" => Step::Confirm { conn: self.name()? },
            "delete" => Step::Delete { conn: self.name()? },
            "destroy" => Step::Destroy { conn: self.name()? },
            "helper" => {
                let conn = self.name()?;
                Step::Helper { conn, helper: helper_choice(&self.name()?) }
            }
            "alloc" => Step::Alloc(self.announcement(hz)?.0),
            "relate" => {
                let exp = self.name()?;
                let (mut skip_master, mut portid) = (false, 0);
                self.options(|key, value| request(key, value, &mut skip_master, &mut portid))?;
                Step::Relate { exp, skip_master, portid }
            }
            "expect" => {
                let (announcement, skip_master, portid) = self.announcement(hz)?;
                Step::Expect { announcement, skip_master, portid }
            }
            "unexpect" => Step::Unexpect { exp: self.name()? },
            "flags" => {
                let exp = self.name()?;
                Step::SetFlags { exp, flags: self.read(Value::flags)? }
            }
            "remove" => Step::Remove { conn: self.name()? },
            "put" => Step::Put { name: self.name()? },
            "packet" => self.packet()?,
            "lookup" => self.lookup()?,
            "advance" => Step::Advance(self.read(|value| value.span(hz))?),
            "fire" => Step::Fire { exp: self.name()? },
            "callback" => Step::Callback { exp: self.name()? },
            "hold" => Step::Hold(self.cpu()?),
            "release" => Step::Release(self.cpu()?),
            "show" => Step::Show { net: self.net_option()? },
            "open" => {
                let file = self.name()?;
                Step::Open { file, net: self.net_option()? }
            }
            "read" => {
                let file = self.name()?;
                Step::Read { file, lines: self.read(Value::number)? }
            }
            "stats" => Step::Stats { net: self.net_option()? },
            "memory" => Step::Memory,
            "sysctl" => {
                let mut max = None;
                self.options(|key, value| match key {
                    "expect-max" => value.number().map(|number| max = Some(number)),
                    _ => Err("`expect-max`".to_owned()),
                })?;
                Step::ExpectMax(max.ok_or_else(|| self.error("`expect-max`"))?)
            }
            "fail-nth" => Step::FailNth(self.read(Value::number)?),
            "netns-init" => Step::NetnsInit(NetId(self.read(Value::number)?)),
            "netns-exit" => Step::NetnsExit(NetId(self.read(Value::number)?)),
            "flush" => {
                let (mut net, mut portid) = (NetId::INIT, 0);
                self.options(|key, value| match key {
                    "net" => value.number().map(|number| net = NetId(number)),
                    "portid" => value.number().map(|number| portid = number),
                    _ => Err("`net` or `portid`".to_owned()),
                })?;
                Step::Flush { net, portid }
            }
            "unregister" => Step::Unregister { helper: self.name()? },
            "collect" => Step::Collect { conn: self.name()? },
            _ => {
                self.at = start;
                return Err(self.error("a step"));
            }
        })
    }

    fn conn(&mut self) -> Result<Step, TextError> {
        let name = self.name()?;
        let tuple = self.exact_tuple()?;
        let (mut place, mut helper, mut mark) = (Place::default(), HelperChoice::Nothing, 0);
        self.options(|key, value| match key {
            "helper" => value.name().map(|name| helper = helper_choice(&name)),
            "mark" => value.number().map(|number| mark = number),
            _ => place_option(key, value, &mut place, "`helper`, `mark`"),
        })?;
        Ok(Step::Conn { name, tuple, place, helper, mark })
    }

    fn packet(&mut self) -> Result<Step, TextError> {
        let tuple = self.exact_tuple()?;
        let (mut place, mut name, mut fate) = (Place::default(), None, Fate::Forwarded);
        self.options(|key, value| match key {
            "as" => value.name().map(|given| name = Some(given)),
            "dropped" => {
                fate = Fate::Dropped;
                Ok(())
            }
            _ => place_option(key, value, &mut place, "`as`, `dropped`"),
        })?;
        Ok(Step::Packet { tuple, place, name, fate })
    }

    fn lookup(&mut self) -> Result<Step, TextError> {
        let tuple = self.exact_tuple()?;
        let (mut place, mut name, mut cpu) = (Place::default(), None, Cpu(0));
        self.options(|key, value| match key {
            "as" => value.name().map(|given| name = Some(given)),
            "cpu" => cpu_number(value.0).map(|given| cpu = given),
            _ => place_option(key, value, &mut place, "`as`, `cpu`"),
        })?;
        Ok(Step::Lookup { tuple, place, name, cpu })
    }

    fn announcement(&mut self, hz: u32) -> Result<(Announcement, bool, u32), TextError> {
        let name = self.name()?;
        let master = self.read(|value| {
            let master = value.0.strip_prefix("master=").filter(|name| !name.is_empty());
            master.map(str::to_owned).ok_or_else(|| "`master=` and a name".to_owned())
        })?;
        let (tuple, mask) = self.target()?;
        let target = Target::Masked(tuple, mask);
        let (class, flags, assign, expectfn) = (0, Flags::NONE, None, None);
        let (nat, timeout) = (None, None);
        let mut said =
            Announcement { name, master, target, class, flags, assign, expectfn, nat, timeout };
        let (mut skip_master, mut portid) = (false, 0);
        self.options(|key, value| match key {
            "class" => {
                let class: u8 = value.number()?;
                said.class = Some(class).filter(|class| *class < 4).ok_or("a class below 4")?;
                Ok(())
            }
            "flags" => value.flags().map(|flags| said.flags = flags),
            "assign" => value.name().map(|helper| said.assign = Some(helper)),
            "timeout" => value.span(hz).map(|span| said.timeout = Some(span)),
            "fn" => {
                let known = ExpectFn::REGISTERED.into_iter().find(|f| f.name() == Some(value.0));
                said.expectfn = Some(known.ok_or("the name of a registered function")?);
                Ok(())
            }
            _ => request(key, value, &mut skip_master, &mut portid),
        })?;
        Ok((said, skip_master, portid))
    }

    fn net_option(&mut self) -> Result<NetId, TextError> {
        let mut net = NetId::INIT;
        self.options(|key, value| match key {
            "net" => value.number().map(|number| net = NetId(number)),
            _ => Err("`net`".to_owned()),
        })?;
        Ok(net)
    }

    fn cpu(&mut self) -> Result<Cpu, TextError> {
        self.read(|value| cpu_number(value.0.strip_prefix("cpu").unwrap_or_default()))
    }

    fn exact_tuple(&mut self) -> Result<Tuple, TextError> {
        let before = self.at;
        let (tuple, mask) = self.target()?;
        if mask != Mask::exact(tuple.l3, true, true) {
            self.at = before;
            return Err(self.error("a tuple without wildcards"));
        }
        Ok(tuple)
    }

    fn target(&mut self) -> Result<(Tuple, Mask), TextError> {
        let proto = self.read(|value| {
            Proto::parse(value.0).ok_or_else(|| "a protocol, by name or number".to_owned())
        })?;
        let src = self.read(|value| end(value.0))?;
        if !self.takes(">") {
            return Err(self.error("`>` between source and destination"));
        }
        let before = self.at;
        let dst = self.read(|value| end(value.0))?;
        let (Some((dst, None)), Some((dport, None))) = dst else {
            self.at = before;
            return Err(self.error("an exact destination, as in `10.0.0.1:21`"));
        };
        let l3 = L3::of(dst);
        let full = Mask::exact(l3, true, true);
        let (src_addr, src_mask) = match src.0 {
            None => (Addr::default(), Addr::default()),
            Some((ip, mask)) => (Addr::from(ip), mask.map_or(full.src, Addr::from)),
        };
        let families = src.0.map(|(ip, mask)| (L3::of(ip), mask.map_or(l3, L3::of)));
        if families.is_some_and(|(ip, mask)| ip != l3 || mask != l3) {
            self.at = before;
            return Err(self.error("a destination of the source's address family"));
        }
        let (sport, sport_mask) =
            src.1.map_or((0, 0), |(port, mask)| (port, mask.unwrap_or(0xffff)));
        let tuple = Tuple { src: src_addr, dst: Addr::from(dst), sport, dport, l3, proto };
        Ok((tuple, Mask { src: src_mask, sport: sport_mask }))
    }
}

type End = (Option<(IpAddr, Option<IpAddr>)>, Option<(u16, Option<u16>)>);

/// One end of a tuple: `ADDRESS[/MASK]:PORT[/MASK]`, either of which may be `*`.
fn end(text: &str) -> Want<End> {
    let expected =
        || "an address and a port, as in `10.0.0.1:21`, `[fd00::1]:21` or `*:*`".to_owned();
    let (address, port) = text.rsplit_once(':').ok_or_else(expected)?;
    let address = match address {
        "*" => None,
        _ => {
            let (ip, mask) = match address.split_once('/') {
                Some((ip, mask)) => (ip, Some(mask)),
                None => (address, None),
            };
            let bare = ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']'));
            let ip: IpAddr = match bare {
                Some(v6) => IpAddr::V6(v6.parse().map_err(|_| expected())?),
                None => IpAddr::V4(ip.parse().map_err(|_| expected())?),
            };
            let mask = mask.map(|mask| prefix_or_mask(mask, ip).ok_or_else(expected));
            Some((ip, mask.transpose()?))
        }
    };
    let port = match port {
        "*" => None,
        _ => {
            let (port, mask) = match port.split_once('/') {
                Some((port, mask)) => (port, Some(mask)),
                None => (port, None),
            };
            let mask = mask.map(|mask| {
                let hex = mask.strip_prefix("0x").map(|hex| u16::from_str_radix(hex, 16));
                hex.unwrap_or_else(|| mask.parse()).map_err(|_| expected())
            });
            Some((port.parse().map_err(|_| expected())?, mask.transpose()?))
        }
    };
    Ok((address, port))
}

/// `24`, or a mask written out.
fn prefix_or_mask(text: &str, of: IpAddr) -> Option<IpAddr> {
    if let Ok(mask) = text.parse::<IpAddr>() {
        return Some(mask);
    }
    let bits: u32 = text.parse().ok()?;
    Some(match of {
        IpAddr::V4(_) if bits <= 32 => {
            IpAddr::V4(Ipv4Addr::from(u32::MAX.checked_shl(32 - bits).unwrap_or(0)))
        }
        IpAddr::V6(_) if bits <= 128 => {
            IpAddr::V6(Ipv6Addr::from(u128::MAX.checked_shl(128 - bits).unwrap_or(0)))
        }
        _ => return None,
    })
}

fn helper_choice(word: &str) -> HelperChoice {
    match word {
        "nothing" => HelperChoice::Nothing,
        "none" => HelperChoice::Extension,
        name => HelperChoice::Named(name.to_owned()),
    }
}

fn place_option(key: &str, value: Value<'_>, place: &mut Place, others: &str) -> Want<()> {
    match key {
        "net" => value.number().map(|number| place.net = NetId(number)),
        "zone" => value.number().map(|number| place.zone = Zone(number)),
        _ => Err(format!("{others}, `net` or `zone`")),
    }
}

fn request(key: &str, value: Value<'_>, skip_master: &mut bool, portid: &mut u32) -> Want<()> {
    match key {
        "skip-master" => {
            *skip_master = true;
            Ok(())
        }
        "portid" => value.number().map(|number| *portid = number),
        _ => Err("an option of an announcement (class, flags, assign, fn, timeout, …)".to_owned()),
    }
}

fn cpu_number(text: &str) -> Want<Cpu> {
    let number = text.parse().ok().filter(|number| *number < 64);
    number.map(Cpu).ok_or_else(|| "a processor, as in `cpu1`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &str = "\
conn m tcp 10.0.0.2:40000 > 10.0.0.1:21 net=1 zone=2 helper=ftp mark=7
confirm m
delete m
destroy m
helper m none
alloc e master=m udp [fd00::2]:* > [fd00::1]:69 class=1 flags=permanent,inactive assign=sip fn=sip timeout=90j
relate e skip-master portid=3
expect e master=m tcp 10.0.0.0/255.255.255.0:80/0xff00 > 10.0.0.1:5 portid=9
unexpect e
flags e 0
remove m
put e
packet tcp 10.0.0.2:1 > 10.0.0.1:5 as=child dropped
lookup icmp 10.0.0.2:1 > 10.0.0.1:2048 as=r cpu=1
advance 75000j
fire e
callback e
hold cpu1
release cpu1
show net=0
open f net=1
read f 3
stats net=0
memory
sysctl expect-max=-1
fail-nth 2
netns-init 1
netns-exit 1
flush net=0 portid=4
unregister ftp
collect m";

    #[test]
    fn every_step_is_printed_as_it_is_read() {
        for line in ALL.lines() {
            let step = parse_step(line, HZ).unwrap_or_else(|error| panic!("{line}: {error}"));
            assert_eq!(step.to_string(), line);
        }
    }

    #[test]
    fn errors_name_the_place() {
        for (text, message) in [
            ("conn", "line 1, column 5: expected a name, found the end of the line"),
            (
                "conn m tcp 1.1.1.1:5 21",
                "line 1, column 22: expected `>` between source and destination, found `21`",
            ),
            (
                "advance 300",
                "line 1, column 9: expected a span with a unit, as in `300s`, found `300`",
            ),
            ("\n\njump", "line 3, column 1: expected a step, found `jump`"),
        ] {
            let error = parse(text).expect_err(text);
            assert_eq!(error.to_string(), message);
        }
    }

    #[test]
    fn no_cut_and_no_flip_panics() {
        let bytes = ALL.as_bytes();
        for cut in 0..bytes.len() {
            let _ = parse(&String::from_utf8_lossy(&bytes[..cut]));
            for flip in [0x01, 0x20, 0x80] {
                let mut flipped = bytes.to_vec();
                flipped[cut] ^= flip;
                let line = flipped.split(|byte| *byte == b'\n').nth(cut % 31).unwrap_or_default();
                let _ = parse(&String::from_utf8_lossy(line));
            }
        }
    }

    #[test]
    fn a_trace_is_printed_as_it_is_read() {
        let text = "# What it shows.\nconfig hz=100 hash-size=1\nrevisions 3.9 7.2\n\n\
                    # A comment.\nmemory\n---- 3.9\na\n----\nb\n\nmemory\n";
        let trace = parse(text).expect("a trace");
        assert_eq!(trace.to_string(), text);
        assert_eq!(trace.blocks[0].expected("3.9"), ["a"]);
        assert_eq!(trace.blocks[0].expected("7.2"), ["b"]);
    }
}
