//! Asks the database a few times a second whose rights changed, in one small statement for the whole gateway. While it does
//! not answer nobody is let in by what is remembered for long; nothing waits for this.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use picket_kit::Shutdown;
use picket_store::{Db, StoreError, rights::Reader};

use super::Callers;

/// Between two questions: three may get lost before callers are looked up anew.
const PAUSE: Duration = Duration::from_millis(250);

/// Tells `callers` of changes until shutdown.
pub(crate) async fn watch(db: Db, callers: Arc<Callers>, shutdown: Shutdown) {
    let mut reader = Reader::default();
    let mut is_failing = false;
    loop {
        let asked_at = Instant::now();
        let read = db.look_up("watch_rights", async |tx| Ok::<_, StoreError>(reader.read(tx).await?)).await;
        match read {
            Ok(changed) => {
                callers.tell(&changed, asked_at);
                if std::mem::take(&mut is_failing) {
                    tracing::info!("changes of rights are read again");
                }
            }
            // One line for each time that it begins, not for each question.
            Err(error) if !std::mem::replace(&mut is_failing, true) => {
                tracing::warn!(
                    error = picket_domain::cause(&error),
                    "changes of rights are not read, callers are looked up"
                );
            }
            Err(_) => {}
        }
        if shutdown.or(tokio::time::sleep(PAUSE)).await.is_none() {
            return;
        }
    }
}
