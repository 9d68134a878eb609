//! The meta tag of a page that proves who owns it. Only the head counts, and only what a browser would take for a tag there:
//! what visitors write ends up in the body, in a comment, or in a text.

use html5gum::{DefaultEmitter, StartTag, Token, Tokenizer};

/// The most tags that are looked at.
const MOST_TAGS: usize = 2_000;

/// What belongs into a head; anything else that begins a tag begins the body (HTML Living Standard, "in head").
const IN_HEAD: [&[u8]; 11] =
    [b"html", b"head", b"meta", b"title", b"link", b"script", b"style", b"base", b"basefont", b"noscript", b"template"];

/// Of these, what holds something else than tags of the head.
const HOLDS_TEXT: [&[u8]; 5] = [b"title", b"script", b"style", b"noscript", b"template"];

/// The contents of all meta tags of that name in the head of a page, which may be cut off anywhere.
pub(crate) fn meta_contents(page: &[u8], name: &str) -> Vec<String> {
    let mut emitter = DefaultEmitter::default();
    // Else the text of a title or a script would be read as tags.
    emitter.naively_switch_states(true);
    let mut found = Vec::new();
    // Inside of these are texts, or tags that are none of the page's own.
    let mut inside = 0_usize;
    for token in Tokenizer::new_with_emitter(page, emitter).filter_map(Result::ok).take(MOST_TAGS) {
        match token {
            Token::StartTag(tag) if !IN_HEAD.contains(&tag.name.as_slice()) => break,
            Token::StartTag(tag) if HOLDS_TEXT.contains(&tag.name.as_slice()) => inside = inside.saturating_add(1),
            Token::StartTag(tag) if inside == 0 => found.extend(content(&tag, name)),
            Token::EndTag(tag) if tag.name.as_slice() == b"head" => break,
            Token::EndTag(tag) if HOLDS_TEXT.contains(&tag.name.as_slice()) => inside = inside.saturating_sub(1),
            // Text begins the body.
            Token::String(text) if inside == 0 && !text.iter().all(u8::is_ascii_whitespace) => break,
            Token::StartTag(_)
            | Token::EndTag(_)
            | Token::String(_)
            | Token::Comment(_)
            | Token::Doctype(_)
            | Token::Error(_) => {}
        }
    }
    found
}

fn content(tag: &StartTag<()>, name: &str) -> Option<String> {
    let attribute = |wanted: &[u8]| {
        let value = tag.attributes.iter().find(|(key, _)| key.as_slice() == wanted).map(|(_, value)| value);
        value.and_then(|value| std::str::from_utf8(value).ok())
    };
    let is_named = tag.name.as_slice() == b"meta" && attribute(b"name")?.trim().eq_ignore_ascii_case(name);
    if is_named { attribute(b"content").map(|content| content.trim().to_owned()) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(page: &str) -> Vec<String> {
        meta_contents(page.as_bytes(), "picket-verification")
    }

    const TAG: &str = r#"<meta name="picket-verification" content="abc">"#;

    #[test]
    fn the_tag_is_found_in_the_head_however_it_is_written() {
        for page in [
            format!("<!doctype html><html><head><title>x</title>{TAG}</head><body></body>"),
            format!("<title>&lt;</title><script>if (a < b) {{}}</script><style>a{{}}</style>{TAG}"),
            "<META content='abc' NAME=Picket-Verification>".to_owned(),
            "<meta name=\"picket-verification\" content=\" abc \"/>".to_owned(),
            format!("{TAG}<meta name=\"picket-verification\" content=\"cut o"),
        ] {
            assert_eq!(found(&page), ["abc"], "{page}");
        }
        assert_eq!(found(&format!("{TAG}<meta name=picket-verification content=def>")), ["abc", "def"]);
    }

    #[test]
    fn what_visitors_write_is_no_tag_of_the_page() {
        for page in [
            format!("<head></head><body>{TAG}"),
            format!("<body>{TAG}</body>"),
            format!("<p>{TAG}"),
            format!("hello {TAG}"),
            format!("<title>x</title> hello {TAG}"),
            format!("<!-- {TAG} -->"),
            format!("<title>{TAG}</title>"),
            format!("<script>{TAG}</script>"),
            format!("<style>{TAG}</style>"),
            format!("<noscript>{TAG}</noscript>"),
            format!("<template>{TAG}</template>"),
            format!("<textarea>{TAG}</textarea>"),
            format!("&lt;{}", TAG.trim_start_matches('<')),
            r#"<meta name="other" content="picket-verification abc">"#.to_owned(),
            r#"<meta property="picket-verification" content="abc">"#.to_owned(),
            String::new(),
        ] {
            assert_eq!(found(&page), Vec::<String>::new(), "{page}");
        }
    }

    #[test]
    fn a_page_of_tags_without_end_is_given_up() {
        let page = "<meta>".repeat(40_000) + TAG;
        assert!(found(&page).is_empty());
        assert!(found(&"<meta a=".repeat(30_000)).is_empty());
    }
}
