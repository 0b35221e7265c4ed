// SPDX-License-Identifier: GPL-2.0-only
//! A score of the user's own, from the command line: `remaining / class_weight`.
//!
//! ```text
//!  sum      product (("+" | "-") product)*
//!  product  atom (("*" | "/") atom)*
//!  atom     number | name | "-" atom | "(" sum ")" | ("log" | "sqrt" | "not") "(" sum ")"
//! ```
//!
//! The rule that matters: what divides by zero is no number, and no number is the greatest
//! score: such an entry goes last.

use super::book::{Book, Entry, Scope};

/// A parsed expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    /// A constant.
    Number(f64),
    /// Something of the entry or its owners.
    Name(Name),
    /// One operand.
    Unary(Unary, Box<Self>),
    /// Two operands.
    Binary(Binary, Box<Self>, Box<Self>),
}

/// What takes one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unary {
    /// Minus.
    Minus,
    /// The natural logarithm.
    Log,
    /// The square root.
    Sqrt,
    /// One for zero, and zero else.
    Not,
}

/// What takes two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// Their sum.
    Plus,
    /// Their difference.
    Minus,
    /// Their product.
    Times,
    /// Their quotient.
    By,
}

/// What an expression may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// Seconds since it was inserted.
    Age,
    /// Seconds until it expires.
    Remaining,
    /// What a match of its class is worth.
    ClassWeight,
    /// How many its master holds.
    MasterCount,
    /// How many its source holds.
    SourceCount,
    /// How many of its kind are held.
    KindCount,
    /// How many its namespace holds.
    NetCount,
    /// Which share of its source's ended by a match.
    SourceHitRate,
    /// Which share of its kind's ended by a match.
    KindHitRate,
    /// Matches per slot-second that keeping it promises.
    HitDensity,
    /// 1 if anybody may use the hole, 0 else.
    Wide,
    /// How often it was matched.
    Hits,
}

impl Name {
    /// All, with their words.
    pub const ALL: [(Self, &'static str); 12] = [
        (Self::Age, "age"),
        (Self::Remaining, "remaining"),
        (Self::ClassWeight, "class_weight"),
        (Self::MasterCount, "master_count"),
        (Self::SourceCount, "source_count"),
        (Self::KindCount, "kind_count"),
        (Self::NetCount, "net_count"),
        (Self::SourceHitRate, "source_hit_rate"),
        (Self::KindHitRate, "kind_hit_rate"),
        (Self::HitDensity, "hit_density"),
        (Self::Wide, "wide"),
        (Self::Hits, "hits"),
    ];

    fn value(self, entry: &Entry, book: &Book) -> f64 {
        let seconds = |ticks: i64| ticks as f64 / f64::from(book.hz);
        let record = |scope: Scope| book.record(scope, scope.owner(entry));
        match self {
            Self::Age => seconds(book.now - entry.born),
            Self::Remaining => seconds(entry.expires - book.now),
            Self::ClassWeight => f64::from(entry.worth),
            Self::MasterCount => f64::from(record(Scope::Master).live),
            Self::SourceCount => f64::from(record(Scope::Source).live),
            Self::KindCount => f64::from(record(Scope::Kind).live),
            Self::NetCount => f64::from(record(Scope::Net).live),
            Self::SourceHitRate => record(Scope::Source).match_share(),
            Self::KindHitRate => record(Scope::Kind).match_share(),
            Self::HitDensity => book.delays.density(entry.class, book.now - entry.born),
            Self::Wide => f64::from(u8::from(entry.wide)),
            Self::Hits => f64::from(entry.hits),
        }
    }
}

impl Expression {
    /// Reads one.
    ///
    /// # Errors
    /// What was expected, and at which character.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parser = Parser { text, at: 0, depth: 0 };
        let expression = parser.sum()?;
        match parser.peek() {
            None => Ok(expression),
            Some(_) => Err(parser.expected("an operator")),
        }
    }

    /// Its value for an entry.
    #[must_use]
    pub fn value(&self, entry: &Entry, book: &Book) -> f64 {
        let value = self.eval(entry, book);
        if value.is_nan() { f64::INFINITY } else { value }
    }

