//! What a worker tells of a task while its tool runs: the lines of a scan's live output. Every text in a line is bounded and
//! free of control characters; what a tool complained (its standard error) is never in one.

use serde::{Deserialize, Serialize};

use crate::{Gap, Observation, Severity};

/// The most bytes of a title, and of a place, in a line.
const TITLE_BYTES: usize = 240;
const PLACE_BYTES: usize = 320;

/// One line of a scan's live output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum OutputLine {
    /// A tool begins.
    Started {
        /// Its slug.
        tool: String,
        /// What it looks at.
        target: String,
    },
    /// The tool reported something.
    Observation {
        /// How bad it is.
        severity: Severity,
        /// In one line.
        title: String,
        /// Where it is.
        place: String,
    },
    /// More was reported than is told line by line; the result has it all.
    LeftOut {
        /// How many observations.
        observations: u64,
    },
    /// The tool ended.
    Ended {
        /// How many observations it reported.
        observations: u64,
        /// What is missing from its result; `None` when nothing is.
        gap: Option<Gap>,
        /// Whether it is tried again.
        again: bool,
    },
    /// The scan told as much as is kept; what follows is not here.
    Cut,
}

impl OutputLine {
    /// A tool that begins to look at a target.
    #[must_use]
    pub fn started(tool: &str, target: &str) -> Self {
        Self::Started { tool: short(tool, TITLE_BYTES), target: short(target, PLACE_BYTES) }
    }

    /// The line of an observation.
    #[must_use]
    pub fn observation(observation: &Observation) -> Self {
        Self::Observation {
            severity: observation.severity,
            title: short(&observation.title, TITLE_BYTES),
            place: short(&observation.location.to_string(), PLACE_BYTES),
        }
    }
}

/// The beginning of a text, without what could steer a terminal.
fn short(text: &str, most_bytes: usize) -> String {
    let mut kept = String::with_capacity(text.len().min(most_bytes));
    for character in text.chars().filter(|character| !character.is_control()) {
        if kept.len().saturating_add(character.len_utf8()) > most_bytes {
            break;
        }
        kept.push(character);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_bounded_and_steers_nothing() {
        let OutputLine::Started { tool, target } = OutputLine::started("n\u{1b}[31m\0map\n", &"\u{e9}".repeat(10_000))
        else {
            panic!("another line")
        };
        assert_eq!(tool, "n[31mmap");
        assert!(target.len() <= PLACE_BYTES && target.chars().all(|character| character == '\u{e9}'));
    }

    #[test]
    fn a_line_survives_its_stored_form() {
        for line in [
            OutputLine::started("nmap", "example.com"),
            OutputLine::Ended { observations: 3, gap: Some(Gap::TimedOut), again: false },
            OutputLine::Cut,
        ] {
            let stored = serde_json::to_value(&line).unwrap();
            assert!(stored["kind"].is_string(), "{stored}");
            assert_eq!(serde_json::from_value::<OutputLine>(stored).unwrap(), line);
        }
    }
}
