// SPDX-License-Identifier: GPL-2.0-only
//! The mixtures of deeds, one per profile.
//!
//! The rule that matters: a weight that changes makes other sequences of all seeds. Transcripts
//! stay what they are; their seeds do not lead to them any more.

use super::profile::{Deed, Profile};

/// All profiles that have no `0`.
pub(super) const ALL: &[Profile] =
    &[CORE, CLASH, MATCH, LIMIT, TIME, BAD, HELPER, ZONES, MIX, FULL, WILD, FOLLOW];

const PLAIN: Profile = Profile {
    name: "",
    zones: true,
    advance_every: 0,
    masters: 8,
    favour: 0,
    ports: 3,
    functions: 2,
    full: false,
    weights: &[],
};

const CORE: Profile = Profile {
    name: "core",
    zones: false,
    advance_every: 36,
    weights: &[
        (Deed::CtNew, 20),
        (Deed::Expect, 70),
        (Deed::Rival, 40),
        (Deed::Retime, 15),
        (Deed::Get, 16),
        (Deed::Delete, 16),
        (Deed::DeleteHelper, 2),
        (Deed::Flush, 1),
        (Deed::Dump, 5),
        (Deed::DumpMaster, 5),
        (Deed::Proc, 4),
        (Deed::Stats, 4),
        (Deed::CtDel, 6),
        (Deed::CtDump, 2),
        (Deed::Hit, 40),
        (Deed::Stray, 20),
        (Deed::Again, 8),
        (Deed::Reset, 4),
        (Deed::Tftp, 6),
    ],
    ..PLAIN
};

const CLASH: Profile = Profile {
    name: "clash",
    weights: &[
        (Deed::CtNew, 10),
        (Deed::Expect, 50),
        (Deed::Rival, 150),
        (Deed::Retime, 10),
        (Deed::Get, 20),
        (Deed::Delete, 14),
        (Deed::Dump, 7),
        (Deed::DumpMaster, 3),
        (Deed::Proc, 4),
        (Deed::Stats, 4),
        (Deed::CtDel, 4),
        (Deed::Hit, 12),
        (Deed::Stray, 6),
    ],
    ..PLAIN
};

const MATCH: Profile = Profile {
    name: "match",
    weights: &[
        (Deed::CtNew, 10),
        (Deed::Expect, 90),
        (Deed::Rival, 12),
        (Deed::Get, 5),
        (Deed::Delete, 5),
        (Deed::Dump, 6),
        (Deed::Proc, 2),
        (Deed::Stats, 6),
        (Deed::CtDel, 6),
        (Deed::CtDump, 3),
        (Deed::Hit, 100),
        (Deed::Stray, 25),
        (Deed::Again, 15),
        (Deed::Reset, 10),
        (Deed::Tftp, 4),
    ],
    ..PLAIN
};

const LIMIT: Profile = Profile {
    name: "limit",
    favour: 60,
    ports: 60,
    weights: &[
        (Deed::CtNew, 6),
        (Deed::Expect, 230),
        (Deed::Rival, 6),
        (Deed::Get, 4),
        (Deed::Delete, 9),
        (Deed::DeleteHelper, 1),
        (Deed::Dump, 2),
        (Deed::DumpMaster, 9),
        (Deed::Proc, 2),
        (Deed::Stats, 3),
        (Deed::CtDel, 2),
        (Deed::CtHelp, 2),
        (Deed::Hit, 8),
        (Deed::Tftp, 2),
    ],
    ..PLAIN
};

const TIME: Profile = Profile {
    name: "time",
    advance_every: 34,
    weights: &[
        (Deed::CtNew, 12),
        (Deed::Expect, 90),
        (Deed::Rival, 30),
        (Deed::Retime, 90),
        (Deed::Get, 16),
        (Deed::Delete, 9),
        (Deed::Dump, 9),
        (Deed::Proc, 5),
        (Deed::Stats, 6),
        (Deed::CtDel, 3),
        (Deed::CtHelp, 2),
        (Deed::Hit, 24),
        (Deed::Stray, 6),
        (Deed::Nft, 8),
        (Deed::Tftp, 2),
    ],
    ..PLAIN
};

const BAD: Profile = Profile {
    name: "bad",
    weights: &[
        (Deed::CtNew, 16),
        (Deed::Expect, 40),
        (Deed::Rival, 10),
        (Deed::Wrong, 130),
        (Deed::Get, 22),
        (Deed::Delete, 16),
        (Deed::DeleteHelper, 9),
        (Deed::Dump, 6),
        (Deed::DumpMaster, 14),
        (Deed::Proc, 1),
        (Deed::Stats, 4),
        (Deed::CtDel, 6),
        (Deed::CtHelp, 20),
        (Deed::Hit, 6),
        (Deed::Stray, 4),
    ],
    ..PLAIN
};