    fn eval(&self, entry: &Entry, book: &Book) -> f64 {
        match self {
            Self::Number(number) => *number,
            Self::Name(name) => name.value(entry, book),
            Self::Unary(unary, of) => {
                let of = of.eval(entry, book);
                match unary {
                    Unary::Minus => -of,
                    Unary::Log => libm::log(of),
                    Unary::Sqrt => libm::sqrt(of),
                    Unary::Not => f64::from(u8::from(of == 0.0)),
                }
            }
            Self::Binary(binary, a, b) => {
                let (a, b) = (a.eval(entry, book), b.eval(entry, book));
                match binary {
                    Binary::Plus => a + b,
                    Binary::Minus => a - b,
                    Binary::Times => a * b,
                    Binary::By => a / b,
                }
            }
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
}

impl Parser<'_> {
    fn peek(&mut self) -> Option<char> {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
        self.text[self.at..].chars().next()
    }

    fn take(&mut self, wanted: char) -> bool {
        let there = self.peek() == Some(wanted);
        if there {
            self.at += wanted.len_utf8();
        }
        there
    }

    fn expected(&mut self, what: &str) -> String {
        self.peek();
        format!("`{}`, character {}: expected {what}", self.text, self.at + 1)
    }

    fn sum(&mut self) -> Result<Expression, String> {
        let mut sum = self.product()?;
        loop {
            let binary = match self.peek() {
                Some('+') => Binary::Plus,
                Some('-') => Binary::Minus,
                _ => return Ok(sum),
            };
            self.at += 1;
            sum = Expression::Binary(binary, Box::new(sum), Box::new(self.product()?));
        }
    }

    fn product(&mut self) -> Result<Expression, String> {
        let mut product = self.atom()?;
        loop {
            let binary = match self.peek() {
                Some('*') => Binary::Times,
                Some('/') => Binary::By,
                _ => return Ok(product),
            };
            self.at += 1;
            product = Expression::Binary(binary, Box::new(product), Box::new(self.atom()?));
        }
    }

    fn atom(&mut self) -> Result<Expression, String> {
        self.depth += 1;
        if self.depth > 64 {
            return Err(self.expected("at most 64 operands within each other"));
        }
        let atom = self.atom_within();
        self.depth -= 1;
        atom
    }

    fn atom_within(&mut self) -> Result<Expression, String> {
        if self.take('-') {
            return Ok(Expression::Unary(Unary::Minus, Box::new(self.atom()?)));
        }
        if self.take('(') {
            let within = self.sum()?;
            return if self.take(')') { Ok(within) } else { Err(self.expected("`)`")) };
        }
        self.peek();
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.'));
        let word = &rest[..end.unwrap_or(rest.len())];
        if let Ok(number) = word.parse::<f64>() {
            self.at += word.len();
            return Ok(Expression::Number(number));
        }
        let unary = match word {
            "log" => Some(Unary::Log),
            "sqrt" => Some(Unary::Sqrt),
            "not" => Some(Unary::Not),
            _ => None,
        };
        if let Some(unary) = unary {
            self.at += word.len();
            if !self.take('(') {
                return Err(self.expected("`(`"));
            }
            let within = Box::new(self.sum()?);
            return match self.take(')') {
                true => Ok(Expression::Unary(unary, within)),
                false => Err(self.expected("`)`")),
            };
        }
        match Name::ALL.iter().find(|(_, name)| *name == word) {
            Some((name, _)) => {
                self.at += word.len();
                Ok(Expression::Name(*name))
            }
            None => {
                let names: Vec<&str> = Name::ALL.iter().map(|(_, name)| *name).collect();
                Err(self.expected(&format!("a number, `(` or one of {}", names.join(", "))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_numbers(text: &str) -> f64 {
        let book = Book::new(1000);
        let entry = Entry {
            id: nfexp_model::expectation::ExpectId::new(1, 1),
            seq: 0,
            class: 0,
            master: 0,
            source: 0,
            net: 0,
            wide: false,
            worth: 3,
            born: -2000,
            expires: 5000,
            hits: 0,
            touched: 0,
        };
        Expression::parse(text).expect("it reads").value(&entry, &book)
    }

    #[test]
    fn arithmetic_has_its_usual_order() {
        assert_eq!(of_numbers("1 + 2 * 3 - 4 / 2"), 5.0);
        assert_eq!(of_numbers("(1 + 2) * -3"), -9.0);
        assert_eq!(of_numbers("sqrt(9) + log(1) + not(0)"), 4.0);
        assert_eq!(of_numbers("remaining / class_weight + age"), 5.0 / 3.0 + 2.0);
        assert_eq!(of_numbers("0 / 0"), f64::INFINITY);
    }

    #[test]
    fn what_does_not_read_says_where() {
        let why = |text: &str| Expression::parse(text).expect_err("it does not read");
        assert!(why("1 + ").starts_with("`1 + `, character 5: expected a number"));
        assert!(why("age age").contains("character 5: expected an operator"));
        assert!(why(&"(".repeat(100)).contains("at most 64"));
    }
}
