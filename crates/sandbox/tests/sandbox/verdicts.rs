//! The table `tests/hostile/expected.tsv`: what each probe of the battery must find.

use std::collections::BTreeMap;
use std::fmt;

use landlock::{ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr, Scope};
use picket_domain::SandboxLevel;

/// What a probe found: a door that is open, or the error it was refused with.
pub(crate) type Found = BTreeMap<String, String>;

/// One row of the table.
pub(crate) struct Expected([Verdict; 4]);

/// What a run with raw sockets may that no other may: the sockets themselves. It is the root of its user namespace, so that
/// becoming root gains it nothing; and its first process has the same right and no more (`write_init_memory`, which the
/// kernel refuses to whoever has less).
const ONLY_RAW: [&str; 9] = [
    "socket_raw_icmp",
    "socket_raw_tcp",
    "socket_raw6",
    "socket_packet",
    "socket_packet_datagram",
    "setuid_root",
    "setgid_root",
    "setuid_program_of_root",
    "init_is_stronger",
];

/// A column of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    /// The network of a level.
    Level(SandboxLevel),
    /// Level L0 with raw sockets.
    Raw,
    /// No network.
    None,
}

impl Expected {
    fn of(&self, column: Column) -> &Verdict {
        let Self([shared, user_mode, helper, none]) = self;
        match column {
            Column::Level(SandboxLevel::L0) => helper,
            Column::Level(SandboxLevel::L1) => user_mode,
            Column::Level(SandboxLevel::L2 | SandboxLevel::None) => shared,
            Column::Raw => helper,
            Column::None => none,
        }
    }
}

/// What must be found. `open` and `allowed` are the same to the kernel, and not the same to us: an open door is known,
/// unwanted, and closed by a later form of the sandbox; an allowed one is needed or harmless.
enum Verdict {
    Open,
    Allowed,
    Denied(String),
    /// Denied with that error where the kernel has Landlock's scope (6.12), open elsewhere.
    DeniedByScope(String),
    /// Denied with that error where the kernel has Landlock's third version (6.2), allowed elsewhere.
    DeniedByFiles(String),
}

impl Verdict {
    fn parse(text: &str) -> Self {
        match text.split_once(':') {
            _ if text == "open" => Self::Open,
            _ if text == "allowed" => Self::Allowed,
            Some(("scope", error)) => Self::DeniedByScope(error.into()),
            Some(("files", error)) => Self::DeniedByFiles(error.into()),
            _ => Self::Denied(text.into()),
        }
    }

    fn fits(&self, found: &str) -> bool {
        match self {
            Self::Open | Self::Allowed => found == "allowed",
            Self::Denied(error) => error.split('|').any(|error| error == found),
            Self::DeniedByScope(error) => found == if kernel_has_scope() { error.as_str() } else { "allowed" },
            Self::DeniedByFiles(error) => found == if kernel_locks_files() { error.as_str() } else { "allowed" },
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => formatter.write_str("open"),
            Self::Allowed => formatter.write_str("allowed"),
            Self::Denied(error) => write!(formatter, "denied ({error})"),
            Self::DeniedByScope(error) => write!(formatter, "denied by landlock's scope ({error})"),
            Self::DeniedByFiles(error) => write!(formatter, "denied by landlock's rules on files ({error})"),
        }
    }
}

pub(crate) fn kernel_has_scope() -> bool {
    Ruleset::default().set_compatibility(CompatLevel::HardRequirement).scope(Scope::AbstractUnixSocket).is_ok()
}

fn kernel_locks_files() -> bool {
    let all = AccessFs::from_all(ABI::V3);
    Ruleset::default().set_compatibility(CompatLevel::HardRequirement).handle_access(all).is_ok()
}

/// The table, by the probe's name.
pub(crate) fn table() -> BTreeMap<String, Expected> {
    let text = include_str!("../hostile/expected.tsv");
    let rows = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let row = |line: &str| {
        let columns: Vec<&str> = line.split('\t').collect();
        let [probe, verdicts @ .., note] = columns.as_slice() else { panic!("expected columns: {line}") };
        let verdicts: &[&str; 4] = verdicts.try_into().expect("four verdicts");
        let is_explained = !note.is_empty() || verdicts.iter().all(|verdict| *verdict != "open");
        assert!(is_explained, "{probe}: an open door needs its reason");
        ((*probe).to_owned(), Expected(verdicts.map(Verdict::parse)))
    };
    rows.map(row).collect()
}

/// What a battery printed.
pub(crate) fn found(text: &str) -> Found {
    let line = |line: &str| match line.split('\t').collect::<Vec<_>>().as_slice() {
        [probe, "allowed", "-"] => ((*probe).to_owned(), "allowed".to_owned()),
        [probe, "denied", error] => ((*probe).to_owned(), (*error).to_owned()),
        _ => panic!("not a verdict: {line}"),
    };
    text.lines().map(line).collect()
}

/// Every difference between the table and what was found, probes that only one of them knows included.
pub(crate) fn differences(column: Column, found: &Found) -> Vec<String> {
    let table = table();
    let unknown = found.keys().filter(|probe| !table.contains_key(*probe));
    let unknown = unknown.map(|probe| format!("{probe}: not in the table, found {}", found[probe]));
    let known = table.iter().filter_map(|(probe, expected)| {
        let expected = expected.of(column);
        match found.get(probe) {
            Some(found) if column == Column::Raw && ONLY_RAW.contains(&probe.as_str()) => {
                (found != "allowed").then(|| format!("{probe}: expected it allowed, found {found}"))
            }
            Some(found) if expected.fits(found) => None,
            Some(found) => Some(format!("{probe}: expected {expected}, found {found}")),
            None => Some(format!("{probe}: expected {expected}, not tried")),
        }
    });
    unknown.chain(known).collect()
}
