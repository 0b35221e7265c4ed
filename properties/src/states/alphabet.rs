// SPDX-License-Identifier: GPL-2.0-only
//! What may be done in a small world, and when.
//!
//! ```text
//!   m  two classes: two for one second, one for twenty       a b c, d g   k, which is held
//!   n  one class: one for two seconds; confirmed or not      e f
//! ```
//!
//! *Deed*: a step of a trace, with what must be there for it.
//!
//! The rule that matters: what is told apart in an answer has its own name, and names say all: two
//! histories that lead to one situation hold the same under the same names.

use std::borrow::Cow;
use std::net::Ipv4Addr;

use nfexp_model::Config;
use nfexp_model::event::Origin;
use nfexp_model::expectation::Flags;
use nfexp_model::helper::{ExpectPolicy, Helper, IN_TREE};
use nfexp_model::kernel::{Cpu, Ticks};
use nfexp_model::netns::NetId;
use nfexp_model::revision::Revision;
use nfexp_model::tuple::{L3, Mask, Proto, Tuple};
use nfexp_traces::step::{Announcement, Fate, HelperChoice, Place, Step, Target};

/// Something that may be done.
#[derive(Clone, Debug)]
pub struct Deed {
    /// What.
    pub what: What,
    /// What must be so.
    pub needs: Vec<Need>,
}

/// What is done.
#[derive(Clone, Debug)]
pub enum What {
    /// A step.
    Step(Step),
    /// An announcement whose maker gives its reference back at once.
    Announce(Step),
    /// Time passes to the next moment at which an expectation is over.
    ToNextExpiry,
}

