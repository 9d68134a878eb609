//! A part of a body that is kept as the client wrote it and read by another type: errors name the path from the body's root.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{FieldError, Problem, text};

/// Reads the object in `field`; `T` has `deny_unknown_fields`.
pub(crate) fn part<T: DeserializeOwned>(field: &str, value: &Value) -> Result<T, Problem> {
    if !value.is_object() {
        return Err(Problem::field(field, "invalid_type", "expected an object"));
    }
    serde_path_to_error::deserialize(value.clone()).map_err(|error| {
        let found = text::field_error(&error.path().to_string(), &error.inner().to_string());
        within(field, Problem::Invalid(vec![found]))
    })
}

/// The same problem of a part of the body.
pub(crate) fn within(field: &str, problem: Problem) -> Problem {
    let inside = |error: FieldError| {
        let path = if error.field == "(body)" { field.to_owned() } else { format!("{field}.{}", error.field) };
        FieldError { field: path, ..error }
    };
    if let Problem::Invalid(errors) = problem {
        return Problem::Invalid(errors.into_iter().map(inside).collect());
    }
    if let Problem::TargetForbidden(error) = problem {
        return Problem::TargetForbidden(inside(error));
    }
    problem
}
