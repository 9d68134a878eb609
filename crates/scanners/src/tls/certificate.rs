//! What is told of a certificate, and what is wrong with it.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

use crate::rules::{self, Rule};

/// From this day on public authorities issue for 398 days at most (CA/Browser Forum, ballot SC31).
const SHORT_SINCE: DateTime = DateTime::constant(2020, 9, 1, 0, 0, 0, 0);
const LONGEST_DAYS: i32 = 398;
const SOON_DAYS: i32 = 30;

/// When the tool looked, by its own clock; unknown for tools that do not tell.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Clock(Option<DateTime>);

impl Clock {
    /// The clock at `time`.
    pub(crate) fn at(time: Option<Timestamp>) -> Self {
        Self(time.map(|time| time.to_zoned(TimeZone::UTC).datetime()))
    }
}

/// One certificate. What a tool does not tell stays empty; nothing is derived of that.
#[derive(Debug, Clone, Default)]
pub(crate) struct Certificate {
    /// Its subject and issuer, for the reader.
    pub(crate) subject: String,
    pub(crate) issuer: String,
    /// UTC.
    pub(crate) not_before: Option<DateTime>,
    pub(crate) not_after: Option<DateTime>,
    /// What the tool itself says of the dates.
    pub(crate) is_expired: bool,
    pub(crate) is_self_signed: bool,
    /// The chain leads to no authority that the tool knows, for a reason that no other field tells.
    pub(crate) is_untrusted: bool,
    /// It is for other names than the one that was asked for. Never of an address: certificates are for names.
    pub(crate) is_of_other_name: bool,
    pub(crate) is_revoked: bool,
    /// `rsa`, `dsa`, `ec`; any spelling of the tools.
    pub(crate) key_type: String,
    pub(crate) key_bits: Option<u32>,
    /// As the tools spell it, e.g. `sha1WithRSAEncryption`.
    pub(crate) signature: String,
}

impl Certificate {
    /// The rules that it breaks.
    pub(super) fn judge(&self, Clock(now): Clock) -> Vec<Rule> {
        let is_past = |date: Option<DateTime>| date.zip(now).is_some_and(|(date, now)| date < now);
        let is_early = self.not_before.zip(now).is_some_and(|(date, now)| date > now);
        let is_expired = self.is_expired || is_past(self.not_after);
        let ends_soon =
            self.not_after.zip(now).is_some_and(|(date, now)| days(now, date).is_some_and(|days| days < SOON_DAYS));
        let verdicts = [
            (is_expired, rules::TLS_CERTIFICATE_EXPIRED),
            (!is_expired && !is_early && ends_soon, rules::TLS_CERTIFICATE_EXPIRING),
            (self.is_valid_for_long(), rules::TLS_CERTIFICATE_LONG_VALIDITY),
            (self.is_of_other_name, rules::TLS_CERTIFICATE_NAME_MISMATCH),
            (is_early, rules::TLS_CERTIFICATE_NOT_YET_VALID),
            (self.is_revoked, rules::TLS_CERTIFICATE_REVOKED),
            (self.is_self_signed, rules::TLS_CERTIFICATE_SELF_SIGNED),
            (self.is_untrusted && !self.is_self_signed && !is_expired && !is_early, rules::TLS_CERTIFICATE_UNTRUSTED),
            (self.has_weak_key(), rules::TLS_WEAK_KEY),
            (self.has_weak_signature(), rules::TLS_WEAK_SIGNATURE),
        ];
        verdicts.into_iter().filter(|(holds, _)| *holds).map(|(_, rule)| rule).collect()
    }

    fn is_valid_for_long(&self) -> bool {
        let span = self.not_before.zip(self.not_after).filter(|(from, _)| *from >= SHORT_SINCE);
        span.and_then(|(from, to)| days(from, to)).is_some_and(|days| days > LONGEST_DAYS)
    }

    fn has_weak_key(&self) -> bool {
        let kind = self.key_type.to_ascii_lowercase();
        let least = if ["rsa", "dsa", "dh"].iter().any(|name| kind == *name || kind.starts_with("rsa")) {
            2048
        } else if kind.starts_with("ec") || kind.contains("elliptic") || kind == "id-ecpublickey" {
            224
        } else {
            return false;
        };
        self.key_bits.is_some_and(|bits| bits > 0 && bits < least)
    }

    /// The signature of a self-signed certificate proves nothing either way, but tools and auditors name it.
    fn has_weak_signature(&self) -> bool {
        let name: String = self.signature.to_ascii_lowercase().chars().filter(char::is_ascii_alphanumeric).collect();
        ["md2", "md4", "md5"].iter().any(|hash| name.contains(hash))
            || name.contains("sha1")
            || name.starts_with("shawith")
    }

    /// The facts, one in a line.
    pub(super) fn evidence(&self) -> String {
        let date = |date: Option<DateTime>| date.map(|date| date.to_string()).unwrap_or_default();
        let key = self.key_bits.map(|bits| format!("{} {bits} bits", self.key_type)).unwrap_or_default();
        let facts = [
            ("Subject", self.subject.clone()),
            ("Issuer", self.issuer.clone()),
            ("Not valid before", date(self.not_before)),
            ("Not valid after", date(self.not_after)),
            ("Key", key),
            ("Signature", self.signature.clone()),
        ];
        let lines =
            facts.into_iter().filter(|(_, fact)| !fact.is_empty()).map(|(name, fact)| format!("{name}: {fact}"));
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// Whole days between two dates.
fn days(from: DateTime, to: DateTime) -> Option<i32> {
    from.date().until(to.date()).ok().map(|span| span.get_days())
}
