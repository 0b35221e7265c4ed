// SPDX-License-Identifier: GPL-2.0-only
//! A walk through a message in aligned PER that keeps what leads to an address.
//!
//! *Node*: what was kept: of a sequence the fields that were there, of a choice the alternative,
//! of an address where it begins. Everything else is stepped over, field by field where nothing
//! says how long it is, by its length where something does.
//!
//! The rule that matters: a walk that ends early is no failure: whoever called it goes on from
//! there, even where that is in the middle of something. Some messages decode to nonsense so,
//! and the same nonsense as in the kernel.
//!
//! # Source
//! ITU-T X.691; `nf_conntrack_h323_asn1.c`, 6.18.

use super::schema::{Field, Kind, Schema, Size};

/// What was kept.
#[derive(Clone, Debug, Default)]
pub(super) enum Node {
    /// Nothing.
    #[default]
    Nothing,
    /// The fields of a sequence.
    Seq(Vec<(&'static str, Self)>),
    /// The items of a list.
    List(Vec<Self>),
    /// The alternative of a choice; without a name if it is newer than the schema.
    Choice(&'static str, Box<Self>),
    /// Where an address begins.
    Address(usize),
    /// A number.
    Number(u32),
}

impl Node {
    /// A field of a sequence that was there.
    pub(super) fn field(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Seq(fields) => {
                fields.iter().find(|(known, _)| *known == name).map(|(_, node)| node)
            }
            _ => None,
        }
    }

    /// What a choice holds, if it is this alternative.
    pub(super) fn alternative(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Choice(chosen, node) if *chosen == name => Some(node),
            _ => None,
        }
    }

    /// The items of a list.
    pub(super) fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }
}

/// It does not decode: it ends early, or chooses what there is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Undecodable;

type Walked = Result<Node, Undecodable>;

/// Decodes a message that begins at `start` of `data` and ends before `end`.
pub(super) fn decode(data: &[u8], start: usize, end: usize, message: &str) -> Walked {
    let schema = Schema::get();
    let mut bits = Bits { data, end: end.min(data.len()), at: start, bit: 0, steps: 0, schema };
    let field = schema.message(message);
    bits.walk(&field, true)
}

/// How many fields a message may make us look at.
const MOST_STEPS: u32 = 1 << 20;

struct Bits<'a> {
    data: &'a [u8],
    end: usize,
    at: usize,
    bit: u32,
    steps: u32,
    schema: &'static Schema,
}

