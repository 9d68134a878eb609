//! (a) Scans accepted per second: through the real API, beside the very same transaction issued straight at the same
//! Postgres, and beside a bare commit of one row. Same number of connections, turns in alternation, medians.

use std::{sync::Arc, time::Duration};

use hyper::StatusCode;
use picket_domain::OrganizationId;
use serde_json::json;

use crate::{
    Failure,
    figure::{Figure, median},
    http::Client,
    load::{Bare, Straight, ThroughApi, Worker, turn},
    platform::Platform,
    template,
};

/// Connections that work at the same time.
const CLIENTS: usize = 32;
/// Turns of each form.
const ROUNDS: usize = 5;

/// What all clients ask for: seed 1's example without what needs raw sockets.
fn request() -> serde_json::Value {
    json!({
        "target": "127.0.0.1",
        "tool": "nmap",
        "parameters": {"scan_type": "-sV -sC", "ports": "1-10000", "timing": "-T4"},
    })
}

/// The three forms of the load.
struct Forms {
    api: Vec<ThroughApi>,
    straight: Vec<Straight>,
    bare: Vec<Bare>,
}

/// Measures with an organization for each client, and with one for all: every scan has a number in its organization, so
/// the creates of one organization wait for each other.
pub(crate) async fn measure() -> Result<Vec<Figure>, Failure> {
    let platform = Platform::start().await?;
    let mut keys = Vec::new();
    for number in 0..CLIENTS {
        keys.push(platform.organization(number).await?);
    }
    let _ends = EndScans::begin(platform.database.connect().await);
    let mut figures = Vec::new();
    for (name, organizations) in [("32 organizations", CLIENTS), ("one organization", 1)] {
        let keys: Vec<&String> = keys.iter().take(organizations).cycle().take(CLIENTS).collect();
        let (api, straight, bare) = rounds(&mut forms(&platform, &keys).await?).await?;
        let figure = || Figure::new(format!("(a) scans accepted, {name}"), api, "1/s");
        figures.push(figure().beside("the same transaction alone", straight));
        figures.push(figure().beside("a bare commit of one row", bare));
    }
    Ok(figures)
}

/// Ends scans as workers would, for both forms alike: a plan bounds how many have not ended, and they are counted at every
/// create.
struct EndScans(tokio::task::JoinHandle<()>);

impl EndScans {
    fn begin(postgres: tokio_postgres::Client) -> Self {
        let sql = "UPDATE scans SET state = 'cancelled', ended_at = now() WHERE state = 'created'";
        Self(tokio::spawn(async move {
            while postgres.execute(sql, &[]).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }))
    }
}

impl Drop for EndScans {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn forms(platform: &Platform, keys: &[&String]) -> Result<Forms, Failure> {
    let mut forms = Forms { api: Vec::new(), straight: Vec::new(), bare: Vec::new() };
    let owner = platform.database.connect().await;
    owner.batch_execute("CREATE TABLE IF NOT EXISTS bench_rows (id bigserial PRIMARY KEY, note text NOT NULL)").await?;
    for key in keys {
        let mut worker = ThroughApi {
            client: Client::connect(platform.address, Some((*key).clone())).await?,
            body: request().to_string().into(),
        };
        worker.client.post("/api/v1/scans/create", worker.body.clone(), StatusCode::CREATED).await?;
        forms.api.push(worker);
        let template = template::newest(&owner, &platform.clock).await?;
        let organization: OrganizationId = template.organization_id;
        let (db, clock) = (platform.db.clone(), platform.clock.clone());
        forms.straight.push(Straight { db, clock, template: Arc::new(template), organization });
        let postgres = platform.database.connect().await;
        let insert = postgres.prepare("INSERT INTO bench_rows (note) VALUES ($1)").await?;
        forms.bare.push(Bare { postgres, insert });
    }
    Ok(forms)
}

/// Medians of all rounds, after one that does not count.
async fn rounds(forms: &mut Forms) -> Result<(f64, f64, f64), Failure> {
    warm(&mut forms.api).await?;
    warm(&mut forms.straight).await?;
    warm(&mut forms.bare).await?;
    let (mut api, mut straight, mut bare) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        straight.push(turn(&mut forms.straight).await?);
        api.push(turn(&mut forms.api).await?);
        bare.push(turn(&mut forms.bare).await?);
        eprintln!("bench:   round {round}: {:.0?} {:.0?} {:.0?}", api.last(), straight.last(), bare.last());
    }
    Ok((median(&mut api), median(&mut straight), median(&mut bare)))
}

async fn warm<W: Worker>(workers: &mut Vec<W>) -> Result<(), Failure> {
    turn(workers).await.map(drop)
}
