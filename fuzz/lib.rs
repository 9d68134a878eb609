//! One fuzz target per tool: any bytes through every format of it. A parser must not panic, must tell as many observations
//! as it counts, and must let nothing through that steers a terminal.

use picket_scanners::{Context, Head, formats};

/// Runs every format of `tool` over `data`.
///
/// # Panics
/// When a parser breaks one of its promises, and when no format of that tool exists.
pub fn check(tool: &str, data: &[u8]) {
    let mut is_known = false;
    let head = Head::new(data, true);
    for format in formats().filter(|format| format.tool() == tool) {
        is_known = true;
        let _ = format.recognizes(&head);
        let mut told = 0;
        let parsed = format.parse(&mut &*data, &Context::default(), &mut |observation| {
            told += 1;
            for line in [&observation.title, &observation.subject, &observation.rule, &observation.location.host] {
                assert!(!line.contains(char::is_control), "{line:?}");
            }
            for text in [&observation.evidence, &observation.description, &observation.remediation] {
                assert!(text.len() <= 4096 && !text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
            }
            assert!(!observation.location.host.is_empty());
            assert!(observation.cvss.is_none_or(|score| (0.0..=10.0).contains(&score)));
        });
        assert_eq!(parsed.observations, told);
        assert!(!parsed.is_refused || !parsed.is_complete());
        assert_eq!(parsed.is_complete(), parsed.reason.is_empty());
    }
    assert!(is_known, "there is no format of {tool}");
}

/// A target named after a tool.
#[macro_export]
macro_rules! target {
    ($tool:literal) => {
        libfuzzer_sys::fuzz_target!(|data: &[u8]| $crate::check($tool, data));
    };
}
