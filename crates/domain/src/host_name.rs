//! A canonical host name: what every parser that comes after (resolver, TLS, tools) reads the same way.
//! Nothing is repaired: a text that other programs could read as another name is refused.

use std::{fmt, net::IpAddr};

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

use crate::TargetError;

/// Top-level and other suffixes that never name a public host: RFC 6761 and its registry, RFC 2606, RFC 6762 appendix G,
/// RFC 7686, RFC 8375, RFC 9476, and ICANN's `.internal`. `.arpa` is infrastructure as a whole.
const SPECIAL_USE: [&str; 18] = [
    "localhost",
    "local",
    "localdomain",
    "internal",
    "intranet",
    "private",
    "corp",
    "home",
    "lan",
    "mail",
    "test",
    "example",
    "invalid",
    "onion",
    "alt",
    "arpa",
    "cluster",
    "consul",
];

/// A host name in both its forms.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostName {
    ascii: String,
    unicode: String,
}

impl HostName {
    /// The name as programs use it: lower case, A-labels, no trailing dot.
    #[must_use]
    pub fn ascii(&self) -> &str {
        &self.ascii
    }

    /// The name as people read it (U-labels). For display alone; it may look like another name.
    #[must_use]
    pub fn unicode(&self) -> &str {
        &self.unicode
    }

    /// Reads a name that may be a target.
    pub(crate) fn parse(text: &str) -> Result<Self, TargetError> {
        let name = Self::parse_any(text)?;
        if name.ascii.split('.').count() < 2 {
            return Err(TargetError::SingleLabel);
        }
        if name.is_special_use() {
            return Err(TargetError::SpecialUse { name: name.ascii });
        }
        if name.is_public_suffix() {
            return Err(TargetError::PublicSuffix { name: name.ascii });
        }
        Ok(name)
    }

    /// Reads any well-formed name, whatever it names: what an operator may put behind `*.`.
    pub(crate) fn parse_any(text: &str) -> Result<Self, TargetError> {
        check_characters(text)?;
        refuse_numeric(text)?;
        let codec = Uts46::new();
        let ascii = codec
            .to_ascii(text.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Verify)
            .map_err(|_| TargetError::InvalidHost)?
            .into_owned();
        // Full-width digits and the like have become ASCII by now.
        refuse_numeric(&ascii)?;
        let (unicode, valid) = codec.to_unicode(ascii.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast);
        valid.map_err(|_| TargetError::InvalidHost)?;
        let unicode = unicode.into_owned();
        if !text.is_ascii() {
            refuse_rewritten(text, &unicode)?;
            refuse_mixed_scripts(&ascii, &unicode)?;
        }
        Ok(Self { ascii, unicode })
    }

    /// Whether it is the name that its owner registered: one label below a public suffix (`example.co.uk`, `x.github.io`).
    #[must_use]
    pub fn is_registrable(&self) -> bool {
        psl::domain(self.unicode.as_bytes()).is_some_and(|domain| domain.as_bytes() == self.unicode.as_bytes())
    }

    /// Whether it lies below `parent`, and is not that name itself.
    #[must_use]
    pub fn is_below(&self, parent: &Self) -> bool {
        self.ascii.strip_suffix(parent.ascii()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
    }

    fn is_special_use(&self) -> bool {
        self.ascii.rsplit('.').next().is_some_and(|last| SPECIAL_USE.contains(&last))
    }

    /// Whether the public suffix list (its private part too: `github.io`) says that everybody may register below the name.
    fn is_public_suffix(&self) -> bool {
        psl::suffix(self.unicode.as_bytes()).is_some_and(|suffix| suffix.as_bytes() == self.unicode.as_bytes())
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.ascii)
    }
}

/// Before any parser sees the text: parsers drop newlines, take what is before `@` for a user, and so on.
fn check_characters(text: &str) -> Result<(), TargetError> {
    if text.is_empty() {
        return Err(TargetError::Empty);
    }
    if text.len() > crate::target::MAX_LENGTH_BYTES {
        return Err(TargetError::TooLong);
    }
    match text.chars().find(|&c| c.is_control() || c.is_whitespace() || "@/?#%\\:[]*".contains(c)) {
        Some(character) => Err(TargetError::ForbiddenCharacter { character }),
        None => Ok(()),
    }
}

/// `127.1`, `0x7f.1`, `2130706433` and `0177.0.0.1` are addresses to some programs and names, or other addresses, to others;
/// `10.0.0-255.1-254` is a range to nmap. No top-level domain begins with a digit (RFC 3696 §2), so a text whose last label
/// does is never a name.
fn refuse_numeric(text: &str) -> Result<(), TargetError> {
    let last = text.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    if last.starts_with(char::is_numeric) || text.parse::<IpAddr>().is_ok() {
        return Err(TargetError::NumericHost);
    }
    Ok(())
}

/// Mapping may join, drop or replace characters without a trace (soft hyphen, circled letters, ideographic full stop): only
/// a change of case is let through.
fn refuse_rewritten(text: &str, unicode: &str) -> Result<(), TargetError> {
    let is_same = text.split('.').zip(unicode.split('.')).all(|(given, read)| {
        let given = given.to_lowercase();
        // A label may already be given as an A-label beside others in Unicode.
        given == read || given.starts_with("xn--")
    });
    let same_labels = text.split('.').count() == unicode.split('.').count();
    if is_same && same_labels { Ok(()) } else { Err(TargetError::Rewritten { reads_as: unicode.to_owned() }) }
}

/// `exаmple.com` with a Cyrillic letter looks like another name; whoever means it can write its A-label.
fn refuse_mixed_scripts(ascii: &str, unicode: &str) -> Result<(), TargetError> {
    let is_mixed = |label: &str| {
        label.chars().any(|c| c.is_ascii_alphabetic()) && label.chars().any(|c| is_look_alike_script(u32::from(c)))
    };
    if unicode.split('.').any(is_mixed) {
        return Err(TargetError::MixedScripts { ascii: ascii.to_owned() });
    }
    Ok(())
}

/// Scripts whose letters are taken for Latin ones: Greek, Cyrillic, Armenian, Cherokee and their extensions.
const fn is_look_alike_script(code: u32) -> bool {
    matches!(code,
        0x0370..=0x058f | 0x13a0..=0x13ff | 0x1c80..=0x1c8f | 0x1f00..=0x1fff | 0x2de0..=0x2dff | 0xa640..=0xa69f | 0xab70..=0xabbf)
}
