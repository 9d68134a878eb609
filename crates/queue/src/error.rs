//! What can go wrong between us and the broker.

/// A failed queue operation.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The broker refused, or the connection broke; what was under way has an unknown end.
    #[error("the broker did not answer as expected")]
    Driver(#[from] lapin::Error),
    /// The broker did not confirm in time.
    #[error("the broker did not confirm in time")]
    Unconfirmed,
    /// The broker refused to take the message.
    #[error("the broker refused the message")]
    Refused,
    /// No queue is bound for the message's key; the topology is incomplete.
    #[error("no queue is bound for `{0}`")]
    Unroutable(String),
    /// The broker could not be reached.
    #[error("the broker was not reached in time")]
    Unreachable,
    /// The channel of a subscription or of a message is gone; what was taken on it comes again.
    #[error("the channel is gone")]
    Ended,
    /// The broker's address is none. Does not repeat it: it holds a password.
    #[error("expected the broker's address as `amqp://user:password@host:port/vhost`, or several with commas between")]
    Url,
}
