//! Messages that nobody could take, written down for people. They say nothing that anybody may rely on: whoever may publish
//! could have written them. Must never be read back into the platform.

use tokio_postgres::Row;

use crate::{Inconsistent, StoreError, Tx, row::Columns, statements::statements};

/// Bytes of a message that are kept.
const MOST_BYTES: usize = 4_096;

statements! {
    ADD = "-- dead_letters.add
INSERT INTO dead_letters (queue, reason, routing_key, size_bytes, content, seen_at)
VALUES ($1, $2, $3, $4, $5, now())";

    COUNTS = "-- dead_letters.counts
SELECT queue, count(*) AS letters, max(seen_at) AS latest_at
FROM dead_letters
GROUP BY queue
ORDER BY queue";
}

/// A message that was put aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadLetter<'a> {
    /// The queue that put it aside, without the namespace.
    pub queue: &'a str,
    /// Why, in a word.
    pub reason: &'a str,
    /// What it was published with.
    pub routing_key: &'a str,
    /// The message.
    pub content: &'a [u8],
}

/// What a queue has put aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterCount {
    /// The queue, without the namespace.
    pub queue: String,
    /// How many, of the last 30 days.
    pub letters: i64,
    /// When the latest was written down.
    pub latest_at: jiff::Timestamp,
}

/// Writes one down. As the operator.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.dead_letters.add", skip_all, err(level = "debug"))]
pub async fn add(tx: &Tx<'_>, letter: DeadLetter<'_>) -> Result<(), StoreError> {
    let DeadLetter { queue, reason, routing_key, content } = letter;
    // No text of Postgres holds one.
    let routing_key = routing_key.replace('\0', "\u{fffd}");
    let (size, kept) = (i64::try_from(content.len()).unwrap_or(i64::MAX), content.get(..MOST_BYTES).unwrap_or(content));
    tx.execute_one(ADD, &[&queue, &reason, &routing_key, &size, &kept]).await
}

/// How many each queue has put aside. As the operator.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.dead_letters.counts", skip_all, err(level = "debug"))]
pub async fn counts(tx: &Tx<'_>) -> Result<Vec<DeadLetterCount>, StoreError> {
    let count = |row: &Row| -> Result<_, Inconsistent> {
        let columns = Columns::new("dead_letters", row);
        Ok(DeadLetterCount {
            queue: columns.get("queue")?,
            letters: columns.get("letters")?,
            latest_at: columns.get("latest_at")?,
        })
    };
    Ok(tx.query(COUNTS, &[]).await?.iter().map(count).collect::<Result<_, _>>()?)
}
