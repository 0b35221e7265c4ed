// SPDX-License-Identifier: GPL-2.0-only
//! Looking ahead: what the packets that come next will ask for is read while this one is played.
//!
//! ```text
//!   frames that come ─▶ keys ─▶ their places, side by side ─▶ their flows, side by side
//! ```
//!
//! The rule that matters: nothing here changes anything, nor can it: it only reads. It costs some
//! instructions, so it is left alone where there are few flows, or mostly the same ones speak.
//!
//! Why: with tens of thousands of flows in turn most of a packet's time is waiting for its flow
//! (`cargo bench --bench replay`, *traffic*).

use nfexp_traces::packet::{plain_datagram, plain_tuple};

use super::Router;
use super::key::Key;

/// So many packets are looked at together.
pub(crate) const BATCH: usize = 16;

/// Of how many packets it is remembered that their flow spoke not long ago.
const RECENT: usize = 1 << 10;

/// Who spoke not long ago, of a sample.
#[derive(Debug)]
pub(super) struct Recent {
    marks: Box<[u32; RECENT]>,
    /// How many of the last samples were strangers, in 64ths; older ones count less.
    strangers: u32,
}

impl Default for Recent {
    fn default() -> Self {
        Self { marks: Box::new([0; RECENT]), strangers: 0 }
    }
}

impl Recent {
    /// Takes a sample; answers whether most were strangers.
    fn are_strangers(&mut self, mixed: u64) -> bool {
        let mark = &mut self.marks[mixed as usize % RECENT];
        let is_stranger = *mark != (mixed >> 24) as u32;
        *mark = (mixed >> 24) as u32;
        self.strangers = self.strangers - self.strangers / 16 + u32::from(is_stranger) * 4;
        self.strangers > 32
    }
}

impl Router {
    /// Looks at the frames that come next, each with its link type, if that is worth while: to be
    /// called once in [`BATCH`] packets.
    pub(crate) fn look_ahead<'a>(&mut self, mut frames: impl Iterator<Item = (i32, &'a [u8])>) {
        if self.counts_lookups || !self.flows.are_many() {
            return;
        }
        let mixed = |(link, frame): (i32, &[u8])| {
            let tuple = plain_datagram(link, frame).as_ref().and_then(plain_tuple);
            tuple.map(|tuple| Key::of(&tuple).0.mix())
        };
        let Some(first) = frames.next().and_then(mixed) else { return };
        if !self.recent.are_strangers(first) {
            return;
        }
        let mut coming = [first; BATCH];
        for (place, frame) in coming[1..].iter_mut().zip(frames) {
            *place = mixed(frame).unwrap_or(first);
        }
        self.flows.touch(&coming);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_speaks_again_soon_is_no_stranger() {
        let mut recent = Recent::default();
        let mixed = |flow: u64| flow.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 8;
        let mut told =
            |flows: u64| (0..2000).map(|at| recent.are_strangers(mixed(at % flows))).last();
        assert_eq!(told(100), Some(false));
        assert_eq!(told(100_000), Some(true));
        assert_eq!(told(100), Some(false));
    }
}
