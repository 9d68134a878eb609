//! Parameters of a tool as a type: what clients may say, what the catalogue tells of it, and the error that names the field.
//!
//! A tool's parameters are a struct with `#[derive(Deserialize, Serialize, JsonSchema)]` and
//! `#[serde(deny_unknown_fields, default)]`, made of booleans, enums and the types here. None of them holds text that could
//! be anything else than it says, so an adapter may print each into a command line.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned, de::Error as _};
use serde_json::{Map, Value};

use crate::ParamsError;

/// Reads parameters; `None` means the defaults.
///
/// # Errors
/// The first field that does not fit, with what was expected of it.
pub(crate) fn read<P: DeserializeOwned>(params: Option<&Value>) -> Result<P, ParamsError> {
    let value = match params {
        None => Value::Object(Map::new()),
        Some(value @ Value::Object(_)) => value.clone(),
        Some(_) => return Err(ParamsError::whole("invalid_type", "expected an object")),
    };
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let message = crate::text::line(&error.inner().to_string(), 300);
        let code = if message.starts_with("unknown field") { "unknown_field" } else { "invalid" };
        match (code, path.as_str()) {
            // The fault is of a field that is not there, so the path ends above it.
            ("unknown_field", _) => {
                let name = message.split('`').nth(1).unwrap_or_default();
                crate::parameters::unknown_field(name)
            }
            (_, "." | "") => ParamsError::whole(code, message),
            (_, path) => ParamsError::of(path, code, message),
        }
    })
}

/// The canonical form of parameters; reading it gives the same again.
pub(crate) fn canonical<P: Serialize>(params: &P) -> Value {
    serde_json::to_value(params).unwrap_or(Value::Null)
}

/// The JSON Schema of parameters.
pub(crate) fn schema<P: JsonSchema>() -> Value {
    SchemaGenerator::default().into_root_schema_for::<P>().to_value()
}

/// A port from 1 to 65535.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct Port(pub(crate) u16);

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = i64::deserialize(deserializer)?;
        let port = u16::try_from(number).ok().filter(|port| *port != 0);
        port.map(Self).ok_or_else(|| D::Error::custom("expected a port from 1 to 65535"))
    }
}

impl JsonSchema for Port {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Port".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "integer", "minimum": 1, "maximum": 65535})
    }

    fn inline_schema() -> bool {
        true
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A whole number from `LOW` to `HIGH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct Within<const LOW: u32, const HIGH: u32>(pub(crate) u32);

impl<'de, const LOW: u32, const HIGH: u32> Deserialize<'de> for Within<LOW, HIGH> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = i64::deserialize(deserializer)?;
        let fitting = u32::try_from(number).ok().filter(|number| (LOW..=HIGH).contains(number));
        fitting.map(Self).ok_or_else(|| D::Error::custom(format!("expected a whole number from {LOW} to {HIGH}")))
    }
}

impl<const LOW: u32, const HIGH: u32> JsonSchema for Within<LOW, HIGH> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("From{LOW}To{HIGH}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "integer", "minimum": LOW, "maximum": HIGH})
    }

    fn inline_schema() -> bool {
        true
    }
}

impl<const LOW: u32, const HIGH: u32> fmt::Display for Within<LOW, HIGH> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The path of a page: begins with a slash, at most 256 letters, digits and `. _ ~ / -`, without `//` and `..`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct RootPath(String);

impl Default for RootPath {
    fn default() -> Self {
        Self("/".to_owned())
    }
}

impl<'de> Deserialize<'de> for RootPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let path = String::deserialize(deserializer)?;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'~' | b'/' | b'-');
        let fits = path.starts_with('/') && path.len() <= 256 && path.bytes().all(is_plain);
        if fits && !path.contains("//") && !path.split('/').any(|part| part == "..") {
            return Ok(Self(path));
        }
        Err(D::Error::custom("expected a path such as \"/app/\", of letters, digits and . _ ~ / -"))
    }
}

impl JsonSchema for RootPath {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RootPath".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^/[A-Za-z0-9._~/-]*$", "maxLength": 256})
    }

    fn inline_schema() -> bool {
        true
    }
}

impl fmt::Display for RootPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields, default)]
    struct Example {
        port: Option<Port>,
        rate: Option<Within<1, 50>>,
        path: RootPath,
    }

    #[test]
    fn a_fault_names_its_field() {
        for (params, field, code) in [
            (json!({"port": 0}), "parameters.port", "invalid"),
            (json!({"port": "443"}), "parameters.port", "invalid"),
            (json!({"port": 65536}), "parameters.port", "invalid"),
            (json!({"rate": 51}), "parameters.rate", "invalid"),
            (json!({"rate": 1.5}), "parameters.rate", "invalid"),
            (json!({"path": "/a b"}), "parameters.path", "invalid"),
            (json!({"path": "/../etc"}), "parameters.path", "invalid"),
            (json!({"env": {}}), "parameters.env", "unknown_field"),
            (json!([]), "parameters", "invalid_type"),
            (json!(null), "parameters", "invalid_type"),
        ] {
            let error = read::<Example>(Some(&params)).unwrap_err();
            assert_eq!((error.field.as_str(), error.code), (field, code), "{params} {error}");
        }
    }

    #[test]
    fn the_canonical_form_reads_as_itself() {
        let example: Example = read(Some(&json!({"port": 8443, "path": "/app/"}))).unwrap();
        assert_eq!(read::<Example>(Some(&canonical(&example))).unwrap(), example);
        assert_eq!(read::<Example>(None).unwrap(), Example::default());
    }

    #[test]
    fn the_schema_tells_the_bounds() {
        let schema = schema::<Example>();
        assert_eq!(schema["additionalProperties"], json!(false));
        assert!(schema["properties"]["path"]["pattern"].is_string(), "{schema}");
    }
}
