// SPDX-License-Identifier: GPL-2.0-only
//! The running kernel beside the model.
//!
//! *Oracle*: the connection tracker of the kernel this runs on, asked through ctnetlink, packets
//! and `/proc`, in network namespaces made for it. *Generator*: makes random operations that
//! aim. *Recording*: the operations with what the kernel answered, a transcript.
//!
//! ```text
//! seed ─▶ generate ─▶ operation ─┬─▶ kernel ─▶ answer ─┬─▶ compare ─▶ shrink ─▶ transcript
//!             ▲                  └─▶ model  ─▶ answer ─┘
//!             └── what the kernel's answer teaches
//! ```
//!
//! | where | what |
//! | --- | --- |
//! | [`netlink`], [`ctnetlink`], [`nftables`], [`wire`] | bytes: messages, attributes, rules, packets |
//! | `socket`, `namespace`, `kernel` | the running kernel (Linux only) |
//! | [`profile`], [`generate`], [`known`] | random sequences |
//! | `live`, `shrink`, `soak` | kernel and model side by side |
//! | [`cells`] | what has been reached |
//!
//! The rule that matters: the kernel is right. Whatever it does that the model does not is a
//! fault of the model, until somebody shows that the kernel's own answer was a matter of chance.

use std::net::IpAddr;

use nfexp_traces::transcript::{ExpNew, NftExpectation, Parts};

pub mod cells;
pub mod ctnetlink;
pub mod dice;
pub mod generate;
#[cfg(target_os = "linux")]
mod handles;
#[cfg(target_os = "linux")]
pub mod kernel;
pub mod known;
#[cfg(target_os = "linux")]
pub mod live;
mod masters;
mod mixtures;
#[cfg(target_os = "linux")]
pub mod namespace;
pub mod netlink;
pub mod nftables;
#[cfg(target_os = "linux")]
mod procfs;
pub mod profile;
#[cfg(target_os = "linux")]
pub mod record;
mod requests;
#[cfg(target_os = "linux")]
pub mod shrink;
#[cfg(target_os = "linux")]
pub mod soak;
#[cfg(target_os = "linux")]
pub mod socket;
mod traffic;
pub mod translated;
mod wild;
pub mod wire;

/// The rules of the namespace that make expectations.
pub const OBJECTS: [NftExpectation; 2] = [
    NftExpectation { udp_dport: 4321, l4: 17, dport: 2000, seconds: 5, size: 2 },
    NftExpectation { udp_dport: 4322, l4: 6, dport: 2001, seconds: 60, size: 1 },
];

/// The masters and expectations of a filled table.
#[must_use]
pub(crate) fn filling(master: u32, per: u32) -> (Parts, Vec<ExpNew>) {
    let address = |last: u8| Some(IpAddr::from([10, 0, 0, last]));
    let base = Parts { proto: Some(17), ..Parts::default() };
    let orig = Parts {
        src: address(1),
        dst: address(2),
        sport: u16::try_from(1000 + master).ok(),
        dport: Some(1719),
        ..base
    };
    let full = Some(IpAddr::from([255; 4]));
    let expectation = |place: u32| ExpNew {
        master: Some(orig),
        tuple: Some(Parts {
            src: address(2),
            dst: address(1),
            sport: Some(0),
            dport: u16::try_from(1 + master * per + place).ok(),
            ..base
        }),
        mask: Some(Parts { src: full, dst: full, sport: Some(0), dport: Some(u16::MAX), ..base }),
        ..ExpNew::default()
    };
    (orig, (0..per).map(expectation).collect())
}
