// SPDX-License-Identifier: GPL-2.0-only
//! The numbers with which the kernel refuses a user's request.

use core::fmt;

use crate::error::{NoMemory, RelateError};

macro_rules! errnos {
    ($($(#[$doc:meta])* $way:ident = $number:literal $name:literal),+ $(,)?) => {
        /// Why a request was refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Errno { $($(#[$doc])* $way),+ }

        impl Errno {
            /// All that the control plane answers with.
            pub const ALL: &'static [Self] = &[$(Self::$way),+];

            /// What the kernel returns.
            #[must_use]
            pub const fn number(self) -> i32 {
                match self { $(Self::$way => -$number),+ }
            }

            /// The kernel's name of the number.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$way => $name),+ }
            }
        }
    };
}

errnos! {
    /// There is no such thing.
    NoEntry = 2 "ENOENT",
    /// Memory ran out.
    NoMemory = 12 "ENOMEM",
    /// It is in the way of another, or is taken.
    Busy = 16 "EBUSY",
    /// It is there already.
    Exists = 17 "EEXIST",
    /// The request makes no sense.
    Invalid = 22 "EINVAL",
    /// The table is full.
    TooMany = 24 "EMFILE",
    /// A number is beyond what is allowed.
    Range = 34 "ERANGE",
    /// Its timer was faster.
    TimedOut = 62 "ETIME",
    /// This kernel, or this connection, cannot.
    NotSupported = 95 "EOPNOTSUPP",
    /// The master has no helper extension.
    Shutdown = 108 "ESHUTDOWN",
    /// One that serves as well is there.
    Already = 114 "EALREADY",
}

impl From<RelateError> for Errno {
    fn from(error: RelateError) -> Self {
        match error {
            RelateError::NoHelper => Self::Shutdown,
            RelateError::Clash => Self::Busy,
            RelateError::ClassFull | RelateError::TableFull | RelateError::NotAdmitted => {
                Self::TooMany
            }
            RelateError::AlreadyExpected => Self::Already,
        }
    }
}

impl From<NoMemory> for Errno {
    fn from(NoMemory(_): NoMemory) -> Self {
        Self::NoMemory
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl core::error::Error for Errno {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_to_relate_keeps_its_number() {
        for error in RelateError::ALL {
            assert_eq!(Errno::from(error).number(), error.errno());
            assert_eq!(Errno::from(error).name(), error.errno_name());
        }
    }
}
