// SPDX-License-Identifier: GPL-2.0-only
//! Policies from the command line: names, and compositions of axes.
//!
//! The grammar is [`GRAMMAR`].

use super::axes::{Admission, Most, Quota, Timeout};
use super::book::Scope;
use super::expression::Expression;
use super::victim::Order;
use super::{Choice, Spec, names};
use crate::research::law::Span;

/// Nobody can read a longer one, not even in a message.
const LONGEST: usize = 4096;

/// What a policy is written as.
pub const GRAMMAR: &str = "\
policy   name | axis (\"+\" axis)*, each axis once
axis     admit=all | admit=early-drop:0.8 | admit=tokens:source:0.1:10
         admit=doorkeeper:source:0.3 | admit=reserve:0.1
         quota=source:10:replace | quota=master:x0.5:refuse
         class=oldest|newest|random|refuse
         table=refuse | ORDER[@SCOPE] | random[@SCOPE] | best-of-2[@SCOPE]
               | share@SCOPE | hazard[@SCOPE] | min(EXPRESSION)[@SCOPE]
         timeout=usual | 30s | x0.5 | shrink | p99
         limits=off
ORDER    oldest, newest, soonest, latest, lru, lfu, cheapest, widest
SCOPE    table, kind, source, master, class: of the newcomer's namespace, whose limit it is
         (net is the same as table)";

/// Reads a list of policies, separated by commas outside parentheses.
///
/// # Errors
/// What was expected.
pub fn list(text: &str) -> Result<Vec<Spec>, String> {
    split(text, ',').into_iter().map(policy).collect()
}

/// Reads one policy.
///
/// # Errors
/// What was expected.
pub fn policy(text: &str) -> Result<Spec, String> {
    let text = text.trim();
    if text.len() > LONGEST {
        return Err(format!("policy of {} bytes: expected at most {LONGEST}", text.len()));
    }
    let fail = |why: String| format!("policy `{text}`: {why}");
    if let Some(named) = names::NAMED.iter().find(|named| named.name == text) {
        let spec = compose(named.composition).map_err(fail)?;
        return Ok(Spec { name: text.into(), ..spec });
    }
    if !text.contains('=') {
        let names: Vec<&str> = names::NAMED.iter().map(|named| named.name).collect();
        return Err(fail(format!("expected a composition or one of {}", names.join(", "))));
    }
    compose(text).map_err(fail)
}

/// The same policy with expectations that live `factor` times as long.
///
/// # Errors
/// If it does not read, or if its lifetimes are none that a factor could be of.
pub fn lasting(text: &str, factor: f64) -> Result<String, String> {
    let timeout = match policy(text)?.timeout {
        Timeout::Usual => format!("x{factor:.6}"),
        Timeout::Factor(own) => format!("x{:.6}", own * factor),
        Timeout::Fixed(Span(secs)) => format!("{:.6}s", secs * factor),
        Timeout::Shrinking | Timeout::Quantile(_) => {
            return Err(format!(
                "policy `{text}`: expected a timeout of usual, as 30s or as x0.5, that a factor \
                 can be of: it learns its own"
            ));
        }
    };
    let named = names::NAMED.iter().find(|named| named.name == text.trim());
    let axes = split(named.map_or(text, |named| named.composition), '+');
    let is_timeout = |axis: &str| axis.split('=').next().is_some_and(|n| n.trim() == "timeout");
    let mut kept: Vec<&str> = axes.into_iter().map(str::trim).collect();
    kept.retain(|axis| !axis.is_empty() && !is_timeout(axis));
    let timeout = format!("timeout={timeout}");
    kept.push(&timeout);
    Ok(kept.join("+"))
}

fn compose(text: &str) -> Result<Spec, String> {
    let mut spec = Spec { name: text.into(), ..Spec::kernel() };
    let (mut given, mut place) = (Vec::new(), 1);
    for part in split(text, '+') {
        let character = place + part.chars().take_while(|c| c.is_whitespace()).count();
        place += part.chars().count() + 1;
        let axis = part.trim();
        if axis.is_empty() {
            continue;
        }
        let Some((name, value)) = axis.split_once('=') else {
            let known = names::NAMED.iter().find(|named| named.name == axis);
            return Err(match known {
                Some(named) => format!(
                    "expected axis=value: `{axis}` is a name; its axes are `{}`",
                    named.composition
                ),
                None => format!("expected axis=value, not `{axis}`"),
            });
        };
        let (name, value) = (name.trim(), value.trim());
        if given.contains(&name) {
            return Err(format!("character {character}: expected `{name}` once, not `{axis}`"));
        }
        given.push(name);
        match name {
            "admit" => spec.admission = admission(value)?,
            "quota" => spec.quota = Some(quota(value)?),
            "class" => spec.class_full = class_full(value)?,
            "table" => spec.table_full = table_full(value)?,
            "timeout" => spec.timeout = timeout(value)?,
            "limits" if value == "off" => spec.class_limits = false,
            "limits" => return Err(format!("limits: expected `off`, not `{value}`")),
            other => {
                return Err(format!(
                    "expected admit, quota, class, table, timeout or limits, not `{other}`"
                ));
            }
        }
    }
    Ok(spec)
}

