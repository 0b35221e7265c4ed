// SPDX-License-Identifier: GPL-2.0-only
//! What the kernel's tools print of expectations, read and written.
//!
//! | text | type |
//! | --- | --- |
//! | `/proc/net/nf_conntrack_expect`, of 3.9 and since | [`ProcLine`] |
//! | `conntrack -L expect`, `conntrack -E expect [-o timestamp]` | [`ToolLine`] |
//! | the same with `-o xml`, `-o xml,timestamp` | [`XmlFlow`] |
//!
//! ```text
//!   299 l3proto = 2 proto=6 src=10.0.0.2 dst=10.0.0.1 sport=0 dport=50000 PERMANENT irc
//!   [1795560756.46548 ]⇥    [NEW] 300 proto=6 src=… mask-src=… master-src=… class=0 helper=irc
//!   <flow type="new"><layer3 …>…</layer3><layer4 …>…</layer4><meta>…</meta></flow>
//! ```
//!
//! [`lines`] reads any of them, line by line: a log may be longer than memory.
//!
//! The rule that matters: what was read is written the same, byte for byte; a line of which that
//! is not so is refused, with its number and column and what was expected.

use std::fmt;
use std::io::{self, BufRead};
use std::net::IpAddr;

mod cursor;
mod proc;
mod text;
mod xml;

pub use proc::{ProcLine, Seconds};
pub use text::{Stamp, ToolLine};
pub use xml::{When, XmlFlow};

/// One line of a tool's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Of `/proc`.
    Proc(ProcLine),
    /// Of `conntrack`.
    Tool(ToolLine),
    /// Of `conntrack -o xml`.
    Xml(XmlFlow),
    /// What stands around: of XML the declaration and the outermost element's begin and end; and
    /// how many there were, as `conntrack` says behind the last one.
    Frame(String),
}

impl Shown {
    /// Reads a line, without its end.
    ///
    /// # Errors
    /// The place at which it is none of a tool's.
    pub fn parse(line: &str) -> Result<Self, LineError> {
        let shown = if line.starts_with("<flow") {
            Self::Xml(XmlFlow::parse(line)?)
        } else if is_frame(line) {
            Self::Frame(line.to_owned())
        } else if line.contains(" l3proto = ") {
            Self::Proc(ProcLine::parse(line)?)
        } else {
            Self::Tool(ToolLine::parse(line)?)
        };
        let again = shown.to_string();
        if again != line {
            let same = again.bytes().zip(line.bytes()).take_while(|(a, b)| a == b).count();
            let expected = match again.get(same..).unwrap_or_default() {
                "" => "the end of the line".to_owned(),
                rest => format!("`{rest}`"),
            };
            return Err(LineError { column: same + 1, expected });
        }
        Ok(shown)
    }
}

fn is_frame(line: &str) -> bool {
    let counted = line.starts_with("conntrack v") && line.ends_with(" have been shown.");
    counted || line.starts_with("<?xml ") || line == "<expect>" || line == "</expect>"
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proc(line) => line.fmt(f),
            Self::Tool(line) => line.fmt(f),
            Self::Xml(flow) => flow.fmt(f),
            Self::Frame(text) => f.write_str(text),
        }
    }
}

/// Where a line is not one of a tool's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: expected {expected}")]
pub struct LineError {
    /// The column, from 1.
    pub column: usize,
    /// What should have stood there.
    pub expected: String,
}

/// Why a log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file itself.
    #[error("cannot read: {0}")]
    Io(#[from] io::Error),
    /// What stands in a line.
    #[error("line {line}, {error}")]
    Line {
        /// Its number, from 1.
        line: u64,
        /// Where, and what was expected.
        error: LineError,
    },
}

/// The longest line that is read, in bytes, its end not counted.
const LONGEST_LINE: usize = 1 << 16;

/// Reads a log, line by line, each with its number from 1; blank lines are left out, and counted.
pub fn lines(mut input: impl BufRead) -> impl Iterator<Item = Result<(u64, Shown), LogError>> {
    let mut line = 0;
    let mut ended = false;
    std::iter::from_fn(move || {
        while !ended {
            let mut text = Vec::new();
            let most = LONGEST_LINE as u64 + 1;
            let read = io::Read::take(&mut input, most).read_until(b'\n', &mut text);
            match read {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) => {
                    ended = true;
                    return Some(Err(error.into()));
                }
            }
            line += 1;
            if text.last() == Some(&b'\n') {
                text.pop();
            }
            if text.is_empty() {
                continue;
            }
            let shown = match std::str::from_utf8(&text) {
                _ if text.len() > LONGEST_LINE => {
                    let expected = "the end of a line, which are not longer".to_owned();
                    Err(LineError { column: LONGEST_LINE + 1, expected })
                }
                Ok(text) => Shown::parse(text),
                Err(error) => {
                    let column = error.valid_up_to() + 1;
                    Err(LineError { column, expected: "text in UTF-8".to_owned() })
                }
            };
            ended = shown.is_err();
            let numbered = shown.map(|shown| (line, shown));
            return Some(numbered.map_err(|error| LogError::Line { line, error }));
        }
        None
    })
}

/// What happened, where a line says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventWord {
    /// `[NEW]`.
    New,
    /// `[DESTROY]`.
    Destroy,
}

/// One end-to-end part of an expectation: of itself, of its mask or of its master.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ends {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// The protocol's words.
    pub words: Words,
}

/// The words of a protocol, as they are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Words {
    /// None: a protocol without a tracker.
    None,
    /// `sport=0 dport=21`.
    Ports(u16, u16),
    /// `srckey=0x1 dstkey=0x2`.
    Keys(u16, u16),
    /// `type=8 code=0 id=5`.
    Icmp {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
        /// Id.
        id: u16,
    },
}

