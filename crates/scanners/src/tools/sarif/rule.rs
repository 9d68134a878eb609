//! The rules of a run, as far as results need them. Bounded in number and text.

use std::collections::HashMap;

use serde_json::Value;

use crate::{
    import::cwe,
    json::{items, number, text},
    text,
};

const MAX_RULES: usize = 10_000;
const MAX_TEXT_BYTES: usize = 1_000;
const MAX_MESSAGES: usize = 8;

/// One rule.
#[derive(Debug, Default)]
pub(super) struct Rule {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) description: String,
    pub(super) help: String,
    pub(super) level: String,
    pub(super) severity: Option<f64>,
    pub(super) cwe: Option<u32>,
    pub(super) link: String,
    messages: Vec<(String, String)>,
}

impl Rule {
    fn read(value: &Value) -> Self {
        let empty = Value::Null;
        let properties = value.get("properties").unwrap_or(&empty);
        let kept = |key: &str| prose(value.get(key).unwrap_or(&empty), MAX_TEXT_BYTES);
        let title = [kept("shortDescription"), text::line(text(value, "name"), 200)];
        let configuration = value.get("defaultConfiguration").unwrap_or(&empty);
        let strings = value.get("messageStrings").and_then(Value::as_object);
        let message = |(id, message): (&String, &Value)| (text::line(id, 100), prose(message, 500));
        Self {
            id: text::line(text(value, "id"), 150),
            title: title.into_iter().find(|title| !title.is_empty()).unwrap_or_default(),
            description: kept("fullDescription"),
            help: kept("help"),
            level: text::line(text(configuration, "level"), 20),
            severity: number(properties, "security-severity"),
            cwe: kind(value, properties),
            link: text::line(text(value, "helpUri"), 500),
            messages: strings.map(|all| all.iter().take(MAX_MESSAGES).map(message).collect()).unwrap_or_default(),
        }
    }

    /// The message of that name, with what stands for `{0}`, `{1}`.
    pub(super) fn message(&self, id: &str, arguments: &[String]) -> Option<String> {
        let (_, message) = self.messages.iter().find(|(name, _)| name == id)?;
        let filled = arguments.iter().enumerate().fold(message.clone(), |message, (at, argument)| {
            if message.len() > 4_000 { message } else { message.replace(&format!("{{{at}}}"), argument) }
        });
        Some(filled)
    }
}

/// `text` of a message, else its `markdown`, without marks.
pub(super) fn prose(message: &Value, max_bytes: usize) -> String {
    let plain = text(message, "text");
    text::lines(if plain.is_empty() { text(message, "markdown") } else { plain }, max_bytes)
}

/// Analyzers name the kind of weakness in tags, in a property, or as a relationship to a taxonomy.
pub(super) fn kind(value: &Value, properties: &Value) -> Option<u32> {
    let is_cwe = |text: &&str| text.to_ascii_lowercase().contains("cwe");
    let tags = items(properties, "tags").iter().filter_map(Value::as_str).filter(is_cwe).find_map(cwe);
    let listed = || items(properties, "cwe").iter().filter_map(Value::as_str).chain([text(properties, "cwe")]).find_map(cwe);
    let of_taxonomy = |target: &Value| {
        let component = target.get("toolComponent")?;
        text(component, "name").eq_ignore_ascii_case("cwe").then(|| cwe(text(target, "id"))).flatten()
    };
    let related = || {
        items(value, "relationships").iter().filter_map(|relation| relation.get("target")).find_map(of_taxonomy)
    };
    let classified = || items(value, "taxa").iter().find_map(of_taxonomy);
    tags.or_else(listed).or_else(related).or_else(classified)
}

/// The rules of one run: the driver's, then those of its extensions.
#[derive(Debug, Default)]
pub(super) struct Rules {
    all: Vec<Rule>,
    by_id: HashMap<String, usize>,
    by_place: HashMap<(usize, usize), usize>,
    counts: HashMap<usize, usize>,
    extensions: usize,
}

impl Rules {
    /// A rule of component `component`: 0 is the driver.
    pub(super) fn add(&mut self, component: usize, value: &Value) {
        let place = self.counts.entry(component).or_default();
        let here = (component, *place);
        *place = place.saturating_add(1);
        if self.all.len() >= MAX_RULES {
            return;
        }
        let (rule, at) = (Rule::read(value), self.all.len());
        self.by_id.entry(rule.id.clone()).or_insert(at);
        self.by_place.insert(here, at);
        self.all.push(rule);
    }

    /// A rule of the extension that is being read.
    pub(super) fn add_to_extension(&mut self, value: &Value) {
        self.add(self.extensions.saturating_add(1), value);
    }

    /// An extension was read.
    pub(super) const fn end_extension(&mut self) {
        self.extensions = self.extensions.saturating_add(1);
    }

    /// The rule that a result means: by its place, else by its name, also where that is a part of the rule's
    /// (`CA1000/1` is of `CA1000`).
    pub(super) fn find(&self, id: &str, component: usize, index: Option<usize>) -> Option<&Rule> {
        let at = index.and_then(|index| self.by_place.get(&(component, index))).and_then(|at| self.all.get(*at));
        let is_same = |rule: &&Rule| id.is_empty() || rule.id == id || id.starts_with(&format!("{}/", rule.id));
        let named = || {
            let whole = self.by_id.get(id);
            whole.or_else(|| self.by_id.get(id.rsplit_once('/')?.0)).and_then(|at| self.all.get(*at))
        };
        at.filter(is_same).or_else(named)
    }
}
