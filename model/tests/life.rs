// SPDX-License-Identifier: GPL-2.0-only
//! The life of an expectation, walked through once per revision.

use nfexp_model::conn::{ConnRef, Status};
use nfexp_model::conntrack::Direction;
use nfexp_model::engine::MasterCheck;
use nfexp_model::event::{Cause, Event, ExpectEventKind, ExpectFn, Origin};
use nfexp_model::expectation::{ExpectRef, Expected, Flags, Nat};
use nfexp_model::helper::{Class, ExpectPolicy};
use nfexp_model::kernel::{Jiffies, Ticks, Up};
use nfexp_model::nat::Call;
use nfexp_model::netns::{NetId, Zone};
use nfexp_model::nft_ct::{CtExpectation, Verdict};
use nfexp_model::proc::SeqFile;
use nfexp_model::revision::{ClassLimit, Revision};
use nfexp_model::tuple::{L3, Mask, Proto, Tuple};
use nfexp_model::{At, Config, Engine};

const NET: NetId = NetId::INIT;

fn tcp(src: &str, sport: u16, dst: &str, dport: u16) -> Tuple {
    let ip = |text: &str| text.parse().expect("a literal address");
    Tuple::new(Proto::TCP, ip(src), sport, ip(dst), dport)
}

fn world(revision: Revision) -> (Engine<Up>, At, ConnRef) {
    world_of(Config { revision, ..Config::SMALL })
}