const HELPER: Profile = Profile {
    name: "helper",
    weights: &[
        (Deed::CtNew, 14),
        (Deed::Expect, 55),
        (Deed::Rival, 10),
        (Deed::Delete, 10),
        (Deed::DeleteHelper, 4),
        (Deed::Dump, 5),
        (Deed::DumpMaster, 8),
        (Deed::Proc, 2),
        (Deed::Stats, 4),
        (Deed::CtDel, 7),
        (Deed::CtHelp, 9),
        (Deed::CtDump, 1),
        (Deed::Hit, 45),
        (Deed::Stray, 10),
        (Deed::Nft, 45),
        (Deed::Tftp, 50),
    ],
    ..PLAIN
};

const ZONES: Profile = Profile {
    name: "zones",
    weights: &[
        (Deed::CtNew, 18),
        (Deed::Expect, 65),
        (Deed::Rival, 50),
        (Deed::Get, 20),
        (Deed::Delete, 24),
        (Deed::DeleteHelper, 1),
        (Deed::Dump, 5),
        (Deed::DumpMaster, 7),
        (Deed::Proc, 1),
        (Deed::Stats, 5),
        (Deed::CtDel, 9),
        (Deed::CtDump, 3),
        (Deed::Hit, 60),
        (Deed::Stray, 25),
        (Deed::Again, 8),
        (Deed::Nft, 6),
    ],
    ..PLAIN
};

const MIX: Profile = Profile {
    name: "mix",
    advance_every: 38,
    weights: &[
        (Deed::CtNew, 14),
        (Deed::Expect, 60),
        (Deed::Rival, 30),
        (Deed::Wrong, 10),
        (Deed::Retime, 14),
        (Deed::Get, 16),
        (Deed::Delete, 16),
        (Deed::DeleteHelper, 3),
        (Deed::Flush, 1),
        (Deed::Dump, 6),
        (Deed::DumpMaster, 5),
        (Deed::Proc, 4),
        (Deed::Stats, 3),
        (Deed::CtDel, 5),
        (Deed::CtHelp, 6),
        (Deed::CtFlush, 1),
        (Deed::CtDump, 1),
        (Deed::Hit, 40),
        (Deed::Stray, 15),
        (Deed::Again, 8),
        (Deed::Reset, 4),
        (Deed::Tftp, 8),
        (Deed::Nft, 12),
    ],
    ..PLAIN
};

const FULL: Profile = Profile {
    name: "full",
    zones: false,
    masters: 4,
    ports: 30_000,
    full: true,
    weights: &[
        (Deed::CtNew, 4),
        (Deed::Expect, 100),
        (Deed::Rival, 16),
        (Deed::Wrong, 6),
        (Deed::Retime, 6),
        (Deed::Get, 5),
        (Deed::Delete, 8),
        (Deed::DumpMaster, 3),
        (Deed::Stats, 12),
        (Deed::CtDel, 1),
        (Deed::Hit, 4),
        (Deed::Tftp, 8),
        (Deed::Nft, 8),
    ],
    ..PLAIN
};

const WILD: Profile = Profile {
    name: "wild",
    weights: &[
        (Deed::CtNew, 8),
        (Deed::Expect, 30),
        (Deed::Rival, 20),
        (Deed::Wrong, 8),
        (Deed::Retime, 8),
        (Deed::Dump, 8),
        (Deed::Proc, 5),
        (Deed::Stats, 8),
        (Deed::CtDel, 6),
        (Deed::CtDump, 3),
        (Deed::Hit, 30),
        (Deed::Stray, 8),
        (Deed::Tftp, 6),
        (Deed::Nft, 10),
        (Deed::WildCtNew, 16),
        (Deed::WildRequest, 40),
        (Deed::WildDelete, 2),
        (Deed::WildGet, 8),
        (Deed::WildHelp, 10),
        (Deed::WildDumpMaster, 10),
        (Deed::WildPacket, 40),
    ],
    ..PLAIN
};

const FOLLOW: Profile = Profile {
    name: "follow",
    functions: 70,
    weights: &[
        (Deed::CtNew, 10),
        (Deed::Expect, 80),
        (Deed::Rival, 20),
        (Deed::Delete, 4),
        (Deed::Dump, 3),
        (Deed::Stats, 8),
        (Deed::CtDel, 10),
        (Deed::CtDump, 2),
        (Deed::Hit, 120),
        (Deed::Stray, 20),
        (Deed::Again, 20),
        (Deed::Answer, 60),
        (Deed::Reset, 4),
        (Deed::Tftp, 20),
        (Deed::Nft, 20),
        (Deed::DumpMaster, 6),
        (Deed::CtHelp, 6),
        (Deed::Get, 6),
    ],
    ..PLAIN
};
