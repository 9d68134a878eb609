//! Exclusions with hours: the database says of them what the domain says, claims and admission keep to them, and what is on its
//! way when they begin is stopped.

use jiff::{SignedDuration, Timestamp};
use picket_domain::{AdmissionLimits, Exclusion, ExclusionId, TaskQueued, WrittenHours};
use picket_store::{
    exclusions::{self, ListedExclusion},
    grounds, quota,
    tasks::{authority, lease},
};

use crate::scenario::{Scenario, now};

fn hours(days: &[&str], begins: &str, ends: &str, time_zone: &str) -> WrittenHours {
    let days = days.iter().map(|day| (*day).to_owned()).collect();
    WrittenHours { days, begins: begins.to_owned(), ends: ends.to_owned(), time_zone: time_zone.to_owned() }
}

impl Scenario {
    async fn exclude_within(&self, value: &str, hours: &WrittenHours) {
        let new = ListedExclusion {
            id: ExclusionId::mint(now()),
            exclusion: Exclusion::parse(value).unwrap(),
            reason: None,
            hours: Some(hours.clone()),
            created_at: now(),
            created_by: "usr_x".to_owned(),
        };
        let work = async |tx: &picket_store::Tx<'_>| {
            quota::lock(tx, self.organization).await?;
            exclusions::create(tx, self.organization, &new).await
        };
        self.db.run("test", self.organization, work).await.unwrap();
    }

    /// Whether the task of the message could be claimed at that moment.
    async fn claims(&self, message: &TaskQueued, at: Timestamp) -> bool {
        self.database.set_now(&at.to_string()).await;
        let by = self.claimant();
        let claim = async |tx: &picket_store::Tx<'_>| lease::claim(tx, message, by, at).await;
        self.db.run("test", self.organization, claim).await.unwrap().is_some()
    }

    /// A round of admission with the database at that moment.
    async fn admit_when(&self, at: Timestamp) -> usize {
        self.database.set_now(&at.to_string()).await;
        self.admit_then(&AdmissionLimits::none(), at).await
    }

    /// What the steward's loop does in one turn.
    async fn sweep(&self, at: Timestamp) -> u64 {
        self.database.set_now(&at.to_string()).await;
        let held = self.db.operate("test", async |tx| exclusions::in_force(tx).await).await.unwrap();
        let mut stopped = 0;
        for (organization, _, exclusion) in held {
            let stop =
                async |tx: &picket_store::Tx<'_>| authority::stop_excluded(tx, organization, &exclusion, at).await;
            stopped += self.db.operate("test", stop).await.unwrap();
        }
        stopped
    }

    async fn excluded_at(&self, at: Timestamp) -> usize {
        let load = async |view: &picket_store::View<'_>| grounds::load(view, "127.0.0.1", at).await;
        self.db.view("test", self.organization, load).await.unwrap().exclusions.len()
    }
}

