//! From a letter to what its reader sees: subject, plain text, HTML. Pure.
//! Names come from strangers, who may have others invited: they are bounded, stripped of what is invisible or turns
//! lines around, kept from looking like links, and escaped. Only an organization's name and a target get into a header.

use jiff::Timestamp;
use picket_domain::{Letter, Locale};

use super::words::Words;

/// Characters of a name that are shown.
const LONGEST_NAME: usize = 80;

/// Characters that a link may have.
const LONGEST_LINK: usize = 2_000;

/// Invisible, and breaks no line: put behind a dot or slash it keeps mail programs from making a link of a name.
const JOINER: char = '\u{2060}';

const BODY: &str = "margin:0 auto;max-width:36em;padding:1.5em;font-family:Arial,Helvetica,sans-serif;font-size:16px;\
                    line-height:1.5;color:#1f2933";
const BUTTON: &str = "display:inline-block;padding:.6em 1.2em;border-radius:.3em;background:#1d4ed8;color:#ffffff;\
                      text-decoration:none";
const SMALL: &str = "font-size:13px;color:#52606d";

/// A letter in words. Never printed: it may hold a link with a token.
pub(crate) struct Rendered {
    /// One line.
    pub(crate) subject: String,
    pub(crate) text: String,
    pub(crate) html: String,
}

/// The letter's link is not one to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected an absolute link without spaces, of at most {LONGEST_LINK} characters")]
pub(crate) struct UnusableLink;

