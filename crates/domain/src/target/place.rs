//! A target out of what people copy from a browser: the host of a URL. Only for targets that are kept; whoever asks for a
//! scan names the target itself. Nothing is repaired here either: the host is read by [`Target::parse`].

use super::{Target, TargetError};

/// The longest URL, in bytes.
const LONGEST: usize = 2_048;

impl Target {
    /// Reads a target, or the host of an `http` or `https` URL; its port, path and query are dropped.
    ///
    /// # Errors
    /// What was expected of the first thing that does not fit. A URL with a user is refused.
    pub fn parse_place(text: &str) -> Result<Self, TargetError> {
        let Some((scheme, rest)) = text.split_once("://") else { return Self::parse(text) };
        if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
            return Err(TargetError::Url);
        }
        if text.len() > LONGEST {
            return Err(TargetError::TooLong);
        }
        // Parsers drop tabs and newlines, and take a backslash for a slash.
        if let Some(character) = text.chars().find(|c| c.is_control() || c.is_whitespace() || *c == '\\') {
            return Err(TargetError::ForbiddenCharacter { character });
        }
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err(TargetError::ForbiddenCharacter { character: '@' });
        }
        Self::parse(host(authority)?)
    }
}

/// The host of an authority without a user.
fn host(authority: &str) -> Result<&str, TargetError> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (address, port) = rest.split_once(']').ok_or(TargetError::InvalidAddress)?;
        let is_v6 = address.parse::<std::net::Ipv6Addr>().is_ok();
        return if is_v6 && (port.is_empty() || is_port(port.strip_prefix(':'))) {
            Ok(address)
        } else {
            Err(TargetError::InvalidAddress)
        };
    }
    match authority.split_once(':') {
        None => Ok(authority),
        Some((host, port)) if is_port(Some(port)) => Ok(host),
        Some(_) => Err(TargetError::InvalidAddress),
    }
}

fn is_port(text: Option<&str>) -> bool {
    text.is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Result<String, TargetError> {
        Target::parse_place(text).map(|target| target.to_string())
    }

    #[test]
    fn a_url_is_kept_as_its_host() {
        for (text, host) in [
            ("https://Example.com/a?b#c", "example.com"),
            ("HTTP://example.com:8443", "example.com"),
            ("https://192.0.2.1/", "192.0.2.1"),
            ("https://[2001:db8::1]:443/", "2001:db8::1"),
            ("example.com", "example.com"),
            ("192.0.2.0/24", "192.0.2.0/24"),
        ] {
            assert_eq!(place(text).as_deref(), Ok(host), "{text}");
        }
    }

    #[test]
    fn t2_and_t11_a_url_hides_no_other_host() {
        for text in [
            "https://user@example.com/",
            "https://example.com@evil.com/",
            "https://example.com\\@evil.com/",
            "https://example.com\n.evil.com/",
            "https://0177.0.0.1/",
            "https://2130706433/",
            "https://127.1/",
            "https://１２７.0.0.1/",
            "https://example.com:99999/",
            "https://example.com:+80/",
            "https://[::1",
            "https://[127.0.0.1]/",
            "https://",
            "https:///example.com",
            "ftp://example.com/",
            "javascript://example.com/",
            "https://example.com%2eevil.com/",
            "https://localhost/",
        ] {
            assert!(place(text).is_err(), "{text}: {:?}", place(text));
        }
    }
}
