// SPDX-License-Identifier: GPL-2.0-only
//! Every named policy on ten events, computed by hand.
//!
//! A *script* is ten events in a table of so many slots: `3 d m3@s2 irc` announces `d` after
//! three seconds, by master m3 of source s2; `4 a!` is the connection that `a` announced.
//! A policy's *answers*, one for each event, were written down before it was run:
//!
//! ```text
//!  in    inserted           in-a   inserted, and a thrown out for it     no    refused
//!  hit   found              miss   not found
//! ```
//!
//! Kinds: irc (8 a master, 300 s), wide (the same, open to anybody), ftp (1 a master, 300 s), sip
//! (audio: 4 a master, 180 s, worth 2). One tick is a second; the kernel is 3.9.

use std::collections::BTreeMap;
use std::sync::Arc;

use nfexp_model::conn::ConnRef;
use nfexp_model::engine::MasterCheck;
use nfexp_model::event::Origin;
use nfexp_model::expectation::Expected;
use nfexp_model::helper::{Class, HelperId};
use nfexp_model::kernel::{Jiffies, Ticks, Up};
use nfexp_model::locked::MasterHold;
use nfexp_model::netns::{NetId, Zone};
use nfexp_model::revision::Revision;
use nfexp_model::tuple::{Addr, L3, Proto, Tuple};
use nfexp_model::{At, Config, Engine};
use nfexp_sim::research::cast::Cast;
use nfexp_sim::research::document::Document;
use nfexp_sim::research::ledger::Ending;
use nfexp_sim::research::policy::Surroundings;
use nfexp_sim::research::policy::names::NAMED;
use nfexp_sim::research::policy::parse::policy;
use nfexp_sim::research::tape::Tape;

/// Which kinds hold room, and whom it is taken from.
const MIXED: &str = "0 a m1@s1 irc, 1 b m2@s1 irc, 2 c m4@s3 sip, 3 d m3@s2 irc, 4 a!, \
    5 e m1@s1 irc, 6 f m4@s3 sip, 7 d!, 8 g m3@s2 irc, 9 h m5@s4 irc";
/// One source holds most.
const SHARES: &str = "0 a m4@s3 sip, 1 b m1@s1 irc, 2 c m2@s1 irc, 3 d m3@s2 irc, 4 e m1@s1 irc, \
    5 a!, 6 f m3@s2 irc, 7 g m5@s4 irc, 8 h m6@s1 irc, 9 g!";
/// A class of one.
const CLASSES: &str = "0 a m1@s1 ftp, 1 b m1@s1 ftp, 2 a!, 3 b!, 4 c m1@s1 ftp, 5 d m2@s1 ftp, \
    6 e m3@s2 irc, 7 f m4@s3 sip, 8 g m2@s1 ftp, 9 d!";
/// Few slots, so that chance has no choice.
const FEW: &str = "0 a m1@s1 irc, 1 b m2@s1 irc, 2 a!, 3 b!, 4 c m3@s2 irc, 5 d m4@s3 sip, \
    6 e m1@s1 irc, 7 e!, 8 f m3@s2 irc, 9 g m5@s4 irc";
/// Long pauses.
const PAUSES: &str = "0 a m1@s1 irc, 1 b m2@s1 irc, 2 c m3@s2 irc, 40 d m3@s2 irc, 41 a!, \
    42 e m1@s1 irc, 43 f m4@s3 sip, 50 d!, 51 g m5@s4 irc, 90 h m1@s1 irc";
/// One source announces again and again.
const RATES: &str = "0 a m1@s1 irc, 0 b m2@s1 irc, 1 c m1@s1 irc, 2 d m3@s2 irc, 11 e m1@s1 irc, \
    12 f m2@s1 irc, 13 a!, 21 g m1@s1 irc, 22 d!, 31 h m1@s1 irc";
