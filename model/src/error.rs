// SPDX-License-Identifier: GPL-2.0-only
//! Why an operation was refused, with the kernel's number for it.

use core::fmt;

/// Why an expectation was not inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RelateError {
    /// The master has no helper extension: −ESHUTDOWN.
    NoHelper,
    /// A packet could hit both this and a linked one: −EBUSY.
    Clash,
    /// The class is full and nothing of it could be evicted: −EMFILE.
    ClassFull,
    /// The table is full: −EMFILE.
    TableFull,
    /// Equal to one of another class or master that serves as well: −EALREADY.
    AlreadyExpected,
    /// Another eviction than the kernel's would not have it: −EMFILE.
    NotAdmitted,
}

impl RelateError {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::NoHelper,
        Self::Clash,
        Self::ClassFull,
        Self::TableFull,
        Self::AlreadyExpected,
        Self::NotAdmitted,
    ];

    /// What the kernel returns.
    #[must_use]
    pub const fn errno(self) -> i32 {
        match self {
            Self::NoHelper => -108,
            Self::Clash => -16,
            Self::ClassFull | Self::TableFull | Self::NotAdmitted => -24,
            Self::AlreadyExpected => -114,
        }
    }

    /// The kernel's name of the number.
    #[must_use]
    pub const fn errno_name(self) -> &'static str {
        match self {
            Self::NoHelper => "ESHUTDOWN",
            Self::Clash => "EBUSY",
            Self::ClassFull | Self::TableFull | Self::NotAdmitted => "EMFILE",
            Self::AlreadyExpected => "EALREADY",
        }
    }

    /// The word a trace uses.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::NoHelper => "no-helper",
            Self::Clash => "clash",
            Self::ClassFull => "class-full",
            Self::TableFull => "table-full",
            Self::AlreadyExpected => "already-expected",
            Self::NotAdmitted => "not-admitted",
        }
    }
}

impl fmt::Display for RelateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self {
            Self::NoHelper => "the master has no helper extension",
            Self::Clash => "clashes with a linked expectation",
            Self::ClassFull => "the class is full and its oldest could not be evicted",
            Self::TableFull => "expectation table full",
            Self::AlreadyExpected => "already expected",
            Self::NotAdmitted => "not admitted by the eviction in force",
        };
        write!(f, "{why} (-{})", self.errno_name())
    }
}

impl core::error::Error for RelateError {}

/// Memory ran out: −ENOMEM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NoMemory(
    /// What could not be had.
    pub AllocPoint,
);

impl NoMemory {
    /// What the kernel returns.
    #[must_use]
    pub const fn errno(self) -> i32 {
        -12
    }
}

impl fmt::Display for NoMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no memory for {} (-ENOMEM)", self.0.what())
    }
}

impl core::error::Error for NoMemory {}

/// A point at which the kernel asks for memory and may get none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AllocPoint {
    /// `nf_ct_expect_alloc()`, atomic.
    Expectation,
    /// `nf_conntrack_alloc()`, atomic.
    Conn,
    /// `nf_ct_helper_ext_add()`, atomic: a connection without its helper.
    HelpExtension,
    /// `nf_ct_alloc_hashtable()` at namespace init.
    HashTable,
    /// `proc_create()` at namespace init.
    ProcEntry,
    /// `kmem_cache_create()` at module init.
    Cache,
}

impl AllocPoint {
    const fn what(self) -> &'static str {
        match self {
            Self::Expectation => "an expectation",
            Self::Conn => "a connection",
            Self::HelpExtension => "a helper extension",
            Self::HashTable => "the hash table",
            Self::ProcEntry => "the /proc entry",
            Self::Cache => "the object cache",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_carry_the_kernels_numbers() {
        let numbers = RelateError::ALL.map(RelateError::errno);
        assert_eq!(numbers, [-108, -16, -24, -24, -114, -24]);
        assert_eq!(NoMemory(AllocPoint::Cache).errno(), -12);
    }
}
