// SPDX-License-Identifier: GPL-2.0-only
//! A transcript's lines, read one at a time.
//!
//! The rule that matters: a line that cannot be read is an error with its number and what was
//! expected; nothing is skipped.

use std::io::{self, BufRead};

use serde::Deserialize;
use serde_json::Value;

use super::{Answer, Header, Line, Operation};

/// The longest line that is read, in bytes: a dump of a full table is well below, and what stands in
/// one takes a hundred times as much memory at worst.
pub const LONGEST_LINE: u64 = 4 << 20;

/// Why a transcript could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file itself.
    #[error("cannot read: {0}")]
    Io(#[from] io::Error),
    /// What stands in a line.
    #[error("line {line}: {what}")]
    Line {
        /// Its number, from 1.
        line: u64,
        /// What was expected.
        what: String,
    },
}

/// Reads all of a transcript, however long it is.
///
/// # Errors
/// At the first line that is none of a transcript.
pub fn whole(input: impl BufRead) -> Result<(Header, Vec<Line>), ReadError> {
    let mut reader = Reader::new(input);
    let header = reader.header()?;
    let mut lines = Vec::new();
    while let Some(line) = reader.next_line()? {
        lines.push(line);
    }
    Ok((header, lines))
}

/// Reads a header, then line after line.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    line: u64,
    bytes: u64,
    filled: u64,
    text: Vec<u8>,
    /// The first argument that is none.
    unknown: Option<(u64, String)>,
}

impl<R: BufRead> Reader<R> {
    /// Reads from `input`.
    pub fn new(input: R) -> Self {
        Self { input, line: 0, bytes: 0, filled: 0, text: Vec::new(), unknown: None }
    }

    /// Refuses what is longer than this, so far: for whoever keeps all of it, and plays it often.
    ///
    /// # Errors
    /// Where the last line that was read ends behind so many bytes, or comes after so many lines, or
    /// where so many masters and expectations are filled in.
    pub fn is_within(&self, bytes: u64, lines: u64, filled: u64) -> Result<(), ReadError> {
        if self.filled > filled {
            return Err(self.wrong(format!("expected at most {filled} to be filled in, in all")));
        }
        if self.bytes <= bytes && self.line <= lines {
            return Ok(());
        }
        let most = format!("at most {lines} lines and {} MiB", bytes >> 20);
        Err(self.wrong(format!("expected a transcript of {most}")))
    }

    /// The header.
    ///
    /// # Errors
    /// If the first line is none.
    pub fn header(&mut self) -> Result<Header, ReadError> {
        if !self.next_text()? {
            self.line += 1;
            return Err(self.wrong("expected a header, found the end".to_owned()));
        }
        let header: Header = serde_json::from_slice(&self.text)
            .map_err(|error| self.wrong(format!("expected a header: {}", within(&error))))?;
        if header.oracle != 1 {
            let found = header.oracle;
            return Err(self.wrong(format!("expected format 1, found format {found}")));
        }
        if header.hz == 0 || header.hz > 10_000 {
            let found = header.hz;
            return Err(self.wrong(format!("expected hz from 1 to 10000, found {found}")));
        }
        Ok(header)
    }

    /// The next operation, with its answer if it has one; `None` at the end.
    ///
    /// # Errors
    /// If the line is none of a transcript.
    pub fn next_line(&mut self) -> Result<Option<Line>, ReadError> {
        if !self.next_text()? {
            return Ok(None);
        }
        let (line, unknown) = parse_line(&self.text).map_err(|what| self.wrong(what))?;
        self.unknown = self.unknown.take().or_else(|| Some((self.line, unknown?)));
        if let Operation::Fill(fill) = line.operation {
            self.filled = self.filled.saturating_add(fill.count());
        }
        Ok(Some(line))
    }

