// SPDX-License-Identifier: GPL-2.0-only
//! Sequences on one CPU, for what needs no race: each panics with what it finds violated.
//!
//! They run on [`Turns`] and so in this thread's world: memory is poisoned and never used twice.
//!
//! The rule that matters: a sequence says what it expects in the kernel's terms, whatever the
//! revision; that an old kernel answers otherwise is the bug.

use std::net::{IpAddr, Ipv4Addr};

use nfexp_model::conn::Attached;
use nfexp_model::ctnetlink::expect::{IfAbsent, IfPresent};
use nfexp_model::ctnetlink::{ExpectRequest, TupleAttr};
use nfexp_model::engine::{At, MasterCheck};
use nfexp_model::errno::Errno;
use nfexp_model::error::RelateError;
use nfexp_model::event::{Cause, Origin};
use nfexp_model::expectation::{ExpectRef, Flags};
use nfexp_model::helper::Class;
use nfexp_model::kernel::timer::TimerKey;
use nfexp_model::netns::{NetId, Zone};
use nfexp_model::proc::SeqFile;
use nfexp_model::revision::{Revision, TableScope};
use nfexp_model::tuple::{Mask, Proto, Tuple};
use nfexp_model::watch::Counting;

use crate::lab::{Lab, NET, from};
use crate::turns::Turns;

/// Equal tuples of different zones are different flows.
pub fn clash_of_zones(kernel: Revision) {
    let lab = Lab::new(kernel);
    let (a, b) = (lab.ftp(), lab.master(NET, 1, 40001, Some("ftp")));
    lab.expect(&a, 0, 5000).expect("the table is empty");
    let second = lab.expect(&b, 0, 5000);
    assert_eq!(second, Ok(()), "NoClash: refused for an expectation of another zone");
    lab.end([a, b]);
}

/// A listing shows its own namespace.
pub fn listing_of_another_namespace(kernel: Revision) {
    let lab = Lab::new(Revision { table: TableScope::Global, ..kernel });
    lab.0.pernet_init(NetId(1)).expect("memory");
    let ct = lab.ftp();
    lab.expect(&ct, 0, 5000).expect("the table is empty");
    let (mut file, mut text) = (SeqFile::open(NetId(1)), String::new());
    file.read(&lab.0, At::default(), u64::MAX, &mut text).expect("a string");
    assert!(text.is_empty(), "ListsOwn: another namespace is shown: {text}");
    let elsewhere = lab.0.find_get(At::default(), NetId(1), Zone(0), &from(1, 5000));
    assert!(elsewhere.is_none(), "ListsOwn: found from another namespace");
    let other = lab.master(NetId(1), 0, 40001, Some("ftp"));
    lab.expect(&other, 0, 5000).expect("NoClash: refused for another namespace");
    lab.expect(&ct, 0, 7000).expect("room");
    let elsewhere = lab.0.find_get(At::default(), NetId(1), Zone(0), &from(1, 7000));
    assert!(elsewhere.is_none(), "ListsOwn: found from another namespace");
    lab.end([ct, other]);
}

/// What user space asks for: an expectation of port 5000 of the first master.
fn request(helper: Option<&'static str>, class: Option<u32>) -> ExpectRequest<'static> {
    let ip = |last: u8| Some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)));
    let tuple = |sport, dport| TupleAttr {
        src: ip(1),
        dst: ip(2),
        proto: Some(Proto::TCP.0),
        sport: Some(sport),
        dport: Some(dport),
        ..TupleAttr::default()
    };
    ExpectRequest {
        family: nfexp_model::tuple::L3::Ipv4,
        master: Some(tuple(40000, 21)),
        tuple: Some(tuple(0, 5000)),
        mask: Some(tuple(0, u16::MAX)),
        help_name: helper,
        class,
        timeout_secs: Some(10),
        ..ExpectRequest::default()
    }
}

/// The class of a new expectation is one of its master's helper.
pub fn class_of_another_helper(kernel: Revision) {
    let lab = Lab::new(kernel);
    let ct = lab.ftp();
    let request = request(Some("sip"), Some(3));
    let how = (IfAbsent::Create, IfPresent::Fail);
    let made = lab.0.new_expect(At::default(), NET, &request, how, Origin::KERNEL);
    assert!(made.is_err(), "ClassWithinLimit: class 3 of a helper that has two: {made:?}");
    lab.end([ct]);
}

