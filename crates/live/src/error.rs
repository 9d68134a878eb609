//! Why there is no answer from Redis. To every caller all of these mean the same: do without.

/// Redis gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// The URL is none.
    #[error("expected a redis URL")]
    Url(#[source] redis::RedisError),
    /// Redis refused, or the connection broke.
    #[error("redis did not answer as expected")]
    Driver(#[from] redis::RedisError),
    /// No answer in time.
    #[error("redis took too long")]
    Timeout,
    /// It failed a moment ago, so nobody asks just now.
    #[error("redis failed a moment ago")]
    Resting,
}
