// SPDX-License-Identifier: GPL-2.0-only
//! Scenarios: a small world and what each of its CPUs does.
//!
//! A scenario has a name, and the name is all there is to it:
//!
//! ```text
//!   expire-1+match-1                 two CPUs, one operation each
//!   announce-2,unexpect-2+list       the first does two things in turn
//!   expire-1+announce-2:one          variants behind the colon
//! ```
//!
//! The rule that matters: what is linked at the start follows from the operations: every port
//! that somebody uses without having announced it, and port 1.

use std::fmt;

use nfexp_model::revision::Revision;

use crate::op::Op;

macro_rules! variants {
    ($(#[doc = $what:literal] $word:ident;)*) => {
        /// What a scenario has beside its operations.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct Variant { $(#[doc = $what] pub $word: bool),* }

        impl Variant {
            /// Each by its word, and what it says.
            pub const WORDS: &[(&'static str, &'static str)] = &[$((stringify!($word), $what)),*];

            fn flags(&mut self) -> impl Iterator<Item = &mut bool> {
                [$(&mut self.$word),*].into_iter()
            }
        }
    };
}

variants! {
    /// Nothing is linked at the start.
    empty;
    /// What is linked is permanent.
    permanent;
    /// The master's class holds as many as are linked: another must evict.
    one;
    /// The table holds as many as are linked: another is refused.
    full;
    /// Events are told, and their order is checked.
    told;
    /// Expectations carry a function.
    function;
    /// Somebody holds a reference to each all the time.
    held;
    /// Everybody comes after the lifetime of what is linked at the start.
    late;
}

/// A small world and its actors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Which kernel.
    pub revision: Revision,
    /// What each CPU does, in turn; the first acts on main.
    pub cpus: Vec<Vec<Op>>,
    /// What else there is to it.
    pub variant: Variant,
}

impl Scenario {
    /// One operation per CPU.
    #[must_use]
    pub fn of(revision: Revision, ops: &[Op]) -> Self {
        let cpus = ops.iter().map(|op| vec![*op]).collect();
        Self { revision, cpus, variant: Variant::default() }
    }

    /// The scenario of this name on this kernel.
    ///
    /// # Errors
    /// What is not understood, and what was expected.
    pub fn named(revision: Revision, name: &str) -> Result<Self, String> {
        let scenario = Self::named_wide(revision, name)?;
        if scenario.cpus.len() > 4 {
            return Err(format!("{} CPUs; loom explores at most four", scenario.cpus.len()));
        }
        Ok(scenario)
    }

    /// The same with as many CPUs as it names, for those that take turns.
    ///
    /// # Errors
    /// What is not understood, and what was expected.
    pub fn named_wide(revision: Revision, name: &str) -> Result<Self, String> {
        let (ops, words) = name.split_once(':').unwrap_or((name, ""));
        let mut variant = Variant::default();
        for word in words.split(',').filter(|word| !word.is_empty()) {
            let mut flags = Variant::WORDS.iter().zip(variant.flags());
            let flag = flags.find(|((known, _), _)| *known == word).map(|(_, flag)| flag);
            *flag.ok_or_else(|| format!("no variant `{word}`; see --list"))? = true;
        }
        let op = |name: &str| {
            Op::named(name).ok_or_else(|| format!("no operation `{name}`; see --list"))
        };
        let cpu = |ops: &str| ops.split(',').map(op).collect::<Result<Vec<_>, _>>();
        let cpus = ops.split('+').map(cpu).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { revision, cpus, variant })
    }

    /// The same with another variant.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Variant)) -> Self {
        change(&mut self.variant);
        self
    }

    /// All operations.
    pub fn ops(&self) -> impl Iterator<Item = Op> + '_ {
        self.cpus.iter().flatten().copied()
    }

    /// How many expectations are linked at the start: ports 1 to this.
    #[must_use]
    pub fn linked(&self) -> u8 {
        if self.variant.empty {
            return 0;
        }
        let used = self.cpus.iter().flat_map(|ops| {
            ops.iter().enumerate().filter_map(|(at, op)| {
                let port = op.port()?;
                let announces = |before: &Op| {
                    before
                        .port()
                        .is_some_and(|first| (first..first + before.announces()).contains(&port))
                };
                (op.announces() == 0 && !ops[..at].iter().any(announces)).then_some(port)
            })
        });
        used.max().unwrap_or(1).max(1)
    }

    /// The highest port anybody names.
    #[must_use]
    pub fn ports(&self) -> u8 {
        let next = |op: Op| matches!(op, Op::Reuse(_) | Op::Pair(_));
        let highest = |op: Op| op.port().map(|port| port + u8::from(next(op)));
        self.ops().filter_map(highest).max().unwrap_or(1).max(self.linked())
    }

    /// The same with the CPUs in another order.
    #[must_use]
    pub fn turned(&self, by: usize) -> Self {
        let mut turned = self.clone();
        turned.cpus.rotate_left(by);
        turned
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, ops) in self.cpus.iter().enumerate() {
            let names: Vec<String> = ops.iter().map(Op::to_string).collect();
            write!(f, "{}{}", if at == 0 { "" } else { "+" }, names.join(","))?;
        }
        let mut variant = self.variant;
        let words = Variant::WORDS.iter().zip(variant.flags());
        let words: Vec<&str> = words.filter(|(_, on)| **on).map(|((word, _), _)| *word).collect();
        if !words.is_empty() {
            write!(f, ":{}", words.join(","))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written() {
        for name in ["expire-1+match-1", "announce-2,unexpect-2+list:one,told", "expire-1+expire-2"]
        {
            let scenario = Scenario::named(Revision::LINUX_3_9, name).expect("a good name");
            assert_eq!(scenario.to_string(), name);
        }
        let linked = |name| Scenario::named(Revision::LINUX_3_9, name).expect("good").linked();
        assert_eq!(linked("announce-2,unexpect-2+list"), 1);
        assert_eq!(linked("expire-1+match-2"), 2);
        assert_eq!(linked("announce-1+match-1:empty"), 0);
        assert_eq!(linked("pair-1,unexpect-2+list"), 1);
        assert_eq!(linked("pair-1+match-2"), 2);
        assert!(Scenario::named(Revision::LINUX_3_9, "expire-1+nothing").is_err());
        assert!(Scenario::named(Revision::LINUX_3_9, "list:much").is_err());
    }
}
