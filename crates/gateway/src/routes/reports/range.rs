//! Which bytes of a document a client wants (RFC 9110 §14). One range is served; what is malformed, of another unit, or
//! several ranges at once is ignored, as the RFC allows, and the whole document is sent.

use std::ops::Range;

/// What a request's `Range` and `If-Range` come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::routes) enum Wanted {
    /// Everything: 200.
    Whole,
    /// These bytes: 206.
    Part(Range<u64>),
    /// Bytes behind the end: 416.
    Unsatisfiable,
}

impl Wanted {
    /// Reads the headers for a document of `size_bytes` whose entity tag, with its quotation marks, is `etag`.
    pub(in crate::routes) fn of(range: Option<&str>, if_range: Option<&str>, etag: &str, size_bytes: u64) -> Self {
        let is_current = if_range.is_none_or(|tag| tag.trim() == etag);
        match range.filter(|_| is_current).and_then(parse) {
            None => Self::Whole,
            Some(asked) => asked.within(size_bytes),
        }
    }
}

/// One range as it is written.
enum Asked {
    /// `a-` or `a-b`.
    From(u64, Option<u64>),
    /// `-n`: the last bytes.
    Last(u64),
}

impl Asked {
    fn within(self, size_bytes: u64) -> Wanted {
        let range = match self {
            Self::From(first, last) => first..last.map_or(size_bytes, |last| last.saturating_add(1).min(size_bytes)),
            Self::Last(count) => size_bytes.saturating_sub(count)..size_bytes,
        };
        if range.is_empty() { Wanted::Unsatisfiable } else { Wanted::Part(range) }
    }
}

fn parse(header: &str) -> Option<Asked> {
    let (first, last) = header.trim().strip_prefix("bytes=")?.trim().split_once('-')?;
    match (first, last) {
        ("", last) => number(last).map(Asked::Last),
        (first, "") => Some(Asked::From(number(first)?, None)),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Asked::From(first, Some(last)))
        }
    }
}

/// Digits alone: `parse` would take a plus sign.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

/// Whether an `If-None-Match` names the entity tag.
pub(in crate::routes) fn names_etag(if_none_match: Option<&str>, etag: &str) -> bool {
    let weakly = |tag: &str| tag.trim().trim_start_matches("W/") == etag || tag.trim() == "*";
    if_none_match.is_some_and(|tags| tags.split(',').any(weakly))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(range: &str) -> Wanted {
        Wanted::of(Some(range), None, "\"x\"", 100)
    }

    #[test]
    fn one_range_is_served_and_cut_at_the_end() {
        assert_eq!(wanted("bytes=0-9"), Wanted::Part(0..10));
        assert_eq!(wanted("bytes=90-"), Wanted::Part(90..100));
        assert_eq!(wanted("bytes=90-1000"), Wanted::Part(90..100));
        assert_eq!(wanted("bytes=-10"), Wanted::Part(90..100));
        assert_eq!(wanted("bytes=-1000"), Wanted::Part(0..100));
    }

    #[test]
    fn bytes_behind_the_end_cannot_be_served() {
        assert_eq!(wanted("bytes=100-"), Wanted::Unsatisfiable);
        assert_eq!(wanted("bytes=-0"), Wanted::Unsatisfiable);
    }

    #[test]
    fn what_is_not_understood_is_ignored() {
        for range in
            ["", "bytes", "bytes=", "bytes=-", "bytes=9-1", "bytes=a-b", "bytes=0-1,3-4", "lines=0-1", "bytes=+1-2"]
        {
            assert_eq!(wanted(range), Wanted::Whole, "{range}");
        }
        let huge = format!("bytes={}-", "9".repeat(40));
        assert_eq!(wanted(&huge), Wanted::Whole);
    }

    #[test]
    fn a_range_of_another_version_is_the_whole_document() {
        assert_eq!(Wanted::of(Some("bytes=0-1"), Some("\"x\""), "\"x\"", 100), Wanted::Part(0..2));
        assert_eq!(Wanted::of(Some("bytes=0-1"), Some("\"y\""), "\"x\"", 100), Wanted::Whole);
    }

    #[test]
    fn an_entity_tag_is_found_in_a_list() {
        assert!(names_etag(Some("\"a\", W/\"x\""), "\"x\"") && names_etag(Some("*"), "\"x\""));
        assert!(!names_etag(Some("\"a\""), "\"x\"") && !names_etag(None, "\"x\""));
    }
}
