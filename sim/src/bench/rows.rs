// SPDX-License-Identifier: GPL-2.0-only
//! The rows: every workload at every size it is measured at.

use std::cell::OnceCell;
use std::hash::{BuildHasherDefault, RandomState};

use super::deed::Contender;
use super::engine::{AheadContender, EngineContender};
use super::explore::{Copies, Open, Seen};
use super::floor::{Fires, Floor};
use super::hold::{Arrays, Heap, Hold};
use super::kernel_layout::{KernelLayout, KernelTimers, Memory};
use super::map_and_heap::MapAndHeap;
use super::workload::{Shape, Workload};
use crate::visited::Same;

/// What a contender's objects may lie in: made once, outlives it.
pub type Pool<'a> = OnceCell<Memory<'a>>;

/// One workload at one size.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// What people call the workload.
    pub group: &'static str,
    /// What is done.
    pub shape: Shape,
    /// Expectations in the table.
    pub size: u32,
    /// Expectations per bucket: 4 is what the kernel's own limit allows.
    pub load: u32,
}

impl Row {
    /// `churn/100k`.
    #[must_use]
    pub fn name(&self) -> String {
        let size = match self.size {
            few if few < K => few.to_string(),
            million if million >= M => format!("{}M", million >> 20),
            kilo => format!("{}k", kilo >> 10),
        };
        let load = if self.load == 4 { "" } else { "/k1" };
        format!("{}/{size}{load}", self.group)
    }

    /// The row of this name, at any size: `hit/10k`, `evict-8/64k`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        if let Some(row) = ROWS.iter().find(|row| row.name() == name) {
            return Some(*row);
        }
        let (group, size) = name.split_once('/')?;
        let row = ROWS.iter().find(|row| row.group == group)?;
        let kilo = size.strip_suffix('k')?.parse::<u32>().ok()?;
        (1..=4 * K).contains(&kilo).then_some(Self { size: kilo * K, ..*row })
    }

    /// Its deeds.
    #[must_use]
    pub fn workload(&self) -> Workload {
        Workload::new(self.shape, self.size, self.load)
    }

    /// Who takes part in every row.
    pub const CONTENDERS: [&str; 6] =
        ["engine", "ahead", "kernel", "map+heap", "dependent", "independent"];

    /// The contender at a place of [`CONTENDERS`](Self::CONTENDERS), with an empty table.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn contender<'a>(
        &self,
        place: usize,
        workload: &Workload,
        memory: &'a Pool<'a>,
    ) -> Box<dyn Contender + 'a> {
        let table = workload.table;
        if self.shape == Shape::Hold {
            let size = self.size;
            return match place {
                // Nobody asks timers ahead: the same store twice.
                0 | 1 => Box::new(Hold::new(Arrays::new(size), size)),
                2 => {
                    let memory = memory.get_or_init(|| Memory::new(table));
                    Box::new(Hold::new(KernelTimers::new(memory), size))
                }
                3 => Box::new(Hold::new(Heap::default(), size)),
                place => Box::new(Fires(Floor::new(size, place == 4))),
            };
        }
        match (self.shape, place) {
            (Shape::Snapshot, 0 | 1) => {
                let engine = EngineContender::new(table);
                return Box::new(Copies::new(engine, |of, _| of.snapshot(), |of| of.number()));
            }
            (Shape::Snapshot, 2) => return Box::new(Copies::again(EngineContender::new(table))),
            (Shape::Snapshot, 3) => {
                let map = MapAndHeap::new(table);
                return Box::new(Copies::new(map, |of, _| of.clone(), |of| of.number()));
            }
            (Shape::Visited, 0 | 1) => {
                return Box::new(Seen::<BuildHasherDefault<Same>>::default());
            }
            (Shape::Visited, 2) => return Box::new(Open::default()),
            (Shape::Visited, 3) => return Box::new(Seen::<RandomState>::default()),
            // As many bytes as the numbers need that are there at last.
            (Shape::Visited, place) => return Box::new(Floor::new(self.size / 16, place == 4)),
            _ => {}
        }
        match place {
            0 => Box::new(EngineContender::new(table)),
            1 => Box::new(AheadContender::new(table)),
            2 => Box::new(KernelLayout::new(memory.get_or_init(|| Memory::new(table)))),
            3 => Box::new(MapAndHeap::new(table)),
            4 => Box::new(Floor::new(self.size, true)),
            5 => Box::new(Floor::new(self.size, false)),
            _ => panic!("{} contenders, not {place}", Self::CONTENDERS.len()),
        }
    }
}

const fn row(group: &'static str, shape: Shape, size: u32) -> Row {
    Row { group, shape, size, load: 4 }
}

