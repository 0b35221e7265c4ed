// SPDX-License-Identifier: GPL-2.0-only
//! The cast: a scenario's classes as the engine knows them.
//!
//! *Kind*: one class of a scenario with its helper, limit and lifetime resolved. Limits that a
//! scenario overrides make a helper of their own, as `nft`'s `ct expectation` would.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock};

use nfexp_model::helper::{Class, ExpectPolicy, Helper, IN_TREE};
use nfexp_model::tuple::Proto;

use super::scenario::{ClassSpec, Scenario};

/// One class of a scenario, resolved.
#[derive(Clone, Debug)]
pub struct Kind {
    /// Its name.
    pub name: String,
    /// The place of its helper among the engine's.
    pub helper: u16,
    /// Its class of that helper.
    pub class: Class,
    /// The transport of what is announced.
    pub proto: Proto,
    /// How many a master may have; 0 is no limit.
    pub max_expected: u32,
    /// How long one lives.
    pub timeout_secs: u32,
    /// Whether an attacker makes them.
    pub hostile: bool,
    /// Whether anybody may use the hole.
    pub wide: bool,
    /// Whether a match leaves them.
    pub permanent: bool,
    /// What a match is worth.
    pub worth: u32,
}

/// All kinds, and the helpers they need.
#[derive(Clone, Debug)]
pub struct Cast {
    /// In the scenario's order.
    pub kinds: Vec<Kind>,
    /// The engine's helpers.
    pub helpers: Cow<'static, [Helper]>,
    /// How many namespaces they live in.
    pub namespaces: u16,
}

impl Cast {
    /// Of a scenario.
    ///
    /// # Errors
    /// If a class names a helper or a class of it that does not exist.
    pub fn of(scenario: &Scenario) -> Result<Self, String> {
        let mut helpers = IN_TREE.to_vec();
        let mut kinds = Vec::new();
        for spec in &scenario.classes {
            kinds.push(
                resolve(spec, &mut helpers).map_err(|why| format!("class.{}: {why}", spec.name))?,
            );
        }
        let counts = scenario.classes.iter().filter_map(|class| class.namespaces.as_ref());
        let namespaces = counts.map(|count| count.value.count).max().unwrap_or(1);
        let namespaces = u16::try_from(namespaces).expect("checked to be at most 1024");
        Ok(Self { kinds, helpers: Cow::Owned(helpers), namespaces })
    }

    /// The same without any limit per class, for engines that have none.
    #[must_use]
    pub fn without_class_limits(mut self) -> Self {
        for helper in self.helpers.to_mut() {
            let lift = |policy: &ExpectPolicy| ExpectPolicy { max_expected: 0, ..*policy };
            helper.policies = interned(helper.policies.iter().map(lift).collect());
        }
        self
    }
}

fn resolve(spec: &ClassSpec, helpers: &mut Vec<Helper>) -> Result<Kind, String> {
    let place = helpers.iter().position(|helper| helper.name == spec.helper);
    let known = || {
        let names: Vec<&str> = IN_TREE.iter().map(|helper| helper.name).collect();
        format!("helper {}: expected one of {}", spec.helper, names.join(", "))
    };
    let mut place = place.ok_or_else(known)?;
    let helper = helpers[place];
    let class = match &spec.class {
        None => Class::DEFAULT,
        Some(text) => {
            let named = helper.policies.iter().position(|policy| policy.name == text);
            let number = named.or_else(|| text.parse().ok()).and_then(|n| u8::try_from(n).ok());
            let class = number.and_then(Class::new).filter(|class| helper.policy(*class).is_some());
            class
                .ok_or_else(|| format!("expected a class of helper {}, not {text}", helper.name))?
        }
    };
    let mut policy = *helper.policy(class).expect("filtered above");
    if let Some(limits) = &spec.policy {
        if let Some(max_expected) = limits.value.max_expected {
            policy.max_expected = max_expected;
        }
        if let Some(timeout) = limits.value.timeout {
            policy.timeout_secs = (timeout.0 as u32).max(1);
        }
        let mut policies = helper.policies.to_vec();
        policies[usize::from(class.number())] = policy;
        helpers.push(Helper { policies: interned(policies), ..helper });
        place = helpers.len() - 1;
    }
    Ok(Kind {
        name: spec.name.clone(),
        helper: u16::try_from(place).map_err(|_| "too many helpers".to_owned())?,
        class,
        proto: helper.proto.first().copied().unwrap_or(Proto::UDP),
        max_expected: policy.max_expected,
        timeout_secs: policy.timeout_secs,
        hostile: spec.hostile,
        wide: spec.wide,
        permanent: spec.permanent,
        worth: spec.worth.as_ref().map_or(1, |worth| worth.value.is),
    })
}

/// Policies live as long as the process, each list once.
fn interned(policies: Vec<ExpectPolicy>) -> &'static [ExpectPolicy] {
    type Key = Vec<(u32, u32, &'static str)>;
    static KNOWN: OnceLock<Mutex<BTreeMap<Key, &'static [ExpectPolicy]>>> = OnceLock::new();
    let key = policies.iter().map(|p| (p.max_expected, p.timeout_secs, p.name)).collect();
    let mut known =
        KNOWN.get_or_init(Mutex::default).lock().expect("no one panics while holding it");
    known.entry(key).or_insert_with(|| Vec::leak(policies))
}
