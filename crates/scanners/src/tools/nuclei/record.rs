//! One record of nuclei. Its strings are borrowed from the line wherever they hold no escapes, and what is not needed
//! (requests, answers, the template itself) is never copied: reports are long.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

/// Names that one list may hold.
const MAX_ITEMS: usize = 16;

/// A record as it was printed since version 2.3. Names with an underscore and `matched` are of the oldest ones.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Record<'a> {
    #[serde(borrow, rename = "template-id", alias = "templateID", alias = "template_id")]
    pub(super) template: Text<'a>,
    #[serde(borrow)]
    pub(super) info: Info<'a>,
    #[serde(borrow, rename = "matcher-name", alias = "matcher_name")]
    pub(super) matcher: Text<'a>,
    /// In place of the matcher's name in records of templates that only extract: one record for each extractor that has a name.
    #[serde(borrow, rename = "extractor-name", alias = "extractor_name")]
    pub(super) extractor: Text<'a>,
    #[serde(borrow, rename = "extracted-results", alias = "extracted_results")]
    pub(super) extracted: Texts<'a>,
    #[serde(borrow, rename = "matched-at", alias = "matched", alias = "matched_at")]
    pub(super) matched: Text<'a>,
    #[serde(borrow)]
    pub(super) host: Text<'a>,
    #[serde(borrow)]
    pub(super) port: Text<'a>,
    #[serde(borrow)]
    pub(super) scheme: Text<'a>,
    #[serde(borrow)]
    pub(super) url: Text<'a>,
    #[serde(borrow)]
    pub(super) path: Text<'a>,
    #[serde(borrow)]
    pub(super) ip: Text<'a>,
    #[serde(borrow, rename = "type")]
    pub(super) kind: Text<'a>,
    /// False in a record of a check that did not match (`-matcher-status`).
    #[serde(rename = "matcher-status", alias = "matcher_status")]
    pub(super) status: Option<bool>,
    #[serde(borrow, rename = "fuzzing_parameter")]
    pub(super) parameter: Text<'a>,
}

impl Record<'_> {
    /// Which of the things that the template looks for it met: a name that stands in the template, so that it is the same at
    /// every run, unlike what was extracted. Several records of one template at one page differ in it alone.
    pub(super) fn part(&self) -> &str {
        let names = [&self.matcher, &self.extractor];
        names.into_iter().map(Text::as_str).find(|name| !name.is_empty()).unwrap_or_default()
    }
}

/// What the template tells of itself.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Info<'a> {
    #[serde(borrow)]
    pub(super) name: Text<'a>,
    #[serde(borrow)]
    pub(super) severity: Text<'a>,
    #[serde(borrow)]
    pub(super) tags: Texts<'a>,
    #[serde(borrow)]
    pub(super) description: Text<'a>,
    #[serde(borrow)]
    pub(super) remediation: Text<'a>,
    #[serde(borrow, alias = "references")]
    pub(super) reference: Texts<'a>,
    #[serde(borrow)]
    pub(super) classification: Classification<'a>,
}

/// How the template's weakness is known.
#[derive(Debug, Default)]
pub(super) struct Classification<'a> {
    pub(super) cve: Texts<'a>,
    pub(super) cwe: Texts<'a>,
    pub(super) score: Text<'a>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Classification<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Fields<'a> {
            #[serde(borrow, rename = "cve-id")]
            cve: Texts<'a>,
            #[serde(borrow, rename = "cwe-id")]
            cwe: Texts<'a>,
            #[serde(borrow, rename = "cvss-score")]
            score: Text<'a>,
        }
        let fields = Option::<Fields<'a>>::deserialize(deserializer)?.unwrap_or_default();
        Ok(Self { cve: fields.cve, cwe: fields.cwe, score: fields.score })
    }
}

/// A text; a number is its digits, and whatever else stands there is no text.
#[derive(Debug, Default)]
pub(super) struct Text<'a>(Cow<'a, str>);

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

impl Text<'_> {
    /// The text, empty when there is none.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Loose).map(|mut texts| Self(texts.pop().unwrap_or_default()))
    }
}

/// A list of texts, also one that is written as a single text.
#[derive(Debug, Default)]
pub(super) struct Texts<'a>(Vec<Cow<'a, str>>);

impl Texts<'_> {
    /// The texts.
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(AsRef::as_ref)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Texts<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Loose).map(Self)
    }
}

/// Takes whatever comes for texts.
struct Loose;

impl<'de> Visitor<'de> for Loose {
    type Value = Vec<Cow<'de, str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("texts")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(vec![Cow::Borrowed(text)])
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(vec![Cow::Owned(text.to_owned())])
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(vec![Cow::Owned(number.to_string())])
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(vec![Cow::Owned(number.to_string())])
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        Ok(vec![Cow::Owned(number.to_string())])
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut texts = Vec::new();
        while let Some(mut text) = access.next_element::<Text<'de>>()? {
            if texts.len() < MAX_ITEMS {
                texts.push(std::mem::take(&mut text.0));
            }
        }
        Ok(texts)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        while access.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Vec::new())
    }
}
