//! What is known of a request before anybody looks at who sent it.

use std::{future::Ready, net::IpAddr};

use actix_web::{FromRequest, HttpMessage, HttpRequest, dev::Payload};
use jiff::Timestamp;
use picket_domain::{AuditAction, AuditEntry, Dialect};
use picket_kit::TraceParent;

use crate::Problem;

/// Made by the front for each request; handlers take it as an argument.
#[derive(Debug, Clone)]
pub struct RequestContext {
    /// Names the request in answers and logs.
    pub request_id: String,
    /// Our span of the caller's trace, or of a new one; goes with whatever the request sets in motion.
    pub trace: TraceParent,
    /// The version under which the request came; shared resources answer in its shapes.
    pub dialect: Dialect,
    /// The client's address, as far as trusted proxies tell it.
    pub address: IpAddr,
    /// What the client calls itself, bounded and without control characters.
    pub user_agent: String,
}

impl RequestContext {
    /// The trace as it is stored and sent on.
    #[must_use]
    pub fn traceparent(&self) -> String {
        self.trace.to_string()
    }

    /// A row for the audit log about this request, without what changed.
    pub(crate) fn entry(&self, at: Timestamp, actor: &str, action: AuditAction, object: Option<String>) -> AuditEntry {
        AuditEntry {
            at,
            actor: actor.to_owned(),
            action,
            object,
            address: Some(self.address.to_string()),
            request_id: Some(self.request_id.clone()),
            before: None,
            after: None,
        }
    }
}

impl FromRequest for RequestContext {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let context = request.extensions().get::<Self>().cloned();
        std::future::ready(context.ok_or_else(|| Problem::internal("the front did not see this request")))
    }
}