fn world_of(config: Config) -> (Engine<Up>, At, ConnRef) {
    let engine = Engine::new(config).expect("memory");
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

/// Where a policy is not believed beyond a byte, the 256th evicts the first.
#[test]
fn a_class_holds_at_most_255_where_that_is_the_most() {
    static MANY: [ExpectPolicy; 1] =
        [ExpectPolicy { max_expected: 300, timeout_secs: 300, name: "" }];
    for revision in Revision::ALL {
        let mut helpers = Config::SMALL.helpers.into_owned();
        let ftp = helpers.iter_mut().find(|helper| helper.name == "ftp").expect("in the tree");
        ftp.policies = &MANY;
        let (expect_max, expectations) = (1000, 300);
        let helpers = helpers.into();
        let config = Config { revision, helpers, expect_max, expectations, ..Config::SMALL };
        let (engine, at, ct) = world_of(config);
        for port in 1..=256 {
            let exp = announce(&engine, at, &ct, port);
            engine.put(exp);
        }
        let evicted = causes(&engine).into_iter().flatten().count();
        let capped = revision.class_limit == ClassLimit::AtMost255;
        assert_eq!(evicted, usize::from(capped), "{}", revision.name);
        assert_eq!(engine.expect_count(NET), 256 - u32::from(capped), "{}", revision.name);
    }
}

#[test]
fn zones_apart_by_their_upper_byte_are_apart() {
    for revision in Revision::ALL {
        let (engine, at, ct) = world(revision);
        let other = tcp("10.0.0.3", 40000, "10.0.0.1", 21);
        let reply = other.inverse().expect("tcp answers");
        let far = engine.alloc_conn(NET, Zone(0x100), other, reply).expect("memory");
        engine.attach(&far, engine.helper_named("ftp")).expect("memory");
        assert!(engine.confirm(at, &far, Origin::KERNEL));
        let exp = announce(&engine, at, &far, 50000);
        let data = tcp("10.0.0.2", 41000, "10.0.0.1", 50000);
        assert!(engine.find_get(at, NET, Zone(0), &data).is_none(), "{}", revision.name);
        let found = engine.find_get(at, NET, Zone(0x100), &data).expect("its own zone");
        [exp, found].into_iter().for_each(|exp| engine.put(exp));
        [ct, far].into_iter().for_each(|ct| engine.put_conn(at, ct));
    }
}

/// That it was taken back is the kernel's own mark, and no flag that anybody is told.
#[test]
fn what_is_taken_back_is_told_without_its_mark() {
    for revision in Revision::ALL {
        let (engine, at, ct) = world(revision);
        let exp = announce(&engine, at, &ct, 50000);
        engine.unexpect(at, &exp);
        engine.lock().collect(at, ct.id());
        engine.put(exp);
        let told = std::iter::from_fn(|| engine.poll_event());
        let ended = told.filter_map(|event| match event {
            Event::Expect(event) if event.kind != ExpectEventKind::New => Some(event),
            _ => None,
        });
        let ended: Vec<_> = ended.map(|event| (event.kind, event.flags)).collect();
        let taken_back = ExpectEventKind::Destroy(Cause::Unexpect);
        assert_eq!(ended, [(taken_back, Flags::NONE)], "{}", revision.name);
    }
}

#[test]
fn a_connection_that_is_deleted_has_no_timer_any_more() {
    for revision in Revision::ALL {
        let (engine, at, ct) = world(revision);
        engine.set_conn_expiry(at, &ct, at.now.after(Ticks(100)));
        assert!(engine.next_expiry().is_some(), "{}", revision.name);
        assert!(engine.delete_conn(at, &ct, Origin::KERNEL));
        assert_eq!(engine.next_expiry(), None, "{}", revision.name);
        engine.put_conn(at, ct);
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

/// What `nf_conntrack_expect_init()` makes of a machine's conntrack table: for who plays one.
#[test]
fn a_machine_chooses_its_sizes_by_its_conntrack_table() {
    let config = Config::from_conntrack_hash(Revision::LINUX_6_18, 16384);
    assert_eq!((config.hash_size, config.expect_max), (512, 256));
    assert!(config.expectations > config.expect_max, "a full table can be asked for more");
    let (engine, at, ct) = world_of(config);
    let exp = announce(&engine, at, &ct, 1);
    assert_eq!(engine.expectation(exp.id()).master(), ct.id());
    engine.put(exp);
}

/// What a helper remembers may have ended, and its memory may be another's by now.
#[test]
fn what_ended_is_not_ended_again_nor_whoever_lives_in_its_memory() {
    for revision in Revision::ALL {
        let (engine, at, ct) = world(revision);
        let first = announce(&engine, at, &ct, 50000);
        let id = first.id();
        engine.put(first);
        engine.remove_expect(at, id);
        assert!(!engine.is_linked(id), "{}", revision.name);
        engine.remove_expect(at, id);
        engine.run_rcu_callbacks();
        let second = announce(&engine, at, &ct, 50001);
        assert_eq!(second.id().index(), id.index(), "the memory is used again");
        engine.remove_expect(at, id);
        assert!(engine.is_linked(second.id()), "{}", revision.name);
        engine.put(second);
        engine.put_conn(at, ct);
    }
}

/// Whose place is taken is not let in, and is counted; so is each first packet that is dropped.
#[test]
fn connections_in_vain_are_counted_and_leave_nothing() {
    let config = Config { revision: Revision::LINUX_6_18, ..Config::SMALL };
    let (engine, at, ct) = world_of(config);
    let before = engine.stats(NET);
    let control = tcp("10.0.0.2", 40000, "10.0.0.1", 21);
    let reply = control.inverse().expect("tcp answers");
    let late = engine.alloc_conn(NET, Zone(0), control, reply).expect("memory");
    assert!(!engine.confirm(at, &late, Origin::KERNEL), "another took its place");
    engine.put_conn(at, late);
    assert_eq!(engine.stats(NET).insert_failed, before.insert_failed + 1);
    // Many more than there is memory for.
    let new = engine.stats(NET).new;
    assert!((0..10_000).all(|_| engine.init_in_vain(at, NET)));
    assert_eq!(engine.stats(NET).new, new + 10_000);
    let other = tcp("10.0.0.3", 40000, "10.0.0.1", 21);
    let reply = other.inverse().expect("tcp answers");
    let other = engine.alloc_conn(NET, Zone(0), other, reply).expect("memory is left");
    engine.put_conn(at, other);
    engine.put(announce(&engine, at, &ct, 50000));
    assert!(!engine.init_in_vain(at, NET), "it could consume one");
    engine.put_conn(at, ct);
}

#[test]
fn what_is_expected_anew_has_no_flags_of_before() {
    for revision in Revision::ALL {
        let (engine, at, ct) = world(revision);
        let exp = engine.alloc(at, &ct).expect("memory");
        engine.set_flags(&exp, Flags::INACTIVE);
        let data = tcp("10.0.0.2", 0, "10.0.0.1", 50000);
        engine.init_key(&exp, Class::DEFAULT, data, Mask::exact(data.l3, true, false));
        engine.related(at, &exp, Origin::KERNEL, MasterCheck::Own).expect("room");
        let came = Tuple { sport: 41000, ..data };
        let reply = came.inverse().expect("tcp answers");
        let born = engine.init_conntrack(at, NET, Zone(0), came, reply, true).expect("memory");
        assert_eq!(born.announced, Some(exp.id()), "{}", revision.name);
        engine.put(exp);
        engine.put_conn(at, born.ct);
        engine.put_conn(at, ct);
    }
}

/// Rules speak of a connection's first packet only, and not of a template.
#[test]
fn rules_leave_alone_what_is_confirmed_and_templates() {
    let object = CtExpectation { proto: Proto::UDP, dport: 2000, timeout: 5_000, size: 1 };
    let rule = |engine: &Engine<Up>, at, ct: &ConnRef| {
        engine.nft_ct_expect(at, ct, Direction::Original, &object)
    };
    for revision in Revision::ALL {
        let (engine, at, ct) = world(revision);
        assert_eq!(rule(&engine, at, &ct), Verdict::Break, "{}", revision.name);
        let (irc, ftp) = (engine.helper_named("irc"), engine.helper_named("ftp"));
        let plain = |sport| {
            let tuple = tcp("10.0.0.3", sport, "10.0.0.1", 21);
            let reply = tuple.inverse().expect("tcp answers");
            engine.alloc_conn(NET, Zone(0), tuple, reply).expect("memory")
        };
        let (confirmed, template) = (plain(1), plain(2));
        assert!(engine.confirm(at, &confirmed, Origin::KERNEL));
        engine.nft_ct_helper(&confirmed, ftp.expect("ftp is in the tree"));
        assert_eq!(engine.helper_of(&confirmed), None, "{}", revision.name);
        engine.set_status(&template, Status::TEMPLATE);
        assert_eq!(rule(&engine, at, &template), Verdict::Break, "{}", revision.name);
        // Who has a helper keeps it.
        let first = plain(3);
        engine.nft_ct_helper(&first, ftp.expect("ftp is in the tree"));
        engine.nft_ct_helper(&first, irc.expect("irc is in the tree"));
        assert_eq!(engine.helper_of(&first), ftp, "{}", revision.name);
        for ct in [confirmed, template, first, ct] {
            engine.put_conn(at, ct);
        }
    }
}

/// A connection that follows its master has the port that was announced, taken or not; its own
/// source port is another where that is taken.
#[test]
fn a_source_port_that_is_taken_is_another() {
    let (engine, at, ct) = world(Revision::LINUX_6_18);
    // After its translation it would be `10.0.0.2:41000 > 10.0.0.1:2121` like this one.
    let taken = tcp("10.0.0.2", 41000, "10.0.0.1", 2121);
    let taken_reply = taken.inverse().expect("tcp answers");
    let first = engine.alloc_conn(NET, Zone(0), taken, taken_reply).expect("memory");
    assert!(engine.confirm(at, &first, Origin::KERNEL));
    let follows = |sport| {
        let exp = announce(&engine, at, &ct, 2121);
        let data = tcp("10.0.0.2", sport, "10.0.0.1", 2121);
        let reply = data.inverse().expect("tcp answers");
        let born = engine.init_conntrack(at, NET, Zone(0), data, reply, true).expect("memory");
        assert!(born.announced.is_some());
        engine.put(exp);
        let saved = Nat { addr: data.src, port: 2121, dir: 0 };
        let function = ExpectFn::NatFollowMaster;
        let call = Call { function, saved, src: data.src, class: Class::DEFAULT };
        engine.run_expectfn(&born.ct, &call);
        let translated = engine.translated(&born.ct).expect("tcp answers");
        engine.put_conn(at, born.ct);
        translated
    };
    assert_eq!(follows(41001), Tuple { sport: 41001, ..taken });
    let other = follows(41000);
    assert!(other.sport != 41000 && other.sport >= 1024, "{other:?}");
    assert_eq!(other, Tuple { sport: other.sport, ..taken });
    engine.put_conn(at, first);
    engine.put_conn(at, ct);
}
