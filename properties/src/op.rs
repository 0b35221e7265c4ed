// SPDX-License-Identifier: GPL-2.0-only
//! What a CPU may be doing: the operations that meet in a race.
//!
//! *Operation*: one thing the kernel does with expectations, by the letter of the pair matrix
//! below. Expectations are named by their destination port, connections by what they are.
//!
//! ```text
//!   T  its timer expires           R  the master's end           D  listings and dumps
//!   I  a helper announces          U  its maker takes it back    X  ctnetlink changes, deletes
//!   F  its connection arrives      P  a reference is given back  H  a helper or function goes
//!   G  a lookup takes a reference                                N  the namespace ends
//! ```
//!
//! The rule that matters: an operation is what the kernel's callers do, step for step; where a
//! revision decides how, it asks the revision.

use std::fmt;

macro_rules! ops {
    ($($(#[doc = $doc:literal])+ $name:ident $(($port:ident))?, $word:literal, $letter:literal;)*) => {
        /// One operation; a number is the port of the expectation it is about.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Op { $($(#[doc = $doc])+ $name $((ops!(@port $port)))?),* }

        impl Op {
            /// Its word, without the port.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name { .. } => $word),* }
            }

            /// Its row in the pair matrix.
            #[must_use]
            pub const fn letter(self) -> char {
                match self { $(Self::$name { .. } => $letter),* }
            }

            /// What it is, in a sentence.
            #[must_use]
            pub const fn what(self) -> &'static str {
                match self { $(Self::$name { .. } => concat!($($doc),+)),* }
            }

            /// Every operation's name, with an example of a port, and what it is.
            #[must_use]
            pub fn all() -> Vec<(String, &'static str)> {
                vec![$((ops!(@example $word $(, $port)?), concat!($($doc),+).trim())),*]
            }

            fn of(word: &str, port: Option<u8>) -> Option<Self> {
                match (word, port) {
                    $(ops!(@pattern $word $(, $port)?) => Some(Self::$name $(($port))?),)*
                    _ => None,
                }
            }

            /// The expectation it is about.
            #[must_use]
            pub const fn port(self) -> Option<u8> {
                match self { $(Self::$name $(($port))? => ops!(@port_of $($port)?)),* }
            }
        }
    };
    (@port $port:ident) => { u8 };
    (@pattern $word:literal) => { ($word, None) };
    (@pattern $word:literal, $port:ident) => { ($word, Some($port)) };
    (@example $word:literal) => { $word.to_owned() };
    (@example $word:literal, $port:ident) => { format!("{}-1", $word) };
    (@port_of) => { None };
    (@port_of $port:ident) => { Some($port) };
}

ops! {
    /// Its timer expires: detached by the softirq, then the callback.
    Expire(port), "expire", 'T';
    /// Its connection arrives (`nf_ct_find_expectation`).
    Match(port), "match", 'F';
    /// Its connection arrives and becomes the master's child (`init_conntrack`).
    Connect(port), "connect", 'F';
    /// Its connection arrives, and lasts.
    Child(port), "child", 'F';
    /// Somebody looks it up and takes a reference (`nf_ct_expect_find_get`).
    Lookup(port), "lookup", 'G';
    /// Somebody of another zone looks its tuple up.
    LookupElsewhere(port), "lookup-elsewhere", 'G';
    /// Somebody looks it up under the lock (`__nf_ct_expect_find`).
    Find(port), "find", 'G';
    /// Somebody looks it up under the lock, and whether its master is in the table.
    Follow(port), "follow", 'G';
    /// A helper announces it: new, or a refresh of the one that is linked.
    Announce(port), "announce", 'I';
    /// A helper announces it together with the next port (`nf_ct_expect_related_pair`).
    Pair(port), "pair", 'I';
    /// Its maker takes it back and gives the creator's reference back.
    Unexpect(port), "unexpect", 'U';
    /// Its maker takes it back and announces the same object with the next port (a NAT helper).
    Reuse(port), "reuse", 'U';
    /// A holder gives its reference back.
    Put(port), "put", 'P';
    /// The master's expectations end (`nf_ct_remove_expectations`).
    Remove, "remove", 'R';
    /// H.323 unregisters (URQ): the master's expectations end, in old kernels without the lock.
    Urq, "urq", 'R';
    /// The master leaves the table and its last reference goes.
    Destroy, "destroy", 'R';
    /// The listing is read.
    List, "list", 'D';
    /// The listing is read line by line.
    ListInParts, "list-in-parts", 'D';
    /// ctnetlink answers a get: found, then read with its master.
    Get(port), "get", 'D';
    /// ctnetlink dumps one master's expectations in parts, resuming at the first.
    Dump(port), "dump", 'D';
    /// ctnetlink deletes it.
    Delete(port), "delete", 'X';
    /// ctnetlink gives it another lifetime.
    Change(port), "change", 'X';
    /// ctnetlink deletes all.
    Flush, "flush", 'X';
    /// The helper is unregistered.
    Unregister, "unregister", 'H';
    /// The module with the expectations' function goes.
    Rmmod, "rmmod", 'H';
    /// The namespace ends.
    NetnsExit, "netns-exit", 'N';
}

impl Op {
    /// The operation of this name: `expire-1`, `list`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let with_port = name.rsplit_once('-').and_then(|(word, port)| {
            let port = port.parse().ok().filter(|port| (1..=9).contains(port))?;
            Self::of(word, Some(port))
        });
        with_port.or_else(|| Self::of(name, None))
    }

    /// How many it announces: of its port, and from there on.
    #[must_use]
    pub const fn announces(self) -> u8 {
        match self {
            Self::Announce(_) => 1,
            Self::Pair(_) => 2,
            _ => 0,
        }
    }

    /// Whether it ends the master, so that others must hold it by themselves.
    #[must_use]
    pub const fn ends_master(self) -> bool {
        matches!(self, Self::Destroy | Self::NetnsExit)
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port() {
            Some(port) => write!(f, "{}-{port}", self.word()),
            None => f.write_str(self.word()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written() {
        for op in [Op::Expire(1), Op::LookupElsewhere(2), Op::ListInParts, Op::NetnsExit, Op::List]
        {
            assert_eq!(Op::named(&op.to_string()), Some(op));
        }
        assert_eq!(Op::named("expire"), None);
        assert_eq!(Op::named("list-1"), None);
    }
}
