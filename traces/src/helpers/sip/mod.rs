// SPDX-License-Identifier: GPL-2.0-only
//! SIP: where a registered phone is called, and where the media of a call flow.
//!
//! ```text
//!   REGISTER, Contact          registrar:* ─▶ contact:p          inactive, until a 2xx
//!   INVITE, 183, 200, … SDP    peer:*      ─▶ c= address:m= port, and the port above it
//! ```
//!
//! *Media*: expectations of the classes audio, video and image, two for each `m=` line: RTP at
//! the even port, RTCP at the odd one. A new INVITE, a BYE and a final error of the call end
//! them all, newest first. *Signalling*: at most one, permanent; an answer to REGISTER activates
//! it and gives it the time it grants, without an event.
//!
//! The rule that matters: a message of a known method that does not parse is dropped, and so is
//! one whose expectations are refused.
//!
//! # Source
//! RFC 3261, RFC 4566; `nf_conntrack_sip.c`, 6.18; v3.10 where the text is read otherwise.

mod media;
mod numbers;
mod register;
mod scan;

use super::{Parameters, Seen, Tracker, Verdict};
use scan::{Header, Scan};

use nfexp_model::revision::SipScan;
use nfexp_model::tuple::Proto;

/// What the helper remembers of a signalling connection (`struct nf_ct_sip_master`).
#[doc(alias = "nf_ct_sip_master")]
#[derive(Clone, Copy, Debug, Default)]
pub struct State {
    register_cseq: u32,
    invite_cseq: u32,
}

/// The shortest message that is looked at.
const SHORTEST: usize = "SIP/2.0 200".len();

/// The classes of SIP's expectations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Signalling = 0,
    Audio = 1,
    Video = 2,
    Image = 3,
}

/// What is done with a message of which method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Invite,
    Update,
    Ack,
    Prack,
    Bye,
    Register,
}

const METHODS: [(&[u8], Method); 6] = [
    (b"INVITE", Method::Invite),
    (b"UPDATE", Method::Update),
    (b"ACK", Method::Ack),
    (b"PRACK", Method::Prack),
    (b"BYE", Method::Bye),
    (b"REGISTER", Method::Register),
];

/// Everything about the message at hand.
struct Message<'a, 'b> {
    scan: Scan<'a>,
    seen: &'a Seen<'a>,
    parameters: &'a Parameters,
    tracker: &'b mut dyn Tracker,
}

impl State {
    /// Shows a packet to the helper.
    pub fn help(
        &mut self,
        parameters: &Parameters,
        seen: &Seen<'_>,
        tracker: &mut dyn Tracker,
    ) -> Verdict {
        let stream = seen.tuples[0].proto == Proto::TCP;
        if seen.payload.is_empty() || (stream && !seen.established) {
            return Verdict::Accept;
        }
        tracker.refresh(parameters.sip_timeout);
        if seen.payload.len() < SHORTEST {
            return Verdict::Accept;
        }
        let (l3, way) = (seen.tuples[0].l3, tracker.revision().sip_scan);
        if !stream {
            let scan = Scan { text: seen.payload, packet: seen.payload, l3, way };
            return self.message(Message { scan, seen, parameters, tracker });
        }
        let mut rest = seen.payload;
        // Each turn takes a message of at least a header away.
        while let Some(length) = message_length(Scan { text: rest, packet: rest, l3, way }) {
            let (text, behind) = rest.split_at(length);
            let scan = Scan { text, packet: rest, l3, way };
            let verdict = self.message(Message { scan, seen, parameters, tracker: &mut *tracker });
            if verdict == Verdict::Drop {
                return verdict;
            }
            rest = behind;
        }
        Verdict::Accept
    }

    /// One message.
    #[doc(alias = "process_sip_msg")]
    fn message(&mut self, message: Message<'_, '_>) -> Verdict {
        let text = message.scan.text;
        match text.get(..8).is_some_and(|start| start.eq_ignore_ascii_case(b"SIP/2.0 ")) {
            true => self.response(message),
            false => self.request(message),
        }
    }