/// No class holds more than a byte counts.
pub fn limit_beyond_a_byte(kernel: Revision) {
    let lab = Lab::with(kernel, 300);
    let ct = lab.ftp();
    for port in 0..300 {
        let _ = lab.expect(&ct, 0, 1000 + port);
    }
    let linked = lab.linked(&ct).len();
    assert!(linked <= 255, "ClassWithinLimit: {linked} of one class");
    lab.end([ct]);
}

/// A master without a helper has a limit, too.
pub fn no_helper_no_limit(kernel: Revision) {
    let lab = Lab::new(kernel);
    let ct = lab.master(NET, 0, 40000, None);
    assert_eq!(lab.0.attached_of(ct.id()), Attached::Extension);
    for port in 0..300 {
        let _ = lab.expect(&ct, 0, 1000 + port);
    }
    let linked = lab.linked(&ct).len();
    assert!(linked <= 255, "ClassWithinLimit: {linked} of a master without a helper");
    lab.end([ct]);
}

/// Whoever only looks leaves the expectation for the one who asks in earnest.
pub fn lookup_that_only_looks(kernel: Revision) {
    let lab = Lab::new(kernel);
    let ct = lab.ftp();
    lab.expect(&ct, 0, 5000).expect("the table is empty");
    assert_eq!(lab.arrive(5000, false), Some(5000), "it was announced");
    let second = lab.arrive(5000, true);
    assert_eq!(second, Some(5000), "consumed by a lookup that was not the real one");
    lab.end([ct]);
}

/// The oldest of the newcomer's class goes first, permanent or not, and no other.
pub fn oldest_goes(kernel: Revision) {
    let lab = Lab::with(kernel, 2);
    let ct = lab.ftp();
    lab.expect(&ct, 1, 6000).expect("room in the other class");
    lab.expect_as(&ct, 0, 5000, Mask::ANY, Flags::PERMANENT).expect("room");
    lab.expect(&ct, 0, 5001).expect("room");
    lab.expect(&ct, 0, 5002).expect("the oldest makes room");
    assert_eq!(lab.linked(&ct), [5002, 5001, 6000], "another was evicted than the oldest");
    lab.expect(&ct, 1, 6001).expect("room");
    lab.expect(&ct, 1, 6002).expect("the oldest makes room");
    assert_eq!(lab.linked(&ct), [6002, 6001, 5002, 5001], "another was evicted than the oldest");
    lab.end([ct]);
}

/// What a match takes, and what it leaves.
pub fn matches(kernel: Revision) {
    let lab = Lab::new(kernel);
    let ct = lab.ftp();
    lab.expect_as(&ct, 0, 5000, Mask::ANY, Flags::INACTIVE).expect("room");
    assert_eq!(lab.arrive(5000, true), None, "matched though inactive");
    lab.expect_as(&ct, 0, 5001, Mask::ANY, Flags::PERMANENT).expect("room");
    assert_eq!(lab.arrive(5001, true), Some(5001), "it was announced");
    assert_eq!(lab.arrive(5001, true), Some(5001), "consumed though permanent");
    lab.expect(&ct, 1, 5002).expect("room");
    assert_eq!(lab.arrive(5002, true), Some(5002), "it was announced");
    assert_eq!(lab.arrive(5002, true), None, "matched twice");
    let tuple = from(41000, 21);
    let reply = tuple.inverse().expect("tcp has one");
    let unconfirmed = lab.0.alloc_conn(NET, Zone(0), tuple, reply).expect("memory");
    lab.0.attach(&unconfirmed, lab.0.helper_named("ftp")).expect("memory");
    lab.expect(&unconfirmed, 0, 5003).expect("room");
    assert_eq!(lab.arrive(5003, true), None, "matched through a master nobody confirmed");
    lab.end([ct, unconfirmed]);
}

