// SPDX-License-Identifier: GPL-2.0-only
//! What a random sequence is made of.

use std::net::Ipv4Addr;

use nfexp_model::tuple::{Proto, Tuple};
use nfexp_traces::text::Setup;
use proptest::prelude::*;

/// A step in small numbers, to be made into one of what is there.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    Conn { place: u8, helper: u8 },
    Confirm { conn: usize },
    Delete { conn: usize },
    Destroy { conn: usize },
    Helper { conn: usize, helper: u8 },
    Remove { conn: usize },
    Collect { conn: usize },
    Expect(Wish),
    Relate { exp: usize, skip_master: bool },
    Unexpect { exp: usize },
    SetFlags { exp: usize, flags: u8 },
    Put { exp: usize },
    Packet { key: Key, keep: bool, dropped: bool },
    Lookup { key: Key, keep: bool },
    Advance { ticks: u64 },
    Fire { exp: usize },
    Callback,
    Flush { net: u8 },
    Unregister { helper: u8 },
    Stats { net: u8 },
    Show { net: u8 },
    ExpectMax { max: i8 },
}

/// An announcement.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) conn: usize,
    pub(crate) src: u8,
    pub(crate) mask: u8,
    pub(crate) dport: u16,
    pub(crate) class: u8,
    pub(crate) flags: u8,
    pub(crate) assign: u8,
    pub(crate) lives: u64,
    pub(crate) keep: bool,
    pub(crate) skip_master: bool,
}

/// What a packet or a lookup asks for.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) src: u8,
    pub(crate) sport: u16,
    pub(crate) dport: u16,
    pub(crate) place: u8,
}

/// Aims: few addresses, ports and places, so that half of all keys name something that exists.
pub(crate) fn deed() -> impl Strategy<Value = Deed> {
    let (conn, exp) = (0..8_usize, 0..8_usize);
    prop_oneof![
        4 => (place(), 0..5_u8).prop_map(|(place, helper)| Deed::Conn { place, helper }),
        4 => conn.clone().prop_map(|conn| Deed::Confirm { conn }),
        1 => conn.clone().prop_map(|conn| Deed::Delete { conn }),
        1 => conn.clone().prop_map(|conn| Deed::Destroy { conn }),
        1 => (conn.clone(), 0..4_u8).prop_map(|(conn, helper)| Deed::Helper { conn, helper }),
        1 => conn.clone().prop_map(|conn| Deed::Remove { conn }),
        2 => conn.prop_map(|conn| Deed::Collect { conn }),
        16 => wish().prop_map(Deed::Expect),
        2 => (exp.clone(), any::<bool>())
            .prop_map(|(exp, skip_master)| Deed::Relate { exp, skip_master }),
        2 => exp.clone().prop_map(|exp| Deed::Unexpect { exp }),
        1 => (exp.clone(), 0..8_u8).prop_map(|(exp, flags)| Deed::SetFlags { exp, flags }),
        4 => exp.clone().prop_map(|exp| Deed::Put { exp }),
        8 => (key(), prop::bool::weighted(0.3), prop::bool::weighted(0.1))
            .prop_map(|(key, keep, dropped)| Deed::Packet { key, keep, dropped }),
        4 => (key(), any::<bool>()).prop_map(|(key, keep)| Deed::Lookup { key, keep }),
        4 => (1..2000_u64).prop_map(|ticks| Deed::Advance { ticks }),
        2 => exp.prop_map(|exp| Deed::Fire { exp }),
        2 => Just(Deed::Callback),
        1 => (0..2_u8).prop_map(|net| Deed::Flush { net }),
        1 => (0..3_u8).prop_map(|helper| Deed::Unregister { helper }),
        1 => (0..2_u8).prop_map(|net| Deed::Stats { net }),
        2 => (0..2_u8).prop_map(|net| Deed::Show { net }),
        1 => (-1..10_i8).prop_map(|max| Deed::ExpectMax { max }),
    ]
}

fn wish() -> impl Strategy<Value = Wish> {
    let what = (0..8_usize, 0..3_u8, 0..6_u8, 1..5_u16);
    let how = (0..4_u8, 0..8_u8, 0..6_u8, 1..3000_u64);
    (what, how, any::<bool>(), prop::bool::weighted(0.2)).prop_map(
        |((conn, src, mask, dport), (class, flags, assign, lives), keep, skip_master)| Wish {
            conn,
            src,
            mask,
            dport,
            class,
            flags,
            assign,
            lives,
            keep,
            skip_master,
        },
    )
}

fn key() -> impl Strategy<Value = Key> {
    let key = (0..3_u8, 1000..1004_u16, 1..5_u16, place());
    key.prop_map(|(src, sport, dport, place)| Key { src, sport, dport, place })
}

/// Mostly the first zone of the first namespace.
fn place() -> impl Strategy<Value = u8> {
    prop_oneof![7 => Just(0), 1 => Just(1), 1 => Just(2), 1 => Just(3)]
}

/// At least 200 of them.
pub(crate) fn sequences() -> impl Strategy<Value = Vec<Deed>> {
    prop::collection::vec(deed(), 200..260)
}

/// A world in which everything is nearly full.
pub(crate) fn setup() -> Setup {
    Setup {
        hz: Some(100),
        hash_size: Some(2),
        expect_max: Some(5),
        expectations: Some(1024),
        conns: Some(1024),
        netns: Some(2),
        helpers: vec![("ftp".into(), 2, 10), ("tftp".into(), 1, 3)],
    }
}

pub(crate) fn tuple(src: u8, sport: u16, dport: u16) -> Tuple {
    let ip = |last: u8| Ipv4Addr::new(10, 0, 0, last).into();
    Tuple::new(Proto::TCP, ip(src), sport, ip(200), dport)
}
