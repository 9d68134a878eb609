//! Letters about the end of a scan: to whoever asked for one, once, and to nobody who may not read the scan any more.

use picket_domain::{ApiKeyId, Locale, NewScan, ProofNews, ScanId, TargetId, UserId};
use picket_store::{
    StoreError,
    mails::target_news,
    scans::{self, Locked},
};
use picket_testkit::seed;
use serde_json::Value;

use crate::{
    mail_server::MailServer,
    stage::{ORIGIN, Stage, eventually, now},
};

const SEEN: &str = "
WITH known AS (
  INSERT INTO findings (id, organization_id, fingerprint, rule, host, subject, first_scan_id, first_seen_at, title, severity,
                        description, remediation, last_scan_id, last_seen_at)
  SELECT gen_random_uuid(), organization_id, sha256($2::text::bytea), 'x', '127.0.0.1', $2, id, now(), 'x', $3, '', '', id,
         now()
  FROM scans
  WHERE id = $1
  RETURNING id
)
INSERT INTO sightings (organization_id, scan_id, finding_id, task_id, attempt, severity, evidence, seen_at)
SELECT t.organization_id, t.scan_id, known.id, t.id, 1, $3, '', now()
FROM tasks AS t, known
WHERE t.scan_id = $1";

impl Stage {
    /// A member whose address is proven.
    async fn person(&self, email: &str, locale: Locale) -> UserId {
        let id = UserId::mint(now());
        let user = "INSERT INTO users (id, created_at, email, name, locale, email_verified_at) VALUES ($1, now(), $2, 'Ada', $3, now())";
        self.admin.execute(user, &[&id.uuid(), &email, &locale.name()]).await.unwrap();
        let member =
            "INSERT INTO memberships (organization_id, user_id, role, created_at) VALUES ($1, $2, 'viewer', now())";
        self.admin.execute(member, &[&self.organization.uuid(), &id.uuid()]).await.unwrap();
        id
    }

    async fn key_of(&self, person: UserId) -> ApiKeyId {
        let id = ApiKeyId::mint(now());
        let key = "INSERT INTO api_keys (id, organization_id, created_by, created_at, name, prefix, digest, scopes)
                   VALUES ($1, $2, $3, now(), 'x', 'x', sha256($4::text::bytea), '{}')";
        let name = id.to_string();
        self.admin.execute(key, &[&id.uuid(), &self.organization.uuid(), &person.uuid(), &name]).await.unwrap();
        id
    }

    /// A scan of one task that found something critical and two informational things.
    async fn asked(&self, asker: &str, notify: &[&str]) -> ScanId {
        // Whose plan has room for all scans of a test.
        self.admin.execute("UPDATE organizations SET plan = 'enterprise'", &[]).await.unwrap();
        let seeded = seed::scan(self.organization, 1);
        let notify = notify.iter().map(|way| (*way).to_owned()).collect();
        let new = NewScan { target: "shop.example.com".to_owned(), requested_by: asker.to_owned(), notify, ..seeded };
        let created = self.db.run("scan", self.organization, async |tx| scans::create(tx, &new, now()).await);
        created.await.unwrap();
        for (subject, severity) in [("a", "critical"), ("b", "info"), ("c", "unknown")] {
            let subject = format!("{subject} of {}", new.id);
            self.admin.execute(SEEN, &[&new.id.uuid(), &subject, &severity]).await.unwrap();
        }
        new.id
    }

    /// Ends the scan's task as its worker does, and with it the scan.
    async fn complete(&self, id: ScanId) {
        for step in [
            "UPDATE scans SET state = 'running', started_at = now() WHERE id = $1",
            "UPDATE tasks SET state = 'queued', queued_at = now() WHERE scan_id = $1",
            "UPDATE tasks SET state = 'running', attempt = 1, worker_id = id, lease_until = now() WHERE scan_id = $1",
            "UPDATE tasks SET state = 'done', lease_until = NULL, ended_at = now() WHERE scan_id = $1",
        ] {
            self.admin.execute(step, &[&id.uuid()]).await.unwrap();
        }
        self.end(id).await;
    }

    async fn end(&self, id: ScanId) {
        let over = self.db.run("over", self.organization, async |tx| scans::end_if_over(tx, id, now()).await);
        over.await.unwrap();
    }