/// A source whose announcements come to nothing.
const PAST: &str = "0 a m1@s1 irc, 1 b m1@s1 irc, 2 c m2@s1 irc, 400 d m3@s2 irc, \
    401 e m4@s3 sip, 402 f m1@s1 irc, 403 g m3@s2 irc, 404 d!, 405 h m2@s1 irc, 406 i m5@s4 irc";
/// Holes open to anybody.
const HOLES: &str = "0 a m1@s1 irc, 1 b m2@s1 wide, 2 c m4@s3 sip, 3 d m3@s2 irc, 4 a!, \
    5 e m1@s1 wide, 6 f m4@s3 sip, 7 d!, 8 g m3@s2 irc, 9 h m5@s4 irc";

/// Policy, slots, script, answers.
const BY_HAND: &[(&str, u32, &str, &str)] = &[
    ("kernel", 3, MIXED, "in in in no hit in no miss no no"),
    ("kernel", 3, CLASSES, "in in-a miss hit in in in no in-d miss"),
    ("tail-drop", 3, CLASSES, "in no hit miss in in in no no hit"),
    ("oldest-master", 3, SHARES, "in in in no in-b hit in no no miss"),
    ("oldest-source", 3, SHARES, "in in in no in-b hit in no in-c miss"),
    ("oldest-kind", 3, SHARES, "in in in in-b in-c hit in in-d in-e hit"),
    ("oldest-global", 3, MIXED, "in in in in-a miss in-b in-c hit in in-e"),
    ("oldest-global", 3, SHARES, "in in in in-a in-b miss in-c in-d in-e hit"),
    ("newest-global", 3, MIXED, "in in in in-c hit in in-e hit in in-g"),
    ("random-global", 1, FEW, "in in-a miss hit in in-c in-d hit in in-f"),
    ("best-of-two", 2, FEW, "in in hit hit in in in-d hit in in-c"),
    ("soonest-deadline", 3, MIXED, "in in in in-c hit in in-b hit in in-f"),
    ("latest-deadline", 3, MIXED, "in in in in-b hit in in-e hit in in-g"),
    ("lru", 3, MIXED, "in in in in-a miss in-b in-c hit in in-e"),
    ("lfu", 3, MIXED, "in in in in-a miss in-b in-c hit in in-e"),
    ("fair-share", 3, SHARES, "in in in in-b in-c hit in in-d in-e hit"),
    ("fair-share-master", 3, SHARES, "in in in in-a in-b miss in-d in-c in-e hit"),
    ("fair-share-kind", 3, SHARES, "in in in in-b in-c hit in in-d in-e hit"),
    ("fair-share-net", 3, SHARES, "in in in in-a in-b miss in-c in-d in-e hit"),
    ("class-weight", 3, MIXED, "in in in in-a miss in-b in-d miss in-e in-g"),
    ("cheapest", 3, MIXED, "in in in in-a miss in-b in-d miss in-e in-g"),
    ("widest-first", 3, HOLES, "in in in in-b hit in in-e hit in in-c"),
    ("early-drop", 4, MIXED, "in in in in hit in no hit in no"),
    ("token-bucket", 10, RATES, "in in in in in in hit in hit in"),
    ("admit=tokens:source:0.1:2", 10, RATES, "in in no in in no hit in hit in"),
    ("doorkeeper", 4, PAST, "in in in in in no in hit no in"),
    ("reserve", 5, MIXED, "in in in in hit in in hit no no"),
    ("source-quota", 10, SHARES, "in in in in in hit in in in hit"),
    ("quota=source:2:replace", 10, SHARES, "in in in in in-b hit in in in-c hit"),
    ("dynamic-quota", 4, SHARES, "in in no in no hit no in no hit"),
    ("short-timeout", 2, PAUSES, "in in no in miss in no hit in in"),
    ("adaptive-timeout", 2, PAUSES, "in in in-a in miss in in-d miss in-e in"),
    // Fewer than fifty matches teach nothing: the usual timeout, and the oldest.
    ("learned-timeout", 3, MIXED, "in in in in-a miss in-b in-c hit in in-e"),
    // The same of the hazard: kinds nobody knows are all alike, and the oldest goes.
    ("hazard", 3, MIXED, "in in in in-a miss in-b in-c hit in in-e"),
    ("never-match-first", 3, SHARES, "in in in in-a in-b miss in-c in-e in-d hit"),
    ("ovs", 2, PAUSES, "in in no no hit in no miss no no"),
    ("suricata", 2, PAUSES, "in in no in miss in no hit in in"),
    ("zeek", 3, CLASSES, "in in hit hit in in in no no hit"),
];

