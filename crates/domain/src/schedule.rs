//! What is done again and again: when its ticks are, and what becomes of one that comes late or while the last one's scan
//! still runs. It never asks for the time; whoever asks brings it.

mod cadence;
mod order;

use serde::{Deserialize, Serialize};

pub(crate) use self::cadence::time_zone;
pub use self::{
    cadence::{Cadence, CadenceError, Tick},
    order::ReportOrder,
};

macro_rules! named {
    ($($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $text:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$of])* #[serde(rename = $text)] $variant,)*
        }

        impl $name {
            /// Every one of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name on the wire and in the database.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The one of that name.
            #[must_use]
            pub fn find(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.name() == name)
            }
        }
    )*};
}

named! {
    /// What a schedule makes.
    ScheduleKind {
        /// A scan.
        Scan = "scan",
        /// A report of what was scanned lately.
        Report = "report",
    }
    /// What a tick does while the scan of an earlier one has not ended.
    Overlap {
        /// Nothing.
        Skip = "skip",
        /// It waits for the end; one tick at most waits.
        Queue = "queue",
        /// It stops that scan.
        Replace = "replace",
    }
    /// What becomes of ticks that nobody was there for.
    Missed {
        /// They are left out.
        Skip = "skip",
        /// The last of them runs, once.
        Once = "once",
    }
    /// What became of a tick.
    RunOutcome {
        /// It made its scan or report.
        Started = "started",
        /// It waits for the end of the scan before.
        Waiting = "waiting",
        /// There was nothing to do, or the scan before had not ended.
        Skipped = "skipped",
        /// Nobody was there in time.
        Missed = "missed",
        /// What it asks for is not allowed, at this time or any longer.
        Refused = "refused",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_find_their_values_and_are_those_on_the_wire() {
        assert!(Overlap::ALL.iter().all(|one| Overlap::find(one.name()) == Some(*one)));
        assert!(RunOutcome::ALL.iter().all(|one| serde_json::to_value(one).unwrap() == one.name()));
        assert_eq!((Missed::find("twice"), ScheduleKind::find("")), (None, None));
    }
}
