//! What a client may ask of the audit log. Every parameter is bounded; all faults are told at once.

use std::net::IpAddr;

use jiff::Timestamp;
use picket_domain::AuditAction;
use picket_store::audit::read::{AuditFilter, AuditSpan};
use serde::Deserialize;
use utoipa::IntoParams;

use super::cursor;
use crate::{FieldError, Problem};

/// The longest name of an actor or an object.
const LONGEST_NAME: usize = 200;
const USUAL: u32 = 50;
const MOST: u32 = 100;

/// Filters, all of which must hold.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AuditLogParams {
    /// Who: `usr_…`, `key_…` or `operator`.
    #[param(max_length = 200)]
    actor: Option<String>,
    /// What, such as `api_key.created`.
    action: Option<String>,
    /// To what: an id.
    #[param(max_length = 200)]
    object: Option<String>,
    /// From which address.
    address: Option<String>,
    /// Not earlier than this time (RFC 3339).
    #[param(format = DateTime)]
    from: Option<String>,
    /// Earlier than this time (RFC 3339).
    #[param(format = DateTime)]
    to: Option<String>,
    /// Rows of the page; 50 when absent.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Which rows to check.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct VerifyParams {
    /// The first row; 1 when absent. The row before it is believed.
    #[param(minimum = 1)]
    from: Option<i64>,
    /// The last row; the end of the log when absent.
    #[param(minimum = 1)]
    to: Option<i64>,
}

/// Checked filters.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) filter: AuditFilter,
    pub(super) limit: i64,
}

impl AuditLogParams {
    /// All faults of the parameters, or what they ask for.
    pub(super) fn check(self) -> Result<Wanted, Problem> {
        let mut faults = Faults(Vec::new());
        let limit = self.limit.unwrap_or(USUAL);
        if !(1..=MOST).contains(&limit) {
            faults.add("limit", "out_of_range", "expected 1 to 100");
        }
        let filter = AuditFilter {
            before: faults.read("cursor", self.cursor, "expected `next_cursor` of a page", |text| cursor::read(&text)),
            actor: faults.read("actor", self.actor, "expected `usr_…`, `key_…` or `operator`", name),
            action: faults.read("action", self.action, "expected the name of an action", action),
            object: faults.read("object", self.object, "expected an id", name),
            address: faults.read("address", self.address, "expected an IP address", address),
            from: faults.read("from", self.from, "expected a time as in RFC 3339", time),
            to: faults.read("to", self.to, "expected a time as in RFC 3339", time),
        };
        if filter.from.zip(filter.to).is_some_and(|(from, to)| from >= to) {
            faults.add("to", "out_of_range", "expected a time after `from`");
        }
        faults.end().map(|()| Wanted { filter, limit: i64::from(limit) })
    }
}

impl VerifyParams {
    /// All faults of the parameters, or the rows to check.
    pub(super) fn check(&self, most: u64) -> Result<AuditSpan, Problem> {
        let mut faults = Faults(Vec::new());
        let from = self.from.unwrap_or(1);
        if from < 1 {
            faults.add("from", "out_of_range", "expected 1 or more");
        }
        if self.to.is_some_and(|to| to < from.max(1)) {
            faults.add("to", "out_of_range", "expected `from` or more");
        }
        faults.end().map(|()| AuditSpan { from, to: self.to, most })
    }
}

struct Faults(Vec<FieldError>);

impl Faults {
    fn add(&mut self, field: &'static str, code: &'static str, message: &'static str) {
        self.0.push(FieldError::new(field, code, message));
    }

    fn read<T>(
        &mut self,
        field: &'static str,
        text: Option<String>,
        expected: &'static str,
        parse: impl FnOnce(String) -> Option<T>,
    ) -> Option<T> {
        let value = parse(text?);
        if value.is_none() {
            self.add(field, "invalid_value", expected);
        }
        value
    }

    fn end(self) -> Result<(), Problem> {
        if self.0.is_empty() { Ok(()) } else { Err(Problem::Invalid(self.0)) }
    }
}

fn name(text: String) -> Option<String> {
    let is_name = (1..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_name.then_some(text)
}

fn action(text: String) -> Option<String> {
    AuditAction::find(&text).map(|action| action.name().to_owned())
}

/// In the form in which addresses are written down.
fn address(text: String) -> Option<String> {
    text.parse::<IpAddr>().ok().map(|address| address.to_canonical().to_string())
}

fn time(text: String) -> Option<Timestamp> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields<T: std::fmt::Debug>(found: Result<T, Problem>) -> Vec<String> {
        match found {
            Err(Problem::Invalid(errors)) => errors.into_iter().map(|error| error.field).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let text = |text: &str| Some(text.to_owned());
        let params = AuditLogParams {
            actor: text(""),
            action: text("scan.flown"),
            object: text(&"x".repeat(201)),
            address: text("localhost"),
            from: text("yesterday"),
            to: text("2026-01-15"),
            limit: Some(101),
            cursor: text("!"),
        };
        let all = ["limit", "cursor", "actor", "action", "object", "address", "from", "to"];
        assert_eq!(fields(params.check()), all);
        let backwards = AuditLogParams {
            from: text("2026-01-15T00:00:00Z"),
            to: text("2026-01-15T00:00:00Z"),
            ..AuditLogParams::default()
        };
        assert_eq!(fields(backwards.check()), ["to"]);
        assert_eq!(fields(VerifyParams { from: Some(0), to: Some(0) }.check(1)), ["from", "to"]);
    }

    #[test]
    fn an_address_is_asked_for_in_any_of_its_forms() {
        assert_eq!(address("::ffff:192.0.2.1".to_owned()).as_deref(), Some("192.0.2.1"));
        assert_eq!(address("2001:DB8:0::1".to_owned()).as_deref(), Some("2001:db8::1"));
    }
}
