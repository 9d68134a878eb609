//! Ids in paths.

use std::{
    fmt::Display,
    future::{Ready, ready},
    str::FromStr,
};

use actix_web::{FromRequest, HttpRequest, dev::Payload};

use crate::Problem;

/// The path segment `{id}`: `Id<ScanId>` in v1, `Id<i64>` in v2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Id<T>(pub T);

impl<T> FromRequest for Id<T>
where
    T: FromStr<Err: Display> + 'static,
{
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let text = request.match_info().get("id").unwrap_or_default();
        ready(text.parse().map(Self).map_err(|error: T::Err| Problem::field("id", "invalid_id", error.to_string())))
    }
}
