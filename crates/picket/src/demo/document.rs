//! Whether a downloaded report is what it should be: the form that was asked for, about the scan that was asked about.

use serde::Deserialize;

use super::failure::Failure;

/// The forms that the demo asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Pdf,
    Html,
    Json,
}

/// What a report must be about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) scan_id: &'a str,
    pub(super) target: &'a str,
    pub(super) findings: u64,
}

#[derive(Deserialize)]
struct JsonReport {
    counts: JsonCounts,
    scans: Vec<JsonScan>,
}

#[derive(Deserialize)]
struct JsonCounts {
    total: u64,
}

#[derive(Deserialize)]
struct JsonScan {
    id: String,
}

impl Format {
    pub(super) const ALL: [Self; 3] = [Self::Pdf, Self::Html, Self::Json];

    /// The name on the wire, and how the file ends.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Pdf => "pdf",
            Self::Html => "html",
            Self::Json => "json",
        }
    }

    /// Checks a whole document.
    ///
    /// # Errors
    /// What was expected of it.
    pub(super) fn check(self, document: &[u8], subject: &Subject<'_>) -> Result<(), Failure> {
        let fits = match self {
            Self::Pdf => is_pdf(document),
            Self::Html => is_html(document, subject),
            Self::Json => is_json(document, subject),
        };
        if fits {
            return Ok(());
        }
        Err(Failure::Unexpected {
            expected: format!(
                "a whole {} report about {} with {} findings",
                self.name(),
                subject.scan_id,
                subject.findings
            ),
            found: format!("{} bytes that are none", document.len()),
        })
    }
}

/// The first and the last mark of a PDF (ISO 32000-2 §7.5.2, §7.5.5).
fn is_pdf(document: &[u8]) -> bool {
    document.starts_with(b"%PDF-") && document.trim_ascii_end().ends_with(b"%%EOF")
}

fn is_html(document: &[u8], subject: &Subject<'_>) -> bool {
    let Ok(text) = std::str::from_utf8(document) else { return false };
    let has_doctype = text.trim_start().get(..15).is_some_and(|start| start.eq_ignore_ascii_case("<!doctype html>"));
    has_doctype && text.trim_end().ends_with("</html>") && text.contains(subject.target)
}

fn is_json(document: &[u8], subject: &Subject<'_>) -> bool {
    let Ok(JsonReport { counts, scans }) = serde_json::from_slice(document) else { return false };
    counts.total == subject.findings && matches!(scans.as_slice(), [scan] if scan.id == subject.scan_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBJECT: Subject<'_> = Subject { scan_id: "scan_1", target: "127.0.0.1", findings: 2 };

    #[test]
    fn a_report_is_known_by_its_form_and_its_subject() {
        let whole: [(Format, &[u8]); 3] = [
            (Format::Pdf, b"%PDF-1.7\n...\n%%EOF\n"),
            (Format::Html, b"<!DOCTYPE html>\n<html><body>127.0.0.1</body></html>\n"),
            (Format::Json, br#"{"counts":{"total":2,"low":2},"scans":[{"id":"scan_1","number":1}]}"#),
        ];
        for (format, document) in whole {
            assert!(format.check(document, &SUBJECT).is_ok(), "{}", format.name());
            let cut = document.get(..document.len() - 9).unwrap();
            assert!(format.check(cut, &SUBJECT).is_err(), "{}", format.name());
            assert!(format.check(b"", &SUBJECT).is_err(), "{}", format.name());
        }
    }

    #[test]
    fn a_report_about_another_scan_is_refused() {
        let other = Subject { scan_id: "scan_2", target: "127.0.0.2", ..SUBJECT };
        let document = br#"{"counts":{"total":2},"scans":[{"id":"scan_1"}]}"#;
        assert!(Format::Json.check(document, &other).is_err());
        assert!(Format::Json.check(document, &Subject { findings: 3, ..SUBJECT }).is_err());
        assert!(Format::Html.check(b"<!doctype html><html>127.0.0.1</html>", &other).is_err());
    }
}
