//! Bodies of the forms on our own pages: the same types as JSON bodies, in the form that browsers send. Repeated and unknown
//! fields are refused here, too.

use actix_web::{FromRequest, HttpRequest, dev::Payload};
use futures_util::{FutureExt, future::LocalBoxFuture};
use serde::de::DeserializeOwned;

use super::{Body, LONGEST_BYTES, check_headers, media_type, read};
use crate::{Problem, query};

/// What a browser sends of a form without files.
const FORM: &str = "application/x-www-form-urlencoded";

/// A body in JSON, or of a form; `T` has `deny_unknown_fields`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Posted<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for Posted<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        if !media_type(request).eq_ignore_ascii_case(FORM) {
            let body = Body::from_request(request, payload);
            return body.map(|read| read.map(|Body(body)| Self(body))).boxed_local();
        }
        let (request, payload) = (request.clone(), payload.take());
        async move {
            check_headers(&request, FORM)?;
            parse(&read(&request, payload, LONGEST_BYTES).await?).map(Self)
        }
        .boxed_local()
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    if body.len() > query::LONGEST_BYTES {
        return Err(Problem::TooLarge { limit_bytes: query::LONGEST_BYTES });
    }
    let text = std::str::from_utf8(body).map_err(|_| Problem::Malformed("expected a form in UTF-8"))?;
    if is_mended(text) {
        return Err(Problem::Malformed("expected a form in UTF-8"));
    }
    query::parse(text)
}

/// Whether decoding would replace what is no UTF-8: a password must be read exactly as it was sent.
fn is_mended(text: &str) -> bool {
    url::form_urlencoded::parse(text.as_bytes())
        .any(|(name, value)| name.contains('\u{fffd}') || value.contains('\u{fffd}'))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wanted {
        token: String,
        password: String,
    }

    #[test]
    fn a_form_is_read_exactly_and_knows_every_field() {
        let wanted = |password: &str| Wanted { token: "t".to_owned(), password: password.to_owned() };
        assert_eq!(parse::<Wanted>(b"token=t&password=a+b%2B%20%C3%A9").unwrap(), wanted("a b+ é"));
        assert_eq!(parse::<Wanted>(b"token=t&password=+x+").unwrap(), wanted(" x "));
        for wrong in [
            b"token=t".as_slice(),
            b"token=t&password=a&password=b",
            b"token=t&password=a&role=owner",
            b"token=t&password=%00",
            b"token=t&password=%ff",
            b"token=t&password=\xff",
            b"",
        ] {
            assert!(parse::<Wanted>(wrong).is_err(), "{wrong:?}");
        }
        let long = format!("token=t&password={}", "x".repeat(5_000));
        assert!(matches!(parse::<Wanted>(long.as_bytes()), Err(Problem::TooLarge { .. })));
    }
}