const KINDS: &str = r#"
name = "kinds"
[run]
lasts = "1000s"
source = "the test"
[[class]]
name = "irc"
helper = "irc"
arrivals = { law = "poisson", per_second = 1, source = "unused" }
delay = { law = "constant", is = "1s", source = "unused" }
answered = { share = 1, source = "unused" }
[[class]]
name = "wide"
helper = "irc"
wide = true
arrivals = { law = "poisson", per_second = 1, source = "unused" }
delay = { law = "constant", is = "1s", source = "unused" }
answered = { share = 1, source = "unused" }
[[class]]
name = "ftp"
helper = "ftp"
arrivals = { law = "poisson", per_second = 1, source = "unused" }
delay = { law = "constant", is = "1s", source = "unused" }
answered = { share = 1, source = "unused" }
[[class]]
name = "sip"
helper = "sip"
class = "audio"
arrivals = { law = "poisson", per_second = 1, source = "unused" }
delay = { law = "constant", is = "1s", source = "unused" }
answered = { share = 1, source = "unused" }
worth = { is = 2, source = "the test" }
"#;

struct Table {
    engine: Engine<Up>,
    cast: Cast,
    tape: Arc<Tape>,
    start: Jiffies,
    masters: BTreeMap<String, ConnRef>,
    /// Who is in which slot.
    names: BTreeMap<u32, String>,
    tuples: BTreeMap<String, Tuple>,
}

fn number(word: &str) -> u8 {
    word[1..].parse().expect("a letter and a number")
}

impl Table {
    fn new(name: &str, expect_max: u32) -> Self {
        let spec = policy(name).unwrap_or_else(|why| panic!("{why}"));
        let cast = Cast::of(&Document::parse(KINDS).expect("it reads").read()).expect("helpers");
        let cast = if spec.class_limits { cast } else { cast.without_class_limits() };
        let tape = Tape::new(64);
        let worth = cast.kinds.iter().map(|kind| ((kind.helper, kind.class.number()), kind.worth));
        let surroundings = Surroundings { hz: 1, seed: 1, replication: 0, worth: worth.collect() };
        let eviction = spec.build(&surroundings, Arc::clone(&tape));
        let config = Config {
            revision: Revision::LINUX_3_9,
            hz: 1,
            expect_max,
            helpers: cast.helpers.clone(),
            events: false,
            ..Config::SMALL
        };
        let engine = Engine::with_eviction(config, Some(eviction)).expect("memory");
        let start = Jiffies::initial(1);
        let (masters, names, tuples) = Default::default();
        Self { engine, cast, tape, start, masters, names, tuples }
    }

    /// Who was thrown out since the last call.
    fn thrown_out(&mut self) -> Option<String> {
        self.engine.run_rcu_callbacks();
        let mut out = None;
        for at in 0..self.tape.take() {
            let (slot, ending) = self.tape.ended(at);
            let name = self.names.remove(&slot).expect("it was inserted");
            if ending.is_eviction() {
                assert_eq!(out.replace(name), None, "one goes at a time");
            } else {
                assert!(matches!(ending, Ending::Match | Ending::Expiry), "{ending:?}");
            }
        }
        out
    }

