// SPDX-License-Identifier: GPL-2.0-only
//! A score of the user's own, from the command line: `remaining / class_weight`.
//!
//! ```text
//!  sum      product (("+" | "-") product)*
//!  product  atom (("*" | "/") atom)*
//!  atom     number | name | "-" atom | "(" sum ")" | ("log" | "sqrt" | "not") "(" sum ")"
//! ```
//!
//! What is certainly no number is refused: a constant that is not finite, a division by what is
//! always zero. What only turns out to be none is the greatest score.
//!
//! The rule that matters: an entry whose score is no number goes last.

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
        let mut parser = Parser { text, at: 0, depth: 0, operands: 0 };
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
            Self::Unary(unary, of) => unary.of(of.eval(entry, book)),
            Self::Binary(binary, a, b) => binary.of(a.eval(entry, book), b.eval(entry, book)),
        }
    }

    /// Its value, if it names nothing.
    fn constant(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Name(_) => None,
            Self::Unary(unary, of) => of.constant().map(|of| unary.of(of)),
            Self::Binary(binary, a, b) => Some(binary.of(a.constant()?, b.constant()?)),
        }
    }
}

impl Unary {
    fn of(self, operand: f64) -> f64 {
        match self {
            Self::Minus => -operand,
            Self::Log => libm::log(operand),
            Self::Sqrt => libm::sqrt(operand),
            Self::Not => f64::from(u8::from(operand == 0.0)),
        }
    }
}

impl Binary {
    fn of(self, a: f64, b: f64) -> f64 {
        match self {
            Self::Plus => a + b,
            Self::Minus => a - b,
            Self::Times => a * b,
            Self::By => a / b,
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
    operands: u32,
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
        self.expected_at(self.at, what)
    }

    fn expected_at(&self, at: usize, what: &str) -> String {
        let column = self.text[..at].chars().count() + 1;
        format!("`{}`, character {column}: expected {what}", self.text)
    }

    /// What began at `at`, unless it is known to be no number.
    fn finite(&self, at: usize, expression: Expression) -> Result<Expression, String> {
        if let Expression::Binary(Binary::By, _, by) = &expression
            && by.constant() == Some(0.0)
        {
            return Err(self.expected_at(at, "a divisor that is not always zero"));
        }
        match expression.constant() {
            Some(value) if !value.is_finite() => Err(self.expected_at(at, "a finite number")),
            _ => Ok(expression),
        }
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
            self.peek();
            let at = self.at;
            let with = Expression::Binary(binary, Box::new(sum), Box::new(self.product()?));
            sum = self.finite(at, with)?;
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
            self.peek();
            let at = self.at;
            let with = Expression::Binary(binary, Box::new(product), Box::new(self.atom()?));
            product = self.finite(at, with)?;
        }
    }

    fn atom(&mut self) -> Result<Expression, String> {
        self.depth += 1;
        self.operands += 1;
        if self.depth > 64 {
            return Err(self.expected("at most 64 operands within each other"));
        }
        if self.operands > 256 {
            return Err(self.expected("at most 256 operands"));
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
        let is_within = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        let mut end = rest.find(|c| !is_within(c)).unwrap_or(rest.len());
        // The sign of an exponent: `1e-3`.
        let is_number = rest.starts_with(|c: char| c.is_ascii_digit() || c == '.');
        if is_number
            && rest[..end].ends_with(['e', 'E'])
            && let Some(digits) = rest[end..].strip_prefix(['-', '+'])
            && digits.starts_with(|c: char| c.is_ascii_digit())
        {
            end += 1 + digits.find(|c| !is_within(c)).unwrap_or(digits.len());
        }
        let word = &rest[..end];
        // `nan` and `inf` are numbers to the library.
        if is_number && let Ok(number) = word.parse::<f64>() {
            let number = self.finite(self.at, Expression::Number(number))?;
            self.at += word.len();
            return Ok(number);
        }
        let unary = match word {
            "log" => Some(Unary::Log),
            "sqrt" => Some(Unary::Sqrt),
            "not" => Some(Unary::Not),
            _ => None,
        };
        if let Some(unary) = unary {
            let at = self.at;
            self.at += word.len();
            if !self.take('(') {
                return Err(self.expected("`(`"));
            }
            let within = Box::new(self.sum()?);
            return match self.take(')') {
                true => self.finite(at, Expression::Unary(unary, within)),
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

    #[test]
    fn a_number_may_have_an_exponent() {
        for text in ["1e3", "1e-3*age", "2.5E+2 + age", "1e-3-1e-3"] {
            Expression::parse(text).unwrap_or_else(|why| panic!("{text}: {why}"));
        }
        for text in ["1e", "1e-", "1e-age"] {
            Expression::parse(text).expect_err(text);
        }
    }

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
        assert_eq!(of_numbers("0 / hits"), f64::INFINITY, "no number, so it goes last");
    }

    #[test]
    fn what_does_not_read_says_where() {
        let why = |text: &str| Expression::parse(text).expect_err("it does not read");
        assert!(why("1 + ").starts_with("`1 + `, character 5: expected a number"));
        assert!(why("age age").contains("character 5: expected an operator"));
        assert!(why(&"(".repeat(100)).contains("at most 64"));
        assert!(why(&"age+".repeat(100_000)).contains("at most 256"));
        // A character is one, however many bytes it has.
        assert!(why("age\u{2003}+ x").contains("character 7: expected a number"));
    }

    #[test]
    fn what_is_certainly_no_number_says_where() {
        for (text, at, expected) in [
            ("nan", 1, "a number, `(`"),
            ("1 + inf", 5, "a number, `(`"),
            ("1e999", 1, "a finite number"),
            ("age / 0", 7, "a divisor"),
            ("age / -0", 7, "a divisor"),
            ("age / (1 - 1)", 7, "a divisor"),
            ("age / not(7)", 7, "a divisor"),
            ("age + 0 / 0", 11, "a divisor"),
            ("age * log(0)", 7, "a finite number"),
            ("sqrt(0 - 4)", 1, "a finite number"),
            ("1e308 * 10", 9, "a finite number"),
        ] {
            let why = Expression::parse(text).expect_err(text);
            assert!(why.contains(&format!("character {at}: expected {expected}")), "{why}");
        }
        assert!(Expression::parse("age / hits + 1e308").is_ok(), "this may be a number");
    }
}
