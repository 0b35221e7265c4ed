// SPDX-License-Identifier: GPL-2.0-only
//! What a master may expect, and for how long: its helper's policies, as one look-up.
//!
//! ```text
//!   word of the helper extension ─▶ class 0 │ class 1 │ class 2 │ class 3     limit, lifetime
//! ```
//!
//! The rule that matters: computed once, from the helpers and the knobs of an engine; nothing
//! here changes afterwards, as policies are constants of the kernel's modules.
//!
//! Why: policy, limit and lifetime were worked out twice per insertion, 60 of its instructions
//! (`sim/benches/instructions.tsv`, churn).

use crate::engine::Config;
use crate::helper::{Class, ExpectPolicy, MAX_CLASSES};
use crate::kernel::Ticks;
use crate::revision::ClassLimit;

/// The terms of one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    /// How many a master may have; [`Terms::UNLIMITED`] for no limit.
    pub(crate) limit: u32,
    /// How long one lives; more than any policy can say without a helper.
    lifetime: Ticks,
}

impl Terms {
    /// More than a byte can count.
    pub(crate) const UNLIMITED: u32 = u32::MAX;
    const NO_POLICY: Ticks = Ticks(u64::MAX);

    /// How long one lives; `None` without a helper.
    #[inline(always)]
    pub(crate) fn lifetime(&self) -> Option<Ticks> {
        (self.lifetime != Self::NO_POLICY).then_some(self.lifetime)
    }
}

/// The terms of every class of every helper.
#[derive(Clone, Debug)]
pub(crate) struct TermsTable(Box<[[Terms; MAX_CLASSES]]>);

impl TermsTable {
    pub(crate) fn new(config: &Config) -> Self {
        // No extension, and an extension without a helper: the first two words.
        let bare = [None, None].into_iter();
        let helpers = config.helpers.iter().map(Some);
        let rows = bare.chain(helpers).map(|helper| {
            Class::ALL.map(|class| {
                // DEVIATION: a class above the helper's last one (ctnetlink of v3.9 lets it
                // through) reads behind the array in the kernel; here it has no limit and no
                // lifetime.
                let helper = helper.filter(|helper| !helper.policies.is_empty());
                let policy = helper.map(|helper| helper.policy(class).copied().unwrap_or_default());
                let lifetime = policy.map(|p| Ticks::of_timeout(p.timeout_secs, config.hz));
                let lifetime = lifetime.unwrap_or(Terms::NO_POLICY);
                Terms { limit: limit(config.revision.class_limit, policy), lifetime }
            })
        });
        Self(rows.collect())
    }

    /// The terms of a class, by the word of a master's helper extension. What is not in the table
    /// is nft's own helper, which has no policy.
    #[inline(always)]
    pub(crate) fn of(&self, attached: u32, class: Class) -> &Terms {
        let row = self.0.get(attached as usize).unwrap_or(&self.0[1]);
        &row[class.index()]
    }
}

fn limit(knob: ClassLimit, policy: Option<ExpectPolicy>) -> u32 {
    match knob {
        ClassLimit::PolicyOnly => match policy.map_or(0, |policy| policy.max_expected) {
            0 => Terms::UNLIMITED,
            max => max,
        },
        ClassLimit::AtMost255 => match policy.map_or(255, |policy| policy.max_expected) {
            0 => 255,
            max => max.min(255),
        },
    }
}
