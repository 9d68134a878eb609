//! Query strings as types: unknown and repeated parameters are errors that name the parameter.

use std::{
    collections::BTreeSet,
    future::{Ready, ready},
};

use actix_web::{FromRequest, HttpRequest, dev::Payload};
use serde::{
    Deserializer,
    de::{
        DeserializeOwned, Error as _, IntoDeserializer, Visitor,
        value::{Error, MapDeserializer},
    },
};
use url::form_urlencoded;

use crate::{Problem, text};

/// The longest query string.
pub(crate) const LONGEST_BYTES: usize = 4_096;

/// The parameters of a query; `T` has `deny_unknown_fields`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for Query<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(parse(request.query_string()).map(Self))
    }
}

/// Reads pairs in the form of a query, which a form of a page has too.
pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Problem> {
    if text.len() > LONGEST_BYTES {
        return Err(Problem::Malformed("expected a query of at most 4096 bytes"));
    }
    let pairs: Vec<(String, String)> = form_urlencoded::parse(text.as_bytes()).into_owned().collect();
    let mut seen = BTreeSet::new();
    for (name, value) in &pairs {
        if !seen.insert(name) {
            return Err(Problem::field(text::short(name), "duplicate_field", "expected the parameter once"));
        }
        if value.contains('\0') || name.contains('\0') {
            return Err(Problem::field(text::short(name), "invalid_value", "expected text without NUL"));
        }
    }
    let map = MapDeserializer::<_, Error>::new(pairs.iter().map(|(name, value)| (name.as_str(), Text(value))));
    serde_path_to_error::deserialize(map).map_err(|error| {
        Problem::Invalid(vec![text::field_error(&error.path().to_string(), &error.inner().to_string())])
    })
}

/// A parameter's value: text that may stand for a number or a truth value.
struct Text<'a>(&'a str);

macro_rules! parsed {
    ($($method:ident => $visit:ident, $kind:ty, $expected:literal;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.0.parse::<$kind>() {
                Ok(value) => visitor.$visit(value),
                Err(_) => Err(Error::custom(concat!("invalid value, expected ", $expected))),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Text<'_> {
    type Error = Error;

    parsed! {
        deserialize_bool => visit_bool, bool, "true or false";
        deserialize_i8 => visit_i8, i8, "a number";
        deserialize_i16 => visit_i16, i16, "a number";
        deserialize_i32 => visit_i32, i32, "a number";
        deserialize_i64 => visit_i64, i64, "a number";
        deserialize_u8 => visit_u8, u8, "a number";
        deserialize_u16 => visit_u16, u16, "a number";
        deserialize_u32 => visit_u32, u32, "a number";
        deserialize_u64 => visit_u64, u64, "a number";
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str(self.0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(self.0.into_deserializer())
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        f32 f64 i128 u128 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier
        ignored_any
    }
}

impl<'de> IntoDeserializer<'de, Error> for Text<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Wanted {
        page: Option<u32>,
        status: Option<Status>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Status {
        Running,
    }

    fn refused(query: &str) -> (String, &'static str) {
        match parse::<Wanted>(query) {
            Err(Problem::Invalid(errors)) => (errors[0].field.clone(), errors[0].code),
            other => panic!("{query}: {other:?}"),
        }
    }

    #[test]
    fn a_query_becomes_its_type() {
        assert_eq!(
            parse::<Wanted>("page=2&status=running").unwrap(),
            Wanted { page: Some(2), status: Some(Status::Running) }
        );
        assert_eq!(parse::<Wanted>("").unwrap(), Wanted { page: None, status: None });
    }

    #[test]
    fn what_does_not_fit_is_named() {
        assert_eq!(refused("page=x"), ("page".to_owned(), "invalid_value"));
        assert_eq!(refused("page=1&page=1"), ("page".to_owned(), "duplicate_field"));
        assert_eq!(refused("pages=1"), ("pages".to_owned(), "unknown_field"));
        assert_eq!(refused("status=gone"), ("status".to_owned(), "unknown_value"));
        assert_eq!(refused("status=%00"), ("status".to_owned(), "invalid_value"));
    }
}