    /// The next line that is not blank, into `text`.
    fn next_text(&mut self) -> Result<bool, ReadError> {
        loop {
            self.text.clear();
            let mut limited = io::Read::take(&mut self.input, LONGEST_LINE);
            let read = limited.read_until(b'\n', &mut self.text)?;
            if read == 0 {
                return Ok(false);
            }
            self.line += 1;
            self.bytes += read as u64;
            if read as u64 == LONGEST_LINE {
                return Err(self.wrong(format!("expected at most {LONGEST_LINE} bytes")));
            }
            if !self.text.iter().all(u8::is_ascii_whitespace) {
                return Ok(true);
            }
        }
    }

    /// The first argument that its operation does not have, which does nothing, and its line, from 1.
    #[must_use]
    pub fn unknown(&self) -> Option<(u64, &str)> {
        self.unknown.as_ref().map(|(line, what)| (*line, what.as_str()))
    }

    /// The line that was read last, from 1.
    #[must_use]
    pub const fn line(&self) -> u64 {
        self.line
    }

    fn wrong(&self, what: String) -> ReadError {
        ReadError::Line { line: self.line, what }
    }
}

/// What stands in a line besides the answer.
#[derive(Deserialize)]
struct Head {
    i: u64,
    #[serde(default)]
    t: Option<u64>,
    op: String,
    #[serde(default = "no_arguments")]
    a: Value,
}

/// How an operation without number and answer is told.
const A_LONE_ONE: &str = "an operation of a transcript, `{\"op\":…,\"a\":{…}}`";

/// An operation without number and answer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lone {
    op: String,
    #[serde(default = "no_arguments")]
    a: Value,
}

fn no_arguments() -> Value {
    Value::Object(serde_json::Map::new())
}

/// A line, and what stands among its arguments that is none.
fn parse_line(text: &[u8]) -> Result<(Line, Option<String>), String> {
    let head: Head = serde_json::from_slice(text)
        .map_err(|error| format!("expected an operation with i, op and a: {}", within(&error)))?;
    let answer: Answer = serde_json::from_slice(text)
        .map_err(|error| format!("expected the answer to {}: {}", head.op, within(&error)))?;
    let (operation, unknown) = operation_of(head.op, head.a)?;
    Ok((Line { i: head.i, t: head.t, operation, answer }, unknown))
}

fn operation_of(op: String, arguments: Value) -> Result<(Operation, Option<String>), String> {
    let arguments = without_nulls(arguments);
    let mut tagged = serde_json::Map::new();
    tagged.insert("op".to_owned(), Value::String(op.clone()));
    tagged.insert("a".to_owned(), arguments.clone());
    let operation: Operation = serde_json::from_value(Value::Object(tagged))
        .map_err(|error| format!("expected the arguments of {op}: {error}"))?;
    operation.check().map_err(|what| format!("expected {what}"))?;
    let known = serde_json::to_value(&operation).expect("an operation's values are plain");
    let unknown = no_argument(&arguments, &known["a"]);
    let unknown = unknown.map(|key| format!("{op} has no argument `{key}`"));
    Ok((operation, unknown))
}

/// The first key that was read and is not written again; these two are written where they say no.
fn no_argument(read: &Value, written: &Value) -> Option<String> {
    read.as_object()?.iter().find_map(|(key, value)| match written.get(key) {
        None => (!["excl", "create"].contains(&key.as_str())).then(|| key.clone()),
        Some(again) => no_argument(value, again).map(|inner| format!("{key}.{inner}")),
    })
}

impl Operation {
    /// An operation that stands by itself, as in a trace.
    ///
    /// # Errors
    /// What was expected in its place.
    pub(crate) fn read(text: &[u8]) -> Result<Self, String> {
        let lone: Lone = serde_json::from_slice(text)
            .map_err(|error| format!("expected {A_LONE_ONE}: {}", within(&error)))?;
        match operation_of(lone.op, lone.a)? {
            (operation, None) => Ok(operation),
            (_, Some(unknown)) => Err(format!("expected arguments: {unknown}")),
        }
    }
}

/// What is wrong within one line, whose number is told beside it.
fn within(error: &serde_json::Error) -> String {
    let told = error.to_string();
    match told.rsplit_once(" at line ") {
        Some((what, _)) if error.line() == 1 => format!("{what} at column {}", error.column()),
        Some((what, _)) => format!("{what} at its end"),
        None => told,
    }
}