/// What must be so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// This name is held.
    Held(&'static str),
    /// It is not.
    NotHeld(&'static str),
    /// The held expectation is not linked, and its master has a policy for it.
    MayReturn(&'static str),
    /// An expectation of this name is linked and its timer pending.
    Pending(&'static str),
    /// Its timer is firing.
    Firing(&'static str),
    /// No timer is: old kernels crash where a master goes beside a waiting callback, which the
    /// corpus shows (`master/dies_under_a_firing_timer`).
    NothingFires,
}

const CLASSES: &[ExpectPolicy] = &[
    ExpectPolicy { max_expected: 2, timeout_secs: 1, name: "" },
    ExpectPolicy { max_expected: 1, timeout_secs: 20, name: "late" },
];
const ONE: &[ExpectPolicy] = &[ExpectPolicy { max_expected: 1, timeout_secs: 2, name: "" }];
const HELPERS: &[Helper] = &[
    Helper { name: "two", policies: CLASSES, ..IN_TREE[0] },
    Helper { name: "one", policies: ONE, ..IN_TREE[0] },
];

/// The small world: a table for three, four jiffies a second.
#[must_use]
pub fn config(revision: Revision) -> Config {
    Config {
        revision,
        hz: 4,
        hash_size: 2,
        expect_max: 3,
        expectations: 24,
        conns: 24,
        cpus: 1,
        helpers: Cow::Borrowed(HELPERS),
        ..Config::SMALL
    }
}

fn tuple(src: u8, sport: u16, dport: u16) -> Tuple {
    let ip = |last: u8| Ipv4Addr::new(10, 0, 0, last).into();
    Tuple::new(Proto::TCP, ip(src), sport, ip(9), dport)
}

/// What both masters did before.
#[must_use]
pub fn beginning() -> Vec<Step> {
    let conn = |name: &str, src, helper: &str| Step::Conn {
        name: name.into(),
        tuple: tuple(src, 1000, 21),
        place: Place::default(),
        helper: HelperChoice::Named(helper.into()),
        mark: 0,
        secmark: 0,
    };
    vec![
        // One tick has passed before anything happens, as on any machine.
        Step::Advance(Ticks(1)),
        conn("m", 1, "two"),
        conn("n", 2, "one"),
        Step::Confirm { conn: "m".into() },
    ]
}

/// An announcement: by whom, in which class, to which port, from where, and how.
fn announce(
    name: &str,
    (master, class): (&str, u8),
    dport: u16,
    (address, port): (Option<u8>, Option<u16>),
    flags: Flags,
) -> Step {
    let mask = Mask::exact(L3::Ipv4, address.is_some(), port.is_some());
    let announcement = Announcement {
        name: name.into(),
        master: master.into(),
        target: Target::Masked(tuple(address.unwrap_or(0), port.unwrap_or(0), dport), mask),
        class,
        flags,
        assign: None,
        expectfn: None,
        nat: None,
        // Said, for where no policy does: old kernels go by what the memory held before.
        timeout: Some(Ticks(3)),
    };
    Step::Expect { announcement, skip_master: false, origin: Origin::KERNEL }
}

fn packet(name: Option<&str>, tuple: Tuple, fate: Fate) -> Step {
    Step::Packet { tuple, place: Place::default(), name: name.map(str::to_owned), fate }
}

/// Everything that may be done, in the order in which it is tried.
#[must_use]
pub fn deeds() -> Vec<Deed> {
    use Need::{Firing, Held, MayReturn, NotHeld, NothingFires, Pending};
    let (any, none) = ((None, None), Flags::NONE);
    let name = |name: &str| name.to_owned();
    let skipping = |step| match step {
        Step::Expect { announcement, origin, .. } => {
            Step::Expect { announcement, skip_master: true, origin }
        }
        other => other,
    };
    let helped = |step| match step {
        Step::Expect { mut announcement, skip_master, origin } => {
            announcement.assign = Some("one".into());
            Step::Expect { announcement, skip_master, origin }
        }
        other => other,
    };
    let lookup = |tuple| Step::Lookup { tuple, place: Place::default(), name: None, cpu: Cpu(0) };
    let net = NetId::INIT;
    let announced = |step, needs: &[Need]| (What::Announce(step), needs.to_vec());
    let does = |step, needs: &[Need]| (What::Step(step), needs.to_vec());
    let all = [
        announced(announce("a", ("m", 0), 1, any, none), &[]),
        announced(announce("b", ("m", 0), 2, any, Flags::INACTIVE), &[]),
        announced(helped(announce("c", ("m", 0), 2, (Some(1), None), Flags::PERMANENT)), &[]),
        announced(announce("d", ("m", 1), 1, (Some(1), Some(7)), none), &[]),
        announced(announce("g", ("m", 1), 2, (Some(2), Some(8)), none), &[]),
        announced(announce("e", ("n", 0), 1, any, none), &[Held("n")]),
        announced(skipping(announce("e", ("n", 0), 1, any, none)), &[Held("n")]),
        announced(announce("f", ("n", 0), 2, (Some(2), None), none), &[Held("n")]),
        does(announce("k", ("m", 0), 1, (None, Some(7)), none), &[NotHeld("k")]),
        does(
            Step::Relate { exp: name("k"), skip_master: false, origin: Origin::KERNEL },
            &[Held("k"), MayReturn("k")],
        ),
        does(Step::Unexpect { exp: name("k") }, &[Held("k")]),
        does(Step::Put { name: name("k") }, &[Held("k"), NothingFires]),
        does(packet(Some("p"), tuple(1, 7, 1), Fate::Forwarded), &[]),
        does(packet(Some("q"), tuple(2, 8, 2), Fate::Forwarded), &[]),
        does(packet(None, tuple(2, 8, 1), Fate::Dropped), &[NothingFires]),
        does(packet(None, tuple(1, 9, 2), Fate::Template), &[NothingFires]),
        does(lookup(tuple(1, 7, 1)), &[]),
        does(lookup(tuple(2, 8, 2)), &[]),
        does(Step::Destroy { conn: name("p") }, &[Held("p"), NothingFires]),
        does(Step::Confirm { conn: name("n") }, &[Held("n"), NothingFires]),
        does(Step::Delete { conn: name("n") }, &[Held("n")]),
        does(Step::Destroy { conn: name("n") }, &[Held("n"), NothingFires]),
        does(Step::Remove { conn: name("m") }, &[]),
        does(Step::Flush { net, origin: Origin::KERNEL }, &[]),
        does(Step::Unregister { helper: name("one") }, &[]),
        does(Step::ExpectMax(1), &[NothingFires]),
        does(Step::ExpectMax(3), &[NothingFires]),
        does(Step::Fire { exp: name("a") }, &[Pending("a")]),
        does(Step::Callback { exp: name("a") }, &[Firing("a")]),
        does(Step::Advance(Ticks(1)), &[NothingFires]),
        (What::ToNextExpiry, vec![NothingFires]),
    ];
    all.into_iter().map(|(what, needs)| Deed { what, needs }).collect()
}

impl std::fmt::Display for What {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Step(step) | Self::Announce(step) => step.fmt(f),
            Self::ToNextExpiry => f.write_str("to the next expiry"),
        }
    }
}
