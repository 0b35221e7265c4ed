// SPDX-License-Identifier: GPL-2.0-only
//! The types of H.225.0 and H.245, as far as a message must be walked through to its addresses.
//!
//! One line per field: its name, its marks, what it is. Marks: `!` kept, `?` optional, `+`
//! extensible, `~` an open type, `#` the walk ends here, `.` none. `seq B R N T`: a sequence of
//! type `T` with `B` optional root fields, `R` root fields, `N` fields that are known; `choice B R
//! N T` likewise, its index `B` bits wide; `of S N` a list, of which `N` items are kept, the item
//! in brackets. Sizes: `=n` fixed, a number of bits, `byte`, `word`, `cons` and `len` as PER has
//! them; then the lower bound. `skip` stands for what an extension's own length steps over.
//!
//! The rule that matters: behind the last address of a message nothing is described; what stands
//! there cannot be told apart, and the kernel does not look at it either.
//!
//! # Source
//! ITU-T H.225.0 v4 and H.245 v7, as the kernel selects from them.

use std::collections::HashMap;
use std::sync::OnceLock;

/// A field of a sequence, an alternative of a choice, an item of a list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kept: bool,
    pub(super) optional: bool,
    pub(super) extensible: bool,
    pub(super) open: bool,
    pub(super) stop: bool,
    pub(super) kind: Kind,
}

/// What a field is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Null,
    Bool,
    Oid,
    Int(Size, u32),
    Bits(Size, u32),
    Numeric(Size, u32),
    Octets(Size, u32),
    Bmp(Size, u32),
    Seq { bits: u32, root: usize, known: usize, of: usize },
    List { size: Size, kept: usize, item: usize },
    Choice { bits: u32, root: usize, known: usize, of: usize },
}

/// How a length or number is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    Fixed,
    BitField(u32),
    Byte,
    Word,
    Constrained,
    Length,
}

/// All types, by number.
#[derive(Debug)]
pub(super) struct Schema(Vec<Vec<Field>>);

impl Schema {
    /// The fields of a type.
    pub(super) fn fields(&self, of: usize) -> &[Field] {
        &self.0[of]
    }

    /// The one schema, read once.
    pub(super) fn get() -> &'static Self {
        static SCHEMA: OnceLock<Schema> = OnceLock::new();
        SCHEMA.get_or_init(|| Self::read([super::h225::TYPES, super::h245::TYPES]))
    }

    /// The field that a message of this type is.
    pub(super) fn message(&self, name: &str) -> Field {
        let first = self.0[0].iter().find(|field| field.name == name);
        *first.expect("the first type lists the messages")
    }

    fn read(texts: [&'static str; 2]) -> Self {
        let lines = || texts.into_iter().flat_map(str::lines).filter(|line| !line.is_empty());
        let names = lines().filter(|line| !line.starts_with(' ')).enumerate();
        let numbers: HashMap<&str, usize> = names.map(|(at, name)| (name, at)).collect();
        let mut types = vec![Vec::new(); numbers.len()];
        let mut current = 0;
        for line in lines() {
            match line.strip_prefix(' ') {
                None => current = numbers[line],
                Some(line) => {
                    let (count, words) = match line.strip_prefix("skip ") {
                        Some(count) => (number(count) as usize, "skip . null"),
                        None => (1, line),
                    };
                    let mut words = words.split_whitespace();
                    let field = field(&mut words, &numbers, &mut types);
                    types[current].extend(std::iter::repeat_n(field, count));
                }
            }
        }
        Self(types)
    }
}

fn number(text: &str) -> u32 {
    text.parse().expect("the schema is ours")
}

type Words<'a> = dyn Iterator<Item = &'static str> + 'a;

fn field(
    words: &mut Words<'_>,
    numbers: &HashMap<&str, usize>,
    types: &mut Vec<Vec<Field>>,
) -> Field {
    let mut next = || words.next().expect("the schema is ours");
    let (name, marks) = (next(), next());
    let kind = match next() {
        "null" => Kind::Null,
        "bool" => Kind::Bool,
        "oid" => Kind::Oid,
        "int" => Kind::Int(size(next()), number(next())),
        "bits" => Kind::Bits(size(next()), number(next())),
        "num" => Kind::Numeric(size(next()), number(next())),
        "oct" => Kind::Octets(size(next()), number(next())),
        "bmp" => Kind::Bmp(size(next()), number(next())),
        "of" => {
            let (size, kept) = (size(next()), number(next()) as usize);
            let item = field(words, numbers, types);
            types.push(vec![item]);
            Kind::List { size, kept, item: types.len() - 1 }
        }
        kind => {
            let (bits, root, known) = (number(next()), number(next()), number(next()));
            let (root, known) = (root as usize, known as usize);
            let of = numbers[next()];
            match kind {
                "seq" => Kind::Seq { bits, root, known, of },
                _ => Kind::Choice { bits, root, known, of },
            }
        }
    };
    let has = |mark| marks.contains(mark);
    let (kept, optional, extensible) = (has('!'), has('?'), has('+'));
    Field { name, kept, optional, extensible, open: has('~'), stop: has('#'), kind }
}

fn size(text: &str) -> Size {
    match text {
        "fixed" => Size::Fixed,
        "byte" => Size::Byte,
        "word" => Size::Word,
        "cons" => Size::Constrained,
        "len" => Size::Length,
        bits => Size::BitField(number(bits)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_as_many_fields_as_its_users_say() {
        let schema = Schema::get();
        for field in schema.0.iter().flatten() {
            let (Kind::Seq { bits, root, known, of } | Kind::Choice { bits, root, known, of }) =
                field.kind
            else {
                continue;
            };
            let fields = schema.fields(of);
            // A walk that ends early needs no more than the field at which it ends.
            let ends = fields.iter().any(|field| field.stop);
            assert!(fields.len() == known || (ends && fields.len() < known), "{}", field.name);
            if let Kind::Seq { .. } = field.kind
                && !ends
            {
                let optional = fields[..root].iter().filter(|field| field.optional).count();
                assert_eq!(optional, bits as usize, "{}", field.name);
            }
        }
    }
}
