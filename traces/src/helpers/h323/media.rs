// SPDX-License-Identifier: GPL-2.0-only
//! H.245: a logical channel, opened or acknowledged, says where its media go.
//!
//! # Source
//! ITU-T H.245 §C; `process_h245()`, `process_olc()`, `process_olca()`, `expect_rtp_rtcp()`,
//! `expect_t120()` of `nf_conntrack_h323_main.c`.

use nfexp_model::expectation::{Expected, Flags};
use nfexp_model::tuple::{Addr, Proto};

use super::per::Node;
use super::{Done, Dropped, Packet};
use crate::helpers::Announced;

impl Packet<'_, '_> {
    /// A message of media control.
    #[doc(alias = "process_h245")]
    pub(super) fn h245(&mut self, data: &[u8], message: &Node) -> Done {
        let request = message.alternative("request");
        if let Some(open) = request.and_then(|one| one.alternative("openLogicalChannel")) {
            return self.open_channel(data, open);
        }
        let response = message.alternative("response");
        if let Some(ack) = response.and_then(|one| one.alternative("openLogicalChannelAck")) {
            return self.channel_ack(data, ack);
        }
        Ok(())
    }

    /// A channel is opened.
    #[doc(alias = "process_olc")]
    pub(super) fn open_channel(&mut self, data: &[u8], open: &Node) -> Done {
        const H2250: &str = "h2250LogicalChannelParameters";
        let forward = open.field("forwardLogicalChannelParameters");
        let reverse = open.field("reverseLogicalChannelParameters");
        for parameters in [forward, reverse].into_iter().flatten() {
            let multiplex = parameters.field("multiplexParameters");
            if let Some(channel) = multiplex.and_then(|multiplex| multiplex.alternative(H2250)) {
                self.channel(data, channel)?;
            }
        }
        let application = forward
            .and_then(|forward| forward.field("dataType"))
            .and_then(|kind| kind.alternative("data"))
            .and_then(|data| data.field("application"))
            .and_then(|application| application.alternative("t120"));
        if application.and_then(|t120| t120.alternative("separateLANStack")).is_some() {
            self.separate_stack(data, open)?;
        }
        Ok(())
    }

    /// The other side agrees.
    #[doc(alias = "process_olca")]
    fn channel_ack(&mut self, data: &[u8], ack: &Node) -> Done {
        let reverse = ack
            .field("reverseLogicalChannelParameters")
            .and_then(|reverse| reverse.field("multiplexParameters"))
            .and_then(|multiplex| multiplex.alternative("h2250LogicalChannelParameters"));
        let forward = ack
            .field("forwardMultiplexAckParameters")
            .and_then(|forward| forward.alternative("h2250LogicalChannelAckParameters"));
        for channel in [reverse, forward].into_iter().flatten() {
            self.channel(data, channel)?;
        }
        self.separate_stack(data, ack)
    }

    /// The addresses of one channel: either announces both RTP and RTCP.
    #[doc(alias = "process_h245_channel")]
    fn channel(&mut self, data: &[u8], channel: &Node) -> Done {
        for name in ["mediaChannel", "mediaControlChannel"] {
            if let Some(address) = channel.field(name) {
                self.expect_media(data, address)?;
            }
        }
        Ok(())
    }

    #[doc(alias = "expect_rtp_rtcp")]
    fn expect_media(&mut self, data: &[u8], address: &Node) -> Done {
        let Some(port) = self.own_port(data, address) else {
            return Ok(());
        };
        let one = |dport| Announced::plain(self.toward_here(Proto::UDP, dport));
        let (rtp, rtcp) = (one(port & !1), one(port | 1));
        let rtp = self.tracker.related(&rtp).map_err(|_| Dropped)?;
        self.tracker.related(&rtcp).map(|_| ()).map_err(|_| {
            self.tracker.unexpect(rtp);
            Dropped
        })
    }

    #[doc(alias = "expect_t120")]
    fn separate_stack(&mut self, data: &[u8], message: &Node) -> Done {
        let address = message
            .field("separateStack")
            .and_then(|stack| stack.field("networkAddress"))
            .and_then(|address| address.alternative("localAreaAddress"));
        let Some(port) = address.and_then(|address| self.own_port(data, address)) else {
            return Ok(());
        };
        let expected = self.toward_here(Proto::TCP, port);
        self.announce(&Announced { flags: Flags::PERMANENT, ..Announced::plain(expected) })
    }

    /// The port of an address that is the sender's own.
    fn own_port(&self, data: &[u8], address: &Node) -> Option<u16> {
        let unicast = address.alternative("unicastAddress")?;
        let (addr, port) = self.place(data, unicast, "iPAddress", "iP6Address")?;
        (addr == self.seen.tuple().src && port != 0).then_some(port)
    }

    /// From the other side, any port, to the sender.
    pub(super) fn toward_here(&self, proto: Proto, dport: u16) -> Expected {
        self.toward(self.seen.other().dst, proto, dport)
    }

    pub(super) fn toward(&self, daddr: Addr, proto: Proto, dport: u16) -> Expected {
        let other = self.seen.other();
        Expected { l3: other.l3, saddr: Some(other.src), daddr, proto, sport: None, dport }
    }
}
