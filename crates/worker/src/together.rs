//! Work of several slots that is done together: whoever asks while one turn goes on is in the next. Nobody waits for others to
//! come, so what is asked alone is done alone and at once.

use tokio::sync::{mpsc, oneshot};

/// The most that one turn does.
const MOST: usize = 32;

/// Asks for turns, which end with it.
#[derive(Debug)]
pub(crate) struct Together<T, R>(mpsc::Sender<(T, oneshot::Sender<R>)>);

impl<T: Send + 'static, R: Send + 'static> Together<T, R> {
    /// Turns of `turn`, one at a time. It answers what it was asked in the same order, and may leave all of it unanswered.
    pub(crate) fn start<F>(turn: impl Fn(Vec<T>) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Vec<R>> + Send,
    {
        let (ask, mut asked) = mpsc::channel::<(T, oneshot::Sender<R>)>(MOST);
        tokio::spawn(async move {
            let mut waiting = Vec::new();
            while asked.recv_many(&mut waiting, MOST).await > 0 {
                let (all, hear): (Vec<T>, Vec<oneshot::Sender<R>>) = waiting.drain(..).unzip();
                for (answer, hear) in turn(all).await.into_iter().zip(hear) {
                    // Whoever asked may be gone.
                    let _heard = hear.send(answer);
                }
            }
        });
        Self(ask)
    }

    /// The answer; `None` when the turn had none.
    pub(crate) async fn ask(&self, what: T) -> Option<R> {
        let (hear, heard) = oneshot::channel();
        self.0.send((what, hear)).await.ok()?;
        heard.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn what_is_asked_while_a_turn_goes_on_is_one_turn() {
        let (turns, gate) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Semaphore::new(0)));
        let (seen, passed) = (turns.clone(), gate.clone());
        let together = Arc::new(Together::start(move |all: Vec<u32>| {
            seen.lock().unwrap().push(all.len());
            let passed = passed.clone();
            async move {
                passed.acquire().await.unwrap().forget();
                all.into_iter().map(|one| one * 2).collect::<Vec<_>>()
            }
        }));
        let first = tokio::spawn({
            let together = together.clone();
            async move { together.ask(1).await }
        });
        while turns.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        let rest: Vec<_> = (2..10)
            .map(|one| {
                let together = together.clone();
                tokio::spawn(async move { together.ask(one).await })
            })
            .collect();
        // Each has sent its question when all room but theirs is left.
        while together.0.capacity() > MOST - 8 {
            tokio::task::yield_now().await;
        }
        gate.add_permits(2);
        assert_eq!(first.await.unwrap(), Some(2));
        for (place, one) in rest.into_iter().enumerate() {
            assert_eq!(one.await.unwrap(), Some((place as u32 + 2) * 2));
        }
        assert_eq!(*turns.lock().unwrap(), [1, 8]);
    }

    #[tokio::test]
    async fn a_turn_without_answers_leaves_nobody_waiting() {
        let together = Together::<u32, u32>::start(|_| async { Vec::new() });
        assert_eq!(together.ask(1).await, None);
    }
}
