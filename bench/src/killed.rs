//! (l) What is lost and what is done twice when the worker is killed (SIGKILL to all its processes) again and again, in the
//! middle of sleeping tasks, and started anew each time: ours, and Celery with late acknowledgements and with its defaults.

use std::time::Duration;

use serde_json::json;

use crate::{
    Failure,
    figure::Figure,
    ground::Ground,
    peer::{self, Survived},
    role::RoleName,
};

const TASKS: u32 = 60;
const SLEEP_MS: u32 = 500;
const KILLS: u32 = 6;
/// Tasks at once: as Celery's two processes.
const SLOTS: u32 = 2;
const LOOK: Duration = Duration::from_millis(20);

/// Tasks that have ended, each as a scan of its own.
const ENDED: &str = "SELECT count(*) FROM scans WHERE ended_at IS NOT NULL";
const RUNNING: &str = "SELECT count(*) FROM tasks WHERE state = 'running' AND lease_until > now()";

/// An end is an event; the fence lets a task have one, whatever a killed worker had begun.
const SURVIVED: &str = "
SELECT count(*) FILTER (WHERE state <> 'done'), count(*) FILTER (WHERE attempt > 1),
       (SELECT count(*) FROM (SELECT FROM events WHERE name = 'scan.completed'
                              GROUP BY scan_id HAVING count(*) > 1) AS twice)
FROM tasks";

pub(crate) async fn measure() -> Result<Vec<Figure>, Failure> {
    let mut figures = vec![figure("ours", ours().await?)];
    for (name, is_default) in [("Celery 5, late acknowledgements", false), ("Celery 5, its defaults", true)] {
        let killed = tokio::task::spawn_blocking(move || peer::kill(TASKS, SLEEP_MS, KILLS, is_default)).await??;
        figures.extend(killed.map(|survived| figure(name, survived)));
    }
    Ok(figures)
}

fn figure(name: &str, survived: Survived) -> Figure {
    eprintln!("bench:   {name}: {survived:?}");
    let text = format!("(l) lost of {TASKS} tasks of {SLEEP_MS} ms, the worker killed {KILLS} times: {name}");
    Figure::new(text, f64::from(survived.lost), "tasks")
        .with(format!("begun twice ({} ended twice)", survived.ended_twice), f64::from(survived.begun_twice))
}

async fn ours() -> Result<Survived, Failure> {
    let ground = Ground::new(1).await?;
    let organization = *ground.organizations.first().ok_or("an organization")?;
    for _ in 0..TASKS {
        ground.scan(organization, &json!({"sleep_ms": SLEEP_MS})).await?;
    }
    let _steward = ground.start(RoleName::Steward).await?;
    for kill in 0..KILLS {
        let worker = ground.worker(kill, SLOTS).await?;
        ground.await_count(ENDED, i64::from(TASKS * (kill + 1) / (KILLS + 2)), LOOK).await?;
        ground.await_count(RUNNING, 1, LOOK).await?;
        tokio::time::sleep(Duration::from_millis(u64::from(SLEEP_MS / 2))).await;
        worker.kill().await?;
    }
    let _worker = ground.worker(KILLS, SLOTS).await?;
    ground.await_count(ENDED, i64::from(TASKS), LOOK).await?;
    let row = ground.database.connect().await.query_one(SURVIVED, &[]).await?;
    let number = |place| Ok::<_, Failure>(u32::try_from(row.try_get::<_, i64>(place)?)?);
    Ok(Survived { lost: number(0)?, begun_twice: number(1)?, ended_twice: number(2)? })
}
