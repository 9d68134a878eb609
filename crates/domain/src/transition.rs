//! A change of state and the events it raises, inseparable until both are stored.

use crate::EventBody;

/// The new state of an entity together with what the world must be told about it.
///
/// `picket-store` saves an existing entity only inside a `Transition`, so an event cannot be forgotten.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a transition changes nothing until it is saved"]
pub struct Transition<T> {
    /// The entity as it is after the change.
    pub entity: T,
    /// What happened; empty for a change that nobody outside needs to hear of.
    pub events: Vec<EventBody>,
}

/// The entity is in a state from which the wanted change is not possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot {action} a {entity} that is {from}")]
pub struct InvalidTransition {
    /// What was asked, as a verb.
    pub action: &'static str,
    /// The kind of entity, for the reader.
    pub entity: &'static str,
    /// The state it was asked in.
    pub from: &'static str,
}
