// SPDX-License-Identifier: GPL-2.0-only
//! SDP: where the media of a call will flow.

use nfexp_model::engine::MasterCheck;
use nfexp_model::expectation::Expected;
use nfexp_model::tuple::{Addr, Proto, Tuple};

use super::scan::Line;
use super::{Class, Message};
use crate::helpers::{Announced, Refused, Verdict};

const MEDIA: [(&[u8], Class); 3] =
    [(b"audio ", Class::Audio), (b"video ", Class::Video), (b"image ", Class::Image)];

impl Message<'_, '_> {
    /// Expects the media that a session description names, three at most.
    #[doc(alias = "process_sdp")]
    pub(super) fn sdp(&mut self) -> Verdict {
        let Some(version) = self.scan.sdp(Line::Version, None, 0) else {
            return Verdict::Accept;
        };
        // For the whole session; each medium may name its own.
        let session = self.scan.connection(version.at);
        let mut at = version.at;
        let mut media = 0;
        while media < MEDIA.len() {
            let Some(span) = self.scan.sdp(Line::Media, None, at) else { break };
            let text = &self.scan.text[span.at..span.at + span.len];
            let Some((name, class)) = MEDIA.into_iter().find(|(name, _)| text.starts_with(name))
            else {
                at = span.at + span.len;
                continue;
            };
            at = span.at + name.len();
            let port = match self.scan.number(at).0 {
                // Not used.
                0 => continue,
                port @ 1024..=65535 => port as u16,
                _ => return Verdict::Drop,
            };
            let Some(addr) = self.scan.connection(at).or(session) else {
                return Verdict::Drop;
            };
            if self.expect_media(addr, port, class) == Verdict::Drop {
                return Verdict::Drop;
            }
            media += 1;
        }
        Verdict::Accept
    }

    /// Expects RTP and RTCP, both or neither.
    #[doc(alias = "set_expected_rtp_rtcp")]
    fn expect_media(&mut self, daddr: Addr, port: u16, class: Class) -> Verdict {
        let mut saddr = None;
        if self.parameters.sip_direct_media {
            if daddr != self.seen.tuple().src {
                return Verdict::Accept;
            }
            saddr = Some(self.seen.other().src);
        } else if self.parameters.sip_external_media && self.tracker.leaves_as_this(daddr) {
            return Verdict::Accept;
        }
        let (l3, proto) = (self.scan.l3, Proto::UDP);
        let src = saddr.unwrap_or_default();
        let tuple = Tuple { src, dst: daddr, sport: 0, dport: port, l3, proto };
        // Another call over the same transport expects this very medium: that is enough.
        let elsewhere = self
            .tracker
            .find(&tuple)
            .is_some_and(|linked| !linked.own && linked.same_helper && linked.class == class as u8);
        if elsewhere {
            return Verdict::Accept;
        }
        let one = |dport| Announced {
            class: class as u8,
            masters: MasterCheck::Skip,
            ..Announced::plain(Expected { l3, saddr, daddr, proto, sport: None, dport })
        };
        let rtp = self.tracker.related(&one(port & !1));
        if rtp == Err(Refused::Otherwise) {
            return Verdict::Drop;
        }
        match self.tracker.related(&one(port | 1)) {
            Ok(_) | Err(Refused::Already) => Verdict::Accept,
            Err(Refused::Otherwise) => {
                if let Ok(rtp) = rtp {
                    self.tracker.unexpect(rtp);
                }
                Verdict::Drop
            }
        }
    }
}