/// Splits at a separator outside parentheses.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut depth, mut from) = (Vec::new(), 0i32, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            c if c == separator && depth == 0 => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts
}

fn number(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0);
    number.ok_or_else(|| format!("expected a number, not `{text}`"))
}

fn share(text: &str) -> Result<f64, String> {
    number(text)?;
    number(text).ok().filter(|n| *n <= 1.0).ok_or_else(|| format!("expected 0 to 1, not `{text}`"))
}

fn admission(text: &str) -> Result<Admission, String> {
    let parts: Vec<&str> = text.split(':').collect();
    match parts[..] {
        ["all"] => Ok(Admission::All),
        ["early-drop", above] => Ok(Admission::EarlyDrop { above: share(above)? }),
        ["tokens", scope, rate, burst] => Ok(Admission::TokenBucket {
            scope: Scope::parse(scope)?,
            per_second: number(rate)?,
            burst: number(burst)?,
        }),
        ["doorkeeper", scope, least] => {
            let scope = Scope::parse(scope)?;
            if matches!(scope, Scope::Master | Scope::Class) {
                let expected = "admit: expected doorkeeper of table, net, kind or source";
                return Err(format!("{expected}: of a master nothing is remembered"));
            }
            Ok(Admission::Doorkeeper { scope, share: share(least)? })
        }
        ["reserve", kept] => Ok(Admission::Reserve { share: share(kept)? }),
        _ => Err(format!(
            "admit: expected all, early-drop:SHARE, tokens:SCOPE:RATE:BURST, \
             doorkeeper:SCOPE:SHARE or reserve:SHARE, not `{text}`"
        )),
    }
}

fn quota(text: &str) -> Result<Quota, String> {
    let parts: Vec<&str> = text.split(':').collect();
    let expected = || format!("quota: expected SCOPE:MOST:replace or :refuse, not `{text}`");
    let [scope, most, then] = parts[..] else { return Err(expected()) };
    let most = match most.strip_prefix('x') {
        Some(alpha) => Most::OfFree(number(alpha)?),
        None => Most::Fixed(most.parse().map_err(|_| expected())?),
    };
    let replaces = match then {
        "replace" => true,
        "refuse" => false,
        _ => return Err(expected()),
    };
    Ok(Quota { scope: Scope::parse(scope)?, most, replaces })
}

fn class_full(text: &str) -> Result<Choice, String> {
    match text {
        "oldest" => Ok(Choice::Oldest),
        "newest" => Ok(Choice::Ranked(Order::Newest, Scope::Class)),
        "random" => Ok(Choice::Random(Scope::Class)),
        "refuse" => Ok(Choice::Nobody),
        _ => Err(format!("class: expected oldest, newest, random or refuse, not `{text}`")),
    }
}

fn table_full(text: &str) -> Result<Choice, String> {
    let (rule, scope) = match text.rsplit_once('@').filter(|(_, scope)| !scope.contains(')')) {
        Some((rule, scope)) => (rule, Scope::parse(scope)?),
        None => (text, Scope::Table),
    };
    if let Some((_, order)) =
        Order::ALL.iter().map(|(order, word)| (word, order)).find(|(word, _)| **word == rule)
    {
        return Ok(Choice::Ranked(*order, scope));
    }
    if let Some(count) = rule.strip_prefix("best-of-") {
        let k = count.parse().ok().filter(|k| (1..=1024).contains(k));
        let k = k.ok_or_else(|| format!("table: expected best-of-1 to 1024, not `{rule}`"))?;
        return Ok(Choice::BestOf(k, scope));
    }
    if let Some(within) = rule.strip_prefix("min(").and_then(|rest| rest.strip_suffix(')')) {
        return Ok(Choice::Least(Expression::parse(within)?, SAMPLE, scope));
    }
    match rule {
        "refuse" => Ok(Choice::Nobody),
        "random" => Ok(Choice::Random(scope)),
        "share" => Ok(Choice::Share(scope)),
        "hazard" => Ok(Choice::Hazard(SAMPLE, scope)),
        _ => Err(format!(
            "table: expected refuse, oldest, newest, soonest, latest, lru, lfu, cheapest, widest, \
             random, best-of-N, share, hazard or min(EXPRESSION), not `{rule}`"
        )),
    }
}

