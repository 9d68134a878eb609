//! A field of a partial change, where absent and null say different things.

use serde::{Deserialize, Deserializer};

/// What a client says of a field: `#[serde(default)] field: Patch<T>`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Patch<T> {
    /// Nothing: it stays as it is.
    #[default]
    Keep,
    /// Null: back to what it is without a word of the client's.
    Clear,
    /// Another value.
    Set(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Clear, Self::Set))
    }
}

impl<T> Patch<T> {
    /// Changes what is there.
    pub(crate) fn apply(self, to: &mut Option<T>) {
        match self {
            Self::Keep => {}
            Self::Clear => *to = None,
            Self::Set(value) => *to = Some(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Wanted {
        #[serde(default)]
        days: Patch<u8>,
    }

    #[test]
    fn absent_null_and_a_value_differ() {
        let read = |text: &str| serde_json::from_str::<Wanted>(text).unwrap().days;
        assert_eq!(
            [read("{}"), read(r#"{"days":null}"#), read(r#"{"days":3}"#)],
            [Patch::Keep, Patch::Clear, Patch::Set(3)]
        );
        let mut days = Some(1);
        Patch::Keep.apply(&mut days);
        assert_eq!(days, Some(1));
        Patch::Set(2).apply(&mut days);
        assert_eq!(days, Some(2));
        Patch::Clear.apply(&mut days);
        assert_eq!(days, None);
    }
}
