// SPDX-License-Identifier: GPL-2.0-only
//! The cast: a scenario's classes as the engine knows them.
//!
//! *Kind*: one class of a scenario with its helper, limit and lifetime resolved. Limits that a
//! scenario overrides make a helper of their own, as `nft`'s `ct expectation` would.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock};

use nfexp_model::helper::{Class, ExpectPolicy, Helper, IN_TREE, MAX_CLASSES};
use nfexp_model::tuple::Proto;

use super::scenario::{ClassSpec, RecordingSpec, Scenario};

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
            let resolved = resolve(spec, &mut helpers).and_then(|kind| {
                is_told_apart(&kind, &kinds)?;
                Ok(kind)
            });
            kinds.push(resolved.map_err(|why| format!("class.{}: {why}", spec.name))?);
        }
        for recording in &scenario.recordings {
            let of = of_recording(recording, &mut helpers);
            kinds.extend(of.map_err(|why| format!("recording.{}: {why}", recording.name))?);
        }
        let counts = scenario.classes.iter().filter_map(|class| class.namespaces.as_ref());
        let namespaces = counts.map(|count| count.value.count).max().unwrap_or(1);
        let namespaces = u16::try_from(namespaces).expect("checked to be at most 1024");
        Ok(Self { kinds, helpers: Cow::Owned(helpers), namespaces })
    }

    /// The same without any limit per class, for engines that have none.
    #[must_use]
    pub fn without_class_limits(mut self) -> Self {
        self.helpers = unlimited(&self.helpers);
        self.kinds.iter_mut().for_each(|kind| kind.max_expected = 0);
        self
    }
}

/// Refuses a kind that is worth more, or less, than another that policies take for the same: a
/// kernel sees a helper and its class. An attacker's is worth whatever he pretends to be.
fn is_told_apart(kind: &Kind, others: &[Kind]) -> Result<(), String> {
    let place = |kind: &Kind| (kind.helper, kind.class);
    let friends = others.iter().filter(|other| !other.hostile && place(other) == place(kind));
    match friends.filter(|_| !kind.hostile).find(|other| other.worth != kind.worth) {
        None => Ok(()),
        Some(Kind { name, worth, .. }) => Err(format!(
            "worth: {} where class {name}, of the same helper and class, is worth {worth}, and no \
             policy tells them apart: expected the same, or a `policy` of its own (a helper object)",
            kind.worth
        )),
    }
}

/// The same helpers without any limit per class.
#[must_use]
pub fn unlimited(helpers: &[Helper]) -> Cow<'static, [Helper]> {
    let lift = |policy: &ExpectPolicy| ExpectPolicy { max_expected: 0, ..*policy };
    let lifted = |helper: &Helper| {
        let policies = interned(helper.policies.iter().map(lift).collect());
        Helper { policies, ..*helper }
    };
    helpers.iter().map(lifted).collect()
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
        policy = limits.value.over(policy);
        place = with_policy(helpers, place, class, policy);
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

/// A helper of its own, as `nft`'s `ct expectation` would be, for a class with another policy.
fn with_policy(
    helpers: &mut Vec<Helper>,
    place: usize,
    class: Class,
    policy: ExpectPolicy,
) -> usize {
    let helper = helpers[place];
    let mut policies = helper.policies.to_vec();
    policies[usize::from(class.number())] = policy;
    helpers.push(Helper { policies: interned(policies), ..helper });
    helpers.len() - 1
}

/// The sorts of a recording. They share one helper each name, so that a master meets the limits
/// of all its classes; a helper nobody knows has the limits that were seen.
fn of_recording(spec: &RecordingSpec, helpers: &mut Vec<Helper>) -> Result<Vec<Kind>, String> {
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    let mut kinds = Vec::new();
    for sort in &spec.recorded.sorts {
        let known = IN_TREE.iter().position(|helper| helper.name == sort.helper);
        let seen =
            ExpectPolicy { max_expected: sort.most, timeout_secs: sort.timeout_secs, name: "" };
        let place = places.get(sort.helper.as_str()).copied().unwrap_or_else(|| match known {
            Some(place) => {
                helpers.push(helpers[place]);
                helpers.len() - 1
            }
            None => {
                let policies = interned(vec![seen; MAX_CLASSES]);
                helpers.push(Helper { name: "recorded", policies, ..IN_TREE[0] });
                helpers.len() - 1
            }
        });
        places.insert(&sort.helper, place);
        let class = Class::new(sort.class).ok_or("expected a class from 0 to 3")?;
        let usual = helpers[place].policy(class).copied();
        let mut policy = usual.filter(|_| known.is_some()).unwrap_or(seen);
        // Helpers, nft's objects and netlink give times of their own.
        policy.timeout_secs = sort.timeout_secs;
        let name = spec.name_of(sort);
        if let Some(limits) = spec.limits.get(&name) {
            policy = limits.value.over(policy);
        }
        let mut policies = helpers[place].policies.to_vec();
        let needed = usize::from(sort.class) + 1;
        policies.resize(policies.len().max(needed), seen);
        policies[needed - 1] = policy;
        helpers[place].policies = interned(policies);
        kinds.push(Kind {
            name,
            helper: u16::try_from(place).map_err(|_| "too many helpers")?,
            class,
            proto: helpers[place].proto.first().copied().unwrap_or(Proto::UDP),
            max_expected: policy.max_expected,
            timeout_secs: policy.timeout_secs,
            hostile: spec.hostile,
            wide: sort.wide,
            permanent: sort.permanent,
            worth: 1,
        });
    }
    Ok(kinds)
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
