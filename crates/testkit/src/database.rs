//! A database of its own for each test, copied from a template that is migrated once per schema.

use tokio_postgres::{Client, Config, NoTls};
use uuid::Uuid;

use crate::required;

/// A database that lives as long as the test.
pub struct Database {
    name: String,
    server: String,
}

impl Database {
    /// A new, migrated, empty database.
    ///
    /// # Panics
    /// When the server of `DATABASE_URL` does not do it.
    pub async fn new() -> Self {
        Self::at(required("DATABASE_URL")).await
    }

    /// The same on the server of that URL.
    ///
    /// # Panics
    /// When the server does not do it.
    pub async fn at(server: String) -> Self {
        let template = template(&server).await;
        let name = format!("picket_test_{}", Uuid::now_v7().simple());
        let admin = connect(&server).await;
        admin.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {template}")).await.expect("a copy");
        Self { name, server }
    }

    /// Its connection URL.
    #[must_use]
    pub fn url(&self) -> String {
        with_database(&self.server, &self.name)
    }

    /// Puts a moment in place of the clock by which the database decides what may be done; it stands still from then on.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn set_now(&self, moment: &str) {
        let sql = format!(
            "CREATE OR REPLACE FUNCTION picket_now() RETURNS timestamptz LANGUAGE sql STABLE RETURN '{moment}'::timestamptz"
        );
        self.connect().await.batch_execute(&sql).await.expect("a clock that stands still");
    }

    /// The same when the server may be away.
    ///
    /// # Errors
    /// Why it does not answer.
    pub async fn try_connect(&self) -> Result<Client, tokio_postgres::Error> {
        let config: Config = self.url().parse()?;
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// A connection of its owner, which row-level security does not bind when it is a superuser.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn connect(&self) -> Client {
        connect(&self.url()).await
    }
}

impl Drop for Database {
    /// Drops the database in the background of another thread: a test's runtime may be gone by now.
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let config: Config = server.parse()?;
                let (admin, connection) = config.connect(NoTls).await?;
                tokio::spawn(connection);
                admin.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await
            })
        });
        // A database that stays is a nuisance, not a failure of the test.
        let _dropped = dropped.join();
    }
}

/// The name of the migrated template; made by the first test that asks, under a lock of the server. Named after the
/// migrations that are compiled in, which make it, and not after files that may be newer than this program.
async fn template(server: &str) -> String {
    let name = format!("picket_template_{:016x}", picket_store::schema_fingerprint());
    let admin = connect(server).await;
    admin.execute("SELECT pg_advisory_lock(7161700399)", &[]).await.expect("a lock");
    let known = admin.query_opt("SELECT FROM pg_database WHERE datname = $1", &[&name]).await.expect("a catalogue");
    if known.is_none() {
        let draft = format!("{name}_draft");
        admin.batch_execute(&format!("DROP DATABASE IF EXISTS {draft}")).await.expect("no draft");
        admin.batch_execute(&format!("CREATE DATABASE {draft}")).await.expect("a draft");
        picket_store::migrate(&with_database(server, &draft)).await.expect("migrations apply");
        admin.batch_execute(&format!("ALTER DATABASE {draft} RENAME TO {name}")).await.expect("a template");
    }
    admin.execute("SELECT pg_advisory_unlock(7161700399)", &[]).await.expect("an unlock");
    name
}

fn with_database(server: &str, name: &str) -> String {
    let (base, query) = server.split_once('?').map_or((server, None), |(base, query)| (base, Some(query)));
    let authority = base.find("://").map_or(0, |scheme| scheme + 3);
    let end = base[authority..].find('/').map_or(base.len(), |slash| authority + slash);
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("{}/{name}{query}", &base[..end])
}

async fn connect(url: &str) -> Client {
    let config: Config = url.parse().expect("DATABASE_URL is a URL");
    let (client, connection) = config.connect(NoTls).await.expect("Postgres answers");
    tokio::spawn(connection);
    client
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_gets_another_database() {
        let cases = [
            ("postgres://u:p@127.0.0.1:5432/postgres", "postgres://u:p@127.0.0.1:5432/x"),
            ("postgres://u@h", "postgres://u@h/x"),
            ("postgres://u@h/a?sslmode=disable", "postgres://u@h/x?sslmode=disable"),
        ];
        for (url, expected) in cases {
            assert_eq!(with_database(url, "x"), expected);
        }
    }

    #[tokio::test]
    async fn what_one_test_writes_another_does_not_see() {
        let (one, other) = (Database::new().await, Database::new().await);
        let write = "INSERT INTO role_heartbeats (role, heartbeat_at, broker_up) VALUES ('x', now(), true)";
        one.connect().await.batch_execute(write).await.unwrap();
        let sql = "SELECT count(*) FROM role_heartbeats";
        let seen: i64 = other.connect().await.query_one(sql, &[]).await.unwrap().get(0);
        assert_eq!(seen, 0);
    }
}
