//! What serde alone does not refuse: keys that are repeated in maps without a type, NUL in texts (Postgres has no such
//! text), depth and width. Reads the document once and keeps nothing but the path.

use std::{cell::RefCell, collections::HashSet, fmt};

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};

use crate::{FieldError, Problem, text};

/// Objects and arrays inside one another.
const DEEPEST: usize = 64;
/// Elements of one array, and keys of one object.
const WIDEST: usize = 1_000;

/// Refuses a document that is none, or has a shape that nothing of ours asks for.
pub(super) fn check(body: &[u8]) -> Result<(), Problem> {
    let found = RefCell::new(None);
    let mut reader = serde_json::Deserializer::from_slice(body);
    let walk = Walk { parent: None, place: Place::Body, depth: 0, found: &found };
    let walked = walk.deserialize(&mut reader).and_then(|()| reader.end());
    match (walked, found.into_inner()) {
        (Ok(()), _) => Ok(()),
        (Err(_), Some(error)) => Err(Problem::Invalid(vec![error])),
        (Err(error), None) if error.to_string().starts_with("recursion limit") => {
            Err(Problem::Malformed("expected a body that is at most 64 levels deep"))
        }
        (Err(_), None) => Err(Problem::Malformed("expected a body in JSON (RFC 8259)")),
    }
}

/// One value of the document. Paths are put together for an error alone: there may be half a million values.
#[derive(Clone, Copy)]
struct Walk<'a> {
    parent: Option<&'a Walk<'a>>,
    place: Place<'a>,
    depth: usize,
    found: &'a RefCell<Option<FieldError>>,
}

/// Where a value is in its parent.
#[derive(Clone, Copy)]
enum Place<'a> {
    Body,
    Field(&'a str),
    Element(usize),
}

impl Walk<'_> {
    /// Ends the walk with an error of this value.
    fn refuse<E: serde::de::Error>(&self, code: &'static str, message: &str) -> E {
        let path = self.path();
        let field = if path.is_empty() { "(body)" } else { path.as_str() };
        *self.found.borrow_mut() = Some(FieldError::new(text::short(field), code, message));
        E::custom(message)
    }

    fn path(&self) -> String {
        let before = self.parent.map(Walk::path).unwrap_or_default();
        match self.place {
            Place::Body => before,
            Place::Field(name) if before.is_empty() => text::short(name),
            Place::Field(name) => format!("{before}.{}", text::short(name)),
            Place::Element(index) => format!("{before}[{index}]"),
        }
    }

    fn child<'b>(&'b self, place: Place<'b>) -> Walk<'b> {
        Walk { parent: Some(self), place, depth: self.depth.saturating_add(1), found: self.found }
    }

    fn check_text<E: serde::de::Error>(&self, value: &str) -> Result<(), E> {
        if value.contains('\0') {
            return Err(self.refuse("invalid_value", "expected text without NUL"));
        }
        Ok(())
    }

    fn check_depth<E: serde::de::Error>(&self) -> Result<(), E> {
        if self.depth >= DEEPEST {
            return Err(self.refuse("too_deep", "expected a body that is at most 64 levels deep"));
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<(), E> {
        self.check_text(value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        if matches!(self.place, Place::Body) {
            // Serde would take the elements for the fields of a type, in order.
            return Err(self.refuse("invalid_type", "invalid type: sequence, expected an object"));
        }
        self.check_depth()?;
        let mut count = 0_usize;
        while elements.next_element_seed(self.child(Place::Element(count)))?.is_some() {
            count = count.saturating_add(1);
            if count > WIDEST {
                return Err(self.refuse("too_many", "expected at most 1000 elements"));
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        self.check_depth()?;
        let mut seen = HashSet::new();
        while let Some(key) = entries.next_key::<String>()? {
            let child = self.child(Place::Field(&key));
            child.check_text(&key)?;
            if seen.contains(&key) {
                return Err(child.refuse("duplicate_field", "expected the field once"));
            }
            if seen.len() >= WIDEST {
                return Err(self.refuse("too_many", "expected at most 1000 fields"));
            }
            entries.next_value_seed(child)?;
            seen.insert(key);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &str) -> (String, &'static str) {
        match check(body.as_bytes()) {
            Err(Problem::Invalid(errors)) => (errors[0].field.clone(), errors[0].code),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn repeated_keys_nul_and_width_are_refused_with_their_path() {
        assert_eq!(refused(r#"{"a": 1, "a": 2}"#), ("a".to_owned(), "duplicate_field"));
        assert_eq!(refused(r#"{"a": {"b": [{"c": 1, "c": 1}]}}"#), ("a.b[0].c".to_owned(), "duplicate_field"));
        assert_eq!(refused(r#"{"a": "x\u0000y"}"#), ("a".to_owned(), "invalid_value"));
        assert_eq!(refused(r#"{"a\u0000": 1}"#).1, "invalid_value");
        let wide = format!("{{\"a\": [{}]}}", vec!["1"; 1_001].join(","));
        assert_eq!(refused(&wide), ("a".to_owned(), "too_many"));
    }

    #[test]
    fn a_deep_body_is_refused_without_a_stack_overflow() {
        let deep = |levels: usize| format!("{{\"a\": {}{}}}", "[".repeat(levels), "]".repeat(levels));
        assert!(check(deep(63).as_bytes()).is_ok());
        assert_eq!(refused(&deep(64)).1, "too_deep");
        assert!(check(deep(10_000).as_bytes()).is_err());
        assert!(check("{\"a\":".repeat(10_000).as_bytes()).is_err());
    }

    #[test]
    fn a_usual_body_passes() {
        assert!(check(br#"{"target": "example.com", "n": -1.5e3, "x": [true, null, {"y": "z"}]}"#).is_ok());
    }
}
