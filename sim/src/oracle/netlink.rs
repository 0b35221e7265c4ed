// SPDX-License-Identifier: GPL-2.0-only
//! Netlink on the wire: messages, attributes, and a socket that carries them.
//!
//! *Message*: a header of 16 bytes (length, kind, flags, sequence number, port) and a body.
//! *Attribute*: length, kind, value, padded to four bytes; a *nest* is an attribute whose value
//! is attributes. Numbers of netfilter are big-endian, of rtnetlink and of the headers native.
//!
//! ```text
//! | length u32 | kind u16 | flags u16 | sequence u32 | port u32 | family u8, 0, 0 u16 | attributes…
//! '---------------------- header ---------------------------------' '---- nfgenmsg ----'
//! ```
//!
//! The rule that matters: reading never trusts a length. An attribute that claims more than
//! there is ends the walk.

/// The message's acknowledgement or error.
pub const ERROR: u16 = 2;
/// The end of a dump.
pub const DONE: u16 = 3;

/// A request.
pub const REQUEST: u16 = 0x1;
/// Answer even if there is nothing to say.
pub const ACK: u16 = 0x4;
/// Everything there is.
pub const DUMP: u16 = 0x300;
/// Fail if it exists.
pub const EXCL: u16 = 0x200;
/// Make it if it does not.
pub const CREATE: u16 = 0x400;
/// Behind the last there is.
pub const APPEND: u16 = 0x800;

const HEADER: usize = 16;
const NESTED: u16 = 0x8000;
const KIND: u16 = 0x3fff;

/// Messages being written, one after the other.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
    start: usize,
}

impl Writer {
    /// Begins a message; one that was begun before is ended.
    pub fn begin(&mut self, kind: u16, flags: u16, sequence: u32) {
        self.end();
        self.start = self.bytes.len();
        self.bytes.extend_from_slice(&0u32.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&(REQUEST | flags).to_ne_bytes());
        self.bytes.extend_from_slice(&sequence.to_ne_bytes());
        self.bytes.extend_from_slice(&0u32.to_ne_bytes());
    }

    /// Begins a message of netfilter, with its own small header.
    pub fn begin_netfilter(
        &mut self,
        kind: u16,
        flags: u16,
        sequence: u32,
        family: u8,
        resource: u16,
    ) {
        self.begin(kind, flags, sequence);
        self.bytes.extend_from_slice(&[family, 0]);
        self.bytes.extend_from_slice(&resource.to_be_bytes());
    }

    /// Bytes that are no attribute: a family's own header.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.pad();
    }

    /// An attribute.
    pub fn put(&mut self, kind: u16, value: &[u8]) {
        let length = u16::try_from(value.len() + 4).expect("attributes here are short");
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.pad();
    }

    /// A string with the zero behind it.
    pub fn text(&mut self, kind: u16, value: &str) {
        let mut bytes = Vec::with_capacity(value.len() + 1);
        bytes.extend_from_slice(value.as_bytes());
        bytes.push(0);
        self.put(kind, &bytes);
    }

    /// A big-endian number of 16 bits.
    pub fn be16(&mut self, kind: u16, value: u16) {
        self.put(kind, &value.to_be_bytes());
    }

    /// A big-endian number of 32 bits.
    pub fn be32(&mut self, kind: u16, value: u32) {
        self.put(kind, &value.to_be_bytes());
    }

    /// Attributes inside an attribute.
    pub fn nest(&mut self, kind: u16, inside: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.put(kind | NESTED, &[]);
        inside(self);
        let length = u16::try_from(self.bytes.len() - start).expect("nests here are short");
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    }

    /// Ends the last message and gives all of them.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.end();
        self.bytes
    }

    fn end(&mut self) {
        if self.bytes.len() > self.start {
            let length = u32::try_from(self.bytes.len() - self.start).expect("messages are short");
            self.bytes[self.start..self.start + 4].copy_from_slice(&length.to_ne_bytes());
        }
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// A message that was read.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// What it is: subsystem and operation.
    pub kind: u16,
    /// Its flags.
    pub flags: u16,
    /// Whose request it answers or reports.
    pub sequence: u32,
    /// Which socket's request caused it; 0 if none.
    pub port: u32,
    /// What follows the header.
    pub body: &'a [u8],
}

impl<'a> Message<'a> {
    /// The attributes behind netfilter's own header.
    #[must_use]
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes(self.body.get(4..).unwrap_or_default())
    }

    /// The family in netfilter's own header.
    #[must_use]
    pub fn family(&self) -> u8 {
        self.body.first().copied().unwrap_or_default()
    }

    /// The errno of an acknowledgement or of the end of a dump; 0 is success.
    #[must_use]
    pub fn errno(&self) -> i32 {
        let code = self.body.first_chunk().map_or(0, |bytes| i32::from_ne_bytes(*bytes));
        code.checked_neg().unwrap_or(0).max(0)
    }
}

/// The messages in what one receive gave.
#[derive(Clone, Copy, Debug)]
pub struct Messages<'a>(pub &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let header: &[u8; HEADER] = self.0.first_chunk()?;
        let (half, word) = (
            |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]),
            |at: usize| {
                u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
            },
        );
        let length = usize::try_from(word(0)).ok()?;
        let message = Message {
            kind: half(4),
            flags: half(6),
            sequence: word(8),
            port: word(12),
            body: self.0.get(HEADER..length)?,
        };
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    }
}

/// Attributes, in order.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a>(pub &'a [u8]);

impl<'a> Attributes<'a> {
    /// The value of the last attribute of a kind, as the kernel reads them too.
    #[must_use]
    pub fn get(self, kind: u16) -> Option<&'a [u8]> {
        self.filter(|(found, _)| *found == kind).last().map(|(_, value)| value)
    }

    /// The attributes inside one.
    #[must_use]
    pub fn nested(self, kind: u16) -> Option<Self> {
        self.get(kind).map(Self)
    }

    /// A number of one, two, four or eight bytes.
    #[must_use]
    pub fn number(self, kind: u16) -> Option<u64> {
        let value = self.get(kind).filter(|value| value.len() <= 8)?;
        Some(value.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// A string, without the zero behind it.
    #[must_use]
    pub fn text(self, kind: u16) -> Option<String> {
        let value = self.get(kind)?;
        let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
        Some(String::from_utf8_lossy(&value[..end]).into_owned())
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let [l0, l1, k0, k1]: [u8; 4] = *self.0.first_chunk()?;
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        let value = self.0.get(4..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([k0, k1]) & KIND, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut writer = Writer::default();
        writer.begin_netfilter(0x0201, ACK, 7, 2, 0);
        writer.be32(4, 60);
        writer.nest(2, |inside| inside.text(1, "ftp"));
        writer.begin_netfilter(0x0202, 0, 8, 10, 1);
        let bytes = writer.finish();

        let messages: Vec<_> = Messages(&bytes).collect();

        assert_eq!(messages.len(), 2);
        assert_eq!((messages[0].kind, messages[0].sequence, messages[0].family()), (0x0201, 7, 2));
        assert_eq!(messages[0].attributes().number(4), Some(60));
        let nest = messages[0].attributes().nested(2).unwrap();
        assert_eq!(nest.text(1).as_deref(), Some("ftp"));
        assert_eq!((messages[1].kind, messages[1].family()), (0x0202, 10));
    }

    #[test]
    fn a_length_beyond_the_end_ends_the_walk() {
        let mut lies = vec![0u8; 24];
        for length in 0..=u8::MAX {
            lies[0] = length;
            lies[16] = length;
            for message in Messages(&lies) {
                assert!(message.attributes().count() < 8);
            }
        }
    }
}
