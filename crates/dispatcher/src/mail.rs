//! Letters: claimed from the outbox, put into words, handed to the operator's mail server. Nothing else sends mail.
//!
//! A letter is opened for as long as it is being sent; no line, metric or error of ours names an address or a link.
//! A crash between the server's word and our mark sends a letter twice, under one `Message-ID`: at least once.

mod render;
mod send;
mod settings;
mod words;

use std::time::{Duration, Instant};

use picket_domain::{Jitter, Letter, Locale, MailId, RetrySchedule, ScanOutcome};
use picket_kit::{Clock, Sealer, Shutdown};
use picket_store::{
    Db, Notice, Notices, StoreError,
    mails::{
        self,
        lease::{self, ClaimedMail, MailEnd, MailFence, WrittenMail},
        scan_end::{self, ScanNews},
        target_news::{self, TargetNews},
    },
};
use tracing::Instrument;

use self::send::Failure;
pub use self::{
    send::{Mailer, MailerError},
    settings::{SmtpSettings, SmtpTls},
};
use crate::{DispatcherSettings, error::cause, under_way::UnderWay};

/// How often the end of a claim is written again while the database is away; within the lease.
const FINISH_TRIES: u32 = 5;

/// How long the outbox remembers that a letter was sent, or was not.
const KEEP: Duration = Duration::from_secs(30 * 24 * 3_600);

/// Sends letters; cheap to clone.
#[derive(Clone)]
pub(crate) struct Post {
    pub(crate) db: Db,
    pub(crate) sealer: Sealer,
    pub(crate) clock: Clock,
    pub(crate) settings: DispatcherSettings,
    /// Where clients reach the API: scheme, host and port, without a slash at the end.
    pub(crate) origin: String,
}

/// A letter, the address that it goes to and the language.
type Addressed = (Letter, String, Locale);

impl Post {
    /// Sends until shutdown. Without a mailer letters wait, and expire in the end.
    pub(crate) async fn run(&self, mailer: Option<Mailer>, shutdown: &Shutdown) {
        metrics::gauge!("picket_mail_configured").set(if mailer.is_some() { 1.0 } else { 0.0 });
        match mailer {
            Some(mailer) => tokio::join!(self.send_all(&mailer, shutdown), self.sweep_all(shutdown)),
            None => {
                tracing::warn!("no mail server is set (dispatcher.smtp): letters wait until they expire");
                (self.sweep_all(shutdown).await, ())
            }
        };
    }

    async fn send_all(&self, mailer: &Mailer, shutdown: &Shutdown) {
        let mut notices = self.db.listen(Notice::Mails);
        let mut under_way = UnderWay::default();
        while !shutdown.is_down() {
            let claimed = self.claim(&under_way).await;
            let found = !claimed.is_empty();
            for mail in claimed {
                let span = tracing::info_span!("dispatcher.mail.send", mail.id = %mail.fence.mail_id);
                under_way.start(mail.fence, self.clone().send(mailer.clone(), mail).instrument(span));
            }
            // Whoever found something looks again at once: there may be more.
            if !found {
                self.wait(&mut notices, &mut under_way, shutdown).await;
            }
            under_way.forget_ended();
        }
        self.give_back(under_way.drain(self.settings.drain()).await).await;
    }

    async fn claim(&self, under_way: &UnderWay<MailFence>) -> Vec<ClaimedMail> {
        let free = self.settings.mails_in_flight.saturating_sub(under_way.count());
        let Ok(free @ 1..) = i64::try_from(free) else { return Vec::new() };
        let now = self.clock.now();
        let claimed = self.db.operate("mails.claim", async |tx| lease::claim(tx, free, now).await).await;
        claimed.unwrap_or_else(|error| {
            tracing::warn!(error = cause(&error), "due letters could not be claimed");
            Vec::new()
        })
    }

    /// Until a letter was written, one ended, the timer, or the end.
    async fn wait(&self, notices: &mut Notices, under_way: &mut UnderWay<MailFence>, shutdown: &Shutdown) {
        tokio::select! {
            () = shutdown.wait() => {}
            () = notices.wait(self.settings.sweep()) => {}
            () = under_way.ended() => {}
        }
    }

    async fn send(self, mailer: Mailer, mail: ClaimedMail) {
        let begun = Instant::now();
        let end = match self.attempt(&mailer, &mail).await {
            Ok(()) => MailEnd::Sent,
            Err(failure) => after(failure, mail.fence.attempt),
        };
        metrics::histogram!("picket_mail_attempt_seconds").record(begun.elapsed().as_secs_f64());
        self.finish(mail.fence, &end).await;
    }

    async fn attempt(&self, mailer: &Mailer, mail: &ClaimedMail) -> Result<(), Failure> {
        let id = mail.fence.mail_id;
        let (letter, recipient, locale) = match &mail.written {
            Some(written) => self.open(id, written)?,
            None => self.news(id).await?,
        };
        let rendered = render::render(&letter, locale).map_err(|_| Failure::permanent("unusable link"))?;
        mailer.send(id, &recipient, rendered, self.clock.now()).await
    }

