//! Hostile text made fit to be shown: every character that could hide, reorder or break what stands around it becomes a
//! visible escape, long text is cut where it says so, and long words get places to break at.

use std::borrow::Cow;

/// The longest run of characters without a place to break a line at.
const LONGEST_WORD: usize = 26;
/// Fewer characters than this are not left for the next line when there is a choice.
const SHORTEST_REST: usize = 6;
/// A place to break a line at, without width.
const BREAK: char = '\u{200b}';

/// One line: line ends and tabs become blanks; cut with an ellipsis after `max_chars`.
pub(crate) fn line(text: &str, max_chars: usize) -> String {
    let mut chars = text.chars();
    let mut shown = String::new();
    for character in chars.by_ref().take(max_chars) {
        if matches!(character, '\n' | '\r' | '\t') { shown.push(' ') } else { show(character, &mut shown) }
    }
    if chars.next().is_some() {
        shown.push('…');
    }
    shown.trim().to_owned()
}

/// Several lines, cut with a sentence that says so after `max_chars`.
pub(crate) fn block(text: &str, max_chars: usize) -> String {
    let mut chars = text.chars();
    let mut shown = String::new();
    let mut last = ' ';
    for character in chars.by_ref().take(max_chars) {
        match character {
            '\n' if last == '\r' => {}
            '\n' | '\r' => shown.push('\n'),
            '\t' => shown.push_str("    "),
            other => show(other, &mut shown),
        }
        last = character;
    }
    let rest = chars.count();
    let mut shown = shown.trim_end().to_owned();
    if rest > 0 {
        shown.push_str(&format!(
            "\n[cut here: {}; the JSON report has the whole text]",
            plural(rest, "character").replacen(" character", " more character", 1)
        ));
    }
    shown
}

/// The paragraphs of a text, without empty ones.
pub(crate) fn paragraphs(text: &str, max_chars: usize) -> Vec<String> {
    let shown = block(text, max_chars);
    shown.split('\n').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// Puts places to break at into words that are longer than a line may be, by preference where a URL has its joints.
/// Shorter words stay as they are, so that a reader who searches for a host or a CVE finds it.
pub(crate) fn breakable(text: &str) -> String {
    text.split_inclusive(char::is_whitespace).map(break_word).collect()
}

fn break_word(word: &str) -> Cow<'_, str> {
    let mut left = word.trim_end().chars().count();
    if left <= LONGEST_WORD {
        return Cow::Borrowed(word);
    }
    let mut shown = String::with_capacity(word.len());
    let mut run = 0_usize;
    for character in word.chars() {
        shown.push(character);
        (run, left) = (run.saturating_add(1), left.saturating_sub(1));
        let is_joint = run >= LONGEST_WORD / 2 && left >= SHORTEST_REST && "/?&=,;|)]}-_".contains(character);
        if is_joint || run >= LONGEST_WORD {
            shown.push(BREAK);
            run = 0;
        }
    }
    Cow::Owned(shown)
}

/// `1 finding`, `1,234 findings`.
pub(crate) fn plural(count: impl TryInto<u64>, noun: &str) -> String {
    let count = count.try_into().unwrap_or(u64::MAX);
    format!("{} {noun}{}", number(count), if count == 1 { "" } else { "s" })
}

/// A number with its thousands apart.
pub(crate) fn number(count: u64) -> String {
    let digits = count.to_string();
    let mut shown = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

fn show(character: char, shown: &mut String) {
    if hides(character) {
        shown.extend(character.escape_unicode());
    } else {
        shown.push(character);
    }
}

/// Controls, marks that reorder text (UAX #9 §2), what has no width, and what is no character.
fn hides(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{feff}')
        || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fff0}'..='\u{fffb}')
        || matches!(character, '\u{e0000}'..='\u{e007f}')
        || matches!(u32::from(character) & 0xffff, 0xfffe | 0xffff)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_hides_or_reorders_is_shown_as_an_escape() {
        assert_eq!(line("a\u{202e}b\u{1b}[31m\u{0}", 100), "a\\u{202e}b\\u{1b}[31m\\u{0}");
        assert_eq!(line("Sécurité 安全 שלום 👩‍💻", 100), "Sécurité 安全 שלום 👩‍💻");
    }

    #[test]
    fn a_line_is_one_line_and_says_that_it_was_cut() {
        assert_eq!(line("one\r\ntwo\tthree", 100), "one  two three");
        assert_eq!(line(&"x".repeat(1_000_000), 3), "xxx…");
        assert_eq!(line("xxx", 3), "xxx");
    }

    #[test]
    fn a_block_keeps_its_lines_and_says_how_much_is_missing() {
        assert_eq!(block("a\r\nb\n\tc\rd\n", 100), "a\nb\n    c\nd");
        assert_eq!(block("abcd", 2), "ab\n[cut here: 2 more characters; the JSON report has the whole text]");
        assert_eq!(paragraphs("one\n\n  two ", 100), ["one", "two"]);
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(plural(1_u64, "finding"), "1 finding");
        assert_eq!(plural(0_u64, "finding"), "0 findings");
        assert_eq!(number(1_234_567), "1,234,567");
        assert_eq!(number(123), "123");
    }

    #[test]
    fn only_long_words_are_broken_and_where_they_have_joints() {
        assert_eq!(breakable("CVE-2021-41773 at app.example.com:443/tcp"), "CVE-2021-41773 at app.example.com:443/tcp");
        let url = breakable("https://example.com/a/long/way/down?to=the&end=of");
        assert_eq!(url.replace(BREAK, "|"), "https://example.com/|a/long/way/down?|to=the&end=of");
        let name = breakable("/backup/site-2025-12-24.tar.gz");
        assert_eq!(name.replace(BREAK, "|"), "/backup/site-|2025-12-24.tar.gz");
    }

    proptest! {
        #[test]
        fn a_breakable_text_has_short_words_and_the_same_letters(text: String) {
            let shown = breakable(&text);
            prop_assert!(shown.split(|c: char| c == BREAK || c.is_whitespace()).all(|w| w.chars().count() <= LONGEST_WORD));
            prop_assert_eq!(shown.replace(BREAK, ""), text.replace(BREAK, ""));
        }

        #[test]
        fn no_text_keeps_a_character_that_hides(text: String) {
            prop_assert!(!line(&text, 50).chars().any(hides));
            prop_assert!(!block(&text, 50).chars().any(|c| hides(c) && c != '\n'));
        }
    }
}
