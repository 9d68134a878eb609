//! One finding that several tools see, or that a later scan sees again: what is kept does not depend on who came first.

use picket_domain::{ClaimedTask, Confidence, NewScan, Observation, Service, Severity, Subscription};
use picket_store::{
    scans::{
        self,
        read::{self, SightedFinding},
    },
    tasks::{self, RunRecord},
};
use picket_testkit::seed;

use crate::scenario::{Scenario, now, observation};

/// A scan of two tasks, claimed by the worker.
async fn claimed(scenario: &Scenario) -> (NewScan, Vec<ClaimedTask>) {
    let scan = scenario.create(2).await;
    assert_eq!(scenario.admit().await, 2);
    let mut tasks = Vec::new();
    for message in scenario.messages().await {
        tasks.push(scenario.claim(&message).await.unwrap());
    }
    (scan, tasks)
}

async fn complete(scenario: &Scenario, task: &ClaimedTask, tool: &str, found: &[Observation]) {
    let task = ClaimedTask { tool: tool.to_owned(), ..task.clone() };
    let run = RunRecord::default();
    let done =
        scenario.db.run("test", scenario.organization, async |tx| tasks::complete(tx, &task, found, &run, now()).await);
    done.await.unwrap();
}

async fn findings(scenario: &Scenario, scan: &NewScan) -> Vec<SightedFinding> {
    let read =
        scenario.db.run("test", scenario.organization, async |tx| read::findings(tx, scan.id, 1_000, 10_000_000).await);
    read.await.unwrap()
}

fn service(product: Option<&str>) -> Service {
    Service { name: Some("http".to_owned()), product: product.map(str::to_owned), ..Service::default() }
}

/// What one tool says, and what another one says of the same: more of it, and worse.
fn poor_and_rich() -> [Observation; 2] {
    let poor = Observation {
        service: Some(service(None)),
        confidence: Confidence::Low,
        cvss: None,
        references: vec!["https://example.com/a".to_owned()],
        ..observation(80, Severity::Low)
    };
    let rich = Observation {
        title: "A finding with a better title".to_owned(),
        severity: Severity::High,
        evidence: "seen with all that there is to see".to_owned(),
        description: "what it means, in full".to_owned(),
        service: Some(service(Some("nginx"))),
        confidence: Confidence::High,
        cvss: Some(7.5),
        cwe: Some(327),
        references: vec!["https://example.com/a".to_owned(), "https://example.com/b".to_owned()],
        ..observation(80, Severity::High)
    };
    assert_eq!(poor.fingerprint(), rich.fingerprint());
    [poor, rich]
}

async fn stored_service(scenario: &Scenario) -> serde_json::Value {
    scenario.row("SELECT service FROM findings", &[]).await.get(0)
}

#[tokio::test]
async fn what_two_tools_see_in_one_scan_is_one_finding_with_two_sources_whoever_comes_first() {
    let mut seen = Vec::new();
    for order in [[0, 1], [1, 0]] {
        let scenario = Scenario::new().await;
        let (scan, tasks) = claimed(&scenario).await;
        let said = poor_and_rich();
        let tools = ["nmap", "sslscan"];
        for (task, which) in tasks.iter().zip(order) {
            complete(&scenario, task, tools[which], std::slice::from_ref(&said[which])).await;
        }
        let found = findings(&scenario, &scan).await;
        let [one] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(one.sources, ["nmap", "sslscan"]);
        assert_eq!(
            (one.severity, one.confidence, one.cvss, one.cwe),
            (Severity::High, Confidence::High, Some(7.5), Some(327))
        );
        assert_eq!((one.title.as_str(), one.references.len()), ("A finding with a better title", 2));
        assert_eq!(
            (one.evidence.as_str(), one.description.as_str()),
            (said[1].evidence.as_str(), said[1].description.as_str())
        );
        assert_eq!(stored_service(&scenario).await["product"], "nginx");
        seen.push(SightedFinding { id: found[0].id, ..one.clone() });
    }
    assert_eq!(SightedFinding { id: seen[1].id, ..seen[0].clone() }, seen[1]);
}

/// The scheme is in every database: another one is another version.
#[tokio::test]
async fn a_finding_is_stored_under_the_fingerprint_that_is_known_elsewhere() {
    let scenario = Scenario::new().await;
    let (_, _, task) = scenario.running().await;
    complete(&scenario, &task, "nmap", &[observation(80, Severity::Low)]).await;
    let stored: String = scenario.row("SELECT encode(fingerprint, 'hex') FROM findings", &[]).await.get(0);
    assert_eq!(stored, "9dfd700c798b9660471b614c4824b5cdf0cf8f1b610ed17383b7dc99ecac4c67");
}

#[tokio::test]
async fn the_same_tool_is_one_source() {
    let scenario = Scenario::new().await;
    let (scan, tasks) = claimed(&scenario).await;
    for task in &tasks {
        complete(&scenario, task, "nmap", &[observation(80, Severity::Low)]).await;
    }
    assert_eq!(findings(&scenario, &scan).await[0].sources, ["nmap"]);
}

#[tokio::test]
async fn a_later_scan_says_anew_how_bad_it_is_and_takes_away_nothing_that_it_does_not_know() {
    let scenario = Scenario::new().await;
    let [poor, rich] = poor_and_rich();
    let (_, _, task) = scenario.running().await;
    complete(&scenario, &task, "nmap", &[rich]).await;
    let (later, _, task) = scenario.running().await;
    complete(&scenario, &task, "nmap", &[poor]).await;
    let found = findings(&scenario, &later).await;
    assert_eq!((found[0].severity, found[0].confidence), (Severity::Low, Confidence::Low));
    assert_eq!((found[0].cwe, found[0].evidence.as_str()), (Some(327), "seen"));
    assert_eq!(stored_service(&scenario).await["product"], "nginx", "a scan without versions knows no better");
}

