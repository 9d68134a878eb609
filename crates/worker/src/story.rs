//! What a run tells while its tool works: the lines of the scan's live output. Lines are kept in memory for a second and
//! stored together; a flood is counted and not told. A line that cannot be stored is left out, and nothing waits for it: the
//! result has everything.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use picket_domain::{ClaimedTask, Gap, Observation, OutputLine, ScanId};
use picket_kit::Clock;
use picket_live::Live;
use picket_store::{Db, output};

/// Between two times that lines are stored, and how long that may take.
const PAUSE: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(5);
/// The most lines that wait for it.
const MOST: usize = 250;

/// What one run has to tell; clones are of the same run.
#[derive(Clone, Default)]
pub(crate) struct Story(Arc<Mutex<Pending>>);

#[derive(Default)]
struct Pending {
    lines: Vec<OutputLine>,
    /// Observations that no line tells of.
    left_out: u64,
    observations: u64,
}

impl Story {
    /// The story of a run that begins.
    pub(crate) fn begin(task: &ClaimedTask) -> Self {
        let story = Self::default();
        story.pending().lines.push(OutputLine::started(&task.tool, &task.shard.target));
        story
    }

    /// The tool reported something.
    pub(crate) fn saw(&self, observation: &Observation) {
        let mut pending = self.pending();
        pending.observations = pending.observations.saturating_add(1);
        if pending.lines.len() < MOST {
            let line = OutputLine::observation(observation);
            pending.lines.push(line);
        } else {
            pending.left_out = pending.left_out.saturating_add(1);
        }
    }

    /// What was not told yet, and how the run ended. May be asked again.
    pub(crate) fn end(&self, gap: Option<Gap>, again: bool) -> Vec<OutputLine> {
        let pending = self.pending();
        let mut lines = pending.lines.clone();
        lines.extend(pending.left_out());
        lines.push(OutputLine::Ended { observations: pending.observations, gap, again });
        lines
    }

    fn take(&self) -> Vec<OutputLine> {
        let mut pending = self.pending();
        let mut lines = std::mem::take(&mut pending.lines);
        lines.extend(pending.left_out());
        pending.left_out = 0;
        lines
    }

    /// Lines that could not be stored, or of which nobody knows.
    fn lost(&self, lines: &[OutputLine]) {
        let observations = |line: &OutputLine| match line {
            OutputLine::Observation { .. } => 1,
            OutputLine::LeftOut { observations } => *observations,
            OutputLine::Started { .. } | OutputLine::Ended { .. } | OutputLine::Cut => 0,
        };
        let lost = lines.iter().map(observations).fold(0, u64::saturating_add);
        let mut pending = self.pending();
        pending.left_out = pending.left_out.saturating_add(lost);
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    fn left_out(&self) -> Option<OutputLine> {
        (self.left_out > 0).then_some(OutputLine::LeftOut { observations: self.left_out })
    }
}

/// Stores stories and says that there is something new.
pub(crate) struct Teller {
    pub(crate) db: Db,
    pub(crate) clock: Clock,
    pub(crate) live: Option<Live>,
}

impl Teller {
    /// Waits for `run`, and stores meanwhile what the story has to tell.
    pub(crate) async fn tell_while<T>(&self, task: &ClaimedTask, story: &Story, run: impl Future<Output = T>) -> T {
        tokio::pin!(run);
        loop {
            tokio::select! {
                biased;
                done = &mut run => return done,
                () = tokio::time::sleep(PAUSE) => self.tell(task, story).await,
            }
        }
    }

    async fn tell(&self, task: &ClaimedTask, story: &Story) {
        let lines = story.take();
        if lines.is_empty() {
            return;
        }
        let now = self.clock.now();
        let store =
            self.db.run("worker.tell", task.organization_id, async |tx| output::tell(tx, task, &lines, now).await);
        match tokio::time::timeout(PATIENCE, store).await {
            Ok(Ok(true)) => self.hint(task.scan_id),
            // Stopped, or somebody else's; where it was stopped, its end says how much was not told.
            Ok(Ok(false)) => story.lost(&lines),
            Ok(Err(error)) => {
                tracing::warn!(error = picket_domain::cause(&error), "lines of the live output were lost");
                story.lost(&lines);
            }
            Err(_) => {
                tracing::warn!("lines of the live output were lost, the database takes too long");
                story.lost(&lines);
            }
        }
    }

    /// Says that there is something new of the scan; nobody waits for it.
    pub(crate) fn hint(&self, scan: ScanId) {
        let Some(live) = self.live.clone() else { return };
        tokio::spawn(async move {
            if let Err(error) = live.hint(&scan.to_string()).await {
                tracing::debug!(error = picket_domain::cause(&error), "a hint was lost, the timers will do");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use picket_domain::{Confidence, Location, Severity};

    use super::*;

    fn observation() -> Observation {
        Observation {
            rule: "r".to_owned(),
            title: "t".to_owned(),
            severity: Severity::Low,
            cve: None,
            cvss: None,
            location: Location { host: "127.0.0.1".to_owned(), port: None, protocol: None, url: None },
            subject: String::new(),
            description: String::new(),
            evidence: String::new(),
            remediation: String::new(),
            service: None,
            confidence: Confidence::default(),
            cwe: None,
            references: Vec::new(),
        }
    }

    #[test]
    fn a_flood_is_counted_and_costs_bounded_memory() {
        let story = Story::default();
        (0..10_000).for_each(|_| story.saw(&observation()));
        let told = story.take();
        assert_eq!(told.len(), MOST + 1);
        assert_eq!(told[MOST], OutputLine::LeftOut { observations: 9_750 });
        assert!(story.take().is_empty());
        assert_eq!(story.end(None, false), [OutputLine::Ended { observations: 10_000, gap: None, again: false }]);
    }

    #[test]
    fn what_was_lost_is_said_at_the_end_however_often_it_is_asked() {
        let story = Story::default();
        (0..3).for_each(|_| story.saw(&observation()));
        let lines = story.take();
        story.lost(&lines);
        for _ in 0..2 {
            let end = OutputLine::Ended { observations: 3, gap: Some(Gap::TimedOut), again: true };
            assert_eq!(story.end(Some(Gap::TimedOut), true), [OutputLine::LeftOut { observations: 3 }, end]);
        }
    }
}
