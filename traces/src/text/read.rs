// SPDX-License-Identifier: GPL-2.0-only
//! Reading a trace.

use nfexp_model::revision::Revision;

use super::line::Line;
use super::{Answer, Block, Setup, TextError, Trace};
use crate::step::Step;

/// Ticks per second where a trace does not say.
const HZ: u32 = 250;

/// What stands before the first step.
const HEAD: [&str; 3] = ["config", "helper-policy", "revisions"];

/// Reads a trace.
///
/// # Errors
/// The first place at which the text is no trace.
pub fn parse(text: &str) -> Result<Trace, TextError> {
    let mut trace = Trace::default();
    let mut block = Block::default();
    let (mut in_head, mut began) = (true, false);
    for (number, raw) in text.lines().enumerate().map(|(at, raw)| (at + 1, raw.trim_end())) {
        let mut line = Line::new(number, raw);
        if raw.is_empty() {
            in_head = false;
            if !block.lines.is_empty() || !block.answers.is_empty() {
                trace.blocks.push(std::mem::take(&mut block));
            }
        } else if raw.starts_with("----") {
            line.at = "----".len();
            let revisions = line.revisions()?;
            let is_there = |revision| block.answers.iter().any(|a| a.revisions.contains(revision));
            let other = block.answers.iter().any(|answer| answer.revisions.is_empty());
            if revisions.iter().any(is_there) || (revisions.is_empty() && other) {
                line.at = 0;
                return Err(line.error("an answer of other revisions than those above it"));
            }
            block.answers.push(Answer { revisions, lines: Vec::new() });
        } else if let Some(answer) = block.answers.last_mut() {
            answer.lines.push(raw.to_owned());
        } else if let Some(comment) = raw.strip_prefix('#') {
            if in_head {
                trace.comments.push(comment.to_owned());
            } else {
                block.lines.push(raw.to_owned());
            }
        } else if began && HEAD.iter().any(|word| line.rest().split(' ').next() == Some(word)) {
            // What steps mean depends on it.
            return Err(line.error("a step: the head of a trace stands before the first"));
        } else if line.takes("config") {
            line.setup(&mut trace.setup)?;
        } else if line.takes("helper-policy") {
            let before = line.at;
            let name = line.word("a helper's name")?.to_owned();
            if trace.setup.helpers.iter().any(|(known, ..)| *known == name) {
                line.at = before;
                return Err(line.error("a helper that has no policy yet"));
            }
            let (mut max, mut timeout) = (None, None);
            line.options(|key, value| match key {
                "max" => value.number().map(|number| max = Some(number)),
                "timeout" => value.seconds().map(|secs| timeout = Some(secs)),
                _ => Err("`max` or `timeout`".to_owned()),
            })?;
            let (Some(max), Some(timeout)) = (max, timeout) else {
                return Err(line.error("both `max` and `timeout`"));
            };
            trace.setup.helpers.push((name, max, timeout));
        } else if line.takes("revisions") {
            trace.revisions.extend(line.revisions()?);
            if trace.revisions.is_empty() {
                return Err(line.error("a revision"));
            }
        } else {
            (in_head, began) = (false, true);
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

impl Line<'_> {
    /// The revisions that the rest of the line names.
    fn revisions(&mut self) -> Result<Vec<String>, TextError> {
        let mut named = Vec::new();
        loop {
            let before = self.at;
            let Some(word) = self.next() else { return Ok(named) };
            if Revision::named(word).is_none() || named.iter().any(|name| name == word) {
                self.at = before;
                let names = Revision::ALL.map(|revision| revision.name).join(", ");
                return Err(self.error(format!("one of {names}, once")));
            }
            named.push(word.to_owned());
        }
    }

    fn setup(&mut self, setup: &mut Setup) -> Result<(), TextError> {
        const MOST: u32 = Setup::MOST;
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
            match place.replace(number) {
                None => Ok(()),
                Some(_) => Err(format!("{key} once")),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &str = "\
conn m tcp 10.0.0.2:40000 > 10.0.0.1:21 net=1 zone=2 helper=ftp mark=7 secmark=8
confirm m
delete m
destroy m
helper m none
alloc e master=m udp [fd00::2]:* > [fd00::1]:69 class=1 flags=permanent,inactive assign=sip fn=sip nat=[fd00::9]:80,reply timeout=90j
relate e skip-master portid=3 report
expect e master=m tcp 10.0.0.0/255.255.255.0:80/0xff00 > 10.0.0.1:5 nat=10.0.0.7:8 portid=9
unexpect e
flags e 0
retime e 90000j permanent
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
flush net=0 portid=4 report
unregister ftp
unregister-function Q.931
collect m";

    #[test]
    fn a_block_of_comments_stays_one() {
        for text in ["# of all\n\n# of the block\n", "\n# of the block\nmemory\n----\nx\n"] {
            let trace = parse(text).expect("a trace");
            let printed = trace.to_string();
            let again = parse(&printed).expect("what was printed is a trace");
            assert_eq!(again.comments, trace.comments, "{printed}");
            assert_eq!(again.blocks[0].lines, trace.blocks[0].lines, "{printed}");
            assert_eq!(again.to_string(), printed);
        }
    }

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
                r#"request {"op":"exp_del_helper","a":{"name":"ftp\u0000"}}"#,
                "line 1, column 9: expected a name without a zero, found `{\"op\":\"exp_del_helper\",\
                 \"a\":{\"name\":\"ftp\\u0000\"}}`",
            ),
            (
                "lookup tcp 10.0.0.2:* > 10.0.0.1:21",
                "line 1, column 8: expected a tuple without wildcards, found `tcp`",
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
    fn a_prefix_is_a_mask() {
        let read = |src: &str, dst: &str| {
            let line = format!("expect e master=m tcp {src}:* > {dst}:5");
            parse_step(&line, HZ).map(|step| step.to_string())
        };
        let (v4, v6) = ("10.0.0.1", "[fd00::1]");
        for (prefix, mask, dst) in [
            ("10.0.0.0/24", "10.0.0.0/255.255.255.0", v4),
            ("10.0.0.9/32", "10.0.0.9", v4),
            ("10.0.0.9/0", "10.0.0.9/0.0.0.0", v4),
            ("[fd00::]/16", "[fd00::]/ffff::", v6),
            ("[fd00::9]/128", "[fd00::9]", v6),
            ("[fd00::9]/0", "[fd00::9]/::", v6),
        ] {
            let (short, long) = (read(prefix, dst), read(mask, dst));
            assert!(short.is_ok() && short == long, "{prefix}: {short:?}, {long:?}");
        }
        for (prefix, dst) in [("10.0.0.0/33", v4), ("[fd00::]/129", v6), ("10.0.0.0/x", v4)] {
            let error = read(prefix, dst).expect_err(prefix).to_string();
            assert!(error.contains("expected an address and a port"), "{error}");
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
    fn a_head_says_a_thing_once_and_before_the_first_step() {
        for (text, place, expected) in [
            ("config hz=4 hz=1\n", (1, 13), "hz once"),
            ("config hz=4\nconfig hz=4\n", (2, 8), "hz once"),
            (
                "memory\n\nconfig hz=4\n",
                (3, 1),
                "a step: the head of a trace stands before the first",
            ),
            (
                "memory\nrevisions 3.9\n",
                (2, 1),
                "a step: the head of a trace stands before the first",
            ),
        ] {
            let error = parse(text).expect_err("it is no trace");
            assert_eq!(
                (error.line, error.column, error.expected.as_str()),
                (place.0, place.1, expected)
            );
        }
    }

    /// A word that says all takes no value, and nothing that is said is lost.
    #[test]
    fn what_is_said_is_meant() {
        for (step, expected) in [
            ("relate e report=no", "`report` alone"),
            ("relate e skip-master=no", "`skip-master` alone"),
            ("packet tcp 10.0.0.1:1 > 10.0.0.2:2 dropped=0", "`dropped` alone"),
            ("packet tcp 10.0.0.1:1 > 10.0.0.2:2 dropped template", "`dropped` or `template`, not"),
            ("alloc e master=m tcp *:* > 10.0.0.2:2 report", "no `skip-master`, `portid` or"),
            ("alloc e master=m tcp *:* > 10.0.0.2:2 portid=7", "no `skip-master`, `portid` or"),
            ("helper-policy ftp max=1 timeout=1s", "a helper that has no policy yet"),
            (r#"request {"op":"exp_new","a":{"zone":70000}}"#, "integer `70000`, expected u16"),
            (r#"request {"op":"exp_flush","i":0}"#, "unknown field `i`"),
            (r#"request {"op":"exp_get","a":{"tuple":{"scr":1}}}"#, "no argument `tuple.scr`"),
        ] {
            let error = parse(&format!("helper-policy ftp max=1 timeout=1s\n{step}\n"));
            let error = error.expect_err(step).to_string();
            assert!(error.contains(expected) && error.starts_with("line 2, "), "{error}");
        }
        for operation in [r#"{"op":"exp_flush"}"#, r#"{"op":"exp_new","a":{"excl":null}}"#] {
            parse(&format!("request {operation}\n")).expect(operation);
        }
    }

    /// Of 2^32 and one seconds, one was left; and ticks were taken for seconds.
    #[test]
    fn a_policy_is_of_whole_seconds() {
        let of = |timeout| parse(&format!("helper-policy ftp max=1 timeout={timeout}"));
        for (timeout, secs) in [("0s", 0), ("5m", 300), ("4294967295s", u32::MAX)] {
            assert_eq!(of(timeout).expect(timeout).setup.helpers[0].2, secs);
        }
        for timeout in ["4294967297s", "71582789m", "1500ms", "90j", "300"] {
            let error = of(timeout).expect_err(timeout);
            assert!(error.expected.starts_with("whole seconds") && error.column == 25, "{error}");
        }
        for half in ["helper-policy ftp", "helper-policy ftp max=1", "helper-policy ftp timeout=1s"]
        {
            assert_eq!(parse(half).expect_err(half).expected, "both `max` and `timeout`");
        }
    }

    #[test]
    fn what_a_step_says_it_says_once() {
        for (text, column, expected) in [
            ("conn m tcp 1.1.1.1:5 > 1.1.1.2:21 helper=ftp helper=ftp", 46, "helper once"),
            ("conn m tcp 1.1.1.1:5 > 1.1.1.2:21 helper=ftp helper=sip", 46, "helper once"),
            ("expect e master=m tcp 1.1.1.1:* > 1.1.1.2:5 class=0 class=1", 53, "class once"),
            ("packet tcp 1.1.1.1:5 > 1.1.1.2:21 dropped dropped", 43, "dropped once"),
            ("helper-policy ftp max=1 max=2", 25, "max once"),
        ] {
            let error = parse(text).expect_err(text);
            assert_eq!((error.column, error.expected.as_str()), (column, expected), "{text}");
        }
    }

    #[test]
    fn answers_are_of_revisions_there_are_and_of_each_once() {
        let unknown = "one of 3.9, 6.18, 7.2, once";
        let twice = "an answer of other revisions than those above it";
        for (text, place, expected) in [
            ("revisions 3.9 9.9\n", (1, 15), unknown),
            ("revisions 3.9 3.9\n", (1, 15), unknown),
            ("revisions\n", (1, 10), "a revision"),
            ("memory\n---- 9.9\na\n", (2, 6), unknown),
            ("memory\n---- 3.9\na\n---- 6.18 3.9\nb\n", (4, 1), twice),
            ("memory\n----\na\n----\nb\n", (4, 1), twice),
        ] {
            let error = parse(text).expect_err(text);
            let found = (error.line, error.column, error.expected.as_str());
            assert_eq!(found, (place.0, place.1, expected), "{text}");
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
