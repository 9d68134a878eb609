//! Threads that compute hashes and nothing else, at a lower priority than those that serve: a storm of logins takes what
//! the others leave. Never runs anything that waits.

use std::{
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};

use tokio::sync::{Semaphore, oneshot};

use crate::Problem;

/// How much less urgent the threads are than those that serve: at 10, Linux gives them about a tenth of a contended core.
const NICE: i32 = 10;
/// How long one waits for a free thread.
const PATIENCE: Duration = Duration::from_secs(10);

type Work = Box<dyn FnOnce() + Send>;

/// So many threads; they end when nobody can send them work any more.
#[derive(Clone)]
pub(super) struct Threads {
    free: Arc<Semaphore>,
    work: mpsc::Sender<Work>,
}

impl Threads {
    /// Starts them.
    ///
    /// # Errors
    /// When the system has no threads left.
    pub(super) fn start(many: usize) -> std::io::Result<Self> {
        let many = many.max(1);
        let (work, waiting) = mpsc::channel::<Work>();
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..many {
            let waiting = waiting.clone();
            thread::Builder::new().name("passwords".to_owned()).spawn(move || run(&waiting))?;
        }
        Ok(Self { free: Arc::new(Semaphore::new(many)), work })
    }

    /// Does the work on one of them.
    ///
    /// # Errors
    /// [`Problem::Unavailable`] when none is free in time.
    pub(super) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
        let permit = tokio::time::timeout(PATIENCE, self.free.clone().acquire_owned())
            .await
            .map_err(|waited| Problem::Unavailable(Box::new(waited)))?
            .map_err(Problem::internal)?;
        let (tell, done) = oneshot::channel();
        let work: Work = Box::new(move || {
            // Whoever asked may be gone by now.
            let _told = tell.send(work());
            drop(permit);
        });
        self.work.send(work).map_err(|_| Problem::internal("the threads of passwords are gone"))?;
        done.await.map_err(Problem::internal)
    }
}

fn run(waiting: &Mutex<mpsc::Receiver<Work>>) {
    // Of this thread alone, as Linux has it. Without the right to do so it is as urgent as the others.
    let _nicer = rustix::process::nice(NICE);
    loop {
        let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(work) = next else { return };
        // A panic must not take the thread with it: its work is lost, and whoever asked is told.
        let _done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_done_beside_and_survives_a_panic() {
        let threads = Threads::start(1).unwrap();
        assert!(threads.run(|| -> u8 { panic!("on purpose") }).await.is_err());
        let there = threads.run(|| rustix::process::getpriority_process(None)).await.unwrap().unwrap();
        let here = rustix::process::getpriority_process(None).unwrap();
        assert!(there > here || here >= 19, "{there} there, {here} here");
    }
}