/// Clashes: under the parts of the source that both masks look at.
pub fn clashes(kernel: Revision) {
    let lab = Lab::new(kernel);
    let ct = lab.ftp();
    let l3 = nfexp_model::tuple::L3::Ipv4;
    let (address, port) = (Mask::exact(l3, true, false), Mask::exact(l3, false, true));
    lab.expect_as(&ct, 0, 5000, address, Flags::NONE).expect("room");
    let crossing = lab.expect_as(&ct, 0, 5000, port, Flags::NONE);
    assert_eq!(crossing, Err(RelateError::Clash), "NoClash: a packet could hit both");
    let exp = lab.made(&ct, 0, 5000, port, Flags::NONE);
    let tuple = Tuple { src: from(0, 0).dst, sport: 7, ..from(0, 5000) };
    lab.0.init_key(&exp, Class::DEFAULT, tuple, address);
    let apart = lab.0.related(At::default(), &exp, Origin::KERNEL, MasterCheck::Own);
    lab.0.put(exp);
    assert_eq!(apart, Ok(()), "no packet could hit both");
    lab.sound();
    lab.end([ct]);
}

/// The limits of classes and of the table, to the one.
pub fn limits(kernel: Revision) {
    let lab = Lab::with(kernel, 2);
    let ct = lab.ftp();
    for class in [0, 1] {
        for port in 0..4 {
            lab.expect(&ct, class, 5000 + 100 * u16::from(class) + port).expect("the oldest goes");
        }
    }
    let linked = lab.linked(&ct).len();
    assert!(linked == 4, "ClassWithinLimit: {linked} of two classes of two");
    lab.0.set_expect_max(4);
    let other = lab.master(NET, 0, 40001, Some("ftp"));
    let full = lab.expect(&other, 0, 7000);
    assert_eq!(full, Err(RelateError::TableFull), "the table holds what it may");
    lab.0.set_expect_max(5);
    assert_eq!(lab.expect(&other, 0, 7000), Ok(()), "RefusedOnlyIfFull: there was room for one");
    lab.end([ct, other]);
}

/// One whose timer is firing may stand beside its successor; nobody else ends it.
pub fn beside_a_firing_one(kernel: Revision) {
    let lab = Lab::with(kernel, 1);
    let ct = lab.ftp();
    lab.expect(&ct, 0, 5000).expect("room");
    lab.expect(&ct, 1, 6000).expect("room");
    let fire = |port| {
        let mut ids = lab.0.expectations_of(ct.id()).into_iter();
        let id = ids.find(|id| lab.0.expectation(*id).tuple().dport == port);
        lab.0.expire_this(TimerKey::expectation(id.expect("it is linked").index()))
    };
    let fired = [fire(6000)];
    // The class is full of one that is on its way out: H01 where there are timers.
    let _ = lab.expect(&ct, 1, 6001);
    for firing in fired.into_iter().flatten() {
        lab.0.timed_out(At::default(), firing);
        lab.sound();
    }
    lab.end([ct]);
    let lab = Lab::new(kernel);
    let ct = lab.ftp();
    lab.expect(&ct, 0, 5000).expect("room");
    let id = lab.0.expectations_of(ct.id())[0];
    let firing = lab.0.expire_this(TimerKey::expectation(id.index()));
    lab.expect(&ct, 0, 5000).expect("it stands beside the firing one, or in its place");
    assert_eq!(lab.arrive(5000, true), Some(5000), "the successor of a firing one is missed");
    if let Some(firing) = firing {
        lab.0.timed_out(At::default(), firing);
    }
    lab.end([ct]);
}

/// The lives of two masters' expectations: refreshed, deleted, ended with their masters.
pub fn lives(kernel: Revision) {
    let lab = Lab::new(kernel);
    let (ct, other) = (lab.ftp(), lab.master(NET, 0, 40001, Some("ftp")));
    for port in 5000..5004 {
        lab.expect(&ct, (port % 2) as u8, port).expect("room");
        lab.expect(&other, 1, port + 100).expect("room");
    }
    lab.expect(&ct, 0, 5002).expect("a refresh");
    assert_eq!(lab.linked(&ct), [5002, 5003, 5001, 5000], "a refresh is the youngest");
    let mut locked = lab.0.lock();
    let only = |exp: &nfexp_model::expectation::Expectation<Turns>| exp.tuple().dport == 5003;
    locked.iterate_destroy(At::default(), NET, Origin::KERNEL, Cause::Delete, only);
    drop(locked);
    lab.sound();
    assert_eq!(lab.linked(&ct), [5002, 5001, 5000], "one was deleted");
    lab.end([ct, other]);
}

