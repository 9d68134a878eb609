//! JSON bodies as types. A body is bounded, checked as a whole (depth, repeated keys, NUL), and then read into a type that
//! knows every field; each error names the field's path.

mod form;
mod object;
mod part;
mod patch;
mod shape;
mod spool;

use std::time::Duration;

use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    http::header,
    web::{Bytes, Data},
};
use futures_util::{FutureExt, StreamExt, future::LocalBoxFuture};
use serde::de::DeserializeOwned;

pub(crate) use self::{
    form::Posted,
    object::object,
    part::{part, within},
    patch::Patch,
    spool::Spool,
};
use crate::{App, Problem, query, text};

/// The longest body, in bytes (`docs/contract.md`, bad input).
pub(crate) const LONGEST_BYTES: usize = 1024 * 1024;

/// A JSON body; `T` has `deny_unknown_fields`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for Body<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        async move {
            check_headers(&request, "application/json")?;
            parse(&read(&request, payload, LONGEST_BYTES).await?).map(Self)
        }
        .boxed_local()
    }
}

/// A JSON body that may be missing: [`Body`], or nothing where the request announces none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionalBody<T>(pub Option<T>);

impl<T: DeserializeOwned + 'static> FromRequest for OptionalBody<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        if !has_body(request) {
            return std::future::ready(Ok(Self(None))).boxed_local();
        }
        Body::<T>::from_request(request, payload).map(|body| body.map(|Body(body)| Self(Some(body)))).boxed_local()
    }
}

/// Whether a body follows the headers (RFC 9112 §6).
fn has_body(request: &HttpRequest) -> bool {
    let headers = request.headers();
    let length = headers.get(header::CONTENT_LENGTH);
    headers.contains_key(header::TRANSFER_ENCODING) || length.is_some_and(|length| length.as_bytes() != b"0")
}

/// Media type, encoding and announced length, before a byte is read; and that the query says nothing, where the body does.
fn check_headers(request: &HttpRequest, expected: &'static str) -> Result<(), Problem> {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    if !media_type(request).eq_ignore_ascii_case(expected) {
        return Err(Problem::UnsupportedMediaType(expected));
    }
    if header(header::CONTENT_ENCODING).is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        return Err(Problem::UnsupportedMediaType("application/json without content encoding"));
    }
    let announced = header(header::CONTENT_LENGTH).and_then(|length| length.parse::<usize>().ok());
    if announced.is_some_and(|length| length > LONGEST_BYTES) {
        return Err(Problem::TooLarge { limit_bytes: LONGEST_BYTES });
    }
    query::parse::<Nothing>(request.query_string()).map(|Nothing {}| ())
}

/// No parameter at all.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// What the body claims to be, without parameters; empty when it claims nothing.
fn media_type(request: &HttpRequest) -> &str {
    let header = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    header.unwrap_or_default().split(';').next().unwrap_or_default().trim()
}

/// The bytes of a body, whatever they are, unless the client takes too long over them.
pub(crate) async fn read(request: &HttpRequest, payload: Payload, limit_bytes: usize) -> Result<Vec<u8>, Problem> {
    in_time(request, collect(payload, limit_bytes)).await
}

/// What comes of a body, unless the client takes too long over it.
async fn in_time<T>(request: &HttpRequest, work: impl Future<Output = Result<T, Problem>>) -> Result<T, Problem> {
    let patience = request.app_data::<Data<App>>().map_or(30_000, |app| app.settings.body_timeout_ms);
    tokio::time::timeout(Duration::from_millis(u64::from(patience)), work)
        .await
        .map_err(|_| Problem::Malformed("expected the whole body in time"))?
}

async fn collect(mut payload: Payload, limit_bytes: usize) -> Result<Vec<u8>, Problem> {
    let mut body = Vec::new();
    while let Some(chunk) = payload.next().await {
        let chunk: Bytes = chunk.map_err(|_| Problem::Malformed("expected a complete body"))?;
        if body.len().saturating_add(chunk.len()) > limit_bytes {
            return Err(Problem::TooLarge { limit_bytes });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// A body that may be missing; one that is there is read as [`Posted`] is.
pub(crate) async fn optional<T: DeserializeOwned + 'static>(
    request: &HttpRequest,
    mut payload: Payload,
) -> Result<Option<T>, Problem> {
    let length = request.headers().get(header::CONTENT_LENGTH).map(header::HeaderValue::as_bytes);
    let is_empty = length.map_or(!request.headers().contains_key(header::TRANSFER_ENCODING), |length| length == b"0");
    if is_empty {
        return Ok(None);
    }
    Posted::from_request(request, &mut payload).await.map(|Posted(body)| Some(body))
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    shape::check(body)?;
    let mut reader = serde_json::Deserializer::from_slice(body);
    serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        Problem::Invalid(vec![text::field_error(&error.path().to_string(), &error.inner().to_string())])
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only the errors are looked at")]
    struct Wanted {
        target: String,
        #[serde(default, deserialize_with = "object")]
        options: Option<Options>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only the errors are looked at")]
    struct Options {
        port_scan: Option<bool>,
    }

    fn refused(body: &str) -> (String, &'static str) {
        match parse::<Wanted>(body.as_bytes()) {
            Err(Problem::Invalid(errors)) => (errors[0].field.clone(), errors[0].code),
            other => panic!("{body}: {other:?}"),
        }
    }

    #[test]
    fn each_error_names_the_path_of_its_field() {
        assert_eq!(refused(r#"{}"#), ("target".to_owned(), "missing_field"));
        assert_eq!(refused(r#"{"target": 1}"#), ("target".to_owned(), "invalid_type"));
        assert_eq!(refused(r#"{"target": "x", "role": "owner"}"#), ("role".to_owned(), "unknown_field"));
        assert_eq!(refused(r#"{"target": "x", "options": {"a": 1}}"#), ("options.a".to_owned(), "unknown_field"));
        assert_eq!(
            refused(r#"{"target": "x", "options": {"port_scan": 1}}"#),
            ("options.port_scan".to_owned(), "invalid_type")
        );
        assert_eq!(refused(r#"{"target": "x", "options": [true]}"#), ("options".to_owned(), "invalid_type"));
        assert_eq!(refused("[]"), ("(body)".to_owned(), "invalid_type"));
    }

    #[test]
    fn a_body_that_is_no_json_is_malformed() {
        for body in ["", "{", "{\"target\":\"x\"} x", "\u{feff}{}", "NaN"] {
            assert!(matches!(parse::<Wanted>(body.as_bytes()), Err(Problem::Malformed(_))), "{body}");
        }
    }
}
