// SPDX-License-Identifier: GPL-2.0-only
//! One expectation from its announcement to its match, by the engine's own verbs.
//!
//! A client asks a server for a passive data connection; the helper has read
//! `227 Entering Passive Mode (10,0,0,1,195,80)`, and now the client connects to port 50000.

use nfexp_model::engine::MasterCheck;
use nfexp_model::event::Origin;
use nfexp_model::expectation::Expected;
use nfexp_model::helper::Class;
use nfexp_model::kernel::Jiffies;
use nfexp_model::netns::{NetId, Zone};
use nfexp_model::proc::SeqFile;
use nfexp_model::tuple::{L3, Proto, Tuple};
use nfexp_model::{At, Config, Engine};

fn main() {
    let at = At { now: Jiffies::initial(250), ..At::default() };
    let engine: Engine = Engine::new(Config::SMALL).expect("there is memory");
    let ip = |last| std::net::Ipv4Addr::new(10, 0, 0, last).into();

    // The control connection, with its helper, is the master.
    let control = Tuple::new(Proto::TCP, ip(2), 40000, ip(1), 21);
    let answer = control.inverse().expect("TCP is answered");
    let master = engine.alloc_conn(NetId::INIT, Zone(0), control, answer).expect("there is memory");
    engine.attach(&master, engine.helper_named("ftp")).expect("there is memory");
    assert!(engine.confirm(at, &master, Origin::KERNEL));

    // The helper announces: from the client, any port, to the server's port 50000.
    let exp = engine.alloc(at, &master).expect("there is memory");
    let expected = Expected {
        l3: L3::Ipv4,
        saddr: Some(control.src),
        daddr: control.dst,
        proto: Proto::TCP,
        sport: None,
        dport: 50000,
    };
    engine.init(&exp, Class::DEFAULT, &expected);
    engine.related(at, &exp, Origin::KERNEL, MasterCheck::Own).expect("nothing is in the way");
    engine.put(exp);
    let mut listing = String::new();
    SeqFile::open(NetId::INIT).read(&engine, at, 10, &mut listing).expect("a string takes all");
    print!("/proc/net/nf_conntrack_expect: {listing}");

    // The announced connection arrives, and takes it.
    let data = Tuple::new(Proto::TCP, ip(2), 41000, ip(1), 50000);
    let answer = data.inverse().expect("TCP is answered");
    let born = engine.init_conntrack(at, NetId::INIT, Zone(0), data, answer, true);
    let born = born.expect("there is memory");
    assert_eq!(engine.conn(born.ct.id()).about().master, Some(master.id()));
    while let Some(event) = engine.poll_event() {
        println!("{event:?}");
    }

    // Whoever takes references gives them back; then nothing is left.
    engine.put_conn(at, born.ct);
    engine.delete_conn(at, &master, Origin::KERNEL);
    engine.put_conn(at, master);
    println!("{:?}", engine.fini().expect("nothing leaks"));
}
