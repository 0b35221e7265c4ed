// SPDX-License-Identifier: GPL-2.0-only
//! The words of one line, and where each of them stands.

use nfexp_model::expectation::Flags;
use nfexp_model::kernel::Ticks;

use super::TextError;

/// The words of a line.
pub(super) struct Line<'a> {
    number: usize,
    text: &'a str,
    pub(super) at: usize,
}

/// The right side of `key=value`.
#[derive(Clone, Copy)]
pub(super) struct Value<'a>(pub(super) &'a str);

pub(super) type Want<T> = Result<T, String>;

impl Value<'_> {
    pub(super) fn number<T: std::str::FromStr>(self) -> Want<T> {
        self.0.parse().map_err(|_| "a number".to_owned())
    }

    /// A word that says all by itself.
    pub(super) fn alone(self, key: &str) -> Want<()> {
        if self.0.is_empty() { Ok(()) } else { Err(format!("`{key}` alone")) }
    }

    pub(super) fn name(self) -> Want<String> {
        if self.0.is_empty() { Err("a name".to_owned()) } else { Ok(self.0.to_owned()) }
    }

    pub(super) fn span(self, hz: u32) -> Want<Ticks> {
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

    /// As a policy counts.
    pub(super) fn seconds(self) -> Want<u32> {
        let units = [("s", 1), ("m", 60)];
        let read = units.iter().find_map(|(unit, times)| {
            let number: u32 = self.0.strip_suffix(unit)?.parse().ok()?;
            number.checked_mul(*times)
        });
        read.ok_or_else(|| format!("whole seconds, as in `300s`, {} at most", u32::MAX))
    }

    pub(super) fn flags(self) -> Want<Flags> {
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
    pub(super) fn new(number: usize, text: &'a str) -> Self {
        Self { number, text, at: 0 }
    }

    pub(super) fn rest(&self) -> &'a str {
        let rest = &self.text[self.at..];
        rest.trim_start()
    }

    pub(super) fn next(&mut self) -> Option<&'a str> {
        let rest = self.rest();
        let word = rest.split_whitespace().next()?;
        self.at = self.text.len() - rest.len() + word.len();
        Some(word)
    }

    /// Takes the next word if it is this one.
    pub(super) fn takes(&mut self, word: &str) -> bool {
        let before = self.at;
        let is = self.next() == Some(word);
        if !is {
            self.at = before;
        }
        is
    }

    pub(super) fn error(&self, expected: impl Into<String>) -> TextError {
        let rest = self.rest();
        let found = rest.split_whitespace().next().unwrap_or_default();
        let column = self.text[..self.text.len() - rest.len()].chars().count() + 1;
        let (line, expected) = (self.number, expected.into());
        TextError { line, column, expected, found: found.to_owned() }
    }

    pub(super) fn word(&mut self, expected: &str) -> Result<&'a str, TextError> {
        let before = self.at;
        match self.next() {
            Some(word) => Ok(word),
            None => {
                self.at = before;
                Err(self.error(expected))
            }
        }
    }

    pub(super) fn name(&mut self) -> Result<String, TextError> {
        let before = self.at;
        let word = self.word("a name")?;
        if word.contains('=') {
            self.at = before;
            return Err(self.error("a name"));
        }
        Ok(word.to_owned())
    }

    pub(super) fn read<T>(
        &mut self,
        read: impl FnOnce(Value<'a>) -> Want<T>,
    ) -> Result<T, TextError> {
        let before = self.at;
        let value = Value(self.next().unwrap_or_default());
        read(value).map_err(|expected| {
            self.at = before;
            self.error(expected)
        })
    }

    /// Reads `key=value` and bare words to the end of the line.
    pub(super) fn options(
        &mut self,
        mut take: impl FnMut(&str, Value<'a>) -> Want<()>,
    ) -> Result<(), TextError> {
        let mut given = Vec::new();
        loop {
            let before = self.at;
            let Some(word) = self.next() else { return Ok(()) };
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            // Of two, the last would win in silence.
            let once = match given.contains(&key) {
                true => Err(format!("{key} once")),
                false => Ok(()),
            };
            given.push(key);
            if let Err(expected) = once.and_then(|()| take(key, Value(value))) {
                self.at = before;
                return Err(self.error(expected));
            }
        }
    }

    pub(super) fn end(&self) -> Result<(), TextError> {
        if self.rest().is_empty() { Ok(()) } else { Err(self.error("the end of the line")) }
    }
}
