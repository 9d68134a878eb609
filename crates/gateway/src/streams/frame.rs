//! The form of server-sent events (WHATWG HTML §9.2). Data is JSON on one line, so nothing in it can end an event.

use std::fmt::{Display, Write as _};

use actix_web::http::header::{self, HeaderMap};
use serde::Serialize;

use crate::Problem;

/// Appends one event; one without an id leaves the place of the client where it is.
///
/// # Errors
/// When the data has no form in JSON.
pub(crate) fn frame(
    text: &mut String,
    id: Option<&dyn Display>,
    event: &str,
    data: &impl Serialize,
) -> Result<(), Problem> {
    let data = serde_json::to_string(data).map_err(Problem::internal)?;
    if let Some(id) = id {
        // Writing to a string does not fail.
        let _written = writeln!(text, "id: {id}");
    }
    let _written = write!(text, "event: {event}\ndata: {data}\n\n");
    Ok(())
}

/// Whether the client asks for a stream.
pub(crate) fn accepts_stream(headers: &HeaderMap) -> bool {
    let types = headers.get_all(header::ACCEPT).filter_map(|value| value.to_str().ok());
    types.flat_map(|types| types.split(',')).any(|one| {
        let name = one.split(';').next().unwrap_or_default();
        name.trim().eq_ignore_ascii_case("text/event-stream")
    })
}

/// What the client had last; an empty one is none.
///
/// # Errors
/// A 400 that names the header, when it is repeated or no text.
pub(crate) fn last_event_id(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all("last-event-id");
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            let text = value.to_str().map_err(|_| invalid_event_id())?.trim();
            Ok(Some(text).filter(|text| !text.is_empty()))
        }
        (Some(_), Some(_)) => Err(invalid_event_id()),
    }
}

/// A `Last-Event-ID` that is none.
pub(crate) fn invalid_event_id() -> Problem {
    Problem::field("Last-Event-ID", "invalid_id", "expected the id of an event of this stream")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_in_the_data_ends_an_event() {
        let mut text = String::new();
        frame(&mut text, Some(&7), "line", &json!({"title": "a\n\nevent: end\r\ndata: x"})).unwrap();
        assert_eq!(text, "id: 7\nevent: line\ndata: {\"title\":\"a\\n\\nevent: end\\r\\ndata: x\"}\n\n");
    }

    #[test]
    fn a_stream_is_asked_for_among_other_types_too() {
        let accepts = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, header::HeaderValue::from_static(value));
            accepts_stream(&headers)
        };
        assert!(accepts("text/event-stream") && accepts("application/json;q=0.1, Text/Event-Stream;q=0.9"));
        assert!(!accepts("*/*") && !accepts("application/json"));
    }
}