/// A missing argument equals null.
fn without_nulls(arguments: Value) -> Value {
    match arguments {
        Value::Object(map) => {
            let kept = map.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key, without_nulls(value))).collect())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = r#"{"oracle":1,"kernel":"6.18","hz":250,"expect_max":4096,"nft":[{"udp_dport":4321,"l4":17,"dport":2000,"seconds":5,"size":2}],"tol":1,"profile":"mix","seed":"7","n":3}"#;
    const LINES: [&str; 3] = [
        r#"{"i":0,"t":0,"op":"ct_help","a":{"l3":"ip","orig":{"src":"10.0.0.1","dst":"10.0.0.2","proto":17,"sport":1,"dport":69},"zone":1,"helper":""},"ret":"OK","ev":[{"ev":"exp_destroy","rep":false,"e":12,"to":180}]}"#,
        r#"{"i":1,"t":0,"op":"exp_get","a":{"l3":"ip6","tuple":{"src":"fd00::3","proto":58,"id":5,"type":128,"code":0},"id":{"of":"this"}},"id_of":3,"ret":"OK","dump":[{"e":3,"to":2}],"ev":[]}"#,
        r#"{"i":2,"t":0,"op":"advance","a":{"to":2000},"order":"none","ev":[]}"#,
    ];

    fn reader(text: &str) -> Reader<&[u8]> {
        Reader::new(text.as_bytes())
    }

    #[test]
    fn what_was_read_is_written_the_same() {
        let text = format!("{HEADER}\n{}\n", LINES.join("\n"));
        let mut reader = reader(&text);
        let header = reader.header().expect("a header");
        assert_eq!(serde_json::to_string(&header).expect("serialises"), HEADER);
        for expected in LINES {
            let line = reader.next_line().expect("a line").expect("not the end");
            assert_eq!(serde_json::to_string(&line).expect("serialises"), expected);
        }
        assert!(reader.next_line().expect("the end").is_none());
    }

    #[test]
    fn a_seed_may_be_a_number() {
        let header = HEADER.replace(r#""7""#, "7");
        assert_eq!(reader(&header).header().expect("a header").seed, "7");
    }

    #[test]
    fn what_is_no_transcript_is_refused_with_its_line() {
        let error = |text: String| {
            let mut reader = reader(&text);
            reader.header().and_then(|_| reader.next_line()).expect_err("refused").to_string()
        };
        let of = |line: &str| error(format!("{HEADER}\n\n{line}\n"));
        assert!(error(String::new()).starts_with("line 1: expected a header, found the end"));
        assert!(error("{}".into()).starts_with("line 1: expected a header: missing field"));
        assert!(error(HEADER.replace(":1,\"k", ":2,\"k")).contains("expected format 1"));
        let of_line = |line, column| {
            let told = of(line);
            let (what, place) = told.rsplit_once(" at ").expect("a place");
            assert!(what.starts_with("line 3: expected an operation with i, op and a: "), "{told}");
            assert_eq!(place, column, "{told}");
        };
        of_line("[", "its end");
        of_line(r#"{"i":0,"op"}"#, "column 12");
        assert!(of(r#"{"i":0,"op":"jump"}"#).contains("unknown variant `jump`"));
        assert!(of(r#"{"i":0,"op":"advance"}"#).contains("arguments of advance: missing field"));
        let fill = r#"{"i":0,"op":"fill","a":{"masters":4000000000,"per":1}}"#;
        assert!(of(fill).contains("as there are ports"));
        assert!(of(r#"{"i":0,"op":"proc","ret":5}"#).contains("expected the answer to proc"));
        let zero = r#"{"i":0,"op":"exp_del_helper","a":{"name":"ftp\u0000"}}"#;
        assert!(of(zero).contains("expected a name without a zero"));
        let keyless =
            r#"{"i":0,"op":"pkt","a":{"p":{"src":"10.0.0.1","dst":"10.0.0.2","proto":47}}}"#;
        assert!(of(keyless).contains("with sport and dport, its keys"));
    }
}
