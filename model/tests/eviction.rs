// SPDX-License-Identifier: GPL-2.0-only
//! Another eviction than the kernel's is asked on every axis, in order, and is obeyed.

use std::sync::{Arc, Mutex};

use nfexp_model::conn::ConnRef;
use nfexp_model::engine::MasterCheck;
use nfexp_model::error::RelateError;
use nfexp_model::event::{Cause, Origin};
use nfexp_model::eviction::{Admission, Candidate, Eviction, Pressure, Table};
use nfexp_model::expectation::{ExpectId, Expected};
use nfexp_model::helper::Class;
use nfexp_model::kernel::{Jiffies, Ticks, Up};
use nfexp_model::netns::{NetId, Zone};
use nfexp_model::revision::Revision;
use nfexp_model::tuple::{Proto, Tuple};
use nfexp_model::{At, Config, Engine};

/// Refuses port 1, lets port 2 in for the first that came, evicts the first when the table is
/// full; what is for port 3 lives one tick.
struct Scripted {
    first: Option<ExpectId>,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    fn hear(&self, what: String) {
        self.heard.lock().expect("one thread").push(what);
    }
}

impl Eviction for Scripted {
    fn inserted(&mut self, about: &Candidate, table: &dyn Table) {
        self.first = self.first.or(Some(about.id));
        let count = table.count(about.net);
        let source = table.original(about.master).sport;
        self.hear(format!("inserted {} of {source}, {count} there", about.tuple.dport));
    }

    fn removed(&mut self, _: Jiffies, id: ExpectId, cause: Cause) {
        self.first = self.first.filter(|first| *first != id);
        self.hear(format!("removed by {}", cause.word()));
    }

    fn victim(
        &mut self,
        pressure: Pressure,
        newcomer: &Candidate,
        _: &dyn Table,
    ) -> Option<ExpectId> {
        self.hear(format!("{pressure:?} for {}", newcomer.tuple.dport));
        self.first
    }

    fn admit(&mut self, newcomer: &Candidate, table: &dyn Table) -> Admission {
        assert_eq!(table.limit(), 2);
        match (newcomer.tuple.dport, self.first) {
            (1, _) => Admission::Refused,
            (2, Some(first)) => Admission::InPlaceOf(first),
            _ => Admission::Granted,
        }
    }

    fn lifetime(&mut self, newcomer: &Candidate, usual: Ticks, _: &dyn Table) -> Ticks {
        if newcomer.tuple.dport == 3 { Ticks(1) } else { usual }
    }
}

/// Refuses all it is asked about, if it is asked.
struct Strict {
    decides: bool,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Eviction for Strict {
    fn inserted(&mut self, _: &Candidate, _: &dyn Table) {
        self.heard.lock().expect("one thread").push("inserted".into());
    }

    fn removed(&mut self, _: Jiffies, id: ExpectId, cause: Cause) {
        self.heard.lock().expect("one thread").push(format!("{} {}", id.index(), cause.word()));
    }

    fn victim(&mut self, _: Pressure, _: &Candidate, _: &dyn Table) -> Option<ExpectId> {
        None
    }

    fn lifetime(&mut self, _: &Candidate, _: Ticks, _: &dyn Table) -> Ticks {
        Ticks(1)
    }

    fn decides(&self) -> bool {
        self.decides
    }
}

fn announce(engine: &Engine<Up>, at: At, ct: &ConnRef, dport: u16) -> Result<(), RelateError> {
    let exp = engine.alloc(at, ct).expect("memory");
    let original = engine.conn(ct.id()).about().original;
    let Tuple { src, dst, l3, .. } = original;
    let expected =
        Expected { l3, saddr: Some(src), daddr: dst, proto: Proto::TCP, sport: None, dport };
    engine.init(&exp, Class::DEFAULT, &expected);
    let related = engine.related(at, &exp, Origin::KERNEL, MasterCheck::Own);
    engine.put(exp);
    engine.run_rcu_callbacks();
    related
}

fn world(
    config: Config,
    helper: &str,
    eviction: impl Eviction + 'static,
) -> (Engine<Up>, At, ConnRef) {
    let engine: Engine<Up> =
        Engine::with_eviction(config, Some(Box::new(eviction))).expect("memory");
    let at = At { now: Jiffies::initial(250), ..At::default() };
    let ip = |text: &str| text.parse().expect("a literal address");
    let control = Tuple::new(Proto::TCP, ip("10.0.0.2"), 40000, ip("10.0.0.1"), 6667);
    let reply = control.inverse().expect("tcp answers");
    let ct = engine.alloc_conn(NetId::INIT, Zone(0), control, reply).expect("memory");
    engine.attach(&ct, engine.helper_named(helper)).expect("memory");
    assert!(engine.confirm(at, &ct, Origin::KERNEL));
    (engine, at, ct)
}

#[test]
fn admission_victim_and_lifetime_are_asked_in_order() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let eviction = Scripted { first: None, heard: Arc::clone(&heard) };
    // The wheel of 3.9 is exact this near.
    let config = Config { expect_max: 2, revision: Revision::LINUX_3_9, ..Config::SMALL };
    let (engine, at, ct) = world(config, "irc", eviction);

    assert_eq!(announce(&engine, at, &ct, 10), Ok(()));
    assert_eq!(announce(&engine, at, &ct, 1), Err(RelateError::NotAdmitted));
    assert_eq!(announce(&engine, at, &ct, 2), Ok(()));
    assert_eq!(announce(&engine, at, &ct, 3), Ok(()));
    assert_eq!(announce(&engine, at, &ct, 11), Ok(()));
    let (short, long) = (engine.next_expiry().expect("one lives short"), Ticks(300 * 250));
    assert!(at.now.after(long).time_after(short), "{short:?}");
    let heard = heard.lock().expect("one thread").join("\n");
    let expected = "inserted 10 of 40000, 1 there\nremoved by eviction\n\
        inserted 2 of 40000, 1 there\ninserted 3 of 40000, 2 there\nTableFull for 11\n\
        removed by eviction\ninserted 11 of 40000, 2 there";
    assert_eq!(heard, expected);
}

#[test]
fn who_only_listens_hears_of_ends_and_is_not_asked() {
    let play = |decides: bool| {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let config = Config { revision: Revision::LINUX_3_9, ..Config::SMALL };
        let strict = Strict { decides, heard: Arc::clone(&heard) };
        // One at a time for each master: ftp.
        let (engine, at, ct) = world(config, "ftp", strict);
        let answers = [10, 11].map(|dport| announce(&engine, at, &ct, dport));
        let lives = engine.next_expiry().expect("one is there").ticks_from(at.now);
        let heard = heard.lock().expect("one thread").join(", ");
        (answers, lives, heard)
    };
    let usual = 300 * 250;
    let (answers, lives, heard) = play(false);
    assert!(answers == [Ok(()), Ok(())] && lives >= usual, "as the kernel would: {lives}");
    assert_eq!(heard, "1 eviction");
    let (answers, lives, heard) = play(true);
    assert_eq!((answers, lives), ([Ok(()), Err(RelateError::ClassFull)], 1));
    assert_eq!(heard, "inserted");
}