impl Bits<'_> {
    #[doc(alias = "nf_h323_error_boundary")]
    fn need(&self, bytes: usize, bits: u32) -> Result<(), Undecodable> {
        let bits = bits + self.bit;
        let bytes = bytes + bits.div_ceil(8) as usize;
        if self.at.saturating_add(bytes) > self.end { Err(Undecodable) } else { Ok(()) }
    }

    fn byte(&self, at: usize) -> u32 {
        u32::from(self.data.get(at).copied().unwrap_or(0))
    }

    fn next_byte(&mut self) -> u32 {
        self.at += 1;
        self.byte(self.at - 1)
    }

    fn align(&mut self) {
        if self.bit != 0 {
            self.at += 1;
            self.bit = 0;
        }
    }

    fn skip_bits(&mut self, bits: u32) {
        self.bit += bits;
        self.at += (self.bit >> 3) as usize;
        self.bit &= 7;
    }

    fn skip(&mut self, bytes: u32) {
        self.at = self.at.saturating_add(bytes as usize);
    }

    /// At most eight bits.
    fn bits(&mut self, count: u32) -> u32 {
        let two = self.byte(self.at) << 8 | self.byte(self.at + 1);
        let value = two << self.bit & 0xffff;
        self.skip_bits(count);
        value >> (16 - count)
    }

    /// Presence bits, the first of them highest.
    #[doc(alias = "get_bitmap")]
    fn bitmap(&mut self, count: u32) -> u32 {
        let (start, bit) = (self.at, self.bit);
        let word = (0..5).fold(0_u64, |word, byte| word << 8 | u64::from(self.byte(start + byte)));
        self.skip_bits(count);
        if count == 0 {
            return 0;
        }
        // KERNEL: get_bitmap(), 6.18: a map that ends with its fourth byte is not shifted.
        let shift = if bit + count == 32 { 0 } else { bit };
        let word = (word << shift >> 8) as u32;
        if count >= 32 { word } else { word & !(u32::MAX >> count) }
    }

    /// A length below 16384.
    fn length(&mut self) -> u32 {
        let first = self.next_byte();
        if first & 0x80 == 0 { first } else { (first & 0x3f) << 8 | self.next_byte() }
    }

    /// The length of an open type that must be there whole.
    fn open(&mut self) -> Result<usize, Undecodable> {
        self.need(2, 0)?;
        let length = self.length() as usize;
        self.need(length, 0)?;
        Ok(length)
    }

    fn walk(&mut self, field: &Field, kept: bool) -> Walked {
        self.steps += 1;
        if self.steps > MOST_STEPS {
            return Err(Undecodable);
        }
        let kept = kept && field.kept;
        let node = match field.kind {
            Kind::Null => return Ok(Node::Nothing),
            Kind::Bool => {
                self.skip_bits(1);
                Node::Nothing
            }
            Kind::Oid => {
                self.align();
                self.need(1, 0)?;
                let length = self.next_byte();
                self.skip(length);
                Node::Nothing
            }
            Kind::Int(size, low) => self.integer(size, low, kept)?,
            Kind::Bits(size, low) => self.bit_string(size, low)?,
            Kind::Numeric(size, low) => {
                let Size::BitField(width) = size else { return Err(Undecodable) };
                self.need(0, width)?;
                let length = self.bits(width) + low;
                self.align();
                self.skip_bits(length << 2);
                Node::Nothing
            }
            Kind::Octets(size, low) => self.octets(size, low, kept)?,
            Kind::Bmp(size, low) => {
                let length = self.string_length(size)? + low;
                self.skip(length << 1);
                Node::Nothing
            }
            Kind::Seq { bits, root, known, of } => {
                return self.sequence(field, (bits, root, known), of, kept);
            }
            Kind::List { size, kept: most, item } => return self.list(size, most, item, kept),
            Kind::Choice { bits, root, known, of } => {
                return self.choice(field, (bits, root, known), of, kept);
            }
        };
        self.need(0, 0)?;
        Ok(node)
    }

    fn integer(&mut self, size: Size, low: u32, kept: bool) -> Walked {
        match size {
            Size::Byte => {
                self.align();
                self.skip(1);
            }
            Size::Word => {
                self.align();
                self.skip(2);
            }
            Size::Constrained => {
                self.need(0, 2)?;
                let length = self.bits(2) + 1;
                self.align();
                if kept {
                    // KERNEL: decode_int(), 6.18: a number that is kept is stepped over twice.
                    let value = (0..length).fold(0, |value, _| value << 8 | self.next_byte());
                    self.skip(length);
                    self.need(0, 0)?;
                    return Ok(Node::Number(value.wrapping_add(low)));
                }
                self.skip(length);
            }
            Size::Length => {
                self.align();
                self.need(2, 0)?;
                let length = self.length();
                self.skip(length);
            }
            Size::BitField(width) => self.skip_bits(width),
            Size::Fixed => {}
        }
        Ok(Node::Nothing)
    }

    fn bit_string(&mut self, size: Size, low: u32) -> Walked {
        self.align();
        let length = match size {
            Size::Fixed => low,
            Size::Word => {
                self.need(2, 0)?;
                (self.next_byte() << 8) + self.next_byte() + low
            }
            Size::Length => {
                self.need(2, 0)?;
                self.length()
            }
            _ => 0,
        };
        self.skip(length >> 3);
        self.bit = length & 7;
        Ok(Node::Nothing)
    }

    fn octets(&mut self, size: Size, low: u32, kept: bool) -> Walked {
        let mut node = Node::Nothing;
        let length = match size {
            Size::Fixed => {
                if low > 2 {
                    self.align();
                    if kept {
                        node = Node::Address(self.at);
                    }
                }
                low
            }
            Size::Length => {
                self.align();
                self.need(2, 0)?;
                self.length() + low
            }
            size => self.string_length(size)? + low,
        };
        self.skip(length);
        Ok(node)
    }

    fn string_length(&mut self, size: Size) -> Result<u32, Undecodable> {
        match size {
            Size::BitField(width) => {
                self.need(0, width)?;
                let length = self.bits(width);
                self.align();
                Ok(length)
            }
            _ => {
                self.align();
                self.need(1, 0)?;
                Ok(self.next_byte())
            }
        }
    }

    #[doc(alias = "decode_seq")]
    fn sequence(
        &mut self,
        field: &Field,
        (bits, root, known): (u32, usize, usize),
        of: usize,
        kept: bool,
    ) -> Walked {
        let sons = self.schema.fields(of);
        let mut fields = Vec::new();
        self.need(0, 1)?;
        let extended = field.extensible && self.bits(1) == 1;
        self.need(0, bits)?;
        let present = self.bitmap(bits);
        let mut optional = 0;
        for son in sons.iter().take(root) {
            if son.stop {
                return Ok(Node::Seq(fields));
            }
            if son.optional {
                optional += 1;
                if present & (0x8000_0000 >> (optional - 1)) == 0 {
                    continue;
                }
            }
            let node = match son.open {
                true => self.open_type(son, kept)?,
                false => self.walk(son, kept)?,
            };
            if kept && son.kept {
                fields.push((son.name, node));
            }
        }
        if extended {
            self.extensions(sons, (root, known), kept, &mut fields)?;
        }
        Ok(Node::Seq(fields))
    }

    fn extensions(
        &mut self,
        sons: &'static [Field],
        (root, known): (usize, usize),
        kept: bool,
        fields: &mut Vec<(&'static str, Node)>,
    ) -> Result<(), Undecodable> {
        self.need(0, 7)?;
        let count = self.bits(7) + 1;
        self.need(0, count)?;
        if count > 32 {
            // KERNEL: decode_seq(), since v6.8: more would not fit into the map.
            return Err(Undecodable);
        }
        let present = self.bitmap(count);
        self.align();
        for at in 0..count {
            let place = root + at as usize;
            if place >= known {
                // KERNEL: decode_seq(), 6.18: newer fields are stepped over whether they are
                // there or not.
                let length = self.open()?;
                self.at += length;
                continue;
            }
            let son = sons.get(place).ok_or(Undecodable)?;
            if son.stop {
                return Ok(());
            }
            if present & 0x8000_0000_u32.checked_shr(at).unwrap_or(0) == 0 {
                continue;
            }
            let node = self.open_type(son, kept)?;
            if kept && son.kept {
                fields.push((son.name, node));
            }
        }
        Ok(())
    }

    /// A field with its own length: walked through if it is kept, else stepped over.
    fn open_type(&mut self, son: &Field, kept: bool) -> Walked {
        let length = self.open()?;
        let begin = self.at;
        let node = if kept && son.kept { self.walk(son, kept)? } else { Node::Nothing };
        self.at = begin + length;
        if kept && son.kept {
            self.bit = 0;
        }
        Ok(node)
    }

    #[doc(alias = "decode_seqof")]
    fn list(&mut self, size: Size, most: usize, item: usize, kept: bool) -> Walked {
        let count = match size {
            Size::BitField(width) => {
                self.need(0, width)?;
                self.bits(width)
            }
            _ => {
                self.align();
                self.need(2, 0)?;
                self.length()
            }
        };
        let son = &self.schema.fields(item)[0];
        let mut items = Vec::new();
        for at in 0..count as usize {
            let kept_here = kept && at < most;
            let node = if son.open {
                self.align();
                let length = self.open()?;
                let begin = self.at;
                // KERNEL: decode_seqof(), 6.18: items beyond those kept are walked through, too.
                let walk = kept && son.kept;
                let node = if walk { self.walk(son, kept_here)? } else { Node::Nothing };
                self.at = begin + length;
                if walk {
                    self.bit = 0;
                }
                node
            } else {
                self.walk(son, kept_here)?
            };
            if kept_here && son.kept {
                items.push(node);
            }
        }
        Ok(Node::List(items))
    }

    #[doc(alias = "decode_choice")]
    fn choice(
        &mut self,
        field: &Field,
        (bits, root, known): (u32, usize, usize),
        of: usize,
        kept: bool,
    ) -> Walked {
        self.need(0, 1)?;
        let extended = field.extensible && self.bits(1) == 1;
        let which = if extended {
            self.need(0, 7)?;
            self.bits(7) as usize + root
        } else {
            self.need(0, bits)?;
            let which = self.bits(bits) as usize;
            if which >= root {
                return Err(Undecodable);
            }
            which
        };
        let sons = self.schema.fields(of);
        if which >= known {
            self.align();
            let length = self.open()?;
            self.at += length;
            return Ok(Node::Choice("", Box::default()));
        }
        // What the schema leaves out at the end are alternatives at which the walk ends.
        let Some(son) = sons.get(which).filter(|son| !son.stop) else {
            return Ok(Node::Choice("", Box::default()));
        };
        let node = if extended || son.open {
            self.align();
            self.need(0, 0)?;
            let length = self.length() as usize;
            self.need(length, 0)?;
            let begin = self.at;
            let node = if kept && son.kept { self.walk(son, kept)? } else { Node::Nothing };
            self.at = begin + length;
            if kept && son.kept {
                self.bit = 0;
            }
            node
        } else {
            self.walk(son, kept)?
        };
        Ok(Node::Choice(son.name, Box::new(node)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(data: &[u8], bit: u32) -> Bits<'_> {
        Bits { data, end: data.len(), at: 0, bit, steps: 0, schema: Schema::get() }
    }

    /// `get_bits()`, `get_bitmap()`, `get_len()`: what is read, and where the next begins.
    #[test]
    fn numbers_are_read_across_bytes() {
        const DATA: [u8; 5] = [0xab, 0xcd, 0xef, 0x12, 0x34];
        for (bit, count, value, next) in [
            (0, 2, 2, (0, 2)),
            (3, 5, 0b0_1011, (1, 0)),
            (6, 4, 0b1111, (1, 2)),
            (4, 8, 0xbc, (1, 4)),
        ] {
            let mut bits = from(&DATA, bit);
            assert_eq!((bits.bits(count), (bits.at, bits.bit)), (value, next), "{bit} {count}");
        }
        for (bit, count, map, next) in [
            (5, 0, 0, (0, 5)),
            (0, 3, 0xa000_0000, (0, 3)),
            (4, 4, 0xb000_0000, (1, 0)),
            (4, 9, 0xbc80_0000, (1, 5)),
            (0, 16, 0xabcd_0000, (2, 0)),
            (4, 27, 0xbcde_f120, (3, 7)),
            (4, 28, 0xabcd_ef10, (4, 0)),
            (0, 32, 0xabcd_ef12, (4, 0)),
            (4, 32, 0xbcde_f123, (4, 4)),
        ] {
            let mut bits = from(&DATA, bit);
            assert_eq!((bits.bitmap(count), (bits.at, bits.bit)), (map, next), "{bit} {count}");
        }
        for (data, length, next) in
            [([0x7f, 9], 0x7f, 1), ([0x81, 2], 0x102, 2), ([0xff, 0xff], 0x3fff, 2)]
        {
            let mut bits = from(&data, 0);
            assert_eq!((bits.length(), bits.at), (length, next));
        }
    }

    /// `nf_h323_error_boundary()`: a byte that is begun is needed.
    #[test]
    fn what_is_begun_must_be_there() {
        for (bit, bytes, bits, there) in [
            (0, 2, 0, true),
            (0, 2, 1, false),
            (1, 2, 0, false),
            (1, 1, 7, true),
            (2, 1, 7, false),
            (0, 0, 16, true),
            (7, 0, 9, true),
            (7, 0, 10, false),
        ] {
            let data = from(&[0; 2], bit);
            assert_eq!(data.need(bytes, bits).is_ok(), there, "{bit} {bytes} {bits}");
        }
    }

    /// `decode_int()`, `decode_bitstr()`, `decode_octstr()`, `decode_numstr()`.
    #[test]
    fn each_field_ends_where_the_kernel_goes_on() {
        use Kind::{Bits as BitString, Bmp, Bool, Int, Numeric, Octets, Oid};
        let read = |kind, bit, data: &[u8]| {
            let (name, kept, optional, extensible) = ("field", true, false, false);
            let field = Field { name, kept, optional, extensible, open: false, stop: false, kind };
            let mut bits = from(data, bit);
            bits.walk(&field, true).ok().map(|node| {
                let number = match node {
                    Node::Number(number) => Some(number),
                    Node::Address(at) => Some(at as u32),
                    _ => None,
                };
                (number, bits.at, bits.bit)
            })
        };
        let long = [0x41, 0x02, 0x03, 0x04, 0, 0, 0, 0];
        for (kind, bit, end) in [
            (Bool, 7, Some((None, 1, 0))),
            (Oid, 0, None),
            (Int(Size::Byte, 0), 3, Some((None, 2, 0))),
            (Int(Size::Word, 0), 0, Some((None, 2, 0))),
            (Int(Size::BitField(7), 0), 3, Some((None, 1, 2))),
            // Two bytes hold it, and two more are stepped over.
            (Int(Size::Constrained, 1), 0, Some((Some(0x204), 5, 0))),
            (Int(Size::Length, 0), 0, None),
            (BitString(Size::Fixed, 19), 1, Some((None, 3, 3))),
            (BitString(Size::Length, 0), 1, Some((None, 2, 2))),
            (Octets(Size::Fixed, 4), 1, Some((Some(1), 5, 0))),
            (Octets(Size::Fixed, 2), 1, Some((None, 2, 1))),
            (Octets(Size::BitField(3), 1), 0, Some((None, 4, 0))),
            (Octets(Size::Length, 1), 1, Some((None, 5, 0))),
            (Octets(Size::Byte, 0), 0, None),
            (Bmp(Size::BitField(3), 0), 0, Some((None, 5, 0))),
            (Bmp(Size::Byte, 0), 1, Some((None, 6, 0))),
            (Numeric(Size::BitField(3), 1), 0, Some((None, 2, 4))),
        ] {
            assert_eq!(read(kind, bit, &long), end, "{kind:?}");
        }
        let longer = [&[1, 2], &[0; 40][..]].concat();
        assert_eq!(read(BitString(Size::Word, 3), 0, &longer), Some((None, 34, 5)), "261 bits");
        assert_eq!(read(Oid, 1, &[9, 2, 0, 0]), Some((None, 4, 0)));
        assert_eq!(read(Oid, 1, &[9, 3, 0, 0]), None);
    }
}
