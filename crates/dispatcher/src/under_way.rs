//! Work under way, and what each piece of it holds until it ends.

use std::{collections::HashMap, time::Duration};

use tokio::{
    task::{Id, JoinSet},
    time::timeout,
};

use crate::error::cause;

/// Sends under way; each holds a claim of which `F` is the fence.
pub(crate) struct UnderWay<F> {
    sends: JoinSet<()>,
    held: HashMap<Id, F>,
}

impl<F> Default for UnderWay<F> {
    fn default() -> Self {
        Self { sends: JoinSet::new(), held: HashMap::new() }
    }
}

impl<F> UnderWay<F> {
    pub(crate) fn start(&mut self, fence: F, send: impl Future<Output = ()> + Send + 'static) {
        let started = self.sends.spawn(send);
        self.held.insert(started.id(), fence);
    }

    pub(crate) fn count(&self) -> usize {
        self.sends.len()
    }

    /// Waits until one ends; for ever when none is under way.
    pub(crate) async fn ended(&mut self) {
        match self.sends.join_next_with_id().await {
            Some(ended) => self.forget(ended),
            None => std::future::pending().await,
        }
    }

    pub(crate) fn forget_ended(&mut self) {
        while let Some(ended) = self.sends.try_join_next_with_id() {
            self.forget(ended);
        }
    }

    /// Lets what is under way end within `at_most`, stops the rest, and says which claims that leaves.
    pub(crate) async fn drain(mut self, at_most: Duration) -> Vec<F> {
        let all = async {
            while let Some(ended) = self.sends.join_next_with_id().await {
                self.forget(ended);
            }
        };
        if timeout(at_most, all).await.is_err() {
            self.sends.shutdown().await;
        }
        self.held.into_values().collect()
    }

    fn forget(&mut self, ended: Result<(Id, ()), tokio::task::JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => {
                tracing::error!(error = cause(&error), "a send broke; its lease will end");
                error.id()
            }
        };
        self.held.remove(&id);
    }
}