    fn event(&mut self, event: &str) -> String {
        let words: Vec<&str> = event.split_whitespace().collect();
        let time: u64 = words[0].parse().expect("seconds");
        let now = self.start.after(Ticks(time));
        while let Some(firing) = self.engine.expire(now) {
            self.engine.timed_out(At { now, ..At::default() }, firing);
        }
        self.thrown_out();
        let at = At { now, ..At::default() };
        match words[..] {
            [_, arrival] => self.arrive(at, arrival.trim_end_matches('!')),
            [_, name, who, kind] => self.announce(at, name, who, kind),
            _ => panic!("{event}"),
        }
    }

    fn announce(&mut self, at: At, name: &str, who: &str, kind: &str) -> String {
        let kinds = &self.cast.kinds;
        let kind = kinds.iter().find(|known| known.name == kind).expect("a kind of the test");
        let (master, source) = who.split_once('@').expect("master@source");
        let address = |last: u8| Addr::v4([10, 0, 0, last]);
        let src = address(number(source));
        let engine = &self.engine;
        let ct = self.masters.entry(master.to_owned()).or_insert_with(|| {
            let sport = 40000 + u16::from(number(master));
            let dst = address(200);
            let original = Tuple { src, dst, sport, dport: 21, l3: L3::Ipv4, proto: Proto::TCP };
            let reply = original.inverse().expect("tcp answers");
            let ct = engine.alloc_conn(NetId::INIT, Zone(0), original, reply).expect("memory");
            engine.attach(&ct, HelperId::at(kind.helper)).expect("memory");
            assert!(engine.confirm(at, &ct, Origin::KERNEL));
            ct
        });
        let dport = 1000 + u16::from(name.as_bytes()[0]);
        let expected = Expected {
            l3: L3::Ipv4,
            saddr: (!kind.wide).then_some(src),
            daddr: address(200),
            proto: Proto::TCP,
            sport: None,
            dport,
        };
        let exp = engine.alloc(at, ct).expect("memory");
        let class = Class::new(kind.class.number()).expect("a class");
        engine.init(&exp, class, &expected);
        let related = engine.related(at, &exp, Origin::KERNEL, MasterCheck::Own);
        let slot = exp.id().index();
        engine.put(exp);
        let (dst, sport) = (address(200), 1);
        let packet = Tuple { src, dst, sport, dport, l3: L3::Ipv4, proto: Proto::TCP };
        self.tuples.insert(name.to_owned(), packet);
        let out = self.thrown_out();
        match (related, out) {
            (Ok(()), out) => {
                self.names.insert(slot, name.to_owned());
                out.map_or_else(|| "in".into(), |out| format!("in-{out}"))
            }
            (Err(_), None) => "no".into(),
            (Err(why), Some(out)) => format!("{out} went for nothing: {why}"),
        }
    }

    fn arrive(&mut self, at: At, name: &str) -> String {
        let tuple = self.tuples[name];
        let found = self.engine.lock().find_expectation(at, NetId::INIT, Zone(0), &tuple, true);
        let Some(matched) = found else { return "miss".into() };
        assert!(matches!(matched.master, MasterHold::Borrowed(_)), "3.9 borrows");
        assert_eq!(self.names[&matched.exp.id().index()], name);
        self.engine.put(matched.exp);
        self.thrown_out();
        "hit".into()
    }
}

#[test]
fn every_policy_does_what_was_computed_by_hand() {
    for (name, slots, script, answers) in BY_HAND {
        let mut table = Table::new(name, *slots);
        let events: Vec<&str> = script.split(',').collect();
        assert_eq!(events.len(), 10);
        let given: Vec<String> = events.iter().map(|event| table.event(event)).collect();
        assert_eq!(given.join(" "), *answers, "{name}, {slots} slots: {script}");
    }
}

#[test]
fn every_named_policy_has_its_ten_events() {
    for named in NAMED {
        assert!(BY_HAND.iter().any(|(name, ..)| *name == named.name), "{}", named.name);
    }
}