/// How many entries a score that moves with time is taken of.
const SAMPLE: u32 = 32;

fn timeout(text: &str) -> Result<Timeout, String> {
    if let Some(factor) = text.strip_prefix('x') {
        let factor = number(factor).ok().filter(|factor| (0.0..=1e6).contains(factor));
        let expected = || format!("timeout: expected x0 to x1000000, not `{text}`");
        return factor.map(Timeout::Factor).ok_or_else(expected);
    }
    if let Some(percent) = text.strip_prefix('p').and_then(|rest| rest.parse::<f64>().ok()) {
        return match (0.0..100.0).contains(&percent) {
            true => Ok(Timeout::Quantile(percent / 100.0)),
            false => Err(format!("timeout: expected p0 to p99.9, not `{text}`")),
        };
    }
    match text {
        "usual" => Ok(Timeout::Usual),
        "shrink" => Ok(Timeout::Shrinking),
        _ => match Span::parse(text) {
            Ok(span) if span.0 <= Span::LONGEST.0 => Ok(Timeout::Fixed(span)),
            Ok(_) => Err(format!("timeout: expected at most 10^9 s, not `{text}`")),
            Err(why) => Err(format!("timeout: {why}")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_and_there_are_more_than_twenty() {
        assert!(names::NAMED.len() >= 20);
        for named in names::NAMED {
            let spec = policy(named.name).unwrap_or_else(|why| panic!("{why}"));
            assert_eq!(spec.is_kernel() && spec.class_limits, named.name == "kernel");
        }
    }

    #[test]
    fn an_axis_stands_once_and_where_it_does_again_is_told() {
        let why = policy("table=oldest + table=newest").expect_err("twice");
        assert!(
            why.ends_with(": character 16: expected `table` once, not `table=newest`"),
            "{why}"
        );
    }

    #[test]
    fn a_factor_is_of_the_policys_own_timeout() {
        for (text, factor, expected) in [
            ("kernel", 0.5, "class=oldest+table=refuse+timeout=x0.500000"),
            ("short-timeout", 0.5, "timeout=15.000000s"),
            ("timeout=x4+table=min(age + 1)", 0.5, "table=min(age + 1)+timeout=x2.000000"),
            ("suricata", 2.0, "limits=off+quota=source:10:replace+timeout=60.000000s"),
        ] {
            let told = lasting(text, factor).expect("it has one");
            assert_eq!(told, expected);
            policy(&told).expect("what is told reads");
        }
        for text in ["adaptive-timeout", "learned-timeout", "fifo"] {
            lasting(text, 0.5).expect_err("it has none");
        }
    }

    #[test]
    fn compositions_and_lists_read() {
        let specs =
            list("kernel,table=min(remaining / (class_weight + 1))@net+timeout=30s, fair-share")
                .expect("they read");
        assert_eq!(specs.len(), 3);
        assert!(matches!(specs[1].table_full, Choice::Least(_, SAMPLE, Scope::Net)));
        assert_eq!(specs[1].timeout, Timeout::Fixed(Span(30.0)));
        for bad in [
            "",
            "fifo",
            "table=",
            "table=oldest@moon",
            "quota=source:3",
            "quota=source:-1:refuse",
            "quota=source:x1e999:refuse",
            "admit=doorkeeper:master:0.5",
            "admit=doorkeeper:class:0.5",
            "kernel+timeout=30s",
            "admit=all+x=1",
            "admit=tokens:source:nan:1",
            "admit=early-drop:1.5",
            "table=best-of-0",
            "table=min()",
            "table=min(nan)",
            "timeout=-1s",
            "timeout=xinf",
            "timeout=x1000001",
            "timeout=1000001000s",
            "timeout=pnan",
            "timeout=30s+timeout=x2",
            "table=min(age)+class=newest+table=oldest",
            "limits=off+limits=off",
        ] {
            assert!(policy(bad).is_err(), "{bad}");
        }
    }
}
