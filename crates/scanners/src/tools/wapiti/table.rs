//! Wapiti's CSV (3.1 and later): a row for each entry. It names neither the site nor how much was looked at, and nothing says
//! that it is whole. Bodies and credentials of requests are left out.

use std::io::BufRead;

use super::category::{self, About, Entry, Part};
use crate::{Context, Head, Parsed, import, page::Page, table, tally::Tally};

/// Categories that stand in other parts of the other formats.
const ANOMALIES: [&str; 2] = ["Internal Server Error", "Resource consumption"];
const ADDITIONALS: [&str; 3] = ["Fingerprint web server", "Fingerprint web technology", "HTTP Methods"];

pub(super) fn recognizes(head: &Head<'_>) -> bool {
    let names = head.first_line().replace('"', "").to_ascii_lowercase();
    names.starts_with("category,level,description,method,parameter,url,")
}

pub(super) fn read(input: &mut dyn BufRead, context: &Context<'_>, mut tally: Tally<'_>) -> Parsed {
    let end = table::escaped(input, "category", &mut |row| {
        let Some(page) = Page::of(row.get("url"), context) else { return tally.garbled() };
        let category = row.get("category");
        let part = match category {
            name if ANOMALIES.contains(&name) => Part::Anomalies,
            name if ADDITIONALS.contains(&name) => Part::Additionals,
            _ => Part::Vulnerabilities,
        };
        let entry = Entry {
            method: row.get("method").to_owned(),
            path: page.path.clone(),
            info: row.get("description").to_owned(),
            level: row.get("level").parse().unwrap_or_default(),
            parameter: row.get("parameter").to_owned(),
            request: String::new(),
        };
        tally.tell(category::weakness(part, category, &entry, &About::default()).observed(&page.place()));
    });
    match end {
        Ok(()) => import::unmarked(tally.end(None)),
        Err(reason) => import::incomplete(tally, reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn rows_are_entries_and_quotes_are_escaped() {
        let report = "\"category\",\"level\",\"description\",\"method\",\"parameter\",\"url\",\"body\",\"referer\",\"auth\",\"module\"\r\n\
                      \"SQL Injection\",4,\"found with \\\"'\\\"\",\"GET\",\"id\",\"http://192.0.2.7/item?id=1\",\"\",\"\",\"\",\"sql\"\r\n\
                      \"Internal Server Error\",4,\"two\nlines, \\\\ and more\",\"POST\",\"\",\"http://192.0.2.7/b\",\"pw=guess-me-not\",\"\",\"\",\"sql\"\r\n";
        let format = crate::recognize(&Head::new(report.as_bytes(), true)).expect("a report of Wapiti");
        let (parsed, seen) = testing::read(format, report.as_bytes());
        assert!(parsed.is_complete() && !parsed.clone().of_a_file().is_complete(), "{parsed:?}");
        let told = testing::brief(&seen);
        assert_eq!(told[0], ("web.sql_injection".into(), "/item".into(), "id".into()));
        assert_eq!((told[1].0.as_str(), seen[1].severity.name()), ("wapiti:internal_server_error", "low"));
        assert!(seen[0].evidence.contains("found with \"'\""), "{}", seen[0].evidence);
        assert!(!format!("{seen:?}").contains("guess-me-not"));
        for cut in [report.len() - 3, report.len() - 60, report.find("lines").unwrap()] {
            assert!(!testing::read(format, &report.as_bytes()[..cut]).0.is_complete(), "{cut}");
        }
    }
}
