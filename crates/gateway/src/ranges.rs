//! Where somebody may call from: networks that an organization or a key names. None means anywhere. What the database holds
//! and nobody can read lets nobody in.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::{FieldError, Problem};

/// The most networks of one list.
pub(crate) const MOST_RANGES: usize = 100;

/// Networks that may be called from; none means anywhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ranges(Vec<IpNet>);

/// Where a caller may call from: by the organization's word and by the key's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Places {
    /// Of the organization.
    pub organization: Ranges,
    /// Of the key.
    pub key: Ranges,
}

impl Places {
    /// Whether both let this address in.
    pub(crate) fn allow(&self, address: IpAddr) -> bool {
        self.organization.allow(address) && self.key.allow(address)
    }
}

impl Ranges {
    /// Checks what a client sent in this field: networks, or single addresses. Each is stored once, in its canonical form.
    ///
    /// # Errors
    /// Names every fault.
    pub(crate) fn parse(field: &str, texts: &[String]) -> Result<Self, Vec<FieldError>> {
        if texts.len() > MOST_RANGES {
            let message = format!("expected at most {MOST_RANGES} networks");
            return Err(vec![FieldError::new(field, "too_many", message)]);
        }
        let mut errors = Vec::new();
        let mut ranges = Vec::new();
        for (place, text) in texts.iter().enumerate() {
            match range(text) {
                Some(range) => ranges.push(range),
                None => errors.push(FieldError::new(
                    format!("{field}[{place}]"),
                    "invalid_range",
                    "expected a network such as `192.0.2.0/24`, or an address",
                )),
            }
        }
        ranges.sort_unstable();
        ranges.dedup();
        if errors.is_empty() { Ok(Self(ranges)) } else { Err(errors) }
    }

    /// Reads what is stored.
    ///
    /// # Errors
    /// [`Problem::Internal`] for what is no network.
    pub(crate) fn stored(texts: &[String]) -> Result<Self, Problem> {
        let ranges = texts.iter().map(|text| range(text)).collect::<Option<Vec<_>>>();
        ranges.map(Self).ok_or_else(|| Problem::internal("a stored range is no network"))
    }

    /// Whether the address may call.
    pub(crate) fn allow(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.is_empty() || self.0.iter().any(|range| range.contains(&address))
    }

    /// Whether this lets in nobody whom `outer` keeps out.
    pub(crate) fn is_within(&self, outer: &Self) -> bool {
        let is_inside = |one: &IpNet| outer.0.iter().any(|range| range.contains(one));
        outer.0.is_empty() || (!self.0.is_empty() && self.0.iter().all(is_inside))
    }

    /// The form that is stored and shown.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }
}

/// A network without bits beyond its prefix; an address is a network of one.
fn range(text: &str) -> Option<IpNet> {
    let address = || text.parse::<IpAddr>().ok().map(|address| IpNet::from(address.to_canonical()));
    text.parse::<IpNet>().ok().map(|range| range.trunc()).or_else(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(texts: &[&str]) -> Ranges {
        Ranges::parse("r", &texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn no_range_lets_everybody_in_and_one_range_its_own_alone() {
        let at = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(Ranges::default().allow(at("192.0.2.1")));
        let some = ranges(&["192.0.2.7/24", "2001:db8::/32", "198.51.100.1", "192.0.2.0/24"]);
        assert_eq!(some.texts(), ["192.0.2.0/24", "198.51.100.1/32", "2001:db8::/32"]);
        for inside in ["192.0.2.255", "::ffff:192.0.2.1", "2001:db8::1", "198.51.100.1"] {
            assert!(some.allow(at(inside)), "{inside}");
        }
        for outside in ["192.0.3.1", "2001:db9::1", "::1", "198.51.100.2"] {
            assert!(!some.allow(at(outside)), "{outside}");
        }
    }

    #[test]
    fn a_list_within_another_is_never_wider() {
        let (wide, narrow, other) = (ranges(&["10.0.0.0/8"]), ranges(&["10.1.0.0/16"]), ranges(&["192.0.2.0/24"]));
        assert!(narrow.is_within(&wide) && narrow.is_within(&Ranges::default()) && wide.is_within(&wide));
        assert!(!wide.is_within(&narrow) && !other.is_within(&wide) && !Ranges::default().is_within(&wide));
    }

    #[test]
    fn what_is_no_network_is_named() {
        for wrong in ["", "x", "10.0.0.0/33", "10.0.0", "10.0.0.0/8 ", "0x0a.0.0.1"] {
            let errors = Ranges::parse("r", &["10.0.0.0/8".to_owned(), wrong.to_owned()]).unwrap_err();
            assert_eq!(errors[0].field, "r[1]", "{wrong}");
        }
        assert_eq!(Ranges::parse("r", &vec!["10.0.0.1".to_owned(); 101]).unwrap_err()[0].code, "too_many");
        assert!(Ranges::stored(&["nonsense".to_owned()]).is_err());
    }
}