/// What was announced and is announced again while it is linked takes its own place.
pub fn announced_twice(kernel: Revision) {
    let lab = Lab::new(kernel);
    let ct = lab.ftp();
    let exp = lab.made(&ct, 0, 5000, Mask::ANY, Flags::NONE);
    for _ in 0..2 {
        let related = lab.0.related(At::default(), &exp, Origin::KERNEL, MasterCheck::Own);
        assert_eq!(related, Ok(()), "there is room");
        lab.sound();
    }
    lab.0.put(exp);
    assert_eq!(lab.linked(&ct), [5000], "it is there once");
    lab.end([ct]);
}

/// An announcement is refused for want of room only while what is there is alive.
pub fn room_of_the_dead(kernel: Revision) {
    let lab = Lab::new(kernel);
    let ct = lab.ftp();
    lab.0.set_expect_max(2);
    for port in 5000..5016 {
        let exp = lab.made(&ct, 0, port, Mask::ANY, Flags::NONE);
        let related = lab.0.related(At::default(), &exp, Origin::KERNEL, MasterCheck::Own);
        if let Err(why) = related {
            let refused = lab.0.audit_refusal(At::default(), &exp, why, Counting::Live);
            refused.unwrap_or_else(|violation| panic!("{violation}"));
        }
        lab.0.unexpect(At::default(), &exp);
        lab.0.put(exp);
        lab.sound();
    }
    lab.end([ct]);
}

/// Two announced together; what the second is answered.
fn together(lab: &Lab, pair: [&ExpectRef; 2]) -> Result<(), Errno> {
    let how = (Origin::KERNEL, MasterCheck::Own);
    let related = lab.0.related_pair(At::default(), pair[0], pair[1], how);
    lab.sound();
    related
}

/// A pair of which the second is refused leaves nothing behind.
pub fn pair_refused(kernel: Revision) {
    let lab = Lab::new(kernel);
    let (ct, other) = (lab.ftp(), lab.master(NET, 0, 40001, Some("ftp")));
    lab.expect(&other, 0, 5001).expect("room");
    let pair = [5000, 5001].map(|port| lab.made(&ct, 0, port, Mask::ANY, Flags::NONE));
    let related = together(&lab, [&pair[0], &pair[1]]);
    assert_eq!(related, Err(Errno::Busy), "the second clashes with another master's");
    // Where the first is only marked, somebody has to come by.
    lab.0.lock().collect(At::default(), ct.id());
    pair.into_iter().for_each(|exp| lab.0.put(exp));
    lab.sound();
    assert_eq!(lab.linked(&ct), [0; 0], "neither is there");
    lab.end([ct, other]);
}

/// Two of a class of one do not come in together.
pub fn pair_within_its_limit(kernel: Revision) {
    let lab = Lab::with(kernel, 1);
    let ct = lab.ftp();
    let pair = [5000, 5001].map(|port| lab.made(&ct, 0, port, Mask::ANY, Flags::NONE));
    let _ = together(&lab, [&pair[0], &pair[1]]);
    pair.into_iter().for_each(|exp| lab.0.put(exp));
    lab.end([ct]);
}

/// Two that one packet could hit do not come in together.
pub fn pair_that_clashes(kernel: Revision) {
    let lab = Lab::new(kernel);
    let ct = lab.ftp();
    let l3 = nfexp_model::tuple::L3::Ipv4;
    let (address, port) = (Mask::exact(l3, true, false), Mask::exact(l3, false, true));
    let pair = [address, port].map(|mask| lab.made(&ct, 0, 5000, mask, Flags::NONE));
    let _ = together(&lab, [&pair[0], &pair[1]]);
    pair.into_iter().for_each(|exp| lab.0.put(exp));
    lab.end([ct]);
}

/// What user space created ends with its master.
pub fn created_by_netlink(kernel: Revision) {
    let lab = Lab::new(kernel);
    let ct = lab.ftp();
    let request = request(None, None);
    let how = (IfAbsent::Create, IfPresent::Fail);
    let made = lab.0.new_expect(At::default(), NET, &request, how, Origin::KERNEL);
    assert_eq!(made, Ok(()), "there is room");
    assert_eq!(lab.linked(&ct), [5000], "it was created");
    lab.end([ct]);
}
