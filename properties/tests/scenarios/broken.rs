// SPDX-License-Identifier: GPL-2.0-only
//! The canary: engines that are broken on purpose, each noticed by the suite's own sequences.

use nfexp_model::Config;
use nfexp_model::conn::ConnId;
use nfexp_model::event::Cause;
use nfexp_model::eviction::{Candidate, Eviction, Oldest, Pressure, Table};
use nfexp_model::expectation::{ExpectId, Flags};
use nfexp_model::helper::{ExpectPolicy, Helper};
use nfexp_model::kernel::Jiffies;
use nfexp_model::revision::Revision;

use crate::deeds::sequences;
use crate::pair::{Break, ChangeConfig, NewEviction};
use crate::{TestCaseError, play, runner_of};

/// An eviction that remembers everybody and goes by `choose`.
struct Wrong {
    linked: Vec<Candidate>,
    choose: fn(&[Candidate], &Candidate) -> Option<ExpectId>,
}

impl Eviction for Wrong {
    fn inserted(&mut self, about: &Candidate, _: &dyn Table) {
        self.linked.push(*about);
    }

    fn removed(&mut self, _: Jiffies, id: ExpectId, _: Cause) {
        self.linked.retain(|about| about.id != id);
    }

    fn victim(&mut self, pressure: Pressure, new: &Candidate, _: &dyn Table) -> Option<ExpectId> {
        let class_full = pressure == Pressure::ClassFull;
        if class_full { (self.choose)(&self.linked, new) } else { None }
    }
}

/// The kernel's own, but it makes room in a full table, too.
struct Generous(Option<ConnId>);

impl Eviction for Generous {
    fn inserted(&mut self, about: &Candidate, _: &dyn Table) {
        self.0 = Some(about.master);
    }

    fn removed(&mut self, _: Jiffies, _: ExpectId, _: Cause) {}

    fn victim(&mut self, pressure: Pressure, new: &Candidate, all: &dyn Table) -> Option<ExpectId> {
        match pressure {
            Pressure::TableFull => all.oldest(self.0?, new.class),
            pressure => Oldest.victim(pressure, new, all),
        }
    }
}

fn own<'a>(
    all: &'a [Candidate],
    new: &Candidate,
) -> impl DoubleEndedIterator<Item = &'a Candidate> {
    let (master, class) = (new.master, new.class);
    all.iter().filter(move |about| about.master == master && about.class == class)
}

fn youngest(all: &[Candidate], new: &Candidate) -> Option<ExpectId> {
    own(all, new).next_back().map(|about| about.id)
}

fn of_any_class(all: &[Candidate], new: &Candidate) -> Option<ExpectId> {
    all.iter().find(|about| about.master == new.master).map(|about| about.id)
}

fn spares_the_permanent(all: &[Candidate], new: &Candidate) -> Option<ExpectId> {
    own(all, new).find(|about| !about.flags.has(Flags::PERMANENT)).map(|about| about.id)
}

fn spares_the_inactive(all: &[Candidate], new: &Candidate) -> Option<ExpectId> {
    own(all, new).find(|about| !about.flags.has(Flags::INACTIVE)).map(|about| about.id)
}

fn nobody(_: &[Candidate], _: &Candidate) -> Option<ExpectId> {
    None
}

fn wrong(choose: fn(&[Candidate], &Candidate) -> Option<ExpectId>) -> Box<dyn Eviction> {
    Box::new(Wrong { linked: Vec::new(), choose })
}

/// Every policy changed.
fn policies(config: Config, change: fn(&ExpectPolicy) -> ExpectPolicy) -> Config {
    let changed = |helper: &Helper| {
        let policies: Vec<ExpectPolicy> = helper.policies.iter().map(change).collect();
        Helper { policies: Vec::leak(policies), ..*helper }
    };
    Config { helpers: config.helpers.iter().map(changed).collect(), ..config }
}

/// Ends with the first sequence that notices; many are drawn, because on another seed a rare
/// wrong may show late, and fewer asked for by `NFEXP_CASES` prove nothing about it.
fn noticed(name: &str, engine: Revision, reference: Revision, broken: Break) {
    let run = runner_of(3000).run(&sequences(), |deeds| {
        play(&deeds, engine, reference, broken).map_err(TestCaseError::fail)
    });
    assert!(run.is_err(), "{name}: not noticed");
}

#[test]
fn an_eviction_that_is_not_the_kernels_is_noticed() {
    let worlds: [(&str, NewEviction); 6] = [
        ("the youngest goes", || wrong(youngest)),
        ("the class does not matter", || wrong(of_any_class)),
        ("PERMANENT is a shield", || wrong(spares_the_permanent)),
        ("INACTIVE is a shield", || wrong(spares_the_inactive)),
        ("nobody goes", || wrong(nobody)),
        ("somebody goes for a full table", || Box::new(Generous(None))),
    ];
    for (name, eviction) in worlds {
        let broken = Break { eviction: Some(eviction), ..Break::default() };
        noticed(name, Revision::LINUX_3_9, Revision::LINUX_3_9, broken);
    }
}

#[test]
fn a_limit_that_is_off_by_one_is_noticed() {
    let worlds: [(&str, ChangeConfig); 5] = [
        ("the table holds one more", |c| Config { expect_max: c.expect_max + 1, ..c }),
        ("the table holds one less", |c| Config { expect_max: c.expect_max - 1, ..c }),
        ("a class holds one more", |c| {
            policies(c, |p| ExpectPolicy { max_expected: p.max_expected + 1, ..*p })
        }),
        ("a second too long", |c| {
            policies(c, |p| ExpectPolicy { timeout_secs: p.timeout_secs + 1, ..*p })
        }),
        ("a second has one tick more", |c| Config { hz: c.hz + 1, ..c }),
    ];
    for (name, config) in worlds {
        let broken = Break { config: Some(config), ..Break::default() };
        noticed(name, Revision::LINUX_3_9, Revision::LINUX_3_9, broken);
    }
}

/// Every knob that these sequences can see. The others show on a second CPU, in the order of a
/// listing, in freed memory, beyond 255 of a class, or where a user asks by netlink.
#[test]
fn a_kernel_with_one_knob_turned_is_noticed() {
    let seen = [
        "clash_scope",
        "duplicate",
        "master_ref",
        "wheel",
        "expiry",
        "helper_from",
        "class_text",
        "expect_max_range",
        "found_stat",
    ];
    let (old, new) = (Revision::LINUX_3_9, Revision::LINUX_7_2);
    for knob in seen {
        let turned = old.with_knob_of(knob, &new).expect("a knob that exists");
        noticed(knob, turned, old, Break::default());
    }
}

/// A world that is not broken is not noticed, so `noticed` can fail.
#[test]
#[should_panic(expected = "nothing is broken: not noticed")]
fn nothing_broken_is_not_noticed() {
    let kernel = Revision::LINUX_3_9;
    noticed("nothing is broken", kernel, kernel, Break::default());
}
