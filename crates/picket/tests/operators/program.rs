//! The program `picket` with settings of its own, an organization and a person to act on.

use std::{path::PathBuf, process::Command, time::Duration};

use jiff::Timestamp;
use picket_domain::{Locale, OrganizationId, Subscription, UserId};
use picket_kit::Sealer;
use picket_store::{
    Db, DbSettings,
    accounts::{self, NewAccount},
    audit::read::{self, AuditFilter},
};
use picket_testkit::Database;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio_postgres::Client;

pub(crate) const EMAIL: &str = "ada@example.com";

pub(crate) fn now() -> Timestamp {
    "2026-01-15T14:30:00Z".parse().unwrap()
}

/// A database, and `picket` with its settings.
pub(crate) struct Program {
    pub(crate) database: Database,
    pub(crate) db: Db,
    pub(crate) admin: Client,
    pub(crate) organization: OrganizationId,
    pub(crate) user: UserId,
    pub(crate) folder: PathBuf,
    settings: PathBuf,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Program {
    pub(crate) async fn new() -> Self {
        let database = Database::new().await;
        let pool = DbSettings { url: database.url(), max_connections: 4, wait: Duration::from_secs(30) };
        let db = Db::new(&pool).unwrap();
        let (organization, user) = (OrganizationId::mint(now()), UserId::mint(now()));
        let new = NewAccount {
            organization_id: organization,
            organization_name: "Acme",
            subscription: Subscription::Trial,
            user_id: user,
            email: EMAIL,
            name: "Ada",
            password_hash: None,
            trial_ends_at: Some(now()),
            locale: Locale::En,
            email_verified_at: None,
        };
        db.operate("test", async |tx| accounts::register(tx, &new, now()).await).await.unwrap();
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(organization.to_string());
        std::fs::create_dir_all(&folder).unwrap();
        let admin = database.connect().await;
        let program = Self { admin, database, db, organization, user, settings: folder.join("picket.toml"), folder };
        program.use_keys(&Sealer::generate_key(), &[]);
        program
    }

    /// Writes the settings anew, with these keys.
    pub(crate) fn use_keys(&self, primary: &SecretString, previous: &[&SecretString]) {
        let quoted = |key: &SecretString| format!("{:?}", key.expose_secret());
        let previous: Vec<_> = previous.iter().map(|key| quoted(key)).collect();
        let text = format!(
            "sealing_key = {}\nprevious_sealing_keys = [{}]\n[database]\nurl = {:?}\n",
            quoted(primary),
            previous.join(", "),
            self.database.url()
        );
        std::fs::write(&self.settings, text).unwrap();
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_picket"));
        // The variable of the tests' own server would win over the file.
        command.env_remove("DATABASE_URL").arg("--settings").arg(&self.settings).args(arguments);
        Ended::of(&mut command)
    }

    /// Runs it without settings of any kind.
    pub(crate) fn run_bare(arguments: &[&str]) -> Ended {
        Ended::of(Command::new(env!("CARGO_BIN_EXE_picket")).env_remove("DATABASE_URL").args(arguments))
    }

    /// What the audit log says, oldest first.
    pub(crate) async fn log(&self) -> Vec<Value> {
        let organization = self.organization;
        let filter = AuditFilter::default();
        let rows = self.db.run("test", organization, async |tx| read::list(tx, organization, &filter, 100).await).await;
        rows.unwrap().iter().rev().map(|row| serde_json::from_str(&row.entry).unwrap()).collect()
    }

    /// The names of what was done.
    pub(crate) async fn actions(&self) -> Vec<String> {
        self.log().await.iter().map(|entry| entry["action"].as_str().unwrap().to_owned()).collect()
    }

    /// One value of the database.
    pub(crate) async fn value<T: for<'a> tokio_postgres::types::FromSql<'a>>(&self, sql: &str) -> T {
        self.admin.query_one(sql, &[]).await.unwrap().get(0)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // A folder that stays is a nuisance, not a failure of the test.
        let _removed = std::fs::remove_dir_all(&self.folder);
    }
}

impl Ended {
    fn of(command: &mut Command) -> Self {
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Demands success; returns what was printed.
    #[track_caller]
    pub(crate) fn good(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }
}