#[tokio::test]
async fn the_database_knows_the_hours_as_the_domain_does() {
    let scenario = Scenario::new().await;
    let client = scenario.database.connect().await;
    let all = [
        hours(&["mon", "tue", "fri"], "09:00", "17:30", "Europe/Berlin"),
        hours(&["fri", "sun"], "22:00", "06:00", "America/New_York"),
        hours(&["sat"], "00:00", "24:00", "Asia/Kathmandu"),
        hours(&["sun"], "01:30", "03:30", "Australia/Lord_Howe"),
        hours(&["wed"], "23:59", "00:01", "UTC"),
    ];
    let sql = "SELECT picket_in_force($1, $2)";
    let (mut held, mut asked) = (0, 0);
    for hours in &all {
        let read = hours.read().unwrap();
        let kept = serde_json::to_value(hours).unwrap();
        // Around the changes to and from summer time, too.
        for start in ["2026-03-27T00:00:00Z", "2026-04-03T00:00:00Z", "2026-10-23T00:00:00Z", "2026-10-30T00:00:00Z"] {
            let start: Timestamp = start.parse().unwrap();
            for step in 0..(4 * 24) {
                let at = start + SignedDuration::from_mins(step * 47);
                let says: bool = client.query_one(sql, &[&kept, &at]).await.unwrap().get(0);
                assert_eq!(says, read.cover(at), "{hours:?} at {at}");
                (held, asked) = (held + u32::from(says), asked + 1);
            }
        }
    }
    assert!(held > 100 && held < asked / 2, "{held} of {asked}");
    let lost = serde_json::to_value(hours(&["mon"], "09:00", "17:00", "Nowhere/City")).unwrap();
    assert!(client.query_one(sql, &[&lost, &now()]).await.unwrap().get::<_, bool>(0), "what nobody can read holds");
    // Postgres takes some names for abbreviations, which have no summer; tables of zones give them one.
    for (zone, is_known) in [("Europe/Brussels", true), ("UTC", true), ("CET", false), ("wet", false), ("EST", false)] {
        let sql = "SELECT picket_knows_zone($1)";
        assert_eq!(client.query_one(sql, &[&zone]).await.unwrap().get::<_, bool>(0), is_known, "{zone}");
    }
}

/// A Thursday, 14:30 UTC: half an hour before, within, and behind.
fn begins() -> Timestamp {
    now() + SignedDuration::from_mins(30)
}

#[tokio::test]
async fn within_its_hours_an_exclusion_refuses_claims_and_admission_and_stops_what_runs() {
    let scenario = Scenario::new().await;
    scenario.set_plan(picket_domain::Subscription::Enterprise).await;
    let (running, _, task) = scenario.running().await;
    scenario.exclude_within("127.0.0.0/8", &hours(&["thu"], "15:00", "16:00", "UTC")).await;
    let scan = scenario.create(4).await;
    let second = SignedDuration::from_secs(1);
    let behind = begins() + SignedDuration::from_hours(1);
    assert_eq!(
        (
            scenario.excluded_at(begins() - second).await,
            scenario.excluded_at(begins()).await,
            scenario.excluded_at(behind).await
        ),
        (0, 1, 0)
    );

    assert!(scenario.admit_when(begins() - second).await >= 2);
    let messages = scenario.messages().await;
    assert_eq!(scenario.sweep(begins() - second).await, 0);
    assert!(scenario.claims(&messages[0], begins() - second).await);
    assert!(!scenario.claims(&messages[1], begins()).await, "a claim needs nobody's loop");
    let states = async || {
        let sql =
            "SELECT state || coalesce(' ' || gap, ''), count(*) FROM tasks WHERE scan_id = $1 GROUP BY 1 ORDER BY 1";
        let rows = scenario.database.connect().await.query(sql, &[&scan.id.uuid()]).await.unwrap();
        rows.iter().map(|row| (row.get::<_, String>(0), row.get::<_, i64>(1))).collect::<Vec<_>>()
    };
    let of = |state: &str, count| (state.to_owned(), count);
    assert!(states().await.contains(&of("failed target_excluded", 1)), "{:?}", states().await);
    // All that is on its way, in one turn, and the worker loses what it runs.
    assert_eq!(scenario.sweep(begins()).await, 4);
    assert_eq!(states().await, [of("cancelled target_excluded", 3), of("failed target_excluded", 1)]);
    assert_eq!(scenario.state(&running).await, "failed");
    let by = scenario.claimant();
    let renewed = async |tx: &picket_store::Tx<'_>| lease::renew(tx, by, &[task.fence]).await;
    assert_eq!(scenario.db.operate("test", renewed).await.unwrap(), []);
    // What comes behind the hours goes its way; what comes within them is ended by admission.
    let late = scenario.create(2).await;
    assert_eq!(scenario.admit_when(begins()).await, 0);
    assert_eq!(scenario.state(&late).await, "failed");
    scenario.create(1).await;
    assert_eq!(scenario.sweep(behind).await, 0);
    assert_eq!(scenario.admit_when(behind).await, 1);
}