#[tokio::test]
async fn an_import_is_all_there_or_not_at_all() {
    let scenario = Scenario::new().await;
    let scan = seed::scan(scenario.organization, 1);
    let found = [observation(80, Severity::High), observation(81, Severity::Info)];
    let run = RunRecord::default();
    let import = async |fails: bool| {
        scenario
            .db
            .run("test", scenario.organization, async |tx| {
                let created = scans::import::store(tx, &scan, &found, &run, now()).await?;
                if fails { Err(picket_store::StoreError::Stale { expected: 1, actual: 0 }) } else { Ok(created) }
            })
            .await
    };
    import(true).await.unwrap_err();
    let rows: i64 = scenario.row("SELECT count(*) FROM scans", &[]).await.get(0);
    assert_eq!(rows, 0);
    assert_eq!(import(false).await.unwrap().number, 1);
    assert_eq!((scenario.state(&scan).await.as_str(), findings(&scenario, &scan).await.len()), ("completed", 2));
    assert_eq!(scenario.admit().await, 0, "nothing is left for a worker");
    let events = ["scan.created", "scan.started", "finding.found", "scan.completed"];
    assert_eq!(scenario.public_events().await, events);
}

/// Rows go in batches of a thousand: one statement for each row would take minutes.
#[tokio::test]
async fn many_findings_are_stored_in_batches() {
    let scenario = Scenario::new().await;
    scenario.set_plan(Subscription::Enterprise).await;
    let scan = seed::scan(scenario.organization, 1);
    let found: Vec<Observation> = (0..20_000)
        .map(|number| Observation { subject: number.to_string(), ..observation(80, Severity::Info) })
        .collect();
    let begun = std::time::Instant::now();
    let stored = scenario.db.run("test", scenario.organization, async |tx| {
        scans::import::store(tx, &scan, &found, &RunRecord::default(), now()).await
    });
    stored.await.unwrap();
    println!("20,000 findings were stored in {:?}", begun.elapsed());
    let rows: i64 = scenario.row("SELECT count(*) FROM sightings", &[]).await.get(0);
    assert_eq!(rows, 20_000);
}

#[tokio::test]
async fn a_scan_in_between_takes_away_nothing_of_what_the_first_one_saw() {
    let scenario = Scenario::new().await;
    scenario.set_plan(Subscription::Enterprise).await;
    let (_, _, between) = scenario.running().await;
    let (scan, tasks) = claimed(&scenario).await;
    let [poor, rich] = poor_and_rich();
    complete(&scenario, &tasks[0], "sslscan", &[rich]).await;
    complete(&scenario, &between, "nmap", std::slice::from_ref(&poor)).await;
    complete(&scenario, &tasks[1], "nmap", std::slice::from_ref(&poor)).await;
    let row = scenario.row("SELECT severity, cvss, cwe, cardinality(refs) FROM findings", &[]).await;
    assert_eq!((row.get::<_, &str>(0), row.get(1), row.get(2)), ("high", Some(7.5), Some(327)));
    let found = findings(&scenario, &scan).await;
    assert_eq!((found[0].severity, found[0].sources.len()), (Severity::High, 2));
}

/// Each subject is one finding that six tasks see in an order of its own.
#[tokio::test]
async fn any_order_of_the_same_sightings_gives_the_same_row() {
    let texts = ["aaaa", "bbbb", "cc", "dddd", "éé", "zz"];
    let severities = [Severity::Low, Severity::High, Severity::High, Severity::High, Severity::Info, Severity::Unknown];
    let said: Vec<Observation> = (0..6)
        .map(|at| Observation {
            title: texts[at].to_owned(),
            description: texts[5 - at].to_owned(),
            remediation: texts[at].to_owned(),
            evidence: texts[(at + 2) % 6].to_owned(),
            cwe: [None, Some(79), Some(20), None, Some(20), Some(352)][at],
            cvss: [Some(1.0), None, Some(9.8), Some(9.8), None, Some(2.0)][at],
            confidence: [Confidence::Low, Confidence::Medium, Confidence::High][at % 3],
            service: Some(service([None, Some("nginx"), Some("nginy"), None, Some("a"), None][at])),
            references: vec![format!("https://example.com/{}", texts[at])],
            ..observation(80, severities[at])
        })
        .collect();
    let mut orders: Vec<Vec<usize>> = Vec::new();
    for turn in 0..6 {
        let turned: Vec<usize> = (0..6).map(|at| (at + turn) % 6).collect();
        orders.push(turned.iter().rev().copied().collect());
        orders.push(turned.iter().map(|at| [3, 0, 5, 1, 4, 2][*at]).collect());
        orders.push(turned);
    }
    let scenario = Scenario::new().await;
    scenario.create(6).await;
    let mut turn = 0;
    while scenario.admit().await > 0 {
        for message in scenario.messages().await {
            let task = scenario.claim(&message).await.unwrap();
            let seen: Vec<Observation> = orders
                .iter()
                .map(|order| Observation { subject: format!("{order:?}"), ..said[order[turn]].clone() })
                .collect();
            complete(&scenario, &task, "nmap", &seen).await;
            turn += 1;
        }
    }
    assert_eq!(turn, 6);
    let columns = "title, f.severity, f.cvss, description, remediation, service, confidence, cwe, refs, s.severity, s.cvss, s.evidence";
    let query = format!(
        "SELECT count(*), count(DISTINCT ({columns})::text), min(({columns})::text)
         FROM findings AS f JOIN sightings AS s ON s.finding_id = f.id"
    );
    let row = scenario.row(&query, &[]).await;
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (18, 1), "{}", row.get::<_, String>(2));
}