    #[doc(alias = "process_sip_request")]
    fn request(&mut self, mut message: Message<'_, '_>) -> Verdict {
        let text = message.scan.text;
        let is_word = |len: usize| match message.scan.way {
            SipScan::Strict => {
                text.len() >= len + 2 && text[len] == b' ' && scan::is_alpha(text[len + 1])
            }
            SipScan::Lenient => true,
        };
        let named = METHODS.into_iter().find(|(name, _)| {
            let begins = text.get(..name.len()).is_some_and(|it| it.eq_ignore_ascii_case(name));
            begins && is_word(name.len())
        });
        let Some((_, method)) = named else {
            return Verdict::Accept;
        };
        let Some((cseq, _)) = message.cseq() else {
            return Verdict::Drop;
        };
        match method {
            Method::Invite => {
                message.flush_media();
                let verdict = message.sdp();
                if verdict == Verdict::Accept {
                    self.invite_cseq = cseq;
                }
                verdict
            }
            Method::Update | Method::Ack | Method::Prack => message.sdp(),
            Method::Bye => {
                message.flush_media();
                Verdict::Accept
            }
            Method::Register => {
                let verdict = message.register_request();
                if verdict == Some(Verdict::Accept) {
                    self.register_cseq = cseq;
                }
                verdict.unwrap_or(Verdict::Accept)
            }
        }
    }

    #[doc(alias = "process_sip_response")]
    fn response(&self, mut message: Message<'_, '_>) -> Verdict {
        let text = message.scan.text;
        if text.len() < SHORTEST {
            return Verdict::Accept;
        }
        let (code, _) = message.scan.number("SIP/2.0 ".len());
        if code == 0 {
            return Verdict::Drop;
        }
        let Some((cseq, behind)) = message.cseq() else {
            return Verdict::Drop;
        };
        // The method stands behind the number and one more byte, whatever that is.
        let rest = text.get(behind + 1..).unwrap_or_default();
        let named = METHODS.into_iter().find(|(name, method)| {
            !matches!(method, Method::Ack | Method::Bye)
                && rest.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
        });
        match named {
            None => Verdict::Accept,
            Some((_, Method::Register)) if self.register_cseq != cseq => Verdict::Accept,
            Some((_, Method::Register)) => message.register_response(code),
            Some(_) if matches!(code, 100..=299) => message.sdp(),
            Some(_) => {
                if self.invite_cseq == cseq {
                    message.flush_media();
                }
                Verdict::Accept
            }
        }
    }
}

impl Message<'_, '_> {
    /// The number of the transaction, and where it ends.
    fn cseq(&self) -> Option<(u32, usize)> {
        let span = self.scan.header(&Header::CSEQ, 0).ok()??;
        let (cseq, end) = self.scan.number(span.at);
        // KERNEL: process_sip_request(), v3.10: zero is taken for no number.
        let is_one = match self.scan.way {
            SipScan::Strict => end > span.at,
            SipScan::Lenient => cseq != 0,
        };
        is_one.then_some((cseq, span.at + span.len))
    }

    /// Ends all media of the call, newest first.
    #[doc(alias = "flush_expectations")]
    fn flush_media(&mut self) {
        let media = |class| class != Class::Signalling as u8;
        for linked in self.tracker.expectations() {
            if media(linked.class) {
                self.tracker.remove(linked.id);
            }
        }
    }
}

/// How long the first message of a stream is; `None` if it does not end in this packet.
#[doc(alias = "sip_help_tcp")]
fn message_length(scan: Scan<'_>) -> Option<usize> {
    let span = scan.header(&Header::CONTENT_LENGTH, 0).ok()??;
    let (body, end) = scan.number(span.at);
    if end == span.at {
        return None;
    }
    let empty_line = scan.text[end..].windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = end + empty_line + 4;
    let length = match scan.way {
        SipScan::Strict => usize::try_from(body).ok()?.checked_add(head)?,
        // KERNEL: sip_help_tcp(), v3.10: the sum is of 32 bits.
        // DEVIATION: of a message that comes to nothing it would not get to the end.
        SipScan::Lenient => (head as u32).wrapping_add(body) as usize,
    };
    (1..=scan.text.len()).contains(&length).then_some(length)
}

#[cfg(test)]
mod tests;
