//! A public mail server in a process of its own, and letters for it.

use std::{
    process::Stdio,
    sync::{Arc, Mutex},
};

use picket_dispatcher::{DispatcherSettings, SmtpSettings, SmtpTls};
use picket_domain::{Letter, Locale, MailId};
use picket_store::mails::{self, NewMail};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::{
    python::python,
    stage::{Stage, eventually, now, quick},
};

pub(crate) struct MailServer {
    pub(crate) port: u16,
    lines: Arc<Mutex<Vec<Value>>>,
    process: Child,
}

/// A row of the outbox, as operators see it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) state: String,
    pub(crate) attempt: i32,
    pub(crate) error: Option<String>,
    pub(crate) has_letter: bool,
}

impl MailServer {
    /// Starts it, where there is a Python with the library.
    pub(crate) async fn start(options: &Value) -> Option<Self> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mail_server.py");
        let mut process = Command::new(python()?)
            .args([script, &options.to_string()])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("PICKET_RECEIVER_PYTHON runs");
        let mut output = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = output.next_line().await.unwrap().expect("the server starts: is `aiosmtpd` installed?");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let seen = lines.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = output.next_line().await {
                seen.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        });
        Some(Self { port: port.parse().unwrap(), lines, process })
    }

    pub(crate) async fn plain() -> Option<Self> {
        Self::start(&json!({})).await
    }

    /// What it told so far.
    pub(crate) fn lines(&self) -> Vec<Value> {
        self.lines.lock().unwrap().clone()
    }

    /// The letters to this address that it took.
    pub(crate) fn letters_to(&self, recipient: &str) -> Vec<Value> {
        self.lines().into_iter().filter(|line| line["recipients"][0] == recipient).collect()
    }

    pub(crate) async fn stop(mut self) {
        self.process.kill().await.unwrap();
    }

    /// Settings of a dispatcher that sends to it.
    pub(crate) fn settings(&self) -> DispatcherSettings {
        DispatcherSettings { smtp: Some(smtp(self.port)), ..quick() }
    }
}

/// Settings of a server on this machine in the clear.
pub(crate) fn smtp(port: u16) -> SmtpSettings {
    SmtpSettings {
        host: "127.0.0.1".to_owned(),
        port: Some(port),
        tls: SmtpTls::None,
        username: None,
        password: None,
        from: "Picket <no-reply@picket.example>".to_owned(),
        reply_to: Some("help@picket.example".to_owned()),
        helo: None,
        extra_authorities: None,
        timeout_seconds: 30,
    }
}

/// A letter with a secret in it.
pub(crate) fn reset() -> Letter {
    Letter::ResetPassword {
        name: "Ada".to_owned(),
        link: "https://api.example/reset?token=canary-of-a-letter".to_owned(),
        expires_at: now() + jiff::SignedDuration::from_mins(30),
    }
}

impl Stage {
    /// Writes a letter as the gateway does.
    pub(crate) async fn post(&self, recipient: &str, locale: Locale, letter: &Letter) -> MailId {
        let id = MailId::mint(now());
        let sealed = self.sealer.seal(&serde_json::to_vec(letter).unwrap(), &mails::place(id)).unwrap();
        let new = NewMail {
            id,
            organization_id: Some(self.organization),
            recipient,
            locale,
            template: letter.template(),
            letter: &sealed,
            expires_at: letter.expires_at(now()),
        };
        self.db.run("post", self.organization, async |tx| mails::enqueue(tx, &new, now()).await).await.unwrap();
        id
    }

    pub(crate) async fn mail(&self, id: MailId) -> Row {
        let sql = "SELECT state, attempt, error, letter IS NOT NULL FROM mails WHERE id = $1";
        let row = self.admin.query_one(sql, &[&id.uuid()]).await.unwrap();
        Row { state: row.get(0), attempt: row.get(1), error: row.get(2), has_letter: row.get(3) }
    }

    /// The mail's row, once it is in this state after so many attempts.
    pub(crate) async fn mail_in(&self, id: MailId, state: &str, attempt: i32) -> Row {
        eventually(&format!("a mail that is {state} after {attempt} attempts"), async || {
            let row = self.mail(id).await;
            (row.state == state && row.attempt == attempt).then_some(row)
        })
        .await
    }

    /// Makes every waiting letter due now.
    pub(crate) async fn hurry_mails(&self) {
        let due = "UPDATE mails SET next_attempt_at = now() WHERE state = 'pending'";
        self.admin.execute(due, &[]).await.unwrap();
    }
}
