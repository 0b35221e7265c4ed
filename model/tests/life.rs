// SPDX-License-Identifier: GPL-2.0-only
//! The life of an expectation, walked through once per revision.

use nfexp_model::conn::ConnRef;
use nfexp_model::engine::MasterCheck;
use nfexp_model::event::{Cause, Event, ExpectEventKind, Origin};
use nfexp_model::expectation::{ExpectRef, Expected};
use nfexp_model::helper::Class;
use nfexp_model::kernel::{Jiffies, Ticks, Up};
use nfexp_model::netns::{NetId, Zone};
use nfexp_model::proc::SeqFile;
use nfexp_model::revision::Revision;
use nfexp_model::tuple::{L3, Proto, Tuple};
use nfexp_model::{At, Config, Engine};

const NET: NetId = NetId::INIT;

fn tcp(src: &str, sport: u16, dst: &str, dport: u16) -> Tuple {
    let ip = |text: &str| text.parse().expect("a literal address");
    Tuple::new(Proto::TCP, ip(src), sport, ip(dst), dport)
}

fn world(revision: Revision) -> (Engine<Up>, At, ConnRef) {
    let engine = Engine::new(Config { revision, ..Config::SMALL }).expect("memory");
    let at = At { now: Jiffies::initial(250), ..At::default() };
    let control = tcp("10.0.0.2", 40000, "10.0.0.1", 21);
    let reply = control.inverse().expect("tcp answers");
    let ct = engine.alloc_conn(NET, Zone(0), control, reply).expect("memory");
    engine.attach(&ct, engine.helper_named("ftp")).expect("memory");
    assert!(engine.confirm(at, &ct, Origin::KERNEL));
    (engine, at, ct)
}

fn announce(engine: &Engine<Up>, at: At, ct: &ConnRef, dport: u16) -> ExpectRef {
    let exp = engine.alloc(at, ct).expect("memory");
    let data = tcp("10.0.0.2", 0, "10.0.0.1", dport);
    let expected = Expected {
        l3: L3::Ipv4,
        saddr: Some(data.src),
        daddr: data.dst,
        proto: Proto::TCP,
        sport: None,
        dport,
    };
    engine.init(&exp, Class::DEFAULT, &expected);
    engine.related(at, &exp, Origin::KERNEL, MasterCheck::Own).expect("room");
    exp
}

fn causes(engine: &Engine<Up>) -> Vec<Option<Cause>> {
    let told = std::iter::from_fn(|| engine.poll_event());
    told.filter_map(|event| match event {
        Event::Expect(event) => Some(match event.kind {
            ExpectEventKind::New => None,
            ExpectEventKind::Destroy(cause) => Some(cause),
        }),
        Event::Conn(_) => None,
    })
    .collect()
}

#[test]
fn the_announced_connection_consumes_its_expectation() {
    for revision in Revision::ALL {
        let (engine, at, ct) = world(revision);
        let exp = announce(&engine, at, &ct, 50000);
        engine.put(exp);
        let data = tcp("10.0.0.2", 41000, "10.0.0.1", 50000);
        let reply = data.inverse().expect("tcp answers");
        let born = engine.init_conntrack(at, NET, Zone(0), data, reply, true).expect("memory");
        assert!(born.announced.is_some(), "{}", revision.name);
        assert_eq!(engine.conn(born.ct.id()).about().master, Some(ct.id()));
        assert_eq!(causes(&engine), [None, Some(Cause::Match)]);
        assert_eq!(engine.expect_count(NET), 0);
        engine.put_conn(at, born.ct);
        assert_eq!(engine.run_rcu_callbacks(), 1);
        assert_eq!(engine.memory().expectations.live(), 0);
    }
}

#[test]
fn the_second_announcement_evicts_the_first_of_a_class_of_one() {
    for revision in Revision::ALL {
        let (engine, at, ct) = world(revision);
        for port in [50000, 50001] {
            let exp = announce(&engine, at, &ct, port);
            engine.put(exp);
        }
        assert_eq!(causes(&engine), [None, Some(Cause::Eviction), None], "{}", revision.name);
    }
}

#[test]
fn a_timer_ends_what_nobody_asked_for() {
    for revision in [Revision::LINUX_3_9, Revision::LINUX_6_18] {
        let (engine, at, ct) = world(revision);
        let exp = announce(&engine, at, &ct, 50000);
        engine.put(exp);
        let due = engine.next_expiry().expect("one is pending");
        assert!((300 * 250..=317 * 250).contains(&due.ticks_from(at.now)), "{due:?}");
        let early = Jiffies(due.0.wrapping_sub(1));
        assert!(engine.expire(early).is_none(), "never early");
        let later = At { now: due, ..at };
        let firing = engine.expire(due).expect("it is due");
        engine.timed_out(later, firing);
        assert_eq!(causes(&engine), [None, Some(Cause::Expiry)], "{}", revision.name);
        assert_eq!(engine.next_expiry(), None);
    }
}

#[test]
fn the_listing_reads_as_each_kernel_prints_it() {
    for (revision, line) in [
        (
            Revision::LINUX_3_9,
            "299 l3proto = 2 proto=6 src=10.0.0.2 dst=10.0.0.1 sport=0 dport=50000 ftp/\n",
        ),
        (
            Revision::LINUX_6_18,
            "298 l3proto = 2 proto=6 src=10.0.0.2 dst=10.0.0.1 sport=0 dport=50000 ftp\n",
        ),
    ] {
        let (engine, at, ct) = world(revision);
        let exp = announce(&engine, at, &ct, 50000);
        engine.put(exp);
        let at = At { now: at.now.after(Ticks(300)), ..at };
        let mut text = String::new();
        let mut file = SeqFile::open(NET);
        while file.read(&engine, at, 1, &mut text).expect("a string takes all") > 0 {}
        assert_eq!(text, line, "{}", revision.name);
    }
}

#[test]
fn a_master_takes_its_expectations_along() {
    for revision in Revision::ALL {
        let (engine, at, ct) = world(revision);
        let exp = announce(&engine, at, &ct, 50000);
        engine.put(exp);
        assert!(engine.delete_conn(at, &ct, Origin::KERNEL));
        engine.put_conn(at, ct);
        assert_eq!(causes(&engine), [None, Some(Cause::MasterGone)], "{}", revision.name);
        assert_eq!(engine.memory().conns.live(), 0);
    }
}

#[test]
fn a_module_load_finds_no_memory_at_each_of_its_points() {
    use nfexp_model::error::AllocPoint;
    let points = [AllocPoint::Cache, AllocPoint::HashTable, AllocPoint::ProcEntry];
    for (nth, point) in points.into_iter().enumerate() {
        let fail_nth = nth as u32 + 1;
        let refused = Engine::<Up>::new(Config { fail_nth, ..Config::SMALL });
        let refused = refused.expect_err("one allocation fails");
        assert_eq!((refused.0, refused.errno()), (point, -12));
    }
}

#[test]
fn a_module_that_gave_everything_back_unloads() {
    let (engine, at, ct) = world(Revision::LINUX_3_9);
    let exp = announce(&engine, at, &ct, 50000);
    engine.put(exp);
    engine.delete_conn(at, &ct, Origin::KERNEL);
    engine.put_conn(at, ct);
    let stats = engine.fini().expect("nothing is left");
    assert_eq!((stats.expect_create, stats.expect_delete), (1, 1));
}