impl fmt::Display for Words {
    /// Each word ends in a space.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Ports(source, destination) => write!(f, "sport={source} dport={destination} "),
            Self::Keys(source, destination) => {
                write!(f, "srckey={source:#x} dstkey={destination:#x} ")
            }
            Self::Icmp { kind, code, id } => write!(f, "type={kind} code={code} id={id} "),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `conntrack` 1.4.7 and Linux 6.18 printed of one table; and 3.9's form of a line.
    const RECORDED: [&str; 6] = [
        include_str!("../../tools/list.txt"),
        include_str!("../../tools/events.txt"),
        include_str!("../../tools/events-timestamp.txt"),
        include_str!("../../tools/events.xml"),
        include_str!("../../tools/events-timestamp.xml"),
        include_str!("../../tools/proc.txt"),
    ];

    #[test]
    fn what_tools_printed_is_read_and_written_the_same() {
        for text in RECORDED {
            let mut again = String::new();
            for line in lines(text.as_bytes()) {
                again += &format!("{}\n", line.expect("a tool's line").1);
            }
            assert_eq!(again, text);
        }
    }

    /// A line is not cut in two, of which each would be read.
    #[test]
    fn a_line_is_of_so_many_bytes_at_most() {
        let [first, ..] = RECORDED.map(|text| text.lines().next().expect("a line"));
        let counted = |bytes: usize| {
            let (begin, end) = ("conntrack v", " have been shown.");
            format!("{begin}{}{end}", "1".repeat(bytes - begin.len() - end.len()))
        };
        let read = |text: &str| lines(text.as_bytes()).collect::<Result<Vec<_>, _>>();
        let longest = counted(LONGEST_LINE);
        for text in [longest.clone(), format!("{longest}\n{first}\n")] {
            let read = read(&text).expect("it is not too long");
            assert_eq!(read.len(), text.lines().count());
        }
        let error = read(&format!("{}\n{first}\n", counted(LONGEST_LINE + 1))).expect_err("long");
        let expected = "expected the end of a line, which are not longer";
        assert_eq!(error.to_string(), format!("line 1, column 65537: {expected}"));
    }

    #[test]
    fn nothing_is_read_behind_what_is_no_line_of_a_tool() {
        let [first, ..] = RECORDED.map(|text| text.lines().next().expect("a line"));
        let text = format!("{first}\nwhat?\n{first}\n");
        let read: Vec<_> = lines(text.as_bytes()).map(|line| line.is_ok()).collect();
        assert_eq!(read, [true, false]);
    }

    #[test]
    fn what_conntrack_says_behind_the_last_one_is_no_fault() {
        for text in ["2 expectations have been shown.", "1 expectation events have been shown."] {
            let line = format!("conntrack v1.4.7 (conntrack-tools): {text}");
            assert_eq!(Shown::parse(&line), Ok(Shown::Frame(line.clone())));
        }
        assert!(Shown::parse("conntrack v1.4.7 (conntrack-tools): Operation failed").is_err());
    }

    #[test]
    fn cut_or_changed_anywhere_a_line_is_refused_or_written_the_same() {
        for text in RECORDED {
            for line in text.lines().step_by(5) {
                for at in (0..line.len()).filter(|at| line.is_char_boundary(*at)) {
                    let changed = format!("{}x{}", &line[..at], &line[at..]);
                    for text in [&line[..at], &changed] {
                        if let Ok(shown) = Shown::parse(text) {
                            assert_eq!(shown.to_string(), text);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_class_that_no_kernel_prints_is_refused() {
        for (text, class) in [(RECORDED[0], "class=0"), (RECORDED[3], "<class>0")] {
            let line = text.lines().find(|line| line.contains(class)).expect("there is one");
            let column = line.find(class).expect("there it is") + class.len();
            for number in ["4", "300", "4294967296", "x", ""] {
                let changed = line.replacen(class, &class.replace('0', number), 1);
                let error = Shown::parse(&changed).expect_err(&changed);
                assert_eq!(
                    (error.column, error.expected.as_str()),
                    (column, "a class from 0 to 3")
                );
            }
            assert!(Shown::parse(&line.replacen(class, &class.replace('0', "3"), 1)).is_ok());
        }
    }

    #[test]
    fn an_error_says_where_and_what_was_expected() {
        let error = |text: &str| {
            let mut lines = lines(text.as_bytes());
            lines.find_map(Result::err).expect("refused").to_string()
        };
        assert_eq!(error("299 proto=x"), "line 1, column 11: expected a number");
        assert_eq!(error("\n\n7 l3proto = 3 proto=6 "), "line 3, column 13: expected 2 or 10");
        let [first, ..] = RECORDED.map(|text| text.lines().next().expect("a line"));
        let of = |line: String| error(&line);
        for (from, to) in [(" helper=sip", " "), ("sip", "sip "), ("sip", "sip\r")] {
            assert!(of(first.replace(from, to)).ends_with(": expected the end of the line"));
        }
        assert!(of(first.replacen(" dst=10.0.0.1", " dst=fd00::1", 1)).ends_with("of IPv4"));
        assert!(of(first.replacen("master-src=10.0.0.2", "master-src=::", 1)).ends_with("of IPv4"));
        assert!(error("<flow type=\"old\">").contains("column 13: expected `new`, `destroy`"));
        let cut = "<flow><layer3 protonum=\"2\" protoname=\"ipv4";
        assert_eq!(error(cut), format!("line 1, column {}: expected `\">`", cut.len() + 1));
    }
}
