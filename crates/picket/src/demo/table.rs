//! Findings as a table for a terminal. Titles and places are the scanned host's text: shown without what could disturb it.

use super::{answers::Vulnerability, console::plain};

/// The widest title, in characters.
const WIDEST_TITLE: usize = 72;
/// The most lines; the reports have all.
const MOST_ROWS: usize = 100;
const HEADS: [&str; 3] = ["SEVERITY", "TITLE", "LOCATION"];

/// The table, without an end of line behind its last row.
pub(super) fn findings(vulnerabilities: &[Vulnerability]) -> String {
    let rows = vulnerabilities
        .iter()
        .take(MOST_ROWS)
        .map(|one| [plain(&one.severity), shortened(&one.title), plain(&one.location)]);
    let rows: Vec<[String; 3]> = std::iter::once(HEADS.map(str::to_owned)).chain(rows).collect();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let (first, second) = (width(0).unwrap_or_default(), width(1).unwrap_or_default());
    let lines =
        rows.iter().map(|[severity, title, location]| format!("{severity:first$}  {title:second$}  {location}"));
    let mut lines: Vec<String> = lines.collect();
    let hidden = vulnerabilities.len().saturating_sub(MOST_ROWS);
    if hidden > 0 {
        lines.push(format!("and {hidden} more"));
    }
    lines.join("\n")
}

fn shortened(title: &str) -> String {
    let title = plain(title);
    if title.chars().count() <= WIDEST_TITLE {
        return title;
    }
    title.chars().take(WIDEST_TITLE.saturating_sub(1)).chain(std::iter::once('…')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(severity: &str, title: &str) -> Vulnerability {
        Vulnerability { severity: severity.to_owned(), title: title.to_owned(), location: "127.0.0.1:1/tcp".to_owned() }
    }

    #[test]
    fn columns_are_aligned() {
        let table = findings(&[finding("high", "A weakness"), finding("low", "Überall\u{1b}[0m")]);
        assert_eq!(
            table,
            "SEVERITY  TITLE       LOCATION\n\
             high      A weakness  127.0.0.1:1/tcp\n\
             low       Überall[0m  127.0.0.1:1/tcp"
        );
    }

    #[test]
    fn a_table_is_neither_too_wide_nor_too_long() {
        let table = findings(&vec![finding("info", &"x".repeat(200)); 150]);
        assert_eq!(table.lines().count(), 102);
        assert!(table.lines().all(|line| line.chars().count() < 110));
        assert!(table.ends_with("and 50 more"));
    }
}
