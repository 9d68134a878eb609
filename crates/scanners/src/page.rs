//! A web address that a tool names, in the parts of a finding's place. Never keeps what could be a secret: neither user
//! information nor the values of a query.

use url::Url;

use crate::{Context, weakness::Place};

/// An address of `http` or `https`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page {
    /// The canonical host.
    pub(crate) host: String,
    /// The port, also where the address does not name it.
    pub(crate) port: u16,
    /// Whether it is `https`.
    pub(crate) is_tls: bool,
    /// The path, percent-encoded, without query.
    pub(crate) path: String,
}

impl Page {
    /// The page of an address; `None` for what is none.
    pub(crate) fn of(address: &str, context: &Context<'_>) -> Option<Self> {
        let url = Url::parse(address.trim()).ok()?;
        let is_tls = match url.scheme() {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let host = context.site(url.host_str()?)?;
        Some(Self { host, port: url.port_or_known_default()?, is_tls, path: url.path().to_owned() })
    }

    /// The page of an address that may lack its scheme: `example.com:8443/a`.
    pub(crate) fn of_loose(address: &str, context: &Context<'_>) -> Option<Self> {
        if address.contains("://") {
            return Self::of(address, context);
        }
        let page = Self::of(&format!("http://{address}"), context)?;
        Some(Self { is_tls: page.port == 443 || page.port == 8443, ..page })
    }

    /// Where it is.
    pub(crate) fn place(&self) -> Place<'_> {
        Place::tcp(&self.host, self.port, self.is_tls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_comes_apart_and_loses_its_secrets() {
        let page = |address| Page::of(address, &Context::default());
        let found = page("https://me:secret@Example.com/a b?token=1#x").unwrap();
        assert_eq!((found.host.as_str(), found.port, found.path.as_str()), ("example.com", 443, "/a%20b"));
        assert_eq!(page("http://[::ffff:192.0.2.1]:8080").unwrap().host, "192.0.2.1");
        for address in ["ftp://a/", "javascript:1", "", "/a", "http://", "http://a b/"] {
            assert_eq!(page(address), None, "{address}");
        }
        assert!(Page::of_loose("example.com:8443/a", &Context::default()).unwrap().is_tls);
    }
}
