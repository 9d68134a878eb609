//! An answer as it is kept: sealed for its key alone, since some answers show a secret once.

use std::collections::BTreeSet;

use actix_web::{
    HttpResponse,
    body::{BodySize, BoxBody, MessageBody, to_bytes},
    http::{
        StatusCode,
        header::{self, HeaderName},
    },
};
use jiff::Timestamp;
use picket_domain::Permission;
use picket_store::idempotency::Place;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{App, Caller, Problem};

/// The largest body that is kept, in bytes.
const LARGEST: u64 = 4 * 1024 * 1024;
/// The headers that are kept; all others belong to the request of the moment.
const KEPT: [HeaderName; 2] = [header::CONTENT_TYPE, header::LOCATION];
/// Says that an answer is a replay.
const REPLAYED: &str = "idempotent-replayed";

/// What a request has demanded of its caller.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct Demands {
    pub(super) permissions: BTreeSet<Permission>,
    /// That a person has signed in lately.
    pub(super) fresh: bool,
}

/// What a request was answered, and what it had demanded of its caller.
#[derive(Serialize, Deserialize)]
pub(super) struct Answer {
    status: u16,
    demands: Demands,
    headers: Vec<(String, String)>,
    body: String,
}

impl Answer {
    /// Reads a response; gives it back whole. No answer when it cannot be kept.
    pub(super) async fn of(response: HttpResponse<BoxBody>, demands: Demands) -> (HttpResponse<BoxBody>, Option<Self>) {
        let is_small = match response.body().size() {
            BodySize::None => true,
            BodySize::Sized(size) => size <= LARGEST,
            BodySize::Stream => false,
        };
        if !is_small {
            return (response, None);
        }
        let (head, body) = response.into_parts();
        let Ok(bytes) = to_bytes(body).await else { return (head.set_body(BoxBody::new(())), None) };
        let text = |name: &HeaderName| Some((name.to_string(), head.headers().get(name)?.to_str().ok()?.to_owned()));
        let answer = String::from_utf8(bytes.to_vec()).ok().map(|body| Self {
            status: head.status().as_u16(),
            demands,
            headers: KEPT.iter().filter_map(text).collect(),
            body,
        });
        (head.set_body(BoxBody::new(bytes)), answer)
    }

    pub(super) const fn status(&self) -> u16 {
        self.status
    }

    pub(super) fn seal(&self, app: &App, place: &Place) -> Result<Vec<u8>, Problem> {
        let text = Zeroizing::new(serde_json::to_vec(self).map_err(Problem::internal)?);
        app.sealer.seal(&text, &context(place)).map_err(Problem::internal)
    }

    pub(super) fn open(sealed: &[u8], app: &App, place: &Place) -> Result<Self, Problem> {
        let text = app.sealer.open(sealed, &context(place)).map_err(Problem::internal)?;
        serde_json::from_slice(&text).map_err(Problem::internal)
    }

    /// The answer once more, for a caller who may still have it.
    pub(super) fn replay(self, caller: &Caller, now: Timestamp) -> Result<HttpResponse, Problem> {
        for permission in &self.demands.permissions {
            caller.may(*permission)?;
        }
        if self.demands.fresh {
            caller.fresh(now)?;
        }
        let status = StatusCode::from_u16(self.status).map_err(Problem::internal)?;
        let mut response = HttpResponse::build(status);
        for (name, value) in self.headers {
            response.insert_header((name, value));
        }
        response.insert_header((REPLAYED, "true"));
        Ok(response.body(self.body))
    }
}

/// Where an answer may be opened.
fn context(place: &Place) -> String {
    let Place { organization_id, subject, route, key } = place;
    format!("idempotency_keys/{}/{subject}/{route}/{key}/answer", organization_id.uuid())
}
