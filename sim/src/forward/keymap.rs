// SPDX-License-Identifier: GPL-2.0-only
//! Which key a GRE sender has, by the receiver's.
//!
//! A GRE packet names only the call id of whoever receives it. PPTP's control connection told
//! both; an entry per direction is kept as long as it lasts.
//!
//! # Source
//! `nf_ct_gre_keymap_add()`, `gre_keymap_lookup()`, `nf_ct_gre_keymap_destroy()` of
//! `nf_conntrack_proto_gre.c`, 6.18.

use nfexp_model::conn::ConnId;
use nfexp_model::conntrack::Direction;
use nfexp_model::tuple::Tuple;

/// Every pair of keys, oldest first.
#[derive(Debug, Default)]
pub(super) struct Keymap(Vec<(ConnId, Direction, Tuple)>);

/// Whether two tuples are one in everything but the source's key.
fn same_but_key(a: &Tuple, b: &Tuple) -> bool {
    Tuple { sport: b.sport, ..*a } == *b
}

impl Keymap {
    #[doc(alias = "nf_ct_gre_keymap_add")]
    pub(super) fn add(&mut self, master: ConnId, direction: Direction, tuple: &Tuple) -> bool {
        let known = self.0.iter().find(|(of, way, _)| *of == master && *way == direction);
        if let Some((.., known)) = known {
            // The same again is a retransmission.
            return same_but_key(known, tuple);
        }
        self.0.push((master, direction, *tuple));
        true
    }

    #[doc(alias = "gre_keymap_lookup")]
    pub(super) fn source_key(&self, tuple: &Tuple) -> u16 {
        let known = self.0.iter().find(|(.., known)| same_but_key(known, tuple));
        known.map_or(0, |(.., known)| known.sport)
    }

    #[doc(alias = "nf_ct_gre_keymap_destroy")]
    pub(super) fn destroy(&mut self, master: ConnId) {
        self.0.retain(|(of, ..)| *of != master);
    }
}
