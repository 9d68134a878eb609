//! Hints that something was committed: `NOTIFY` outside the transaction that caused it, many in one.
//! A `NOTIFY` inside a transaction takes a lock of the whole cluster at commit, so that no two creates could commit
//! together; and a hint may be lost, since every listener also has a timer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Notify, watch};
use tokio_postgres::{AsyncMessage, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::connection::{Pool, Pooled};

/// What a listener may be woken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// Events wait for the relay.
    Events,
    /// Leases were taken away: workers ask which of theirs still stand.
    Leases,
    /// Letters wait for the dispatcher.
    Mails,
    /// Tasks became ready, or room became free.
    Tasks,
}

impl Notice {
    const ALL: [Self; 4] = [Self::Events, Self::Leases, Self::Mails, Self::Tasks];

    const fn channel(self) -> &'static str {
        match self {
            Self::Events => "picket_events",
            Self::Leases => "picket_leases",
            Self::Mails => "picket_mails",
            Self::Tasks => "picket_tasks",
        }
    }

    pub(crate) const fn bit(self) -> u8 {
        match self {
            Self::Events => 1,
            Self::Tasks => 2,
            Self::Mails => 4,
            Self::Leases => 8,
        }
    }
}

/// Sends notices after commits; everything that was asked while one is on its way goes out with the next.
#[derive(Clone, Default)]
pub(crate) struct Sender {
    wanted: Arc<AtomicU8>,
    wake: Arc<Notify>,
}

impl Sender {
    /// Starts the task that sends; it ends with the last clone of the pool's `Db`.
    pub(crate) fn start(pool: Pool) -> Self {
        let sender = Self::default();
        let (wanted, wake) = (Arc::downgrade(&sender.wanted), sender.wake.clone());
        tokio::spawn(async move {
            loop {
                let woken = tokio::time::timeout(Duration::from_secs(5), wake.notified()).await;
                let Some(wanted) = wanted.upgrade() else { return };
                let bits = wanted.swap(0, Ordering::AcqRel);
                if woken.is_ok() && bits != 0 {
                    send(&pool, bits).await;
                }
            }
        });
        sender
    }

    /// Asks for the notices in `bits`.
    pub(crate) fn ask(&self, bits: u8) {
        if bits != 0 {
            self.wanted.fetch_or(bits, Ordering::AcqRel);
            self.wake.notify_one();
        }
    }
}

async fn send(pool: &Pool, bits: u8) {
    let Ok(client) = pool.get().await else { return };
    let wanted = Notice::ALL.into_iter().filter(|notice| bits & notice.bit() != 0);
    let notify: String = wanted.map(|notice| format!("NOTIFY {}; ", notice.channel())).collect();
    // A hint may be lost, so nobody waits until the disk has it: a `NOTIFY` alone is a commit like any other.
    if let Err(error) =
        client.batch_execute(&format!("BEGIN; SET LOCAL synchronous_commit = off; {notify}COMMIT")).await
    {
        tracing::debug!(error = picket_domain::cause(&error), "a hint was lost, the timers will do");
        // It may have a transaction open.
        drop(Pooled::take(client));
    }
}

/// A listener's side: a connection of its own, made again when it breaks.
pub struct Notices {
    changed: watch::Receiver<u64>,
    listener: tokio::task::JoinHandle<()>,
}

impl Notices {
    /// Listens for `notice`.
    #[must_use]
    pub(crate) fn listen(config: Config, connect: MakeRustlsConnect, notice: Notice) -> Self {
        let (sender, changed) = watch::channel(0);
        let listener = tokio::spawn(async move {
            loop {
                if let Err(error) = listen_once(&config, connect.clone(), notice, &sender).await {
                    tracing::debug!(error = picket_domain::cause(&error), "listening again");
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        Self { changed, listener }
    }

    /// Waits for a notice, `at_most` as long; returns early or on time, the caller looks in both cases.
    pub async fn wait(&mut self, at_most: Duration) {
        // Both outcomes mean the same to the caller: look now.
        let _woken = tokio::time::timeout(at_most, self.changed.changed()).await;
        self.changed.mark_unchanged();
    }
}

impl Drop for Notices {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

async fn listen_once(
    config: &Config,
    connect: MakeRustlsConnect,
    notice: Notice,
    sender: &watch::Sender<u64>,
) -> Result<(), tokio_postgres::Error> {
    let (client, mut connection) = config.connect(connect).await?;
    let forward = async {
        while let Some(message) = std::future::poll_fn(|context| connection.poll_message(context)).await {
            if let AsyncMessage::Notification(_) = message? {
                sender.send_modify(|count| *count = count.wrapping_add(1));
            }
        }
        Ok(())
    };
    let listen = async {
        client.batch_execute(&format!("LISTEN {}", notice.channel())).await?;
        std::future::pending::<Result<(), tokio_postgres::Error>>().await
    };
    tokio::select! { ended = forward => ended, failed = listen => failed }
}
