//! Whose rights changed since somebody last asked. Triggers write it down in the transaction of the change, so nothing that
//! decides who a caller is can change without a word here. Each change is read once by each reader, as soon as it is
//! committed, however long its transaction took. Never says what changed: whoever must know looks the caller up anew.

use picket_domain::{ApiKeyId, OrganizationId, SessionId, UserId};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{Inconsistent, StoreError, Tx, row::Columns, statements::statements};

/// The most changes that are read one by one; of more it is only said that there were many.
pub const MOST: usize = 5_000;

statements! {
    // The rows that this statement's snapshot shows and the last one's did not. The server's start tells it from another one
    // that took its place and may have given the same numbers to other transactions.
    READ = "-- rights.read
SELECT pg_current_snapshot()::text AS snapshot, pg_postmaster_start_time()::text AS server,
       ARRAY(SELECT subject
             FROM rights_changes
             WHERE xid >= pg_snapshot_xmin($1::text::pg_snapshot)
               AND NOT pg_visible_in_snapshot(xid, $1::text::pg_snapshot)
             LIMIT $2) AS subjects";
}

/// Somebody or something whose change may change who a caller is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RightsOf(Uuid);

impl From<ApiKeyId> for RightsOf {
    fn from(id: ApiKeyId) -> Self {
        Self(id.uuid())
    }
}

impl From<OrganizationId> for RightsOf {
    fn from(id: OrganizationId) -> Self {
        Self(id.uuid())
    }
}

impl From<SessionId> for RightsOf {
    fn from(id: SessionId) -> Self {
        Self(id.uuid())
    }
}

impl From<UserId> for RightsOf {
    fn from(id: UserId) -> Self {
        Self(id.uuid())
    }
}

/// Whose rights changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// Perhaps everybody's: it was the first question, of this server at least, or there were too many changes.
    Perhaps,
    /// These and nobody else's.
    Of(Vec<RightsOf>),
}

/// Reads changes, each once.
#[derive(Debug, Default)]
pub struct Reader {
    last: Option<Mark>,
}

/// What was seen last.
#[derive(Debug)]
struct Mark {
    snapshot: String,
    server: String,
}

impl Reader {
    /// What was committed since the last call that returned `Ok`. Runs as the operator, in a transaction of its own: it must
    /// not see what its own transaction changed.
    ///
    /// # Errors
    /// When the database refuses; then the next call tells of those changes.
    pub async fn read(&mut self, tx: &Tx<'_>) -> Result<Changed, StoreError> {
        let most = i64::try_from(MOST).unwrap_or(i64::MAX).saturating_add(1);
        let snapshot = self.last.as_ref().map(|last| last.snapshot.as_str());
        let (mark, subjects) = seen(&tx.query_one(READ, &[&snapshot, &most]).await?)?;
        let is_same_server = self.last.as_ref().is_some_and(|last| last.server == mark.server);
        self.last = Some(mark);
        if is_same_server && subjects.len() <= MOST {
            Ok(Changed::Of(subjects.into_iter().map(RightsOf).collect()))
        } else {
            Ok(Changed::Perhaps)
        }
    }
}

fn seen(row: &Row) -> Result<(Mark, Vec<Uuid>), Inconsistent> {
    let columns = Columns::new("rights_changes", row);
    Ok((Mark { snapshot: columns.get("snapshot")?, server: columns.get("server")? }, columns.get("subjects")?))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tokio_postgres::Client;

    /// The statements by which the gateway learns who a caller is.
    const LOOK_UPS: [&str; 3] = ["-- sessions.find_bearer", "-- sessions.find_elsewhere", "-- api_keys.find_holder"];
    /// Columns that look-ups read and that decide nothing: when somebody was seen last.
    const BESIDE: [(&str, &str); 2] = [("sessions", "last_used_at"), ("api_keys", "last_used_at")];

    /// The columns that a statement reads, by what the catalogue says of a view of it.
    async fn read_by(client: &Client, sql: &str) -> BTreeSet<(String, String)> {
        let mut sql = sql.to_owned();
        for (place, kind) in client.prepare(&sql).await.unwrap().params().iter().enumerate().rev() {
            sql = sql.replace(&format!("${}", place + 1), &format!("NULL::{kind}"));
        }
        let (_, query) = sql.split_once('\n').unwrap();
        client.batch_execute(&format!("CREATE OR REPLACE VIEW reads_of_a_look_up AS {query}")).await.unwrap();
        let of = "SELECT table_name::text, column_name::text FROM information_schema.view_column_usage
                  WHERE view_name = 'reads_of_a_look_up'";
        let columns = client.query(of, &[]).await.unwrap();
        client.batch_execute("DROP VIEW reads_of_a_look_up").await.unwrap();
        columns.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    #[tokio::test]
    async fn every_column_that_decides_who_a_caller_is_is_watched() {
        let database = picket_testkit::Database::new().await;
        let client = database.connect().await;
        let watched = "SELECT event_object_table::text, event_object_column::text
                       FROM information_schema.triggered_update_columns WHERE trigger_name = 'rights_change'";
        let mut watched: BTreeSet<(String, String)> =
            client.query(watched, &[]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect();
        watched.extend(BESIDE.map(|(table, column)| (table.to_owned(), column.to_owned())));
        let mut read = BTreeSet::new();
        let all = [crate::sessions::STATEMENTS, crate::api_keys::STATEMENTS].concat();
        for name in LOOK_UPS {
            let sql = all.iter().find(|sql| sql.lines().next() == Some(name)).unwrap();
            let columns = read_by(&client, sql).await;
            assert!(columns.len() > 5, "{columns:?}");
            read.extend(columns);
        }
        assert_eq!(read, watched);
        let deletes = "SELECT event_object_table::text FROM information_schema.triggers
                       WHERE trigger_name = 'rights_change' AND event_manipulation = 'DELETE'";
        let deletes: BTreeSet<String> =
            client.query(deletes, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
        assert_eq!(deletes, read.into_iter().map(|(table, _)| table).collect());
    }
}