/// The values of a letter's placeholders.
struct Values(Vec<(&'static str, String)>);

/// Puts a letter into words.
pub(crate) fn render(letter: &Letter, locale: Locale) -> Result<Rendered, UnusableLink> {
    let words = Words::of(locale);
    let (text, values) = (words.text(letter), Values::of(letter, words));
    let filled = |lines: &[&str]| -> Vec<String> { lines.iter().map(|line| values.fill(line)).collect() };
    let (before, after) = (filled(text.before), filled(text.after));
    let link = link(letter).map(usable).transpose()?.zip(text.action);
    let subject = values.fill(text.subject);
    Ok(Rendered {
        text: plain(words, &before, link, &after),
        html: html(words, &subject, &before, link, &after),
        subject: subject.replace(JOINER, ""),
    })
}

fn plain(words: &Words, before: &[String], link: Option<(&str, &str)>, after: &[String]) -> String {
    let linked = link.map(|(link, action)| format!("{action}:\n{link}"));
    let footer = format!("-- \n{}\n", words.footer);
    let parts = before.iter().cloned().chain(linked).chain(after.iter().cloned()).chain([footer]);
    parts.collect::<Vec<_>>().join("\n\n")
}

fn html(words: &Words, subject: &str, before: &[String], link: Option<(&str, &str)>, after: &[String]) -> String {
    let paragraph = |line: &String| format!("<p>{}</p>\n", escape(line));
    let button = link.map(|(link, action)| {
        format!("<p><a href=\"{}\" style=\"{BUTTON}\">{}</a></p>\n", escape(link), escape(action))
    });
    let copied = link.map(|(link, _)| {
        format!("<p style=\"{SMALL};word-break:break-all\">{}<br>{}</p>\n", escape(words.copy_link), escape(link))
    });
    let parts = before.iter().map(paragraph).chain(button).chain(after.iter().map(paragraph)).chain(copied);
    format!(
        "<!doctype html>\n<html lang=\"{tag}\">\n<head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{title}</title></head>\n<body style=\"{BODY}\">\n{parts}\
         <p style=\"{SMALL}\">{footer}</p>\n</body>\n</html>\n",
        tag = words.tag,
        title = escape(subject),
        parts = parts.collect::<String>(),
        footer = escape(words.footer),
    )
}

impl Values {
    fn of(letter: &Letter, words: &Words) -> Self {
        Self(match letter {
            Letter::VerifyAddress { name, expires_at, .. }
            | Letter::ResetPassword { name, expires_at, .. }
            | Letter::ConfirmNewAddress { name, expires_at, .. } => {
                vec![("name", shown(name)), ("expires", moment(*expires_at))]
            }
            Letter::AddressTaken { name, .. } => vec![("name", shown(name))],
            Letter::PasswordChanged { name, at, address } => {
                vec![("name", shown(name)), ("at", moment(*at)), ("address", shown(address).replace(JOINER, ""))]
            }
            Letter::MfaChanged { name, at, .. } => vec![("name", shown(name)), ("at", moment(*at))],
            Letter::IdentityChanged { name, provider, at, .. } => {
                vec![("name", shown(name)), ("provider", shown(provider)), ("at", moment(*at))]
            }
            Letter::AddressChangeAsked { name, email, at } | Letter::AddressChanged { name, email, at } => {
                vec![("name", shown(name)), ("email", shown(email)), ("at", moment(*at))]
            }
            Letter::ScanEnded { name, organization, target, at, counts, .. } => vec![
                ("name", shown(name)),
                ("organization", shown(organization)),
                ("target", shown(target)),
                ("at", moment(*at)),
                ("critical", counts.critical.to_string()),
                ("high", counts.high.to_string()),
                ("medium", counts.medium.to_string()),
                ("low", counts.low.to_string()),
                ("info", counts.info.to_string()),
            ],
            Letter::TargetProof { name, organization, target, at, .. } => vec![
                ("name", shown(name)),
                ("organization", shown(organization)),
                ("target", shown(target)),
                ("at", moment(*at)),
            ],
            Letter::Invitation { inviter, organization, role, expires_at, .. } => vec![
                ("inviter", shown(inviter)),
                ("organization", shown(organization)),
                ("role", words.role(*role).to_owned()),
                ("expires", moment(*expires_at)),
            ],
        })
    }

    /// Fills placeholders in one pass, so that a name cannot hold one.
    fn fill(&self, template: &str) -> String {
        let (mut filled, mut rest) = (String::new(), template);
        while let Some((before, (name, after))) =
            rest.split_once('{').and_then(|(before, after)| Some((before, after.split_once('}')?)))
        {
            filled.push_str(before);
            filled.extend(self.0.iter().filter(|(known, _)| *known == name).map(|(_, value)| value.as_str()));
            rest = after;
        }
        filled + rest
    }
}

fn link(letter: &Letter) -> Option<&str> {
    match letter {
        Letter::VerifyAddress { link, .. }
        | Letter::AddressTaken { link, .. }
        | Letter::ResetPassword { link, .. }
        | Letter::ConfirmNewAddress { link, .. }
        | Letter::ScanEnded { link, .. }
        | Letter::Invitation { link, .. } => Some(link),
        Letter::PasswordChanged { .. }
        | Letter::MfaChanged { .. }
        | Letter::IdentityChanged { .. }
        | Letter::AddressChangeAsked { .. }
        | Letter::AddressChanged { .. }
        | Letter::TargetProof { .. } => None,
    }
}

fn usable(link: &str) -> Result<&str, UnusableLink> {
    let known = link.starts_with("https://") || link.starts_with("http://");
    let clean = link.len() <= LONGEST_LINK && link.chars().all(|c| c.is_ascii_graphic());
    if known && clean { Ok(link) } else { Err(UnusableLink) }
}

/// The moment for readers anywhere.
fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// A stranger's text as it may be shown.
fn shown(text: &str) -> String {
    let spaced = text.chars().map(|c| if c.is_whitespace() { ' ' } else { c });
    let clean: Vec<char> = spaced.filter(|c| !c.is_control() && !is_invisible(*c)).collect();
    let mut shown = String::new();
    for (index, c) in clean.iter().copied().enumerate().take(LONGEST_NAME) {
        shown.push(c);
        let goes_on = clean.get(index.saturating_add(1)).is_some_and(|next| *next != ' ');
        if matches!(c, '.' | ':' | '/' | '@') && goes_on {
            shown.push(JOINER);
        }
    }
    if clean.len() > LONGEST_NAME {
        shown.push('…');
    }
    shown.trim().to_owned()
}

/// Characters that nobody sees, among them those that turn the writing direction around.
const fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    )
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests;
