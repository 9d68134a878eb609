//! Text of a scanned host, before anybody else sees it: bounded, and without characters that could steer a terminal, a
//! database or the eye. Escaping for HTML and the like is the renderer's.

/// Behind text that was cut.
const CUT: &str = " […]";

/// Text of several lines, at most `max_bytes` long.
pub(crate) fn lines(text: &str, max_bytes: usize) -> String {
    clean(text, max_bytes, true)
}

/// Looks at no more of the text than is kept, however long it is.
fn clean(text: &str, max_bytes: usize, keeps_lines: bool) -> String {
    let is_plain = |byte: u8| (b' '..=b'~').contains(&byte) || (keeps_lines && byte == b'\n');
    if text.len() <= max_bytes.saturating_sub(CUT.len()) && text.bytes().all(is_plain) {
        return text.trim().to_owned();
    }
    let mut clean = String::with_capacity(text.len().min(max_bytes));
    for character in text.trim().chars() {
        let is_end = matches!(character, '\n' | '\r' | '\u{2028}' | '\u{2029}');
        let is_space = character == '\t' || (is_end && !keeps_lines);
        let character = if is_space { ' ' } else { character };
        if character != '\n' && is_hidden(character) {
            continue;
        }
        if clean.len().saturating_add(character.len_utf8()) > max_bytes.saturating_sub(CUT.len()) {
            clean.push_str(CUT);
            break;
        }
        clean.push(character);
    }
    clean
}

/// Text of one line, at most `max_bytes` long.
pub(crate) fn line(text: &str, max_bytes: usize) -> String {
    clean(text, max_bytes, false)
}

/// A line without colors and whatever else steers a terminal.
pub(crate) fn plain(line: &str) -> String {
    let mut text = String::with_capacity(line.len().min(4096));
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' {
            characters.by_ref().find(char::is_ascii_alphabetic);
        } else if !character.is_control() {
            text.push(character);
        }
    }
    text.trim().to_owned()
}

/// Appends to text that is being read, up to a limit.
pub(crate) fn push(target: &mut String, text: &str, max_bytes: usize) {
    let room = max_bytes.saturating_sub(target.len());
    target.push_str(text.get(..floor_boundary(text, room)).unwrap_or_default());
}

/// The longest prefix of at most `max_bytes` that ends between characters.
pub(crate) fn prefix(text: &str, max_bytes: usize) -> &str {
    text.get(..floor_boundary(text, max_bytes)).unwrap_or_default()
}

fn floor_boundary(text: &str, max_bytes: usize) -> usize {
    let mut end = text.len().min(max_bytes);
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    end
}

/// Control characters, and those that turn, join or hide what is shown.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn o1_what_steers_a_terminal_or_the_eye_is_removed() {
        let hostile = "\u{1b}[31mred\u{7}\0 \u{202e}evil\u{200b}\r\nsecond\u{9b}0m\tx";
        assert_eq!(lines(hostile, 100), "[31mred evil\nsecond0m x");
        assert_eq!(line(hostile, 100), "[31mred evil  second0m x");
    }

    #[test]
    fn o2_long_text_is_cut_and_says_so() {
        let cut = lines(&"ä".repeat(1000), 101);
        assert!(cut.len() <= 101 && cut.ends_with(CUT));
        assert_eq!(lines("short", 101), "short");
    }

    proptest! {
        #[test]
        fn limits_hold_for_any_text(text: String, max in 16_usize..64) {
            prop_assert!(lines(&text, max).len() <= max);
            prop_assert!(line(&text, max).len() <= max && !line(&text, max).contains(['\n', '\0']));
            let mut target = String::new();
            push(&mut target, &text, max);
            prop_assert!(target.len() <= max && text.starts_with(&target));
        }
    }
}