    async fn cancel(&self, id: ScanId) {
        self.try_cancel(id, None).await.unwrap();
    }

    /// Cancels, and then fails in the same transaction where there is something to fail with.
    async fn try_cancel(&self, id: ScanId, failure: Option<StoreError>) -> Result<(), StoreError> {
        let cancelled = self.db.run("cancel", self.organization, async |tx| {
            let Locked { scan, traceparent } = scans::lock(tx, id).await?.expect("the scan is there");
            scans::cancel(tx, scan.cancel(now()).expect("it goes on"), traceparent.as_deref(), now()).await?;
            failure.map_or(Ok(()), Err)
        });
        cancelled.await
    }

    /// State and error of each letter about the scan.
    async fn news(&self, id: ScanId) -> Vec<(String, Option<String>)> {
        let sql = "SELECT state, error FROM mails WHERE scan_id = $1";
        let rows = self.admin.query(sql, &[&id.uuid()]).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    /// How the scan's one letter ended.
    async fn told(&self, id: ScanId) -> (String, Option<String>) {
        eventually("the end of a letter", async || {
            let [news] = <[_; 1]>::try_from(self.news(id).await).expect("one letter");
            ["sent", "failed"].contains(&news.0.as_str()).then_some(news)
        })
        .await
    }
}

fn sent() -> (String, Option<String>) {
    ("sent".to_owned(), None)
}

fn nobody() -> (String, Option<String>) {
    ("failed".to_owned(), Some("nobody to tell".to_owned()))
}

fn only(server: &MailServer, recipient: &str) -> Value {
    let letters = server.letters_to(recipient);
    assert_eq!(letters.len(), 1, "{recipient}");
    letters.into_iter().next().unwrap()
}

#[tokio::test]
async fn whoever_asked_for_a_scan_hears_of_its_end_once_in_the_own_language_with_counts_and_a_link() {
    let Some(server) = MailServer::plain().await else { return };
    let stage = Stage::new().await;
    let dispatcher = stage.dispatcher(server.settings());
    let ada = stage.person("ada@example.com", Locale::En).await;
    let wei = stage.person("wei@example.com", Locale::Zh).await;
    let ani = stage.person("ani@example.com", Locale::Id).await;
    let completed = stage.asked(&ada.to_string(), &["email"]).await;
    let cancelled = stage.asked(&wei.to_string(), &["email"]).await;
    let failed = stage.asked(&stage.key_of(ani).await.to_string(), &["email"]).await;
    stage.complete(completed).await;
    stage.cancel(cancelled).await;
    let fail = "UPDATE tasks SET state = 'failed', gap = 'tool_unavailable', ended_at = now() WHERE scan_id = $1";
    stage.admin.execute(fail, &[&failed.uuid()]).await.unwrap();
    stage.end(failed).await;
    // Whoever looks again finds it over.
    stage.end(completed).await;
    for (scan, recipient, subject, counts) in [
        (completed, "ada@example.com", "The scan of shop.example.com has completed", "1 critical, 0 high"),
        (cancelled, "wei@example.com", "对 shop.example.com 的扫描已取消", "严重 1 个"),
        (failed, "ani@example.com", "Pemindaian shop.example.com gagal", "1 kritis"),
    ] {
        assert_eq!(stage.told(scan).await, sent());
        let letter = only(&server, recipient);
        let text = letter["text"].as_str().unwrap();
        assert_eq!(letter["headers"]["subject"], subject);
        assert!(text.contains(counts) && text.contains("Ada") && text.contains("test"), "{text}");
        let link = format!("{ORIGIN}/api/v1/scan/{scan}/result");
        assert!(text.lines().any(|line| line == link), "{text}");
        assert_eq!(letter["recipients"].as_array().unwrap().len(), 1);
    }
    let text = only(&server, "ada@example.com")["text"].as_str().unwrap().to_owned();
    assert!(text.contains("2 informational"), "what is not rated counts as info: {text}");
    dispatcher.stop().await;
    assert_eq!(server.lines().len(), 3);
}

#[tokio::test]
async fn nobody_hears_who_did_not_ask_has_left_is_disabled_or_has_proven_no_address() {
    let Some(server) = MailServer::plain().await else { return };
    let stage = Stage::new().await;
    let person = async |name: &str| stage.person(&format!("{name}@example.com"), Locale::En).await;
    let (quiet, gone, late) = (person("quiet").await, person("gone").await, person("late").await);
    let (disabled, unproven) = (person("disabled").await, person("unproven").await);
    let unasked = stage.asked(&quiet.to_string(), &[]).await;
    let mut asked = Vec::new();
    for one in [gone, late, disabled, unproven] {
        asked.push(stage.asked(&one.to_string(), &["email"]).await);
    }
    let of_a_key = stage.asked(&stage.key_of(gone).await.to_string(), &["email"]).await;
    let nobodys = stage.asked("somebody else", &["email"]).await;
    let leave = "DELETE FROM memberships WHERE user_id = $1";
    stage.admin.execute(leave, &[&gone.uuid()]).await.unwrap();
    for scan in [unasked, of_a_key, nobodys].into_iter().chain(asked.iter().copied()) {
        stage.cancel(scan).await;
    }
    for scan in [unasked, asked[0], of_a_key, nobodys] {
        assert_eq!(stage.news(scan).await, [], "no letter is written");
    }
    // Between the end of the scan and the letter.
    stage.admin.execute(leave, &[&late.uuid()]).await.unwrap();
    for (column, one) in [("disabled_at = now()", disabled), ("email_verified_at = NULL", unproven)] {
        let sql = format!("UPDATE users SET {column} WHERE id = $1");
        stage.admin.execute(&sql, &[&one.uuid()]).await.unwrap();
    }
    let dispatcher = stage.dispatcher(server.settings());
    for scan in &asked[1..] {
        assert_eq!(stage.told(*scan).await, nobody());
    }
    dispatcher.stop().await;
    assert!(server.lines().is_empty());
}

#[tokio::test]
async fn a_letter_about_an_end_that_was_taken_back_is_never_sent() {
    let stage = Stage::new().await;
    let ada = stage.person("ada@example.com", Locale::En).await;
    let scan = stage.asked(&ada.to_string(), &["email"]).await;
    let failure = StoreError::Stale { expected: 1, actual: 0 };
    assert!(stage.try_cancel(scan, Some(failure)).await.is_err());
    assert_eq!(stage.news(scan).await, []);
    stage.cancel(scan).await;
    assert_eq!(stage.news(scan).await.len(), 1);
}

#[tokio::test]
async fn an_owner_reads_of_a_proof_and_whoever_is_none_any_more_does_not() {
    let Some(server) = MailServer::plain().await else { return };
    let stage = Stage::new().await;
    let target = TargetId::mint(now());
    let row = "INSERT INTO targets (id, organization_id, created_at, kind, value) VALUES ($1, $2, now(), 'host', 'shop.example.com')";
    stage.admin.execute(row, &[&target.uuid(), &stage.organization.uuid()]).await.unwrap();
    let role = "UPDATE memberships SET role = $2 WHERE user_id = $1";
    for (email, locale) in [("ada@example.com", Locale::En), ("wei@example.com", Locale::Zh)] {
        let person = stage.person(email, locale).await;
        stage.admin.execute(role, &[&person.uuid(), &"owner"]).await.unwrap();
    }
    let write = async |news| {
        let of = (stage.organization, target);
        stage.db.operate("test", async |tx| target_news::write(tx, of, news, now()).await).await.unwrap()
    };
    assert_eq!(write(ProofNews::Shared).await, 2);
    let demote =
        "UPDATE memberships SET role = 'viewer' WHERE user_id = (SELECT id FROM users WHERE email = 'wei@example.com')";
    stage.admin.execute(demote, &[]).await.unwrap();
    let dispatcher = stage.dispatcher(server.settings());
    let ended = async || {
        let sql = "SELECT state || coalesce(' ' || error, '') FROM mails ORDER BY 1";
        let rows = stage.admin.query(sql, &[]).await.unwrap();
        let states: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        states.iter().all(|state| !state.starts_with("pending") && !state.starts_with("sending")).then_some(states)
    };
    let states = eventually("the end of both letters", ended).await;
    assert_eq!(states, ["failed nobody to tell", "sent"]);
    let letter = only(&server, "ada@example.com");
    assert_eq!(letter["headers"]["subject"], "shop.example.com was proven by another organization too");
    dispatcher.stop().await;
}