const K: u32 = 1 << 10;
const M: u32 = 1 << 20;

/// The same at one expectation per bucket, where the kernel's chains are short.
const fn k1(group: &'static str, shape: Shape, size: u32) -> Row {
    Row { group, shape, size, load: 1 }
}

/// All rows, as the benches and the table show them.
pub const ROWS: &[Row] = &[
    row("churn", Shape::Churn, K),
    row("churn", Shape::Churn, 4 * K),
    row("churn", Shape::Churn, 10 * K),
    row("churn", Shape::Churn, 100 * K),
    row("churn", Shape::Churn, M),
    row("churn", Shape::Churn, 4 * M),
    k1("churn", Shape::Churn, K),
    k1("churn", Shape::Churn, 4 * K),
    k1("churn", Shape::Churn, 10 * K),
    k1("churn", Shape::Churn, 100 * K),
    k1("churn", Shape::Churn, M),
    k1("churn", Shape::Churn, 4 * M),
    row("churn-match", Shape::ChurnMatch, 100 * K),
    row("churn-match", Shape::ChurnMatch, M),
    row("churn-expire", Shape::ChurnExpire, 100 * K),
    row("churn-expire", Shape::ChurnExpire, M),
    row("churn-v6", Shape::ChurnV6, 100 * K),
    row("ftp", Shape::Ftp, K),
    row("ftp", Shape::Ftp, 10 * K),
    row("ftp", Shape::Ftp, 100 * K),
    row("ftp", Shape::Ftp, M),
    row("sip", Shape::Sip, K),
    row("sip", Shape::Sip, 10 * K),
    row("sip", Shape::Sip, 100 * K),
    row("sip", Shape::Sip, M),
    row("miss-empty", Shape::MissEmpty, K),
    row("miss", Shape::Miss, K),
    row("miss", Shape::Miss, 4 * K),
    row("miss", Shape::Miss, 10 * K),
    row("miss", Shape::Miss, 100 * K),
    row("miss", Shape::Miss, M),
    row("miss", Shape::Miss, 4 * M),
    k1("miss", Shape::Miss, K),
    k1("miss", Shape::Miss, 10 * K),
    k1("miss", Shape::Miss, 100 * K),
    k1("miss", Shape::Miss, M),
    k1("miss", Shape::Miss, 4 * M),
    row("hit", Shape::Hit, K),
    row("hit", Shape::Hit, 4 * K),
    row("hit", Shape::Hit, 10 * K),
    row("hit", Shape::Hit, 100 * K),
    row("hit", Shape::Hit, M),
    row("hit", Shape::Hit, 4 * M),
    k1("hit", Shape::Hit, K),
    k1("hit", Shape::Hit, 10 * K),
    k1("hit", Shape::Hit, 100 * K),
    k1("hit", Shape::Hit, M),
    k1("hit", Shape::Hit, 4 * M),
    row("refresh", Shape::Refresh, 100 * K),
    row("evict-1", Shape::Evict(1), 256 * K),
    row("evict-8", Shape::Evict(8), 256 * K),
    row("evict-64", Shape::Evict(64), 256 * K),
    row("evict-255", Shape::Evict(255), 255 * K),
    row("expire-burst", Shape::Burst, 100 * K),
    row("expire-burst", Shape::Burst, M),
    row("expire-spread", Shape::Spread, 100 * K),
    row("expire-spread", Shape::Spread, M),
    row("silent", Shape::Silent, K),
    row("silent", Shape::Silent, 100 * K),
    row("destroy-1", Shape::Destroy(1), 100 * K),
    row("destroy-1", Shape::Destroy(1), M),
    row("destroy-8", Shape::Destroy(8), 100 * K),
    row("destroy-8", Shape::Destroy(8), M),
    row("destroy-64", Shape::Destroy(64), 100 * K),
    row("destroy-64", Shape::Destroy(64), M),
    row("group-16", Shape::Group(16), 64 * K),
    row("group-256", Shape::Group(256), 64 * K),
    row("group-4096", Shape::Group(4096), 64 * K),
    row("hold", Shape::Hold, K),
    row("hold", Shape::Hold, 100 * K),
    row("hold", Shape::Hold, M),
    row("listing", Shape::Listing, 100 * K),
    row("listing", Shape::Listing, M),
    row("snapshot", Shape::Snapshot, 16),
    row("snapshot", Shape::Snapshot, 256),
    row("snapshot", Shape::Snapshot, 4 * K),
    row("visited", Shape::Visited, 10 * K),
    row("visited", Shape::Visited, M),
    row("visited", Shape::Visited, 10 * M),
];
