//! Addresses in texts: one that stands for another is replaced where it stands alone, and never as a part of something else.

/// Replaces an address where it stands alone: 10.0.2.2 is no part of 10.0.2.25 or of 110.0.2.2, nor of 10.0.2.2.example;
/// fd00::2 is none of fd00::2:1. Nothing when it does not occur.
pub(super) fn replace_whole(text: &str, from: &str, to: &str) -> Option<String> {
    let mut changed = String::new();
    let mut done = 0;
    for (at, _) in text.match_indices(from) {
        let (before, after) = (text.get(done..at)?, text.get(at + from.len()..)?);
        let whole_before = text.get(..at)?;
        let is_part = ends_inside(whole_before) || begins_inside(after);
        if is_part || (from.contains(':') && (ends_in_groups(whole_before) || begins_with_group(after))) {
            continue;
        }
        changed.push_str(before);
        changed.push_str(to);
        done = at + from.len();
    }
    if done == 0 {
        return None;
    }
    changed.push_str(text.get(done..)?);
    Some(changed)
}

/// Whether a text ends in the middle of a number or of a dotted name.
fn ends_inside(text: &str) -> bool {
    let mut letters = text.chars().rev();
    match letters.next() {
        Some('.') => letters.next().is_some_and(char::is_alphanumeric),
        Some(letter) => letter.is_alphanumeric(),
        None => false,
    }
}

/// Whether a text goes on with a number or with a dotted name. A dot alone ends a sentence.
fn begins_inside(text: &str) -> bool {
    let mut letters = text.chars();
    match letters.next() {
        Some('.') => letters.next().is_some_and(char::is_alphanumeric),
        Some(letter) => letter.is_alphanumeric(),
        None => false,
    }
}

/// Whether a text ends in a group of an IPv6 address and its colon. The word before another colon is no group.
fn ends_in_groups(text: &str) -> bool {
    let Some(before) = text.strip_suffix(':') else { return false };
    let group = before.rsplit(|letter: char| !letter.is_alphanumeric()).next().unwrap_or_default();
    (!group.is_empty() || before.ends_with(':')) && group.len() <= 4 && group.chars().all(|one| one.is_ascii_hexdigit())
}

/// Whether a text goes on with another group.
fn begins_with_group(text: &str) -> bool {
    text.strip_prefix(':')
        .is_some_and(|rest| rest.starts_with(|letter: char| letter == ':' || letter.is_alphanumeric()))
}
