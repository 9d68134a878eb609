//! What one script printed: its text, and the tables that mean the same for programs. Both are bounded.

use crate::{text, xml::Attributes};

const MAX_NODES: usize = 20_000;
const MAX_OUTPUT_BYTES: usize = 64 << 10;
const MAX_KEY_BYTES: usize = 512;
const MAX_VALUE_BYTES: usize = 8 << 10;

/// A table or a value in one.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// Empty for items of a list.
    pub(super) key: String,
    /// Empty for tables.
    pub(super) value: String,
    pub(super) children: Vec<Node>,
}

impl Node {
    /// The child of that key.
    pub(super) fn find(&self, key: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.key == key)
    }

    /// The value of the child of that key.
    pub(super) fn value(&self, key: &str) -> Option<&str> {
        self.find(key).map(|child| child.value.as_str())
    }

    /// The values of a list.
    pub(super) fn items(&self) -> impl Iterator<Item = &str> {
        self.children.iter().map(|child| child.value.as_str()).filter(|value| !value.is_empty())
    }
}

/// One script while it is being read, and after.
#[derive(Debug, Default)]
pub(super) struct Script {
    /// Its name, e.g. `ssl-cert`.
    pub(super) id: String,
    /// What it printed for people.
    pub(super) output: String,
    /// Its tables; the root has neither key nor value.
    pub(super) root: Node,
    open: Vec<Node>,
    nodes: usize,
}

impl Script {
    /// Begins with the attributes of the element.
    pub(super) fn begin(attributes: &Attributes<'_>) -> Self {
        let mut script = Self::default();
        attributes.each(|name, value| match name {
            "id" => script.id = text::line(value, MAX_KEY_BYTES),
            "output" => script.output = text::prefix(value, MAX_OUTPUT_BYTES).to_owned(),
            _ => {}
        });
        script
    }

    /// A table or value begins.
    pub(super) fn open(&mut self, attributes: &Attributes<'_>) {
        let mut node = Node::default();
        attributes.each(|name, value| {
            if name == "key" {
                node.key = text::prefix(value, MAX_KEY_BYTES).to_owned();
            }
        });
        self.open.push(node);
    }

    /// Text of the innermost value.
    pub(super) fn text(&mut self, piece: &str) {
        if let Some(node) = self.open.last_mut() {
            text::push(&mut node.value, piece, MAX_VALUE_BYTES);
        }
    }

    /// The innermost table or value ends.
    pub(super) fn close(&mut self) {
        let Some(node) = self.open.pop() else { return };
        self.nodes = self.nodes.saturating_add(1);
        if self.nodes <= MAX_NODES {
            self.open.last_mut().unwrap_or(&mut self.root).children.push(node);
        }
    }

    /// Whether parts were left out.
    pub(super) const fn is_cut(&self) -> bool {
        self.nodes > MAX_NODES
    }

    /// Whether the script told nothing but its own failure.
    pub(super) fn is_failed(&self) -> bool {
        let output = self.output.trim_start();
        output.starts_with("ERROR") || output == "false" || output == "TIMEOUT"
    }
}