    fn open(&self, id: MailId, written: &WrittenMail) -> Result<Addressed, Failure> {
        let unreadable = || Failure::permanent("unreadable letter");
        let opened = self.sealer.open(&written.letter, &mails::place(id)).map_err(|_| unreadable())?;
        let letter = serde_json::from_slice(&opened).map_err(|_| unreadable())?;
        Ok((letter, written.recipient.clone(), written.locale))
    }

    /// The letter about a scan's end, as things are now.
    async fn news(&self, id: MailId) -> Result<Addressed, Failure> {
        let read = self.db.operate("mails.scan_end", async |tx| scan_end::read(tx, id).await).await;
        let news = read.map_err(|error| {
            tracing::warn!(error = cause(&error), "news of a scan could not be read");
            Failure::passing("database")
        })?;
        if news.is_none() {
            return self.target_news(id).await;
        }
        let ScanNews { recipient, name, locale, organization, scan_id, target, state, ended_at, counts } =
            news.ok_or_else(|| Failure::permanent("nobody to tell"))?;
        let outcome = ScanOutcome::find(&state).ok_or_else(|| Failure::permanent("unfinished scan"))?;
        let link = format!("{}/api/v1/scan/{scan_id}/result", self.origin);
        let letter = Letter::ScanEnded { name, organization, target, outcome, at: ended_at, counts, link };
        Ok((letter, recipient, locale))
    }

    /// The letter about a target's proof, as things are now.
    async fn target_news(&self, id: MailId) -> Result<Addressed, Failure> {
        let read = self.db.operate("mails.target_news", async |tx| target_news::read(tx, id).await).await;
        let news = read.map_err(|error| {
            tracing::warn!(error = cause(&error), "news of a target could not be read");
            Failure::passing("database")
        })?;
        let TargetNews { recipient, name, locale, organization, target, news, at } =
            news.ok_or_else(|| Failure::permanent("nobody to tell"))?;
        Ok((Letter::TargetProof { name, organization, target, news, at }, recipient, locale))
    }

    /// Writes how a claim ended. When that cannot be written, the lease ends by itself and the letter is sent once more.
    async fn finish(&self, fence: MailFence, end: &MailEnd) {
        for attempt in 1..=FINISH_TRIES {
            match self.db.operate("mails.finish", async |tx| lease::finish(tx, fence, end).await).await {
                Ok(true) => return tell(fence, end),
                Ok(false) => return tracing::warn!("a letter outlived its claim and does not count"),
                Err(error) if attempt < FINISH_TRIES && StoreError::is_outage(&error) => {
                    tokio::time::sleep(Duration::from_millis(200) * attempt).await;
                }
                Err(error) => {
                    return tracing::error!(error = cause(&error), "the end of a letter could not be stored");
                }
            }
        }
    }

    async fn give_back(&self, held: Vec<MailFence>) {
        if held.is_empty() {
            return;
        }
        match self.db.operate("mails.release", async |tx| lease::release(tx, &held).await).await {
            Ok(released) => tracing::info!(mails = released, "letters were given back, to be sent again"),
            Err(error) => tracing::warn!(error = cause(&error), "letters are left to the sweep, once their leases end"),
        }
    }

    /// Sweeps until shutdown: claims that nobody holds any more, letters that expired, rows that are old.
    async fn sweep_all(&self, shutdown: &Shutdown) {
        while !shutdown.is_down() {
            let now = self.clock.now();
            match self.db.operate("mails.sweep", async |tx| lease::sweep(tx, now, KEEP).await).await {
                Ok(swept) => report(&swept),
                Err(error) => tracing::warn!(error = cause(&error), "a sweep of letters failed"),
            }
            shutdown.or(tokio::time::sleep(self.settings.sweep())).await;
        }
    }
}

/// What follows from a failure of the `attempt`-th attempt.
fn after(failure: Failure, attempt: i32) -> MailEnd {
    let Failure { permanent, reason } = failure;
    let failures = u32::try_from(attempt).unwrap_or(u32::MAX);
    match RetrySchedule::MAILS.delay(failures, Jitter(rand::random()), None) {
        Some(after) if !permanent => MailEnd::Retry { after, reason },
        _ => MailEnd::Failed { reason },
    }
}

fn tell(fence: MailFence, end: &MailEnd) {
    let outcome = match end {
        MailEnd::Sent => "sent",
        MailEnd::Retry { reason, .. } => {
            tracing::warn!(mail.id = %fence.mail_id, attempt = fence.attempt, reason, "a letter is tried again later");
            "retry"
        }
        MailEnd::Failed { reason } => {
            tracing::error!(mail.id = %fence.mail_id, attempt = fence.attempt, reason, "a letter was not sent");
            "failed"
        }
    };
    metrics::counter!("picket_mails_total", "outcome" => outcome).increment(1);
}

fn report(swept: &lease::MailSweep) {
    let told = [("interrupted", swept.taken_back), ("lost", swept.lost), ("expired", swept.expired)];
    for (outcome, mails) in told.into_iter().filter(|(_, mails)| *mails > 0) {
        metrics::counter!("picket_mails_total", "outcome" => outcome).increment(mails);
        tracing::warn!(mails, outcome, "letters were not sent");
    }
    metrics::gauge!("picket_mails_waiting").set(f64::from(u32::try_from(swept.waiting).unwrap_or(u32::MAX)));
}
