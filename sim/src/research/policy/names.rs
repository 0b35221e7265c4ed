// SPDX-License-Identifier: GPL-2.0-only
//! Policies by name.

/// A name for a composition.
#[derive(Clone, Copy, Debug)]
pub struct Named {
    /// The name.
    pub name: &'static str,
    /// What it stands for, in the grammar of [`parse`](super::parse).
    pub composition: &'static str,
    /// What it does, in a sentence.
    pub does: &'static str,
}

const fn named(name: &'static str, composition: &'static str, does: &'static str) -> Named {
    Named { name, composition, does }
}

/// All of them.
pub const NAMED: &[Named] = &[
    named("kernel", "class=oldest+table=refuse", "the engine's own: a full table refuses"),
    named("tail-drop", "class=refuse", "whatever is full refuses"),
    named("oldest-master", "table=oldest@master", "the newcomer's master gives its oldest"),
    named("oldest-source", "table=oldest@source", "the newcomer's source gives its oldest"),
    named("oldest-kind", "table=oldest@kind", "the newcomer's kind gives its oldest"),
    named("oldest-global", "table=oldest", "the oldest of the table goes"),
    named("newest-global", "table=newest", "the youngest of the table goes"),
    named("random-global", "table=random", "any goes"),
    named("best-of-two", "table=best-of-2", "of two drawn, the one that expires first"),
    named("soonest-deadline", "table=soonest", "the one that expires first goes"),
    named("latest-deadline", "table=latest", "the one that expires last goes"),
    named("lru", "table=lru", "the one matched longest ago; for permanent ones"),
    named("lfu", "table=lfu", "the one matched least often; for permanent ones"),
    named("fair-share", "table=share@source", "the source that holds most gives its oldest"),
    named("fair-share-master", "table=share@master", "the master that holds most gives"),
    named("fair-share-kind", "table=share@kind", "the kind that holds most gives"),
    named("fair-share-net", "table=share@net", "the namespace that holds most gives"),
    named("class-weight", "table=min(remaining * class_weight)", "little time, little worth"),
    named("cheapest", "table=cheapest", "what is worth least goes, the oldest first"),
    named("widest-first", "table=widest", "holes open to anybody go first"),
    named("early-drop", "admit=early-drop:0.75", "refuses at random above three quarters"),
    named("token-bucket", "admit=tokens:source:0.1:10", "6 a minute and source, 10 at once"),
    named(
        "doorkeeper",
        "admit=doorkeeper:source:0.25+table=oldest",
        "above half, sources that are answered; then the oldest goes",
    ),
    named("reserve", "admit=reserve:0.2", "the last fifth is for what is worth more"),
    named("source-quota", "quota=source:16:replace", "sixteen a source"),
    named("dynamic-quota", "quota=source:x0.5:refuse", "a source may hold half of what is free"),
    named("short-timeout", "timeout=30s", "the kernel's, thirty seconds for all"),
    named("adaptive-timeout", "timeout=shrink+table=oldest", "shorter as the table fills"),
    named("learned-timeout", "timeout=p99+table=oldest", "as long as 99 % have waited"),
    named("hazard", "table=hazard", "the least hit density, learned (Kaplan-Meier)"),
    named("never-match-first", "table=min(source_hit_rate)", "the least answered source gives"),
    named(
        "ovs",
        "limits=off+timeout=1000000s",
        "OVS user space: no cap per parent, no timeout, ends with its parent",
    ),
    named(
        "suricata",
        "limits=off+quota=source:10:replace+timeout=30s",
        "Suricata: ten a pair of hosts, the oldest goes; thirty seconds",
    ),
    named("zeek", "limits=off+timeout=300s", "Zeek: no cap per parent, five minutes"),
];
