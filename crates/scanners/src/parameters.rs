//! A client's parameters before a tool has looked at them, and the error that names the field which does not fit.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

/// Parameters that do not fit the tool.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct ParamsError {
    /// Where the fault is, e.g. `parameters.ports` or `parameters.scripts[2]`.
    pub field: String,
    /// What kind of fault it is, for programs, e.g. `invalid`, `unknown_field`, `too_long`, `conflict`.
    pub code: &'static str,
    /// What was expected, for people.
    pub message: String,
}

impl ParamsError {
    /// An error of the field `parameters.<name>`.
    pub(crate) fn of(name: &str, code: &'static str, message: impl Into<String>) -> Self {
        Self { field: format!("parameters.{name}"), code, message: message.into() }
    }

    /// An error of the parameters as a whole.
    pub(crate) fn whole(code: &'static str, message: impl Into<String>) -> Self {
        Self { field: "parameters".to_owned(), code, message: message.into() }
    }
}

/// A field that the tool does not know. The name is a client's: only what is plain of it comes back.
pub(crate) fn unknown_field(name: &str) -> ParamsError {
    let name: String = name.chars().filter(char::is_ascii_graphic).take(64).collect();
    ParamsError::of(&name, "unknown_field", "expected only the fields of the tool's schema")
}

/// The `parameters` of a request body: absent, or an object in which no key occurs twice. Other readers may take the other
/// of two equal keys, so a body with both is refused. Use it with `#[serde(default)]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Parameters(Option<Value>);

impl Parameters {
    /// What [`Tool::shapes`](crate::Tool::shapes) takes.
    #[must_use]
    pub const fn value(&self) -> Option<&Value> {
        self.0.as_ref()
    }
}

impl<'de> Deserialize<'de> for Parameters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Strict::deserialize(deserializer)?.0 {
            value @ Value::Object(_) => Ok(Self(Some(value))),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                Err(D::Error::custom("`parameters` must be an object"))
            }
        }
    }
}

/// Any JSON value whose objects hold no key twice.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(value)) = access.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((key, Strict(value))) = access.next_entry::<String, Strict>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom("a key occurs twice in `parameters`"));
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Body {
        #[serde(default)]
        parameters: Parameters,
    }

    fn read(text: &str) -> Result<Body, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn absent_parameters_are_none_and_an_object_is_kept() {
        assert_eq!(read("{}").unwrap().parameters.value(), None);
        let body = read(r#"{"parameters":{"a":[1,-2,0.5,null,true,{"b":"c"}]}}"#).unwrap();
        assert_eq!(body.parameters.value(), Some(&serde_json::json!({"a":[1,-2,0.5,null,true,{"b":"c"}]})));
    }

    #[test]
    fn a21_parameters_are_an_object_without_repeated_keys() {
        for parameters in
            ["null", "\"-sV\"", "[]", "1", r#"{"a":1,"a":1}"#, r#"{"a":{"b":1,"b":2}}"#, r#"{"a":[{"b":1,"b":2}]}"#]
        {
            assert!(read(&format!(r#"{{"parameters":{parameters}}}"#)).is_err(), "{parameters}");
        }
    }

    #[test]
    fn a21_depth_is_bounded() {
        let deep = format!(r#"{{"parameters":{{"a":{}{}}}}}"#, "[".repeat(10_000), "]".repeat(10_000));
        assert!(read(&deep).is_err());
    }
}
