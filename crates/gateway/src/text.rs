//! Error texts of serde, made fit for clients: the field's path, a code, and what was expected.

use crate::FieldError;

/// The longest text that is repeated to a client.
const LONGEST: usize = 200;

/// Turns a deserializer's error at `path` into one of a field.
pub(crate) fn field_error(path: &str, error: &str) -> FieldError {
    let message = error.split(" at line ").next().unwrap_or(error);
    let message = short(message);
    let named = message.split('`').nth(1).unwrap_or_default();
    let code = match message.split(' ').next() {
        Some("unknown") if message.starts_with("unknown field") => "unknown_field",
        Some("unknown") => "unknown_value",
        Some("missing") => "missing_field",
        Some("duplicate") => "duplicate_field",
        Some("invalid") if message.starts_with("invalid type") => "invalid_type",
        _ => "invalid_value",
    };
    let is_about_a_name = matches!(code, "unknown_field" | "missing_field" | "duplicate_field");
    let path = if path == "." { "" } else { path };
    let field = match (is_about_a_name, path) {
        (false, "") => "(body)".to_owned(),
        (false, path) => path.to_owned(),
        (true, "") => named.to_owned(),
        (true, path) if path == named || path.ends_with(&format!(".{named}")) => path.to_owned(),
        (true, path) => format!("{path}.{named}"),
    };
    FieldError::new(short(&field), code, message)
}

/// The text, cut where it is too long to repeat.
pub(crate) fn short(text: &str) -> String {
    if text.chars().count() <= LONGEST { text.to_owned() } else { text.chars().take(LONGEST).chain(['…']).collect() }
}
